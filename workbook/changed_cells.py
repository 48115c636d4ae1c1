"""Find cells of a filled planner that a user overwrote: formulas, and figures of the catalog.

The columns of tables are found by their headings, so rows may have been added and sheets renamed. Other cells are
compared with those of the template of this version at the same address.
"""

from __future__ import annotations

import datetime
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from math import isclose
from pathlib import Path
from typing import IO, NamedTuple

from lxml import etree
from openpyxl import Workbook
from openpyxl.cell import Cell
from openpyxl.packaging.core import DocumentProperties
from openpyxl.reader.strings import read_string_table
from openpyxl.utils import coordinate_to_tuple, quote_sheetname, range_boundaries
from openpyxl.utils.datetime import to_excel
from openpyxl.worksheet.table import Table
from openpyxl.worksheet.worksheet import Worksheet
from openpyxl.xml.constants import ARC_CORE, SHEET_MAIN_NS
from openpyxl.xml.functions import fromstring

from workbook.audit.formula import as_shown, filled_form
from workbook.audit.references import address
from workbook.labels import LANGUAGES, Labels
from workbook.package import sheet_of_part
from workbook.scenario import plain_header
from workbook.sheets import models, prices, scenarios
from workbook.template import CREATOR, SHEET_ORDER, build_sheets

MOST_CELLS_NAMED = 1000  # of a column; a planner with more changes is another workbook
ARC_SHARED_STRINGS = "xl/sharedStrings.xml"
_TABLES = {models.TABLE, prices.TABLE, scenarios.TABLE}  # a file without them is no planner, but an exported one
_FEW_CELLS = 20  # up to this number, changes are always named
_TOLERANCE = 1e-12  # of numbers that a spreadsheet program has saved again, in 15 digits or more
_ROW, _CELL, _FORMULA, _VALUE, _INLINE = (f"{{{SHEET_MAIN_NS}}}{tag}" for tag in ("row", "c", "f", "v", "is"))
_CELLS = etree.ETXPath(_CELL)
_TEXT = etree.ETXPath(f"string({_INLINE})")


class Change(Enum):
    """What a cell holds where the planner has something else."""

    CONSTANT = "constant"
    OTHER_FORMULA = "other formula"
    BLANK = "blank"
    OTHER_VALUE = "other value"


@dataclass(frozen=True)
class ChangedCell:
    """A cell that does not hold what the planner put there.

    Attributes:
        cell: its address ("Options!J7").
        heading: the heading of its table column, its name, or the label of its row.
        stored: what stands there; a formula as Excel shows it.
        expected: the catalog's value, or the formula as Excel shows it.
    """

    cell: str
    heading: str
    change: Change
    stored: object
    expected: object


@dataclass(frozen=True)
class Changes:
    """The changed cells of a planner, and what could not be compared.

    Attributes:
        is_planner: whether the file is a planner; of an exported one the formulas of pages are not compared.
    """

    cells: tuple[ChangedCell, ...]
    notes: tuple[str, ...]
    is_planner: bool = True


class _Content(NamedTuple):
    """What a cell of the file holds: a formula (its text and its form, the same wherever it is filled), or a value."""

    value: object = None
    text: str = ""
    form: str = ""


_Contents = dict[tuple[int, int], _Content]
_BLANK = _Content()


@dataclass
class _Column:
    """A column of a table of the file, as far as it has been read."""

    heading: str
    declared: str
    forms: Counter[str] = field(default_factory=Counter)
    texts: dict[str, str] = field(default_factory=dict)
    rows_of_forms: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    constants: list[tuple[int, object]] = field(default_factory=list)
    filled: int = 0

    def add(self, row: int, content: _Content) -> None:
        self.filled += 1
        if content.form:
            if content.form not in self.forms and len(self.forms) == MOST_CELLS_NAMED:
                return
            self.forms[content.form] += 1
            self.texts.setdefault(content.form, content.text)
            _append(self.rows_of_forms[content.form], row)
        else:
            _append(self.constants, (row, content.value))

    def changes(self, at: str, column: int) -> Iterator[ChangedCell]:
        """Yield the cells that differ from the column's formula, if it has one."""
        if not self.forms or (not self.declared and 2 * sum(self.forms.values()) <= self.filled):
            return
        expected = max(self.forms, key=lambda form: (form == self.declared, self.forms[form]))
        formula = as_shown(self.texts[expected])
        for row, value in self.constants:
            yield ChangedCell(address(at, row, column), self.heading, Change.CONSTANT, value, formula)
        for form, rows in self.rows_of_forms.items():
            if form != expected:
                for row in rows:
                    stored = as_shown(self.texts[form])
                    yield ChangedCell(address(at, row, column), self.heading, Change.OTHER_FORMULA, stored, formula)


@dataclass(frozen=True)
class _TableArea:
    """The data rows of a table of the file."""

    name: str
    first_row: int
    last_row: int
    first_column: int
    columns: tuple[_Column, ...]


