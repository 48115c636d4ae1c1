"""Read GPUs that differ: one kind for each pipeline stage, with its layers."""

from __future__ import annotations

from dataclasses import dataclass

from core.engines import sglang
from core.engines.deployment import Deployment, Engine
from core.errors import OutOfRangeError, WrongTypeError, quoted
from core.plan.fleet import GpuChoice, choice_of

_REMEDY = "Write the GPU of each stage and its layers, for example rtx-4090:40,rtx-3090:24, or the GPUs alone."


@dataclass(frozen=True)
class Stage:
    """A pipeline stage: the kind of its GPUs, and its layers; None: as the engine divides them."""

    gpu: GpuChoice
    layers: int | None


def stages_of(text: object) -> tuple[Stage, ...]:
    """Read the stages of a replica: "rtx-4090:40,rtx-3090:24", or without layers "rtx-4090,rtx-3090".

    Raises:
        PlannerError: a GPU is not known, or the layers are not whole numbers of all stages or of none.
    """
    if not isinstance(text, str):
        raise WrongTypeError("stages", f"{quoted(text)} is not text", _REMEDY)
    found = tuple(_stage(part) for part in text.split(","))
    if len({stage.layers is None for stage in found}) > 1:
        raise OutOfRangeError("stages", f"{quoted(text)} has layers for some of the stages only", _REMEDY)
    return found


def _stage(text: str) -> Stage:
    gpu, colon, layers = text.partition(":")
    if not gpu.strip():
        raise OutOfRangeError("stages", f"{quoted(text)} names no GPU", _REMEDY)
    if not colon:
        return Stage(choice_of(gpu.strip()), None)
    if not layers.strip().isdecimal() or not int(layers):
        raise OutOfRangeError("stages", f"{quoted(layers)} is not a number of layers", _REMEDY)
    return Stage(choice_of(gpu.strip()), int(layers))


def check_stages(engine: Engine, deployment: Deployment) -> None:
    """Raise an error if the engine or the model cannot have the stages of the deployment.

    Source: vLLM distributed/utils.py, get_pp_indices (VLLM_PP_LAYER_PARTITION): the layers add up to the model's.

    Raises:
        OutOfRangeError: it cannot.
    """
    if engine.name == sglang.ENGINE.name:
        raise OutOfRangeError("stages", f"GPUs that differ are not modelled under {engine.name}", "Leave it out.")
    layers, all_layers = deployment.stage_layers, deployment.model.num_hidden_layers
    if layers and deployment.settings.gpu_layers is not None:
        raise OutOfRangeError("gpu_layers", "stages says how many layers each GPU has", "Leave one of them out.")
    if layers and sum(layers) != all_layers:
        problem = f"{' + '.join(map(str, layers))} layers are not the {all_layers} of {deployment.model.name}"
        raise OutOfRangeError("stages", problem, "Write layers that add up to it, or none.")
