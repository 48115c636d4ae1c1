"""Test reading GGUF headers: compare with the reference library, and refuse damaged files."""

from __future__ import annotations

import pytest
from gguf import GGML_QUANT_SIZES, GGUFReader
from hypothesis import given, settings

from core.errors import PlannerError
from core.readers.files import UnreadableFileError
from core.readers.weight_files.ggml_types import GGML_TYPES
from core.readers.weight_files.gguf_header import LARGEST_HEADER_BYTES, LongArray, read_gguf
from tests.core.readers import gguf_files as files
from tests.core.readers.damage import damaged

# gguf-py has the block_q8_1 of before 2024, 4 + 4 + 32 bytes; in ggml-common.h it is 2 + 2 + 32 = 36.
STALE_IN_REFERENCE = {"Q8_1": (32, 36)}


def test_the_types_are_those_of_the_reference_library():
    reference = {
        kind.value: (kind.name, *STALE_IN_REFERENCE.get(kind.name, sizes)) for kind, sizes in GGML_QUANT_SIZES.items()
    }
    assert {n: (t.name, t.block_values, t.block_bytes) for n, t in GGML_TYPES.items()} == reference


COMPARED = [kind for kind in GGML_QUANT_SIZES if kind.name not in STALE_IN_REFERENCE]


@pytest.mark.parametrize("matrix_type", COMPARED, ids=lambda kind: kind.name)
def test_tensors_of_each_type_take_as_many_bytes_as_in_the_reference_library(matrix_type, tmp_path):
    path = tmp_path / "m.gguf"
    files.write(path, matrix_type=matrix_type)
    stored = read_gguf(str(path)).stored
    reference = GGUFReader(path).tensors
    assert {(t.name, t.dtype, t.shape, t.size_bytes) for t in stored.tensors} == {
        (t.name, t.tensor_type.name, tuple(t.shape.tolist()), t.n_bytes) for t in reference
    }
    assert stored.total_bytes == sum(t.n_bytes for t in reference)
    assert stored.parameters == files.LLAMA_PARAMETERS


@pytest.mark.parametrize("big_endian", [False, True])
def test_metadata_is_read_in_either_byte_order(tmp_path, big_endian):
    files.write(tmp_path / "m.gguf", big_endian=big_endian, fields=files.LLAMA | {"attention.head_count_kv": [2, 2]})
    gguf = read_gguf(str(tmp_path / "m.gguf"))
    assert gguf.metadata["general.architecture"] == "llama"
    assert gguf.metadata["llama.embedding_length"] == 256
    assert gguf.metadata["llama.attention.head_count_kv"] == [2, 2]
    assert gguf.metadata["tokenizer.ggml.tokens"] == LongArray(320)
    assert "tokenizer.chat_template" not in gguf.metadata
    assert gguf.stored.parameters == files.LLAMA_PARAMETERS


def test_a_vocabulary_longer_than_the_buffer_is_skipped(tmp_path):
    files.write(tmp_path / "m.gguf", tokens=60_000)
    gguf = read_gguf(str(tmp_path / "m.gguf"))
    assert gguf.metadata["tokenizer.ggml.tokens"] == LongArray(60_000)
    assert gguf.stored.parameters == files.LLAMA_PARAMETERS


def test_version_2_is_read(tmp_path):
    path = tmp_path / "m.gguf"
    files.write(path)
    content = bytearray(path.read_bytes())
    content[4] = 2  # the two versions differ only in the allowed byte orders: docs/gguf.md, "Version history"
    path.write_bytes(content)
    assert read_gguf(str(path)).stored.parameters == files.LLAMA_PARAMETERS


def test_only_the_header_is_read(tmp_path):
    size = 2**36  # 64 GiB, sparse: too large to be read by mistake
    path = tmp_path / "m.gguf"
    header = files.raw(tensors=[files.tensor(b"a", (2**17, 2**17), kind=0)])
    path.write_bytes(header)
    with open(path, "ab") as file:
        file.truncate(len(header) + size)
    assert read_gguf(str(path)).stored.total_bytes == size


# ---- split models --------------------------------------------------------------------------------------


@pytest.fixture
def split(tmp_path):
    files.write(tmp_path / "m.gguf", tensors_a_file=10)
    paths = sorted(tmp_path.glob("m-*.gguf"))
    assert [path.name for path in paths] == [f"m-0000{n}-of-00003.gguf" for n in (1, 2, 3)]
    return paths


