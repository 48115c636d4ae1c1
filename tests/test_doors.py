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
from core.plan.fleet import layout_title
from core.plan.serving import RULE
from core.units import GB
from tests.spreadsheets.programs import in_each_program
from tests.workbook.export.test_export import Given, figures_by_label, pages
from tests.workbook.planner_rows import few, random_row, scenario_of
from workbook.export.figures import NOTHING
from workbook.export.workbook import export_scenarios
from workbook.labels import Labels
from workbook.scenario import FIELDS, Scenario
from workbook.sheets import capacity, plan, scenarios
from workbook.template import without_values

pytestmark = pytest.mark.slow

QUESTIONS = 200 if int(os.environ.get("VRAM_PARITY_CASES", "0")) else 20
GPUS_OF_A_PLANNER = 6
LABELS = Labels("en")
SIZES = ("weights_gb", "kv_gb", "total_gb")
# Where each door shows a figure: names of cells on Plan, results of VRAM_COST, labels of a page.
RESULTS = {
    "plan_gpu": "gpu", "plan_way": "way", "plan_gpus": "order", "plan_layout": "layout", "plan_replicas": "replicas",
    "plan_capex": "start_cash", "plan_cost_per_month": "cost_month", "plan_cost_per_person_month": "person_month",
    "plan_cost_per_million_tokens": "million_cost", "plan_net_present_cost": "net_present_cost",
    "plan_speed_low": "low_tokens_per_s", "plan_speed": "tokens_per_s_per_user", "plan_speed_high": "high_tokens_per_s",
    "plan_first_token_s": "first_token_s",
}  # fmt: skip
COSTS = {
    "per_month": "cost_month", "net_present_cost": "net_present_cost", "order": "order", "layout": "layout",
    "per_million_tokens": "million_cost",
}  # fmt: skip
PAGE = {
    "article.weights": "weights_gb", "article.kv": "kv_gb", "article.total": "total_gb", "scenarios.layout": "layout",
    "procurement.users_per_replica": "users_per_replica", "procurement.cheaper": "way", "procurement.best_gpus": "order",
    "term.start_cash": "start_cash", "term.cost_month": "cost_month",
    "export.low_tokens_per_s": "low_tokens_per_s", "export.tokens_per_s_per_user": "tokens_per_s_per_user",
    "export.high_tokens_per_s": "high_tokens_per_s", "export.first_token": "first_token_s",
}  # fmt: skip
PRICED = {gpu for gpu, _ in capacity.option_rows()}


def questions() -> list[tuple[dict[str, object], Scenario]]:
    """Return rows of the planner that every door can answer: a priced GPU with its own memory, a usual precision.

    Those of one planner share a few GPUs, whose options it has: with all, it takes a minute to recalculate.
    """
    chance, found = random.Random(2026), []
    while len(found) < QUESTIONS:
        if len(found) % scenarios.MOST_SCENARIOS == 0:
            gpus = chance.sample(sorted(PRICED), GPUS_OF_A_PLANNER)
        row = random_row(chance, f"question {len(found)}", most_context=131_072, most_users=2_000)
        row |= {"gpu": chance.choice(gpus), "gpu_memory": None}
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
        **{field.name: scenario.value(field.name) for field in FIELDS if field.is_setting},
    }


