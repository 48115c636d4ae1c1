"""Law: a cell of Prices that is blank, a text or stale never changes the options unless a sheet says so."""

from __future__ import annotations

import random

import pytest

from core.catalog.offers import catalog_offers
from tests.spreadsheets import ironcalc_program
from tests.workbook.planner_rows import few, row
from workbook.labels import Labels
from workbook.sheets import capacity, options, plan, prices
from workbook.template import without_values

pytestmark = pytest.mark.slow

LABELS = Labels("en")
GPUS = ("h100-sxm", "h200-sxm", "l40s")
CASES = 30
CHANGES = (None, "?", 40_000.0)  # blank, a text, and a number or date (2009-07-06) that is out of place
NOTHING = "–"


@pytest.fixture(scope="module")
def planner(tmp_path_factory):
    """Write a planner with one scenario and the options of three GPUs."""
    path = tmp_path_factory.mktemp("silent") / "planner.xlsx"
    offers = [offer for offer in catalog_offers() if offer.gpu in GPUS]
    with few(gpus=GPUS):
        path.write_bytes(without_values("en", [row("chat", "llama-3.1-8b", engine="vllm", gpu="l40s")], offers=offers))
        return path, len(offers), len(capacity.option_rows(offers))


def test_no_cell_of_prices_changes_the_options_silently(planner):
    """Every option has a rank or a reason; where a change moves one, the changed offer's state is another one."""
    path, offers, count = planner
    rng = random.Random(29)
    sheets = {key: LABELS(f"sheet.{key}") for key in ("prices", "options", "plan")}
    states = [(sheets["prices"], f"{prices.letter('state')}{prices.FIRST_ROW + n}") for n in range(offers)]
    columns = ("rank", "state", "net_present_cost")
    shown = [
        (sheets["options"], f"{options.letter(key)}{options.FIRST_ROW + n}") for n in range(count) for key in columns
    ]
    doubts = [(sheets["plan"], f"E{n}") for n in range(27, 31)]
    changed = [(rng.randrange(offers), rng.choice(prices.INPUT_KEYS), rng.choice(CHANGES)) for _ in range(CASES)]
    aged = {plan.input_cells(LABELS)["plan_date"]: 60_000.0}  # in 2064
    cases = [{}, aged]
    cases += [{(sheets["prices"], f"{prices.letter(key)}{prices.FIRST_ROW + n}"): value} for n, key, value in changed]
    with ironcalc_program.WhatIf(path) as session:
        results = session.run(cases, [*states, *shown, *doubts])
    found = [(values[:offers], values[offers : -len(doubts)], values[-len(doubts) :]) for values in results]
    usual_states, usual, _ = found[0]
    for _, rows, _ in found:
        for rank, state, cost in zip(*(rows[i::3] for i in range(3))):
            assert isinstance(rank, (int, float)) == isinstance(cost, (int, float)) or state not in (NOTHING, "")
            assert isinstance(rank, (int, float)) == (state == LABELS("options.in"))
            assert state not in (NOTHING, "", None)
    assert any("stale" in str(state) for state in found[1][0])
    assert any("stale" in str(doubt) for doubt in found[1][2])
    moved = 0
    for (n, key, value), (now, rows, _) in zip(changed, found[2:]):
        if rows != usual:
            moved += 1
            assert now[n] != usual_states[n] or key == "typical", (n, key, value, usual_states[n])
    assert moved > CASES / 10
