"""Read the offers of a filled planner, and decide by the same rule as its Prices sheet which of them count."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from openpyxl import Workbook
from openpyxl.utils import range_boundaries

from core.catalog.offer_choice import (
    EPOCH,
    PROBLEMS,
    GpuPrices,
    OfferPolicy,
    default_offer_policy,
    judge,
    prices_by_gpu,
)
from core.catalog.offers import DATES, KINDS, NUMBERS, OWN_QUOTE, TERMS, USD, Date, Number, Offer
from workbook.labels import LANGUAGES, Labels
from workbook.offers import key_of, label_of
from workbook.scenario import plain_header
from workbook.sheets import prices

_MISTAKES = frozenset(PROBLEMS) - {"not_compared", "other_currency"}
_TEXTS = ("gpu", "vendor", "quote", "region", "source", "note")
_COLUMN_BY_HEADER = {
    plain_header(prices.header(Labels(lang), key)): key
    for lang in LANGUAGES
    for key in (*prices.INPUT_KEYS, "source", "note")
}


@dataclass(frozen=True)
class FilledPrices:
    """The offers of a filled planner.

    Attributes:
        by_gpu: the prices of every GPU, from the offers that count.
        problems: a line for each offer that cannot count because of a mistake in it, or because it has expired.
        as_of: the date of the plan, by which offers are stale or expired.
    """

    by_gpu: Mapping[str, GpuPrices]
    problems: tuple[str, ...]
    as_of: datetime.date


def filled_prices(values: Workbook, sheet: str, area: str) -> FilledPrices:
    """Return the prices of a filled planner.

    Args:
        values: the planner, opened read-only for its values.
        sheet, area: where its table of prices is.
    """
    rows = dict(_offers(values, sheet, area))
    policy = _policy(values)
    judged = judge(list(rows.values()), policy)
    problems = tuple(
        f"{sheet} row {number}: {label_of(Labels('en'), 'problem', found.state).lstrip('▲ ')}"
        for number, found in zip(rows, judged)
        if found.state in _MISTAKES
    )
    return FilledPrices(prices_by_gpu(judged), problems, policy.plan_date)


def _offers(values: Workbook, sheet: str, area: str) -> Iterator[tuple[int, Offer]]:
    """Yield (row of the sheet, offer)."""
    first_column, first_row, last_column, last_row = range_boundaries(area)
    ws = values[sheet]
    ws.reset_dimensions()
    rows = ws.iter_rows(
        min_row=first_row, max_row=last_row, min_col=first_column, max_col=last_column, values_only=True
    )
    columns = [_COLUMN_BY_HEADER.get(plain_header(str(text or ""))) for text in next(rows, ())]
    for number, cells in enumerate(rows, start=first_row + 1):
        row = {key: cell for key, cell in zip(columns, cells) if key}
        if any(cell not in (None, "") for key, cell in row.items() if key not in ("currency", "source", "note")):
            yield number, _offer(row)


def _offer(row: Mapping[str, object]) -> Offer:
    given: dict[str, Any] = {name: str(row.get(name) or "") for name in _TEXTS}
    given |= {name: _number(row.get(name)) for name in NUMBERS} | {name: _date(row.get(name)) for name in DATES}
    return Offer(
        **given,
        kind=key_of("kind", row.get("kind"), KINDS),
        terms=key_of("terms", row.get("terms"), TERMS),
        currency=str(row.get("currency") or USD).upper(),
    )


def _number(value: object) -> Number:
    """Return a cell's number; None for a blank, a text for anything else."""
    if value is None or value == "":
        return None
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)


def _date(value: object) -> Date:
    """Return a cell's date; None for a blank, a text for anything else."""
    number = _number(value)
    if isinstance(value, datetime.datetime):
        return value.date()
    if isinstance(number, (int, float)) and 0 <= number < (datetime.date.max - EPOCH).days:
        return EPOCH + datetime.timedelta(days=int(number))
    return None if number is None else str(value)


def _policy(values: Workbook) -> OfferPolicy:
    """Return the policy of the planner's own cells; of one that cannot be used, the default."""
    policy = default_offer_policy()
    plan_date = _date(_cell(values, "plan_date"))
    months, rate = (_number(_cell(values, name)) for name in ("stale_after_months", "offer_exchange_rate"))
    if isinstance(plan_date, datetime.date):
        policy = replace(policy, plan_date=plan_date)
    if isinstance(months, (int, float)):
        policy = replace(policy, stale_after_months=int(months))
    if isinstance(rate, (int, float)):
        policy = replace(policy, rates={str(_cell(values, "offer_currency") or "").upper(): rate})
    ranks = [row for row in cells_named(values, "offer_ranks") if all(isinstance(rank, (int, float)) for rank in row)]
    if len(ranks) == len(KINDS):
        to_buy, to_rent = (
            [kind for _, kind in sorted(zip(of_way, KINDS)) if kind != OWN_QUOTE] for of_way in zip(*ranks)
        )
        policy = replace(policy, to_buy=to_buy, to_rent=to_rent)
    return policy


def _cell(values: Workbook, name: str) -> object:
    return next((row[0] for row in cells_named(values, name)), None)


def cells_named(values: Workbook, name: str) -> Sequence[tuple[object, ...]]:
    """Return the rows of a defined name; none if it is not there."""
    found = values.defined_names.get(name)
    for sheet, area in found.destinations if found else ():
        if sheet in values.sheetnames:
            left, top, right, bottom = range_boundaries(area)
            ws = values[sheet]
            ws.reset_dimensions()
            return list(ws.iter_rows(min_row=top, max_row=bottom, min_col=left, max_col=right, values_only=True))
    return []
