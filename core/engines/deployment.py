"""What is started, and what an engine makes of a GPU's memory: the one interface of all engines."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from core.errors import OutOfRangeError, quoted
from core.model.precision import Precision
from core.model.spec import ModelSpec

Version = tuple[int, int, int]

_VERSION = re.compile(r"v?(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?(?:\.?(?:post|rc|dev)\d+)*")


@dataclass(frozen=True)
class Device:
    """A GPU as an engine sees it.

    Attributes:
        name: its name; engines choose defaults by it.
        memory_bytes: what a process is shown as the total: the driver's capacity less what the driver keeps.
    """

    name: str
    memory_bytes: int


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """A model on one replica's GPUs, as an engine is started.

    Attributes:
        model: what is served.
        precision: of the weights; None as the checkpoint stores them.
        kv_precision: of the cached values.
        device: each of its tp × pp GPUs.
        tp, pp: tensor and pipeline parallel size.
        whole_experts: expert parallelism: ranks share experts out whole instead of cutting each.
        context: longest sequence in tokens (vLLM's max_model_len).
        version: of the engine.
        memory_utilization: fraction of the GPU that the engine may take; None for the engine's default.
        max_batched_tokens: tokens of one step; None for the engine's default.
        max_sequences: sequences of one step; None for the engine's default.
    """

    model: ModelSpec
    precision: Precision | None
    kv_precision: Precision
    device: Device
    tp: int = 1
    pp: int = 1
    whole_experts: bool = False
    context: int
    version: Version
    memory_utilization: float | None = None
    max_batched_tokens: int | None = None
    max_sequences: int | None = None


@dataclass(frozen=True)
class Size:
    """Bytes that are expected, and the range in which engines have logged them."""

    expected: int
    low: int
    high: int

    def __add__(self, other: Size) -> Size:
        return Size(self.expected + other.expected, self.low + other.low, self.high + other.high)


def exactly(size_bytes: int) -> Size:
    """A size without spread."""
    return Size(size_bytes, size_bytes, size_bytes)


def within(size_bytes: int, below: float, above: float) -> Size:
    """A size that has been logged as low as `below` and as high as `above` of itself."""
    return Size(size_bytes, int(size_bytes * below), int(size_bytes * above))


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What the memory of one GPU goes to.

    Attributes:
        usable_bytes: what the engine allows itself.
        weights, activation, graphs, other: what it holds besides the cache: weights, peak activation of a step, CUDA
            graphs, and what is outside the tensor library (NCCL, kernels, the driver's context).
        graphs_count: whether the engine takes the graphs off the cache's share; early ones let them come on top.
    """

    usable_bytes: int
    weights: Size
    activation: Size
    graphs: Size
    other: Size
    graphs_count: bool

    @cached_property
    def kv(self) -> Size:
        """What is left for the cache: 0 where nothing is."""
        taken = self.weights + self.activation + self.other
        if self.graphs_count:
            taken += self.graphs
        left = (self.usable_bytes - taken.expected, self.usable_bytes - taken.high, self.usable_bytes - taken.low)
        return Size(*(max(0, size_bytes) for size_bytes in left))


@dataclass(frozen=True)
class Pool:
    """How an engine keeps sequences in the memory that is left for the cache.

    Attributes:
        block_bytes: bytes of one block on a GPU of each pipeline stage.
        blocks_of: blocks that one sequence of so many tokens takes.
        tokens_announced: blocks and the context → the number of tokens that the engine's log announces.
        bytes_per_token: bytes by which a long sequence grows with each token, on a GPU of the fullest stage.
    """

    block_bytes: tuple[int, ...]
    blocks_of: Callable[[int], int]
    tokens_announced: Callable[[int, int], int]
    bytes_per_token: int

    def blocks(self, kv_bytes_by_stage: tuple[int, ...]) -> int:
        """Blocks that every stage has room for: the fullest decides."""
        return min(left // block for left, block in zip(kv_bytes_by_stage, self.block_bytes))


@dataclass(frozen=True)
class Engine:
    """An inference engine.

    Attributes:
        name: as it is called ("vllm").
        default_version: the version that is planned with if none is given.
        budgets: what one GPU of each pipeline stage holds.
        pool: how sequences are kept.
        max_sequences: how many sequences it runs at once.
    """

    name: str
    default_version: str
    budgets: Callable[[Deployment], tuple[Budget, ...]]
    pool: Callable[[Deployment], Pool]
    max_sequences: Callable[[Deployment], int]


def parse_version(text: str) -> Version:
    """An engine's version: "0.19", "v0.8.5.post1", or for llama.cpp a build ("b6325").

    Raises:
        OutOfRangeError: it is none.
    """
    build = re.fullmatch(r"b?(\d{1,6})", text.strip())
    if build:
        return int(build[1]), 0, 0
    found = _VERSION.fullmatch(text.strip().lower())
    if found is None:
        raise OutOfRangeError("engine_version", f"{quoted(text)} is not a version", 'Write a version such as "0.19".')
    return int(found[1]), int(found[2]), int(found[3] or 0)
