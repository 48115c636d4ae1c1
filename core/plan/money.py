"""Order quantities, costs of owning and of renting, and how the two compare: terms of Python and of every sheet.

Buying and renting get the same redundancy: headroom and spare replicas. A buyer of boards (HGX, OAM) then fills nodes,
a tenant rounds up to the provider's smallest number of GPUs, a buyer to the vendor's smallest order. Money is US
dollars, time is months.

`tax_rate` is a tax that the payer does not get back. It is on the purchase, on running costs, on rent, on the API, and
on software, storage and egress; not on staff. A figure before tax says so.

Two shares look alike: `power_load` is the mean power of the hardware over all hours of a month (a GPU that waits draws
power too) and decides energy; `average_load` is the share of the peak's tokens that flow on average in the hours of
use, and decides tokens. Neither follows from the other.
"""

from __future__ import annotations

from core.plan.terms import (
    MISSING,
    Expression,
    Operand,
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


def _if_bought(bought: Operand, rented: Operand) -> Expression:
    """Return a figure of the way that is chosen, buying or renting; missing without a price."""
    return if_known([v.buys], when(equal(v.buys, 1), bought, rented))


def _annuity(months: Expression) -> Expression:
    return when(equal(v.monthly_rate, 0), months, (1 - (1 + v.monthly_rate) ** (-months)) / v.monthly_rate)


def _discount(months: Expression) -> Expression:
    return (1 + v.discount_rate_per_year) ** (-months / v.months_per_year)


def _written_off(months: Expression) -> Expression:
    return least(1, months / (v.depreciation_years * v.months_per_year))


def _value(written_off: Expression) -> Expression:
    return v.capex - (v.capex - v.net_capex * v.residual_share) * written_off


def _own_npv(annuity: Expression, value: Expression, discount: Expression) -> Expression:
    return v.capex + v.opex * annuity - value * discount


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
        formula=_annuity(v.horizon_months),
        source="ordinary annuity, as PV in spreadsheet programs",
    ),
    Term(
        name="discount",
        unit="",
        means="The present value of one dollar at the end of the horizon.",
        formula=_discount(v.horizon_months),
    ),
    Term(
        name="hours_in_use",
        unit="hours/month",
        means="Hours of a month in which the service runs, at most all; on-demand GPUs are paid for these hours.",
        formula=least(v.hours_per_month, v.hours_per_day * v.days_per_month),
    ),
    Term(
        name="site_load",
        unit="",
        means="Mean power of the whole site ÷ rated power of its GPUs and servers.",
        formula=v.power_load * v.pue,
        source="PUE: ISO/IEC 30134-2",
    ),
    Term(
        name="other_month",
        unit="USD/month",
        means="Other lines: staff, and with tax software, storage and egress; the same for buying and renting.",
        formula=v.staff_usd_per_month
        + (v.software_usd_per_month + v.storage_usd_per_month + v.egress_usd_per_month) * (1 + v.tax_rate),
    ),
    Term(
        name="api_other_month",
        unit="USD/month",
        means="Other lines that an API leaves: staff, and with tax software and egress; its provider stores the model.",
        formula=v.staff_usd_per_month + (v.software_usd_per_month + v.egress_usd_per_month) * (1 + v.tax_rate),
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
            [v.with_spares],
            when(
                v.replicas_per_node >= 1,
                up(v.replicas / v.replicas_per_node),
                v.replicas * up(v.gpus_per_replica / v.gpus_per_node),
            ),
        ),
    ),
    Term(
        name="fills_nodes",
        unit="",
        means="Whether an owner buys full nodes, 1 yes, 0 no: the GPU comes on boards, which are bought full.",
        formula=when(all_of(equal(v.whole_nodes, 1), equal(v.on_board, 1)), 1, 0),
    ),
    Term(
        name="in_place",
        unit="GPUs",
        means="GPUs that an owner has in the end: full nodes where the GPU comes on boards and nodes are bought full, "
        "and GPUs in stock.",
        formula=if_known(
            [v.nodes], when(equal(v.fills_nodes, 1), v.nodes * v.gpus_per_node, v.with_spares) + v.spare_gpus
        ),
    ),
    Term(
        name="order_needed",
        unit="GPUs",
        means="GPUs that are missing: those in the end less those already owned.",
        formula=if_known([v.in_place], most(0, v.in_place - v.owned_gpus)),
    ),
    Term(
        name="order",
        unit="GPUs",
        means="GPUs to buy: those in the end less those already owned, rounded up to the smallest order of the offer.",
        # ROUNDUP would make -1 of "0 less a billionth".
        formula=if_known([v.order_needed], most(0, up(v.order_needed / most(1, v.order_step))) * most(1, v.order_step)),
    ),
    Term(
        name="powered",
        unit="GPUs",
        means="GPUs of an owner that draw power: those in the end, and what the smallest order adds.",
        formula=if_known([v.order], v.in_place + v.order - v.order_needed),
    ),
    Term(
        name="new_nodes",
        unit="nodes",
        means="Servers to buy: the nodes less those that GPUs already owned fill.",
        formula=if_known([v.nodes], most(0, v.nodes - down(v.owned_gpus / v.gpus_per_node))),
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
        means="Price of the GPUs and servers to buy.",
        formula=if_known([v.order, v.gpu_usd], v.order * v.gpu_usd + v.new_nodes * v.server_usd * v.gpus_per_node),
    ),
    Term(
        name="net_capex",
        unit="USD",
        means="Purchase before tax: hardware, and a share of it for network, storage, racks and installation.",
        formula=if_known([v.hardware, v.tdp_w], v.hardware * (1 + v.network_share)),
    ),
    Term(
        name="capex",
        unit="USD",
        means="Payment at the start: the purchase with tax.",
        formula=if_known([v.net_capex], v.net_capex * (1 + v.tax_rate)),
        source="IAS 16.16: taxes that are not refunded are part of the cost",
    ),
    Term(
        name="gpu_kw",
        unit="kW",
        means="Rated power of one GPU with its part of the server.",
        formula=if_known([v.with_spares, v.tdp_w], v.tdp_w * (1 + v.server_power_share) / v.w_per_kw),
    ),
    _of_capex("it_kw", "kW", "Rated power of GPUs and servers, those already owned too.", v.powered * v.gpu_kw),
    _of_capex(
        "power",
        "USD/month",
        "Electricity before tax: rated power × load of the site × tariff × all hours; spares run too.",
        v.it_kw * v.site_load * v.tariff_usd_per_kwh * v.hours_per_month,
    ),
    _of_capex(
        "hosting",
        "USD/month",
        "Hosting before tax, by the kW and by the node.",
        v.it_kw * v.hosting_usd_per_kw_month + v.nodes * v.hosting_usd_per_node_month,
    ),
    _of_capex(
        "support",
        "USD/month",
        "Maintenance and support of what is bought, before tax.",
        v.net_capex * v.support_share_per_year / v.months_per_year,
    ),
    _of_capex(
        "depreciation",
        "USD/month",
        "Straight-line depreciation down to the residual value, a share of the purchase before tax.",
        (v.capex - v.net_capex * v.residual_share) / (v.depreciation_years * v.months_per_year),
    ),
    _of_capex(
        "opex",
        "USD/month",
        "Payments per month: power, hosting and support with tax, and other lines.",
        (v.power + v.hosting + v.support) * (1 + v.tax_rate) + v.other_month,
    ),
    _of_capex("own_month", "USD/month", "Cost of owning per month.", v.depreciation + v.opex),
    _of_capex(
        "own_user_month", "USD/user/month", "Cost of owning per month and concurrent user.", v.own_month / v.users
    ),
    _of_capex("written_off", "", "Share of the depreciation that the horizon covers.", _written_off(v.horizon_months)),
    _of_capex("value", "USD", "Book value at the end of the horizon of what was bought.", _value(v.written_off)),
    _of_capex(
        "own_tco", "USD", "Total cost of owning over the horizon.", v.capex + v.opex * v.horizon_months - v.value
    ),
    _of_capex("own_npv", "USD", "Net present cost of owning.", _own_npv(v.annuity, v.value, v.discount)),
)

