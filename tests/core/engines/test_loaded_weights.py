"""Weights per GPU and cache bytes per token, compared with vLLM's logs on real GPUs."""

import functools
from dataclasses import replace

import pytest

from core import catalog
from core.engines.blocks import BLOCK_TOKENS, blocks
from core.engines.deployment import parse_version
from core.engines.loaded_weights import allocated_bytes, loaded_weights_bytes, rotary_cache_bytes
from core.model.weights import weights_bytes
from core.plan.engine_warnings import checkpoint_note
from core.readers.hf_config import spec_from_config
from tools import golden_tables

GIB, MIB = 2**30, 2**20
RUNS = golden_tables.rows("measured")
BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


@functools.cache
def models():
    return {row["model"]: row for row in golden_tables.rows("measured_models")}


def spec_and_precision(run):
    row = models()[run["model"]]
    spec = replace(spec_from_config(golden_tables.config(row), name=run["model"]), bytes_per_value=BYTES[run["dtype"]])
    name = row["precision"] or ("fp8_tensor" if run["quantization"] == "fp8" else "")
    return spec, catalog.precision("precision", name) if name else None


def weights_error(run):
    spec, precision = spec_and_precision(run)
    predicted = loaded_weights_bytes(spec, precision, tp=int(run["tp"]), pp=int(run["pp"])) / GIB
    return predicted / float(run["weights_gib_per_gpu"]) - 1


def name(run):
    return f"{run['model'].rpartition('/')[2]}-tp{run['tp']}-pp{run['pp']}-{run['max_model_len']}-{run['dtype']}"


@pytest.mark.parametrize("run", RUNS, ids=name)
def test_weights_per_gpu_are_as_logged(run):
    assert abs(weights_error(run)) <= 0.03


def test_the_errors_of_weights_are_small():
    errors = sorted(abs(weights_error(run)) for run in RUNS)
    assert errors[len(errors) // 2] <= 0.001
    assert errors[-1] <= 0.016


@pytest.mark.parametrize("run", RUNS, ids=name)
def test_cache_per_token_is_as_logged(run):
    """The log prints the memory for the cache with two decimals of a GiB, and its tokens in whole blocks."""
    spec, _ = spec_and_precision(run)
    kv = {"fp8": "fp8", "auto": "fp32" if run["dtype"] == "float32" else "fp16"}[run["kv_cache_dtype"]]
    version = parse_version(run["engine"].rpartition(" ")[2])
    cache = blocks(spec, catalog.precision("kv_precision", kv), int(run["tp"]), int(run["pp"]), version)
    # Up to vLLM 0.20 the logged tokens are blocks ÷ groups × block tokens (v1/core/kv_cache_utils.py).
    predicted = cache.block_bytes[0] * len(cache.groups) / BLOCK_TOKENS
    available, tokens = float(run["kv_available_gib"]), int(run["kv_tokens"])
    printed = 0.005 / available + 16 / tokens
    # All stages have the blocks of the fullest stage; the log prints the first stage's memory.
    stages = 0.015 if int(run["pp"]) > 1 else 0
    assert predicted == pytest.approx(available * GIB / tokens, rel=printed + stages + 0.0002)


@pytest.mark.parametrize(
    ("size_bytes", "allocated"),
    [
        (1, 512),
        (10 * MIB, 10 * MIB),
        (33_030_144, 32 * MIB),  # 31.5 MiB: the rest of half a MiB is too small to split off
        (24_5 * MIB // 10, 24_5 * MIB // 10),  # 24.5 MiB: the rest of 1.5 MiB is split off
        (259 * MIB, 260 * MIB),
    ],
)
def test_the_allocator_rounds_large_tensors(size_bytes, allocated):
    assert allocated_bytes(size_bytes) == allocated


@pytest.mark.parametrize(
    ("model", "mib"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", 32),  # 131 072 positions × 128 × 2 bytes
        ("google/gemma-3-27b-it", 288),  # the global table has eight times the positions of the local one
        ("openai/gpt-oss-20b", 16),  # YaRN: 4096 × 32 positions × 64 × 2 bytes
    ],
)
def test_the_rotary_table(model, mib):
    spec = spec_from_config(golden_tables.config(models()[model]), name=model)
    assert rotary_cache_bytes(spec) == mib * MIB


def test_the_rotary_tables_of_gemma_4():
    """262 144 positions × (512 for full attention + 256 for windows) × 2 bytes."""
    assert rotary_cache_bytes(catalog.model("gemma-4-31b").spec) == 384 * MIB


def test_keys_that_serve_as_values_are_loaded_twice():
    """Gemma 4 31B: 10 of 60 layers, 4 KV heads × 512 × 5376 × 2 bytes; the log has 58.99 GiB (tests/golden/logged.csv)."""
    spec = catalog.model("gemma-4-31b").spec
    own = replace(spec, layers=tuple(replace(run, mixer=replace(run.mixer, own_values=True)) for run in spec.layers))
    assert loaded_weights_bytes(spec) == loaded_weights_bytes(own)
    more = weights_bytes(own) - weights_bytes(spec)
    assert more == 10 * 4 * 512 * 5376 * 2


def test_the_merger_of_images_is_divided_among_ranks():
    """Qwen3.5 9B: 4608 × 4608 and 4096 × 4608 parameters of the merger; a quarter of them on each of four ranks."""
    spec = catalog.model("qwen3.5-9b").spec
    merger = [tensor for tensor in spec.extra if tensor.name.startswith("visual.merger.linear")]
    stored = sum(tensor.on_rank(4).rows * tensor.on_rank(4).columns for tensor in merger if tensor.columns > 1)
    assert stored == (4608 * 4608 + 4096 * 4608) // 4


def test_llama_405b_fp8_leaves_attention_in_16_bits():
    """57.752 GiB a GPU logged with 16 KV heads, as it was first published (vllm-project/vllm issue 6746); it has 8 now."""
    spec = catalog.model("llama-3.1-405b-fp8").spec
    doubled_heads = 126 * 2 * 8 * 128 * 16_384 * 2 // 8
    assert (loaded_weights_bytes(spec, tp=8) + doubled_heads) / GIB == pytest.approx(57.752, rel=0.015)
    assert catalog.named_model("meta-llama/Meta-Llama-3.1-405B-Instruct-FP8").model.spec is spec
    assert "llama-3.1-405b-fp8 has 1.18 ×" in checkpoint_note(
        catalog.model("llama-3.1-405b").spec, catalog.precision("precision", "fp8_tensor")
    )
