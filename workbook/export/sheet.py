"""A sheet written from the top down, never held in memory: cells by role, formulas with their values."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
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


class Formats:
    """XlsxWriter's formats for the roles of `workbook.styles`."""

    def __init__(self, workbook: Workbook, lang: str) -> None:
        self._workbook = workbook
        self._styles = {style.name: style for style in styles.named_styles(lang)}
        self._formats: dict[tuple, Format] = {}

    def __call__(self, role: str, number_format: str | None = None, *, quoted: bool = False) -> Format:
        """The format of `role`; `quoted` text stays text when edited."""
        key = role, number_format, quoted
        if key not in self._formats:
            properties = _properties(self._styles[styles.style_name(role)])
            if number_format:
                properties["num_format"] = number_format
            if quoted:
                properties["quote_prefix"] = True
            self._formats[key] = self._workbook.add_format(properties)
        return self._formats[key]


class LongWorksheet(Worksheet):
    """XlsxWriter's worksheet for a hundred thousand rows that differ in nothing but their values.

    XlsxWriter looks for 40 functions in each formula and makes some twenty calls for each cell; a row that is made of
    one before it takes a tenth of that. The file is the same.
    """

    def write_row_xml(self, row: int, xml: str) -> None:
        """Writes row number `row`, counted from 0, the next one: `xml` is its whole element."""
        self._write_single_row(row)  # what is still held of the row before
        self.row_data_fh.write(xml)
        self.previous_row, self.dim_rowmax = row + 1, row


ROW = "\0"  # stands for the row's number in what is written once and used for every row


class RowTemplate:
    """A row of a `LongWorksheet`, of which only the values are still missing.

    Args:
        cells: its cells, in the order of the columns; formulas with `ROW` for the row's number.
    """

    def __init__(self, cells: Sequence[Cell], formats: Formats) -> None:
        starts, ends = [], []
        for cell in cells:
            style = formats(cell.role, cell.number_format)._get_xf_index()
            starts.append(f'<c r="{xl_col_to_name(cell.column)}{ROW}" s="{style}"')
            ends.append(f"><f>{escape(cell.formula)}</f><v>%s</v></c>" if cell.formula else None)
        self._start, self._starts, self._ends = f'<row r="{ROW}">', starts, ends

    def row(self, number: int, values: Sequence[object]) -> str | None:
        """The element of row `number`; None if a text among `values` is more than its characters."""
        parts = [self._start]
        for start, end, value in zip(self._starts, self._ends, values):
            if end is not None:
                parts.append(start + end % value)
            elif value is None:
                parts.append(start + "/>")
            elif isinstance(value, str):
                if not _is_plain(value):
                    return None
                parts.append(f'{start} t="inlineStr"><is><t>{escape(value)}</t></is></c>')
            else:
                parts.append(f"{start}><v>{value:.16G}</v></c>")
        return "".join(parts).replace(ROW, str(number)) + "</row>"


def _is_plain(text: str) -> bool:
    """Whether XlsxWriter writes `text` as it is: no blank, no formula's start, no space to keep, nothing to escape."""
    return (
        text != "" and text.isprintable() and text == text.strip() and "_x" not in text
        and not text.startswith((*FORMULA_STARTS, "<r>"))
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

    def fill(self, template: RowTemplate, values: Sequence[object]) -> bool:
        """Writes the next row of a `LongWorksheet` by `template`; false, and nothing is written, if it takes `row`."""
        xml = template.row(self._row + 1, values)
        if xml is None:
            return False
        self.ws.write_row_xml(self._row, xml)
        self._row += 1
        return True

    def template(self, cells: Sequence[Cell]) -> RowTemplate:
        """What `fill` makes rows of."""
        return RowTemplate(cells, self._formats)

    def _write(self, cell: Cell) -> None:
        quoted = isinstance(cell.value, str) and cell.formula is None and cell.value.startswith(FORMULA_STARTS)
        form = self._formats(cell.role, cell.number_format, quoted=quoted)
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
