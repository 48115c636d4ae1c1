"""Test the files next to config.json, or in its place, with figures worked out by hand."""

from __future__ import annotations

import json

import pytest

import vram
from core.errors import PlannerError
from core.model.counts import model_counts
from core.model.parameters import count_parameters
from core.model.weights import weights_bytes
from core.readers.model_files import read_model

CONFIG = {
    "model_type": "mistral", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "vocab_size": 10,
    "num_attention_heads": 2, "num_key_value_heads": 1, "tie_word_embeddings": False,
}  # fmt: skip
# Of a layer: q and o 32 × 32, k and v 16 × 32, the block's three 64 × 32. Embedding and head 10 × 32, five norms of 32.
LINEAR = 2 * (2 * 32 * 32 + 2 * 16 * 32 + 3 * 64 * 32)
OTHERS = 2 * 10 * 32 + 5 * 32


def folder_of(tmp_path, **files: object) -> str:
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    return str(tmp_path)


@pytest.mark.parametrize("path", ["", "/config.json"])
def test_model_optimizers_quantization_beside_the_config(tmp_path, path):
    quantization = {"quant_algo": "NVFP4", "kv_cache_quant_algo": "FP8", "exclude_modules": ["lm_head"]}
    folder = folder_of(tmp_path, config=CONFIG, hf_quant_config={"quantization": quantization})
    spec = read_model(folder + path).spec
    # Half a byte per value, one per 16 values, and 8 for each of 14 matrices.
    assert weights_bytes(spec) == LINEAR // 2 + LINEAR // 16 + 8 * 14 + 2 * OTHERS
    assert "kv_cache_quant_algo" in spec.notes[0]


@pytest.mark.parametrize(
    ("file", "settings", "method"),
    [
        ("quantize_config", {"bits": 4, "group_size": 32, "desc_act": False}, "gptq"),
        ("quant_config", {"w_bit": 4, "q_group_size": 32, "zero_point": True}, "awq"),
    ],
)
def test_gptqs_and_awqs_own_files(tmp_path, file, settings, method):
    spec = read_model(folder_of(tmp_path, config=CONFIG, **{file: settings})).spec
    index_bytes = 4 * 2 * (6 * 32 + 64) if method == "gptq" else 0  # GPTQ's g_idx of every column
    # 4 bits; for 32 of them a scale of 16 bits and a zero point of 4.
    assert weights_bytes(spec) == LINEAR * (4 * 32 + 16 + 4) // 32 // 8 + index_bytes + 2 * OTHERS
    assert spec.quantization.method == method


def test_the_configs_own_quantization_comes_first(tmp_path):
    own = CONFIG | {"quantization_config": {"quant_method": "fp8"}}
    folder = folder_of(tmp_path, config=own, quantize_config={"bits": 4, "group_size": 32})
    assert read_model(folder).spec.quantization.method == "fp8"


@pytest.mark.parametrize("index", ["model.safetensors.index", "pytorch_model.bin.index"])
def test_an_index_without_shards_states_the_bytes(tmp_path, index):
    content = {"metadata": {"total_size": 12345}, "weight_map": {"a": "model-00001-of-00002.safetensors"}}
    found = vram.model(folder_of(tmp_path, config=CONFIG, **{index: content}))
    assert found.weights_bytes == 12345
    assert found.parameters == LINEAR + OTHERS


def test_an_index_without_a_total_leaves_the_count(tmp_path):
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    folder = folder_of(tmp_path, config=CONFIG, **{"model.safetensors.index": index})
    assert vram.model(folder).weights_bytes == 2 * (LINEAR + OTHERS)
    assert vram.model(folder + "/model.safetensors.index.json").weights_bytes == 2 * (LINEAR + OTHERS)


PARAMS = {"dim": 32, "n_layers": 2, "head_dim": 16, "hidden_dim": 64, "n_heads": 2, "n_kv_heads": 1, "vocab_size": 10}


@pytest.mark.parametrize("path", ["", "/params.json"])
def test_mistrals_params(tmp_path, path):
    spec = read_model(folder_of(tmp_path, params=PARAMS) + path).spec
    assert count_parameters(spec).total == LINEAR + OTHERS
    assert spec.name == tmp_path.name


def test_mistrals_params_with_experts_and_fp8(tmp_path):
    params = PARAMS | {"moe": {"num_experts": 4, "num_experts_per_tok": 2},
                       "quantization": {"qformat_weight": "fp8_e4m3"}}  # fmt: skip
    spec = read_model(folder_of(tmp_path, params=params)).spec
    experts = 2 * 4 * 3 * 64 * 32
    assert count_parameters(spec).of("expert") == experts and count_parameters(spec).of("router") == 2 * 4 * 32
    assert spec.quantization.method == "fp8"


