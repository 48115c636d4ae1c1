"""Compare computed serving speeds with public measurements, and fit the constants of the speed model.

    python -m benchmarks.speed                              # the catalog's measurements, with the shipped constants
    python -m benchmarks.speed --rows FILE                  # and those of a file with the same columns
    python -m benchmarks.speed --rows FILE --left-out       # constants fitted again without each fold, and each source
    python -m benchmarks.speed --rows FILE --left-out --peers PYTHON   # and ask other calculators, installed for PYTHON
    python -m benchmarks.speed --rows FILE --fit            # write speed_constants.csv from FILE

Rows are split by model × GPU × engine group and by source, never one by one: rows of one group are alike.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import json
import math
import os
import random
import re
import statistics
import subprocess
import sys
import textwrap
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

from benchmarks import speed_plot
from core import catalog
from core.catalog.hardware import Gpu
from core.catalog.speeds import MeasuredSpeed, constant_values, constants, measured_speed, measured_speeds
from core.engines import llama_cpp, sglang, vllm
from core.engines.deployment import parse_version
from core.errors import PlannerError
from core.model.parameters import count_parameters
from core.plan import defaults
from core.plan.fleet import Service
from core.plan.serving import service_of
from core.plan.speed import (
    TENSORRT_LLM_ENGINE,
    Load,
    inputs_of,
    range_class,
    sequences_of,
    users_at_once,
    users_with_tight_memory,
)
from core.plan.speed_figures import served_format
from core.plan.speed_terms import SPEED
from tools.peers import ask_speed

SEED, FOLDS = 14, 5
_CATALOG_HEADING = "## The catalog's"
ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "speed.md"
PLOT = DOCUMENT.with_suffix(".png")

ENGINES = {
    "vllm": vllm.ENGINE, "vllm-ascend": vllm.ENGINE, "sglang": sglang.ENGINE, "tensorrt-llm": TENSORRT_LLM_ENGINE,
    "llama.cpp": llama_cpp.ENGINE, "ollama/llama.cpp": llama_cpp.ENGINE,
}  # fmt: skip
PRECISIONS = {"fp8-marlin": "fp8"}
LLAMA_BENCH_TOKENS = 1024  # the prompt of the rows that state prompt tokens per second: their note
_USUAL_TOKENS = 512  # of a prompt and of an answer, where a single-stream row does not state them

# Rows of these collections measure current engines under a steady load, thousands of them on few systems.
STEADY_SETS = ("silicon-inferencex", "silicon-nvidia")
# Bursts of some hundred requests at most: all send at once, and few run at the end.
_BURSTS = ("dstack-405b", "accelmark")
_CONTRADICTION = 2  # a row is in doubt if the same source measured the same configuration this many times faster

Errors = tuple[float | None, float | None, float | None]
MEASURES = ("tokens/s per user", "output tokens/s", "time to first token")


@dataclass(frozen=True, eq=False)
class Case:
    """One measured row, ready to be computed.

    Attributes:
        running, fitting: users that one replica runs, and that it holds with default settings.
        measured: the three figures of `MEASURES`.
        is_contradicted: whether the same source measured the same configuration much faster.
    """

    row: MeasuredSpeed
    service: Service
    gpu: Gpu
    load: Load
    running: int
    fitting: int
    measured: tuple[float | None, float | None, float | None]
    is_contradicted: bool = False

    @property
    def group(self) -> tuple[str, str, str]:
        return self.row.model, self.row.gpu, self.row.engine

    @property
    def is_current(self) -> bool:
        return self.row.set in STEADY_SETS

    @property
    def is_doubtful(self) -> bool:
        """Return whether the row is in doubt, which keeps it out of fits.

        Rows with spread experts and more ranks than a node repeat rows of tp × ep with the same figures, so that "tp" is
        the product of both; rows of racks mix GPUs that read prompts and GPUs that generate.
        """
        wide = self.row.tp > 8 or (self.row.gpu == "gb200" and self.row.model == "qwen3-32b")
        return self.is_contradicted or (self.is_current and wide)

    @property
    def range_class(self) -> str:
        experts = any(run.mlp is not None and run.mlp.num_routed_experts for run in self.service.model.layers)
        return range_class(self.service, self.gpu, self.row.tp, self.load.users / self.row.replicas, experts)


def case_of(row: MeasuredSpeed, with_version: bool = True) -> Case:
    """Return the case of a measured row.

    Args:
        with_version: whether to compute with the row's engine version where that is a version of vLLM before 0.8.

    Raises:
        PlannerError: the product cannot compute it: an unknown GPU, a precision without a kernel.
    """
    engine = ENGINES[row.engine]
    version = parse_version(engine.default_version)
    if with_version and row.engine == "vllm" and row.engine_version.startswith("0."):
        stated = row.engine_version.replace("-", ".").split(".")
        version = min(version, (0, int(stated[1]), 0))
    budget_version = parse_version(engine.default_version)
    service = service_of(
        catalog.model(row.model).spec,
        catalog.weights_precision(PRECISIONS.get(row.precision, row.precision)),
        catalog.kv_precision(row.kv_precision or defaults.KV_PRECISION),
        None,
        engine=engine,
        version=budget_version,
    )
    service = replace(service, precision=served_format(service.model, service.precision))
    gpu = catalog.gpu(row.gpu)
    load = Load(
        users=row.users or 1,
        prompt_tokens=row.prompt_tokens or _USUAL_TOKENS,
        output_tokens=row.output_tokens or _USUAL_TOKENS,
    )
    if gpu.bandwidth_gb_per_s is None:
        raise PlannerError("gpu", f"{gpu.name} has no bandwidth", "")
    inputs_of(service, gpu, load, row.tp, row.pp, constant_values())
    fitting = int(users_at_once(service, gpu, load, row.tp, row.pp).expected)
    running = fitting or users_with_tight_memory(service, gpu, load, row.tp, row.pp)
    measured = (row.tokens_per_s_per_user, row.output_tokens_per_s, row.first_token_s)
    return Case(row, replace(service, version=version), gpu, load, running, fitting, measured)


def cases_of(rows: Iterable[MeasuredSpeed]) -> tuple[list[Case], Counter[str]]:
    """Return the cases with a stated load, and why others cannot be computed."""
    found, refused = [], Counter[str]()
    for row in rows:
        if row.users is None or row.test in ("poisson", "prefill_only"):
            continue
        try:
            found.append(case_of(row))
        except PlannerError as error:
            refused[str(error)] += 1
    fastest: dict[MeasuredSpeed, float] = defaultdict(float)
    for case in found:
        key = _configuration(case.row)
        fastest[key] = max(fastest[key], case.row.output_tokens_per_s or 0)
    return [
        replace(case, is_contradicted=True)
        if fastest[_configuration(case.row)] > _CONTRADICTION * (case.row.output_tokens_per_s or math.inf)
        else case
        for case in found
    ], refused


def _configuration(row: MeasuredSpeed) -> MeasuredSpeed:
    """Return the row without its figures."""
    return replace(
        row, tokens_per_s_per_user=None, output_tokens_per_s=None, first_token_s=None, prompt_tokens_per_s=None
    )


def terms_of(case: Case, used: Mapping[str, float]) -> dict[str, object]:
    """Return the terms of a case with those constants."""
    given = inputs_of(case.service, case.gpu, case.load, case.row.tp, case.row.pp, used)
    return SPEED.compute(given | sequences_of(case.load.users, case.row.replicas, case.running, case.fitting))


_NAMES = ("tokens_per_s_per_user", "output_tokens_per_s", "first_token_s")


def errors_of(case: Case, used: Mapping[str, float]) -> Errors:
    """Return the logarithm of computed ÷ measured for each of `MEASURES`."""
    terms = terms_of(case, used)
    logs = [math.log(terms[name] / one) if one else None for name, one in zip(_NAMES, case.measured)]  # type: ignore[operator]
    return logs[0], logs[1], logs[2]


# ---- fitting -----------------------------------------------------------------------------------------

CURRENT_CONSTANTS = (
    "dense_read", "expert_read", "expert_read_widened", "cache_read", "compute", "compute_widened", "prompt_compute",
    "kernel_vllm", "kernel_sglang", "kernel_tensorrt-llm", "sequence", "link_latency_fabric", "link_latency_growth",
    "link_efficiency", "prompt_contention", "request_vllm", "request_sglang", "request_tensorrt-llm", "prompt_queue_vllm", "prompt_queue_sglang",
    "prompt_queue_tensorrt-llm",
)  # fmt: skip
OTHER_CONSTANTS = (
    "dense_read_widened", "kernel_llama.cpp", "kernel_other_maker", "link_latency_pcie", "old_vllm_step",
    "old_vllm_sequence", "old_compute", "amd_read", "amd_compute", "llama_read", "llama_read_widened",
)  # fmt: skip
_SHARES = ("dense_read", "dense_read_widened", "expert_read", "expert_read_widened", "cache_read", "llama_read",
           "llama_read_widened", "prompt_contention", "amd_read", "amd_compute")  # fmt: skip
_MOST_SHARE = 0.98  # no memory delivers more of its stated bandwidth
_LEAST_ROWS = 20
_RANGE_SHARE = 0.86
_WAIT_WEIGHT, _MOST_WAIT_ERROR = 0.25, 2.0


def weights_by_group(cases: Sequence[Case]) -> dict[tuple[str, str, str], float]:
    """Return the weight of a row of each group: the inverse square root of its size."""
    return {group: size**-0.5 for group, size in Counter(case.group for case in cases).items()}


def loss(cases: Sequence[Case], used: Mapping[str, float], weights: Mapping[tuple[str, str, str], float]) -> float:
    """Return the weighted mean of the absolute logarithmic errors."""
    total = norm = 0.0
    for case in cases:
        user, output, wait = errors_of(case, used)
        weight = weights[case.group]
        total += weight * (abs(user or 0) + abs(output or 0))
        total += weight * _WAIT_WEIGHT * min(_MOST_WAIT_ERROR, abs(wait or 0))
        norm += weight
    return total / norm


def fit(cases: Sequence[Case], start: Mapping[str, float], names: Sequence[str], rounds: int = 6) -> dict[str, float]:
    """Return constants with a smaller loss: each in turn is changed by a factor that halves where it does not help."""
    weights = weights_by_group(cases)
    best, least = dict(start), loss(cases, start, weights)
    steps = dict.fromkeys(names, 1.25)
    for _ in range(rounds):
        for name in names:
            for factor in (steps[name], 1 / steps[name]):
                value = best[name] * factor
                tried = best | {name: min(value, _MOST_SHARE) if name in _SHARES else value}
                # PCIe is not faster than a fabric, although few and old rows say so.
                tried["link_latency_pcie"] = max(tried["link_latency_pcie"], tried["link_latency_fabric"])
                found = loss(cases, tried, weights)
                if found < least - 1e-6:
                    least, best = found, tried
                    break
            else:
                steps[name] = 1 + (steps[name] - 1) / 2
    return best


def fitted(cases: Sequence[Case], start: Mapping[str, float], rounds: int = 6) -> dict[str, float]:
    """Return all constants: first those of current engines, then with those fixed the others."""
    current = [case for case in cases if case.is_current and not case.is_doubtful]
    others = [case for case in cases if is_of_other_source(case) and not case.is_doubtful]
    best = fit(current, start, CURRENT_CONSTANTS, rounds) if current else dict(start)
    best = fit(others, best, OTHER_CONSTANTS, rounds) if others else best
    return best | {"llama_prompt_compute": fitted_prompt_compute(others, best)}


def prompt_errors(cases: Sequence[Case], used: Mapping[str, float]) -> list[float]:
    """Return the logarithms of computed ÷ measured prompt tokens per second of llama.cpp's own benchmark."""
    found = []
    for case in cases:
        if case.row.prompt_tokens_per_s and case.service.engine is llama_cpp.ENGINE:
            load = replace(case.load, prompt_tokens=LLAMA_BENCH_TOKENS)
            given = inputs_of(case.service, case.gpu, load, case.row.tp, case.row.pp, used)
            terms = SPEED.compute(given | sequences_of(1, 1, 1, 1))
            found.append(math.log(LLAMA_BENCH_TOKENS / terms["prompt_s"] / case.row.prompt_tokens_per_s))  # type: ignore[operator]
    return found


