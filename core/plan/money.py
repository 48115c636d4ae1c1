"""Order quantities, costs of owning and of renting, and how the two compare: terms of Python and of every sheet.

Buying and renting get the same redundancy: headroom and spare replicas. A buyer of boards (HGX, OAM) then fills nodes,
a tenant rounds up to the provider's smallest number of GPUs, a buyer to the vendor's smallest order. Money is US
dollars, time is months.
"""

from __future__ import annotations

from core.plan.terms import (
    MISSING,
    Expression,
    Term,
    Terms,
    all_of,
    any_of,
    down,
    equal,
    if_known,
    known,
    least,
    most,
    up,
    v,
    when,
)

MONTHS_PER_YEAR = 12
HOURS_PER_MONTH = 730  # 365 days × 24 hours ÷ 12, as cloud price lists count a month
W_PER_KW = 1000


def _if_served(then: Expression) -> Expression:
    """Return a figure of an option that has room for at least one user."""
    return when(all_of(known(v.users_per_replica), v.users_per_replica > 0), then, MISSING)


def _rented(step: Expression) -> Expression:
    """Return all GPUs, as a multiple of `rent_step` or of the offer's smallest number, whichever is larger."""
    return if_known([v.with_spares], up(v.with_spares / most(v.rent_step, step)) * most(v.rent_step, step))


RATES = Terms(
    Term(
        name="monthly_rate",
        unit="",
        means="The monthly rate that compounds to the effective annual discount rate.",
        formula=(1 + v.discount_rate_per_year) ** (1 / v.months_per_year) - 1,
    ),
    Term(
        name="annuity",
        unit="months",
        means="The present value of one dollar at the end of each month of the horizon.",
        formula=when(
            equal(v.monthly_rate, 0),
            v.horizon_months,
            (1 - (1 + v.monthly_rate) ** (-v.horizon_months)) / v.monthly_rate,
        ),
        source="ordinary annuity, as PV in spreadsheet programs",
    ),
    Term(
        name="discount",
        unit="",
        means="The present value of one dollar at the end of the horizon.",
        formula=(1 + v.discount_rate_per_year) ** (-v.horizon_months / v.months_per_year),
    ),
)

ORDER = Terms(
    Term(
        name="deployable",
        unit="GPUs",
        means="GPUs of the whole replicas that hold the users.",
        formula=_if_served(up(v.users / v.users_per_replica) * v.gpus_per_replica),
    ),
    Term(
        name="replicas_with_headroom",
        unit="replicas",
        means="Replicas that hold the users and leave the headroom free.",
        formula=_if_served(up(v.users / (v.users_per_replica * (1 - v.headroom)))),
    ),
    Term(
        name="with_headroom",
        unit="GPUs",
        means="GPUs of the replicas with headroom.",
        formula=if_known([v.replicas_with_headroom], v.replicas_with_headroom * v.gpus_per_replica),
    ),
    Term(
        name="replicas",
        unit="replicas",
        means="Replicas with headroom and spare replicas.",
        formula=if_known([v.replicas_with_headroom], v.replicas_with_headroom + v.spare_replicas),
    ),
    Term(
        name="with_spares",
        unit="GPUs",
        means="GPUs of all replicas, which buying and renting both provide; missing above the most GPUs for costs.",
        formula=if_known(
            [v.replicas], when(v.replicas * v.gpus_per_replica <= v.most_gpus, v.replicas * v.gpus_per_replica, MISSING)
        ),
    ),
    Term(
        name="replicas_per_node",
        unit="replicas",
        means="Replicas that share a node; 0 if a replica is larger than a node.",
        formula=if_known([v.with_spares], down(v.gpus_per_node / v.gpus_per_replica)),
    ),
    Term(
        name="nodes",
        unit="nodes",
        means="Nodes for all replicas: smaller replicas share a node, a larger one takes whole nodes.",
        formula=if_known(
            [v.replicas_per_node],
            when(
                v.replicas_per_node >= 1,
                up(v.replicas / v.replicas_per_node),
                v.replicas * up(v.gpus_per_replica / v.gpus_per_node),
            ),
        ),
    ),
    Term(
        name="order_needed",
        unit="GPUs",
        means="GPUs of full nodes where the GPU comes on boards and nodes are bought full, and GPUs in stock.",
        formula=if_known(
            [v.nodes],
            when(all_of(equal(v.whole_nodes, 1), equal(v.on_board, 1)), v.nodes * v.gpus_per_node, v.with_spares)
            + v.spare_gpus,
        ),
    ),
    Term(
        name="order",
        unit="GPUs",
        means="GPUs to buy: those needed, rounded up to the smallest order of the offer (a machine, a rack).",
        formula=if_known([v.order_needed], up(v.order_needed / most(1, v.order_step)) * most(1, v.order_step)),
    ),
    Term(
        name="on_demand_gpus",
        unit="GPUs",
        means="GPUs to rent without a commitment: all replicas, rounded up to the smallest number of plan and offer.",
        formula=_rented(v.on_demand_step),
    ),
    Term(
        name="reserved_gpus",
        unit="GPUs",
        means="GPUs to rent with a commitment: all replicas, rounded up to the smallest number of plan and offer.",
        formula=_rented(v.reserved_step),
    ),
)


