"""Compute the figures of an exported scenario with `core`, and the formulas that pages and rows share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from core.plan.worksheet import (
    LAYOUTS,
    RULE,
    VLLM,
    Layout,
    Padding,
    Workload,
    WorksheetPlan,
    activation_bytes,
    best_layout,
    block_padding,
    gpu_share,
    other_bytes,
    vllm_usable_bytes,
    weights_on_gpu,
)

from core.catalog.prices import GpuPrices, prices
from core.checks import LIMITS
from core.errors import PlannerError
from core.model.counts import model_counts
from core.model.kv_profile import KvProfile
from core.model.spec import ModelSpec
from core.plan.allocation import PAGED
from core.plan.costs import Assumptions, OptionCosts, OrderPolicy, option_costs
from core.plan.fleet import Option, Replica, choice_of_gpu
from core.plan.nodes import node_takes
from core.units import GB
from workbook import formulas as f
from workbook.scenario import FIELDS, Scenario

NOTHING = "–"  # shown for a figure that does not apply or is not known

# The inputs that a reader may change in an exported sheet, in order. All are within their limits at the export.
INPUT_LIMITS = {field.name: LIMITS[field.limits] for field in FIELDS if field.limits}
OPEN_INPUTS = tuple(INPUT_LIMITS)


def open_inputs(scenario: Scenario) -> tuple[str, ...]:
    """Return those of `OPEN_INPUTS` that affect `scenario` and whose change the formulas can follow.

    vLLM's defaults depend on the GPU, or on its memory if only that is given. Another memory may then mean another
    class of GPU with other activations, which formulas cannot follow.
    """
    closed = set()
    if scenario.allocation != PAGED:
        closed.add("average_tokens")
    if scenario.engine != RULE:
        closed.add("overhead")
        if scenario.gpu is None:
            closed.add("gpu_memory_gb")
    return tuple(field for field in OPEN_INPUTS if field not in closed)


@dataclass(frozen=True)
class Figures:
    """The figures of a scenario; sizes in GB are not rounded to whole bytes, because formulas do not round them either.

    Attributes:
        kv: the KV cache of one sequence.
        weights_bytes: the weights in the scenario's precision.
        usable_gb: of one GPU, before the engine's buffers: by the rule, memory ÷ (1 + overhead); else vLLM's share.
        buffers_gb: vLLM's activations and buffers per GPU with TP 1, and with TP 2 or more; 0 by the rule.
        room_gb: memory per GPU for weights and KV cache, if they are divided among as few GPUs as possible.
        best: the layout to deploy; None if none fits.
        is_within_longest: whether the model supports the context; true if its longest context is not known.
    """

    scenario: Scenario
    kv: KvProfile
    weights_bytes: int
    weights_gb: float
    kv_gb: float
    usable_gb: float
    buffers_gb: tuple[float, float]
    room_gb: float
    overhead_gb: float
    gpus: int
    best: WorksheetPlan | None
    is_within_longest: bool

    @property
    def total_gb(self) -> float:
        return self.weights_gb + self.kv_gb + self.overhead_gb

    @property
    def is_right(self) -> bool:
        """Whether every check passes: the model supports the context, and a layout fits."""
        return self.is_within_longest and self.best is not None


def figures_of(scenario: Scenario) -> Figures:
    """Return the figures of `scenario`.

    Raises:
        PlannerError: `core` cannot calculate it.
    """
    needs, workload, memory_gb = scenario.needs, scenario.workload, scenario.gpu_memory_gb
    weights_gb, kv_gb = needs.weights_bytes / GB, needs.kv_bytes / GB
    if scenario.engine == RULE:
        buffers, usable_gb = (0.0, 0.0), memory_gb / (1 + scenario.overhead)
    else:
        buffers = buffers_gb(workload.model, workload.gpu.step_tokens)
        usable_gb = vllm_usable_bytes(workload.gpu.memory_bytes) / GB
    alone, one_of_several = (usable_gb - held for held in buffers)
    room_gb = alone if weights_gb + kv_gb <= alone else one_of_several
    by_rule = scenario.engine == RULE
    longest = scenario.model.spec.max_position_embeddings
    return Figures(
        scenario=scenario,
        kv=model_counts(scenario.model.spec).kv,
        weights_bytes=needs.weights_bytes,
        weights_gb=weights_gb,
        kv_gb=kv_gb,
        usable_gb=usable_gb,
        buffers_gb=buffers,
        room_gb=room_gb,
        overhead_gb=(weights_gb + kv_gb) * scenario.overhead if by_rule else needs.gpus * (memory_gb - room_gb),
        gpus=needs.gpus,
        best=best_layout(workload),
        is_within_longest=longest is None or scenario.context <= longest,
    )


@lru_cache(maxsize=4096)
def buffers_gb(model: ModelSpec, step_tokens: int) -> tuple[float, float]:
    """Return the GB per GPU that vLLM uses besides weights and KV cache: with TP 1, and with TP 2 or more."""
    one, several = (
        (activation_bytes(model, step_tokens, several=more) + other_bytes(several=more)) / GB for more in (False, True)
    )
    return one, several


@dataclass(frozen=True)
class PlanFigures:
    """What one GPU of a layout stores, counted as in `core.plan.worksheet.kv_bytes_per_user`.

    Attributes:
        loading_gb: memory that vLLM allocates in addition to the weights' bytes; 0 by the rule.
        growing_bytes: KV cache bytes per token.
        windowed_bytes: (window in tokens, KV cache bytes per token) of each sliding window.
        fixed_bytes: KV cache bytes per sequence, whatever its length.
    """

    shape: Layout
    weights_gb: float
    loading_gb: float
    growing_bytes: float
    windowed_bytes: tuple[tuple[int, float], ...]
    fixed_bytes: float


def layout_figures(workload: Workload, shape: Layout) -> PlanFigures | None:
    """Return the figures of a layout; None if the model cannot be split this way or the layout does not fit nodes."""
    needs = gpu_share(workload.model, shape)
    if needs is None or not node_takes(shape.tp, shape.pp, workload.gpu.gpus_per_node):
        return None
    by_vllm, value_bytes, kv = workload.engine == VLLM, workload.kv_precision.bytes_per_value, needs.kv
    padding = block_padding(workload.model) if by_vllm else Padding()
    return PlanFigures(
        shape=shape,
        weights_gb=weights_on_gpu(workload, needs) / GB,
        loading_gb=needs.loading_bytes / GB if by_vllm else 0.0,
        growing_bytes=(kv.values_per_token * value_bytes + kv.index_bytes_per_token) * padding.all_tokens,
        windowed_bytes=tuple((window, values * value_bytes * padding.windows) for window, values in kv.windowed),
        fixed_bytes=(kv.fixed_values * value_bytes + kv.fixed_bytes) * padding.states,
    )


def possible_layouts(workload: Workload) -> list[PlanFigures]:
    """Return the figures of every layout that can be deployed, in the order of `LAYOUTS`."""
    found = (layout_figures(workload, shape) for shape in LAYOUTS)
    return [figures for figures in found if figures is not None]


def tokens_in_window(window: str, tokens: str, step_tokens: str, block: str) -> str:
    """Return a formula for the tokens that a layer with a window caches; step and block are 0 by the rule."""
    return f"(MIN({tokens},{window}+{step_tokens})+{block})"


def prices_of(scenario: Scenario) -> GpuPrices | None:
    """Return the indicative prices of the scenario's GPU; None without a GPU, or a price to buy or rent."""
    if scenario.gpu is None:
        return None
    found = prices(scenario.gpu.name)
    known = (found.purchase, found.on_demand_per_gpu_hour, found.reserved_per_gpu_hour)
    return found if any(known) else None


