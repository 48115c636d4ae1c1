"""Compare the native formulas, recalculated by LibreOffice and by IronCalc, with `core`."""

from __future__ import annotations

import os
import random
from dataclasses import replace

import pytest

from core import catalog
from core.cells.models import model_cells
from core.model.own_model import own_model
from core.model.precision import precision_of_bytes
from core.plan.article import ArticleInputs, article_figures
from core.plan.demand import tokens_of
from core.plan.estimate import estimate
from core.plan.fleet import LAYOUTS, choice_of_gpu, gpus_by_division, layout_title
from core.plan.fleet import options as options_of
from core.plan.option_speed import Wish, speeds_of_options
from core.plan.speed_figures import has_speed
from core.units import GB
from tests.spreadsheets import ironcalc_program, libreoffice
from tests.spreadsheets.programs import PROGRAMS
from tests.spreadsheets.stored import stored_results
from tests.workbook import planner_rows
from tests.workbook.article_names import ARTICLE_NAMES
from tests.workbook.package_edits import unprotected
from tests.workbook.planner_rows import (
    DEPLOYED,
    OUTCOME,
    SIZES,
    expected_of,
    outcome_of,
    random_row,
    row,
    scenario_of,
    users_of_layouts,
)
from workbook.labels import LANGUAGES, Labels
from workbook.sheets import article, capacity, models, options, plan, prices, scenarios, sensitivity  # fmt: skip

pytestmark = pytest.mark.slow

TOLERANCE = 1e-9
ONE_BYTE_GB = 1e-9  # `core` works in whole bytes, formulas do not
RANDOM_CASES = 30  # of the article's inputs
RANDOM_ROWS = 300  # of which the first have layouts too
LAYOUT_BOOKS = 1 + int(os.environ.get("VRAM_PARITY_CASES", "0")) // 200_000
CONTEXTS = (100, 4_096, 131_072)


@pytest.fixture(scope="module", params=PROGRAMS)
def program(request):
    return request.param


@pytest.fixture(scope="module")
def small_planner(tmp_path_factory):
    path = tmp_path_factory.mktemp("small") / "planner.xlsx"
    path.write_bytes(planner_rows.small_planner())
    return path


@pytest.fixture(scope="module")
def what_if(program, small_planner):
    """Open one planner for all tests, which do not change it."""
    with program.WhatIf(small_planner) as session:
        yield session


@pytest.mark.needs("libreoffice")
def test_recalculated_values_are_those_in_the_file(planner):
    """A full recalculation changes no value, in either language."""
    assert_recalculated(libreoffice.recalculate(planner, as_written=True), planner)


@pytest.mark.parametrize("language", LANGUAGES)
def test_ironcalc_computes_the_formulas_as_they_are_written(small_planners, language):
    """The values in the file are IronCalc's, of formulas that are rewritten so that it reads them quickly."""
    path = small_planners[language]
    assert_recalculated(ironcalc_program.recalculate(path, as_written=True), path)


def assert_recalculated(recalculated, path) -> None:
    for (sheet, address), value in stored_results(path).items():
        assert same(recalculated[sheet][address], value), (sheet, address)


def test_the_articles_figures_come_out_of_live_formulas(what_if):
    figures = dict(zip(ARTICLE_NAMES, what_if.named(list(ARTICLE_NAMES))))
    assert figures == pytest.approx(ARTICLE_NAMES, rel=1e-12)
    assert what_if.named(["exact_kv_gb", "exact_total_gb", "real_kv_gb", "master_check"]) == pytest.approx(
        [839.2704, 1077.19744, 104.8576, 1], rel=1e-12
    )


