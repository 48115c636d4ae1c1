"""Compute a workbook's formulas with IronCalc, so that the file holds the results before anyone opens it."""

from __future__ import annotations

import os
import re
import tempfile
from io import BytesIO

from openpyxl import load_workbook

from workbook.package import rewritten

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
    workbook = load_workbook(BytesIO(xlsx))
    return [
        (ws.title, index, cell.row, cell.column, cell.coordinate)
        for index, ws in enumerate(workbook)
        for row in ws.iter_rows()
        for cell in row
        if cell.data_type == "f"
    ]
