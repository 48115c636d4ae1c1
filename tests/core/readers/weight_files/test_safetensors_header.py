"""Test reading safetensors headers: compare with the reference library, and refuse damaged files."""

from __future__ import annotations

import json
import os
import re

import numpy as np
import pytest
import safetensors
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save, save_file

from core.errors import PlannerError
from core.readers.files import UnreadableFileError
from core.readers.weight_files.safetensors_header import DTYPE_BITS, LARGEST_HEADER_BYTES, read_safetensors
from tests.core.readers.damage import damaged


def file_of(header: object, data: bytes = b"") -> bytes:
    """Return a file with `header`, valid or not."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(dtype: str, shape: list[int], begin: int, end: int) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.fixture
def written(tmp_path):
    """A function that writes a file and returns its path."""

    def write(content: bytes, name: str = "model.safetensors") -> str:
        (tmp_path / name).write_bytes(content)
        return str(tmp_path / name)

    return write


# ---- compared with the reference library --------------------------------------------------------------------

ARRAYS = st.dictionaries(
    st.text(st.characters(codec="utf-8"), max_size=20).filter(lambda name: name != "__metadata__"),
    st.builds(
        np.zeros,
        st.lists(st.integers(0, 5), max_size=4),
        st.sampled_from([np.float64, np.float32, np.float16, np.int64, np.int32, np.int8, np.uint8, np.bool_]),
    ),
    max_size=6,
)


@given(ARRAYS)
def test_files_of_the_reference_library_are_read_correctly(tmp_path_factory, arrays):
    path = tmp_path_factory.mktemp("files") / "model.safetensors"
    save_file(arrays, path)
    stored = read_safetensors(str(path))
    assert {(t.name, t.shape, t.size_bytes) for t in stored.tensors} == {
        (name, array.shape, array.nbytes) for name, array in arrays.items()
    }
    assert stored.total_bytes == sum(array.nbytes for array in arrays.values())
    assert sum(stored.bytes_by_dtype.values()) == stored.total_bytes


def test_the_types_are_those_of_the_reference_library():
    with pytest.raises(safetensors.SafetensorError) as error:
        safetensors.deserialize(file_of({"a": entry("unknown type", [1], 0, 1)}, b"x"))
    assert set(re.findall(r"`(\w+)`", str(error.value))) - {"unknown"} >= set(DTYPE_BITS)
    assert set(DTYPE_BITS) >= set(re.findall(r"`(\w+)`", str(error.value).split("expected one of")[1]))


@pytest.mark.parametrize("dtype", DTYPE_BITS)
def test_eight_values_of_each_type_take_as_many_bytes_as_in_the_reference_library(dtype, written):
    bits = DTYPE_BITS[dtype]
    right = file_of({"a": entry(dtype, [8], 0, bits)}, bytes(bits))
    [(_, tensor)] = safetensors.deserialize(right)
    assert len(tensor["data"]) == bits == read_safetensors(written(right)).total_bytes
    wrong = file_of({"a": entry(dtype, [8], 0, bits + 1)}, bytes(bits + 1))
    with pytest.raises(safetensors.SafetensorError):
        safetensors.deserialize(wrong)
    with pytest.raises(UnreadableFileError):
        read_safetensors(written(wrong))


WHOLE = save({"model.a": np.zeros((3, 5), np.float32), "model.b": np.zeros(4, np.int8)}, {"format": "pt"})


@settings(max_examples=400, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damaged(WHOLE))
def test_damaged_files_are_refused_with_a_sentence_or_read_like_the_reference_library(written, content):
    try:
        stored = read_safetensors(written(content))
    except PlannerError as error:
        assert str(error).endswith(".") and "\n" not in str(error)
        return
    try:
        reference = safetensors.deserialize(content)
    except safetensors.SafetensorError:
        assume(False)  # Python's JSON accepts what serde's refuses, such as half a surrogate pair
    assert {(t.name, t.size_bytes) for t in stored.tensors} == {(name, len(t["data"])) for name, t in reference}


# ---- damaged files -------------------------------------------------------------------------------------

TWO = {"a": entry("U8", [2], 0, 2), "b": entry("U8", [2], 2, 4)}
BAD_FILES = {
    "empty": (b"", "longer than the file"),
    "a few bytes": (b"\x08\0\0", "longer than the file"),
    "no header": (bytes(8), "not JSON"),
    "length of 2^63": ((2**63).to_bytes(8, "little") + b"{}", "longer than the file"),
    "length of 2^64 - 1": ((2**64 - 1).to_bytes(8, "little") + b"{}", "longer than the file"),
    "cut in the header": (file_of(TWO, bytes(4))[:40], "longer than the file"),
    "cut in the tensors": (file_of(TWO, bytes(3)), "cut short"),
    "more than its tensors": (file_of(TWO, bytes(5)), "cut short or damaged"),
    "a list": (file_of([]), "not a JSON object"),
    "no UTF-8": (file_of(b'{"\xff":1}'), "not UTF-8"),
    "no JSON": (file_of(b"{" + b" " * 99), "not JSON"),
    "nested too deeply": (file_of(b'{"a":' + b"[" * 200_000), "more nested objects and lists than a safetensors header can have"),
    "nested deeply in text": (file_of(b'{"a":' + b"[" * 100_000 + b" " * 1_000_000), "nested too deeply"),
    "a name twice": (
        file_of(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{}}', b"x"),
        "it has the field 'a' twice",
    ),
    "overlap": (file_of(TWO | {"b": entry("U8", [2], 1, 3)}, bytes(4)), "overlaps another"),
    "the same place": (file_of(TWO | {"b": entry("U8", [2], 0, 2)}, bytes(4)), "overlaps another"),
    "a gap": (file_of(TWO | {"b": entry("U8", [2], 3, 5)}, bytes(5)), "has a gap"),
    "backwards": (file_of({"a": entry("U8", [2], 2, 0)}, bytes(2)), "has a gap"),
    "beyond the end": (file_of({"a": entry("U8", [2**40], 0, 2**40)}, bytes(2)), "cut short"),
    "bytes that do not fit the shape": (file_of({"a": entry("F32", [2], 0, 2)}, bytes(2)), "its shape needs 8"),
    "unknown type": (file_of({"a": entry("Q4", [2], 0, 2)}, bytes(2)), "unknown type 'Q4'"),
    "type of another kind": (file_of({"a": entry(["F32"], [2], 0, 8)}, bytes(8)), "unknown type"),
    "half a byte": (file_of({"a": entry("F4", [3], 0, 2)}, bytes(2)), "does not fill whole bytes"),
    "negative shape": (file_of({"a": entry("U8", [-2], 0, 2)}, bytes(2)), "has the impossible shape [-2]"),
    "fractional shape": (file_of({"a": entry("U8", [2.0], 0, 2)}, bytes(2)), "has the impossible shape [2.0]"),
    "true as a size": (file_of({"a": entry("U8", [True], 0, 1)}, bytes(1)), "has the impossible shape [True]"),
    "shape that overflows": (file_of({"a": entry("U8", [2**63] * 60, 0, 2)}, bytes(2)), "has the impossible shape"),
    "shape of huge numbers": (file_of({"a": entry("U8", [10**4000], 0, 2)}, bytes(2)), "has the impossible shape"),
    "a number of 10 000 digits": (file_of(b'{"a":' + b"9" * 10_000 + b"}"), "cannot be read"),
    "infinity": (
        file_of(b'{"a":{"dtype":"U8","shape":[Infinity],"data_offsets":[0,1]}}', b"x"),
        "has the impossible shape [inf]",
    ),
    "no offsets": (file_of({"a": {"dtype": "U8", "shape": [2]}}, bytes(2)), "does not say where its bytes are"),
    "three offsets": (
        file_of({"a": {"dtype": "U8", "shape": [2], "data_offsets": [0, 1, 2]}}, bytes(2)),
        "where its bytes are",
    ),
    "an entry that is not an object": (file_of({"a": 1}), "does not say where its bytes are"),
    "a Git LFS pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "git lfs pull"),
    "a very long name": (file_of({"x" * 10_000: 1}), "does not say where its bytes are"),
}  # fmt: skip


@pytest.mark.parametrize("content, problem", BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_refused_with_a_short_sentence_that_names_it(content, problem, written):
    path = written(content)
    with pytest.raises(UnreadableFileError) as error:
        read_safetensors(path)
    assert problem in str(error.value) and path in str(error.value)
    assert len(str(error.value)) < len(path) + 300


def test_a_header_beyond_the_limit_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "model.safetensors"
    with open(path, "wb") as file:
        file.write((LARGEST_HEADER_BYTES + 1).to_bytes(8, "little"))
        file.truncate(10 * LARGEST_HEADER_BYTES)  # sparse: takes no disk space
    with pytest.raises(UnreadableFileError, match="is longer than 25000000"):
        read_safetensors(str(path))


def test_only_the_header_is_read(tmp_path):
    size = 2**36  # 64 GiB, sparse: too large to be read by mistake
    path = tmp_path / "model.safetensors"
    with open(path, "wb") as file:
        header = file_of({"a": entry("BF16", [size // 2], 0, size)})
        file.write(header)
        file.truncate(len(header) + size)
    stored = read_safetensors(str(path))
    assert (stored.total_bytes, stored.parameters) == (size, size // 2)


@pytest.mark.parametrize("name", ["missing.safetensors", "nul\0.safetensors"])
def test_the_error_names_a_missing_file(tmp_path, name):
    with pytest.raises(UnreadableFileError, match="No such file|this is not a valid file name"):
        read_safetensors(str(tmp_path / name))


def test_a_pipe_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "model.safetensors")
    with pytest.raises(UnreadableFileError, match="not a regular file"):
        read_safetensors(str(tmp_path / "model.safetensors"))


# ---- parameters ---------------------------------------------------------------------------------------

# Tensors (name, dtype, shape), parameters, bytes of packed tensors. The sources are in safetensors_header.py.
LAYOUTS = {
    "plain": ([("w", "BF16", [4, 6]), ("norm", "F32", [4])], 28, 0),
    "the rotary table of old Llama checkpoints": ([("w", "F16", [4]), ("rotary_emb.inv_freq", "F32", [8])], 4, 0),
    "DeepSeek FP8": ([("w.weight", "F8_E4M3", [128, 128]), ("w.weight_scale_inv", "F32", [1, 1])], 16384, 0),
    "compressed-tensors INT8": ([("w.weight", "I8", [4, 4]), ("w.weight_scale", "BF16", [4, 1])], 16, 0),
    "GPTQ": ([("w.qweight", "I32", [8, 64]), ("w.scales", "F16", [1, 64]), ("w.g_idx", "I32", [64])], None, 2048),
    "gpt-oss MXFP4": (
        [("mlp.experts.down_proj_blocks", "U8", [2, 8, 1, 16]), ("mlp.experts.down_proj_scales", "U8", [2, 8, 1])],
        None,
        256,
    ),
    "bitsandbytes NF4": (
        [
            ("w.weight", "U8", [32, 1]), ("w.weight.absmax", "F32", [1]),
            ("w.weight.quant_state.bitsandbytes__nf4", "U8", [80]),
        ],
        None,
        32,
    ),
}  # fmt: skip


@pytest.mark.parametrize("tensors, parameters, packed_bytes", LAYOUTS.values(), ids=LAYOUTS)
def test_packed_values_are_not_counted_as_parameters(tensors, parameters, packed_bytes, written):
    header, end = {}, 0
    for name, dtype, shape in tensors:
        size = int(np.prod(shape)) * DTYPE_BITS[dtype] // 8
        header[name] = entry(dtype, shape, end, end + size)
        end += size
    stored = read_safetensors(written(file_of(header, bytes(end))))
    assert (stored.parameters, stored.packed_bytes, stored.total_bytes) == (parameters, packed_bytes, end)


# ---- shards --------------------------------------------------------------------------------------------

SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]


@pytest.fixture
def sharded(tmp_path):
    save_file({"a": np.zeros(4, np.float16)}, tmp_path / SHARDS[0])
    save_file({"b": np.zeros(3, np.float32)}, tmp_path / SHARDS[1])
    index = {"metadata": {"total_size": 20}, "weight_map": {"a": SHARDS[0], "b": SHARDS[1]}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    return tmp_path


@pytest.mark.parametrize("given_path", ["", "model.safetensors.index.json", *SHARDS])
def test_all_shards_are_read_from_any_path(sharded, given_path):
    stored = read_safetensors(str(sharded / given_path))
    assert (stored.total_bytes, stored.tensor_count, stored.missing_shards) == (20, 2, ())


def test_shards_are_found_without_an_index(sharded):
    (sharded / "model.safetensors.index.json").unlink()
    assert read_safetensors(str(sharded)).total_bytes == 20


@pytest.mark.parametrize("given_path", ["", "model.safetensors.index.json", SHARDS[0]])
def test_missing_shards_are_named(sharded, given_path):
    (sharded / SHARDS[1]).unlink()
    stored = read_safetensors(str(sharded / given_path))
    assert (stored.total_bytes, stored.missing_shards) == (8, (SHARDS[1],))


def test_a_tensor_in_two_shards_is_refused(sharded):
    save_file({"a": np.zeros(4, np.float16)}, sharded / SHARDS[1])
    with pytest.raises(UnreadableFileError, match="another file has the tensor 'a' too"):
        read_safetensors(str(sharded))


OUTSIDE = ["../secret.safetensors", "/etc/x.safetensors", "a\\b.safetensors", "x\0.safetensors", "passwd"]


@pytest.mark.parametrize("shard", OUTSIDE)
def test_an_index_cannot_refer_to_another_folder(sharded, shard):
    (sharded / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": shard}}))
    with pytest.raises(UnreadableFileError, match="is not the name of a file in its folder"):
        read_safetensors(str(sharded))


@pytest.mark.parametrize("index", [{}, {"weight_map": []}, {"weight_map": {}}, {"weight_map": {"a": 1}}])
def test_an_index_without_a_map_is_refused(sharded, index):
    (sharded / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UnreadableFileError, match="has no weight_map"):
        read_safetensors(str(sharded))


def test_a_folder_with_two_models_is_refused(sharded):
    (sharded / "model.safetensors.index.json").unlink()
    save_file({"c": np.zeros(1, np.float16)}, sharded / "other.safetensors")
    with pytest.raises(UnreadableFileError, match="nor exactly one other model"):
        read_safetensors(str(sharded))
