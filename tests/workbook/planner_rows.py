"""Draw random rows of the Scenarios sheet and compute their expected results with `core`."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from unittest.mock import patch

from core import catalog
from core.catalog.draft_models import draft_models_of
from core.catalog.mig import gpu_or_slice, gpus_with_slices
from core.plan.allocation import ALLOCATIONS, PAGED
from core.plan.costs import money_figures
from core.plan.demand import MIN_SPEED
from core.plan.fleet import LAYOUTS, Replica, layout_title, users_per_replica
from core.plan.layout_figures import has_experts, has_shapes
from core.plan.option_speed import OptionSpeed, Wish, speeds_of_options
from core.plan.serving import ENGINES, RULE, VLLM
from core.plan.speed_figures import has_speed
from core.units import GB
from workbook.formulas import OK
from workbook.scenario import FIELDS, Scenario, parse_scenario
from workbook.sheets import capacity, precisions, scenarios
from workbook.sheets.scenarios import EXAMPLES
from workbook.template import without_values

MOST_SCENARIOS = scenarios.MOST_SCENARIOS  # of a whole planner
NOMINAL = ("fp32", "fp16", "bf16", "fp8", "int8", "int4")
NOT_AVAILABLE = "–"
SIZES = ("weights", "kv", "overhead", "total")
DEPLOYED = ("layout", "replicas", "deploy", "nodes")
OUTCOME = (
    "deployable", "best_gpus", "tokens_per_s_per_user", "low_tokens_per_s", "cost_month", "cost_user_month", "start_cash",
)  # fmt: skip


def row(title: str, model: str, **changes: object) -> dict[str, object]:
    """Return one row of inputs: column key → value."""
    return {
        "scenario": title,
        "model": model,
        "context": 8192,
        "users": 10,
        "output_tokens": None,
        "allocation": "reserved",
        "average_tokens": None,
        "precision": "fp16",
        "kv_precision": "fp16",
        "engine": RULE,
        "overhead_rate": 0.1,
        "gpu": "h100-sxm",
        "gpu_memory": None,
        **{field.column: field.default for field in FIELDS if field.is_setting},
    } | changes


def random_row(
    rng: random.Random, title: str, *, most_context: int = 10**7, most_users: int = 10**5, models: Sequence[str] = ()
) -> dict[str, object]:
    """Draw a valid row over all inputs, of one of `models` or of the catalog's."""
    model = rng.choice(models or catalog.model_names())
    engines = ENGINES if has_shapes(catalog.model(model).spec) else (RULE,)
    allocation = rng.choice(ALLOCATIONS)
    context = rng.choice([1, 128, 8192, 32_768, 131_072, rng.randint(1, most_context)])
    of_answer = random.Random(f"{title}, {context}")  # apart, so that the other draws do not depend on it
    found = row(
        title,
        model,
        context=context,
        output_tokens=of_answer.choice([None, of_answer.randint(1, context - 1)]) if context > 1 else None,
        users=rng.choice([1, 10, 100, rng.randint(1, most_users)]),
        allocation=allocation,
        average_tokens=rng.choice([1, 500, 8000, rng.randint(1, 10**6)]) if allocation == PAGED else None,
        precision=rng.choice([*NOMINAL, *precisions.FORMATS, precisions.SHIPPED]),
        kv_precision=rng.choice([*NOMINAL, precisions.SHIPPED])
        if of_answer.random() < 0.7
        else of_answer.choice(precisions.CACHES),
        engine=rng.choice(engines),
        overhead_rate=rng.choice([0.0, 0.1, 1.0, round(rng.random(), 3)]),
        gpu=random_gpu(rng),
        gpu_memory=rng.choice([None, None, 24, 80, 192, round(rng.uniform(8, 300), 2)]),
        **random_settings(of_answer, model, context),
    )
    limits = {"most_context": most_context, "most_users": most_users, "models": models}
    scenario = scenario_of(found)
    # Layouts has no blocks of windows of the width of DeepSeek's own cache, of which the sheet warns elsewhere.
    is_odd = scenario is not None and scenario.lacks_cache and found["kv_precision"] == "fp8_ds_mla"
    return random_row(rng, title, **limits) if scenario is None or is_odd else found


def grouped_rows() -> list[dict[str, object]]:
    """Return rows of models with experts whose attention is divided among groups of GPUs; the rule ignores groups."""
    vllm = {"engine": VLLM, "context": 32_768, "precision": precisions.SHIPPED, "kv_precision": precisions.SHIPPED}
    return [
        row("8 groups", "deepseek-v3", **vllm, users=100, attention_dp=8, gpu="h200-sxm"),
        row("4 groups", "gpt-oss-120b", **vllm, users=500, attention_dp=4, gpu="h100-sxm", shared_tokens=5000),
        row("2 groups", "qwen3-30b-a3b", **vllm, users=300, attention_dp=2, gpu="b200", lora_adapters=2),
        row("2 groups, by the rule", "mixtral-8x7b", users=100, attention_dp=2),
    ]


