"""Recalculate native formulas with IronCalc, in process.

What it cannot do (0.9): defined names and tables whose own name is not ASCII (sheet and column names may be Chinese),
names of a constant or an expression, AGGREGATE; a formula that it cannot read gives "#ERROR!". It accepts newer
functions with and without the ``_xlfn.`` prefix that Excel requires in a file, so it does not detect a missing prefix.
An unknown function is #NAME?, and ISNUMBER and IFERROR around it work as in Excel.
"""

from __future__ import annotations

import posixpath
import re
import tempfile
import zipfile
from pathlib import Path

from openpyxl.utils import get_column_letter, range_boundaries
from openpyxl.utils.cell import range_to_tuple
from openpyxl.xml.functions import fromstring

from tests.required import missing
from tests.spreadsheets import Case, Content, ProgramError, Target, Values, WriteRefused, checked_writes, plain_value
from workbook.package import sheet_of_part
from workbook.recalculation import quick_to_compute

try:
    import ironcalc
except ImportError:  # reported by the first test that needs it
    ironcalc = None

# A styled cell without a value, <c r="B2" s="1" t="n"></c>, is blank, but IronCalc up to 0.9.1 reads it as the number 0
# because of its declared type (fix proposed upstream: ironcalc/IronCalc#1425).
_EMPTY_TYPED_CELL = re.compile(rb'(<c\b[^>]*?) t="[a-zA-Z]+"([^>]*?)(/>|></c>)')
_STYLED_CELL = re.compile(rb'<c r="([A-Z]+[0-9]+)"[^>]* s="([0-9]+)"')


def recalculate(xlsx: Path, *, as_written: bool = False) -> Values:
    """Recalculate every formula of the file and return every cell's value.

    Args:
        as_written: whether IronCalc reads the formulas as they are, or as `quick_to_compute` rewrites them.
    """
    model = _load(xlsx, as_written=as_written)
    model.evaluate()
    sheets = _sheet_names(model)
    values: Values = {sheet: {} for sheet in sheets}
    for index, row, column in model.get_all_cells():
        value = model.get_cell_value(index, row, column)
        if value is not None:
            values[sheets[index]][f"{get_column_letter(column)}{row}"] = plain_value(value)
    return values


class WhatIf:
    """One workbook in memory: change inputs and read results, with the interface of ``libreoffice.WhatIf``.

    IronCalc computes all formulas whenever it computes, so that is done at a read after a write.
    """

    def __init__(self, xlsx: Path) -> None:
        self._xlsx = Path(xlsx)

    def __enter__(self) -> WhatIf:
        self._model = _load(self._xlsx)
        self._is_computed = False
        self._indices = {name: index for index, name in enumerate(_sheet_names(self._model))}
        self._names = {
            name["name"]: name["formula"] for name in self._model.get_defined_name_list() if name["scope"] is None
        }
        # IronCalc ignores protection.
        self._locks = _Locks(self._xlsx)
        return self

    def __exit__(self, *exception: object) -> None:
        del self._model

    def set(self, cells: Case) -> None:
        """Write input cells; WriteRefused when one is locked on a protected sheet."""
        for sheet, address, content in checked_writes(cells):
            self._write(sheet, address, content)

    def get(self, cells: list[Target]) -> list:
        """Read cells, or single workbook-level names."""
        if not self._is_computed:
            self._model.evaluate()
            self._is_computed = True
        return [self._read_name(cell) if isinstance(cell, str) else self._read(*cell) for cell in cells]

    def named(self, names: list[str]) -> list:
        """Return the values of defined names; a name for several cells gives a list of rows."""
        return self.get(names)

    def run(self, cases: list[Case], outputs: list[Target]) -> list[list]:
        """Run many what-ifs: for each case, write, recalculate, read the outputs.

        Each case starts from the state before the call, which is restored at the end.
        """
        results = []
        for case in cases:
            before = [(cell, self._contents(*cell)) for cell in case]
            try:
                self.set(case)
                results.append(self.get(outputs))
            finally:
                for cell, contents in before:
                    self._put(*self._position(*cell), contents)
        return results

    def _write(self, sheet: str, address: str, content: Content) -> None:
        position = self._position(sheet, address)
        if self._locks.is_locked(sheet, address):
            raise WriteRefused(f"{sheet}!{address} is locked on a protected sheet")
        self._put(*position, content)

    def _put(self, sheet: int, row: int, column: int, contents: Content) -> None:
        self._is_computed = False
        if contents is None:
            self._model.clear_cell_contents(sheet, row, column)
        elif isinstance(contents, _Formula):
            self._model.update_cell_with_formula(sheet, row, column, contents)
        elif isinstance(contents, str):
            self._model.update_cell_with_text(sheet, row, column, contents)
        elif isinstance(contents, bool):
            self._model.update_cell_with_bool(sheet, row, column, contents)
        else:
            self._model.update_cell_with_number(sheet, row, column, contents)

    def _contents(self, sheet: str, address: str) -> Content:
        """Return what was typed into the cell: None, a number, a text, or a _Formula."""
        position = self._position(sheet, address)
        formula = self._model.get_cell_formula(*position)
        return self._model.get_cell_value(*position) if formula is None else _Formula(formula)

    def _read(self, sheet: str, address: str) -> Content:
        return _as_number(self._model.get_cell_value(*self._position(sheet, address)))

    def _read_name(self, name: str) -> object:
        if name not in self._names:
            raise ProgramError(f"the workbook has no name {name!r}")
        try:
            sheet, (left, top, right, bottom) = range_to_tuple(self._names[name].lstrip("="))
        except ValueError:
            raise ProgramError(f"the name {name!r} does not refer to cells") from None
        rows = [
            [self._read(sheet, f"{get_column_letter(column)}{row}") for column in range(left, right + 1)]
            for row in range(top, bottom + 1)
        ]
        return rows[0][0] if (left, top) == (right, bottom) else rows

    def _position(self, sheet: str, address: str) -> tuple[int, int, int]:
        try:
            left, top, right, bottom = range_boundaries(address)
            if (left, top) != (right, bottom):
                raise ValueError
            return self._indices[sheet], top, left
        except (KeyError, TypeError, ValueError):
            raise ProgramError(f"{sheet}!{address} is not a single cell") from None


