"""Write a sheet row by row without holding it in memory: cells by role, formulas with their values."""

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
from workbook.book import footer_texts
from workbook.labels import Labels

# Bars are listed from the top down, which moves the value axis to the top; "high" moves its labels to the bottom.
VALUE_AXIS = {
    "num_format": "#,##0",
    "min": 0,
    "label_position": "high",
    "major_gridlines": {"visible": True, "line": {"color": "#D9D9D9"}},
}

_LINE_HEIGHT, _LEAST_HEIGHT = 12.5, 16.5  # points: notes are 9 points high, other text 10


class PlainWorksheet(Worksheet):
    """A worksheet that quickly writes many rows that differ only in their values.

    XlsxWriter makes some twenty calls per cell, and searches every formula for forty functions that are newer than
    Excel 2010, which these sheets do not use. The resulting file is the same.
    """

    def _prepare_formula(self, formula: str, expand_future_functions: bool = False) -> str:
        return formula.removeprefix("=")

    def write_row_xml(self, row: int, xml: str) -> None:
        """Write the next row as the whole element `xml`; `row` is its number, counted from 0."""
        self._write_single_row(row)  # writes what is still held of the previous row
        self.row_data_fh.write(xml)
        self.previous_row, self.dim_rowmax = row + 1, row


def footer(labels: Labels) -> str:
    """Return the footer of printed pages, the planner's own; the name of a page's sheet is that of its scenario."""
    return "".join(f"&{part}{text}" for part, text in zip("LCR", footer_texts(labels)))


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        value: a constant, or the result of `formula`; None for a cell that is only styled.
        formula: without its "="; None for a constant.
        link: the cell of this workbook that the text links to.
        last_column: the last column of a merged cell.
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
    """What all cells of a column have in common.

    Attributes:
        formula: without its "=", with `ROW` instead of the row number; None for constants.
    """

    ROW: ClassVar[str] = "\0"

    role: str
    number_format: str | None = None
    formula: str | None = None

    def cell(self, column: int, row: int, value: object) -> Cell:
        """Return the cell of a row; `value` may be a `Cell` that looks different from its column."""
        if isinstance(value, Cell):
            return value
        formula = self.formula and self.formula.replace(self.ROW, str(row))
        return Cell(column, self.role, value, formula, self.number_format)


class Formats:
    """The XlsxWriter formats of the roles in `workbook.styles`."""

    def __init__(self, workbook: Workbook, lang: str) -> None:
        self._workbook = workbook
        self._styles = {style.name: style for style in styles.named_styles(lang)}
        self._formats: dict[tuple, Format] = {}

    def __call__(
        self, role: str, number_format: str | None = None, *, quoted: bool = False, wrapped: bool = False
    ) -> Format:
        """Return the format of `role`; with `quoted`, text stays text when it is edited."""
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
    """The XML of a row, without its number and its values."""

    def __init__(self, columns: Sequence[ColumnCells], formats: Formats) -> None:
        self._format_of = formats
        self._starts = [self._start(i, column.role, column.number_format) for i, column in enumerate(columns)]
        self._formulas = [column.formula and f"<f>{escape(column.formula)}</f>" for column in columns]

    def _start(self, column: int, role: str, number_format: str | None) -> str:
        style = self._format_of(role, number_format)._get_xf_index()
        return f'<c r="{xl_col_to_name(column)}{ColumnCells.ROW}" s="{style}"'

    def filled(self, number: int, values: Sequence[object]) -> str | None:
        """Return the XML of row `number`; None if one of `values` cannot simply be inserted."""
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
            elif isinstance(value, Cell) and type(value.value) in (int, float) and value.formula is None:
                start = self._start(value.column, value.role, value.number_format)
                parts.append(f"{start}><v>{value.value:.16G}</v></c>")
            else:
                return None
        parts.append("</row>")
        return "".join(parts).replace(ColumnCells.ROW, str(number))


@lru_cache(maxsize=4096)
def _is_plain(text: str) -> bool:
    """Return whether XlsxWriter writes `text` unchanged: nothing to escape, no outer spaces, no formula or error."""
    return (
        text != "" and text.isprintable() and text == text.strip() and escape(text) == text and "_x" not in text
        and not text.startswith(("#", *FORMULA_STARTS))
    )  # fmt: skip


class Sheet:
    """A worksheet that is written row by row from the top."""

    def __init__(self, ws: Worksheet, formats: Formats, widths: Sequence[float]) -> None:
        self.ws = ws
        self._formats = formats
        self._row = 0
        for column, width in enumerate(widths):
            ws.set_column(column, column, width)
        ws.hide_gridlines(2)

    def row(self, cells: Iterable[Cell] = (), height: float | None = None) -> int:
        """Write the next row and return its number, counted from 1."""
        if height:
            self.ws.set_row(self._row, height)
        written = False
        for cell in cells:
            self._write(cell)
            written = True
        if height and not written:  # XlsxWriter leaves out a row without cells, and its height with it
            self.ws.write_blank(self._row, 0, None, self._formats(styles.SUBTITLE))
        self._row += 1
        return self._row

    def rows(self, columns: Sequence[ColumnCells], rows: Iterable[Sequence[object]]) -> None:
        """Write many rows with the same columns, given the values of all columns, calculated ones included.

        A value may be a `Cell` that looks different from its column.
        """
        template = _RowTemplate(columns, self._formats)
        for values in rows:
            xml = template.filled(self._row + 1, values)
            if xml is not None:
                self.ws.write_row_xml(self._row, xml)
                self._row += 1
            else:
                self.row(column.cell(i, self._row + 1, value) for i, (column, value) in enumerate(zip(columns, values)))

    def _write(self, cell: Cell) -> None:
        quoted = isinstance(cell.value, str) and cell.formula is None and cell.value.startswith(FORMULA_STARTS)
        cell_format = self._formats(cell.role, cell.number_format, quoted=quoted, wrapped=cell.last_column is not None)
        place = self._row, cell.column
        if cell.last_column is not None:
            self.ws.merge_range(*place, self._row, cell.last_column, "", cell_format)
        if cell.link is not None:
            self.ws.write_url(*place, f"internal:{cell.link}", cell_format, cell.value)
        elif cell.formula is not None:
            self.ws.write_formula(*place, f"={cell.formula}", cell_format, cell.value)
        elif cell.value is None or cell.value == "":
            self.ws.write_blank(*place, None, cell_format)
        elif isinstance(cell.value, str):
            self.ws.write_string(*place, cell.value, cell_format)
        else:
            self.ws.write_number(*place, cell.value, cell_format)


def width_of(text: str) -> int:
    """Return the width of `text` in characters; a Chinese character counts as two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def height_of(text: str, width: float) -> float:
    """Return the height in points of `text` wrapped at `width` characters."""
    return max(_LEAST_HEIGHT, ceil(width_of(text) / width) * _LINE_HEIGHT + 4)


def quoted_sheet(name: str) -> str:
    """Quote a sheet name for use before the "!" of a reference."""
    return "'" + name.replace("'", "''") + "'"


def _properties(style: NamedStyle) -> dict[str, object]:
    """Convert an openpyxl style to XlsxWriter's format properties."""
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
