"""Plan how to serve a model to its users: every GPU and layout that can, ranked, and why others cannot."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from core import catalog
from core.catalog.countries import country as country_of
from core.catalog.offer_choice import GpuPrices
from core.checks import number, one_of, whole
from core.engines.deployment import checked_settings, parse_version
from core.engines.parallelism import tensor_parallel_obstacle
from core.engines.served import setting_obstacle
from core.plan import defaults, fleet
from core.plan.candidates import Wanted, maker_of, why_left_out
from core.plan.costs import EITHER, WAYS, OptionCosts, assumed
from core.plan.demand import MIN_SPEED, demand_of, tokens_of
from core.plan.engine_warnings import service_assumptions, service_warnings
from core.plan.fleet import GpuChoice, Replica, Service
from core.plan.measured_speeds import measured_note
from core.plan.measured_speeds import measured_speeds as read_measured_speeds
from core.plan.option_speed import OptionSpeed, Wish, speed_in_full
from core.plan.options import Comparison, first_of_each_gpu, ranked_options
from core.plan.serving import service_of
from core.plan.speed import NOT_MODELLED
from core.plan.speed_settings import acceptance_note, drafts_warnings
from core.texts import counted
from core.units import GIB
from vram.engine_settings import NOTE, engine_of
from vram.models import Model, draft_of, model
from vram.plan_costs import costs_as_dict
from vram.speeds import SpeedRange, speed_range

SPEED_NOTE = f"Speeds are computed; about eight of ten measurements lie in the range. {NOT_MODELLED}"
_SPEED_KEYS = (
    "tokens_per_second_per_user", "output_tokens_per_second", "time_to_first_token_s", "users_at_once", "limited_by",
    "low", "high",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Option:
    """One way to serve the users.

    Attributes:
        gpu: the GPU's name.
        tp, pp: tensor and pipeline parallel size of one replica.
        replicas, nodes, gpus: how many to deploy.
        users: concurrent users of all replicas.
        users_per_replica: most concurrent users of one replica: as many as fit in its memory and get the wanted speed.
        headroom: share of the places for users that stay free.
        speed: how fast the users are served, spread over the replicas; None if it is not asked for or not known.
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
    users: int
    users_per_replica: int
    headroom: float
    speed: SpeedRange | None = None
    costs: OptionCosts | None = None
    rank: int | None = None
    why_not: str = ""


@dataclass(frozen=True)
class RuledOut:
    """A GPU, or a layout of it, that cannot serve the users, and why."""

    gpu: str
    reason: str


