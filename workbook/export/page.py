"""Write the page of one scenario: recommendation, inputs, breakdown, layout, costs, assumptions, checks, sign-off.

Columns A to G are printed. The calculation of every layout and of its costs is to the right of them
(`workbook.export.calculation`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from functools import partial
from typing import Any

from xlsxwriter import Workbook

from core.catalog.offer_choice import Price
from core.catalog.offers import OWN_QUOTE
from core.catalog.prices import cost_defaults
from core.plan.memory import ESTIMATE
from core.plan.serving import VLLM
from workbook import formulas as f
from workbook import styles, terms
from workbook.book import BYTES_FORMAT, COUNT_FORMAT, GB_FORMAT, PLAIN_FORMAT
from workbook.export import assumptions, index
from workbook.export.calculation import Calculation, Formula, label
from workbook.export.figures import (
    INPUT_LIMITS,
    NOTHING,
    Figures,
    chosen,
    is_within_longest,
    open_inputs,
    prices_by_field,
)
from workbook.export.grid import At, Grid
from workbook.export.index import Entry
from workbook.export.sheet import VALUE_AXIS, Sheet, height_of, quoted_sheet
from workbook.labels import Labels
from workbook.offers import label_of
from workbook.scenario import FIELDS

# The first columns of the two halves, the last printed column, and the first column of the calculation.
LEFT, RIGHT, LAST, CALCULATION = 0, 4, 6, 8
WIDTHS = (34, 17, 17, 2, 36, 32, 32, 4, 58, 24, *(16,) * 60)
# Characters per line: of a note over the right half and over the whole width, of an answer, of the title.
_NOTE_LINE, _WIDE_NOTE_LINE, _ANSWER_LINE, _TITLE_LINE = 118, 195, 136, 90
# In points; a line is not exactly 15 high, which a file leaves out, as it is a row's usual height.
_GAP_HEIGHT, _SECTION_HEIGHT, _LINE_HEIGHT = 6, 17, 15.1
_MAIN_COSTS = (
    "horizon_months", "discount_rate_per_year", "headroom", "spare_replicas", "depreciation_years", "residual_share",
    "pue", "tariff_usd_per_kwh", "hosting_usd_per_kw_month", "support_share_per_year", "network_share",
    "hours_per_day",
)  # fmt: skip
# Lines of the costs: the label, and the terms of buying and of renting.
_COSTS = (
    ("procurement.best_gpus", "order", "rented"),
    ("export.nodes_with_spares", "nodes", None),
    ("export.capex", "capex", None),
    ("export.running", "opex", "rent_month"),
    ("export.month", "own_month", None),
    ("export.user_month", "own_user_month", "rent_user_month"),
    ("export.tco", "own_tco", "rent_tco"),
    ("export.npv", "own_npv", "rent_npv"),
)
# What a GPU of the recommended layout holds, by the engine and by the rule, in GB.
_OF_STAGE = {
    True: ("room_bytes", "weights_bytes", "activation_bytes", "kv_budget_bytes"),
    False: ("rule_weights_bytes", "rule_user_bytes"),
}
# Inputs of the estimate that are always printed; others only if the model has them.
_ALWAYS = ("all_weights_bytes", "all_values_per_token", "value_bytes")


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
    return Entry(name, figures, page.grid.absolute(quoted_sheet(name), index.PAGE_KEYS))


class _Page:
    """The cells of one page."""

    def __init__(self, figures: Figures, context: Context) -> None:
        self._figures, self._context = figures, context
        self._scenario, self._labels = figures.scenario, context.labels
        self._by_vllm = figures.scenario.engine == VLLM
        self._opened = open_inputs(figures.scenario)
        self._prices = figures.prices
        self._money = figures.best_money
        self.has_costs = self._prices is not None
        self.grid = Grid(assumptions.NAMES)
        self._calculation = Calculation(self.grid, context.labels, figures, CALCULATION, context.limits)
        self._texts: list[tuple[str, str, Formula | None]] = []
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
        self._calculation.write(first, self._gaps, self.last_row, self._texts, self._of_cheaper())

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
        """Place the answer in sentences; the calculation has their texts, which keeps formulas short."""
        labels, scenario, best, calculation = self._labels, self._scenario, self._figures.best, self._calculation
        self._wide_section("recommendation")
        memory = labels("export.gpu_of_gb", memory="")
        gpu = scenario.gpu.title if scenario.gpu else fixed_text(scenario.gpu_memory_gb, 1) + memory
        none, many = (labels(f"export.answer_{key}") for key in ("none", "many"))
        of_memory: Formula = lambda at: f"{f.fixed(at('gpu_memory_gb'), 1)}&{f.text(memory)}"  # noqa: E731
        self._texts += [
            ("unusable", labels("export.unusable"), None),
            ("gpu_title", gpu, None if scenario.gpu else of_memory),
            ("none", none, None),
            ("many", many, None),
            ("no_layout", many if calculation.holds_users else none, lambda at: (
                f"IF(MAX({calculation.column('layout', 'users_per_replica')})>0,{at('many')},{at('none')})"
            )),
        ]  # fmt: skip
        self._answer(
            "need", None, None, {"model": scenario.model.title},
            {"users": (scenario.users, 0), "context": (scenario.context, 0), "total_gb": (self._total, 1)},
        )  # fmt: skip
        names = ("gpus", "replicas_needed", "needed_nodes")
        self._answer(
            "deploy", lambda at: f"{at('best')}>0", None if best else "no_layout",
            {"gpu_title": gpu, "layout": self._figures.layout},
            {**{name: (calculation.of_best(name)[0], 0) for name in names}, "places": (self._places, 0)}, "no_layout",
        )  # fmt: skip
        if self.has_costs:
            self._texts.append(("costs_unknown", labels("export.costs_unknown"), None))
            money, is_known = self._money or {}, self._way() != NOTHING
            self._answer(
                "costs", lambda at: f"ISNUMBER({at('best_net_present_cost')})", None if is_known else "costs_unknown",
                {"verb": self._way()},
                {
                    "best_gpus": (self._chosen("order", "rented"), 0),
                    "best_month": (self._figures.best_month, 0),
                    "best_net_present_cost": (money.get("net_present_cost"), 0),
                    "horizon_months": (cost_defaults()["horizon_months"].value, 0),
                },
                "costs_unknown",
            )  # fmt: skip
        caveat = labels("export.caveat")
        self._text(styles.NOTE, caveat, height=height_of(caveat, _WIDE_NOTE_LINE))
        self._gap()

    def _answer(
        self, name: str, condition: Formula | None, instead: str | None, texts: dict[str, str],
        numbers: dict[str, tuple[Any, int]], otherwise: str = "",
    ) -> None:  # fmt: skip
        """Place a sentence of the answer; where `condition` does not hold, the text with the key `otherwise`.

        Args:
            instead: the key of the text that is shown at the export; None for the sentence.
            texts, numbers: what the sentence names: key → text, key → number and decimals.
        """
        template, key = self._labels(f"export.answer_{name}"), f"answer_{name}"
        shown = {} if instead else {name: fixed_text(*number) for name, number in numbers.items()}
        sentence = NOTHING if instead else template.format(**texts, **shown)

        def words(at: At) -> str:
            cells = {name: at(name) for name in texts}
            for number, (_, decimals) in numbers.items():
                cells[number] = number if number in assumptions.NAMES else f.fixed(at(number), decimals)
            text = f.sentence(template, cells)
            return f"IF({condition(at)},{text},{terms.MISSING})" if condition else text

        def formula(at: At) -> str:
            answer = f"IF({condition(at)},{at(key)},{at(otherwise)})" if condition else at(key)
            return f"IF({at('check_inputs')}=1,{answer},{terms.MISSING if condition else at('unusable')})"

        self._texts.append((key, sentence, words))
        text = next(text for known, text, _ in self._texts if known == (instead or key))
        self._text(styles.ANSWER, text, formula, height=height_of(text, _ANSWER_LINE) + 4)

    def _chosen(self, bought: str, rented: str) -> Any:
        """Return a figure of the cheaper of buying and renting, or a dash."""
        return NOTHING if self._money is None else chosen(self._money, bought, rented)

    def _way(self) -> str:
        """Return the word for the cheaper of buying and renting, or a dash."""
        buys = None if self._money is None else self._money["buys"]
        return NOTHING if buys is None else self._labels("procurement.buy" if buys else "procurement.rent")

    @property
    def _places(self) -> Any:
        best = self._figures.best
        return best.replicas * best.users_per_replica if best else NOTHING

    # ---- inputs and breakdown ----------------------------------------------------------------------------

    def _inputs(self, row: int) -> int:
        labels, scenario = self._labels, self._scenario
        row = self._section(row, LEFT, "inputs", "export.value", "article.unit")
        for field in FIELDS[1:]:  # the first one is the page's title
            text, value = labels(field.page_label or field.label), field.on_page(scenario)
            if not field.limits:
                self._text_row(row, LEFT, text, value or NOTHING, key=field.name)
            else:
                role = styles.INPUT if field.name in self._opened else styles.SOURCE_FIGURE
                value = NOTHING if value is None else value
                shown = field.number_format or PLAIN_FORMAT
                self._number_row(row, LEFT, text, value, None, shown, field.unit, role, key=field.name)
            row += 1
        return row

    def _breakdown(self, row: int) -> int:
        row = self._section(row, RIGHT, "breakdown", "unit.gb", "export.share")
        for name in ("weights_gb", "kv_gb", "overhead_gb", "total_gb"):
            role = styles.TOTAL if name == "total_gb" else styles.FORMULA
            self.grid.put(row, RIGHT, styles.LABEL, self._labels(f"article.{name.removesuffix('_gb')}"))
            self.grid.put(row, RIGHT + 1, role, *self._term(name), GB_FORMAT, key=name)
            share = self._figures.terms[name] / self._total
            self.grid.put(
                row, RIGHT + 2, styles.FORMULA, share, partial(_share_of_total, name), "0.0%", key=f"{name}_share"
            )  # fmt: skip
            row += 1
        self.chart_row = row
        return row + 6

    def _term(self, name: str) -> tuple[object, Formula]:
        """Return the value and the formula of a term of the estimate."""
        return self._figures.terms[name], partial(terms.formula, ESTIMATE[name])

    @property
    def _total(self) -> float:
        return self._figures.terms["total_gb"]

    # ---- layout and costs --------------------------------------------------------------------------------

    def _layout(self, row: int) -> int:
        labels, calculation = self._labels, self._calculation
        row = self._section(row, LEFT, "layout", "export.value", "article.unit")

        def line(
            key: str, text: str, figure: tuple[object, Formula], shown: str, unit: str, role: str = styles.FORMULA
        ) -> None:
            nonlocal row
            self._number_row(row, LEFT, labels(text), *figure, shown, unit, role, key=key)
            row += 1

        line("by_division", "article.gpus", self._term("by_division"), COUNT_FORMAT, "unit.gpus")
        self._text_row(row, LEFT, labels("scenarios.layout"), *calculation.of_best("layout"), key="layout")
        row += 1
        for name in _OF_STAGE[self._by_vllm]:
            shown = "0.0000" if name == "rule_user_bytes" else GB_FORMAT
            self._number_row(row, LEFT, label(labels, name), *calculation.of_best_stage(name), shown, "unit.gb")
            row += 1
        line("users_per_replica", "procurement.users_per_replica", calculation.of_best("users_per_replica"),
             COUNT_FORMAT, "unit.users")  # fmt: skip
        line("replicas_needed", "scenarios.replicas", calculation.of_best("replicas_needed"), COUNT_FORMAT, "unit.none")
        line(
            "places", "export.places",
            (self._places, lambda at: (
                f"IF({at('best')}>0,{at('replicas_needed')}*{at('users_per_replica')},{terms.MISSING})"
            )),
            COUNT_FORMAT, "unit.users",
        )  # fmt: skip
        line("gpus", "scenarios.deploy", calculation.of_best("gpus"), COUNT_FORMAT, "unit.gpus", styles.TOTAL)
        line("needed_nodes", "scenarios.nodes", calculation.of_best("needed_nodes"), COUNT_FORMAT, "export.unit_nodes",
             styles.TOTAL)  # fmt: skip
        self._text_row(row, LEFT, labels("procurement.binds"), *self._limit(), key="binds")
        return row + 1

    def _limit(self) -> tuple[str, Formula]:
        """Return what limits the users of a replica, and its formula."""
        keys = ("cache", "sequences", "weights", "cap")
        texts = {
            key: self._labels(f"procurement.binds_{key}" if key == "cap" else f"export.binds_{key}") for key in keys
        }
        calculation, best = self._calculation, self._figures.best
        if best is None:
            value = texts["cap" if calculation.holds_users else "weights"]
        else:
            value = texts["sequences" if calculation.fills_sequences else "cache"]

        def formula(at: At) -> str:
            quoted = {key: f.text(text) for key, text in texts.items()}
            fits = quoted["cache"]
            if self._by_vllm:
                fits = f"IF({at('users_per_replica')}={at('max_sequences')},{quoted['sequences']},{fits})"
            return f"IF({at('best')}>0,{fits},IF({at('no_layout')}={at('many')},{quoted['cap']},{quoted['weights']}))"

        return value, formula

    def _cost_section(self, row: int) -> int:
        labels, calculation = self._labels, self._calculation
        if not self.has_costs:
            row = self._section(row, RIGHT, "costs", None, None)
            self.grid.put(row, RIGHT, styles.FORMULA_TEXT, labels("export.no_price"), last_column=LAST)
            return row + 1
        row = self._section(row, RIGHT, "costs", "procurement.buy", "procurement.rent")
        for text, *names in _COSTS:
            self.grid.put(row, RIGHT, styles.LABEL, labels(text))
            for column, name in enumerate(names, start=RIGHT + 1):
                if name is None:
                    self.grid.put(row, column, styles.FORMULA_TEXT, NOTHING)
                else:
                    role = styles.TOTAL if "npv" in name else styles.FORMULA
                    shown = "#,##0.00" if "user" in name else "#,##0"
                    self.grid.put(row, column, role, *calculation.of_best(name), shown, key=name)
            row += 1
        for text, key, role, (value, formula) in self._comparison():
            self.grid.put(row, RIGHT, styles.LABEL, labels(text))
            self.grid.put(row, RIGHT + 1, role, value, formula, COUNT_FORMAT, key=key)
            self.grid.put(row, RIGHT + 2, styles.FORMULA_TEXT, NOTHING)
            row += 1
        return row

    def _comparison(self) -> Iterator[tuple[str, str, str, tuple[object, Formula]]]:
        """Yield the lines that compare buying with renting: label, key, role, value and formula."""
        money = self._money or dict.fromkeys(("saved", "break_even"))
        never, is_compared = self._labels("procurement.never"), money["saved"] is not None
        month = (money["break_even"] or never) if is_compared else NOTHING
        yield "export.break_even", "pays_off", styles.FORMULA, (
            month, lambda at: terms.pays_off(at("best_saved"), at("best_break_even"), never)
        )  # fmt: skip
        yield "export.cheaper", "cheaper", styles.TOTAL, (
            self._way() if is_compared else NOTHING,
            lambda at: f"IF(ISNUMBER({at('best_saved')}),{at('verb')},{terms.MISSING})",
        )  # fmt: skip

    def _of_cheaper(self) -> Iterator[tuple[str, str, object, Formula]]:
        """Yield what the calculation has of the cheaper of buying and renting: key, label, value and formula."""
        if self.has_costs:
            labels = self._labels
            words = f.text(labels("procurement.buy")), f.text(labels("procurement.rent"))
            yield "verb", labels("procurement.cheaper"), self._way(), (
                lambda at: terms.bought_or_rented(at("best_buys"), *words)
            )  # fmt: skip
            for key, bought, rented in (("best_month", "own_month", "rent_month"), ("best_gpus", "order", "rented")):
                yield key, labels(f"procurement.{key}"), self._chosen(bought, rented), partial(_cheaper, bought, rented)

    def _cost_assumptions(self) -> None:
        """Place the prices with their sources, and the main assumptions, which are inputs on another sheet."""
        labels = self._labels
        gpu = self._scenario.gpu
        assert gpu is not None and self._prices is not None, "only GPUs of the catalog have prices"
        self._wide_section("prices", "export.value", "article.unit", "procurement.source")
        for field, price in prices_by_field(self._prices).items():
            value = price.usd if price else None
            shown = "#,##0.00##" if field.endswith("hour") else "#,##0.00"
            source = _offered(labels, price) if price else labels("export.source_no_price")
            unit = labels(f"export.unit_{field}")
            self._cited_row(field, labels(f"export.price_{field}"), value, unit, source, shown, styles.INPUT)
        source = f"{gpu.source}; {gpu.as_of}"
        self._cited_row("tdp_w", labels("export.tdp"), gpu.tdp_w or NOTHING, "W", source, COUNT_FORMAT)
        bandwidth, unit = gpu.bandwidth_gb_per_s or NOTHING, labels("unit.gb_per_s")
        self._cited_row("bandwidth", labels("options.bandwidth"), bandwidth, unit, source, COUNT_FORMAT)
        known = [price for price in prices_by_field(self._prices).values() if price]
        own = sum(price.offer.kind == OWN_QUOTE for price in known)
        note = f"{labels('export.own_quotes', own=own, all=len(known))} {labels('export.indicative')}"
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
        labels, scenario, given = self._labels, self._scenario, self._figures.terms
        model = scenario.model
        self._wide_section("assumptions", "export.value", "article.unit", "models.source")
        stored = labels("export.source_shipped" if scenario.precision is None else "export.source_weights")
        of_format = scenario.precision.source if scenario.precision else ""
        fixed, window = labels("export.source_fixed"), labels("export.source_window")
        sources = {
            "all_weights_bytes": f"{stored} {of_format}".rstrip(),
            "all_values_per_token": f"{model.source}; {model.as_of}" if model.as_of else model.source,
            "value_bytes": scenario.kv_precision.source or labels("export.source_given"),
            **dict.fromkeys(
                ("window_tokens", "window_tokens_2", "all_windowed_values", "all_windowed_values_2"), window
            ),
            **dict.fromkeys(("all_fixed_values", "all_fixed_bytes"), fixed),
            "all_index_bytes": labels("export.source_index"),
        }
        for name, source in sources.items():
            if given[name] or name in _ALWAYS:
                shown = PLAIN_FORMAT if name == "value_bytes" else BYTES_FORMAT
                self._cited_row(name, label(labels, name), given[name], labels(_unit(name)), source, shown)
        self._cited_row(
            "longest", labels("models.max_context"), model.spec.max_position_embeddings or NOTHING,
            labels("unit.tokens"), labels("export.source_longest"),
        )  # fmt: skip
        tokens, formula = self._term("allocated_tokens")
        self._cited_row(
            "allocated_tokens", label(labels, "allocated_tokens"), tokens, labels("unit.tokens"),
            labels("export.how_tokens"), COUNT_FORMAT, styles.FORMULA, formula,
        )  # fmt: skip
        self._cited_row(
            "gpus_per_node", label(labels, "gpus_per_node"), scenario.gpu_choice.gpus_per_node, labels("unit.gpus"),
            self._node_source(),
        )  # fmt: skip
        self._cited_row(
            "exported", labels("export.exported"), self._total, labels("unit.gb"),
            labels("export.source_exported", version=self._context.version), GB_FORMAT,
        )  # fmt: skip
        how = f"{labels('export.how_total')} {labels('export.how_vllm' if self._by_vllm else 'export.how_rule')}"
        self._text(styles.NOTE, how, height=height_of(how, _WIDE_NOTE_LINE))
        self._gap()

    def _node_source(self) -> str:
        gpu = self._scenario.gpu
        if gpu is not None and gpu.gpus_per_node:
            return f"{gpu.source}; {gpu.as_of}"
        return self._labels("procurement.usual_gpus_per_node_source")

    def _checks(self) -> None:
        labels, figures, calculation = self._labels, self._figures, self._calculation
        self._wide_section("checks", "checks.result", "article.unit", "checks.meaning")
        first = self._row

        def check(key: str, value: bool, condition: Callable[[At], str]) -> None:
            self._cited_row(
                f"check_{key}", labels(f"export.check_{key}"), int(value), labels("unit.none"),
                labels(f"export.check_{key}_wrong"), labels("check.format"), styles.CHECK,
                lambda at: f"IF({condition(at)},1,0)",
            )  # fmt: skip

        def shares(at: At) -> str:
            return f"SUM({at('weights_gb_share')}:{at('overhead_gb_share')})"

        def all_right(at: At) -> str:
            results = f"B{first + 1}:{at('check_longest')}"
            return f"COUNTIF({results},1)=ROWS({results})"

        check("inputs", True, lambda at: calculation.usable(at, self._opened))
        if self.has_costs:
            prices = assumptions.PRICES
            check("costs", True, lambda at: f"AND({calculation.usable(at, prices)},assumptions_usable=1)")
        check("sum", True, lambda at: f"{f.equal(shares(at), '1')}=1")
        check("enough", True, lambda at: f.holds(at("by_division"), at("gpu_memory_gb"), at("total_gb")))
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
        for i, text in enumerate((f"export.section_{key}", second, third)):
            self.grid.put(row, column + i, styles.SECTION, text and self._labels(text))
        return row + 1

    def _wide_section(self, key: str, *columns: str) -> None:
        labels = [f"export.section_{key}", *columns]
        places = (LEFT, LEFT + 1, LEFT + 2, RIGHT)
        texts = {place: self._labels(label) for place, label in zip(places, labels)}
        for column in range(LAST + 1):
            self.grid.put(self._row, column, styles.SECTION, texts.get(column))
        self.grid.heights[self._row] = _SECTION_HEIGHT
        self._row += 1

    def _text_row(self, row: int, column: int, label: str, text: object, formula=None, *, key: str) -> None:
        """Place a label and a text."""
        self.grid.put(row, column, styles.LABEL, label)
        self.grid.put(row, column + 1, styles.FORMULA_TEXT, text, formula, key=key, last_column=column + 2)

    def _number_row(self, row: int, column: int, label: str, value: object, formula, shown: str, unit: str,
                role: str = styles.FORMULA, *, key: str | None = None) -> None:  # fmt: skip
        """Place a label, a number and its unit."""
        self.grid.put(row, column, styles.LABEL, label)
        self.grid.put(row, column + 1, role, value, formula, shown, key=key)
        self.grid.put(row, column + 2, styles.NOTE, self._labels(unit))

    def _cited_row(self, key: str, text: str, value: object, unit: str, source: str, shown: str = BYTES_FORMAT,
              role: str = styles.SOURCE_FIGURE, formula=None) -> None:  # fmt: skip
        """Place a label, a number, its unit and, over the right half, its source."""
        self.grid.put(self._row, LEFT, styles.LABEL, text)
        self.grid.put(self._row, LEFT + 1, role, value, formula, shown, key=key)
        self.grid.put(self._row, LEFT + 2, styles.NOTE, unit)
        self.grid.put(self._row, LEFT + 3, styles.NOTE, source, last_column=LAST)
        self.grid.heights[self._row] = max(_LINE_HEIGHT, height_of(source, _NOTE_LINE) - 2)
        self._row += 1


def _offered(labels: Labels, price: Price) -> str:
    """Say where a price comes from: vendor, quote number, kind, region, dates, source and remarks."""
    offer = price.offer
    quote = labels("export.quote", number=offer.quote) if offer.quote else ""
    who = " ".join(part for part in (offer.vendor, quote) if part)
    until = labels("export.valid_until", date=offer.valid_until) if offer.valid_until else ""
    dated = str(offer.date) if offer.date else ""
    stale = labels("export.stale_price") if price.is_stale else ""
    parts = (who, label_of(labels, "kind", offer.kind), offer.region, dated, until, stale, offer.source, offer.note)
    return "; ".join(part for part in parts if part)


def _share_of_total(key: str, at: At) -> str:
    return f"{at(key)}/{at('total_gb')}"


def _cheaper(bought: str, rented: str, at: At) -> str:
    return terms.bought_or_rented(at("best_buys"), at(bought), at(rented))


def _unit(name: str) -> str:
    """Return the key of the unit of an input of the estimate."""
    return "unit.bytes" if name.endswith("bytes") else "unit.tokens" if name.startswith("window") else "unit.values"


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
    first, last = page.grid.row_of("weights_gb"), page.grid.row_of("overhead_gb")
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
