"""Write the formulas of `core.plan.costs` over the cells of a page and the named shared assumptions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from core.catalog.prices import GpuPrices, Quote
from core.plan.costs import comes_on_baseboards, server_usd_per_gpu
from core.plan.layout_costs import OptionCosts
from workbook import formulas as f
from workbook.book import COUNT_FORMAT
from workbook.export.figures import NOTHING, Figures, nodes
from workbook.labels import Labels

MONEY_FORMAT, CENTS_FORMAT = "#,##0", "#,##0.00"
W_PER_KW = "10^3"
_NOTHING = f.text(NOTHING)

At = Callable[[str], str]


@dataclass(frozen=True)
class CostLine:
    """One figure of the costs: its value and its formula."""

    key: str
    value: object
    formula: Callable[[At], str]
    number_format: str | None = MONEY_FORMAT


def quotes(found: GpuPrices) -> dict[str, Quote | None]:
    """Return the prices that are inputs of a page, by field."""
    return {
        "gpu_usd": found.purchase,
        "server_per_gpu_usd": found.server_per_gpu,
        "on_demand_usd_per_gpu_hour": found.on_demand_per_gpu_hour,
        "reserved_usd_per_gpu_hour": found.reserved_per_gpu_hour,
    }


def cost_lines(labels: Labels, figures: Figures, found: GpuPrices, costs: OptionCosts | None) -> list[CostLine]:
    """Return every figure of the costs, each after the figures that it is calculated from.

    Args:
        costs: None if no layout fits, so that nothing is ordered.
    """
    order, owned, rented = costs and costs.order, costs and costs.owned, costs and costs.rented
    gpu = figures.scenario.gpu
    assert gpu is not None, "only GPUs of the catalog have prices"
    server = server_usd_per_gpu(found)
    verb = _known_verb(costs)

    def of(source: object, field: str) -> object:
        return NOTHING if source is None else _or_dash(getattr(source, field))

    by_node = "IF(whole_nodes=1,{full},{used})" if comes_on_baseboards(gpu) else "{used}"

    def in_nodes(at: At) -> str:
        full = f"({at('cost_nodes')}-spare_nodes)*{at('per_node')}"
        return _if_fits(at, by_node.format(full=full, used=at("with_headroom")))

    def ordered(at: At) -> str:
        spares = f"spare_nodes*MIN({at('per_node')},{at('in_nodes')})+spare_gpus"
        all_gpus = f"{at('in_nodes')}+{spares}"
        return _if_fits(at, f"IF(MAX({all_gpus},{at('gpus')})<=most_gpus,{all_gpus},{_NOTHING})")

    def capex(at: At) -> str:
        hardware = f"{at('order')}*{at('gpu_usd')}+{at('cost_nodes')}*{at('server_usd')}*{at('per_node')}"
        known = f"AND(ISNUMBER({at('order')}),ISNUMBER({at('gpu_usd')}),ISNUMBER({at('tdp')}))"
        return f"IF({known},({hardware})*(1+network_share),{_NOTHING})"

    def rent(price: str, share: str) -> Callable[[At], str]:
        def formula(at: At) -> str:
            known = f"AND(ISNUMBER({at('order')}),ISNUMBER({at(price)}))"
            return f"IF({known},{at('in_nodes')}*hours_per_month*{at(price)}{share},{_NOTHING})"

        return formula

    def owning(formula: str) -> Callable[[At], str]:
        return lambda at: f"IF(ISNUMBER({at('capex')}),{_with_cells(formula, at)},{_NOTHING})"

    def renting(formula: str) -> Callable[[At], str]:
        return lambda at: f"IF(ISNUMBER({at('rent_month')}),{_with_cells(formula, at)},{_NOTHING})"

    def break_even(at: At) -> str:
        saved, never = f"({at('rent_month')}-{at('opex')})", f.text(labels("procurement.never"))
        paid_off = f"MAX(1,{f.rounded_up(at('capex') + '/' + saved)})"
        at_the_end = f"IF({at('own_tco')}<={at('rent_tco')},horizon_months,{never})"
        return _if_both_known(at, f"IF({saved}*horizon_months>={at('capex')},{paid_off},{at_the_end})")

    def cheaper(at: At) -> str:
        buy, rent_ = f.text(labels("procurement.buy")), f.text(labels("procurement.rent"))
        return _if_both_known(at, f"IF({at('own_npv')}<={at('rent_npv')},{buy},{rent_})")

    known_server = f"IF(ISNUMBER({{server}}),{{server}},IF(ISNUMBER({{gpu}}),{{gpu}}*server_share_of_gpus,{_NOTHING}))"
    never = labels("procurement.never")
    both = owned is not None and rented is not None
    return [
        CostLine(
            "server_usd", _or_dash(server),
            lambda at: known_server.format(server=at("server_per_gpu_usd"), gpu=at("gpu_usd")),
        ),
        CostLine(
            "cost_replicas", of(order, "replicas"),
            lambda at: _if_fits(at, f.rounded_up(f"{at('users')}/({at('users_per_replica')}*(1-headroom))")),
            COUNT_FORMAT,
        ),
        CostLine(
            "with_headroom", of(order, "with_headroom"),
            lambda at: _if_fits(at, f"{at('cost_replicas')}*{at('per_replica')}"), COUNT_FORMAT,
        ),
        CostLine(
            "cost_nodes", of(order, "nodes"),
            lambda at: _if_fits(at, f"{nodes(at('cost_replicas'), at('per_replica'), at('per_node'))}+spare_nodes"),
            COUNT_FORMAT,
        ),
        CostLine("in_nodes", of(order, "in_nodes"), in_nodes, COUNT_FORMAT),
        CostLine("order", of(order, "gpus"), ordered, COUNT_FORMAT),
        CostLine("capex", of(owned, "capex_usd"), capex),
        CostLine(
            "it_kw", of(owned, "it_kw"), owning(f"{{order}}*{{tdp}}*(1+server_power_share)/{W_PER_KW}"), "#,##0.0"
        ),
        CostLine(
            "power", of(owned, "power_usd_per_month"),
            owning("{it_kw}*power_load*pue*tariff_usd_per_kwh*hours_per_month"),
        ),
        CostLine(
            "hosting", of(owned, "hosting_usd_per_month"),
            owning("{it_kw}*hosting_usd_per_kw_month+{cost_nodes}*hosting_usd_per_node_month"),
        ),
        CostLine(
            "support", of(owned, "support_usd_per_month"), owning("{capex}*support_share_per_year/months_per_year")
        ),
        CostLine(
            "depreciation", of(owned, "depreciation_usd_per_month"),
            owning("{capex}*(1-residual_share)/(depreciation_years*months_per_year)"),
        ),
        CostLine("opex", of(owned, "opex_usd_per_month"), owning("{power}+{hosting}+{support}")),
        CostLine(
            "value", of(owned, "value_at_horizon_usd"),
            owning("{capex}*(1-(1-residual_share)*MIN(1,horizon_months/(depreciation_years*months_per_year)))"),
        ),
        CostLine("own_month", of(owned, "usd_per_month"), owning("{depreciation}+{opex}")),
        CostLine(
            "own_user_month", of(costs, "owning_usd_per_user_month"), owning("{own_month}/{users}"), CENTS_FORMAT
        ),
        CostLine("own_tco", of(owned, "tco_usd"), owning("{capex}+{opex}*horizon_months-{value}")),
        CostLine("own_npv", of(owned, "npv_usd"), owning("{capex}+{opex}*annuity-{value}*discount")),
        CostLine(
            "on_demand_month", of(rented, "on_demand_usd_per_month"),
            rent("on_demand_usd_per_gpu_hour", "*on_demand_hours_share"),
        ),
        CostLine("reserved_month", of(rented, "reserved_usd_per_month"), rent("reserved_usd_per_gpu_hour", "")),
        CostLine(
            "rent_month", of(rented, "usd_per_month"),
            lambda at: (
                f"IF(COUNT({at('on_demand_month')},{at('reserved_month')})>0,"
                f"MIN({at('on_demand_month')},{at('reserved_month')}),{_NOTHING})"
            ),
        ),
        CostLine(
            "rent_user_month", of(costs, "renting_usd_per_user_month"), renting("{rent_month}/{users}"), CENTS_FORMAT
        ),
        CostLine("rent_tco", of(rented, "tco_usd"), renting("{rent_month}*horizon_months")),
        CostLine("rent_npv", of(rented, "npv_usd"), renting("{rent_month}*annuity")),
        CostLine(
            "break_even",
            NOTHING
            if costs is None or not both
            else never
            if costs.break_even_month is None
            else costs.break_even_month,
            break_even, COUNT_FORMAT,
        ),
        CostLine(
            "cheaper", NOTHING if costs is None or not both else labels(f"procurement.{costs.cheaper}"), cheaper, None
        ),
        CostLine(
            "verb", NOTHING if verb is None else labels(f"procurement.{verb}"),
            lambda at: _if_cheaper(at, f.text(labels("procurement.buy")), f.text(labels("procurement.rent"))), None,
        ),
        CostLine(
            "best_month", _by_verb(verb, of(owned, "usd_per_month"), of(rented, "usd_per_month")),
            lambda at: _if_cheaper(at, at("own_month"), at("rent_month")),
        ),
        CostLine(
            "best_gpus", _by_verb(verb, of(order, "gpus"), of(order, "in_nodes")),
            lambda at: _if_cheaper(at, at("order"), at("in_nodes")), COUNT_FORMAT,
        ),
        CostLine(
            "best_npv", _by_verb(verb, of(owned, "npv_usd"), of(rented, "npv_usd")),
            lambda at: _if_cheaper(at, at("own_npv"), at("rent_npv")),
        ),
    ]  # fmt: skip


def _known_verb(costs: OptionCosts | None) -> str | None:
    """Return the cheaper of "buy" and "rent" by present value; if only one has a price, that one; else None."""
    if costs is None or (costs.owned is None and costs.rented is None):
        return None
    return costs.cheaper or ("rent" if costs.owned is None else "buy")


def _by_verb(verb: str | None, bought: object, rented: object) -> object:
    return NOTHING if verb is None else bought if verb == "buy" else rented


def _if_cheaper(at: At, bought: str, rented: str) -> str:
    own, rent = at("own_npv"), at("rent_npv")
    buys = f"IF(ISNUMBER({own}),IF(ISNUMBER({rent}),{own}<={rent},TRUE),FALSE)"
    return f"IF(COUNT({own},{rent})>0,IF({buys},{bought},{rented}),{_NOTHING})"


def _if_both_known(at: At, formula: str) -> str:
    return f"IF(AND(ISNUMBER({at('own_npv')}),ISNUMBER({at('rent_npv')})),{formula},{_NOTHING})"


def _if_fits(at: At, formula: str) -> str:
    return f"IF({at('best')}>0,{formula},{_NOTHING})"


def _with_cells(formula: str, at: At) -> str:
    return formula.format_map(_CellsByKey(at))


class _CellsByKey(dict):
    """A mapping for `str.format_map` from the key of a figure to its cell."""

    def __init__(self, at: At) -> None:
        self._at = at

    def __missing__(self, key: str) -> str:
        return self._at(key)


def _or_dash(value: object) -> object:
    return NOTHING if value is None else value
