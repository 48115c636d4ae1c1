"""Compute the memory of fine-tuning: weights, gradients, optimizer states, activations, and the GPUs that hold them.

Sizes are whole bytes on the fullest GPU. Sources, by the names that this module uses for them:

* ZeRO: Rajbhandari et al. 2020, arXiv:1910.02054, section 3.1 (bytes per parameter), section 5 (partitions);
* recomputation: Korthikanti et al. 2022, arXiv:2205.05198, section 4 (activations, also with tensor parallelism);
* LoRA: Hu et al. 2021, arXiv:2106.09685; QLoRA: Dettmers et al. 2023, arXiv:2305.14314;
* FSDP: Zhao et al. 2023, arXiv:2304.11277, section 3 (parameters of one unit are gathered at a time).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from core import catalog
from core.engines.parallelism import check_tensor_parallel, outer_on_rank, tensors_on_rank
from core.errors import OutOfRangeError, UnknownNameError, UnsupportedModelError, quoted
from core.model.parameters import layer_tensors
from core.model.spec import LayerRun, ModelSpec
from core.model.tensors import ADAPTABLE, ATTENTION, BY_COLUMNS, EXPERT, MLP, ROUTER, VISION, Tensor, adapter_matrices
from core.model.weights import stored_bytes
from core.plan.fleet import MAX_GPUS
from core.plan.layout_figures import has_shapes
from core.units import GIB, MIB

FULL, LORA, QLORA = METHODS = ("full", "lora", "qlora")
CHECKPOINTING = ("none", "selective", "full")
NONE, WHOLE_LAYERS = CHECKPOINTING[0], CHECKPOINTING[-1]
MIXED, BF16 = PRECISIONS = ("mixed", "bf16")
PLAIN, FUSED = LOSSES = ("plain", "fused")
ATTENTION_TARGETS, ALL_TARGETS = TARGETS = ("attention", "all")

WEIGHT_BYTES = GRADIENT_BYTES = ACTIVATION_BYTES = 2  # 16 bits (ZeRO, section 3.1; recomputation, section 4)
MASTER_BYTES = 4  # the 32-bit copy of the weights in mixed precision (ZeRO, section 3.1)
BASE_FORMAT = "nf4_dq"  # QLoRA, section 3: NF4 with double quantization, 4.127 bits per parameter

# 8-bit states have a 32-bit scale for each 256 values (bitsandbytes optim/optimizer.py, init_state, 0.45).
_SCALED_VALUES, _SCALE_BYTES = 256, 4
_FACTOR_BYTES = 4  # Adafactor: 32-bit sums of rows and of columns (Shazeer & Stern 2018, arXiv:1804.04235, section 3)

# Alive for each logit at the peak of a plain loss: the logit in 16 and in 32 bits, its log-softmax, its gradient.
# Wijmans et al. 2024, arXiv:2411.09009, measure 28 GB for 8192 tokens and 256 000 words.
LOGIT_BYTES = 2 + 4 + 4 + 4

# Kernels and the driver's context: Hugging Face Transformers 4, docs/source/en/model_memory_anatomy.md, measures
# 1343 MiB on a V100 (CUDA 11.2). Newer CUDA loads kernels when they are first used and may take less.
CONTEXT_BYTES = 1343 * MIB

NOT_MODELLED = (
    "Not modelled: offload and paged optimizers, sequence, pipeline and expert parallelism, dropout, activations of "
    "encoders and vision towers, buffers for communication, fragmentation of the allocator."
)


class _Optimizer(NamedTuple):
    """The states of an optimizer: how many, and the bytes of one in mixed precision and if all is in 16 bits."""

    states: int
    mixed_bytes: int
    bf16_bytes: int


# States: PyTorch's optimizers; bytes: ZeRO, section 3.1 (32 bits), torchtune docs/source/tutorials/
# memory_optimizations.rst (16 bits: "2 bytes per model and optimizer parameter"), Dettmers et al. 2022,
# arXiv:2110.02861 (8 bits).
_OPTIMIZERS = {
    "adamw": _Optimizer(2, 4, 2),
    "adamw-8bit": _Optimizer(2, 1, 1),
    "sgd": _Optimizer(0, 0, 0),
    "sgd-momentum": _Optimizer(1, 4, 2),
    "adafactor": _Optimizer(0, 0, 0),  # without momentum; its factors are computed from the shapes
}
OPTIMIZERS = tuple(_OPTIMIZERS)
_EIGHT_BITS, _FACTORED = "adamw-8bit", "adafactor"


@dataclass(frozen=True, kw_only=True)
class Job:
    """A model to fine-tune, and how.

    Attributes:
        model: the model.
        method: one of `METHODS`. LoRA keeps the weights frozen in 16 bits, QLoRA in NF4.
        rank: rank of the adapters; 64 as in QLoRA, appendix B.2.
        targets: matrices with adapters: `"attention"`, `"all"` (of attention, feed-forward blocks and experts; QLoRA
            needs all to match full fine-tuning), or names of modules with commas ("q_proj,v_proj").
        optimizer: one of `OPTIMIZERS`.
        training_precision: `"mixed"`: 16-bit weights with a 32-bit copy of those that are trained, and 32-bit states;
            `"bf16"`: all in 16 bits.
        sequence, batch: tokens of a sequence, and sequences in one step of one GPU (the micro-batch).
        checkpointing: `"none"` keeps everything, attention scores too; `"selective"` all but the scores, which are
            recomputed, as FlashAttention always does (Dao et al. 2022, arXiv:2205.14135); `"full"` only the input of
            each layer.
        loss: `"plain"` holds all logits at once; `"fused"` a few at a time, which counts as none (Liger Kernel,
            Unsloth, torchtune's chunks; Wijmans et al. 2024 measure 1 MB instead of 24 GB).
        zero: stage of ZeRO: 0 copies all, 1 divides optimizer states, 2 also gradients, 3 also weights (FSDP).
        tp: tensor parallel size.
    """

    model: ModelSpec
    method: str
    rank: int = 64
    targets: str = ALL_TARGETS
    optimizer: str = OPTIMIZERS[0]
    training_precision: str = MIXED
    sequence: int = 2048
    batch: int = 1
    checkpointing: str = WHOLE_LAYERS
    loss: str = PLAIN
    zero: int = 3
    tp: int = 1


class Memory(NamedTuple):
    """The bytes on one GPU, by what takes them.

    Attributes:
        weights: frozen and trained weights, adapters included.
        gradients: of the trained weights.
        optimizer: its states, and the 32-bit copy of the trained weights.
        gathered: what ZeRO 2 and 3 gather on each GPU of the layer at work, beyond the GPU's own part.
        activations: values that the backward pass needs.
        step: the larger of the loss with its logits, and one layer that is recomputed.
        context: kernels and the driver's context.
    """

    weights: int
    gradients: int
    optimizer: int
    gathered: int
    activations: int
    step: int
    context: int

    @property
    def total(self) -> int:
        return sum(self)


class _Sizes(NamedTuple):
    """What a rank holds before data parallelism divides anything; a unit is a layer, or all that is outside layers."""

    weights: int
    gradients: int
    optimizer: int
    largest_unit: int
    largest_unit_gradients: int
    activations: int
    step: int


class _Unit(NamedTuple):
    """A layer, or what is outside the layers: its tensors on a rank, with the number of each."""

    tensors: tuple[tuple[Tensor, int], ...]
    times: int


def memory(job: Job, gpus: int = 1) -> Memory:
    """Return the memory of each of `gpus` GPUs: groups of `tp` GPUs side by side, with data parallelism between them.

    Raises:
        UnsupportedModelError: only the size of the model is known.
        UnknownNameError: no matrix has the name of a target.
        OutOfRangeError: the model cannot be split, or `gpus` is not a multiple of `tp`.
    """
    if gpus % job.tp:
        raise OutOfRangeError("gpus", f"{gpus} is not a multiple of tp, {job.tp}", f"Write for example {job.tp}.")
    sizes, ranks = _sizes(job), gpus // job.tp
    weights, gradients, optimizer = divided(
        sizes.weights, sizes.gradients, sizes.optimizer, stage=job.zero, ranks=ranks
    )
    gathered = 0
    if job.zero >= 2:
        gathered += _gathered(sizes.gradients, sizes.largest_unit_gradients, ranks)
    if job.zero >= 3:
        gathered += _gathered(sizes.weights, sizes.largest_unit, ranks)
    return Memory(
        weights=weights,
        gradients=gradients,
        optimizer=optimizer,
        gathered=gathered,
        activations=sizes.activations,
        step=sizes.step,
        context=CONTEXT_BYTES,
    )


def divided(weights: int, gradients: int, optimizer: int, *, stage: int, ranks: int) -> tuple[int, int, int]:
    """Return the bytes of weights, gradients and optimizer states on one of `ranks` under a stage of ZeRO.

    Source: ZeRO, section 5 and figure 1.
    """
    return (
        -(-weights // ranks) if stage >= 3 else weights,
        -(-gradients // ranks) if stage >= 2 else gradients,
        -(-optimizer // ranks) if stage >= 1 else optimizer,
    )


def _gathered(whole: int, unit: int, ranks: int) -> int:
    """Return what a rank gathers of its largest unit beyond its own part (FSDP, section 3)."""
    return unit + -(-(whole - unit) // ranks) - -(-whole // ranks)


def trainable_parameters(job: Job) -> int:
    """Return the parameters that are trained: all of the model's, or those of the adapters.

    Raises:
        PlannerError: the same errors as `memory`.
    """
    return sum(
        shape.parameters * count * unit.times
        for unit in _units(replace(job, tp=1))
        for shape, count in _trained(job, unit)
    )


def fewest_gpus(job: Job, usable_bytes: int) -> int | None:
    """Return the fewest GPUs with `usable_bytes` each that hold the job; None if no number does.

    Raises:
        PlannerError: the same errors as `memory`.
    """
    few, many = 1, MAX_GPUS // job.tp
    if memory(job, many * job.tp).total > usable_bytes:
        return None
    while few < many:  # more ranks never need more memory on each
        middle = (few + many) // 2
        if memory(job, middle * job.tp).total <= usable_bytes:
            many = middle
        else:
            few = middle + 1
    return few * job.tp


def obstacle(job: Job, usable_bytes: int) -> str:
    """Return why no number of GPUs holds the job, and which single change helps, as a sentence; "" if one holds it."""
    if fewest_gpus(job, usable_bytes) is not None:
        return ""
    least = memory(job, MAX_GPUS // job.tp * job.tp)
    kept = {name: size for name, size in least._asdict().items() if size >= least.total / 100}
    parts = ", ".join(f"{name} {size / GIB:,.1f}" for name, size in sorted(kept.items(), key=lambda part: -part[1]))
    problem = (
        f"each GPU needs {least.total / GIB:,.1f} GiB however many there are ({parts}), and {usable_bytes / GIB:,.1f} "
        "GiB are usable"
    )
    for words, changed in _changes(job):
        gpus = fewest_gpus(changed, usable_bytes)
        if gpus is not None:
            return f"{problem}; {words} it takes {gpus:,} GPU{'s' if gpus > 1 else ''}"
    return f"{problem}; no single change helps: try shorter sequences, QLoRA, tensor parallelism or larger GPUs"


def _changes(job: Job) -> Iterator[tuple[str, Job]]:
    """Yield single changes that need less memory, the least costly for training first."""
    if job.zero < 3:
        yield "with ZeRO 3", replace(job, zero=3)
    if job.checkpointing != WHOLE_LAYERS:
        yield "with full checkpointing", replace(job, checkpointing=WHOLE_LAYERS)
    if job.loss != FUSED:
        yield "with a fused loss", replace(job, loss=FUSED)
    if job.batch > 1:
        yield "with a batch of 1", replace(job, batch=1)
    for method in METHODS[METHODS.index(job.method) + 1 :]:
        yield f"with method {method}", replace(job, method=method)


@lru_cache(maxsize=1024)
def _sizes(job: Job) -> _Sizes:
    check_tensor_parallel(job.model, job.tp)
    units = _units(job)
    weights, trained = [], []
    optimizer = 0
    for unit in units:
        shapes = _trained(job, unit)
        parameters = sum(shape.parameters * count for shape, count in shapes)
        frozen = 0 if job.method == FULL else sum(_frozen_bytes(job, tensor) * count for tensor, count in unit.tensors)
        trained.append(parameters * GRADIENT_BYTES)
        weights.append(frozen + parameters * WEIGHT_BYTES)
        optimizer += sum(_optimizer_bytes(job, shape) * count for shape, count in shapes) * unit.times
    times = [unit.times for unit in units]
    activations, step = _activations(job)
    return _Sizes(
        weights=sum(size * count for size, count in zip(weights, times)),
        gradients=sum(size * count for size, count in zip(trained, times)),
        optimizer=optimizer,
        largest_unit=max(weights),
        largest_unit_gradients=max(trained),
        activations=activations,
        step=step,
    )


def _units(job: Job) -> tuple[_Unit, ...]:
    """Return the layers, and what is outside them, on a tensor-parallel rank."""
    model = job.model
    if not has_shapes(model):
        raise UnsupportedModelError(
            "model",
            f"only the size of {model.name} is known, and fine-tuning needs the shapes of its layers",
            "Name a model of the catalog, or give a config.json with all fields.",
        )
    layers = [_Unit(tuple((tensor, 1) for tensor in _on_rank(job, run)), run.count) for run in model.layers]
    outside = outer_on_rank(model, job.tp, 1, 0)
    towers = tuple((tensor, count) for tensor, count in outside if tensor.group == VISION)
    others = tuple((tensor, count) for tensor, count in outside if tensor.group != VISION)
    # The layers of a tower are gathered one at a time, so that each of its tensors counts as a unit.
    return (*layers, _Unit(others, 1), *(_Unit(((tensor, 1),), count) for tensor, count in towers))


def _on_rank(job: Job, run: LayerRun) -> tuple[Tensor, ...]:
    return tensors_on_rank(layer_tensors(run, job.model.hidden_size), job.tp)


def _frozen_bytes(job: Job, tensor: Tensor) -> int:
    if job.method == QLORA:
        return stored_bytes(tensor, job.model, None, catalog.precision("precision", BASE_FORMAT))
    return tensor.parameters * WEIGHT_BYTES


def _trained(job: Job, unit: _Unit) -> list[tuple[Tensor, int]]:
    """Return the trained tensors of a unit with their number: its own, or two matrices for each target of LoRA.

    An adapter of a matrix from n to m features is a matrix from n to r, and one from r to m (LoRA, section 4.1); each
    expert has its own.
    """
    if job.method == FULL:
        return list(unit.tensors)
    return [
        (adapter, count)
        for tensor, count in unit.tensors
        if _is_target(job, tensor)
        for adapter in adapter_matrices(tensor, job.rank)
    ]


def _is_target(job: Job, tensor: Tensor) -> bool:
    if not _is_matrix(tensor):
        return False
    if job.targets == ALL_TARGETS:
        return tensor.group in ADAPTABLE
    if job.targets == ATTENTION_TARGETS:
        return tensor.group == ATTENTION
    return _module(tensor) in job.targets.split(",")


def _is_matrix(tensor: Tensor) -> bool:
    """Return whether it is a matrix of attention, a feed-forward block or an expert, all of which can have adapters."""
    return tensor.group in (*ADAPTABLE, ROUTER) and tensor.columns > 1


def _module(tensor: Tensor) -> str:
    return tensor.name.rpartition(".")[2]


def checked_targets(model: ModelSpec, targets: str) -> str:
    """Return `targets` in lower case and without spaces if the model has each of them.

    Raises:
        UnknownNameError: there is no such module.
        UnsupportedModelError: only the size of the model is known.
    """
    targets = ",".join(name.strip().lower() for name in targets.split(","))
    if targets in TARGETS:
        return targets
    units = _units(Job(model=model, method=LORA))
    known = {_module(tensor) for unit in units for tensor, _ in unit.tensors if _is_matrix(tensor)}
    for name in targets.split(","):
        if name not in known:
            remedy = f'Write "attention" or "all", or of these, with commas: {", ".join(sorted(known))}.'
            raise UnknownNameError("targets", f"{quoted(name)} is no module of {model.name}", remedy)
    return targets


def _optimizer_bytes(job: Job, tensor: Tensor) -> int:
    """Return the optimizer's bytes for one trained tensor, with the 32-bit copy of mixed precision."""
    parameters, mixed = tensor.parameters, job.training_precision == MIXED
    optimizer = _OPTIMIZERS[job.optimizer]
    states = optimizer.states * parameters * (optimizer.mixed_bytes if mixed else optimizer.bf16_bytes)
    if job.optimizer == _EIGHT_BITS:
        states += optimizer.states * -(-parameters // _SCALED_VALUES) * _SCALE_BYTES
    if job.optimizer == _FACTORED:
        values = tensor.copies * (tensor.rows + tensor.columns) if tensor.columns > 1 else parameters
        states += values * _FACTOR_BYTES
    return states + (MASTER_BYTES * parameters if mixed else 0)


def _activations(job: Job) -> tuple[int, int]:
    """Return the bytes that stay until the backward pass, and those of the largest moment beyond them.

    Source: recomputation, section 4.1 to 4.3 and table 2: what the backward pass of each operation reads is kept, in 16
    bits. With full checkpointing that is the input of each layer, and one layer at a time is recomputed.
    """
    model, tokens = job.model, job.sequence * job.batch
    kept, largest = 0, 0
    for run in model.layers:
        layer = tokens * ACTIVATION_BYTES * _values_per_token(job, run)
        largest = max(largest, layer)
        if job.checkpointing == WHOLE_LAYERS:
            layer = tokens * ACTIVATION_BYTES * model.hidden_size
        elif job.checkpointing == NONE:
            layer += tokens * job.sequence * ACTIVATION_BYTES * _score_heads(run, job.tp)
        kept += layer * run.count
    # Inputs of the final norm and of the head (recomputation, section 4.3), which divides the vocabulary.
    kept += tokens * ACTIVATION_BYTES * 2 * model.hidden_size
    logits = 0 if job.loss == FUSED else tokens * LOGIT_BYTES * -(-(model.vocab_size or 0) // job.tp)
    return kept, max(logits, largest) if job.checkpointing == WHOLE_LAYERS else logits


def _values_per_token(job: Job, run: LayerRun) -> int:
    """Return the values per token that the backward pass of a layer reads, without attention scores.

    The inputs of the norms and of the matrices, each once if matrices share it; queries, keys and values; the inputs of
    activation functions and of products; the outputs of experts, which the router weights. For the layer of the paper
    (as wide heads as the model, feed-forward of 4h) that is 16h, in 16 bits 32h; with its dropout masks 34h.
    """
    hidden, values = job.model.hidden_size, run.norms * job.model.hidden_size
    inputs: dict[str, int] = {}
    for tensor in filter(_is_matrix, _on_rank(job, run)):
        writes_to_the_residual = tensor.split == BY_COLUMNS
        shared = not writes_to_the_residual and tensor.columns == hidden
        block = MLP if tensor.group == ROUTER else tensor.group
        inputs[block if shared else tensor.fused or tensor.name] = tensor.columns * tensor.active
        if not writes_to_the_residual or tensor.group == EXPERT:
            values += tensor.rows * tensor.active
        if tensor.group in (MLP, EXPERT) and _module(tensor) == "gate_proj":
            values += tensor.rows * tensor.active  # the activated gate, a factor of the product
        if job.method != FULL and _is_target(job, tensor):
            values += job.rank * tensor.active  # between the two matrices of an adapter
    return values + sum(inputs.values())


def _score_heads(run: LayerRun, tp: int) -> int:
    """Return the heads of a layer whose scores are kept, on a rank; recurrent layers have none."""
    return sum(-(-getattr(part, "num_attention_heads", 0) // tp) for part in run.mixer.parts)
