"""Compute the costs of an option on a GPU of the catalog, at indicative prices."""

from __future__ import annotations

from dataclasses import dataclass, replace

from core.catalog.hardware import Gpu
from core.catalog.prices import GpuPrices, Quote
from core.catalog.prices import prices as indicative_prices
from core.plan.costs import (
    Assumptions,
    OrderPolicy,
    OrderQuantity,
    Owning,
    Purchase,
    Rental,
    Renting,
    break_even_month,
    cheaper,
    comes_on_baseboards,
    default_assumptions,
    default_policy,
    order_quantity,
    owning,
    renting,
    server_usd_per_gpu,
    usd_per_user_month,
)
from core.plan.fleet import Option


@dataclass(frozen=True, kw_only=True)
class OptionCosts:
    """The costs of an option; None if a price or the GPU's power is unknown.

    Attributes:
        order: the order quantity with its steps.
        owned, rented: the costs of owning and of renting.
        owning_usd_per_user_month, renting_usd_per_user_month: costs per month and concurrent user.
        break_even_month: the month in which buying has paid off; None also if it is not within the horizon.
        cheaper: "buy" or "rent", by net present value.
    """

    order: OrderQuantity
    owned: Owning | None
    rented: Renting | None
    owning_usd_per_user_month: float | None
    renting_usd_per_user_month: float | None
    break_even_month: int | None
    cheaper: str | None


def option_costs(
    gpu: Gpu,
    option: Option,
    *,
    users: int,
    gpus_by_division: int,
    policy: OrderPolicy | None = None,
    assumptions: Assumptions | None = None,
    prices: GpuPrices | None = None,
) -> OptionCosts:
    """Return the costs of serving `users` by `option` on `gpu`.

    Args:
        gpus_by_division: the start of the waterfall (`fleet.gpus_by_division`).
        policy, assumptions, prices: the defaults are those of the data files. Nodes are bought full only if the policy
            says so and the GPU comes on a baseboard.

    Raises:
        PlannerError: an input has the wrong type or is out of range.
    """
    policy, assumptions = policy or default_policy(), assumptions or default_assumptions()
    prices = prices or indicative_prices(gpu.name)
    order = order_quantity(
        option.replica,
        users=users,
        users_per_replica=option.users_per_replica,
        gpus_by_division=gpus_by_division,
        policy=replace(policy, whole_nodes=policy.whole_nodes and comes_on_baseboards(gpu)),
    )
    owned = None
    server_usd = server_usd_per_gpu(prices)
    if prices.purchase is not None and server_usd is not None and gpu.tdp_w is not None:
        purchase = Purchase(
            gpus=order.gpus,
            nodes=order.nodes,
            tdp_w=gpu.tdp_w,
            gpu_usd=prices.purchase.amount_usd,
            server_usd_per_node=server_usd * option.replica.gpu.gpus_per_node,
        )
        owned = owning(purchase, assumptions)
    rental = Rental(
        rented_gpus=order.rented_gpus,
        on_demand_usd_per_gpu_hour=_usd(prices.on_demand_per_gpu_hour),
        reserved_usd_per_gpu_hour=_usd(prices.reserved_per_gpu_hour),
    )
    rented = renting(rental, assumptions)
    return OptionCosts(
        order=order,
        owned=owned,
        rented=rented,
        owning_usd_per_user_month=None if owned is None else usd_per_user_month(owned.usd_per_month, users),
        renting_usd_per_user_month=None if rented is None else usd_per_user_month(rented.usd_per_month, users),
        break_even_month=break_even_month(owned, rented, assumptions.horizon_months) if owned and rented else None,
        cheaper=cheaper(owned, rented) if owned and rented else None,
    )


def _usd(quote: Quote | None) -> float | None:
    return None if quote is None else quote.amount_usd
