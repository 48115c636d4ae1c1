"""Compute what an option costs to own and to rent, from the order quantity to the month in which buying has paid off.

Money is in float US dollars, time in months. The formulas are the terms of `core.plan.money`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache
from typing import Any

from core.catalog.countries import Country
from core.catalog.hardware import Gpu
from core.catalog.offer_choice import GpuPrices, Price
from core.catalog.offer_choice import prices as indicative_prices
from core.catalog.offers import BUY, ON_DEMAND, ONE_YEAR, PRICE_LIMITS, SERVER
from core.catalog.prices import cost_defaults
from core.checks import Limits, number_within
from core.errors import unknown_name
from core.plan.fleet import Option, choice_of_gpu
from core.plan.money import HOURS_PER_MONTH, MONTHS_PER_YEAR, OPTION_MONEY, OUTCOME, RATES, W_PER_KW
from core.plan.ranking import Candidate

_SHARE = "Write a fraction, for example 0.1 for 10 %."
_MONEY = "Write US dollars, for example 30000."

# The upper limits catch mistakes (cents for dollars, per cent for a fraction, watts for kilowatts).
COST_LIMITS: dict[str, Limits] = {
    "gpus": Limits(1, 10**6, True, "Write the number of GPUs, for example 8."),
    "users": Limits(1, 10**8, True, "Write the number of concurrent users, for example 10."),
    "users_per_replica": Limits(1, 10**8, True, "Write the most concurrent users of a replica, for example 10."),
    "gpus_by_division": Limits(1, 10**6, True, "Write the number of GPUs, for example 8."),
    "tdp_w": Limits(1, 10**5, False, "Write the watts of one GPU, for example 700."),
    "gpu_usd": Limits(*PRICE_LIMITS[BUY], False, _MONEY),
    "server_per_gpu_usd": Limits(*PRICE_LIMITS[SERVER], False, _MONEY),
    "on_demand_usd_per_gpu_hour": Limits(*PRICE_LIMITS[ON_DEMAND], False, "Write US dollars, for example 3.5."),
    "reserved_usd_per_gpu_hour": Limits(*PRICE_LIMITS[ONE_YEAR], False, "Write US dollars, for example 2.5."),
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
    "server_share_of_gpus": Limits(0, 5, False, "Write a fraction of the GPUs' price, for example 0.54."),
    "hours_per_day": Limits(0, 24, False, "Write the hours of use a day, for example 10."),
    "days_per_month": Limits(0, 31, False, "Write the days of use a month, for example 21."),
    "average_load": Limits(0, 1, False, "Write a fraction of the peak's tokens, for example 0.4."),
    "tax_rate": Limits(0, 1, False, "Write the tax that is not refunded as a fraction, for example 0.19."),
    "staff_usd_per_month": Limits(0, 10**8, False, _MONEY),
    "software_usd_per_month": Limits(0, 10**8, False, _MONEY),
    "storage_usd_per_month": Limits(0, 10**8, False, _MONEY),
    "egress_usd_per_month": Limits(0, 10**8, False, _MONEY),
    "grid_kg_per_kwh": Limits(0, 3, False, "Write kilograms of CO2, for example 0.366."),
    "api_prompt_usd_per_million": Limits(0, 10**5, False, "Write US dollars, for example 0.5."),
    "api_output_usd_per_million": Limits(0, 10**5, False, "Write US dollars, for example 1.5."),
    "headroom": Limits(0, 0.95, False, _SHARE),
    "whole_nodes": Limits(0, 1, True, "Write 1 for full nodes, or 0."),
    "spare_replicas": Limits(0, 10**4, True, "Write the number of replicas, for example 1 for N+1."),
    "spare_gpus": Limits(0, 10**5, True, "Write the number of GPUs, for example 0."),
    "owned_gpus": Limits(0, 10**6, True, "Write the number of GPUs that you own, for example 8."),
    "rent_step": Limits(1, 10**4, True, "Write the GPUs of your provider's smallest instance, for example 8."),
    "may_buy": Limits(0, 1, True, "Write 1 to compare buying, or 0."),
    "may_rent": Limits(0, 1, True, "Write 1 to compare renting, or 0."),
}


@dataclass(frozen=True, kw_only=True)
class OrderPolicy:
    """The GPUs to buy or rent in addition to those that the users need.

    Attributes:
        headroom: share of the user capacity that must remain unused.
        spare_replicas: replicas beyond those that the users need, bought and rented: 1 for N+1.
        whole_nodes: whether GPUs on boards (HGX and OAM) are bought in full nodes, or only those that are used.
        spare_gpus: GPUs in stock, if bought.
        rent_step: smallest number of GPUs that the provider rents out; a rental is a multiple of it.
        owned_gpus: GPUs of the planned type that are already there, in full servers; they need not be bought, but draw
            power and are hosted.
        may_buy, may_rent: whether buying and renting are compared; with one of them, an option has no other way.
    """

    headroom: float = 0.0
    spare_replicas: int = 0
    whole_nodes: bool = True
    spare_gpus: int = 0
    rent_step: int = 1
    owned_gpus: int = 0
    may_buy: bool = True
    may_rent: bool = True


@dataclass(frozen=True)
class OrderStep:
    """One bar of the waterfall chart: the step `key`, the total `gpus` after it, and the `added_gpus` of the step."""

    key: str
    gpus: int
    added_gpus: int


# Which ways are compared: a plan's wish → fields of `OrderPolicy`.
EITHER = "either"
WAYS: dict[str, dict[str, bool]] = {
    EITHER: {},
    "buy": {"may_buy": True, "may_rent": False},
    "rent": {"may_buy": False, "may_rent": True},
}

ORDER_STEPS = ("by_division", "deployable", "with_headroom", "with_spares", "order")


@dataclass(frozen=True, kw_only=True)
class OrderQuantity:
    """The steps from the fewest GPUs that could hold the model to the GPUs to order.

    Attributes:
        by_division: the total memory divided by a GPU's memory, rounded up.
        deployable: GPUs of whole replicas for the users.
        with_headroom: GPUs of whole replicas for the users and the headroom.
        with_spares: GPUs of all replicas, including spare ones.
        order: GPUs to buy, with full nodes and GPUs in stock, less those already owned.
        rented_gpus: GPUs to rent, a multiple of the provider's smallest number.
        replicas: replicas with headroom and spares.
        nodes: the nodes of all replicas.
    """

    by_division: int
    deployable: int
    with_headroom: int
    with_spares: int
    order: int
    rented_gpus: int
    replicas: int
    nodes: int

    @property
    def gpus(self) -> int:
        return self.order

    @property
    def steps(self) -> tuple[OrderStep, ...]:
        """Return the bars in order; they fall if an engine needs fewer GPUs than the division, or some are owned."""
        totals = [getattr(self, key) for key in ORDER_STEPS]
        return tuple(
            map(OrderStep, ORDER_STEPS, totals, (after - before for before, after in zip([0, *totals], totals)))
        )


@dataclass(frozen=True, kw_only=True)
class Assumptions:
    """The assumptions of a comparison. The defaults, with their sources, are `core.catalog.prices.cost_defaults`.

    Attributes:
        network_share: network, storage, racks and installation, as a share of GPUs and servers.
        server_power_share: rated power of the rest of a server, as a share of its GPUs' TDP.
        pue: power usage effectiveness: energy of the whole site ÷ energy of its IT equipment (ISO/IEC 30134-2).
        tariff_usd_per_kwh: price of electricity.
        server_share_of_gpus: price of the rest of a server, as a share of its GPUs' price, where it is not known.
        power_load: mean power drawn ÷ rated power, over all hours of a month.
        hosting_usd_per_kw_month, hosting_usd_per_node_month: prices of hosting per kW of rated IT power and per node;
            both are added. Set those that do not apply to 0, and the tariff to 0 if hosting includes electricity.
        support_share_per_year: maintenance and support, as a share of capex.
        depreciation_years, residual_share: straight-line depreciation down to that share of capex.
        discount_rate_per_year: effective annual rate.
        horizon_months: the period of the comparison.
        hours_per_day, days_per_month: when the service runs. On-demand GPUs are paid for these hours, others for all.
        average_load: share of the peak's tokens that flow on average in these hours. It says nothing about power.
        tax_rate: tax that is not refunded, as a share of the price.
        staff_usd_per_month, software_usd_per_month, storage_usd_per_month, egress_usd_per_month: other payments.
        grid_kg_per_kwh: CO₂ of a kWh of electricity; None if it is not known.
        api_prompt_usd_per_million, api_output_usd_per_million: prices of an API per million tokens; None without one.
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
    server_share_of_gpus: float
    hours_per_day: float
    days_per_month: float
    average_load: float
    tax_rate: float = 0.0
    staff_usd_per_month: float = 0.0
    software_usd_per_month: float = 0.0
    storage_usd_per_month: float = 0.0
    egress_usd_per_month: float = 0.0
    grid_kg_per_kwh: float | None = None
    api_prompt_usd_per_million: float | None = None
    api_output_usd_per_million: float | None = None


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Who uses an option, and its load at the peak.

    Attributes:
        people: people who use the service; None: costs per person are those per concurrent user.
        output_tokens_per_s: output tokens per second of all replicas at the peak; None if no speed is known.
        prompt_tokens, output_tokens: tokens of a prompt and of its answer.
    """

    people: int | None = None
    output_tokens_per_s: float | None = None
    prompt_tokens: int = 0
    output_tokens: int = 1


@dataclass(frozen=True, kw_only=True)
class Owning:
    """The costs of owning.

    Attributes:
        capex_usd: the payment at the start.
        it_kw: rated power of GPUs and servers.
        depreciation_usd_per_month: straight-line depreciation in the years of depreciation.
        power_usd_per_month, hosting_usd_per_month, support_usd_per_month: payments per month, before tax.
        opex_usd_per_month: their sum with tax, and other lines (staff, software, storage, egress).
        usd_per_month: depreciation and payments per month.
        value_at_horizon_usd: book value at the end of the horizon.
        tco_usd: total cost over the horizon, less the value at its end.
        npv_usd: the same, discounted; a cost is positive.
    """

    capex_usd: float
    it_kw: float
    depreciation_usd_per_month: float
    power_usd_per_month: float
    hosting_usd_per_month: float
    support_usd_per_month: float
    opex_usd_per_month: float
    usd_per_month: float
    value_at_horizon_usd: float
    tco_usd: float
    npv_usd: float


@dataclass(frozen=True, kw_only=True)
class Renting:
    """The costs of renting.

    Attributes:
        on_demand_usd_per_month, reserved_usd_per_month: rent by each plan, before tax; None without a price.
        plan: the cheaper plan, "on_demand" or "reserved".
        usd_per_month, tco_usd, npv_usd: costs of the cheaper plan.
    """

    on_demand_usd_per_month: float | None
    reserved_usd_per_month: float | None
    plan: str
    usd_per_month: float
    tco_usd: float
    npv_usd: float


@dataclass(frozen=True, kw_only=True)
class OptionCosts:
    """The costs of an option; None if a price or the GPU's power is unknown.

    Attributes:
        order: the order quantity with its steps.
        owned, rented: the costs of owning and of renting.
        owning_usd_per_user_month, renting_usd_per_user_month: costs per month and concurrent user.
        break_even_month: the month in which buying has paid off; None also if it is not within the horizon.
        net_present_cost: the lower of the two net present costs, by which options are ranked.
        prices: the prices, with the offers that they come from.
        figures: every term of `core.plan.money.OPTION_MONEY` by name.
        outcome: every term of `core.plan.money.OUTCOME` by name: cash at the start, residual value, costs per person
            and per million tokens, energy, CO₂, and an API's cost; None is a missing figure.
    """

    order: OrderQuantity
    owned: Owning | None
    rented: Renting | None
    owning_usd_per_user_month: float | None
    renting_usd_per_user_month: float | None
    break_even_month: int | None
    net_present_cost: float | None
    prices: GpuPrices = field(repr=False, compare=False)
    figures: Mapping[str, Any] = field(repr=False, compare=False)
    outcome: Mapping[str, Any] = field(repr=False, compare=False)

    @property
    def way(self) -> str | None:
        """The way that the net present cost is of: "buy" or "rent", the only one with a price or the cheaper one."""
        buys = self.figures["buys"]
        return None if buys is None else "buy" if buys else "rent"

    @property
    def cheaper(self) -> str | None:
        """The cheaper way by net present cost; None unless the costs of both are known."""
        return self.way if self.owned and self.rented else None

    @property
    def gpus(self) -> int:
        """The GPUs to buy, or to rent, by that way."""
        return self.order.rented_gpus if self.way == "rent" else self.order.gpus


_POLICY_NAMES = tuple(field.name for field in fields(OrderPolicy))
_ASSUMPTION_NAMES = tuple(field.name for field in fields(Assumptions))
NAMES = (*_POLICY_NAMES, *_ASSUMPTION_NAMES)  # of all assumptions, in the order in which to show them
_FLAGS = ("whole_nodes", "may_buy", "may_rent")  # yes or no; 1 or 0 in terms and files
_MAY_BE_MISSING = tuple(field.name for field in fields(Assumptions) if field.default is None)


@cache
def default_assumptions() -> Assumptions:
    """Return the assumptions in cost_defaults.csv."""
    return Assumptions(**_defaults(_ASSUMPTION_NAMES))


@cache
def default_policy() -> OrderPolicy:
    """Return the policy in cost_defaults.csv."""
    return OrderPolicy(**_defaults(_POLICY_NAMES))


def assumed(given: Mapping[str, Any], country: Country | None = None) -> tuple[OrderPolicy, Assumptions]:
    """Return the defaults with a country's values in their place, and with what is given in place of both.

    Args:
        given: fields of `OrderPolicy` and `Assumptions` by name.
        country: a preset of `core.catalog.countries`.

    Raises:
        UnknownNameError: a name is not a field of either.
        PlannerError: a value has the wrong type or is out of range.
    """
    for name in given:
        if name not in NAMES:
            raise unknown_name("assumptions", name, NAMES, "the list that `vram plan --assume help` prints")
    preset = country.assumptions if country else {}
    values: dict[str, Any] = {name: _converted(name, value) for name, value in {**preset, **given}.items()}
    policy = {name: values.pop(name) for name in tuple(values) if name in _POLICY_NAMES}
    return replace(default_policy(), **policy), replace(default_assumptions(), **values)


def option_costs(
    gpu: Gpu,
    option: Option,
    *,
    users: int,
    gpus_by_division: int,
    policy: OrderPolicy | None = None,
    assumptions: Assumptions | None = None,
    prices: GpuPrices | None = None,
    usage: Usage | None = None,
) -> OptionCosts:
    """Return the costs of serving `users` by `option` on `gpu`.

    Args:
        gpus_by_division: the start of the waterfall (`fleet.gpus_by_division`).
        policy, assumptions, prices: the defaults are those of the data files.
        usage: who uses it, and its load; without it figures per token are missing.

    Raises:
        PlannerError: an input has the wrong type or is out of range, or the replicas take too many GPUs.
    """
    by_division = int(_checked("gpus_by_division", gpus_by_division))
    prices = prices or indicative_prices(gpu.name)
    inputs = money_inputs(gpu, option, users=users, policy=policy, assumptions=assumptions, prices=prices)
    figures: dict[str, Any] = OPTION_MONEY.compute(inputs)
    if figures["with_spares"] is None:
        _checked("gpus", figures["replicas"] * option.replica.gpus)
    owned, rented = _owning(figures), _renting(figures)
    return OptionCosts(
        order=_order_quantity(figures, by_division),
        owned=owned,
        rented=rented,
        owning_usd_per_user_month=figures["own_user_month"],
        renting_usd_per_user_month=figures["rent_user_month"],
        break_even_month=figures["break_even"],
        net_present_cost=figures["net_present_cost"],
        prices=prices,
        figures=figures,
        outcome=OUTCOME.compute({**inputs, **figures, **asdict(usage or Usage())}),
    )


def money_figures(
    gpu: Gpu,
    option: Option | None,
    *,
    users: int,
    policy: OrderPolicy | None = None,
    assumptions: Assumptions | None = None,
    prices: GpuPrices | None = None,
) -> dict[str, Any]:
    """Return every term of `core.plan.money.OPTION_MONEY` by name; None is a missing figure.

    Args:
        option: None if no layout fits, so that nothing is ordered.
        policy, assumptions, prices: the defaults are those of the data files.

    Raises:
        PlannerError: an input has the wrong type or is out of range.
    """
    inputs = money_inputs(gpu, option, users=users, policy=policy, assumptions=assumptions, prices=prices)
    return OPTION_MONEY.compute(inputs)


def money_inputs(
    gpu: Gpu,
    option: Option | None,
    *,
    users: int,
    policy: OrderPolicy | None = None,
    assumptions: Assumptions | None = None,
    prices: GpuPrices | None = None,
) -> dict[str, Any]:
    """Return every input of the terms of `core.plan.money` by name, and the terms of `RATES`; as `money_figures`."""
    of_gpu = gpu_money_inputs(gpu, policy=policy, assumptions=assumptions, prices=prices)
    return of_gpu | option_money_inputs(option, users)


def gpu_money_inputs(
    gpu: Gpu,
    *,
    policy: OrderPolicy | None = None,
    assumptions: Assumptions | None = None,
    prices: GpuPrices | None = None,
) -> dict[str, Any]:
    """Return the part of `money_inputs` that all options on a GPU have in common."""
    prices = prices or indicative_prices(gpu.name)
    policy, assumptions = policy or default_policy(), assumptions or default_assumptions()
    given: dict[str, Any] = {
        "tdp_w": gpu.tdp_w,
        "gpu_usd": _usd(prices.purchase),
        "server_per_gpu_usd": _usd(prices.server_per_gpu),
        "on_demand_usd_per_gpu_hour": _usd(prices.on_demand_per_gpu_hour),
        "reserved_usd_per_gpu_hour": _usd(prices.reserved_per_gpu_hour),
    }
    are_defaults = policy is default_policy() and assumptions is default_assumptions()
    return {
        **_all_checked(given),
        **(_default_settings() if are_defaults else _settings(policy, assumptions)),
        "gpus_per_node": choice_of_gpu(gpu).gpus_per_node,
        "on_board": int(gpu.is_on_board),
        "order_step": _step(prices.purchase),
        "on_demand_step": _step(prices.on_demand_per_gpu_hour),
        "reserved_step": _step(prices.reserved_per_gpu_hour),
    }


def option_money_inputs(option: Option | None, users: int) -> dict[str, Any]:
    """Return the part of `money_inputs` that differs between the options on a GPU; None: no layout fits."""
    given: dict[str, Any] = {"users": _checked("users", users)}
    if option is None:
        return given | {"users_per_replica": None, "gpus_per_replica": None}
    # A tiny model has room for more users than there are; the replicas for them are the same.
    each = min(option.users_per_replica, int(COST_LIMITS["users_per_replica"].most))
    return given | {
        "users_per_replica": _checked("users_per_replica", each),
        "gpus_per_replica": option.replica.gpus,
        "gpus_per_node": option.replica.gpu.gpus_per_node,
    }


def _settings(policy: OrderPolicy, assumptions: Assumptions) -> dict[str, Any]:
    """Return the inputs that are the same for all options and GPUs, checked, and the terms of `RATES`."""
    flags = {name: int(getattr(policy, name)) for name in _FLAGS}
    given = _all_checked({**vars(policy), **flags, **vars(assumptions)}) | {
        "most_gpus": COST_LIMITS["gpus"].most,
        "hours_per_month": HOURS_PER_MONTH,
        "months_per_year": MONTHS_PER_YEAR,
        "w_per_kw": W_PER_KW,
    }
    return given | RATES.compute(given)


@cache
def _default_settings() -> dict[str, Any]:
    """Return `_settings` of the defaults: checking them would take longer than the terms of an option."""
    return _settings(default_policy(), default_assumptions())


def _all_checked(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value if value is None else _checked(name, value) for name, value in given.items()}


def candidate_of(
    option: Option, figures: Mapping[str, Any] | None, users: int, bandwidth_gb_per_s: float | None, reason: str = ""
) -> Candidate[Option]:
    """Return an option as the ranking sees it.

    Args:
        figures: the terms of `money_figures` for it; None without a GPU of the catalog.
        bandwidth_gb_per_s: memory bandwidth of one GPU; None if it is not known.
        reason: why the option cannot be chosen; "" if it can.
    """
    replicas = option.replicas if figures is None else figures["replicas"]
    gpus = replicas * option.replica.gpus
    return Candidate(
        key=option,
        net_present_cost=None if figures is None else figures["net_present_cost"],
        free_places=replicas * option.users_per_replica - users,
        bandwidth_per_user=None if bandwidth_gb_per_s is None else gpus * bandwidth_gb_per_s / users,
        reason=reason,
        gpu=option.replica.gpu.name,
    )


def rent_plan(figures: Mapping[str, Any]) -> str:
    """Return the cheaper way to rent, by the terms of `money_figures`: "on_demand" or "reserved"."""
    return "on_demand" if figures["rent_bill"] == figures["on_demand_month"] else "reserved"


def _order_quantity(figures: Mapping[str, Any], by_division: int) -> OrderQuantity:
    return OrderQuantity(
        by_division=by_division,
        rented_gpus=figures["rented"],
        **{name: figures[name] for name in (*ORDER_STEPS[1:], "replicas", "nodes")},
    )


def _owning(figures: Mapping[str, Any]) -> Owning | None:
    if figures["capex"] is None:
        return None
    return Owning(
        capex_usd=figures["capex"],
        it_kw=figures["it_kw"],
        depreciation_usd_per_month=figures["depreciation"],
        power_usd_per_month=figures["power"],
        hosting_usd_per_month=figures["hosting"],
        support_usd_per_month=figures["support"],
        opex_usd_per_month=figures["opex"],
        usd_per_month=figures["own_month"],
        value_at_horizon_usd=figures["value"],
        tco_usd=figures["own_tco"],
        npv_usd=figures["own_npv"],
    )


def _renting(figures: Mapping[str, Any]) -> Renting | None:
    if figures["rent_month"] is None:
        return None
    return Renting(
        on_demand_usd_per_month=figures["on_demand_month"],
        reserved_usd_per_month=figures["reserved_month"],
        plan=rent_plan(figures),
        usd_per_month=figures["rent_month"],
        tco_usd=figures["rent_tco"],
        npv_usd=figures["rent_npv"],
    )


def _defaults(names: Iterable[str]) -> dict[str, Any]:
    return {name: _converted(name, cost_defaults()[name].value) for name in names}


def _converted(name: str, value: object) -> float | int | None:
    """Return the value of a field of `OrderPolicy` or `Assumptions` in its type."""
    if value is None and name in _MAY_BE_MISSING:
        return None
    if name in _FLAGS:
        return bool(value) if isinstance(value, bool) else bool(_checked(name, value))
    return _checked(name, value)


def _checked(name: str, value: object) -> float | int:
    return number_within(name, value, COST_LIMITS[name])


def _usd(price: Price | None) -> float | None:
    return None if price is None else price.usd


def _step(price: Price | None) -> int | None:
    return None if price is None else price.step
