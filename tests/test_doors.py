"""One question gets one answer at every door: command line, API, cell functions, sheets and exported page.

The planner's sheets are recalculated by each spreadsheet program.
"""

from __future__ import annotations

import json
import os
import random

import openpyxl
import pytest

import vram
import vram_udf
from core import catalog
from core.plan.allocation import PAGED
from core.plan.demand import MIN_SPEED
from core.plan.fleet import layout_title
from core.plan.serving import RULE
from core.units import GB
from tests.spreadsheets.programs import in_each_program
from tests.workbook.export.test_export import Given, figures_by_label, pages
from tests.workbook.planner_rows import few, random_row, scenario_of
from workbook.export.figures import NOTHING
from workbook.export.workbook import export_scenarios
from workbook.labels import Labels
from workbook.scenario import Scenario
from workbook.sheets import capacity, options, plan, scenarios
from workbook.template import without_values

pytestmark = pytest.mark.slow

QUESTIONS = 200 if int(os.environ.get("VRAM_PARITY_CASES", "0")) else 20
LABELS = Labels("en")
SIZES = ("weights_gb", "kv_gb", "total_gb")
PRICED = {gpu for gpu, _ in capacity.option_rows()}


def questions() -> list[tuple[dict[str, object], Scenario]]:
    """Return rows of the planner that every door can answer: a priced GPU with its own memory, a usual precision."""
    chance, found = random.Random(2026), []
    while len(found) < QUESTIONS:
        row = random_row(chance, f"question {len(found)}", most_context=131_072, most_users=2_000)
        row |= {"gpu": chance.choice(sorted(PRICED)), "gpu_memory": None}
        scenario = scenario_of(row)
        if scenario is not None and scenario.smallest is not None:
            found.append((row, scenario))
    return found


ASKED = questions()


def plan_arguments(scenario: Scenario) -> dict[str, object]:
    return {
        "users": scenario.users,
        "context": scenario.context,
        "output_tokens": scenario.output_tokens,
        "precision": scenario.precision_name,
        "kv_precision": scenario.kv_precision.name,
        "average_tokens": scenario.average_tokens if scenario.allocation == PAGED else None,
        "overhead": scenario.overhead if scenario.engine == RULE else None,
    }


def best_by_api(scenario: Scenario, min_speed: float | None) -> dict[str, object]:
    """Return the figures of the best layout, or of none if every layout is too slow or has no kernel."""
    plan = vram.plan(scenario.model.name, gpus=[scenario.gpu.name], min_speed=min_speed, **plan_arguments(scenario))
    if not plan.options:
        return {"net_present_cost": None}
    first = plan.options[0]
    money = first.costs.figures
    speed = {} if first.speed is None else {
        "low_tokens_per_s": first.speed.low.tokens_per_second_per_user,
        "tokens_per_s_per_user": first.speed.expected.tokens_per_second_per_user,
        "first_token_s": first.speed.expected.time_to_first_token_s,
    }  # fmt: skip
    return speed | {
        "layout": layout_title(first.tp, first.pp),
        "replicas": money["replicas"],
        "users_per_replica": first.users_per_replica,
        "order": money["order"],
        "rented": money["rented"],
        "net_present_cost": first.costs.net_present_cost if first.rank else None,
    }


def by_api(scenario: Scenario) -> dict[str, object]:
    estimate = vram.estimate(
        scenario.model.name, context=scenario.tokens, users=scenario.users, precision=scenario.precision_name,
        kv_precision=scenario.kv_precision.name, overhead=scenario.overhead,
    )  # fmt: skip
    sizes = (estimate.weights_bytes, estimate.kv_bytes, estimate.total_bytes)
    return dict(zip(SIZES, (size / GB for size in sizes))) | {
        "fewest": scenario.smallest.gpus,
        **best_by_api(scenario, None),
    }


@pytest.fixture(scope="module")
def answers() -> list[dict[str, object]]:
    return [by_api(scenario) for _, scenario in ASKED]


def assert_equal(found: dict[str, object], expected: dict[str, object], asked: object) -> None:
    for name, value in found.items():
        wanted = expected[name]
        if isinstance(wanted, float):
            assert value == pytest.approx(wanted, rel=1e-9, abs=1e-9), (asked, name)
        else:
            assert value == wanted, (asked, name)


def test_the_command_line(answers, vram_command):
    for (row, scenario), expected in zip(ASKED, answers):
        arguments = [scenario.model.name, "--gpu", scenario.gpu.name, "--costs", "--json"]
        for name, value in plan_arguments(scenario).items():
            if value is not None:
                arguments += [f"--{name.replace('_', '-')}", value]
        # A speed of 0 accepts every speed, but not a format without a kernel, which is then ruled out with its reason.
        status, out, err = vram_command("plan", *arguments, "--min-speed", 0)
        assert (status, err) == (0, ""), row
        layouts = {(found["tp"], found["pp"]): found for found in json.loads(out)["layouts"]}
        for (tp, pp), found in layouts.items():
            if layout_title(tp, pp) == expected["layout"]:
                assert found["users_per_replica"] == expected["users_per_replica"], row
                assert found["costs"]["order_steps"]["order"] == expected["order"], row
                assert found["costs"]["rented_gpus"] == expected["rented"], row


