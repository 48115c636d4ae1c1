"""`vram` reading models from a hub, in a process of its own: huggingface_hub takes its settings at import."""

from __future__ import annotations

import json
import os
import pty

import numpy as np
import pytest
from safetensors.numpy import save

from tests.paths import ROOT
from tests.vram.fake_hub import COMMIT, CONFIG, MODEL, ON_HUB, PARAMETERS, TOKEN, WEIGHTS, WEIGHTS_BYTES


def estimate(hub_vram, model: str = ON_HUB, **variables: str) -> dict[str, object]:
    done = hub_vram("estimate", model, "--context", "100", "--json", **variables)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def refusal(hub_vram, model: str = ON_HUB, **variables: str) -> str:
    done = hub_vram("estimate", model, "--context", "100", **variables)
    assert (done.returncode, done.stdout) == (2, "")
    [sentence] = done.stderr.splitlines()
    return sentence


def test_a_model_on_the_hub_is_estimated_with_its_stored_weights(hub_vram, hub):
    result = estimate(hub_vram)
    assert (result["parameters"], result["precision"]) == (PARAMETERS, "as shipped")
    assert result["weights_bytes"] == WEIGHTS_BYTES
    assert result["kv_bytes"] == 100 * 2 * 2 * 32 * 2


def test_the_quantization_beside_the_config_is_fetched_where_the_weights_are_quantized(hub_vram, hub):
    quantization = {"quantization": {"quant_algo": "NVFP4", "exclude_modules": ["lm_head"]}}
    hub.models[MODEL] |= {"hf_quant_config.json": json.dumps(quantization).encode(),
                          "model.safetensors": save({"a": np.zeros((512, 512), np.uint8)})}  # fmt: skip
    result = estimate(hub_vram)
    assert result["weights_as_shipped"] == "as shipped (modelopt)"
    assert result["weights_bytes"] == 512 * 512
    assert [path for _, path, _ in hub.requests if "quantize_config" in path] == []


def test_a_lora_adapter_is_counted_with_its_base(hub_vram, hub):
    adapter = {"peft_type": "LORA", "r": 8, "target_modules": ["q_proj"], "base_model_name_or_path": MODEL}
    hub.models["org/adapter"] = {"adapter_config.json": json.dumps(adapter).encode()}
    done = hub_vram("estimate", "hub:org/adapter", "--context", "100", "--json")
    result = json.loads(done.stdout)
    assert result["model"] == "org/adapter"
    values = 2 * 8 * (64 + 64)  # layers × rank × the sides of q
    assert result["parameters"] == PARAMETERS + values
    assert result["weights_bytes"] == WEIGHTS_BYTES + 2 * values
    assert f"a LoRA adapter of rank 8 with {values:,} parameters" in result["warnings"][0]


def test_of_the_weights_the_header_alone_is_fetched(hub_vram, hub):
    estimate(hub_vram)
    fetched = [size for method, path, size in hub.requests if path.endswith(".safetensors") and method == "GET"]
    # huggingface_hub asks for the first 100 kB, which hold most headers
    assert fetched == [100_001] and len(WEIGHTS) > 5 * 100_001


def test_shards_are_read_by_their_index(hub_vram, hub):
    shards = {f"model-0000{n}-of-00003.safetensors": save({f"t{n}": np.zeros(n, np.float32)}) for n in (1, 2, 3)}
    index = {"weight_map": {f"t{n}": shard for n, shard in enumerate(shards, start=1)}}
    hub.models[MODEL] = {
        "config.json": json.dumps(CONFIG).encode(),
        "model.safetensors.index.json": json.dumps(index).encode(),
        **shards,
    }
    assert estimate(hub_vram)["weights_bytes"] == 4 * (1 + 2 + 3)


def test_a_header_longer_than_the_first_guess_is_fetched_whole(hub_vram, hub):
    tensors = {f"a.tensor.with.a.long.name.{n:06d}": np.zeros(1, np.float32) for n in range(2000)}
    hub.models[MODEL]["model.safetensors"] = save(tensors)
    assert estimate(hub_vram)["weights_bytes"] == 8000


def test_without_safetensors_the_weights_are_counted(hub_vram, hub):
    del hub.models[MODEL]["model.safetensors"]
    assert estimate(hub_vram)["weights_bytes"] == 2 * PARAMETERS


def test_a_precision_that_is_asked_for_goes_before_the_stored_one(hub_vram):
    done = hub_vram("estimate", ON_HUB, "--context", "100", "--precision", "fp8", "--json")
    assert json.loads(done.stdout)["weights_bytes"] == PARAMETERS


def test_a_revision_is_asked_for(hub_vram):
    assert estimate(hub_vram, f"{ON_HUB}@{COMMIT}")["weights_bytes"] == WEIGHTS_BYTES


def test_the_cache_serves_when_the_hub_does_not(hub_vram, hub):
    estimate(hub_vram)
    hub.broken = 503
    cached = estimate(hub_vram)
    # the weights' headers are not cached, so that they are counted
    assert cached["weights_bytes"] == 2 * PARAMETERS
    assert estimate(hub_vram, HF_HUB_OFFLINE="1") == cached
    hub.close()
    assert estimate(hub_vram) == cached


def test_weights_that_are_in_the_cache_are_not_asked_for(hub_vram, hub, tmp_path):
    estimate(hub_vram)
    [config] = tmp_path.glob(f"hf/hub/models--org--tiny-model/snapshots/{COMMIT}/config.json")
    (config.parent / "model.safetensors").write_bytes(WEIGHTS)
    hub.requests.clear()
    assert estimate(hub_vram)["weights_bytes"] == WEIGHTS_BYTES
    assert not [path for _, path, _ in hub.requests if path.endswith(".safetensors")]
    assert estimate(hub_vram, HF_HUB_OFFLINE="1")["weights_bytes"] == WEIGHTS_BYTES


