"""Compute what one GPU of a replica holds: tensor parallelism splits tensors, pipeline parallelism splits layers.

Source: Shoeybi et al. 2019, Megatron-LM (arXiv:1909.08053); vLLM distributed/utils.py (get_pp_indices) and
model_executor/layers/linear.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

from core.errors import OutOfRangeError
from core.model.kv_profile import KvProfile
from core.model.mixers import Mixer
from core.model.parameters import LayerGroup, counted_outer_tensors
from core.model.precision import Precision
from core.model.spec import LayerRun, ModelSpec
from core.model.tensors import EMBEDDING, EXPERT, HEAD, VISION, Tensor
from core.model.weights import storage_groups, stored_bytes, weights_bytes

Split = int | tuple[int, ...]
"""Pipeline stages: their number, of which each has its even share of the layers, or the layers of each."""


def tensor_parallel_obstacle(model: ModelSpec, tp: int, expert_parallel: bool = False) -> str:
    """Return why `model` cannot be split over `tp` ranks, as a clause; "" if it can.

    Each rank gets whole query heads, whole or copied KV heads, and an equal part of each feed-forward block (vLLM
    config/model.py, verify_with_parallel_config; model_executor/layers/linear.py; distributed/utils.py, divide).
    """
    if tp == 1 or model.vocab_size is None:  # if only its size is known, assume that the model can be split
        return ""
    for run in model.layers:
        obstacle = run.mixer.split_obstacle(tp)
        if obstacle:
            return obstacle
        width = None if run.mlp is None else run.mlp.cut_width(expert_parallel=expert_parallel)
        if width is not None and width % tp:
            return f"{tp} does not divide the {width} columns of the feed-forward block"
    return ""


def check_tensor_parallel(model: ModelSpec, tp: int, expert_parallel: bool = False) -> None:
    """Raise an error if `model` cannot be split over `tp` ranks.

    Raises:
        OutOfRangeError: `tp` does not divide a part of the model.
    """
    obstacle = tensor_parallel_obstacle(model, tp, expert_parallel)
    if obstacle:
        raise OutOfRangeError("tp", obstacle, "Write a divisor of num_attention_heads.")


def check_pipeline_parallel(model: ModelSpec, pp: int) -> None:
    """Raise an error if one of `pp` stages would have no layer.

    Raises:
        OutOfRangeError: there are more stages than layers.
    """
    if pp > model.num_hidden_layers:
        problem = f"{pp} stages are more than the {model.num_hidden_layers} layers"
        raise OutOfRangeError("pp", problem, "Write at most the number of layers.")


def layers_by_stage(num_hidden_layers: int, pp: int) -> tuple[int, ...]:
    """Return the number of layers in each of `pp` pipeline stages: the last has the fewest, then the first.

    Source: vLLM distributed/utils.py, get_pp_indices.
    """
    even, remainder = divmod(num_hidden_layers, pp)
    stages = [even] * pp
    for i in range(2, remainder + 2):
        stages[-i] += 1
    return tuple(stages)


def number_of_stages(pp: Split) -> int:
    """Return the number of pipeline stages."""
    return pp if isinstance(pp, int) else len(pp)


def stages(model: ModelSpec, pp: Split, first: int = 0) -> tuple[tuple[int, int], ...]:
    """Return for each stage its first layer and the layer after its last; together they have those from `first` on."""
    spans = []
    end = first
    for count in layers_by_stage(model.num_hidden_layers - first, pp) if isinstance(pp, int) else pp:
        spans.append((end, end + count))
        end += count
    return tuple(spans)


@lru_cache(maxsize=1024)
def tensors_on_rank(tensors: tuple[Tensor, ...], tp: int, expert_parallel: bool = False) -> tuple[Tensor, ...]:
    """Return the parts of `tensors` on one of `tp` ranks.

    Args:
        expert_parallel: whether each rank has whole experts instead of a part of every expert (vLLM
            --enable-expert-parallel, model_executor/layers/fused_moe/layer.py, determine_expert_map).
    """
    return tuple(_on_rank(tensor, tp, expert_parallel) for tensor in tensors)


def _on_rank(tensor: Tensor, tp: int, expert_parallel: bool) -> Tensor:
    if expert_parallel and tensor.group == EXPERT:
        return replace(tensor, copies=-(-tensor.copies // tp))
    return tensor.on_rank(tp)


@lru_cache(maxsize=2048)
def outer_on_rank(model: ModelSpec, tp: int, pp: Split, stage: int) -> tuple[tuple[Tensor, int], ...]:
    """Return the tensors outside the layers on a rank of a stage, with their number."""
    return tuple(
        (tensor.on_rank(tp), times)
        for tensor, times in counted_outer_tensors(model)
        if _is_on_stage(tensor, model, stage, number_of_stages(pp))
    )


def bytes_by_stage(
    model: ModelSpec, pp: Split, layer_bytes: Sequence[int], outside: Callable[[int], int], first: int = 0
) -> tuple[int, ...]:
    """Return the bytes of each pipeline stage: those of its layers plus `outside(stage)`; `first` as in `stages`."""
    spans = enumerate(stages(model, pp, first))
    return tuple(sum(layer_bytes[start:end]) + outside(stage) for stage, (start, end) in spans)


def weights_bytes_per_gpu(model: ModelSpec, precision: Precision | None = None, *, tp: int = 1, pp: int = 1) -> int:
    """Return the bytes of the weights on the fullest GPU.

    Args:
        precision: precision of the weights; None: as the checkpoint stores them.
    """
    if model.stated_parameters is not None:
        return -(-weights_bytes(model, precision) // (tp * pp))

    def outside(stage: int) -> int:
        tensors = outer_on_rank(model, tp, pp, stage)
        return sum(stored_bytes(tensor, model, None, precision) * times for tensor, times in tensors)

    return max(bytes_by_stage(model, pp, layer_bytes_on_rank(model, precision, tp), outside))


@lru_cache(maxsize=256)
def layer_bytes_on_rank(model: ModelSpec, precision: Precision | None, tp: int) -> tuple[int, ...]:
    """Return the bytes of the weights of each layer on one of `tp` ranks."""

    def size(tensors: tuple[Tensor, ...], layer: int) -> int:
        return sum(stored_bytes(tensor, model, layer, precision) for tensor in tensors_on_rank(tensors, tp))

    return sizes_by_layer(storage_groups(model, precision), size)


def sizes_by_layer(groups: Iterable[LayerGroup], size: Callable[[tuple[Tensor, ...], int], int]) -> tuple[int, ...]:
    """Return the size of each layer; `size(tensors, layer)` is called once per group, with its first layer."""
    sizes: dict[int, int] = {}
    for tensors, numbers in groups:
        sizes |= dict.fromkeys(numbers, size(tensors, numbers[0]))
    return tuple(sizes[number] for number in range(len(sizes)))


def kv_profile_per_gpu(model: ModelSpec, tp: int = 1, pp: int = 1) -> tuple[KvProfile, ...]:
    """Return the KV cache of one sequence on a GPU of each stage; KV heads fewer than ranks are copied."""
    return tuple(_kv_profile_between(model, tp, *span) for span in stages(model, pp))


def _kv_profile_between(model: ModelSpec, tp: int, first: int, end: int) -> KvProfile:
    counts: Counter[Mixer] = Counter()
    for run, count in runs_between(model, first, end):
        counts[run.mixer] += count
    return sum((mixer.kv_profile(tp) * count for mixer, count in counts.items()), KvProfile())


def runs_between(model: ModelSpec, first: int, end: int) -> Iterator[tuple[LayerRun, int]]:
    """Yield the runs with layers from `first` up to, but not including, `end`, and the number of those layers."""
    start = 0
    for run in model.layers:
        inside = min(end, start + run.count) - max(first, start)
        if inside > 0:
            yield run, inside
        start += run.count


def _is_on_stage(tensor: Tensor, model: ModelSpec, stage: int, pp: int) -> bool:
    """The first stage has the embedding and towers, the last the head and final norm, and the embedding if tied."""
    last = stage == pp - 1
    if tensor.group == HEAD or tensor.name in ("norm", "lm_head.bias"):
        return last
    if tensor.group == EMBEDDING and tensor.name == "embed_tokens":
        return stage == 0 or (last and model.tie_word_embeddings)
    return stage == 0 or tensor.group not in (EMBEDDING, VISION)
