"""The native formulas against `core`, recalculated by LibreOffice and by IronCalc."""

from __future__ import annotations

import random
from dataclasses import replace

import openpyxl
import pytest

from core import catalog
from core.article import ArticleInputs, article_figures
from core.cells.models import model_cells
from core.fleet import gpus_by_division
from core.precision import precision_of_bytes
from core.sizing import Estimate, estimate
from core.units import GB
from tests.article_names import ARTICLE_NAMES
from tests.engines import ironcalc_engine, libreoffice
from workbook.labels import Labels
from workbook.sheets import article, scenarios, sensitivity

ENGINES = {"libreoffice": libreoffice, "ironcalc": ironcalc_engine}
TOLERANCE = 1e-9
ONE_BYTE_GB = 1e-9  # `core` works in whole bytes, formulas do not
RANDOM_CASES = 200


@pytest.fixture(params=ENGINES)
def engine(request):
    return ENGINES[request.param]


@pytest.fixture
def what_if(engine, planners):
    with engine.WhatIf(planners["en"]) as session:
        yield session


def test_recalculated_values_are_those_in_the_file(engine, planner):
    """A hard recalculation of every formula changes nothing, in either language."""
    stored = stored_values(planner)
    recalculated = engine.recalculate(planner)
    for (sheet, address), value in stored.items():
        assert same(recalculated[sheet][address], value), (sheet, address)


def test_the_articles_figures_come_out_of_live_formulas(what_if):
    figures = dict(zip(ARTICLE_NAMES, what_if.named(list(ARTICLE_NAMES))))
    assert figures == pytest.approx(ARTICLE_NAMES, rel=1e-12)
    assert what_if.named(["exact_kv_gb", "exact_total_gb", "real_kv_gb", "master_check"]) == pytest.approx(
        [839.2704, 1077.19744, 104.8576, 1], rel=1e-12
    )


def test_article_follows_its_inputs(what_if):
    """Each input changed at random: as printed, exact and real model are what `core` says."""
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


def test_scenarios_follow_their_inputs(what_if):
    """Rows filled at random: GB and GPUs are what `core` says, for every model and precision."""
    rng = random.Random(42)
    sheet = Labels("en")("sheet.scenarios")
    row = scenarios.FIRST_ROW
    outputs = [(sheet, f"{letter}{row}") for letter in "IJKLMN"]
    requests = [random_scenario(rng) for _ in range(RANDOM_CASES)]
    cases = [{(sheet, f"{letter}{row}"): value for letter, value in zip("BCDEFGH", request)} for request in requests]
    for request, (verdict, weights, kv, overhead, total, gpus) in zip(requests, what_if.run(cases, outputs)):
        model, context, users, precision, kv_precision, fraction, gpu_memory_gb = request
        expected = estimate_of(model, context, users, precision, kv_precision, fraction)
        assert verdict == "OK", request
        assert [weights, kv, overhead, total] == pytest.approx(
            [size / GB for size in (expected.weights_bytes, expected.kv_bytes, expected.overhead_bytes, expected.total_bytes)],
            rel=TOLERANCE,
            abs=ONE_BYTE_GB,
        ), request
        assert gpus == gpus_by_division(expected.total_bytes, gpu_memory_gb), request


def test_every_model_of_the_catalog(what_if):
    """Weights and KV cache of each model at contexts below, inside and above its windows."""
    sheet, row = Labels("en")("sheet.scenarios"), scenarios.FIRST_ROW
    outputs = [(sheet, f"{letter}{row}") for letter in "JK"]
    requests = [(name, context) for name in catalog.model_names() for context in (100, 4_096, 131_072)]
    cases = [{(sheet, f"B{row}"): name, (sheet, f"C{row}"): float(context)} for name, context in requests]
    fp16 = catalog.precision("precision", "fp16")
    for (name, context), (weights, kv) in zip(requests, what_if.run(cases, outputs)):
        spec = catalog.model(name).spec
        users = scenarios.DEFAULT_SCENARIOS[0].users
        expected = estimate(spec, context=context, users=users, precision=fp16, kv_precision=fp16)
        assert [weights, kv] == pytest.approx(
            [expected.weights_bytes / GB, expected.kv_bytes / GB], rel=TOLERANCE
        ), (name, context)


def test_sensitivity_follows_its_inputs(what_if):
    """Both grids are what `core` says, for models and precisions drawn at random."""
    rng = random.Random(7)
    sheet = Labels("en")("sheet.sensitivity")
    cells, grid = sensitivity.input_cells(), sensitivity.grid_cells()
    outputs = [(sheet, address) for address in grid.values()]
    requests = [random_scenario(rng) for _ in range(20)]
    keys = ("model", "precision", "kv_precision", "overhead_rate", "gpu_memory")
    values = [[request[i] for i in (0, 3, 4, 5, 6)] for request in requests]
    cases = [{(sheet, cells[key]): value for key, value in zip(keys, row)} for row in values]
    for (model, precision, kv_precision, fraction, gpu_memory_gb), found in zip(values, what_if.run(cases, outputs)):
        for (kind, context, users), value in zip(grid, found):
            expected = estimate_of(model, context, users, precision, kv_precision, fraction).total_bytes
            if kind == "gpus":
                assert value == gpus_by_division(expected, gpu_memory_gb)
            else:
                assert value == pytest.approx(expected / GB, rel=TOLERANCE)


