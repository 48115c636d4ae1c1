"""What a layout costs to own and to rent, from an order quantity to the month in which buying has paid off.

Money is float US dollars, time is months. Every formula is closed, so that a worksheet can restate it with functions of
Excel 2010; the restatement stands in the docstrings. Nothing is said here of latency or throughput.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from core.catalog.hardware import Gpu
from core.catalog.prices import GpuPrices, cost_defaults
from core.checks import Limits, number_within
from core.plan.fleet import Replica

MONTHS_PER_YEAR = 12
HOURS_PER_MONTH = 730  # 365 days × 24 hours ÷ 12, as cloud price lists reckon a month
W_PER_KW = 1000
_DECIMALS = 9  # before rounding up, so that 3.0000000000000004 stays 3

_SHARE = "Write a fraction, for example 0.1 for 10 %."
_MONEY = "Write US dollars, for example 30000."

# The upper limits are there to catch slips (cents for dollars, per cent for a fraction, watts for kilowatts).
COST_LIMITS: dict[str, Limits] = {
    "gpus": Limits(1, 10**6, True, "Write the number of GPUs, for example 8."),
    "nodes": Limits(1, 10**6, True, "Write the number of nodes, for example 1."),
    "rented_gpus": Limits(1, 10**6, True, "Write the number of GPUs to rent, for example 8."),
    "users": Limits(1, 10**8, True, "Write the number of concurrent users, for example 10."),
    "users_per_replica": Limits(1, 10**8, True, "Write the most concurrent users of a replica, for example 10."),
    "gpus_by_division": Limits(1, 10**6, True, "Write the number of GPUs, for example 8."),
    "tdp_w": Limits(1, 10**5, False, "Write the watts of one GPU, for example 700."),
    "gpu_usd": Limits(0.01, 10**7, False, _MONEY),
    "server_usd_per_node": Limits(0, 10**8, False, _MONEY),
    "on_demand_usd_per_gpu_hour": Limits(0, 10**4, False, "Write US dollars, for example 3.5."),
    "reserved_usd_per_gpu_hour": Limits(0, 10**4, False, "Write US dollars, for example 2.5."),
    "network_share": Limits(0, 5, False, _SHARE),
    "server_power_share": Limits(0, 5, False, "Write a fraction of the GPUs' power, for example 0.8 for 80 %."),
    "pue": Limits(1, 5, False, "Write the power usage effectiveness, for example 1.5."),
    "tariff_usd_per_kwh": Limits(0, 10, False, "Write US dollars, for example 0.12."),
    "power_load": Limits(0, 1, False, "Write a fraction of the rated power, for example 0.7."),
    "hosting_usd_per_kw_month": Limits(0, 10**5, False, "Write US dollars, for example 180."),
    "hosting_usd_per_node_month": Limits(0, 10**6, False, "Write US dollars, for example 1500."),
    "support_share_per_year": Limits(0, 1, False, _SHARE),
    "depreciation_years": Limits(1, 20, False, "Write years, for example 5."),
    "residual_share": Limits(0, 1, False, _SHARE),
    "discount_rate_per_year": Limits(0, 1, False, _SHARE),
    "horizon_months": Limits(1, 240, True, "Write months, for example 36."),
    "on_demand_hours_share": Limits(0, 1, False, "Write the fraction of hours that run, for example 0.4."),
    "headroom": Limits(0, 0.95, False, _SHARE),
    "whole_nodes": Limits(0, 1, True, "Write 1 for full nodes, or 0."),
    "spare_nodes": Limits(0, 10**4, True, "Write the number of nodes, for example 1 for N+1."),
    "spare_gpus": Limits(0, 10**5, True, "Write the number of GPUs, for example 0."),
}


# ---- the order quantity ------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class OrderPolicy:
    """How much more than the bare layout is bought.

    Attributes:
        headroom: share of the users' places that stay free.
        whole_nodes: whether nodes are bought full (HGX and OAM boards come with all their GPUs), or only with the GPUs
            that are used.
        spare_nodes: nodes beyond what the users need: 1 for N+1.
        spare_gpus: GPUs on the shelf.
    """

    headroom: float = 0.0
    whole_nodes: bool = True
    spare_nodes: int = 0
    spare_gpus: int = 0


@dataclass(frozen=True)
class OrderStep:
    """A bar of the waterfall: `key` names the step, `gpus` is the level after it, `added_gpus` the step itself."""

    key: str
    gpus: int
    added_gpus: int


@dataclass(frozen=True, kw_only=True)
class OrderQuantity:
    """From the least that could hold the model to what is ordered, in GPUs.

    Attributes:
        by_division: the total divided by a GPU's memory, rounded up.
        deployable: whole replicas that serve the users.
        with_headroom: whole replicas that serve them with places left.
        in_nodes: the same with full nodes, if nodes are bought full.
        with_spares: what is ordered.
        replicas: with headroom.
        nodes: ordered, spare ones included.
        rented_gpus: what has to run if it is rented: a provider replaces a failed machine and sells by the replica's
            node, so `in_nodes`.
    """

    by_division: int
    deployable: int
    with_headroom: int
    in_nodes: int
    with_spares: int
    replicas: int
    nodes: int

    @property
    def gpus(self) -> int:
        return self.with_spares

    @property
    def rented_gpus(self) -> int:
        return self.in_nodes

    @property
    def steps(self) -> tuple[OrderStep, ...]:
        """The bars in order; one goes down only where division asks for more than a layout by an engine's budget."""
        found, level = [], 0
        for key in ("by_division", "deployable", "with_headroom", "in_nodes", "with_spares"):
            gpus = getattr(self, key)
            found.append(OrderStep(key, gpus, gpus - level))
            level = gpus
        return tuple(found)


