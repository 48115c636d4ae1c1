"""Build the workbook: create sheets, write styled cells and tables, define names, and validate inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from string import ascii_uppercase, digits
from weakref import WeakKeyDictionary

from openpyxl import Workbook
from openpyxl.cell import Cell
from openpyxl.chart._chart import ChartBase
from openpyxl.styles.cell_style import StyleArray
from openpyxl.utils import coordinate_to_tuple, get_column_letter
from openpyxl.workbook.defined_name import DefinedName
from openpyxl.worksheet.datavalidation import DataValidation
from openpyxl.worksheet.filters import AutoFilter
from openpyxl.worksheet.hyperlink import Hyperlink
from openpyxl.worksheet.table import Table, TableColumn, TableFormula, TableStyleInfo
from openpyxl.worksheet.worksheet import Worksheet

from core import __version__
from core.catalog.offers import Offer
from workbook import styles
from workbook.labels import Labels
from workbook.safe_text import put_text

GB_FORMAT, BYTES_FORMAT, COUNT_FORMAT, PERCENT_FORMAT, PLAIN_FORMAT = "#,##0.00", "#,##0", "#,##0", "0%", "General"
MONEY_FORMAT, DATE_FORMAT = "#,##0.00", "yyyy-mm-dd"
RATE_FORMAT, MEMORY_FORMAT = "0.0##%", "#,##0.##"


@dataclass
class Book:
    """An openpyxl workbook with its texts and the names that its sheets share.

    Attributes:
        openpyxl: the workbook itself.
        labels: its texts, in one language.
        names: the workbook-level names defined so far: name → absolute reference.
        offers: the offers of its Prices sheet, whose GPUs have rows on Options.
        chart_texts: sheet title → the alternative text of each chart, in the order of the charts.
    """

    openpyxl: Workbook
    labels: Labels
    offers: Sequence[Offer] = ()
    names: dict[str, str] = field(default_factory=dict)
    chart_texts: dict[str, list[str]] = field(default_factory=dict)

    def sheet(
        self, key: str, widths: Sequence[float], *, tab_colour: str = styles.HEADING_FILL, one_page: bool = False
    ) -> Worksheet:
        """Add a sheet at the end, named by the label `sheet.<key>`, set up for A4 landscape and one page wide.

        With `one_page` it also fits on one page in height.
        """
        title = self.labels(f"sheet.{key}")
        ws = self.openpyxl.create_sheet(title)
        ws.sheet_view.showGridLines = False
        ws.sheet_properties.tabColor = tab_colour
        for column, width in enumerate(widths, start=1):
            ws.column_dimensions[get_column_letter(column)].width = width
        ws.page_setup.orientation = "landscape"
        ws.page_setup.paperSize = ws.PAPERSIZE_A4
        ws.page_setup.fitToWidth, ws.page_setup.fitToHeight = 1, int(one_page)
        ws.sheet_properties.pageSetUpPr.fitToPage = True
        ws.page_margins.left = ws.page_margins.right = 0.24  # inches
        ws.page_margins.top, ws.page_margins.bottom = 0.5, 0.8
        footer = ws.oddFooter
        for part, text in zip((footer.left, footer.center, footer.right), footer_texts(self.labels)):
            part.text = text
        return ws

    def name(self, name: str, ws: Worksheet, cells: str) -> None:
        """Define a workbook-level name for `cells` of `ws` ("B7", "A5:A14")."""
        reference = absolute(ws, cells)
        self.openpyxl.defined_names[name] = DefinedName(name, attr_text=reference)
        self.names[name] = reference

    def add_chart(self, ws: Worksheet, chart: ChartBase, anchor: str, text: str) -> None:
        """Place `chart` at the cell `anchor` of `ws`, with `text` as its alternative text."""
        ws.add_chart(chart, anchor)
        self.chart_texts.setdefault(ws.title, []).append(text)


def footer_texts(labels: Labels) -> tuple[str, str, str]:
    """Return the left, middle and right text of every printed page; a footer cannot show the value of a cell.

    &F is the name of the file, &A that of the sheet, &P and &N the page and their number: ECMA-376 part 1, 18.3.1.39.
    """
    return "&F, &A", labels("page.indicative", version=__version__), labels("page.of")


def absolute(ws: Worksheet, cells: str) -> str:
    """Return an absolute reference to `cells` of `ws`: 'Sheet'!$A$1."""
    corners = ":".join(f"${corner.rstrip(digits)}${corner.lstrip(ascii_uppercase)}" for corner in cells.split(":"))
    return "'" + ws.title.replace("'", "''") + "'!" + corners


Address = str | tuple[int, int]
"""The address of a cell: in A1 notation ("B7"), or its row and column."""


def put(ws: Worksheet, address: Address, role: str, value: object = None, number_format: str | None = None) -> Cell:
    """Write a constant in the style of `role`; a text stays a text even if it begins with "="."""
    cell = _styled_cell(ws, address, role, number_format)
    if isinstance(value, str):
        put_text(cell, value)
    elif type(value) in (int, float):
        cell._value, cell.data_type = value, "n"  # openpyxl would look at its type again
    else:
        cell.value = value
    return cell


def put_numbers(
    ws: Worksheet, row: int, role: str, numbers: Iterable[tuple[int, float]], number_format: str | None = None
) -> None:
    """Write numbers, each with its column, into empty cells of a row in the style of `role`."""
    style, cells = _style_of(ws, role, number_format), ws._cells
    for column, value in numbers:
        cell = cells[row, column] = Cell(ws, row, column, style_array=style)
        cell._value = value


def put_formula(ws: Worksheet, address: Address, role: str, formula: str, number_format: str | None = None) -> Cell:
    """Write a formula, given without its "=", in the style of `role`."""
    cell = _styled_cell(ws, address, role, number_format)
    cell.value = "=" + formula
    return cell


# Workbook → (role, number format) → style. Cached because openpyxl searches all styles at each assignment.
_style_cache: WeakKeyDictionary[Workbook, dict[tuple[str, str | None], StyleArray]] = WeakKeyDictionary()


def _styled_cell(ws: Worksheet, address: Address, role: str, number_format: str | None) -> Cell:
    at = coordinate_to_tuple(address) if isinstance(address, str) else address
    style = _style_of(ws, role, number_format)
    if at in ws._cells:
        cell = ws._cells[at]
        cell._style = StyleArray(style)
    else:
        cell = ws._cells[at] = Cell(ws, *at, style_array=style)  # ws.cell() takes twice as long
    return cell


def _style_of(ws: Worksheet, role: str, number_format: str | None) -> StyleArray:
    cached = _style_cache.get(ws.parent)
    if cached is None:
        cached = _style_cache[ws.parent] = {}
    style = cached.get((role, number_format))
    if style is None:
        cell = Cell(ws)
        cell.style = styles.style_name(role)
        if number_format:
            cell.number_format = number_format
        style = cached[role, number_format] = cell._style
    return style


def heading(ws: Worksheet, title: str, subtitle: str) -> None:
    """Write the sheet's title and its purpose in the first two rows."""
    put(ws, "A1", styles.TITLE, title)
    put(ws, "A2", styles.SUBTITLE, subtitle)
    ws.row_dimensions[1].height = 28


