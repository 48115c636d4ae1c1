"""Compute the costs of owning and renting GPUs, from the order quantity to the month in which buying has paid off.

Money is in float US dollars, time in months. Every formula has a closed form, so that a worksheet can compute it with
functions of Excel 2010; docstrings give the Excel formula. Latency and throughput are not considered.
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
HOURS_PER_MONTH = 730  # 365 days × 24 hours ÷ 12, as in cloud price lists
W_PER_KW = 1000
_DECIMALS = 9  # rounds to these before rounding up, so that 3.0000000000000004 remains 3

_SHARE = "Write a fraction, for example 0.1 for 10 %."
_MONEY = "Write US dollars, for example 30000."

# The upper limits catch mistakes (cents for dollars, per cent for a fraction, watts for kilowatts).
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
    """The GPUs to buy in addition to those that the users need.

    Attributes:
        headroom: share of the user capacity that must remain unused.
        whole_nodes: whether nodes are bought full (HGX and OAM boards come with all their GPUs), or only with the GPUs
            that are used.
        spare_nodes: nodes beyond those that the users need: 1 for N+1.
        spare_gpus: GPUs in stock.
    """

    headroom: float = 0.0
    whole_nodes: bool = True
    spare_nodes: int = 0
    spare_gpus: int = 0


@dataclass(frozen=True)
class OrderStep:
    """One bar of the waterfall chart: the step `key`, the total `gpus` after it, and the `added_gpus` of the step."""

    key: str
    gpus: int
    added_gpus: int


@dataclass(frozen=True, kw_only=True)
class OrderQuantity:
    """The steps from the fewest GPUs that could hold the model to the GPUs to order.

    Attributes:
        by_division: the total memory divided by a GPU's memory, rounded up.
        deployable: GPUs of whole replicas for the users.
        with_headroom: GPUs of whole replicas for the users and the headroom.
        in_nodes: the same in full nodes, if nodes are bought full.
        with_spares: the GPUs to order.
        replicas: the number of replicas with headroom.
        nodes: the nodes to order, including spares.
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
        """Return the GPUs to rent: the provider replaces failed machines and rents by node, so without spares."""
        return self.in_nodes

    @property
    def steps(self) -> tuple[OrderStep, ...]:
        """Return the bars in order; GPUs decrease only if an engine's budget needs fewer than the division."""
        steps, previous = [], 0
        for key in ("by_division", "deployable", "with_headroom", "in_nodes", "with_spares"):
            gpus = getattr(self, key)
            steps.append(OrderStep(key, gpus, gpus - previous))
            previous = gpus
        return tuple(steps)


def comes_on_baseboards(gpu: Gpu) -> bool:
    """Return whether the GPU is sold only in full nodes: on a board (HGX, OAM) or in a superchip, not as a PCIe card.

    Source: an HGX board holds four or eight modules, and NVIDIA sells the board (amcompute.com/blog/hgx-dgx-mgx).
    """
    return gpu.form_factor.startswith(("SXM", "OAM", "superchip"))