class _Formula(str):
    """A cell's formula, as opposed to a text."""


class _Locks:
    """Which cells of a file are locked on a protected sheet. It reads a sheet when it is first asked about it."""

    def __init__(self, xlsx: Path) -> None:
        self._xlsx = xlsx
        self._unlocked: dict[str, set[str] | None] = {}

    def is_locked(self, sheet: str, address: str) -> bool:
        if sheet not in self._unlocked:
            self._unlocked[sheet] = self._unlocked_cells(sheet)
        unlocked = self._unlocked[sheet]
        return unlocked is not None and address not in unlocked

    def _unlocked_cells(self, sheet: str) -> set[str] | None:
        """Return the addresses of the unlocked cells; None for all cells of a sheet without protection."""
        with zipfile.ZipFile(self._xlsx) as package:
            part = next(part for part, title in sheet_of_part(package).items() if title == sheet)
            content = package.read(part)
            styles = fromstring(package.read("xl/styles.xml"))
        protection = re.search(rb"<sheetProtection\b[^>]*>", content)
        if not protection or not re.search(rb'\bsheet="(1|true)"', protection[0]):
            return None
        formats = styles.find("{*}cellXfs")
        unlocked = {
            str(number).encode()
            for number, cell_format in enumerate(formats)
            if any(each.get("locked") in ("0", "false") for each in cell_format.iterfind("{*}protection"))
        }
        return {address.decode() for address, style in _STYLED_CELL.findall(content) if style in unlocked}


def _load(xlsx: Path, *, as_written: bool = False):
    if ironcalc is None:
        missing("IronCalc", "the Python package 'ironcalc' is not installed")
    with tempfile.TemporaryDirectory(prefix="vram-ironcalc-") as folder:
        copy = _loadable_copy(Path(xlsx), Path(folder, "book.xlsx"))
        if not as_written:
            copy.write_bytes(quick_to_compute(copy.read_bytes()))
        try:
            model = ironcalc.load_from_xlsx(str(copy), "en", "UTC", "en")
        except ironcalc.WorkbookError as failure:
            raise ProgramError(f"IronCalc cannot read {Path(xlsx).name}: {failure}") from failure
    return model


def _loadable_copy(xlsx: Path, copy: Path) -> Path:
    """Copy a workbook and fix two features of openpyxl's files that IronCalc 0.9 misreads."""
    with zipfile.ZipFile(xlsx) as source, zipfile.ZipFile(copy, "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.infolist():
            content = source.read(entry)
            if entry.filename.endswith(".rels"):
                content = _with_relative_links(content.decode(), entry.filename).encode()
            elif entry.filename.startswith("xl/worksheets/"):
                content = _EMPTY_TYPED_CELL.sub(rb"\1\2\3", content)
            target.writestr(entry, content)
    return copy


def _with_relative_links(relationships: str, filename: str) -> str:
    """Make links relative: one like "/xl/comments/comment1.xml" stops IronCalc from opening the workbook."""
    # "xl/worksheets/_rels/sheet1.xml.rels" describes links that start in "xl/worksheets".
    folder = "/" + posixpath.dirname(posixpath.dirname(filename))
    return re.sub(r'Target="(/[^"]*)"', lambda link: f'Target="{posixpath.relpath(link[1], folder)}"', relationships)


def _sheet_names(model) -> list[str]:
    return [sheet["name"] for sheet in model.get_worksheets_properties()]


def _as_number(value: object) -> Content:
    """Return truth values as 1.0 and 0.0, because LibreOffice's cells do not distinguish them from numbers."""
    return float(value) if isinstance(value, bool) else value


class Calculator:
    """One workbook in memory that computes formulas as a user types them."""

    def __init__(self, xlsx: Path) -> None:
        self._model = _load(xlsx)
        self._model.add_sheet("Calculator")
        self._sheet = len(_sheet_names(self._model)) - 1

    def results(self, formulas: list[str]) -> list[Content]:
        """Return the value of each formula."""
        for row, formula in enumerate(formulas, start=1):
            self._model.set_user_input(self._sheet, row, 1, formula)
        self._model.evaluate()
        values = [plain_value(self._model.get_cell_value(self._sheet, row, 1)) for row in range(1, len(formulas) + 1)]
        for row in range(1, len(formulas) + 1):
            self._model.clear_cell_contents(self._sheet, row, 1)
        return values