ABOVE = "\0"


@dataclass(frozen=True)
class SheetColumn:
    """One column of a table: its key in formulas, its width in characters, and the style of its cells."""

    key: str
    width: float
    role: str = styles.FORMULA
    number_format: str | None = COUNT_FORMAT


def one_line(ws: Worksheet, first: int, last: int) -> None:
    """Give rows the height of one line, so that long sources and remarks do not make some of them tall."""
    for row in range(first, last + 1):
        ws.row_dimensions[row].height = 15  # points


def filled_table(
    ws: Worksheet,
    name: str,
    header_row: int,
    columns: Sequence[SheetColumn],
    header: Callable[[str], str],
    rows: Iterable[Mapping[str, object]],
    calculated: Mapping[str, str],
) -> int:
    """Write an Excel table that starts in column A and return its last row.

    Args:
        header: returns the heading of the column with that key.
        rows: the constants of each row: column key → value.
        calculated: column key → the column's formula, without "="; `ABOVE` is the number of the row above.
    """
    for number, column in enumerate(columns, start=1):
        put(ws, (header_row, number), styles.HEADING, header(column.key))
    last = header_row
    for last, values in enumerate(rows, start=header_row + 1):
        for number, column in enumerate(columns, start=1):
            if column.key in calculated:
                formula = calculated[column.key].replace(ABOVE, str(last - 1))
                put_formula(ws, (last, number), column.role, formula, column.number_format)
            else:
                put(ws, (last, number), column.role, values[column.key], column.number_format)
    headings = [header(column.key) for column in columns]
    by_heading = {header(key): formula for key, formula in calculated.items() if ABOVE not in formula}
    table(ws, name, f"A{header_row}:{get_column_letter(len(columns))}{last}", headings, by_heading)
    return last


