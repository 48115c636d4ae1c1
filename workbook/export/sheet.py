"""A sheet written from the top down, never held in memory: cells by role, formulas with their values."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import ClassVar
from xml.sax.saxutils import escape

from openpyxl.styles import NamedStyle
from xlsxwriter import Workbook
from xlsxwriter.format import Format
from xlsxwriter.utility import xl_col_to_name
from xlsxwriter.worksheet import Worksheet

from core.texts import FORMULA_STARTS
from workbook import styles

# Bars are listed from the top down, which puts the axis of their values at the top unless its labels stand "high".
VALUE_AXIS = {
    "num_format": "#,##0",
    "min": 0,
    "label_position": "high",
    "major_gridlines": {"visible": True, "line": {"color": "#D9D9D9"}},
}

_LINE_HEIGHT, _LEAST_HEIGHT = 12.5, 16.5  # points, at the 9 points of a note and the 10 of all else


class PlainWorksheet(Worksheet):
    """A worksheet for a hundred thousand rows that differ in nothing but their values.

    XlsxWriter makes some twenty calls for each cell, and looks into every formula for forty functions that are newer
    than Excel 2010; here are none of them. The file is the same.
    """

    def _prepare_formula(self, formula: str, expand_future_functions: bool = False) -> str:
        return formula.removeprefix("=")

    def write_row_xml(self, row: int, xml: str) -> None:
        """Writes row number `row`, counted from 0, which is the next one: `xml` is its whole element."""
        self._write_single_row(row)  # what is still held of the row before
        self.row_data_fh.write(xml)
        self.previous_row, self.dim_rowmax = row + 1, row


@dataclass(frozen=True)
class Cell:
    """What one cell holds.

    Attributes:
        value: a constant, or what `formula` gives; None for a cell that is only styled.
        formula: without its "="; None for a constant.
        link: a place in this workbook that the cell's text leads to.
        last_column: where the cell is merged with those to its right, the last of them.
    """

    column: int
    role: str
    value: object = None
    formula: str | None = None
    number_format: str | None = None
    link: str | None = None
    last_column: int | None = None


@dataclass(frozen=True)
class ColumnCells:
    """What every cell of a column has in common.

    Attributes:
        formula: without its "=", with `ROW` for the number of the row that it stands in; None for constants.
    """

    ROW: ClassVar[str] = "\0"

    role: str
    number_format: str | None = None
    formula: str | None = None

    def cell(self, column: int, row: int, value: object) -> Cell:
        """The cell in that row; `value` may be a whole cell, which does not look as its column does."""
        if isinstance(value, Cell):
            return value
        formula = self.formula and self.formula.replace(self.ROW, str(row))
        return Cell(column, self.role, value, formula, self.number_format)


class Formats:
    """XlsxWriter's formats for the roles of `workbook.styles`."""

    def __init__(self, workbook: Workbook, lang: str) -> None:
        self._workbook = workbook
        self._styles = {style.name: style for style in styles.named_styles(lang)}
        self._formats: dict[tuple, Format] = {}

    def __call__(
        self, role: str, number_format: str | None = None, *, quoted: bool = False, wrapped: bool = False
    ) -> Format:
        """The format of `role`; `quoted` text stays text when edited."""
        key = role, number_format, quoted, wrapped
        if key not in self._formats:
            properties = _properties(self._styles[styles.style_name(role)])
            if number_format:
                properties["num_format"] = number_format
            if quoted:
                properties["quote_prefix"] = True
            if wrapped:
                properties["text_wrap"] = True
            self._formats[key] = self._workbook.add_format(properties)
        return self._formats[key]


class _RowTemplate:
    """A row of which only its number and its values are missing."""

    def __init__(self, columns: Sequence[ColumnCells], forms: Sequence[Format]) -> None:
        self._starts = [
            f'<c r="{xl_col_to_name(i)}{ColumnCells.ROW}" s="{form._get_xf_index()}"' for i, form in enumerate(forms)
        ]
        self._formulas = [column.formula and f"<f>{escape(column.formula)}</f>" for column in columns]

    def filled(self, number: int, values: Sequence[object]) -> str | None:
        """The element of row `number`; None if one of `values` needs more than to be put there."""
        parts = [f'<row r="{ColumnCells.ROW}">']
        for start, formula, value in zip(self._starts, self._formulas, values):
            kind = type(value)
            if kind is str and not _is_plain(value):
                return None
            if formula is not None and kind in (int, float, str):
                text_type = ' t="str"' if kind is str else ""
                parts.append(f"{start}{text_type}>{formula}<v>{value}</v></c>")
            elif formula is not None:
                return None
            elif kind is str:
                parts.append(f'{start} t="inlineStr"><is><t>{value}</t></is></c>')
            elif value is None:
                parts.append(f"{start}/>")
            elif kind is int or kind is float:
                parts.append(f"{start}><v>{value:.16G}</v></c>")
            else:
                return None
        parts.append("</row>")
        return "".join(parts).replace(ColumnCells.ROW, str(number))


