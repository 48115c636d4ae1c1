"""What `vram plan --costs` adds: what each layout costs to own and to rent, at indicative prices."""

from __future__ import annotations

import math

from core import catalog
from core.errors import UnknownNameError
from core.plan.estimate import estimate
from core.plan.fleet import Option, Service, gpus_by_division, rank
from core.plan.layout_costs import OptionCosts, option_costs
from core.units import GB

COSTS_NOTE = "prices are indicative, replace with your quote"
LEGEND = "order: GPUs with headroom and spares; own, rent: USD a month; even: the month by which buying has paid off"
HEADINGS = ("GPU", "GPUs", "TP×PP", "order", "own", "rent", "even", "best")


def costs_by_layout(service: Service, found: list[Option], users: int, context: int) -> dict[Option, OptionCosts]:
    """What each layout costs; those of a GPU that the catalog does not have are left out."""
    total_bytes = estimate(
        service.model, context=context, users=users, precision=service.precision, kv_precision=service.kv_precision
    ).total_bytes
    costs = {}
    for layout in found:
        choice = layout.replica.gpu
        try:
            gpu = catalog.gpu(choice.name)
        except UnknownNameError:
            continue
        least = gpus_by_division(total_bytes, choice.memory_bytes / GB)
        costs[layout] = option_costs(gpu, layout, users=users, gpus_by_division=least)
    return costs


def cost_rank(costs: OptionCosts | None, layout: Option) -> tuple[float, ...]:
    """The cheapest month first, owned or rented; what has no price comes last, the smallest first."""
    months = [] if costs is None else [way.usd_per_month for way in (costs.owned, costs.rented) if way is not None]
    return (min(months, default=math.inf), *rank(layout))


def _cents(usd: float | None) -> float | None:
    return None if usd is None else round(usd, 2)


def costs_as_dict(costs: OptionCosts | None) -> dict[str, object] | None:
    """For JSON, in dollars and cents."""
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
        "break_even_month": costs.break_even_month,
        "cheaper": costs.cheaper,
        "note": COSTS_NOTE,
    }  # fmt: skip


def cost_cells(layout: Option, costs: OptionCosts | None) -> tuple[str, ...]:
    """The row under the headings; blank where nothing is known."""
    replica = layout.replica
    cells = (replica.gpu.name, f"{layout.gpus:,}", f"{replica.tp}×{replica.pp}")
    if costs is None:
        return cells
    owned, rented = costs.owned, costs.rented
    return (
        *cells,
        f"{costs.order.gpus:,}",
        "" if owned is None else f"{owned.usd_per_month:,.0f}",
        "" if rented is None else f"{rented.usd_per_month:,.0f}",
        "" if costs.break_even_month is None else f"{costs.break_even_month}",
        costs.cheaper or "",
    )