def _of_capex(name: str, unit: str, means: str, formula: Expression, source: str = "") -> Term:
    """Return a term that is missing where the capital expenditure is."""
    return Term(name=name, unit=unit, means=means, formula=if_known([v.capex], formula), source=source)


def _of_rent(name: str, unit: str, means: str, formula: Expression) -> Term:
    """Return a term that is missing where the rent is."""
    return Term(name=name, unit=unit, means=means, formula=if_known([v.rent_month], formula))


OWNING = Terms(
    Term(
        name="server_usd",
        unit="USD",
        means="Price of a server without its GPUs, per GPU; without a quote, the usual share of the GPU's price.",
        formula=when(
            known(v.server_per_gpu_usd), v.server_per_gpu_usd, if_known([v.gpu_usd], v.gpu_usd * v.server_share_of_gpus)
        ),
    ),
    Term(
        name="hardware",
        unit="USD",
        means="Price of the GPUs and of the servers.",
        formula=if_known([v.order, v.gpu_usd], v.order * v.gpu_usd + v.nodes * v.server_usd * v.gpus_per_node),
    ),
    Term(
        name="capex",
        unit="USD",
        means="Payment at the start: hardware, and a share of it for network, storage, racks and installation.",
        formula=if_known([v.hardware, v.tdp_w], v.hardware * (1 + v.network_share)),
    ),
    _of_capex(
        "it_kw", "kW", "Rated power of GPUs and servers.", v.order * v.tdp_w * (1 + v.server_power_share) / v.w_per_kw
    ),
    _of_capex(
        "power",
        "USD/month",
        "Electricity: rated power × mean load × PUE × tariff × hours; spares run too.",
        v.it_kw * v.power_load * v.pue * v.tariff_usd_per_kwh * v.hours_per_month,
        "PUE: ISO/IEC 30134-2",
    ),
    _of_capex(
        "hosting",
        "USD/month",
        "Hosting by the kW and by the node.",
        v.it_kw * v.hosting_usd_per_kw_month + v.nodes * v.hosting_usd_per_node_month,
    ),
    _of_capex(
        "support", "USD/month", "Maintenance and support.", v.capex * v.support_share_per_year / v.months_per_year
    ),
    _of_capex(
        "depreciation",
        "USD/month",
        "Straight-line depreciation down to the residual value.",
        v.capex * (1 - v.residual_share) / (v.depreciation_years * v.months_per_year),
    ),
    _of_capex("opex", "USD/month", "Payments per month: power, hosting, support.", v.power + v.hosting + v.support),
    _of_capex("own_month", "USD/month", "Cost of owning per month.", v.depreciation + v.opex),
    _of_capex(
        "own_user_month", "USD/user/month", "Cost of owning per month and concurrent user.", v.own_month / v.users
    ),
    _of_capex(
        "written_off",
        "",
        "Share of the depreciation that the horizon covers.",
        least(1, v.horizon_months / (v.depreciation_years * v.months_per_year)),
    ),
    _of_capex(
        "value",
        "USD",
        "Book value of the equipment at the end of the horizon.",
        v.capex * (1 - (1 - v.residual_share) * v.written_off),
    ),
    _of_capex(
        "own_tco", "USD", "Total cost of owning over the horizon.", v.capex + v.opex * v.horizon_months - v.value
    ),
    _of_capex("own_npv", "USD", "Net present cost of owning.", v.capex + v.opex * v.annuity - v.value * v.discount),
)

