"""Define the interface of all engines: a deployment, its memory budget and its pool of cache blocks."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from core.checks import Limits, number_within
from core.engines.parallelism import Split
from core.errors import OutOfRangeError, WrongTypeError, quoted
from core.model.precision import Precision
from core.model.spec import ModelSpec
from core.units import GIB

Version = tuple[int, int, int]

# As engines log it (PEP 440): 0.10.1.1, 0.8.5.post1, 0.9.2+rocm641, 0.19.2rc1.dev134+gfe9c3d6c5.
_VERSION = re.compile(
    r"v?(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?(?:\.\d{1,4}){0,2}"
    r"(?:[.-]?(?:post|rc|dev|alpha|beta|a|b)\d{0,9}){0,4}(?:\+[a-z0-9._-]{1,60})?"
)


@dataclass(frozen=True)
class Device:
    """A GPU as an engine sees it.

    Attributes:
        name: its name, from which engines choose defaults.
        memory_bytes: the total that a process sees: the capacity that the driver reports less the driver's own memory.
        compute_capability: NVIDIA's compute capability (9.0 for an H100); None for another maker's, or if unknown.
        shares_memory: whether its memory is the CPU's too, so that what other programs and the file cache hold is
            missing.
    """

    name: str
    memory_bytes: int
    compute_capability: float | None = None
    shares_memory: bool = False


def _setting(help_text: str, limits: Limits | None) -> Any:
    """Return a field of `EngineSettings`: an option of the command line and an argument of the API.

    Args:
        limits: of a number; None for one that is on or off.
    """
    return field(default=None if limits else False, metadata={"help": help_text, "limits": limits})


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """How an engine is started; None leaves a setting at the engine's default. Every interface reads these fields."""

    memory_utilization: float | None = _setting(
        "Fraction of a GPU that the engine may use.",
        Limits(0.01, 1, False, "Write a fraction from 0.01 to 1, for example 0.9."),
    )
    max_batched_tokens: int | None = _setting(
        "Most tokens of one step.", Limits(1, 10**7, True, "Write the most tokens in one step, for example 8192.")
    )
    max_sequences: int | None = _setting(
        "Most sequences of one step.", Limits(1, 10**6, True, "Write the most sequences in one step, for example 256.")
    )
    eager: bool = _setting("Run without CUDA graphs (vLLM's --enforce-eager).", None)
    images: int | None = _setting(
        "0 serves text alone, without the towers for images; other numbers of images change nothing.",
        Limits(0, 10**4, True, "Write 0 for text alone, or the most images of one request."),
    )
    mtp_tokens: int | None = _setting(
        "Tokens drafted in a step by the model's own MTP layer, or by the draft model (speculative decoding).",
        Limits(0, 64, True, "Write the tokens drafted in a step, for example 1."),
    )
    acceptance: float | None = _setting(
        "Chance that a drafted token is accepted; only the speed depends on it.",
        Limits(0, 1, False, "Write a share from 0 to 1, for example 0.8."),
    )
    attention_dp: int | None = _setting(
        "Groups of the tp GPUs that each have the whole attention and their own cache (data-parallel attention).",
        Limits(1, 1024, True, "Write the number of groups, for example 8."),
    )
    context_parallel: int | None = _setting(
        "GPUs among which the cache of each sequence is divided (vLLM's --decode-context-parallel-size).",
        Limits(1, 1024, True, "Write the number of GPUs that share a sequence, for example 2."),
    )
    shared_tokens: int | None = _setting(
        "Tokens of a prompt that all users share, cached once (prefix caching).",
        Limits(0, 10**8, True, "Write the tokens of the shared prompt, for example 2000."),
    )
    lora_adapters: int | None = _setting(
        "LoRA adapters on the GPU at once (vLLM's --max-loras).",
        Limits(0, 10**4, True, "Write the number of adapters, for example 4."),
    )
    gpu_layers: int | None = _setting(
        "Layers on the GPUs, the last ones first (llama.cpp's -ngl); one more than the model has for the output too.",
        Limits(0, 10**4, True, "Write the number of layers, for example 20."),
    )
    cpu_expert_layers: int | None = _setting(
        "First layers whose experts stay in CPU memory (llama.cpp's --n-cpu-moe).",
        Limits(0, 10**4, True, "Write the number of layers, for example 20."),
    )
    reserved_gib: float | None = _setting(
        "GiB of each GPU that others hold: another model, programs, Ollama's OLLAMA_GPU_OVERHEAD.",
        Limits(0, 10**4, False, "Write the GiB that others hold of each GPU, for example 16."),
    )
    kv_offload_gib: float | None = _setting(
        "GiB of CPU memory, of all GPUs together, for the cache of requests that do not run (vLLM's "
        "--kv-offloading-size); what runs still needs its cache on the GPUs.",
        Limits(0, 10**6, False, "Write the GiB of CPU memory for the cache, for example 64."),
    )
    lora_rank: int | None = _setting(
        "Highest rank of the adapters (vLLM's --max-lora-rank).",
        Limits(1, 4096, True, "Write the highest rank, for example 16."),
    )

    @property
    def groups(self) -> int:
        """The groups of data-parallel attention; 1 if none are set."""
        return self.attention_dp or 1