def test_progress_is_shown_on_a_terminal_and_not_in_the_output(hub_vram, tmp_path):
    terminal, side = pty.openpty()
    done = hub_vram("estimate", ON_HUB, "--context", "100", "--json", stderr=side, TERM="xterm")
    os.close(side)
    assert json.loads(done.stdout)["weights_bytes"] == WEIGHTS_BYTES
    assert "Reading headers" in os.read(terminal, 100_000).decode()
    os.close(terminal)


def test_a_gated_model_is_read_with_a_token(hub_vram, hub):
    hub.gated.add(MODEL)
    assert estimate(hub_vram, HF_TOKEN=TOKEN)["weights_bytes"] == WEIGHTS_BYTES


@pytest.mark.parametrize("variables", [{}, {"HF_TOKEN": "hf_of_somebody_else"}], ids=["no token", "wrong token"])
def test_a_gated_model_is_said_to_be_gated(hub_vram, hub, variables):
    hub.gated.add(MODEL)
    sentence = refusal(hub_vram, **variables)
    assert "the model is gated" in sentence and f"{hub.url}/{MODEL}" in sentence and "hf auth login" in sentence


def test_a_model_that_is_not_there_is_said_to_be_missing(hub_vram):
    assert "org/nothing: the hub has no such model, or it is private" in refusal(hub_vram, "hub:org/nothing")


def test_a_revision_that_is_not_there_is_said_to_be_missing(hub_vram):
    assert "the model has no such revision" in refusal(hub_vram, f"{ON_HUB}@nowhere")


def test_a_model_without_a_config_is_refused(hub_vram, hub):
    del hub.models[MODEL]["config.json"]
    assert "the model has no config.json" in refusal(hub_vram)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_hub_that_fails_is_said_to_fail(hub_vram, hub, status):
    hub.broken = status
    assert f"{hub.url} answered with HTTP {status}" in refusal(hub_vram)


def test_a_hub_that_is_not_there_is_said_to_be_out_of_reach(hub_vram, hub):
    hub.close()
    assert f"{hub.url}/{MODEL} cannot be reached" in refusal(hub_vram)


def test_offline_mode_is_respected(hub_vram, hub):
    assert "cannot be reached" in refusal(hub_vram, HF_HUB_OFFLINE="1")
    assert hub.requests == []


@pytest.mark.parametrize(
    "header, said",
    [
        (WEIGHTS[:30], "its header is cut short or damaged"),
        (b"\xff" * 8, "its header is cut short or damaged"),
        (b"\x02" + bytes(7) + b"[]", "its header is cut short or damaged"),
        (b"\x02" + bytes(7) + b"{", "its header is cut short or damaged"),
        (WEIGHTS.replace(b"[0,524288]", b"[1,524289]"), "'a' has a gap before it"),
        (WEIGHTS.replace(b'"F16"', b'"F99"'), "'a' has the unknown type 'F99'"),
    ],
    ids=["cut", "length of 2^64", "list", "no JSON", "gap", "type"],
)
def test_a_damaged_header_on_the_hub_is_refused_in_one_sentence(hub_vram, hub, header, said):
    hub.models[MODEL]["model.safetensors"] = header
    sentence = refusal(hub_vram)
    assert f"{MODEL}/model.safetensors" in sentence and "cannot be read as a safetensors file" in sentence
    assert said in sentence


@pytest.mark.parametrize("config", [b"", b"{", b"[]", b'{"model_type": "unheard-of"}', b'{"model_type": "llama"}'])
def test_a_config_that_is_not_understood_is_refused_in_one_sentence(hub_vram, hub, config):
    hub.models[MODEL]["config.json"] = config
    assert refusal(hub_vram).startswith("vram: ")


def test_an_index_cannot_point_elsewhere(hub_vram, hub):
    del hub.models[MODEL]["model.safetensors"]
    hub.models[MODEL]["model.safetensors.index.json"] = b'{"weight_map": {"a": "../../other/x.safetensors"}}'
    assert "is not the name of a file in its folder" in refusal(hub_vram)


def test_without_the_extra_it_is_said_how_to_install_it(hub_vram, tmp_path):
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked" / "huggingface_hub.py").write_text("raise ImportError('as if not installed')")
    sentence = refusal(hub_vram, PYTHONPATH=f"{tmp_path / 'blocked'}{os.pathsep}{ROOT}")
    assert 'pip install "vram-planner[hub]"' in sentence


def test_a_catalog_name_never_asks_the_hub(hub_vram, hub):
    assert estimate(hub_vram, "meta-llama/Llama-3.1-8B")["parameters"] == 8_030_261_248
    assert hub.requests == []


def test_a_model_is_imported_into_a_file_that_the_planner_then_knows(hub_vram, hub, tmp_path):
    done = hub_vram("model", "import", ON_HUB, "--add-to", "my_models.csv", "--json")
    assert done.returncode == 0
    card = json.loads(done.stdout)
    assert (card["parameters"], card["stored_weights_bytes"]) == (PARAMETERS, WEIGHTS_BYTES)
    hub.close()
    for name in ("tiny-model", MODEL):
        assert estimate(hub_vram, name, VRAM_MODELS=str(tmp_path / "my_models.csv"))["parameters"] == PARAMETERS