@lru_cache(maxsize=4096)
def _is_plain(text: str) -> bool:
    """Whether XlsxWriter writes `text` as it is: nothing to escape, no spaces to keep, no formula and no error."""
    return (
        text != "" and text.isprintable() and text == text.strip() and escape(text) == text and "_x" not in text
        and not text.startswith(("#", *FORMULA_STARTS))
    )  # fmt: skip


class Sheet:
    """One worksheet being written: `row` after `row`, from the first."""

    def __init__(self, ws: Worksheet, formats: Formats, widths: Sequence[float]) -> None:
        self.ws = ws
        self._formats = formats
        self._row = 0
        for column, width in enumerate(widths):
            ws.set_column(column, column, width)
        ws.hide_gridlines(2)

    def row(self, cells: Iterable[Cell] = (), height: float | None = None) -> int:
        """Writes the next row, and gives its number as formulas have it."""
        if height:
            self.ws.set_row(self._row, height)
        for cell in cells:
            self._write(cell)
        self._row += 1
        return self._row

    def rows(self, columns: Sequence[ColumnCells], rows: Iterable[Sequence[object]]) -> None:
        """Writes many rows of one kind; of each the values of all columns, also of those with a formula.

        A value may be a whole cell, where it does not look as its column does.
        """
        template = _RowTemplate(columns, [self._formats(column.role, column.number_format) for column in columns])
        for values in rows:
            xml = template.filled(self._row + 1, values)
            if xml is not None:
                self.ws.write_row_xml(self._row, xml)
                self._row += 1
            else:
                self.row(column.cell(i, self._row + 1, value) for i, (column, value) in enumerate(zip(columns, values)))

    def _write(self, cell: Cell) -> None:
        quoted = isinstance(cell.value, str) and cell.formula is None and cell.value.startswith(FORMULA_STARTS)
        form = self._formats(cell.role, cell.number_format, quoted=quoted, wrapped=cell.last_column is not None)
        place = self._row, cell.column
        if cell.last_column is not None:
            self.ws.merge_range(*place, self._row, cell.last_column, "", form)
        if cell.link is not None:
            self.ws.write_url(*place, f"internal:{cell.link}", form, cell.value)
        elif cell.formula is not None:
            self.ws.write_formula(*place, f"={cell.formula}", form, cell.value)
        elif cell.value is None or cell.value == "":
            self.ws.write_blank(*place, None, form)
        elif isinstance(cell.value, str):
            self.ws.write_string(*place, cell.value, form)
        else:
            self.ws.write_number(*place, cell.value, form)


def height_of(text: str, width: float) -> float:
    """Points that `text`, wrapped into a column `width` characters wide, needs; a Chinese character takes two."""
    taken = sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
    return max(_LEAST_HEIGHT, ceil(taken / width) * _LINE_HEIGHT + 4)


def quoted_sheet(name: str) -> str:
    """The sheet's name as it stands before the "!" of a reference."""
    return "'" + name.replace("'", "''") + "'"


def _properties(style: NamedStyle) -> dict[str, object]:
    """A named style of openpyxl in XlsxWriter's words."""
    font, alignment = style.font, style.alignment
    properties: dict[str, object] = {
        "font_name": font.name,
        "font_size": font.size,
        "bold": bool(font.bold),
        "italic": bool(font.italic),
        "font_color": _colour(font.color),
        "text_wrap": bool(alignment.wrap_text),
        "valign": "vcenter",
        "indent": int(alignment.indent),
        "locked": style.protection.locked,
    }
    if alignment.horizontal:
        properties["align"] = alignment.horizontal
    if style.fill.fill_type:
        properties |= {"pattern": 1, "bg_color": _colour(style.fill.start_color)}
    if style.border.left is not None and style.border.left.style:
        properties |= {"border": 1, "border_color": _colour(style.border.left.color)}
    return properties


def _colour(colour) -> str:
    return f"#{colour.rgb[-6:]}"
