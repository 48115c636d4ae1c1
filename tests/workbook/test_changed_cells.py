"""Test that `vram read` names every cell of a planner whose formula or catalog figure was overwritten."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import openpyxl
import pytest
from openpyxl.worksheet.table import Table, TableColumn

from core.catalog.offers import catalog_offers
from tests.workbook.package_edits import Xlsx
from workbook.changed_cells import Change, Changes
from workbook.labels import Labels
from workbook.planner_reader import Planner
from workbook.sheets import gpus, options, plan, plan_inputs, prices, scenarios
from workbook.template import without_values

pytestmark = pytest.mark.usefixtures("few_models")

FIRST_QUOTE = prices.FIRST_ROW + len(catalog_offers())


@pytest.fixture(scope="module", params=["en", "zh"])
def small(request) -> tuple[str, bytes]:
    """The language and the content of a small planner without values."""
    return request.param, without_values(request.param)


@pytest.fixture(scope="module")
def english() -> bytes:
    return without_values("en")


def changes(content: bytes, folder: Path) -> Changes:
    (folder / "planner.xlsx").write_bytes(content)
    return Planner(folder / "planner.xlsx").changes()


def edited(content: bytes, edit) -> bytes:
    book = openpyxl.load_workbook(BytesIO(content))
    edit(book)
    out = BytesIO()
    book.save(out)
    return out.getvalue()


def test_a_planner_as_written_has_no_changes(small, tmp_path):
    _, content = small
    assert changes(content, tmp_path) == Changes((), ())


def test_inputs_may_be_changed(small, tmp_path):
    language, content = small

    def fill(book):
        ws = book[Labels(language)("sheet.scenarios")]
        ws.title = "Budget 2027"
        for row in range(scenarios.FIRST_ROW, scenarios.FIRST_ROW + 3):
            ws[f"{scenarios.letter('users')}{row}"] = 5
        for sheet in book:
            first = 1 if sheet.title != Labels(language)("sheet.prices") else FIRST_QUOTE
            for row in sheet.iter_rows(min_row=first):
                for cell in row:
                    if not cell.protection.locked and isinstance(cell.value, float):
                        cell.value = 0.5

    assert changes(edited(content, fill), tmp_path) == Changes((), ())


def formula_column(ws, table: str) -> tuple[str, str, int]:
    """Return the letter, the heading and the third data row of a column of a table that has one formula."""
    area = ws.tables[table]
    column = next(column for column in area.tableColumns if column.calculatedColumnFormula is not None)
    (header, *_) = ws[area.ref]
    cell = next(cell for cell in header if cell.value == column.name)
    return cell.column_letter, column.name, cell.row + 3


def test_a_cell_of_a_formula_column_is_named(english, tmp_path):
    tables, expected = ("Scenarios", "Options", "Capacity", "GPUs"), {}

    def overwrite(book):
        for table in tables:
            ws = next(ws for ws in book if table in ws.tables)
            letter, heading, row = formula_column(ws, table)
            ws[f"{letter}{row}"], ws[f"{letter}{row + 1}"] = 123, "=1+2"
            expected[f"{ws.title}!{letter}{row}"] = (heading, Change.CONSTANT, 123)
            expected[f"{ws.title}!{letter}{row + 1}"] = (heading, Change.OTHER_FORMULA, "=1+2")

    found = changes(edited(english, overwrite), tmp_path).cells
    assert {cell.cell: (cell.heading, cell.change, cell.stored) for cell in found} == expected
    assert len(found) == 2 * len(tables)
    for constant, other in zip(found[::2], found[1::2]):
        assert constant.expected == other.expected
        assert str(constant.expected).startswith("=") and "#This Row" not in str(constant.expected)


def test_named_results_and_catalog_figures_are_named(english, tmp_path):
    def overwrite(book):
        models = book["Models"]
        models["I20"], models["D21"] = 3, "=1"
        book["Article"]["E24"] = 5
        book["Layouts"]["B100"] = 77
        book["Precisions"]["C8"] = 9
        book["GPUs"]["A6"] = "my-gpu"
        book["Checks"]["B9"] = None

    found = {
        change.cell: (change.change, change.stored) for change in changes(edited(english, overwrite), tmp_path).cells
    }
    assert found == {
        "Models!I20": (Change.OTHER_VALUE, 3),
        "Models!D21": (Change.OTHER_FORMULA, "=1"),
        "Article!E24": (Change.CONSTANT, 5),
        "Layouts!B100": (Change.OTHER_VALUE, 77),
        "Precisions!C8": (Change.OTHER_VALUE, 9),
        "GPUs!A6": (Change.OTHER_VALUE, "my-gpu"),
        "Checks!B9": (Change.BLANK, None),
    }


def test_a_cell_of_each_sheet_behind_the_plan_is_named(small, tmp_path):
    """A figure of Plan, Options and Plan workings over its formula; another figure of the catalog on the others."""
    language, content = small
    labels = Labels(language)
    option, offer = options.FIRST_ROW + 2, prices.FIRST_ROW
    places = {
        ("plan", "L18"): Change.CONSTANT,
        ("plan", plan.SENTENCES["headline"].replace("$", "")): Change.CONSTANT,
        ("plan_workings", "B7"): Change.CONSTANT,
        ("options", f"{options.letter('net_present_cost')}{option}"): Change.CONSTANT,
        ("options", f"{options.letter('capacity_row')}{option}"): Change.OTHER_VALUE,
        ("prices", f"{prices.letter('state')}{offer}"): Change.CONSTANT,
        ("prices", f"{prices.letter('typical')}{offer}"): Change.OTHER_VALUE,
        ("prices", f"{prices.letter('gpu')}{offer + 1}"): Change.OTHER_VALUE,
        ("gpus", gpus.address("tdp", "h100-sxm")): Change.OTHER_VALUE,
        ("gpus", gpus.address("memory_gb", "l40s")): Change.CONSTANT,
        ("models", "I20"): Change.OTHER_VALUE,
    }

    def overwrite(book):
        for sheet, address in places:
            book[labels(f"sheet.{sheet}")][address] = 123
        # Inputs: of Plan, an own quote, and a measured speed.
        book[labels("sheet.options")][f"{options.letter(options.GIVEN_SPEED)}{option}"] = 123
        book[labels("sheet.plan")][plan_inputs.cell("plan_users")] = 123
        book[labels("sheet.prices")][f"{prices.letter('typical')}{FIRST_QUOTE}"] = 123

    found = changes(edited(content, overwrite), tmp_path)
    expected = {f"{labels(f'sheet.{sheet}')}!{address}": change for (sheet, address), change in places.items()}
    assert {cell.cell.replace("'", ""): cell.change for cell in found.cells} == expected
    assert all(cell.stored == 123 for cell in found.cells) and found.notes == ()


def test_a_column_without_its_declaration_is_compared_with_its_majority(tmp_path):
    """Other programs drop the declared formula, and Excel writes a formula once for the cells that share it."""
    book = openpyxl.load_workbook(BytesIO(without_values("en")))
    ws = book.create_sheet("Mine")
    ws.append(["n", "twice"])
    for row in range(2, 7):
        ws.append([row, f"=A{row}*2"])
    ws["B4"] = "=A4*3"
    table = Table(displayName="Mine", ref="A1:B6")
    table.tableColumns = [TableColumn(id=1, name="n"), TableColumn(id=2, name="twice")]
    ws.add_table(table)
    out = BytesIO()
    book.save(out)
    x = Xlsx(out.getvalue())

    def share(root) -> None:
        main = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
        for cell in root.iter(main + "c"):
            if cell.get("r") in ("B2", "B3", "B5"):
                formula = cell.find(main + "f")
                formula.set("t", "shared")
                formula.set("si", "0")
                formula.text = formula.text if cell.get("r") == "B2" else None

    x.edit_sheet("Mine", share)
    (found,) = changes(x.content, tmp_path).cells
    assert (found.cell, found.heading, found.change) == ("Mine!B4", "twice", Change.OTHER_FORMULA)
    assert (found.stored, found.expected) == ("=A4*3", "=A2*2")


def test_a_planner_of_another_version_is_compared_with_itself(english, tmp_path):
    def edit(book):
        book.properties.creator = "VRAM planner 0.0.1"
        book["Models"]["I20"] = 3
        letter, _, row = formula_column(book["Options"], "Options")
        book["Options"][f"{letter}{row}"] = 1

    found = changes(edited(english, edit), tmp_path)
    assert [change.cell.partition("!")[0] for change in found.cells] == ["Options"]
    assert len(found.notes) == 1 and "another version" in found.notes[0]


def test_a_rearranged_sheet_is_not_compared(english, tmp_path):
    found = changes(edited(english, lambda book: book["Article"].insert_rows(1, 2)), tmp_path)
    assert not [change for change in found.cells if change.cell.startswith("Article!")]
    assert found.notes == ("Article is arranged in another way than in the template: it is not compared.",)


def test_the_command_names_the_cells(vram, english, tmp_path):
    path = tmp_path / "planner.xlsx"
    path.write_bytes(edited(english, lambda book: book["Article"].__setitem__("E24", 5)))
    status, out, err = vram("read", path)
    assert (status, err) == (1, "")
    assert "Article!E24 (article_total_gb) was overwritten by 5; its formula is =E19+E22+E23\n" in out
    status, out, _ = vram("read", path, "--json")
    answer = json.loads(out)
    assert (status, answer["agrees"], answer["notes"]) == (1, False, [])
    assert [(found["cell"], found["change"]) for found in answer["changed_cells"]] == [("Article!E24", "constant")]