def test_mistrals_params_with_a_tower(tmp_path):
    tower = {"hidden_size": 16, "num_channels": 3, "image_size": 8, "patch_size": 2, "num_hidden_layers": 1,
             "intermediate_size": 32, "num_attention_heads": 2, "adapter_bias": False}  # fmt: skip
    spec = read_model(folder_of(tmp_path, params=PARAMS | {"vision_encoder": tower})).spec
    # Patches of 3 × 2 × 2; four projections, a gated block, three norms; two projections to the decoder.
    layer = 4 * 16 * 16 + 3 * 32 * 16 + 2 * 16
    assert count_parameters(spec).of("vision") == 16 * 12 + 16 + layer + 32 * 16 + 32 * 32


def test_llamas_params_compute_the_width_of_the_block(tmp_path):
    params = {"dim": 4096, "multiple_of": 256, "n_heads": 32, "n_layers": 32, "norm_eps": 1e-5, "vocab_size": 32000}
    spec = read_model(folder_of(tmp_path, params=params)).spec
    assert count_parameters(spec).total == 6_738_415_616  # Llama-2-7b: metadata of its repository on the hub


ADAPTER = {"peft_type": "LORA", "r": 4, "target_modules": ["q_proj", "v_proj"]}


def test_an_adapter_is_counted_with_its_base(tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    adapter = ADAPTER | {"base_model_name_or_path": folder_of(base, config=CONFIG)}
    found = vram.model(folder_of(tmp_path, adapter_config=adapter))
    values = 2 * 4 * ((32 + 32) + (32 + 16))  # layers × rank × the sides of q and v
    assert found.parameters == LINEAR + OTHERS + values
    assert found.weights_bytes == 2 * (LINEAR + OTHERS + values)
    notes = vram.estimate(found, context=10).warnings
    assert notes == (f"adapter_config.json: a LoRA adapter of rank 4 with {values:,} parameters ({2 * values:,} bytes "
                     "in 16 bits), counted with its base model base",)  # fmt: skip


@pytest.mark.parametrize(
    ("targets", "matrices"),
    [
        ("all-linear", 2 * (4 * 32 + 2 * (32 + 16) + 3 * (64 + 32))),
        (".*mlp.*_proj", 2 * 3 * (64 + 32)),
        (["o_proj"], 2 * (32 + 32)),
    ],
)
def test_an_adapter_beside_its_base(tmp_path, targets, matrices):
    adapter = ADAPTER | {"base_model_name_or_path": "who/knows", "target_modules": targets}
    found = vram.model(folder_of(tmp_path, config=CONFIG, adapter_config=adapter | {"modules_to_save": ["lm_head"]}))
    assert found.parameters == LINEAR + OTHERS + 4 * matrices + 10 * 32


def test_an_adapter_beside_weights_adds_to_their_bytes(tmp_path):
    index = {"metadata": {"total_size": 10**6}, "weight_map": {"a": "model-00001-of-00001.safetensors"}}
    base = tmp_path / "base"
    base.mkdir()
    adapter = ADAPTER | {
        "base_model_name_or_path": folder_of(base, config=CONFIG, **{"model.safetensors.index": index})
    }
    assert vram.model(folder_of(tmp_path, adapter_config=adapter)).weights_bytes == 10**6 + 2 * 896


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"peft_type": "IA3"}, "peft_type"),
        ({"base_model_name_or_path": None}, "base_model_name_or_path"),
        ({"base_model_name_or_path": "./nowhere"}, "base_model_name_or_path"),
        ({"target_modules": ["c_attn"]}, "target_modules"),
        ({"target_modules": None}, "target_modules"),
        ({"r": 0}, "r"),
        ({"r": "four"}, "r"),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused_by_its_field(tmp_path, fields, field):
    base = tmp_path / "base"
    base.mkdir()
    adapter = ADAPTER | {"base_model_name_or_path": folder_of(base, config=CONFIG)} | fields
    with pytest.raises(PlannerError) as error:
        vram.model(folder_of(tmp_path, adapter_config=adapter))
    assert error.value.field == f"adapter_config.json: {field}"


