"""The cell functions that rank the ways to serve a model, and that cost one. `vram_udf` describes each function."""

from __future__ import annotations

from functools import partial

from core import catalog
from core.cells import capacity
from core.cells.arguments import CONTEXT, PRECISION, USERS, cell_argument, optional
from core.cells.spill import spilled, the_only_value, valid
from core.checks import number, one_of
from core.errors import OutOfRangeError, UnknownNameError
from core.model.precision import Precision
from core.plan.costs import OptionCosts, assumed
from core.plan.demand import MIN_SPEED, tokens_of
from core.plan.fleet import GpuChoice, Option, Service, choice_of_gpu, layout_title
from core.plan.option_speed import OptionSpeed, Wish
from core.plan.options import Comparison, RankedOptions, first_of_each_gpu, ranked_options
from core.plan.ranking import NO_PRICE

# The columns of VRAM_PLAN.
HEADINGS = (
    "rank", "gpu", "layout", "replicas", "gpus", "users_per_replica", "tokens_per_s", "low_tokens_per_s",
    "first_token_s", "way", "order", "usd_per_month", "net_present_cost_usd",
)  # fmt: skip

# What VRAM_COST can return: the first is the default.
RESULTS = (
    "per_month", "net_present_cost", "way", "own_per_month", "rent_per_month", "purchase", "order", "per_user_month",
    "per_million_tokens", "break_even_month", "layout",
)  # fmt: skip

GPUS = optional(capacity.GPU)
WANTED_SPEED = cell_argument("min_speed", partial(number, "min_speed"), MIN_SPEED)
RESULT = cell_argument("result", lambda value: one_of("result", value, RESULTS), RESULTS[0])


def plan(
    model: object, context: object, users: object, gpu: object, precision: object, kv_precision: object,
    overhead: object, min_speed: object,
) -> object:  # fmt: skip
    """Return a row of headings and a row for each option, the best first: of each GPU, or of those that are named."""

    def table() -> object:
        service = the_only_value("model", capacity.services([model, precision, kv_precision, overhead]))
        named = [found for found in map(valid, GPUS.read(gpu).elements) if found is not None]
        found = ranked(
            service,
            the_only_value("precision", PRECISION.read(precision)),
            named or [choice_of_gpu(known) for known in catalog.gpus()],
            the_only_value("context", CONTEXT.read(context)),
            the_only_value("users", USERS.read(users)),
            the_only_value("min_speed", WANTED_SPEED.read(min_speed)),
        )
        ordered = found.ranking.keys if named else first_of_each_gpu(found.ranking.keys)
        if not ordered:
            refuse(found)
        return [[*HEADINGS], *(_row(place, option, found) for place, option in enumerate(ordered, start=1))]

    return spilled(table)


def cost(
    model: object, context: object, users: object, gpu: object, precision: object, kv_precision: object,
    overhead: object, min_speed: object, result: object,
) -> object:  # fmt: skip
    """Return a figure of the best option on each GPU."""

    def figure(
        context: int, users: int, gpu: GpuChoice, precision: Precision | None, wanted: float, result: str,
        service: Service,
    ) -> float | str:  # fmt: skip
        found = ranked(service, precision, [gpu], context, users, wanted)
        if not found.ranking.keys:
            refuse(found)
        best = found.ranking.keys[0]
        value = _figures(best, found.costs[best])[result]
        if value is None:
            raise UnknownNameError("result", f"{result} is not known of {gpu.name}", "Name a GPU with a price.")
        return value

    arguments = [CONTEXT, USERS, capacity.GPU, PRECISION, WANTED_SPEED, RESULT]
    given = [context, users, gpu, precision, min_speed, result]
    return capacity.of_services(figure, arguments, given, [model, precision, kv_precision, overhead])


def ranked(
    service: Service, requested: Precision | None, choices: list[GpuChoice], context: int, users: int, wanted: float
) -> RankedOptions:
    """Return the ways to serve the users at the wanted speed, compared with the default assumptions of the costs."""
    policy, assumptions = assumed({})
    tokens = tokens_of(context)
    return ranked_options(
        service,
        requested,
        choices,
        Wish(tokens=tokens, users=users, requests_per_hour=None, min_speed=wanted),
        Comparison(policy=policy, assumptions=assumptions, people=None, tokens=tokens),
    )


def refuse(found: RankedOptions) -> None:
    """Raise the error for a demand that no option with a price serves."""
    reasons = list(dict.fromkeys(out.reason for out in found.ranking.left_out)) or ["the users do not fit"]
    if NO_PRICE in reasons:
        raise UnknownNameError("gpu", NO_PRICE, "Name a GPU with a price, or see the Prices sheet of the planner.")
    raise OutOfRangeError("gpu", reasons[0], "Name another GPU, or ask for less.")


def _row(place: int, option: Option, found: RankedOptions) -> list[float | str]:
    costs = found.costs[option]
    assert costs.net_present_cost is not None  # by which it is ranked
    return [
        float(place),
        option.replica.gpu.name,
        layout_title(option.replica.tp, option.replica.pp),
        float(option.replicas),
        float(option.gpus),
        float(option.users_per_replica),
        *_speeds(found.at_loads[option]),
        costs.way or "",
        float(costs.gpus),
        costs.outcome["cost_month"],
        costs.net_present_cost,
    ]


def _speeds(at_load: OptionSpeed) -> tuple[float | str, ...]:
    """Return tokens per second of each user, the low end of their range, and the time to the first token."""
    speed = at_load.speed
    if speed is None:
        return "", "", ""
    expected = speed.expected
    return expected.tokens_per_s_per_user, speed.low.tokens_per_s_per_user, expected.first_token_s


def _figures(option: Option, costs: OptionCosts) -> dict[str, float | str | None]:
    owned, rented, outcome = costs.owned, costs.rented, costs.outcome
    return {
        "per_month": outcome["cost_month"],
        "net_present_cost": costs.net_present_cost,
        "way": costs.way,
        "own_per_month": owned and owned.usd_per_month,
        "rent_per_month": rented and rented.usd_per_month,
        "purchase": owned and owned.capex_usd,
        "order": float(costs.gpus),
        "per_user_month": outcome["person_month"],
        "per_million_tokens": outcome["million_cost"],
        "break_even_month": None if costs.break_even_month is None else float(costs.break_even_month),
        "layout": layout_title(option.replica.tp, option.replica.pp),
    }
