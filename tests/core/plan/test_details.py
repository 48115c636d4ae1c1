"""The kinds of layer that an estimate lists, and what one sequence caches in a layer of each, by hand."""

from __future__ import annotations

import pytest

from core import catalog
from core.plan.details import layer_details

FP16 = catalog.precision("kv_precision", "fp16")

# By the models' config.json. Keys and values: KV heads × size of a head × 2 × 2 bytes.
DETAILS = {
    # Each fifth of 35 layers has full attention; the last 15 read the caches of layers before them.
    "gemma-3n-e4b": [
        {"kind": "sliding_window_attention", "count": 16, "bytes_per_token": 2 * 256 * 4, "window": 512},
        {"kind": "full_attention", "count": 4, "bytes_per_token": 2 * 256 * 4},
        {"kind": "shared_cache_attention", "count": 15, "bytes_per_token": 0},
    ],
    # "M-M-M-M*-…" has 24 "M", 24 "-" and 4 "*". A state: 3 × (8192 + 2 × 8 × 128) × 2 + 128 × 64 × 128 × 4 bytes.
    "nemotron-h-8b": [
        {"kind": "mamba2", "count": 24, "bytes_per_token": 0, "fixed_bytes": 61_440 + 4_194_304},
        {"kind": "feed_forward", "count": 24, "bytes_per_token": 0},
        {"kind": "full_attention", "count": 4, "bytes_per_token": 8 * 128 * 4},
    ],
    "bert-base-uncased": [{"kind": "encoder_attention", "count": 12, "bytes_per_token": 0}],
    # Every fifth of 40 layers looks at an image of four tiles of 1601 patches.
    "llama-3.2-11b-vision": [
        {"kind": "full_attention", "count": 32, "bytes_per_token": 8 * 128 * 4},
        {"kind": "cross_attention", "count": 8, "bytes_per_token": 0, "fixed_bytes": 4 * 1601 * 8 * 128 * 4},
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", DETAILS)
def test_kinds_of_layer(name):
    assert layer_details(catalog.model(name).spec, FP16) == DETAILS[name]


def test_compressed_attention_is_named():
    """DeepSeek-V4-Flash: 43 layers of three kinds, by how far they compress."""
    found = layer_details(catalog.model("deepseek-v4-flash").spec, FP16)
    assert {layer["kind"] for layer in found} == {"compressed_attention"}
    assert sum(layer["count"] for layer in found) == 43
