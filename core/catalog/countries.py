"""Typical values of a country for a comparison of costs: electricity, PUE, hosting, CO₂ of its grid, tax, currency.

Each has its source and date; a value is blank where no source was found. They replace the defaults of
`core.catalog.prices.cost_defaults`, and a user's own bills and contracts replace them.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from functools import cache

from core.catalog.data_files import read_data
from core.catalog.prices import date_of, months_later
from core.checks import one_of

OLD_AFTER_MONTHS = 36  # a source older than three years is marked

# A country's tax is not among the assumptions that it sets: most businesses get VAT back, so that it is no cost.
_NOT_ASSUMED = ("exchange_rate", "standard_tax_rate")


@dataclass(frozen=True, kw_only=True)
class Preset:
    """One value of a country.

    Attributes:
        field: an assumption of `core.plan.costs`, "standard_tax_rate" (of VAT or sales tax), or "exchange_rate" (units
            of the country's currency for a US dollar).
        value: in `currency` if it is money; None where no source was found.
        currency: "EUR"; "" if it is not money.
        source: the page, or the statistic and the page that quotes it.
        as_of: "YYYY-MM-DD" or "YYYY-MM": the date of the source, or the end of the period that the value is of.
        note_en, note_zh: remarks.
    """

    field: str
    value: float | None
    currency: str
    source: str
    as_of: str
    note_en: str
    note_zh: str


@dataclass(frozen=True)
class Country:
    """A country's values by field."""

    name: str
    presets: dict[str, Preset]

    @property
    def currency(self) -> str:
        """The country's currency, "EUR"."""
        return self.presets["exchange_rate"].currency

    @property
    def assumptions(self) -> dict[str, float]:
        """The assumptions that are known, by name, in US dollars."""
        return {
            name: preset.value / _units_per_usd(preset)
            for name, preset in self.presets.items()
            if preset.value is not None and name not in _NOT_ASSUMED
        }


@cache
def countries() -> dict[str, Country]:
    """Return all countries by name: "us", "eu", "uk", "cn"."""
    presets: dict[str, dict[str, Preset]] = {}
    for row in read_data("countries.csv"):
        name, value = row.pop("country"), row.pop("value")
        preset = Preset(value=float(value) if value else None, **row)
        presets.setdefault(name, {})[preset.field] = preset
    return {name: Country(name, found) for name, found in presets.items()}


def country(name: object) -> Country:
    """Return the country of that name, in any case.

    Raises:
        WrongTypeError: `name` is not text.
        UnknownNameError: there is no such country.
    """
    return countries()[one_of("country", name, tuple(countries()))]


def is_old(as_of: str, today: datetime.date) -> bool:
    """Return whether a source dated "YYYY-MM-DD" or "YYYY-MM" is older than three years on `today`.

    Raises:
        ValueError: `as_of` is not such a date.
    """
    return months_later(date_of(as_of), OLD_AFTER_MONTHS) < today


def _units_per_usd(preset: Preset) -> float:
    if preset.currency in ("", "USD"):
        return 1
    rates = (found.presets["exchange_rate"] for found in countries().values())
    return next(rate.value for rate in rates if rate.currency == preset.currency and rate.value)
