"""`vram train` and `vram.train`: the keys, the table, the fewest GPUs, and that bad input is one sentence."""

from __future__ import annotations

import json

import pytest

import vram as api

MODEL = "llama-3.1-8b"
PARTS = ("weights", "gradients", "optimizer", "gathered", "activations", "step", "context")


def test_the_command_prints_what_the_api_returns(vram):
    status, out, err = vram("train", MODEL, "--method", "lora", "--rank", 16, "--targets", "q_proj,v_proj", "--sequence",
                            4096, "--batch", 2, "--optimizer", "adamw-8bit", "--training-precision", "bf16",
                            "--checkpointing", "selective", "--loss", "fused", "--zero", 2, "--tp", 2, "--gpus", 4,
                            "--gpu", "h100", "--json")  # fmt: skip
    assert (status, err) == (0, "")
    found = json.loads(out)
    expected = api.train(MODEL, method="lora", rank=16, targets="q_proj,v_proj", sequence=4096, batch=2,
                         optimizer="adamw-8bit", training_precision="bf16", checkpointing="selective", loss="fused",
                         zero=2, tp=2, gpus=4, gpu="h100")  # fmt: skip
    assert found == json.loads(json.dumps(expected.as_dict()))
    assert sum(found[f"{part}_bytes"] for part in PARTS) == found["total_bytes"]
    assert found["all_gpus_bytes"] == 4 * found["total_bytes"]
    assert found["fits"] and found["fewest_gpus"] == 2 and found["obstacle"] == ""


def test_without_a_gpu_there_is_no_fit(vram):
    found = api.train(MODEL, method="full")
    assert (found.gpus, found.gpu, found.usable_bytes, found.fewest_gpus, found.fits) == (1, "", None, None, None)
    assert (found.rank, found.targets, found.obstacle) == (None, None, "")
    assert found.trainable_parameters == found.parameters == 8_030_261_248
    status, out, _ = vram("train", MODEL, "--method", "full")
    assert status == 0 and "fewest" not in out and "Not modelled" in out and "all GPUs" not in out
    assert "per GPU, 1 GPU " in out


def test_with_a_gpu_the_figures_are_of_the_fewest(vram):
    found = api.train("llama-3.1-70b", method="full", gpu="h100")
    assert found.gpus == found.fewest_gpus > 8 and found.fits
    assert not api.train("llama-3.1-70b", method="full", gpu="h100", gpus=found.gpus - 1).fits
    _, out, _ = vram("train", "llama-3.1-70b", "--method", "full", "--gpu", "h100", "--tp", 8)
    assert "ZeRO 3, TP 8" in out and "fewest GPUs: " in out and "all GPUs: " in out


def test_why_it_cannot_fit(vram):
    found = api.train("llama-3.1-70b", method="full", zero=1, gpu=80)
    assert (found.gpus, found.fewest_gpus, found.fits) == (1, None, False)
    assert "with ZeRO 3 it takes" in found.obstacle
    _, out, _ = vram("train", "llama-3.1-70b", "--method", "full", "--zero", 1, "--gpu", 80)
    assert "does not fit" in out and f"no number of GPUs holds it: {found.obstacle}" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--method", "lora", "--rank", 0), "rank: 0 is below 1. Write the rank of the adapters"),
        (("--method", "lora", "--targets", "w1"), "targets: 'w1' is no module of llama-3.1-8b. Write"),
        (("--method", "full", "--zero", 4), "zero: 4 is above 3. Write the stage of ZeRO"),
        (("--method", "full", "--gpu", "h1000"), "gpu: 'h1000' is not known."),
        (("--method", "full", "--tp", 3), "tp: 3 does not divide the 32 attention heads."),
        (("--method", "full", "--tp", 2, "--gpus", 3), "gpus: 3 is not a multiple of tp, 2."),
        (("--method", "full", "--sequence", "long"), "'long' is not a number. Write the tokens of one training"),
        (("--method", "dora"), "'dora' is not one of 'full', 'lora', 'qlora'"),
        ((), "Missing option '--method'"),
    ],
)
def test_bad_input_is_one_sentence(vram, arguments, message):
    status, out, err = vram("train", MODEL, *arguments)
    assert (status, out) == (2, "")
    assert message in err and "Traceback" not in err


def test_a_model_of_which_only_the_size_is_known():
    with pytest.raises(api.PlannerError, match="only the size of article-llama-70b is known"):
        api.train("article-llama-70b", method="full")


def test_a_config_of_ones_own(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(
        json.dumps({
            "model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
            "intermediate_size": 11_008, "vocab_size": 32_000, "tie_word_embeddings": False,
        })
    )  # fmt: skip
    own = api.train(path, method="lora", sequence=512)
    assert own.total_bytes == api.train("llama-2-7b", method="lora", sequence=512).total_bytes