@pytest.mark.parametrize("given_file", [0, 1, 2])
def test_all_files_of_a_split_model_are_read_from_any_of_them(split, given_file):
    gguf = read_gguf(str(split[given_file]))
    assert gguf.stored.parameters == files.LLAMA_PARAMETERS
    assert gguf.stored.tensor_count == len(files.LLAMA_TENSORS)
    assert gguf.metadata["llama.block_count"] == 2
    assert gguf.stored.missing_shards == ()


def test_missing_files_of_a_split_model_are_named(split):
    split[1].unlink()
    assert read_gguf(str(split[2])).stored.missing_shards == (split[1].name,)


def test_a_split_model_without_its_first_file_is_refused(split):
    split[0].unlink()
    with pytest.raises(UnreadableFileError, match="m-00001-of-00003.gguf: .* No such file"):
        read_gguf(str(split[1]))


def test_a_file_with_the_name_of_another_is_refused(split):
    split[2].write_bytes(split[1].read_bytes())
    with pytest.raises(UnreadableFileError, match=r"its name means file 3 of 3, its header 1 \+ 1 of 3"):
        read_gguf(str(split[0]))


def test_a_renamed_part_of_a_split_model_is_refused(split):
    renamed = split[0].rename(split[0].with_name("model.gguf"))
    with pytest.raises(UnreadableFileError, match="its name means file 1 of 1"):
        read_gguf(str(renamed))


# ---- damaged files -------------------------------------------------------------------------------------

A, B = files.tensor(b"a", (8,)), files.tensor(b"b", (8,), offset=32)
HUGE = 2**64 - 1
BAD_FILES = {
    "empty": (b"", "does not begin with the letters GGUF"),
    "three letters": (b"GGU", "does not begin with the letters GGUF"),
    "four letters": (b"GGUF", "cut short"),
    "another format": (b"GGML" + bytes(40), "does not begin with the letters GGUF"),
    "version 1": (files.raw(version=1), "it has version 1, not 2 or 3"),
    "version 4": (files.raw(version=4), "it has version 4"),
    "version 0": (files.raw(version=0), "it has version 0"),
    "cut in the counts": (files.raw()[:20], "cut short"),
    "2^64 tensors": (files.raw(tensor_count=HUGE), f"its header states {HUGE} tensors"),
    "2^64 entries": (files.raw(entry_count=HUGE), f"its header states {HUGE} metadata entries"),
    "more tensors than there are": (files.raw(tensors=[A], data=bytes(32), tensor_count=3), "cut short"),
    "a key of 2^64 bytes": (files.raw([HUGE.to_bytes(8, "little")]), f"a name in it has {HUGE} bytes"),
    "a text of 2^64 bytes": (files.raw([files.text(b"k") + b"\x08\0\0\0" + HUGE.to_bytes(8, "little")]), "cut short"),
    "a text beyond the end": (
        files.raw([files.text(b"k") + b"\x08\0\0\0" + (5000).to_bytes(8, "little")]),
        "cut short",
    ),
    "a list of 2^64 numbers": (files.raw([files.array(b"k", 4, HUGE)]), "cut short"),
    "a list of 2^64 texts": (files.raw([files.array(b"k", 8, HUGE)]), f"a list of {HUGE} texts"),
    "a list of 2^61 texts": (files.raw([files.array(b"k", 8, 2**61)]), "texts: it is cut short or damaged"),
    "texts that end too early": (
        files.raw([files.array(b"k", 8, 2, files.text(b"abc"))], data=bytes(3))[:-40],
        "cut short",
    ),
    "a list of lists": (files.raw([files.array(b"k", 9, 1)]), "'k' has the unknown type 9"),
    "an unknown type of entry": (files.raw([files.text(b"k") + b"\x0d\0\0\0"]), "'k' has the unknown type 13"),
    "a key twice": (files.raw([files.u32(b"k", 1), files.u32(b"k", 1)]), "the metadata key 'k' twice"),
    "a key that is not UTF-8": (files.raw([files.u32(b"\xff", 1)]), "is not UTF-8"),
    "alignment 0": (files.raw([files.u32(b"general.alignment", 0)]), "alignment 0 is not a power of two"),
    "alignment 48": (files.raw([files.u32(b"general.alignment", 48)]), "alignment 48 is not a power of two"),
    "alignment in words": (files.raw([files.string(b"general.alignment", b"32")]), "alignment '32' is not"),
    "five dimensions": (files.raw(tensors=[files.tensor(b"a", (1,) * 5)]), "'a' has 5 dimensions"),
    "2^32 dimensions": (files.raw(tensors=[files.text(b"a") + b"\xff" * 4]), "'a' has 4294967295 dimensions"),
    "a shape that overflows": (
        files.raw(tensors=[files.tensor(b"a", (2**32, 2**32))]),
        "'a' of type F32 cannot have the shape",
    ),
    "part of a block": (
        files.raw(tensors=[files.tensor(b"a", (100, 2), kind=12)]),
        "'a' of type Q4_K cannot have the shape (100, 2)",
    ),
    "a removed type": (files.raw(tensors=[files.tensor(b"a", (32,), kind=31)]), "'a' has the unknown type 31"),
    "an unknown type of tensor": (
        files.raw(tensors=[files.tensor(b"a", (32,), kind=999)]),
        "'a' has the unknown type 999",
    ),
    "a tensor twice": (files.raw(tensors=[A, files.tensor(b"a", (8,), offset=32)], data=bytes(64)), "the tensor 'a' twice"),
    "overlap": (files.raw(tensors=[files.tensor(b"a", (64,)), B], data=bytes(256)), "'b' overlaps another"),
    "an offset that is not aligned": (
        files.raw(tensors=[A, files.tensor(b"b", (8,), offset=33)], data=bytes(99)),
        "multiple of 32",
    ),
    "an offset of 2^64": (
        files.raw(tensors=[files.tensor(b"a", (8,), offset=2**64 - 32)], data=bytes(32)),
        "cut short",
    ),
    "cut in the tensors": (files.raw(tensors=[A, B], data=bytes(63)), "cut short"),
    "a Git LFS pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "git lfs pull"),
    "a very long name": (files.raw(tensors=[files.tensor(b"x" * 65_000, (8,), kind=999)]), "unknown type 999"),
}  # fmt: skip


