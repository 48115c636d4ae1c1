"""Widths of caches, and layouts that a model can have; tests/core/plan/test_memory.py compares the figures."""

from __future__ import annotations

from core import catalog
from core.plan.layout_figures import CACHE_WIDTHS, cache_width, is_possible


def test_the_width_of_a_cache():
    widths = {name: cache_width(catalog.kv_precision(name)) for name in CACHE_WIDTHS.values()}
    assert widths == {name: width for width, name in CACHE_WIDTHS.items()}
    for one, other in (("fp16", "bf16"), ("q4_0", "nvfp4"), ("q4_0/q8_0", "q8_0/q4_0")):
        assert cache_width(catalog.kv_precision(one)) == cache_width(catalog.kv_precision(other))
    assert cache_width(catalog.kv_precision("q5_1")) == ""  # 6 bits


def test_layouts_that_are_possible():
    dense, experts = (catalog.model(name).spec for name in ("llama-3.1-70b", "deepseek-v3"))
    assert is_possible(dense, 8, 4) and is_possible(dense, 1, 80) and not is_possible(dense, 1, 81)
    assert not is_possible(dense, 3, 1)  # 64 heads
    assert not is_possible(dense, 8, 1, 2) and is_possible(experts, 8, 1, 2)  # groups share experts
    assert not is_possible(experts, 8, 2, 2) and not is_possible(experts, 8, 1, 3)
    assert not is_possible(dense, 1, 1, drafts=True) and is_possible(experts, 1, 1, drafts=True)
