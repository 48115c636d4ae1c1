"""How many GPUs: by division, and as they can be deployed, in replicas that a node can hold.

A replica is one copy of the model on tp × pp GPUs. What it holds follows either from an engine's budget or from the
rule, a fraction on top of weights and cache. Every answer here (GPUs for users, users for GPUs, the longest context)
asks the one function `users_per_replica`, so that they are each other's inverses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from core.catalog.hardware import Gpu
from core.engines import vllm
from core.engines.capacity import Capacity, capacity, users_that_fit
from core.engines.deployment import Deployment, Device, Engine, Version, parse_version
from core.engines.parallelism import kv_profile_per_gpu, tensor_parallel_obstacle, weights_bytes_per_gpu
from core.errors import OutOfRangeError
from core.model.kv_cache import KvProfile
from core.model.precision import Precision
from core.model.spec import ModelSpec
from core.plan.nodes import MOST_NODES_PER_REPLICA, node_takes, nodes_for
from core.units import GB, MIB

# Servers hold eight of the larger GPUs (NVIDIA HGX, AMD Instinct platforms); for GPUs whose row does not say.
USUAL_GPUS_PER_NODE = 8
MOST_STAGES = 16
MOST_GPUS = 100_000  # beyond that no layout is looked for

# What the driver keeps from processes, MiB: 468 of an H100's 81 559, 768 of an A100's 81 920, 606 of an H200's 143 771,
# 434 of an L4's 23 034, 469 of a 4090's 24 564, 451 of a T4's 15 360, 597 of an RTX PRO 6000's 97 887 (the totals that
# vLLM's logs print against nvidia-smi's): a constant and a share.
DRIVER_KEEPS_MIB, DRIVER_KEEPS_SHARE = 410, 0.002


def gpus_by_division(total_bytes: int, gpu_memory_gb: float) -> int:
    """The article's count: the total divided by one GPU's memory, rounded up. Says nothing of what can be deployed."""
    return -(-total_bytes // round(gpu_memory_gb * GB))


@dataclass(frozen=True)
class GpuChoice:
    """A GPU to plan with: its name, the memory its driver reports, and how many share a node."""

    name: str
    memory_bytes: int
    gpus_per_node: int = USUAL_GPUS_PER_NODE

    @property
    def device(self) -> Device:
        """What a process on it is shown."""
        kept = DRIVER_KEEPS_MIB * MIB + round(self.memory_bytes * DRIVER_KEEPS_SHARE)
        return Device(self.name, max(0, self.memory_bytes - kept))


def choice_of_gpu(gpu: Gpu) -> GpuChoice:
    """The catalog's GPU to plan with."""
    return GpuChoice(gpu.name, gpu.memory_bytes, gpu.gpus_per_node or USUAL_GPUS_PER_NODE)


def choice_of_gb(memory_gb: float) -> GpuChoice:
    """Any GPU with so many GB (10⁹ bytes) of memory."""
    return GpuChoice(f"{memory_gb:g} GB", round(memory_gb * GB))


@dataclass(frozen=True, kw_only=True)
class Service:
    """What is to be served, and by which reckoning.

    Attributes:
        model, precision, kv_precision: what; a precision of None is as the checkpoint stores the weights.
        overhead: the rule's fraction on top of weights and cache; None to reckon with an engine.
        engine, version: the engine.
        memory_utilization, max_batched_tokens, max_sequences: its settings; None for its defaults.
    """

    model: ModelSpec
    precision: Precision | None
    kv_precision: Precision
    overhead: float | None = None
    engine: Engine = vllm.ENGINE
    version: Version = parse_version(vllm.ENGINE.default_version)  # noqa: RUF009  a tuple
    memory_utilization: float | None = None
    max_batched_tokens: int | None = None
    max_sequences: int | None = None


@dataclass(frozen=True)
class Replica:
    """The GPUs of one copy of the model: tensor parallel size, pipeline parallel size, and what they are."""

    gpu: GpuChoice
    tp: int
    pp: int

    @property
    def gpus(self) -> int:
        return self.tp * self.pp

    def nodes(self, replicas: int) -> int:
        """Nodes that so many replicas take; a replica of more than a node has whole ones."""
        return nodes_for(replicas, self.gpus, self.gpu.gpus_per_node)


@dataclass(frozen=True, kw_only=True)
class Option:
    """A way to serve the users.

    Attributes:
        replica, replicas: what is deployed, and how often.
        users_per_replica: most concurrent users of one.
        gpus, nodes: in all.
        headroom: share of the users' places that stay free.
    """

    replica: Replica
    replicas: int
    users_per_replica: int
    gpus: int
    nodes: int
    headroom: float


def deployment_of(service: Service, replica: Replica, context: int) -> Deployment:
    """One replica of `service` as its engine starts."""
    return Deployment(
        model=service.model,
        precision=service.precision,
        kv_precision=service.kv_precision,
        device=replica.gpu.device,
        tp=replica.tp,
        pp=replica.pp,
        context=context,
        version=service.version,
        memory_utilization=service.memory_utilization,
        max_batched_tokens=service.max_batched_tokens,
        max_sequences=service.max_sequences,
    )