RENTING = Terms(
    Term(
        name="on_demand_month",
        unit="USD/month",
        means="Rent without a commitment and before tax, for the hours in which the service runs.",
        formula=if_known(
            [v.on_demand_gpus, v.on_demand_usd_per_gpu_hour],
            v.on_demand_gpus * v.hours_in_use * v.on_demand_usd_per_gpu_hour,
        ),
    ),
    Term(
        name="reserved_month",
        unit="USD/month",
        means="Rent with a commitment and before tax, for all hours.",
        formula=if_known(
            [v.reserved_gpus, v.reserved_usd_per_gpu_hour],
            v.reserved_gpus * v.hours_per_month * v.reserved_usd_per_gpu_hour,
        ),
    ),
    Term(
        name="rent_bill",
        unit="USD/month",
        means="The cheaper of the two rents, before tax.",
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
            when(equal(v.rent_bill, v.reserved_month), v.reserved_gpus, v.on_demand_gpus),
            v.on_demand_gpus,
        ),
    ),
    Term(
        name="rent_month",
        unit="USD/month",
        means="Cost of renting per month: the rent with tax, and other lines.",
        formula=if_known([v.rent_bill], v.rent_bill * (1 + v.tax_rate) + v.other_month),
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
            [v.saved],
            when(v.saved * v.horizon_months >= v.capex, when(v.saved > 0, most(1, up(v.capex / v.saved)), 1), MISSING),
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
        name="own_compared",
        unit="USD",
        means="Net present cost of owning if buying is compared; else missing.",
        formula=when(all_of(known(v.own_npv), equal(v.may_buy, 1)), v.own_npv, MISSING),
    ),
    Term(
        name="rent_compared",
        unit="USD",
        means="Net present cost of renting if renting is compared; else missing.",
        formula=when(all_of(known(v.rent_npv), equal(v.may_rent, 1)), v.rent_npv, MISSING),
    ),
    Term(
        name="net_present_cost",
        unit="USD",
        means="The lower net present cost of owning and renting, by which options are ranked.",
        formula=when(
            any_of(known(v.own_compared), known(v.rent_compared)), least(v.own_compared, v.rent_compared), MISSING
        ),
    ),
    Term(
        name="buys",
        unit="",
        means="Whether owning has the lower net present cost: 1 yes, 0 no.",
        formula=if_known(
            [v.net_present_cost], when(known(v.own_compared), when(v.own_compared <= v.net_present_cost, 1, 0), 0)
        ),
    ),
)

