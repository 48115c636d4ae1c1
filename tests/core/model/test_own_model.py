"""Models of the user's own rows: their cache and parameters, by hand."""

from __future__ import annotations

from core.model.kv_cache import kv_profile
from core.model.own_model import own_model
from core.model.parameters import count_parameters

SHAPE = {"parameters": 7_000_000_000, "num_hidden_layers": 32, "num_key_value_heads": 8, "head_dim": 128}


def test_without_windows_every_layer_caches_the_context():
    """32 layers × 8 heads × 128 × 2 = 65 536 values per token; the parameters are those that are stated."""
    spec = own_model("mine", **SHAPE, max_position_embeddings=8192)
    profile = kv_profile(spec)
    assert (profile.values_per_token, profile.windowed) == (65_536, ())
    assert (spec.name, spec.num_hidden_layers, spec.max_position_embeddings) == ("mine", 32, 8192)
    assert count_parameters(spec).total == 7_000_000_000


def test_windowed_layers_cache_their_window():
    """24 of 32 layers: 8 × 2048 values per token, and 24 × 2048 of each of 1024 tokens."""
    profile = kv_profile(own_model("mine", **SHAPE, windowed_layers=24, sliding_window=1024))
    assert (profile.values_per_token, profile.windowed) == (8 * 2048, ((1024, 24 * 2048),))


def test_a_model_may_have_windows_in_every_layer():
    profile = kv_profile(own_model("mine", **SHAPE, windowed_layers=32, sliding_window=4096))
    assert (profile.values_per_token, profile.windowed) == (0, ((4096, 65_536),))
