"""Compute the GPUs for a number of users: by division, and as replicas that can be deployed in nodes.

A replica is one copy of the model on tp × pp GPUs. Its capacity follows either from an engine's budget or from the
rule, a fraction on top of weights and cache. All results here (GPUs for users, users for GPUs, the longest context)
come from the same function `users_per_replica`, so they agree with each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from core.catalog.gpu_inputs import card_of_size, gpu_or_size
from core.catalog.hardware import Gpu
from core.catalog.mig import gpu_called
from core.engines import vllm
from core.engines.capacity import Capacity, capacity, users_that_fit
from core.engines.deployment import DEFAULT_SETTINGS, Deployment, Device, Engine, EngineSettings, Version, parse_version
from core.engines.served import NAME_A_DRAFTER, drafter_obstacle, setting_obstacle
from core.errors import OutOfRangeError
from core.model.counts import model_counts
from core.model.precision import Precision
from core.model.spec import ModelSpec
from core.model.weights import weights_bytes
from core.plan.allocation import allocated_tokens
from core.plan.layout_figures import has_experts, is_possible, rule_row
from core.plan.memory import RULE
from core.plan.nodes import MAX_NODES_PER_REPLICA, node_takes, nodes_for
from core.units import GB, GIB, MIB

# Servers have eight of the larger GPUs (NVIDIA HGX, AMD Instinct platforms); used if the GPU's row has no number.
USUAL_GPUS_PER_NODE = 8

# The layouts to consider: tensor × pipeline parallel sizes that nodes of 8, 4 and 1 GPUs take (`node_takes`), and TP 2
# × PP 3 for nodes of 6 GPUs and for cards. `vram capacity --tp --pp` answers for any other.
LAYOUTS = (
    (1, 1), (2, 1), (4, 1), (8, 1), (1, 2), (1, 3), (1, 4), (1, 8), (2, 2), (2, 3), (2, 4), (4, 2), (4, 3), (4, 4),
    (8, 2), (8, 3), (8, 4),
)  # fmt: skip
ATTENTION_GROUPS = (1, 2, 4, 8)  # numbers of groups of data-parallel attention in these layouts


def layout_title(tp: int, pp: int) -> str:
    """Return a layout as a reader knows it: "TP 8 × PP 2"."""
    return f"TP {tp}" if pp == 1 else f"TP {tp} × PP {pp}"


MAX_GPUS = 100_000  # options with more GPUs are not considered

# The driver's own memory, in MiB: 468 of an H100's 81 559, 768 of an A100's 81 920, 606 of an H200's 143 771, 434 of an
# L4's 23 034, 469 of a 4090's 24 564, 451 of a T4's 15 360, 597 of an RTX PRO 6000's 97 887 (nvidia-smi's totals less
# those in vLLM's logs): a constant and a share.
DRIVER_RESERVED_MIB, DRIVER_RESERVED_SHARE = 410, 0.002


def gpus_by_division(total_bytes: int, gpu_memory_gb: float) -> int:
    """Return the article's count: the total divided by one GPU's memory, rounded up. It may not be deployable."""
    return -(-total_bytes // round(gpu_memory_gb * GB))


@dataclass(frozen=True)
class GpuChoice:
    """A GPU to plan with.

    Attributes:
        name: its name; "80 GB" where only a size is known.
        memory_bytes: the memory that its driver reports.
        gpus_per_node: the GPUs of a node.
        compute_capability: as for `Device`.
        size_gb: the size that was given instead of a name, 10⁹ bytes per GB; None for a GPU that is named.
        is_slice: whether it is a MIG slice, of which a replica has one.
        shares_memory: as for `Device`.
        on_board: whether it is sold in full nodes only; of cards, a replica has any number of those in a node.
    """

    name: str
    memory_bytes: int
    gpus_per_node: int = USUAL_GPUS_PER_NODE
    compute_capability: float | None = None
    size_gb: float | None = None
    is_slice: bool = False
    shares_memory: bool = False
    on_board: bool = True

    @property
    def rule_bytes(self) -> int:
        """Return the memory for the article's rule, which counts a size at 10⁹ bytes per GB."""
        return self.memory_bytes if self.size_gb is None else round(self.size_gb * GB)

    def takes(self, tp: int, pp: int) -> bool:
        """Return whether nodes of this GPU take a replica of `tp` × `pp` GPUs."""
        return node_takes(tp, pp, self.gpus_per_node, on_board=self.on_board, is_slice=self.is_slice)

    @property
    def device(self) -> Device:
        """Return the GPU as a process sees it, without the driver's own memory."""
        driver_bytes = DRIVER_RESERVED_MIB * MIB + round(self.memory_bytes * DRIVER_RESERVED_SHARE)
        memory_bytes = max(0, self.memory_bytes - driver_bytes)
        return Device(self.name, memory_bytes, self.compute_capability, self.shares_memory)


