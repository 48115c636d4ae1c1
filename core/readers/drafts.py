"""Read which layers for drafting tokens (multi-token prediction, MTP) an engine loads of a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from core.model.mixers import CompressedAttention, FullAttention, SlidingWindowAttention
from core.model.spec import DraftLayers, LayerRun
from core.readers.fields import DRAFT_LAYERS

Config = Mapping[str, object]

# Model type → the layers that vLLM loads where config.json does not say how many (vLLM config/speculative.py,
# hf_config_override, and the models' *_mtp.py). Of other model types it loads none; MiniMax publishes M3's apart.
_FAMILIES = {
    **dict.fromkeys(
        (
            "deepseek_v3", "deepseek_v32", "deepseek_v4", "glm_moe_dsa", "glm4_moe", "glm4_moe_lite", "glm_ocr", "mimo",
            "ernie4_5_moe", "qwen3_next", "qwen3_5", "qwen3_5_moe", "qwen3_5_text", "qwen3_5_moe_text", "exaone_moe",
            "exaone4_5", "longcat_flash", "step3p5", "step3p7", "hy_v3", "pangu_ultra_moe",
        ),
        1,
    ),
    **dict.fromkeys(("nemotron_h", "nemotron_h_puzzle", "bailing_hybrid", "kimi_k3"), 0),
}  # fmt: skip
# Families of which vLLM loads the first layer alone, however many there are (models/mimo_v2_mtp.py).
_FIRST_ALONE = ("mimo_v2", "mimo_v2_flash")


def draft_layers(config: Config, layers: tuple[LayerRun, ...]) -> DraftLayers | None:
    """Return the layers for drafting that a config.json has next to its `layers`; None if an engine loads none."""
    model_type = str(config.get("model_type"))
    count = 1 if model_type in _FIRST_ALONE else _count(config, model_type)
    return DraftLayers(count=count, runs=_LIKE.get(model_type, _like_the_last)(layers)) if count else None


def stated_layers(config: Config) -> Iterable[tuple[str, int]]:
    """Yield each field that states a number of layers for drafting, with the number."""
    for part in (config, config.get("text_config")):
        for field in DRAFT_LAYERS:
            value = part.get(field) if isinstance(part, Mapping) else None
            if type(value) is int and 0 <= value <= _MOST:
                yield field, value


_MOST = 64


def _count(config: Config, model_type: str) -> int:
    if model_type not in _FAMILIES:
        return 0
    return next((count for _, count in stated_layers(config)), _FAMILIES[model_type])


def _like_the_last(layers: tuple[LayerRun, ...]) -> tuple[LayerRun, ...]:
    return layers[-1:]


def _windowed_and_dense(layers: tuple[LayerRun, ...]) -> tuple[LayerRun, ...]:
    """Return a layer with a window and a dense block (vLLM models/mimo_v2_mtp.py, step3p5_mtp.py)."""
    dense = _first(layers, lambda run: run.mlp is not None and not run.mlp.num_routed_experts)
    windowed = _first(layers, lambda run: isinstance(run.mixer, SlidingWindowAttention))
    return _joined(dense, windowed) if dense and windowed else layers[-1:]


def _joined(dense: LayerRun, windowed: LayerRun) -> tuple[LayerRun, ...]:
    return (LayerRun(count=1, mixer=windowed.mixer, mlp=dense.mlp, norms=dense.norms, extra=dense.extra),)


def _attention_and_experts(layers: tuple[LayerRun, ...]) -> tuple[LayerRun, ...]:
    """Return a layer of attention and one of experts, "*E" (mtp_hybrid_override_pattern of Nemotron 3)."""
    attention = _first(layers, lambda run: isinstance(run.mixer, FullAttention))
    experts = _first(layers, lambda run: run.mlp is not None and bool(run.mlp.num_routed_experts))
    return tuple(run for run in (attention, experts) if run)


def _window_alone(layers: tuple[LayerRun, ...]) -> tuple[LayerRun, ...]:
    """Return a layer that compresses nothing (vLLM models/deepseek_v4/attention.py: the ratio of a layer after the last
    is 1).
    """
    return tuple(
        replace(run, mixer=run.mixer.without_compressor()) if isinstance(run.mixer, CompressedAttention) else run
        for run in layers[-1:]
    )


def _first(layers: tuple[LayerRun, ...], fits: Callable[[LayerRun], bool]) -> LayerRun | None:
    return next(filter(fits, layers), None)


_LIKE: dict[str, Callable[[tuple[LayerRun, ...]], tuple[LayerRun, ...]]] = {
    **dict.fromkeys((*_FIRST_ALONE, "step3p5", "step3p7"), _windowed_and_dense),
    **dict.fromkeys(("nemotron_h", "nemotron_h_puzzle"), _attention_and_experts),
    "deepseek_v4": _window_alone,
}