DEFAULT_SETTINGS = EngineSettings()

# Setting → its limits; None: it is true or false.
SETTING_LIMITS: dict[str, Limits | None] = {
    setting.name: setting.metadata["limits"] for setting in fields(EngineSettings)
}


def checked_settings(given: Mapping[str, float | None]) -> EngineSettings:
    """Return the settings by their names, each checked against its limits.

    Raises:
        PlannerError: a value is of the wrong type or out of range.
        TypeError: there is no setting of that name.
    """
    unknown = [name for name in given if name not in SETTING_LIMITS]
    if unknown:
        raise TypeError(f"{unknown[0]!r} is no engine setting; the settings are {', '.join(SETTING_LIMITS)}")
    checked = {name: _checked(name, value, SETTING_LIMITS[name]) for name, value in given.items() if value is not None}
    return EngineSettings(**checked)  # type: ignore[arg-type]


def _checked(name: str, value: float, limits: Limits | None) -> float:
    if limits:
        return number_within(name, value, limits)
    if not isinstance(value, bool):
        raise WrongTypeError(name, f"{quoted(value)} is neither true nor false", "Write true or false.")
    return value


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """A model on the GPUs of one replica, with the settings with which an engine is started.

    Attributes:
        model: the model.
        precision: precision of the weights; None: as the checkpoint stores them.
        kv_precision: precision of the KV cache.
        device: each of the tp × pp GPUs, or those of the first stage.
        tp, pp: tensor and pipeline parallel size.
        stage_devices: the GPUs of each pipeline stage, where they differ; empty: all are `device`.
        stage_layers: the layers of each pipeline stage; empty: as the engine divides them.
        expert_parallel: whether each rank has whole experts instead of a part of every expert.
        context: longest sequence in tokens (vLLM's max_model_len).
        version: version of the engine.
        settings: how the engine is started.
        draft: the model that drafts tokens; None: the model's own MTP layer, if any tokens are drafted.
    """

    model: ModelSpec
    precision: Precision | None
    kv_precision: Precision
    device: Device
    tp: int = 1
    pp: int = 1
    stage_devices: tuple[Device, ...] = ()
    stage_layers: tuple[int, ...] = ()
    expert_parallel: bool = False
    context: int
    version: Version
    settings: EngineSettings = DEFAULT_SETTINGS
    draft: ModelSpec | None = None

    @property
    def devices(self) -> tuple[Device, ...]:
        """The GPU of each pipeline stage."""
        return self.stage_devices or (self.device,) * self.pp

    @property
    def split(self) -> Split:
        """The pipeline stages, with their layers if those are given."""
        return self.stage_layers or self.pp

    @property
    def attention_tp(self) -> int:
        """The GPUs among which attention is divided: all tp GPUs, or those of one group of data-parallel attention."""
        return self.tp // self.settings.groups


@dataclass(frozen=True)
class Size:
    """An expected number of bytes, and the range that engines have logged."""

    expected: int
    low: int
    high: int

    def __add__(self, other: Size) -> Size:
        return Size(self.expected + other.expected, self.low + other.low, self.high + other.high)


def exact_size(size_bytes: int) -> Size:
    """Return a size whose range is that one value."""
    return Size(size_bytes, size_bytes, size_bytes)