OPTION_MONEY = Terms(*ORDER, *OWNING, *RENTING, *COMPARISON)

# What the way chosen for an option comes to. Its load at the peak is a further input: `output_tokens_per_s` of all
# replicas, and the tokens of a prompt and of its answer; without a speed what depends on it is missing.
OUTCOME = Terms(
    Term(
        name="start_cash",
        unit="USD",
        means="Cash at the start: the purchase with tax; 0 if rented.",
        formula=_if_bought(v.capex, 0),
    ),
    Term(
        name="end_value",
        unit="USD",
        means="Residual value: what the purchase is worth at the end of the horizon; 0 if rented.",
        formula=_if_bought(v.value, 0),
    ),
    Term(
        name="cost_month",
        unit="USD/month",
        means="Cost per month: payments, and the depreciation of what is bought.",
        formula=_if_bought(v.own_month, v.rent_month),
    ),
    Term(
        name="cost_tco",
        unit="USD",
        means="Total cost over the horizon, not discounted.",
        formula=_if_bought(v.own_tco, v.rent_tco),
    ),
    Term(
        name="start_tax",
        unit="USD",
        means="Tax in the cash at the start.",
        formula=_if_bought(v.capex - v.net_capex, 0),
    ),
    Term(
        name="lines_month",
        unit="USD/month",
        means="Software, storage and egress before tax.",
        formula=v.software_usd_per_month + v.storage_usd_per_month + v.egress_usd_per_month,
    ),
    Term(
        name="taxed_month",
        unit="USD/month",
        means="Power, hosting and support, or the rent: what is taxed in a month apart from those three, before tax.",
        formula=_if_bought(v.power + v.hosting + v.support, v.rent_bill),
    ),
    Term(
        name="month_tax",
        unit="USD/month",
        means="Tax in the payments of a month.",
        formula=if_known([v.taxed_month], (v.taxed_month + v.lines_month) * v.tax_rate),
    ),
    Term(
        name="persons",
        unit="people",
        means="People who use the service; the concurrent users where no people are given.",
        formula=when(known(v.people), v.people, v.users),
    ),
    Term(
        name="person_month",
        unit="USD/person/month",
        means="Cost per person and month.",
        formula=if_known([v.cost_month], v.cost_month / v.persons),
    ),
    Term(
        name="output_million",
        unit="million tokens/month",
        means="Output tokens of a month: those of the peak × average load × hours of use.",
        formula=if_known(
            [v.output_tokens_per_s], v.output_tokens_per_s * v.average_load * v.hours_in_use * 3600 / 10**6
        ),
    ),
    Term(
        name="prompt_million",
        unit="million tokens/month",
        means="Prompt tokens of a month, as many for each output token as a request has.",
        formula=if_known([v.output_million], v.output_million * v.prompt_tokens / v.output_tokens),
    ),
    Term(
        name="million_cost",
        unit="USD/million tokens",
        means="Cost per million output tokens; missing without a speed, or if no token flows.",
        formula=if_known(
            [v.cost_month, v.output_million], when(v.output_million > 0, v.cost_month / v.output_million, MISSING)
        ),
    ),
    Term(
        name="running_kw",
        unit="kW",
        means="Rated power of the GPUs and servers that run for the service, bought or rented.",
        formula=if_known([v.buys, v.gpu_kw], when(equal(v.buys, 1), v.powered, v.rented) * v.gpu_kw),
    ),
    Term(
        name="on_demand",
        unit="",
        means="Whether the way chosen is renting on demand: 1 yes, 0 no.",
        formula=_if_bought(0, when(equal(v.rent_bill, v.on_demand_month), 1, 0)),
    ),
    Term(
        name="running_hours",
        unit="hours/month",
        means="Hours of a month in which they run: hours of use if they are rented on demand, else all.",
        formula=if_known([v.on_demand], when(equal(v.on_demand, 1), v.hours_in_use, v.hours_per_month)),
    ),
    Term(
        name="energy_kwh",
        unit="kWh/month",
        means="Energy of a month, cooling and losses of the site included.",
        formula=if_known([v.running_kw], v.running_kw * v.site_load * v.running_hours),
    ),
    Term(
        name="co2_kg",
        unit="kg/month",
        means="CO₂ of that energy by the factor of the grid; missing without one.",
        formula=if_known([v.energy_kwh, v.grid_kg_per_kwh], v.energy_kwh * v.grid_kg_per_kwh),
    ),
    Term(
        name="api_prompt_bill",
        unit="USD/month",
        means="What an API bills for the same prompt tokens, before tax; missing without a price.",
        formula=if_known(
            [v.prompt_million, v.api_prompt_usd_per_million], v.prompt_million * v.api_prompt_usd_per_million
        ),
    ),
    Term(
        name="api_output_bill",
        unit="USD/month",
        means="What an API bills for the same output tokens, before tax; missing without a price.",
        formula=if_known(
            [v.output_million, v.api_output_usd_per_million], v.output_million * v.api_output_usd_per_million
        ),
    ),
    Term(
        name="api_bill",
        unit="USD/month",
        means="What an API bills for the same tokens, before tax.",
        formula=if_known([v.api_prompt_bill, v.api_output_bill], v.api_prompt_bill + v.api_output_bill),
    ),
    Term(
        name="api_month",
        unit="USD/month",
        means="Cost of an API per month: its bill with tax, and the other lines that it leaves.",
        formula=if_known([v.api_bill], v.api_bill * (1 + v.tax_rate) + v.api_other_month),
    ),
    Term(
        name="api_npv",
        unit="USD",
        means="Net present cost of an API over the horizon.",
        formula=if_known([v.api_month], v.api_month * v.annuity),
    ),
)

