"""Describe the tensors that weight files store: names, types, shapes and bytes, from the files' headers."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from core.errors import quoted
from core.readers.files import UnreadableFileError

# How Hugging Face's save_pretrained and llama.cpp's llama_split_path name the shards of one model.
_SHARD = re.compile(r"-(\d{5})-of-(\d{5})(\.\w+)$", re.ASCII)


@dataclass(frozen=True)
class StoredTensor:
    """One tensor of a file.

    Attributes:
        name: its name in the file.
        dtype: its type, as the file's format names it ("BF16", "Q4_K").
        shape: its dimensions, in the order of the file's format.
        size_bytes: the bytes it takes in the file.
        parameters: its number of parameters; 0 if it holds none (scales, tables); None if the header does not show
            the number because several parameters are packed in one value.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    size_bytes: int
    parameters: int | None


@dataclass(frozen=True, kw_only=True)
class StoredTensors:
    """The tensors of a model, from all its files.

    Attributes:
        tensors: every tensor.
        missing_shards: names of the model's files that do not exist.
    """

    tensors: tuple[StoredTensor, ...]
    missing_shards: tuple[str, ...] = ()

    @cached_property
    def bytes_by_dtype(self) -> Mapping[str, int]:
        """Return the exact bytes of the tensors of each type, the largest first."""
        sizes: Counter[str] = Counter()
        for tensor in self.tensors:
            sizes[tensor.dtype] += tensor.size_bytes
        return dict(sizes.most_common())

    @property
    def tensor_count(self) -> int:
        return len(self.tensors)

    @cached_property
    def total_bytes(self) -> int:
        """Return the exact bytes of all tensors, without the files' headers."""
        return sum(tensor.size_bytes for tensor in self.tensors)

    @cached_property
    def parameters(self) -> int | None:
        """Return the number of parameters (None: some are packed)."""
        counts = [tensor.parameters for tensor in self.tensors if tensor.parameters is not None]
        return sum(counts) if len(counts) == len(self.tensors) else None

    @cached_property
    def packed_bytes(self) -> int:
        """Return the bytes of the tensors with packed parameters."""
        return sum(tensor.size_bytes for tensor in self.tensors if tensor.parameters is None)


def shard_names(file_name: str) -> tuple[str, ...]:
    """Return the names of all files of the model that `file_name` belongs to: only itself unless it is numbered.

    "m-00002-of-00003.gguf" belongs to "m-00001-of-00003.gguf", "m-00002-of-00003.gguf" and "m-00003-of-00003.gguf".
    """
    numbered = _SHARD.search(file_name)
    if numbered is None or not 1 <= int(numbered[1]) <= int(numbered[2]):
        return (file_name,)
    stem, count = file_name[: numbered.start()], int(numbered[2])
    return tuple(f"{stem}-{number:05d}-of-{count:05d}{numbered[3]}" for number in range(1, count + 1))


def read_shards(folder: str, names: Sequence[str], read: Callable[[str], Sequence[StoredTensor]]) -> StoredTensors:
    """Return the tensors of the files `names` in `folder`; `read` reads one file.

    Raises:
        UnreadableFileError: two files have the same tensor, or `read` raises it.
    """
    tensors: dict[str, StoredTensor] = {}
    missing = []
    for name in names:
        path = os.path.join(folder, name)
        if not os.path.exists(path):
            missing.append(name)
            continue
        for tensor in read(path):
            if tensor.name in tensors:
                raise UnreadableFileError(
                    path,
                    "one file of a model",
                    f"another file has the tensor {quoted(tensor.name)} too",
                    "Download the model's files again.",
                )
            tensors[tensor.name] = tensor
    return StoredTensors(tensors=tuple(tensors.values()), missing_shards=tuple(missing))
