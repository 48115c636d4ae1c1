"""Name the parts of a config.json that are not counted: nested parts of other kinds, and layers that only draft."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from core.readers.drafts import stated_layers

# Parts that the readers count or refuse, and settings that describe no part.
_READ = frozenset(
    {
        "text_config", "llm_config", "language_config", "vision_config", "audio_config", "img_processor",
        "thinker_config", "perceiver_config", "adapter_config", "projector_config", "quantization_config",
        "compression_config", "quantization",
    }
)  # fmt: skip
_ALSO_READ = {"qwen": frozenset({"visual"})}  # by model type
_DEPTHS = ("num_hidden_layers", "num_layers", "n_layers", "n_layer", "layers", "depth", "encoder_layers")
_WIDTHS = ("hidden_size", "width", "d_model", "embed_dim", "hidden_dim", "n_embd", "dim")
_DEEPEST = 3


def left_out(config: Mapping[str, object]) -> tuple[str, ...]:
    """Return a sentence for each part of a config.json that is not counted."""
    read = _READ | _ALSO_READ.get(str(config.get("model_type")), frozenset())
    parts = [key for key, value in config.items() if key not in read and _is_part(value, _DEEPEST)]
    return (*(f"{key}: this part of the model is left out" for key in parts), *dict.fromkeys(_draft_layers(config)))


def _is_part(value: object, deepest: int) -> bool:
    """Return whether `value` describes layers, or holds an object that does."""
    if not isinstance(value, Mapping) or not deepest:
        return False
    has_size = [any(_is_size(value.get(name)) for name in names) for names in (_DEPTHS, _WIDTHS)]
    return all(has_size) or any(_is_part(each, deepest - 1) for each in value.values())


def _draft_layers(config: Mapping[str, object]) -> Iterator[str]:
    """Yield that layers for multi-token prediction are left out (vLLM loads them only with speculative_config)."""
    for field, count in stated_layers(config):
        if count:
            yield f"{field}: the layers for multi-token prediction are left out; engines load them only to draft"


def _is_size(value: object) -> bool:
    return type(value) is int and value > 0
