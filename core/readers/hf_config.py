"""Hugging Face `config.json` → `ModelSpec`.

Which architectures are read, and by which module: `core.readers.architectures.known`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace

from core.model.spec import ModelSpec
from core.readers import quantization
from core.readers.architectures import known as families
from core.readers.files import UnreadableFileError, read_json_object
from core.texts import printable

# The largest config.json of a published model is some hundred kilobytes (quantized ones list every module).
LARGEST_CONFIG_BYTES = 16 * 2**20


class UnreadableConfigError(UnreadableFileError):
    """The file cannot be read as a config.json."""


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
        return printable(re.sub(r"-\d{5}-of-\d{5}$", "", stem))
    cached = re.search(r"models--(.+)[/\\]snapshots[/\\][^/\\]+$", folder)
    return printable(cached[1].replace("--", "/") if cached else os.path.basename(folder))


def spec_from_config(config: Mapping[str, object], *, name: str) -> ModelSpec:
    """The model that the fields of a config.json describe.

    Besides the fields of config.json it takes `params_b` (billions of parameters, overriding the count). With it,
    `num_hidden_layers` and `hidden_size` are enough: keys and values are then as wide as the model, the article's rule.

    Raises:
        UnsupportedModelError: a needed field is missing, or the architecture is not understood.
        WrongTypeError, OutOfRangeError: a field's value is impossible.
    """
    spec = families.read(config, name)
    return replace(spec, quantization=quantization.read(config), bytes_per_value=_bytes_per_value(config))


# As shipped, unless quantized: config.json's own word, else the 16 bits that every engine assumes.
_BYTES_BY_DTYPE = {"float32": 4, "float": 4, "float16": 2, "bfloat16": 2, "half": 2}
_SIXTEEN_BIT_BYTES = 2


def _bytes_per_value(config: Mapping[str, object]) -> int:
    text = config.get("text_config")
    for where in (config, text if isinstance(text, Mapping) else {}):
        for field in ("torch_dtype", "dtype"):
            if isinstance(where.get(field), str):
                return _BYTES_BY_DTYPE.get(str(where[field]).removeprefix("torch."), _SIXTEEN_BIT_BYTES)
    return _SIXTEEN_BIT_BYTES