RENTING = Terms(
    Term(
        name="on_demand_month",
        unit="USD/month",
        means="Rent without a commitment, for the share of hours in which the GPUs run.",
        formula=if_known(
            [v.on_demand_gpus, v.on_demand_usd_per_gpu_hour],
            v.on_demand_gpus * v.hours_per_month * v.on_demand_usd_per_gpu_hour * v.on_demand_hours_share,
        ),
    ),
    Term(
        name="reserved_month",
        unit="USD/month",
        means="Rent with a commitment, for all hours.",
        formula=if_known(
            [v.reserved_gpus, v.reserved_usd_per_gpu_hour],
            v.reserved_gpus * v.hours_per_month * v.reserved_usd_per_gpu_hour,
        ),
    ),
    Term(
        name="rent_month",
        unit="USD/month",
        means="Cost of renting per month by the cheaper of the two.",
        formula=when(
            any_of(known(v.on_demand_month), known(v.reserved_month)),
            least(v.on_demand_month, v.reserved_month),
            MISSING,
        ),
    ),
    Term(
        name="rented",
        unit="GPUs",
        means="GPUs to rent by the cheaper of the two; without a price, those without a commitment.",
        formula=when(
            known(v.reserved_month),
            when(equal(v.rent_month, v.reserved_month), v.reserved_gpus, v.on_demand_gpus),
            v.on_demand_gpus,
        ),
    ),
    _of_rent(
        "rent_user_month", "USD/user/month", "Cost of renting per month and concurrent user.", v.rent_month / v.users
    ),
    _of_rent("rent_tco", "USD", "Total cost of renting over the horizon.", v.rent_month * v.horizon_months),
    _of_rent("rent_npv", "USD", "Net present cost of renting.", v.rent_month * v.annuity),
)

COMPARISON = Terms(
    Term(
        name="saved",
        unit="USD/month",
        means="Rent less the payments of an owner.",
        formula=if_known([v.own_npv, v.rent_npv], v.rent_month - v.opex),
    ),
    Term(
        name="payback",
        unit="months",
        means="Months in which the saved payments add up to the purchase; missing if that is after the horizon.",
        formula=if_known(
            [v.saved], when(v.saved * v.horizon_months >= v.capex, most(1, up(v.capex / v.saved)), MISSING)
        ),
    ),
    Term(
        name="break_even",
        unit="months",
        means="The month by whose end owning has cost no more than renting; missing if that is after the horizon.",
        formula=when(
            known(v.payback), v.payback, if_known([v.saved], when(v.own_tco <= v.rent_tco, v.horizon_months, MISSING))
        ),
    ),
    Term(
        name="net_present_cost",
        unit="USD",
        means="The lower net present cost of owning and renting, by which options are ranked.",
        formula=when(any_of(known(v.own_npv), known(v.rent_npv)), least(v.own_npv, v.rent_npv), MISSING),
    ),
    Term(
        name="buys",
        unit="",
        means="Whether owning has the lower net present cost: 1 yes, 0 no.",
        formula=if_known([v.net_present_cost], when(known(v.own_npv), when(v.own_npv <= v.net_present_cost, 1, 0), 0)),
    ),
)

OPTION_MONEY = Terms(*ORDER, *OWNING, *RENTING, *COMPARISON)
