"""Counting a model's parameters from its architecture, by the group of tensors they belong to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch

from core.errors import UnsupportedModelError
from core.model_spec import FullAttention, GatedMlp, Mixer, ModelSpec


@dataclass(frozen=True, kw_only=True)
class ParameterCount:
    """Parameters by group. Formats that quantize leave all groups but `linear` in 16 bits.

    Attributes:
        embedding: the token embedding.
        head: the output projection; 0 where it is tied to the embedding.
        linear: the projections of attention and feed-forward layers.
        vectors: norms and biases.
        unattributed: parameters that were stated as a total and belong to no group.
    """

    embedding: int = 0
    head: int = 0
    linear: int = 0
    vectors: int = 0
    unattributed: int = 0

    @property
    def total(self) -> int:
        return self.embedding + self.head + self.linear + self.vectors + self.unattributed


def count_parameters(spec: ModelSpec) -> ParameterCount:
    """The parameters of `spec`: its stated count where there is one, else counted tensor by tensor.

    Raises:
        UnsupportedModelError: nothing is stated, and a field that counting needs is not there.
    """
    if spec.stated_parameters is not None:
        return ParameterCount(unattributed=spec.stated_parameters)
    if spec.vocab_size is None:
        raise _not_countable("vocab_size")
    hidden = spec.hidden_size
    linear = vectors = 0
    for run in spec.layers:
        if run.mlp is None:
            raise _not_countable("intermediate_size")
        mixer_linear, mixer_vectors = mixer_parameters(run.mixer, hidden)
        linear += run.count * (mixer_linear + mlp_parameters(run.mlp, hidden))
        vectors += run.count * (mixer_vectors + run.norms * hidden)
    embedding = spec.vocab_size * hidden
    final_norm = hidden
    return ParameterCount(
        embedding=embedding,
        head=0 if spec.tie_word_embeddings else embedding,
        linear=linear,
        vectors=vectors + final_norm,
    )


def mlp_parameters(mlp: GatedMlp, hidden_size: int) -> int:
    """Parameters of the gate, up and down projections."""
    return 3 * hidden_size * mlp.intermediate_size


@singledispatch
def mixer_parameters(mixer: Mixer, hidden_size: int) -> tuple[int, int]:
    """Parameters of one layer's token mixer: (projections, biases and norms)."""
    raise UnsupportedModelError(
        "layers",
        f"the parameters of a {type(mixer).__name__} layer cannot be counted",
        "State the model's parameter count.",
    )


@mixer_parameters.register
def _(mixer: FullAttention, hidden_size: int) -> tuple[int, int]:
    query = mixer.num_attention_heads * mixer.head_dim
    key = mixer.num_key_value_heads * mixer.head_dim
    value = mixer.num_key_value_heads * mixer.value_head_dim
    output = mixer.num_attention_heads * mixer.value_head_dim
    vectors = 0
    if mixer.qkv_bias:
        vectors += query + key + value
    if mixer.output_bias:
        vectors += hidden_size
    if mixer.qk_norm:
        vectors += 2 * mixer.head_dim
    return hidden_size * (query + key + value + output), vectors


def _not_countable(field: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        field,
        "it is needed to count the parameters, and is not given",
        f"Give {field}, or state the total as params_b.",
    )
