"""Decide which offer counts for each GPU: one rule for every interface, and for the workbook's Prices sheet.

Of the offers of a GPU on the same terms, an own quote wins, the cheapest of those that are not stale first. Without an
own quote, the first kind in the order of preference counts, of it the newest offer, of that date the cheapest per GPU,
then the first row. So GPUs are compared within one kind where each has an offer of it. An offer that cannot be used
(a text for a price, an expired one, another currency) never counts, and its state says why.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from core.catalog.mig import gpu_or_slice, gpus_with_slices
from core.catalog.offers import (
    BUY,
    COMPARED,
    HYPERSCALER,
    KINDS,
    LIST,
    MOST_GPUS,
    ON_DEMAND,
    ONE_YEAR,
    OWN_QUOTE,
    PRICE_LIMITS,
    SERVER,
    SPECIALIST,
    STREET,
    TERMS,
    USD,
    Date,
    Number,
    Offer,
    catalog_offers,
)
from core.catalog.prices import cost_defaults, date_of, months_later

# Why an offer cannot count; of several, the last one is said.
PROBLEMS = (
    "not_compared", "other_currency", "expired", "bad_date", "out_of_range", "no_price", "text", "no_terms", "no_gpu",
)  # fmt: skip
# What becomes of the others.
OUTCOMES = ("used", "used_own", "used_stale", "used_own_stale", "own_instead", "another_kind", "another_offer",
            "in_machine")  # fmt: skip
STATES = (*PROBLEMS, *OUTCOMES)
_USED = frozenset(OUTCOMES[:4])

ITEMS: Mapping[str, str] = {
    "purchase": BUY, "server_per_gpu": SERVER, "on_demand_per_gpu_hour": ON_DEMAND, "reserved_per_gpu_hour": ONE_YEAR,
}  # fmt: skip
FIRST_DATE, LAST_DATE = datetime.date(2000, 1, 1), datetime.date(2099, 12, 31)
EPOCH = datetime.date(1899, 12, 30)  # day 0 of a spreadsheet program
KIND_STEP = 10**5  # above the days of any date
PER_USD = 10**4  # prices are compared in hundredths of a cent


@dataclass(frozen=True, kw_only=True)
class OfferPolicy:
    """How offers are compared.

    Attributes:
        plan_date: the day of the plan: offers valid until an earlier day have expired.
        stale_after_months: an older offer, or one without a date, is stale: it counts, and its state says so.
        rates: units of a currency per US dollar; offers in other currencies do not count.
        to_buy, to_rent: the kinds other than own quotes, in order of preference.
    """

    plan_date: datetime.date
    stale_after_months: int
    rates: Mapping[str, float] = field(default_factory=dict)
    to_buy: Sequence[str] = (LIST, STREET, SPECIALIST, HYPERSCALER)
    to_rent: Sequence[str] = (HYPERSCALER, SPECIALIST, LIST, STREET)

    def rank_of_kind(self, kind: str, terms: str) -> int:
        """Return the place of a kind in the order of preference: 0 for an own quote."""
        order = self.to_buy if terms in (BUY, SERVER) else self.to_rent
        return 0 if kind == OWN_QUOTE else 1 + list(order).index(kind)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """An offer and what becomes of it.

    Attributes:
        state: one of `STATES`.
        usd: US dollars per GPU, and hour if it is a rent; None if it has a problem.
        step: GPUs that are ordered or rented at least, and in multiples of; None if it has a problem.
        is_stale: whether it is older than the policy allows.
    """

    offer: Offer
    state: str
    usd: float | None = None
    step: int | None = None
    is_stale: bool = False

    @property
    def counts(self) -> bool:
        """Whether costs are computed from it."""
        return self.state in _USED


@dataclass(frozen=True, kw_only=True)
class Price:
    """The price of a GPU on some terms: the offer that counts, and the spread of all offers on these terms.

    Attributes:
        usd: US dollars per GPU, and hour if it is a rent.
        step: GPUs that are ordered or rented at least, and in multiples of.
        low_usd, high_usd: the lowest and highest price of the GPU on these terms, over all kinds.
    """

    offer: Offer
    usd: float
    step: int = 1
    is_stale: bool = False
    low_usd: float
    high_usd: float


@dataclass(frozen=True, kw_only=True)
class GpuPrices:
    """The prices of one GPU; None where no offer counts.

    Attributes:
        name: the GPU's name in gpus.csv.
        purchase: to buy one GPU.
        server_per_gpu: the rest of the server, per GPU; 0 if a machine is bought.
        on_demand_per_gpu_hour, reserved_per_gpu_hour: to rent without a commitment, and with one of a year.
    """

    name: str
    purchase: Price | None = None
    server_per_gpu: Price | None = None
    on_demand_per_gpu_hour: Price | None = None
    reserved_per_gpu_hour: Price | None = None

    @property
    def has_offer(self) -> bool:
        """Whether an offer to buy or to rent the GPU counts."""
        return any((self.purchase, self.on_demand_per_gpu_hour, self.reserved_per_gpu_hour))

    @property
    def known(self) -> Mapping[str, Price]:
        """The prices that are known, by item."""
        return {item: price for item in ITEMS if (price := getattr(self, item)) is not None}


def default_offer_policy() -> OfferPolicy:
    """Return the policy of the defaults; the plan's date is that of the newest of them."""
    defaults = cost_defaults()
    return OfferPolicy(
        plan_date=max(date_of(default.as_of) for default in defaults.values()),
        stale_after_months=int(defaults["stale_after_months"].value or 0),
    )


