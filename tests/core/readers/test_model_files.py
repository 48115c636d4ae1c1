"""Test `read_model` with every kind of model file."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from core.errors import PlannerError
from core.model.kv_cache import kv_profile
from core.model.parameters import count_parameters
from core.plan.estimate import estimate
from core.readers.files import UnreadableFileError
from core.readers.model_files import ModelFile, read_model
from tests.core.readers import gguf_files

CONFIG = {
    "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 128,
    "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 256,
}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """A model in two shards with 24 bytes of weights."""
    folder = tmp_path / "my-model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    save_file({"a": np.zeros(4, np.float16)}, folder / shards[0])
    save_file({"b": np.zeros(4, np.float32)}, folder / shards[1])
    index = {"weight_map": {"a": shards[0], "b": shards[1]}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def shipped_weights_bytes(model: ModelFile) -> int:
    shipped = model.as_shipped()
    return estimate(model.spec, context=1, precision=shipped, kv_precision=shipped).weights_bytes


@pytest.mark.parametrize("path", ["", "model.safetensors.index.json", "model-00002-of-00002.safetensors"])
def test_weights_take_their_stored_bytes(folder, path):
    model = read_model(str(folder / path))
    assert model.spec.name == "my-model"
    assert model.spec.num_hidden_layers == 2
    assert model.stored.total_bytes == 24
    assert shipped_weights_bytes(model) == 24


def test_a_config_without_weight_files_has_no_stored_weights(folder):
    model = read_model(str(folder / "config.json"))
    assert (model.spec.name, model.stored, model.as_shipped()) == ("my-model", None, None)


def test_a_folder_with_only_a_config_is_a_model(folder):
    for weights in folder.glob("model*"):
        weights.unlink()
    assert read_model(str(folder)).stored is None


def test_a_snapshot_in_the_hugging_face_cache_is_named_after_its_repository(folder, tmp_path):
    snapshot = tmp_path / "models--meta-llama--Llama-3.1-8B" / "snapshots" / "0123abcd"
    snapshot.parent.mkdir(parents=True)
    folder.rename(snapshot)
    assert read_model(str(snapshot)).spec.name == "meta-llama/Llama-3.1-8B"


@pytest.mark.parametrize("name", ["tiny.gguf", "sha256-0123abcd"])
def test_gguf_is_recognised_by_name_or_content(tmp_path, name):
    gguf_files.write(tmp_path / "tiny.gguf")
    model = read_model(str((tmp_path / "tiny.gguf").rename(tmp_path / name)))
    assert model.spec.name == name.removesuffix(".gguf")
    assert count_parameters(model.spec).total == gguf_files.LLAMA_PARAMETERS
    # 2 layers × 2 KV heads × (32 + 32) values
    assert kv_profile(model.spec).values_per_token == 2 * 2 * 64
    assert shipped_weights_bytes(model) == model.stored.total_bytes


def test_a_folder_with_one_split_gguf_model_is_read(tmp_path):
    gguf_files.write(tmp_path / "m.gguf", tensors_a_file=10)
    model = read_model(str(tmp_path))
    assert (model.spec.name, count_parameters(model.spec).total) == ("m", gguf_files.LLAMA_PARAMETERS)


def test_llama_3_1_70b_gguf(tmp_path):
    """Parameters 70 553 706 496 (the model card's count), 327 680 bytes of 16-bit KV cache per token."""
    layer = {
        "attn_norm": (8192,), "attn_q": (8192, 8192), "attn_k": (8192, 1024), "attn_v": (8192, 1024),
        "attn_output": (8192, 8192), "ffn_norm": (8192,), "ffn_gate": (8192, 28672), "ffn_up": (8192, 28672),
        "ffn_down": (28672, 8192),
    }  # fmt: skip
    shapes = {f"blk.{i}.{name}.weight": shape for i in range(80) for name, shape in layer.items()}
    shapes |= {"token_embd.weight": (8192, 128256), "output.weight": (8192, 128256), "output_norm.weight": (8192,)}
    tensors, offset = [], 0
    for name, shape in shapes.items():
        kind, bytes_a_value = (0, 4) if len(shape) == 1 else (30, 2)  # F32 and BF16
        tensors.append(gguf_files.tensor(name.encode(), shape, kind, offset))
        offset += int(np.prod(shape)) * bytes_a_value
    keys = {
        "block_count": 80, "context_length": 131072, "embedding_length": 8192, "feed_forward_length": 28672,
        "attention.head_count": 64, "attention.head_count_kv": 8,
    }  # fmt: skip
    entries = [gguf_files.string(b"general.architecture", b"llama")]
    entries += [gguf_files.u32(f"llama.{key}".encode(), value) for key, value in keys.items()]
    path = tmp_path / "llama-3.1-70b.gguf"
    header = gguf_files.raw(entries, tensors)
    path.write_bytes(header)
    with open(path, "ab") as file:
        file.truncate(len(header) + offset)  # sparse: takes no disk space
    model = read_model(str(path))
    assert count_parameters(model.spec).total == 70_553_706_496
    assert kv_profile(model.spec).values_per_token * 2 == 327_680
    norms = 161 * 8192  # in 32 bits
    assert model.stored.total_bytes == 2 * 70_553_706_496 + 2 * norms


def test_missing_shards_are_named(folder):
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(UnreadableFileError, match="model-00002-of-00002.safetensors is missing. Download it, or give"):
        read_model(str(folder))


def test_further_missing_shards_are_counted(tmp_path):
    gguf_files.write(tmp_path / "m.gguf", tensors_a_file=1)
    for path in sorted(tmp_path.glob("*.gguf"))[1:]:
        path.unlink()
    with pytest.raises(UnreadableFileError, match="m-00002-of-00022.gguf is missing, and 20 more"):
        read_model(str(tmp_path))


def test_weights_without_a_config_are_refused(folder):
    (folder / "config.json").unlink()
    with pytest.raises(UnreadableFileError, match="there is no config.json in its folder"):
        read_model(str(folder / "model.safetensors.index.json"))


@pytest.mark.parametrize("files, problem", [([], "it has no config.json"), (["a.gguf", "b.gguf"], "and 2 GGUF models")])
def test_a_folder_without_one_model_is_refused(tmp_path, files, problem):
    for name in files:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(UnreadableFileError, match=problem):
        read_model(str(tmp_path))


OTHER_FILES = [("missing", None), ("x.bin", b"\x80\x02}"), ("x.bin", b""), ("x.json", b"[1]")]


@pytest.mark.parametrize("name, content", OTHER_FILES)
def test_the_error_names_a_file_of_another_kind(tmp_path, name, content):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(PlannerError) as error:
        read_model(str(tmp_path / name))
    assert name in str(error.value)


@given(st.integers(1000, 10**14))
def test_billions_of_parameters_round_to_the_exact_count(parameters):
    """The count from a GGUF file is passed to the model as `params_b`."""
    assert round(parameters / 10**9 * 10**9) == parameters


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_with_a_sentence(tmp_path_factory, noise):
    path = tmp_path_factory.mktemp("noise") / "config.json"
    path.write_bytes(noise)
    with pytest.raises(PlannerError, match=r"\.$"):
        read_model(str(path))


def test_a_folder_with_one_file_of_weights(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    save_file({"a": np.zeros(4, np.float16)}, tmp_path / "model.safetensors")
    assert read_model(str(tmp_path)).stored.total_bytes == 8
