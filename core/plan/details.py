"""What a model is made of and keeps, layer by layer: the details behind an estimate."""

from __future__ import annotations

from core.engines.parallelism import check_tensor_parallel, kv_profile_per_gpu
from core.model.counts import model_counts
from core.model.kv_cache import KvProfile, layer_profile
from core.model.precision import Precision
from core.model.spec import (
    CompressedAttention,
    CrossAttention,
    FullAttention,
    LatentAttention,
    Mixer,
    ModelSpec,
    NoMixer,
    ParallelMixers,
    RecurrentState,
    SharedCacheAttention,
    SlidingWindowAttention,
)

_NAMES_BY_BYTES = {2: "16 bits", 4: "32 bits"}

# Subclasses before the classes that they specialise.
_KINDS: tuple[tuple[type, str], ...] = (
    (SlidingWindowAttention, "sliding_window_attention"),
    (SharedCacheAttention, "shared_cache_attention"),
    (CrossAttention, "cross_attention"),
    (FullAttention, "full_attention"),
    (LatentAttention, "latent_attention"),
    (CompressedAttention, "compressed_attention"),
    (NoMixer, "feed_forward"),
)


def shipped_as(model: ModelSpec) -> str:
    """How the checkpoint stores its weights, in a word: "fp8", or "16 bits"."""
    if model.quantization is not None:
        return f"as shipped ({model.quantization.method})"
    return f"as shipped ({_NAMES_BY_BYTES[model.bytes_per_value]})"


def kind(mixer: Mixer) -> str:
    """What to call a kind of layer."""
    if isinstance(mixer, RecurrentState):
        return mixer.kind
    if isinstance(mixer, ParallelMixers):
        return " + ".join(kind(part) for part in mixer.mixers)
    return next(name for of, name in _KINDS if isinstance(mixer, of))


def layer_details(model: ModelSpec, kv_precision: Precision) -> list[dict[str, object]]:
    """The kinds of layer, how many there are of each, and what one layer keeps of a sequence."""
    counts: dict[Mixer, int] = {}
    for run in model.layers:
        counts[run.mixer] = counts.get(run.mixer, 0) + run.count
    return [
        {"kind": kind(mixer), "count": count, **_keeps(layer_profile(mixer), kv_precision)}
        for mixer, count in counts.items()
    ]


def memory_details(
    model: ModelSpec, *, context: int, users: int, kv_precision: Precision, tp: int = 1
) -> dict[str, object]:
    """The details that an estimate has besides its sums, sizes in bytes.

    Raises:
        OutOfRangeError: `tp` does not go with the model's heads.
    """
    check_tensor_parallel(model, tp)
    known = model_counts(model)
    per_gpu = kv_profile_per_gpu(model, tp)[0]
    return {
        "active_parameters": known.parameters.active,
        "weights_as_shipped": shipped_as(model),
        "kv_fixed_bytes_per_sequence": known.kv.fixed_bytes_per_sequence(kv_precision),
        "kv_windowed": [
            {"window": window, "bytes_per_token": kv_precision.bytes_of(values)} for window, values in known.kv.windowed
        ],
        "tp": tp,
        "kv_bytes_per_gpu": per_gpu.bytes_of_sequences(users, context, kv_precision),
        "layers": layer_details(model, kv_precision),
    }


def _keeps(profile: KvProfile, precision: Precision) -> dict[str, int]:
    kept = {
        "bytes_per_token": profile.bytes_per_token(precision)
        + sum(precision.bytes_of(values) for _, values in profile.windowed),
        "window": max((window for window, _ in profile.windowed), default=0),
        "fixed_bytes": profile.fixed_bytes_per_sequence(precision),
    }
    return {name: value for name, value in kept.items() if value or name == "bytes_per_token"}
