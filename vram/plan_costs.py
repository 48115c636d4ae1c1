"""Compute what the options of a plan cost to own and to rent, at indicative prices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

from core.catalog.offer_choice import ITEMS, GpuPrices, Price
from core.plan.costs import OptionCosts, option_costs
from core.plan.estimate import estimate
from core.plan.fleet import Option, Service, gpu_of_choice, gpus_by_division
from core.units import GB

COSTS_NOTE = "prices are indicative, replace with your quote"


def costs_by_option(
    service: Service, users: Mapping[Option, int], context: int, prices: Mapping[str, GpuPrices] | None = None
) -> dict[Option, OptionCosts]:
    """Return the costs of each option whose GPU is in the catalog.

    Args:
        users: the options, with the concurrent users of each.
        prices: those of each GPU; by the catalog's offers if omitted.
    """

    @cache
    def total_bytes(served: int) -> int:
        return estimate(
            service.model, context=context, users=served, precision=service.precision, kv_precision=service.kv_precision
        ).total_bytes

    costs = {}
    for option, served in users.items():
        choice = option.replica.gpu
        gpu = gpu_of_choice(choice)
        if gpu is not None:
            least = gpus_by_division(total_bytes(served), choice.memory_bytes / GB)
            costs[option] = option_costs(
                gpu, option, users=served, gpus_by_division=least, prices=prices[gpu.name] if prices else None
            )
    return costs


def _cents(usd: float | None) -> float | None:
    return None if usd is None else round(usd, 2)


def prices_in_words(prices: GpuPrices) -> Iterator[str]:
    """Yield each price with its terms, kind and vendor, and the spread over all kinds if there is one."""
    for item, price in prices.known.items():
        offer = price.offer
        who = ", ".join(
            part for part in (offer.kind, offer.vendor, f"quote {offer.quote}" if offer.quote else "") if part
        )
        spread = f"; all kinds {price.low_usd:,.2f} to {price.high_usd:,.2f}" if price.low_usd < price.high_usd else ""
        stale = ", stale" if price.is_stale else ""
        yield f"{ITEMS[item]} {price.usd:,.2f} ({who}{stale}{spread})"


def _price_as_dict(price: Price) -> dict[str, object]:
    offer = price.offer
    return {
        "usd": round(price.usd, 4),
        "low_usd": round(price.low_usd, 4),
        "high_usd": round(price.high_usd, 4),
        "kind": offer.kind,
        "vendor": offer.vendor,
        "quote": offer.quote,
        "date": str(offer.date or ""),
        "stale": price.is_stale,
        "in_multiples_of": price.step,
    }


def costs_as_dict(costs: OptionCosts | None) -> dict[str, object] | None:
    """Return the costs for JSON, in dollars and cents."""
    if costs is None:
        return None
    owned, rented = costs.owned, costs.rented
    return {
        "order_steps": {step.key: step.gpus for step in costs.order.steps},
        "order_nodes": costs.order.nodes,
        "rented_gpus": costs.order.rented_gpus,
        "owning": owned and {
            "capex_usd": round(owned.capex_usd, 2),
            "usd_per_month": round(owned.usd_per_month, 2),
            "usd_per_user_month": _cents(costs.owning_usd_per_user_month),
            "tco_usd": round(owned.tco_usd, 2),
            "npv_usd": round(owned.npv_usd, 2),
        },
        "renting": rented and {
            "plan": rented.plan,
            "usd_per_month": round(rented.usd_per_month, 2),
            "usd_per_user_month": _cents(costs.renting_usd_per_user_month),
            "tco_usd": round(rented.tco_usd, 2),
            "npv_usd": round(rented.npv_usd, 2),
        },
        "prices": {item: _price_as_dict(price) for item, price in costs.prices.known.items()},
        "break_even_month": costs.break_even_month,
        "cheaper": costs.cheaper,
        "note": COSTS_NOTE,
    }  # fmt: skip
