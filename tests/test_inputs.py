"""One table of inputs that are easily mistaken, and what every interface answers: a figure, a warning or an error."""

from __future__ import annotations

import json

import pytest

import vram
import vram_udf
from core.units import GIB
from tests.core.plan.test_cache_formats import CACHES
from workbook.scenario import parse_scenario

LLAMA = "llama-3.1-70b"


def answer(vram_command, *arguments):
    status, out, err = vram_command(*arguments, "--json")
    assert (status, err) == (0, "")
    return json.loads(out)


def error(vram_command, *arguments):
    status, out, err = vram_command(*arguments)
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    return err


def scenario(**values):
    return parse_scenario({"model": LLAMA, "context": 8192, "users": 1, **values})


# ---- the GPU -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("written", "name"), [(4090, "rtx-4090"), (3090, "rtx-3090"), (7900, "rx-7900-xtx")])
def test_a_cards_number_is_the_card_at_every_door(vram_command, written, name):
    asked = (LLAMA, "--gpu", written, "--tp", 4, "--precision", "awq")
    assert answer(vram_command, "capacity", *asked, "--context", 8192)["gpu"] == name
    assert vram.capacity(LLAMA, gpu=written, tp=4, precision="awq").gpu == name
    load = ("--users", 1, "--prompt-tokens", 500, "--output-tokens", 200)
    assert answer(vram_command, "speed", *asked, *load)["gpu"] == name
    by_speed = {"users": 1, "prompt_tokens": 500, "output_tokens": 200, "tp": 4, "precision": "awq"}
    assert vram.speed(LLAMA, gpu=written, **by_speed).gpu == name
    plan = answer(vram_command, "plan", LLAMA, "--users", 1, "--context", 8192, "--gpu", written, "--precision", "awq")
    assert {layout["gpu"] for layout in plan["layouts"]} == {name}
    assert vram_udf.VRAM_MAX_USERS(LLAMA, 8192, written, 4, "awq") == vram_udf.VRAM_MAX_USERS(
        LLAMA, 8192, name, 4, "awq"
    )
    assert vram_udf.VRAM_SPEED(LLAMA, 500, 200, 1, written, 4, "awq") == vram_udf.VRAM_SPEED(
        LLAMA, 500, 200, 1, name, 4, "awq"
    )
    assert vram_udf.VRAM_GPU(written, "name") == name
    assert [scenario(gpu=given)[0].gpu_name for given in (written, str(written))] == [name, name]


def test_a_size_is_a_card_of_that_size_at_every_door(vram_command):
    """81 559 MiB of an H100 and 410 MiB + 0.2 % for its driver: 79.1 GiB for a process, as vLLM logs."""
    found = answer(vram_command, "capacity", LLAMA, "--gpu", 80, "--tp", 2, "--context", 8192)
    assert found["gpu_memory_bytes"] / GIB == pytest.approx(79.1, abs=0.05)
    assert found["assumed"] == ["gpu: 80 GB means a card with 79.6 GiB, as the driver of h100-sxm reports"]
    assert found["max_users"] == vram_udf.VRAM_MAX_USERS(LLAMA, 8192, 80, 2) == 3
    plan = answer(vram_command, "plan", LLAMA, "--users", 3, "--context", 8192, "--gpu", 80)
    assert (plan["assumed"], min(layout["gpus"] for layout in plan["layouts"])) == (found["assumed"], 2)
    assert vram_udf.VRAM_GPUS(LLAMA, 8192, 3, 80) == 2
    assert scenario(gpu=80, users=3)[0].smallest.gpus == 2
    check = vram_udf.VRAM_CHECK(LLAMA, 8192, 3, None, None, None, None, 80, 2)
    assert check == f"OK, but {found['assumed'][0]}"


