"""The page of one scenario: recommendation, inputs, breakdown, sizing, assumptions, checks, sign-off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from xlsxwriter import Workbook

from core.checks import LIMITS
from core.units import GB, GIB
from workbook import formulas as f
from workbook import styles
from workbook.book import BYTES_FORMAT, COUNT_FORMAT, GB_FORMAT, PLAIN_FORMAT
from workbook.export.figures import (
    MEMORY_FORMAT,
    OPEN_INPUTS,
    RATE_FORMAT,
    Figures,
    inputs_are_usable,
    is_within_longest,
)
from workbook.export.sheet import VALUE_AXIS, Cell, Sheet, height_of, quoted_sheet
from workbook.labels import Labels

WIDTHS = (33, 18, 13, 50)
_NOTE_WIDTH = 54  # characters of a note's smaller print in the last column
_GAP_HEIGHT, _SECTION_HEIGHT = 6, 18  # points
_CHART_ROWS, _CHART_ROW_HEIGHT = 9, 18  # points
_CHART_SIZE = {"width": 800, "height": 205}  # pixels, of which a row of 18 points has 24

_PROMPTS = {
    "context": "prompt.context",
    "users": "prompt.users",
    "overhead": "prompt.overhead_rate",
    "gpu_memory_gb": "prompt.gpu_memory",
}

At = Callable[[str], str]
"""Gives the cell of a row's figure by the row's key ("B7")."""


@dataclass(frozen=True)
class _Row:
    """A row of the page; its cells are made when every row's place is known."""

    key: str
    cells: Callable[[At], list[Cell]]
    height: float | None = None


@dataclass(frozen=True)
class Context:
    """What a page must know of the workbook that it is in.

    Attributes:
        index: the name of the index sheet.
        limits: field → the cells, from anywhere, of the least and the most that it may be.
        position, of: which page it is.
        version: of this program.
    """

    labels: Labels
    index: str
    limits: dict[str, tuple[str, str]]
    position: int
    of: int
    version: str


def write(workbook: Workbook, sheet: Sheet, figures: Figures, context: Context) -> dict[str, str]:
    """Writes the page, and gives the cells that the index refers to: key → absolute reference from anywhere."""
    rows = _Page(figures, context).rows()
    number = {row.key: i for i, row in enumerate(rows, start=1)}

    def at(key: str) -> str:
        return f"B{number[key]}"

    for row in rows:
        sheet.row(row.cells(at), row.height)
    _validate(sheet, context, at)
    _add_chart(workbook, sheet, context.labels, number)
    _set_up_paper(sheet, context.labels, len(rows))
    own = quoted_sheet(sheet.ws.get_name())
    return {key: f"{own}!$B${row}" for key, row in number.items()}


