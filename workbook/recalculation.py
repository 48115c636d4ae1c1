"""Compute a workbook's formulas with IronCalc, so that the file holds the results before anyone opens it."""

from __future__ import annotations

import os
import re
import tempfile
import zipfile
from collections.abc import Mapping
from functools import partial
from html import unescape
from io import BytesIO
from xml.sax.saxutils import escape

from openpyxl.utils import coordinate_to_tuple, get_column_letter, range_boundaries
from openpyxl.worksheet.table import Table
from openpyxl.xml.functions import fromstring

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
            file.write(rewritten(xlsx, partial(_for_ironcalc, _columns_of_tables(xlsx))))
        model = ironcalc.load_from_xlsx(path, "en", "UTC", "en")
    finally:
        os.remove(path)
    model.evaluate()
    values: Values = {}
    for sheet, index, row, column, address in cells:
        values.setdefault(sheet, {})[address] = model.get_cell_value(index, row, column)
    return values


def _for_ironcalc(columns: Mapping[tuple[str, str], str], part: str, content: bytes) -> bytes:
    """Return a sheet without what IronCalc misreads or reads slowly.

    Typed blank cells lose their type. A reference to the formula's own row of a table becomes one to the cell: with
    such references IronCalc 0.9.1 takes three times as long to load.
    """
    if not part.startswith("xl/worksheets/"):
        return content
    pieces: dict[bytes, list[str]] = {}

    def with_cells(found: re.Match[bytes]) -> bytes:
        text = found["formula"]
        if text not in pieces:
            pieces[text] = _pieces(unescape(text.decode()), columns)
        return b"%b<f>%b</f>" % (found["start"], escape(found["row"].decode().join(pieces[text])).encode())

    return _ROW_FORMULA.sub(with_cells, _BLANK_TYPED_AS_NUMBER.sub(rb"\1\2\3", content))


# The start of a formula cell, the number of its row, and its formula if that refers to a row of a table.
_ROW_FORMULA = re.compile(rb'(?P<start><c r="[A-Z]+(?P<row>\d+)"[^>]*>)<f>(?P<formula>[^<]*#This Row[^<]*)</f>')
_COLUMN = r"\[(?:[^\]']|'.)*\]"
_THIS_ROW = re.compile(rf"(\w+)\[\[#This Row\],({_COLUMN})(?::({_COLUMN}))?\]")


def _pieces(formula: str, columns: Mapping[tuple[str, str], str]) -> list[str]:
    """Return what stands between the row numbers of a formula whose references to its own row are cells."""
    pieces, start = [""], 0
    for found in _THIS_ROW.finditer(formula):
        table, *names = found.groups()
        pieces[-1] += formula[start : found.start()]
        for number, name in enumerate(filter(None, names)):
            pieces[-1] += ":$" * number + "$" * (not number) + columns[table, re.sub("'(.)", r"\1", name[1:-1])]
            pieces.append("")
        start = found.end()
    pieces[-1] += formula[start:]
    return pieces


def _columns_of_tables(xlsx: bytes) -> dict[tuple[str, str], str]:
    """Return the letter of each column of each table: (table, heading) → letter."""
    found = {}
    with zipfile.ZipFile(BytesIO(xlsx)) as package:
        for part in package.namelist():
            if part.startswith("xl/tables/"):
                table = Table.from_tree(fromstring(package.read(part)))
                first = range_boundaries(table.ref)[0]
                for number, column in enumerate(table.tableColumns, start=first):
                    found[table.displayName, column.name] = get_column_letter(number)
    return found


def _formula_cells(xlsx: bytes) -> list[tuple[str, int, int, int, str]]:
    """Return (sheet, its position, row, column, address) of each formula cell of a workbook saved by openpyxl."""
    with zipfile.ZipFile(BytesIO(xlsx)) as package:
        titles = sheet_of_part(package)
        return [
            (title, position, *coordinate_to_tuple(address.decode()), address.decode())
            for position, (part, title) in enumerate(titles.items())
            for address, *_ in FORMULA_CELL.findall(package.read(part))
        ]
