"""Write the Plan workings sheet: the sentences, doubts, swaps and chart data of which Plan is made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet

from core.plan.candidates import DATA_CENTRE
from core.plan.costs import COST_LIMITS
from core.plan.money import BY_MONTH, SWAP, SWINGS
from workbook import formulas as f
from workbook import styles, terms
from workbook.book import (
    COUNT_FORMAT,
    MONEY_FORMAT,
    Book,
    SheetColumn,
    filled_table,
    heading,
    protect,
    put,
    put_formula,
)
from workbook.labels import Labels
from workbook.offers import label_of
from workbook.sheets import best, capacity, gpus, options, pace, plan_inputs, prices

FIRST_ROW = 5
MOST_MONTHS = 120  # the longest horizon at which the two best options are compared
TIMES = 6  # equal parts of the horizon, for the chart of what is paid
DOUBTS_SHOWN = 4
SWAPS = ("price_best", "price_second", "tariff", "hours", "horizon")
BARS = 6  # of the tornado
MEMORY_PARTS = ("weights", "cache", "engine", "free")
LINES = ("own_paid", "rent_paid", "api_paid")
# Figures of the best option: term → its name for programs, and decimals.
RESULTS = {
    "start_cash": ("plan_capex", 0),
    "cost_month": ("plan_cost_per_month", 0),
    "person_month": ("plan_cost_per_person_month", 2),
    "million_cost": ("plan_cost_per_million_tokens", 2),
    "first_token_s": ("plan_first_token_s", 1),
}
_OF_SWAP = ("best_slope", "second_slope", "lowest", "highest")
_FINE, _CHANGE = "#,##0.00##", "+0%;-0%;0%"
_OFFERS = ("purchase", "on_demand_per_gpu_hour", "reserved_per_gpu_hour")  # items whose price an option may pay
_WIDTHS = (40, 14, 14, 14, 14, 14, 14, 14, 14, 14, 14, 14)
_OF_MONTH = ("month_value", "own_npv_by", "rent_npv_by", "npv_by")


@dataclass
class Places:
    """The cells of the workings that Plan and its charts refer to, each an absolute reference without the sheet.

    Attributes:
        texts: sentence → cell.
        doubts: the cells of the doubts to show, in order.
        swaps: rows of the table of swaps: its label, the value now, the swap, the change and the unit.
        memory, times, bars: (first row, last row) of the data of a chart.
    """

    texts: dict[str, str] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)
    swaps: dict[str, tuple[str, ...]] = field(default_factory=dict)
    memory: tuple[int, int] = (0, 0)
    times: tuple[int, int] = (0, 0)
    bars: tuple[int, int] = (0, 0)


def reserve(book: Book) -> Worksheet:
    """Create the empty sheet."""
    return book.sheet("plan_workings", _WIDTHS, tab_colour="7F7F7F")


def write(book: Book, ws: Worksheet) -> Places:
    """Write the sheet and return its cells. The sheets Best options, Options, Prices, Capacity and GPUs must exist."""
    heading(ws, book.labels("plan_workings.title"), book.labels("plan_workings.subtitle"))
    writer = _Writer(book, ws)
    writer.sentences()
    writer.results()
    writer.prices()
    writer.doubts()
    months = writer.row + 28 + len(SWAPS) + len(MEMORY_PARTS) + TIMES + len(tuple(SWINGS)) + BARS
    writer.swaps(months)
    writer.memory()
    writer.paid()
    writer.tornado()
    assert writer.row < months
    writer.months(months)
    ws.freeze_panes = "B5"
    ws.print_area = f"A1:H{months - 2}"
    protect(ws)
    return writer.places


class _Writer:
    """Write the blocks of the sheet from the top, and remember where they are."""

    def __init__(self, book: Book, ws: Worksheet) -> None:
        self.book, self.ws, self.labels = book, ws, book.labels
        self.row = FIRST_ROW - 1
        self.places = Places()
        self._prices: dict[int, list[str]] = {}

    # ---- parts of formulas --------------------------------------------------------------------------------

    def best(self, key: str, place: int = 1) -> str:
        return best.at(self.book, key, place)

    def money(self, reference: str) -> str:
        return f"{reference}*plan_exchange_rate"

    def shown(self, reference: str, decimals: int = 0) -> str:
        """Return a figure as text, or a dash if it is missing."""
        return f"IF(ISNUMBER({reference}),{f.fixed(reference, decimals)},{terms.MISSING})"

    def shown_money(self, reference: str) -> str:
        return f"IF(ISNUMBER({reference}),{f.fixed(self.money(reference), 0)},{terms.MISSING})"

    def text(self, key: str) -> str:
        return f.text(self.labels(f"plan.{key}"))

    # ---- rows ---------------------------------------------------------------------------------------------

    def section(self, key: str, columns: Sequence[str] = ()) -> None:
        self.row += 1
        for number in range(1, 9):
            put(
                self.ws,
                (self.row, number),
                styles.SECTION,
                self.labels(f"plan_workings.{key}") if number == 1 else None,
            )
        if columns:
            self.row += 1
            for number, column in enumerate(columns, start=1):
                put(self.ws, (self.row, number), styles.HEADING, self.labels(f"plan_workings.{column}"))
            self.ws.row_dimensions[self.row].height = 32

    def line(self, label: str, *formulas: str, formats: Sequence[str | None] = ()) -> tuple[str, ...]:
        """Write a label and formulas next to it, and return the cells of the formulas."""
        self.row += 1
        put(self.ws, (self.row, 1), styles.LABEL, label)
        cells = []
        for number, formula in enumerate(formulas):
            shown = formats[number] if number < len(formats) else None
            role = styles.FORMULA if shown else styles.FORMULA_TEXT if len(formulas) > 1 else styles.PLAN_TEXT
            put_formula(self.ws, (self.row, number + 2), role, formula, shown)
            cells.append(f"${get_column_letter(number + 2)}${self.row}")
        return tuple(cells)

    def named(self, key: str, formula: str) -> str:
        """Write a text that Plan shows, and return its cell."""
        (cell,) = self.line(self.labels(f"plan_workings.{key}"), formula)
        self.places.texts[key] = cell
        return cell

    # ---- sentences ----------------------------------------------------------------------------------------

    def sentences(self) -> None:
        self.section("sentences")
        found = f"{self.best('option_row')}>0"
        second = f"{self.best('option_row', 2)}>0"
        count = self.named("count", self.shown(self.best("best_gpus")))
        self.named(
            "headline",
            f"IF({found},{self.best('cheaper')}&{f.text(' ')}&{count}&{f.text(' × ')}&{self.best('gpu_title')},"
            f"{self.text('nothing')})",
        )
        replicas = self.named("replicas", self.shown(self.best("replicas")))
        what = {
            "replicas": replicas,
            "layout": self.best("layout"),
            "users": self.named("users", self.shown(self.best("users"))),
            "each": self.named("each", self.shown(self.best("users_per_replica"))),
        }
        why = self.named("nothing_why", self.text("nothing_why"))
        self.named("what", f"IF({found},{f.sentence(self.labels('plan.what'), what)},{why})")
        margin = self.named("margin", self.shown(f"(per_cent*{self.best('margin', 2)})", 1))
        self._runner_up(margin, second)
        cost = {
            "npc": self.named("npc", self.shown_money(self.best("net_present_cost"))),
            "currency": "plan_currency",
            "months": self.named("months", self.shown("horizon_months")),
            "second": self.places.texts["runner_up"],
        }
        self.named("cost", f"IF({found},{f.sentence(self.labels('plan.cost'), cost)},{terms.MISSING})")
        low = self.named("low", self.shown(self.best("low_tokens_per_s")))
        high = self.named("high", self.shown(self.best("high_tokens_per_s")))
        is_fast = f"ISNUMBER({self.best('low_tokens_per_s')})"
        self.named("speed_range", f"IF({is_fast},{low}&{f.text(' – ')}&{high},{terms.MISSING})")
        values = {"low": low, "high": high, "wanted": "plan_min_speed", "limits": self.best("limits")}
        self.named("speed", f"IF({is_fast},{f.sentence(self.labels('plan.speed'), values)},{self.text('no_speed')})")
        typical = {"typical": self.shown(self.best("tokens_per_s_per_user"))}
        self.named("typical", f"IF({is_fast},{f.sentence(self.labels('plan.unit_speed'), typical)},{terms.MISSING})")
        self._out()
        echo = {
            "model": "chosen_model",
            "precision": "chosen_precision",
            "cache": "chosen_kv_precision",
            "engine": "chosen_engine",
        }
        self.named("echo_model", f.sentence(self.labels("plan.echo_model"), echo))
        tokens = {"context": f.fixed("chosen_context", 0), "users": f.fixed("chosen_users", 0)}
        self.named("echo_tokens", f.sentence(self.labels("plan.echo_tokens"), tokens))
        # A footer cannot show a cell, so the printed page has a line with the scenario and the date of the plan.
        month, day = (f"RIGHT({f.text('0')}&{part}(plan_date),LEN({f.text('00')}))" for part in ("MONTH", "DAY"))
        date = f.text("-").join(("YEAR(plan_date)&", f"&{month}&", f"&{day}"))
        printed = f.sentence(self.labels("plan.printed"), {"scenario": "plan_scenario", "date": date})
        self.book.name("plan_printed", self.ws, self.named("printed", printed).replace("$", ""))

    def _runner_up(self, margin: str, second: str) -> None:
        count = self.named("second_count", self.shown(self.best("best_gpus", 2)))
        values = {"way": self.best("cheaper", 2), "count": count, "gpu": self.best("gpu", 2), "margin": margin}
        sentence = f.sentence(self.labels("plan.runner_up"), values)
        equal = f"IF({self.best('margin', 2)}<=nearly_equal,{self.text('about_equal')},{self.text('not_equal')})"
        equal = self.named("equal", f"IF({second},{equal},{self.text('not_equal')})")
        self.named("runner_up", f"IF({second},{sentence}&{equal},{self.text('no_runner_up')})")

    def _out(self) -> None:
        """Count the options that are out, by their reason."""

        def column(key: str) -> str:
            return options.column(self.book, key)

        no_kernel = (
            f"COUNTIFS({column('runs')},{pace.NO_KERNEL},{column('fitting')},{f.text('>0')},{column('left_out')},0)"
        )
        slow = f"COUNTIFS({column('slow')},{f.text('<>–')},{column('left_out')},0)"
        counts = {
            "all": f"ROWS({column('rank')})",
            "in": f"COUNT({column('rank')})",
            "left_out": f"COUNTIFS({column('left_out')},1,{column('fitting')},{f.text('>0')})",
            "memory": f"COUNTIF({column('fitting')},0)",
            "slow": slow,
            "no_kernel": no_kernel,
        }
        cells = {key: self.named(f"out_{key}", formula) for key, formula in counts.items()}
        for cell in cells.values():
            self.ws[cell.replace("$", "")].number_format = COUNT_FORMAT
        rest = "-".join(cells.values())
        cells["price"] = self.named("out_price", rest)
        self.named("out", f.sentence(self.labels("plan.out"), cells))

    # ---- results ------------------------------------------------------------------------------------------

    def results(self) -> None:
        """Write the figures of the best option in the currency of the plan, as numbers for programs and as texts."""
        self.section("results", ("figure", "value", "shown"))
        for key, (name, decimals) in RESULTS.items():
            row, of = self.row + 1, self.best(key)
            value = of if key == "first_token_s" else f"IF(ISNUMBER({of}),{self.money(of)},{terms.MISSING})"
            number_format = "#,##0" if decimals == 0 else f"#,##0.{'0' * decimals}"
            cells = self.line(
                terms.label(self.labels, key), value, self.shown(f"$B{row}", decimals), formats=(number_format, None)
            )
            self.book.name(name, self.ws, cells[0].replace("$", ""))
            self.places.texts[key] = cells[1]

    # ---- doubts -------------------------------------------------------------------------------------------

    def doubts(self) -> None:
        self.section("doubts", ("doubt", "applies", "number", "text"))
        first = self.row + 1
        for key, condition, sentence in self._doubts():
            number = f"IF($B{self.row + 1}=1,SUM($B${first}:$B{self.row + 1}),0)"
            self.line(
                self.labels(f"plan_workings.doubt_{key}"), f"IF({condition},1,0)", number, sentence,
                formats=(COUNT_FORMAT, COUNT_FORMAT),
            )  # fmt: skip
        last = self.row
        (count,) = self.line(
            self.labels("plan_workings.doubt_count"), f"SUM($B${first}:$B${last})", formats=(COUNT_FORMAT,)
        )
        self.book.name("plan_doubts", self.ws, count.replace("$", ""))
        self.section("doubts_shown", ("number", "text"))
        for place in range(1, DOUBTS_SHOWN + 1):
            self.row += 1
            put(self.ws, (self.row, 1), styles.CHECK, place)
            found = f"MATCH($A{self.row},$C${first}:$C${last},0)"
            text = f"{f.text('▲ ')}&INDEX($D${first}:$D${last},{found})"
            put_formula(self.ws, (self.row, 2), styles.PLAN_TEXT, f"IF($A{self.row}<=plan_doubts,{text},{f.text(' ')})")
            self.places.doubts.append(f"$B${self.row}")

    def _doubts(self) -> Iterator[tuple[str, str, str]]:
        """Yield (key, condition, sentence) of each doubt, the most important first."""
        labels = self.labels

        def says(key: str, **values: str) -> str:
            return f.sentence(labels(f"plan.doubt_{key}"), values)

        yield "demand", "COUNT(plan_users,plan_people,plan_requests_per_hour)>1", says("demand")
        yield "active", "AND(ISNUMBER(plan_people),NOT(ISNUMBER(plan_active_share)))", says("active")
        yield "scenario", f"chosen_check<>{f.text(f.OK)}", says("scenario", problem="chosen_check")
        longest = f.fixed("chosen_max_context", 0)
        yield "beyond", "chosen_beyond=1", says("beyond", model="chosen_model", longest=longest)
        yield "cache", "chosen_lacks_cache=1", says("cache", format="chosen_kv_precision")
        all_of_them = f.text(plan_inputs.choice_text(labels, "all"))
        listed = 'LEN(candidate_list)-LEN(SUBSTITUTE(candidate_list,",",""))-1'
        known = f"SUM({gpus.column(self.book, 'is_listed')})"
        yield "names", f"AND(plan_candidates<>{all_of_them},{listed}>{known})", says("names")
        yield "no_options", "offers_no_options>0", says("no_options", count="offers_no_options")
        yield (
            "rate",
            f"AND(plan_currency<>{f.text('USD')},plan_exchange_rate=1)",
            says("rate", currency="plan_currency"),
        )
        yield from self._price_doubt(1)
        is_other = f"INDEX({gpus.column(self.book, 'segment')},{self.best('gpu_row')})<>{f.text(labels(f'gpus.segment_{DATA_CENTRE.replace(chr(32), chr(95))}'))}"
        yield "segment", f"IF(ISNUMBER({self.best('gpu_row')}),{is_other},FALSE)", says("segment", gpu=self.best("gpu"))
        yield "measured", "COUNT(given_speeds)>0", says("measured", count="COUNT(given_speeds)")
        yield "speed", f"AND({self._is_computed()},chosen_mtp_tokens=0)", says("speed")
        yield (
            "drafts", f"AND({self._is_computed()},chosen_mtp_tokens>0)",
            says("drafts", share=f.fixed("per_cent*chosen_acceptance", 0)),
        )  # fmt: skip
        total = best.column(self.book, "cost_tco")
        first_by_cash = f"INDEX({best.column(self.book, 'gpu')},MATCH(MIN({total}),{total},0))"
        yield (
            "cash", f"IF(ISNUMBER({self.best('cost_tco')}),MIN({total})<{self.best('cost_tco')},FALSE)",
            says("cash", gpu=f"IF(COUNT({total})>0,{first_by_cash},{terms.MISSING})"),
        )  # fmt: skip
        person = best.column(self.book, "person_month")
        first_by_person = f"INDEX({best.column(self.book, 'gpu')},MATCH(MIN({person}),{person},0))"
        yield (
            "person", f"IF(ISNUMBER({self.best('person_month')}),MIN({person})<{self.best('person_month')},FALSE)",
            says("person", gpu=f"IF(COUNT({person})>0,{first_by_person},{terms.MISSING})"),
        )  # fmt: skip
        missing = self.places.texts["out_price"]
        yield "prices", f"{missing}>0", says("prices", count=missing)
        yield from self._price_doubt(2)
        yield "old", "old_sources>0", says("old", count="old_sources")

    def _is_computed(self) -> str:
        """Return the condition that the best option's speed is computed: it has a range then."""
        low, high = self.best("low_tokens_per_s"), self.best("high_tokens_per_s")
        return f"IF(ISNUMBER({low}),{low}<{high},FALSE)"

    def _price_doubt(self, place: int) -> Iterator[tuple[str, str, str]]:
        """Yield the doubt about the price behind an option: the best one's if it is no own quote, or a stale price."""
        offer, who, old = self._prices[place]
        # Not from the cells with the same figures, for a shorter chain.
        is_stale, kind = (f"INDEX({prices.column(self.labels, key)},{offer})" for key in ("is_stale", "kind"))
        own = f.text(label_of(self.labels, "kind", "own quote"))
        doubtful = f"{is_stale}=1" if place > 1 else f"OR({kind}<>{own},{is_stale}=1)"
        condition = f"IF({offer}>0,{doubtful},FALSE)"
        values = {"gpu": self.best("gpu", place), "who": who, "stale": old}
        yield f"price_{place}", condition, f.sentence(self.labels("plan.doubt_price"), values)

    # ---- prices behind the two best options ---------------------------------------------------------------

    def prices(self) -> None:
        """Write which offer is behind the price of each of the two best options, and how good it is."""
        self.section("prices", ("figure", "of_first", "of_next"))
        rows = {
            key: self.row + 1 + number for number, key in enumerate((*_OFFERS, "offer", "who", "is_stale", "stale"))
        }
        both = [self._price_formulas(place, rows) for place in (1, 2)]
        for key in rows:
            shown = None if key in ("who", "stale") else COUNT_FORMAT
            self.line(
                self.labels(f"plan_workings.{key}"), *(formulas[key] for formulas in both), formats=(shown, shown)
            )
        order = ("offer", "who", "stale")
        self._prices = {place: [f"${letter}${rows[key]}" for key in order] for place, letter in ((1, "B"), (2, "C"))}

    def _price_formulas(self, place: int, rows: dict[str, int]) -> dict[str, str]:
        labels, letter = self.labels, " BC"[place]
        offer = f"${letter}${rows['offer']}"
        row, by_demand = self.best("gpu_row", place), self.best("on_demand", place)

        def of_offer(key: str) -> str:
            return f"INDEX({prices.column(labels, key)},{offer})"

        bought, on_demand, reserved = (f"${letter}${rows[item]}" for item in _OFFERS)
        return {
            **{
                item: f"IF(ISNUMBER({row}),INDEX({gpus.column(self.book, f'{item}_offer')},{row}),0)"
                for item in _OFFERS
            },
            "offer": f"IF({self.best('buys', place)}=1,{bought},IF({by_demand}=1,{on_demand},{reserved}))",
            "who": f"IF({offer}>0,{of_offer('kind')}&{f.text(', ')}&{of_offer('vendor')},{terms.MISSING})",
            "is_stale": f"IF({offer}>0,{of_offer('is_stale')},0)",
            "stale": f"IF(${letter}${rows['is_stale']}=1,{self.text('is_stale')},{self.text('is_current')})",
        }

    # ---- what would change the verdict --------------------------------------------------------------------

    def swaps(self, months: int) -> None:
        """Write for each input the value at which the two best options cost the same."""
        self.section(
            "swaps",
            ("input", "now", "swap_value", "change", "unit", "swap", "best_slope", "second_slope", "lowest", "highest"),
        )
        limits_row = self.row + 1
        for name in ("gpu_usd", "on_demand_usd_per_gpu_hour"):
            self.row += 1
            put(self.ws, (self.row, 1), styles.LABEL, self.labels(f"plan_workings.limits_{name}"))
            for number, limit in zip((9, 10), (COST_LIMITS[name].least, COST_LIMITS[name].most)):
                put(self.ws, (self.row, number), styles.SOURCE_FIGURE, limit, "General")
        for key in SWAPS[:-1]:
            self.places.swaps[key] = self._swap_line(*self._swap(key, limits_row))
        leads = f"$L${months + 1}:$L${months + MOST_MONTHS}"
        crossing = f"IFERROR(MATCH(1-$L${months + 1},{leads},0),{terms.MISSING})"
        row = self.row + 1
        change = f"IF(ISNUMBER($C{row}),$C{row}/$B{row}-1,{terms.MISSING})"
        self.line(
            self.labels("plan.swap_horizon"), "horizon_months", crossing, change, self.text("unit_months"),
            formats=(COUNT_FORMAT, COUNT_FORMAT, _CHANGE, None),
        )  # fmt: skip
        self.places.swaps["horizon"] = tuple(f"${letter}${row}" for letter in "ABCDE")

    def _swap_line(
        self, label: str, now: str, unit: str, slopes: tuple[str, str], limits: tuple[str, str]
    ) -> tuple[str, ...]:
        """Write an input with the value at which the options swap, by the terms `SWAP`, and return its cells."""
        row = self.row + 1
        cells = {
            **{name: f"${letter}{row}" for name, letter in zip(("now", "swap", *_OF_SWAP), "BFGHIJ")},
            "best_npc": self.best("net_present_cost"),
            "second_npc": self.best("net_present_cost", 2),
        }
        known = ",".join(f"ISNUMBER({cells[name]})" for name in ("best_npc", "second_npc", "now"))
        crossing = f"IF(AND({known}),{terms.formula(SWAP['swap'], cells.__getitem__)},{terms.MISSING})"
        is_changed = f"AND(ISNUMBER($C{row}),ISNUMBER($B{row}))"
        change = f"IF($B{row}<>0,$C{row}/$B{row}-1,{terms.MISSING})"
        self.line(
            "", now, terms.formula(SWAP["swap_value"], cells.__getitem__), f"IF({is_changed},{change},{terms.MISSING})",
            unit, crossing, *slopes, *limits,
            formats=(_FINE, _FINE, _CHANGE, None, _FINE, MONEY_FORMAT, MONEY_FORMAT, "General", "General"),
        )  # fmt: skip
        put_formula(self.ws, (row, 1), styles.FORMULA_TEXT, label)
        return tuple(f"${letter}${row}" for letter in "ABCDE")

    def _swap(self, key: str, limits_row: int) -> tuple[str, str, str, tuple[str, str], tuple[str, str]]:
        """Return the label, the value now, the unit, both slopes and the limits of an input."""
        if key in ("price_best", "price_second"):
            return self._price_swap(1 if key == "price_best" else 2, limits_row)
        if key == "tariff":
            limits = COST_LIMITS["tariff_usd_per_kwh"]
            return (
                self.text("swap_tariff"), "tariff_usd_per_kwh", self.text("unit_usd_kwh"),
                (self.best("tariff_slope"), self.best("tariff_slope", 2)), (f"{limits.least:g}", f"{limits.most:g}"),
            )  # fmt: skip
        most = "IF(days_per_month>0,MIN(24,hours_per_month/days_per_month),24)"
        return (
            self.text("swap_hours"), f"MIN(hours_per_day,{most})", self.text("unit_hours"),
            (self.best("hours_slope"), self.best("hours_slope", 2)), ("0", most),
        )  # fmt: skip

    def _price_swap(self, place: int, limits_row: int) -> tuple[str, str, str, tuple[str, str], tuple[str, str]]:
        """Return the parts of the price that an option pays: of a GPU, or of the cheaper of the two rents."""
        buys, gpu = f"{self.best('buys', place)}=1", {"gpu": self.best("gpu", place)}
        on_demand = self.best("on_demand_usd_per_gpu_hour", place)
        rent = f"IF({self.best('on_demand', place)}=1,{on_demand},{self.best('reserved_usd_per_gpu_hour', place)})"
        slope = f"IF({buys},{self.best('gpu_usd_slope', place)},{self.best('rent_usd_slope', place)})"
        names = (f.sentence(self.labels(f"plan.swap_{key}"), gpu) for key in ("price", "rent"))
        least, most = (f"IF({buys},${letter}${limits_row},${letter}${limits_row + 1})" for letter in "IJ")
        return (
            f"IF({buys},{','.join(names)})", f"IF({buys},{self.best('gpu_usd', place)},{rent})",
            f"IF({buys},{self.text('unit_usd')},{self.text('unit_usd_hour')})",
            (slope, "0") if place == 1 else ("0", slope), (least, most),
        )  # fmt: skip

    # ---- charts -------------------------------------------------------------------------------------------

    def memory(self) -> None:
        """Write what one GPU of the best option holds, in GB."""
        self.section("memory", ("part", "gb"))

        def held(key: str) -> str:
            return f"INDEX({capacity.column(self.book, key)},{self.best('capacity_row')})"

        start = self.row + 1
        cells = {part: f"$B${start + number}" for number, part in enumerate(MEMORY_PARTS)}
        total = f"{held('memory_bytes')}/{f.GB}"
        by_part = {
            "weights": f"({held('room_bytes')}-{held('activation_bytes')}-{held('kv_budget_bytes')})/{f.GB}",
            "cache": f"{held('kv_budget_bytes')}/{f.GB}",
            "engine": f"{held('activation_bytes')}/{f.GB}",
            "free": f"MAX(0,{total}-SUM({cells['weights']}:{cells['engine']}))",
        }
        for part, formula in by_part.items():
            self.line(
                self.labels(f"plan.part_{part}"),
                f"IF(ISNUMBER({self.best('capacity_row')}),{formula},0)",
                formats=("#,##0",),
            )
        self.places.memory = (start, self.row)
        values = {
            "weights": f.fixed(cells["weights"], 0), "cache": f.fixed(cells["cache"], 0),
            "total": f.fixed(f"SUM({cells['weights']}:{cells['free']})", 0),
        }  # fmt: skip
        self.named("memory", f.sentence(self.labels("plan.memory"), values))

    def paid(self) -> None:
        """Write what an owner, a tenant and the users of an API have paid by parts of the horizon, in thousands."""
        self.section("paid", ("month", *LINES, "stand_in"))
        start = self.row + 1
        for part in range(TIMES + 1):
            self.row += 1
            row = self.row
            put_formula(self.ws, (row, 1), styles.FORMULA, f"horizon_months*{part}/{TIMES}", "0.#")
            reference = partial(self._of_month, f"$A{row}")
            paid = {name: terms.formula(BY_MONTH[name], reference) for name in LINES}
            # A line without a price is drawn under another one: an error would be marked, and 0 would look free.
            stand_in = f"IFERROR({paid['own_paid']}*1,IFERROR({paid['rent_paid']}*1,0))"
            put_formula(self.ws, (row, len(LINES) + 2), styles.FORMULA, stand_in, "#,##0.0")
            for number, name in enumerate(LINES, start=2):
                shown = f"IFERROR({paid[name]}*1,$E{row})*plan_exchange_rate/10^3"
                put_formula(self.ws, (row, number), styles.FORMULA, shown, "#,##0.0")
        self.places.times = (start, self.row)
        last = self.row
        month = f"INDEX({options.column(self.book, 'break_even')},MAX(1,{self.best('option_row')}))"
        (even,) = self.line(self.labels("plan_workings.even"), month, formats=(COUNT_FORMAT,))
        words = f.sentence(self.labels("plan.pays_off"), {"month": f.fixed(even, 0)})
        (pays_off,) = self.line(
            self.labels("plan_workings.compared"), f"IF(ISNUMBER({even}),{words},{self.text('never_pays_off')})"
        )
        has_both = f"AND(ISNUMBER({self.best('capex')}),ISNUMBER({self.best('rent_month')}))"
        self.named("pays_off", f"IF({has_both},{pays_off},{self.text('one_way')})")
        ends = {
            name: f"IF(ISNUMBER({self.best(of)}),{f.fixed(f'{letter}{last}', 0)},{terms.MISSING})"
            for name, letter, of in zip(LINES, "BCD", ("capex", "rent_month", "api_month"))
        }
        cells = {name: self.line(self.labels(f"plan_workings.{name}"), formula)[0] for name, formula in ends.items()}
        self.named("paid", f.sentence(self.labels("plan.paid"), cells | {"currency": "plan_currency"}))

    def _of_month(self, month: str, name: str) -> str:
        return month if name == "month" else self.best(name)

    def tornado(self) -> None:
        """Write how much the cost moves with each input, and the largest ones in order."""
        self.section("tornado", ("input", "swing", "size"))
        start = self.row + 1
        swings = list(SWINGS)
        for number, term in enumerate(swings):
            value = self.best(term.name)
            tie = f"{number}*10^-6"  # so that no two are of the same size
            self.line(
                self.labels(f"plan.{term.name}"),
                f"IF(ISNUMBER({value}),ROUND({self.money(value)}/10^3,0),0)",
                f"ABS($B{self.row + 1})-{tie}",
                formats=("#,##0", "#,##0.0"),
            )
        last = self.row
        sizes = f"$C${start}:$C${last}"
        self.section("bars", ("input", "lower", "higher", "place"))
        first = self.row + 1
        for number in range(1, BARS + 1):
            row = self.row + 1
            place = f"MATCH(LARGE({sizes},{number}),{sizes},0)"
            self.line(
                "",
                f"-$C{row}",
                f"INDEX($B${start}:$B${last},$D{row})",
                place,
                formats=("#,##0.0", "#,##0.0", COUNT_FORMAT),
            )
            put_formula(self.ws, (row, 1), styles.FORMULA_TEXT, f"INDEX($A${start}:$A${last},$D{row})")
        self.places.bars = (first, self.row)
        values = {"input": f"$A${first}"}
        self.named(
            "largest",
            f"IF({self.best('option_row')}>0,{f.sentence(self.labels('plan.tornado'), values)},{terms.MISSING})",
        )

    def months(self, header_row: int) -> None:
        """Write the net present costs of the two best options at every horizon."""
        labels = self.labels

        def name_of(key: str) -> str:
            if key in ("month", "best_leads"):
                return labels(f"plan_workings.{key}")
            which, _, name = key.partition("|")
            return (
                labels(f"plan_workings.{which}", figure=terms.label(labels, name)) if name else terms.label(labels, key)
            )

        both = [(which, place) for place, which in enumerate(("of_best", "of_second"), start=1)]
        columns = (
            SheetColumn("month", 8, styles.CHECK),
            *(SheetColumn(key, 12, styles.FORMULA, "0.0000") for key in ("month_annuity", "month_discount")),
            *(
                SheetColumn(f"{which}|{key}", 14, styles.FORMULA, MONEY_FORMAT)
                for which, _ in both
                for key in _OF_MONTH
            ),
            SheetColumn("best_leads", 9),
        )

        def cell(key: str) -> str:
            return f.this_row("Months", name_of(key))

        def reference(which: str, place: int, name: str) -> str:
            if name in ("month", "month_annuity", "month_discount"):
                return cell(name)
            if name in _OF_MONTH:
                return cell(f"{which}|{name}")
            return name if name in self.book.names else self.best(name, place)

        npc = [cell(f"{which}|npv_by") for which, _ in both]
        formulas = {
            **{
                key: terms.formula(BY_MONTH[key], partial(reference, "", 0))
                for key in ("month_annuity", "month_discount")
            },
            **{
                f"{which}|{key}": terms.formula(BY_MONTH[key], partial(reference, which, place))
                for which, place in both
                for key in _OF_MONTH
            },
            "best_leads": f"IF(AND(ISNUMBER({npc[0]}),ISNUMBER({npc[1]})),IF({npc[0]}<={npc[1]},1,0),{terms.MISSING})",
        }
        rows = ({"month": month} for month in range(1, MOST_MONTHS + 1))
        self.ws.row_dimensions[header_row].height = 58
        filled_table(self.ws, "Months", header_row, columns, name_of, rows, formulas)


def reference_to(labels: Labels, cell: str) -> str:
    """Return the reference from another sheet to a cell of this one."""
    title = labels("sheet.plan_workings").replace("'", "''")
    return f"'{title}'!{cell}"
