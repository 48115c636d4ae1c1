"""Plan how to serve a model to its users: every GPU and layout that can, ranked, and why others cannot."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from core import catalog
from core.checks import number
from core.engines.deployment import checked_settings, parse_version
from core.engines.parallelism import tensor_parallel_obstacle
from core.plan import defaults, fleet
from core.plan.costs import OptionCosts
from core.plan.fleet import GpuChoice, Replica, Service
from core.plan.ranking import Candidate, rank
from core.plan.serving import service_of
from core.units import GIB
from vram.engine_settings import NOTE, engine_of, gpu_of
from vram.models import Model, kv_precision_of, model, weights_precision_of
from vram.plan_costs import costs_as_dict, costs_by_option


@dataclass(frozen=True, kw_only=True)
class Option:
    """One way to serve the users.

    Attributes:
        gpu: the GPU's name.
        tp, pp: tensor and pipeline parallel size of one replica.
        replicas, nodes, gpus: how many to deploy.
        users_per_replica: most concurrent users of one replica.
        headroom: share of the places for users that stay free.
        costs: order quantity, owning and renting at indicative prices; None without a GPU of the catalog.
        rank: its place by net present cost, 1 for the best; None if it is not ranked.
        why_not: why it is not ranked ("no price is known"); "" if it is.
    """

    gpu: str
    tp: int
    pp: int
    replicas: int
    nodes: int
    gpus: int
    users_per_replica: int
    headroom: float
    costs: OptionCosts | None = None
    rank: int | None = None
    why_not: str = ""


@dataclass(frozen=True)
class RuledOut:
    """A GPU, or a layout of it, that cannot serve the users, and why."""

    gpu: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The ways to serve a model to its users.

    Attributes:
        model: its name.
        users: concurrent users.
        context: tokens per user.
        options: the best layout of each GPU, or every layout of the GPUs asked for, in the order of
            `core.plan.ranking`: the lowest net present cost first; those without a price come last, fewest GPUs first.
        ruled_out: GPUs and layouts that cannot serve, with the reason.
        margin: how much more the runner-up costs than the best, as a fraction; None without a runner-up.
        with_costs: whether `as_dict` gives the costs too.
    """

    model: str
    users: int
    context: int
    options: tuple[Option, ...]
    ruled_out: tuple[RuledOut, ...]
    margin: float | None = None
    with_costs: bool = False

    def as_dict(self) -> dict[str, object]:
        """Return the plan as `vram plan --json` prints it."""
        return {
            "model": self.model,
            "users": self.users,
            "context": self.context,
            "layouts": [self._option_as_dict(option) for option in self.options],
            "margin": None if self.margin is None else round(self.margin, 4),
            "ruled_out": [{"gpu": out.gpu, "reason": out.reason} for out in self.ruled_out],
            "note": NOTE,
        }

    def _option_as_dict(self, option: Option) -> dict[str, object]:
        figures = {name: value for name, value in vars(option).items() if name != "costs"}
        figures["headroom"] = round(option.headroom, 4)
        return figures | ({"costs": costs_as_dict(option.costs)} if self.with_costs else {})


