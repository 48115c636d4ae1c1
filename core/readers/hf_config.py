"""Hugging Face `config.json` → `ModelSpec`.

An architecture is read only if its `model_type` is in `FAMILIES`: whoever guesses at an unknown one is wrong without
a sign of it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from core.checks import LIMITS, flag, number
from core.errors import UnsupportedModelError, quoted
from core.model_spec import FullAttention, GatedMlp, LayerRun, ModelSpec, full_width_attention
from core.readers.files import UnreadableFileError, read_json_object

# The largest config.json of a published model is some hundred kilobytes (quantized ones list every module).
LARGEST_CONFIG_BYTES = 16 * 2**20


class UnreadableConfigError(UnreadableFileError):
    """The file cannot be read as a config.json."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """What a `model_type` implies and its config.json does not say.

    Attributes:
        qkv_bias, output_bias: whether the attention projections have biases; None where `attention_bias` says.
        source: where that is written.
    """

    qkv_bias: bool | None
    output_bias: bool | None
    source: str


FAMILIES: dict[str, Family] = {
    "llama": Family(
        qkv_bias=None,
        output_bias=None,
        source="transformers models/llama/modeling_llama.py, LlamaAttention",
    ),
    "qwen2": Family(
        qkv_bias=True,
        output_bias=False,
        source="transformers models/qwen2/modeling_qwen2.py, Qwen2Attention",
    ),
}


def read_config_file(path: str) -> ModelSpec:
    """The model that the config.json at `path` describes.

    Raises:
        UnreadableConfigError: no such file, too large, not JSON, or not a JSON object.
        PlannerError: a field is missing, wrong, or not understood.
    """
    return spec_from_config(config_fields(path), name=name_of(path))


def config_fields(path: str) -> dict[str, object]:
    """The fields of the config.json at `path`.

    Raises:
        UnreadableConfigError: no such file, too large, not JSON, or not a JSON object.
    """
    return read_json_object(
        path,
        kind="a config.json",
        remedy="Give the config.json of a Hugging Face model.",
        largest_bytes=LARGEST_CONFIG_BYTES,
        error=UnreadableConfigError,
    )


def name_of(path: str) -> str:
    """What to call the model in the file at `path`: after its folder where the file's own name says nothing.

    A folder of the Hugging Face cache, models--org--name/snapshots/revision, gives "org/name".
    """
    folder, file = os.path.split(os.path.abspath(path))
    stem = os.path.splitext(file)[0]
    if stem != "config":
        return re.sub(r"-\d{5}-of-\d{5}$", "", stem)
    cached = re.search(r"models--(.+)[/\\]snapshots[/\\][^/\\]+$", folder)
    return cached[1].replace("--", "/") if cached else os.path.basename(folder)


def spec_from_config(config: Mapping[str, object], *, name: str) -> ModelSpec:
    """The model that the fields of a config.json describe.

    Besides the fields of config.json it takes `params_b` (billions of parameters, overriding the count). With it,
    `num_hidden_layers` and `hidden_size` are enough: keys and values are then as wide as the model, the article's rule.

    Raises:
        UnsupportedModelError: a needed field is missing, or the architecture is not understood.
        WrongTypeError, OutOfRangeError: a field's value is impossible.
    """
    family = _family(config)
    hidden_size = _required(config, "hidden_size")
    layers = _required(config, "num_hidden_layers")
    params_b = config.get("params_b")
    stated = None if params_b is None else round(number("params_b", params_b) * 10**9)
    intermediate_size = _optional(config, "intermediate_size")
    return ModelSpec(
        name=name,
        hidden_size=hidden_size,
        vocab_size=_optional(config, "vocab_size"),
        tie_word_embeddings=flag("tie_word_embeddings", config.get("tie_word_embeddings", False)),
        stated_parameters=stated,
        max_position_embeddings=_optional(config, "max_position_embeddings"),
        layers=(
            LayerRun(
                count=layers,
                mixer=_attention(config, family, hidden_size, heads_may_be_unknown=stated is not None),
                mlp=None if intermediate_size is None else GatedMlp(intermediate_size=intermediate_size),
            ),
        ),
    )


def _attention(
    config: Mapping[str, object], family: Family, hidden_size: int, *, heads_may_be_unknown: bool
) -> FullAttention:
    if heads_may_be_unknown and config.get("num_attention_heads") is None and config.get("num_key_value_heads") is None:
        return full_width_attention(hidden_size)
    heads = _required(config, "num_attention_heads")
    kv_heads = _optional(config, "num_key_value_heads") or heads
    if heads % kv_heads:
        raise UnsupportedModelError(
            "num_key_value_heads",
            f"{kv_heads} does not divide the {heads} attention heads",
            "Write a divisor of num_attention_heads.",
        )
    head_dim = _optional(config, "head_dim")
    if head_dim is None:
        if hidden_size % heads:
            raise UnsupportedModelError(
                "head_dim",
                f"it is missing, and hidden_size {hidden_size} is no multiple of the {heads} attention heads",
                "Give head_dim.",
            )
        head_dim = hidden_size // heads
    if config.get("use_sliding_window"):
        raise UnsupportedModelError(
            "use_sliding_window", "sliding windows in this model_type are not understood", "Set it to false."
        )
    attention_bias = flag("attention_bias", config.get("attention_bias", False))
    return FullAttention(
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=head_dim,
        qkv_bias=attention_bias if family.qkv_bias is None else family.qkv_bias,
        output_bias=attention_bias if family.output_bias is None else family.output_bias,
    )


def _family(config: Mapping[str, object]) -> Family:
    model_type = config.get("model_type")
    if isinstance(model_type, str) and model_type in FAMILIES:
        return FAMILIES[model_type]
    known = ", ".join(FAMILIES)
    if model_type is None:
        raise UnsupportedModelError("model_type", "it is missing", f"Give the model_type; understood are {known}.")
    raise UnsupportedModelError(
        "model_type", f"{quoted(model_type)} is not an architecture that is understood", f"Understood are {known}."
    )


def _required(config: Mapping[str, object], field: str) -> int:
    value = _optional(config, field)
    if value is None:
        raise UnsupportedModelError(field, "it is missing", LIMITS[field].remedy)
    return value


def _optional(config: Mapping[str, object], field: str) -> int | None:
    value = config.get(field)
    return None if value is None else int(number(field, value))
