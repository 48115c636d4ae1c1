"""List the tensors of towers for speech that are no Whisper: Voxtral Realtime's causal encoder."""

from __future__ import annotations

from core.model.tensors import BY_COLUMNS, BY_ROWS
from core.readers.architectures.vision import Tensors, dense, norm
from core.readers.fields import Fields

_KERNEL = 3


def voxtral_realtime(fields: Fields) -> Tensors:
    """Return the encoder: gated, rotary positions, no bias of keys (transformers models/voxtral_realtime)."""
    hidden, width = fields.size("hidden_size"), fields.size("intermediate_size")
    inner = fields.size("num_attention_heads") * fields.size("head_dim", 64)
    layer = (
        *dense("audio_tower.self_attn.q_proj", inner, hidden, split=BY_ROWS),
        *dense("audio_tower.self_attn.k_proj", inner, hidden, bias=False, split=BY_ROWS),
        *dense("audio_tower.self_attn.v_proj", inner, hidden, split=BY_ROWS),
        *dense("audio_tower.self_attn.o_proj", hidden, inner, split=BY_COLUMNS),
        *(2 * dense("audio_tower.mlp.up_proj", width, hidden, bias=False, split=BY_ROWS)),
        *dense("audio_tower.mlp.down_proj", hidden, width, split=BY_COLUMNS),
        *(2 * norm("audio_tower.layernorm", hidden, bias=False)),
    )
    return (
        *dense("audio_tower.embedder.conv1", hidden, fields.size("num_mel_bins") * _KERNEL),
        *dense("audio_tower.embedder.conv2", hidden, hidden * _KERNEL),
        *(layer * fields.size("num_hidden_layers")),
        *norm("audio_tower.norm", hidden, bias=False),
    )


def voxtral_realtime_projector(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    """Return the projector, which takes several frames at once."""
    width = tower.size("hidden_size") * outer.size("downsample_factor", 4)
    return (
        *dense("multi_modal_projector.linear_1", hidden, width, bias=False),
        *dense("multi_modal_projector.linear_2", hidden, hidden, bias=False),
    )
