"""Compute a workbook's formulas with IronCalc, so that the file holds the results before anyone opens it."""

from __future__ import annotations

import os
import re
import tempfile
import zipfile
from io import BytesIO

from openpyxl.utils import coordinate_to_tuple

from workbook.package import FORMULA_CELL, rewritten, sheet_of_part

Values = dict[str, dict[str, object]]

# openpyxl gives a blank styled cell the type "number", and IronCalc up to 0.9.1 reads it as 0 (IronCalc issue 1425).
_BLANK_TYPED_AS_NUMBER = re.compile(rb'(<c\b[^>]*?) t="n"([^>]*?)(/>|></c>)')


def computed_values(xlsx: bytes) -> Values:
    """Return the value of every formula cell: sheet → address → number, text, boolean, or error text ("#N/A").

    Args:
        xlsx: a workbook saved by openpyxl.
    """
    import ironcalc  # imported here because only writing a workbook needs it

    cells = _formula_cells(xlsx)
    handle, path = tempfile.mkstemp(suffix=".xlsx")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(rewritten(xlsx, _untype_blank_cells))
        model = ironcalc.load_from_xlsx(path, "en", "UTC", "en")
    finally:
        os.remove(path)
    model.evaluate()
    values: Values = {}
    for sheet, index, row, column, address in cells:
        values.setdefault(sheet, {})[address] = model.get_cell_value(index, row, column)
    return values


def _untype_blank_cells(part: str, content: bytes) -> bytes:
    return _BLANK_TYPED_AS_NUMBER.sub(rb"\1\2\3", content) if part.startswith("xl/worksheets/") else content


def _formula_cells(xlsx: bytes) -> list[tuple[str, int, int, int, str]]:
    """Return (sheet, its position, row, column, address) of each formula cell of a workbook saved by openpyxl."""
    with zipfile.ZipFile(BytesIO(xlsx)) as package:
        titles = sheet_of_part(package)
        return [
            (title, position, *coordinate_to_tuple(address.decode()), address.decode())
            for position, (part, title) in enumerate(titles.items())
            for address, *_ in FORMULA_CELL.findall(package.read(part))
        ]
