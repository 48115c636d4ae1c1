"""Test what Plan shows where little or nothing can be chosen: words and dashes, and no error."""

from __future__ import annotations

import io

import openpyxl
import pytest

from core.catalog.offers import catalog_offers
from tests.spreadsheets.programs import in_each_program
from tests.workbook.planner_rows import few, row
from workbook.labels import Labels
from workbook.sheets import best, options, plan, prices
from workbook.template import without_values

pytestmark = pytest.mark.slow

LABELS = Labels("en")
SHEETS = ("plan", "best", "plan_workings", "options", "prices")
PLAN, BEST, WORKINGS, OPTIONS, PRICES = (LABELS(f"sheet.{key}") for key in SHEETS)
GPUS = ("h100-sxm", "h200-sxm", "l40s")


@pytest.fixture(scope="module")
def planner(tmp_path_factory):
    """Write a planner with three scenarios and the options of three GPUs; return it and its formula cells."""
    with few(gpus=GPUS):
        usual = {"engine": "vllm", "users": 20, "gpu": "l40s"}
        rows = [
            row("one", "llama-3.1-8b", **usual),
            row("two", "llama-3.1-8b", **usual, context=200_000, kv_precision="q8_0"),
            row("three", "llama-3.1-8b", **usual, draft_model="eagle3-llama-3.1-8b", mtp_tokens=3, acceptance=0.6),
        ]
        content = without_values("en", rows)
    path = tmp_path_factory.mktemp("plan") / "planner.xlsx"
    path.write_bytes(content)
    book = openpyxl.load_workbook(io.BytesIO(content))
    cells = [
        (title, cell.coordinate)
        for title in (PLAN, BEST, WORKINGS)
        for cells in book[title].iter_rows()
        for cell in cells
        if cell.data_type == "f"
    ]
    return path, cells


def given_speeds(path) -> list[tuple[str, str]]:
    """Return the cells of Options for measured speeds."""
    (place,) = openpyxl.load_workbook(path, read_only=True).defined_names["given_speeds"].destinations
    first, last = (int(cell.split("$")[-1]) for cell in place[1].split(":"))
    return [(OPTIONS, f"{options.letter(options.GIVEN_SPEED)}{row}") for row in range(first, last + 1)]


def says(found: dict[tuple[str, str], object], key: str, **values: str) -> bool:
    """Return whether Plan shows a doubt."""
    return any(LABELS(f"plan.doubt_{key}", **values) in str(found[PLAN, f"E{row}"]) for row in range(27, 31))


@in_each_program
def test_inputs_that_leave_little_to_choose(program, planner):
    """Each input changes the answer as it says, and no cell shows an error."""
    path, cells = planner
    inputs = plan.input_cells(LABELS)
    cases = [
        {},
        {inputs["plan_candidates"]: "h200-sxm"},
        {inputs["plan_candidates"]: "no-such-gpu"},
        {inputs["plan_min_speed"]: 100_000.0},
        {inputs["plan_way_wanted"]: "rent"},
        {inputs["plan_currency"]: "EUR", inputs["plan_exchange_rate"]: 2.0},
        {inputs["plan_people"]: 400.0, inputs["plan_active_share"]: 0.05, inputs["plan_users"]: 20.0},
        dict.fromkeys(given_speeds(path), 77.0),
        {inputs["plan_scenario"]: "two"},
        {inputs["plan_scenario"]: "three"},
    ]
    with program.WhatIf(path) as session:
        results = [dict(zip(cells, values)) for values in session.run(cases, cells)]
    for case, found in zip(cases, results):
        errors = {place: value for place, value in found.items() if str(value).startswith(("#", "Err:"))}
        assert errors == {}, case
    usual, alone, unknown, too_fast, rented, euros, twice, measured, doubtful, drafting = results
    first = [f"E{18 + place}" for place in range(best.SHOWN)]
    assert {usual[PLAN, cell] for cell in first[:3]} == set(GPUS) and usual[PLAN, first[3]] == "–"
    assert [alone[PLAN, cell] for cell in first] == ["h200-sxm", *["–"] * 4]
    for nothing in (unknown, too_fast):
        assert nothing[PLAN, "E3"] == LABELS("plan.nothing") and nothing[PLAN, first[0]] == "–"
    assert says(unknown, "names") and says(twice, "demand")
    assert says(measured, "measured", count=str(len(given_speeds(path)))) and not says(measured, "speed")
    for key, values in {"beyond": {"model": "llama-3.1-8b", "longest": "131,072"}, "cache": {"format": "q8_0"}}.items():
        assert says(doubtful, key, **values) and not says(usual, key, **values)
    assert says(drafting, "drafts", share="60") and not says(drafting, "speed")
    assert says(usual, "speed") and not says(usual, "drafts", share="85")
    assert "77 – 77" in {str(value) for value in measured.values()}
    assert {rented[PLAN, f"F{18 + place}"] for place in range(best.SHOWN)} <= {LABELS("procurement.rent"), "–"}
    assert euros[PLAN, "L18"] == pytest.approx(2 * usual[PLAN, "L18"])
    assert euros[PLAN, "E9"] == "EUR"


@in_each_program
def test_a_quote_without_rows_on_options_is_named(program, tmp_path):
    """It counts by the rule of prices, but the planner has no rows for its GPU: Prices and Plan say so."""
    path = tmp_path / "planner.xlsx"
    offers = [offer for offer in catalog_offers() if offer.gpu in GPUS]
    with few(gpus=GPUS):
        path.write_bytes(without_values("en", offers=offers))
    quote = {"kind": "own quote", "terms": "buy", "typical": 9000.0}
    row = prices.FIRST_ROW + len(offers)
    cases = [
        {(PRICES, f"{prices.letter(key)}{row}"): value for key, value in {**quote, "gpu": gpu}.items()}
        for gpu in ("h20-141gb", "h100-sxm")
    ]
    wanted = [
        (PRICES, f"{prices.letter('state')}{row}"),
        "offers_no_options",
        *((PLAN, f"E{n}") for n in range(27, 31)),
    ]
    with program.WhatIf(path) as session:
        (state, count, *doubts), (other, none, *fewer) = session.run(cases, wanted)
    assert (state, count) == (LABELS("prices.state_no_options"), 1) and state.startswith("▲")
    assert (other, none) == (LABELS("prices.outcome_used_own_stale"), 0)
    said = LABELS("plan.doubt_no_options", count="1")
    assert [said in str(doubt) for doubt in doubts] == [True, False, False, False]
    assert not any(said in str(doubt) for doubt in fewer)


def test_the_five_options_are_of_five_gpus(planner):
    """The table of the best options takes the best layout of each GPU, in the order of the ranking."""
    from workbook.recalculation import computed_values

    values = computed_values(planner[0].read_bytes())
    numbers = range(options.FIRST_ROW, options.FIRST_ROW + 200)
    ranked = sorted(
        (values[OPTIONS][f"{options.letter('rank')}{n}"], values[OPTIONS][f"{options.letter('gpu')}{n}"])
        for n in numbers
        if isinstance(values[OPTIONS].get(f"{options.letter('rank')}{n}"), (int, float))
    )
    expected = list(dict.fromkeys(gpu for _, gpu in ranked))
    assert [values[BEST][best.cell("gpu", place + 1)] for place in range(len(expected))] == expected
