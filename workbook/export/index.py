"""Write the index sheet: the results of every page, a link to it, and the totals of all scenarios."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from xlsxwriter import Workbook
from xlsxwriter.utility import xl_col_to_name

from workbook import styles
from workbook.book import COUNT_FORMAT, GB_FORMAT, PERCENT_FORMAT, RATE_FORMAT
from workbook.export.figures import INPUT_LIMITS, NOTHING, OPEN_INPUTS, Figures
from workbook.export.sheet import VALUE_AXIS, Cell, Sheet, footer, height_of, quoted_sheet
from workbook.labels import Labels
from workbook.scenario import FIELDS

LEAST_ROW, MOST_ROW, HEADER_ROW = 15, 16, 17
_FIRST_ROW = HEADER_ROW + 1
_MOST_BARS = 30  # more scenarios are not readable in one chart
_CHART_PIXELS, _BAR_PIXELS, _ROW_PIXELS = 130, 22, 20
_TOP_POINTS, _PAPER_POINTS = 310, 540  # above the table; on a page at the scale at which it is printed

# Headings of columns that show what is calculated with, not what was entered.
_INPUT_LABELS = {"average_tokens": "export.average_tokens", "gpu_memory_gb": "article.gpu_memory"}
_TITLE_WIDTH = 25  # a model or GPU has a longer title than name
_FIELD_WIDTHS = {"scenario": 22, "model": 17, "gpu": 25, "users": 13}  # of those that are printed
# Fields whose name is also that of a term: the key of the field's cell on a page.
KEY_OF_FIELD = {"output_tokens": "given_output_tokens"}
_FIELDS = {
    field.name: (
        field.name,
        _INPUT_LABELS.get(field.name, field.label),
        _FIELD_WIDTHS.get(field.name, _TITLE_WIDTH if field.page_text else field.width),
        field.number_format,
        KEY_OF_FIELD.get(field.name, field.name),
    )
    for field in FIELDS
}
_SETTINGS = {field.name: field for field in FIELDS if field.is_setting}
# (key, label, width, number format, key of the page's figure), first those that are printed.
_PRINTED = (
    ("number", "export.number", 5, COUNT_FORMAT, None),
    *(_FIELDS[name] for name in _FIELD_WIDTHS),
    ("layout", "scenarios.layout", 12, None, "layout"),
    ("gpus", "scenarios.deploy", 9, COUNT_FORMAT, "gpus"),
    ("low_speed", "export.low_speed", 10, "#,##0.0", "low_tokens_per_s"),
    ("start_cash", "export.start_cash", 12, COUNT_FORMAT, "start_cash"),
    ("best_month", "export.best_month", 11, COUNT_FORMAT, "best_month"),
    ("net_cost", "export.net_cost", 12, COUNT_FORMAT, "best_net_present_cost"),
    ("check", "export.checks", 9, None, "check_all"),
)
_COLUMNS = (
    *_PRINTED,
    *(_FIELDS[field.name] for field in FIELDS if field.name not in _FIELD_WIDTHS and not field.is_setting),
    ("weights_gb", "scenarios.weights", 11, GB_FORMAT, "weights_gb"),
    ("kv_gb", "scenarios.kv", 11, GB_FORMAT, "kv_gb"),
    ("overhead_gb", "scenarios.overhead", 11, GB_FORMAT, "overhead_gb"),
    ("total_gb", "scenarios.total", 11, GB_FORMAT, "total_gb"),
    ("by_division", "scenarios.gpus", 10, COUNT_FORMAT, "by_division"),
    *(_FIELDS[field.name] for field in FIELDS if field.is_setting),
)
_LETTER = {key: xl_col_to_name(i) for i, (key, *_) in enumerate(_COLUMNS)}
WIDTHS = tuple(width for _, _, width, *_ in _COLUMNS)
PAGE_KEYS = tuple(key for *_, key in _COLUMNS if key)


@dataclass(frozen=True)
class Entry:
    """A page in the index: the name of its sheet, its figures and their cells.

    Attributes:
        places: key → absolute reference of each figure that the page has.
    """

    sheet: str
    figures: Figures
    places: dict[str, str]


@dataclass(frozen=True)
class Totals:
    """The totals of all scenarios.

    Attributes:
        gpus, deploy: GPUs by division, and GPUs to deploy where a layout fits.
        start_cash, month, net_cost: of the scenarios with a page and costs; `with_costs` is their number.
        all_right: whether every check of every scenario passes.
    """

    scenarios: int = 0
    total_gb: float = 0.0
    gpus: int = 0
    deploy: int = 0
    start_cash: float = 0.0
    month: float = 0.0
    net_cost: float = 0.0
    with_costs: int = 0
    all_right: bool = True

    def with_scenario(self, figures: Figures, *, has_page: bool) -> Totals:
        """Return the totals with one scenario more; rows without a page have no costs."""
        costs = costs_of(figures) if has_page else {}
        known = {key: value for key, value in costs.items() if isinstance(value, (int, float))}
        return Totals(
            self.scenarios + 1,
            self.total_gb + figures.terms["total_gb"],
            self.gpus + figures.terms["by_division"],
            self.deploy + (figures.best.gpus if figures.best else 0),
            self.start_cash + known.get("start_cash", 0),
            self.month + known.get("best_month", 0),
            self.net_cost + known.get("net_cost", 0),
            self.with_costs + ("net_cost" in known),
            self.all_right and figures.is_right,
        )


def costs_of(figures: Figures) -> dict[str, object]:
    """Return the costs of a scenario in its cheaper way, by column; a dash if they are not known."""
    money = figures.best_money or {}
    return {
        "start_cash": _or_dash(figures.of_way["start_cash"]),
        "best_month": figures.best_month,
        "net_cost": _or_dash(money.get("net_present_cost")),
    }


def limit_cells(index: str) -> dict[str, tuple[str, str]]:
    """Return field → (cell of the minimum, cell of the maximum), for pages and rows."""
    sheet = quoted_sheet(index)
    columns = {field: f"{sheet}!${_LETTER[field]}$" for field in OPEN_INPUTS}
    return {field: (f"{column}{LEAST_ROW}", f"{column}{MOST_ROW}") for field, column in columns.items()}


def write(
    workbook: Workbook, sheet: Sheet, labels: Labels, entries: Sequence[Entry], totals: Totals, further: dict[str, str]
) -> None:
    """Write the sheet.

    Args:
        further: "total_gb", "by_division", "gpus", "check" → reference to that column of the scenarios without a page;
            empty if every scenario has a page.
    """
    sheet.row([Cell(0, styles.TITLE, labels("export.index_title"))], 28)
    sheet.row([Cell(0, styles.SUBTITLE, labels("export.index_subtitle"))])
    if further:
        count = labels("export.more_than_pages", pages=len(entries), rows=totals.scenarios - len(entries))
        sheet.row([Cell(0, styles.SUBTITLE, count)])
    else:
        sheet.row()
    _write_totals(sheet, labels, len(entries), totals, further)
    _write_limits(sheet, labels)
    sheet.row([Cell(i, styles.HEADING, labels(label)) for i, (_, label, *_) in enumerate(_COLUMNS)], 46)
    for number, entry in enumerate(entries, start=1):
        sheet.row(_cells(labels, number, entry), _height(entry.figures))
    _set_up(sheet, labels, len(entries))
    if 1 < len(entries) <= _MOST_BARS:
        _add_chart(workbook, sheet, labels, len(entries))
        table = _TOP_POINTS + sum(_height(entry.figures) for entry in entries)
        if table + _rows_of_chart(len(entries)) * _ROW_PIXELS * 0.75 > _PAPER_POINTS:
            sheet.ws.set_h_pagebreaks([HEADER_ROW + len(entries)])  # a chart is not split over two pages


def _write_totals(sheet: Sheet, labels: Labels, pages: int, totals: Totals, further: dict[str, str]) -> None:
    def over_all(function: str, key: str) -> str:
        column = f"{_LETTER[key]}{_FIRST_ROW}:{_LETTER[key]}{_FIRST_ROW + pages - 1}"
        return f"{function}({','.join([column, *([further[key]] if key in further else [])])})"

    with_costs, scenarios = over_all("COUNT", "net_cost"), over_all("COUNT", "total_gb")

    lines = (
        ("export.scenarios", totals.scenarios, scenarios, COUNT_FORMAT, "unit.none"),
        ("export.all_total", totals.total_gb, over_all("SUM", "total_gb"), GB_FORMAT, "unit.gb"),
        ("export.all_gpus_count", totals.gpus, over_all("SUM", "by_division"), COUNT_FORMAT, "unit.gpus"),
        ("export.all_deploy", totals.deploy, over_all("SUM", "gpus"), COUNT_FORMAT, "unit.gpus"),
        ("export.all_start_cash", totals.start_cash, over_all("SUM", "start_cash"), COUNT_FORMAT, "export.unit_usd"),
        ("export.all_month", totals.month, over_all("SUM", "best_month"), COUNT_FORMAT, "export.unit_usd_month"),
        ("export.all_net_cost", totals.net_cost, over_all("SUM", "net_cost"), COUNT_FORMAT, "export.unit_usd"),
        (
            "export.without_costs", totals.scenarios - totals.with_costs, f"{scenarios}-{with_costs}", COUNT_FORMAT,
            "unit.none",
        ),
        ("export.all_checks", int(totals.all_right), over_all("MIN", "check"), labels("check.format"), "unit.none"),
    )  # fmt: skip
    for label, value, formula, number_format, unit in lines:
        sheet.row(
            [
                Cell(0, styles.LABEL, labels(label), last_column=1),
                Cell(2, styles.TOTAL, value, formula, number_format),
                Cell(3, styles.NOTE, labels(unit)),
            ]
        )
    sheet.row([Cell(0, styles.SUBTITLE, labels("export.bought_apart"))])
    sheet.row()


def _write_limits(sheet: Sheet, labels: Labels) -> None:
    for label, limit in (("scenarios.least", "least"), ("scenarios.most", "most")):
        cells = [Cell(1, styles.NOTE, labels(label))]
        for i, (key, _, _, number_format, _) in enumerate(_COLUMNS):
            if key in OPEN_INPUTS:
                shown = PERCENT_FORMAT if number_format == RATE_FORMAT else number_format
                cells.append(Cell(i, styles.SOURCE_FIGURE, getattr(INPUT_LIMITS[key], limit), None, shown))
        sheet.row(cells)


def _height(figures: Figures) -> float:
    """Return the height of a row in points: titles wrap, and the chart below the table needs rows that stay as high."""
    texts = {field.name: str(field.on_page(figures.scenario) or "") for field in FIELDS if field.page_text}
    texts["scenario"] = figures.scenario.title
    return max(height_of(text, _FIELD_WIDTHS[name]) for name, text in texts.items() if name in _FIELD_WIDTHS)


def _cells(labels: Labels, number: int, entry: Entry) -> list[Cell]:
    scenario, figures = entry.figures.scenario, entry.figures
    values = {
        **{field.name: field.on_page(scenario) or NOTHING for field in FIELDS if not field.limits},
        **{field.name: _or_dash(field.cell(scenario)) for field in FIELDS if field.limits},
        **{key: figures.terms[key] for key in ("weights_gb", "kv_gb", "overhead_gb", "total_gb", "by_division")},
        "layout": figures.layout,
        "gpus": figures.best.gpus if figures.best else NOTHING,
        "low_speed": figures.low_speed,
        **costs_of(figures),
        "check": int(figures.is_right),
    }
    cells = []
    for column, (key, _, _, number_format, page_key) in enumerate(_COLUMNS):
        if key == "scenario":
            link = f"{quoted_sheet(entry.sheet)}!A1"
            cells.append(Cell(column, styles.LINK_TEXT, scenario.title, link=link))
        elif key == "number":
            cells.append(Cell(column, styles.CHECK, number, None, number_format))
        elif page_key not in entry.places:  # a page without settings does not have each of their defaults
            value = _SETTINGS[key].cell(scenario) if key in _SETTINGS else NOTHING
            cells.append(Cell(column, styles.CHECK, value))
        else:
            shown = labels("check.format") if key == "check" else number_format
            role = styles.LINK if shown else styles.LINK_TEXT
            cells.append(Cell(column, role, values[key], entry.places[page_key], shown))
    return cells


def _or_dash(value: object) -> object:
    return NOTHING if value is None else value


def _set_up(sheet: Sheet, labels: Labels, pages: int) -> None:
    ws = sheet.ws
    ws.freeze_panes(HEADER_ROW, 2)
    ws.autofilter(HEADER_ROW - 1, 0, HEADER_ROW + pages - 1, len(_COLUMNS) - 1)
    ws.set_landscape()
    ws.set_paper(9)  # A4
    ws.fit_to_pages(1, 0)
    ws.repeat_rows(HEADER_ROW - 1)
    ws.print_area(0, 0, HEADER_ROW + pages - 1 + _rows_of_chart(pages), len(_PRINTED) - 1)
    ws.set_margins(left=0.4, right=0.4, top=0.5, bottom=0.7)  # inches
    ws.set_footer(footer(labels))
    ws.protect("", {"autofilter": True, "sort": True, "format_columns": True, "format_rows": True})


def _rows_of_chart(pages: int) -> int:
    """Return how many rows below the table the chart takes."""
    return ceil((_CHART_PIXELS + _BAR_PIXELS * pages) / _ROW_PIXELS) + 2 if 1 < pages <= _MOST_BARS else 0


def _add_chart(workbook: Workbook, sheet: Sheet, labels: Labels, pages: int) -> None:
    name, first, last = sheet.ws.get_name(), _FIRST_ROW - 1, _FIRST_ROW + pages - 2
    columns = [key for key, *_ in _COLUMNS]
    chart = workbook.add_chart({"type": "bar", "subtype": "stacked"})
    for key, colour in zip(("weights_gb", "kv_gb", "overhead_gb"), styles.PART_COLOURS):
        column, titles = columns.index(key), columns.index("scenario")
        chart.add_series(
            {
                "name": [name, HEADER_ROW - 1, column],
                "categories": [name, first, titles, last, titles],
                "values": [name, first, column, last, column],
                "fill": {"color": f"#{colour}"},
                "border": {"color": "#FFFFFF"},
                "gap": 60,
            }
        )
    chart.set_title({"name": labels("export.index_chart"), "name_font": {"size": 11}})
    chart.set_x_axis(VALUE_AXIS)
    chart.set_y_axis({"reverse": True})
    chart.set_legend({"position": "bottom"})
    chart.set_size({"width": 1150, "height": _CHART_PIXELS + _BAR_PIXELS * pages})
    sheet.ws.insert_chart(last + 2, 0, chart, {"x_offset": 4, "description": labels("export.index_chart_alt")})