@pytest.mark.parametrize(
    ("column", "value", "problem"),
    [
        ("B", "lama-3.1-70b", "Model"),
        ("B", "llama*", "Model"),
        ("B", None, "Model"),
        ("B", 70.0, "Model"),
        ("C", 0.0, "Context"),
        ("C", -1.0, "Context"),
        ("C", 1.5, "Context"),
        ("C", "32K", "Context"),
        ("C", None, "Context"),
        ("C", 1e12, "Context"),
        ("D", 0.0, "Users"),
        ("D", "ten", "Users"),
        ("E", "fp17", "Weights precision"),
        ("F", "=1+1", "KV precision"),
        ("G", -0.1, "Overhead"),
        ("G", 10.0, "Overhead"),
        ("H", 0.0, "GPU memory"),
    ],
)
def test_bad_input_says_so_and_gives_no_number(what_if, column, value, problem):
    sheet, row = Labels("en")("sheet.scenarios"), scenarios.FIRST_ROW
    outputs = [(sheet, f"{letter}{row}") for letter in "IJKLMN"] + ["master_check"]
    ((verdict, *numbers, master),) = what_if.run([{(sheet, f"{column}{row}"): value}], outputs)
    assert verdict.startswith(f"{problem}:")
    assert numbers == ["#N/A"] * 5
    assert master == 0


@pytest.mark.parametrize(
    ("sheet", "address", "value"),
    [
        pytest.param("Article", article.figure_cells()["block_base", "kv", article.LIVE], 801, id="a figure"),
        pytest.param("Scenarios", "M9", 1, id="a total"),
        pytest.param("Scenarios", "N9", 1, id="a GPU count"),
        pytest.param("Models", "D6", 7_000_000_000, id="a parameter count"),
        pytest.param("Models", "D8", "many", id="text for a parameter count"),
    ],
)
def test_master_check_sees_what_was_overwritten(engine, planners, tmp_path, sheet, address, value):
    assert master_check_after(engine, planners["en"], tmp_path, sheet, address, value) == 0


def test_master_check_sees_a_model_listed_twice(planners, tmp_path):
    """Not in IronCalc, whose COUNTIF takes no array of criteria (0.9.1)."""
    assert master_check_after(libreoffice, planners["en"], tmp_path, "Models", "A7", "llama-2-7b") == 0


def master_check_after(engine, planner, folder, sheet, address, value):
    """The master check of a copy of `planner` in which one cell was overwritten, locked or not."""
    book = openpyxl.load_workbook(planner)
    book[sheet][address].value = value
    tampered = folder / "tampered.xlsx"
    book.save(tampered)
    with engine.WhatIf(tampered) as session:
        return session.named(["master_check"])[0]


def estimate_of(model, context, users, precision, kv_precision, overhead) -> Estimate:
    """What `core` says of a row, by the names that stand in its cells."""
    return estimate(
        catalog.model(model).spec,
        context=context,
        users=users,
        precision=catalog.precision("precision", precision),
        kv_precision=catalog.precision("kv_precision", kv_precision),
        overhead=overhead,
    )


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
        "real_model": rng.choice(catalog.model_names()),
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
    ((exact_model,),) = model_cells(fields, size_is_enough=False)
    models = {article.EXACT: exact_model, article.REAL: catalog.model(request["real_model"]).spec}
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


def random_scenario(rng: random.Random) -> tuple:
    names = ["fp32", "fp16", "bf16", "fp8", "int8", "int4"]
    return (
        rng.choice(catalog.model_names()),
        float(rng.choice([1, 128, 8192, 32_768, 131_072, rng.randint(1, 10**7)])),
        float(rng.choice([1, 10, 100, rng.randint(1, 10**5)])),
        rng.choice(names),
        rng.choice(names),
        rng.choice([0.0, 0.1, 1.0, round(rng.random(), 3)]),
        rng.choice([24.0, 40.0, 80.0, 141.0, 192.0]),
    )


def stored_values(path) -> dict[tuple[str, str], object]:
    values = openpyxl.load_workbook(path, data_only=True)
    return {
        (ws.title, cell.coordinate): values[ws.title][cell.coordinate].value
        for ws in openpyxl.load_workbook(path)
        for row in ws.iter_rows()
        for cell in row
        if cell.data_type == "f"
    }


def same(a: object, b: object) -> bool:
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return a == pytest.approx(b, rel=1e-12)
    return a == b
