"""Compute a workbook's formulas with IronCalc, so that the file holds the results before anyone opens it."""

from __future__ import annotations

import os
import re
import tempfile
import zipfile
from collections.abc import Collection, Iterable, Mapping
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
    content = quick_to_compute(xlsx)
    handle, path = tempfile.mkstemp(suffix=".xlsx")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        model = ironcalc.load_from_xlsx(path, "en", "UTC", "en")
    finally:
        os.remove(path)
    model.evaluate()
    values: Values = {}
    for sheet, index, row, column, address in cells:
        values.setdefault(sheet, {})[address] = model.get_cell_value(index, row, column)
    return values


def quick_to_compute(xlsx: bytes) -> bytes:
    """Return a workbook that IronCalc reads correctly and quickly, with the same formulas in another form."""
    tables = _tables(xlsx)
    one_row = _column_of({table.displayName for table in tables if _has_one_row(table)})
    return rewritten(xlsx, partial(_for_ironcalc, _columns_of(tables), one_row), compression=zipfile.ZIP_STORED)


def _for_ironcalc(
    columns: Mapping[tuple[str, str], str], one_row: re.Pattern[bytes] | None, part: str, content: bytes
) -> bytes:
    """Return a sheet without what IronCalc misreads or reads slowly.

    Typed blank cells lose their type. IronCalc 0.9.1 takes a column of a table with one row for a cell, in which INDEX
    and MATCH find nothing; "from this column to this column" is a range for it. A reference to the formula's own row of
    a table becomes one to the cell: with such references IronCalc takes three times as long to load. A formula that
    fills a column is written once.
    """
    if not part.startswith("xl/worksheets/"):
        return content
    if one_row:
        content = _FORMULA.sub(lambda found: one_row.sub(rb"\1[[\2]:[\2]]", found[0]), content)
    shared: dict[tuple[bytes, bytes], int] = {}
    pieces: dict[bytes, list[str]] = {}
    filled: dict[bytes, bool] = {}

    def with_cells(found: re.Match[bytes]) -> bytes:
        start, column, row, text = found.groups()
        if text not in pieces:
            formula = unescape(text.decode())
            filled[text] = _means_the_same_in_each_row(formula)
            pieces[text] = _pieces(formula, columns)
        number = shared.get((column, text))
        if number is not None:
            return b'%b<f t="shared" si="%d"/>' % (start, number)
        in_cells = escape(row.decode().join(pieces[text])).encode()
        if not filled[text]:
            return b"%b<f>%b</f>" % (start, in_cells)
        shared[column, text] = len(shared)
        return b'%b<f t="shared" ref="%b%b" si="%d">%b</f>' % (start, column, row, len(shared) - 1, in_cells)

    return _ROW_FORMULA.sub(with_cells, _BLANK_TYPED_AS_NUMBER.sub(rb"\1\2\3", content))


def _means_the_same_in_each_row(formula: str) -> bool:
    """Return whether a formula has no relative reference but those to its own row of a table."""
    return not _RELATIVE_ROW.search(_THIS_ROW.sub("", _TEXT.sub("", formula)))


# The start of a formula cell, its column and row, and its formula if that refers to a row of a table.
_ROW_FORMULA = re.compile(rb'(<c r="([A-Z]+)(\d+)"[^>]*>)<f>([^<]*#This Row[^<]*)</f>')
_FORMULA = re.compile(rb"<f>[^<]*</f>")
_COLUMN = r"\[(?:[^\]']|'.)*\]"
_THIS_ROW = re.compile(rf"(\w+)\[\[#This Row\],({_COLUMN})(?::({_COLUMN}))?\]")
_TEXT = re.compile(r'"(?:[^"]|"")*"')
_RELATIVE_ROW = re.compile(r"(?<![\w.$])\$?[A-Z]{1,3}\d+(?![\w.(])")


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


def _tables(xlsx: bytes) -> list[Table]:
    """Return the tables of a workbook."""
    with zipfile.ZipFile(BytesIO(xlsx)) as package:
        parts = [part for part in package.namelist() if part.startswith("xl/tables/")]
        return [Table.from_tree(fromstring(package.read(part))) for part in parts]


def _has_one_row(table: Table) -> bool:
    _, first_row, _, last_row = range_boundaries(table.ref)
    return last_row == first_row + 1


def _column_of(names: Collection[str]) -> re.Pattern[bytes] | None:
    """Return the pattern of a reference to a whole column of these tables; None without tables."""
    if not names:
        return None
    return re.compile(rb"\b(%s)\[((?:[^\[\]']|'.)*)\]" % "|".join(map(re.escape, sorted(names))).encode())


def _columns_of(tables: Iterable[Table]) -> dict[tuple[str, str], str]:
    """Return the letter of each column of each table: (table, heading) → letter."""
    found = {}
    for table in tables:
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