# Figures of an option by the end of a `month`, for charts and for the month in which two options cross.
BY_MONTH = Terms(
    _of_capex(
        "own_paid",
        "USD",
        "What an owner has paid by that month, not discounted; the residual value is not taken off.",
        v.capex + v.opex * v.month,
    ),
    _of_rent("rent_paid", "USD", "What a tenant has paid by that month, not discounted.", v.rent_month * v.month),
    Term(
        name="api_paid",
        unit="USD",
        means="What an API has cost by that month, not discounted.",
        formula=if_known([v.api_month], v.api_month * v.month),
    ),
    Term(
        name="month_annuity",
        unit="months",
        means="The annuity factor over a horizon of that many months.",
        formula=_annuity(v.month),
    ),
    Term(name="month_discount", unit="", means="The discount factor at its end.", formula=_discount(v.month)),
    _of_capex("month_value", "USD", "Book value at its end.", _value(_written_off(v.month))),
    _of_capex(
        "own_npv_by",
        "USD",
        "Net present cost of owning over a horizon of that many months.",
        _own_npv(v.month_annuity, v.month_value, v.month_discount),
    ),
    _of_rent(
        "rent_npv_by",
        "USD",
        "Net present cost of renting over a horizon of that many months.",
        v.rent_month * v.month_annuity,
    ),
    Term(
        name="npv_by",
        unit="USD",
        means="Net present cost over that horizon by the way that is chosen for the present one.",
        formula=_if_bought(v.own_npv_by, v.rent_npv_by),
    ),
)