def test_the_rule_counts_a_size_as_the_article_does(vram_command):
    """80 GB are 80 × 10⁹ bytes: 154.6 GB and 10 % need three, which is no layout, so four."""
    plan = answer(vram_command, "plan", LLAMA, "--users", 1, "--context", 8192, "--gpu", 80, "--overhead", 0.1)
    assert plan["assumed"] == ["gpu: 80 GB are counted as 10⁹ bytes per GB, as the rule does"]
    fewest = min(layout["gpus"] for layout in plan["layouts"])
    assert fewest == vram_udf.VRAM_GPUS(LLAMA, 8192, 1, 80, None, None, 0.1)
    assert fewest == scenario(gpu=80, engine="rule")[0].smallest.gpus
    assert scenario(gpu=80, engine="rule")[0].gpu_memory_gb == scenario(gpu_memory_gb=80)[0].gpu_memory_gb == 80


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (85, "gpu: no GPU of the catalog has 85 GB. Write a size such as 80 or 84"),
        (4091, "gpu: 4091 is neither a card's name nor a size in GB of one. Name a GPU"),
        (6000, "gpu: 6000 is neither a card's name nor a size in GB of one. Write"),
    ],
)
def test_other_numbers_are_refused_at_every_door(vram_command, written, message):
    assert message in error(vram_command, "capacity", LLAMA, "--gpu", written)
    assert message in error(vram_command, "plan", LLAMA, "--users", 1, "--context", 8192, "--gpu", written)
    load = ("--users", 1, "--prompt-tokens", 500, "--output-tokens", 200)
    assert message in error(vram_command, "speed", LLAMA, "--gpu", written, *load)
    with pytest.raises(vram.PlannerError, match=message):
        vram.capacity(LLAMA, gpu=written)
    assert vram_udf.VRAM_MAX_USERS(LLAMA, 8192, written, 2) == vram_udf.VRAM_GPUS(LLAMA, 8192, 1, written) == "#NUM!"
    assert vram_udf.VRAM_SPEED(LLAMA, 500, 200, 1, written, 8) == "#NUM!"
    assert message in vram_udf.VRAM_CHECK(LLAMA, 8192, 1, None, None, None, None, written)
    found, problems = scenario(gpu=written)
    assert found is None and message in str(problems[0])


def test_a_memory_that_is_given_needs_no_assumption():
    found = vram.capacity(LLAMA, gpu=80, gpu_memory_gib=79.19, tp=4)
    assert (found.gpu_memory_bytes, found.assumed) == (round(79.19 * GIB), ())
    assert vram.capacity(LLAMA, gpu="H101", gpu_memory_gib=79.19, tp=4).gpu == "H101"


# ---- warnings ------------------------------------------------------------------------------------------------

BEYOND = "context: 200,000 tokens are beyond the longest that llama-3.1-70b supports, 131,072; engines refuse more"
BYTES = "precision: 4 is taken as bytes per value, more than the 2 of 16 bits; for 4 bits write 0.5"
OLD = "engine_version: vllm 0.2 is not calibrated; its figures were compared with logs of 0.6 to 0.31 only"
NEW = "engine_version: vllm 99 is not calibrated; its figures were compared with logs of 0.6 to 0.31 only"
LACKS = "precision: fp8 needs compute capability 7.5, and NVIDIA V100 SXM2 32 GB has 7"


@pytest.mark.parametrize(
    ("given", "warning"),
    [
        ({"context": 8192}, ""),
        ({"context": 131_072}, ""),
        ({"context": 200_000}, BEYOND),
        ({"context": 8192, "precision": 4}, BYTES),
        ({"context": 8192, "precision": "fp32"}, ""),
        ({"context": 8192, "kv_precision": 4}, f"kv_{BYTES}"),
        ({"context": 8192, "engine_version": "0.2"}, OLD),
        ({"context": 8192, "engine_version": "0.5.9"}, OLD.replace("0.2", "0.5.9")),
        ({"context": 8192, "engine_version": "0.6.0"}, ""),
        ({"context": 8192, "engine_version": "v0.31.2"}, ""),
        ({"context": 8192, "engine_version": "0.32"}, NEW.replace("99", "0.32")),
        ({"context": 8192, "engine_version": "99"}, NEW),
        ({"context": 8192, "engine": "llama.cpp", "engine_version": "b5200"}, ""),
        ({"context": 8192, "engine": "sglang", "engine_version": "0.3"}, OLD[:0] + "engine_version: sglang 0.3 is not"),
    ],
)
def test_doubtful_inputs_are_answered_with_a_warning(vram_command, given, warning):
    options = [part for name, value in given.items() for part in (f"--{name.replace('_', '-')}", value)]
    expected = 1 if warning else 0
    by_command = answer(vram_command, "capacity", LLAMA, "--gpu", "h100", "--tp", 8, *options)["warnings"]
    assert len(by_command) == expected and all(text.startswith(warning) for text in by_command)
    assert list(vram.capacity(LLAMA, gpu="h100", tp=8, **given).warnings) == by_command
    plan = answer(vram_command, "plan", LLAMA, "--users", 1, "--gpu", "h200", *options)
    assert plan["warnings"] == by_command
    status, out, _ = vram_command("capacity", LLAMA, "--gpu", "h100", "--tp", 8, *options)
    assert (status, ("warning: " + warning in out) if warning else "warning" not in out) == (0, True)


