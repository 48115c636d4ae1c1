"""Plan how to serve a model to its users: every GPU and layout that can, ranked, and why others cannot."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from core import catalog
from core.checks import number
from core.engines.parallelism import tensor_parallel_obstacle
from core.plan import fleet
from core.plan.fleet import GpuChoice, Replica, Service
from core.plan.layout_costs import OptionCosts
from core.units import GIB
from vram.engine_settings import (
    NOTE,
    cache_precision_of,
    engine_of,
    gpu_of,
    precisions_of,
    settings_of,
    weights_precision_of,
)
from vram.models import Model, model
from vram.plan_costs import cost_rank, costs_as_dict, costs_by_option


@dataclass(frozen=True, kw_only=True)
class Option:
    """One way to serve the users.

    Attributes:
        gpu: the GPU's name.
        tp, pp: tensor and pipeline parallel size of one replica.
        replicas, nodes, gpus: how many to deploy.
        users_per_replica: most concurrent users of one replica.
        headroom: share of the places for users that stay free.
        costs: order quantity, owning and renting at indicative prices; None if not asked for or not known.
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
        options: the best layout of each GPU, or every layout of the GPUs asked for; fewest GPUs first, with costs the
            cheapest first.
        ruled_out: GPUs and layouts that cannot serve, with the reason.
        with_costs: whether costs were asked for.
    """

    model: str
    users: int
    context: int
    options: tuple[Option, ...]
    ruled_out: tuple[RuledOut, ...]
    with_costs: bool = False

    def as_dict(self) -> dict[str, object]:
        """Return the plan as `vram plan --json` prints it."""
        return {
            "model": self.model,
            "users": self.users,
            "context": self.context,
            "layouts": [self._option_as_dict(option) for option in self.options],
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
    kv_precision: str | float | None = None,
    engine: str = "vllm",
    engine_version: str | None = None,
    memory_utilization: float | None = None,
    max_batched_tokens: float | None = None,
    max_sequences: float | None = None,
) -> Plan:
    """Rank the ways to serve a model to `users` concurrent users with `context` tokens each.

    Args:
        name_or_path: the model, as `vram.model` takes it.
        users: concurrent users.
        context: tokens per user.
        gpus: GPUs of the catalog by name, or the GB of one GPU; empty for all GPUs of the catalog.
        overhead: plan by the article's rule with this fraction of weights and KV cache, instead of an engine's budget.
        costs: whether to compute what each option costs, and to put the cheapest first.
        precision, kv_precision, engine, engine_version, memory_utilization, max_batched_tokens, max_sequences: as in
            `vram.capacity`.

    Raises:
        PlannerError: an argument is wrong, or too little is known of the model.
    """
    spec = model(name_or_path).spec
    runs_on = engine_of(engine)
    if overhead is None:
        weights, cached = precisions_of(spec, precision, kv_precision)
    else:
        weights = weights_precision_of(precision)
        cached = cache_precision_of(spec, weights, kv_precision)
    service = Service(
        model=spec,
        precision=weights,
        kv_precision=cached,
        overhead=None if overhead is None else number("overhead", overhead),
        engine=runs_on,
        **settings_of(runs_on, engine_version, memory_utilization, max_batched_tokens, max_sequences),
    )
    users, context = int(number("users", users)), int(number("context", context))
    choices = [gpu_of(name) for name in gpus] or [fleet.choice_of_gpu(gpu) for gpu in catalog.gpus()]
    found = [option for choice in choices for option in fleet.options(service, choice, users, context)]
    prices = costs_by_option(service, found, users, context) if costs else {}

    def order(option: fleet.Option) -> tuple[float, ...]:
        return cost_rank(prices.get(option), option) if costs else fleet.rank(option)

    ranked = sorted(found if gpus else _best_of_each_gpu(found, order), key=order)
    out = [
        RuledOut(choice.name, reason)
        for choice in choices
        for reason in _reasons(service, choice, context, found, bool(gpus))
    ]
    return Plan(
        model=spec.name,
        users=users,
        context=context,
        options=tuple(replace(_public(option), costs=prices.get(option)) for option in ranked),
        ruled_out=tuple(out),
        with_costs=costs,
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


def _best_of_each_gpu(
    found: Iterable[fleet.Option], order: Callable[[fleet.Option], tuple[float, ...]]
) -> list[fleet.Option]:
    best: dict[GpuChoice, fleet.Option] = {}
    for option in found:
        gpu = option.replica.gpu
        if gpu not in best or order(option) < order(best[gpu]):
            best[gpu] = option
    return list(best.values())


def _reasons(
    service: Service, gpu: GpuChoice, context: int, found: list[fleet.Option], every_layout: bool
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
                yield _why_it_does_not_fit(service, replica, context)


def _why_it_does_not_fit(service: Service, replica: Replica, context: int) -> str:
    layout = f"TP {replica.tp}" + (f" × PP {replica.pp}" if replica.pp > 1 else "")
    if service.overhead is not None or fleet.users_per_replica(service, replica, context):
        return f"{layout}: weights and the cache of one user are more than its memory"
    budget = fleet.capacity_of_replica(service, replica, context).budget
    taken = budget.weights.expected + budget.activation.expected + budget.other.expected
    if taken > budget.usable_bytes:
        return f"{layout}: {_gib(taken)} of weights and activations on a GPU, {_gib(budget.usable_bytes)} usable"
    return f"{layout}: {_gib(budget.kv.expected)} left for the cache, less than one user of {context:,} tokens takes"


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / GIB:,.1f} GiB"
