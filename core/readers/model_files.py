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
        stated_bytes: the bytes of all tensors that an index of shards states, where the shards are not there.
    """

    spec: ModelSpec
    fields: Mapping[str, object]
    stored: StoredTensors | None = None
    stated_bytes: int | None = None

    def as_shipped(self) -> Precision | None:
        """Return the precision at which the weights take exactly the bytes of the weight files (None: no such files).

        Raises:
            UnsupportedModelError: the number of parameters is not given and cannot be counted.
        """
        total, source = self.stated_bytes, "metadata.total_size of the index of the weight files"
        if self.stored is not None:
            total, source = self.stored.total_bytes, "the headers of the weight files"
        if not total:
            return None
        return Precision(
            name=AS_SHIPPED, block_bytes=total, block_values=model_counts(self.spec).parameters.total, source=source
        )


def read_model(path: str) -> ModelFile:
    """Read the model at `path`: a config.json, a safetensors or GGUF file, an index of shards, or a folder of these.

    Beside config.json, `core.readers.side_files` are read. Mistral's params.json is read in its place.

    Raises:
        UnreadableFileError: `path` holds no model, a file is damaged, or shards are missing.
        PlannerError: a field of the model is missing, wrong, or not supported.
    """
    from core.readers.weight_files.safetensors_header import INDEX_SUFFIX, SUFFIXES, read_safetensors

    if os.path.isdir(path):
        return _read_folder(path)
    if path.endswith(INDEX_SUFFIX):
        return _read_index(_config_next_to(path), path)
    if path.endswith(SUFFIXES):
        return _read_config(_config_next_to(path), _check_complete(path, read_safetensors(path)))
    if path.endswith(".gguf") or _starts_with_gguf_magic(path):
        return _read_gguf(path)
    return _read_config(path, None)


def _read_folder(folder: str) -> ModelFile:
    from core.readers import side_files
    from core.readers.weight_files.safetensors_header import INDEX_SUFFIX, find_safetensors, read_safetensors
    from core.readers.weight_files.stored import shard_names

    names = os.listdir(folder)
    config = next((name for name in (CONFIG_FILE, side_files.PARAMS_FILE) if name in names), None)
    if config is None and (inner := side_files.transformer_folder(folder)) and os.path.isdir(inner) and inner != folder:
        folder, names, config = inner, os.listdir(inner), CONFIG_FILE
    if config is not None:
        path, weights = os.path.join(folder, config), find_safetensors(folder)
        if weights is None:
            return _read_config(path, None, side_files.stated_bytes(folder))
        if weights.endswith(INDEX_SUFFIX):
            return _read_index(path, weights)
        return _read_config(path, _check_complete(weights, read_safetensors(weights)))
    models = {shard_names(name)[0] for name in names if name.endswith(".gguf")}
    if len(models) == 1:
        return _read_gguf(os.path.join(folder, models.pop()))
    raise UnreadableFileError(
        folder,
        "a model's folder",
        f"it has no {CONFIG_FILE}" + (f" and {len(models)} GGUF models" if models else ""),
        "Give the path of one model file.",
    )


def _read_index(config: str, index: str) -> ModelFile:
    """Read a model with an index of shards; without any of the shards, the index states their bytes."""
    from core.readers import side_files
    from core.readers.weight_files.safetensors_header import read_safetensors, shards_of_index

    folder = os.path.dirname(index)
    if any(os.path.exists(os.path.join(folder, shard)) for shard in shards_of_index(index)):
        return _read_config(config, _check_complete(index, read_safetensors(index)))
    return _read_config(config, None, side_files.stated_bytes(index))


def _read_gguf(path: str) -> ModelFile:
    from core.readers.weight_files.gguf_config import config_of_gguf
    from core.readers.weight_files.gguf_header import read_gguf

    gguf = read_gguf(path)
    stored = _check_complete(path, gguf.stored)
    fields = config_of_gguf(gguf)
    return ModelFile(
        spec=spec_from_config(fields, name=model_name(path), refuse_later=True), fields=fields, stored=stored
    )


def _read_config(path: str, stored: StoredTensors | None, stated_bytes: int | None = None) -> ModelFile:
    from core.readers import side_files
    from core.readers.roles import as_embedding_model

    fields: Mapping[str, object] = config_fields(path)
    folder, file = os.path.split(path)
    if file == side_files.PARAMS_FILE:
        fields = side_files.config_of_params(fields)
    if file == CONFIG_FILE:  # of other names a folder may have several, which share no file
        fields = side_files.with_quantization(fields, folder)
    spec = spec_from_config(fields, name=model_name(path), refuse_later=True, heads=True)
    root = side_files.sentence_transformers_folder(folder) if file == CONFIG_FILE else None
    if root is not None:
        spec = as_embedding_model(spec, side_files.dense_parameters(root))
    return ModelFile(spec=spec, fields=fields, stored=stored, stated_bytes=stated_bytes)


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