def choice_of_gpu(gpu: Gpu) -> GpuChoice:
    """Return a GPU of the catalog as a GPU to plan with."""
    return GpuChoice(
        name=gpu.name,
        memory_bytes=gpu.memory_bytes,
        gpus_per_node=gpu.gpus_per_node or USUAL_GPUS_PER_NODE,
        compute_capability=gpu.cuda_capability,
        is_slice=gpu.is_slice,
        shares_memory=gpu.shares_memory,
        on_board=gpu.is_on_board,
    )


def gpu_of_choice(choice: GpuChoice) -> Gpu | None:
    """Return the catalog's GPU of that name; None if only a memory size was chosen."""
    return gpu_called(choice.name)


def choice_of_gb(memory_gb: float) -> GpuChoice:
    """Return a GPU to plan with that has exactly `memory_gb` GB (10⁹ bytes) of memory, as a scenario's field states."""
    return GpuChoice(f"{memory_gb:g} GB", round(memory_gb * GB))


def choice_of(value: object) -> GpuChoice:
    """Return the GPU that a user means by a name, a card's number ("4090") or a size ("80").

    A size means a card of that size as its driver reports it: 80 is 79.6 GiB, as on an H100, not 80 × 10⁹ bytes.

    Raises:
        PlannerError: there is no such GPU, nor one of that size.
    """
    found = gpu_or_size(value)
    if isinstance(found, Gpu):
        return choice_of_gpu(found)
    return GpuChoice(f"{found:g} GB", card_of_size(found).memory_bytes, size_gb=found)


def assumption(choice: GpuChoice, *, by_rule: bool) -> str:
    """Return what is assumed where only a size was given; "" for a GPU that is named."""
    if choice.size_gb is None:
        return ""
    if by_rule:
        return f"gpu: {choice.name} are counted as 10⁹ bytes per GB, as the rule does"
    card = card_of_size(choice.size_gb)
    return (
        f"gpu: {choice.name} means a card with {card.memory_bytes / GIB:.1f} GiB, as the driver of {card.name} reports"
    )


@dataclass(frozen=True, kw_only=True)
class Service:
    """A model to serve, and how its memory is computed.

    Attributes:
        model: the model.
        precision: precision of the weights; None: as the checkpoint stores them.
        kv_precision: precision of the KV cache.
        overhead: the rule's fraction on top of weights and cache; None: use the engine's budget.
        engine, version: the engine.
        settings: how the engine is started.
        average_tokens: tokens cached per sequence on average (`paged`); None: the whole context (`reserved`).
        draft: the model that drafts tokens for this one; None for none, or its own layer.
    """

    model: ModelSpec
    precision: Precision | None
    kv_precision: Precision
    overhead: float | None = None
    engine: Engine = vllm.ENGINE
    version: Version = parse_version(vllm.ENGINE.default_version)  # noqa: RUF009  a tuple
    settings: EngineSettings = DEFAULT_SETTINGS
    average_tokens: int | None = None
    draft: ModelSpec | None = None

    @property
    def groups(self) -> int:
        """The groups of data-parallel attention, with their own cache; 1 for the rule, which knows no engine."""
        return 1 if self.overhead is not None else self.settings.groups

    def replicas(self, gpu: GpuChoice) -> tuple[Replica, ...]:
        """Return every replica that can be deployed on that GPU."""
        return replicas_of(self.model, gpu, self.engine.name, self.groups, self.draft)

    def __post_init__(self) -> None:
        """Refuse to draft with layers that the model does not have."""
        obstacle = drafter_obstacle(self.model, self.settings, self.draft)
        if obstacle:
            raise OutOfRangeError("mtp_tokens", obstacle, NAME_A_DRAFTER)


@dataclass(frozen=True)
class Replica:
    """The GPUs of one copy of the model: their type, the tensor parallel size and the pipeline parallel size."""

    gpu: GpuChoice
    tp: int
    pp: int

    @property
    def gpus(self) -> int:
        return self.tp * self.pp

    def nodes(self, replicas: int) -> int:
        """Return the nodes for `replicas` of this kind."""
        return nodes_for(replicas, self.gpus, self.gpu.gpus_per_node)


@dataclass(frozen=True, kw_only=True)
class Option:
    """A way to serve the users.

    Attributes:
        replica, replicas: the kind of replica, and the number of replicas.
        users_per_replica: most concurrent users of one replica.
        users: those to serve.
    """

    replica: Replica
    replicas: int
    users_per_replica: int
    users: int

    @property
    def gpus(self) -> int:
        """The GPUs of all replicas."""
        return self.replicas * self.replica.gpus

    @property
    def nodes(self) -> int:
        """The nodes of all replicas."""
        return self.replica.nodes(self.replicas)

    @property
    def headroom(self) -> float:
        """The share of the user capacity that is unused."""
        return 1 - self.users / (self.replicas * self.users_per_replica)


