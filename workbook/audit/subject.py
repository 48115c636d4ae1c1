"""Read a workbook for the checks: its cells, formulas, stored values, validations, and the parts of the file."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from typing import NamedTuple

from lxml import etree
from openpyxl import Workbook
from openpyxl.cell import Cell
from openpyxl.formula.translate import Translator
from openpyxl.reader.excel import ExcelReader
from openpyxl.utils import coordinate_to_tuple, get_column_letter, range_boundaries
from openpyxl.worksheet.datavalidation import DataValidation
from openpyxl.worksheet.formula import ArrayFormula, DataTableFormula
from openpyxl.worksheet.worksheet import Worksheet
from openpyxl.xml.constants import SHEET_MAIN_NS

from workbook.audit.formula import Form, Formula, FormulaReader
from workbook.audit.opening import Budget, Package, UnreadableWorkbookError
from workbook.audit.references import Area, Grid, Resolver, address

_ROW, _CELL, _FORMULA, _VALUE = (f"{{{SHEET_MAIN_NS}}}{tag}" for tag in ("row", "c", "f", "v"))
_FORMULA_CELLS = etree.ETXPath(f"{_CELL}[{_FORMULA}]")
# Excel 2010 stores validations that refer to another sheet in an extension, which openpyxl drops. [MS-XLSX] 2.6.32
_X14 = "http://schemas.microsoft.com/office/spreadsheetml/2009/9/main"
_XM = "http://schemas.microsoft.com/office/excel/2006/main"
_USUAL_FONT_SIZE = 11  # in points, of Excel's own Normal style
_X14_VALIDATION = f"{{{_X14}}}dataValidation"


class Fault(NamedTuple):
    """A place where a check fails, with a detail if the place alone does not explain it."""

    place: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.place} ({self.detail})" if self.detail else self.place


class Place(NamedTuple):
    """A cell."""

    sheet: str
    row: int
    column: int

    def __str__(self) -> str:
        return address(*self)

    @property
    def coordinate(self) -> str:
        """The address without the sheet: B7."""
        return f"{get_column_letter(self.column)}{self.row}"


class Stored(NamedTuple):
    """The stored result of a formula; an error is a text such as "#N/A"."""

    value: float | bool | str
    is_error: bool


class _Format(NamedTuple):
    """What the checks need of a cell's format."""

    is_unlocked: bool
    number_format: str
    font_size: float


