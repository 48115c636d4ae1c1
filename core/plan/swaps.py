"""Find what would change the order of two options: the value of an input, or the horizon, at which they cost the same.

Layouts, order quantities and the ways (buying, or the rent that is paid) are held. Net present cost is then linear in
the inputs of `LINEAR`, so two of its values give the line. Sheets compute the same from `core.plan.money.SLOPES` and
`SWAP`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from core.plan.costs import COST_LIMITS, rent_plan
from core.plan.money import BY_MONTH, OPTION_MONEY, RATES, SWAP

# Prices belong to one option; the tariff and the hours of use change both.
OF_BOTH = ("tariff_usd_per_kwh", "hours_per_day")
LINEAR = ("gpu_usd", "on_demand_usd_per_gpu_hour", "reserved_usd_per_gpu_hour", *OF_BOTH)
_PRICE_OF_WAY = dict(zip(("buy", "on_demand", "reserved"), LINEAR))


def way_of(figures: Mapping[str, Any]) -> str:
    """Return how an option is paid: "buy", "on_demand" or "reserved"; "" without a price.

    Args:
        figures: terms of `OPTION_MONEY`.
    """
    if figures["buys"] is None:
        return ""
    return "buy" if figures["buys"] else rent_plan(figures)


def swap_value(name: str, best: Mapping[str, Any], second: Mapping[str, Any], of: str = "both") -> float | None:
    """Return the value of an input at which two options have the same net present cost.

    Args:
        name: one of `LINEAR`.
        best, second: inputs of both, as `core.plan.costs.money_inputs` returns them.
        of: whose input changes: "best" or "second" for a price, "both" for the tariff and the hours of use.

    Returns:
        None if an option has no cost, the input does not change the difference, or it cannot have that value.
    """
    costs = [_cost_by_input(name, inputs, of in ("both", who)) for inputs, who in ((best, "best"), (second, "second"))]
    now = (second if of == "second" else best)[name]
    if now is None or None in costs:
        return None
    lowest, highest = limits_of(name, best)
    now = min(now, highest)
    first, here, last = ([cost(value) for cost in costs] for value in (lowest, now, highest))  # type: ignore[misc]
    slopes = [(after - before) / (highest - lowest) for before, after in zip(first, last)]
    given = {"now": now, "best_npc": here[0], "second_npc": here[1], "best_slope": slopes[0], "second_slope": slopes[1]}
    return SWAP.compute(given | {"lowest": lowest, "highest": highest})["swap_value"]  # type: ignore[return-value]


def limits_of(name: str, inputs: Mapping[str, Any]) -> tuple[float, float]:
    """Return the values of an input between which cost is linear: its limits; hours of use at most all of a month."""
    least, most = COST_LIMITS[name].least, COST_LIMITS[name].most
    if name == "hours_per_day" and inputs["days_per_month"]:
        most = min(most, inputs["hours_per_month"] / inputs["days_per_month"])
    return least, most


def crossing_month(best: Mapping[str, Any], second: Mapping[str, Any], most: int = 120) -> int | None:
    """Return the first horizon, in months, at which another of two options costs less than at a horizon of one month.

    Args:
        best, second: inputs of both, as `core.plan.costs.money_inputs` returns them; their ways are held.
        most: the longest horizon that is looked at.

    Returns:
        None if an option has no cost, or the same option costs less at every horizon.
    """
    given = [{**inputs, **OPTION_MONEY.compute(inputs), "api_month": None} for inputs in (best, second)]
    first = None
    for month in range(1, most + 1):
        costs = [BY_MONTH.compute(inputs | {"month": month})["npv_by"] for inputs in given]
        if None in costs:
            return None
        is_cheaper = costs[0] <= costs[1]  # type: ignore[operator]
        if first is None:
            first = is_cheaper
        if is_cheaper != first:
            return month
    return None


def _cost_by_input(name: str, inputs: Mapping[str, Any], changes: bool) -> Callable[[float], float] | None:
    """Return the net present cost of an option by the value of an input, its way held; None without a price."""
    way = way_of(OPTION_MONEY.compute(inputs))
    if not way:
        return None
    held = {price: inputs[price] if price == _PRICE_OF_WAY[way] else None for price in _PRICE_OF_WAY.values()}
    changes = changes and name in (*OF_BOTH, _PRICE_OF_WAY[way])

    def cost(value: float) -> float:
        given = {**inputs, **held, **({name: value} if changes else {})}
        return OPTION_MONEY.compute(given | RATES.compute(given))["net_present_cost"]  # type: ignore[return-value]

    return cost
