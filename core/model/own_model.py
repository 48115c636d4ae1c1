"""Make a model from the few figures of a user's row: enough for its memory, too few for an engine's buffers."""

from __future__ import annotations

from typing import Any

from core.model.mixers import FullAttention, SlidingWindowAttention
from core.model.spec import LayerRun, ModelSpec


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
    """Return the model that one row of the workbook's own models describes.

    Args:
        parameters: the total number.
        windowed_layers: the number of layers that cache only `sliding_window` tokens. Their positions are not known.
    """
    heads: dict[str, Any] = {
        "num_attention_heads": num_key_value_heads,
        "num_key_value_heads": num_key_value_heads,
        "head_dim": head_dim,
    }
    runs = [
        (num_hidden_layers - windowed_layers, FullAttention(**heads)),
        (windowed_layers, SlidingWindowAttention(**heads, sliding_window=sliding_window)),
    ]
    return ModelSpec(
        name=name,
        hidden_size=0,
        layers=tuple(LayerRun(count=count, mixer=mixer, complete=False) for count, mixer in runs if count),
        stated_parameters=parameters,
        max_position_embeddings=max_position_embeddings,
    )
