"""Draw the charts of Plan: the memory of one GPU, what is paid over time, and what moves the cost most."""

from __future__ import annotations

from openpyxl.chart import BarChart, Reference, ScatterChart, Series
from openpyxl.chart._chart import ChartBase
from openpyxl.chart.axis import ChartLines
from openpyxl.chart.label import DataLabelList
from openpyxl.chart.layout import Layout, ManualLayout
from openpyxl.chart.shapes import GraphicalProperties
from openpyxl.chart.text import RichText
from openpyxl.drawing.line import LineProperties
from openpyxl.drawing.spreadsheet_drawing import AnchorMarker, OneCellAnchor
from openpyxl.drawing.text import CharacterProperties, Font, Paragraph, ParagraphProperties, RichTextProperties
from openpyxl.drawing.xdr import XDRPositiveSize2D
from openpyxl.utils.units import pixels_to_EMU
from openpyxl.worksheet.worksheet import Worksheet

from workbook import styles
from workbook.book import Book, put, put_formula
from workbook.sheets import plan_workings

_COLUMN = "O"
_FIRST_COLUMN = 13  # N, the gap, counted from 0: labels of axes may use it
_WIDTH = 328  # pixels, over N and O; less breaks the legends into two lines
# Of each chart: row of its heading, first row and height of the chart.
_MEMORY, _PAID, _TORNADO = (2, 3, 94), (9, 11, 262), (26, 28, 168)


def write(book: Book, ws: Worksheet, places: plan_workings.Places) -> None:
    """Write the three headings, which are sentences with the result, and the charts below them."""
    labels = book.labels
    data = book.openpyxl[labels("sheet.plan_workings")]

    def heading(row: int, key: str, below: str | None = None) -> None:
        put_formula(ws, f"{_COLUMN}{row}", styles.PLAN_SECTION, plan_workings.reference_to(labels, places.texts[key]))
        if below in places.texts:
            put_formula(
                ws, f"{_COLUMN}{row + 1}", styles.PLAN_GREY, plan_workings.reference_to(labels, places.texts[below])
            )
        elif below:
            put(ws, f"{_COLUMN}{row + 1}", styles.PLAN_GREY, labels(f"plan.{below}"))

    heading(_MEMORY[0], "memory")
    _place(book, ws, _memory(data, labels.lang, places.memory), *_MEMORY[1:], "memory")
    heading(_PAID[0], "pays_off", "paid")
    _place(book, ws, _paid(book, data, places.times), *_PAID[1:], "paid")
    heading(_TORNADO[0], "largest", "tornado_note")
    _place(book, ws, _tornado(book, data, places.bars), *_TORNADO[1:], "tornado")


def _place(book: Book, ws: Worksheet, chart: ChartBase, row: int, height: int, key: str) -> None:
    """Anchor a chart at one cell with a fixed size, so that rows added elsewhere never stretch or cover it."""
    marker = AnchorMarker(col=_FIRST_COLUMN, row=row - 1, rowOff=pixels_to_EMU(4))
    anchor = OneCellAnchor(_from=marker, ext=XDRPositiveSize2D(pixels_to_EMU(_WIDTH), pixels_to_EMU(height)))
    book.add_chart(ws, chart, f"N{row}", book.labels(f"plan.alt_{key}"))
    chart.anchor = anchor


def _memory(data: Worksheet, lang: str, rows: tuple[int, int]) -> BarChart:
    chart = BarChart()
    chart.type, chart.grouping, chart.overlap, chart.gapWidth = "bar", "percentStacked", 100, 20
    for row in range(rows[0], rows[1] + 1):
        chart.add_data(Reference(data, min_col=1, max_col=2, min_row=row), from_rows=True, titles_from_data=True)
    looks = (
        (styles.HEADING_FILL, styles.WHITE), (styles.CHART_MIDDLE, styles.INK), (styles.CHART_GREY, None),
        (styles.CHART_PALE, styles.INK),
    )  # fmt: skip
    for series, (fill, ink) in zip(chart.series, looks):
        series.graphicalProperties = GraphicalProperties(
            solidFill=fill, ln=LineProperties(solidFill=styles.WHITE, w=9525)
        )
        if ink:  # the engine's slice is too thin for a figure; the legend names it
            series.dLbls = DataLabelList(
                showVal=True, showSerName=False, showCatName=False, showLegendKey=False, showPercent=False
            )
            series.dLbls.txPr = _text(lang, ink, bold=True)
            series.dLbls.numFmt = "#,##0"
    _bare(chart, lang)
    chart.x_axis.delete = chart.y_axis.delete = True
    chart.layout = _inner(0.055, 0.04, 0.925, 0.48)
    return chart