def fitted_prompt_compute(cases: Sequence[Case], start: Mapping[str, float]) -> float:
    """Return the share of the peak rate at which llama.cpp computes prompts; the old one without enough rows."""
    share = start["llama_prompt_compute"]
    for _ in range(4):  # reading weights and kernels do not change with it, so that one correction is not enough
        found = prompt_errors(cases, dict(start) | {"llama_prompt_compute": share})
        share *= math.exp(-statistics.median(found)) if len(found) >= _LEAST_ROWS else 1
    return share


def is_of_other_source(case: Case) -> bool:
    """Return whether a row is of another source than the large collections, under a steady load or nearly so."""
    return not case.is_current and (case.row.is_steady or case.row.test == "static_batch" or case.row.set in _BURSTS)


def rows_behind(cases: Sequence[Case], name: str) -> int:
    """Return how many of the fitted rows a constant affects: those whose computed figures change with it."""
    used = constant_values()
    pool = [case for case in cases if not case.is_doubtful and (case.is_current or is_of_other_source(case))]
    changed = dict(used) | {name: used[name] * 1.5}
    return sum(errors_of(case, used) != errors_of(case, changed) for case in pool)


# ---- evaluating --------------------------------------------------------------------------------------


def folds_of(cases: Sequence[Case]) -> dict[tuple[str, str, str], int]:
    """Return the fold of each group, from a fixed seed."""
    groups = sorted({case.group for case in cases})
    random.Random(SEED).shuffle(groups)
    return {group: number % FOLDS for number, group in enumerate(groups)}