def test_article_follows_its_inputs(what_if):
    """With random inputs, the columns "as printed", "exact" and "real model" agree with `core`."""
    rng = random.Random(20261123)
    sheet = Labels("en")("sheet.article")
    cells = article.input_cells()
    figures = article.figure_cells()
    outputs = [(sheet, address) for address in figures.values()]
    requests = [random_article_request(rng) for _ in range(RANDOM_CASES)]
    cases = [{(sheet, cells[key]): value for key, value in request.items()} for request in requests]
    for request, values in zip(requests, what_if.run(cases, outputs)):
        found = dict(zip(figures, values))
        for (block, step, column), expected in expected_article(request).items():
            one_byte = 1 if step == "kv_bytes_per_token" else ONE_BYTE_GB
            assert found[block, step, column] == pytest.approx(expected, rel=TOLERANCE, abs=one_byte), (
                request,
                (block, step, column),
            )


@pytest.fixture(scope="module")
def many_rows(tmp_path_factory):
    """Write a planner with rows of many models at contexts below, within and above their windows, and random rows."""
    rng = random.Random(42)
    names = catalog.model_names()
    if "VRAM_PARITY_CASES" not in os.environ:  # a planner of all models takes four times as long
        names = rng.sample(names, 150)
    rows = [random_row(rng, f"random {number}", models=names) for number in range(RANDOM_ROWS)]
    rows += [row(f"{name} {context}", name, context=context) for name in names for context in CONTEXTS]
    path = tmp_path_factory.mktemp("many") / "planner.xlsx"
    path.write_bytes(planner_rows.small_planner(rows, names))
    return path, rows


def test_scenarios_agree_with_core(program, many_rows):
    """Models, precisions, engines, allocations and GPUs: GB and GPUs; of the first rows the layout too."""
    path, rows = many_rows
    sheet = program.recalculate(path)["Scenarios"]
    for position, values in enumerate(rows):
        number = scenarios.FIRST_ROW + position
        for key, expected in expected_of(values).items():
            found = sheet[f"{scenarios.letter(key)}{number}"]
            if position >= planner_rows.MOST_SCENARIOS and key in DEPLOYED:
                assert found == "–"
            elif isinstance(expected, float):
                assert found == pytest.approx(expected, rel=TOLERANCE, abs=ONE_BYTE_GB), (values, key)
            else:
                assert found == expected, (values, key)


@pytest.mark.parametrize("book", range(LAYOUT_BOOKS))
def test_every_layout_is_the_engines(program, book, tmp_path):
    """Users per replica, layout, GPUs, speed and cost of random scenarios equal those of `core`, in every layout."""
    rng = random.Random(100 + book)
    with_settings = planner_rows.grouped_rows() + planner_rows.drafting_rows()
    rows = with_settings + [
        random_row(rng, f"random {number}", most_context=200_000, most_users=3_000)
        for number in range(scenarios.MOST_SCENARIOS - len(with_settings))
    ]
    path = tmp_path / "planner.xlsx"
    path.write_bytes(planner_rows.small_planner(rows, {values["model"] for values in rows}))
    sheets = program.recalculate(path)
    held = fast = priced = 0
    for position, values in enumerate(rows):
        expected = expected_of(values)
        for key in DEPLOYED:
            assert sheets["Scenarios"][f"{scenarios.letter(key)}{scenarios.FIRST_ROW + position}"] == expected[key], (
                values
            )
        for key, figure in outcome_of(values).items():
            value = sheets["Scenarios"][f"{scenarios.letter(key)}{scenarios.FIRST_ROW + position}"]
            if isinstance(figure, str):
                assert value == figure, (values, key)
            else:
                assert value == pytest.approx(figure, rel=TOLERANCE), (values, key)
                fast += key == "low_tokens_per_s"
                priced += key == "cost_month"
        first = capacity.FIRST_ROW + position * len(LAYOUTS)
        found = [
            sheets["Capacity"][f"{capacity.letter('users_per_replica')}{first + number}"]
            for number in range(len(LAYOUTS))
        ]
        assert found == users_of_layouts(scenario_of(values)), values
        held += sum(users > 0 for users in found)
    assert held > 60
    assert fast > 5 and priced > 5