class _Page:
    """The rows of one page."""

    def __init__(self, figures: Figures, context: Context) -> None:
        self._figures = figures
        self._scenario = figures.scenario
        self._context = context
        self._labels = context.labels
        self._windows = range(len(figures.kv.windowed))

    def rows(self) -> list[_Row]:
        sections = (
            self._recommendation(),
            self._inputs(),
            self._breakdown(),
            self._sizing(),
            self._assumptions(),
            self._checks(),
            self._sign_off(),
        )
        rows = self._title()
        for number, section in enumerate(sections):
            rows += [_Row(f"gap_{number}", lambda _: [], _GAP_HEIGHT), *section]
        return rows

    def _title(self) -> list[_Row]:
        labels, title = self._labels, self._scenario.title
        position = labels("export.position", number=self._context.position, count=self._context.of)
        link = f"{quoted_sheet(self._context.index)}!A1"
        return [
            _Row(
                "title",
                lambda _: [Cell(0, styles.TITLE, title, last_column=3)],
                max(28, height_of(title, 50) * 2),  # 18 points instead of 9
            ),
            _Row(
                "subtitle",
                lambda _: [
                    Cell(0, styles.SUBTITLE, position),
                    Cell(3, styles.SUBTITLE, labels("export.to_index"), link=link),
                ],
            ),
        ]

    def _recommendation(self) -> list[_Row]:
        labels, scenario, figures = self._labels, self._scenario, self._figures
        template = labels("export.recommendation")
        values = {
            "model": scenario.model.title,
            "users": fixed_text(scenario.users, 0),
            "context": fixed_text(scenario.context, 0),
            "total": fixed_text(figures.total_gb, 1),
            "gpus": f"{figures.gpus}",
            "gpu_memory": f"{scenario.gpu_memory_gb:.15g}",
            "spare": fixed_text(figures.all_gpus_gb - figures.total_gb, 1),
        }

        def cells(at: At) -> list[Cell]:
            formulas = {
                "model": at("model"),
                "users": f.fixed(at("users"), 0),
                "context": f.fixed(at("context"), 0),
                "total": f.fixed(at("total"), 1),
                "gpus": at("gpus"),
                "gpu_memory": at("gpu_memory_gb"),
                "spare": f.fixed(at("spare"), 1),
            }
            unusable = f.text(labels("export.unusable"))
            formula = f"IF({at('check_inputs')}=1,{f.sentence(template, formulas)},{unusable})"
            return [Cell(0, styles.ANSWER, template.format(**values), formula, last_column=3)]

        caveat = labels("export.caveat")
        return [
            self._section("recommendation"),
            _Row("sentence", cells, height_of(template.format(**values), 95) + 14),
            _Row("caveat", lambda _: [Cell(0, styles.NOTE, caveat, last_column=3)], height_of(caveat, 120)),
        ]

    def _inputs(self) -> list[_Row]:
        labels, scenario = self._labels, self._scenario

        def given(key: str, label: str, value: float, number_format: str, unit: str) -> _Row:
            return self._line(key, label, value, None, number_format, unit, labels(_PROMPTS[key]), styles.INPUT)

        def fixed(key: str, value: str) -> _Row:
            note = labels("export.fixed")
            return self._line(key, f"scenarios.{key}", value, None, None, "none", note, styles.FORMULA_TEXT)

        return [
            self._section("inputs", "export.value", "article.unit", "article.note"),
            fixed("model", scenario.model.title),
            fixed("precision", scenario.precision_name),
            fixed("kv_precision", scenario.kv_precision.name),
            given("context", "article.context", scenario.context, COUNT_FORMAT, "tokens"),
            given("users", "article.users", scenario.users, COUNT_FORMAT, "users"),
            given("overhead", "article.overhead_rate", scenario.overhead, RATE_FORMAT, "of_weights_kv"),
            given("gpu_memory_gb", "article.gpu_memory", scenario.gpu_memory_gb, MEMORY_FORMAT, "gb"),
        ]

    def _breakdown(self) -> list[_Row]:
        labels, figures = self._labels, self._figures
        total = figures.total_gb

        def line(key: str, value: float, formula: Callable[[At], str], role: str = styles.FORMULA) -> _Row:
            name = key.removesuffix("_gb")
            how = labels(f"export.how_{name}")

            def cells(at: At) -> list[Cell]:
                return [
                    Cell(0, styles.LABEL, labels(f"article.{name}")),
                    Cell(1, role, value, formula(at), GB_FORMAT),
                    Cell(2, styles.FORMULA, value / total, f"{at(key)}/{at('total')}", "0.0%"),
                    Cell(3, styles.NOTE, how),
                ]

            return _Row(key, cells, height_of(how, _NOTE_WIDTH))

        chart = [_Row(f"chart_{i}", lambda _: [], _CHART_ROW_HEIGHT) for i in range(_CHART_ROWS)]
        return [
            self._section("breakdown", "unit.gb", "export.share", "article.how"),
            line("weights", figures.weights_gb, lambda at: f.in_gb(at("weights_bytes"))),
            line("kv", figures.kv_gb, self._kv_formula),
            line(
                "overhead_gb",
                figures.overhead_gb,
                lambda at: f.overhead_gb(at("weights"), at("kv"), at("overhead")),
            ),
            line("total", total, lambda at: f"{at('weights')}+{at('kv')}+{at('overhead_gb')}", styles.TOTAL),
            *chart,
        ]

    def _kv_formula(self, at: At) -> str:
        windowed = [(at(f"window_{i}"), at(f"windowed_values_{i}")) for i in self._windows]
        fixed = (at(key) for key in ("fixed_values", "fixed_bytes", "index_bytes"))
        return f.kv_gb(
            at("values_per_token"), windowed, *fixed,
            context=at("context"), users=at("users"), value_bytes=at("value_bytes"),
        )  # fmt: skip

    def _sizing(self) -> list[_Row]:
        labels, figures, scenario = self._labels, self._figures, self._scenario
        spare = figures.all_gpus_gb - figures.total_gb
        return [
            self._section("sizing", "export.value", "article.unit", "article.how"),
            self._line(
                "gpus", "article.gpus", figures.gpus, lambda at: f.gpus_by_division(at("total"), at("gpu_memory_gb")),
                COUNT_FORMAT, "gpus", labels("article.how_gpus"), styles.TOTAL,
            ),
            self._line(
                "all_gpus_gb", "export.all_gpus", figures.all_gpus_gb, lambda at: f"{at('gpus')}*{at('gpu_memory_gb')}",
                GB_FORMAT, "gb", labels("export.how_all_gpus"),
            ),
            self._line(
                "spare", "export.spare", spare, lambda at: f"{at('all_gpus_gb')}-{at('total')}", GB_FORMAT, "gb",
                labels("export.how_spare"),
            ),
            self._line(
                "in_use", "export.in_use", figures.total_gb / figures.all_gpus_gb,
                lambda at: f"{at('total')}/{at('all_gpus_gb')}", "0.0%", "none", labels("export.how_in_use"),
            ),
            self._line(
                "kv_of_one_user", "export.kv_of_one_user", figures.kv_gb / scenario.users,
                lambda at: f"{at('kv')}/{at('users')}", "#,##0.000", "gb", labels("export.how_kv_of_one_user"),
            ),
            self._line(
                "total_gib", "export.total_gib", figures.total_gb * GB / GIB,
                lambda at: f"{at('total')}*{f.GB}/{f.GIB}", GB_FORMAT, "gib", labels("about.units"),
            ),
        ]  # fmt: skip

    def _assumptions(self) -> list[_Row]:
        labels, figures, scenario = self._labels, self._figures, self._scenario
        model, kv_precision = scenario.model, scenario.kv_precision
        source = f"{model.source}; {model.as_of}" if model.as_of else model.source

        def known(key: str, label: str, value: object, unit: str, note: str, number_format: str = BYTES_FORMAT) -> _Row:
            return self._line(key, label, value, None, number_format, unit, note, styles.SOURCE_FIGURE)

        windows = [
            row
            for i, (window, values) in enumerate(figures.kv.windowed)
            for row in (
                known(f"window_{i}", "models.window", window, "tokens", labels("export.source_window")),
                known(
                    f"windowed_values_{i}", "models.windowed_values", values, "values", labels("export.source_window")
                ),
            )
        ]
        return [
            self._section("assumptions", "export.value", "article.unit", "models.source"),
            known("weights_bytes", "export.weights_bytes", figures.weights_bytes, "bytes",
                  f"{labels('export.source_weights')} "
                  f"{scenario.precision.source if scenario.precision else ''}".rstrip()),
            known("values_per_token", "models.values_per_token", figures.kv.values_per_token, "values", source),
            *windows,
            known("fixed_values", "models.fixed_values", figures.kv.fixed_values, "values",
                  labels("export.source_fixed")),
            known("fixed_bytes", "models.fixed_bytes", figures.kv.fixed_bytes, "bytes", labels("export.source_fixed")),
            known("index_bytes", "models.index_bytes", figures.kv.index_bytes_per_token, "bytes",
                  labels("export.source_index")),
            known("value_bytes", "article.bytes_per_value", kv_precision.bytes_per_value, "bytes",
                  kv_precision.source or labels("export.source_given"), PLAIN_FORMAT),
            known("longest", "models.max_context", model.spec.max_position_embeddings or labels("unit.none"), "tokens",
                  labels("export.source_longest")),
            known("exported", "export.exported", figures.total_gb, "gb",
                  labels("export.source_exported", version=self._context.version), GB_FORMAT),
        ]  # fmt: skip

    def _checks(self) -> list[_Row]:
        labels, check_format = self._labels, self._labels("check.format")

        def check(key: str, value: bool, condition: Callable[[At], str]) -> _Row:
            return self._line(
                f"check_{key}", f"export.check_{key}", int(value), lambda at: f"IF({condition(at)},1,0)", check_format,
                "none", labels(f"export.check_{key}_wrong"), styles.CHECK,
            )  # fmt: skip

        def usable(at: At) -> str:
            return inputs_are_usable({field: at(field) for field in OPEN_INPUTS}, self._context.limits)

        def all_right(at: At) -> str:
            results = f"{at('check_inputs')}:{at('check_longest')}"
            return f"COUNTIF({results},1)=ROWS({results})"

        return [
            self._section("checks", "checks.result", "article.unit", "checks.meaning"),
            check("inputs", True, usable),
            check("sum", True, lambda at: f"{f.equal(self._sum_of_shares(at), '1')}=1"),
            check("enough", True, lambda at: f.holds(at("gpus"), at("gpu_memory_gb"), at("total"))),
            check(
                "longest", self._figures.is_within_longest, lambda at: is_within_longest(at("context"), at("longest"))
            ),
            check("all", self._figures.is_within_longest, all_right),
        ]

    @staticmethod
    def _sum_of_shares(at: At) -> str:
        return f"SUM({at('weights').replace('B', 'C')}:{at('overhead_gb').replace('B', 'C')})"

    def _sign_off(self) -> list[_Row]:
        labels = self._labels

        def line(key: str) -> _Row:
            blanks = [Cell(column, styles.INPUT_TEXT) for column in (1, 2, 3)]
            return _Row(key, lambda _: [Cell(0, styles.LABEL, labels(f"export.{key}")), *blanks], 24)

        return [
            self._section("sign_off", "export.name", "export.date", "export.signature"),
            *(line(key) for key in ("prepared", "reviewed", "approved")),
        ]

    def _section(self, key: str, *columns: str) -> _Row:
        """A section's heading, and the label keys of the columns under it."""
        texts = [self._labels(name) for name in (f"export.section_{key}", *columns)] + [None] * (3 - len(columns))
        cells = [Cell(column, styles.SECTION, text) for column, text in enumerate(texts)]
        return _Row(f"section_{key}", lambda _: cells, _SECTION_HEIGHT)

    def _line(
        self,
        key: str,
        label: str,
        value: object,
        formula: Callable[[At], str] | None,
        number_format: str | None,
        unit: str,
        note: str,
        role: str = styles.FORMULA,
    ) -> _Row:
        """What, how much, of what unit, and where it comes from."""
        what, of = self._labels(label), self._labels(f"unit.{unit}")

        def cells(at: At) -> list[Cell]:
            return [
                Cell(0, styles.LABEL, what),
                Cell(1, role, value, formula and formula(at), number_format),
                Cell(2, styles.NOTE, of),
                Cell(3, styles.NOTE, note),
            ]

        return _Row(key, cells, height_of(note, _NOTE_WIDTH))


