"""Test that config.json files as people publish them are read, with figures worked out by hand."""

from __future__ import annotations

import json

import pytest

from core import catalog
from core.errors import PlannerError, UnsupportedModelError
from core.model.counts import model_counts
from core.model.parameters import count_parameters
from core.model.weights import weights_bytes
from core.readers.architectures import encoder
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
    path.write_text(json.dumps(LLAMA | {"quantization_config": {"quant_method": "vptq"}}))
    spec = read_config_file(str(path))
    assert weights_bytes(spec, catalog.precision("precision", "int4")) == parameters(LLAMA) // 2
    with pytest.raises(UnsupportedModelError, match="'vptq' is not a supported format. Name a precision, such as"):
        weights_bytes(spec)


def test_a_refused_model_type_gives_a_short_remedy_that_works():
    with pytest.raises(UnsupportedModelError, match='such as "llama"') as error:
        spec_from_config(LLAMA | {"model_type": "mystery"}, name="m")
    assert len(str(error.value)) < 200
    assert parameters(LLAMA | {"model_type": "llama"}) > 0


# ---- what stays in 16 bits ------------------------------------------------------------------------------


def shipped(config: dict[str, object]) -> int:
    return weights_bytes(spec_from_config(config, name="m"))


def packed(ignore: list[str]) -> dict[str, object]:
    """Return compressed-tensors' 8 bits without scales of their own size: 2 bytes per tensor."""
    weights = {"num_bits": 8, "type": "float", "strategy": "tensor"}
    groups = {"group_0": {"targets": ["Linear"], "weights": weights}}
    return {"quantization_config": {"quant_method": "compressed-tensors", "ignore": ignore, "config_groups": groups}}


@pytest.mark.parametrize(
    ("ignored", "values", "tensors"),
    [
        (["model.layers.0.self_attn"], 0, 0),  # a parent, which compressed-tensors matches by its exact name only
        (["model.layers.0.self_attn.q_proj"], 32 * 32, 1),
        (["model.language_model.layers.0.mlp.down_proj", "model.layers.1.mlp.up_proj"], 2 * 64 * 32, 2),
        (["re:.*self_attn.*"], 2 * (2 * 32 * 32 + 2 * 16 * 32), 8),
        (["model.visual.blocks.0.mlp.down_proj", "mtp.layers.0.mlp.down_proj"], 0, 0),  # not the decoder's layer 0
    ],
)
def test_compressed_tensors_ignores_exact_names(ignored, values, tensors):
    difference = shipped(LLAMA | packed(["lm_head", *ignored])) - shipped(LLAMA | packed(["lm_head"]))
    assert difference == values - 2 * tensors


QWEN_VL = {
    **LLAMA, "model_type": "qwen2_vl",
    "vision_config": {"model_type": "qwen2_vl_vision", "depth": 1, "embed_dim": 16, "hidden_size": 32, "mlp_ratio": 2,
                      "num_heads": 2, "patch_size": 2, "in_channels": 1, "temporal_patch_size": 1},
}  # fmt: skip
# q, k, v, o 16 × 16; the block 32 × 16 twice; the patch embedding 16 × 4.
TOWER = 4 * 16 * 16 + 2 * 32 * 16 + 16 * 4
MERGER = 64 * 64 + 32 * 64  # four patches of 16 to themselves, then to the decoder's 32


@pytest.mark.parametrize(
    ("ignored", "values", "tensors"),
    [
        (["model.visual.blocks.0.attn.qkv", "model.visual.blocks.0.mlp.fc1"], TOWER, 7),
        (["model.visual.merger.mlp.0", "model.visual.merger.mlp.2"], MERGER, 2),
        (["re:.*visual.*"], TOWER + MERGER, 9),
        (["visual"], TOWER + MERGER, 9),
        (["model.vision_tower.encoder.layers.0.self_attn.q_proj.linear"], TOWER, 7),
        (["audio_tower.layers.0.fc1"], 0, 0),
    ],
)
def test_names_of_towers_keep_them_in_16_bits(ignored, values, tensors):
    difference = shipped(QWEN_VL | packed(["lm_head", *ignored])) - shipped(QWEN_VL | packed(["lm_head"]))
    assert difference == values - 2 * tensors


