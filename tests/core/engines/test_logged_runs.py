"""Published logs of engines: single runs of many versions, models and GPUs (tests/golden/logged.csv)."""

from __future__ import annotations

import pytest

from core import catalog
from core.engines import llama_cpp, vllm
from core.engines.blocks import blocks
from core.engines.deployment import Device, parse_version
from tools import logged_runs

FOUND = logged_runs.figures()

# The median and largest error that the product promises for such runs; docs/accuracy.md has the actual errors.
PROMISED = {
    "weights": (0.002, 0.025),
    "mem usage": (0.06, 0.06),
    "GGUF file": (0.008, 0.05),  # publishers choose different mixes of formats
    "KV buffer": (0.0005, 0.002),
    "tokens of the logged memory": (0.001, 0.02),
    "concurrency of the logged memory": (0.001, 0.01),
    "peak activation": (0.012, 0.04),  # a log prints two decimals: 0.34 GiB
    "KV cache memory": (0.06, 0.2),  # with little memory for the cache, or with FlashInfer (`vllm.activation`)
}


def test_there_are_many_runs_of_every_engine():
    rows = {id(figure.row): figure.row["engine"] for figure in FOUND}
    counts = {engine: list(rows.values()).count(engine) for engine in set(rows.values())}
    assert counts["vllm"] >= 38
    assert counts["sglang"] >= 6
    assert counts["llama.cpp"] >= 20


@pytest.mark.parametrize("half", [0, 1], ids=["fit", "check"])
def test_the_errors_of_each_half_are_as_promised(half):
    errors = logged_runs.errors(logged_runs.halves(FOUND)[half])
    assert errors.keys() <= PROMISED.keys()
    for name, (_, median, worst) in errors.items():
        assert median <= PROMISED[name][0], name
        assert worst <= PROMISED[name][1], name


def test_budgets_are_within_the_stated_range():
    assert all(figure.in_range for figure in FOUND if figure.name in ("KV cache memory", "mem usage"))


@pytest.mark.parametrize(
    ("version", "values_per_layer"),
    [
        ("0.6.6", 16 * 256 * 2),  # unfolded: 16 heads of 256 for keys and for values (get_head_size)
        ("0.7.1", 512 + 64),
        ("0.7.2", 640),  # aligned to 256 bytes: 59.75 GiB ÷ (116 023 × 16) ÷ 27 layers (pull request 13109)
        ("0.8.0", 512 + 64),
    ],
)
def test_latents_in_early_versions(version, values_per_layer):
    model = catalog.model("deepseek-v2-lite").spec
    fp16 = catalog.precision("kv_precision", "fp16")
    found = blocks(model, fp16, 1, 1, parse_version(version))
    assert found.bytes_per_token() == 27 * values_per_layer * 2


def test_early_versions_cached_cross_attention_per_token():
    """40 layers of 8 KV heads: 14.65 GiB were 6001 blocks (vllm-project/vllm pull request 12126)."""
    model = catalog.model("llama-3.2-11b-vision").spec
    found = blocks(model, catalog.precision("kv_precision", "fp16"), 1, 1, parse_version("0.7.0"))
    assert found.bytes_per_token() == 40 * 8 * 128 * 2 * 2


@pytest.mark.parametrize(
    ("name", "context", "mib"),
    [("qwen3-32b", 40_960, 5252.01), ("gemma-3-27b", 131_072, 8743.51)],  # ikawrakow/ik_llama.cpp issue 539
)
def test_attention_without_flash_attention(name, context, mib):
    found = llama_cpp.attention_buffer_bytes(catalog.model(name).spec, context, 512)
    assert found / 2**20 == pytest.approx(mib, rel=0.001)


@pytest.mark.parametrize(
    ("gpu", "mib"),
    [
        ("NVIDIA H100 80GB HBM3", 32),  # aten/src/ATen/cuda/CublasHandlePool.cpp: Hopper and Blackwell
        ("b200", 32),
        ("MI300X", 128),  # gfx94x and gfx95x
        ("RTX 3090", 8.125),  # ":4096:2:16:8"
        ("T4", 8.125),
    ],
)
def test_the_workspace_of_matrix_products(gpu, mib):
    assert vllm.cublas_bytes(Device(gpu, 0)) == mib * 2**20
