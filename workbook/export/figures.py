"""Compute the figures of an exported scenario with `core`, by the terms that pages and rows print as formulas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from core.catalog.offer_choice import GpuPrices, Price, catalog_prices
from core.catalog.prices import cost_defaults
from core.engines.blocks import BLOCK_TOKENS
from core.errors import UnsupportedModelError
from core.model.counts import model_counts
from core.plan.allocation import PAGED
from core.plan.costs import candidate_of, money_figures
from core.plan.demand import MIN_SPEED
from core.plan.fleet import MAX_GPUS, Option, Replica, layout_title, rule_figures, smallest
from core.plan.layout_figures import RULE_COLUMNS
from core.plan.memory import ADAPTERS, BLOCKS, DEVICE, ESTIMATE, OF_CONTEXT, REPLICAS, ROOM, RULE, SIZE, STAGE
from core.plan.money import OUTCOME
from core.plan.nodes import NODES
from core.plan.option_speed import OptionSpeed
from core.plan.ranking import SAME_COST, rank
from core.plan.replica_figures import replica_figures
from core.plan.serving import RULE as BY_RULE
from core.plan.serving import VLLM
from core.plan.terms import MISSING, Term, Terms, if_known, v, when
from workbook import formulas as f
from workbook.export import speeds
from workbook.scenario import FIELDS, Scenario

NOTHING = "–"  # shown for a figure that does not apply or is not known

# The inputs that a reader may change in an exported sheet, in order. All are within their limits at the export. The
# calculation holds the tokens of an answer and the engine's settings as values.
INPUT_LIMITS = {
    field.name: field.limits
    for field in FIELDS
    if field.limits and not field.is_setting and field.name != "output_tokens"
}
OPEN_INPUTS = tuple(INPUT_LIMITS)

# Engine → the terms of one GPU of a layout, and their inputs that differ between layouts or stages.
STAGE_TERMS = {BY_RULE: RULE, VLLM: Terms(*ROOM, *ADAPTERS, *BLOCKS, *STAGE)}
STAGE_INPUTS = {
    BY_RULE: RULE_COLUMNS,
    VLLM: (
        "lora_values", "weights_bytes", "wide", "step_activation_bytes", "latent_fixed_bytes", "latent_bytes_per_token",
        "block_bytes", "block_tokens", "block_tokens_2", "window_block_tokens",
    ),
}  # fmt: skip
STAGE_USERS = {BY_RULE: "rule_users", VLLM: "stage_users"}
# What a scenario has once, for all layouts.
SCENARIO_TERMS = {BY_RULE: ESTIMATE, VLLM: Terms(*ESTIMATE, *DEVICE, *OF_CONTEXT)}
LAYOUT_TERMS = Terms(REPLICAS["replicas_needed"], REPLICAS["gpus"])
# Names of `NODES` → what they are for the replicas that are needed, without headroom and spares.
NEEDED = {"with_spares": "gpus", "replicas": "replicas_needed", "replicas_per_node": "needed_per_node",
          "nodes": "needed_nodes"}  # fmt: skip

# `core.plan.ranking.rank` for the layouts of one GPU: each term keeps the layouts that are best so far, and needs the
# best figure of the term before, of all layouts: its name → the function and the term.
RANKING = Terms(
    Term(
        name="cost",
        unit="USD",
        means="Cost that is ranked: missing without a price or the GPU's bandwidth.",
        formula=if_known([v.net_present_cost, v.bandwidth], v.net_present_cost),
    ),
    Term(
        name="cheapest_places",
        unit="users",
        means="Free places of the layouts that cost about as much as the cheapest.",
        formula=if_known(
            [v.cost], when(v.cost <= v.lowest_cost * v.same_cost, v.replicas * v.served_users - v.users, MISSING)
        ),
    ),
    Term(
        name="cheapest_bandwidth",
        unit="GB/s",
        means="Bandwidth of all GPUs, of those with the most free places.",
        formula=if_known(
            [v.cheapest_places], when(v.cheapest_places >= v.most_places, v.with_spares * v.bandwidth, MISSING)
        ),
    ),
    Term(
        name="cheapest_cost",
        unit="USD",
        means="Cost of those with the most bandwidth; the lowest one is recommended.",
        formula=if_known([v.cheapest_bandwidth], when(v.cheapest_bandwidth >= v.most_bandwidth, v.cost, MISSING)),
    ),
)
# What the cheaper of buying and renting comes to: cash at the start, and tax.
OF_WAY = Terms(*(OUTCOME[name] for name in ("start_cash", "start_tax", "lines_month", "taxed_month", "month_tax")))
BEST_OF_ALL = {
    "lowest_cost": ("MIN", "cost"),
    "most_places": ("MAX", "cheapest_places"),
    "most_bandwidth": ("MAX", "cheapest_bandwidth"),
}


def open_inputs(scenario: Scenario) -> tuple[str, ...]:
    """Return those of `OPEN_INPUTS` that affect `scenario` and whose change the formulas can follow.

    With vLLM another memory may mean another class of GPU in its defaults, with other activations, which formulas
    cannot follow.
    """
    closed = set()
    if scenario.allocation != PAGED:
        closed.add("average_tokens")
    if scenario.engine == VLLM:
        closed.add("gpu_memory_gb")
    return tuple(field for field in OPEN_INPUTS if field not in closed)


@dataclass(frozen=True)
class Figures:
    """The figures of a scenario; sizes in GB are not rounded to whole bytes, because formulas do not round them either.

    Attributes:
        terms: every input and term of `core.plan.memory.ESTIMATE` by name.
        prices: those of the scenario's GPU; None without a GPU, or an offer to buy or rent it.
        min_speed: tokens per second that each user is to get; None: memory and costs alone decide.
    """

    scenario: Scenario
    terms: Mapping[str, Any]
    prices: GpuPrices | None
    min_speed: float | None = MIN_SPEED

    @cached_property
    def speed_gap(self) -> str:
        """Why there is no speed, a name of `workbook.export.speeds`; "" if there is."""
        return speeds.NOT_ASKED if self.min_speed is None else speeds.gap_of(self.scenario)

    @property
    def has_speed(self) -> bool:
        return self.speed_gap == ""

    @cached_property
    def at_loads(self) -> tuple[OptionSpeed, ...]:
        """The options, each with the users that it serves fast enough, or with the reason why it cannot be chosen."""
        return speeds.at_loads(self.scenario, self.min_speed)

    @property
    def options(self) -> tuple[Option, ...]:
        """The options that can be chosen."""
        if self.min_speed is None:
            return self.scenario.options
        return tuple(at_load.option for at_load in self.at_loads if not at_load.reason)

    @cached_property
    def money(self) -> Mapping[Option, Mapping[str, Any]]:
        """Every term of `core.plan.money.OPTION_MONEY` of each option; empty if the GPU has no price."""
        return {option: self.money_of(option) for option in self.options} if self.prices else {}

    def money_of(self, option: Option | None) -> dict[str, Any]:
        """Return every term of `OPTION_MONEY` of an option; None: of a layout that does not fit."""
        assert self.scenario.gpu is not None and self.prices is not None, "only GPUs of the catalog have prices"
        return money_figures(self.scenario.gpu, option, users=self.scenario.users, prices=self.prices)

    @cached_property
    def best(self) -> Option | None:
        """The layout to deploy; None if none fits."""
        return recommended(self.scenario, self.options, self.money)

    @property
    def best_at_load(self) -> OptionSpeed | None:
        """The layout to deploy at its load; None if none fits."""
        return next((at_load for at_load in self.at_loads if at_load.option == self.best), None)

    @property
    def best_money(self) -> Mapping[str, Any] | None:
        """The terms of `OPTION_MONEY` of the layout to deploy; None without a price, or if none fits."""
        return self.money.get(self.best) if self.best else None

    @property
    def low_speed(self) -> Any:
        """Tokens per second of a user at the low end of the range; a dash if not known."""
        found = self.best_at_load
        return found.speed.low.tokens_per_s_per_user if found and found.speed else NOTHING

    @property
    def layout(self) -> str:
        """The title of the layout to deploy, or a dash."""
        return layout_title(self.best.replica.tp, self.best.replica.pp) if self.best else NOTHING

    @property
    def best_month(self) -> Any:
        """US dollars per month of buying or renting, whichever is cheaper; a dash if not known."""
        return NOTHING if self.best_money is None else chosen(self.best_money, "own_month", "rent_month")

    @cached_property
    def of_way(self) -> Mapping[str, Any]:
        """What the cheaper of buying and renting comes to, by name of `OF_WAY`; None is a missing figure."""
        if self.best_money is None:
            return dict.fromkeys(OF_WAY.by_name)
        return OF_WAY.compute({name: row.value for name, row in cost_defaults().items()} | dict(self.best_money))

    @property
    def is_within_longest(self) -> bool:
        """Whether the model supports the context; true if its longest context is not known."""
        longest = self.scenario.model.spec.max_position_embeddings
        return longest is None or self.scenario.context <= longest

    @property
    def is_right(self) -> bool:
        """Whether every check passes: the model supports the context, and a layout fits."""
        return self.is_within_longest and self.best is not None


def figures_of(
    scenario: Scenario, prices: Mapping[str, GpuPrices] | None = None, min_speed: float | None = MIN_SPEED
) -> Figures:
    """Return the figures of `scenario`.

    Args:
        prices: those of each GPU; by the catalog's offers if omitted.
        min_speed: tokens per second that each user is to get; None: memory and costs alone decide.

    Raises:
        UnsupportedModelError: the model has sliding windows of more than two sizes.
    """
    kv = model_counts(scenario.model.spec).kv
    if len(kv.windowed) > 2:
        problem = f"{scenario.model.name} has sliding windows of more than two sizes, and the sheets have cells for two"
        raise UnsupportedModelError("model", problem, "Choose another model.")
    (window, windowed), (window_2, windowed_2) = [*kv.windowed, (0, 0), (0, 0)][:2]
    given = {
        "context": scenario.context,
        "users": scenario.users,
        "allocation": scenario.allocation,
        "average_tokens": scenario.average_tokens,
        "overhead": scenario.overhead,
        "memory_bytes": scenario.gpu_choice.memory_bytes,
        "all_weights_bytes": scenario.estimate.weights_bytes,
        "all_values_per_token": kv.values_per_token,
        "window_tokens": window,
        "all_windowed_values": windowed,
        "window_tokens_2": window_2,
        "all_windowed_values_2": windowed_2,
        "all_fixed_values": kv.fixed_values,
        "all_fixed_bytes": kv.fixed_bytes,
        "all_index_bytes": kv.index_bytes_per_token,
        "value_bytes": scenario.kv_precision.bytes_per_value,
        "kv_block_tokens": BLOCK_TOKENS,
    }
    found = _prices_of(scenario, prices or catalog_prices())
    return Figures(scenario, given | ESTIMATE.compute(given), found, min_speed)


def recommended(
    scenario: Scenario, options: Sequence[Option], money: Mapping[Option, Mapping[str, Any]]
) -> Option | None:
    """Return the layout to deploy: the first of the ranking, or without a price or bandwidth the one with fewest GPUs.

    Args:
        options: those that can be chosen.
        money: the terms of `OPTION_MONEY` of each option; empty without a price.
    """
    if not money:
        return smallest(options)
    bandwidth = scenario.gpu.bandwidth_gb_per_s if scenario.gpu else None
    ranking = rank(candidate_of(option, figures, scenario.users, bandwidth) for option, figures in money.items())
    return ranking.keys[0] if ranking.keys else smallest(options)


def _prices_of(scenario: Scenario, prices: Mapping[str, GpuPrices]) -> GpuPrices | None:
    found = scenario.gpu and prices[scenario.gpu.name]
    return found if found and found.has_offer else None


def prices_by_field(found: GpuPrices) -> dict[str, Price | None]:
    """Return the prices that are inputs of a page, by field."""
    return {
        "gpu_usd": found.purchase,
        "server_per_gpu_usd": found.server_per_gpu,
        "on_demand_usd_per_gpu_hour": found.on_demand_per_gpu_hour,
        "reserved_usd_per_gpu_hour": found.reserved_per_gpu_hour,
    }


def steps_of(found: GpuPrices | None) -> dict[str, int | None]:
    """Return the numbers of GPUs that are bought and rented in multiples of, by input of the terms."""
    known = found or GpuPrices(name="")
    prices = {
        "order_step": known.purchase,
        "on_demand_step": known.on_demand_per_gpu_hour,
        "reserved_step": known.reserved_per_gpu_hour,
    }
    return {name: price.step if price else None for name, price in prices.items()}


def chosen(money: Mapping[str, Any], bought: str, rented: str) -> Any:
    """Return a figure of buying or of renting, whichever is cheaper; a dash without a price."""
    return NOTHING if money["buys"] is None else money[bought] if money["buys"] else money[rented]


def stages_of(figures: Figures, replica: Replica) -> tuple[dict[str, Any], ...]:
    """Return every input and term of each stage that can have the fewest users, by name; one by the rule."""
    scenario, service = figures.scenario, figures.scenario.service
    if scenario.engine == VLLM:
        return replica_figures(service, replica, scenario.context)
    return ({"tp": replica.tp, "pp": replica.pp, **rule_figures(service, replica, scenario.context)},)


@dataclass(frozen=True)
class Layout:
    """A layout that can be deployed.

    Attributes:
        stages: the inputs and terms of each stage.
        figures: the inputs and terms of the layout: users, GPUs, nodes, speed, order by size, money, ranking.
        users_key: the name of a stage's users.
    """

    replica: Replica
    stages: tuple[Mapping[str, Any], ...]
    figures: Mapping[str, Any]
    users_key: str

    @property
    def fullest(self) -> Mapping[str, Any]:
        """The stage with the fewest users."""
        return min(self.stages, key=lambda stage: stage[self.users_key])


def layouts_of(figures: Figures) -> tuple[Layout, ...]:
    """Return every layout that the GPU's nodes take and the model can be split into, in the order of the menu."""
    scenario = figures.scenario
    service, with_money = scenario.service, figures.prices is not None
    options, users = {option.replica: option for option in figures.options}, STAGE_USERS[scenario.engine]
    found = []
    paces = paces_of(figures)
    for replica in service.replicas(scenario.gpu_choice):
        stages = stages_of(figures, replica)
        fitting = min(stage[users] for stage in stages) * service.groups
        row = _layout_row(figures, replica, fitting, paces.get(replica.tp))
        if with_money:
            option = options.get(replica)
            row |= figures.money_of(None) if option is None else figures.money[option]
        found.append((replica, stages, row))
    if with_money:
        _add_ranking([row for *_, row in found])
    return tuple(Layout(*layout, users) for layout in found)


