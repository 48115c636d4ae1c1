"""`vram capacity` and `vram plan`: what they print, and that bad input is one sentence and exit status 2."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest

from core.units import GIB
from tools import golden_tables

ANSWERS = (
    "weights_bytes_per_gpu", "activation_bytes_per_gpu", "graph_bytes_per_gpu", "other_bytes_per_gpu",
    "kv_budget_bytes_per_gpu", "kv_tokens", "max_concurrency", "max_users",
)  # fmt: skip


def answer(vram, *arguments):
    status, out, err = vram(*arguments, "--json")
    assert (status, err) == (0, "")
    return json.loads(out)


def run_of(model: str, **fields: str) -> dict[str, str]:
    fixed = {"dtype": "bfloat16", "quantization": "None", "kv_cache_dtype": "auto", "tp": "1", "pp": "1"} | fields
    return next(
        run for run in golden_tables.rows("measured")
        if run["model"] == model and all(run[name] == value for name, value in fixed.items())
    )  # fmt: skip


def test_a_logged_run_from_the_command_line(vram):
    """tests/golden/measured.csv: Llama-3.1-8B-Instruct, TP 1, 8192 tokens."""
    logged = run_of("meta-llama/Llama-3.1-8B-Instruct", max_model_len="8192")
    found = answer(vram, "capacity", "llama-3.1-8b", "--gpu", "H100-80GB", "--gpu-memory-gib", logged["gpu_total_gib"],
                   "--context", 8192, "--memory-utilization", 0.95, "--engine-version", "0.19")  # fmt: skip
    assert found["kv_budget_bytes_per_gpu"] / GIB == pytest.approx(float(logged["kv_available_gib"]), abs=0.05)
    assert found["activation_bytes_per_gpu"] / GIB == pytest.approx(float(logged["activation_peak_gib"]), abs=0.02)
    assert found["max_concurrency"] == pytest.approx(float(logged["max_concurrency"]), rel=0.001)
    assert found["kv_bytes_per_token_per_gpu"] == 131_072
    assert (found["max_users"], found["graphs_are_subtracted"]) == (58, False)
    assert found["note"] == "memory only: this is not a latency promise"


@pytest.mark.parametrize(("written", "gib"), [("fp8", 8.49), ("w8a8", 8.49), ("int4", 5.38), ("w4a16", 5.38)])
def test_bare_names_are_served_with_their_scales(vram, written, gib):
    """What vLLM logged for Llama-3.1-8B-Instruct with --quantization fp8, W8A8 and W4A16."""
    found = answer(vram, "capacity", "llama-3.1-8b", "--gpu", "h100", "--precision", written)
    assert found["weights_bytes_per_gpu"] / GIB == pytest.approx(gib, rel=0.01)


def test_every_answer_has_its_range(vram):
    found = answer(vram, "capacity", "llama-3.1-70b", "--gpu", "h100", "--tp", 4, "--context", 32768)
    for name in ANSWERS:
        assert found["low"][name] <= found[name] <= found["high"][name]
    assert found["low"]["kv_tokens"] < found["high"]["kv_tokens"]


@pytest.mark.parametrize("engine", ["vllm", "sglang", "llama.cpp"])
def test_every_engine_prints_a_table(vram, engine):
    status, out, err = vram("capacity", "llama-3.1-8b", "--gpu", "rtx-4090", "--context", 4096, "--engine", engine,
                            "--precision", "fp8", "--average-tokens", 500)  # fmt: skip
    assert (status, err) == (0, "")
    assert "KV cache" in out and "users, paged" in out and "memory only: this is not a latency promise" in out


def test_the_context_is_the_models_own_if_none_is_given(vram):
    assert answer(vram, "capacity", "llama-3.1-8b", "--gpu", "h100")["context"] == 131_072


def test_a_config_file(vram, tmp_path):
    config = next(row for row in golden_tables.rows("nine_models") if row["model"] == "deepseek-v3")["config"]
    path = tmp_path / "config.json"
    path.write_text(config, encoding="utf-8")
    found = answer(vram, "capacity", path, "--gpu", "h200", "--tp", 8, "--context", 32768)
    assert found["kv_bytes_per_token_per_gpu"] == 70_272
    assert found["low"]["max_users"] <= 20 <= found["high"]["max_users"]
    whole = answer(vram, "capacity", path, "--gpu", "h200", "--tp", 8, "--context", 32768, "--expert-parallel")
    assert whole["weights_bytes_per_gpu"] == pytest.approx(found["weights_bytes_per_gpu"], rel=0.01)  # 256 ÷ 8 experts


def net_present_cost(layout):
    """The lower of owning and renting, as the plan prints them."""
    return min(way["npv_usd"] for way in (layout["costs"]["owning"], layout["costs"]["renting"]) if way)


def test_a_plan_is_ranked_and_says_what_is_ruled_out(vram):
    found = answer(vram, "plan", "llama-3.1-70b", "--users", 1, "--context", 32000, "--gpu", "A100 80GB", "--costs")
    costs = [net_present_cost(layout) for layout in found["layouts"]]
    assert all(earlier <= later * 1.001 for earlier, later in pairwise(costs))
    assert [layout["rank"] for layout in found["layouts"]] == list(range(1, len(costs) + 1))
    assert found["margin"] == pytest.approx(costs[1] / costs[0] - 1, abs=1e-4)
    for layout in found["layouts"]:
        assert layout["gpus"] == layout["tp"] * layout["pp"] * layout["replicas"]
        assert layout["users_per_replica"] * layout["replicas"] >= 1
        assert 0 <= layout["headroom"] < 1
    reasons = [row["reason"] for row in found["ruled_out"]]
    assert any(reason.startswith("TP 1: ") and "usable" in reason for reason in reasons)


def test_a_plan_over_every_gpu_has_the_best_layout_of_each(vram):
    found = answer(vram, "plan", "llama-3.1-405b", "--users", 10, "--context", 32768)
    names = [layout["gpu"] for layout in found["layouts"]]
    assert len(set(names)) == len(names) > 10
    assert {row["gpu"] for row in found["ruled_out"]}.isdisjoint(names)
    assert len(found["ruled_out"]) + len(names) >= 82


def test_the_articles_advice(vram):
    """One user: 242 GB over 80 GB, four GPUs by division, and as the rule deploys them."""
    found = answer(vram, "plan", "article-llama-70b", "--users", 1, "--context", 32000, "--gpu", 80, "--overhead", 0.1)
    assert (found["layouts"][0]["gpus"], found["layouts"][0]["tp"]) == (4, 4)


def test_a_plan_with_costs_has_the_cheapest_first(vram):
    """Where the catalog has no price, or not the GPU, there is none in the plan either, and the row comes last."""
    arguments = ("plan", "llama-3.1-8b", "--users", 5, "--context", 8192, "--costs")
    found = answer(vram, *arguments, "--gpu", "l4", "--gpu", "h100", "--gpu", 96, "--gpu", "ascend-910b")["layouts"]
    costs = [net_present_cost(row) for row in found if row["rank"]]
    assert all(earlier <= later * 1.001 for earlier, later in pairwise(costs)) and 0 < len(costs) < len(found)
    assert {row["why_not"] for row in found[len(costs) :]} == {"no price is known"}
    assert {row["gpu"] for row in found[: len(costs)]} == {"l4", "h100-sxm"}
    assert {row["gpu"] for row in found[len(costs) :]} == {"96 GB", "ascend-910b"}
    first = found[0]["costs"]
    assert first["order_steps"]["deployable"] == found[0]["gpus"] <= first["order_steps"]["with_spares"]
    assert first["owning"]["usd_per_user_month"] == pytest.approx(first["owning"]["usd_per_month"] / 5, abs=0.01)
    assert "costs" not in answer(vram, *arguments[:-1], "--gpu", "l4")["layouts"][0]


def test_a_plan_with_costs_prints_a_table(vram):
    arguments = ("plan", "llama-3.1-8b", "--users", 5, "--context", 8192, "--gpu", "l4", "--gpu", 96)
    status, out, err = vram(*arguments, "--costs")
    assert (status, err) == (0, "")
    assert "order" in out and "indicative, replace" in " ".join(out.split())


def test_a_plan_prints_a_table(vram):
    status, out, err = vram("plan", "llama-3.1-8b", "--users", 5, "--context", 8192, "--gpu", "l4", "--gpu", "t4")
    assert (status, err) == (0, "")
    assert "headroom" in out and "Ruled out:" in out and "t4: TP 1" in out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("capacity", "llama-3.1-8b"), "gpu: it is missing. Name a GPU"),
        (("capacity", "llama-3.1-8b", "--gpu", "h101"), "gpu: 'h101' is not known. Did you mean"),
        (("capacity", "llama-3.1-8b", "--gpu", "h100", "--tp", "3"), "tp: 3 does not divide the 32 attention heads"),
        (("capacity", "llama-3.1-8b", "--gpu", "h100", "--pp", "33"), "pp: 33 stages are more than the 32 layers"),
        (
            ("capacity", "llama-3.1-8b", "--gpu", "h100", "--memory-utilization", "1.5"),
            "memory_utilization: 1.5 is above 1",
        ),
        (
            ("capacity", "llama-3.1-8b", "--gpu", "h100", "--engine-version", "new"),
            "engine_version: 'new' is not a version",
        ),
        (
            ("capacity", "article-llama-70b", "--gpu", "h100", "--context", "10"),
            "model: only the size of article-llama-70b is known",
        ),
        (("plan", "llama-3.1-8b", "--users", "0", "--context", "10"), "users: 0 is below 1"),
    ],
)
def test_bad_input_is_one_sentence(vram, arguments, sentence):
    status, out, err = vram(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith(f"vram: {sentence}")
    assert len(err.splitlines()) == 1


def test_an_encoder_has_no_cache_and_no_speed(vram):
    """It computes a whole text in one step: no tokens are cached or generated, and the steps limit its users."""
    found = answer(vram, "capacity", "bge-m3", "--gpu", "l40s", "--context", 8192)
    assert found["kv_tokens"] == 0
    assert found["max_users"] == found["max_sequences"] == 256
    status, _, err = vram(
        "speed", "bge-m3", "--gpu", "l40s", "--users", 1, "--prompt-tokens", 500, "--output-tokens", 1
    )
    assert status == 2 and "bge-m3 has no KV cache of its own" in err
    status, out, _ = vram("plan", "bge-m3", "--gpu", "l40s", "--users", 10, "--context", 8192)
    assert status == 0 and "No speed: bge-m3 has no KV cache of its own" in out
