"""Compute the memory of fine-tuning a model, and the fewest GPUs of a type that hold it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from core.checks import one_of, whole
from core.plan import training as core_training
from core.plan.fleet import choice_of
from core.plan.training import Job
from vram.models import Model, model


@dataclass(frozen=True, kw_only=True)
class Training:
    """The memory of fine-tuning; sizes are bytes on one GPU.

    Attributes:
        model, method, optimizer, training_precision, sequence, batch, checkpointing, loss, zero, tp: what is trained,
            and how.
        rank, targets: the adapters; None for full fine-tuning.
        parameters, trainable_parameters: of the model, and those that are trained.
        gpus: the number of GPUs for which the figures are.
        weights_bytes: frozen and trained weights, adapters included.
        gradients_bytes: of the trained weights.
        optimizer_bytes: states, and in mixed precision the 32-bit copy of the trained weights.
        gathered_bytes: what ZeRO 2 and 3 gather of the layer at work, beyond the GPU's own part.
        activations_bytes: values that the backward pass needs.
        step_bytes: the larger of the loss with its logits, and one layer that is recomputed.
        context_bytes: kernels and the driver's context.
        total_bytes, all_gpus_bytes: on one GPU, and on all.
        gpu: the GPU; "" if none was named.
        usable_bytes: memory that a process on that GPU sees; None without a GPU.
        fewest_gpus: the fewest GPUs of that type that hold the job; None if no number does, or without a GPU.
        obstacle: why no number of GPUs holds the job, and what would help; "" if one does.
        note: what is not modelled.
    """

    model: str
    method: str
    rank: int | None
    targets: str | None
    optimizer: str
    training_precision: str
    sequence: int
    batch: int
    checkpointing: str
    loss: str
    zero: int
    tp: int
    parameters: int
    trainable_parameters: int
    gpus: int
    weights_bytes: int
    gradients_bytes: int
    optimizer_bytes: int
    gathered_bytes: int
    activations_bytes: int
    step_bytes: int
    context_bytes: int
    total_bytes: int
    all_gpus_bytes: int
    gpu: str
    usable_bytes: int | None
    fewest_gpus: int | None
    obstacle: str
    note: str

    @property
    def fits(self) -> bool | None:
        """Whether `gpus` GPUs of the named type hold the job; None without a GPU."""
        return None if self.usable_bytes is None else self.total_bytes <= self.usable_bytes

    def as_dict(self) -> dict[str, object]:
        """Return the figures as `vram train --json` prints them."""
        return {**vars(self), "fits": self.fits}


def train(
    name_or_path: str | os.PathLike[str] | Model,
    *,
    method: str,
    rank: float = Job.rank,
    targets: str = Job.targets,
    optimizer: str = Job.optimizer,
    training_precision: str = Job.training_precision,
    sequence: float = Job.sequence,
    batch: float = Job.batch,
    checkpointing: str = Job.checkpointing,
    loss: str = Job.loss,
    zero: float = Job.zero,
    tp: float = Job.tp,
    gpus: float | None = None,
    gpu: str | float | None = None,
) -> Training:
    """Compute the memory of fine-tuning a model on each GPU.

    Args:
        name_or_path: the model, as `vram.model` takes it.
        method: "full", "lora" or "qlora" (frozen weights in NF4 with double quantization).
        rank: rank of the adapters.
        targets: matrices with adapters: "attention", "all", or names of modules with commas ("q_proj,v_proj").
        optimizer: "adamw", "adamw-8bit", "sgd", "sgd-momentum" or "adafactor".
        training_precision: "mixed" (with a 32-bit copy of what is trained) or "bf16" (all in 16 bits).
        sequence, batch: tokens of a sequence, and sequences in one step of one GPU.
        checkpointing: "none", "selective" (attention scores are recomputed, as FlashAttention does) or "full".
        loss: "plain", or "fused" where the logits are computed a few at a time.
        zero: stage of ZeRO, 0 to 3; 3 is also PyTorch's FSDP.
        tp: tensor parallel size; data parallelism is between groups of that many GPUs.
        gpus: number of GPUs; None: the fewest of type `gpu` that hold the job, or one group.
        gpu: a GPU of the catalog by name, by its card's number, or by its GB.

    Raises:
        PlannerError: an argument is wrong, or only the size of the model is known.
    """
    described = model(name_or_path)
    job = Job(
        model=described.spec,
        method=one_of("method", method, core_training.METHODS),
        rank=whole("rank", rank),
        targets=core_training.checked_targets(described.spec, targets),
        optimizer=one_of("optimizer", optimizer, core_training.OPTIMIZERS),
        training_precision=one_of("training_precision", training_precision, core_training.PRECISIONS),
        sequence=whole("sequence", sequence),
        batch=whole("batch", batch),
        checkpointing=one_of("checkpointing", checkpointing, core_training.CHECKPOINTING),
        loss=one_of("loss", loss, core_training.LOSSES),
        zero=whole("zero", zero),
        tp=whole("tp", tp),
    )
    device = None if gpu is None else choice_of(gpu).device
    fewest = None if device is None else core_training.fewest_gpus(job, device.memory_bytes)
    count = whole("gpus", gpus) if gpus is not None else fewest or job.tp
    found = core_training.memory(job, count)
    with_adapters = job.method != core_training.FULL
    return Training(
        model=described.name,
        method=job.method,
        rank=job.rank if with_adapters else None,
        targets=job.targets if with_adapters else None,
        optimizer=job.optimizer,
        training_precision=job.training_precision,
        sequence=job.sequence,
        batch=job.batch,
        checkpointing=job.checkpointing,
        loss=job.loss,
        zero=job.zero,
        tp=job.tp,
        parameters=described.parameters,
        trainable_parameters=core_training.trainable_parameters(job),
        gpus=count,
        **{f"{name}_bytes": size for name, size in found._asdict().items()},
        total_bytes=found.total,
        all_gpus_bytes=found.total * count,
        gpu="" if device is None else device.name,
        usable_bytes=None if device is None else device.memory_bytes,
        fewest_gpus=fewest,
        obstacle="" if device is None else core_training.obstacle(job, device.memory_bytes),
        note=core_training.NOT_MODELLED,
    )
