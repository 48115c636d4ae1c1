"""Write the worksheet that Excel-DNA's IntelliSense add-in reads: it shows a function's arguments while they are typed.

Layout, from WorkbookIntelliSenseProvider.cs of github.com/Excel-DNA/IntelliSense: a sheet named `_IntelliSense_` with
"FunctionInfo" in A1 and the version of the layout in B1; in each row below a function, its description, a page of help,
and the name and description of each argument.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lxml import etree
from openpyxl.utils import get_column_letter
from openpyxl.xml.constants import SHEET_MAIN_NS

from addin.functions import CellFunction

SHEET_NAME = "_IntelliSense_"
_HEADING = ("FunctionInfo", "1")
_NO_HELP = ""


def intellisense_sheet(functions: Iterable[CellFunction], code_name: str) -> bytes:
    """Return the worksheet's XML; `code_name` is the sheet's name in VBA."""
    sheet = etree.Element(_tag("worksheet"), nsmap={None: SHEET_MAIN_NS})
    etree.SubElement(sheet, _tag("sheetPr"), codeName=code_name)
    data = etree.SubElement(sheet, _tag("sheetData"))
    for number, texts in enumerate((_HEADING, *map(_row, functions)), start=1):
        row = etree.SubElement(data, _tag("row"), r=str(number))
        for column, text in enumerate(texts, start=1):
            if text:
                place = f"{get_column_letter(column)}{number}"
                cell = etree.SubElement(row, _tag("c"), r=place, t="inlineStr")
                etree.SubElement(etree.SubElement(cell, _tag("is")), _tag("t")).text = text
    return etree.tostring(sheet, xml_declaration=True, encoding="UTF-8", standalone=True)


def _row(function: CellFunction) -> Sequence[str]:
    arguments = (text for argument in function.arguments for text in (argument.label, argument.description))
    return (function.name, function.description, _NO_HELP, *arguments)


def _tag(name: str) -> str:
    return f"{{{SHEET_MAIN_NS}}}{name}"