@dataclass(frozen=True)
class RunnerUp:
    """The option that comes next to the best: its GPU and the layout of a replica."""

    gpu: str
    tp: int
    pp: int


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The ways to serve a model to its users.

    Attributes:
        model: its name.
        users: concurrent users; None where requests per hour are given, because each option has its own.
        requests_per_hour: requests that come in an hour; None where users or people are given.
        context, prompt_tokens, output_tokens: tokens per user, of a prompt and of its answer.
        min_speed: tokens per second that each user is to get; None if speed plays no part.
        options: the best layout of each GPU, or every layout of the GPUs asked for, in the order of
            `core.plan.ranking`: the lowest net present cost first; those without a price come last, fewest GPUs first.
        ruled_out: GPUs and layouts that cannot serve, or are too slow, with the reason.
        runner_up: the best option of another GPU than the best option's, or of the same one if there is no other.
        margin: how much more the runner-up costs than the best, as a fraction; None without a runner-up.
        no_speed: why no speed is known ("only the size of the model is known"); "" if speeds are known.
        with_costs: whether `as_dict` gives the costs too.
        assumptions: every assumption of the costs by name.
        assumed: what is assumed where an input leaves it open ("80 GB means a card with …").
        warnings: what is doubtful about the inputs, each a sentence that names the argument.
    """

    model: str
    users: int | None
    requests_per_hour: float | None
    context: int
    prompt_tokens: int
    output_tokens: int
    min_speed: float | None
    options: tuple[Option, ...]
    ruled_out: tuple[RuledOut, ...]
    runner_up: RunnerUp | None = None
    margin: float | None = None
    no_speed: str = ""
    with_costs: bool = False
    assumptions: Mapping[str, float | None] = field(default_factory=dict)
    assumed: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def note(self) -> str:
        """What the figures do not say."""
        return f"No speed: {self.no_speed}" if self.no_speed else NOTE if self.min_speed is None else SPEED_NOTE

    def as_dict(self) -> dict[str, object]:
        """Return the plan as `vram plan --json` prints it."""
        return {
            "model": self.model,
            "users": self.users,
            "requests_per_hour": self.requests_per_hour,
            "context": self.context,
            "prompt_tokens": self.prompt_tokens,
            "output_tokens": self.output_tokens,
            "min_speed": self.min_speed,
            "layouts": [self._option_as_dict(option) for option in self.options],
            **({"assumptions": dict(self.assumptions)} if self.with_costs else {}),
            "runner_up": None if self.runner_up is None else asdict(self.runner_up),
            "margin": None if self.margin is None else round(self.margin, 4),
            "assumed": list(self.assumed),
            "warnings": list(self.warnings),
            "ruled_out": [{"gpu": out.gpu, "reason": out.reason} for out in self.ruled_out],
            "note": self.note,
        }

    def _option_as_dict(self, option: Option) -> dict[str, object]:
        figures = {name: value for name, value in vars(option).items() if name not in ("costs", "speed")}
        figures["headroom"] = round(option.headroom, 4)
        figures |= option.speed.figures_as_dict() if option.speed else dict.fromkeys(_SPEED_KEYS)
        return figures | ({"costs": costs_as_dict(option.costs)} if self.with_costs else {})


def plan(
    name_or_path: str | os.PathLike[str] | Model,
    *,
    users: float | None = None,
    people: float | None = None,
    active: float | None = None,
    requests_per_hour: float | None = None,
    context: float | None = None,
    prompt_tokens: float | None = None,
    output_tokens: float | None = None,
    average_tokens: float | None = None,
    min_speed: float | None = MIN_SPEED,
    measured_speeds: Mapping[str, float] | None = None,
    gpus: Sequence[str | float] = (),
    data_centre_only: bool = False,
    maker: str | None = None,
    way: str = EITHER,
    overhead: float | None = None,
    costs: bool = False,
    prices: str | os.PathLike[str] | None = None,
    assumptions: Mapping[str, float | None] | None = None,
    country: str | None = None,
    precision: str | float | None = None,
    kv_precision: str | float | None = None,
    engine: str = defaults.ENGINE,
    engine_version: str | None = None,
    draft_model: str | os.PathLike[str] | Model | None = None,
    **settings: float | None,
) -> Plan:
    """Rank the ways to serve a model to its users.

    Args:
        name_or_path: the model, as `vram.model` takes it.
        users: concurrent users. Give one of users, people and requests_per_hour.
        people, active: people who use the service, and the share of them who have a request running at the peak.
        requests_per_hour: requests that come in an hour. A replica runs as many users as get `min_speed`; how long a
            request takes then gives the replicas (Little's law).
        context: tokens per user.
        prompt_tokens, output_tokens: tokens of a prompt and of its answer, which fill the context: two of the three
            give the third. With a context alone, a ninth of it is the answer.
        average_tokens: tokens that a sequence holds on average, for which the cache has room; None: the whole context.
        min_speed: tokens per second that each user is to get at least, at the low end of the range; 0 for any speed.
            None: speed plays no part, nor whether a GPU has a kernel for the format.
        measured_speeds: tokens per second of each user that you measured under this load, in place of what is computed,
            by GPU and layout: {"h100:4": 25, "h200:8x2": 30} for TP 4, and for TP 8 × PP 2.
        gpus: GPUs of the catalog by name, by a card's number ("4090"), or the GB of one GPU, a size that some GPU has;
            empty for all GPUs of the catalog.
        data_centre_only: whether workstation and consumer cards are left out.
        maker: the maker of the GPUs to compare ("NVIDIA"); None for any.
        way: "buy" or "rent" to compare that alone, or "either".
        overhead: plan by the article's rule with this fraction of weights and KV cache, instead of an engine's budget;
            None: the rule with 10 % for a model of which only the size is known, the engine's budget for all others.
        costs: whether `Plan.as_dict` gives the costs of each option too.
        prices: a CSV file of offers, next to the catalog's, with the columns of core/catalog/data/offers.csv.
        assumptions: assumptions of the costs by name, for example {"horizon_months": 48, "tax_rate": 0.19}: the fields
            of `core.plan.costs.OrderPolicy` and `Assumptions`, which `vram plan --assume help` lists. The others stay
            at the country's values or their defaults.
        country: "us", "eu", "uk" or "cn", for its tariff, PUE, hosting and CO₂ of the grid.
        precision, kv_precision, engine, engine_version, draft_model, settings: as in `vram.capacity`.

    Raises:
        PlannerError: an argument is wrong, or too little is known of the model.
    """
    described = model(name_or_path)
    spec = described.spec
    runs_on = engine_of(engine)
    demand = demand_of(users, people, active, requests_per_hour)
    tokens = tokens_of(context, prompt_tokens, output_tokens)
    wanted = None if min_speed is None else number("min_speed", min_speed)
    given = {**(assumptions or {}), **WAYS[one_of("way", way, tuple(WAYS))]}
    policy, assumption_values = assumed(given, None if country is None else country_of(country))
    compared = Wanted(maker="" if maker is None else maker_of(maker), data_centre_only=data_centre_only)
    requested = described.requested_precision(precision)
    written_version = engine_version or runs_on.default_version
    service = service_of(
        spec,
        requested,
        described.cache_precision(kv_precision),
        None if overhead is None else number("overhead", overhead),
        engine=runs_on,
        version=parse_version(written_version),
        settings=checked_settings(settings),
        draft=draft_of(draft_model),
        average_tokens=None if average_tokens is None else whole("average_tokens", average_tokens),
    )
    measured = read_measured_speeds(measured_speeds or {})
    wish = Wish(
        tokens=tokens,
        users=demand.users,
        requests_per_hour=demand.requests_per_hour,
        min_speed=wanted or 0,
        measured=measured,
    )
    named = list(dict.fromkeys(fleet.choice_of(name) for name in gpus))  # some may be named twice
    asked = named or [fleet.choice_of_gpu(gpu) for gpu in catalog.gpus()]
    not_compared = {choice: reason for choice in asked if (reason := _why_not_compared(choice, compared))}
    choices = [choice for choice in asked if choice not in not_compared]
    comparison = Comparison(
        policy=policy,
        assumptions=assumption_values,
        people=None if people is None else whole("people", people),
        tokens=tokens,
        prices=_prices_of(prices),
    )
    ranked = ranked_options(service, requested, choices, wish, comparison, with_speed=wanted is not None)
    ranking, found = ranked.ranking, ranked.at_loads
    places = {option: place for place, option in enumerate(ranking.keys, start=1)}
    reasons = {out.key: out.reason for out in ranking.left_out}
    unranked = [option for option in reasons if not found[option].reason]
    ordered = [*ranking.keys, *sorted(unranked, key=fleet.smallest_first)]
    shown = ordered if gpus else first_of_each_gpu(ordered)
    of_gpu: dict[GpuChoice, list[OptionSpeed]] = {choice: [] for choice in choices}
    for at_load in found.values():
        of_gpu[at_load.option.replica.gpu].append(at_load)
    out = [RuledOut(choice.name, reason) for choice, reason in not_compared.items()]
    out += [
        RuledOut(choice.name, reason)
        for choice in choices
        for reason in (
            *_reasons_of_speed(of_gpu[choice], bool(gpus)),
            *_reasons(service, choice, wish, found, bool(gpus)),
        )
    ]
    return Plan(
        model=spec.name,
        users=demand.users,
        requests_per_hour=demand.requests_per_hour,
        context=tokens.context,
        prompt_tokens=tokens.prompt,
        output_tokens=tokens.output,
        min_speed=wanted,
        options=tuple(
            replace(
                _public(option, found[option].users),
                speed=_speed(service, found[option], wish),
                costs=ranked.costs.get(option),
                rank=places.get(option),
                why_not=reasons.get(option, ""),
            )
            for option in shown
        ),
        ruled_out=tuple(out),
        runner_up=_runner_up(ranking.runner_up),
        margin=ranking.margin,
        no_speed=ranked.no_speed,
        with_costs=costs,
        assumptions=asdict(policy) | asdict(assumption_values),
        assumed=(
            *described.assumed,
            *service_assumptions(service, named),
            *(() if wanted is None else (*acceptance_note(service), *measured_note(measured))),
        ),
        warnings=(
            *service_warnings(service, written_version, requested, tokens.context, named if wanted is None else ()),
            *(() if wanted is None else drafts_warnings(service, tokens.context)),
        ),
    )


def _prices_of(path: str | os.PathLike[str] | None) -> Mapping[str, GpuPrices] | None:
    if path is None:
        return None
    from vram.price_files import prices_of_file  # imports the workbook's software, which a plan seldom needs

    return prices_of_file(path)


def _why_not_compared(choice: GpuChoice, compared: Wanted) -> str:
    """Return why a GPU is not compared; "" if it is, as one of which only the memory is known."""
    gpu = fleet.gpu_of_choice(choice)
    return "" if gpu is None else why_left_out(gpu, compared)


def _speed(service: Service, at_load: OptionSpeed, wish: Wish) -> SpeedRange | None:
    found = speed_in_full(service, at_load, wish)
    return None if found is None else speed_range(found)


def _runner_up(option: fleet.Option | None) -> RunnerUp | None:
    return None if option is None else RunnerUp(option.replica.gpu.name, option.replica.tp, option.replica.pp)


def _public(option: fleet.Option, users: int) -> Option:
    return Option(
        gpu=option.replica.gpu.name,
        tp=option.replica.tp,
        pp=option.replica.pp,
        replicas=option.replicas,
        nodes=option.nodes,
        gpus=option.gpus,
        users=users,
        users_per_replica=option.users_per_replica,
        headroom=option.headroom,
    )


def _reasons_of_speed(at_loads: list[OptionSpeed], every_layout: bool) -> Iterator[str]:
    """Say which layouts of a GPU are too slow or have no kernel; only the fastest unless `every_layout`."""
    refused = [at_load for at_load in at_loads if at_load.reason]
    if every_layout:
        yield from map(_reason_of_speed, refused)
    elif refused and len(refused) == len(at_loads):
        yield _reason_of_speed(max(refused, key=_low_speed))


def _reason_of_speed(at_load: OptionSpeed) -> str:
    replica = at_load.option.replica
    return f"{fleet.layout_title(replica.tp, replica.pp)}: {at_load.reason}"


def _low_speed(at_load: OptionSpeed) -> float:
    return at_load.speed.low.tokens_per_s_per_user if at_load.speed else 0


def _reasons(
    service: Service, gpu: GpuChoice, wish: Wish, fitting: Iterable[fleet.Option], every_layout: bool
) -> Iterator[str]:
    """Say why a GPU, or with `every_layout` a layout of it, cannot hold the users."""
    if every_layout:
        for tp in range(2, gpu.gpus_per_node + 1):
            if gpu.gpus_per_node % tp == 0 and tensor_parallel_obstacle(service.model, tp):
                yield f"TP {tp}: {tensor_parallel_obstacle(service.model, tp)}"
    holding = {option.replica for option in fitting}
    replicas = service.replicas(gpu)
    if not replicas:
        yield fleet.groups_obstacle(service, gpu)
        return
    if every_layout or not holding & set(replicas):
        largest = max(replicas, key=lambda replica: replica.gpus)
        for replica in replicas if every_layout else (largest,):
            if replica not in holding and (replica.pp == 1 or replica is largest):
                yield _why_it_does_not_fit(service, replica, wish.users or 1, wish.tokens.context)


def _why_it_does_not_fit(service: Service, replica: Replica, users: int, context: int) -> str:
    layout = fleet.layout_title(replica.tp, replica.pp)
    if fleet.users_per_replica(service, replica, context):
        most = f"{fleet.MAX_GPUS:,} GPUs, the most that are planned"
        return f"{layout}: {counted(users, 'user')} would take more than {most}"
    if service.overhead is not None:
        return f"{layout}: weights and the cache of one user are more than its memory"
    obstacle = setting_obstacle(fleet.deployment_of(service, replica, context))
    if obstacle:
        return f"{layout}: {obstacle}"
    budget = fleet.capacity_of_replica(service, replica, context).budget
    taken = budget.weights.expected + budget.activation.expected + budget.other.expected
    if taken > budget.usable_bytes:
        return f"{layout}: {_gib(taken)} of weights and activations on a GPU, {_gib(budget.usable_bytes)} usable"
    return f"{layout}: {_gib(budget.kv.expected)} left for the cache, less than one user of {context:,} tokens takes"


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / GIB:,.1f} GiB"
