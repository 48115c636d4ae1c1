"""Caches that an engine lacks; interfaces are asked the same in tests/test_inputs.py."""

from __future__ import annotations

import pytest

from core import catalog
from core.engines import llama_cpp, sglang, vllm
from core.plan.cache_formats import cache_warning
from core.plan.speed import TENSORRT_LLM_ENGINE

ENGINES = {engine.name: engine for engine in (vllm.ENGINE, sglang.ENGINE, TENSORRT_LLM_ENGINE, llama_cpp.ENGINE)}
OF_VLLM = "fp16, bf16, fp32, fp8, nvfp4, fp8_per_token_head, int8_per_token_head, fp8_ds_mla"
# Model, cache, and the text of the warning after "kv_precision: vllm has "; "" for no warning.
CACHES = (
    ("llama-3.1-70b", "fp8", ""),
    ("llama-3.1-70b", "fp32", ""),
    ("llama-3.1-70b", "nvfp4", ""),
    ("llama-3.1-70b", 0.5, ""),  # of any format
    ("llama-3.1-70b", "fp8_per_token_head", ""),
    ("llama-3.1-70b", "int8_per_token_head", ""),
    ("llama-3.1-70b", "fp8_ds_mla", "fp8_ds_mla for sparse latent attention alone, and llama-3.1-70b has none"),
    ("llama-3.1-70b", "int4", f"no cache in int4; its formats are {OF_VLLM}"),
    ("llama-3.1-70b", "q8_0", f"no cache in q8_0; its formats are {OF_VLLM}"),
    ("llama-3.1-70b", "fp16/fp8", f"no cache in fp16/fp8; its formats are {OF_VLLM}"),
    ("deepseek-v3", "fp8", ""),
    ("deepseek-v3", "fp8_per_token_head", "no fp8_per_token_head for latent attention, which deepseek-v3 has"),
    ("deepseek-v3", "int8_per_token_head", "no int8_per_token_head for latent attention, which deepseek-v3 has"),
    ("deepseek-v3", "fp8_ds_mla", "fp8_ds_mla for sparse latent attention alone, and deepseek-v3 has none"),
    ("deepseek-v3.2", "fp8_ds_mla", ""),
    ("deepseek-v3.2", "fp8_per_token_head", "no fp8_per_token_head for latent attention, which deepseek-v3.2 has"),
    ("deepseek-v4-flash", "fp8_ds_mla", ""),
    (
        "deepseek-v4-flash",
        "int8_per_token_head",
        "no int8_per_token_head for latent attention, which deepseek-v4-flash",
    ),
)
# Engine → caches that it has and lacks, for any model.
OTHERS = {
    "sglang": (("fp8", "nvfp4", "bf16"), ("fp8_ds_mla", "int8_per_token_head", "int8", "q8_0", "q8_0/q4_0")),
    "tensorrt-llm": (("fp8", "nvfp4", "int8", "fp16"), ("fp8_ds_mla", "fp8_per_token_head", "int4", "q4_0")),
    "llama.cpp": (
        ("fp16", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "iq4_nl", "q8_0/q4_0", "bf16/q5_1", 1),
        ("fp8", "nvfp4", "fp8_ds_mla", "int8", "q8_0/fp8", "mxfp4/q4_0"),
    ),
}


def warning(engine: str, model: str, cache: object) -> str:
    return cache_warning(ENGINES[engine], catalog.model(model).spec, catalog.kv_precision(cache))


@pytest.mark.parametrize(("model", "cache", "expected"), CACHES)
def test_caches_that_vllm_lacks_for_the_attention(model, cache, expected):
    found = warning("vllm", model, cache)
    assert found.startswith(f"kv_precision: vllm has {expected}") if expected else found == ""


@pytest.mark.parametrize("engine", OTHERS)
@pytest.mark.parametrize("model", ["llama-3.1-70b", "deepseek-v3"])
def test_caches_that_other_engines_have(engine, model):
    has, lacks = OTHERS[engine]
    assert {cache: warning(engine, model, cache) for cache in has} == dict.fromkeys(has, "")
    for cache in lacks:
        assert warning(engine, model, cache).startswith(
            f"kv_precision: {engine} has no cache in {cache}; its formats are"
        )