def capacity_of_replica(service: Service, replica: Replica, context: int) -> Capacity:
    """What one replica holds under the engine."""
    return capacity(service.engine, deployment_of(service, replica, context))


def users_per_replica(service: Service, replica: Replica, context: int) -> int:
    """Most concurrent users, each with the whole context, of one replica.

    With an overhead: those whose cache, with the fullest GPU's weights and that fraction of both, is within its memory.
    Otherwise those that the engine's budget has room for, and that it runs at once.

    Raises:
        UnsupportedModelError: the model is described by too little for an engine's budget.
    """
    if service.overhead is None:
        return users_that_fit(service.engine, deployment_of(service, replica, context))
    weights, caches = _rule_parts(service.model, service.precision, replica.tp, replica.pp)
    per_user = max(profile.bytes_per_sequence(context, service.kv_precision) for profile in caches)
    if not service.model.heads_are_known:  # keys and values are cut like everything else
        per_user = -(-per_user // replica.tp)
    left = replica.gpu.memory_bytes / (1 + service.overhead) - weights
    return max(0, int(left // per_user)) if per_user else MOST_GPUS


@lru_cache(maxsize=4096)
def _rule_parts(model: ModelSpec, precision: Precision | None, tp: int, pp: int) -> tuple[int, tuple[KvProfile, ...]]:
    """Weights on the fullest GPU, and what one sequence keeps on a GPU of each stage."""
    return weights_bytes_per_gpu(model, precision, tp=tp, pp=pp), kv_profile_per_gpu(model, tp, pp)


@lru_cache(maxsize=1024)
def replicas_of(model: ModelSpec, gpu: GpuChoice, engine_name: str) -> tuple[Replica, ...]:
    """Every replica that can be deployed; llama.cpp splits by layers alone, over any number of one node's GPUs."""
    node = gpu.gpus_per_node
    stages = range(1, min(MOST_STAGES, model.num_hidden_layers) + 1)
    if engine_name == "llama.cpp":
        return tuple(Replica(gpu, 1, pp) for pp in stages if pp <= node)
    return tuple(
        Replica(gpu, tp, pp)
        for tp in range(1, node + 1)
        if not node % tp and not tensor_parallel_obstacle(model, tp)
        for pp in stages
        if node_takes(tp, pp, node)
    )


def options(service: Service, gpu: GpuChoice, users: int, context: int) -> Iterator[Option]:
    """Every deployable way to serve `users` on that GPU, in no order."""
    for replica in replicas_of(service.model, gpu, service.engine.name):
        each = users_per_replica(service, replica, context)
        if each < 1:
            continue
        replicas = -(-users // each)
        if replicas * replica.gpus <= MOST_GPUS:
            yield Option(
                replica=replica,
                replicas=replicas,
                users_per_replica=each,
                gpus=replicas * replica.gpus,
                nodes=replica.nodes(replicas),
                headroom=1 - users / (replicas * each),
            )


def rank(layout: Option) -> tuple[float, ...]:
    """Smallest first: GPUs, their memory, nodes; then the simpler, and the roomier."""
    replica = layout.replica
    return (
        layout.gpus,
        layout.gpus * replica.gpu.memory_bytes,
        layout.nodes,
        replica.pp,
        layout.replicas,
        -layout.headroom,
    )


def gpus_to_deploy(service: Service, gpu: GpuChoice, users: int, context: int) -> int:
    """The fewest GPUs that can be deployed to serve `users` with `context` tokens each.

    Raises:
        OutOfRangeError: no layout fits.
    """
    best = min((layout.gpus for layout in options(service, gpu, users, context)), default=None)
    if best is None:
        raise OutOfRangeError(
            "gpu",
            f"{service.model.name} with {context:,} tokens fits on no replica of {gpu.name}, on up to "
            f"{MOST_NODES_PER_REPLICA} nodes",
            "Choose a GPU with more memory, a smaller precision or a shorter context.",
        )
    return best


def max_users(service: Service, gpu: GpuChoice, gpus: int, context: int) -> int:
    """Most concurrent users, each with `context` tokens, that `gpus` GPUs can be deployed for; 0 if nothing fits."""
    return max(
        (
            gpus // replica.gpus * users_per_replica(service, replica, context)
            for replica in replicas_of(service.model, gpu, service.engine.name)
            if replica.gpus <= gpus
        ),
        default=0,
    )


def max_context(service: Service, gpu: GpuChoice, gpus: int, users: int, longest: int) -> int:
    """The longest context for `users` concurrent users on `gpus` GPUs, at most the model's own; 0 if nothing fits.

    Args:
        longest: the longest that is looked for where the model has no limit.
    """
    candidates = [replica for replica in replicas_of(service.model, gpu, service.engine.name) if replica.gpus <= gpus]
    return max(
        (_longest(service, replica, -(-users // (gpus // replica.gpus)), longest) for replica in candidates), default=0
    )


def _longest(service: Service, replica: Replica, users: int, longest: int) -> int:
    return largest(
        lambda context: users_per_replica(service, replica, context) >= users,
        min(longest, service.model.max_position_embeddings or longest),
    )


def largest(holds: Callable[[int], bool], most: int) -> int:
    """The largest number up to `most` for which `holds`, which holds for all smaller ones too; 0 if for none."""
    if holds(most):
        return most
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