def best_by_api(scenario: Scenario) -> dict[str, object]:
    """Return every figure of the best layout on the scenario's GPU; only the sizes if no layout serves the users."""
    estimate = vram.estimate(
        scenario.model.name, context=scenario.tokens, users=scenario.users, precision=scenario.precision_name,
        kv_precision=scenario.kv_precision.name, overhead=scenario.overhead,
    )  # fmt: skip
    sizes = (estimate.weights_bytes, estimate.kv_bytes, estimate.total_bytes)
    found: dict[str, object] = dict(zip(SIZES, (size / GB for size in sizes)))
    plan = vram.plan(scenario.model.name, gpus=[scenario.gpu.name], **plan_arguments(scenario))
    if not plan.options or not plan.options[0].rank:
        return found
    first = plan.options[0]
    assert first.costs is not None
    found |= {
        "gpu": first.gpu,
        "layout": layout_title(first.tp, first.pp),
        "replicas": first.costs.figures["replicas"],
        "users_per_replica": first.users_per_replica,
        "way": LABELS(f"procurement.{first.costs.way}"),
        "order": first.costs.gpus,
        "net_present_cost": first.costs.net_present_cost,
        **{name: first.costs.outcome[name] for name in ("start_cash", "cost_month", "person_month", "million_cost")},
    }
    if first.speed is not None:
        low, expected, high = first.speed.low, first.speed.expected, first.speed.high
        found |= {
            "low_tokens_per_s": low.tokens_per_second_per_user,
            "tokens_per_s_per_user": expected.tokens_per_second_per_user,
            "high_tokens_per_s": high.tokens_per_second_per_user,
            "first_token_s": expected.time_to_first_token_s,
        }
    return found


@pytest.fixture(scope="module")
def answers() -> list[dict[str, object]]:
    found = [best_by_api(scenario) for _, scenario in ASKED]
    assert sum("layout" in one for one in found) >= len(found) / 2
    return found


def assert_equal(found: dict[str, object], expected: dict[str, object], asked: object, digits: float = 1e-9) -> None:
    """Compare every figure that a door shows; what it shows as missing must be missing."""
    for name, value in found.items():
        wanted = expected.get(name)
        if isinstance(wanted, (int, float)) and isinstance(value, (int, float)):
            assert value == pytest.approx(wanted, rel=digits, abs=digits), (asked, name)
        else:
            assert (None if value in (NOTHING, "") else value) == wanted, (asked, name)


def test_the_command_line(answers, vram_command):
    """It prints five digits of a speed, and cents."""
    for (row, scenario), expected in zip(ASKED, answers):
        arguments = [scenario.model.name, "--gpu", scenario.gpu.name, "--costs", "--json"]
        for name, value in plan_arguments(scenario).items():
            if value is not None:
                arguments += [f"--{name.replace('_', '-')}", value]
        status, out, err = vram_command("plan", *arguments)
        ranked = [layout for layout in json.loads(out)["layouts"] if layout["rank"]] if out else []
        if "layout" not in expected:
            assert not ranked, row
            continue
        assert (status, err) == (0, ""), row
        first, costs = ranked[0], ranked[0]["costs"]
        found = {
            "gpu": first["gpu"],
            "layout": layout_title(first["tp"], first["pp"]),
            "users_per_replica": first["users_per_replica"],
            "way": LABELS(f"procurement.{costs['way']}"),
            "order": costs["order_steps"]["order"] if costs["way"] == "buy" else costs["rented_gpus"],
            "net_present_cost": costs["owning" if costs["way"] == "buy" else "renting"]["npv_usd"],
            "start_cash": costs["cash_at_start_usd"],
            "cost_month": costs["usd_per_month"],
            "person_month": costs["usd_per_person_month"],
            "million_cost": costs["usd_per_million_output_tokens"],
        }
        if first.get("low"):
            found |= {
                "low_tokens_per_s": first["low"]["tokens_per_second_per_user"],
                "tokens_per_s_per_user": first["tokens_per_second_per_user"],
                "high_tokens_per_s": first["high"]["tokens_per_second_per_user"],
                "first_token_s": first["time_to_first_token_s"],
            }
        assert_equal(found, expected, row, digits=5e-3)


