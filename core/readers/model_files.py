"""Read a model from its files: a config.json, safetensors, GGUF, or a folder of them.

The readers of weight files are imported only when needed: `vram estimate` of a catalog name needs none of them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.model.counts import model_counts
from core.model.precision import Precision
from core.model.spec import ModelSpec
from core.readers.files import SourceFile, UnreadableFileError
from core.readers.hf_config import config_fields, model_name, spec_from_config

if TYPE_CHECKING:
    from core.readers.weight_files.stored import StoredTensors

CONFIG_FILE = "config.json"
AS_SHIPPED = "as shipped"


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """A model that was read from files.

    Attributes:
        spec: the model.
        fields: the config.json fields that `spec` was made from.
        stored: the tensors of its weight files; None without weight files.
    """

    spec: ModelSpec
    fields: Mapping[str, object]
    stored: StoredTensors | None = None

    def as_shipped(self) -> Precision | None:
        """Return the precision at which the weights take exactly the bytes of the weight files (None: no such files).

        Raises:
            UnsupportedModelError: the number of parameters is not given and cannot be counted.
        """
        if self.stored is None or not self.stored.total_bytes:
            return None
        return Precision(
            name=AS_SHIPPED,
            block_bytes=self.stored.total_bytes,
            block_values=model_counts(self.spec).parameters.total,
            source="the headers of the weight files",
        )


def read_model(path: str) -> ModelFile:
    """Read the model at `path`: a config.json, a safetensors or GGUF file, an index of shards, or a folder of these.

    Raises:
        UnreadableFileError: `path` holds no model, a file is damaged, or shards are missing.
        PlannerError: a field of the model is missing, wrong, or not supported.
    """
    from core.readers.weight_files.safetensors_header import SUFFIXES, read_safetensors

    if os.path.isdir(path):
        return _read_folder(path)
    if path.endswith(SUFFIXES):
        return _read_config(_config_next_to(path), _check_complete(path, read_safetensors(path)))
    if path.endswith(".gguf") or _starts_with_gguf_magic(path):
        return _read_gguf(path)
    return _read_config(path, None)


def _read_folder(folder: str) -> ModelFile:
    from core.readers.weight_files.safetensors_header import find_safetensors, read_safetensors
    from core.readers.weight_files.stored import shard_names

    names = os.listdir(folder)
    if CONFIG_FILE in names:
        weights = find_safetensors(folder)
        stored = None if weights is None else _check_complete(weights, read_safetensors(weights))
        return _read_config(os.path.join(folder, CONFIG_FILE), stored)
    models = {shard_names(name)[0] for name in names if name.endswith(".gguf")}
    if len(models) == 1:
        return _read_gguf(os.path.join(folder, models.pop()))
    raise UnreadableFileError(
        folder,
        "a model's folder",
        f"it has no {CONFIG_FILE}" + (f" and {len(models)} GGUF models" if models else ""),
        "Give the path of one model file.",
    )


def _read_gguf(path: str) -> ModelFile:
    from core.readers.weight_files.gguf_config import config_of_gguf
    from core.readers.weight_files.gguf_header import read_gguf

    gguf = read_gguf(path)
    stored = _check_complete(path, gguf.stored)
    fields = config_of_gguf(gguf)
    return ModelFile(
        spec=spec_from_config(fields, name=model_name(path), refuse_later=True), fields=fields, stored=stored
    )


def _read_config(path: str, stored: StoredTensors | None) -> ModelFile:
    fields = config_fields(path)
    return ModelFile(
        spec=spec_from_config(fields, name=model_name(path), refuse_later=True), fields=fields, stored=stored
    )


def _config_next_to(path: str) -> str:
    config = os.path.join(os.path.dirname(path), CONFIG_FILE)
    if os.path.exists(config):
        return config
    raise UnreadableFileError(
        path, "a model", f"there is no {CONFIG_FILE} in its folder", f"Put the model's {CONFIG_FILE} there."
    )


def _check_complete(path: str, stored: StoredTensors) -> StoredTensors:
    missing = stored.missing_shards
    if not missing:
        return stored
    more = f", and {len(missing) - 1} more" if len(missing) > 1 else ""
    raise UnreadableFileError(
        path, "a complete model", f"{missing[0]} is missing{more}", f"Download it, or give only the {CONFIG_FILE}."
    )


def _starts_with_gguf_magic(path: str) -> bool:
    """Return whether the content of the file is GGUF: Ollama names its files by their hash, without ".gguf"."""
    from core.readers.weight_files.gguf_header import MAGIC

    if path.endswith(".json"):
        return False
    with SourceFile(path, kind="a model", remedy="Give the path of a model file or folder.") as file:
        return file.read(min(len(MAGIC), file.size_bytes)) == MAGIC
