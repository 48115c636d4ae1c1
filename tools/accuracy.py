"""`make accuracy`: compare logged runs of inference engines with what is computed, and renew docs/accuracy.md.

The runs of tests/golden/measured.csv are compared here, those of logged.csv in tools/logged_runs.py. Other calculators
appear with the answers that `make peers` last collected.
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace

from core import catalog
from core.engines import vllm
from core.engines.capacity import Capacity, capacity
from core.engines.deployment import Budget, Deployment, Device, EngineSettings, parse_version
from core.readers.hf_config import spec_from_config
from core.units import GIB
from tools import golden_tables, logged_runs
from tools.documents import DOCS, renew, table
from tools.peers import cases
from tools.peers import table as peers

DOCUMENT = DOCS / "accuracy.md"
BYTES_PER_VALUE = {"float32": 4, "float16": 2, "bfloat16": 2}
ENOUGH_CACHE_GIB = 10  # with less, a few tens of MiB are several per cent of the tokens
ROUNDING_GIB = ROUNDING = 0.005  # the logs have two decimals


@dataclass(frozen=True)
class Run:
    """A logged run and the capacity computed for it; sizes in GiB per GPU."""

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
        """The memory of the first pipeline stage, whose GPU writes the log; another stage may limit `computed`."""
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
        """Whether logged memory and concurrency are within the computed range."""
        kv, concurrency = self.budget.kv, self.computed.max_concurrency
        return (
            kv.low / GIB - ROUNDING_GIB <= self.figure("kv_available_gib") <= kv.high / GIB + ROUNDING_GIB
            and concurrency.low - ROUNDING <= self.figure("max_concurrency") <= concurrency.high + ROUNDING
        )


def runs() -> list[Run]:
    """Return every run of the golden table with its computed capacity."""
    return [Run(logged, capacity(vllm.ENGINE, deployment_of(logged))) for logged in golden_tables.rows("measured")]


def deployment_of(logged: dict[str, str]) -> Deployment:
    """Return the deployment of a logged run."""
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
        settings=EngineSettings(memory_utilization=float(logged["gpu_memory_utilization"])),
    )


@functools.cache
def _models() -> dict[str, dict[str, str]]:
    return {row["model"]: row for row in golden_tables.rows("measured_models")}


@dataclass(frozen=True)
class Error:
    """The median and the worst absolute error of one figure over the runs."""

    name: str
    median: float
    worst: float
    unit: str

    def with_unit(self, value: float) -> str:
        return f"{value:.3f} GiB" if self.unit == "GiB" else f"{value:.2%}"


def summary(found: list[Run]) -> list[Error]:
    """Return the errors of each figure: over all runs, or for tokens and concurrency those with 10 GiB of cache."""
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


def parts(found: list[Run]) -> dict[str, str]:
    """Return the generated parts of docs/accuracy.md."""
    in_range = sum(run.is_in_range for run in found)
    errors = [(error.name, error.with_unit(error.median), error.with_unit(error.worst)) for error in summary(found)]
    return {
        "errors": table(("figure", "median error", "worst"), errors, "lrr")
        + f"\n\nWithin the stated range: {in_range} of {len(found)} runs.",
        "runs": table(RUN_HEADINGS, [RUN_SUBHEADINGS, *map(_run_cells, found)], "l" + "r" * 10),
        "logged": logged_runs.document_part(logged_runs.figures()),
        **peers.document_parts(cases.nine_models(), cases.logged_models(found), peers.peers()),
    }


RUN_HEADINGS = ("run", "weights, GiB", "", "activation, GiB", "", "KV cache, GiB", "", "tokens", "", "concurrency", "")
RUN_SUBHEADINGS = ("", *("logged", "computed") * 5)


def _run_cells(run: Run) -> list[str]:
    budget, computed = run.budget, run.computed
    figures = (
        ("weights_gib_per_gpu", budget.weights.expected / GIB, ".2f"),
        ("activation_peak_gib", budget.activation.expected / GIB, ".2f"),
        ("kv_available_gib", budget.kv.expected / GIB, ".2f"),
        ("kv_tokens", computed.kv_tokens.expected, ",.0f"),
        ("max_concurrency", computed.max_concurrency.expected, ".2f"),
    )
    pairs = [(format(run.figure(column), style), format(size, style)) for column, size, style in figures]
    return [run.name, *(cell for pair in pairs for cell in pair)]


def main() -> None:
    renewed = parts(runs())
    print(renewed["errors"])
    renew(DOCUMENT, renewed)


if __name__ == "__main__":
    main()
