"""Test that the checks of the catalog fail when one of its figures was overwritten, and when nothing else was."""

from __future__ import annotations

import itertools

import pytest

from core.catalog.offers import catalog_offers
from tests.spreadsheets import ironcalc_program
from tests.workbook.package_edits import unprotected
from tests.workbook.planner_rows import few
from workbook.labels import LANGUAGES, Labels
from workbook.sheets import checks, checksums, models, prices
from workbook.template import without_values

FIRST_QUOTE = prices.FIRST_ROW + len(catalog_offers())
DATE = 46_327.0  # 2026-11-01
OWN_MODEL = {
    "model": "mine", "parameters": 7e9, "layers": 32.0, "windowed_layers": 0.0, "kv_heads": 8.0, "head_dim": 128.0,
    "window": 0.0,
}  # fmt: skip


@pytest.fixture(scope="module", params=LANGUAGES)
def planner(request, tmp_path_factory):
    """Open a small planner without protection; return its labels, the session, and the row and title of each check."""
    path = tmp_path_factory.mktemp("checksums") / "planner.xlsx"
    labels = Labels(request.param)
    with few():
        path.write_bytes(unprotected(without_values(request.param)))
    with ironcalc_program.WhatIf(path) as session:
        rows = range(checks.FIRST_ROW, 1000)
        titles = session.get([(labels("sheet.checks"), f"A{row}") for row in rows])
        yield labels, session, dict(zip(rows, itertools.takewhile(bool, titles)))


def failed(planner, cells) -> list[str]:
    """Return the checks that are not 1 after an overwriting of (key of a sheet, address) → value."""
    labels, session, titles = planner
    changes = {(labels(f"sheet.{sheet}"), address): value for (sheet, address), value in cells.items()}
    results = [(labels("sheet.checks"), f"B{row}") for row in titles]
    ((master, *values),) = session.run([changes], ["master_check", *results])
    assert master == (1 if all(value == 1 for value in values) else 0)
    return [title for title, value in zip(titles.values(), values, strict=True) if value != 1]


def test_a_planner_as_written_passes(planner):
    assert failed(planner, {}) == []


@pytest.mark.parametrize(
    "sheet, address, value",
    [
        ("models", "I20", 3),
        ("models", "A12", "another-name"),
        ("gpus", "I10", 9999),
        ("gpus", "I9", None),
        ("layouts", "F200", 1),
        ("speed_figures", "K40", 1),
        ("precisions", "C9", 7),
        ("prices", "L8", 1),
        ("prices", "A9", "h100-sxm5"),
    ],
)
def test_an_overwritten_figure_fails_the_check_of_its_sheet(planner, sheet, address, value):
    labels, *_ = planner
    found = failed(planner, {(sheet, address): value})
    assert labels("checks.catalog", sheet=labels(f"sheet.{sheet}")) in found
    others = {labels("checks.catalog", sheet=labels(f"sheet.{other}")) for other in checksums.SHEETS if other != sheet}
    assert not others & {*found}


def test_own_models_and_quotes_pass(planner):
    labels, *_ = planner
    quote = {"gpu": "h100-sxm", "typical": 20_000, "gpus": 1, "date": DATE, "note": "mine"}
    quote |= {"kind": labels("prices.kind_own_quote"), "terms": labels("prices.terms_buy")}
    cells = {("prices", f"{prices.letter(key)}{FIRST_QUOTE}"): value for key, value in quote.items()}
    own = models.own_inputs()
    cells |= {("models", own[key]): value for key, value in OWN_MODEL.items()}
    assert failed(planner, cells) == []
