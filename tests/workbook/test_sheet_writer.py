"""The quick writer of sheets writes what openpyxl writes."""

from __future__ import annotations

import datetime
import zipfile
from io import BytesIO

import pytest
from openpyxl import Workbook
from openpyxl.comments import Comment
from openpyxl.styles import Font
from openpyxl.worksheet.formula import ArrayFormula
from openpyxl.writer.excel import ExcelWriter
from openpyxl.xml.functions import fromstring, tostring

from tests.workbook.planner_rows import few
from workbook.sheet_writer import QuickExcelWriter
from workbook.template import build_sheets

VALUES = (
    1, -0.1, 1e300, True, "text", " spaces ", 'a < b & c > "d"', '=A1&"<"', "–", "line\nline\r", "", None,
    datetime.date(2026, 1, 31), "=SUM(A1:A2)",
)  # fmt: skip


def parts(writer: type[ExcelWriter], workbook: Workbook) -> dict[str, bytes]:
    """Return the XML of each sheet in one form, so that only its meaning counts."""
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as package:
        writer(workbook, package).write_data()
    with zipfile.ZipFile(out) as package:
        names = [name for name in package.namelist() if name.startswith("xl/worksheets/")]
        return {name: tostring(fromstring(package.read(name))) for name in names}


def workbook_of_every_kind() -> Workbook:
    workbook = Workbook()
    ws = workbook.active
    for row, value in enumerate(VALUES, start=1):
        ws.cell(row, 1).value = value
        ws.cell(row, 30).value = value
        ws.cell(row, 30).font = Font(bold=True)
    ws["C1"].value = ArrayFormula("C1:C2", "=A1:A2*2")
    ws["D1"].hyperlink = "https://example.com"
    ws["E1"].comment = Comment("a comment", "somebody")
    ws["F40"].font = Font(bold=True)
    ws.row_dimensions[3].height = 40
    ws.row_dimensions[50].height = 40
    return workbook


def article_and_checks() -> Workbook:
    with few():
        workbook = build_sheets("zh").openpyxl
    for ws in workbook.worksheets[6:14]:
        workbook.remove(ws)
    return workbook


@pytest.mark.parametrize("build", [workbook_of_every_kind, article_and_checks])
def test_cells_are_written_as_openpyxl_writes_them(build):
    assert parts(QuickExcelWriter, build()) == parts(ExcelWriter, build())