def costs_of(
    figures: Figures,
    prices: GpuPrices | None = None,
    *,
    policy: OrderPolicy | None = None,
    given: Assumptions | None = None,
) -> OptionCosts | None:
    """Return the costs of the layout to deploy; None if no layout fits, or its costs cannot be calculated.

    Args:
        prices, policy, given: the defaults of the catalog if omitted.
    """
    scenario, best = figures.scenario, figures.best
    if best is None or scenario.gpu is None:
        return None
    layout = Option(
        replica=Replica(choice_of_gpu(scenario.gpu), best.layout.tp, best.layout.pp),
        replicas=best.replicas,
        users_per_replica=best.users_per_replica,
        gpus=best.gpus,
        nodes=best.nodes,
        headroom=1 - scenario.users / (best.replicas * best.users_per_replica),
    )
    try:
        return option_costs(
            scenario.gpu, layout, users=scenario.users, gpus_by_division=figures.gpus, prices=prices, policy=policy,
            assumptions=given,
        )  # fmt: skip
    except PlannerError:
        return None


def input_is_usable(field: str, cell: str, limits: Mapping[str, tuple[str, str]]) -> str:
    """Return a condition: the input's cell is within `limits` (field → cells of minimum and maximum)."""
    return f.is_number_within(cell, *limits[field], whole=INPUT_LIMITS[field].whole)


def is_within_longest(context: str, longest: str) -> str:
    """Return a condition: the context is not longer than the model's longest, if that is known."""
    return f"IF(ISNUMBER({longest}),{context}<={longest},TRUE)"


def nodes(replicas: str, per_replica: str, per_node: str) -> str:
    """Return the formula of `core.plan.nodes.nodes_for`."""
    shared = f.rounded_up(f"{replicas}/INT({per_node}/{per_replica})")
    whole = f"{replicas}*{f.rounded_up(f'{per_replica}/{per_node}')}"
    return f"IF({per_replica}>={per_node},{whole},{shared})"