def order_quantity(
    replica: Replica, *, users: int, users_per_replica: int, gpus_by_division: int, policy: OrderPolicy
) -> OrderQuantity:
    """Return the GPUs to order for `users`, with the steps to that number.

    In Excel, with g GPUs per replica and n GPUs per node:
    deployable = ROUNDUP(users/each,0)*g; replicas = ROUNDUP(ROUND(users/(each*(1-headroom)),9),0);
    with_headroom = replicas*g; nodes = IF(g>=n, replicas*ROUNDUP(g/n,0), ROUNDUP(replicas/INT(n/g),0));
    in_nodes = IF(whole_nodes, nodes*n, with_headroom);
    with_spares = in_nodes + spare_nodes*MIN(n,in_nodes) + spare_gpus.
    A spare node has as many GPUs as the fullest node.

    Raises:
        PlannerError: an input has the wrong type or is out of range.
    """
    checked = _checked(
        users=users, users_per_replica=users_per_replica, gpus_by_division=gpus_by_division, headroom=policy.headroom,
        spare_nodes=policy.spare_nodes, spare_gpus=policy.spare_gpus,
    )  # fmt: skip
    users, per_replica = int(checked["users"]), int(checked["users_per_replica"])
    replicas = _rounded_up(users / (per_replica * (1 - checked["headroom"])))
    nodes = replica.nodes(replicas)
    with_headroom = replicas * replica.gpus
    in_nodes = nodes * replica.gpu.gpus_per_node if policy.whole_nodes else with_headroom
    spare_nodes = int(checked["spare_nodes"])
    spares = spare_nodes * min(replica.gpu.gpus_per_node, in_nodes) + int(checked["spare_gpus"])
    return OrderQuantity(
        by_division=int(checked["gpus_by_division"]),
        deployable=-(-users // per_replica) * replica.gpus,
        with_headroom=with_headroom,
        in_nodes=in_nodes,
        with_spares=in_nodes + spares,
        replicas=replicas,
        nodes=nodes + spare_nodes,
    )


# ---- owning ------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Purchase:
    """The hardware to buy and its prices.

    Attributes:
        gpus, nodes: totals, including spares.
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
    """The assumptions of a comparison. The defaults, with their sources, are `core.catalog.prices.cost_defaults`.

    Attributes:
        network_share: network, storage, racks and installation, as a share of GPUs and servers.
        server_power_share: rated power of the rest of a server, as a share of its GPUs' TDP.
        pue: power usage effectiveness: energy of the whole site ÷ energy of its IT equipment (ISO/IEC 30134-2).
        tariff_usd_per_kwh: price of electricity.
        power_load: mean power drawn ÷ rated power.
        hosting_usd_per_kw_month, hosting_usd_per_node_month: prices of hosting per kW of rated IT power and per node;
            both are added. Set those that do not apply to 0, and the tariff to 0 if hosting includes electricity.
        support_share_per_year: maintenance and support, as a share of capex.
        depreciation_years, residual_share: straight-line depreciation down to that share of capex.
        discount_rate_per_year: effective annual rate.
        horizon_months: the period of the comparison.
        on_demand_hours_share: share of all hours in which on-demand GPUs run; reserved GPUs are paid for all hours.
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
    """The costs of owning.

    Attributes:
        capex_usd: the payment at the start.
        it_kw: rated power of GPUs and servers.
        depreciation_usd_per_month: straight-line depreciation in the years of depreciation.
        power_usd_per_month, hosting_usd_per_month, support_usd_per_month: payments per month.
        value_at_horizon_usd: book value at the end of the horizon.
        tco_usd: capex + horizon × payments per month − value at the horizon.
        npv_usd: the same, discounted; a cost is positive.
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
        """Return the payments per month: power, hosting, support."""
        return self.power_usd_per_month + self.hosting_usd_per_month + self.support_usd_per_month

    @property
    def usd_per_month(self) -> float:
        """Return depreciation and payments per month."""
        return self.depreciation_usd_per_month + self.opex_usd_per_month


def default_assumptions() -> Assumptions:
    """Return the assumptions in cost_defaults.csv."""
    return Assumptions(**_defaults(Assumptions))


def default_policy() -> OrderPolicy:
    """Return the policy in cost_defaults.csv."""
    return OrderPolicy(**_defaults(OrderPolicy))


def server_usd_per_gpu(prices: GpuPrices) -> float | None:
    """Return the price of a server without GPUs, per GPU; if it is unknown, the usual share of the GPU's price.

    None if both are unknown. In Excel: IF(server<>"", server, IF(gpu<>"", gpu*server_share_of_gpus, "")).
    """
    if prices.server_per_gpu is not None:
        return prices.server_per_gpu.amount_usd
    if prices.purchase is None:
        return None
    return prices.purchase.amount_usd * cost_defaults()["server_share_of_gpus"].value


def owning(purchase: Purchase, assumptions: Assumptions) -> Owning:
    """Return the costs of owning `purchase`.

    Raises:
        PlannerError: an input has the wrong type or is out of range.
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
    """Return (GPUs × price + nodes × price of a server) × (1 + network share)."""
    hardware = purchase.gpus * purchase.gpu_usd + purchase.nodes * purchase.server_usd_per_node
    return hardware * (1 + assumptions.network_share)


def rated_it_kw(gpus: int, tdp_w: float, server_power_share: float) -> float:
    """Return GPUs × TDP × (1 + share of the rest of the server), in kW."""
    return gpus * tdp_w * (1 + server_power_share) / W_PER_KW


def power_usd_per_month(it_kw: float, assumptions: Assumptions) -> float:
    """Return rated IT power × mean load × PUE (ISO/IEC 30134-2) × tariff × 730 hours. Spares run too."""
    return it_kw * assumptions.power_load * assumptions.pue * assumptions.tariff_usd_per_kwh * HOURS_PER_MONTH


def book_value_usd(capex: float, assumptions: Assumptions, months: int) -> float:
    """Return the value after `months` of straight-line depreciation; after the last year, the residual value.

    In Excel: capex*(1-(1-residual)*MIN(1,months/(12*years))).
    """
    written_off = min(1.0, months / (assumptions.depreciation_years * MONTHS_PER_YEAR))
    return capex * (1 - (1 - assumptions.residual_share) * written_off)


def monthly_rate(rate_per_year: float) -> float:
    """Return the monthly rate that compounds to an effective annual rate: (1 + r)^(1/12) − 1."""
    return math.expm1(math.log1p(rate_per_year) / MONTHS_PER_YEAR)


def discount_factor(rate_per_year: float, months: int) -> float:
    """Return the present value of one dollar after `months`: (1 + r)^(−months/12)."""
    return math.exp(-math.log1p(rate_per_year) * months / MONTHS_PER_YEAR)


def present_value_usd(usd_per_month: float, assumptions: Assumptions) -> float:
    """Return the present value of a payment at the end of each month, an ordinary annuity: a (1 − (1+i)^−n) / i.

    In Excel: -PV((1+r)^(1/12)-1, horizon, payment), which accepts a rate of 0 too.
    """
    months, rate = assumptions.horizon_months, monthly_rate(assumptions.discount_rate_per_year)
    if rate == 0:
        return usd_per_month * months
    return usd_per_month * -math.expm1(-months * math.log1p(rate)) / rate


# ---- renting -----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Rental:
    """The GPUs to rent and their prices; None: not offered.

    Attributes:
        rented_gpus: number of GPUs.
        on_demand_usd_per_gpu_hour: price of an hour in which the GPU runs.
        reserved_usd_per_gpu_hour: price of every hour, renewed at the same price until the horizon.
    """

    rented_gpus: int
    on_demand_usd_per_gpu_hour: float | None = None
    reserved_usd_per_gpu_hour: float | None = None


@dataclass(frozen=True, kw_only=True)
class Renting:
    """The costs of renting.

    Attributes:
        on_demand_usd_per_month, reserved_usd_per_month: costs of each plan; None without a price.
        plan: the cheaper plan, "on_demand" or "reserved".
        usd_per_month, tco_usd, npv_usd: costs of the cheaper plan.
    """

    on_demand_usd_per_month: float | None
    reserved_usd_per_month: float | None
    plan: str
    usd_per_month: float
    tco_usd: float
    npv_usd: float


def renting(rental: Rental, assumptions: Assumptions) -> Renting | None:
    """Return the costs of renting: GPUs × price × 730 hours × the share of hours paid; None without a price.

    Raises:
        PlannerError: an input has the wrong type or is out of range.
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


# ---- comparison --------------------------------------------------------------------------------------


def break_even_month(owned: Owning, rented: Renting, horizon_months: int) -> int | None:
    """Return the first month at whose end owning has cost no more than renting; None if it is not within the horizon.

    The cost of owning is capex and the payments per month, less the equipment's value in the last month of the horizon.
    In Excel, with d = rent - opex: IF(d*horizon>=capex, MAX(1,ROUNDUP(ROUND(capex/d,9),0)),
    IF(tco_owning<=tco_renting, horizon, "none")).
    """
    saved = rented.usd_per_month - owned.opex_usd_per_month
    if saved > 0 and saved * horizon_months >= owned.capex_usd:
        return max(1, _rounded_up(owned.capex_usd / saved))
    return horizon_months if owned.tco_usd <= rented.tco_usd else None


def cheaper(owned: Owning, rented: Renting) -> str:
    """Return "buy" or "rent", whichever has the lower net present value."""
    return "buy" if owned.npv_usd <= rented.npv_usd else "rent"


def usd_per_user_month(usd_per_month: float, users: int) -> float:
    """Return cost per month ÷ concurrent users."""
    return usd_per_month / number_within("users", users, COST_LIMITS["users"])


def _defaults(settings: type[Assumptions | OrderPolicy]) -> dict[str, Any]:
    return {field.name: _default(field.name) for field in fields(settings)}


def _default(field: str) -> float | int:
    value = number_within(field, cost_defaults()[field].value, COST_LIMITS[field])
    return bool(value) if field == "whole_nodes" else value


def _rounded_up(quotient: float) -> int:
    return math.ceil(round(quotient, _DECIMALS))


def _checked(**values: object) -> dict[str, Any]:
    return {field: number_within(field, value, COST_LIMITS[field]) for field, value in values.items()}


_Inputs = TypeVar("_Inputs", Purchase, Rental, Assumptions)


def _checked_all(inputs: _Inputs) -> _Inputs:
    """Return `inputs` with each field checked against its limits; None (a price that is not offered) is allowed."""
    given = {field.name: getattr(inputs, field.name) for field in fields(inputs)}
    return type(inputs)(**given | _checked(**{name: value for name, value in given.items() if value is not None}))
