"""Rank the ways to serve a model on some GPUs by fit, speed and costs: one order for every interface."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from core.catalog.offer_choice import GpuPrices
from core.errors import UnsupportedModelError
from core.model.precision import Precision
from core.plan.allocation import allocated_tokens
from core.plan.costs import Assumptions, OptionCosts, OrderPolicy, Usage, candidate_of, option_costs
from core.plan.demand import Tokens
from core.plan.estimate import DEFAULT_OVERHEAD_FRACTION, estimate
from core.plan.fleet import MAX_GPUS, GpuChoice, Option, Service, gpu_of_choice, gpus_by_division
from core.plan.fleet import options as fitting_options
from core.plan.option_speed import OptionSpeed, Wish, speeds_of_options
from core.plan.ranking import NO_BANDWIDTH, Candidate, Ranking, rank
from core.units import GB


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The assumptions and the load by which the options of a plan are compared.

    Attributes:
        policy, assumptions: as `core.plan.costs.assumed` returns them.
        people: people who use the service; None if they are not given.
        tokens: of a request.
        prices: those of each GPU; None: by the catalog's offers.
    """

    policy: OrderPolicy
    assumptions: Assumptions
    people: int | None
    tokens: Tokens
    prices: Mapping[str, GpuPrices] | None = None


def _total_bytes(service: Service, requested: Precision | None, context: int) -> Callable[[int], int]:
    """Return the memory by users that the article's count divides by a GPU's, as the planner's sheets do.

    The count takes the precision that was asked for, not the format in which an engine serves it, the tokens that are
    allocated, and the rule's fraction also where an engine's budget decides.
    """
    overhead = DEFAULT_OVERHEAD_FRACTION if service.overhead is None else service.overhead

    @cache
    def of_users(users: int) -> int:
        return estimate(
            service.model,
            context=allocated_tokens(context, service.average_tokens),
            users=users,
            precision=requested,
            kv_precision=service.kv_precision,
            overhead=overhead,
        ).total_bytes

    return of_users


def _costs_by_option(
    options: Iterable[OptionSpeed], total_bytes: Callable[[int], int], comparison: Comparison
) -> dict[Option, OptionCosts]:
    """Return the costs of each option whose GPU is in the catalog, and that has not too many GPUs to be planned.

    Args:
        options: the options at their loads.
        total_bytes: memory by users, for the article's count of GPUs.
    """
    costs = {}
    for at_load in options:
        option, users = at_load.option, at_load.users
        choice = option.replica.gpu
        gpu = gpu_of_choice(choice)
        if gpu is not None and option.gpus <= MAX_GPUS:
            costs[option] = option_costs(
                gpu,
                option,
                users=users,
                gpus_by_division=gpus_by_division(total_bytes(users), choice.memory_bytes / GB),
                policy=comparison.policy,
                assumptions=comparison.assumptions,
                prices=comparison.prices[gpu.name] if comparison.prices else None,
                usage=Usage(
                    people=comparison.people,
                    output_tokens_per_s=at_load.speed.expected.output_tokens_per_s if at_load.speed else None,
                    prompt_tokens=comparison.tokens.prompt,
                    output_tokens=comparison.tokens.output,
                ),
            )
    return costs


@dataclass(frozen=True, kw_only=True)
class RankedOptions:
    """Every layout of some GPUs that holds the users.

    Attributes:
        at_loads: each option at its load.
        costs: of each option whose GPU is in the catalog.
        ranking: their order, and why the others are left out.
        no_speed: why no speed is known ("only the size of the model is known"); "" if speeds are known.
    """

    at_loads: Mapping[Option, OptionSpeed]
    costs: Mapping[Option, OptionCosts]
    ranking: Ranking[Option]
    no_speed: str


def ranked_options(
    service: Service,
    requested: Precision | None,
    choices: Iterable[GpuChoice],
    wish: Wish,
    comparison: Comparison,
    *,
    with_speed: bool = True,
) -> RankedOptions:
    """Return the options on the GPUs `choices`, ranked.

    Args:
        service: the model and what serves it.
        requested: the precision that was asked for, for the article's count of GPUs.
        wish: what is asked of every option.
        comparison: by what the costs are compared.
        with_speed: False if speed plays no part, nor whether a GPU has a kernel for the format.

    Raises:
        UnsupportedModelError: requests per hour are given, and only the size of the model is known.
    """
    fitting = [
        option
        for choice in choices
        for option in fitting_options(service, choice, wish.users or 1, wish.tokens.context)
    ]
    found, no_speed = _at_loads(service, fitting, wish, with_speed)
    at_loads = {at_load.option: at_load for at_load in found}
    costs = _costs_by_option(at_loads.values(), _total_bytes(service, requested, wish.tokens.context), comparison)
    return RankedOptions(
        at_loads=at_loads,
        costs=costs,
        ranking=rank(_candidate(at_load, costs.get(option)) for option, at_load in at_loads.items()),
        no_speed=no_speed,
    )


def first_of_each_gpu(ordered: Iterable[Option]) -> list[Option]:
    """Return the first option of each GPU."""
    first: dict[GpuChoice, Option] = {}
    for option in ordered:
        first.setdefault(option.replica.gpu, option)
    return list(first.values())


def _at_loads(
    service: Service, options: Sequence[Option], wish: Wish, with_speed: bool
) -> tuple[list[OptionSpeed], str]:
    """Return the options at their loads, and why no speed is known of any."""
    if with_speed or wish.users is None:
        try:
            found = speeds_of_options(service, options, wish)
        except UnsupportedModelError as error:
            if wish.users is None:
                raise
            return _without_speed(options, wish.users), error.problem
        if wish.users is None:  # without a speed, requests cannot be turned into replicas
            found = [at if at.speed or at.reason else replace(at, reason=NO_BANDWIDTH) for at in found]
        return found, ""
    return _without_speed(options, wish.users), ""


def _without_speed(options: Iterable[Option], users: int) -> list[OptionSpeed]:
    return [OptionSpeed(option=option, users=users, peak_users=users, speed=None) for option in options]


def _candidate(at_load: OptionSpeed, costs: OptionCosts | None) -> Candidate[Option]:
    figures = None if costs is None else costs.figures
    gpu = None if costs is None else gpu_of_choice(at_load.option.replica.gpu)
    bandwidth = None if gpu is None else gpu.bandwidth_gb_per_s
    return candidate_of(at_load.option, figures, at_load.users, bandwidth, at_load.reason)
