"""Read the headers of a GGUF model, in one file or split over several: metadata and list of tensors.

The format: magic, version, number of tensors, number of metadata entries, the entries (key, type, value), the tensors
(name, dimensions, type, offset), padding, the tensors' bytes. Source: ggml-org/ggml, docs/gguf.md. Files refused
here are refused by ggml/src/gguf.cpp (`gguf_init_from_reader`) too.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from core.errors import quoted
from core.readers.files import SourceFile, UnreadableFileError
from core.readers.weight_files.ggml_types import GGML_TYPES
from core.readers.weight_files.stored import StoredTensor, StoredTensors, read_shards, shard_names

KIND, REMEDY = "a GGUF file", "Download the file again."
MAGIC = b"GGUF"
VERSIONS = (2, 3)
DEFAULT_ALIGNMENT = 32  # docs/gguf.md, `general.alignment`
MOST_DIMENSIONS = 4  # ggml/include/ggml.h, GGML_MAX_DIMS
MOST_VALUES = 2**63 - 1  # ggml/src/gguf.cpp: the number of elements must fit in int64_t
LARGEST_NAME_BYTES = 2**16 - 1  # docs/gguf.md: keys have at most 65535 bytes

# Guards, far above those of published models: a header of 30 MB (mostly vocabulary), 100 entries, 2000 tensors.
LARGEST_HEADER_BYTES = 128 * 2**20
MOST_ENTRIES = 4096
MOST_TENSORS = 100_000
# Longer values (vocabularies, chat templates) are skipped; only the length of an array is returned.
LONGEST_ARRAY_KEPT = 1024
LONGEST_TEXT_KEPT_BYTES = 1024

_CHUNK_BYTES = 2**18

# docs/gguf.md, `gguf_metadata_value_type`: number → struct format.
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9

# Tables that the converter computes; they are not parameters of the model (llama.cpp, convert_hf_to_gguf.py).
_TABLES = ("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight")


@dataclass(frozen=True)
class LongArray:
    """A metadata array that was skipped because of its length."""

    length: int


@dataclass(frozen=True, kw_only=True)
class Gguf:
    """A model in GGUF format.

    Attributes:
        metadata: the entries of the first file, without long texts, and with `LongArray` for long arrays.
        stored: the tensors of all files; the first dimension of a shape varies fastest.
    """

    metadata: Mapping[str, object]
    stored: StoredTensors


def read_gguf(path: str) -> Gguf:
    """Return the GGUF model at `path`, from all its files if it is split ("-00001-of-00003.gguf").

    Raises:
        UnreadableFileError: a file is missing, damaged, or of an unsupported version.
    """
    folder, name = os.path.split(path)
    names = shard_names(name)
    first = _read_file(path) if names[0] == name else _read_file(os.path.join(folder, names[0]))
    _check_split(os.path.join(folder, names[0]), first, 0, len(names))

    def tensors_of(shard: str) -> tuple[StoredTensor, ...]:
        part = _read_file(shard)
        _check_split(shard, part, names.index(os.path.basename(shard)), len(names))
        return part.stored.tensors

    rest = read_shards(folder, names[1:], tensors_of)
    stored = StoredTensors(tensors=first.stored.tensors + rest.tensors, missing_shards=rest.missing_shards)
    return Gguf(metadata=first.metadata, stored=stored)


def _check_split(path: str, part: Gguf, number: int, count: int) -> None:
    stated = part.metadata.get("split.no", 0), part.metadata.get("split.count", 0) or 1
    if stated != (number, count):
        raise UnreadableFileError(
            path,
            KIND,
            f"its name means file {number + 1} of {count}, its header {quoted(stated[0])} + 1 of {quoted(stated[1])}",
            "Restore the name that the file was published with, and put all files in one folder.",
        )


def _read_file(path: str) -> Gguf:
    with SourceFile(path, kind=KIND, remedy=REMEDY) as file:
        return _Header(file).read()


class _Header:
    """A reader of one file's header, with its own buffer since it must skip vocabularies of 10⁵ strings quickly."""

    def __init__(self, file: SourceFile) -> None:
        self._file = file
        self._buffer, self._at, self._buffer_end = b"", 0, 0
        self._order = "<"

    def read(self) -> Gguf:
        tensor_count, entry_count = self._counts()
        metadata: dict[str, object] = {}
        for _ in range(entry_count):
            key = self._text(LARGEST_NAME_BYTES)
            if key in metadata:
                self._file.fail(f"it has the metadata key {quoted(key)} twice")
            metadata[key] = self._value(key)
        tensors = [self._tensor() for _ in range(tensor_count)]
        self._check_offsets(tensors, _alignment(self._file, metadata))
        stored = StoredTensors(tensors=tuple(tensor for _, tensor in tensors))
        return Gguf(metadata={key: value for key, value in metadata.items() if value is not None}, stored=stored)

    def _counts(self) -> tuple[int, int]:
        start = self._take(min(8, self._file.size_bytes))
        self._file.refuse_lfs_pointer(start)
        if start[:4] != MAGIC:
            self._file.fail("it does not begin with the letters GGUF")
        if len(start) < 8:
            self._file.fail("it is cut short")
        version = int.from_bytes(start[4:], "little")
        if version & 0xFFFF == 0:  # the other byte order: docs/gguf.md, "big-endian"
            self._order, version = ">", int.from_bytes(start[4:], "big")
        if version not in VERSIONS:
            self._file.fail(f"it has version {version}, not {' or '.join(map(str, VERSIONS))}")
        tensor_count, entry_count = self._unpack("Q"), self._unpack("Q")
        if tensor_count > MOST_TENSORS:
            self._file.fail(f"its header states {tensor_count} tensors, more than {MOST_TENSORS}")
        if entry_count > MOST_ENTRIES:
            self._file.fail(f"its header states {entry_count} metadata entries, more than {MOST_ENTRIES}")
        return tensor_count, entry_count

    def _value(self, key: str) -> object:
        kind = self._unpack("I")
        if kind == _STRING:
            return self._text_or_skip()
        if kind == _ARRAY:
            return self._array(key, self._unpack("I"), self._unpack("Q"))
        return self._unpack(self._scalar(key, kind))

    def _array(self, key: str, kind: int, length: int) -> object:
        if kind == _STRING:
            self._skip_strings(length)
            return LongArray(length)
        letter = self._scalar(key, kind)
        if length > LONGEST_ARRAY_KEPT:
            self._skip(length * struct.calcsize("=" + letter))
            return LongArray(length)
        return list(struct.unpack(f"{self._order}{length}{letter}", self._take(length * struct.calcsize("=" + letter))))

    def _scalar(self, key: str, kind: int) -> str:
        if kind not in _SCALARS:
            self._file.fail(f"the metadata entry {quoted(key)} has the unknown type {kind}")
        return _SCALARS[kind]

    def _tensor(self) -> tuple[int, StoredTensor]:
        name = self._text(LARGEST_NAME_BYTES)
        dimensions = self._unpack("I")
        if dimensions > MOST_DIMENSIONS:
            self._file.fail(f"the tensor {quoted(name)} has {dimensions} dimensions")
        shape = tuple(self._unpack("Q") for _ in range(dimensions))
        kind, offset = self._unpack("I"), self._unpack("Q")
        if kind not in GGML_TYPES:
            self._file.fail(f"the tensor {quoted(name)} has the unknown type {kind}")
        ggml_type, values = GGML_TYPES[kind], math.prod(shape)
        if values > MOST_VALUES or (shape[0] if shape else 1) % ggml_type.block_values:
            self._file.fail(f"the tensor {quoted(name)} of type {ggml_type.name} cannot have the shape {quoted(shape)}")
        size_bytes = values // ggml_type.block_values * ggml_type.block_bytes
        parameters = 0 if name in _TABLES else values
        return offset, StoredTensor(name, ggml_type.name, shape, size_bytes, parameters)

    def _check_offsets(self, tensors: list[tuple[int, StoredTensor]], alignment: int) -> None:
        names: set[str] = set()
        data_start = -(-self._position // alignment) * alignment
        end = 0
        for offset, tensor in sorted(tensors, key=lambda item: (item[0], item[1].size_bytes)):
            if tensor.name in names:
                self._file.fail(f"it has the tensor {quoted(tensor.name)} twice")
            names.add(tensor.name)
            if offset < end:
                self._file.fail(f"the tensor {quoted(tensor.name)} overlaps another tensor")
            if offset % alignment:
                self._file.fail(f"the tensor {quoted(tensor.name)} does not begin at a multiple of {alignment} bytes")
            end = offset + tensor.size_bytes
        if tensors and data_start + end > self._file.size_bytes:
            size = self._file.size_bytes
            self._file.fail(f"its tensors end at byte {data_start + end}, but it has {size} bytes: it is cut short")

    @property
    def _position(self) -> int:
        return self._buffer_end - len(self._buffer) + self._at

    def _unpack(self, letter: str) -> int:
        layout = self._order + letter
        value: int
        (value,) = struct.unpack(layout, self._take(struct.calcsize(layout)))
        return value

    def _text(self, most_bytes: int) -> str:
        length = self._unpack("Q")
        if length > most_bytes:
            self._file.fail(f"a name in it has {length} bytes, more than {most_bytes}")
        return self._decoded(self._take(length))

    def _text_or_skip(self) -> str | None:
        length = self._unpack("Q")
        if length > LONGEST_TEXT_KEPT_BYTES:
            self._skip(length)
            return None
        return self._decoded(self._take(length))

    def _decoded(self, data: bytes) -> str:
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            self._file.fail("a text in it is not UTF-8")

    def _skip_strings(self, count: int) -> None:
        if count * 8 > self._file.size_bytes - self._position:
            self._file.fail(f"its header states a list of {count} texts: it is cut short or damaged")
        length_at = struct.Struct(self._order + "Q").unpack_from
        for _ in range(count):
            if len(self._buffer) - self._at < 8:
                self._fill(8)
            length = length_at(self._buffer, self._at)[0]
            self._at += 8
            if length <= len(self._buffer) - self._at:
                self._at += length
            else:
                self._skip(length)

    def _take(self, count: int) -> bytes:
        if len(self._buffer) - self._at < count:
            self._fill(count)
        self._at += count
        return self._buffer[self._at - count : self._at]

    def _skip(self, count: int) -> None:
        buffered = len(self._buffer) - self._at
        if count <= buffered:
            self._at += count
            return
        self._check_room(count)
        self._buffer_end += count - buffered
        self._buffer, self._at = b"", 0
        self._file.seek(self._buffer_end)

    def _fill(self, needed: int) -> None:
        """Read until the buffer has at least `needed` bytes after the current position."""
        self._check_room(needed)
        more = min(max(needed, _CHUNK_BYTES) - len(self._buffer) + self._at, self._file.size_bytes - self._buffer_end)
        self._buffer, self._at = self._buffer[self._at :] + self._file.read(more), 0
        self._buffer_end += more

    def _check_room(self, count: int) -> None:
        if self._position + count > self._file.size_bytes:
            self._file.fail("it is cut short")
        if self._position + count > LARGEST_HEADER_BYTES:
            self._file.fail(f"its header is longer than {LARGEST_HEADER_BYTES // 2**20} MiB")


def _alignment(file: SourceFile, metadata: Mapping[str, object]) -> int:
    alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    if type(alignment) is not int or alignment <= 0 or alignment & (alignment - 1):
        file.fail(f"its alignment {quoted(alignment)} is not a power of two")
    return alignment
