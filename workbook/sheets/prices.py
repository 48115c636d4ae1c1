"""Write the Prices sheet: one row an offer, which of them counts, and why another does not.

The formulas are the rule of `core.catalog.offer_choice`. Each problem of an offer has a column of its own, and the first
one that holds is its state; the offers without a problem are sorted by two whole numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from openpyxl.formatting.rule import FormulaRule
from openpyxl.styles import Font
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet

from core.catalog.offer_choice import FIRST_DATE, ITEMS, LAST_DATE, PROBLEMS, default_offer_policy
from core.catalog.offers import COLUMNS, COMPARED, KINDS, MOST_GPUS, PRICE_LIMITS, TERMS, USD, Offer
from workbook import formulas as f
from workbook import styles, terms
from workbook.book import (
    COUNT_FORMAT,
    DATE_FORMAT,
    MONEY_FORMAT,
    Book,
    SheetColumn,
    between_rule,
    date_rule,
    filled_table,
    filterable,
    heading,
    list_rule,
    one_line,
    protect,
    put,
    put_formula,
    text_rule,
    validate,
)
from workbook.labels import Labels
from workbook.offers import label_of

TABLE = "Prices"
HEADER_ROW = 5
FIRST_ROW = HEADER_ROW + 1
OWN_ROWS = 30  # blank rows for quotes, below the catalog's
# Input cells above the table: name → address.
INPUTS = {"offer_currency": "F4", "offer_exchange_rate": "L4"}
NAME_OF_TERMS = dict(zip(COMPARED, ("terms_buy", "terms_server", "terms_on_demand", "terms_one_year")))
NAME_OF_ITEM = {item: NAME_OF_TERMS[of] for item, of in ITEMS.items()}
_LONGEST_TEXT = 255  # characters

_INPUT_COLUMNS = (
    SheetColumn("gpu", 18.5, styles.INPUT_TEXT, None),
    SheetColumn("gpus", 6, styles.INPUT, COUNT_FORMAT),
    SheetColumn("vendor", 11.5, styles.INPUT_TEXT, None),
    SheetColumn("quote", 8.5, styles.INPUT_TEXT, None),
    SheetColumn("kind", 14, styles.INPUT_TEXT, None),
    SheetColumn("terms", 14, styles.INPUT_TEXT, None),
    SheetColumn("region", 12, styles.INPUT_TEXT, None),
    SheetColumn("date", 10, styles.INPUT, DATE_FORMAT),
    SheetColumn("valid_until", 10, styles.INPUT, DATE_FORMAT),
    SheetColumn("smallest", 9.5, styles.INPUT, COUNT_FORMAT),
    SheetColumn("low", 8, styles.INPUT, MONEY_FORMAT),
    SheetColumn("typical", 9, styles.INPUT, MONEY_FORMAT),
    SheetColumn("high", 8, styles.INPUT, MONEY_FORMAT),
    SheetColumn("currency", 8, styles.INPUT_TEXT, None),
)
INPUT_KEYS = tuple(column.key for column in _INPUT_COLUMNS)
# In the order in which they are said: the last of `PROBLEMS` first.
_FLAGS = tuple(reversed(PROBLEMS))
_WORKINGS = (
    "filled", "found", "gpu_row", "kind_no", "terms_no", "row_of_terms", "units", "lots", "rate", "is_text", "usd",
    "whole", "in_years", *_FLAGS, "problem", "key", "day", "is_stale", "kind_rank", "order", "cents", "number", "better", "same",
    "winner", "best", "bought", "in_machine", "lost", "outcome", "step", "no_options",
)  # fmt: skip
_USED = ("used", "used_own", "used_stale", "used_own_stale")
_TEXTS = ("lost", "outcome")
_DOUBTFUL = ("no_options", "stale", "expired", "texts")  # counts of offers with a doubt
_COLUMNS = (
    *_INPUT_COLUMNS,
    SheetColumn("state", 20, styles.FORMULA_TEXT, None),
    SheetColumn("source", 46, styles.INPUT_TEXT, None),
    SheetColumn("note", 46, styles.INPUT_TEXT, None),
    *(
        SheetColumn(key, 12, styles.FORMULA_TEXT if key in _TEXTS else styles.FORMULA, "#,##0.####")
        for key in _WORKINGS
    ),
)
_LETTER = {column.key: get_column_letter(number) for number, column in enumerate(_COLUMNS, start=1)}
_FIRST_LIST = len(_COLUMNS) + 2  # the column of the first list, right of the table


def write(book: Book) -> None:
    """Write the sheet and define the names of its lists.

    It uses `gpu_names`, `gpu_has_options`, `plan_date` and `stale_after_months`.
    """
    labels = book.labels
    ws = book.sheet("prices", [column.width for column in _COLUMNS], tab_colour="BF8F00")
    heading(ws, labels("prices.title"), labels("prices.subtitle"))
    _write_exchange_rate(book, ws)
    ws.row_dimensions[HEADER_ROW].height = 46
    rows = [*map(partial(_values, labels), book.offers), *(dict.fromkeys(COLUMNS) for _ in range(OWN_ROWS))]
    last = filled_table(ws, TABLE, HEADER_ROW, _COLUMNS, partial(header, labels), rows, formulas(labels))
    _write_lists(book, ws)
    _write_counts(book, ws)
    _validate(labels, ws, last)
    one_line(ws, FIRST_ROW, last)
    filterable(ws, TABLE)
    _mark_doubts(ws, last)
    ws.freeze_panes = f"B{FIRST_ROW}"
    ws.print_title_rows = f"{HEADER_ROW}:{HEADER_ROW}"
    ws.print_area = f"A1:{_LETTER['state']}{last}"
    protect(ws)


def _mark_doubts(ws: Worksheet, last: int) -> None:
    """Mark the state of an offer with a doubt, and the cell that causes it."""

    def at(key: str) -> str:
        return f"${_LETTER[key]}{FIRST_ROW}"

    filled = f"{at('filled')}=1"
    causes = {
        "date": f"AND({filled},OR({at('bad_date')}=1,AND({at('problem')}=0,{at('is_stale')}=1)))",
        "valid_until": f"AND({filled},OR({at('bad_date')}=1,{at('expired')}=1))",
        "typical": f"AND({filled},OR({at('text')}=1,{at('no_price')}=1,{at('out_of_range')}=1))",
        "currency": f"AND({filled},{at('other_currency')}=1)",
        "gpu": f"AND({filled},{at('no_gpu')}=1)",
    }
    for key, formula in causes.items():
        mark = FormulaRule(formula=[formula], fill=styles.fill("FDEBD8"))
        ws.conditional_formatting.add(f"{_LETTER[key]}{FIRST_ROW}:{_LETTER[key]}{last}", mark)
    doubt = FormulaRule(formula=[f'LEFT({at("state")},1)="▲"'], font=Font(bold=True, color="B45309"))
    ws.conditional_formatting.add(f"{_LETTER['state']}{FIRST_ROW}:{_LETTER['state']}{last}", doubt)


def header(labels: Labels, key: str) -> str:
    """Return the heading of a column."""
    return labels(f"prices.{key}")


def column(labels: Labels, key: str) -> str:
    """Return the reference to a whole column."""
    return f.whole_column(TABLE, header(labels, key))


def input_numbers() -> frozenset[int]:
    """Return the numbers of the columns that an offer is written into."""
    keys = (*INPUT_KEYS, "source", "note")
    return frozenset(number for number, column in enumerate(_COLUMNS, start=1) if column.key in keys)


def letter(key: str) -> str:
    """Return the letter of a column."""
    return _LETTER[key]


def _values(labels: Labels, offer: Offer) -> dict[str, object]:
    values: dict[str, object] = {name: getattr(offer, name) or None for name in COLUMNS}
    return values | {
        "gpus": offer.gpus,
        "low": offer.low,
        "typical": offer.typical,
        "high": offer.high,
        "kind": label_of(labels, "kind", offer.kind),
        "terms": label_of(labels, "terms", offer.terms),
    }


def _write_exchange_rate(book: Book, ws: Worksheet) -> None:
    """Write the input cells of a currency other than dollars."""
    labels = book.labels
    for name, role, text, rule, number_format in (
        ("offer_currency", styles.INPUT_TEXT, "A4", text_rule(3), None),
        ("offer_exchange_rate", styles.INPUT, "H4", between_rule("0", "10^6", whole=False), "#,##0.####"),
    ):
        title = labels(f"prices.{name}")
        put(ws, text, styles.SUBTITLE, title)
        put(ws, INPUTS[name], role, None, number_format)
        prompt = labels(f"prompt.{name}")
        validate(ws, INPUTS[name], rule, title=title, prompt=prompt, wrong_title=labels("prompt.wrong_title"))
        rule.allow_blank = True
        book.name(name, ws, INPUTS[name])


@dataclass(frozen=True)
class _List:
    """A list right of the table: its heading, its values, and the name of its cells ("" for none)."""

    key: str
    values: Sequence[object]
    name: str
    role: str = styles.SOURCE_FIGURE
    number_format: str | None = "#,##0.####"
    names: Sequence[str] = ()


def _lists(labels: Labels) -> Iterator[_List]:
    policy = default_offer_policy()

    def texts(group: str, keys: Sequence[str]) -> list[str]:
        return [label_of(labels, group, key) for key in keys]

    def ranks(of: str) -> list[int]:
        return [policy.rank_of_kind(kind, of) for kind in KINDS]

    buying = set(COMPARED[:2])
    yield _List("list_kinds", texts("kind", KINDS), "offer_kinds", styles.LABEL, None)
    yield _List("list_numbers", range(1, len(KINDS) + 1), "offer_kind_numbers")
    yield _List("list_rank_buy", ranks(TERMS[0]), "", styles.INPUT)
    yield _List("list_rank_rent", ranks(TERMS[2]), "", styles.INPUT)
    yield _List("list_terms", texts("terms", TERMS), "offer_terms", styles.LABEL, None)
    yield _List("list_numbers", range(1, len(TERMS) + 1), "offer_terms_numbers", names=[*NAME_OF_TERMS.values()])
    yield _List("list_compared", [int(name in COMPARED) for name in TERMS], "offer_compared")
    yield _List("list_way", [1 if name in buying else 2 for name in TERMS], "offer_way")
    yield _List("list_least", [PRICE_LIMITS[name][0] for name in TERMS], "offer_least")
    yield _List("list_most", [PRICE_LIMITS[name][1] for name in TERMS], "offer_most")
    yield _List("list_problems", texts("problem", _FLAGS), "offer_problems", styles.LABEL, None)
    yield _List("list_used", texts("outcome", _USED), "offer_used", styles.LABEL, None)
    yield _List("list_most_gpus", [MOST_GPUS], "offer_most_gpus")
    yield _List("list_dates", [FIRST_DATE, LAST_DATE], "", number_format=DATE_FORMAT,
                names=("offer_first_date", "offer_last_date"))  # fmt: skip


def _write_lists(book: Book, ws: Worksheet) -> None:
    labels = book.labels
    for number, listed in enumerate(_lists(labels), start=_FIRST_LIST):
        place = get_column_letter(number)
        ws.column_dimensions[place].width = 16
        put(ws, f"{place}{HEADER_ROW}", styles.HEADING, labels(f"prices.{listed.key}"))
        for row, value in enumerate(listed.values, start=FIRST_ROW):
            is_fixed = listed.role == styles.INPUT and row == FIRST_ROW  # an own quote always comes first
            role = styles.SOURCE_FIGURE if is_fixed else listed.role
            put(ws, f"{place}{row}", role, value, listed.number_format)
        last = FIRST_ROW + len(listed.values) - 1
        if listed.name:
            book.name(listed.name, ws, f"{place}{FIRST_ROW}:{place}{last}")
        for row, name in enumerate(listed.names, start=FIRST_ROW):
            book.name(name, ws, f"{place}{row}")
        if listed.key == "list_rank_buy":
            following = get_column_letter(number + 1)
            book.name("offer_ranks", ws, f"{place}{FIRST_ROW}:{following}{last}")
            rule = between_rule("1", "ROWS(offer_kinds)", whole=True)
            validate(
                ws, f"{place}{FIRST_ROW + 1}:{following}{last}", rule, title=labels("prices.list_rank_buy"),
                prompt=labels("prompt.offer_rank"), wrong_title=labels("prompt.wrong_title"),
            )  # fmt: skip


def _write_counts(book: Book, ws: Worksheet) -> None:
    """Write the counts of row 3: the figures right of the lists, the sentences from them."""
    labels = book.labels
    place = get_column_letter(_FIRST_LIST + len(list(_lists(labels))))
    following = get_column_letter(_FIRST_LIST + len(list(_lists(labels))) + 1)
    ws.column_dimensions[place].width, ws.column_dimensions[following].width = 34, 12
    state = column(labels, "state")

    def stated(*states: tuple[str, str]) -> str:
        return "+".join(f"COUNTIF({state},{f.text(label_of(labels, *found))})" for found in states)

    formulas = {
        "all": f"SUM({column(labels, 'filled')})",
        "no_options": f"SUM({column(labels, 'no_options')})",
        "used": stated(*(("outcome", key) for key in _USED)),
        "own": stated(("outcome", "used_own"), ("outcome", "used_own_stale")),
        "stale": stated(("outcome", "used_stale"), ("outcome", "used_own_stale")),
        "expired": stated(("problem", "expired")),
        "texts": stated(("problem", "text"), ("problem", "bad_date")),
        "doubtful": "+".join(f"offers_{key}" for key in _DOUBTFUL),
    }
    put(ws, f"{place}{HEADER_ROW}", styles.HEADING, labels("prices.counts"))
    put(ws, f"{following}{HEADER_ROW}", styles.HEADING)
    for row, (key, formula) in enumerate(formulas.items(), start=FIRST_ROW):
        put(ws, f"{place}{row}", styles.LABEL, labels(f"prices.count_{key}"))
        put_formula(ws, f"{following}{row}", styles.FORMULA, formula, COUNT_FORMAT)
        book.name(f"offers_{key}", ws, f"{following}{row}")
    cells = {key: f.fixed(f"offers_{key}", 0) for key in formulas}
    put_formula(ws, "A3", styles.SUBTITLE, f.sentence(labels("prices.count"), cells))
    doubts = f.sentence(labels("prices.doubts"), {key: f"offers_{key}" for key in _DOUBTFUL})
    put_formula(ws, "I3", styles.SUBTITLE, f"IF(offers_doubtful>0,{doubts},{terms.MISSING})")


def formulas(labels: Labels) -> dict[str, str]:
    """Return the formulas of the table's columns, each without its "="."""

    def cell(key: str) -> str:
        return f.this_row(TABLE, header(labels, key))

    def of_terms(name: str) -> str:
        return f"INDEX({name},{cell('row_of_terms')})"

    def if_key(formula: str, otherwise: str = terms.MISSING) -> str:
        return f"IF(ISNUMBER({cell('key')}),{formula},{otherwise})"

    def among_same(*pairs: str) -> str:
        """Count the offers of the same GPU on the same terms for which the pairs of key and criterion hold."""
        return f"COUNTIFS({column(labels, 'key')},{cell('key')},{','.join(pairs)})"

    def equal_to(key: str) -> str:
        return f"{column(labels, key)},{cell(key)}"

    def less(key: str) -> str:
        return f'{column(labels, key)},"<"&{cell(key)}'

    def outcome(key: str) -> str:
        return f.text(label_of(labels, "outcome", key))

    numbers = ",".join(cell(key) for key in ("gpus", "smallest", "typical"))
    dates = f"{cell('date')},{cell('valid_until')}"
    within = f"AND(MIN({dates})>=offer_first_date,MAX({dates})<offer_last_date+1)"
    in_limits = (
        f"AND({cell('usd')}>={of_terms('offer_least')},{cell('usd')}<={of_terms('offer_most')},{cell('whole')}=1)"
    )
    whole = f"AND({cell('units')}=INT({cell('units')}),{cell('lots')}=INT({cell('lots')}))"
    counted = f"AND(MIN({cell('units')},{cell('lots')})>=1,MAX({cell('units')},{cell('lots')})<=offer_most_gpus)"
    winner_kind = f"INDEX({column(labels, 'kind_no')},{cell('best')})"
    used = f"INDEX(offer_used,1+({cell('kind_no')}=1)+{cell('is_stale')}*(1+1))"
    buying = f"{cell('gpu_row')}*ROWS(offer_terms)+terms_buy"
    flags = f.row_range(TABLE, header(labels, _FLAGS[0]), header(labels, _FLAGS[-1]))
    return {
        "state": f"IF({cell('filled')}=0,{terms.MISSING},IF({cell('problem')}>0,INDEX(offer_problems,{cell('problem')}),"
        f"IF({cell('no_options')}=1,{f.text(labels('prices.state_no_options'))},{cell('outcome')})))",
        "filled": f"IF(COUNTA({f.row_range(TABLE, header(labels, 'gpu'), header(labels, 'high'))})>0,1,0)",
        "found": f"IF(LEN({cell('gpu')})=0,0,{f.row_in('gpu_names', cell('gpu'))})",
        "gpu_row": f"IF({f.is_in_row(cell('gpu'), 'gpu_names', cell('found'))},{cell('found')},0)",
        "kind_no": f"SUMPRODUCT((offer_kinds={cell('kind')})*offer_kind_numbers)",
        "terms_no": f"SUMPRODUCT((offer_terms={cell('terms')})*offer_terms_numbers)",
        "row_of_terms": f"MAX(1,{cell('terms_no')})",
        "units": f"IF({f.is_blank(cell('gpus'))},1,{cell('gpus')})",
        "lots": f"IF({f.is_blank(cell('smallest'))},{cell('units')},{cell('smallest')})",
        "rate": f"IF(LEN({cell('currency')})=0,1,IF({cell('currency')}={f.text(USD)},1,"
        f"IF({cell('currency')}=offer_currency,N(offer_exchange_rate),0)))",
        "is_text": f"IF(COUNTA({numbers})>COUNT({numbers}),1,0)",
        "usd": f"IF(AND({cell('is_text')}=0,ISNUMBER({cell('typical')})),{cell('typical')}/{cell('units')}/"
        f"IF({cell('rate')}>0,{cell('rate')},1),{terms.MISSING})",
        "whole": f"IF({cell('is_text')}=1,0,IF({whole},IF({counted},1,0),0))",
        "no_gpu": f"IF({cell('gpu_row')}=0,1,0)",
        "no_terms": f"IF({cell('kind_no')}*{cell('terms_no')}=0,1,0)",
        "text": cell("is_text"),
        "no_price": f"IF(LEN({cell('typical')})=0,1,0)",
        "out_of_range": f"IF(ISNUMBER({cell('usd')}),IF({in_limits},0,1),0)",
        "in_years": f"IF(COUNT({dates})=0,1,IF({within},1,0))",
        "bad_date": f"IF(COUNTA({dates})>COUNT({dates}),1,1-{cell('in_years')})",
        "expired": f"IF(ISNUMBER({cell('valid_until')}),IF(INT({cell('valid_until')})<plan_date,1,0),0)",
        "other_currency": f"IF({cell('rate')}>0,0,1)",
        "not_compared": f"1-{of_terms('offer_compared')}",
        "problem": f"IFERROR(MATCH(1,{flags},0),0)",
        "key": f"IF(AND({cell('filled')}=1,{cell('problem')}=0),{cell('gpu_row')}*ROWS(offer_terms)+{cell('terms_no')},"
        f"{terms.MISSING})",
        "is_stale": f"IF(ISNUMBER({cell('date')}),IF(EDATE({cell('date')},stale_after_months)<plan_date,1,0),1)",
        "kind_rank": f"INDEX(offer_ranks,MAX(1,{cell('kind_no')}),{of_terms('offer_way')})",
        "order": if_key(f"IF({cell('kind_no')}=1,{cell('is_stale')},({cell('kind_rank')}+1)*10^5-{cell('day')})"),
        "day": f"IF(ISNUMBER({cell('date')}),INT({cell('date')}),0)",
        "cents": if_key(f"ROUND({cell('usd')}*10^4,0)"),
        "number": f"ROW()-ROW($A${HEADER_ROW})",
        "better": if_key(f"{among_same(less('order'))}+{among_same(equal_to('order'), less('cents'))}", "0"),
        "same": if_key(among_same(equal_to("order"), equal_to("cents"), less("number")), "0"),
        "winner": if_key(f"IF({cell('better')}+{cell('same')}=0,{cell('key')},{terms.MISSING})"),
        "best": if_key(f"MATCH({cell('key')},{column(labels, 'winner')},0)", "0"),
        "bought": f"IFERROR(MATCH({buying},{column(labels, 'winner')},0),0)",
        "in_machine": f"IF(AND({cell('bought')}>0,{cell('terms_no')}=terms_server),"
        f"IF(INDEX({column(labels, 'units')},{cell('bought')})>1,1,0),0)",
        "outcome": f"IF({cell('in_machine')}=1,{outcome('in_machine')},IF(ISNUMBER({cell('winner')}),{used},"
        f"{cell('lost')}))",
        "lost": if_key(
            f"IF({winner_kind}={cell('kind_no')},{outcome('another_offer')},IF({winner_kind}=1,{outcome('own_instead')},"
            f"{outcome('another_kind')}))"
        ),
        # Costs are computed from the offer, but Options, and so Plan, has no row that shows them.
        "no_options": f"IF(ISNUMBER({cell('winner')}),(1-{cell('in_machine')})*"
        f"(1-INDEX(gpu_has_options,{cell('gpu_row')})),0)",
        "step": if_key(f"ROUNDUP(MAX({cell('units')},{cell('lots')})/{cell('units')},0)*{cell('units')}"),
    }


def _validate(labels: Labels, ws: Worksheet, last: int) -> None:
    rules = {
        "gpu": list_rule("gpu_names"), "kind": list_rule("offer_kinds"), "terms": list_rule("offer_terms"),
        "vendor": text_rule(_LONGEST_TEXT), "quote": text_rule(_LONGEST_TEXT), "region": text_rule(_LONGEST_TEXT),
        "currency": text_rule(3), "source": text_rule(_LONGEST_TEXT), "note": text_rule(_LONGEST_TEXT),
        "date": date_rule(), "valid_until": date_rule(),
        **{key: between_rule("1", "offer_most_gpus", whole=True) for key in ("gpus", "smallest")},
        **{key: between_rule("0", "MAX(offer_most)*offer_most_gpus", whole=False) for key in ("low", "typical", "high")},
    }  # fmt: skip
    for key, rule in rules.items():
        cells = f"{_LETTER[key]}{FIRST_ROW}:{_LETTER[key]}{last}"
        prompt = labels(f"prompt.offer_{key}")
        validate(ws, cells, rule, title=header(labels, key), prompt=prompt, wrong_title=labels("prompt.wrong_title"))
        rule.allow_blank = True
