"""Single logged runs of many engines, versions and models (tests/golden/logged.csv) beside what is computed.

A log names a few figures each; only those are compared. "… of the logged memory" asks what a cache of the logged size
holds, which needs nothing of the budget; "KV cache memory" is the whole budget, for runs whose log has the GPU's memory
and its share.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from core import catalog
from core.engines import llama_cpp, sglang, vllm
from core.engines.blocks import cache_specs
from core.engines.deployment import Budget, Deployment, Device, Engine, parse_version
from core.model.spec import LatentAttention, ModelSpec, MoeMlp
from core.model.tensors import VISION
from core.model.weights import weights_bytes
from core.units import GIB
from tools import golden_tables

ENGINES = {engine.name: engine for engine in (vllm.ENGINE, sglang.ENGINE, llama_cpp.ENGINE)}

# Of a log that does not name the GPU's memory: nothing that is compared then depends on it but the default step.
_UNKNOWN_GPU_GIB = 24

# Figures in the order of the tables.
FIGURES = ("weights", "mem usage", "GGUF file", "KV buffer", "tokens of the logged memory",
           "concurrency of the logged memory", "peak activation", "KV cache memory")  # fmt: skip


@dataclass(frozen=True)
class Figure:
    """One figure of one run."""

    row: dict[str, str]
    family: str
    name: str
    logged: float
    computed: float
    in_range: bool = True

    @property
    def error(self) -> float:
        """Computed over logged, less 1."""
        return self.computed / self.logged - 1


def deployment_of(row: dict[str, str]) -> Deployment:
    """What was started in a logged run."""
    gpu_gib = float(row["gpu_total_gib"] or _gpu_gib(row["gpu"]))
    return Deployment(
        model=catalog.model(row["model"]).spec,
        precision=catalog.precision("precision", row["precision"]) if row["precision"] else None,
        kv_precision=catalog.precision("kv_precision", row["kv_precision"]),
        device=Device(row["gpu"], round(gpu_gib * GIB)),
        tp=int(row["tp"]),
        pp=int(row["pp"]),
        context=int(row["max_model_len"] or 1),
        version=parse_version(row["version"]),
        memory_utilization=float(row["memory_utilization"]) if row["memory_utilization"] else None,
        max_batched_tokens=int(row["max_batched_tokens"]) if row["max_batched_tokens"] else None,
        max_sequences=int(row["max_sequences"]) if row["max_sequences"] else None,
    )


def _gpu_gib(name: str) -> float:
    memory_mib = catalog.gpu(name).memory_mib if name else None
    return memory_mib / 1024 if memory_mib else _UNKNOWN_GPU_GIB


def family_of(spec: ModelSpec) -> str:
    """The kind of architecture that decides how its cache is kept."""
    kept = [each for layer in cache_specs(spec, catalog.precision("kv_precision", "fp16"), 1) for each in layer]
    if any(each.state_bytes for each in kept):
        return "hybrid"
    if any(each.window for each in kept):
        return "sliding window"
    if any(isinstance(run.mixer, LatentAttention) for run in spec.layers):
        return "latent attention"
    return "mixture of experts" if any(isinstance(run.mlp, MoeMlp) for run in spec.layers) else "dense"


def figures(rows: Iterable[dict[str, str]] | None = None) -> list[Figure]:
    """Every figure of every run."""
    return [figure for row in (golden_tables.rows("logged") if rows is None else rows) for figure in _of_run(row)]


def _of_run(row: dict[str, str]) -> list[Figure]:
    start, engine = deployment_of(row), ENGINES[row["engine"]]
    family, budget = family_of(start.model), engine.budgets(start)[0]
    found = []

    def add(name: str, column: str, computed: float, in_range: bool = True) -> None:
        if row[column]:
            found.append(Figure(row, family, name, float(row[column]), computed, in_range))

    # SGLang's figure is the fall of free memory while it loads, which kernels and the context share.
    name = "mem usage" if engine is sglang.ENGINE else "weights"
    weights, logged = budget.weights, float(row["weights_gib_per_gpu"] or 0)
    add(name, "weights_gib_per_gpu", weights.expected / GIB, weights.low / GIB <= logged <= weights.high / GIB)
    if row["file_gib"]:
        add("GGUF file", "file_gib", weights_bytes(_without_towers(start.model), start.precision) / GIB)
    add("peak activation", "activation_peak_gib", budget.activation.expected / GIB)
    if row["kv_available_gib"]:
        found += _of_cache(row, start, engine, family, budget)
    return found


def _without_towers(spec: ModelSpec) -> ModelSpec:
    """What a GGUF file holds: towers for images are a file of their own."""
    return replace(spec, extra=tuple(tensor for tensor in spec.extra if tensor.group != VISION))


def _of_cache(row: dict[str, str], start: Deployment, engine: Engine, family: str, budget: Budget) -> list[Figure]:
    pool, left_gib = engine.pool(start), float(row["kv_available_gib"])
    each = pool.blocks_of(start.context)
    if engine is llama_cpp.ENGINE:
        return [Figure(row, family, "KV buffer", left_gib, each / GIB)]
    found = []
    blocks = pool.blocks((round(left_gib * GIB),) * start.pp)
    if row["kv_tokens"]:
        tokens = pool.tokens_announced(blocks, start.context)
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
    """The figures that causes were looked for in, and those that were gathered when the causes stood."""
    fitted, checked = ([figure for figure in found if figure.row["half"] == half] for half in ("fit", "check"))
    return fitted, checked


def errors(found: list[Figure]) -> dict[str, tuple[int, float, float]]:
    """For each figure: how many, the median error and the worst, without sign."""
    by_name: dict[str, list[float]] = defaultdict(list)
    for figure in found:
        by_name[figure.name].append(abs(figure.error))
    return {name: (len(by_name[name]), statistics.median(by_name[name]), max(by_name[name]))
            for name in FIGURES if name in by_name}  # fmt: skip


def report(found: list[Figure]) -> str:
    """The section of docs/accuracy.md about these runs."""
    first, second = halves(found)
    runs = {id(figure.row) for figure in found}
    lines = [
        "",
        "## Other engines, versions and models",
        "",
        f"{len(runs)} runs whose logs are public (tests/golden/logged.csv, each with its source), from vLLM 0.6 to",
        "0.23, SGLang and llama.cpp. A log names a few figures; those are compared. Tokens and concurrency are",
        "those that the logged memory for the cache holds. Where runs disagreed, the cause was looked for in the",
        "engine's source; later runs were gathered when those causes stood, and changed no expected figure.",
        "",
        "| figure | runs looked at: figures | median error | worst | later runs: figures | median error | worst |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    by_half = errors(first), errors(second)
    for name in FIGURES:
        cells = [_cells(half.get(name)) for half in by_half]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    budgets = [figure for figure in found if figure.name == "KV cache memory"]
    lines += [
        "",
        f"Within the stated range: {sum(figure.in_range for figure in budgets)} of {len(budgets)} budgets.",
        "",
        "| engine | family | runs | weights, median error | tokens or buffer, median error |",
        "|---|---|---:|---:|---:|",
    ]
    groups: dict[tuple[str, str], list[Figure]] = defaultdict(list)
    for figure in found:
        groups[figure.row["engine"], figure.family].append(figure)
    for (engine, family), members in sorted(groups.items()):
        count = len({id(figure.row) for figure in members})
        medians = [_median(members, names) for names in (("weights", "mem usage", "GGUF file"), (
            "tokens of the logged memory", "KV buffer"))]  # fmt: skip
        lines.append(f"| {engine} | {family} | {count} | {' | '.join(medians)} |")
    return "\n".join(lines) + "\n"


def _cells(error: tuple[int, float, float] | None) -> str:
    return "0 | |" if error is None else f"{error[0]} | {error[1]:.2%} | {error[2]:.2%}"


def _median(found: list[Figure], names: tuple[str, ...]) -> str:
    sizes = [abs(figure.error) for figure in found if figure.name in names]
    return f"{statistics.median(sizes):.2%}" if sizes else ""
