"""Compute the shapes that determine peak activations, for one rank of each pipeline stage."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from core.engines.parallelism import Split, number_of_stages, runs_between, stages
from core.model.parameters import layer_tensors
from core.model.precision import Precision
from core.model.spec import ModelSpec
from core.model.tensors import EXPERT, MLP
from core.model.weights import tensor_precision


@dataclass(frozen=True, kw_only=True)
class StageShapes:
    """The shapes of a pipeline stage that determine its activations; widths are those of one tensor-parallel rank.

    Attributes:
        layers: number of layers.
        hidden_size: width of the residual stream.
        vocab_size: rows of the head in the last stage; 0 in other stages.
        is_first: whether it is the first stage, which gets the images.
        mlp_width, mlp_copies: width of the widest dense feed-forward block, and the number of tensors of that width
            that are alive at its peak: gate, up and their product, or up and its activation.
        experts_per_token, expert_width, expert_input: shapes of the widest mixture of experts; 0 if there is none.
        latent_width: values per token of keys and values unfolded from a latent; 0 if there is none.
        expert_workspace: whether the experts' kernels need workspaces (those for MXFP4 do not).
        bytes_per_value: bytes of an activation.
        quantized: whether activations are quantized to 8 bits before each matrix product.
    """

    layers: int
    hidden_size: int
    vocab_size: int
    is_first: bool
    mlp_width: int
    mlp_copies: int
    experts_per_token: int
    expert_width: int
    expert_input: int
    latent_width: int
    expert_workspace: bool
    bytes_per_value: int
    quantized: bool


@lru_cache(maxsize=2048)
def stage_shapes(
    model: ModelSpec, precision: Precision | None, tp: int, pp: Split, expert_parallel: bool = False
) -> tuple[StageShapes, ...]:
    """Return the shapes of each pipeline stage of `model`."""
    shapes = []
    number_format = _matrix_format(model, precision)
    for stage, (first, end) in enumerate(stages(model, pp)):
        runs = [run for run, _ in runs_between(model, first, end)]
        blocks = [run.mlp for run in runs if run.mlp is not None]
        width, copies = max((mlp.dense_peak(tp) for mlp in blocks), default=(0, 0), key=lambda peak: peak[0] * peak[1])
        ranks = 1 if expert_parallel else tp
        experts, expert_width, expert_input = max(
            (mlp.expert_peak(model.hidden_size, ranks) for mlp in blocks), default=(0, 0, 0), key=lambda e: e[0] * e[1]
        )
        shapes.append(
            StageShapes(
                layers=end - first,
                hidden_size=model.hidden_size,
                vocab_size=(model.vocab_size or 0) if stage == number_of_stages(pp) - 1 else 0,
                is_first=stage == 0,
                mlp_width=width,
                mlp_copies=copies,
                experts_per_token=experts,
                expert_width=expert_width,
                expert_input=expert_input,
                latent_width=max((run.mixer.unfolded_latent_width(tp) for run in runs), default=0),
                expert_workspace=number_format is None or not number_format.name.startswith("mxfp4"),
                bytes_per_value=_activation_bytes(model, precision),
                quantized=number_format is not None and number_format.bytes_per_value == 1,
            )
        )
    return tuple(shapes)


def _matrix_format(model: ModelSpec, precision: Precision | None) -> Precision | None:
    """Return the format of the feed-forward matrices in the middle layer, which no format leaves in 16 bits."""
    if not all(run.complete for run in model.layers):
        return precision
    middle = model.num_hidden_layers // 2
    for run, _ in runs_between(model, middle, middle + 1):
        for tensor in layer_tensors(run, model.hidden_size):
            if tensor.group in (MLP, EXPERT) and tensor.columns > 1:
                return tensor_precision(tensor, model, middle, precision)
    return None


def _activation_bytes(model: ModelSpec, precision: Precision | None) -> int:
    if precision is None:
        return model.bytes_per_value
    return 4 if precision.bytes_per_value == 4 else 2