def paces_of(figures: Figures) -> dict[int, dict[str, Any]]:
    """Return tensor parallel size → the inputs and terms of `speeds.PACE_TERMS`; empty where no speed is known."""
    if not figures.has_speed or figures.min_speed is None:
        return {}
    scenario = figures.scenario
    sizes = sorted({replica.tp for replica in scenario.service.replicas(scenario.gpu_choice)})
    return {tp: speeds.pace_figures(scenario, tp, figures.min_speed) for tp in sizes}


def _layout_row(figures: Figures, replica: Replica, fitting: int, pace: Mapping[str, Any] | None) -> dict[str, Any]:
    scenario = figures.scenario
    fast = {} if pace is None else speeds.fast_figures(pace, replica.pp)
    row: dict[str, Any] = fast | {
        "layout": layout_title(replica.tp, replica.pp),
        "tp": replica.tp,
        "pp": replica.pp,
        "gpus_per_replica": replica.gpus,
        "gpus_per_node": replica.gpu.gpus_per_node,
        "fitting_users": fitting,
        "users_per_replica": min(fitting, fast["users_at_speed"]) if fast else fitting,
        "users": scenario.users,
        "bandwidth": scenario.gpu and scenario.gpu.bandwidth_gb_per_s,
        "on_board": int(scenario.gpu is not None and scenario.gpu.is_on_board),
        "most_planned_gpus": MAX_GPUS,
        "same_cost": SAME_COST,
    }
    row |= LAYOUT_TERMS.compute(row)
    nodes = NODES.compute(row | {name: row[key] for name, key in NEEDED.items() if key in row})
    row |= {NEEDED[name]: value for name, value in nodes.items()}
    row["is_fast"] = int(figures.speed_gap not in speeds.REFUSING)
    if pace is not None:
        row |= speeds.load_figures(pace, replica.pp, scenario.users, row["replicas_needed"])
        row["is_fast"] = int(row["low_tokens_per_s"] >= figures.min_speed)
    row |= SIZE.compute(row | {"nodes": row["needed_nodes"]}) if row["is_fast"] else {"size_key": None}
    return row | {"served_users": row["users_per_replica"] if row["gpus"] is not None and row["is_fast"] else 0}


def _add_ranking(rows: Sequence[dict[str, Any]]) -> None:
    best: dict[str, Any] = dict.fromkeys(BEST_OF_ALL)
    for term in RANKING:
        compute = Terms(term).compute
        for row in rows:
            row |= compute(row | best)
        known = [row[term.name] for row in rows if row[term.name] is not None]
        for name, (function, of) in BEST_OF_ALL.items():
            if of == term.name and known:
                best[name] = min(known) if function == "MIN" else max(known)


def input_is_usable(field: str, cell: str, limits: Mapping[str, tuple[str, str]]) -> str:
    """Return 1 if the input's cell is within `limits` (field → cells of minimum and maximum), else 0, as a formula."""
    return f"IF({f.is_number_within(cell, *limits[field], whole=INPUT_LIMITS[field].whole)},1,0)"


def is_within_longest(context: str, longest: str) -> str:
    """Return a condition: the context is not longer than the model's longest, if that is known."""
    return f"IF(ISNUMBER({longest}),{context}<={longest},TRUE)"


def memory_bytes(gpu_memory_gb: str) -> str:
    """Return the formula of the whole bytes of a GPU's memory."""
    return f"ROUND({gpu_memory_gb}*{f.GB},0)"
