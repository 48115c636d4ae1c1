"""Safetensors: what the files store, from their headers alone.

The format: eight bytes, the header's length as a little-endian integer; the header, a JSON object of tensor name →
dtype, shape and the place of its bytes; the bytes. Source: huggingface/safetensors, README.md, "Format", and
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
# An index repeats every tensor's name and file; that of DeepSeek-V3, 91 991 tensors, has 9 MB.
LARGEST_INDEX_BYTES = 32 * 2**20

MOST_VALUES = 2**64  # safetensors/src/tensor.rs counts in `usize`, and refuses what overflows it
MOST_DIMENSIONS = 64  # numpy's and torch's limit

# Bits of one element: safetensors/src/tensor.rs, `Dtype::bitsize`.
DTYPE_BITS = {
    "BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32,
    "C64": 64, "F64": 64, "I64": 64, "U64": 64,
}  # fmt: skip

# Types that weights have one parameter a value in. Quantized formats pack 4-bit parameters in U8, I32 and U32.
_ONE_PARAMETER_A_VALUE = frozenset(DTYPE_BITS) - {"U8", "U16", "I16", "I32", "U32"}
# Types that no weight has: flags, indices, and the exponents that scale a block (OCP MX specification 1.0, E8M0).
_NO_PARAMETERS = frozenset({"BOOL", "I64", "U64", "F8_E8M0"})
# Last parts of the names of tensors that go with quantized weights, and of tables that are computed, not learnt.
_BESIDE_WEIGHTS = frozenset(
    {
        # compressed-tensors, quantization/lifecycle/initialize.py, and NVIDIA ModelOpt's names for the same
        "weight_scale", "weight_scale_2", "weight_global_scale", "weight_zero_point", "weight_shape", "weight_g_idx",
        "input_scale", "input_global_scale", "input_zero_point", "output_scale", "q_scale", "k_scale", "v_scale",
        "weight_scale_inv",  # DeepSeek-V3, inference/fp8_cast_bf16.py
        "scales", "qzeros", "g_idx",  # GPTQ and AWQ: vllm model_executor/layers/quantization/gptq.py, awq.py
        "gate_up_proj_scales", "down_proj_scales",  # gpt-oss: transformers integrations/mxfp4.py
        "absmax", "nested_absmax", "quant_map", "nested_quant_map", "SCB", "weight_format",
        "bitsandbytes__nf4", "bitsandbytes__fp4",  # bitsandbytes functional.py, QuantState.as_dict
        "inv_freq",  # the rotary table that checkpoints of the first Llama models carry
    }
)  # fmt: skip

Fail = Callable[[str], NoReturn]


def read_safetensors(path: str) -> StoredTensors:
    """What the safetensors files at `path` store: one file, an index of shards, or a folder with either.

    Shards that an index or a file's own name ("-00001-of-00004") calls for and that are not there are named in
    `missing_shards`.

    Raises:
        UnreadableFileError: no safetensors file there, or one that is damaged.
    """
    if os.path.isdir(path):
        return _read_folder(path)
    folder, name = os.path.split(path)
    if name.endswith(INDEX_SUFFIX):
        return read_shards(folder, shards_of_index(path), _read_file)
    if not os.path.exists(path):
        return StoredTensors(tensors=_read_file(path))  # says what is wrong with it
    return read_shards(folder, shard_names(name), _read_file)


def find_safetensors(folder: str) -> str | None:
    """The safetensors file or index in `folder` that is the model; None if there is none, or more than one model."""
    files = sorted(name for name in os.listdir(folder) if name.endswith(SUFFIXES))
    for name in (INDEX_FILE, SINGLE_FILE):
        if name in files:
            return os.path.join(folder, name)
    candidates = [name for name in files if name.endswith(INDEX_SUFFIX)] or files
    one_model = candidates and set(candidates) <= set(shard_names(candidates[0]))
    return os.path.join(folder, candidates[0]) if one_model else None


def stored_tensors(header: Mapping[str, object], fail: Fail, data_bytes: int | None = None) -> tuple[StoredTensor, ...]:
    """The tensors that `header` describes, each checked against its type, its shape and its neighbours.

    Args:
        header: the JSON object at the beginning of the file.
        fail: called with what is wrong; raises.
        data_bytes: bytes behind the header, which the tensors must fill; None if unknown.
    """
    placed = [
        _placed(name, entry if isinstance(entry, dict) else {}, fail)
        for name, entry in header.items()
        if name != "__metadata__"
    ]
    placed.sort(key=lambda place: place[:2])
    end = 0
    for begin, until, tensor in placed:
        if begin != end:
            what = "overlaps another" if begin < end else "leaves a gap before it"
            fail(f"the tensor {quoted(tensor.name)} {what}")
        if until - begin != tensor.size_bytes:
            fail(f"the tensor {quoted(tensor.name)} has {until - begin} bytes, its shape needs {tensor.size_bytes}")
        end = until
    if data_bytes is not None and end != data_bytes:
        fail(f"its tensors take {end} bytes, it holds {data_bytes}: it is cut short or damaged")
    return tuple(tensor for _, _, tensor in placed)


def _read_file(path: str) -> tuple[StoredTensor, ...]:
    with SourceFile(path, kind="a safetensors file", remedy="Download the file again.") as file:
        return _read_header(file)


def _read_header(file: SourceFile) -> tuple[StoredTensor, ...]:
    start = file.read(min(8, file.size_bytes))
    file.refuse_lfs_pointer(start)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > file.size_bytes - 8:
        file.fail("its header is longer than the file: it is cut short or of another kind")
    if length > LARGEST_HEADER_BYTES:
        file.fail(f"its header of {length} bytes is longer than {LARGEST_HEADER_BYTES}")
    data = file.read(length)
    # Every tensor takes an object, two lists and at least 40 other characters; denser nesting only costs memory.
    if data.count(b"{") + data.count(b"[") > 16 + length // 8:
        file.fail("its header is nested as no safetensors header is")
    return stored_tensors(file.json_object(data), file.fail, file.size_bytes - 8 - length)


def _placed(name: str, entry: Mapping[str, object], fail: Fail) -> tuple[int, int, StoredTensor]:
    """Where the tensor begins and ends behind the header, and what it is."""
    offsets = entry.get("data_offsets")
    if not _is_sizes(offsets) or len(offsets) != 2:
        fail(f"the entry {quoted(name)} does not say where its bytes are")
    return offsets[0], offsets[1], _stored(name, entry, fail)


def _stored(name: str, entry: Mapping[str, object], fail: Fail) -> StoredTensor:
    dtype, shape = entry.get("dtype"), entry.get("shape")
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        fail(f"the tensor {quoted(name)} has the unknown type {quoted(dtype)}")
    if not _is_sizes(shape) or (values := math.prod(shape)) >= MOST_VALUES:
        fail(f"the tensor {quoted(name)} has the shape {quoted(shape)}")
    bits = values * DTYPE_BITS[dtype]
    if bits % 8:
        fail(f"the tensor {quoted(name)} does not fill whole bytes")
    return StoredTensor(name, dtype, tuple(shape), bits // 8, _parameters(name, dtype, values))


def _parameters(name: str, dtype: str, values: int) -> int | None:
    if dtype in _NO_PARAMETERS or name.rpartition(".")[2] in _BESIDE_WEIGHTS:
        return 0
    return values if dtype in _ONE_PARAMETER_A_VALUE else None


def _is_sizes(value: object) -> TypeGuard[list[int]]:
    if not isinstance(value, list) or len(value) > MOST_DIMENSIONS:
        return False
    return all(type(size) is int and 0 <= size < MOST_VALUES for size in value)


def _read_folder(folder: str) -> StoredTensors:
    found = find_safetensors(folder)
    if found is None:
        raise UnreadableFileError(
            folder,
            "a folder of safetensors files",
            f"it has neither {SINGLE_FILE} nor {INDEX_FILE}, nor just one other",
            "Give the path of the file.",
        )
    return read_safetensors(found)


def shards_of_index(path: str) -> list[str]:
    """The names of the files, all beside it, that the index at `path` lists.

    Raises:
        UnreadableFileError: it is no index, or names a file elsewhere.
    """
    kind, remedy = "an index of safetensors files", "Download the index again."
    index = read_json_object(path, kind=kind, remedy=remedy, largest_bytes=LARGEST_INDEX_BYTES)
    shards = index.get("weight_map")
    if not isinstance(shards, dict) or not shards or not all(isinstance(shard, str) for shard in shards.values()):
        raise UnreadableFileError(path, kind, "it has no weight_map of tensor names to file names", remedy)
    names = sorted(set(shards.values()))
    for shard in names:
        if set(shard) & set("/\\\0") or not shard.endswith(".safetensors"):
            raise UnreadableFileError(path, kind, f"{quoted(shard)} is not the name of a file beside it", remedy)
    return names
