"""Build the `ModelSpec` of a decoder-only transformer from its family's facts and the fields of its config.json."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from core.checks import number
from core.model.feed_forward import GatedMlp, Mlp, PlainMlp
from core.model.mixers import NO_NORM, FullAttention, Mixer, NoMixer, SlidingWindowAttention, full_width_attention
from core.model.spec import LayerRun, ModelSpec
from core.model.tensors import Tensor
from core.readers.architectures.rotary import rotary_values
from core.readers.fields import Fields

_FULL_KINDS = ("full_attention", "attention", "global_attention", "global")
_SLIDING_KINDS = ("sliding_attention", "sliding_window_attention", "local_attention", "local")
_CHUNKED_KINDS = ("chunked_attention",)
# Redundant where `layer_types` names the kind of every layer.
_WINDOW_FIELDS = (
    "sliding_window", "sliding_window_pattern", "_sliding_window_pattern", "max_window_layers", "use_sliding_window",
)  # fmt: skip

Flag = bool | str | Callable[[Fields], bool]  # fixed, the name of a flag in config.json, or a function of the fields


@dataclass(frozen=True, kw_only=True)
class Family:
    """The facts about a `model_type` that its config.json leaves out.

    Attributes:
        source: the file that defines the architecture.
        aliases: usual field name → the family's own name ({"hidden_size": "n_embd"}).
        ignored: fields of the family that do not change memory.
        defaults: values of fields that config.json leaves out.
        qkv_bias, output_bias, mlp_bias, head_bias: whether these projections have a bias vector.
        qk_norm: the norm of queries and keys (`NO_NORM`, `PER_HEAD` or `FULL_WIDTH`), or a function that returns it.
        output_gate, sinks: see `FullAttention`.
        gated: whether the feed-forward block has a gate projection.
        norms, final_norms: norm vectors per layer and after the last layer, or functions that return the number.
        norm_bias: whether each norm has a bias vector.
        window_pattern: with n > 1, every n-th layer uses full attention and the others a sliding window;
            1: all layers use the window; 0: the family has no sliding windows.
        window_flag: the field that must be true for `sliding_window` to apply; "" if it always applies.
        mixers, mlps: functions that return the token mixer and the feed-forward block of each layer, first to last;
            None: the usual attention, and the same dense block in every layer.
        layer_extra: returns the further tensors of a layer, given its number from 0.
        extra: returns the further tensors outside the layers.
        rotary: returns the number of values in the tables of rotary angles.
        embedding_size: returns the width of the embedding where it is not the hidden size, else None.
        tied: whether the output head shares the embedding's weights where neither config.json nor transformers says.
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


def hf_source(module: str) -> str:
    """Return the `Family.source` of a family that transformers defines in `module`."""
    return f"transformers models/{module}/modeling_{module}.py"


def no_rotary(fields: Fields) -> int:
    """Return 0: the family has no table of rotary angles."""
    return 0


