"""A model that its user describes by a row of figures: enough for its memory, too little for an engine's buffers."""

from __future__ import annotations

from typing import Any

from core.model.spec import FullAttention, LayerRun, ModelSpec, SlidingWindowAttention


def own_model(
    name: str,
    *,
    parameters: int,
    num_hidden_layers: int,
    num_key_value_heads: int,
    head_dim: int,
    windowed_layers: int = 0,
    sliding_window: int = 0,
    max_position_embeddings: int | None = None,
) -> ModelSpec:
    """The model of one of the workbook's own rows.

    Args:
        parameters: all of them.
        windowed_layers: how many of the layers keep `sliding_window` tokens only. Where they stand among the others is
            not told; each pipeline stage is given half of either kind.
    """
    heads: dict[str, Any] = {
        "num_attention_heads": num_key_value_heads,
        "num_key_value_heads": num_key_value_heads,
        "head_dim": head_dim,
    }
    full = FullAttention(**heads)
    windowed = SlidingWindowAttention(**heads, sliding_window=sliding_window)
    runs = []
    for more in (1, 0):  # the first half has the odd one
        runs += [
            ((num_hidden_layers - windowed_layers + more) // 2, full),
            ((windowed_layers + more) // 2, windowed),
        ]
    return ModelSpec(
        name=name,
        hidden_size=0,
        layers=tuple(LayerRun(count=count, mixer=mixer, complete=False) for count, mixer in runs if count),
        stated_parameters=parameters,
        max_position_embeddings=max_position_embeddings,
    )
