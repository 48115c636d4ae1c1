"""Write the page of one scenario: recommendation, inputs, breakdown, layout, costs, assumptions, checks, sign-off.

Columns A to G are printed. The calculation of every layout and of the costs is to the right of them, so that the page
can find the best layout again when an input changes, and an auditor can follow it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from functools import partial
from itertools import count
from typing import Any

from core.plan.worksheet import CACHE, SEQUENCES, VLLM, WorksheetPlan, worksheet_plans
from xlsxwriter import Workbook
from xlsxwriter.utility import xl_col_to_name

from core.catalog.prices import Quote, cost_defaults
from core.plan.allocation import PAGED
from core.units import GB
from workbook import formulas as f
from workbook import styles
from workbook.book import BYTES_FORMAT, COUNT_FORMAT, GB_FORMAT, PLAIN_FORMAT
from workbook.export import assumptions
from workbook.export.costs import CostLine, cost_lines, quotes
from workbook.export.figures import (
    INPUT_LIMITS,
    NOTHING,
    Figures,
    PlanFigures,
    costs_of,
    input_is_usable,
    is_within_longest,
    nodes,
    open_inputs,
    possible_layouts,
    prices_of,
    tokens_in_window,
)
from workbook.export.grid import At, Grid
from workbook.export.index import Entry
from workbook.export.sheet import VALUE_AXIS, Sheet, height_of, quoted_sheet
from workbook.labels import Labels
from workbook.scenario import FIELDS

# The first columns of the two halves, the last printed column, and the first column of the calculation.
LEFT, RIGHT, LAST, CALCULATION = 0, 4, 6, 8
WIDTHS = (34, 17, 17, 2, 36, 32, 32, 4, 38, *(20,) * 14)
# Characters per line: of a note over the right half and over the whole width, of an answer, of the title.
_NOTE_LINE, _WIDE_NOTE_LINE, _ANSWER_LINE, _TITLE_LINE = 118, 195, 136, 90
_GAP_HEIGHT, _SECTION_HEIGHT, _LINE_HEIGHT = 6, 17, 15  # points
_MAIN_COSTS = (
    "horizon_months", "discount_rate_per_year", "headroom", "spare_replicas", "depreciation_years", "residual_share",
    "pue", "tariff_usd_per_kwh", "hosting_usd_per_kw_month", "support_share_per_year", "network_share",
    "on_demand_hours_share",
)  # fmt: skip
_PRICE_UNITS = {field: f"export.unit_{field}" for field in assumptions.PRICES}
_NOTHING = f.text(NOTHING)


@dataclass(frozen=True)
class Context:
    """What a page needs to know about its workbook.

    Attributes:
        index: the name of the index sheet.
        limits: field of an input or a price → references to the cells of its minimum and maximum.
        position, of: the number of the scenario, and the number of scenarios.
        version: the version of this program.
    """

    labels: Labels
    index: str
    limits: dict[str, tuple[str, str]]
    position: int
    of: int
    version: str


def write(workbook: Workbook, sheet: Sheet, figures: Figures, context: Context) -> Entry:
    """Write the page and return its entry for the index."""
    page = _Page(figures, context)
    page.grid.write(sheet)
    _validate(sheet, figures, context, page)
    _add_chart(workbook, sheet, context.labels, page)
    _set_up_paper(sheet, context.labels, page.last_row)
    name = sheet.ws.get_name()
    return Entry(name, figures, page.grid.absolute(quoted_sheet(name)), page.best_month)


class _Page:
    """The cells of one page."""

    def __init__(self, figures: Figures, context: Context) -> None:
        self._figures, self._context = figures, context
        self._scenario, self._labels = figures.scenario, context.labels
        self._by_vllm = figures.scenario.engine == VLLM
        self._layouts = possible_layouts(figures.scenario.workload)
        self._plans = {plan.layout: plan for plan in worksheet_plans(figures.scenario.workload)}
        self._prices, self._costs = prices_of(figures.scenario), costs_of(figures)
        self.grid = Grid()
        self.has_costs = self._prices is not None and (self._costs is not None or figures.best is None)
        self._lines = self._cost_lines()
        self._row = 0
        self._gaps: set[int] = set()
        self._title()
        self._recommendation()
        first = self._row
        self._side_by_side(self._inputs, self._breakdown)
        self.chart_rows = self._row - 1 - self.chart_row
        self._side_by_side(self._layout, self._cost_section)
        if self.has_costs:
            self._cost_assumptions()
        self._assumptions()
        self._checks()
        self._sign_off()
        self.last_row = self._row - 1
        self._calculation(first)

    @property
    def best_month(self) -> object:
        """US dollars per month of buying or renting, whichever is cheaper; a dash if not known."""
        return next((line.value for line in self._lines if line.key == "best_month"), NOTHING)

    # ---- from the top ------------------------------------------------------------------------------------

    def _title(self) -> None:
        labels, title = self._labels, self._scenario.title
        position = labels("export.position", number=self._context.position, count=self._context.of)
        self._text(styles.TITLE, title, height=max(28, height_of(title, _TITLE_LINE) * 2))  # 18 points instead of 9
        self.grid.put(self._row, LEFT, styles.SUBTITLE, position)
        link = f"{quoted_sheet(self._context.index)}!A1"
        self.grid.put(self._row, LAST, styles.SUBTITLE, labels("export.to_index"), link=link)
        self._row += 1
        self._gap()

    def _recommendation(self) -> None:
        labels, figures = self._labels, self._figures
        self._wide_section("recommendation")
        usable = "IF({check}=1,IF({best}>0,{sentence},{none}),{unusable})"
        unusable = f.text(labels("export.unusable"))
        sentence, none = labels("export.recommendation"), labels("export.recommendation_none")
        values, cells = self._sentence_values(), self._sentence_cells

        def formula(at: At) -> str:
            return usable.format(
                check=at("check_inputs"), best=at("best"), unusable=unusable,
                sentence=f.sentence(sentence, cells(at)), none=f.sentence(none, cells(at)),
            )  # fmt: skip

        shown = (sentence if figures.best else none).format(**values)
        self._text(styles.ANSWER, shown, formula, height=height_of(shown, _ANSWER_LINE) + 8, key="sentence")
        if self.has_costs:
            template = labels("export.recommendation_costs")
            unknown = labels("export.costs_unknown")
            by_key: dict[str, Any] = {line.key: line.value for line in self._lines}
            known = by_key["verb"] != NOTHING
            money = ("best_gpus", "best_month", "net_present_cost")
            money_values = {
                "verb": by_key["verb"], "months": fixed_text(cost_defaults()["horizon_months"].value, 0),
                **{key: fixed_text(by_key[key], 0) for key in money if known},
            }  # fmt: skip

            def cost_formula(at: At) -> str:
                cells = {"verb": at("verb"), "months": f.fixed("horizon_months", 0)}
                cells |= {key: f.fixed(at(key), 0) for key in money}
                return (
                    f"IF(AND({at('check_inputs')}=1,ISNUMBER({at('net_present_cost')})),"
                    f"{f.sentence(template, cells)},{f.text(unknown)})"
                )

            shown = template.format(**money_values) if known else unknown
            self._text(styles.ANSWER, shown, cost_formula, height=height_of(shown, _ANSWER_LINE) + 4)
        caveat = labels("export.caveat")
        self._text(styles.NOTE, caveat, height=height_of(caveat, _WIDE_NOTE_LINE))
        self._gap()

    def _sentence_values(self) -> dict[str, str | None]:
        scenario, figures, best = self._scenario, self._figures, self._figures.best
        return {
            "model": scenario.model.title,
            "users": fixed_text(scenario.users, 0),
            "context": fixed_text(scenario.context, 0),
            "total": fixed_text(figures.total_gb, 1),
            "gpu": self._gpu_title(fixed_text(scenario.gpu_memory_gb, 1)),
            **(
                {
                    "deploy": f"{best.gpus}", "layout": best.layout.title, "replicas": f"{best.replicas}",
                    "nodes": f"{best.nodes}", "places": fixed_text(best.replicas * best.users_per_replica, 0),
                }
                if best
                else {}
            ),
        }  # fmt: skip

    def _sentence_cells(self, at: At) -> dict[str, str]:
        title = self._gpu_title(None)
        memory = f"{f.fixed(at('gpu_memory_gb'), 1)}&{f.text(self._labels('export.gpu_of_gb', memory=''))}"
        return {
            "model": at("model"),
            "users": f.fixed(at("users"), 0),
            "context": f.fixed(at("context"), 0),
            "total": f.fixed(at("total"), 1),
            "gpu": f.text(title) if title else memory,
            "deploy": at("deploy"),
            "layout": at("layout"),
            "replicas": at("replicas"),
            "nodes": at("nodes"),
            "places": f.fixed(at("places"), 0),
        }

    def _gpu_title(self, memory: str | None) -> str | None:
        if self._scenario.gpu is not None:
            return self._scenario.gpu.title
        return None if memory is None else self._labels("export.gpu_of_gb", memory=memory)

    # ---- inputs and breakdown ----------------------------------------------------------------------------

    def _inputs(self, row: int) -> int:
        labels, scenario = self._labels, self._scenario
        opened = open_inputs(scenario)
        row = self._section(row, LEFT, "inputs", "export.value", "article.unit")
        for field in FIELDS[1:]:  # the first one is the page's title
            label, value = labels(field.page_label or field.label), field.on_page(scenario)
            if not field.limits:
                self._text_row(row, LEFT, label, value or NOTHING, key=field.name)
            elif field.name in opened or field.name == "gpu_memory_gb":
                role = styles.INPUT if field.name in opened else styles.SOURCE_FIGURE
                self._number_row(
                    row, LEFT, label, value, None, field.number_format or PLAIN_FORMAT, field.unit, role, key=field.name
                )
            else:
                continue
            row += 1
        return row

    def _breakdown(self, row: int) -> int:
        labels, figures = self._labels, self._figures
        total = figures.total_gb
        row = self._section(row, RIGHT, "breakdown", "unit.gb", "export.share")
        lines: tuple[tuple[str, float, Callable[[At], str], str], ...] = (
            ("weights", figures.weights_gb, lambda at: f.in_gb(at("weights_bytes")), styles.FORMULA),
            ("kv", figures.kv_gb, self._kv_formula, styles.FORMULA),
            ("overhead_gb", figures.overhead_gb, self._overhead_formula, styles.FORMULA),
            ("total", total, lambda at: f"{at('weights')}+{at('kv')}+{at('overhead_gb')}", styles.TOTAL),
        )
        for key, value, formula, role in lines:
            self.grid.put(row, RIGHT, styles.LABEL, labels(f"article.{key.removesuffix('_gb')}"))
            self.grid.put(row, RIGHT + 1, role, value, formula, GB_FORMAT, key=key)
            share = f"{key}_share"
            self.grid.put(
                row, RIGHT + 2, styles.FORMULA, value / total, partial(_share_of_total, key), "0.0%",
                key=share,
            )  # fmt: skip
            row += 1
        self.chart_row = row
        return row + 6

    def _kv_formula(self, at: At) -> str:
        windowed = [(at(f"window_{i}"), at(f"windowed_values_{i}")) for i in range(len(self._figures.kv.windowed))]
        fixed = (at(key) for key in ("fixed_values", "fixed_bytes", "index_bytes"))
        return f.kv_gb(
            at("values_per_token"), windowed, *fixed,
            context=at("tokens"), users=at("users"), value_bytes=at("value_bytes"),
        )  # fmt: skip

    def _overhead_formula(self, at: At) -> str:
        if self._by_vllm:
            return f"{at('gpus')}*({at('gpu_memory_gb')}-{at('room')})"
        return f.overhead_gb(at("weights"), at("kv"), at("overhead"))

    def _gpus_formula(self, at: At) -> str:
        if self._by_vllm:
            return f.rounded_up(f"({at('weights')}+{at('kv')})/{at('room')}")
        return f.gpus_by_division(at("total"), at("gpu_memory_gb"))

    # ---- layout and costs --------------------------------------------------------------------------------

    def _layout(self, row: int) -> int:
        labels, figures, best = self._labels, self._figures, self._figures.best
        row = self._section(row, LEFT, "layout", "export.value", "article.unit")

        def of_best(column: str) -> Callable[[At], str]:
            return lambda at: f"IF({at('best')}>0,INDEX({self._column(at, column)},{at('best')}),{_NOTHING})"

        def line(key: str, label: str, value: object, formula, shown: str, unit: str, role=styles.FORMULA) -> None:
            nonlocal row
            self._number_row(row, LEFT, labels(label), value, formula, shown, unit, role, key=key)
            row += 1

        def of_plan(value: Callable[[WorksheetPlan], object]) -> object:
            return NOTHING if best is None else value(best)

        def if_fits(formula: Callable[[At], str]) -> Callable[[At], str]:
            return lambda at: f"IF({at('best')}>0,{formula(at)},{_NOTHING})"

        line("gpus", "article.gpus", figures.gpus, self._gpus_formula, COUNT_FORMAT, "unit.gpus")
        title = str(of_plan(lambda p: p.layout.title))
        self._text_row(row, LEFT, labels("scenarios.layout"), title, of_best("title"), key="layout")
        row += 1
        line("best_weights", "procurement.weights_gpu", of_plan(lambda p: p.weights_bytes / GB), of_best("weights"),
             GB_FORMAT, "unit.gb")  # fmt: skip
        line("best_budget", "procurement.kv_budget", of_plan(lambda p: p.kv_budget_bytes / GB), of_best("budget"),
             GB_FORMAT, "unit.gb")  # fmt: skip
        line("best_kv", "procurement.kv_user", of_plan(lambda p: p.kv_bytes_per_user / GB), of_best("kv_user"),
             "0.0000", "unit.gb")  # fmt: skip
        line("users_per_replica", "procurement.users_per_replica", of_plan(lambda p: p.users_per_replica),
             of_best("users"), COUNT_FORMAT, "unit.users")  # fmt: skip
        line("replicas", "scenarios.replicas", of_plan(lambda p: p.replicas),
             if_fits(lambda at: f"{at('deploy')}/{at('per_replica')}"), COUNT_FORMAT, "unit.none")  # fmt: skip
        line("places", "export.places", of_plan(lambda p: p.replicas * p.users_per_replica),
             if_fits(lambda at: f"{at('replicas')}*{at('users_per_replica')}"), COUNT_FORMAT, "unit.users")  # fmt: skip
        line("deploy", "scenarios.deploy", of_plan(lambda p: p.gpus), of_best("all_gpus"), COUNT_FORMAT, "unit.gpus",
             styles.TOTAL)  # fmt: skip
        line("nodes", "scenarios.nodes", of_plan(lambda p: p.nodes),
             if_fits(lambda at: nodes(at("replicas"), at("per_replica"), at("per_node"))), COUNT_FORMAT,
             "export.unit_nodes", styles.TOTAL)  # fmt: skip
        binds = best.binds if best else "weights"

        def what_binds(at: At) -> str:
            reached = f"INDEX({self._column(at, 'fitting')},{at('best')})"
            sequences = f"{at('users_per_replica')}<{reached}"
            texts = {key: f.text(labels(f"export.binds_{key}")) for key in (CACHE, SEQUENCES, "weights")}
            return f"IF({at('best')}>0,IF({sequences},{texts[SEQUENCES]},{texts[CACHE]}),{texts['weights']})"

        self._text_row(row, LEFT, labels("procurement.binds"), labels(f"export.binds_{binds}"), what_binds, key="binds")
        return row + 1

    def _cost_lines(self) -> list[CostLine]:
        if self._prices is None or not self.has_costs:
            return []
        return cost_lines(self._labels, self._figures, self._prices, self._costs)

    def _cost_section(self, row: int) -> int:
        labels = self._labels
        if not self.has_costs:
            row = self._section(row, RIGHT, "costs", None, None)
            reason = "no_price" if self._prices is None else "too_many"
            self.grid.put(row, RIGHT, styles.FORMULA_TEXT, labels(f"export.{reason}"), last_column=LAST)
            return row + 1
        row = self._section(row, RIGHT, "costs", "procurement.buy", "procurement.rent")
        by_key = {line.key: line for line in self._lines}
        printed = (
            ("procurement.best_gpus", "order", "rented"),
            ("export.nodes_with_spares", "cost_nodes", None),
            ("export.capex", "capex", None),
            ("export.running", "opex", "rent_month"),
            ("export.month", "own_month", None),
            ("export.user_month", "own_user_month", "rent_user_month"),
            ("export.tco", "own_tco", "rent_tco"),
            ("export.npv", "own_npv", "rent_npv"),
        )
        self._printed_costs = {key for _, *keys in printed for key in keys} | {"cheaper", "pays_off"}
        for label, *keys in printed:
            self.grid.put(row, RIGHT, styles.LABEL, labels(label))
            for column, key in enumerate(keys, start=RIGHT + 1):
                if key is None:
                    self.grid.put(row, column, styles.FORMULA_TEXT, NOTHING)
                else:
                    self._cost_cell(row, column, by_key[key], styles.TOTAL if "npv" in key else styles.FORMULA)
            row += 1
        for label, key in (("export.break_even", "pays_off"), ("export.cheaper", "cheaper")):
            self.grid.put(row, RIGHT, styles.LABEL, labels(label))
            self._cost_cell(row, RIGHT + 1, by_key[key], styles.TOTAL if key == "cheaper" else styles.FORMULA)
            self.grid.put(row, RIGHT + 2, styles.FORMULA_TEXT, NOTHING)
            row += 1
        return row

    def _cost_cell(self, row: int, column: int, line: CostLine, role: str = styles.FORMULA) -> None:
        self.grid.put(row, column, role, line.value, line.formula, line.number_format, key=line.key)

    def _cost_assumptions(self) -> None:
        """Place the prices with their sources, and the main assumptions, which are inputs on another sheet."""
        labels = self._labels
        gpu = self._scenario.gpu
        assert gpu is not None and self._prices is not None, "only GPUs of the catalog have prices"
        self._wide_section("prices", "export.value", "article.unit", "procurement.source")
        for field, quote in quotes(self._prices).items():
            value = quote.amount_usd if quote else None
            shown = "#,##0.00##" if field.endswith("hour") else "#,##0.00"
            source = _dated_source(quote) if quote else labels("export.source_no_price")
            label, unit = f"export.price_{field}", labels(_PRICE_UNITS[field])
            self._cited_row(field, label, value, unit, source, shown, styles.INPUT)
        source = f"{gpu.source}; {gpu.as_of}"
        self._cited_row("tdp", "export.tdp", gpu.tdp_w or NOTHING, "W", source, COUNT_FORMAT)
        note = labels("export.indicative")
        self._text(styles.NOTE, note, height=height_of(note, _WIDE_NOTE_LINE))
        for left, right in zip(_MAIN_COSTS[::2], _MAIN_COSTS[1::2]):
            for column, field in ((LEFT, left), (RIGHT, right)):
                self._number_row(
                    self._row, column, labels(f"procurement.{field}"), cost_defaults()[field].value,
                    lambda at, field=field: field, assumptions.number_format(field),
                    f"procurement.unit_{field}", styles.LINK,
                )  # fmt: skip
            self.grid.heights[self._row] = _LINE_HEIGHT
            self._row += 1
        self._gap()

    # ---- assumptions, checks, sign-off -------------------------------------------------------------------

    def _assumptions(self) -> None:
        labels, figures, scenario = self._labels, self._figures, self._scenario
        model, kv_precision, kv = scenario.model, scenario.kv_precision, figures.kv
        source = f"{model.source}; {model.as_of}" if model.as_of else model.source
        self._wide_section("assumptions", "export.value", "article.unit", "models.source")

        def known(key: str, label: str, value: object, unit: str, note: str, shown: str = BYTES_FORMAT) -> None:
            self._cited_row(key, label, value, labels(f"unit.{unit}"), note, shown)

        stored = "export.source_shipped" if scenario.precision is None else "export.source_weights"
        layout = scenario.precision.source if scenario.precision else ""
        note = f"{labels(stored)} {layout}".rstrip()
        known("weights_bytes", "export.weights_bytes", figures.weights_bytes, "bytes", note)
        known("values_per_token", "models.values_per_token", kv.values_per_token, "values", source)
        for i, (window, values) in enumerate(kv.windowed):
            note = labels("export.source_window")
            known(f"window_{i}", "models.window", window, "tokens", note)
            known(f"windowed_values_{i}", "models.windowed_values", values, "values", note)
        known("fixed_values", "models.fixed_values", kv.fixed_values, "values", labels("export.source_fixed"))
        known("fixed_bytes", "models.fixed_bytes", kv.fixed_bytes, "bytes", labels("export.source_fixed"))
        known("index_bytes", "models.index_bytes", kv.index_bytes_per_token, "bytes", labels("export.source_index"))
        known("value_bytes", "article.bytes_per_value", kv_precision.bytes_per_value, "bytes",
              kv_precision.source or labels("export.source_given"), PLAIN_FORMAT)  # fmt: skip
        known("longest", "models.max_context", model.spec.max_position_embeddings or NOTHING, "tokens",
              labels("export.source_longest"))  # fmt: skip
        self._cited_row(
            "tokens", "scenarios.tokens", scenario.workload.tokens, labels("unit.tokens"), labels("export.how_tokens"),
            COUNT_FORMAT, styles.FORMULA,
            lambda at: f.allocated_tokens(
                at("context"), at("average_tokens") if scenario.allocation == PAGED else at("context"),
                paged=f"{at('allocation')}={f.text(PAGED)}", in_blocks=f"{at('engine')}={f.text(VLLM)}",
            ),
        )  # fmt: skip
        if self._by_vllm:
            for key, value in zip(("buffers_one", "buffers_several"), figures.buffers_gb):
                known(key, f"export.{key}", value, "gb", labels("export.source_buffers"), GB_FORMAT)
            gpu, note = scenario.workload.gpu, labels("export.source_step")
            known("step_tokens", "scenarios.step_tokens", gpu.step_tokens, "tokens", note)
            known("max_sequences", "scenarios.max_sequences", gpu.max_sequences, "none", note)
        self._cited_row(
            "per_node", "scenarios.per_node", scenario.workload.gpu.gpus_per_node, labels("unit.gpus"),
            self._node_source(),
        )  # fmt: skip
        known("exported", "export.exported", figures.total_gb, "gb",
              labels("export.source_exported", version=self._context.version), GB_FORMAT)  # fmt: skip
        how = labels(f"export.how_{'vllm' if self._by_vllm else 'rule'}")
        self._text(styles.NOTE, how, height=height_of(how, _WIDE_NOTE_LINE))
        self._gap()

    def _node_source(self) -> str:
        gpu = self._scenario.gpu
        if gpu is not None and gpu.gpus_per_node:
            return f"{gpu.source}; {gpu.as_of}"
        return self._labels("procurement.usual_gpus_per_node_source")

    def _checks(self) -> None:
        labels, figures = self._labels, self._figures
        self._wide_section("checks", "checks.result", "article.unit", "checks.meaning")
        first = self._row

        def check(key: str, value: bool, condition: Callable[[At], str]) -> None:
            self._cited_row(
                f"check_{key}", f"export.check_{key}", int(value), labels("unit.none"),
                labels(f"export.check_{key}_wrong"), labels("check.format"), styles.CHECK,
                lambda at: f"IF({condition(at)},1,0)",
            )  # fmt: skip

        def usable(at: At) -> str:
            checks = [input_is_usable(field, at(field), self._context.limits) for field in open_inputs(self._scenario)]
            inputs = f"AND({','.join(checks)})"
            return f"IF({inputs},{at('usable')}>{at('buffers_several')},FALSE)" if self._by_vllm else inputs

        def shares(at: At) -> str:
            return f"SUM({at('weights_share')}:{at('overhead_gb_share')})"

        def costs_usable(at: At) -> str:
            limits = self._context.limits
            prices = (
                f"IF({f.is_blank(at(field))},TRUE,{f.is_number_within(at(field), *limits[field], whole=False)})"
                for field in assumptions.PRICES
            )
            return f"IF(AND({','.join(prices)}),assumptions_usable=1,FALSE)"

        def all_right(at: At) -> str:
            results = f"B{first + 1}:{at('check_longest')}"
            return f"COUNTIF({results},1)=ROWS({results})"

        check("inputs", True, usable)
        if self.has_costs:
            check("costs", True, costs_usable)
        check("sum", True, lambda at: f"{f.equal(shares(at), '1')}=1")
        check("enough", True, lambda at: f.holds(at("gpus"), at("gpu_memory_gb"), at("total")))
        check("fits", figures.best is not None, lambda at: f"IF({at('best')}>0,{at('places')}>={at('users')},FALSE)")
        check("longest", figures.is_within_longest, lambda at: is_within_longest(at("context"), at("longest")))
        check("all", figures.is_right, all_right)
        self._gap()

    def _sign_off(self) -> None:
        labels, texts = self._labels, ("export.section_sign_off", "export.name", "export.date", "export.signature")
        for column, last, key in zip((0, 1, 4, 5), (None, 3, None, LAST), texts):
            self.grid.put(self._row, column, styles.SECTION, labels(key), last_column=last)
        self.grid.heights[self._row] = _SECTION_HEIGHT
        for row, key in enumerate(("prepared", "reviewed", "approved"), start=self._row + 1):
            self.grid.put(row, LEFT, styles.LABEL, labels(f"export.{key}"))
            for column, last in ((1, 3), (4, None), (5, LAST)):
                self.grid.put(row, column, styles.INPUT_TEXT, last_column=last)
            self.grid.heights[row] = 21
        self._row += 4

    # ---- calculation, right of the printed columns -------------------------------------------------------

    def _calculation(self, row: int) -> None:
        rows = (row for row in count(self._layout_table(row) + 1) if row not in self._gaps)
        self._engine_rows(rows)
        if self.has_costs:
            row = next(rows)
            self.grid.put(row, CALCULATION, styles.SECTION, self._labels("export.working_costs"))
            self.grid.put(row, CALCULATION + 1, styles.SECTION, "USD")
            for row, line in zip(rows, (line for line in self._lines if line.key not in self._printed_costs)):
                self.grid.put(row, CALCULATION, styles.LABEL, line.label)
                self._cost_cell(row, CALCULATION + 1, line, line.role)

    def _layout_table(self, row: int) -> int:
        """Place a row for each layout: memory used per GPU, users per replica, GPUs in all."""
        labels, windows = self._labels, range(len(self._figures.kv.windowed))
        columns = [
            "title", "tp", "pp", "weights", "loading", "growing", *(f"windowed_{i}" for i in windows), "fixed",
            "budget", "kv_user", "fitting", "users", "all_gpus",
        ]  # fmt: skip
        self._columns = {key: CALCULATION + i for i, key in enumerate(columns)}
        for key, column in self._columns.items():
            label = "windowed" if key.startswith("windowed") else key
            self.grid.put(row, column, styles.HEADING, labels(f"export.layout_{label}"))
        self._layout_rows = row + 1, row + len(self._layouts)
        for i, layout in enumerate(self._layouts, start=row + 1):
            self._write_layout(i, layout, self._plans[layout.shape])
        return row + len(self._layouts) + 1

    def _write_layout(self, row: int, layout: PlanFigures, plan: WorksheetPlan) -> None:
        number = row + 1
        fitting = max(0, int(plan.kv_budget_bytes / plan.kv_bytes_per_user + 1e-9))
        values = {
            "title": layout.shape.title, "tp": layout.shape.tp, "pp": layout.shape.pp, "weights": layout.weights_gb,
            "loading": layout.loading_gb, "growing": layout.growing_bytes, "fixed": layout.fixed_bytes,
            **{f"windowed_{i}": size for i, (_, size) in enumerate(layout.windowed_bytes)},
            "budget": plan.kv_budget_bytes / GB, "kv_user": plan.kv_bytes_per_user / GB, "fitting": fitting,
            "users": plan.users_per_replica, "all_gpus": plan.gpus,
        }  # fmt: skip

        def cell(key: str) -> str:
            return f"{xl_col_to_name(self._columns[key])}{number}"

        def budget(at: At) -> str:
            if not self._by_vllm:
                return f"{at('usable')}-{cell('weights')}"
            room = at("room_one" if layout.shape.tp == 1 else "room_several")
            return f"{room}-{cell('loading')}-{cell('weights')}"

        def kv_user(at: At) -> str:
            tokens = at("tokens")
            parts = [f"{cell('growing')}*{tokens}"]
            for i in range(len(layout.windowed_bytes)):
                window = at(f"window_{i}")
                kept = f"MIN({tokens},{window})"
                if self._by_vllm:
                    kept = tokens_in_window(window, tokens, at("step_tokens"), "kv_block_tokens")
                parts.append(f"{cell(f'windowed_{i}')}*{kept}")
            return f"({'+'.join([*parts, cell('fixed')])})/{f.GB}"

        most = "MIN({most},{fitting})" if self._by_vllm else "{fitting}"
        formulas: dict[str, Callable[[At], str]] = {
            "budget": budget,
            "kv_user": kv_user,
            "fitting": lambda at: f"MAX(0,{f.users_that_fit(cell('budget'), cell('kv_user'))})",
            "users": lambda at: most.format(most=at("max_sequences") if self._by_vllm else "", fitting=cell("fitting")),
            "all_gpus": lambda at: (
                f"IF({cell('users')}>0,{f.rounded_up(at('users') + '/' + cell('users'))}*{cell('tp')}*{cell('pp')},0)"
            ),
        }
        shown = {"budget": GB_FORMAT, "kv_user": "0.0000", "weights": GB_FORMAT, "loading": GB_FORMAT}
        for key, column in self._columns.items():
            role = styles.LABEL if key == "title" else styles.FORMULA if key in formulas else styles.SOURCE_FIGURE
            number_format = None if key == "title" else shown.get(key, BYTES_FORMAT)
            self.grid.put(row, column, role, values[key], formulas.get(key), number_format)

    def _column(self, at: At, key: str) -> str:
        first, last = self._layout_rows
        letter = xl_col_to_name(self._columns[key])
        return f"${letter}${first + 1}:${letter}${last + 1}"

    def _engine_rows(self, rows: Iterator[int]) -> None:
        """Place the usable memory of a GPU and the row of the best layout."""
        labels, figures = self._labels, self._figures
        one, several = (figures.usable_gb - held for held in figures.buffers_gb)
        best = figures.best
        position = 1 + [layout.shape for layout in self._layouts].index(best.layout) if best else 0

        def usable(at: At) -> str:
            memory = at("gpu_memory_gb")
            return f.vllm_usable_gb(memory) if self._by_vllm else f"{memory}/(1+{at('overhead')})"

        def find_best(at: At) -> str:
            every = self._column(at, "all_gpus")
            fewest = f"SMALL({every},COUNTIF({every},0)+1)"
            return f"IF(MAX({every})>0,MATCH({fewest},{every},0),0)"

        def per_replica(at: At) -> str:
            tp, pp = (f"INDEX({self._column(at, key)},{at('best')})" for key in ("tp", "pp"))
            return f"IF({at('best')}>0,{tp}*{pp},{_NOTHING})"

        def room(at: At) -> str:
            return f"IF({at('weights')}+{at('kv')}<={at('room_one')},{at('room_one')},{at('room_several')})"

        lines: list[tuple[str, object, Callable[[At], str], str]] = [("usable", figures.usable_gb, usable, GB_FORMAT)]
        if self._by_vllm:
            lines += [
                ("room_one", one, lambda at: f"{at('usable')}-{at('buffers_one')}", GB_FORMAT),
                ("room_several", several, lambda at: f"{at('usable')}-{at('buffers_several')}", GB_FORMAT),
                ("room", figures.room_gb, room, GB_FORMAT),
            ]
        lines += [
            ("best", position, find_best, COUNT_FORMAT),
            ("per_replica", best.layout.gpus if best else NOTHING, per_replica, COUNT_FORMAT),
        ]
        for (key, value, formula, shown), row in zip(lines, rows):
            self.grid.put(row, CALCULATION, styles.LABEL, labels(f"export.{key}"))
            self.grid.put(row, CALCULATION + 1, styles.FORMULA, value, formula, shown, key=key)

    # ---- lines -------------------------------------------------------------------------------------------

    def _side_by_side(self, left: Callable[[int], int], right: Callable[[int], int]) -> None:
        """Place two sections next to each other."""
        first = self._row
        self._row = max(left(first), right(first))
        self.grid.heights.setdefault(first, _SECTION_HEIGHT)
        for row in range(first + 1, self._row):
            self.grid.heights.setdefault(row, _LINE_HEIGHT)
        self._gap()

    def _gap(self) -> None:
        self.grid.heights[self._row] = _GAP_HEIGHT
        self._gaps.add(self._row)
        self._row += 1

    def _text(self, role: str, text: str, formula=None, *, height: float, key: str | None = None) -> None:
        """Place a text over the full width of the page."""
        self.grid.put(self._row, LEFT, role, text, formula, key=key, last_column=LAST)
        self.grid.heights[self._row] = height
        self._row += 1

    def _section(self, row: int, column: int, key: str, second: str | None, third: str | None) -> int:
        """Place the headings of a section and of its columns; return the next row."""
        for i, label in enumerate((f"export.section_{key}", second, third)):
            self.grid.put(row, column + i, styles.SECTION, label and self._labels(label))
        return row + 1

    def _wide_section(self, key: str, *columns: str) -> None:
        labels = [f"export.section_{key}", *columns]
        places = (LEFT, LEFT + 1, LEFT + 2, RIGHT)
        texts = {place: self._labels(label) for place, label in zip(places, labels)}
        for column in range(LAST + 1):
            self.grid.put(self._row, column, styles.SECTION, texts.get(column))
        self.grid.heights[self._row] = _SECTION_HEIGHT
        self._row += 1

    def _text_row(self, row: int, column: int, label: str, text: str, formula=None, *, key: str) -> None:
        """Place a label and a text."""
        self.grid.put(row, column, styles.LABEL, label)
        self.grid.put(row, column + 1, styles.FORMULA_TEXT, text, formula, key=key, last_column=column + 2)

    def _number_row(self, row: int, column: int, label: str, value: object, formula, shown: str, unit: str,
                role: str = styles.FORMULA, *, key: str | None = None) -> None:  # fmt: skip
        """Place a label, a number and its unit."""
        self.grid.put(row, column, styles.LABEL, label)
        self.grid.put(row, column + 1, role, value, formula, shown, key=key)
        self.grid.put(row, column + 2, styles.NOTE, self._labels(unit))

    def _cited_row(self, key: str, label: str, value: object, unit: str, source: str, shown: str = BYTES_FORMAT,
              role: str = styles.SOURCE_FIGURE, formula=None) -> None:  # fmt: skip
        """Place a label, a number, its unit and, over the right half, its source."""
        self.grid.put(self._row, LEFT, styles.LABEL, self._labels(label))
        self.grid.put(self._row, LEFT + 1, role, value, formula, shown, key=key)
        self.grid.put(self._row, LEFT + 2, styles.NOTE, unit)
        self.grid.put(self._row, LEFT + 3, styles.NOTE, source, last_column=LAST)
        self.grid.heights[self._row] = max(_LINE_HEIGHT, height_of(source, _NOTE_LINE) - 2)
        self._row += 1


def _dated_source(quote: Quote) -> str:
    return f"{quote.source}; {quote.as_of}"


def _share_of_total(key: str, at: At) -> str:
    return f"{at(key)}/{at('total')}"


def fixed_text(number: float, decimals: int) -> str:
    """Format `number` as FIXED does: round half up, from the 15 digits that a spreadsheet shows."""
    exact = Decimal(f"{number:.15g}").quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)
    return f"{exact:,}"


def _validate(sheet: Sheet, figures: Figures, context: Context, page: _Page) -> None:
    labels = context.labels
    prompts = {field.name: labels(field.prompt) for field in FIELDS}
    for name in open_inputs(figures.scenario):
        least, most = context.limits[name]
        rule = assumptions.between(labels, prompts[name], f"={least}", f"={most}", whole=INPUT_LIMITS[name].whole)
        sheet.ws.data_validation(page.grid.at(name), rule)
    if page.has_costs:
        for field in assumptions.PRICES:
            least, most = context.limits[field]
            rule = assumptions.between(
                labels, labels("prompt.price"), f"={least}", f"={most}", whole=False, may_be_blank=True
            )
            sheet.ws.data_validation(page.grid.at(field), rule)


def _add_chart(workbook: Workbook, sheet: Sheet, labels: Labels, page: _Page) -> None:
    first, last = page.grid.row_of("weights"), page.grid.row_of("overhead_gb")
    name = sheet.ws.get_name()
    chart = workbook.add_chart({"type": "bar"})
    chart.add_series(
        {
            "name": labels("export.section_breakdown"),
            "categories": [name, first, RIGHT, last, RIGHT],
            "values": [name, first, RIGHT + 1, last, RIGHT + 1],
            "points": [{"fill": {"color": f"#{colour}"}} for colour in styles.PART_COLOURS],
            "data_labels": {"value": True, "num_format": "#,##0.0"},
            "gap": 40,
        }
    )
    chart.set_title({"name": labels("export.chart"), "name_font": {"size": 10}})
    chart.set_legend({"none": True})
    chart.set_x_axis({**VALUE_AXIS, "visible": False, "major_gridlines": {"visible": False}})
    chart.set_y_axis({"reverse": True})
    sheet.ws.insert_chart(
        page.chart_row, RIGHT, chart,
        {"x_offset": 2, "y_offset": 3, "description": labels("export.chart_alt"), "object_position": 2},
    )  # fmt: skip
    width = sum(WIDTHS[RIGHT : LAST + 1]) * 7 + 12
    chart.set_size({"width": width, "height": page.chart_rows * 20 - 5})


def _set_up_paper(sheet: Sheet, labels: Labels, last_row: int) -> None:
    ws = sheet.ws
    ws.set_portrait()
    ws.set_paper(9)  # A4
    ws.fit_to_pages(1, 1)
    ws.print_area(0, 0, last_row, LAST)
    ws.center_horizontally()
    ws.set_margins(left=0.5, right=0.5, top=0.4, bottom=0.6)  # inches
    ws.set_footer(f"&L&A&R{labels('page.of')}")
    ws.protect("", {"format_columns": True, "format_rows": True})
