"""Say what is doubtful, or assumed, about an engine, its version and a GPU; see `core.plan.workload_warnings`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from core import catalog
from core.catalog.kernels import KINDS, LLAMA_CPP, TENSORRT_LLM, WITH_UNITS, has_native_units, obstacle
from core.engines import vllm
from core.engines.deployment import Engine, Version, parse_version
from core.model.precision import Precision
from core.model.spec import ModelSpec
from core.model.weights import weights_bytes
from core.plan.cache_formats import cache_warning
from core.plan.fleet import GpuChoice, Service, assumption, gpu_of_choice
from core.plan.layout_figures import has_shapes
from core.plan.speed_figures import served_format, weight_row
from core.plan.workload_warnings import without_blanks, workload_warnings
from core.texts import printable


def version_warning(engine: Engine, written: str) -> str:
    """Return the warning that a version is outside those that were compared with logs; "" if it is inside.

    A later release of the last minor version counts as inside.

    Raises:
        OutOfRangeError: `written` is not a version.
    """
    version = parse_version(written)
    if engine.calibrated is None:
        return ""
    first, last = engine.calibrated
    if parse_version(first) <= version and version[:2] <= parse_version(last)[:2]:
        return ""
    compared = f"its figures were compared with logs of {first} to {last} only"
    return f"engine_version: {engine.name} {printable(written)} is not calibrated; {compared}"


def format_warning(engine: Engine, model: ModelSpec, precision: Precision | None, choice: GpuChoice | None) -> str:
    """Return the warning that the engine has no kernel for the weights' format on the GPU.

    It is "" if it has one, and if not enough is known of the GPU or the model.
    """
    gpu = None if choice is None else gpu_of_choice(choice)
    if gpu is None:
        return ""
    problem = next(filter(None, (obstacle(engine.name, kind, gpu) for kind in _kinds(model, precision))), "")
    return f"precision: {problem}" if problem else ""


def widened_note(engine: Engine, model: ModelSpec, precision: Precision | None, choice: GpuChoice | None) -> str:
    """Return what is assumed of a format that the GPU has no units for, but the engine a kernel; "" otherwise."""
    gpu = None if choice is None else gpu_of_choice(choice)
    if gpu is None or engine.name == LLAMA_CPP or format_warning(engine, model, precision, choice):
        return ""
    widened = [kind for kind in _kinds(model, precision) if kind in WITH_UNITS and not has_native_units(gpu, kind)]
    if not widened:
        return ""
    return f"precision: {gpu.title} has no {widened[0]} units; weights are widened as they are read"


def _kinds(model: ModelSpec, precision: Precision | None) -> Iterator[str]:
    """Yield the kinds of format of the layers' and of the experts' weights."""
    if has_shapes(model):
        row = weight_row(model, served_format(model, precision), 1)
        yield from (KINDS[number - 1] for number in (row.dense_kind, row.expert_kind))


def checkpoint_note(model: ModelSpec, precision: Precision | None) -> str:
    """Return that the catalog's checkpoint of the model in the format is larger, as it leaves weights in 16 bits."""
    name = "" if precision is None else f"{model.name}-{precision.name.partition('_')[0]}"
    if name not in catalog.model_names():
        return ""
    converted, stored = weights_bytes(model, precision), weights_bytes(catalog.model(name).spec)
    if stored < _LARGER * converted:
        return ""
    return f"precision: every layer is converted; the checkpoint {name} has {stored / converted:.2f} × the bytes"


_LARGER = 1.05


def older_core_note(engine: Engine, version: Version, compute_capability: float | None) -> str:
    """Return that vLLM falls back to its older core on a GPU before Ampere; "" if it does not."""
    falls_back = vllm.runs_older_core(version, compute_capability) and not vllm.runs_older_core(version, None)
    if engine.name != vllm.ENGINE.name or not falls_back:
        return ""
    return "engine_version: vLLM falls back to its older core on a GPU before Ampere, so its older budget is computed"


def service_warnings(
    service: Service, written_version: str, requested: Precision | None, context: int, choices: Sequence[GpuChoice]
) -> tuple[str, ...]:
    """Return the warnings about a service on the GPUs that are named.

    Args:
        written_version: the engine's version as it was given.
        requested: precision of the weights as requested; None: as shipped.
    """
    warnings = workload_warnings(service.model, context, requested, service.kv_precision)
    if service.overhead is not None:
        return warnings
    formats = (format_warning(service.engine, service.model, service.precision, choice) for choice in choices)
    cache = cache_warning(service.engine, service.model, service.kv_precision)
    return without_blanks([*warnings, version_warning(service.engine, written_version), cache, *formats])


def service_assumptions(service: Service, choices: Sequence[GpuChoice]) -> tuple[str, ...]:
    """Return what is assumed of a service on the GPUs that are named."""
    by_rule = service.overhead is not None
    sizes = [assumption(choice, by_rule=by_rule) for choice in choices]
    if by_rule:
        return without_blanks(sizes)
    widened = (widened_note(service.engine, service.model, service.precision, choice) for choice in choices)
    older = (older_core_note(service.engine, service.version, choice.compute_capability) for choice in choices)
    checkpoint = checkpoint_note(service.model, service.precision)
    return without_blanks([*sizes, _stand_in_note(service.engine), checkpoint, *widened, *older])


def _stand_in_note(engine: Engine) -> str:
    """Return that another engine's budget is shown; "" for an engine with its own."""
    if engine.name != TENSORRT_LLM:
        return ""
    return f"engine: memory is computed as vLLM's; no rule for the memory of {engine.name} is modelled"