def drafting_rows() -> list[dict[str, object]]:
    """Return rows of models for which their own layers, another model or a head drafts; the rule counts none of them."""
    vllm = {"engine": VLLM, "context": 32_768, "precision": precisions.SHIPPED, "kv_precision": precisions.SHIPPED}
    return [
        row("1 drafted", "deepseek-v3", **vllm, users=100, mtp_tokens=1, gpu="h200-sxm"),
        row("3 drafted, 8 groups", "deepseek-v3", **vllm, users=100, mtp_tokens=3, attention_dp=8, gpu="h200-sxm"),
        row("2 drafted, windows", "step-3.5-flash-196b", **vllm, users=50, mtp_tokens=2, acceptance=1, gpu="h100-sxm"),
        row("64 drafted", "qwen3.5-27b", **vllm, users=300, mtp_tokens=64, acceptance=0, gpu="l40s"),
        row("1 drafted, quantized", "nemotron-3-super-120b-a12b-fp8", **vllm, mtp_tokens=1, acceptance=0.7),
        row("1 drafted, by the rule", "qwen3.5-35b-a3b", users=100, mtp_tokens=1),
        row("A head, windows", "gpt-oss-120b", **vllm, users=200, mtp_tokens=3, draft_model="eagle3-gpt-oss-120b"),
        row(
            "A head, 4 groups",
            "qwen3-235b-a22b",
            **vllm,
            users=300,
            attention_dp=4,
            mtp_tokens=2,
            draft_model="eagle3-qwen3-235b-a22b",
            gpu="h200-sxm",
            shared_tokens=3000,
        ),
        row(
            "Another model",
            "llama-3.3-70b",
            **vllm | {"precision": "fp8", "kv_precision": "fp8"},
            users=60,
            mtp_tokens=5,
            acceptance=0.6,
            draft_model="llama-3.2-1b",
        ),
        row("One without a cache", "gemma-4-31b", **vllm, mtp_tokens=4, draft_model="gemma-4-31b-assistant"),
        row("Another model, by the rule", "qwen3-8b", users=100, mtp_tokens=3, draft_model="qwen3-0.6b"),
    ]


def random_gpu(rng: random.Random) -> str:
    """Draw the name of a GPU, or of a MIG slice, which has no price and no speed, in a tenth of the cases."""
    whole, slices = catalog.gpu_names(), [gpu.name for gpu in gpus_with_slices() if gpu.is_slice]
    return rng.choice(slices if rng.random() < 0.1 else whole)


def random_settings(rng: random.Random, model: str, context: int) -> dict[str, object]:
    """Draw the settings of the engine; of two thirds of the rows the defaults."""
    if rng.random() < 2 / 3:
        return {}
    settings = {
        "shared_tokens": rng.choice([0, 100, rng.randint(0, 2 * context)]),
        "lora_adapters": rng.choice([0, 1, 20]),
        "lora_rank": rng.choice([8, 16, 64]),
        # Models without experts have no layout with groups.
        "attention_dp": rng.choice([1, 2, 4, 8, 8] if has_experts(catalog.model(model).spec) else [1, 1, 1, 1, 8]),
        # Of a model without a layer that drafts, the row is not valid.
        "mtp_tokens": rng.choice([0, 1, 2, 64] if catalog.model(model).spec.drafts else [0, 0, 0, 0, 1]),
        "acceptance": rng.choice([0, 0.85, 1, round(rng.random(), 3)]),
    }
    drafts = draft_models_of(model)
    if drafts:
        settings |= {"draft_model": rng.choice(drafts), "mtp_tokens": rng.choice([1, 2, 64])}
    return settings


def scenario_of(values: dict[str, object]) -> Scenario | None:
    """Return the scenario of a row; None if the row is not valid."""
    fields = dict(values)
    fields["overhead"] = fields.pop("overhead_rate")
    fields["gpu_memory_gb"] = fields.pop("gpu_memory")
    return parse_scenario(fields)[0]


def expected_of(values: dict[str, object]) -> dict[str, object]:
    """Return the expected results of a row, in GB or whole numbers: column key → value."""
    scenario = scenario_of(values)
    assert scenario is not None, values
    needs, best = scenario.estimate, scenario.smallest
    sizes = (needs.weights_bytes, needs.kv_bytes, needs.overhead_bytes, needs.total_bytes)
    found: dict[str, object] = {
        "input_check": OK,
        "gpus": scenario.gpus_by_division,
        "lacks_cache": int(scenario.lacks_cache),
        **{key: size / GB for key, size in zip(SIZES, sizes)},
    }
    if best is None:
        return found | dict.fromkeys(DEPLOYED, NOT_AVAILABLE)
    title = layout_title(best.replica.tp, best.replica.pp)
    return found | dict(zip(DEPLOYED, (title, best.replicas, best.gpus, best.nodes)))


