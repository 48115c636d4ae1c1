"""Test that the checks of the catalog fail when one of its figures was overwritten, and when nothing else was."""

from __future__ import annotations

import datetime

import openpyxl
import pytest

from core.catalog.offers import catalog_offers
from tests.workbook.planner_rows import few
from workbook.labels import LANGUAGES, Labels
from workbook.recalculation import computed_values
from workbook.sheets import checks, checksums, models, prices
from workbook.template import without_values

FIRST_QUOTE = prices.FIRST_ROW + len(catalog_offers())


@pytest.fixture(scope="module", params=LANGUAGES)
def planner(request, tmp_path_factory):
    """Write a small planner; return its language and its path."""
    path = tmp_path_factory.mktemp("checksums") / "planner.xlsx"
    with few():
        path.write_bytes(without_values(request.param))
    return Labels(request.param), path


def failed(path, labels, folder, cells) -> list[str]:
    """Return the checks that are not 1 after an overwriting of (key of a sheet, address) → value."""
    book = openpyxl.load_workbook(path)
    for (sheet, address), value in cells.items():
        book[labels(f"sheet.{sheet}")][address].value = value
    book.save(folder / "changed.xlsx")
    values = computed_values((folder / "changed.xlsx").read_bytes())[labels("sheet.checks")]
    ws = book[labels("sheet.checks")]
    rows = [row for row in range(checks.FIRST_ROW, ws.max_row + 1) if ws[f"A{row}"].value]
    assert values["B5"] == (1 if all(values[f"B{row}"] == 1 for row in rows) else 0)
    return [ws[f"A{row}"].value for row in rows if values[f"B{row}"] != 1]


def test_a_planner_as_written_passes(planner, tmp_path):
    labels, path = planner
    assert failed(path, labels, tmp_path, {}) == []


@pytest.mark.parametrize(
    "sheet, address, value",
    [
        ("models", "I20", 3),
        ("models", "A12", "another-name"),
        ("gpus", "I20", 9999),
        ("gpus", "I9", None),
        ("layouts", "F200", 1),
        ("speed_figures", "K40", 1),
        ("precisions", "C9", 7),
        ("prices", "L8", 1),
        ("prices", "A9", "h100-sxm5"),
    ],
)
def test_an_overwritten_figure_fails_the_check_of_its_sheet(planner, tmp_path, sheet, address, value):
    labels, path = planner
    found = failed(path, labels, tmp_path, {(sheet, address): value})
    assert labels("checks.catalog", sheet=labels(f"sheet.{sheet}")) in found
    others = {labels("checks.catalog", sheet=labels(f"sheet.{other}")) for other in checksums.SHEETS if other != sheet}
    assert not others & {*found}


def test_own_models_and_quotes_pass(planner, tmp_path):
    labels, path = planner
    quote = {"gpu": "h100-sxm", "typical": 20_000, "gpus": 1, "date": datetime.datetime(2026, 11, 1), "note": "mine"}
    quote |= {"kind": labels("prices.kind_own_quote"), "terms": labels("prices.terms_buy")}
    cells = {("prices", f"{prices.letter(key)}{FIRST_QUOTE}"): value for key, value in quote.items()}
    cells |= (
        {("models", address): 2 for address in list(models.own_cells().values())[1:]}
        if hasattr(models, "own_cells")
        else {}
    )
    assert failed(path, labels, tmp_path, cells) == []