@dataclass(frozen=True)
class _Template:
    """The planner of this version, with the sheets that correspond to those of the file: file's title → sheet."""

    book: Workbook
    sheets: Mapping[str, Worksheet]

    def changes(self, title: str, areas: Iterable[_TableArea], contents: _Contents) -> list[ChangedCell] | None:
        """Return the cells of a sheet whose content in the file is another one; None if most cells differ.

        Input cells are not compared, except offers of the catalog, which belong to the source next to them.
        """
        ws = self.sheets[title]
        by_name = {area.name: area for area in areas}
        found, in_tables = [], set()
        for table in ws.tables.values():
            places = _places(ws, table, by_name.get(table.displayName), contents)
            for cell, place, heading in places:
                is_fixed = self.is_locked(cell) or (table.displayName == prices.TABLE and cell.value is not None)
                found.append(self._change(cell, title, place, heading, contents) if is_fixed else None)
            first_column, first_row, last_column, last_row = range_boundaries(table.ref)
            in_tables |= {
                (row, c) for row in range(first_row, last_row + 1) for c in range(first_column, last_column + 1)
            }
        for place, cell in ws._cells.items():
            if place not in in_tables and cell.data_type in "fnbd" and cell.value is not None:
                found.append(self._change(cell, title, place, "", contents) if self.is_locked(cell) else None)
        differing = [change for change in found if change is not None]
        return differing if len(differing) <= max(_FEW_CELLS, len(found) // 2) else None

    def is_locked(self, cell: Cell) -> bool:
        return bool(self.book._protections[cell._style.protectionId].locked)

    def _change(
        self, cell: Cell, title: str, place: tuple[int, int], heading: str, contents: _Contents
    ) -> ChangedCell | None:
        content = contents.get(place, _BLANK)
        change = _difference(cell, content, place)
        if change is None:
            return None
        expected = as_shown(str(cell.value)) if cell.data_type == "f" else cell.value
        stored = as_shown(content.text) if content.form else content.value
        return ChangedCell(address(title, *place), heading or self._label(cell), change, stored, expected)

    def _label(self, cell: Cell) -> str:
        """Return the name of a cell of the template, or the first text in its row."""
        reference = f"{quote_sheetname(cell.parent.title)}!${cell.column_letter}${cell.row}"
        for name, defined in self.book.defined_names.items():
            if defined.attr_text == reference:
                return name
        row = (cell.parent._cells.get((cell.row, column)) for column in range(1, cell.column))
        return next((str(other.value) for other in row if other is not None and other.data_type == "s"), "")


def changed_cells(path: Path, tables: Sequence[tuple[str, Table]]) -> Changes:
    """Compare the planner at `path`, which has been checked, with its own columns and with the template.

    An exported file, which is no planner, has no table of the template to compare.

    Args:
        tables: (sheet, table) of every table in the file.
    """
    found: list[ChangedCell] = []
    notes: list[str] = []
    with zipfile.ZipFile(path) as package:
        sheets = {title: part for part, title in sheet_of_part(package).items()}
        is_planner = any(table.displayName in _TABLES for _, table in tables)
        template = _template(package, list(sheets), tables) if is_planner else None
        if is_planner and template is None:
            notes.append("It is a planner of another version: its formulas are compared, but not its catalog.")
        texts = _shared_texts(package)
        for title, part in sheets.items():
            areas = [_area(table) for sheet, table in tables if sheet == title and table.headerRowCount != 0]
            ws = template.sheets.get(title) if template else None
            if part not in package.namelist() or (not areas and ws is None):
                continue
            with package.open(part) as file:
                contents = _read(file, texts, areas, ws)
            for area in areas:
                for number, column in enumerate(area.columns, start=area.first_column):
                    found += column.changes(title, number)
            if template is not None and ws is not None:
                differing = template.changes(title, areas, contents)
                if differing is None:
                    notes.append(f"{title} is arranged in another way than in the template: it is not compared.")
                else:
                    found += differing
    unique = {change.cell: change for change in reversed(found)}
    cells = tuple(unique[cell] for cell in dict.fromkeys(change.cell for change in found))
    return Changes(cells, tuple(notes), is_planner)


def _template(package: zipfile.ZipFile, titles: Sequence[str], tables: Sequence[tuple[str, Table]]) -> _Template | None:
    """Build the planner of this version in the language of the file; None if another version wrote the file."""
    creator = ""
    if ARC_CORE in package.namelist():
        creator = DocumentProperties.from_tree(fromstring(package.read(ARC_CORE))).creator or ""
    if creator.startswith(CREATOR.rpartition(" ")[0]) and creator != CREATOR:
        return None
    by_language = {lang: {Labels(lang)(f"sheet.{key}") for key in SHEET_ORDER} for lang in LANGUAGES}
    book = build_sheets(max(LANGUAGES, key=lambda lang: len(by_language[lang] & {*titles}))).openpyxl
    renamed = {table.displayName: title for title, table in tables}
    sheets = {}
    for ws in book.worksheets:
        title = next((renamed[name] for name in ws.tables if name in renamed), ws.title)
        if title in titles:
            sheets[title] = ws
    return _Template(book, sheets)


def _difference(cell: Cell, content: _Content, place: tuple[int, int]) -> Change | None:
    """Return the difference between the content of a cell and that of the template's `cell`."""
    if cell.data_type == "f":
        if content.form:
            is_same = content.form == _form(str(cell.value), cell.row, cell.column)
            return None if is_same else Change.OTHER_FORMULA
        return Change.BLANK if content.value in (None, "") else Change.CONSTANT
    if content.form:
        return Change.OTHER_FORMULA
    return None if _agree(cell.value, content.value) else Change.OTHER_VALUE


def _agree(expected: object, stored: object) -> bool:
    if isinstance(expected, datetime.date):
        expected = to_excel(expected)
    if isinstance(expected, (int, float)) and isinstance(stored, (int, float)):
        return isclose(expected, stored, rel_tol=_TOLERANCE)
    return (expected or "") == (stored or "")


def _places(
    ws: Worksheet, table: Table, area: _TableArea | None, contents: _Contents
) -> Iterator[tuple[Cell, tuple[int, int], str]]:
    """Yield each data cell of a table of the template with its place in the file and its heading."""
    if area is None:
        return
    first_column, first_row, last_column, last_row = range_boundaries(table.ref)
    rows = range(first_row + 1, last_row + 1)
    column_of = {plain_header(column.heading): number for number, column in enumerate(area.columns, area.first_column)}
    in_file = range(area.first_row, area.last_row + 1)
    keys = {row: ws._cells[row, first_column].value for row in rows}
    if len(rows) == len(in_file):
        row_of = dict(zip(rows, in_file))
    else:
        rows_of_keys = {
            contents[row, area.first_column].value: row for row in in_file if (row, area.first_column) in contents
        }
        counts = Counter(keys.values())
        row_of = {row: rows_of_keys[key] for row, key in keys.items() if key in rows_of_keys and counts[key] == 1}
    for column in range(first_column, last_column + 1):
        heading = str(ws._cells[first_row, column].value)
        number = column_of.get(plain_header(heading))
        if number is None:
            continue
        for row, row_in_file in row_of.items():
            if (row_in_file, area.first_column) in contents:  # other rows are not in use
                yield ws._cells[row, column], (row_in_file, number), heading


def _area(table: Table) -> _TableArea:
    first_column, first_row, _, last_row = range_boundaries(table.ref)
    columns = []
    for column in table.tableColumns:
        formula = column.calculatedColumnFormula
        declared = "=" + formula.attr_text if formula is not None and formula.attr_text else ""
        columns.append(_Column(column.name, _form(declared, first_row + 1, 1) if declared else ""))
    last_row -= table.totalsRowCount or 0
    return _TableArea(table.displayName, first_row + 1, last_row, first_column, tuple(columns))


def _read(file: IO[bytes], texts: Sequence[str], areas: Sequence[_TableArea], ws: Worksheet | None) -> _Contents:
    """Add the cells of a sheet to the columns of `areas`; return those that the template's sheet also has."""
    contents: _Contents = {}
    shared: dict[str, tuple[str, str]] = {}
    last_row = ws.max_row if ws is not None else 0
    for _, row_element in etree.iterparse(file, tag=_ROW, resolve_entities=False, no_network=True):
        for element in _CELLS(row_element):
            place = coordinate_to_tuple(element.get("r"))
            content = _content(element, place, texts, shared)
            if content is None:
                continue
            row, column = place
            for area in areas:
                number = column - area.first_column
                if area.first_row <= row <= area.last_row and 0 <= number < len(area.columns):
                    area.columns[number].add(row, content)
            if row <= last_row:
                contents[place] = content
        row_element.clear()
    return contents


def _content(
    element: etree._Element, place: tuple[int, int], texts: Sequence[str], shared: dict[str, tuple[str, str]]
) -> _Content | None:
    kind, stored, formula = element.get("t", "n"), None, None
    for child in element:
        if child.tag == _FORMULA:
            formula = child
        elif child.tag == _VALUE:
            stored = child.text
    if formula is not None:
        text = "=" + (formula.text or "")
        if formula.get("t") == "shared":
            first = shared.get(formula.get("si"), ("", ""))
            text, form = (text, _form(text, *place)) if formula.text else first
            shared.setdefault(formula.get("si"), (text, form))
        else:
            form = _form(text, *place)
        return _Content(None, text, form)
    if kind == "inlineStr":
        return _Content(_TEXT(element))
    if stored is None:
        return None
    if kind == "s":
        return _Content(texts[int(stored)])
    return _Content(float(stored) if kind == "n" else stored == "1" if kind == "b" else stored)


def _form(text: str, row: int, column: int) -> str:
    """Return the form of a formula, the same for the spellings of spreadsheet programs: LibreOffice writes FALSE()."""
    form = filled_form(text, row, column).replace("'", "").casefold()
    return form.replace("false()", "false").replace("true()", "true")


def _shared_texts(package: zipfile.ZipFile) -> list[str]:
    if ARC_SHARED_STRINGS not in package.namelist():
        return []
    with package.open(ARC_SHARED_STRINGS) as file:
        return read_string_table(file)


def _append(places: list, place: object) -> None:
    if len(places) < MOST_CELLS_NAMED:
        places.append(place)