def plan(
    name_or_path: str | os.PathLike[str] | Model,
    *,
    users: float,
    context: float,
    gpus: Sequence[str | float] = (),
    overhead: float | None = None,
    costs: bool = False,
    precision: str | float | None = None,
    kv_precision: str | float = defaults.KV_PRECISION,
    engine: str = defaults.ENGINE,
    engine_version: str | None = None,
    **settings: float | None,
) -> Plan:
    """Rank the ways to serve a model to `users` concurrent users with `context` tokens each.

    Args:
        name_or_path: the model, as `vram.model` takes it.
        users: concurrent users.
        context: tokens per user.
        gpus: GPUs of the catalog by name, or the GB of one GPU; empty for all GPUs of the catalog.
        overhead: plan by the article's rule with this fraction of weights and KV cache, instead of an engine's budget;
            None: the rule with 10 % for a model of which only the size is known, the engine's budget for all others.
        costs: whether `Plan.as_dict` gives the costs of each option too.
        precision, kv_precision, engine, engine_version, settings: as in `vram.capacity`.

    Raises:
        PlannerError: an argument is wrong, or too little is known of the model.
    """
    spec = model(name_or_path).spec
    runs_on = engine_of(engine)
    service = service_of(
        spec,
        weights_precision_of(precision),
        kv_precision_of(kv_precision),
        None if overhead is None else number("overhead", overhead),
        engine=runs_on,
        version=parse_version(engine_version or runs_on.default_version),
        settings=checked_settings(settings),
    )
    users, context = int(number("users", users)), int(number("context", context))
    choices = [gpu_of(name) for name in gpus] or [fleet.choice_of_gpu(gpu) for gpu in catalog.gpus()]
    found = [option for choice in choices for option in fleet.options(service, choice, users, context)]
    prices = costs_by_option(service, found, users, context)
    ranking = rank(_candidate(option, prices.get(option), users) for option in found)
    reasons = {out.key: out.reason for out in ranking.left_out}
    places = {option: place for place, option in enumerate(ranking.keys, start=1)}
    ordered = [*ranking.keys, *sorted(reasons, key=fleet.smallest_first)]
    shown = ordered if gpus else _first_of_each_gpu(ordered)
    out = [
        RuledOut(choice.name, reason)
        for choice in choices
        for reason in _reasons(service, choice, users, context, found, bool(gpus))
    ]
    return Plan(
        model=spec.name,
        users=users,
        context=context,
        options=tuple(
            replace(_public(option), costs=prices.get(option), rank=places.get(option), why_not=reasons.get(option, ""))
            for option in shown
        ),
        ruled_out=tuple(out),
        margin=ranking.margin,
        with_costs=costs,
    )


def _candidate(option: fleet.Option, costs: OptionCosts | None, users: int) -> Candidate[fleet.Option]:
    replicas = option.replicas if costs is None else costs.order.replicas
    bandwidth = None if costs is None else catalog.gpu(option.replica.gpu.name).bandwidth_gb_per_s
    gpus = replicas * option.replica.gpus
    return Candidate(
        key=option,
        net_present_cost=None if costs is None else costs.net_present_cost,
        free_places=replicas * option.users_per_replica - users,
        bandwidth_per_user=None if bandwidth is None else gpus * bandwidth / users,
    )


def _public(option: fleet.Option) -> Option:
    return Option(
        gpu=option.replica.gpu.name,
        tp=option.replica.tp,
        pp=option.replica.pp,
        replicas=option.replicas,
        nodes=option.nodes,
        gpus=option.gpus,
        users_per_replica=option.users_per_replica,
        headroom=option.headroom,
    )


def _first_of_each_gpu(ordered: Iterable[fleet.Option]) -> list[fleet.Option]:
    first: dict[GpuChoice, fleet.Option] = {}
    for option in ordered:
        first.setdefault(option.replica.gpu, option)
    return list(first.values())


def _reasons(
    service: Service, gpu: GpuChoice, users: int, context: int, found: list[fleet.Option], every_layout: bool
) -> Iterator[str]:
    """Say why a GPU, or with `every_layout` a layout of it, cannot serve."""
    if every_layout:
        for tp in range(2, gpu.gpus_per_node + 1):
            if gpu.gpus_per_node % tp == 0 and tensor_parallel_obstacle(service.model, tp):
                yield f"TP {tp}: {tensor_parallel_obstacle(service.model, tp)}"
    fitting = {option.replica for option in found}
    replicas = fleet.replicas_of(service.model, gpu, service.engine.name)
    if every_layout or not fitting & set(replicas):
        largest = max(replicas, key=lambda replica: replica.gpus)
        for replica in replicas if every_layout else (largest,):
            if replica not in fitting and (replica.pp == 1 or replica is largest):
                yield _why_it_does_not_fit(service, replica, users, context)


def _why_it_does_not_fit(service: Service, replica: Replica, users: int, context: int) -> str:
    layout = f"TP {replica.tp}" + (f" × PP {replica.pp}" if replica.pp > 1 else "")
    if fleet.users_per_replica(service, replica, context):
        return f"{layout}: {users:,} users need more than {fleet.MAX_GPUS:,} GPUs, the most that are planned"
    if service.overhead is not None:
        return f"{layout}: weights and the cache of one user are more than its memory"
    budget = fleet.capacity_of_replica(service, replica, context).budget
    taken = budget.weights.expected + budget.activation.expected + budget.other.expected
    if taken > budget.usable_bytes:
        return f"{layout}: {_gib(taken)} of weights and activations on a GPU, {_gib(budget.usable_bytes)} usable"
    return f"{layout}: {_gib(budget.kv.expected)} left for the cache, less than one user of {context:,} tokens takes"


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / GIB:,.1f} GiB"