def table(ws: Worksheet, name: str, cells: str, columns: Sequence[str], calculated: dict[str, str]) -> None:
    """Make `cells` (including the header row) an Excel table that fills its calculated columns in new rows.

    Args:
        name: the table's name in formulas.
        columns: the column names, exactly as in the header row.
        calculated: column name → its formula, without "=".
    """
    new_table = Table(displayName=name, name=name, ref=cells)
    new_table.tableStyleInfo = TableStyleInfo(name="TableStyleLight1", showRowStripes=False)
    new_table.autoFilter = None
    new_table.tableColumns = [
        TableColumn(
            id=number,
            name=column,
            calculatedColumnFormula=TableFormula(attr_text=calculated[column]) if column in calculated else None,
        )
        for number, column in enumerate(columns, start=1)
    ]
    ws.add_table(new_table)


def filterable(ws: Worksheet, name: str) -> None:
    """Show the filter arrows of a table, and let them work on a protected sheet."""
    ws.tables[name].autoFilter = AutoFilter(ref=ws.tables[name].ref)
    ws.protection.autoFilter = False


def validate(ws: Worksheet, cells: str, rule: DataValidation, *, title: str, prompt: str, wrong_title: str) -> None:
    """Attach `rule` to `cells`; Excel shows `prompt` when a cell is selected and after a wrong entry."""
    rule.promptTitle, rule.prompt, rule.showInputMessage = title[:32], prompt, True
    rule.errorTitle, rule.error, rule.showErrorMessage = wrong_title[:32], prompt, True
    rule.allow_blank = False
    ws.add_data_validation(rule)
    rule.add(cells)


def list_rule(source: str) -> DataValidation:
    """Return a rule that allows the values in `source`, a defined name or a quoted list ('"a,b"')."""
    return DataValidation(type="list", formula1=source)


def between_rule(least: str, most: str, *, whole: bool) -> DataValidation:
    """Return a rule that allows numbers from `least` to `most`, each a number or a reference."""
    return DataValidation(type="whole" if whole else "decimal", operator="between", formula1=least, formula2=most)


def date_rule() -> DataValidation:
    """Return a rule that allows dates from 2000 to 2099."""
    return DataValidation(type="date", operator="between", formula1="DATE(2000,1,1)", formula2="DATE(2099,12,31)")


def text_rule(most: int) -> DataValidation:
    """Return a rule that allows texts of 1 to `most` characters."""
    return DataValidation(type="textLength", operator="between", formula1="1", formula2=str(most))


def protect(ws: Worksheet) -> None:
    """Lock all cells except inputs, without a password: this prevents slips, it is not meant as security."""
    ws.protection.sheet = True
    ws.protection.formatColumns = False
    ws.protection.formatRows = False


def link_to_sheet(cell: Cell, ws: Worksheet) -> None:
    """Make `cell` a link to the first cell of `ws`, inside the workbook."""
    location = absolute(ws, "A1").replace("$", "")
    cell.hyperlink = Hyperlink(ref=cell.coordinate, location=location, display=str(cell.value))
