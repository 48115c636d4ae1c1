"""Any decoder-only transformer: what its family fixes, and what its config.json says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from core.checks import number
from core.model.spec import (
    NO_NORM,
    FullAttention,
    GatedMlp,
    LayerRun,
    Mixer,
    Mlp,
    ModelSpec,
    NoMixer,
    PlainMlp,
    SlidingWindowAttention,
    full_width_attention,
)
from core.model.tensors import Tensor
from core.readers.architectures.rotary import rotary_values
from core.readers.fields import Fields

FULL = ("full_attention", "attention", "global_attention", "global")
SLIDING = ("sliding_attention", "sliding_window_attention", "local_attention", "local")
CHUNKED = ("chunked_attention",)
# Where `layer_types` names every layer, these say nothing more: no layer may have a window.
WINDOW_FIELDS = (
    "sliding_window", "sliding_window_pattern", "_sliding_window_pattern", "max_window_layers", "use_sliding_window",
)  # fmt: skip

Flag = bool | str | Callable[[Fields], bool]  # a fact of the family, or the flag in config.json that says it


@dataclass(frozen=True, kw_only=True)
class Family:
    """What a `model_type` implies and its config.json does not say.

    Attributes:
        source: where that is written.
        aliases: the family's own names of fields, by the usual ones.
        ignored: fields that the family has and that change no memory.
        defaults: fields that config.json leaves out, by what they are then.
        qkv_bias, output_bias, mlp_bias, head_bias: whether those projections have biases.
        qk_norm: the norm of queries and keys; as a function, from the fields.
        output_gate, sinks: as in `FullAttention`.
        gated: whether the feed-forward block has a gate.
        norms, norm_bias, final_norms: as in `LayerRun` and `ModelSpec`; as functions, from the fields.
        window_pattern: with sliding windows, every so manieth layer sees everything; 1 if none does; 0 if the family
            has no windows.
        window_flag: the flag without which `sliding_window` means nothing.
        mixers, mlps: what the layers are made of, one for each layer.
        layer_extra: further tensors of a layer, by its number.
        extra: further tensors outside the layers.
        rotary: values of the tables of rotary angles.
        embedding_size: as in `ModelSpec`.
        tied: whether the head is the embedding where config.json does not say and transformers has no default.
    """

    source: str
    aliases: Mapping[str, str] = field(default_factory=dict)
    ignored: Sequence[str] = ()
    defaults: Mapping[str, object] = field(default_factory=dict)
    qkv_bias: Flag = "attention_bias"
    output_bias: Flag = "attention_bias"
    mlp_bias: Flag = False
    head_bias: Flag = False
    qk_norm: str | Callable[[Fields], str] = NO_NORM
    output_gate: Flag = False
    sinks: bool = False
    gated: bool = True
    norms: int | Callable[[Fields], int] = 2
    norm_bias: bool = False
    final_norms: int | Callable[[Fields], int] = 1
    window_pattern: int = 0
    window_flag: str = ""
    mixers: Callable[[Fields, Family], Sequence[Mixer]] | None = None
    mlps: Callable[[Fields, Family], Sequence[Mlp | None]] | None = None
    layer_extra: Callable[[Fields, int], Sequence[Tensor]] = lambda fields, layer: ()
    extra: Callable[[Fields], Sequence[Tensor]] = lambda fields: ()
    rotary: Callable[[Fields], int] = rotary_values
    embedding_size: Callable[[Fields], int | None] = lambda fields: None
    tied: bool = False


def decoder(fields: Fields, family: Family, name: str) -> ModelSpec:
    """The decoder that `fields` describe.

    Raises:
        PlannerError: a field is missing, impossible, or not understood.
    """
    hidden_size = fields.size("hidden_size")
    layers = layer_count(fields)
    params_b = fields.raw("params_b")
    stated = None if params_b is None else round(number("params_b", params_b) * 10**9)
    fields.ignore(*family.ignored)
    article = stated is not None and not fields.has("num_attention_heads") and not fields.has("num_key_value_heads")
    if article:
        mixers: Sequence[Mixer] = [full_width_attention(hidden_size)] * layers
    else:
        mixers = (family.mixers or attention_layers)(fields, family)
    mlps = (family.mlps or dense_layers)(fields, family)
    norms = family.norms if isinstance(family.norms, int) else family.norms(fields)
    return ModelSpec(
        name=name,
        hidden_size=hidden_size,
        vocab_size=fields.optional("vocab_size"),
        embedding_size=family.embedding_size(fields),
        tie_word_embeddings=fields.flag("tie_word_embeddings", family.tied),
        stated_parameters=stated,
        # A limit to plan by is one that the model states, not what its family's class would assume.
        max_position_embeddings=fields.stated("max_position_embeddings"),
        final_norms=family.final_norms if isinstance(family.final_norms, int) else family.final_norms(fields),
        norm_bias=family.norm_bias,
        head_bias=flag_value(fields, family.head_bias),
        extra=tuple(family.extra(fields)),  # noqa: S610  no Django here
        rotary_values=0 if article else family.rotary(fields),
        layers=runs(
            LayerRun(
                count=1,
                mixer=mixer,
                mlp=mlp,
                norms=norms if not isinstance(mixer, NoMixer) and mlp is not None else min(norms, 1),
                norm_bias=family.norm_bias,
                extra=tuple(family.layer_extra(fields, layer)),
                complete=mlp is not None or family.mlps is not None,
            )
            for layer, (mixer, mlp) in enumerate(zip(mixers, mlps))
        ),
    )


def runs(layers: Iterable[LayerRun]) -> tuple[LayerRun, ...]:
    """Layers, each of count 1, with equal neighbours put together."""
    return tuple(replace(layer, count=len(list(group))) for layer, group in groupby(layers))


def layer_count(fields: Fields) -> int:
    """How many layers there are; newer Nemotron-H configs give only the list of their kinds."""
    kinds = fields.listed("layers_block_type") if not fields.given("num_hidden_layers") else None
    return len(kinds) if kinds else fields.size("num_hidden_layers")


def flag_value(fields: Fields, fact: Flag) -> bool:
    """A fact of the family, or what the flag that it names says."""
    if callable(fact):
        return fact(fields)
    return fields.flag(fact) if isinstance(fact, str) else fact


def attention_layers(fields: Fields, family: Family) -> list[Mixer]:
    """Attention in every layer, with the windows that config.json describes."""
    base = attention(fields, family)
    return [windowed(base, window) for window in layer_windows(fields, family)]


def windowed(base: FullAttention, window: int | None) -> FullAttention:
    """The same attention, over a window of so many tokens; None is all of them."""
    return base if window is None else SlidingWindowAttention(**vars(base), sliding_window=window)


def attention(fields: Fields, family: Family, prefix: str = "") -> FullAttention:
    """The attention that the usual fields describe.

    Args:
        prefix: of the names of the fields, where a family has a second set of them ("swa_").
    """
    heads = fields.optional(prefix + "num_attention_heads") or fields.size("num_attention_heads")
    kv_heads = fields.optional(prefix + "num_key_value_heads") or fields.optional("num_key_value_heads") or heads
    if heads % kv_heads and not fields.given("num_key_value_heads"):
        kv_heads = heads  # the family's default belongs to its default number of heads
    if heads % kv_heads:
        raise fields.error(
            prefix + "num_key_value_heads",
            f"{kv_heads} does not divide the {heads} attention heads",
            "Write a divisor of num_attention_heads.",
        )
    head_dim = fields.optional(prefix + "head_dim") or fields.optional("head_dim") or even_head_dim(fields, heads)
    norm = family.qk_norm if isinstance(family.qk_norm, str) else family.qk_norm(fields)
    return FullAttention(
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=head_dim,
        v_head_dim=fields.optional(prefix + "v_head_dim") if fields.given(prefix + "v_head_dim") else None,
        qkv_bias=flag_value(fields, family.qkv_bias),
        output_bias=flag_value(fields, family.output_bias),
        qk_norm=norm,
        output_gate=flag_value(fields, family.output_gate),
        sinks=family.sinks,
    )


def even_head_dim(fields: Fields, heads: int) -> int:
    """The size of a head where it is not given: an even share of the hidden size."""
    hidden_size = fields.size("hidden_size")
    if hidden_size % heads:
        raise fields.error(
            "head_dim",
            f"it is missing, and hidden_size {hidden_size} is no multiple of the {heads} attention heads",
            "Give head_dim.",
        )
    return hidden_size // heads


def layer_windows(fields: Fields, family: Family) -> list[int | None]:
    """How many tokens each layer looks back; None is all of them.

    Raises:
        UnsupportedModelError: a kind of layer that is not known, or a window that is not given.
    """
    layers = layer_count(fields)
    kinds = fields.per_layer("layer_types", layers)
    if kinds is not None:
        fields.ignore(*WINDOW_FIELDS)
        return [window_of(fields, kind) for kind in kinds]
    if not family.window_pattern:
        return [None] * layers
    if family.window_flag and not fields.flag(family.window_flag):
        fields.ignore("sliding_window", "max_window_layers")
        return [None] * layers
    window = fields.optional("sliding_window")
    if window is None:
        fields.ignore("sliding_window_pattern", "_sliding_window_pattern")
        return [None] * layers
    if fields.has("max_window_layers"):
        first = fields.size("max_window_layers", least=0)
        return [window if layer >= first else None for layer in range(layers)]
    pattern = fields.raw("sliding_window_pattern") or fields.raw("_sliding_window_pattern")
    if isinstance(pattern, str):
        return [window if pattern[layer % len(pattern)].upper() == "L" else None for layer in range(layers)]
    step = fields.size("sliding_window_pattern", family.window_pattern) if pattern else family.window_pattern
    return [window if step == 1 or (layer + 1) % step else None for layer in range(layers)]


def window_of(fields: Fields, kind: object) -> int | None:
    """How far a layer of that kind, a word of `layer_types`, looks back."""
    if kind in FULL:
        return None
    if kind in SLIDING:
        return fields.size("sliding_window")
    if kind in CHUNKED:
        return fields.optional("attention_chunk_size")
    raise fields.error("layer_types", f"{kind!r} is not a kind of layer that is understood here",
                       "Write full_attention or sliding_attention.")  # fmt: skip


def dense_layers(fields: Fields, family: Family) -> list[Mlp | None]:
    """The same feed-forward block in every layer."""
    return [dense_mlp(fields, family)] * layer_count(fields)


def dense_mlp(fields: Fields, family: Family, name: str = "intermediate_size") -> Mlp | None:
    """A dense feed-forward block; None where its size is not given."""
    size = fields.optional(name)
    if not size:
        return None
    block = GatedMlp if family.gated else PlainMlp
    return block(intermediate_size=size, bias=flag_value(fields, family.mlp_bias))
