"""Indicative GPU prices and the defaults of a cost comparison, each with its source and date.

Users should replace them with their own quotes, contracts and bills.
"""

from __future__ import annotations

import csv
import datetime
import os
from calendar import monthrange
from dataclasses import dataclass
from functools import cache

from core import catalog


@dataclass(frozen=True, kw_only=True)
class Quote:
    """One price with its source and date.

    Attributes:
        amount_usd: the price in US dollars.
        source: the web page, price list or report.
        as_of: "YYYY-MM-DD", or "YYYY-MM".
        note: remarks.
    """

    amount_usd: float
    source: str
    as_of: str
    note: str


@dataclass(frozen=True, kw_only=True)
class GpuPrices:
    """The known prices of one GPU; None where no source was found.

    Attributes:
        name: the GPU's name in gpus.csv.
        purchase: the price of one GPU.
        server_per_gpu: the price of the rest of the server, divided by its number of GPUs.
        on_demand_per_gpu_hour, reserved_per_gpu_hour: cloud prices without a commitment, and with one of a year.
    """

    name: str
    purchase: Quote | None = None
    server_per_gpu: Quote | None = None
    on_demand_per_gpu_hour: Quote | None = None
    reserved_per_gpu_hour: Quote | None = None

    @property
    def has_offer(self) -> bool:
        """Whether a price to buy or to rent the GPU is known."""
        return any((self.purchase, self.on_demand_per_gpu_hour, self.reserved_per_gpu_hour))


@dataclass(frozen=True, kw_only=True)
class CostDefault:
    """One row of cost_defaults.csv: a value that a cost comparison uses until the user enters another."""

    field: str
    value: float
    unit: str
    source: str
    as_of: str
    note: str


ITEMS = ("purchase", "server_per_gpu", "on_demand_per_gpu_hour", "reserved_per_gpu_hour")


def prices(gpu_name: object) -> GpuPrices:
    """Return the indicative prices of the GPU with that name or alias.

    Raises:
        WrongTypeError, UnknownNameError: the same errors as `catalog.gpu`.
    """
    name = catalog.gpu(gpu_name).name
    return _prices_by_name().get(name, GpuPrices(name=name))


def is_stale(as_of: str, today: datetime.date, months: int) -> bool:
    """Return whether a price dated "YYYY-MM-DD" or "YYYY-MM" (its first day) is older than `months` on `today`.

    In Excel: EDATE(as_of, months) < today.

    Raises:
        ValueError: `as_of` is not such a date.
    """
    return months_later(date_of(as_of), months) < today


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
    return {row["field"]: _cost_default(row) for row in _read("cost_defaults.csv")}


def _cost_default(row: dict[str, str]) -> CostDefault:
    return CostDefault(
        field=row["field"], value=float(row["value"]), unit=row["unit"], source=row["source"], as_of=row["as_of"],
        note=row["note"],
    )  # fmt: skip


@cache
def _prices_by_name() -> dict[str, GpuPrices]:
    quotes: dict[str, dict[str, Quote]] = {}
    for row in _read("prices.csv"):
        quotes.setdefault(row["name"], {})[row["item"]] = Quote(
            amount_usd=float(row["amount_usd"]), source=row["source"], as_of=row["as_of"], note=row["note"]
        )
    return {name: GpuPrices(name=name, **items) for name, items in quotes.items()}


def _read(file: str) -> list[dict[str, str]]:
    with open(os.path.join(catalog.DATA_FOLDER, file), encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))