def deployment_of(service: Service, replica: Replica, context: int) -> Deployment:
    """Return one replica of `service` with its engine's settings."""
    return Deployment(
        model=service.model,
        precision=service.precision,
        kv_precision=service.kv_precision,
        device=replica.gpu.device,
        tp=replica.tp,
        pp=replica.pp,
        context=context,
        version=service.version,
        settings=service.settings,
        draft=service.draft,
    )


def capacity_of_replica(service: Service, replica: Replica, context: int) -> Capacity:
    """Return the capacity of one replica under the engine."""
    return capacity(service.engine, deployment_of(service, replica, context))


def users_per_replica(service: Service, replica: Replica, context: int) -> int:
    """Return the most concurrent users of one replica, each with the whole context or with its average tokens.

    With an overhead: weights, cache and that fraction of both must fit on the fullest GPU. Otherwise the cache must fit
    in the engine's budget, and the engine must be able to run that many sequences at once. A layout that a
    setting does not fit has 0.

    Raises:
        UnsupportedModelError: only the size of the model is known, which is not enough for an engine's budget.
    """
    if service.overhead is None:
        tokens = min(context, service.average_tokens or context)
        deployment = deployment_of(service, replica, context)
        return 0 if setting_obstacle(deployment) else users_that_fit(service.engine, deployment, tokens)
    return _users_by_rule(service, replica, _given_rule_inputs(service, replica.gpu, context))


def rule_figures(service: Service, replica: Replica, context: int) -> dict[str, Any]:
    """Return every input and term of `core.plan.memory.RULE` by name, for a service with an overhead."""
    of_layout = _rule_inputs(service.model, service.precision, replica.tp, replica.pp)
    given = of_layout | _given_rule_inputs(service, replica.gpu, context)
    return given | RULE.compute(given)


def _users_of_each(service: Service, gpu: GpuChoice, context: int) -> Iterator[tuple[Replica, int]]:
    """Yield every replica that can be deployed with its `users_per_replica`; what they share is computed once."""
    replicas = service.replicas(gpu)
    if service.overhead is None:
        for replica in replicas:
            yield replica, users_per_replica(service, replica, context)
    else:
        given = _given_rule_inputs(service, gpu, context)
        for replica in replicas:
            yield replica, _users_by_rule(service, replica, given)


def _users_by_rule(service: Service, replica: Replica, given: Mapping[str, Any]) -> int:
    of_layout = _rule_inputs(service.model, service.precision, replica.tp, replica.pp)
    users: int = RULE.compute({**of_layout, **given})["rule_users"]  # type: ignore[assignment]
    return users


def _given_rule_inputs(service: Service, gpu: GpuChoice, context: int) -> dict[str, Any]:
    """Return the inputs of the rule that are the same in every layout."""
    tokens = allocated_tokens(context, service.average_tokens)
    windows = [window for window, _ in (*model_counts(service.model).kv.windowed, (0, 0), (0, 0))]
    return {
        "memory_bytes": gpu.rule_bytes,
        "overhead": service.overhead,
        "value_bytes": service.kv_precision.bytes_per_value,
        "allocated_tokens": tokens,
        "tokens_in_window": min(tokens, windows[0]),
        "tokens_in_window_2": min(tokens, windows[1]),
    }


@lru_cache(maxsize=16_384)
def _rule_inputs(model: ModelSpec, precision: Precision | None, tp: int, pp: int) -> dict[str, Any]:
    """Return the inputs of the rule that depend on the model, its format and the layout."""
    return rule_row(model, tp, pp) | {
        "is_shipped": int(precision is None),
        "all_weights_bytes": weights_bytes(model, precision),
        "all_parameters": model_counts(model).parameters.total,
    }


@lru_cache(maxsize=1024)
def replicas_of(
    model: ModelSpec, gpu: GpuChoice, engine_name: str, groups: int = 1, draft: ModelSpec | None = None
) -> tuple[Replica, ...]:
    """Return every replica that can be deployed; llama.cpp splits only by layers, over any number of GPUs in a node.

    Args:
        groups, draft: as for `core.plan.layout_figures.is_possible`.
    """
    node, layers = gpu.gpus_per_node, model.num_hidden_layers
    if engine_name == "llama.cpp":
        return tuple(Replica(gpu, 1, pp) for pp in range(1, min(node, layers) + 1))
    return tuple(
        Replica(gpu, tp, pp)
        for tp, pp in LAYOUTS
        if gpu.takes(tp, pp) and is_possible(model, tp, pp, groups, drafts=draft is not None, draft=draft)
    )