# Changes of an option's net present cost with an input, for the same layout and way: it is linear in these inputs.
SLOPES = Terms(
    _of_capex(
        "running_npv",
        "USD",
        "The part of an owner's net present cost that does not depend on the price of the hardware.",
        v.annuity * ((v.power + v.hosting) * (1 + v.tax_rate) + v.other_month),
    ),
    Term(
        name="purchase_npv",
        unit="USD",
        means="The part of the net present cost that is in proportion to the price of the hardware; 0 if rented.",
        formula=_if_bought(v.own_npv - v.running_npv, 0),
    ),
    Term(
        name="gpu_price_share",
        unit="",
        means="Share of the hardware's price that is in proportion to a GPU's; all without a quote for the server.",
        formula=if_known(
            [v.hardware], when(all_of(known(v.server_per_gpu_usd), v.hardware > 0), v.order * v.gpu_usd / v.hardware, 1)
        ),
    ),
    Term(
        name="gpu_usd_slope",
        unit="",
        means="Change of the net present cost for each dollar of a GPU's price.",
        formula=_if_bought(v.purchase_npv * v.gpu_price_share / v.gpu_usd, 0),
    ),
    Term(
        name="rent_usd_slope",
        unit="",
        means="Change of the net present cost for each dollar of the rent per GPU and hour that is paid.",
        formula=_if_bought(0, v.rented * v.running_hours * (1 + v.tax_rate) * v.annuity),
    ),
    Term(
        name="tariff_slope",
        unit="kWh",
        means="Change of the net present cost for each dollar of the electricity tariff per kWh.",
        formula=_if_bought(v.energy_kwh * (1 + v.tax_rate) * v.annuity, 0),
    ),
    Term(
        name="hours_slope",
        unit="USD/hour",
        means="Change of the net present cost for each hour of use a day, in the hours that on-demand GPUs are paid.",
        formula=when(
            equal(v.on_demand, 1),
            v.rented * v.on_demand_usd_per_gpu_hour * v.days_per_month * (1 + v.tax_rate) * v.annuity,
            0,
        ),
    ),
)


def _quarter(name: str, of: str, formula: Expression) -> Term:
    """Return the change of an option's net present cost if an input is a quarter higher."""
    return Term(
        name=name,
        unit="USD",
        means=f"Change of the net present cost if {of} is 25 % higher; as much less if it is 25 % lower.",
        formula=formula,
    )


# What the net present cost of an option depends on most, its layout and way held: it is linear in these inputs.
SWINGS = Terms(
    _quarter("price_swing", "the GPU's price", _if_bought(v.gpu_usd_slope * v.gpu_usd / 4, 0)),
    _quarter("rent_swing", "the rent", _if_bought(0, v.rent_bill * (1 + v.tax_rate) * v.annuity / 4)),
    _quarter("hosting_swing", "hosting", _if_bought(v.hosting * (1 + v.tax_rate) * v.annuity / 4, 0)),
    _quarter("power_swing", "the electricity tariff", _if_bought(v.power * (1 + v.tax_rate) * v.annuity / 4, 0)),
    _quarter("support_swing", "support", _if_bought(v.support * (1 + v.tax_rate) * v.annuity / 4, 0)),
    _quarter(
        "residual_swing",
        "the residual value",
        _if_bought(-v.net_capex * v.residual_share * v.written_off * v.discount / 4, 0),
    ),
    _quarter(
        "other_swing",
        "each other line (staff, software, storage, egress)",
        if_known([v.buys], v.other_month * v.annuity / 4),
    ),
)

# The value of an input at which two options cost the same; the slope is 0 for an option that the input does not touch.
SWAP = Terms(
    Term(
        name="swap",
        unit="",
        means="The value of the input at which the lines of both costs cross.",
        formula=when(
            equal(v.best_slope, v.second_slope),
            MISSING,
            v.now + (v.second_npc - v.best_npc) / (v.best_slope - v.second_slope),
        ),
    ),
    Term(
        name="swap_value",
        unit="",
        means="That value if the input can have it; missing if not, so that no value of the input changes the order.",
        formula=if_known([v.swap], when(all_of(v.swap >= v.lowest, v.swap <= v.highest), v.swap, MISSING)),
    ),
)

# All of them, in the order in which a reader needs them.
MONEY_TERMS = (*RATES, *OPTION_MONEY, *OUTCOME, *BY_MONTH, *SLOPES, *SWINGS, *SWAP)