@dataclass(frozen=True, eq=False)  # compared by identity, so that analyses that checks share can be cached
class Subject:
    """A workbook as read for the checks.

    Attributes:
        package: the file's parts.
        workbook: the workbook as read by openpyxl.
        part_of: sheet title → its part.
        formulas: the parsed formula of each formula cell.
        stored: the stored result of each formula cell that has one.
        constants: cells with a value and no formula.
        validations: (sheet, rule) of each data validation.
        budget: the limit on look-ups of cells by all checks together.
        add_in_functions: the cell functions of the planner's add-in, in upper case.
    """

    package: Package
    workbook: Workbook
    part_of: dict[str, str]
    resolver: Resolver
    reader: FormulaReader
    formulas: dict[Place, Formula]
    stored: dict[Place, Stored]
    constants: dict[Place, Cell]
    validations: list[tuple[str, DataValidation]]
    budget: Budget
    add_in_functions: frozenset[str] = frozenset()

    @property
    def sheets(self) -> list[Worksheet]:
        return self.workbook.worksheets

    @cached_property
    def grid(self) -> Grid:
        """All cells in the file, including blank ones with a style."""
        return Grid((ws.title, *key) for ws in self.sheets for key in ws._cells)

    @cached_property
    def formula_grid(self) -> Grid:
        return Grid(self.formulas)

    @cached_property
    def sheets_with_formulas(self) -> set[str]:
        return {place.sheet for place in self.formulas}

    def cell(self, place: Place) -> Cell:
        """Return the cell at `place`, which must exist in the file."""
        return self._sheet_of[place.sheet]._cells[place.row, place.column]

    @cached_property
    def forms(self) -> dict[Form, list[Place]]:
        """Form → the cells with it. A table column of one formula has one form, so checks of forms are quick."""
        places: dict[str, tuple[Form, list[Place]]] = {}
        for place, formula in self.formulas.items():
            places.setdefault(formula.form.text, (formula.form, []))[1].append(place)
        return dict(places.values())

    def is_input(self, place: Place) -> bool:
        """Return whether the cell at `place`, which must exist in the file, is not locked."""
        return self._format(place).is_unlocked

    def number_format(self, place: Place) -> str:
        """Return the number format of the cell at `place`, which must exist in the file."""
        return self._format(place).number_format

    def font_size(self, place: Place) -> float:
        """Return the size in points of the text of the cell at `place`, which must exist in the file."""
        return self._format(place).font_size

    def _format(self, place: Place) -> _Format:
        """Look up once for each format what openpyxl would search for at every cell."""
        cell = self.cell(place)
        key = style_key(cell)
        if key not in self._formats:
            size = cell.font.sz if cell.font and cell.font.sz else _USUAL_FONT_SIZE
            self._formats[key] = _Format(not cell.protection.locked, cell.number_format, float(size))
        return self._formats[key]

    @cached_property
    def _formats(self) -> dict[bytes, _Format]:
        return {}

    @cached_property
    def _sheet_of(self) -> dict[str, Worksheet]:
        """The sheets by title; openpyxl's look-up would search all sheets each time."""
        return {ws.title: ws for ws in self.sheets}

    def value(self, place: Place) -> object:
        """Return the constant or the stored result at `place`, or None. An error is a text such as "#N/A"."""
        if place in self.constants:
            return self.constants[place].value
        return self.stored[place].value if place in self.stored else None

    def cells_of(self, area: Area) -> Iterator[Place]:
        for row, column in self.grid.within(area):
            self.budget.spend()
            yield Place(area.sheet, row, column)

    @cached_property
    def cells_of_validations(self) -> list[tuple[DataValidation, list[Place]]]:
        """Each rule with the cells in the file that it applies to."""
        return [
            (rule, [place for area in areas_of(sheet, rule.sqref) for place in self.cells_of(area)])
            for sheet, rule in self.validations
        ]

    @cached_property
    def named_formulas(self) -> dict[tuple[str | None, str], Formula]:
        """The formula of each name: (sheet or None, name in lower case) → formula."""
        home = self.sheets[0].title
        return {
            (sheet, name.casefold()): self.reader.read(f"={defined.attr_text or ''}", sheet or home, 1, 1)
            for sheet, name, defined in self.resolver.names()
        }

    def other_formulas(self) -> Iterator[tuple[str, Formula]]:
        """Yield (where, formula) of the formulas outside cells: of names, validations and conditional formats."""
        for (_, name), formula in self.named_formulas.items():
            yield f"name {name}", formula
        for sheet, rule in self.validations:
            for text in (rule.formula1, rule.formula2):
                if text:
                    yield f"validation of {_first(sheet, rule.sqref)}", self.read_rule(text, sheet, rule.sqref)
        for ws in self.sheets:
            for formatting in ws.conditional_formatting:
                for text in (text for rule in formatting.rules for text in rule.formula):
                    where = f"conditional format of {_first(ws.title, formatting.sqref)}"
                    yield where, self.read_rule(text, ws.title, formatting.sqref)

    def read_rule(self, text: str, sheet: str, sqref) -> Formula:
        """Parse the formula of a rule for `sqref`, as seen from the first of its cells."""
        return self.reader.read("=" + text.removeprefix("="), *_first(sheet, sqref))

    def rule_areas(self, text: str, sheet: str, sqref, at: Place | None = None) -> list[Area] | None:
        """Return the areas of a rule's `text` if it is a single reference or name, else None.

        Args:
            sqref: the rule's cells; relative references start from the first of them.
            at: the cell for which the rule is evaluated; by default the first.

        Raises:
            UnresolvedError: it refers to something that does not exist.
        """
        first = _first(sheet, sqref)
        at = at or first
        text = "=" + text.removeprefix("=")
        if at != first:
            text = Translator(text, origin=first.coordinate).translate_formula(at.coordinate)
        found = self.resolver.areas(text.removeprefix("="), *at)
        if isinstance(found, tuple):
            meaning = self.resolver.areas(self.resolver.text_of(found), *at)
            return meaning if isinstance(meaning, list) and meaning else None
        return found or None


def style_key(cell: Cell) -> bytes:
    """Return a key that is the same for all cells of a workbook with the same format."""
    return cell._style.tobytes()


def areas_of(sheet: str, sqref) -> Iterator[Area]:
    """Yield the areas of an openpyxl MultiCellRange."""
    for area in sqref.ranges:
        yield Area(sheet, area.min_row, area.min_col, area.max_row, area.max_col)


def table_area(ws: Worksheet, table) -> Area:
    """Return the area of a table's data rows, without header and totals."""
    first_column, first_row, last_column, last_row = range_boundaries(table.ref)
    headers = 1 if table.headerRowCount is None else table.headerRowCount
    return Area(ws.title, first_row + headers, first_column, last_row - (table.totalsRowCount or 0), last_column)