def test_cell_functions(answers):
    asked_whole = 0
    for (row, scenario), expected in zip(ASKED, answers):
        model, precision, kv = scenario.model.name, scenario.precision_name, scenario.kv_precision.name
        assert vram_udf.VRAM_WEIGHTS(model, precision) == pytest.approx(expected["weights_gb"], rel=1e-12)
        tokens, users = scenario.tokens, scenario.users
        assert vram_udf.VRAM_KV(model, tokens, users, kv) == pytest.approx(expected["kv_gb"], rel=1e-12)
        total = vram_udf.VRAM_TOTAL(model, tokens, users, precision, kv, scenario.overhead)
        assert total == pytest.approx(expected["total_gb"], rel=1e-12)
        if scenario.allocation == PAGED or scenario.has_settings:  # the functions reserve the context, by the defaults
            continue
        overhead = scenario.overhead if scenario.engine == RULE else None
        asked = (model, scenario.context, users, scenario.gpu.name, precision, kv, overhead)
        assert scenario.smallest is not None
        assert vram_udf.VRAM_GPUS(*asked) == scenario.smallest.gpus, row
        if scenario.output_tokens is not None:  # the functions take the usual share of the context
            continue
        asked_whole += 1
        if "layout" not in expected:
            assert str(vram_udf.VRAM_COST(*asked)).startswith("#"), row
            continue
        headings, first, *_ = vram_udf.VRAM_PLAN(*asked)
        found = dict(zip(headings, first))
        renamed = {"net_present_cost_usd": "net_present_cost", "usd_per_month": "cost_month"}
        renamed["tokens_per_s"] = "tokens_per_s_per_user"
        found = {renamed.get(name, name): value for name, value in found.items()}
        found["way"] = LABELS(f"procurement.{found['way']}")
        # Its replicas and GPUs are those that the users need, without spares.
        assert_equal(
            {name: value for name, value in found.items() if name not in ("rank", "gpus", "replicas")}, expected, row
        )
        for result, name in COSTS.items():
            value = vram_udf.VRAM_COST(*asked, None, result)
            assert_equal({name: None if str(value).startswith("#") else value}, expected, (row, result))
    assert asked_whole


@in_each_program
def test_the_planner(program, answers, tmp_path):
    """Plan, with the scenario's GPU as the only candidate."""
    for start in range(0, len(ASKED), scenarios.MOST_SCENARIOS):
        some = ASKED[start : start + scenarios.MOST_SCENARIOS]
        path = tmp_path / f"planner {start}.xlsx"
        few_models, few_gpus = ({row[key] for row, _ in some} for key in ("model", "gpu"))
        with few(few_models, few_gpus, most_scenarios=len(some)):
            path.write_bytes(without_values("en", [row for row, _ in some]))
        cells, results = plan.input_cells(LABELS), named_cells(path, RESULTS)
        with program.WhatIf(path) as session:
            for position, ((row, scenario), expected) in enumerate(zip(some, answers[start:])):
                sizes = [
                    ("Scenarios", f"{scenarios.letter(key)}{scenarios.FIRST_ROW + position}")
                    for key in ("weights", "kv", "total")
                ]
                chosen = {cells["plan_scenario"]: row["scenario"], cells["plan_candidates"]: scenario.gpu.name}
                (values,) = session.run([chosen], [*sizes, *results])
                found = dict(zip((*SIZES, *RESULTS.values()), values))
                assert_equal(found, expected, row)


def named_cells(path, names) -> list[tuple[str, str]]:
    """Return the cells of names: (sheet, address)."""
    defined = openpyxl.load_workbook(path, read_only=True).defined_names
    places = [next(iter(defined[name].destinations)) for name in names]
    return [(sheet, address.replace("$", "")) for sheet, address in places]


def test_the_exported_page(answers, tmp_path):
    export_scenarios(tmp_path / "pages.xlsx", Given([scenario for _, scenario in ASKED]), "en")
    book = openpyxl.load_workbook(tmp_path / "pages.xlsx", data_only=True)
    for ws, (row, _), expected in zip(pages(book), ASKED, answers):
        at = figures_by_label(ws)
        shown = (
            PAGE
            if "tokens_per_s_per_user" in expected
            else {key: name for key, name in PAGE.items() if "_s" not in name}
        )
        found = {name: ws[at[LABELS(key)]].value for key, name in shown.items()}
        if expected.get("way") == LABELS("procurement.rent"):  # the page has the GPUs to buy, and right of them to rent
            found["order"] = ws[at[LABELS("procurement.best_gpus")]].offset(column=1).value
        assert_equal(found, expected, row)


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