@pytest.mark.parametrize("pattern", ["visual*", "model.visual*", "*visual*"])
def test_modelopt_patterns_of_towers(pattern):
    def settings(*excluded: str) -> dict[str, object]:
        quantization = {"quant_algo": "FP8", "exclude_modules": ["lm_head", *excluded]}
        return {"quantization_config": {"quant_method": "modelopt", "quantization": quantization}}

    # One byte per value and a scale of 4 bytes for each of nine tensors, or two bytes per value.
    assert shipped(QWEN_VL | settings(pattern)) - shipped(QWEN_VL | settings()) == TOWER + MERGER - 4 * 9


def mlx(**overrides: object) -> dict[str, object]:
    return {"quantization": {"bits": 4, "group_size": 32, **overrides}}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("language_model.model.embed_tokens", 10 * 32),
        ("model.embed_tokens", 10 * 32),
        ("language_model.lm_head", 10 * 32),
        ("model.layers.1.mlp.gate", 4 * 32),
        ("model.layers.1.mlp.switch_mlp.down_proj", 4 * 8 * 32),
    ],
)
def test_mlx_gives_modules_their_own_bits(name, values):
    config = {**LAGUNA, "moe_intermediate_size": 32, "shared_expert_intermediate_size": 32}
    values *= 4 if "switch" in name else 1
    eight_bits = mlx(**{name: {"bits": 8, "group_size": 32}})
    assert shipped(config | eight_bits) - shipped(config | mlx()) == values // 2


def test_mlx_leaves_routers_of_deepseeks_kind_in_16_bits():
    deepseek = {
        **LLAMA, "model_type": "glm4_moe", "n_routed_experts": 4, "num_experts_per_tok": 2, "first_k_dense_replace": 1,
        "moe_intermediate_size": 32, "n_shared_experts": 1,
    }  # fmt: skip
    # 4 bits and two 16-bit numbers per 32 values; the router, the norms and the biases of two layers are left out.
    count = count_parameters(spec_from_config(deepseek, name="m"))
    matrices = sum(count.of(group) for group in ("embedding", "head", "attention", "mlp", "expert"))
    vectors = weights_bytes(spec_from_config(deepseek, name="m")) - 2 * (matrices + count.of("router"))
    assert count.of("router") == 4 * 32
    assert shipped(deepseek | mlx()) == matrices * 20 // 32 + 2 * count.of("router") + vectors


