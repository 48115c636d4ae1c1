"""Write the worksheet with the settings, as a part of a workbook's package."""

from __future__ import annotations

from collections.abc import Sequence

from lxml import etree
from openpyxl.xml.constants import SHEET_MAIN_NS

# Widths of the columns name, value and description, in characters.
_WIDTHS = (32, 60, 70)


def settings_sheet(rows: Sequence[tuple[str, str, str]], code_name: str) -> bytes:
    """Return a worksheet's XML with one row per setting, from A1 on, where xlwings expects them.

    Args:
        rows: name, value and description of each setting.
        code_name: the sheet's name in VBA.
    """
    sheet = etree.Element(_tag("worksheet"), nsmap={None: SHEET_MAIN_NS})
    etree.SubElement(sheet, _tag("sheetPr"), codeName=code_name)
    columns = etree.SubElement(sheet, _tag("cols"))
    for number, width in enumerate(_WIDTHS, start=1):
        etree.SubElement(columns, _tag("col"), min=str(number), max=str(number), width=str(width), customWidth="1")
    data = etree.SubElement(sheet, _tag("sheetData"))
    for number, row in enumerate(rows, start=1):
        element = etree.SubElement(data, _tag("row"), r=str(number))
        for column, text in zip("ABC", row, strict=True):
            cell = etree.SubElement(element, _tag("c"), r=f"{column}{number}", t="inlineStr")
            etree.SubElement(etree.SubElement(cell, _tag("is")), _tag("t")).text = text
    return etree.tostring(sheet, xml_declaration=True, encoding="UTF-8", standalone=True)


def _tag(name: str) -> str:
    return f"{{{SHEET_MAIN_NS}}}{name}"