def test_own_models(what_if):
    """The user's own rows of Models give the same results as `core` for the same figures."""
    rng = random.Random(3)
    cells = models.own_inputs()
    first, row_number = Labels("en")("sheet.models"), scenarios.FIRST_ROW
    keys = ("weights", "kv", "total", "gpus", "deploy")
    outputs = [("Scenarios", f"{scenarios.letter(key)}{row_number}") for key in keys]
    rows = range(capacity.FIRST_ROW, capacity.FIRST_ROW + len(LAYOUTS))
    outputs += [("Capacity", f"{capacity.letter('users_per_replica')}{number}") for number in rows]
    requests = [random_own_model(rng) for _ in range(12)]
    cases = [
        {(first, cells[key]): value for key, value in request.items()}
        | {("Scenarios", f"{scenarios.letter('model')}{row_number}"): request["model"]}
        for request in requests
    ]
    given = scenarios.default_rows(Labels("en"))[0]
    for request, found in zip(requests, what_if.run(cases, outputs)):
        spec = own_model(
            str(request["model"]),
            parameters=int(request["parameters"]),
            num_hidden_layers=int(request["layers"]),
            num_key_value_heads=int(request["kv_heads"]),
            head_dim=int(request["head_dim"]),
            windowed_layers=int(request["windowed_layers"]),
            sliding_window=int(request["window"]),
        )
        mine = scenario_of(given)
        scenario = replace(mine, model=replace(mine.model, spec=spec))
        needs, best = scenario.estimate, scenario.smallest
        sizes = [needs.weights_bytes / GB, needs.kv_bytes / GB, needs.total_bytes / GB]
        assert found[:3] == pytest.approx(sizes, rel=TOLERANCE), request
        assert found[3:5] == [scenario.gpus_by_division, best.gpus if best else "–"], request
        assert found[5:] == users_of_layouts(scenario), request