def subject(package: Package, add_in_functions: Iterable[str] = ()) -> Subject:
    """Read the workbook in `package`.

    Args:
        add_in_functions: the names of the cell functions of the planner's add-in.

    Raises:
        UnreadableWorkbookError: openpyxl cannot read it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # openpyxl warns of extensions that it drops; the audit reads them itself
            return _read(package, frozenset(map(str.upper, add_in_functions)))
    except UnreadableWorkbookError:
        raise
    except Exception as error:  # a damaged or hostile file can cause any error in the libraries
        reason = f"it contains something that cannot be understood ({type(error).__name__})"
        raise UnreadableWorkbookError(str(package.path), reason, "Open and save it in Excel.") from error


def _read(package: Package, add_in_functions: frozenset[str]) -> Subject:
    reader = ExcelReader(BytesIO(package.content), keep_links=False)
    reader.read()
    workbook = reader.wb
    if not workbook.worksheets:
        raise UnreadableWorkbookError(str(package.path), "it has no worksheet", "Give a workbook with a worksheet.")
    part_of = {sheet.name: relation.target for sheet, relation in reader.parser.find_sheets()}
    _read_lazy_attributes(workbook)
    resolver = Resolver(workbook)
    formula_reader = FormulaReader(resolver)
    formulas: dict[Place, Formula] = {}
    constants: dict[Place, object] = {}
    stored: dict[Place, Stored] = {}
    validations = [(ws.title, rule) for ws in workbook.worksheets for rule in ws.data_validations.dataValidation]
    for ws in workbook.worksheets:
        for (row, column), cell in ws._cells.items():
            if isinstance(cell, Cell) and cell.value is not None:
                place = Place(ws.title, row, column)
                if cell.data_type == "f":
                    formulas[place] = formula_reader.read(_text(cell.value), *place)
                else:
                    constants[place] = cell
        values, rules = _stored_values_and_x14_rules(package.read(part_of[ws.title]))
        stored |= {Place(ws.title, *key): value for key, value in values.items()}
        validations += [(ws.title, rule) for rule in rules]
    return Subject(
        package,
        workbook,
        part_of,
        resolver,
        formula_reader,
        formulas,
        stored,
        constants,
        validations,
        Budget(package.path),
        add_in_functions,
    )


def _read_lazy_attributes(workbook: Workbook) -> None:
    """Read everything that openpyxl parses only on access, so that damage is found here and not in a check."""
    styles = set()
    for ws in workbook.worksheets:
        for cell in ws._cells.values():
            key = style_key(cell)
            if key not in styles:
                styles.add(key)
                _ = (cell.number_format, cell.font, cell.fill, cell.protection)
        _ = ws.sheet_view
        for table in ws.tables.values():
            first_column, _, last_column, _ = range_boundaries(table.ref)
            if len(table.tableColumns) != last_column - first_column + 1:
                raise ValueError(f"{table.ref} and its columns differ")


def _text(value: object) -> str:
    if isinstance(value, ArrayFormula):
        return value.text or "="
    if isinstance(value, DataTableFormula):  # a what-if table, computed from the cells r1 and r2
        return f"=TABLE({value.r1 or ''},{value.r2 or ''})"
    return str(value)


def _stored_values_and_x14_rules(xml: bytes) -> tuple[dict[tuple[int, int], Stored], list[DataValidation]]:
    stored, rules = {}, []
    for _, element in etree.iterparse(
        BytesIO(xml), tag=(_ROW, _X14_VALIDATION), resolve_entities=False, no_network=True
    ):
        if element.tag == _X14_VALIDATION:
            rules.append(_x14_rule(element))
        else:
            for cell in _FORMULA_CELLS(element):
                kind, text = cell.get("t", "n"), cell.findtext(_VALUE)
                # An empty text is a result, but openpyxl writes an empty element for no result.
                if text or (kind == "str" and text is not None):
                    value = float(text) if kind == "n" else text == "1" if kind == "b" else text
                    stored[coordinate_to_tuple(cell.get("r"))] = Stored(value, kind == "e")
        element.clear()
    return stored, rules


def _x14_rule(element) -> DataValidation:
    def text(path: str) -> str | None:
        return element.findtext(path, namespaces={"x14": _X14, "xm": _XM})

    attributes = {name: value for name, value in element.attrib.items() if not name.startswith("{")}
    rule = DataValidation(**attributes, formula1=text("x14:formula1/xm:f"), formula2=text("x14:formula2/xm:f"))
    for ref in (text("xm:sqref") or "").split():
        rule.sqref.add(ref)
    return rule


def _first(sheet: str, sqref) -> Place:
    """Return the first cell of a rule for `sqref`, from which its relative references start."""
    return Place(sheet, *min(((area.first_row, area.first_column) for area in areas_of(sheet, sqref)), default=(1, 1)))