def test_cell_functions(answers):
    for (row, scenario), expected in zip(ASKED, answers):
        model, precision, kv = scenario.model.name, scenario.precision_name, scenario.kv_precision.name
        assert vram_udf.VRAM_WEIGHTS(model, precision) == pytest.approx(expected["weights_gb"], rel=1e-12)
        tokens, users = scenario.tokens, scenario.users
        assert vram_udf.VRAM_KV(model, tokens, users, kv) == pytest.approx(expected["kv_gb"], rel=1e-12)
        total = vram_udf.VRAM_TOTAL(model, tokens, users, precision, kv, scenario.overhead)
        assert total == pytest.approx(expected["total_gb"], rel=1e-12)
        if scenario.allocation != PAGED:  # the functions reserve the whole context
            overhead = scenario.overhead if scenario.engine == RULE else None
            gpus = vram_udf.VRAM_GPUS(model, scenario.context, users, scenario.gpu.name, precision, kv, overhead)
            assert gpus == expected["fewest"], row


@in_each_program
def test_the_planner(program, answers, tmp_path):
    rank = {place: number for number, place in enumerate(capacity.option_rows())}
    for start in range(0, len(ASKED), scenarios.MOST_SCENARIOS):
        some = ASKED[start : start + scenarios.MOST_SCENARIOS]
        path = tmp_path / f"planner {start}.xlsx"
        with few({row["model"] for row, _ in some}, gpus=None):
            path.write_bytes(without_values("en", [row for row, _ in some]))
        choice = plan.input_cells(LABELS)["plan_scenario"]
        shown = ("rank", "layout", "replicas", "users_per_replica", "order", "rented", "net_present_cost",
                 "low_tokens_per_s", "tokens_per_s_per_user", "first_token_s")  # fmt: skip
        with program.WhatIf(path) as session:
            for position, ((row, scenario), expected) in enumerate(zip(some, answers[start:])):
                numbers = [number for (gpu, _), number in rank.items() if gpu == scenario.gpu.name]
                outputs = [
                    ("Options", f"{options.letter(key)}{options.FIRST_ROW + n}") for n in numbers for key in shown
                ]
                keys = ("weights", "kv", "total", "deploy")
                outputs += [("Scenarios", f"{scenarios.letter(key)}{scenarios.FIRST_ROW + position}") for key in keys]
                (values,) = session.run([{choice: row["scenario"]}], outputs)
                found = dict(zip((*SIZES, "fewest"), values[-len(keys) :]))
                lines = [
                    dict(zip(shown, values[i : i + len(shown)]))
                    for i in range(0, len(numbers) * len(shown), len(shown))
                ]
                ranked = [line for line in lines if isinstance(line["rank"], (int, float))]
                expected = {name: expected[name] for name in (*SIZES, "fewest")} | best_by_api(scenario, MIN_SPEED)
                if ranked:
                    found |= min(ranked, key=lambda line: line["rank"])
                    found = {name: value for name, value in found.items() if name in expected}
                else:
                    assert expected["net_present_cost"] is None, row
                assert_equal(found, expected, row)


def test_the_exported_page(answers, tmp_path):
    """A page chooses its layout with the wanted speed that `vram plan` has by default."""
    export_scenarios(tmp_path / "pages.xlsx", Given([scenario for _, scenario in ASKED]), "en")
    book = openpyxl.load_workbook(tmp_path / "pages.xlsx", data_only=True)
    for ws, (row, scenario), sizes in zip(pages(book), ASKED, answers):
        at = figures_by_label(ws)

        def value(key: str, ws=ws, at=at) -> object:
            return ws[at[LABELS(key)]].value

        found = {name: value(f"article.{key}") for name, key in zip(SIZES, ("weights", "kv", "total"))}
        found |= {"layout": value("scenarios.layout"), "users_per_replica": value("procurement.users_per_replica")}
        best = best_by_api(scenario, MIN_SPEED)
        if "low_tokens_per_s" in best:
            found |= {key: value(f"export.{key}") for key in ("low_tokens_per_s", "tokens_per_s_per_user")}
            found["first_token_s"] = value("export.first_token")
        best = {"layout": NOTHING, "users_per_replica": NOTHING} | best
        assert_equal(found, {name: sizes[name] for name in SIZES} | best, row)


@pytest.mark.parametrize("number", range(0, 300, 300 // max(QUESTIONS, 30)))
def test_defaults_only(number):
    """Given only model, context, users and GPU, command line, cell and sheet agree on the fewest GPUs."""
    chance = random.Random(number)
    model = chance.choice([model.name for model in catalog.models() if model.spec.vocab_size is not None])
    context, users = chance.choice((2_048, 8_192, 32_768)), chance.choice((1, 10, 100, 500))
    gpu = chance.choice(("a10", "a100-sxm-80gb", "h100-sxm", "h200-sxm", "l40s", "mi300x", "rtx-4090"))
    values = {field.name: field.default for field in scenarios.FIELDS}
    values |= {"scenario": "defaults", "model": model, "context": context, "users": users, "gpu": gpu}
    values["overhead_rate"], values["gpu_memory"] = values.pop("overhead"), values.pop("gpu_memory_gb")
    scenario = scenario_of(values)
    found = vram.plan(model, context=context, users=users, gpus=[gpu], min_speed=None)
    fewest = min((float(option.gpus) for option in found.options), default="#NUM!")
    assert vram_udf.VRAM_GPUS(model, context, users, gpu) == fewest
    assert (float(scenario.smallest.gpus) if scenario.smallest else "#NUM!") == fewest