def size_between(size_bytes: int, low: float, high: float) -> Size:
    """Return a size with a range from `low` × to `high` × the expected bytes."""
    return Size(size_bytes, int(size_bytes * low), int(size_bytes * high))


# What other programs and the file cache hold of a memory that the CPU shares, when the engine measures: 1.6 and 6.0 GiB
# under vLLM 0.19 and 0.20 on a GB10, about 4 under SGLang (GitHub jethac/dgx-spark-hijinks@29166059 and others).
SHARED_MEMORY_HELD = Size(round(3.5 * GIB), round(1.0 * GIB), round(6.5 * GIB))


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The use of one GPU's memory.

    Attributes:
        usable_bytes: the memory that the engine may use.
        weights, activation, graphs: the loaded weights, the peak activation of a step, and CUDA graphs.
        other: memory outside the tensor library (NCCL, kernels, the driver's context).
        graphs_are_subtracted: whether the graphs reduce the KV cache; in early versions they are added on top.
    """

    usable_bytes: int
    weights: Size
    activation: Size
    graphs: Size
    other: Size
    graphs_are_subtracted: bool

    @property
    def kv(self) -> Size:
        """Return the bytes that remain for the KV cache, at least 0."""
        weights, activation, other = self.weights, self.activation, self.other
        graphs = self.graphs if self.graphs_are_subtracted else exact_size(0)
        usable = self.usable_bytes
        return Size(
            expected=max(0, usable - weights.expected - activation.expected - other.expected - graphs.expected),
            low=max(0, usable - weights.high - activation.high - other.high - graphs.high),
            high=max(0, usable - weights.low - activation.low - other.low - graphs.low),
        )


@dataclass(frozen=True)
class Pool:
    """The blocks in which an engine stores the KV cache.

    Attributes:
        block_bytes: bytes of one block on a GPU of each pipeline stage, or a part of one.
        blocks_per_sequence: returns the blocks of one sequence, from its tokens.
        logged_tokens: returns the cache's size in tokens as the engine's log prints it, from the number of blocks and
            the context.
        bytes_per_token: bytes that a long sequence adds per token, on a GPU of the fullest stage.
        shared_blocks: returns the blocks that sequences can share, from the tokens with which all of them begin.
    """

    block_bytes: tuple[float, ...]
    blocks_per_sequence: Callable[[int], int]
    logged_tokens: Callable[[int, int], int]
    bytes_per_token: int
    shared_blocks: Callable[[int], int] = lambda tokens: 0

    def blocks(self, kv_bytes_by_stage: tuple[int, ...]) -> int:
        """Return the number of blocks that fit on every stage."""
        return int(min(kv_bytes // block for kv_bytes, block in zip(kv_bytes_by_stage, self.block_bytes)))


@dataclass(frozen=True)
class Engine:
    """An inference engine.

    Attributes:
        name: its name ("vllm").
        default_version: the version to plan with if none is given.
        budgets: returns the budget of one GPU of each pipeline stage.
        pool: returns the blocks of the KV cache.
        max_sequences: returns the most sequences that it runs at once.
        share: returns the share of a GPU that it uses; None if it has no such setting.
        lacks: settings that it does not have, or that are not modelled.
        calibrated: the first and the last version that were compared with logs (tests/golden/logged.csv); None
            if none was.
    """

    name: str
    default_version: str
    budgets: Callable[[Deployment], tuple[Budget, ...]]
    pool: Callable[[Deployment], Pool]
    max_sequences: Callable[[Deployment], int]
    calibrated: tuple[str, str] | None
    share: Callable[[Deployment], float] | None = None
    lacks: tuple[str, ...] = ()


def parse_version(text: str) -> Version:
    """Parse an engine's version as it logs it: "0.19", "v0.8.5.post1", or for llama.cpp a build number ("b6325").

    Raises:
        OutOfRangeError: the text is not a version.
    """
    build = re.fullmatch(r"b?(\d{1,6})", text.strip())
    if build:
        return int(build[1]), 0, 0
    found = _VERSION.fullmatch(text.strip().lower())
    if found is None:
        raise OutOfRangeError("engine_version", f"{quoted(text)} is not a version", 'Write a version such as "0.19".')
    return int(found[1]), int(found[2]), int(found[3] or 0)