def left_out_errors(cases: Sequence[Case]) -> dict[Case, Errors]:
    """Return the errors of each case with constants that were fitted without its fold."""
    fold = folds_of(cases)
    found: dict[Case, Errors] = {}
    for number in range(FOLDS):
        used = fitted([case for case in cases if fold[case.group] != number], constant_values())
        found |= {case: errors_of(case, used) for case in cases if fold[case.group] == number}
    return found


def without_source_errors(cases: Sequence[Case]) -> dict[Case, Errors]:
    """Return the errors of each other source with constants that were fitted without that source."""
    found: dict[Case, Errors] = {}
    others = [case for case in cases if is_of_other_source(case)]
    for source in sorted({case.row.set for case in others}):
        kept = [case for case in others if case.row.set != source]
        used = fit(kept, constant_values(), OTHER_CONSTANTS) if kept else constant_values()
        found |= {case: errors_of(case, used) for case in others if case.row.set == source}
    return found


def deviations(logs: Iterable[float | None]) -> list[float]:
    """Return |computed ÷ measured − 1|, sorted."""
    return sorted(abs(math.expm1(log)) for log in logs if log is not None)


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which that share of the sorted `values` lies."""
    return values[min(len(values) - 1, int(share * len(values)))]


def error_line(name: str, logs: Sequence[float | None]) -> str:
    """Return a line of a table: rows, median and 90 % of the errors, bias, share within the range of 1.4."""
    known = [log for log in logs if log is not None]
    if not known:
        return ""
    inside = sum(abs(log) <= math.log(1.4) for log in known) / len(known)
    return f"| {name} | {len(known)} | {_median_and_most(known)} | {_bias(known)} | {inside:.0%} |"


def _median_and_most(logs: Iterable[float | None]) -> str:
    """Return two cells of a table: the median of the errors, and what 90 % of them are within."""
    values = deviations(logs)
    return f"{statistics.median(values):.1%} | {quantile(values, 0.9):.1%}"


def _bias(logs: Sequence[float]) -> str:
    return f"{math.expm1(statistics.median(logs)):+.1%}"


_HEAD = "| {} | rows | median | 90 % of rows within | bias | within × ÷ 1.4 |\n|---|---:|---:|---:|---:|---:|"


def table(title: str, errors: Mapping[Case, Errors], key: Callable[[Case], str]) -> list[str]:
    """Return the lines of a table with one line for each key and measure."""
    groups: dict[str, list[Errors]] = defaultdict(list)
    for case, found in errors.items():
        groups[key(case)].append(found)
    lines = [_HEAD.format(title)]
    for name in sorted(groups):
        for number, measure in enumerate(MEASURES):
            lines.append(error_line(f"{name}: {measure}".removeprefix(": "), [found[number] for found in groups[name]]))
    return [line for line in lines if line]


def order_of_layouts(errors: Mapping[Case, Errors]) -> list[str]:
    """Return the table of `right_order`: for layouts on any GPU and in any format, and for those on the same GPU."""
    lines = ["| order of two layouts by | pairs | right |", "|---|---:|---:|"]
    for number, name in ((1, "tokens/s per GPU"), (0, "tokens/s per user")):
        for where, same_gpu in (("any GPU and format", False), ("the same GPU and format", True)):
            right, pairs = right_order(errors, number, same_gpu=same_gpu)
            lines.append(f"| {name}, {where} | {pairs} |{f' {right / pairs:.1%}' if pairs else ''} |")
    return lines


def right_order(errors: Mapping[Case, Errors], number: int, *, same_gpu: bool) -> tuple[int, int]:
    """Return how often the faster of two layouts is found, and of how many pairs.

    Pairs have the same model, engine and load, and are more than 25 % apart.
    """
    comparable: dict[object, list[Case]] = defaultdict(list)
    for case in errors:
        row = case.row
        chip = (row.gpu, row.precision) if same_gpu else ()
        comparable[row.model, row.engine, row.prompt_tokens, row.output_tokens, row.users, chip].append(case)
    right = pairs = 0
    for cases in comparable.values():
        for one, other in combinations(cases, 2):
            if (one.row.gpu, one.row.tp, one.row.pp) == (other.row.gpu, other.row.tp, other.row.pp):
                continue
            figures = [_per_gpu(case, errors[case], number) for case in (one, other)]
            if None in figures:
                continue
            (first, first_computed), (second, second_computed) = figures  # type: ignore[misc]
            if max(first, second) > 1.25 * min(first, second):
                pairs += 1
                right += (first > second) == (first_computed > second_computed)
    return right, pairs


def _per_gpu(case: Case, found: Errors, number: int) -> tuple[float, float] | None:
    measured, log = case.measured[number], found[number]
    if measured is None or log is None:
        return None
    gpus = case.row.tp * case.row.pp * case.row.replicas if number == 1 else 1
    return measured / gpus, measured * math.exp(log) / gpus


def promises(errors: Mapping[Case, Errors], used: Mapping[str, float], wanted: float = 20) -> str:
    """Return how often "at least `wanted` tokens/s per user", answered at the low end, is wrong."""
    promised = wrong = rows = 0
    for case, (log, _, _) in errors.items():
        measured = case.measured[0]
        if measured is None or log is None:
            continue
        rows += 1
        if measured * math.exp(log) / used[f"range_{case.range_class}"] >= wanted:
            promised += 1
            wrong += measured < wanted
    share = wrong / promised if promised else 0
    return (
        f"{promised} of {rows} rows promise {wanted:g} tokens/s per user at the low end; {wrong} wrongly ({share:.1%})"
    )


def shares_inside(errors: Mapping[Case, Errors], used: Mapping[str, float]) -> list[tuple[str, int, float]]:
    """Return for each class its name, how many figures it has, and the share of them inside the stated range."""
    logs: dict[str, list[float]] = defaultdict(list)
    for case, found in errors.items():
        logs[case.range_class] += [log for log in found[:2] if log is not None]
    logs = dict(sorted(logs.items()))
    waits = [found[2] for found in errors.values() if found[2] is not None]
    if waits:
        logs["time to first token"] = waits
    return [
        (name, len(values), sum(abs(value) <= math.log(_range(name, used)) for value in values) / len(values))
        for name, values in logs.items()
    ]


def _range(name: str, used: Mapping[str, float]) -> float:
    return used["range_first_token" if name == "time to first token" else f"range_{name}"]


def inside_ranges(errors: Mapping[Case, Errors], used: Mapping[str, float]) -> list[str]:
    """Return the table of `shares_inside`."""
    lines = ["| class | figures | × ÷ | inside |\n|---|---:|---:|---:|"]
    for name, figures, share in shares_inside(errors, used):
        lines.append(f"| {name} | {figures} | {_range(name, used):g} | {share:.0%} |")
    return lines


def users_band(case: Case) -> str:
    """Return the band of the number of users of one replica."""
    users = case.load.users / case.row.replicas
    return next((f"{low:4}+ users" for low in (256, 64, 16, 4) if users >= low), "   1+ users")


def ranges_of(errors: Mapping[Case, Errors]) -> dict[str, tuple[float, int]]:
    """Return for each class the factor that holds 86 % of its figures, and how many they are.

    A class with few rows has no factor of its own here. Wide layouts are included, however much in doubt they are.
    """
    logs: dict[str, list[float]] = defaultdict(list)
    for case, found in errors.items():
        if not case.is_contradicted and (not case.is_doubtful or case.range_class == "nodes"):
            logs[f"range_{case.range_class}"] += [abs(log) for log in found[:2] if log is not None]
            if found[2] is not None and case.is_current and not case.is_doubtful:
                logs["range_first_token"].append(abs(found[2]))
    return {
        name: (math.exp(quantile(sorted(values), _RANGE_SHARE)), len(values))
        for name, values in logs.items()
        if len(values) >= 2 * _LEAST_ROWS
    }


def clear_rows(errors: Mapping[Case, Errors]) -> dict[Case, Errors]:
    """Return the errors of steady rows of current engines whose layout is not in doubt."""
    return {case: found for case, found in errors.items() if case.is_current and not case.is_doubtful}


def reported(errors: Mapping[Case, Errors]) -> dict[Case, Errors]:
    """Return the errors of rows under a steady load, or nearly so."""
    return {case: found for case, found in errors.items() if case.is_current or is_of_other_source(case)}


def report(errors: Mapping[Case, Errors], used: Mapping[str, float]) -> list[str]:
    """Return the lines that describe the errors."""
    current = {case: found for case, found in errors.items() if case.is_current}
    clear = clear_rows(errors)
    others = {case: found for case, found in errors.items() if is_of_other_source(case)}
    lines: list[str] = []
    if current:
        lines += ["", "### Steady rows of current engines", "", *table("all", current, lambda _: "")]
        lines += ["", *table("without rows whose layout is in doubt", clear, lambda _: "")]
        for title, key in (
            ("engine", lambda case: case.row.engine),
            ("GPU", lambda case: case.row.gpu),
            ("model", lambda case: case.row.model),
            ("users of a replica", users_band),
        ):
            lines += ["", *table(title, clear, key)]
        lines += ["", *order_of_layouts(current)]
    if others:
        lines += ["", "### Other sources", "", *table("all", others, lambda _: "")]
        lines += [
            "",
            *table(
                "source and load", others, lambda case: f"{case.row.set}, {case.row.test.replace(chr(95), chr(32))}"
            ),
        ]
    everything = reported(errors)
    lines += ["", "### Ranges and promises", "", *table("class", everything, lambda case: case.range_class)]
    lines += ["", *inside_ranges(everything, used), "", promises(everything, used) + "."]
    return lines


def one_minute(
    grouped: Mapping[Case, Errors], by_source: Mapping[Case, Errors], used: Mapping[str, float]
) -> list[str]:
    """Return the summary: what was measured, and the errors of `grouped` and `by_source`, which were left out of fits."""
    clear = clear_rows(grouped)
    models, gpus, engines = (sorted({case.group[number] for case in clear}) for number in range(3))
    users = [case.load.users for case in clear]
    measured = f"""**Measured**: {len(clear)} steady loads of {len(models)} models on {", ".join(gpus)} with
        {", ".join(engines)}, {min(users)} to {max(users)} users, from the samples of NVIDIA and InferenceX; and
        {len(by_source)} rows of other sources, with older engines, other GPUs, llama.cpp and bursts. Each row is computed
        with constants that were fitted without its group of model × GPU × engine, or without its source."""
    lines = ["| left out of the fit | figure | rows | median error | 90 % of rows within |", "|---|---|---:|---:|---:|"]
    for name, errors in (("group", clear), ("source", by_source)):
        for number, measure in enumerate(MEASURES):
            logs = [found[number] for found in errors.values() if found[number] is not None]
            lines.append(f"| {name} | {measure} | {len(logs)} | {_median_and_most(logs)} |")
    current = {case: found for case, found in grouped.items() if case.is_current}
    orders = [right_order(current, number, same_gpu=True) for number in (1, 0)]
    per_gpu, per_user = (f"{right / pairs:.0%}" if pairs else "none" for right, pairs in orders)
    shares = {name: share for name, _, share in shares_inside(reported(grouped), used)}
    return [
        "## In one minute",
        "",
        _paragraph(measured),
        "",
        *lines,
        "",
        _item(
            f"The stated range of *current* engines, × ÷ {used['range_current']:g}, holds {shares['current']:.0%} of the "
            "figures of rows left out."
        ),
        _item(
            f"The time to the first token is rough: its range, × ÷ {used['range_first_token']:g}, holds "
            f"{shares['time to first token']:.0%}."
        ),
        _item(f"{promises(reported(grouped), used)}."),
        _item(
            f"Of two layouts on the same GPU, more than 25 % apart, the faster is found in {per_gpu} of pairs by tokens/s per "
            f"GPU, in {per_user} by tokens/s per user."
        ),
        "",
        f"![Two plots of computed over measured figures, tokens/s per user and output tokens/s, with logarithmic axes. The "
        f"points of all engines lie along the line of equality, most of them within × ÷ {used['range_current']:g}.]"
        f"({PLOT.name})",
        "",
        f"The plot shows the {len(clear)} steady rows, each with constants fitted without its group.",
        "",
    ]


def _paragraph(text: str, begin: str = "") -> str:
    return textwrap.fill(
        " ".join(text.split()), 120, initial_indent=begin, subsequent_indent=" " * len(begin),
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def _item(text: str) -> str:
    return _paragraph(text, "* ")


def draw(errors: Mapping[Case, Errors], used: Mapping[str, float]) -> None:
    """Draw docs/speed.png."""
    clear = clear_rows(errors)
    panels: dict[str, dict[str, list[tuple[float, float]]]] = {measure: {} for measure in MEASURES[:2]}
    for number, series in enumerate(panels.values()):
        for case in sorted(clear, key=lambda case: case.row.engine):
            measured, log = case.measured[number], clear[case][number]
            if measured and log is not None:
                series.setdefault(case.row.engine, []).append((measured, measured * math.exp(log)))
    speed_plot.draw(panels, used["range_current"], PLOT)


def read_rows(path: str) -> list[MeasuredSpeed]:
    """Return the measurements of a file with the columns of core/catalog/data/speed_measured.csv."""
    with open(path, encoding="utf-8", newline="") as lines:
        return [measured_speed(row) for row in csv.DictReader(lines)]


def write_constants(cases: Sequence[Case], best: Mapping[str, float], range_rows: Mapping[str, int]) -> None:
    """Write speed_constants.csv anew: values, and how many rows each rests on."""
    path = os.path.join(catalog.DATA_FOLDER, "speed_constants.csv")
    today = datetime.date.today().isoformat()
    sets = {True: STEADY_SETS, False: sorted({case.row.set for case in cases if is_of_other_source(case)})}
    with open(path, "w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(("name", "value", "unit", "means", "rows", "fitted_on", "as_of"))
        for one in constants():
            named = (*CURRENT_CONSTANTS, *OTHER_CONSTANTS, "llama_prompt_compute")
            is_fitted = one.name in named or one.name in range_rows
            sources = "; ".join(sets[one.name in CURRENT_CONSTANTS or one.name == "range_current"])
            count = range_rows.get(one.name, 0) if one.name.startswith("range_") else rows_behind(cases, one.name)
            if one.name == "llama_prompt_compute":
                count = len(prompt_errors(cases, best))
            is_fitted = is_fitted and count >= _LEAST_ROWS
            value = f"{best[one.name]:.3g}"
            where = (sources, today) if is_fitted else ("assumed", "")
            writer.writerow((one.name, value, one.unit, one.means, count if is_fitted else 0, *where))


# ---- other calculators -------------------------------------------------------------------------------


def expert_parallel_rows(path: str) -> set[MeasuredSpeed]:
    """Return the measurements of a file whose experts are divided among GPUs whole."""
    with open(path, encoding="utf-8", newline="") as lines:
        return {measured_speed(row) for row in csv.DictReader(lines) if row["ep"] == "yes"}


def speeds_of_peer(
    python: str, peer: str, asked: Sequence[ask_speed.Case]
) -> tuple[str, list[list[float | None] | str]]:
    """Return a peer's version, and for each case its three figures, or why it has none; nothing if it is not installed."""
    written = subprocess.run(
        [os.path.abspath(python), "-m", "tools.peers.ask_speed", peer],
        input=json.dumps(asked), capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    if written.returncode:
        print(f"{peer}: {written.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return "", []
    version, found = json.loads(written.stdout)
    return version, found


def peers_part(python: str, errors: Mapping[Case, Errors], expert_parallel: set[MeasuredSpeed]) -> list[str]:
    """Return the comparison of `errors` with those of other calculators on the same rows."""
    clear = {case: found for case, found in clear_rows(errors).items() if case.row.replicas == case.row.pp == 1}
    asked = [
        ask_speed.Case(
            case.row.model, count_parameters(case.service.model).total, case.row.precision, case.row.gpu, case.row.engine,
            case.row.tp, case.row in expert_parallel, case.load.users, case.load.prompt_tokens, case.load.output_tokens,
        )
        for case in clear
    ]  # fmt: skip
    lines, refused = [], []
    for peer in ask_speed.PEERS:
        version, answers = speeds_of_peer(python, peer, asked)
        name = " ".join((peer.partition(",")[0], version)) + "".join(peer.partition(",")[1:])
        why = Counter(refusal_reason(found) for found in answers if isinstance(found, str))
        if why:
            reasons = ", ".join(f"{reason} ({count})" for reason, count in why.most_common())
            refused.append(
                _item(f"{name} does not answer {why.total()} of {len(asked)} rows. Its reasons (rows): {reasons}.")
            )
        for number, measure in enumerate(MEASURES):
            pairs = [
                (math.log(found[number] / case.measured[number]), ours[number])
                for (case, ours), found in zip(clear.items(), answers)
                if not isinstance(found, str) and found[number] and case.measured[number]
            ]
            if pairs:
                theirs, ours = zip(*pairs)
                cells = (_median_and_most(theirs), _bias(theirs), _median_and_most(ours), _bias(ours))
                lines.append(f"| {name} | {measure} | {len(pairs)} | {' | '.join(cells)} |")
    return [_PEERS_INTRODUCTION, *lines, "", *refused, ""]


def refusal_reason(refusal: str) -> str:
    """Return the part of a refusal that does not name the row."""
    return re.split(r" for |: the | at query", refusal)[0].rpartition(": ")[2]


# ---- the page ----------------------------------------------------------------------------------------

INTRODUCTION = """# Speed: computed against measured

`make speed` writes this page: `python -m benchmarks.speed` compares what `vram speed` computes with public measurements
of serving speed. Errors are |computed ÷ measured − 1|, the bias is the median of computed ÷ measured − 1. The terms are
in core/plan/speed_terms.py, constants and the rows on which each rests in core/catalog/data/speed_constants.csv.
"""
_SETTINGS_AND_LIMITS = """## Drafts and shared prompts

`--mtp-tokens N` drafts N tokens in a step, by the model's own MTP layer or by `--draft-model`; a model that has no such
layer needs the latter. A step then reads the weights once for N + 1 tokens, computes each of them, touches more
experts, and drafts one token after the other; it yields 1 + a + … + a^N tokens, where a is `--acceptance`
(Leviathan et al. 2023, [arXiv:2211.17192](https://arxiv.org/abs/2211.17192)).
Without it a is 0.85, the lower end of what DeepSeek-V3 measured for its own layer
([arXiv:2412.19437](https://arxiv.org/abs/2412.19437), section 5.4.3), and the answer says so. Of a prompt of which
`--shared-tokens` are cached, only the rest is computed. No measured rows with drafts or shared prompts were compared.

## What is not modelled

Prefill and decoding on separate GPUs, layers in CPU memory, uneven routing of tokens to experts, bursts (all requests
at once), and how kernels of one version of an engine differ from those of another. Two dates of the same configuration
differ by 10 % (median), two engines by 16 %.

Ranges are stated by class: *current* engines within one node; *few_users*: fewer than 4 of a model with experts; *nodes*:
a layout over several nodes, or over GPUs without a fast link; *old*: vLLM before 0.8 or GPUs before Ampere; *llama*:
llama.cpp; *amd*: GPUs of other makers than NVIDIA. The layout of a row is *in doubt* if it has more than 8 GPUs, because
the source then multiplies tensor and expert parallel sizes, or if the same source measured the same configuration more
than twice as fast.
"""
_PEERS_INTRODUCTION = """## Other calculators on the same rows

The steady rows whose layout is not in doubt were put to calculators that compute speeds offline, with their defaults.
Beside their errors are those of this planner on exactly the rows that they answer, with constants fitted without each
row's group.

These rows are aiconfigurator's home ground: its own package ships them, and it looks up times of kernels that NVIDIA
measured on these GPUs with these engines, in newer versions than those of the rows. They are not foreign to this planner
either: its constants were fitted on other groups of the same collections. *HYBRID* is aiconfigurator's mode that
estimates kernels which were not measured. vllm-wizard does not ask for the number of users, so that its speed can be
right for few of them at most.

| calculator | figure | rows | median | 90 % of rows within | bias | this planner: median | 90 % within | bias |
|---|---|---:|---:|---:|---:|---:|---:|---:|"""


def main() -> None:
    """Print the errors, and write docs/speed.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", default="", help="CSV file with the columns of core/catalog/data/speed_measured.csv")
    parser.add_argument("--left-out", action="store_true", help="fit again without each fold and source of the rows")
    parser.add_argument(
        "--peers", default="", help="with --left-out: the Python that other calculators are installed in"
    )
    parser.add_argument("--fit", action="store_true", help="write core/catalog/data/speed_constants.csv from the rows")
    asked = parser.parse_args()
    used = constant_values()
    if not asked.rows:  # what an earlier run found on its rows stays
        lines = [DOCUMENT.read_text(encoding="utf-8").partition(_CATALOG_HEADING)[0].rstrip()]
    else:
        lines = [INTRODUCTION]
        cases, refused = cases_of(read_rows(asked.rows))
        for reason, count in refused.most_common():
            print(f"not computed: {count} rows: {reason}")
        if asked.fit:
            used = refitted(cases, used)
        shipped = {case: errors_of(case, used) for case in cases}
        if asked.left_out:
            grouped, by_source = left_out_errors(cases), without_source_errors(cases)
            draw(grouped, used)
            lines += [*one_minute(grouped, by_source, used), _SETTINGS_AND_LIMITS]
            if asked.peers:
                lines += peers_part(asked.peers, grouped, expert_parallel_rows(asked.rows))
            lines += [f"## {len(cases)} measurements, each group with constants fitted without it", ""]
            lines += [f"Groups of model × GPU × engine are split into {FOLDS} folds (seed {SEED})."]
            lines += report(grouped, used)
            lines += ["", "## Other sources, each with constants fitted without it", *report(by_source, used), ""]
        else:
            lines += [_SETTINGS_AND_LIMITS]
        lines += [f"## The same {len(cases)} measurements, with the shipped constants", *report(shipped, used)]
    cases, _ = cases_of(measured_speeds())
    lines += ["", f"{_CATALOG_HEADING} {len(cases)} measurements, with the shipped constants"]
    lines += report({case: errors_of(case, used) for case in cases}, used)
    text = "\n".join(lines) + "\n"
    print(text)
    DOCUMENT.write_text(text, encoding="utf-8")


def refitted(cases: Sequence[Case], used: Mapping[str, float]) -> Mapping[str, float]:
    """Fit the constants and ranges, write them to speed_constants.csv, and return them."""
    best = fitted(cases, used, rounds=10)
    ranges = ranges_of(left_out_errors(cases) | without_source_errors(cases))
    best |= {name: factor for name, (factor, _) in ranges.items()}
    write_constants(cases, best, {name: count for name, (_, count) in ranges.items()})
    return best


if __name__ == "__main__":
    main()
