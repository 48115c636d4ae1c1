"""Show what the options of a plan cost to own and to rent, at indicative prices."""

from __future__ import annotations

from collections.abc import Iterator

from core.catalog.offer_choice import ITEMS, GpuPrices, Price
from core.plan.costs import OptionCosts

COSTS_NOTE = "prices are indicative, replace with your quote"
# Figures of the way chosen, and of an API: key in JSON → term of `core.plan.money.OUTCOME`.
_OUTCOME = {
    "cash_at_start_usd": "start_cash",
    "tax_at_start_usd": "start_tax",
    "residual_value_usd": "end_value",
    "usd_per_month": "cost_month",
    "tax_usd_per_month": "month_tax",
    "usd_per_person_month": "person_month",
    "million_output_tokens_per_month": "output_million",
    "usd_per_million_output_tokens": "million_cost",
    "energy_kwh_per_month": "energy_kwh",
    "co2_kg_per_month": "co2_kg",
    "api_usd_per_month": "api_month",
    "api_npv_usd": "api_npv",
}


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
        "way": costs.way,
        **{key: _cents(costs.outcome[name]) for key, name in _OUTCOME.items()},
        "note": COSTS_NOTE,
    }  # fmt: skip
