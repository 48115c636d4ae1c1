"""Test that config.json files as people publish them are read, with figures worked out by hand."""

from __future__ import annotations

import json

import pytest

from core import catalog
from core.errors import UnsupportedModelError
from core.model.counts import model_counts
from core.model.parameters import count_parameters
from core.model.weights import weights_bytes
from core.readers.hf_config import read_config_file, spec_from_config

LLAMA = {
    "model_type": "llama", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "vocab_size": 10,
    "num_attention_heads": 2, "num_key_value_heads": 1, "tie_word_embeddings": False,
}  # fmt: skip
LAGUNA = {
    **LLAMA, "model_type": "laguna", "head_dim": 16, "num_experts": 4, "num_experts_per_tok": 2,
    "moe_intermediate_size": 8, "shared_expert_intermediate_size": 8, "mlp_layer_types": ["dense", "sparse"],
}  # fmt: skip
MINIMAX = {
    **LLAMA, "model_type": "minimax_m1", "num_local_experts": 4, "num_experts_per_tok": 2, "attn_type_list": [0, 1],
}  # fmt: skip


def parameters(config: dict[str, object]) -> int:
    return count_parameters(spec_from_config(config, name="m")).total


def test_infinity_in_a_field_that_is_not_needed(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(LLAMA | {"time_step_limit": [0.0, float("inf")], "rope_factor": float("nan")}))
    assert "Infinity" in path.read_text() and "NaN" in path.read_text()
    assert count_parameters(read_config_file(str(path))).total == parameters(LLAMA)


@pytest.mark.parametrize(
    ("base", "repeats"),
    [
        (LAGUNA, {"decoder_sparse_step": 1, "mlp_only_layers": [0]}),
        ({**LAGUNA, "mlp_layer_types": None, "first_k_dense_replace": 1}, {"mlp_only_layers": [0]}),
        (LLAMA, {"decoder_sparse_step": 1, "moe_layer_freq": 1}),
        (LLAMA, {"num_kv_heads": 1, "embedding_size": 32}),
        ({**LLAMA, "head_dim": 8}, {"kv_channels": 8}),
        (LLAMA, {"num_key_value_heads": [1, 1], "intermediate_size": [64, 64]}),
    ],
)
def test_a_field_that_repeats_another_is_no_error(base, repeats):
    assert parameters(base | repeats) == parameters(base)


@pytest.mark.parametrize(
    ("base", "fields"),
    [
        (LLAMA, {"decoder_sparse_step": 2}),
        (LLAMA, {"num_kv_heads": 2}),
        ({**LAGUNA, "mlp_layer_types": None, "first_k_dense_replace": 1}, {"mlp_only_layers": [1]}),
    ],
)
def test_a_field_that_says_something_else_is_refused_by_its_name(base, fields):
    with pytest.raises(UnsupportedModelError) as error:
        spec_from_config(base | fields, name="m")
    assert error.value.field == next(iter(fields))


@pytest.mark.parametrize(
    "draft", [{"mtp_num_hidden_layers": 1}, {"num_mtp_modules": 2}, {"dspark_target_layer_ids": [1]}]
)
def test_a_list_with_entries_of_draft_layers(draft):
    kinds = {"layer_types": ["full_attention", "full_attention", "full_attention"]}
    assert parameters(LLAMA | kinds | draft) == parameters(LLAMA)
    with pytest.raises(UnsupportedModelError, match="it has 3 entries for 2 layers"):
        spec_from_config(LLAMA | kinds, name="m")


def test_minimax_m1_stores_its_router_in_32_bits():
    hub, library = (spec_from_config(MINIMAX | {"model_type": kind}, name="m") for kind in ("minimax_m1", "minimax"))
    assert weights_bytes(hub) - weights_bytes(library) == 2 * 2 * (4 * 32)  # layers × bytes × the router's values
    assert model_counts(hub) == model_counts(library)


def test_a_tower_under_its_parents_model_type_has_its_own_defaults():
    text = LLAMA | {"model_type": "qwen2_vl"}
    saved = spec_from_config(text | {"vision_config": {"model_type": "qwen2_vl", "hidden_size": 32}}, name="m")
    named = spec_from_config(text | {"vision_config": {"model_type": "qwen2_vl_vision", "hidden_size": 32}}, name="m")
    assert saved.extra == named.extra and saved.extra


def test_an_unknown_quantization_is_refused_only_as_shipped(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(LLAMA | {"quantization_config": {"quant_method": "torchao"}}))
    spec = read_config_file(str(path))
    assert weights_bytes(spec, catalog.precision("precision", "int4")) == parameters(LLAMA) // 2
    with pytest.raises(UnsupportedModelError, match="'torchao' is not a supported format. Name a precision, such as"):
        weights_bytes(spec)


def test_a_refused_model_type_gives_a_short_remedy_that_works():
    with pytest.raises(UnsupportedModelError, match='such as "llama"') as error:
        spec_from_config(LLAMA | {"model_type": "mystery"}, name="m")
    assert len(str(error.value)) < 200
    assert parameters(LLAMA | {"model_type": "llama"}) > 0