@pytest.mark.parametrize(("name", "kv_precision", "warning"), CACHES)
def test_a_cache_that_vllm_lacks_for_the_model_is_a_warning(name, kv_precision, warning):
    """Backends and their caches: vLLM docs/design/attention_backends.md."""
    found = vram.capacity(name, gpu="h200", tp=8, context=8192, kv_precision=kv_precision).warnings
    assert [text.startswith(f"kv_precision: vllm has {warning}") for text in found] == ([True] if warning else [])


@pytest.mark.parametrize(("kv_precision", "expected"), [("q8_0/q4_0", 0), ("fp8_ds_mla", 1)])
def test_llama_cpp_has_its_own_caches(kv_precision, expected):
    found = vram.capacity(
        "deepseek-v3", gpu="h200", pp=8, context=8192, engine="llama.cpp", kv_precision=kv_precision, precision="q4_k_m"
    )
    assert len(found.warnings) == expected


@pytest.mark.parametrize(("given", "warning"), [((8192,), ""), ((200_000,), BEYOND), ((8192, 1, 4), BYTES)])
def test_the_sum_of_memory_warns_too(vram_command, given, warning):
    names = dict(zip(("context", "users", "precision"), given))
    options = [part for name, value in names.items() for part in (f"--{name}", value)]
    found = answer(vram_command, "estimate", LLAMA, *options)["warnings"]
    assert found == list(vram.estimate(LLAMA, **names).warnings)
    assert len(found) == (1 if warning else 0) and all(text.startswith(warning) for text in found)
    check = vram_udf.VRAM_CHECK(LLAMA, *given)
    assert check.startswith(f"OK, but {warning}") if warning else check == "OK"
    assert isinstance(vram_udf.VRAM_TOTAL(LLAMA, *given), float)


def test_a_speed_warns_too(vram_command):
    load = ("--users", 1, "--prompt-tokens", 500, "--output-tokens", 200)
    asked = ("speed", LLAMA, "--gpu", "h100", "--tp", 4, *load)
    assert answer(vram_command, *asked)["warnings"] == []
    assert answer(vram_command, *asked, "--engine-version", "0.2")["warnings"] == [OLD]
    _, out, _ = vram_command(*asked, "--engine-version", "0.2")
    assert f"warning: {OLD}" in out
    assert answer(vram_command, *asked, "--engine", "tensorrt-llm", "--engine-version", "1.2")["warnings"] == []


def test_a_format_without_a_kernel_is_a_warning_or_an_error(vram_command):
    """Memory can be computed, a speed cannot: vLLM's kernels for FP8 need compute capability 7.5."""
    asked = (LLAMA, "--gpu", "v100", "--tp", 8, "--precision", "fp8")
    assert answer(vram_command, "capacity", *asked, "--context", 8192)["warnings"] == [LACKS]
    load = ("--users", 1, "--prompt-tokens", 500, "--output-tokens", 200)
    assert f"{LACKS}. Choose another precision or GPU." in error(vram_command, "speed", *asked, *load)
    plan = answer(vram_command, "plan", LLAMA, "--users", 1, "--context", 8192, "--gpu", "v100", "--precision", "fp8")
    assert not plan["layouts"] and any("no kernel for FP8" in row["reason"] for row in plan["ruled_out"])
    without_speed = vram.plan(LLAMA, users=1, context=8192, gpus=["v100"], precision="fp8", min_speed=None)
    assert without_speed.warnings == (LACKS,)
    assert vram_udf.VRAM_CHECK(LLAMA, 8192, 1, "fp8", None, None, None, "v100", 8) == f"OK, but {LACKS}"
    assert vram_udf.VRAM_SPEED(LLAMA, 500, 200, 1, "v100", 8, "fp8") == "#NUM!"


@pytest.mark.parametrize(
    ("gpu", "precision", "engine", "assumed"),
    [
        ("a100", "fp8", "vllm", ("precision: NVIDIA A100 SXM4 80 GB has no fp8 units; weights are widened",)),
        ("h100", "fp8", "vllm", ()),
        ("h100", "awq", "vllm", ()),  # no GPU has units for it
        ("h100", "nvfp4", "vllm", ("precision: NVIDIA H100 SXM5 80 GB has no fp4 units; weights are widened",)),
        ("b200", "nvfp4", "vllm", ()),
        ("a100", "q4_k_m", "llama.cpp", ()),
    ],
)
def test_a_format_without_units_is_said(gpu, precision, engine, assumed):
    found = vram.capacity(LLAMA, gpu=gpu, tp=1, pp=8, precision=precision, engine=engine).assumed
    assert len(found) == len(assumed) and all(text.startswith(start) for text, start in zip(found, assumed))


