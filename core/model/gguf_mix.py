"""Choose the format of each tensor in a GGUF file: a name such as "Q4_K_M" stands for a mix of formats.

Source: llama.cpp src/llama-quant.cpp, llama_tensor_get_type (the choices; with an importance matrix for IQ3_XXS,
without one for the others) and ggml/src/ggml-common.h (the layout of the blocks).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from core.model.precision import Precision
from core.model.spec import ModelSpec
from core.model.tensors import EMBEDDING, HEAD, ROUTER, VECTOR, VISION, Tensor

# Format → (bytes, values) of a block; blocks of K-quants and I-quants have 256 values.
BLOCKS: dict[str, tuple[int, int]] = {
    "F32": (4, 1), "F16": (2, 1),
    "Q4_0": (18, 32), "Q4_1": (20, 32), "Q5_0": (22, 32), "Q5_1": (24, 32), "Q8_0": (34, 32),
    "Q2_K": (84, 256), "Q3_K": (110, 256), "Q4_K": (144, 256), "Q5_K": (176, 256), "Q6_K": (210, 256),
    "IQ1_S": (50, 256), "IQ1_M": (56, 256), "IQ2_XXS": (66, 256), "IQ2_XS": (74, 256), "IQ2_S": (82, 256),
    "IQ3_XXS": (98, 256), "IQ3_S": (110, 256), "IQ4_XS": (136, 256), "IQ4_NL": (18, 32), "MXFP4": (17, 32),
}  # fmt: skip

# For rows that are not a multiple of the block.
_FALLBACK = {"Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}
_OTHER_FALLBACK = "IQ4_NL"

_MIN_QUERIES_PER_KV_HEAD = 4  # with at least 4 query heads per KV head, value projections are small and get more bits
_MIN_EXPERTS = 4
_EIGHT_EXPERTS = 8  # llama.cpp has separate rules for Mixtral: more bits for keys, values and the output projection
_FEWEST_BITS = frozenset({"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M"})
_RAISED_FOR_EIGHT_EXPERTS = _FEWEST_BITS | {
    "Q2_K", "Q3_K_S", "Q3_K_M", "Q4_K_S", "Q4_K_M", "IQ3_XXS", "IQ3_XS", "IQ3_S", "IQ3_M", "IQ4_XS", "IQ4_NL",
}  # fmt: skip
_LAYERS_OF_70B = 80


@dataclass(frozen=True)
class Rule:
    """A format for some layers; the other layers use `otherwise`, or the mix's base if that is empty.

    Values of `layers`: "all"; "more" (the first and last eighth, and every third layer between them); "eighth" and
    "sixteenth" (that part at the beginning); "two" and "four" (that number at the beginning); "middle" (all except the
    first and last eighth); "gqa" (all, if the model has few KV heads); "small" (the same, or if it has experts).
    """

    format: str
    layers: str = "all"
    otherwise: str = ""


@dataclass(frozen=True)
class Mix:
    """The formats of one mix: `base` for most tensors, the other fields for exceptions."""

    base: str
    head: str = "Q6_K"
    embedding: str = ""
    value: Rule | None = None
    key_and_query: str = ""
    output: str = ""
    down: Rule | None = None
    gate_and_up: Rule | None = None


_SMALL: dict[str, Any] = {
    "head": "Q5_K", "embedding": "Q2_K", "value": Rule("Q4_K", "small", "Q2_K"), "down": Rule("Q2_K", "eighth"),
}  # fmt: skip
_IQ2_S: dict[str, Any] = {"head": "Q5_K", "embedding": "IQ3_S", "value": Rule("Q4_K", "small", "IQ3_S"),
          "down": Rule("IQ3_S", "eighth"), "output": "IQ3_S"}  # fmt: skip

MIXES: dict[str, Mix] = {
    "IQ1_S": Mix("IQ1_S", **_SMALL, output="IQ2_XXS"),
    "IQ1_M": Mix("IQ1_M", **_SMALL, output="IQ2_XXS"),
    "IQ2_XXS": Mix("IQ2_XXS", **_SMALL),
    "IQ2_XS": Mix("IQ2_XS", **_SMALL),
    "IQ2_S": Mix("IQ2_XS", **_IQ2_S),
    "IQ2_M": Mix("IQ2_S", **_IQ2_S),
    "IQ3_XXS": Mix("IQ3_XXS", head="Q5_K", embedding="IQ3_S", value=Rule("Q4_K", "gqa"),
                   key_and_query="IQ2_S", output="IQ3_S"),
    "IQ3_XS": Mix("IQ3_S", value=Rule("Q4_K", "gqa"), key_and_query="IQ3_XXS",
                  gate_and_up=Rule("IQ3_XXS", "middle")),
    "IQ3_S": Mix("IQ3_S", value=Rule("Q4_K", "gqa")),
    "IQ3_M": Mix("IQ3_S", value=Rule("Q4_K"), output="Q4_K", down=Rule("Q4_K", "eighth")),
    "IQ4_XS": Mix("IQ4_XS", value=Rule("Q5_K", "gqa"), down=Rule("Q5_K", "eighth")),
    "IQ4_NL": Mix("IQ4_NL", value=Rule("Q5_K", "gqa"), down=Rule("Q5_K", "eighth")),
    "Q2_K_S": Mix("Q2_K", value=Rule("Q4_K", "gqa"), down=Rule("Q4_K", "eighth")),
    "Q2_K": Mix("Q2_K", value=Rule("Q4_K", "gqa", "Q3_K"), output="Q3_K", down=Rule("Q3_K")),
    "Q3_K_S": Mix("Q3_K"),
    "Q3_K_M": Mix("Q3_K", value=Rule("Q5_K", "two", "Q4_K"), output="Q4_K", down=Rule("Q5_K", "sixteenth", "Q4_K")),
    "Q3_K_L": Mix("Q3_K", value=Rule("Q5_K"), output="Q5_K", down=Rule("Q5_K")),
    "Q4_0": Mix("Q4_0"),
    "Q4_1": Mix("Q4_1"),
    "Q4_K_S": Mix("Q4_K", value=Rule("Q5_K", "four"), down=Rule("Q5_K", "eighth")),
    "Q4_K_M": Mix("Q4_K", value=Rule("Q6_K", "more"), down=Rule("Q6_K", "more")),
    "Q5_0": Mix("Q5_0"),
    "Q5_1": Mix("Q5_1"),
    "Q5_K_S": Mix("Q5_K"),
    "Q5_K_M": Mix("Q5_K", value=Rule("Q6_K", "more"), down=Rule("Q6_K", "more")),
    "Q6_K": Mix("Q6_K"),
    "Q8_0": Mix("Q8_0", head="Q8_0"),
}  # fmt: skip

_DOWN_FOR_EIGHT_EXPERTS = {"IQ3_M": Rule("Q4_K", "more")}


def gguf_precision(precision: Precision, tensor: Tensor, model: ModelSpec, layer: int | None) -> Precision:
    """Return the format of one tensor of `layer` (None: outside the layers) in the mix `precision.mix`."""
    chosen = _format(precision.mix, tensor, model, layer)
    if tensor.columns % BLOCKS[chosen][1]:
        chosen = _FALLBACK.get(chosen, _OTHER_FALLBACK)
        if tensor.columns % BLOCKS[chosen][1]:
            return _block_precision("F16")
    return _block_precision(chosen)


def layer_keys(precision: Precision, model: ModelSpec) -> tuple[tuple[bool, ...], ...]:
    """Return a key per layer: layers with equal keys and equal tensors have the same formats in `precision.mix`."""
    mix = MIXES[precision.mix]
    selections = {rule.layers for rule in (mix.value, _down_rule(precision.mix, model), mix.gate_and_up) if rule}
    return tuple(zip(*(_selected_layers(layers, model) for layers in selections))) or ((),) * model.num_hidden_layers


@cache
def _block_precision(name: str) -> Precision:
    block_bytes, block_values = BLOCKS[name]
    return Precision(name=name, block_bytes=block_bytes, block_values=block_values)


def _format(name: str, tensor: Tensor, model: ModelSpec, layer: int | None) -> str:
    mix = MIXES[name]
    if tensor.group in (VECTOR, ROUTER) or tensor.columns == 1:
        return "F32"
    if tensor.group == VISION:
        return "F16"  # stored in a separate file, which is not quantized
    if tensor.group == HEAD or (tensor.name == "embed_tokens" and model.tie_word_embeddings):
        return mix.head
    if tensor.group == EMBEDDING:
        return mix.embedding or mix.base
    last, has_eight_experts = tensor.name.rpartition(".")[2], _experts(model) == _EIGHT_EXPERTS
    if last in ("k_proj", "v_proj") and has_eight_experts:
        return "Q4_K" if name in _FEWEST_BITS else "Q8_0"
    if last == "v_proj":
        chosen = _apply(mix.value, mix.base, model, layer)
        return "Q5_K" if name not in _FEWEST_BITS and chosen in ("Q3_K", "Q4_K") and _is_70b(model) else chosen
    if last in ("k_proj", "q_proj"):
        return mix.key_and_query or mix.base
    if last == "o_proj":
        if has_eight_experts:
            return "Q5_K" if name in _RAISED_FOR_EIGHT_EXPERTS else mix.base
        return mix.output or mix.base
    if last == "down_proj":
        return _apply(_down_rule(name, model), mix.base, model, layer)
    if last in ("gate_proj", "up_proj"):
        return _apply(mix.gate_and_up, mix.base, model, layer)
    return mix.base


def _down_rule(name: str, model: ModelSpec) -> Rule | None:
    down = MIXES[name].down
    return _DOWN_FOR_EIGHT_EXPERTS.get(name, down) if _experts(model) == _EIGHT_EXPERTS else down


def _is_70b(model: ModelSpec) -> bool:
    return model.num_hidden_layers == _LAYERS_OF_70B and _queries_per_kv_head(model) > 1


def _apply(rule: Rule | None, base: str, model: ModelSpec, layer: int | None) -> str:
    if rule is None:
        return base
    return rule.format if _selected_layers(rule.layers, model)[layer or 0] else rule.otherwise or base


def _selected_layers(selection: str, model: ModelSpec) -> tuple[bool, ...]:
    """Return for each layer whether `selection` (the `layers` of a `Rule`) includes it."""
    if selection in ("gqa", "small"):
        few_kv_heads = _queries_per_kv_head(model) >= _MIN_QUERIES_PER_KV_HEAD
        all_layers = few_kv_heads or (selection == "small" and _experts(model) >= _MIN_EXPERTS)
        return (all_layers,) * model.num_hidden_layers
    return _selected_by_position(selection, model.num_hidden_layers)


@cache
def _selected_by_position(selection: str, count: int) -> tuple[bool, ...]:
    return tuple(_is_selected(selection, layer, count) for layer in range(count))


def _is_selected(selection: str, layer: int, count: int) -> bool:
    first_eighth, last_eighth = layer < count // 8, layer >= 7 * count // 8
    return {
        "all": True,
        "more": first_eighth or last_eighth or (layer - count // 8) % 3 == 2,
        "eighth": first_eighth,
        "sixteenth": layer < count // 16,
        "two": layer < 2,
        "four": layer < 4,
        "middle": not first_eighth and not last_eighth,
    }[selection]


@lru_cache(maxsize=512)
def _queries_per_kv_head(model: ModelSpec) -> int:
    attentions = [run.mixer.attention for run in model.layers if run.mixer.attention is not None]
    return max((each.num_attention_heads // each.num_key_value_heads for each in attentions), default=1)


@lru_cache(maxsize=512)
def _experts(model: ModelSpec) -> int:
    return max((run.mlp.num_routed_experts for run in model.layers if run.mlp is not None), default=0)
