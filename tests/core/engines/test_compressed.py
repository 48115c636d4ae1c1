"""Compare the blocks and workspaces of compressed attention with what engines logged."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from core import catalog
from core.engines.compressed import attention_peak_bytes, compressed_blocks, context_bytes, has_compressed_attention
from core.engines.served import with_draft_layers
from core.model.spec import ModelSpec
from core.units import GIB, MIB

FP8, FP16 = catalog.precision("kv_precision", "fp8"), catalog.precision("kv_precision", "fp16")


def _flash() -> ModelSpec:
    return catalog.model("deepseek-v4-flash").spec


@pytest.mark.parametrize(
    ("version", "with_mtp", "kv_gib", "context", "in_flight", "tokens"),
    [
        # GitHub issue "vLLM vastly over-estimates DeepSeek-V4 compressor-state KV cache" (0.22.1rc1, 8 RTX PRO 5000):
        # 37.93 GiB, 9.76 × 256,000.
        ((0, 22, 1), False, 37.93, 256_000, 8192, 2_497_693),
        # vllm-project/vllm issue 51041 (2 H20, MTP): before and after the engine keeps two steps in flight.
        ((0, 25, 0), True, 7.01, 912_128, 8192, 1_009_661),
        ((0, 26, 0), True, 7.71, 121_344, 2 * 8192, 150_992),
    ],
)
def test_the_logged_size_of_the_cache(
    version: tuple[int, int, int], with_mtp: bool, kv_gib: float, context: int, in_flight: int, tokens: int
) -> None:
    model = with_draft_layers(_flash()) if with_mtp else _flash()
    blocks = compressed_blocks(model, FP8, 1, version)
    count = int(kv_gib * GIB) // blocks.block_bytes[0]
    assert count / blocks.of_sequence(context, in_flight) * context == pytest.approx(tokens, rel=0.001)


def test_pages_of_the_groups() -> None:
    """Issue 54703 of vLLM (0.28.1) prints the bytes of each group's block."""
    blocks = compressed_blocks(_flash(), FP8, 1, (0, 28, 1))
    assert blocks.group_bytes == (1_002_240, 823_680, 786_240, 870_912, 656_640)
    assert [group.block_tokens for group in blocks.groups] == [256, 64, 64, 4, 8]
    assert [group.layers for group in blocks.groups] == [(62,), (22,), (21,), (42,), (20,)]
    assert blocks.bytes_per_token() == 1_002_240 // 256


def test_a_block_of_deepseek_v4_pro() -> None:
    """Pull request 48993 of vLLM measured 1,473,408 bytes before it packed the groups."""
    model = catalog.model("deepseek-v4-pro").spec
    assert compressed_blocks(model, FP8, 1, (0, 26, 0)).block_bytes == (1_473_408,)


def test_stages_share_the_blocks() -> None:
    whole, parts = (compressed_blocks(_flash(), FP8, pp, (0, 28, 0)) for pp in (1, 3))
    assert whole.of_sequence(100_000, 8192) == parts.of_sequence(100_000, 8192)
    assert max(parts.block_bytes) < whole.block_bytes[0] <= sum(parts.block_bytes)


def test_more_never_needs_less() -> None:
    for version in ((0, 22, 0), (0, 26, 0), (0, 31, 0)):
        blocks = compressed_blocks(_flash(), FP8, 1, version)
        needs = [blocks.of_sequence(context, 8192) for context in (1, 1000, 10_000, 100_000, 1_000_000)]
        assert all(fewer <= more for fewer, more in pairwise(needs))
        assert compressed_blocks(_flash(), FP16, 1, version).block_bytes[0] > blocks.block_bytes[0]


def test_the_layer_that_drafts_compresses_nothing() -> None:
    drafts = _flash().drafts
    assert drafts is not None
    (run,) = drafts.runs
    assert run.mixer.kv_profile().values_per_token == 0
    assert run.mixer.kv_profile().windowed == ((128, 512),)


@pytest.mark.parametrize(("step", "logged_gib"), [(4096, 2.03), (8192, 2.69)])
def test_peak_of_a_step(step: int, logged_gib: float) -> None:
    """DeepSeek-V4-Flash on two GB10 under 0.26.1, 600,000 tokens: peak activation of two step sizes."""
    computed = 600_000 * context_bytes(_flash()) + attention_peak_bytes(_flash(), 2, step, 2)
    assert computed == pytest.approx(logged_gib * GIB, rel=0.06)


def test_without_an_index_a_step_needs_no_room_for_its_scores() -> None:
    """vLLM's default, VLLM_SPARSE_INDEXER_MAX_LOGITS_MB: 512 MiB."""
    model = _flash()
    without = replace(
        model, layers=tuple(replace(run, mixer=replace(run.mixer, index_bytes=0)) for run in model.layers)
    )
    assert attention_peak_bytes(model, 2, 4096, 2) - attention_peak_bytes(without, 2, 4096, 2) == 512 * MIB


def test_other_models_have_none_of_it() -> None:
    model = catalog.model("llama-3.1-8b").spec
    assert not has_compressed_attention(model)
    assert context_bytes(model) == attention_peak_bytes(model, 1, 8192, 2) == 0