def judge(offers: Sequence[Offer], policy: OfferPolicy) -> list[Judged]:
    """Return what becomes of each offer, in the same order."""
    checked = [_checked(offer, policy) for offer in offers]
    best: dict[tuple[str, str], int] = {}
    for number, found in enumerate(checked):
        if found.usd is not None:
            key = _key(found.offer)
            if key not in best or _order(found, policy) < _order(checked[best[key]], policy):
                best[key] = number
    return [found if found.usd is None else _with_state(found, number, checked, best)
            for number, found in enumerate(checked)]  # fmt: skip


def prices_by_gpu(judged: Sequence[Judged]) -> dict[str, GpuPrices]:
    """Return the prices of every GPU and MIG slice of the catalog from judged offers."""
    on_terms: dict[tuple[str, str], list[Judged]] = {}
    for found in judged:
        if found.usd is not None:
            on_terms.setdefault(_key(found.offer), []).append(found)
    return {gpu.name: _gpu_prices(gpu.name, on_terms) for gpu in gpus_with_slices()}


def prices(gpu_name: object) -> GpuPrices:
    """Return the prices of a GPU or MIG slice, by the catalog's offers and the default policy.

    Raises:
        WrongTypeError, UnknownNameError: the same errors as `gpu_or_slice`.
    """
    return catalog_prices()[gpu_or_slice(gpu_name).name]


@cache
def catalog_prices() -> Mapping[str, GpuPrices]:
    """Return the prices of every GPU and MIG slice by the catalog's offers and the default policy."""
    return prices_by_gpu(judge(catalog_offers(), default_offer_policy()))


def _key(offer: Offer) -> tuple[str, str]:
    return offer.gpu.casefold(), offer.terms


def _gpu_prices(name: str, on_terms: Mapping[tuple[str, str], Sequence[Judged]]) -> GpuPrices:
    found = {item: _price(on_terms.get((name.casefold(), terms), ())) for item, terms in ITEMS.items()}
    purchase = found["purchase"]
    if purchase is not None and _is_machine(purchase.offer):
        found["server_per_gpu"] = replace(purchase, usd=0.0, low_usd=0.0, high_usd=0.0)
    return GpuPrices(name=name, **found)


def _price(offers: Sequence[Judged]) -> Price | None:
    for found in offers:
        if found.counts and found.usd is not None and found.step is not None:
            ends = [end for each in offers for end in _spread(each)]
            return Price(
                offer=found.offer, usd=found.usd, step=found.step, is_stale=found.is_stale, low_usd=min(ends),
                high_usd=max(ends),
            )  # fmt: skip
    return None


def _spread(found: Judged) -> list[float]:
    """Return the US dollars per GPU of the low, typical and high price of an offer."""
    offer, usd = found.offer, found.usd
    assert usd is not None and isinstance(offer.typical, (int, float))
    others = [end for end in (offer.low, offer.high) if isinstance(end, (int, float)) and offer.typical]
    return [usd, *(usd * end / offer.typical for end in others)]


