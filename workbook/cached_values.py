"""Store computed values with the formulas of an .xlsx.

openpyxl writes formulas without results, so a preview pane, a phone, Protected View or pandas would show nothing. Only
the value elements of formula cells change.
"""

from __future__ import annotations

import re
import zipfile
from io import BytesIO
from xml.sax.saxutils import escape

from workbook.package import FORMULA_CELL, rewritten, sheet_of_part
from workbook.recalculation import Values

_TYPE = re.compile(rb' t="[^"]*"')


def with_values(xlsx: bytes, values: Values) -> bytes:
    """Return the workbook with each formula cell's value taken from `values` (sheet → address → value).

    Args:
        xlsx: a workbook saved by openpyxl.

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
    def filled(cell: re.Match[bytes]) -> bytes:
        address, attributes, formula = cell.groups()
        cell_type, text = _typed(values[address.decode()])
        value = b"" if text is None else b"<v>%b</v>" % escape(text).encode()
        return b'<c r="%b"%b%b>%b%b</c>' % (address, _TYPE.sub(b"", attributes), cell_type, formula, value)

    return FORMULA_CELL.sub(filled, sheet_xml)


def _typed(value: object) -> tuple[bytes, str | None]:
    """Return the attribute of a value's type, and its text."""
    if isinstance(value, bool):
        return b' t="b"', str(int(value))
    if isinstance(value, (int, float)):
        return b"", repr(value)
    if value is None:
        return b"", None
    return (b' t="e"' if str(value).startswith("#") else b' t="str"'), str(value)
