"""`make accuracy`: every logged run of tests/golden/measured.csv beside what is computed for it.

Prints the table, and writes docs/accuracy.md with a plot, docs/accuracy.svg. Other calculators are in it as
`make peers` last asked them.
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from core import catalog
from core.engines import vllm
from core.engines.capacity import Capacity, capacity
from core.engines.deployment import Budget, Deployment, Device, parse_version
from core.readers.hf_config import spec_from_config
from core.units import GIB
from tools import golden_tables, logged_runs
from tools.peers import cases
from tools.peers import table as peers
from workbook.files import write_whole

DOCS = Path(__file__).parent.parent / "docs"
BYTES_PER_VALUE = {"float32": 4, "float16": 2, "bfloat16": 2}
ENOUGH_CACHE_GIB = 10  # with less, a few tens of MiB more or less are several per cent of the tokens

# Logged with two decimals.
ROUNDING_GIB, ROUNDING = 0.005, 0.005


@dataclass(frozen=True)
class Run:
    """A logged run and the capacity that is computed for it; sizes in GiB per GPU."""

    logged: dict[str, str]
    computed: Capacity

    @property
    def name(self) -> str:
        run = self.logged
        parts = [run["model"].rpartition("/")[2], f"TP{run['tp']}"]
        parts += [f"PP{run['pp']}"] if run["pp"] != "1" else []
        parts += [run["dtype"]] if run["dtype"] == "float32" else []
        parts += [run["quantization"]] if run["quantization"] == "fp8" else []
        parts += ["KV fp8"] if run["kv_cache_dtype"] == "fp8" else []
        return " ".join([*parts, f"{int(run['max_model_len']) // 1024}K"])

    def figure(self, column: str) -> float:
        return float(self.logged[column])

    @functools.cached_property
    def budget(self) -> Budget:
        """Of the first pipeline stage, whose GPU writes the log; which stage decides, `computed` knows."""
        return vllm.budgets(self.computed.deployment)[0]

    @property
    def weights_error(self) -> float:
        return self.budget.weights.expected / GIB / self.figure("weights_gib_per_gpu") - 1

    @property
    def activation_error(self) -> float:
        return self.budget.activation.expected / GIB / self.figure("activation_peak_gib") - 1

    @property
    def kv_error_gib(self) -> float:
        return self.budget.kv.expected / GIB - self.figure("kv_available_gib")

    @property
    def tokens_error(self) -> float:
        return self.computed.kv_tokens.expected / self.figure("kv_tokens") - 1

    @property
    def concurrency_error(self) -> float:
        return self.computed.max_concurrency.expected / self.figure("max_concurrency") - 1

    @property
    def is_in_range(self) -> bool:
        """Whether memory and concurrency are within what is stated."""
        kv, concurrency = self.budget.kv, self.computed.max_concurrency
        return (
            kv.low / GIB - ROUNDING_GIB <= self.figure("kv_available_gib") <= kv.high / GIB + ROUNDING_GIB
            and concurrency.low - ROUNDING <= self.figure("max_concurrency") <= concurrency.high + ROUNDING
        )


def runs() -> list[Run]:
    """Every run of the golden table, computed."""
    return [Run(logged, capacity(vllm.ENGINE, deployment_of(logged))) for logged in golden_tables.rows("measured")]


def deployment_of(logged: dict[str, str]) -> Deployment:
    """What was started in a logged run."""
    row = _models()[logged["model"]]
    spec = spec_from_config(golden_tables.config(row), name=logged["model"])
    precision = row["precision"] or ("fp8_tensor" if logged["quantization"] == "fp8" else "")
    kv = {"fp8": "fp8", "auto": "fp32" if logged["dtype"] == "float32" else "fp16"}[logged["kv_cache_dtype"]]
    return Deployment(
        model=replace(spec, bytes_per_value=BYTES_PER_VALUE[logged["dtype"]]),
        precision=catalog.precision("precision", precision) if precision else None,
        kv_precision=catalog.precision("kv_precision", kv),
        device=Device(logged["gpu"], round(float(logged["gpu_total_gib"]) * GIB)),
        tp=int(logged["tp"]),
        pp=int(logged["pp"]),
        context=int(logged["max_model_len"]),
        version=parse_version(logged["engine"].rpartition(" ")[2]),
        memory_utilization=float(logged["gpu_memory_utilization"]),
    )


@functools.cache
def _models() -> dict[str, dict[str, str]]:
    return {row["model"]: row for row in golden_tables.rows("measured_models")}


@dataclass(frozen=True)
class Error:
    """One figure's errors over the runs: median and worst, without sign."""

    name: str
    median: float
    worst: float
    unit: str

    def written(self, value: float) -> str:
        """An error as the table has it."""
        return f"{value:.3f} GiB" if self.unit == "GiB" else f"{value:.2%}"