def outcome_of(values: dict[str, object]) -> dict[str, object]:
    """Return the speed, order and cost of a row in its layout, by the plan's defaults: column key → value."""
    scenario = scenario_of(values)
    assert scenario is not None, values
    best = scenario.smallest
    if best is None:
        return dict.fromkeys(OUTCOME, NOT_AVAILABLE)
    wish = Wish(tokens=scenario.request_tokens, users=scenario.users, requests_per_hour=None, min_speed=MIN_SPEED)
    at_load = OptionSpeed(option=best, users=scenario.users, peak_users=scenario.users, speed=None)
    if has_speed(scenario.model.spec):
        (at_load,) = speeds_of_options(scenario.service, [best], wish)
    money = money_figures(scenario.gpu, at_load.option, users=scenario.users)
    bought = money["buys"]
    month = None if bought is None else money["own_month" if bought else "rent_month"]
    found = {
        "deployable": money["deployable"],
        "best_gpus": None if bought is None else money["order" if bought else "rented"],
        "tokens_per_s_per_user": at_load.speed and at_load.speed.expected.tokens_per_s_per_user,
        "low_tokens_per_s": at_load.speed and at_load.speed.low.tokens_per_s_per_user,
        "cost_month": month,
        "cost_user_month": None if month is None else month / scenario.users,
        "start_cash": None if bought is None else money["capex"] if bought else 0,
    }
    return {key: NOT_AVAILABLE if value is None else value for key, value in found.items()}


def users_of_layouts(scenario: Scenario) -> list[int]:
    """Return the users of a replica in each of `LAYOUTS`; 0 if the layout is not possible."""
    service, gpu = scenario.service, scenario.gpu_choice
    possible = service.replicas(gpu)
    replicas = [Replica(gpu, tp, pp) for tp, pp in LAYOUTS]
    return [users_per_replica(service, replica, scenario.context) if replica in possible else 0 for replica in replicas]


def without_override(scenario: Scenario, gpu_name: str) -> Scenario:
    """Return the scenario on the GPU `gpu_name`, with that GPU's own memory."""
    gpu = gpu_or_slice(gpu_name)
    return replace(scenario, gpu=gpu, gpu_memory_gb=gpu.memory_bytes / GB)


# Models of every kind of cache, for planners that are quick to recalculate: the examples' and others.
SMALL_CATALOG = (
    "article-llama-70b", "llama-3.1-70b", "llama-3.1-8b", "qwen2.5-72b", "deepseek-v3", "llama-2-7b", "llama-2-13b",
    "gemma-3-27b", "gpt-oss-120b", "mixtral-8x7b", "qwen3-next-80b-a3b", "deepseek-v4-flash",
)  # fmt: skip


FEW_SCENARIOS = 12  # the examples and two more; the layouts of thirty are 48 000 formulas
# On the sheet GPUs: the examples', and others of every kind.
FEW_GPUS = frozenset(str(row["gpu"]) for row in EXAMPLES) | {
    "b200", "mi300x", "l4", "t4", "rtx-4090", "rtx-pro-6000", "dgx-spark", "h20-141gb", "gaudi-3", "h100-sxm-1g.10gb",
}  # fmt: skip


@contextmanager
def few(
    models: Collection[str] = SMALL_CATALOG,
    gpus: Collection[str] | None = ("h100-sxm",),
    most_scenarios: int = FEW_SCENARIOS,
    sheet_gpus: Collection[str] | None = FEW_GPUS,
) -> Iterator[None]:
    """Let planners have few models, GPUs, options and room for few scenarios: quick to write and recalculate.

    Args:
        gpus: those with options; None for all with a price.
        sheet_gpus: others on the sheet GPUs; None for all, which the audit of Prices needs.
    """
    known = tuple(model for model in catalog.models() if model.name in models)
    all_listed = gpus is None or sheet_gpus is None
    listed = tuple(gpu for gpu in gpus_with_slices() if all_listed or gpu.name in {*(gpus or ()), *(sheet_gpus or ())})
    with (
        patch.object(catalog, "models", lambda: known),
        patch.object(scenarios, "MOST_SCENARIOS", most_scenarios),
        patch("workbook.sheets.gpus.gpus_with_slices", lambda: listed),
        ExitStack() as patches,
    ):
        if gpus is not None:
            compared = [gpu for gpu in capacity.option_gpus() if gpu.name in gpus]
            patches.enter_context(patch.object(capacity, "option_gpus", lambda _=(): compared))
        yield


def small_planner(rows: Sequence[dict[str, object]] | None = None, models: Collection[str] = SMALL_CATALOG) -> bytes:
    """Return a planner in English, without values, of a few models and with the options of one GPU.

    It has room for all `rows`, or for as many as a whole planner.
    """
    most = max(FEW_SCENARIOS, min(len(rows or ()), MOST_SCENARIOS))
    with few(models, most_scenarios=most, sheet_gpus=FEW_GPUS | {str(values["gpu"]) for values in rows or ()}):
        return without_values("en", rows)
