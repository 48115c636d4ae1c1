"""Indicative prices of GPUs, and the defaults of a cost comparison, each with its source and its date.

They are there to be replaced: by a quote, a contract, a bill.
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
    """One price, and where and when it was seen.

    Attributes:
        amount_usd: what the item costs.
        source: the page, price list or report.
        as_of: "YYYY-MM-DD", or "YYYY-MM".
        note: what to know about it.
    """

    amount_usd: float
    source: str
    as_of: str
    note: str


@dataclass(frozen=True, kw_only=True)
class GpuPrices:
    """What is known of one GPU's prices; None where no source was found.

    Attributes:
        name: as in gpus.csv.
        purchase: one GPU.
        server_per_gpu: the rest of a server, divided by its GPUs.
        on_demand_per_gpu_hour, reserved_per_gpu_hour: in a cloud, without a commitment and with one of a year.
    """

    name: str
    purchase: Quote | None = None
    server_per_gpu: Quote | None = None
    on_demand_per_gpu_hour: Quote | None = None
    reserved_per_gpu_hour: Quote | None = None


@dataclass(frozen=True, kw_only=True)
class CostDefault:
    """One row of cost_defaults.csv: what a comparison goes by until the user knows better."""

    field: str
    value: float
    unit: str
    source: str
    as_of: str
    note: str


ITEMS = ("purchase", "server_per_gpu", "on_demand_per_gpu_hour", "reserved_per_gpu_hour")


def prices(gpu_name: object) -> GpuPrices:
    """The indicative prices of the catalog's GPU of that name or alias.

    Raises:
        WrongTypeError, UnknownNameError: as `catalog.gpu` does.
    """
    name = catalog.gpu(gpu_name).name
    return _prices_by_name().get(name, GpuPrices(name=name))


def is_stale(as_of: str, today: datetime.date, months: int) -> bool:
    """Whether a price "YYYY-MM-DD" or "YYYY-MM" (from the month's first day) is older than `months` on `today`.

    In Excel: EDATE(as_of, months) < today. The day is given, never taken from the clock.

    Raises:
        ValueError: `as_of` is no such date.
    """
    return months_later(date_of(as_of), months) < today


def date_of(as_of: str) -> datetime.date:
    """The day that "YYYY-MM-DD" or "YYYY-MM" stands for, a month for its first.

    Raises:
        ValueError: it is neither.
    """
    return datetime.date.fromisoformat(as_of if len(as_of) > len("YYYY-MM") else f"{as_of}-01")


def months_later(day: datetime.date, months: int) -> datetime.date:
    """The same day so many months later, or the last of a month that is too short, as Excel's EDATE."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return datetime.date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


@cache
def cost_defaults() -> dict[str, CostDefault]:
    """Every default, by its field."""
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