def _is_machine(offer: Offer) -> bool:
    return isinstance(offer.gpus, (int, float)) and offer.gpus > 1


def _checked(offer: Offer, policy: OfferPolicy) -> Judged:
    """Return the offer with its problem, or with its price and step and no state yet."""
    rate = 1.0 if offer.currency == USD else policy.rates.get(offer.currency)
    problems = {
        "not_compared": offer.terms not in COMPARED,
        "other_currency": rate is None or not rate > 0,
        "expired": isinstance(offer.valid_until, datetime.date) and offer.valid_until < policy.plan_date,
        "bad_date": not (_is_date_or_blank(offer.date) and _is_date_or_blank(offer.valid_until)),
        "out_of_range": not _is_within(offer, rate),
        "no_price": offer.typical is None,
        "text": any(isinstance(value, str) for value in (offer.gpus, offer.smallest, offer.typical)),
        "no_terms": offer.kind not in KINDS or offer.terms not in TERMS,
        "no_gpu": offer.gpu.casefold() not in _names(),
    }
    for problem in reversed(PROBLEMS):
        if problems[problem]:
            return Judged(offer=offer, state=problem)
    assert rate is not None
    units, lots = _counts(offer)
    return Judged(
        offer=offer,
        state="",
        usd=_number(offer.typical) / units / rate,
        step=math.ceil(max(lots, units) / units) * int(units),
        is_stale=not isinstance(offer.date, datetime.date)
        or months_later(offer.date, policy.stale_after_months) < policy.plan_date,
    )


def _counts(offer: Offer) -> tuple[float, float]:
    """Return the GPUs that the price is for (1 for a blank), and the smallest order (those GPUs for a blank)."""
    units = _number(offer.gpus) or 1.0
    return units, _number(offer.smallest) or units


@cache
def _names() -> frozenset[str]:
    return frozenset(gpu.name.casefold() for gpu in gpus_with_slices())


def _number(value: Number) -> float:
    """Return a checked number; a blank is 0."""
    assert not isinstance(value, str)
    return value or 0.0


def _is_date_or_blank(value: Date) -> bool:
    return value is None or (isinstance(value, datetime.date) and FIRST_DATE <= value <= LAST_DATE)


def _is_within(offer: Offer, rate: float | None) -> bool:
    """Return whether the numbers are within their limits, where they are numbers."""
    if isinstance(offer.typical, str) or isinstance(offer.gpus, str) or isinstance(offer.smallest, str):
        return True
    counts = _counts(offer)
    if not all(1 <= count <= MOST_GPUS and count == int(count) for count in counts):
        return False
    least, most = PRICE_LIMITS.get(offer.terms, (0, 0))
    return offer.typical is None or least <= offer.typical / counts[0] / (rate or 1) <= most


def _order(found: Judged, policy: OfferPolicy) -> tuple[int, int]:
    """Return the sort key of an offer among those of its GPU on the same terms; the smallest counts."""
    offer, usd = found.offer, found.usd
    assert usd is not None
    if offer.kind == OWN_QUOTE:
        first = int(found.is_stale)
    else:
        days = (offer.date - EPOCH).days if isinstance(offer.date, datetime.date) else 0
        first = (policy.rank_of_kind(offer.kind, offer.terms) + 1) * KIND_STEP - days
    return first, math.floor(usd * PER_USD + 0.5)


def _with_state(found: Judged, number: int, checked: Sequence[Judged], best: Mapping[tuple[str, str], int]) -> Judged:
    offer = found.offer
    winner = checked[best[_key(offer)]].offer
    bought = best.get((offer.gpu.casefold(), BUY))
    if offer.terms == SERVER and bought is not None and _is_machine(checked[bought].offer):
        state = "in_machine"
    elif best[_key(offer)] == number:
        state = "used" + ("_own" if offer.kind == OWN_QUOTE else "") + ("_stale" if found.is_stale else "")
    elif offer.kind == winner.kind:
        state = "another_offer"
    else:
        state = "own_instead" if winner.kind == OWN_QUOTE else "another_kind"
    return replace(found, state=state)
