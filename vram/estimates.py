"""Estimate the memory to serve a model by the article's rule: weights + KV cache + a share of both."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass

from core.checks import number, whole
from core.model.counts import model_counts
from core.plan import defaults
from core.plan.details import memory_details, shipped_as
from core.plan.estimate import DEFAULT_OVERHEAD_FRACTION
from core.plan.estimate import estimate as core_estimate
from core.plan.workload_warnings import workload_warnings
from core.units import GB
from vram.models import Model, model, weights_precision_of


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The memory to serve a model, in bytes.

    Attributes:
        model: its name.
        parameters: all parameters.
        context: tokens per sequence.
        users: concurrent sequences.
        precision, kv_precision: of the weights and of the cached values, as given; "as shipped (…)" without one.
        overhead: fraction of weights and KV cache that is added.
        weights_bytes, kv_bytes, overhead_bytes, total_bytes: the memory, by what it is for.
        kv_bytes_per_token: bytes that a long sequence adds to the cache with each token.
        assumed: how the model's name is read, where the catalog does not have that very name.
        warnings: what is doubtful about the inputs, each a sentence that names the argument.
    """

    model: str
    parameters: int
    context: int
    users: int
    precision: str | float
    kv_precision: str | float
    overhead: float
    weights_bytes: int
    kv_bytes_per_token: int
    kv_bytes: int
    overhead_bytes: int
    total_bytes: int
    assumed: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def total_gb(self) -> float:
        """The total in GB (10⁹ bytes)."""
        return self.total_bytes / GB

    def as_dict(self) -> dict[str, object]:
        """Return the attributes as `vram estimate --json` prints them."""
        return asdict(self) | {"assumed": list(self.assumed), "warnings": list(self.warnings)}


def estimate(
    name_or_path: str | os.PathLike[str] | Model,
    *,
    context: float,
    users: float = defaults.USERS,
    precision: str | float | None = None,
    kv_precision: str | float | None = None,
    overhead: float = DEFAULT_OVERHEAD_FRACTION,
) -> Estimate:
    """Estimate the memory to serve `users` concurrent sequences of `context` tokens each.

    Args:
        name_or_path: the model, as `vram.model` takes it.
        context: tokens per sequence.
        users: concurrent sequences.
        precision: of the weights, by name ("fp8", "awq", "q4_k_m") or in bytes per parameter; None as shipped.
        kv_precision: of the cached values, by name or in bytes per value; None as the checkpoint states, else 16 bits.
        overhead: fraction of weights and KV cache that is added.

    Raises:
        PlannerError: an argument is wrong, or the model's parameters cannot be counted.
    """
    found = model(name_or_path)
    kv = found.cache_precision(kv_precision)
    chosen = weights_precision_of(precision)
    weights = chosen or found.shipped_precision
    shown = precision if precision is not None and chosen else weights.name if weights else shipped_as(found.spec)
    context, users, overhead = number("context", context), number("users", users), number("overhead", overhead)
    needed = core_estimate(
        found.spec, context=context, users=users, precision=weights, kv_precision=kv, overhead=overhead
    )
    return Estimate(
        model=found.name,
        parameters=needed.parameters,
        context=int(context),
        users=int(users),
        precision=shown,
        kv_precision=kv.name if kv_precision is None else kv_precision,
        overhead=overhead,
        weights_bytes=needed.weights_bytes,
        kv_bytes_per_token=needed.kv_bytes_per_token,
        kv_bytes=needed.kv_bytes,
        overhead_bytes=needed.overhead_bytes,
        total_bytes=needed.total_bytes,
        assumed=found.assumed,
        warnings=workload_warnings(found.spec, int(context), chosen, kv),
    )


def details(found: Model, result: Estimate, *, tp: float = 1) -> dict[str, object]:
    """Return what `vram estimate --json` adds to an estimate: kinds of layer, the cache on one of `tp` GPUs, and so on.

    Raises:
        PlannerError: `tp` is wrong, or does not divide the model's heads.
    """
    workload = {"context": result.context, "users": result.users, "tp": whole("tp", tp)}
    kept = found.cache_precision(result.kv_precision)
    return memory_details(found.spec, kv_precision=kept, **workload) | _stored(found)


def _stored(found: Model) -> dict[str, object]:
    """Return the format of the weights if the specification lacks it and a name or weight files state it."""
    if found.named_precision is not None:
        return {"weights_as_shipped": f"as shipped ({found.named_precision.name})"}
    if found.shipped_precision is None or found.spec.quantization is not None:
        return {}
    bits = 8 * found.weights_bytes / model_counts(found.spec).parameters.total
    return {"weights_as_shipped": f"as shipped ({bits:.3g} bits)"}
