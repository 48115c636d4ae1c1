"""`vram speed` and `vram.speed`: the keys, the table, and that bad input is one sentence and exit status 2."""

from __future__ import annotations

import json

import pytest

import vram as api

ASKED = {"gpu": "h100", "tp": 4, "users": 50, "prompt_tokens": 2000, "output_tokens": 500}
COMMAND = ("speed", "llama-3.1-70b", "--gpu", "h100", "--tp", 4, "--users", 50, "--prompt-tokens", 2000,
           "--output-tokens", 500)  # fmt: skip
FIGURES = ("tokens_per_second_per_user", "output_tokens_per_second", "time_to_first_token_s", "users_at_once")


def test_the_command_prints_what_the_api_returns(vram):
    status, out, err = vram(*COMMAND, "--json")
    assert (status, err) == (0, "")
    found = json.loads(out)
    assert found == json.loads(json.dumps(api.speed("llama-3.1-70b", **ASKED).as_dict()))
    for name in FIGURES:
        assert found["low"][name] <= found[name] <= found["high"][name]
        assert found["low"][name] < found["high"][name]
    assert found["limited_by"] in ("bandwidth", "compute", "fixed time", "links", "memory")
    assert set(found["low"]) == set(found["high"]) == {*FIGURES, "limited_by"}
    assert 20 < found["tokens_per_second_per_user"] < 45
    assert found["tokens_per_day"] == pytest.approx(found["output_tokens_per_second"] * 86_400, rel=1e-4)
    assert "drafts and shared prompts only where they are given" in found["note"]


def test_settings_of_the_engine_change_the_speed(vram):
    """Every door takes the same settings; a draft model is a model like any other."""
    given = {"mtp_tokens": 3, "acceptance": 0.7, "shared_tokens": 1000}
    options = ("--mtp-tokens", 3, "--acceptance", 0.7, "--shared-tokens", 1000, "--draft-model", "llama-3.2-1b")
    _, out, _ = vram(*COMMAND, *options, "--json")
    found = json.loads(out)
    assert found == json.loads(
        json.dumps(api.speed("llama-3.1-70b", draft_model="llama-3.2-1b", **ASKED, **given).as_dict())
    )
    plain = api.speed("llama-3.1-70b", **ASKED)
    assert found["tokens_per_second_per_user"] > 1.5 * plain.expected.tokens_per_second_per_user
    assert found["time_to_first_token_s"] < plain.expected.time_to_first_token_s
    assert found["assumed"] == []
    (warning,) = found["warnings"]
    assert warning.startswith("mtp_tokens: the speed counts on 0.7 of the drafted tokens") and plain.warnings == ()
    users = [
        api.users_at_speed("llama-3.1-70b", 30, gpu="h100", tp=4, prompt_tokens=2000, output_tokens=500, **settings)
        for settings in ({}, {"draft_model": "llama-3.2-1b", "mtp_tokens": 3, "acceptance": 0.7})
    ]
    assert users[0] < users[1]


HEAD = {
    "architectures": ["LlamaForCausalLMEagle3"], "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14_336,
    "num_attention_heads": 32, "num_key_value_heads": 8, "num_hidden_layers": 1, "vocab_size": 128_256,
    "draft_vocab_size": 32_000, "max_position_embeddings": 2048,
}  # fmt: skip


