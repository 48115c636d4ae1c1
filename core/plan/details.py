"""Describe the layers of a model and their KV cache: the details of an estimate."""

from __future__ import annotations

from core.model.counts import model_counts
from core.model.kv_profile import KvProfile
from core.model.mixers import Mixer
from core.model.precision import Precision
from core.model.spec import ModelSpec

_NAMES_BY_BYTES = {2: "16 bits", 4: "32 bits"}


def shipped_as(model: ModelSpec) -> str:
    """Return how the checkpoint stores its weights: "as shipped (fp8)" or "as shipped (16 bits)"."""
    if model.quantization is not None:
        return f"as shipped ({model.quantization.method})"
    return f"as shipped ({_NAMES_BY_BYTES[model.bytes_per_value]})"


def layer_details(model: ModelSpec, kv_precision: Precision) -> list[dict[str, object]]:
    """Return the kinds of layer, their number, and the KV cache of one sequence in one layer."""
    counts: dict[Mixer, int] = {}
    for run in model.layers:
        counts[run.mixer] = counts.get(run.mixer, 0) + run.count
    return [
        {"kind": mixer.label, "count": count, **_cache_details(mixer.kv_profile(), kv_precision)}
        for mixer, count in counts.items()
    ]


def memory_details(
    model: ModelSpec, *, context: int, users: int, kv_precision: Precision, tp: int = 1
) -> dict[str, object]:
    """Return the details of an estimate besides its line items; sizes are in bytes.

    Raises:
        OutOfRangeError: `tp` does not divide the model's heads.
    """
    from core.engines.parallelism import check_tensor_parallel, kv_profile_per_gpu

    check_tensor_parallel(model, tp)
    counts = model_counts(model)
    per_gpu = kv_profile_per_gpu(model, tp)[0]
    return {
        "active_parameters": counts.parameters.active,
        "weights_as_shipped": shipped_as(model),
        "kv_fixed_bytes_per_sequence": counts.kv.fixed_bytes_per_sequence(kv_precision),
        "kv_windowed": [
            {"window": window, "bytes_per_token": kv_precision.bytes_of(values)}
            for window, values in counts.kv.windowed
        ],
        "tp": tp,
        "kv_bytes_per_gpu": per_gpu.bytes_of_sequences(users, context, kv_precision),
        "layers": layer_details(model, kv_precision),
    }


def _cache_details(profile: KvProfile, precision: Precision) -> dict[str, int]:
    details = {
        "bytes_per_token": profile.bytes_per_token(precision)
        + sum(precision.bytes_of(values) for _, values in profile.windowed),
        "window": max((window for window, _ in profile.windowed), default=0),
        "fixed_bytes": profile.fixed_bytes_per_sequence(precision),
    }
    return {name: value for name, value in details.items() if value or name == "bytes_per_token"}
