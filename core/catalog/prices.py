"""The defaults of a cost comparison, each with its source and date. Prices of GPUs are in `core.catalog.offers`.

Users should replace them with their own contracts and bills.
"""

from __future__ import annotations

import datetime
from calendar import monthrange
from dataclasses import dataclass
from functools import cache

from core.catalog.data_files import read_data


@dataclass(frozen=True, kw_only=True)
class CostDefault:
    """One row of cost_defaults.csv: a value that a cost comparison uses until the user enters another.

    `value` is None where only the user knows it.
    """

    field: str
    value: float | None
    unit: str
    source: str
    as_of: str
    note: str


def date_of(as_of: str) -> datetime.date:
    """Return the date "YYYY-MM-DD", or the first day of the month "YYYY-MM".

    Raises:
        ValueError: `as_of` has neither form.
    """
    return datetime.date.fromisoformat(as_of if len(as_of) > len("YYYY-MM") else f"{as_of}-01")


def months_later(day: datetime.date, months: int) -> datetime.date:
    """Return the same day `months` later, or the last day of that month if it is shorter, like Excel's EDATE."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return datetime.date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


@cache
def cost_defaults() -> dict[str, CostDefault]:
    """Return all cost defaults by field."""
    return {row["field"]: _cost_default(row) for row in read_data("cost_defaults.csv")}


def _cost_default(row: dict[str, str]) -> CostDefault:
    return CostDefault(
        field=row["field"], value=float(row["value"]) if row["value"] else None, unit=row["unit"],
        source=row["source"], as_of=row["as_of"], note=row["note"],
    )  # fmt: skip
