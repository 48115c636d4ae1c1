"""Write the terms of `core.plan.money` over the cells of a page and the named shared assumptions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from core.catalog.prices import GpuPrices, Quote
from core.plan.costs import OptionCosts, comes_on_baseboards, money_figures
from core.plan.money import OPTION_MONEY, RATES
from core.plan.terms import Term
from workbook import formulas as f
from workbook import styles, terms
from workbook.book import COUNT_FORMAT
from workbook.export.assumptions import COST_INPUTS
from workbook.export.figures import NOTHING, Figures
from workbook.labels import Labels

MONEY_FORMAT = "#,##0"

At = Callable[[str], str]

# Names of terms and their inputs that a page has under another key.
_PAGE_KEYS = {
    "replicas": "cost_replicas", "nodes": "cost_nodes", "gpus_per_replica": "per_replica", "gpus_per_node": "per_node",
    "tdp_w": "tdp",
}  # fmt: skip
_SHARED = {*COST_INPUTS, *RATES.by_name, "hours_per_month", "months_per_year", "most_gpus"}


@dataclass(frozen=True)
class CostLine:
    """One figure of the costs: its label, its value and its formula; no formula for a constant."""

    key: str
    label: str
    value: object
    formula: Callable[[At], str] | None
    number_format: str | None = MONEY_FORMAT

    @property
    def role(self) -> str:
        return styles.FORMULA if self.formula else styles.SOURCE_FIGURE


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
    gpu = figures.scenario.gpu
    assert gpu is not None, "only GPUs of the catalog have prices"
    money = costs.figures if costs else money_figures(gpu, None, users=figures.scenario.users, prices=found)
    of_terms = [
        CostLine(
            _page_key(term.name),
            terms.label(labels, term.name),
            _or_dash(money[term.name]),
            partial(_formula, term),
            terms.number_format(term),
        )
        for term in OPTION_MONEY
    ]
    on_board = int(comes_on_baseboards(gpu))
    return [
        CostLine("on_board", terms.label(labels, "on_board"), on_board, None, COUNT_FORMAT),
        *of_terms,
        *_chosen_lines(labels, {line.key: line.value for line in of_terms}),
    ]


def _chosen_lines(labels: Labels, money: dict[str, object]) -> list[CostLine]:
    """Return the figures of the cheaper of buying and renting."""
    buy, rent, never = (labels(f"procurement.{key}") for key in ("buy", "rent", "never"))

    def chosen(bought: object, rented: object) -> object:
        return NOTHING if money["buys"] == NOTHING else bought if money["buys"] else rented

    def line(key: str, bought: str, rented: str, number_format: str) -> CostLine:
        return CostLine(
            key,
            labels(f"procurement.{key}"),
            chosen(money[bought], money[rented]),
            lambda at: terms.bought_or_rented(at("buys"), at(bought), at(rented)),
            number_format,
        )

    def verb(at: At) -> str:
        return terms.bought_or_rented(at("buys"), f.text(buy), f.text(rent))

    is_compared = money["saved"] != NOTHING
    paid_off = never if money["break_even"] == NOTHING else money["break_even"]
    return [
        CostLine(
            "pays_off",
            labels("procurement.pays_off"),
            paid_off if is_compared else NOTHING,
            lambda at: terms.pays_off(at("saved"), at("break_even"), never),
            COUNT_FORMAT,
        ),
        CostLine(
            "cheaper",
            labels("procurement.cheaper"),
            chosen(buy, rent) if is_compared else NOTHING,
            lambda at: f"IF(ISNUMBER({at('saved')}),{verb(at)},{terms.MISSING})",
            None,
        ),
        CostLine("verb", labels("procurement.cheaper"), chosen(buy, rent), verb, None),
        line("best_month", "own_month", "rent_month", MONEY_FORMAT),
        line("best_gpus", "order", "rented", COUNT_FORMAT),
    ]


def _page_key(name: str) -> str:
    return _PAGE_KEYS.get(name, name)


def _formula(term: Term, at: At) -> str:
    """Return the formula of a term over cells of the page and defined names."""
    return terms.formula(term, lambda name: name if name in _SHARED else at(_page_key(name)))


def _or_dash(value: object) -> object:
    return NOTHING if value is None else value