def fixed_text(number: float, decimals: int) -> str:
    """`number` as FIXED writes it: halves rounded up, of the 15 digits that a spreadsheet shows."""
    exact = Decimal(f"{number:.15g}").quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)
    return f"{exact:,}"


def _validate(sheet: Sheet, context: Context, at: At) -> None:
    labels = context.labels
    for field in OPEN_INPUTS:
        least, most = context.limits[field]
        prompt = labels(_PROMPTS[field])
        rule = {
            "validate": "integer" if LIMITS[field].whole else "decimal",
            "criteria": "between",
            "minimum": f"={least}",
            "maximum": f"={most}",
            "ignore_blank": False,
            "input_message": prompt,
            "error_title": labels("prompt.wrong_title")[:32],
            "error_message": prompt,
        }
        sheet.ws.data_validation(at(field), rule)


def _add_chart(workbook: Workbook, sheet: Sheet, labels: Labels, number: dict[str, int]) -> None:
    first, last = number["weights"] - 1, number["overhead_gb"] - 1
    name = sheet.ws.get_name()
    chart = workbook.add_chart({"type": "bar"})
    chart.add_series(
        {
            "name": labels("export.section_breakdown"),
            "categories": [name, first, 0, last, 0],
            "values": [name, first, 1, last, 1],
            "points": [{"fill": {"color": f"#{colour}"}} for colour in styles.PART_COLOURS],
            "data_labels": {"value": True, "num_format": "#,##0.0"},
            "gap": 60,
        }
    )
    chart.set_title({"name": labels("export.chart"), "name_font": {"size": 11}})
    chart.set_legend({"none": True})
    chart.set_x_axis(VALUE_AXIS)
    chart.set_y_axis({"reverse": True})
    place = number["chart_0"] - 1
    sheet.ws.insert_chart(
        place, 0, chart, {"x_offset": 4, "y_offset": 6, "description": labels("export.chart_alt"), "object_position": 2}
    )
    chart.set_size(_CHART_SIZE)


def _set_up_paper(sheet: Sheet, labels: Labels, rows: int) -> None:
    ws = sheet.ws
    ws.set_portrait()
    ws.set_paper(9)  # A4
    ws.fit_to_pages(1, 1)
    ws.print_area(0, 0, rows - 1, len(WIDTHS) - 1)
    ws.center_horizontally()
    ws.set_margins(left=0.5, right=0.5, top=0.5, bottom=0.7)  # inches
    ws.set_footer(f"&L&A&R{labels('page.of')}")
    ws.protect("", {"format_columns": True, "format_rows": True})
