"""The tensors of a model, and how many parameters that makes, by what they are for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, singledispatch
from typing import Any, NamedTuple

from core.errors import UnsupportedModelError
from core.model.spec import (
    FULL_WIDTH,
    PER_HEAD,
    CompressedAttention,
    CrossAttention,
    FullAttention,
    GatedMlp,
    LatentAttention,
    LayerRun,
    Mixer,
    Mlp,
    ModelSpec,
    MoeMlp,
    NoMixer,
    ParallelMixers,
    PlainMlp,
    RecurrentState,
    SharedCacheAttention,
    SharedWeightsAttention,
)
from core.model.tensors import (
    ATTENTION,
    BY_COLUMNS,
    BY_KV_HEADS,
    BY_ROWS,
    BY_VOCABULARY,
    EMBEDDING,
    EXPERT,
    GROUPS,
    HEAD,
    MLP,
    ROUTER,
    WHOLE,
    Tensor,
    linear,
    vector,
)

_FLOAT32_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class ParameterCount:
    """Parameters by group.

    Attributes:
        by_group: parameters of each group of `core.model.tensors.GROUPS`.
        active: parameters that one token goes through: of the routed experts, only those it is sent to.
        unattributed: parameters that were stated as a total and belong to no group.
    """

    by_group: tuple[tuple[str, int], ...] = ()
    active: int = 0
    unattributed: int = 0

    def of(self, group: str) -> int:
        """Parameters of one group."""
        return dict(self.by_group).get(group, 0)

    @cached_property
    def total(self) -> int:
        return sum(count for _, count in self.by_group) + self.unattributed


def count_parameters(spec: ModelSpec) -> ParameterCount:
    """The parameters of `spec`: its stated count where there is one, else counted tensor by tensor.

    Layers for multi-token prediction are not counted: they draft tokens, and engines load them only when told to.

    Raises:
        UnsupportedModelError: nothing is stated, and a field that counting needs is not there.
    """
    if spec.stated_parameters is not None:
        return ParameterCount(unattributed=spec.stated_parameters, active=spec.stated_parameters)
    counts = dict.fromkeys(GROUPS, 0)
    active = 0
    for tensor, times in tensors_with_counts(spec):
        counts[tensor.group] += times * tensor.parameters
        active += times * tensor.active_parameters
    return ParameterCount(by_group=tuple(counts.items()), active=active)


def tensors_with_counts(spec: ModelSpec) -> Iterator[tuple[Tensor, int]]:
    """Every tensor of `spec`, with the number of layers that have it.

    Raises:
        UnsupportedModelError: a field that counting needs is not there.
    """
    for layers in layer_groups(spec):
        for tensor in layers.tensors:
            yield tensor, len(layers.numbers)
    yield from counted_outer_tensors(spec)


@lru_cache(maxsize=512)
def counted_outer_tensors(spec: ModelSpec) -> tuple[tuple[Tensor, int], ...]:
    """The tensors outside the layers, and how many of each: a vision tower has the same in each of its layers.

    Raises:
        UnsupportedModelError: `vocab_size` is not known.
    """
    return tuple(Counter(outer_tensors(spec)).items())


class LayerGroup(NamedTuple):
    """Layers of a model that are made alike, wherever they stand.

    Attributes:
        tensors: of one of them.
        numbers: which they are, counted from 0.
    """

    tensors: tuple[Tensor, ...]
    numbers: tuple[int, ...]


@lru_cache(maxsize=512)
def layer_groups(spec: ModelSpec) -> tuple[LayerGroup, ...]:
    """The layers of `spec`, those together that have the same tensors.

    Raises:
        UnsupportedModelError: the description says too little to list them.
    """
    numbers: dict[LayerRun, list[int]] = {}
    first = 0
    for run in spec.layers:
        numbers.setdefault(replace(run, count=1), []).extend(range(first, first + run.count))
        first += run.count
    return tuple(LayerGroup(layer_tensors(run, spec.hidden_size), tuple(found)) for run, found in numbers.items())


def outer_tensors(spec: ModelSpec) -> tuple[Tensor, ...]:
    """The tensors outside the layers: embedding, head, last norm, and what a family adds to them.

    Raises:
        UnsupportedModelError: `vocab_size` is not known.
    """
    if spec.vocab_size is None:
        raise _not_countable("vocab_size")
    hidden, width = spec.hidden_size, spec.embedding_size or spec.hidden_size
    tensors = [
        Tensor(name="embed_tokens", group=EMBEDDING, rows=spec.vocab_size, columns=width, split=BY_VOCABULARY),
        *_norms("norm", spec.final_norms, hidden, spec.norm_bias),
    ]
    if not spec.tie_word_embeddings:
        tensors += linear("lm_head", HEAD, spec.vocab_size, width, BY_VOCABULARY, bias=spec.head_bias)
    elif spec.head_bias:
        tensors.append(vector("lm_head.bias", spec.vocab_size, BY_VOCABULARY))
    return (*tensors, *spec.extra)


def layer_tensors(run: LayerRun, hidden_size: int) -> tuple[Tensor, ...]:
    """The tensors of one layer.

    Raises:
        UnsupportedModelError: the description says too little to count them.
    """
    if not run.complete:
        raise _not_countable("intermediate_size")
    mlp = () if run.mlp is None else mlp_tensors(run.mlp, hidden_size)
    norms = _norms("layernorm", run.norms, hidden_size, run.norm_bias)
    return (*mixer_tensors(run.mixer, hidden_size), *mlp, *norms, *run.extra)


def _norms(name: str, count: int, hidden_size: int, bias: bool) -> tuple[Tensor, ...]:
    return count * (1 + bias) * (vector(name, hidden_size),)


@singledispatch
def mlp_tensors(mlp: Mlp, hidden_size: int) -> tuple[Tensor, ...]:
    """The tensors of one feed-forward block."""
    raise TypeError(f"no rule for the tensors of a {type(mlp).__name__}")


@mlp_tensors.register
def _(mlp: GatedMlp, hidden_size: int) -> tuple[Tensor, ...]:
    return (
        *linear("mlp.gate_proj", MLP, mlp.intermediate_size, hidden_size, BY_ROWS, bias=mlp.bias, fused="gate_up"),
        *linear("mlp.up_proj", MLP, mlp.intermediate_size, hidden_size, BY_ROWS, bias=mlp.bias, fused="gate_up"),
        *linear("mlp.down_proj", MLP, hidden_size, mlp.intermediate_size, BY_COLUMNS, bias=mlp.bias),
    )


@mlp_tensors.register
def _(mlp: PlainMlp, hidden_size: int) -> tuple[Tensor, ...]:
    return (
        *linear("mlp.up_proj", MLP, mlp.intermediate_size, hidden_size, BY_ROWS, bias=mlp.bias),
        *linear("mlp.down_proj", MLP, hidden_size, mlp.intermediate_size, BY_COLUMNS, bias=mlp.bias),
    )


@mlp_tensors.register
def _(mlp: MoeMlp, hidden_size: int) -> tuple[Tensor, ...]:
    width, experts = mlp.expert_hidden_size or hidden_size, mlp.num_experts
    each: dict[str, Any] = {"copies": experts, "active": mlp.num_experts_per_tok}
    wide: dict[str, Any] = {"group": EXPERT, "rows": mlp.moe_intermediate_size, "columns": width, "split": BY_ROWS}
    tensors = list(
        linear("mlp.gate", ROUTER, experts, hidden_size, WHOLE, bias=mlp.router_bias,
               bytes_per_value=mlp.router_bytes_per_value)
    )  # fmt: skip
    if mlp.correction_bias:
        tensors.append(vector("mlp.gate.e_score_correction_bias", experts, bytes_per_value=_FLOAT32_BYTES))
    if mlp.gated:
        tensors += linear("mlp.experts.gate_proj", **wide, **each, bias=mlp.expert_bias, fused="experts_gate_up")
    tensors += linear("mlp.experts.up_proj", **wide, **each, bias=mlp.expert_bias, fused="experts_gate_up")
    tensors += linear(
        "mlp.experts.down_proj", EXPERT, width, mlp.moe_intermediate_size, BY_COLUMNS, bias=mlp.expert_bias, **each,
        fused="experts_down",
    )  # fmt: skip
    if mlp.shared_intermediate_size:
        block = GatedMlp if mlp.gated else PlainMlp
        for tensor in mlp_tensors(block(intermediate_size=mlp.shared_intermediate_size), hidden_size):
            name = tensor.name.replace("mlp.", "mlp.shared_experts.")
            tensors += linear(name, MLP, tensor.rows, tensor.columns, tensor.split, fused=tensor.fused and "shared")
    if mlp.shared_gate:
        tensors += linear("mlp.shared_expert_gate", ROUTER, 1, hidden_size, WHOLE)
    return tuple(tensors)


@singledispatch
def mixer_tensors(mixer: Mixer, hidden_size: int) -> tuple[Tensor, ...]:
    """The tensors of one layer's token mixer."""
    raise TypeError(f"no rule for the tensors of a {type(mixer).__name__}")