def random_own_model(rng: random.Random) -> dict[str, object]:
    layers = rng.randint(2, 120)
    return {
        "model": f"mine {rng.randint(1, 9)}",
        "parameters": float(rng.randint(10**8, 10**11)),
        "layers": float(layers),
        "windowed_layers": float(rng.choice([0, layers // 2, rng.randint(0, layers)])),
        "kv_heads": float(rng.choice([1, 2, 4, 8, 16, 64])),
        "head_dim": float(rng.choice([64, 96, 128, 256])),
        "window": float(rng.choice([512, 1024, 4096])),
    }


def test_sensitivity_follows_the_choice(what_if):
    """All grids agree with `core` for each scenario, other contexts and users, a wanted speed and tokens of an answer."""
    rng = random.Random(7)
    labels = Labels("en")
    sheet, inputs = labels("sheet.sensitivity"), plan.input_cells(labels)
    grid, shown, (contexts, users) = sensitivity.grid_cells(), sensitivity.shown_cells(), sensitivity.axis_cells()
    outputs = [(sheet, shown[key]) for key in ("gpu", "layout")] + [(sheet, address) for address in grid.values()]
    requests = [random_sensitivity(rng, values) for values in scenarios.default_rows(labels)]
    cases = [
        {inputs[name]: value for name, value in request.items() if name in inputs}
        | {(sheet, contexts[value]): float(new) for value, new in request["contexts"].items()}
        | {(sheet, users[value]): float(new) for value, new in request["users"].items()}
        for request in requests
    ]
    served = 0
    for request, (gpu, layout, *found) in zip(requests, what_if.run(cases, outputs)):
        for (kind, context, count), value in zip(grid, found):
            at = request["contexts"][context], request["users"][count]
            expected = expected_sensitivity(request, gpu, layout, *at)[kind]
            if isinstance(expected, str):
                assert value == expected, (request, kind, at)
            else:
                assert value == pytest.approx(expected, rel=TOLERANCE), (request, kind, at)
                served += kind == "speed"
    assert served > 200


def random_sensitivity(rng: random.Random, values: dict[str, object]) -> dict:
    """Return a row as the chosen scenario, inputs of a plan, and new contexts and users by those of the template."""
    return {
        "row": values,
        "plan_scenario": values["scenario"],
        "plan_min_speed": rng.choice((0.0, 10.0, 25.0)),
        "plan_output_tokens": rng.choice((None, 100.0, 3000.0)),
        "contexts": {context: rng.randint(200, 150_000) for context in sensitivity.CONTEXTS},
        "users": {count: rng.randint(1, 1500) for count in sensitivity.USERS},
    }


def expected_sensitivity(request: dict, gpu: str, layout: str, context: int, users: int) -> dict[str, object]:
    """Return the figures of a cell of each grid on a GPU in a layout, by `core`."""
    scenario = replace(scenario_of(request["row"]), context=context, users=users)
    found = {"total": scenario.estimate.total_bytes / GB, "gpus": "–", "speed": "–"}
    choice = scenario.gpu_choice if gpu == scenario.gpu_name else choice_of_gpu(catalog.gpu(gpu))
    fitting = [
        option
        for option in options_of(scenario.service, choice, users, context)
        if layout_title(option.replica.tp, option.replica.pp) == layout
    ]
    if not fitting:
        return found
    output = request["plan_output_tokens"]
    tokens = tokens_of(context, None, output if output and output < context else None)
    wish = Wish(tokens=tokens, users=users, requests_per_hour=None, min_speed=request["plan_min_speed"])
    if not has_speed(scenario.model.spec):
        return found | {"gpus": fitting[0].gpus}
    (at_load,) = speeds_of_options(scenario.service, fitting, wish)
    return found | {
        "gpus": at_load.option.gpus,
        "speed": at_load.speed.expected.tokens_per_s_per_user if at_load.speed else "–",
    }


@pytest.mark.parametrize(
    ("column", "value", "problem"),
    [
        ("model", "llama*", "Model"),
        ("model", "nonesuch", "Model"),
        ("model", 70.0, "Model"),
        ("model", None, "Model"),
        ("model", "own-2", "Model"),
        ("context", 0.0, "Context"),
        ("context", 1.5, "Context"),
        ("context", "32K", "Context"),
        ("context", None, "Context"),
        ("context", 1e12, "Context"),
        ("users", 0.0, "Users"),
        ("users", "ten", "Users"),
        ("allocation", "Paged ", "Allocation"),
        ("allocation", None, "Allocation"),
        ("allocation", "paged", "Average tokens"),
        ("output_tokens", 0.5, "Output tokens"),
        ("output_tokens", "many", "Output tokens"),
        ("output_tokens", 32_000.0, "Output tokens"),  # as long as the context
        ("precision", "fp17", "Weights"),
        ("precision", None, "Weights"),
        ("kv_precision", "=1+1", "KV cache"),
        ("kv_precision", "awq", "KV cache"),
        ("engine", "tgi", "Engine"),
        ("engine", "vllm", "Engine"),  # for the article's model only the size is known
        ("overhead_rate", -0.1, "Overhead"),
        ("overhead_rate", 10.0, "Overhead"),
        ("gpu", "h1000", "GPU"),
        ("gpu", "h*", "GPU"),
        ("gpu", None, "GPU"),
        ("gpu_memory", 0.5, "GPU memory"),
        ("gpu_memory", "80 GB", "GPU memory"),
    ],
)
def test_a_wrong_input_shows_a_message_and_no_number(what_if, column, value, problem):
    sheet, row_number = Labels("en")("sheet.scenarios"), scenarios.FIRST_ROW
    keys = ("state", "input_check", *SIZES, "gpus", *DEPLOYED, "capacity", *OUTCOME)
    outputs = [(sheet, f"{scenarios.letter(key)}{row_number}") for key in keys] + ["master_check"]
    ((state, verdict, *results, master),) = what_if.run(
        [{(sheet, f"{scenarios.letter(column)}{row_number}"): value}], outputs
    )
    assert verdict.startswith(f"{problem}:")
    assert state == f"▲ {verdict}"
    assert results == ["–"] * (len(keys) - 2)
    assert master == 0


def test_the_total_counts_the_rows_that_are_right(what_if):
    """A row with a wrong input, one that is too slow and one without a layout are out of the total, and say why."""
    ws, first = Labels("en")("sheet.scenarios"), scenarios.FIRST_ROW

    def at(key: str, row: int) -> tuple[str, str]:
        return ws, f"{scenarios.letter(key)}{row}"

    keys = ("deployable", "cost_month", "state")
    outputs = [at(key, row) for row in (scenarios.TOTAL_ROW, *range(first, first + 10)) for key in keys]
    changes = {
        at("users", first): 0.0,
        at("gpu", first + 6): "dgx-spark",  # Llama 70B in FP8 at 32K: 35 GB of weights in each of two at 273 GB/s
        at("context", first + 7): 200_000.0,  # Llama 3.1 8B has 131 072
        at("kv_precision", first + 8): "q8_0/q4_0",  # of llama.cpp alone
        at("gpu", first + 9): "l4",  # DeepSeek-V3 in eight nodes of one GPU each
    }
    before, after = what_if.run([{}, changes], outputs)
    rows = {row: dict(zip(keys, after[3 * row : 3 * row + 3])) for row in range(11)}
    assert before[2] == "10 of 10, 0 out"
    assert rows[0]["state"] == "7 of 10, 3 out"
    assert rows[1]["state"] == "▲ Users: a whole number from 1"
    assert rows[7]["state"].startswith("▲ Too slow: ") and rows[7]["state"].endswith(" of 10 tokens/s")
    assert rows[8]["state"] == "OK, but context beyond 131,072"
    assert rows[9]["state"] == "OK, but vLLM has no such cache"
    assert rows[10]["state"] == "▲ No layout fits on this GPU"
    counted = [row for number, row in rows.items() if number not in (0, 1, 7, 10)]
    for key in ("deployable", "cost_month"):
        assert rows[0][key] == pytest.approx(sum(row[key] for row in counted), rel=1e-12)
        assert before[keys.index(key)] == pytest.approx(sum(before[3 + keys.index(key) :: 3]), rel=1e-12)


def test_output_tokens_change_the_speed_and_the_users(what_if):
    """Longer answers: shorter prompts of others, so that each user gets more tokens per second; a blank is a ninth."""
    ws, row_number = Labels("en")("sheet.scenarios"), scenarios.FIRST_ROW + 6
    outputs = [(ws, f"{scenarios.letter(key)}{row_number}") for key in ("low_tokens_per_s", "total", "state")]
    cell = ws, f"{scenarios.letter('output_tokens')}{row_number}"
    blank, ninth, half = what_if.run([{cell: None}, {cell: float(32_768 // 9)}, {cell: 16_384.0}], outputs)
    assert blank == ninth
    assert half[0] > blank[0] and half[1:] == blank[1:]


_TAMPERED_ROW = scenarios.FIRST_ROW + 2
_CATALOG_ROW = models.FIRST_ROW + len(models.OWN_MODELS) + 1


OVERWRITTEN = {
    "a figure": ("Article", article.figure_cells()["block_base", "kv", article.LIVE], 801),
    "a total": ("Scenarios", f"{scenarios.letter('total')}{_TAMPERED_ROW}", 1),
    "a GPU count": ("Scenarios", f"{scenarios.letter('gpus')}{_TAMPERED_ROW}", 1),
    "GPUs to deploy": ("Scenarios", f"{scenarios.letter('deploy')}{_TAMPERED_ROW}", 1),
    "an order": ("Options", f"{options.letter('order')}{options.FIRST_ROW + 1}", 0),
    "a text instead of a price": ("Prices", f"{prices.letter('typical')}{prices.FIRST_ROW}", "15k"),
    "a parameter count": ("Models", f"D{_CATALOG_ROW}", 7_000_000_000),
    "text for a parameter count": ("Models", f"D{_CATALOG_ROW + 2}", "many"),
}
LISTED_TWICE = {"a model listed twice": ("Models", f"A{_CATALOG_ROW + 1}", "llama-2-7b")}


def test_master_check_finds_an_overwritten_cell(program, small_planner, tmp_path):
    """In a planner whose protection was removed. IronCalc's COUNTIF accepts no array of criteria (0.9.1)."""
    (tmp_path / "planner.xlsx").write_bytes(unprotected(small_planner.read_bytes()))
    overwritten = OVERWRITTEN | (LISTED_TWICE if program is libreoffice else {})
    cases = [{(sheet, address): value} for sheet, address, value in overwritten.values()]
    with program.WhatIf(tmp_path / "planner.xlsx") as session:
        *found, (as_written,) = session.run([*cases, {}], ["master_check"])
    assert {name for name, (check,) in zip(overwritten, found, strict=True) if check != 0} == set()
    assert as_written == 1


def random_article_request(rng: random.Random) -> dict[str, float | str]:
    return {
        "parameters": rng.choice([7, 13, 70, 405, rng.uniform(0.1, 2000)]),
        "layers": float(rng.randint(1, 200)),
        "hidden": float(rng.randint(64, 20_000)),
        "bytes_per_parameter": rng.choice([4.0, 2.0, 1.0, 0.5, 0.5625]),
        "bytes_per_value": rng.choice([4.0, 2.0, 1.0, 0.5, 0.5625]),
        "context": float(rng.randint(1, 1_000_000)),
        "users": float(rng.randint(1, 10_000)),
        "overhead_rate": rng.choice([0.0, 0.1, 1.0, rng.random()]),
        "one_user": float(rng.randint(1, 5)),
        "short_context": float(rng.randint(1, 10_000)),
        "gpu_memory": rng.choice([24.0, 40.0, 80.0, 141.0, rng.uniform(8, 300)]),
    }


def expected_article(request: dict[str, float | str]) -> dict[tuple[str, str, str], float]:
    expected = {}
    inputs = ArticleInputs(
        params_b=request["parameters"],
        num_hidden_layers=int(request["layers"]),
        hidden_size=int(request["hidden"]),
        bytes_per_parameter=request["bytes_per_parameter"],
        bytes_per_value=request["bytes_per_value"],
        overhead=request["overhead_rate"],
        gpu_memory_gb=request["gpu_memory"],
        context=int(request["context"]),
        users=int(request["users"]),
    )
    fields = [["params_b", inputs.params_b], ["layers", inputs.num_hidden_layers], ["hidden", inputs.hidden_size]]
    (exact_model,) = model_cells(fields, allow_size=False).elements
    models = {article.EXACT: exact_model, article.REAL: catalog.model(article.REAL_MODEL).spec}
    for block, changes in (
        ("block_base", {}),
        ("block_one_user", {"users": int(request["one_user"])}),
        ("block_8k", {"context": int(request["short_context"])}),
    ):
        case = replace(inputs, **changes)
        printed = article_figures(case)
        for step, value in (
            ("weights", printed.weights_gb),
            ("kv_per_token", printed.kv_per_token_mb),
            ("kv", printed.kv_gb),
            ("overhead", printed.overhead_gb),
            ("total", printed.total_gb),
            ("gpus", printed.gpus),
        ):
            expected[block, step, article.LIVE] = value
        for column, model in models.items():
            need = estimate(
                model,
                context=case.context,
                users=case.users,
                precision=precision_of_bytes("precision", case.bytes_per_parameter),
                kv_precision=precision_of_bytes("kv_precision", case.bytes_per_value),
                overhead=case.overhead,
            )
            expected |= {
                (block, "weights", column): need.weights_bytes / GB,
                (block, "kv_bytes_per_token", column): need.kv_bytes_per_token,
                (block, "kv", column): need.kv_bytes / GB,
                (block, "overhead", column): need.overhead_bytes / GB,
                (block, "total", column): need.total_bytes / GB,
                (block, "gpus", column): gpus_by_division(need.total_bytes, case.gpu_memory_gb),
            }
    return expected


def same(a: object, b: object) -> bool:
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return a == pytest.approx(b, rel=1e-12)
    return a == b