def comes_on_baseboards(gpu: Gpu) -> bool:
    """Whether the GPU is bought by the full node: modules on a common board (HGX, OAM) or a superchip, not PCIe cards.

    Source: an HGX board holds four or eight modules, and NVIDIA sells the board (amcompute.com/blog/hgx-dgx-mgx).
    """
    return gpu.form_factor.startswith(("SXM", "OAM", "superchip"))


def order_quantity(
    replica: Replica, *, users: int, users_per_replica: int, gpus_by_division: int, policy: OrderPolicy
) -> OrderQuantity:
    """How many GPUs to order so that `users` are served, and how it comes to that.

    In Excel, with g GPUs a replica and n GPUs a node:
    deployable = ROUNDUP(users/each,0)*g; replicas = ROUNDUP(ROUND(users/(each*(1-headroom)),9),0);
    with_headroom = replicas*g; nodes = IF(g>=n, replicas*ROUNDUP(g/n,0), ROUNDUP(replicas/INT(n/g),0));
    in_nodes = IF(whole_nodes, nodes*n, with_headroom);
    with_spares = in_nodes + spare_nodes*MIN(n,in_nodes) + spare_gpus.
    A spare node is as full as the fullest.

    Raises:
        PlannerError: an input is of the wrong type or out of range.
    """
    checked = _checked(
        users=users, users_per_replica=users_per_replica, gpus_by_division=gpus_by_division, headroom=policy.headroom,
        spare_nodes=policy.spare_nodes, spare_gpus=policy.spare_gpus,
    )  # fmt: skip
    users, each = int(checked["users"]), int(checked["users_per_replica"])
    replicas = _rounded_up(users / (each * (1 - checked["headroom"])))
    nodes = replica.nodes(replicas)
    with_headroom = replicas * replica.gpus
    in_nodes = nodes * replica.gpu.gpus_per_node if policy.whole_nodes else with_headroom
    spare_nodes = int(checked["spare_nodes"])
    spares = spare_nodes * min(replica.gpu.gpus_per_node, in_nodes) + int(checked["spare_gpus"])
    return OrderQuantity(
        by_division=int(checked["gpus_by_division"]),
        deployable=-(-users // each) * replica.gpus,
        with_headroom=with_headroom,
        in_nodes=in_nodes,
        with_spares=in_nodes + spares,
        replicas=replicas,
        nodes=nodes + spare_nodes,
    )


# ---- owning ------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Purchase:
    """What is bought, and for how much.

    Attributes:
        gpus, nodes: in all, spares included.
        tdp_w: rated power of one GPU.
        gpu_usd: price of one GPU.
        server_usd_per_node: price of a node without its GPUs.
    """

    gpus: int
    nodes: int
    tdp_w: float
    gpu_usd: float
    server_usd_per_node: float


@dataclass(frozen=True, kw_only=True)
class Assumptions:
    """What a whole comparison goes by. The defaults, each with its source, are `core.catalog.prices.cost_defaults`.

    Attributes:
        network_share: network, storage, racks and installation, as a share of GPUs and servers.
        server_power_share: rated power of the rest of a server, as a share of its GPUs' TDP.
        pue: power usage effectiveness: energy of the whole site ÷ energy of its IT equipment (ISO/IEC 30134-2).
        tariff_usd_per_kwh: price of electricity.
        power_load: mean power drawn ÷ rated power.
        hosting_usd_per_kw_month: of rated IT power; hosting_usd_per_node_month: of nodes. Both are added: leave at 0
            what does not apply, and the tariff at 0 where hosting includes electricity.
        support_share_per_year: maintenance and support, as a share of capex.
        depreciation_years, residual_share: straight line down to that share of capex.
        discount_rate_per_year: effective annual rate.
        horizon_months: how long is looked ahead.
        on_demand_hours_share: share of all hours that on-demand GPUs run; reserved ones are paid for all hours.
    """

    network_share: float
    server_power_share: float
    pue: float
    tariff_usd_per_kwh: float
    power_load: float
    hosting_usd_per_kw_month: float
    hosting_usd_per_node_month: float
    support_share_per_year: float
    depreciation_years: float
    residual_share: float
    discount_rate_per_year: float
    horizon_months: int
    on_demand_hours_share: float


@dataclass(frozen=True, kw_only=True)
class Owning:
    """What owning costs.

    Attributes:
        capex_usd: paid at the start.
        it_kw: rated power of GPUs and servers.
        depreciation_usd_per_month: straight line, while it lasts; power, hosting, support: cash each month.
        value_at_horizon_usd: book value at the end of the horizon.
        tco_usd: capex + horizon × cash each month − value at the horizon.
        npv_usd: the same discounted: a cost is positive.
    """

    capex_usd: float
    it_kw: float
    depreciation_usd_per_month: float
    power_usd_per_month: float
    hosting_usd_per_month: float
    support_usd_per_month: float
    value_at_horizon_usd: float
    tco_usd: float
    npv_usd: float

    @property
    def opex_usd_per_month(self) -> float:
        """Cash each month: power, hosting, support."""
        return self.power_usd_per_month + self.hosting_usd_per_month + self.support_usd_per_month

    @property
    def usd_per_month(self) -> float:
        """Depreciation and cash of a month."""
        return self.depreciation_usd_per_month + self.opex_usd_per_month


def default_assumptions() -> Assumptions:
    """What cost_defaults.csv says."""
    return Assumptions(**_defaults(Assumptions))


def default_policy() -> OrderPolicy:
    """What cost_defaults.csv says."""
    return OrderPolicy(**_defaults(OrderPolicy))


def server_usd_per_gpu(prices: GpuPrices) -> float | None:
    """The rest of a server for each of its GPUs: its price if that is known, else the usual share of the GPU's.

    None where neither is known. In Excel: IF(server<>"", server, IF(gpu<>"", gpu*server_share_of_gpus, "")).
    """
    if prices.server_per_gpu is not None:
        return prices.server_per_gpu.amount_usd
    if prices.purchase is None:
        return None
    return prices.purchase.amount_usd * cost_defaults()["server_share_of_gpus"].value


def owning(purchase: Purchase, assumptions: Assumptions) -> Owning:
    """What it costs to own what is bought.

    Raises:
        PlannerError: an input is of the wrong type or out of range.
    """
    checked_p, checked_a = _checked_all(purchase), _checked_all(assumptions)
    capex = capex_usd(checked_p, checked_a)
    it_kw = rated_it_kw(checked_p.gpus, checked_p.tdp_w, checked_a.server_power_share)
    power = power_usd_per_month(it_kw, checked_a)
    hosting = it_kw * checked_a.hosting_usd_per_kw_month + checked_p.nodes * checked_a.hosting_usd_per_node_month
    support = capex * checked_a.support_share_per_year / MONTHS_PER_YEAR
    value = book_value_usd(capex, checked_a, checked_a.horizon_months)
    opex = power + hosting + support
    return Owning(
        capex_usd=capex,
        it_kw=it_kw,
        depreciation_usd_per_month=(
            capex * (1 - checked_a.residual_share) / (checked_a.depreciation_years * MONTHS_PER_YEAR)
        ),
        power_usd_per_month=power,
        hosting_usd_per_month=hosting,
        support_usd_per_month=support,
        value_at_horizon_usd=value,
        tco_usd=capex + opex * checked_a.horizon_months - value,
        npv_usd=capex
        + present_value_usd(opex, checked_a)
        - value * discount_factor(checked_a.discount_rate_per_year, checked_a.horizon_months),
    )


def capex_usd(purchase: Purchase, assumptions: Assumptions) -> float:
    """(GPUs × price + nodes × price of a server) × (1 + network share)."""
    hardware = purchase.gpus * purchase.gpu_usd + purchase.nodes * purchase.server_usd_per_node
    return hardware * (1 + assumptions.network_share)


def rated_it_kw(gpus: int, tdp_w: float, server_power_share: float) -> float:
    """GPUs × TDP × (1 + the rest of the server), in kW."""
    return gpus * tdp_w * (1 + server_power_share) / W_PER_KW


def power_usd_per_month(it_kw: float, assumptions: Assumptions) -> float:
    """Rated IT power × mean load × PUE (ISO/IEC 30134-2) × tariff × 730 hours. Spares run like the rest."""
    return it_kw * assumptions.power_load * assumptions.pue * assumptions.tariff_usd_per_kwh * HOURS_PER_MONTH


def book_value_usd(capex: float, assumptions: Assumptions, months: int) -> float:
    """What straight-line depreciation leaves after `months`; the residual value from the end of its years on.

    In Excel: capex*(1-(1-residual)*MIN(1,months/(12*years))).
    """
    written_off = min(1.0, months / (assumptions.depreciation_years * MONTHS_PER_YEAR))
    return capex * (1 - (1 - assumptions.residual_share) * written_off)


def monthly_rate(rate_per_year: float) -> float:
    """The monthly rate that compounds to an effective annual rate: (1 + r)^(1/12) − 1."""
    return math.expm1(math.log1p(rate_per_year) / MONTHS_PER_YEAR)


def discount_factor(rate_per_year: float, months: int) -> float:
    """What a dollar after `months` is worth now: (1 + r)^(−months/12)."""
    return math.exp(-math.log1p(rate_per_year) * months / MONTHS_PER_YEAR)


def present_value_usd(usd_per_month: float, assumptions: Assumptions) -> float:
    """What a payment at the end of each month of the horizon is worth now: the ordinary annuity, a (1 − (1+i)^−n) / i.

    In Excel: -PV((1+r)^(1/12)-1, horizon, payment), which takes a rate of 0 as well.
    """
    months, rate = assumptions.horizon_months, monthly_rate(assumptions.discount_rate_per_year)
    if rate == 0:
        return usd_per_month * months
    return usd_per_month * -math.expm1(-months * math.log1p(rate)) / rate


# ---- renting -----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Rental:
    """What is rented, and for how much; a price of None is not offered.

    Attributes:
        rented_gpus: GPUs that run.
        on_demand_usd_per_gpu_hour: paid for the hours that run.
        reserved_usd_per_gpu_hour: paid for every hour, renewed at the same price until the horizon.
    """

    rented_gpus: int
    on_demand_usd_per_gpu_hour: float | None = None
    reserved_usd_per_gpu_hour: float | None = None


@dataclass(frozen=True, kw_only=True)
class Renting:
    """What renting costs.

    Attributes:
        on_demand_usd_per_month, reserved_usd_per_month: None where there is no such price.
        plan: "on_demand" or "reserved", whichever costs less.
        usd_per_month, tco_usd, npv_usd: of that one.
    """

    on_demand_usd_per_month: float | None
    reserved_usd_per_month: float | None
    plan: str
    usd_per_month: float
    tco_usd: float
    npv_usd: float


def renting(rental: Rental, assumptions: Assumptions) -> Renting | None:
    """What it costs to rent, GPUs × price × 730 hours × the share of hours paid; None where there is no price.

    Raises:
        PlannerError: an input is of the wrong type or out of range.
    """
    rental, assumptions = _checked_all(rental), _checked_all(assumptions)
    hours = rental.rented_gpus * HOURS_PER_MONTH
    on_demand = reserved = None
    if rental.on_demand_usd_per_gpu_hour is not None:
        on_demand = hours * rental.on_demand_usd_per_gpu_hour * assumptions.on_demand_hours_share
    if rental.reserved_usd_per_gpu_hour is not None:
        reserved = hours * rental.reserved_usd_per_gpu_hour
    offered = [(usd, plan) for usd, plan in ((on_demand, "on_demand"), (reserved, "reserved")) if usd is not None]
    if not offered:
        return None
    usd_per_month, plan = min(offered)
    return Renting(
        on_demand_usd_per_month=on_demand,
        reserved_usd_per_month=reserved,
        plan=plan,
        usd_per_month=usd_per_month,
        tco_usd=usd_per_month * assumptions.horizon_months,
        npv_usd=present_value_usd(usd_per_month, assumptions),
    )


# ---- one against the other ---------------------------------------------------------------------------


def break_even_month(owned: Owning, rented: Renting, horizon_months: int) -> int | None:
    """The first month by whose end owning has cost no more cash than renting; None if that is not within the horizon.

    Cash of owning is capex and what each month takes; in the last month what the equipment is then worth comes back.
    In Excel, with d = rent - opex: IF(d*horizon>=capex, MAX(1,ROUNDUP(ROUND(capex/d,9),0)),
    IF(tco_owning<=tco_renting, horizon, "none")).
    """
    saved = rented.usd_per_month - owned.opex_usd_per_month
    if saved > 0 and saved * horizon_months >= owned.capex_usd:
        return max(1, _rounded_up(owned.capex_usd / saved))
    return horizon_months if owned.tco_usd <= rented.tco_usd else None


def cheaper(owned: Owning, rented: Renting) -> str:
    """Whether to "buy" or to "rent": whichever costs less today, by net present value."""
    return "buy" if owned.npv_usd <= rented.npv_usd else "rent"


def usd_per_user_month(usd_per_month: float, users: int) -> float:
    """Cost of a month ÷ concurrent users."""
    return usd_per_month / number_within("users", users, COST_LIMITS["users"])


def _defaults(of: type[Assumptions | OrderPolicy]) -> dict[str, Any]:
    return {field.name: _default(field.name) for field in fields(of)}


def _default(field: str) -> float | int:
    value = number_within(field, cost_defaults()[field].value, COST_LIMITS[field])
    return bool(value) if field == "whole_nodes" else value


def _rounded_up(quotient: float) -> int:
    return math.ceil(round(quotient, _DECIMALS))


def _checked(**values: object) -> dict[str, Any]:
    return {field: number_within(field, value, COST_LIMITS[field]) for field, value in values.items()}


_Inputs = TypeVar("_Inputs", Purchase, Rental, Assumptions)


def _checked_all(inputs: _Inputs) -> _Inputs:
    """The same dataclass with each field within its limits; None, a price that is not offered, stays."""
    given = {field.name: getattr(inputs, field.name) for field in fields(inputs)}
    return type(inputs)(**given | _checked(**{name: value for name, value in given.items() if value is not None}))