def _paid(book: Book, data: Worksheet, rows: tuple[int, int]) -> ScatterChart:
    """Draw lines over a true scale of months: the labels stay short and upright in both programs."""
    chart = ScatterChart()
    chart.style, chart.scatterStyle = None, "lineMarker"
    months = Reference(data, min_col=1, min_row=rows[0], max_row=rows[1])
    looks = (
        (styles.HEADING_FILL, "solid", 28575),
        (styles.UNIT_GREY, "sysDash", 22225),
        (styles.CHART_GREY, "sysDot", 22225),
    )
    for column, (name, (colour, dash, width)) in enumerate(zip(plan_workings.LINES, looks), start=2):
        values = Reference(data, min_col=column, min_row=rows[0], max_row=rows[1])
        series = Series(values, months, title=book.labels(f"plan.line_{name}"))
        series.smooth = False
        series.marker.symbol = "none"
        series.graphicalProperties = GraphicalProperties(ln=LineProperties(solidFill=colour, prstDash=dash, w=width))
        chart.series.append(series)
    _bare(chart, book.labels.lang)
    chart.x_axis.number_format = "0"
    chart.y_axis.number_format = "#,##0"
    for axis in (chart.x_axis, chart.y_axis):
        axis.numFmt.sourceLinked = False
        axis.scaling.min = 0
    chart.y_axis.crossBetween = "midCat"
    chart.y_axis.graphicalProperties = GraphicalProperties(ln=_no_line())
    chart.y_axis.majorGridlines = ChartLines(
        spPr=GraphicalProperties(ln=LineProperties(solidFill=styles.CHART_PALE, w=6350))
    )
    chart.layout = _inner(0.145, 0.03, 0.80, 0.77)
    return chart


def _tornado(book: Book, data: Worksheet, rows: tuple[int, int]) -> BarChart:
    chart = BarChart()
    chart.type, chart.grouping, chart.overlap, chart.gapWidth = "bar", "clustered", 100, 35
    for column, fill in ((2, styles.CHART_MIDDLE), (3, styles.HEADING_FILL)):
        chart.add_data(Reference(data, min_col=column, min_row=rows[0] - 1, max_row=rows[1]), titles_from_data=True)
        chart.series[-1].graphicalProperties = GraphicalProperties(solidFill=fill, ln=_no_line())
        chart.series[-1].invertIfNegative = False
    labels = DataLabelList(showVal=True, showSerName=False, showCatName=False, showLegendKey=False, showPercent=False)
    labels.txPr, labels.numFmt = _text(book.labels.lang), "+#,##0;-#,##0;0"
    chart.series[-1].dLbls = labels
    chart.set_categories(Reference(data, min_col=1, min_row=rows[0], max_row=rows[1]))
    _bare(chart, book.labels.lang)
    chart.x_axis.scaling.orientation = "maxMin"
    chart.x_axis.tickLblPos = "low"
    chart.y_axis.delete = True  # in one program its labels are rotated; the bars have their figures
    chart.layout = _inner(0.36, 0.03, 0.56, 0.68)
    return chart


# ---- looks -------------------------------------------------------------------------------------------------


def _bare(chart: ChartBase, lang: str) -> None:
    """Take away what is not data: title, frame, fills, rounded corners."""
    chart.title = None
    chart.auto_title_deleted = True
    chart.roundedCorners = False
    chart.graphical_properties = GraphicalProperties(noFill=True, ln=_no_line())
    chart.plot_area.graphicalProperties = GraphicalProperties(noFill=True, ln=_no_line())
    for axis in (chart.x_axis, chart.y_axis):
        axis.delete = False
        axis.title = None
        axis.txPr = _text(lang)
        axis.majorGridlines = None
        axis.majorTickMark = axis.minorTickMark = "none"
        axis.graphicalProperties = GraphicalProperties(ln=LineProperties(solidFill=styles.CHART_GREY, w=9525))
    chart.legend.position = "b"
    chart.legend.overlay = False
    chart.legend.txPr = _text(lang)


def _text(lang: str, colour: str = styles.UNIT_GREY, *, bold: bool = False) -> RichText:
    """Return text of 11 points; its figures are in a Latin font in every language."""
    latin, asian = Font(typeface=styles.FONT_NAMES["en"]), Font(typeface=styles.FONT_NAMES[lang])
    properties = CharacterProperties(sz=1100, b=bold, solidFill=colour, latin=latin, ea=asian)
    paragraph = Paragraph(pPr=ParagraphProperties(defRPr=properties), endParaRPr=properties)
    return RichText(bodyPr=RichTextProperties(rot=0), p=[paragraph])


def _no_line() -> LineProperties:
    return LineProperties(noFill=True)


def _inner(x: float, y: float, w: float, h: float) -> Layout:
    """Return a place of the plot itself, as shares of the chart."""
    return Layout(manualLayout=ManualLayout(layoutTarget="inner", xMode="edge", yMode="edge", x=x, y=y, w=w, h=h))