@mixer_tensors.register
def _(mixer: FullAttention, hidden_size: int) -> tuple[Tensor, ...]:
    return (
        *_query(mixer, hidden_size),
        *_keys_and_values(mixer, hidden_size),
        *_output(mixer, hidden_size),
    )


@mixer_tensors.register
def _(mixer: SharedCacheAttention, hidden_size: int) -> tuple[Tensor, ...]:
    keys = _keys_and_values(mixer, hidden_size) if mixer.own_keys else ()
    return (*_query(mixer, hidden_size), *keys, *_output(mixer, hidden_size))


@mixer_tensors.register
def _(mixer: SharedWeightsAttention, hidden_size: int) -> tuple[Tensor, ...]:
    return ()


@mixer_tensors.register
def _(mixer: CrossAttention, hidden_size: int) -> tuple[Tensor, ...]:
    return (
        *_query(mixer, hidden_size),
        *_keys_and_values(mixer, mixer.encoder_hidden_size or hidden_size),
        *_output(mixer, hidden_size),
    )


def _query(mixer: FullAttention, hidden_size: int) -> tuple[Tensor, ...]:
    rows = mixer.num_attention_heads * mixer.head_dim
    tensors = linear(
        "self_attn.q_proj", ATTENTION, rows * (1 + mixer.output_gate), hidden_size, BY_ROWS, bias=mixer.qkv_bias,
        fused="qkv",
    )  # fmt: skip
    if mixer.sinks:
        tensors += (vector("self_attn.sinks", mixer.num_attention_heads, BY_ROWS),)
    if mixer.qk_norm == PER_HEAD:
        tensors += (vector("self_attn.q_norm", mixer.head_dim),)
    if mixer.qk_norm == FULL_WIDTH:
        tensors += (vector("self_attn.q_norm", rows, BY_ROWS),)
    return tensors