def test_the_parts_of_a_fused_gptq_projection_share_their_index_of_groups():
    gptq = {"quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 32}}
    separate = {**LLAMA, "num_key_value_heads": 2, "model_type": "llama"}
    fused = {**separate, "model_type": "phi3"}  # qkv_proj and gate_up_proj
    assert parameters(separate) == parameters(fused)
    assert shipped(separate | gptq) - shipped(fused | gptq) == 2 * 3 * 4 * 32  # layers × parts × bytes × columns


def test_autogptq_stored_a_bias_for_every_projection():
    def gptq(**fields: object) -> int:
        settings = {"quant_method": "gptq", "bits": 4, "group_size": 32, **fields}
        return shipped(LLAMA | {"quantization_config": settings})

    old = {"model_file_base_name": "model"}
    rows = 2 * (2 * 32 + 2 * 16 + 2 * 64 + 32)  # of two layers: q and o, k and v, gate and up, down
    assert gptq(**old) - gptq() == 2 * rows
    assert gptq(**old, checkpoint_format="gptq") == gptq()


# ---- parts ----------------------------------------------------------------------------------------------


def test_qwen_vls_tower_is_counted():
    qwen = {
        "model_type": "qwen", "hidden_size": 32, "intermediate_size": 128, "num_hidden_layers": 1, "vocab_size": 10,
        "num_attention_heads": 2, "kv_channels": 16, "tie_word_embeddings": False,
    }  # fmt: skip
    tower = {"width": 16, "layers": 1, "heads": 2, "mlp_ratio": 2, "patch_size": 2, "image_size": 32}
    layer = 4 * 16 * 16 + 4 * 16 + 2 * 32 * 16 + 32 + 16 + 2 * 2 * 16
    before = 16 * 12 + 256 * 16 + 2 * 16  # patches of 2 × 2 × 3, positions, a norm
    after = 2 * 256 * 32 + 16 * 32 + 4 * 32 * 32 + 4 * 32 + 3 * 2 * 32 + 32 * 32
    assert parameters(qwen | {"visual": tower}) - parameters(qwen) == before + layer + after


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"talker_config": {"text_config": {"num_hidden_layers": 2, "hidden_size": 8}}}, "talker_config"),
        ({"sam_vision": {"layers": 12, "width": 768}}, "sam_vision"),
        ({"num_nextn_predict_layers": 1}, "num_nextn_predict_layers"),
        ({"quantization_config": None, "rope_scaling": {"factor": 8.0}, "num_nextn_predict_layers": 0}, None),
    ],
)
def test_parts_that_are_left_out_are_named(fields, named):
    spec = spec_from_config(LLAMA | fields, name="m")
    assert [note.partition(":")[0] for note in spec.notes] == ([named] if named else [])
    assert spec == spec_from_config(LLAMA, name="m")


def test_a_composite_without_its_tower_says_that_text_alone_was_counted():
    without = {field: value for field, value in QWEN_VL.items() if field != "vision_config"}
    (note,) = spec_from_config(without, name="m").notes
    assert note == "vision_config: it is missing; text alone was counted"
    assert spec_from_config(QWEN_VL, name="m").notes == ()


@pytest.mark.parametrize(
    "settings",
    [
        {"quant_method": "compressed-tensors", "kv_cache_scheme": {"num_bits": 8, "type": "float"},
         "config_groups": {"group_0": {"targets": ["Linear"], "weights": {"num_bits": 8, "type": "float"}}}},
        {"quant_method": "modelopt", "quant_algo": "FP8", "kv_cache_quant_algo": "FP8"},
        {"quant_method": "modelopt", "quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8"}},
    ],
)  # fmt: skip
def test_an_fp8_cache_that_a_checkpoint_is_meant_for_is_named(settings):
    (note,) = spec_from_config(LLAMA | {"quantization_config": settings}, name="m").notes
    assert note.startswith("kv_cache_") and "fp8" in note


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"n_embd": "wide", "n_layer": 1, "n_head": 2}, "n_embd"),
        ({"n_embd": 32, "n_layer": 0, "n_head": 2}, "n_layer"),
        ({"n_embd": 32, "n_layer": 1}, "n_head"),
        ({"hidden_size": 0, "n_layer": 1, "n_head": 2}, "hidden_size"),
    ],
)
def test_an_error_names_the_field_as_the_file_or_its_family_does(fields, field):
    with pytest.raises(PlannerError) as error:
        spec_from_config({"model_type": "gpt2", "vocab_size": 10, **fields}, name="m")
    assert error.value.field == field


@pytest.mark.parametrize(("dtype", "noted"), [("bf16", False), ("float8_e4m3fn", True), ("torch.float16", False)])
def test_a_dtype_that_is_not_known_is_noted(dtype, noted):
    notes = spec_from_config(LLAMA | {"torch_dtype": dtype}, name="m").notes
    assert notes == ((f"dtype: '{dtype}' is not known. 16 bits per weight are taken.",) if noted else ())


def test_models_of_the_catalog_have_no_notes_but_on_their_cache():
    notes = {note for found in catalog.models() for note in found.spec.notes}
    assert {note for note in notes if not note.startswith("kv_cache_")} == {f"model_type: {encoder.NO_CACHE}"}
