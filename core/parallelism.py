"""What one GPU of several holds: tensor parallelism splits tensors, pipeline parallelism splits layers.

Source: Shoeybi et al. 2019, Megatron-LM (arXiv:1909.08053); vLLM distributed/utils.py (get_pp_indices) and
model_executor/layers/linear.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from core.errors import OutOfRangeError
from core.kv_cache import KvProfile, layer_profile
from core.model_spec import LayerRun, ModelSpec
from core.parameters import layer_tensors, outer_tensors
from core.precision import Precision
from core.tensors import EMBEDDING, HEAD, VISION, Tensor
from core.weights import stored_bytes, weights_bytes


def check_tensor_parallel(model: ModelSpec, tp: int) -> None:
    """Sees to it that the query heads of every layer can be dealt out over `tp` ranks.

    Raises:
        OutOfRangeError: they cannot.
    """
    for run in model.layers:
        heads = getattr(run.mixer, "num_attention_heads", None)
        if model.vocab_size is not None and heads is not None and heads % tp:
            raise OutOfRangeError(
                "tp", f"{tp} does not divide the {heads} attention heads", "Write a divisor of num_attention_heads."
            )


@dataclass(frozen=True)
class PlacedTensor:
    """A tensor as one rank holds it, and the layer it belongs to; None outside the layers."""

    tensor: Tensor
    layer: int | None


def layers_by_stage(num_hidden_layers: int, pp: int) -> tuple[int, ...]:
    """How many layers each of `pp` pipeline stages has: the last has the fewest, then the first.

    Source: vLLM distributed/utils.py, get_pp_indices.
    """
    even, left_over = divmod(num_hidden_layers, pp)
    stages = [even] * pp
    for i in range(2, left_over + 2):
        stages[-i] += 1
    return tuple(stages)


def stages(model: ModelSpec, pp: int) -> tuple[tuple[int, int], ...]:
    """First layer and end of each stage."""
    ends = []
    end = 0
    for count in layers_by_stage(model.num_hidden_layers, pp):
        ends.append((end, end + count))
        end += count
    return tuple(ends)


def tensors_on_rank(model: ModelSpec, tp: int = 1, pp: int = 1, stage: int = 0) -> Iterator[PlacedTensor]:
    """What one rank of a stage holds: its share of the layers' tensors, the embedding in front, the head behind.

    Raises:
        UnsupportedModelError: the model's tensors cannot be listed.
    """
    first, end = stages(model, pp)[stage]
    for number, run in _layers(model):
        if first <= number < end:
            for tensor in layer_tensors(run, model.hidden_size):
                yield PlacedTensor(tensor.on_rank(tp), number)
    for tensor in outer_tensors(model):
        if _is_on_stage(tensor, model, stage, pp):
            yield PlacedTensor(tensor.on_rank(tp), None)


def weights_bytes_per_gpu(model: ModelSpec, precision: Precision | None = None, *, tp: int = 1, pp: int = 1) -> int:
    """Bytes of the weights on the fullest GPU.

    Args:
        precision: None as the checkpoint stores them.
    """
    if model.stated_parameters is not None:
        return -(-weights_bytes(model, precision) // (tp * pp))
    return max(
        sum(
            stored_bytes(placed.tensor, model, placed.layer, precision)
            for placed in tensors_on_rank(model, tp, pp, stage)
        )
        for stage in range(pp)
    )


def kv_profile_per_gpu(model: ModelSpec, tp: int = 1, pp: int = 1) -> tuple[KvProfile, ...]:
    """What one sequence keeps on a GPU of each stage: KV heads split until there is one a rank, then replicated."""
    numbered = list(_layers(model))
    return tuple(
        sum((layer_profile(run.mixer, tp) for number, run in numbered if first <= number < end), KvProfile())
        for first, end in stages(model, pp)
    )


def _layers(model: ModelSpec) -> Iterator[tuple[int, LayerRun]]:
    number = 0
    for run in model.layers:
        one = replace(run, count=1)
        for _ in range(run.count):
            yield number, one
            number += 1


def _is_on_stage(tensor: Tensor, model: ModelSpec, stage: int, pp: int) -> bool:
    """Embedding and towers are in front, head and last norm behind; a tied head needs the embedding there as well."""
    last = stage == pp - 1
    if tensor.group == HEAD or tensor.name in ("norm", "lm_head.bias"):
        return last
    if tensor.group == EMBEDDING and tensor.name == "embed_tokens":
        return stage == 0 or (last and model.tie_word_embeddings)
    return stage == 0 or tensor.group not in (EMBEDDING, VISION)