def summary(found: list[Run]) -> list[Error]:
    """The errors of each figure over all runs; of tokens and users over those with 10 GiB or more for the cache."""
    roomy = [run for run in found if run.figure("kv_available_gib") >= ENOUGH_CACHE_GIB]

    def error(name: str, of: Callable[[Run], float], among: list[Run], unit: str = "%") -> Error:
        errors = [abs(of(run)) for run in among]
        return Error(name, statistics.median(errors), max(errors), unit)

    return [
        error("weights", lambda run: run.weights_error, found),
        error("peak activation", lambda run: run.activation_error, found),
        error("KV cache memory", lambda run: run.kv_error_gib, found, "GiB"),
        error("KV cache tokens", lambda run: run.tokens_error, roomy),
        error("maximum concurrency", lambda run: run.concurrency_error, roomy),
    ]


def report(found: list[Run]) -> str:
    """The table as Markdown."""
    lines = [
        "# How right the capacity is",
        "",
        "Runs of vLLM 0.19.0 on H100 80 GB as its own log has them (llm-d-planner, pull request 205; figures",
        "restated), beside what is computed for the same model, layout and settings. Written by `make accuracy`.",
        "",
        "| figure | median error | worst |",
        "|---|---:|---:|",
        *(
            f"| {error.name} | {error.written(error.median)} | {error.written(error.worst)} |"
            for error in summary(found)
        ),
        "",
        f"Within the stated range: {sum(run.is_in_range for run in found)} of {len(found)} runs. Tokens and",
        f"concurrency are counted over runs with at least {ENOUGH_CACHE_GIB} GiB for the cache. Of a run with",
        "pipeline stages the memory is the first one's, as its log has it; tokens are what all of them have room for.",
        "",
        "![Computed against logged: memory for the cache, and concurrency](accuracy.svg)",
        "",
        "| run | weights, GiB | | activation, GiB | | KV cache, GiB | | tokens | | concurrency | |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
        "| | logged | computed | logged | computed | logged | computed | logged | computed | logged | computed |",
    ]
    for run in found:
        budget = run.budget
        cells = []
        for column, size in (("weights_gib_per_gpu", budget.weights), ("activation_peak_gib", budget.activation),
                             ("kv_available_gib", budget.kv)):  # fmt: skip
            cells += [f"{run.figure(column):.2f}", f"{size.expected / GIB:.2f}"]
        cells += [f"{run.figure('kv_tokens'):,.0f}", f"{run.computed.kv_tokens.expected:,.0f}"]
        cells += [f"{run.figure('max_concurrency'):.2f}", f"{run.computed.max_concurrency.expected:.2f}"]
        lines.append(f"| {run.name} | {' | '.join(cells)} |")
    further = logged_runs.report(logged_runs.figures())
    compared = peers.section(cases.nine_models(), cases.logged_models(found), peers.peers())
    return "\n".join([*lines, "", further, compared])


_SIDE, _MARGIN = 320, 50


def plot(found: list[Run]) -> str:
    """Two scatter plots as SVG: a point a run, on the diagonal where computed is logged."""
    panels = (
        ("KV cache per GPU, GiB", "kv_available_gib", lambda run: run.budget.kv.expected / GIB),
        ("maximum concurrency (square root)", "max_concurrency", lambda run: run.computed.max_concurrency.expected),
    )
    width, height = 2 * (_SIDE + 2 * _MARGIN), _SIDE + 2 * _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for number, (title, column, computed) in enumerate(panels):
        root = 0.5 if "root" in title else 1
        points = [(run.figure(column) ** root, computed(run) ** root) for run in found]
        scale = _SIDE / (max(max(point) for point in points) * 1.05)
        left, bottom = number * width / 2 + _MARGIN, _MARGIN + _SIDE
        parts += [
            f'<text x="{left}" y="{_MARGIN - 14}">{title}</text>',
            f'<path d="M{left} {_MARGIN}V{bottom}H{left + _SIDE}" fill="none" stroke="#555"/>',
            f'<path d="M{left} {bottom}L{left + _SIDE} {_MARGIN}" stroke="#bbb"/>',
            f'<text x="{left + _SIDE / 2}" y="{bottom + 30}" text-anchor="middle">logged</text>',
            f'<text x="{left - 20}" y="{_MARGIN + _SIDE / 2}" text-anchor="middle" '
            f'transform="rotate(-90 {left - 20} {_MARGIN + _SIDE / 2})">computed</text>',
        ]
        parts += [
            f'<circle cx="{left + x * scale:.1f}" cy="{bottom - y * scale:.1f}" r="4" fill="#1f6fb299"/>'
            for x, y in points
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def main() -> None:
    """Prints the table and writes the documents."""
    found = runs()
    text = report(found)
    print(text)
    write_whole(DOCS / "accuracy.md", text.encode("utf-8"))
    write_whole(DOCS / "accuracy.svg", plot(found).encode("utf-8"))


if __name__ == "__main__":
    main()