def test_a_sentence_transformers_folder(tmp_path):
    inner = tmp_path / "0_Transformer"
    inner.mkdir()
    folder_of(inner, config=CONFIG)
    dense = tmp_path / "2_Dense"
    dense.mkdir()
    folder_of(dense, config={"in_features": 32, "out_features": 8, "bias": True})
    modules = [
        {"type": "sentence_transformers.models.Transformer", "path": "0_Transformer"},
        {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"},
        {"type": "sentence_transformers.models.Dense", "path": "2_Dense"},
    ]
    spec = read_model(folder_of(tmp_path, modules=modules)).spec
    # No head of 10 × 32, but a layer from 32 to 8 with its bias.
    assert count_parameters(spec).total == LINEAR + OTHERS - 10 * 32 + 8 * 32 + 8
    assert "no head" in spec.notes[0]


def test_a_sentence_transformers_model_at_the_top_of_its_folder(tmp_path):
    modules = [{"type": "sentence_transformers.models.Transformer", "path": ""}]
    folder = folder_of(tmp_path, config=CONFIG, modules=modules)
    assert count_parameters(read_model(folder).spec).total == LINEAR + OTHERS - 10 * 32
    assert count_parameters(read_model(folder + "/config.json").spec).total == LINEAR + OTHERS - 10 * 32


def test_llama_3s_factor_of_the_blocks_width(tmp_path):
    params = {"dim": 4096, "ffn_dim_multiplier": 1.3, "multiple_of": 1024, "n_heads": 32, "n_kv_heads": 8,
              "n_layers": 32, "vocab_size": 128256}  # fmt: skip
    spec = read_model(folder_of(tmp_path, params=params)).spec
    assert count_parameters(spec).total == 8_030_261_248  # Llama-3-8B: metadata of its repository on the hub


def test_mistrals_params_with_latent_attention_a_merging_projector_and_fp8(tmp_path):
    latent = {"q_lora_rank": 16, "kv_lora_rank": 8, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 8}
    moe = {"num_experts": 4, "num_experts_per_tok": 2, "expert_hidden_dim": 8, "num_shared_experts": 1,
           "first_k_dense_replace": 1}  # fmt: skip
    tower = {"hidden_size": 16, "num_channels": 3, "image_size": 8, "patch_size": 2, "num_hidden_layers": 1,
             "intermediate_size": 32, "num_attention_heads": 2, "spatial_merge_size": 2}  # fmt: skip
    params = PARAMS | latent | {"moe": moe, "vision_encoder": tower, "quantization": {"qformat_weight": "fp8_e4m3"}}
    spec = read_model(folder_of(tmp_path, params=params)).spec
    counted = count_parameters(spec)
    assert counted.of("expert") == 4 * 3 * 8 * 32  # in the second layer
    layer = 4 * 16 * 16 + 3 * 32 * 16 + 2 * 16
    # Four patches merge into one: a norm, 64 to 16, then two projections to the decoder.
    assert counted.of("vision") == 16 * 12 + 16 + layer + 16 + 64 * 16 + 32 * 16 + 32 * 32
    assert spec.quantization.method == "fp8"
    assert model_counts(spec).kv.values_per_token == 2 * (8 + 4)


@pytest.mark.parametrize(
    ("fields", "field"),
    [({"sliding_window": [4, None]}, "sliding_window"), ({"hidden_dim": None, "dim": "wide"}, "hidden_size")],
)
def test_mistrals_params_that_are_not_understood(tmp_path, fields, field):
    with pytest.raises(PlannerError) as error:
        read_model(folder_of(tmp_path, params=PARAMS | fields))
    assert error.value.field == field


def test_llamas_params_without_a_step_cannot_be_counted(tmp_path):
    params = {"dim": 32, "n_layers": 1, "n_heads": 2, "vocab_size": 10}
    with pytest.raises(PlannerError, match="intermediate_size: it is missing"):
        count_parameters(read_model(folder_of(tmp_path, params=params)).spec)


@pytest.mark.parametrize("modules", [{}, [], ["x"], [{"type": "sentence_transformers.models.Pooling", "path": "1"}]])
def test_a_list_of_modules_without_a_transformer_changes_nothing(tmp_path, modules):
    folder = folder_of(tmp_path, config=CONFIG, modules=modules)
    assert count_parameters(read_model(folder).spec).total == LINEAR + OTHERS


def test_a_dense_layer_of_impossible_size_is_left_out(tmp_path):
    dense = tmp_path / "2_Dense"
    dense.mkdir()
    folder_of(dense, config={"in_features": 0, "out_features": "8"})
    modules = [{"type": "sentence_transformers.models.Transformer", "path": ""},
               {"type": "sentence_transformers.models.Dense", "path": "2_Dense"}]  # fmt: skip
    spec = read_model(folder_of(tmp_path, config=CONFIG, modules=modules)).spec
    assert count_parameters(spec).total == LINEAR + OTHERS - 10 * 32