def _keys_and_values(mixer: FullAttention, input_size: int) -> tuple[Tensor, ...]:
    heads: dict[str, Any] = {
        "group": ATTENTION, "columns": input_size, "split": BY_KV_HEADS, "kv_heads": mixer.num_key_value_heads,
    }  # fmt: skip
    key, value = mixer.num_key_value_heads * mixer.head_dim, mixer.num_key_value_heads * mixer.value_head_dim
    tensors = linear("self_attn.k_proj", rows=key, bias=mixer.qkv_bias and mixer.key_bias, fused="qkv", **heads)
    if mixer.own_values:
        tensors += linear("self_attn.v_proj", rows=value, bias=mixer.qkv_bias, fused="qkv", **heads)
    if mixer.qk_norm == PER_HEAD:
        tensors += (vector("self_attn.k_norm", mixer.head_dim),)
    if mixer.qk_norm == FULL_WIDTH:
        tensors += (vector("self_attn.k_norm", key, BY_KV_HEADS, kv_heads=mixer.num_key_value_heads),)
    return tensors + (mixer.indexer.tensors if mixer.indexer else ())


def _output(mixer: FullAttention, hidden_size: int) -> tuple[Tensor, ...]:
    columns = mixer.num_attention_heads * mixer.value_head_dim
    return linear("self_attn.o_proj", ATTENTION, hidden_size, columns, BY_COLUMNS, bias=mixer.output_bias)


@mixer_tensors.register
def _(mixer: LatentAttention, hidden_size: int) -> tuple[Tensor, ...]:
    """Projections into the latents are whole on every rank, those out of them are split by heads.

    Source: DeepSeek-V2, arXiv:2405.04434, section 2.1; vLLM model_executor/models/deepseek_v2.py.
    """
    heads, latent = mixer.num_attention_heads, mixer.kv_lora_rank
    query = heads * (mixer.qk_nope_head_dim + mixer.qk_rope_head_dim)
    bias = mixer.projection_bias
    if mixer.q_lora_rank is None:
        tensors = list(linear("self_attn.q_proj", ATTENTION, query, hidden_size, BY_ROWS))
    else:
        tensors = [
            *linear("self_attn.q_a_proj", ATTENTION, mixer.q_lora_rank, hidden_size, WHOLE, bias=bias, fused="qkv_a"),
            vector("self_attn.q_a_layernorm", mixer.q_lora_rank),
            *linear("self_attn.q_b_proj", ATTENTION, query, mixer.q_lora_rank, BY_ROWS),
        ]
    tensors += [
        *linear("self_attn.kv_a_proj_with_mqa", ATTENTION, latent + mixer.qk_rope_head_dim, hidden_size, WHOLE,
                bias=bias, fused="qkv_a"),
        vector("self_attn.kv_a_layernorm", latent),
        *linear("self_attn.kv_b_proj", ATTENTION, heads * (mixer.qk_nope_head_dim + mixer.v_head_dim), latent, BY_ROWS),
        *linear("self_attn.o_proj", ATTENTION, hidden_size, heads * mixer.v_head_dim, BY_COLUMNS, bias=bias),
    ]  # fmt: skip
    if mixer.gate_size:
        tensors += linear("self_attn.g_proj", ATTENTION, mixer.gate_size, hidden_size, BY_ROWS)
    return (*tensors, *(mixer.indexer.tensors if mixer.indexer else ()))


@mixer_tensors.register(CompressedAttention)
@mixer_tensors.register(RecurrentState)
def _(mixer: CompressedAttention | RecurrentState, hidden_size: int) -> tuple[Tensor, ...]:
    return mixer.tensors


@mixer_tensors.register
def _(mixer: NoMixer, hidden_size: int) -> tuple[Tensor, ...]:
    return ()


@mixer_tensors.register
def _(mixer: ParallelMixers, hidden_size: int) -> tuple[Tensor, ...]:
    return tuple(tensor for part in mixer.mixers for tensor in mixer_tensors(part, hidden_size))


def _not_countable(field: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        field,
        "it is needed to count the parameters, and is not given",
        f"Give {field}, or state the total as params_b.",
    )
