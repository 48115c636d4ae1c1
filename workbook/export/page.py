"""Write the page of one scenario: the decision and its sign-off, and on a second sheet of paper what it rests on.

The first has recommendation, inputs, layout, speed, costs and alternatives, the second the acceptance test, risks,
prices, assumptions and checks.

Columns A to H are printed. The calculation of every layout, its speed and its costs is to the right of them
(`workbook.export.calculation`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from functools import partial
from math import ceil, floor
from typing import Any

from xlsxwriter import Workbook

from core.catalog.offer_choice import Price
from core.catalog.offers import OWN_QUOTE
from core.catalog.prices import cost_defaults
from core.engines import vllm
from core.engines.served import acceptance_of
from core.plan.memory import ESTIMATE
from core.plan.serving import VLLM
from core.plan.terms import Term
from workbook import formulas as f
from workbook import styles, terms
from workbook.book import BYTES_FORMAT, COUNT_FORMAT, GB_FORMAT, PLAIN_FORMAT
from workbook.export import alternatives, assumptions, index, speeds
from workbook.export.calculation import OF_BEST, Calculation, Formula, label
from workbook.export.figures import (
    INPUT_LIMITS,
    NOTHING,
    OF_WAY,
    Figures,
    chosen,
    is_within_longest,
    open_inputs,
    prices_by_field,
)
from workbook.export.grid import At, Grid
from workbook.export.index import Entry
from workbook.export.paper import (
    CALCULATION,
    GAP_HEIGHT,
    LAST,
    LEFT,
    RIGHT,
    RIGHT_VALUE,
    SECTION_HEIGHT,
    SIGNED_HEIGHT,
    height,
    pixels,
    set_up,
    usual_height,
)
from workbook.export.sheet import VALUE_AXIS, Sheet, quoted_sheet
from workbook.labels import Labels
from workbook.offers import label_of
from workbook.scenario import FIELDS

_CHART_LINES, _PIXELS_PER_POINT = 5, 96 / 72
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
MINUTES, WARM_UP_MINUTES = 10, 2  # of the acceptance test
_SPEED_FORMAT = "#,##0.0"
_TENTHS = 10  # a test promises whole tenths, which are never more than was computed


@dataclass(frozen=True)
class Context:
    """What a page needs to know about its workbook.

    Attributes:
        index: the name of the index sheet.
        limits: field of an input or a price → references to the cells of its minimum and maximum.
        position, of: the number of the scenario, and the number of scenarios.
        version: the version of this program.
        others: what finds the best layouts of other GPUs.
        as_of: the date by which prices were judged.
    """

    labels: Labels
    index: str
    limits: dict[str, tuple[str, str]]
    position: int
    of: int
    version: str
    others: alternatives.OtherGpus
    as_of: date


def write(workbook: Workbook, sheet: Sheet, figures: Figures, context: Context) -> Entry:
    """Write the page and return its entry for the index."""
    page = _Page(figures, context)
    page.grid.write(sheet)
    _validate(sheet, figures, context, page)
    _add_chart(workbook, sheet, context.labels, page)
    set_up(sheet, context.labels, page.second_row, page.last_row)
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
        self._side_by_side(
            (self._inputs, self._layout), (self._breakdown, self._speed_section, self._cost_section)
        )  # fmt: skip
        self._alternatives()
        self._sign_off()
        self.second_row = self._row
        self._acceptance()
        self._risks()
        if self.has_costs:
            self._cost_assumptions()
        self._assumptions()
        self._checks()
        self.last_row = self._row - 1
        self._calculation.write(first, self._gaps, self.last_row, self._texts, self._of_cheaper())
        self._fit_heights()

    # ---- from the top ------------------------------------------------------------------------------------

    def _title(self) -> None:
        labels, title = self._labels, self._scenario.title
        position = labels("export.position", number=self._context.position, count=self._context.of)
        self._text(styles.TITLE, title)
        self.grid.put(self._row, LEFT, styles.SUBTITLE, position)
        link = f"{quoted_sheet(self._context.index)}!A1"
        self.grid.put(self._row, LAST, styles.SUBTITLE, labels("export.to_index"), link=link)
        self.grid.heights[self._row] = SECTION_HEIGHT
        self._row += 1
        self._gap()

    def _recommendation(self) -> None:
        """Place the answer in sentences; the calculation has their texts, which keeps formulas short."""
        labels, scenario, best, calculation = self._labels, self._scenario, self._figures.best, self._calculation
        self._wide_section("recommendation")
        memory = labels("export.gpu_of_gb", memory="")
        gpu = scenario.gpu.title if scenario.gpu else fixed_text(scenario.gpu_memory_gb, 1) + memory
        of_memory: Formula = lambda at: f"{f.fixed(at('gpu_memory_gb'), 1)}&{f.text(memory)}"  # noqa: E731
        self._texts += [
            ("unusable", labels("export.unusable"), None),
            ("gpu_title", gpu, None if scenario.gpu else of_memory),
            *((key, labels(f"export.answer_{key}"), None) for key in ("none", "many")),
        ]
        if calculation.may_be_slow:
            self._texts.append(("slow", labels(f"export.answer_{self._slow}"), None))
        self._texts.append(("no_layout", self._text_of(self._obstacle), self._no_layout))
        self._answer(
            "need", None, None, {"model": scenario.model.title},
            {"users": (scenario.users, 0), "context": (scenario.context, 0), "total_gb": (self._total, 1)},
        )  # fmt: skip
        names = ("gpus", "replicas_needed", "needed_nodes")
        self._answer(
            "deploy", _has_layout, None if best else "no_layout",
            {"gpu_title": gpu, "layout": self._figures.layout},
            {**{name: (calculation.of_best(name)[0], 0) for name in names}, "places": (self._places, 0)}, "no_layout",
        )  # fmt: skip
        if self._figures.has_speed:
            self._texts.append(("speed_unknown", labels("export.speed_unknown"), None))
            keys = ("low_tokens_per_s", "tokens_per_s_per_user", "high_tokens_per_s", "first_token", "slow_first_token")
            self._answer(
                "speed", _has_layout, None if best else "speed_unknown", {"limits": str(self._limiting)},
                {key: (self._speed_of(key)[0], 1) for key in keys}, "speed_unknown",
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
        self._text(styles.NOTE, labels("export.caveat" if self._figures.has_speed else "export.caveat_memory"))
        self._gap()

    @property
    def _slow(self) -> str:
        """Return the key of why a layout with room for its users cannot be chosen."""
        gap = self._figures.speed_gap
        return gap if gap in speeds.REFUSING else "slow"

    @property
    def _obstacle(self) -> str:
        """Return the key of why no layout can be chosen, as at the export."""
        if not self._calculation.holds_users:
            return "none"
        calculation = self._calculation
        return "many" if calculation.needs_too_many or not calculation.may_be_slow else "slow"

    def _no_layout(self, at: At) -> str:
        """Return the formula of the sentence that says why no layout can be chosen."""
        calculation = self._calculation
        many = at("many")
        if calculation.may_be_slow:
            many = f"IF(COUNT({calculation.column('layout', 'gpus')})>0,{at('slow')},{many})"
        return f"IF(MAX({calculation.column('layout', 'fitting_users')})>0,{many},{at('none')})"

    def _text_of(self, key: str) -> str:
        return next((text for known, text, _ in self._texts if known == key), NOTHING)

    def _answer(
        self, name: str, condition: Formula | None, instead: str | None, texts: Mapping[str, str],
        numbers: Mapping[str, tuple[Any, int]], otherwise: str = "", *, shown: bool = True,
    ) -> None:  # fmt: skip
        """Place a sentence of the answer; where `condition` does not hold, the text with the key `otherwise`.

        Args:
            instead: the key of the text that is shown at the export; None for the sentence.
            texts, numbers: what the sentence names: key → text, key → number and decimals.
            shown: whether it has a row of its own; otherwise its text alone, with the key answer_`name`.
        """
        template, key = self._labels(f"export.answer_{name}"), f"answer_{name}"
        filled = {} if instead else {name: fixed_text(*number) for name, number in numbers.items()}
        sentence = NOTHING if instead else template.format(**texts, **filled)

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
        if shown:
            self._text(styles.ANSWER, self._text_of(instead or key), formula)

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
        for field_ in FIELDS[1:]:  # the first one is the page's title
            if field_.is_setting and not scenario.has_settings:
                continue
            text, value = labels(field_.page_label or field_.label), field_.on_page(scenario)
            if not field_.limits:
                self._text_row(row, LEFT, text, value or NOTHING, key=field_.name)
            else:
                role = styles.INPUT if field_.name in self._opened else styles.SOURCE_FIGURE
                value = NOTHING if value is None else value
                shown, key = field_.number_format or PLAIN_FORMAT, index.KEY_OF_FIELD.get(field_.name, field_.name)
                self._number_row(row, LEFT, text, value, None, shown, field_.unit, role, key=key)
            row += 1
        return row

    def _breakdown(self, row: int) -> int:
        row = self._section(row, RIGHT, "breakdown", "unit.gb", "export.share")
        for name in ("weights_gb", "kv_gb", "overhead_gb", "total_gb"):
            role = styles.TOTAL if name == "total_gb" else styles.FORMULA
            self._label(row, RIGHT, self._labels(f"article.{name.removesuffix('_gb')}"))
            self.grid.put(row, RIGHT_VALUE, role, *self._term(name), GB_FORMAT, key=name)
            share = self._figures.terms[name] / self._total
            self.grid.put(
                row, RIGHT_VALUE + 1, styles.FORMULA, share, partial(_share_of_total, name), "0.0%", key=f"{name}_share"
            )  # fmt: skip
            row += 1
        self.chart_row = row
        return row + _CHART_LINES

    def _term(self, name: str) -> tuple[object, Formula]:
        """Return the value and the formula of a term of the estimate."""
        return self._figures.terms[name], partial(terms.formula, ESTIMATE[name])

    @property
    def _total(self) -> float:
        return self._figures.terms["total_gb"]

    # ---- layout, speed and costs -------------------------------------------------------------------------

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
        calculation, best = self._calculation, self._figures.best
        keys = ("speed", "cache", "sequences", "weights", self._slow)
        texts = {key: self._labels(f"export.binds_{key}") for key in keys} | {
            "cap": self._labels("procurement.binds_cap")
        }
        why = {"none": "weights", "many": "cap", "slow": self._slow}[self._obstacle]
        if best is None:
            found = why
        elif calculation.is_kept_fast:
            found = "speed"
        else:
            found = "sequences" if calculation.fills_sequences else "cache"

        quoted = {key: f.text(text) for key, text in texts.items()}

        def formula(at: At) -> str:
            fits = quoted["cache"]
            has_speed = self._figures.has_speed
            fitting = at("best_fitting_users" if has_speed else "users_per_replica")
            if self._by_vllm:
                fits = f"IF({fitting}={at('max_sequences')},{quoted['sequences']},{fits})"
            if has_speed:
                fits = f"IF({at('users_per_replica')}<{fitting},{quoted['speed']},{fits})"
            return f"IF({at('best')}>0,{fits},{at('no_layout_short')})"

        def short(at: At) -> str:
            weights = quoted["weights"]
            if calculation.may_be_slow:
                weights = f"IF({at('no_layout')}={at('slow')},{quoted[self._slow]},{weights})"
            return f"IF({at('no_layout')}={at('many')},{quoted['cap']},{weights})"

        self._texts.append(("no_layout_short", texts[why], short))
        return texts[found], formula

    def _speed_of(self, key: str) -> tuple[object, Formula]:
        """Return a figure of the speed and its formula: of the recommended layout, or of its first token."""
        if key == "slow_first_token":
            first, _ = self._speed_of("first_token")
            slow = first * speeds.CONSTANTS["range_first_token"] if isinstance(first, (int, float)) else NOTHING
            return (
                slow,
                lambda at: f"IF(ISNUMBER({at('first_token')}),{at('first_token')}*range_first_token,{terms.MISSING})",
            )
        return self._calculation.of_best("first_token_s" if key == "first_token" else key)

    @property
    def _limiting(self) -> object:
        return self._calculation.of_best("largest_part")[0]

    def _speed_section(self, row: int) -> int:
        """Place what users see, or why that is not known."""
        labels = self._labels
        if not self._figures.has_speed:
            row = self._section(row, RIGHT, "speed", None, None)
            gap = labels(f"export.gap_{self._figures.speed_gap}")
            self.grid.put(row, RIGHT, styles.NOTE, gap, last_column=LAST)
            return row + 1
        row = self._section(row, RIGHT, "speed", "export.value", "article.unit")
        lines = (
            ("low_tokens_per_s", "unit_speed", styles.TOTAL), ("tokens_per_s_per_user", "unit_speed", styles.FORMULA),
            ("high_tokens_per_s", "unit_speed", styles.FORMULA), ("first_token", "unit_seconds", styles.FORMULA),
            ("slow_first_token", "unit_seconds", styles.FORMULA), ("output_tokens_per_s", "unit_speed", styles.FORMULA),
        )  # fmt: skip
        wanted = self._figures.min_speed
        self._number_row(
            row, RIGHT, labels("export.min_speed"), wanted, lambda at: "min_speed", _SPEED_FORMAT, "export.unit_speed",
            styles.LINK,
        )  # fmt: skip
        for row, (key, unit, role) in enumerate(lines, start=row + 1):  # noqa: B020
            shown = COUNT_FORMAT if key == "output_tokens_per_s" else _SPEED_FORMAT
            value, formula = self._speed_of(key)
            self._number_row(
                row, RIGHT, labels(f"export.{key}"), value, formula, shown, f"export.{unit}", role, key=key
            )  # fmt: skip
        row += 1
        self._text_row(row, RIGHT, labels("export.limits"), *self._calculation.of_best("largest_part"), key="limits")
        return row + 1

    def _cost_section(self, row: int) -> int:
        labels, calculation = self._labels, self._calculation
        if not self.has_costs:
            row = self._section(row, RIGHT, "costs", None, None)
            self.grid.put(row, RIGHT, styles.FORMULA_TEXT, labels("export.no_price"), last_column=LAST)
            return row + 1
        row = self._section(row, RIGHT, "costs", "procurement.buy", "procurement.rent")
        for text, *names in _COSTS:
            self._label(row, RIGHT, labels(text))
            for column, name in enumerate(names, start=RIGHT_VALUE):
                if name is None:
                    self.grid.put(row, column, styles.FORMULA_TEXT, NOTHING)
                else:
                    role = styles.TOTAL if "npv" in name else styles.FORMULA
                    shown = "#,##0.00" if "user" in name else "#,##0"
                    self.grid.put(row, column, role, *calculation.of_best(name), shown, key=name)
            row += 1
        for text, key, role, (value, formula) in self._comparison():
            self._label(row, RIGHT, labels(text))
            self.grid.put(row, RIGHT_VALUE, role, value, formula, COUNT_FORMAT, key=key, last_column=LAST)
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

    def _promised(self) -> Iterator[tuple[str, str, object, Formula]]:
        """Yield the figures that an acceptance test promises: key, label, value and formula."""
        if self._figures.has_speed:
            for key, of, rounded, formula in (
                ("promised_low", "low_tokens_per_s", floor, "INT({of}*10^1)/10^1"),
                ("promised_first", "slow_first_token", ceil, "ROUNDUP({of},1)"),
            ):
                value = _tenths(self._speed_of(of)[0], rounded)
                yield key, self._labels(f"export.{key}"), value, partial(_if_number, of, formula)

    def _of_cheaper(self) -> Iterator[tuple[str, str, object, Formula]]:
        """Yield what the calculation has of the cheaper of buying and renting: key, label, value and formula."""
        yield from self._promised()
        if self.has_costs:
            labels = self._labels
            words = f.text(labels("procurement.buy")), f.text(labels("procurement.rent"))
            yield "verb", labels("procurement.cheaper"), self._way(), (
                lambda at: terms.bought_or_rented(at("best_buys"), *words)
            )  # fmt: skip
            for key, bought, rented in (("best_month", "own_month", "rent_month"), ("best_gpus", "order", "rented")):
                yield key, labels(f"procurement.{key}"), self._chosen(bought, rented), partial(_cheaper, bought, rented)
            found = {**self._figures.of_way, **({} if self._money else {"lines_month": 0})}
            for term in OF_WAY:
                yield term.name, terms.label(labels, term.name), _or_dash(found[term.name]), partial(
                    _of_way_formula, term
                )  # fmt: skip

    # ---- alternatives ------------------------------------------------------------------------------------

    def _alternatives(self) -> None:
        """Place the recommended layout and the best ones of the cheapest other GPUs, as of the export."""
        labels, figures = self._labels, self._figures
        self._headings("alternatives", ("gpu", "way", "speed", "start_cash", "cost_month", "net_cost", "difference"))
        first = alternatives.named(figures)
        others = self._context.others.of(figures)
        for found in ([first] if first else []) + list(others):
            self._alternative(found, first)
        key = "alternatives_note" if others else "alternatives_none"
        note = labels(f"export.{key}", version=self._context.version, date=self._context.as_of)
        self._text(styles.NOTE, note)
        self._gap()

    def _alternative(self, found: alternatives.Alternative, first: alternatives.Alternative | None) -> None:
        labels, place = self._labels, self.grid.put
        speed, costs = found.speed, [first.net_present_cost if first else None, found.net_present_cost]
        way = NOTHING if found.buys is None else labels("procurement.buy" if found.buys else "procurement.rent")
        rates = (speed.low, speed.expected, speed.high) if speed else ()
        shown = "–".join(fixed_text(rate.tokens_per_s_per_user, 0 if rate.tokens_per_s_per_user >= 100 else 1)
                           for rate in rates)  # fmt: skip
        texts = (f"{found.gpus:,} × {found.gpu}", f"{way}; {found.layout}", shown or NOTHING)
        for column, text in enumerate(texts, start=LEFT):
            last = RIGHT - 1 if column == RIGHT - 2 else None
            place(self._row, column, styles.LABEL if column == LEFT else styles.FORMULA_TEXT, text, last_column=last)
        more = NOTHING if found is first or None in costs else costs[1] - costs[0]  # type: ignore[operator]
        money = (found.start_cash, found.cost_month, found.net_present_cost, more)
        for column, value in enumerate(money, start=RIGHT):
            shown = "+#,##0;-#,##0;0" if column == LAST else "#,##0"
            place(self._row, column, styles.SOURCE_FIGURE, _or_dash(value), None, shown)
        self._row += 1

    # ---- acceptance and risks ----------------------------------------------------------------------------

    def _acceptance(self) -> None:
        """Place the test by which a buyer accepts what was delivered, and the lines of an order."""
        labels, figures, scenario = self._labels, self._figures, self._scenario
        self._wide_section("acceptance")
        if figures.has_speed and figures.best is not None:
            inputs = {"users": (scenario.users, 0)}
            tokens = scenario.request_tokens
            inputs |= {"prompt_tokens": (tokens.prompt, 0), "output_tokens": (tokens.output, 0)}
            self._answer("test_load", None, None, {}, inputs, shown=False)
            low, first = (self._speed_of(key)[0] for key in ("low_tokens_per_s", "slow_first_token"))
            promised = {"promised_low": (_tenths(low, floor), 1), "promised_first": (_tenths(first, ceil), 1)}
            self._answer("test_speed", _has_layout, None, {}, promised, shown=False)
            version = vllm.ENGINE.default_version
            how = labels(
                "export.answer_test_how", minutes=MINUTES, warm_up=WARM_UP_MINUTES, version=version,
                precision=scenario.precision_name, kv_precision=scenario.kv_precision.name,
            )  # fmt: skip
            self._texts.append(("answer_test_how", how, None))
            keys = ("answer_test_load", "answer_test_speed", "answer_test_how")
            between = " " if labels.lang == "en" else ""
            text = between.join(map(self._text_of, keys))
            self._text(styles.FORMULA_TEXT, text, lambda at: f"&{f.text(between)}&".join(map(at, keys)))
        else:
            self._text(styles.FORMULA_TEXT, labels("export.no_test"))
        supplier, quote, until = self._offer_of_way()
        lines = (
            (("issue_date", ""), ("valid", until)), (("supplier", supplier), ("quote_number", quote)),
            (("budget", ""), ("lead_time", "")), (("delivery", ""), ("contract", "")),
        )  # fmt: skip
        for left, right in lines:
            for column, value, last, (key, text) in (
                (LEFT, LEFT + 1, LEFT + 2, left),
                (RIGHT, RIGHT_VALUE, LAST, right),
            ):
                self._label(self._row, column, labels(f"export.{key}"))
                role = styles.FORMULA_TEXT if text else styles.INPUT_TEXT
                self.grid.put(self._row, value, role, text or None, last_column=last)
            self._row += 1
        self._gap()

    def _offer_of_way(self) -> tuple[str, str, str]:
        """Return supplier, quote number and the last day of validity of the offers of the way that is chosen.

        They are known of own quotes alone; another offer is no promise to this buyer.
        """
        if self._prices is None or self._money is None or self._money["buys"] is None:
            return "", "", ""
        found = self._prices
        used = [found.purchase, found.server_per_gpu]
        if not self._money["buys"]:
            on_demand = self._money["rent_bill"] == self._money["on_demand_month"]
            used = [found.on_demand_per_gpu_hour if on_demand else found.reserved_per_gpu_hour]
        offers = [price.offer for price in used if price and price.offer.kind == OWN_QUOTE]
        until = min((str(offer.valid_until) for offer in offers if offer.valid_until), default="")
        return _joined(offer.vendor for offer in offers), _joined(offer.quote for offer in offers), until

    def _risks(self) -> None:
        """Place what may turn out otherwise: cache, speed, time, law, prices, tax."""
        labels, figures = self._labels, self._figures
        self._wide_section("risks")
        if self._scenario.lacks_cache:
            self._text(styles.NOTE, labels("export.risk_cache", format=self._scenario.kv_precision.name))
        if figures.has_speed:
            by_rule = "" if self._by_vllm else f" {labels('export.risk_rule')}"
            self._text(styles.NOTE, self._speed_risk() + by_rule)
        else:
            self._text(styles.NOTE, f"{labels(f'export.gap_{figures.speed_gap}')} {labels('export.risk_memory')}")
        self._text(styles.NOTE, labels("export.risk_lead_time"))
        self._text(styles.NOTE, labels("export.risk_law"))
        if self.has_costs:
            known = self._known_prices()
            stale = sum(price.is_stale for price in known)
            own = sum(price.offer.kind == OWN_QUOTE for price in known)
            counts = {"own": own, "stale": stale, "all": len(known), "date": self._context.as_of}
            self._text(styles.NOTE, labels("export.risk_prices", **counts))
            way = figures.of_way
            instead = "costs_unknown" if way["start_tax"] is None else None
            self._answer(
                "tax", lambda at: f"ISNUMBER({at('start_tax')})", instead, {},
                {"start_tax": (way["start_tax"], 0), "month_tax": (way["month_tax"], 0)}, "costs_unknown", shown=False,
            )  # fmt: skip
            shown = self._text_of(instead or "answer_tax")
            self._text(
                styles.NOTE,
                shown,
                lambda at: f"IF({at('answer_tax')}={terms.MISSING},{at('costs_unknown')},{at('answer_tax')})",
            )
        self._gap()

    def _speed_risk(self) -> str:
        """Return how sure the speed is, which no measurement shows with drafted tokens or a shared prompt."""
        settings = self._scenario.settings
        if not (settings.mtp_tokens or settings.shared_tokens):
            return self._labels("export.risk_speed")
        share = f"{acceptance_of(settings):.0%}"
        drafts = self._labels("export.risk_drafts", share=share) if settings.mtp_tokens else ""
        return self._labels("export.risk_settings") + drafts

    def _known_prices(self) -> Sequence[Price]:
        assert self._prices is not None
        return [price for price in prices_by_field(self._prices).values() if price]

    # ---- prices ------------------------------------------------------------------------------------------

    def _cost_assumptions(self) -> None:
        """Place the prices with their sources, and the main assumptions, which are inputs on another sheet."""
        labels = self._labels
        gpu = self._scenario.gpu
        assert gpu is not None and self._prices is not None, "only GPUs of the catalog have prices"
        self._wide_section("prices", "export.value", "article.unit", "procurement.source")
        for field_, price in prices_by_field(self._prices).items():
            value = price.usd if price else None
            shown = "#,##0.00##" if field_.endswith("hour") else "#,##0.00"
            source = _offered(labels, price) if price else labels("export.source_no_price")
            unit = labels(f"export.unit_{field_}")
            self._cited_row(field_, labels(f"export.price_{field_}"), value, unit, source, shown, styles.INPUT)
        source = f"{gpu.source}; {gpu.as_of}"
        self._cited_row("tdp_w", labels("export.tdp"), gpu.tdp_w or NOTHING, "W", source, COUNT_FORMAT)
        bandwidth, unit = gpu.bandwidth_gb_per_s or NOTHING, labels("unit.gb_per_s")
        self._cited_row(
            "bandwidth", labels("options.bandwidth"), bandwidth, unit, labels("export.source_as_above"), COUNT_FORMAT
        )
        for left, right in zip(_MAIN_COSTS[::2], _MAIN_COSTS[1::2]):
            for column, name in ((LEFT, left), (RIGHT, right)):
                self._number_row(
                    self._row, column, labels(f"procurement.{name}"), cost_defaults()[name].value,
                    lambda at, name=name: name, assumptions.number_format(name),
                    f"procurement.unit_{name}", styles.LINK,
                )  # fmt: skip
            self._row += 1
        self._text(styles.NOTE, labels("export.indicative"))
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
        self._texts.append(("how", how, None))
        self._gap()

    def _node_source(self) -> str:
        gpu = self._scenario.gpu
        if gpu is not None and gpu.gpus_per_node:
            if self.has_costs:
                return self._labels("export.source_of_tdp")
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

    def _sign_off(self) -> None:
        labels, texts = self._labels, ("export.section_sign_off", "export.name", "export.date", "export.signature")
        for column, last, key in zip((0, 1, 4, 6), (None, 3, 5, LAST), texts):
            self.grid.put(self._row, column, styles.SECTION, labels(key), last_column=last)
        self.grid.heights[self._row] = SECTION_HEIGHT
        for row, key in enumerate(("prepared", "reviewed", "approved"), start=self._row + 1):
            self.grid.put(row, LEFT, styles.LABEL, labels(f"export.{key}"))
            for column, last in ((1, 3), (4, 5), (6, LAST)):
                self.grid.put(row, column, styles.INPUT_TEXT, last_column=last)
            self.grid.heights[row] = SIGNED_HEIGHT
        self._row += 4
        self._gap()

    # ---- lines -------------------------------------------------------------------------------------------

    def _side_by_side(self, left: Sequence[Callable[[int], int]], right: Sequence[Callable[[int], int]]) -> None:
        """Place sections below each other in both halves."""
        first, ends = self._row, []
        for sections in (left, right):
            row = first
            for section in sections:
                row = section(row)
            ends.append(row)
        self._row = max(ends)
        self._gap()

    def _gap(self) -> None:
        self.grid.heights[self._row] = GAP_HEIGHT
        self._gaps.add(self._row)
        self._row += 1

    def _fit_heights(self) -> None:
        """Make the printed rows as high as their texts need."""
        lang = self._labels.lang
        for row in range(self.last_row + 1):
            if row not in self.grid.heights:
                heights = [height(lang, *text) for text in self.grid.texts(row) if text[0] <= LAST]
                self.grid.heights[row] = max([usual_height(lang), *heights])

    def _text(self, role: str, text: str, formula: Formula | None = None) -> None:
        """Place a text over the full width of the page."""
        self.grid.put(self._row, LEFT, role, text, formula, last_column=LAST)
        self._row += 1

    def _label(self, row: int, column: int, text: str, role: str = styles.LABEL) -> None:
        """Place a label, which in the right half takes two columns."""
        self.grid.put(row, column, role, text, last_column=RIGHT_VALUE - 1 if column == RIGHT else None)

    def _section(self, row: int, column: int, key: str, second: str | None, third: str | None) -> int:
        """Place the headings of a section and of its columns; return the next row."""
        self._label(row, column, self._labels(f"export.section_{key}"), styles.SECTION)
        for i, text in enumerate((second, third), start=_value_column(column)):
            self.grid.put(row, i, styles.SECTION, text and self._labels(text))
        return row + 1

    def _wide_section(self, key: str, *columns: str) -> None:
        labels = [f"export.section_{key}", *columns]
        places = (LEFT, LEFT + 1, LEFT + 2, RIGHT)
        texts = {place: self._labels(label) for place, label in zip(places, labels)}
        for column in range(LAST + 1):
            self.grid.put(self._row, column, styles.SECTION, texts.get(column))
        self.grid.heights[self._row] = SECTION_HEIGHT
        self._row += 1

    def _headings(self, key: str, columns: Sequence[str]) -> None:
        """Place a section of a table, and the headings of its columns."""
        self._wide_section(key)
        places = (*range(LEFT, LEFT + 3), *range(RIGHT, LAST + 1))
        texts = dict(zip(places, columns))
        for column, text in texts.items():
            last = RIGHT - 1 if column == RIGHT - 2 else None
            self.grid.put(self._row, column, styles.HEADING, self._labels(f"export.{key}_{text}"), last_column=last)
        self._row += 1

    def _text_row(self, row: int, column: int, label: str, text: object, formula=None, *, key: str) -> None:
        """Place a label and a text."""
        self._label(row, column, label)
        value = _value_column(column)
        self.grid.put(row, value, styles.FORMULA_TEXT, text, formula, key=key, last_column=value + 1)

    def _number_row(self, row: int, column: int, label: str, value: object, formula, shown: str, unit: str,
                role: str = styles.FORMULA, *, key: str | None = None) -> None:  # fmt: skip
        """Place a label, a number and its unit."""
        self._label(row, column, label)
        place = _value_column(column)
        self.grid.put(row, place, role, value, formula, shown, key=key)
        self.grid.put(row, place + 1, styles.NOTE, self._labels(unit))

    def _cited_row(self, key: str, text: str, value: object, unit: str, source: str, shown: str = BYTES_FORMAT,
              role: str = styles.SOURCE_FIGURE, formula=None) -> None:  # fmt: skip
        """Place a label, a number, its unit and, over the right half, its source."""
        self.grid.put(self._row, LEFT, styles.LABEL, text)
        self.grid.put(self._row, LEFT + 1, role, value, formula, shown, key=key)
        self.grid.put(self._row, LEFT + 2, styles.NOTE, unit)
        self.grid.put(self._row, LEFT + 3, styles.NOTE, source, last_column=LAST)
        self._row += 1


def _value_column(column: int) -> int:
    return RIGHT_VALUE if column == RIGHT else column + 1


def _tenths(number: object, rounded: Callable[[float], int]) -> object:
    """Return a number rounded to one decimal; what is not a number unchanged."""
    return rounded(number * _TENTHS) / _TENTHS if isinstance(number, (int, float)) else number


def _has_layout(at: At) -> str:
    return f"{at('best')}>0"


def _or_dash(value: object) -> object:
    return NOTHING if value is None else value


def _joined(texts: Any) -> str:
    return "; ".join(dict.fromkeys(text for text in texts if text))


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


def _if_number(of: str, formula: str, at: At) -> str:
    """Return a formula of the figure `of`, or a dash if that is not a number."""
    return f"IF(ISNUMBER({at(of)}),{formula.format(of=at(of))},{terms.MISSING})"


def _cheaper(bought: str, rented: str, at: At) -> str:
    return terms.bought_or_rented(at("best_buys"), at(bought), at(rented))


def _of_way_formula(term: Term, at: At) -> str:
    return terms.formula(term, lambda name: at(f"best_{name}" if name in OF_BEST else name))


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
            "values": [name, first, RIGHT_VALUE, last, RIGHT_VALUE],
            "points": [{"fill": {"color": f"#{colour}"}} for colour in styles.PART_COLOURS],
            "data_labels": {"value": True, "num_format": "#,##0"},
            "gap": 40,
        }
    )
    chart.set_title({"none": True})
    chart.set_legend({"none": True})
    chart.set_x_axis({**VALUE_AXIS, "visible": False, "major_gridlines": {"visible": False}})
    chart.set_y_axis({"reverse": True})
    sheet.ws.insert_chart(
        page.chart_row, RIGHT, chart,
        {"x_offset": 2, "y_offset": 3, "description": labels("export.chart_alt"), "object_position": 2},
    )  # fmt: skip
    height = _CHART_LINES * usual_height(labels.lang) * _PIXELS_PER_POINT
    chart.set_size({"width": pixels(RIGHT, LAST) - 6, "height": height - 6})