@pytest.mark.parametrize("written", [0, 0.1, 8, 16])
def test_bytes_that_no_format_has_are_refused_at_every_door(vram_command, written):
    message = f"precision: {written:g} bytes per value is not between 0.125 and 4. Write bytes, not bits"
    for command in (("estimate", LLAMA, "--context", 8192), ("capacity", LLAMA, "--gpu", "h100")):
        assert message in error(vram_command, *command, "--precision", written)
    assert vram_udf.VRAM_WEIGHTS(LLAMA, written) == "#NUM!"
    assert message in vram_udf.VRAM_CHECK(LLAMA, 8192, 1, written)
    assert message in str(scenario(precision=written)[1][0])


def test_the_fallback_before_ampere_is_said(vram_command):
    asked = ("capacity", "llama-3.1-8b", "--gpu", "v100", "--context", 8192, "--engine-version")
    fallen, older, newer = (answer(vram_command, *asked, version) for version in ("0.9.2", "0.7.3", "0.10.2"))
    assert fallen["kv_tokens"] == older["kv_tokens"]
    said = "engine_version: vLLM falls back to its older core on a GPU before Ampere, so its older budget is computed"
    assert (fallen["assumed"], older["assumed"], newer["assumed"]) == ([said], [], [])


SIZE_WITH_VOCABULARY = [["params_b", 70], ["num_hidden_layers", 80], ["hidden_size", 8192], ["vocab_size", 128_256],
                        ["intermediate_size", 28_672]]  # fmt: skip


# ---- VRAM_CHECK covers the arguments of every function ----------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "verdict"),
    [
        # model, context, users, precision, kv_precision, overhead, unit, gpu, gpus, prompt, output, speed, result
        ((LLAMA, 8192, 1, None, None, None, None, "h100", 2), "OK"),
        ((LLAMA, 8192, 9, None, None, None, None, "h100", 2), "OK, but users: 2 × h100-sxm hold 3 users of 8,192"),
        ((LLAMA, 8192, 1, None, None, None, None, "h100", 0), "gpus: 0 is below 1. Write the number of GPUs"),
        ((LLAMA, 8192, 1, None, None, None, None, "h101"), "gpu: 'h101' is not known. Did you mean"),
        (("llama-3.1-405b", 131_072, 1, None, None, None, None, "t4"), "gpu: llama-3.1-405b with 131,072 tokens does"),
        ((LLAMA, 8192, 1, None, None, 0.1, None, "h100", 4), "OK"),
        (([[70, 80, 8196]], 32_000, 1, None, None, None, None, "a100"), "OK"),
        ((SIZE_WITH_VOCABULARY, 8192, 1, "fp8", None, None, None, "v100", 32), "OK"),  # no shapes, so no kernels
        ((LLAMA, None, 4, None, None, None, None, "h100", 4, 2000, 500), "OK"),
        ((LLAMA, None, 4, None, None, None, None, "h100", 4, 2000, 500, 5), "OK"),
        (
            (LLAMA, None, 1, None, None, None, None, "h100", 4, 2000, 500, 999),
            "OK, but tokens_per_second: not even one",
        ),
        ((LLAMA, None, 999, None, None, None, None, "h100", 2, 2000, 500), "OK, but users: 2 × h100-sxm run "),
        ((LLAMA, None, 1, None, None, None, None, 80, 4, 2000, 500), "gpu: 80 GB of memory have no bandwidth"),
        (
            (LLAMA, None, 1, None, None, None, None, "l4", 1, 2000, 500),
            "gpus: llama-3.1-70b with 2,500 tokens does not",
        ),
        ((LLAMA, None, 1, None, None, None, None, "h100", 4, 0, 500), "prompt_tokens: 0 is below 1."),
        ((LLAMA, None, 1, None, None, None, None, "h100", 4, 2000, 500, 5, "mean"), "result: 'mean' is not known."),
        ((LLAMA, None, 1, None, None, None, None, "h100", 4, 2000), "context: it is blank."),
        ((LLAMA, None, 1, None, None, None, None, "h100", None, 2000, 500), "OK"),
    ],
)
def test_the_check_covers_every_argument(arguments, verdict):
    found = vram_udf.VRAM_CHECK(*arguments)
    assert found == verdict if verdict == "OK" else found.startswith(verdict), found
