"""Read a Hugging Face config.json into a `ModelSpec`.

`core.readers.architectures.known` lists the supported architectures and the modules that read them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace

from core.errors import quoted
from core.model.spec import ModelSpec
from core.readers import quantization
from core.readers.architectures import known
from core.readers.draft_heads import as_decoder, as_draft_head, is_draft_head
from core.readers.drafts import draft_layers
from core.readers.files import UnreadableFileError, read_json_object
from core.readers.parts import left_out
from core.readers.roles import refuse_draft, with_role
from core.texts import printable

# Published config.json files have at most a few hundred kilobytes (those of quantized models list every module).
LARGEST_CONFIG_BYTES = 16 * 2**20


class UnreadableConfigError(UnreadableFileError):
    """The file cannot be read as a config.json."""


def read_config_file(path: str) -> ModelSpec:
    """Read the model that the config.json at `path` describes.

    Raises:
        UnreadableConfigError: the file is missing, too large, or not a JSON object.
        PlannerError: a field is missing, wrong, or not supported.
    """
    return spec_from_config(config_fields(path), name=model_name(path), refuse_later=True)


def config_fields(path: str) -> dict[str, object]:
    """Return the fields of the config.json at `path`.

    Raises:
        UnreadableConfigError: the file is missing, too large, or not a JSON object.
    """
    return read_json_object(
        path,
        kind="a config.json",
        remedy="Give the config.json of a Hugging Face model.",
        largest_bytes=LARGEST_CONFIG_BYTES,
        error=UnreadableConfigError,
    )


def model_name(path: str) -> str:
    """Return a name for the model in the file at `path`: the file's name, or its folder's if it is a config.json.

    A folder of the Hugging Face cache, models--org--name/snapshots/revision, gives "org/name".
    """
    folder, file = os.path.split(os.path.abspath(path))
    stem = os.path.splitext(file)[0]
    if stem not in ("config", "params"):
        return printable(re.sub(r"-\d{5}-of-\d{5}$", "", stem))
    cached = re.search(r"models--(.+)[/\\]snapshots[/\\][^/\\]+$", folder)
    return printable(cached[1].replace("--", "/") if cached else os.path.basename(folder))


def spec_from_config(
    config: Mapping[str, object], *, name: str, refuse_later: bool = False, heads: bool = False
) -> ModelSpec:
    """Return the model that the fields of a config.json describe.

    One further field is read: `params_b`, billions of parameters, which replaces the counted number. With it,
    `num_hidden_layers` and `hidden_size` are enough: keys and values are then as wide as the model, as in the article.

    Args:
        refuse_later: refuse an unsupported quantization only when bytes as shipped are asked for, so that a precision
            can be named.
        heads: whether it may be of a head that drafts for another model.

    Raises:
        UnsupportedModelError: a needed field is missing, or the architecture is not supported.
        WrongTypeError, OutOfRangeError: the value of a field is impossible.
    """
    if heads and is_draft_head(config):
        layers = as_decoder(config)
        return as_draft_head(spec_from_config(layers, name=name, refuse_later=refuse_later), config)
    refuse_draft(config)
    spec = known.read(config, name)
    if not known.is_encoder(config):
        spec = with_role(spec, config)
    read = quantization.read_or_refuse_later if refuse_later else quantization.read
    kv_precision, field = quantization.cache_precision(config)
    remarks = (_cache_note(kv_precision, field), _dtype_note(config))
    return replace(
        spec,
        drafts=draft_layers(config, spec.layers),
        quantization=read(config),
        kv_precision=kv_precision,
        bytes_per_value=_BYTES_BY_DTYPE.get(_stated_dtype(config), _SIXTEEN_BIT_BYTES),
        notes=(*spec.notes, *left_out(config), *filter(None, remarks)),
    )


# Bytes of a weight as shipped, unless quantized: the dtype in config.json, else 16 bits, which every engine assumes.
_BYTES_BY_DTYPE = {"float32": 4, "float": 4, "float16": 2, "bfloat16": 2, "half": 2, "fp32": 4, "fp16": 2, "bf16": 2}
_SIXTEEN_BIT_BYTES = 2


def _stated_dtype(config: Mapping[str, object]) -> str:
    text = config.get("text_config")
    for fields in (config, text if isinstance(text, Mapping) else {}):
        for field in ("torch_dtype", "dtype"):
            if isinstance(fields.get(field), str):
                return str(fields[field]).removeprefix("torch.")
    return ""


def _cache_note(kv_precision: str, field: str) -> str:
    """Return the note that engines keep the KV cache in a checkpoint's own precision; "" where it names none."""
    if not kv_precision:
        return ""
    return f"{field}: engines keep the KV cache of this checkpoint in {kv_precision}, unless another precision is named"


def _dtype_note(config: Mapping[str, object]) -> str:
    """Return a note on a dtype that is not known; "" where it is known, not stated, or the weights are quantized."""
    stated = _stated_dtype(config)
    if stated in ("", "auto", *_BYTES_BY_DTYPE) or config.get("quantization_config"):
        return ""
    return f"dtype: {quoted(stated)} is not known. 16 bits per weight are taken."
