"""Caches that an engine lacks, and layouts that it cannot have; interfaces test the other warnings."""

from __future__ import annotations

import pytest

from core import catalog
from core.engines import llama_cpp, vllm
from core.plan.engine_warnings import cache_warning
from core.plan.layout_figures import CACHE_WIDTHS, cache_width, is_possible


def warning(name: str, cache: str, engine=vllm.ENGINE) -> str:
    return cache_warning(engine, catalog.model(name).spec, catalog.kv_precision(cache))


# Model, cache, and how the warning goes on after "kv_precision: vLLM "; "" for none. The interfaces are asked the same.
CACHES = (
    ("llama-3.1-70b", "fp8", ""),
    ("llama-3.1-70b", "fp8_per_token_head", ""),
    ("llama-3.1-70b", "int8_per_token_head", ""),
    ("llama-3.1-70b", "fp8_ds_mla", "has fp8_ds_mla for sparse latent attention alone, and llama-3.1-70b has none"),
    ("deepseek-v3", "fp8", ""),
    ("deepseek-v3", "fp8_per_token_head", "has no fp8_per_token_head for latent attention, which deepseek-v3 has"),
    ("deepseek-v3", "int8_per_token_head", "has no int8_per_token_head for latent attention, which deepseek-v3 has"),
    ("deepseek-v3", "fp8_ds_mla", "has fp8_ds_mla for sparse latent attention alone, and deepseek-v3 has none"),
    ("deepseek-v3.2", "fp8_ds_mla", ""),
    ("deepseek-v3.2", "fp8_per_token_head", "has no fp8_per_token_head for latent attention, which deepseek-v3.2 has"),
    ("deepseek-v4-flash", "fp8_ds_mla", ""),
    ("deepseek-v4-flash", "int8_per_token_head", "has no int8_per_token_head for latent attention, which"),
)


@pytest.mark.parametrize(("name", "cache", "expected"), CACHES)
def test_caches_that_vllm_lacks_for_the_attention(name, cache, expected):
    found = warning(name, cache)
    assert found.startswith(f"kv_precision: vLLM {expected}") if expected else found == ""
    assert warning(name, cache, llama_cpp.ENGINE) == ""  # llama.cpp has other formats


def test_the_width_of_a_cache():
    widths = {name: cache_width(catalog.kv_precision(name)) for name in CACHE_WIDTHS.values()}
    assert widths == {name: width for width, name in CACHE_WIDTHS.items()}
    assert cache_width(catalog.kv_precision("fp16")) == cache_width(catalog.kv_precision("bf16"))
    assert cache_width(catalog.kv_precision("q8_0")) == ""  # 8.5 bits


def test_layouts_that_are_possible():
    dense, experts = (catalog.model(name).spec for name in ("llama-3.1-70b", "deepseek-v3"))
    assert is_possible(dense, 8, 4) and is_possible(dense, 1, 80) and not is_possible(dense, 1, 81)
    assert not is_possible(dense, 3, 1)  # 64 heads
    assert not is_possible(dense, 8, 1, 2) and is_possible(experts, 8, 1, 2)  # groups share experts
    assert not is_possible(experts, 8, 2, 2) and not is_possible(experts, 8, 1, 3)
    assert not is_possible(dense, 1, 1, drafts=True) and is_possible(experts, 1, 1, drafts=True)
