"""Read the headers of safetensors files, never the tensors.

The format: eight bytes, the header's length as a little-endian integer; the header, a JSON object of tensor name →
dtype, shape and data offsets; the tensors' bytes. Source: huggingface/safetensors, README.md, "Format", and
safetensors/src/tensor.rs (`Dtype`, `Metadata::validate`).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from typing import NoReturn, TypeGuard

from core.errors import quoted
from core.readers.files import SourceFile, UnreadableFileError, read_json_object
from core.readers.weight_files.stored import StoredTensor, StoredTensors, read_shards, shard_names

SINGLE_FILE = "model.safetensors"
INDEX_SUFFIX = ".safetensors.index.json"
INDEX_FILE = "model" + INDEX_SUFFIX
SUFFIXES = (".safetensors", INDEX_SUFFIX)

# huggingface_hub/constants.py, SAFETENSORS_MAX_HEADER_LENGTH. (The format's own limit is 100 MB.)
LARGEST_HEADER_BYTES = 25_000_000
# An index has the name and the file of every tensor: 9 MB for the 91 991 tensors of DeepSeek-V3.
LARGEST_INDEX_BYTES = 32 * 2**20

MOST_VALUES = 2**64  # safetensors/src/tensor.rs counts in `usize` and refuses an overflow
MOST_DIMENSIONS = 64  # numpy's and torch's limit

# Bits of one element: safetensors/src/tensor.rs, `Dtype::bitsize`.
DTYPE_BITS = {
    "BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32,
    "C64": 64, "F64": 64, "I64": 64, "U64": 64,
}  # fmt: skip

# Types with one parameter per value. Quantized formats pack several parameters into a U8, I32 or U32.
_UNPACKED_TYPES = frozenset(DTYPE_BITS) - {"U8", "U16", "I16", "I32", "U32"}
# Types that never hold parameters: flags, indices, and scales of blocks (OCP MX specification 1.0, E8M0).
_NO_PARAMETER_TYPES = frozenset({"BOOL", "I64", "U64", "F8_E8M0"})
# Last name parts of tensors without parameters: scales and the like of quantized weights, and computed tables.
_NO_PARAMETER_NAMES = frozenset(
    {
        # compressed-tensors, quantization/lifecycle/initialize.py, and the same in NVIDIA ModelOpt
        "weight_scale", "weight_scale_2", "weight_global_scale", "weight_zero_point", "weight_shape", "weight_g_idx",
        "input_scale", "input_global_scale", "input_zero_point", "output_scale", "q_scale", "k_scale", "v_scale",
        "weight_scale_inv",  # DeepSeek-V3, inference/fp8_cast_bf16.py
        "scales", "qzeros", "g_idx",  # GPTQ and AWQ: vllm model_executor/layers/quantization/gptq.py, awq.py
        "gate_up_proj_scales", "down_proj_scales",  # gpt-oss: transformers integrations/mxfp4.py
        "absmax", "nested_absmax", "quant_map", "nested_quant_map", "SCB", "weight_format",
        "bitsandbytes__nf4", "bitsandbytes__fp4",  # bitsandbytes functional.py, QuantState.as_dict
        "inv_freq",  # the rotary table in checkpoints of the first Llama models
    }
)  # fmt: skip

Fail = Callable[[str], NoReturn]


def read_safetensors(path: str) -> StoredTensors:
    """Return the tensors of the safetensors file, the index of shards or the folder at `path`.

    `missing_shards` has the files that the index, or the name of a shard ("-00001-of-00004"), requires but that do not
    exist.

    Raises:
        UnreadableFileError: `path` has no safetensors file, or a file is damaged.
    """
    if os.path.isdir(path):
        return _read_folder(path)
    folder, name = os.path.split(path)
    if name.endswith(INDEX_SUFFIX):
        return read_shards(folder, shards_of_index(path), _read_file)
    if not os.path.exists(path):
        return StoredTensors(tensors=_read_file(path))  # raises the error
    return read_shards(folder, shard_names(name), _read_file)


def find_safetensors(folder: str) -> str | None:
    """Return the path of the safetensors file or index in `folder` (None: it has none, or more than one model)."""
    files = sorted(name for name in os.listdir(folder) if name.endswith(SUFFIXES))
    for name in (INDEX_FILE, SINGLE_FILE):
        if name in files:
            return os.path.join(folder, name)
    candidates = [name for name in files if name.endswith(INDEX_SUFFIX)] or files
    one_model = candidates and set(candidates) <= set(shard_names(candidates[0]))
    return os.path.join(folder, candidates[0]) if one_model else None


def stored_tensors(header: Mapping[str, object], fail: Fail, data_bytes: int | None = None) -> tuple[StoredTensor, ...]:
    """Return the tensors that `header` describes, after checking their types, shapes and offsets.

    Args:
        header: the JSON object at the beginning of the file.
        fail: raises an error, given the problem as text.
        data_bytes: bytes after the header, which the tensors must fill exactly; None if unknown.
    """
    placed = [
        _placed_tensor(name, entry if isinstance(entry, dict) else {}, fail)
        for name, entry in header.items()
        if name != "__metadata__"
    ]
    placed.sort(key=lambda item: item[:2])
    position = 0
    for begin, end, tensor in placed:
        if begin != position:
            problem = "overlaps another tensor" if begin < position else "has a gap before it"
            fail(f"the tensor {quoted(tensor.name)} {problem}")
        if end - begin != tensor.size_bytes:
            fail(f"the tensor {quoted(tensor.name)} has {end - begin} bytes, but its shape needs {tensor.size_bytes}")
        position = end
    if data_bytes is not None and position != data_bytes:
        fail(f"its tensors need {position} bytes, but it has {data_bytes}: it is cut short or damaged")
    return tuple(tensor for _, _, tensor in placed)


def _read_file(path: str) -> tuple[StoredTensor, ...]:
    with SourceFile(path, kind="a safetensors file", remedy="Download the file again.") as file:
        return _read_header(file)


def _read_header(file: SourceFile) -> tuple[StoredTensor, ...]:
    start = file.read(min(8, file.size_bytes))
    file.refuse_lfs_pointer(start)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > file.size_bytes - 8:
        file.fail("its header is longer than the file: it is cut short or not a safetensors file")
    if length > LARGEST_HEADER_BYTES:
        file.fail(f"its header of {length} bytes is longer than {LARGEST_HEADER_BYTES}")
    data = file.read(length)
    # A tensor has one object, two lists and at least 40 other characters; denser nesting would only cost memory.
    if data.count(b"{") + data.count(b"[") > 16 + length // 8:
        file.fail("its header has more nested objects and lists than a safetensors header can have")
    return stored_tensors(file.json_object(data), file.fail, file.size_bytes - 8 - length)


def _placed_tensor(name: str, entry: Mapping[str, object], fail: Fail) -> tuple[int, int, StoredTensor]:
    """Return where the tensor begins and ends, in bytes after the header, and the tensor."""
    offsets = entry.get("data_offsets")
    if not _is_list_of_sizes(offsets) or len(offsets) != 2:
        fail(f"the entry {quoted(name)} does not say where its bytes are")
    return offsets[0], offsets[1], _stored_tensor(name, entry, fail)


def _stored_tensor(name: str, entry: Mapping[str, object], fail: Fail) -> StoredTensor:
    dtype, shape = entry.get("dtype"), entry.get("shape")
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        fail(f"the tensor {quoted(name)} has the unknown type {quoted(dtype)}")
    if not _is_list_of_sizes(shape) or (values := math.prod(shape)) >= MOST_VALUES:
        fail(f"the tensor {quoted(name)} has the impossible shape {quoted(shape)}")
    bits = values * DTYPE_BITS[dtype]
    if bits % 8:
        fail(f"the tensor {quoted(name)} does not fill whole bytes")
    return StoredTensor(name, dtype, tuple(shape), bits // 8, _parameters(name, dtype, values))


def _parameters(name: str, dtype: str, values: int) -> int | None:
    if dtype in _NO_PARAMETER_TYPES or name.rpartition(".")[2] in _NO_PARAMETER_NAMES:
        return 0
    return values if dtype in _UNPACKED_TYPES else None


def _is_list_of_sizes(value: object) -> TypeGuard[list[int]]:
    if not isinstance(value, list) or len(value) > MOST_DIMENSIONS:
        return False
    return all(type(size) is int and 0 <= size < MOST_VALUES for size in value)


def _read_folder(folder: str) -> StoredTensors:
    found = find_safetensors(folder)
    if found is None:
        raise UnreadableFileError(
            folder,
            "a folder of safetensors files",
            f"it has neither {SINGLE_FILE} nor {INDEX_FILE}, nor exactly one other model",
            "Give the path of the file.",
        )
    return read_safetensors(found)


def shards_of_index(path: str) -> list[str]:
    """Return the names of the files that the index at `path` lists; they must be in the same folder.

    Raises:
        UnreadableFileError: it is not an index, or lists a file in another folder.
    """
    kind, remedy = "an index of safetensors files", "Download the index again."
    index = read_json_object(path, kind=kind, remedy=remedy, largest_bytes=LARGEST_INDEX_BYTES)
    shards = index.get("weight_map")
    if not isinstance(shards, dict) or not shards or not all(isinstance(shard, str) for shard in shards.values()):
        raise UnreadableFileError(path, kind, "it has no weight_map of tensor names to file names", remedy)
    names = sorted(set(shards.values()))
    for shard in names:
        if set(shard) & set("/\\\0") or not shard.endswith(".safetensors"):
            raise UnreadableFileError(path, kind, f"{quoted(shard)} is not the name of a file in its folder", remedy)
    return names