def groups_obstacle(service: Service, gpu: GpuChoice) -> str:
    """Return why no layout has the service's groups of data-parallel attention, as a clause; "" if one has."""
    if service.groups == 1 or service.replicas(gpu):
        return ""
    if not has_experts(service.model):
        return f"{service.model.name} has no experts that {service.groups} groups could share"
    return f"a replica of {service.model.name} within a node of {gpu.name} is not divided among {service.groups} groups"


def options(service: Service, gpu: GpuChoice, users: int, context: int) -> Iterator[Option]:
    """Yield every deployable way to serve `users` on that GPU, unsorted."""
    for replica, per_replica in _users_of_each(service, gpu, context):
        if per_replica < 1:
            continue
        replicas = -(-users // per_replica)
        if replicas * replica.gpus <= MAX_GPUS:
            yield Option(replica=replica, replicas=replicas, users_per_replica=per_replica, users=users)


def smallest(among: Iterable[Option]) -> Option | None:
    """Return the option that is first by `smallest_first`; None if there is none."""
    among = tuple(among)
    fewest = min((option.gpus for option in among), default=0)  # which the sort key compares first
    return min((option for option in among if option.gpus == fewest), key=smallest_first, default=None)


def smallest_first(option: Option) -> tuple[float, ...]:
    """Return the sort key: fewest GPUs, memory, nodes, stages and replicas first, then the largest headroom."""
    replica = option.replica
    return (
        option.gpus,
        option.gpus * replica.gpu.memory_bytes,
        option.nodes,
        replica.pp,
        option.replicas,
        -option.headroom,
    )


def gpus_to_deploy(service: Service, gpu: GpuChoice, users: int, context: int) -> int:
    """Return the fewest GPUs that can be deployed to serve `users` with `context` tokens each.

    Raises:
        OutOfRangeError: no layout fits, or all that fit take more than `MAX_GPUS`.
    """
    most_users = 0
    best: int | None = None
    for replica in service.replicas(gpu):
        if best is not None and replica.gpus >= best:  # even one such replica is no fewer
            continue
        places = users_per_replica(service, replica, context)
        if places:
            most_users = max(most_users, MAX_GPUS // replica.gpus * places)
            gpus = -(-users // places) * replica.gpus
            best = gpus if best is None else min(best, gpus)
    if best is None:
        raise OutOfRangeError(
            "gpu",
            f"{service.model.name} with {context:,} tokens does not fit on any replica of {gpu.name} with up to "
            f"{MAX_NODES_PER_REPLICA} nodes",
            "Choose a GPU with more memory, a smaller precision or a shorter context.",
        )
    if best > MAX_GPUS:
        raise OutOfRangeError(
            "users",
            f"{users:,} take {best:,} GPUs, and {MAX_GPUS:,} are the most that are planned",
            f"Write at most {most_users:,}, or divide them among several services.",
        )
    return best


def max_users(service: Service, gpu: GpuChoice, gpus: int, context: int) -> int:
    """Return the most concurrent users, each with `context` tokens, on `gpus` GPUs; 0 if nothing fits."""
    return max(
        (
            gpus // replica.gpus * users_per_replica(service, replica, context)
            for replica in service.replicas(gpu)
            if replica.gpus <= gpus
        ),
        default=0,
    )


def max_context(service: Service, gpu: GpuChoice, gpus: int, users: int, longest: int) -> int:
    """Return the longest context for `users` concurrent users on `gpus` GPUs; 0 if nothing fits.

    Args:
        longest: the limit of the context; the model's own limit applies too.
    """
    limit = min(longest, service.model.max_position_embeddings or longest)
    replicas = service.replicas(gpu)
    candidates = [replica for replica in replicas if replica.gpus <= gpus]
    best = 0
    for replica in sorted(candidates, key=lambda replica: -replica.gpus):
        each = -(-users // (gpus // replica.gpus))
        if best < limit and users_per_replica(service, replica, best + 1) >= each:
            best = _max_context(service, replica, each, limit, best)
    return best


def _max_context(service: Service, replica: Replica, users: int, limit: int, possible: int) -> int:
    return largest(lambda context: users_per_replica(service, replica, context) >= users, limit, possible)


def largest(is_possible: Callable[[int], bool], limit: int, possible: int = 0) -> int:
    """Return the largest possible number from 1 to `limit`, 0 if none is; all below a possible number are possible.

    Args:
        possible: a number that is known to be possible, or 0.
    """
    if is_possible(limit):
        return limit
    low, high = possible, limit
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if is_possible(middle) else (low, middle)
    return low
