"""Hugging Face `config.json` → `ModelSpec`.

Which architectures are read, and by which module: `core.readers.families`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace

from core.errors import PlannerError
from core.model_spec import ModelSpec
from core.readers import families, quantization

# The largest config.json of a published model is some hundred kilobytes (quantized ones list every module).
LARGEST_CONFIG_BYTES = 16 * 2**20


class UnreadableConfigError(PlannerError):
    """The file cannot be read as a config.json."""


def read_config_file(path: str) -> ModelSpec:
    """The model that the config.json at `path` describes.

    Raises:
        UnreadableConfigError: no such file, too large, not JSON, or not a JSON object.
        PlannerError: a field is missing, wrong, or not understood.
    """
    return spec_from_config(_load_object(path), name=_name_of(path))


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


def _name_of(path: str) -> str:
    folder, file = os.path.split(os.path.abspath(path))
    stem = os.path.splitext(file)[0]
    return os.path.basename(folder) if stem == "config" else stem


def _load_object(path: str) -> Mapping[str, object]:
    try:
        if os.path.getsize(path) > LARGEST_CONFIG_BYTES:
            raise _unreadable(path, f"it is larger than {LARGEST_CONFIG_BYTES // 2**20} MiB")
        with open(path, encoding="utf-8-sig") as file:
            config = json.load(file, object_pairs_hook=_without_duplicates, parse_constant=_no_constant)
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise _unreadable(path, "it is not UTF-8 text") from error
    except RecursionError as error:
        raise _unreadable(path, "it is nested too deeply") from error
    except json.JSONDecodeError as error:
        raise _unreadable(path, f"it is not JSON (line {error.lineno}: {error.msg})") from error
    except ValueError as error:
        raise _unreadable(path, str(error)) from error
    if not isinstance(config, dict):
        raise _unreadable(path, "it is not a JSON object")
    return config


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the field {next(n for n in names if names.count(n) > 1)!r} stands twice in it")
    return fields


def _no_constant(text: str) -> object:
    raise ValueError(f"{text} is not a number that JSON knows")


def _unreadable(path: str, problem: str) -> UnreadableConfigError:
    return UnreadableConfigError(
        path, f"cannot be read as a config.json: {problem}", "Give the config.json of a Hugging Face model."
    )
