"""Test the size of texts on paper, with figures computed by hand."""

from __future__ import annotations

import openpyxl
import pytest
from openpyxl.styles import Font
from openpyxl.utils import get_column_letter

from workbook.audit.opening import opened
from workbook.audit.paper import small_print
from workbook.audit.subject import subject


@pytest.fixture
def page() -> openpyxl.Workbook:
    """Build a sheet of ten columns of 100 pixels in 11 pt, fitted to an A4 page without margins."""
    book = openpyxl.Workbook()
    ws = book.active
    for column in range(1, 11):
        ws.cell(1, column, column)
        ws.column_dimensions[get_column_letter(column)].width = 100 / 7  # Calibri 11 has digits of 7 pixels
    ws.page_setup.paperSize = ws.PAPERSIZE_A4
    ws.sheet_properties.pageSetUpPr.fitToPage = True
    ws.page_setup.fitToHeight = 0
    for side in ("left", "right", "top", "bottom"):
        setattr(ws.page_margins, side, 0)
    return book


def small(book: openpyxl.Workbook, folder) -> list[str]:
    book.save(folder / "t.xlsx")
    return [str(fault) for fault in small_print(subject(opened(folder / "t.xlsx")))]


def found(size: str, printed: str) -> list[str]:
    return [f"Sheet ({size} pt print as {printed} pt: print fewer columns, or make them narrower)"]


def test_width(page, tmp_path):
    """1000 pixels are 750 pt. A4 is 8.27 in = 595 pt wide: 79 % of 11 pt are 8.7; of 10 pt, 7.9."""
    assert small(page, tmp_path) == []
    page.active["C1"].font = Font(sz=10)
    assert small(page, tmp_path) == found("10", "7.9")
    page.active.page_setup.orientation = "landscape"  # 842 pt: nothing is enlarged
    assert small(page, tmp_path) == []


def test_only_what_is_printed_counts(page, tmp_path):
    page.active["C1"].font = Font(sz=10)
    page.active.print_area = "A1:B1"
    assert small(page, tmp_path) == []
    page.active.print_area = "A1:J1"
    page.active.column_dimensions["A"].hidden = True  # 675 pt: 88 %
    assert small(page, tmp_path) == []


def test_a_sheet_may_have_a_comma_in_its_name(page, tmp_path):
    """Two areas are two, also where the sheet's name has the character between them."""
    page.active.title = "Costs, speed"
    page.active["C1"].font = Font(sz=10)
    page.active.print_area = "A1:B1,D1:E1"
    assert small(page, tmp_path) == []
    page.active.print_area = "A1:B1,C1:J1"  # 8 columns of 75 pt are 600 pt: 99 %
    assert small(page, tmp_path) == []


def test_height_and_pages(page, tmp_path):
    """80 rows of 15 pt are 1200 pt on a page of 842 pt: 70 % of 11 pt; on two pages the width decides."""
    page.active["A80"] = 1
    page.active.page_setup.fitToHeight = 1
    assert small(page, tmp_path) == found("11", "7.7")
    page.active.page_setup.fitToHeight = 2
    assert small(page, tmp_path) == []


def test_a_scale_that_is_set(page, tmp_path):
    page.active.sheet_properties.pageSetUpPr.fitToPage = False
    page.active.page_setup.scale = 70
    assert small(page, tmp_path) == found("11", "7.7")


def test_columns_of_the_usual_width(page, tmp_path):
    """16 columns of 64 pixels are 768 pt: 77.5 % of 10 pt. With Arial 11 they have 72 pixels: 69 % of 11 pt."""
    for letter in "ABCDEFGHIJ":
        del page.active.column_dimensions[letter]
    page.active["P1"] = 1
    page.active["P1"].font = Font(sz=10)
    assert small(page, tmp_path) == found("10", "7.8")
    page.active["P1"].font = Font(sz=11)
    page._named_styles["Normal"].font = Font(name="Arial", sz=11)
    assert small(page, tmp_path) == found("11", "7.6")
