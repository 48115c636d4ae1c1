"""The shapes that peak activations follow from, for one rank of each pipeline stage."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from core.engines.parallelism import runs_between, stages
from core.model.parameters import layer_tensors
from core.model.precision import Precision
from core.model.spec import GatedMlp, LatentAttention, ModelSpec, MoeMlp, ParallelMixers, PlainMlp
from core.model.tensors import EXPERT, MLP
from core.model.weights import tensor_precision


@dataclass(frozen=True, kw_only=True)
class StageShapes:
    """What of a stage its activations follow from; widths are those of one tensor-parallel rank.

    Attributes:
        layers: layers of the stage.
        hidden_size: width of the residual stream.
        vocab_size: rows of the head, which the last stage has; 0 elsewhere.
        is_first: whether images come in here.
        mlp_width, mlp_copies: width of the widest dense feed-forward block, and how many tensors of that width are
            alive at its peak: gate, up and their product, or up and its activation.
        experts_per_token, expert_width, expert_input: of the widest mixture of experts; 0 if there is none.
        latent_width: values per token of keys and values unfolded from a latent; 0 if there is none.
        expert_workspace: whether the experts' kernels keep workspaces (those for MXFP4 do not).
        bytes_per_value: of activations.
        quantized: whether activations are quantized to 8 bits in front of each matrix product.
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
    model: ModelSpec, precision: Precision | None, tp: int, pp: int, whole_experts: bool = False
) -> tuple[StageShapes, ...]:
    """The shapes of every pipeline stage of `model`."""
    shapes = []
    number_format = _matrix_format(model, precision)
    for stage, (first, end) in enumerate(stages(model, pp)):
        runs = [run for run, _ in runs_between(model, first, end)]
        dense = max((_dense(run.mlp, tp) for run in runs), default=(0, 0), key=lambda pair: pair[0] * pair[1])
        cut = 1 if whole_experts else tp
        sparse = max(
            (_sparse(run.mlp, model.hidden_size, cut) for run in runs), default=(0, 0, 0), key=lambda s: s[0] * s[1]
        )
        shapes.append(
            StageShapes(
                layers=end - first,
                hidden_size=model.hidden_size,
                vocab_size=(model.vocab_size or 0) if stage == pp - 1 else 0,
                is_first=stage == 0,
                mlp_width=dense[0],
                mlp_copies=dense[1],
                experts_per_token=sparse[0],
                expert_width=sparse[1],
                expert_input=sparse[2],
                latent_width=max((_latent(run.mixer, tp) for run in runs), default=0),
                expert_workspace=number_format is None or not number_format.name.startswith("mxfp4"),
                bytes_per_value=_activation_bytes(model, precision),
                quantized=number_format is not None and number_format.bytes_per_value == 1,
            )
        )
    return tuple(shapes)


def _dense(mlp: object, tp: int) -> tuple[int, int]:
    if isinstance(mlp, GatedMlp):
        return -(-mlp.intermediate_size // tp), 3
    if isinstance(mlp, PlainMlp):
        return -(-mlp.intermediate_size // tp), 2
    if isinstance(mlp, MoeMlp) and mlp.shared_intermediate_size:
        return -(-mlp.shared_intermediate_size // tp), 3 if mlp.gated else 2
    return 0, 0


def _sparse(mlp: object, hidden_size: int, tp: int) -> tuple[int, int, int]:
    if not isinstance(mlp, MoeMlp):
        return 0, 0, 0
    return mlp.num_experts_per_tok, -(-mlp.moe_intermediate_size // tp), mlp.expert_hidden_size or hidden_size


def _latent(mixer: object, tp: int) -> int:
    if isinstance(mixer, ParallelMixers):
        return max((_latent(part, tp) for part in mixer.mixers), default=0)
    if not isinstance(mixer, LatentAttention):
        return 0
    return -(-mixer.num_attention_heads // tp) * (mixer.qk_nope_head_dim + mixer.v_head_dim)


def _matrix_format(model: ModelSpec, precision: Precision | None) -> Precision | None:
    """The format of the feed-forward matrices in the middle of the model, where formats leave none in 16 bits."""
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