@pytest.mark.parametrize("content, problem", BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_refused_with_a_short_sentence_that_names_it(content, problem, tmp_path):
    path = tmp_path / "m.gguf"
    path.write_bytes(content)
    with pytest.raises(UnreadableFileError) as error:
        read_gguf(str(path))
    assert problem in str(error.value) and str(path) in str(error.value)
    assert len(str(error.value)) < len(str(path)) + 300


def test_a_header_beyond_the_limit_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "m.gguf"
    path.write_bytes(files.raw([files.array(b"k", 0, LARGEST_HEADER_BYTES)]))
    with open(path, "ab") as file:
        file.truncate(2 * LARGEST_HEADER_BYTES)  # sparse: takes no disk space
    with pytest.raises(UnreadableFileError, match="header is longer than 128 MiB"):
        read_gguf(str(path))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("gguf") / "small.gguf"
    files.write(path, tensors={"a": (2, 256), "b": (4,)}, tokens=3)
    return path.read_bytes()


def test_damaged_files_are_refused_with_a_sentence_or_read_like_the_reference_library(small, tmp_path):
    path = tmp_path / "m.gguf"

    @settings(max_examples=300, derandomize=True)
    @given(damaged(small))
    def check(content: bytes) -> None:
        path.write_bytes(content)
        try:
            stored = read_gguf(str(path)).stored
        except PlannerError as error:
            assert str(error).endswith(".") and "\n" not in str(error)
            return
        reference = {t.name: t.n_bytes for t in GGUFReader(path).tensors}
        assert {t.name for t in stored.tensors} == reference.keys()
        for t in stored.tensors:
            assert t.size_bytes == reference[t.name] or t.dtype in STALE_IN_REFERENCE

    check()


def test_a_header_cut_anywhere_is_refused(small, tmp_path):
    path = tmp_path / "m.gguf"
    padding_bytes = 16  # after the last tensor of 16 bytes; a file without it is complete
    for length in range(0, len(small) - padding_bytes, 7):
        path.write_bytes(small[:length])
        with pytest.raises(UnreadableFileError):
            read_gguf(str(path))
