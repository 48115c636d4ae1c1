"""Offers: prices of GPUs with vendor, terms and date. The catalog's are in data/offers.csv; users add their quotes.

The GeForce driver excludes data centres: NVIDIA, "License For Customer Use of NVIDIA GeForce Software", 2.1.3
(nvidia.com/en-us/drivers/geforce-license; the clause as quoted in
deeptalk.lambdalabs.com/t/nvidia-geforce-datacenter-ban-january-eula-change/138).
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache

from core import catalog
from core.catalog.data_files import read_data
from core.catalog.machines import machine_named
from core.catalog.prices import date_of
from core.errors import PlannerError, UnknownNameError, unknown_name

OWN_QUOTE, LIST, STREET, HYPERSCALER, SPECIALIST = KINDS = (
    "own quote", "list", "street", "hyperscaler", "specialist cloud"
)  # fmt: skip
BUY, SERVER, ON_DEMAND, ONE_YEAR, THREE_YEARS, SPOT = TERMS = (
    "buy", "server", "rent on demand", "rent 1 year", "rent 3 years", "spot"
)  # fmt: skip
COMPARED = (BUY, SERVER, ON_DEMAND, ONE_YEAR)  # what owning and renting are computed from
USD = "USD"

# Least and most US dollars per GPU, to catch cents for dollars; renting is per hour.
PRICE_LIMITS: Mapping[str, tuple[float, float]] = {
    BUY: (0.01, 10**7), SERVER: (0, 10**8), **dict.fromkeys((ON_DEMAND, ONE_YEAR, THREE_YEARS, SPOT), (0, 10**4)),
}  # fmt: skip
MOST_OFFERS = 1000  # of a user's file: the Prices sheet compares each offer with all others
MOST_GPUS = 10**4  # of one machine, or of a smallest order
LICENCE_NOTE = "GeForce driver licence: not for data centres"

Number = float | str | None
"""A number, a text where a number is missing, or None for a blank."""
Date = datetime.date | str | None


@dataclass(frozen=True, kw_only=True)
class Offer:
    """One price of one GPU or machine.

    Numbers and dates hold what the user wrote, so that a text in place of a number can be shown as an error.

    Attributes:
        gpu: the GPU's name in gpus.csv.
        gpus: the number of GPUs that the price is for: 1, also for a blank; 8 for a machine of eight with its server.
        vendor, quote: who offers it, and the number of the quote.
        kind: one of `KINDS`.
        terms: one of `TERMS`; "server" is the rest of a server without its GPUs.
        region: where it is sold or hosted.
        date, valid_until: when it was made, and its last day; None if it is not known or does not end.
        smallest: GPUs that are sold or rented at least; orders are multiples of it. None: `gpus`.
        low, typical, high: the price in `currency`, per hour if it is a rent. Costs use `typical`.
        currency: three letters.
        source: the web page, price list or quote.
        note: remarks.
    """

    gpu: str
    gpus: Number = 1
    vendor: str = ""
    quote: str = ""
    kind: str
    terms: str
    region: str = ""
    date: Date = None
    valid_until: Date = None
    smallest: Number = None
    low: Number = None
    typical: Number
    high: Number = None
    currency: str = USD
    source: str = ""
    note: str = ""


COLUMNS = tuple(field.name for field in fields(Offer))
NUMBERS = ("gpus", "smallest", "low", "typical", "high")
DATES = ("date", "valid_until")
_REQUIRED = ("gpu", "kind", "terms", "typical")


@cache
def catalog_offers() -> tuple[Offer, ...]:
    """Return the offers of data/offers.csv, in file order."""
    return tuple(offers_of_rows(read_data("offers.csv")))


def offers_of_rows(rows: Iterable[Mapping[str, str | None]]) -> Iterator[Offer]:
    """Yield the offers of CSV rows with the columns `COLUMNS`; blank rows are skipped.

    Raises:
        PlannerError: a column is missing, or a GPU, a kind or terms are not known; the message names the row.
    """
    for number, row in enumerate(rows, start=2):  # the header is row 1
        missing = [column for column in _REQUIRED if column not in row]
        if missing:
            raise PlannerError("header", f"it has no column {missing[0]}", f"Name the columns {', '.join(COLUMNS)}.")
        if any((row.get(column) or "").strip() for column in COLUMNS):
            yield offer_of_row(number, row)


def with_offers(given: Iterable[Offer]) -> tuple[Offer, ...]:
    """Return the catalog's offers and those of a user, for `core.catalog.offer_choice.judge`."""
    return (*catalog_offers(), *given)


def gpus_compared(offers: Iterable[Offer]) -> frozenset[str]:
    """Return the names of the GPUs that offers to buy or to rent name.

    Offers that cannot count are among them: one in another currency counts once its exchange rate is entered.
    """
    return frozenset(offer.gpu for offer in offers if offer.terms in COMPARED and offer.terms != SERVER)


def row_of(offer: Offer) -> dict[str, str]:
    """Return the CSV row of an offer: column → text."""
    return {column: _text(getattr(offer, column)) for column in COLUMNS}


def licence_note(gpu_name: str) -> str:
    """Return what the licence of a GPU's driver excludes; "" if nothing."""
    return LICENCE_NOTE if "GeForce" in catalog.gpu(gpu_name).title else ""


def offer_of_row(number: int, row: Mapping[str, str | None]) -> Offer:
    """Return the offer of a CSV row.

    Args:
        number: of the row, for error messages.

    Raises:
        UnknownNameError: the GPU, the kind or the terms are not known.
    """
    texts = {column: (row.get(column) or "").strip() for column in COLUMNS}
    machine = machine_named(texts["gpu"])
    if machine is not None and not texts["gpus"]:
        texts["gpus"] = str(machine.gpus)
    try:
        given: dict[str, object] = {
            **texts,
            "gpu": catalog.gpu(texts["gpu"]).name,
            "kind": _one_of("kind", texts["kind"], KINDS),
            "terms": _one_of("terms", texts["terms"], TERMS),
            "currency": texts["currency"].upper() or USD,
            **{name: number_or_text(texts[name]) for name in NUMBERS},
            **{name: date_or_text(texts[name]) for name in DATES},
        }
    except UnknownNameError as error:
        raise UnknownNameError(f"row {number}, {error.field}", error.problem, error.remedy) from error
    return Offer(**given)  # type: ignore[arg-type]


def _one_of(field: str, text: str, known: tuple[str, ...]) -> str:
    name = text.casefold()
    if name not in known:
        raise unknown_name(field, text, known, f"this list: {', '.join(known)}")
    return name


def number_or_text(text: str) -> Number:
    """Return the number that a text of a CSV file stands for, None for a blank, else the text itself."""
    if not text:
        return None
    try:
        found = float(text)
    except ValueError:
        return text
    return found if abs(found) < float("inf") else text


def date_or_text(text: str) -> Date:
    """Return the date "YYYY-MM-DD" or "YYYY-MM" (its first day), None for a blank, else the text itself."""
    try:
        return date_of(text) if text else None
    except ValueError:
        return text


def _text(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.15g}" if isinstance(value, (int, float)) else str(value)