def test_a_head_drafts_by_its_name_or_its_file(vram, tmp_path):
    """424 689 664 parameters in 16 bits, and one layer of 8 heads of 128 for keys and values."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps(HEAD), encoding="utf-8")
    asked = {"gpu": "h100", "context": 8192, "mtp_tokens": 3}
    by_name, by_file = (
        api.capacity("llama-3.1-8b", draft_model=name, **asked)
        for name in ("lmsys/SGLang-EAGLE3-Llama-3.1-8B-Instruct-SpecForge", path)
    )
    plain = api.capacity("llama-3.1-8b", **asked | {"mtp_tokens": None})
    added = by_name.weights_bytes.expected - plain.weights_bytes.expected
    assert added == by_file.weights_bytes.expected - plain.weights_bytes.expected
    assert added == pytest.approx(2 * 424_689_664, rel=0.002)  # and a rotary table
    assert by_name.kv_bytes_per_token - plain.kv_bytes_per_token == 2 * 8 * 128 * 2
    status, _, error = vram("capacity", path, "--gpu", "h100")
    assert status == 2 and "is a head that drafts tokens for another model" in error and "--draft-model" in error
    status, _, error = vram("capacity", "llama-3.1-8b", "--gpu", "h100", "--mtp-tokens", 3, "--draft-model", "qwen9")
    assert status == 2 and error.startswith("vram: draft_model: 'qwen9' is not known")


@pytest.mark.parametrize("command", ["capacity", "plan", "speed"])
def test_drafting_without_a_layer_for_it(vram, command):
    asked = {
        "capacity": ("--gpu", "h100", "--context", 8192),
        "plan": ("--users", 10, "--context", 8192, "--gpu", "h100"),
        "speed": ("--gpu", "h100", "--users", 10, "--prompt-tokens", 2000, "--output-tokens", 500),
    }[command]
    status, _, error = vram(command, "llama-3.1-8b", *asked, "--mtp-tokens", 2)
    assert status == 2 and "mtp_tokens: llama-3.1-8b has no layer" in error and "--draft-model" in error


def test_a_plan_with_drafts_says_what_it_assumes():
    """A plan without a wanted speed needs no acceptance, and drafts take memory all the same."""
    asked = {"users": 20, "context": 8192, "gpus": ("h200",), "mtp_tokens": 1}
    with_speed, by_memory = api.plan("deepseek-v3", **asked), api.plan("deepseek-v3", min_speed=None, **asked)
    assert [text for text in with_speed.assumed if text.startswith("acceptance: 0.85 is assumed")]
    assert by_memory.assumed == by_memory.warnings == ()
    assert [text for text in with_speed.warnings if "it was not compared with measurements" in text]
    plain = api.plan("deepseek-v3", users=20, context=8192, gpus=("h200",))
    speeds = [found.options[0].speed.expected.tokens_per_second_per_user for found in (plain, with_speed)]
    assert speeds[0] < speeds[1]


@pytest.mark.parametrize("engine", ["vllm", "sglang", "tensorrt-llm", "llama.cpp"])
def test_every_engine_answers_with_a_table(vram, engine):
    status, out, err = vram("speed", "llama-3.1-8b", "--gpu", "rtx-4090", "--users", 4, "--prompt-tokens", 500,
                            "--output-tokens", 200, "--engine", engine, "--precision", "bf16")  # fmt: skip
    assert (status, err) == (0, "")
    for text in ("tokens/s per user", "time to first token", "users at once", "limited by", "Not modelled"):
        assert text in out


def test_the_nearest_measurement_is_shown_with_its_source(vram):
    _, out, _ = vram("speed", "qwen3-32b", "--gpu", "h100", "--tp", 4, "--users", 16, "--prompt-tokens", 1024,
                     "--output-tokens", 512)  # fmt: skip
    assert "nearest measurement: " in out and "aiconfigurator" in out


def test_users_that_wait_are_named(vram):
    _, out, _ = vram("speed", "llama-3.1-70b", "--gpu", "h100", "--tp", 4, "--replicas", 2, "--users", 5000,
                     "--prompt-tokens", 2000, "--output-tokens", 500, "--pp", 2)  # fmt: skip
    assert "waiting for a free place: " in out and "limited by memory" in out
    assert "2 × TP 4 × PP 2" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--gpu", "80"),
            'gpu: 80 GB of memory have no bandwidth to compute a speed from. Name a GPU, for example "h100".',
        ),
        (("--gpu", "h1000"), "gpu: 'h1000' is not known."),
        (("--gpu", "l4"), "do not fit on 1 × l4"),
        (("--gpu", "h100", "--precision", "awq", "--engine", "llama.cpp"), "precision: llama.cpp runs 16-bit, GGUF"),
        (("--gpu", "h100", "--users", "0"), "users: 0 is below 1."),
        (("--gpu", "h100", "--prompt-tokens", "many"), "'many' is not a number"),
    ],
)
def test_bad_input_is_one_sentence(vram, arguments, message):
    load = ("--users", 5, "--prompt-tokens", 2000, "--output-tokens", 500)
    status, out, err = vram("speed", "llama-3.1-70b", *load, *arguments)
    assert (status, out) == (2, "")
    assert message in err and "Traceback" not in err


def test_tensorrt_llm_says_whose_memory_it_has():
    (assumed,) = api.speed("llama-3.1-70b", engine="tensorrt-llm", **ASKED).assumed
    assert "memory is computed as vLLM's" in assumed
    assert api.speed("llama-3.1-70b", engine="vllm", **ASKED).assumed == ()
    capacity = api.capacity("llama-3.1-70b", gpu="h100", tp=4, context=8192, engine="tensorrt-llm")
    assert capacity.assumed == (assumed,)
    same = api.capacity("llama-3.1-70b", gpu="h100", tp=4, context=8192)
    assert capacity.max_users == same.max_users


def test_users_at_a_wanted_speed():
    load = {"gpu": "h100", "tp": 4, "prompt_tokens": 2000, "output_tokens": 500}
    most = api.users_at_speed("llama-3.1-70b", 20, **load)
    assert api.speed("llama-3.1-70b", users=most, **load).low.tokens_per_second_per_user >= 20
    assert api.speed("llama-3.1-70b", users=most + 1, **load).low.tokens_per_second_per_user < 20


def test_an_older_engine_is_slower():
    now, then = (api.speed("llama-3.1-8b", gpu="h100", users=8, prompt_tokens=500, output_tokens=500, engine_version=version)
                 for version in (None, "0.7.3"))  # fmt: skip
    assert then.expected.tokens_per_second_per_user < now.expected.tokens_per_second_per_user
    assert (then.engine_version, then.range_class, now.range_class) == ("0.7.3", "old", "current")
