"""The mixes of formats in a GGUF file: "Q4_K_M" is not one format but a choice of them, tensor by tensor.

Source: llama.cpp src/llama-quant.cpp, llama_tensor_get_type (the choices; with an importance matrix for IQ3_XXS,
without one for the others) and ggml/src/ggml-common.h (the layout of the blocks).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from core.model.precision import Precision
from core.model.spec import FullAttention, ModelSpec, MoeMlp
from core.model.tensors import EMBEDDING, HEAD, ROUTER, VECTOR, VISION, Tensor

# Format → (bytes, values) of a block; K-quants and I-quants have blocks of 256 values.
BLOCKS: dict[str, tuple[int, int]] = {
    "F32": (4, 1), "F16": (2, 1),
    "Q4_0": (18, 32), "Q4_1": (20, 32), "Q5_0": (22, 32), "Q5_1": (24, 32), "Q8_0": (34, 32),
    "Q2_K": (84, 256), "Q3_K": (110, 256), "Q4_K": (144, 256), "Q5_K": (176, 256), "Q6_K": (210, 256),
    "IQ1_S": (50, 256), "IQ1_M": (56, 256), "IQ2_XXS": (66, 256), "IQ2_XS": (74, 256), "IQ2_S": (82, 256),
    "IQ3_XXS": (98, 256), "IQ3_S": (110, 256), "IQ4_XS": (136, 256), "IQ4_NL": (18, 32), "MXFP4": (17, 32),
}  # fmt: skip

# Where a row is no multiple of the block.
_FALLBACK = {"Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}
_OTHER_FALLBACK = "IQ4_NL"

_FEW_QUERIES_PER_KEY = 4  # from so many query heads to a KV head on, value projections are small enough for more bits
_FEW_EXPERTS = 4
_EIGHT_EXPERTS = 8  # Mixtral has rules of its own: more bits for keys and values, and for the output projection
_FEWEST_BITS = frozenset({"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M"})
_RAISED_FOR_EIGHT = _FEWEST_BITS | {
    "Q2_K", "Q3_K_S", "Q3_K_M", "Q4_K_S", "Q4_K_M", "IQ3_XXS", "IQ3_XS", "IQ3_S", "IQ3_M", "IQ4_XS", "IQ4_NL",
}  # fmt: skip
_LAYERS_OF_70B = 80


@dataclass(frozen=True)
class Choice:
    """`better` in the layers that `where` names, the mix's base (or `otherwise`) in the others.

    `where`: "all", "more" (the first and the last eighth and every third between), "eighth" (the first), "sixteenth",
    "two" and "four" (the first so many layers), "middle" (all but first and last eighth), "gqa" (few KV heads), "small"
    (few KV heads, or experts).
    """

    better: str
    where: str = "all"
    otherwise: str = ""


@dataclass(frozen=True)
class Mix:
    """The formats of one mix: of most tensors, and of those that it treats otherwise."""

    base: str
    head: str = "Q6_K"
    embedding: str = ""
    value: Choice | None = None
    key_and_query: str = ""
    output: str = ""
    down: Choice | None = None
    gate_and_up: Choice | None = None


_SMALL: dict[str, Any] = {
    "head": "Q5_K", "embedding": "Q2_K", "value": Choice("Q4_K", "small", "Q2_K"), "down": Choice("Q2_K", "eighth"),
}  # fmt: skip
_IQ2_S: dict[str, Any] = {"head": "Q5_K", "embedding": "IQ3_S", "value": Choice("Q4_K", "small", "IQ3_S"),
          "down": Choice("IQ3_S", "eighth"), "output": "IQ3_S"}  # fmt: skip

MIXES: dict[str, Mix] = {
    "IQ1_S": Mix("IQ1_S", **_SMALL, output="IQ2_XXS"),
    "IQ1_M": Mix("IQ1_M", **_SMALL, output="IQ2_XXS"),
    "IQ2_XXS": Mix("IQ2_XXS", **_SMALL),
    "IQ2_XS": Mix("IQ2_XS", **_SMALL),
    "IQ2_S": Mix("IQ2_XS", **_IQ2_S),
    "IQ2_M": Mix("IQ2_S", **_IQ2_S),
    "IQ3_XXS": Mix("IQ3_XXS", head="Q5_K", embedding="IQ3_S", value=Choice("Q4_K", "gqa"),
                   key_and_query="IQ2_S", output="IQ3_S"),
    "IQ3_XS": Mix("IQ3_S", value=Choice("Q4_K", "gqa"), key_and_query="IQ3_XXS",
                  gate_and_up=Choice("IQ3_XXS", "middle")),
    "IQ3_S": Mix("IQ3_S", value=Choice("Q4_K", "gqa")),
    "IQ3_M": Mix("IQ3_S", value=Choice("Q4_K"), output="Q4_K", down=Choice("Q4_K", "eighth")),
    "IQ4_XS": Mix("IQ4_XS", value=Choice("Q5_K", "gqa"), down=Choice("Q5_K", "eighth")),
    "IQ4_NL": Mix("IQ4_NL", value=Choice("Q5_K", "gqa"), down=Choice("Q5_K", "eighth")),
    "Q2_K_S": Mix("Q2_K", value=Choice("Q4_K", "gqa"), down=Choice("Q4_K", "eighth")),
    "Q2_K": Mix("Q2_K", value=Choice("Q4_K", "gqa", "Q3_K"), output="Q3_K", down=Choice("Q3_K")),
    "Q3_K_S": Mix("Q3_K"),
    "Q3_K_M": Mix("Q3_K", value=Choice("Q5_K", "two", "Q4_K"), output="Q4_K", down=Choice("Q5_K", "sixteenth", "Q4_K")),
    "Q3_K_L": Mix("Q3_K", value=Choice("Q5_K"), output="Q5_K", down=Choice("Q5_K")),
    "Q4_0": Mix("Q4_0"),
    "Q4_1": Mix("Q4_1"),
    "Q4_K_S": Mix("Q4_K", value=Choice("Q5_K", "four"), down=Choice("Q5_K", "eighth")),
    "Q4_K_M": Mix("Q4_K", value=Choice("Q6_K", "more"), down=Choice("Q6_K", "more")),
    "Q5_0": Mix("Q5_0"),
    "Q5_1": Mix("Q5_1"),
    "Q5_K_S": Mix("Q5_K"),
    "Q5_K_M": Mix("Q5_K", value=Choice("Q6_K", "more"), down=Choice("Q6_K", "more")),
    "Q6_K": Mix("Q6_K"),
    "Q8_0": Mix("Q8_0", head="Q8_0"),
}  # fmt: skip

_DOWN_OF_EIGHT = {"IQ3_M": Choice("Q4_K", "more")}


def gguf_precision(precision: Precision, tensor: Tensor, model: ModelSpec, layer: int | None) -> Precision:
    """The format that the mix which `precision` names gives to one tensor, the one of `layer`."""
    chosen = _format(precision.mix, tensor, model, layer)
    if tensor.columns % BLOCKS[chosen][1]:
        chosen = _FALLBACK.get(chosen, _OTHER_FALLBACK)
        if tensor.columns % BLOCKS[chosen][1]:
            return _of_blocks("F16", "F16")
    return _of_blocks(chosen, chosen)


def positions(precision: Precision, model: ModelSpec) -> tuple[tuple[bool, ...], ...]:
    """For each layer, what of its place in the model its formats depend on, in the mix that `precision` names."""
    mix = MIXES[precision.mix]
    wheres = {choice.where for choice in (mix.value, _down(precision.mix, model), mix.gate_and_up) if choice}
    return tuple(zip(*(_applies(where, model) for where in wheres))) or ((),) * model.num_hidden_layers


@cache
def _of_blocks(name: str, stored: str) -> Precision:
    block_bytes, block_values = BLOCKS[stored]
    return Precision(name=name, block_bytes=block_bytes, block_values=block_values)


def _format(name: str, tensor: Tensor, model: ModelSpec, layer: int | None) -> str:
    mix = MIXES[name]
    if tensor.group in (VECTOR, ROUTER) or tensor.columns == 1:
        return "F32"
    if tensor.group == VISION:
        return "F16"  # a file of its own, which is not quantized
    if tensor.group == HEAD or (tensor.name == "embed_tokens" and model.tie_word_embeddings):
        return mix.head
    if tensor.group == EMBEDDING:
        return mix.embedding or mix.base
    last, has_eight_experts = tensor.name.rpartition(".")[2], _experts(model) == _EIGHT_EXPERTS
    if last in ("k_proj", "v_proj") and has_eight_experts:
        return "Q4_K" if name in _FEWEST_BITS else "Q8_0"
    if last == "v_proj":
        chosen = _chosen(mix.value, mix.base, model, layer)
        return "Q5_K" if name not in _FEWEST_BITS and chosen in ("Q3_K", "Q4_K") and _is_70b(model) else chosen
    if last in ("k_proj", "q_proj"):
        return mix.key_and_query or mix.base
    if last == "o_proj":
        if has_eight_experts:
            return "Q5_K" if name in _RAISED_FOR_EIGHT else mix.base
        return mix.output or mix.base
    if last == "down_proj":
        return _chosen(_down(name, model), mix.base, model, layer)
    if last in ("gate_proj", "up_proj"):
        return _chosen(mix.gate_and_up, mix.base, model, layer)
    return mix.base


def _down(name: str, model: ModelSpec) -> Choice | None:
    down = MIXES[name].down
    return _DOWN_OF_EIGHT.get(name, down) if _experts(model) == _EIGHT_EXPERTS else down


def _is_70b(model: ModelSpec) -> bool:
    return model.num_hidden_layers == _LAYERS_OF_70B and _queries_per_key(model) > 1


def _chosen(choice: Choice | None, base: str, model: ModelSpec, layer: int | None) -> str:
    if choice is None:
        return base
    return choice.better if _applies(choice.where, model)[layer or 0] else choice.otherwise or base


def _applies(where: str, model: ModelSpec) -> tuple[bool, ...]:
    """For each layer, whether `where` (of a `Choice`) names it."""
    if where in ("gqa", "small"):
        few_kv_heads = _queries_per_key(model) >= _FEW_QUERIES_PER_KEY
        applies = few_kv_heads or (where == "small" and _experts(model) >= _FEW_EXPERTS)
        return (applies,) * model.num_hidden_layers
    return _named_layers(where, model.num_hidden_layers)


@cache
def _named_layers(where: str, layers: int) -> tuple[bool, ...]:
    return tuple(_is_named(where, layer, layers) for layer in range(layers))


def _is_named(where: str, layer: int, layers: int) -> bool:
    first_eighth, last_eighth = layer < layers // 8, layer >= 7 * layers // 8
    return {
        "all": True,
        "more": first_eighth or last_eighth or (layer - layers // 8) % 3 == 2,
        "eighth": first_eighth,
        "sixteenth": layer < layers // 16,
        "two": layer < 2,
        "four": layer < 4,
        "middle": not first_eighth and not last_eighth,
    }[where]


@lru_cache(maxsize=512)
def _queries_per_key(model: ModelSpec) -> int:
    return max(
        (run.mixer.num_attention_heads // run.mixer.num_key_value_heads
         for run in model.layers if isinstance(run.mixer, FullAttention)),
        default=1,
    )  # fmt: skip


@lru_cache(maxsize=512)
def _experts(model: ModelSpec) -> int:
    return max((run.mlp.num_experts for run in model.layers if isinstance(run.mlp, MoeMlp)), default=0)
