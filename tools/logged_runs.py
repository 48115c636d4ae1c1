"""Compare single logged runs of many engines, versions and models (tests/golden/logged.csv) with what is computed.

A log contains only a few figures, and only those are compared. "… of the logged memory" is what fits into a cache of
the logged size, which does not depend on the computed budget. "KV cache memory" is the whole budget, for runs whose log
has the GPU's memory and its share for the engine.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from dataclasses import dataclass

from core import catalog
from core.engines import llama_cpp, sglang, vllm
from core.engines.blocks import cache_specs
from core.engines.deployment import Budget, Deployment, Device, Engine, EngineSettings, parse_version
from core.engines.served import text_alone
from core.model.feed_forward import MoeMlp
from core.model.mixers import LatentAttention
from core.model.spec import ModelSpec
from core.model.weights import weights_bytes
from core.units import GIB
from tools import golden_tables
from tools.documents import table

ENGINES = {engine.name: engine for engine in (vllm.ENGINE, sglang.ENGINE, llama_cpp.ENGINE)}

# For logs without the GPU's memory: of what is compared then, only the default number of batched tokens depends on it.
_UNKNOWN_GPU_GIB = 24

# In the order of the tables.
FIGURES = ("weights", "mem usage", "GGUF file", "KV buffer", "tokens of the logged memory",
           "concurrency of the logged memory", "peak activation", "KV cache memory")  # fmt: skip


@dataclass(frozen=True)
class Figure:
    """One figure of one run, logged and computed."""

    row: dict[str, str]
    family: str
    name: str
    logged: float
    computed: float
    in_range: bool = True

    @property
    def error(self) -> float:
        return self.computed / self.logged - 1


def deployment_of(row: dict[str, str]) -> Deployment:
    """Return the deployment of a logged run."""
    gpu_gib = float(row["gpu_total_gib"] or _gpu_gib(row["gpu"]))
    return Deployment(
        model=catalog.model(row["model"]).spec,
        precision=catalog.precision("precision", row["precision"]) if row["precision"] else None,
        kv_precision=catalog.precision("kv_precision", row["kv_precision"]),
        device=_device(row["gpu"], round(gpu_gib * GIB)),
        tp=int(row["tp"]),
        pp=int(row["pp"]),
        context=int(row["max_model_len"] or 1),
        version=parse_version(row["version"]),
        settings=EngineSettings(
            memory_utilization=float(row["memory_utilization"]) if row["memory_utilization"] else None,
            max_batched_tokens=int(row["max_batched_tokens"]) if row["max_batched_tokens"] else None,
            max_sequences=int(row["max_sequences"]) if row["max_sequences"] else None,
        ),
    )


def _device(name: str, memory_bytes: int) -> Device:
    if not name:
        return Device(name, memory_bytes)
    gpu = catalog.gpu(name)
    return Device(name, memory_bytes, gpu.cuda_capability, gpu.shares_memory)


def _gpu_gib(name: str) -> float:
    memory_mib = catalog.gpu(name).memory_mib if name else None
    return memory_mib / 1024 if memory_mib else _UNKNOWN_GPU_GIB


def family_of(spec: ModelSpec) -> str:
    """Return the name of the kind of architecture, by the layout of its KV cache."""
    caches = [cache for layer in cache_specs(spec, catalog.precision("kv_precision", "fp16"), 1) for cache in layer]
    if any(cache.state_bytes for cache in caches):
        return "hybrid"
    if any(cache.window for cache in caches):
        return "sliding window"
    if any(isinstance(run.mixer, LatentAttention) for run in spec.layers):
        return "latent attention"
    return "mixture of experts" if any(isinstance(run.mlp, MoeMlp) for run in spec.layers) else "dense"


def figures() -> list[Figure]:
    """Return every figure of every run."""
    return [figure for row in golden_tables.rows("logged") for figure in _run_figures(row)]


def _run_figures(row: dict[str, str]) -> list[Figure]:
    start, engine = deployment_of(row), ENGINES[row["engine"]]
    family, budget = family_of(start.model), engine.budgets(start)[0]
    found = []

    def add(name: str, column: str, computed: float, in_range: bool = True) -> None:
        if row[column]:
            found.append(Figure(row, family, name, float(row[column]), computed, in_range))

    # SGLang logs how far free memory falls while it loads, which includes kernels and the CUDA context.
    name = "mem usage" if engine is sglang.ENGINE else "weights"
    weights, logged = budget.weights, float(row["weights_gib_per_gpu"] or 0)
    add(name, "weights_gib_per_gpu", weights.expected / GIB, weights.low / GIB <= logged <= weights.high / GIB)
    if row["file_gib"]:  # towers for images are in a separate file
        add("GGUF file", "file_gib", weights_bytes(text_alone(start.model), start.precision) / GIB)
    add("peak activation", "activation_peak_gib", budget.activation.expected / GIB)
    if row["kv_available_gib"]:
        found += _cache_figures(row, start, engine, family, budget)
    return found


def _cache_figures(row: dict[str, str], start: Deployment, engine: Engine, family: str, budget: Budget) -> list[Figure]:
    pool, left_gib = engine.pool(start), float(row["kv_available_gib"])
    each = pool.blocks_per_sequence(start.context)
    if engine is llama_cpp.ENGINE:
        return [Figure(row, family, "KV buffer", left_gib, each / GIB)]
    found = []
    blocks = pool.blocks((round(left_gib * GIB),) * start.pp)
    if row["kv_tokens"]:
        tokens = pool.logged_tokens(blocks, start.context)
        found.append(Figure(row, family, "tokens of the logged memory", float(row["kv_tokens"]), tokens))
    if row["max_concurrency"]:
        logged = float(row["max_concurrency"])
        found.append(Figure(row, family, "concurrency of the logged memory", logged, blocks / each))
    if row["gpu_total_gib"] and row["memory_utilization"]:
        kv = budget.kv
        in_range = kv.low / GIB <= left_gib <= kv.high / GIB
        found.append(Figure(row, family, "KV cache memory", left_gib, kv.expected / GIB, in_range))
    return found


def halves(found: list[Figure]) -> tuple[list[Figure], list[Figure]]:
    """Split into the runs whose differences were examined, and those gathered after that."""
    fitted, checked = ([figure for figure in found if figure.row["half"] == half] for half in ("fit", "check"))
    return fitted, checked


def errors(found: list[Figure]) -> dict[str, tuple[int, float, float]]:
    """Return for each figure the number of runs and the median and worst absolute error."""
    by_name: dict[str, list[float]] = defaultdict(list)
    for figure in found:
        by_name[figure.name].append(abs(figure.error))
    return {name: (len(by_name[name]), statistics.median(by_name[name]), max(by_name[name]))
            for name in FIGURES if name in by_name}  # fmt: skip


def document_part(found: list[Figure]) -> str:
    """Return the part of docs/accuracy.md about these runs."""
    runs = {id(figure.row) for figure in found}
    budgets = [figure.in_range for figure in found if figure.name == "KV cache memory"]
    by_half = [errors(half) for half in halves(found)]
    by_figure = [(name, *(cell for half in by_half for cell in _error_cells(half.get(name)))) for name in FIGURES]
    groups: dict[tuple[str, str], list[Figure]] = defaultdict(list)
    for figure in found:
        groups[figure.row["engine"], figure.family].append(figure)
    by_family = [
        (*group, len({id(figure.row) for figure in members}), _median(members, WEIGHTS), _median(members, CACHE))
        for group, members in sorted(groups.items())
    ]
    return "\n\n".join(
        [
            table(FIGURE_HEADINGS, by_figure, "lrrrrrr"),
            f"{len(runs)} runs. Within the stated range: {sum(budgets)} of {len(budgets)} budgets.",
            table(FAMILY_HEADINGS, by_family, "llrrr"),
        ]
    )


FIGURE_HEADINGS = ("figure", "examined runs: figures", "median error", "worst",
                   "later runs: figures", "median error", "worst")  # fmt: skip
FAMILY_HEADINGS = ("engine", "family", "runs", "weights, median error", "tokens or buffer, median error")
WEIGHTS, CACHE = ("weights", "mem usage", "GGUF file"), ("tokens of the logged memory", "KV buffer")


def _error_cells(error: tuple[int, float, float] | None) -> tuple[object, ...]:
    return (0, "", "") if error is None else (error[0], f"{error[1]:.2%}", f"{error[2]:.2%}")


def _median(found: list[Figure], names: tuple[str, ...]) -> str:
    sizes = [abs(figure.error) for figure in found if figure.name in names]
    return f"{statistics.median(sizes):.2%}" if sizes else ""
