"""Store computed values with the formulas of an .xlsx.

openpyxl writes formulas without results, so a preview pane, a phone, Protected View or pandas would show nothing. Only
the value elements of formula cells change.
"""

from __future__ import annotations

import zipfile
from io import BytesIO

from lxml import etree
from openpyxl.xml.constants import SHEET_MAIN_NS

from workbook.package import rewritten, sheet_of_part
from workbook.recalculation import Values

_CELL, _FORMULA, _VALUE = (f"{{{SHEET_MAIN_NS}}}{tag}" for tag in "cfv")


def with_values(xlsx: bytes, values: Values) -> bytes:
    """Return the workbook with each formula cell's value taken from `values` (sheet → address → value).

    Raises:
        KeyError: a formula cell has no value.
    """
    with zipfile.ZipFile(BytesIO(xlsx)) as package:
        sheets = sheet_of_part(package)
    return rewritten(
        xlsx,
        lambda part, content: _sheet_with_values(content, values.get(sheets[part], {})) if part in sheets else content,
    )


def _sheet_with_values(sheet_xml: bytes, values: dict[str, object]) -> bytes:
    root = etree.fromstring(sheet_xml, etree.XMLParser(resolve_entities=False))
    for cell in root.iter(_CELL):
        if cell.find(_FORMULA) is not None:
            _store_value(cell, values[cell.get("r")])
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", standalone=True)


def _store_value(cell, value: object) -> None:
    element = cell.find(_VALUE)
    if element is None:
        element = etree.SubElement(cell, _VALUE)
    cell.attrib.pop("t", None)
    if isinstance(value, bool):
        cell.set("t", "b")
        element.text = str(int(value))
    elif isinstance(value, (int, float)):
        element.text = repr(value)
    elif value is None:
        cell.remove(element)
    else:
        cell.set("t", "e" if str(value).startswith("#") else "str")
        element.text = str(value)
