"""Write workbooks as openpyxl does, but their cells several times as fast.

openpyxl makes an XML element of every cell. Nearly all cells of a planner are formulas, numbers and texts, of which the
XML is put together here; of the others it is openpyxl's.
"""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

from openpyxl.cell import Cell
from openpyxl.cell._writer import etree_write_cell
from openpyxl.cell.rich_text import CellRichText
from openpyxl.comments.comment_sheet import CommentRecord
from openpyxl.compat import safe_string
from openpyxl.drawing.spreadsheet_drawing import SpreadsheetDrawing
from openpyxl.utils import get_column_letter
from openpyxl.worksheet._writer import WorksheetWriter
from openpyxl.worksheet.worksheet import Worksheet
from openpyxl.writer.excel import ExcelWriter
from openpyxl.xml.functions import tostring

_NO_ROWS = b"<sheetData></sheetData>"
_EXACT = 10**15


class QuickExcelWriter(ExcelWriter):
    """Write a workbook that is in memory."""

    def write_worksheet(self, ws: Worksheet) -> None:
        """Write the part of a sheet, and make its drawing and relations."""
        ws._drawing = SpreadsheetDrawing()
        ws._drawing.charts, ws._drawing.images = ws._charts, ws._images
        writer = _SheetWriter(ws)
        writer.write()
        ws._rels = writer._rels
        before, _, after = Path(writer.out).read_bytes().partition(_NO_ROWS)
        self._archive.writestr(ws.path[1:], b"".join((before, b"<sheetData>", *writer.xml, b"</sheetData>", after)))
        self.manifest.append(ws)
        writer.cleanup()


class _SheetWriter(WorksheetWriter):
    """Write a sheet without its rows, whose XML is in `xml`."""

    def write_rows(self) -> None:
        stream = self.xf.send(True)
        with stream.element("sheetData"):
            stream.write("")
        self.xf.send(None)
        cells = _Cells(self.ws)
        dimensions = self.ws.row_dimensions
        self.xml = []
        for number, row in self.rows():
            attributes = {"r": f"{number}", **dict(dimensions.get(number, {}))}
            start = "".join(f' {name}="{escape(value)}"' for name, value in attributes.items())
            self.xml.append(f"<row{start}>{''.join(map(cells.xml, row))}</row>".encode())


class _Cells:
    """The XML of a sheet's cells."""

    def __init__(self, ws: Worksheet) -> None:
        self._ws = ws
        self._starts: dict[tuple[int, bytes], tuple[str, str]] = {}
        self._formulas: dict[str, str] = {}

    def xml(self, cell: Cell) -> str:
        """Return the XML of a cell, and note its link and its comment for the parts of the file that hold them."""
        if cell._comment is not None:
            self._ws._comments.append(CommentRecord.from_cell(cell))
        value, kind = cell._value, cell.data_type
        if value is None and not cell.has_style and cell._comment is None:
            return ""
        if not self._is_plain(value, kind):
            return self._as_openpyxl(cell)
        if cell._hyperlink is not None:
            self._ws._hyperlinks.append(cell._hyperlink)
        start, style = self._start(cell)
        start = f"{start}{cell.row}{style}"
        if kind == "f":
            if value not in self._formulas:
                self._formulas[value] = _escaped(value[1:])
            return f"{start}><f>{self._formulas[value]}</f><v></v></c>"
        if kind == "n":
            return f'{start} t="n"/>' if value is None else f'{start} t="n"><v>{_number(value)}</v></c>'
        space = ' xml:space="preserve"' if value != value.strip() else ""
        return f'{start} t="inlineStr"><is><t{space}>{_escaped(value)}</t></is></c>'

    @staticmethod
    def _is_plain(value: object, kind: str) -> bool:
        if isinstance(value, str):
            return kind in "fs" and value != "" and not isinstance(value, CellRichText)
        return kind == "n" and (value is None or isinstance(value, (int, float)))

    def _start(self, cell: Cell) -> tuple[str, str]:
        """Return the XML of a cell before and after the number of its row."""
        key = cell.column, b"" if cell._style is None else cell._style.tobytes()
        if key not in self._starts:
            style = f'" s="{cell.style_id}"' if cell.has_style else '"'
            self._starts[key] = f'<c r="{get_column_letter(cell.column)}', style
        return self._starts[key]

    def _as_openpyxl(self, cell: Cell) -> str:
        written: list[str] = []

        class Stream:
            write = staticmethod(lambda element: written.append(tostring(element, encoding="unicode")))

        etree_write_cell(Stream, self._ws, cell, cell.has_style)
        return "".join(written)


def _number(value: float) -> str:
    """Return a number as openpyxl writes it, with 16 digits, which a whole number of up to 15 digits has anyway."""
    return str(value) if type(value) is int and -_EXACT < value < _EXACT else safe_string(value)


def _escaped(text: str) -> str:
    return escape(text, {"\r": "&#13;"})
