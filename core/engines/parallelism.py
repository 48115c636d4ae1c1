"""What one GPU of several holds: tensor parallelism splits tensors, pipeline parallelism splits layers.

Source: Shoeybi et al. 2019, Megatron-LM (arXiv:1909.08053); vLLM distributed/utils.py (get_pp_indices) and
model_executor/layers/linear.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

from core.errors import OutOfRangeError
from core.model.kv_cache import KvProfile, layer_profile
from core.model.parameters import LayerGroup, counted_outer_tensors
from core.model.precision import Precision
from core.model.spec import LayerRun, Mixer, ModelSpec, ParallelMixers
from core.model.tensors import EMBEDDING, EXPERT, HEAD, VISION, Tensor
from core.model.weights import storage_groups, stored_bytes, weights_bytes


def tensor_parallel_obstacle(model: ModelSpec, tp: int, whole_experts: bool = False) -> str:
    """Why `model` cannot be split over `tp` ranks, in words; "" if it can.

    Query heads are dealt out whole, KV heads too or else copied whole, and feed-forward blocks are cut evenly (vLLM
    config/model.py, verify_with_parallel_config; model_executor/layers/linear.py; distributed/utils.py, divide).
    """
    if tp == 1 or model.vocab_size is None:  # told by its size alone: nothing is known that could stand in the way
        return ""
    for run in model.layers:
        for mixer in run.mixer.mixers if isinstance(run.mixer, ParallelMixers) else (run.mixer,):
            heads, kv_heads = getattr(mixer, "num_attention_heads", None), getattr(mixer, "num_key_value_heads", None)
            if heads is not None and heads % tp:
                return f"{tp} does not divide the {heads} attention heads"
            if kv_heads is not None and kv_heads % tp and tp % kv_heads:
                return f"the {kv_heads} KV heads can neither be dealt out to {tp} ranks nor copied evenly"
        cut = ("intermediate_size",) if whole_experts else ("intermediate_size", "moe_intermediate_size")
        width = next((getattr(run.mlp, name) for name in cut if getattr(run.mlp, name, None)), None)
        if width is not None and width % tp:
            return f"{tp} does not divide the {width} columns of the feed-forward block"
    return ""


def check_tensor_parallel(model: ModelSpec, tp: int, whole_experts: bool = False) -> None:
    """Sees to it that `model` can be split over `tp` ranks.

    Raises:
        OutOfRangeError: it cannot.
    """
    obstacle = tensor_parallel_obstacle(model, tp, whole_experts)
    if obstacle:
        raise OutOfRangeError("tp", obstacle, "Write a divisor of num_attention_heads.")


def check_pipeline_parallel(model: ModelSpec, pp: int) -> None:
    """Sees to it that each of `pp` stages has a layer.

    Raises:
        OutOfRangeError: one would have none.
    """
    if pp > model.num_hidden_layers:
        problem = f"{pp} stages are more than the {model.num_hidden_layers} layers"
        raise OutOfRangeError("pp", problem, "Write at most the number of layers.")


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


@lru_cache(maxsize=1024)
def tensors_on_rank(tensors: tuple[Tensor, ...], tp: int, whole_experts: bool = False) -> tuple[Tensor, ...]:
    """The `tensors` as one of `tp` ranks holds them.

    Args:
        whole_experts: expert parallelism: ranks share the experts out whole instead of cutting each of them (vLLM
            --enable-expert-parallel, model_executor/layers/fused_moe/layer.py, determine_expert_map).
    """
    return tuple(_on_rank(tensor, tp, whole_experts) for tensor in tensors)


def _on_rank(tensor: Tensor, tp: int, whole_experts: bool) -> Tensor:
    if whole_experts and tensor.group == EXPERT:
        return replace(tensor, copies=-(-tensor.copies // tp))
    return tensor.on_rank(tp)


@lru_cache(maxsize=2048)
def outer_on_rank(model: ModelSpec, tp: int, pp: int, stage: int) -> tuple[tuple[Tensor, int], ...]:
    """The tensors outside the layers that a rank of a stage holds, and how many of each.

    The embedding is in front, the head behind.
    """
    return tuple(
        (tensor.on_rank(tp), times)
        for tensor, times in counted_outer_tensors(model)
        if _is_on_stage(tensor, model, stage, pp)
    )


def by_stage(model: ModelSpec, pp: int, of_layers: Sequence[int], outside: Callable[[int], int]) -> tuple[int, ...]:
    """Sums for each pipeline stage: of its layers, and of what it holds outside them."""
    return tuple(sum(of_layers[first:end]) + outside(stage) for stage, (first, end) in enumerate(stages(model, pp)))


def weights_bytes_per_gpu(model: ModelSpec, precision: Precision | None = None, *, tp: int = 1, pp: int = 1) -> int:
    """Bytes of the weights on the fullest GPU.

    Args:
        precision: None as the checkpoint stores them.
    """
    if model.stated_parameters is not None:
        return -(-weights_bytes(model, precision) // (tp * pp))

    def outside(stage: int) -> int:
        parts = outer_on_rank(model, tp, pp, stage)
        return sum(stored_bytes(tensor, model, None, precision) * times for tensor, times in parts)

    return max(by_stage(model, pp, layer_bytes_on_rank(model, precision, tp), outside))


@lru_cache(maxsize=256)
def layer_bytes_on_rank(model: ModelSpec, precision: Precision | None, tp: int) -> tuple[int, ...]:
    """Bytes of the weights of every layer on one of `tp` ranks."""

    def size(tensors: tuple[Tensor, ...], layer: int) -> int:
        return sum(stored_bytes(tensor, model, layer, precision) for tensor in tensors_on_rank(tensors, tp))

    return sizes_by_layer(storage_groups(model, precision), size)


def sizes_by_layer(layers: Iterable[LayerGroup], size_of: Callable[[tuple[Tensor, ...], int], int]) -> tuple[int, ...]:
    """For every layer what `size_of` gives for the tensors and the number of the first that is alike."""
    sizes: dict[int, int] = {}
    for tensors, numbers in layers:
        sizes |= dict.fromkeys(numbers, size_of(tensors, numbers[0]))
    return tuple(sizes[number] for number in range(len(sizes)))


def kv_profile_per_gpu(model: ModelSpec, tp: int = 1, pp: int = 1) -> tuple[KvProfile, ...]:
    """What one sequence keeps on a GPU of each stage: KV heads split until there is one a rank, then replicated."""
    return tuple(_kv_profile_between(model, tp, *span) for span in stages(model, pp))


def _kv_profile_between(model: ModelSpec, tp: int, first: int, end: int) -> KvProfile:
    counts: Counter[Mixer] = Counter()
    for run, count in runs_between(model, first, end):
        counts[run.mixer] += count
    return sum((layer_profile(mixer, tp) * count for mixer, count in counts.items()), KvProfile())


def runs_between(model: ModelSpec, first: int, end: int) -> Iterator[tuple[LayerRun, int]]:
    """The runs that have layers from `first` up to `end`, and how many of them are there."""
    start = 0
    for run in model.layers:
        inside = min(end, start + run.count) - max(first, start)
        if inside > 0:
            yield run, inside
        start += run.count


def _is_on_stage(tensor: Tensor, model: ModelSpec, stage: int, pp: int) -> bool:
    """Embedding and towers are in front, head and last norm behind; a tied head needs the embedding there as well."""
    last = stage == pp - 1
    if tensor.group == HEAD or tensor.name in ("norm", "lm_head.bias"):
        return last
    if tensor.group == EMBEDDING and tensor.name == "embed_tokens":
        return stage == 0 or (last and model.tie_word_embeddings)
    return stage == 0 or tensor.group not in (EMBEDDING, VISION)