def decoder_spec(fields: Fields, family: Family, name: str) -> ModelSpec:
    """Return the model that `fields`, a config.json of `family`, describe.

    Raises:
        PlannerError: a field is missing, impossible, or not supported.
    """
    hidden_size = fields.size("hidden_size")
    layers = layer_count(fields)
    params_b = fields.raw("params_b")
    stated = None if params_b is None else round(number("params_b", params_b) * 10**9)
    fields.ignore(*family.ignored)
    # As in the article's formula: keys and values are as wide as the model, the heads are unknown.
    no_heads = stated is not None and not fields.has("num_attention_heads") and not fields.has("num_key_value_heads")
    if no_heads:
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
        # Only a limit from the model's own config.json: the default of its family need not be right for it.
        max_position_embeddings=fields.stated("max_position_embeddings"),
        final_norms=family.final_norms if isinstance(family.final_norms, int) else family.final_norms(fields),
        norm_bias=family.norm_bias,
        head_bias=flag_value(fields, family.head_bias),
        extra=tuple(family.extra(fields)),  # noqa: S610  no Django here
        rotary_values=0 if no_heads else family.rotary(fields),
        layers=merge_equal_layers(
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


def merge_equal_layers(layers: Iterable[LayerRun]) -> tuple[LayerRun, ...]:
    """Merge equal neighbours among `layers`, each of count 1, into runs."""
    return tuple(replace(layer, count=len(list(group))) for layer, group in groupby(layers))


def layer_count(fields: Fields) -> int:
    """Return the number of layers; newer Nemotron-H configs give only a list with the kind of each."""
    kinds = fields.listed("layers_block_type") if not fields.given("num_hidden_layers") else None
    return len(kinds) if kinds else fields.size("num_hidden_layers")


def flag_value(fields: Fields, fact: Flag) -> bool:
    """Return the value of `fact`: itself, the flag in config.json that it names, or what it returns."""
    if callable(fact):
        return fact(fields)
    return fields.flag(fact) if isinstance(fact, str) else fact


def attention_layers(fields: Fields, family: Family) -> list[Mixer]:
    """Return the attention of every layer, with the sliding windows that config.json describes."""
    base = attention(fields, family)
    return [with_window(base, window) for window in layer_windows(fields, family)]


def with_window(base: FullAttention, window: int | None) -> FullAttention:
    """Return `base` limited to the last `window` tokens (None: no limit)."""
    return base if window is None else SlidingWindowAttention(**vars(base), sliding_window=window)


def attention_of_kind(fields: Fields, base: FullAttention, kind: object) -> FullAttention:
    """Return `base` with the window of a layer of `kind`, an entry of `layer_types`."""
    return with_window(base, _window_of_kind(fields, kind))


def attention(fields: Fields, family: Family, prefix: str = "") -> FullAttention:
    """Return the attention that the usual fields describe.

    Args:
        prefix: put before the field names, for families with a second set of fields ("swa_").
    """
    heads = fields.optional(prefix + "num_attention_heads") or fields.size("num_attention_heads")
    kv_heads = fields.optional(prefix + "num_key_value_heads") or fields.optional("num_key_value_heads") or heads
    if heads % kv_heads and not fields.given("num_key_value_heads"):
        kv_heads = heads  # the family's default of KV heads fits only its default of attention heads
    if heads % kv_heads:
        raise fields.error(
            prefix + "num_key_value_heads",
            f"{kv_heads} does not divide the {heads} attention heads",
            "Write a divisor of num_attention_heads.",
        )
    head_dim = fields.optional(prefix + "head_dim") or fields.optional("head_dim") or default_head_dim(fields, heads)
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


def default_head_dim(fields: Fields, heads: int) -> int:
    """Return the size of one head where `head_dim` is not given: hidden size ÷ heads."""
    hidden_size = fields.size("hidden_size")
    if hidden_size % heads:
        raise fields.error(
            "head_dim",
            f"it is missing, and hidden_size {hidden_size} is not a multiple of the {heads} attention heads",
            "Write head_dim.",
        )
    return hidden_size // heads


def layer_windows(fields: Fields, family: Family) -> list[int | None]:
    """Return each layer's attention window in tokens (None: full attention).

    Raises:
        UnsupportedModelError: the kind of a layer is not supported, or its window is missing.
    """
    layers = layer_count(fields)
    kinds = fields.per_layer("layer_types", layers)
    if kinds is not None:
        fields.ignore(*_WINDOW_FIELDS)
        return [_window_of_kind(fields, kind) for kind in kinds]
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


def _window_of_kind(fields: Fields, kind: object) -> int | None:
    """Return the window in tokens of a layer of `kind`, an entry of `layer_types` (None: full attention)."""
    if kind in _FULL_KINDS:
        return None
    if kind in _SLIDING_KINDS:
        return fields.size("sliding_window")
    if kind in _CHUNKED_KINDS:
        return fields.optional("attention_chunk_size")
    raise fields.error("layer_types", f"{kind!r} is not a supported kind of layer",
                       "Write full_attention or sliding_attention.")  # fmt: skip


def dense_layers(fields: Fields, family: Family) -> list[Mlp | None]:
    """Return the same dense feed-forward block for every layer."""
    return [dense_mlp(fields, family)] * layer_count(fields)


def dense_mlp(fields: Fields, family: Family, name: str = "intermediate_size") -> Mlp | None:
    """Return the dense feed-forward block whose width the field `name` gives; None if it gives none."""
    size = fields.optional(name)
    if not size:
        return None
    block = GatedMlp if family.gated else PlainMlp
    return block(intermediate_size=size, bias=flag_value(fields, family.mlp_bias))
