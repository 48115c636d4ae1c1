"""Bytes of weights in real formats: with scales, and with tensors that remain in 16 bits."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import catalog
from core.errors import UnsupportedModelError
from core.model.counts import model_counts
from core.model.gguf_mix import MIXES, gguf_precision
from core.model.quantization import EVERYTHING, Quantization, modules
from core.model.tensors import HEAD, MLP, ROUTER, VECTOR, VISION, Tensor
from core.model.weights import weights_bytes
from core.readers.hf_config import spec_from_config

LLAMA_8B = catalog.model("llama-3.1-8b").spec

# Bits per weight and GiB of Llama-3.1-8B: llama.cpp tools/quantize/README.md.
LLAMA_CPP_SIZES = {
    "iq1_s": (2.0042, 1.87), "iq1_m": (2.1460, 2.01), "iq2_xxs": (2.3824, 2.23), "iq2_xs": (2.5882, 2.42),
    "iq2_s": (2.7403, 2.56), "iq2_m": (2.9294, 2.74), "iq3_xxs": (3.2548, 3.04), "iq3_xs": (3.4977, 3.27),
    "iq3_s": (3.6606, 3.42), "iq3_m": (3.7628, 3.52), "iq4_xs": (4.4597, 4.17), "iq4_nl": (4.6818, 4.38),
    "q2_k_s": (2.9697, 2.78), "q2_k": (3.1593, 2.95), "q3_k_s": (3.6429, 3.41), "q3_k_l": (4.2979, 4.02),
    "q4_k_s": (4.6672, 4.36), "q4_k_m": (4.8944, 4.58), "q5_k_s": (5.5704, 5.21), "q5_k_m": (5.7036, 5.33),
    "q6_k": (6.5633, 6.14), "q8_0": (8.5008, 7.95),
}  # fmt: skip


@pytest.mark.parametrize(("name", "published"), LLAMA_CPP_SIZES.items(), ids=LLAMA_CPP_SIZES)
def test_gguf_mixes_have_the_sizes_that_llama_cpp_publishes(name, published):
    size_bytes = weights_bytes(LLAMA_8B, catalog.precision("precision", name))
    bits_per_weight = 8 * size_bytes / model_counts(LLAMA_8B).parameters.total
    assert (round(bits_per_weight, 4), round(size_bytes / 2**30, 2)) == published


# One tensor at a time: llama.cpp src/llama-quant.cpp, llama_tensor_get_type_impl.
MODELS = {
    "gqa 4, 32 layers": LLAMA_8B,
    "gqa 8, 80 layers": catalog.model("llama-3.1-70b").spec,
    "gqa 1, 32 layers": catalog.model("llama-2-7b").spec,
    "8 experts": catalog.model("mixtral-8x7b").spec,
    "gqa 1, 60 experts": spec_from_config(
        {"model_type": "qwen2_moe", "hidden_size": 2048, "num_hidden_layers": 24, "num_attention_heads": 16,
         "num_key_value_heads": 16, "vocab_size": 151936, "intermediate_size": 5632, "moe_intermediate_size": 1408,
         "shared_expert_intermediate_size": 5632, "num_experts": 60, "num_experts_per_tok": 4}, name="qwen1.5-moe"),
}  # fmt: skip
V, K, Q, OUT = (f"self_attn.{name}_proj" for name in "vkqo")
DOWN_PROJ, UP, GATE = (f"mlp.{name}_proj" for name in ("down", "up", "gate"))
CHOSEN = [
    # use_more_bits: the first and last eighth, and every third between them: of 32 layers 0 to 3, 28 to 31, 6, 9 …
    *[("Q4_K_M", name, "gqa 4, 32 layers", layer, "Q6_K") for name in (V, DOWN_PROJ) for layer in (0, 3, 6, 9, 27, 28)],
    *[("Q4_K_M", name, "gqa 4, 32 layers", layer, "Q4_K") for name in (V, DOWN_PROJ) for layer in (4, 5, 7, 8, 25, 26)],
    ("Q4_K_M", UP, "gqa 4, 32 layers", 0, "Q4_K"),
    ("Q5_K_M", V, "gqa 4, 32 layers", 31, "Q6_K"),
    ("Q5_K_M", V, "gqa 4, 32 layers", 5, "Q5_K"),
    # With 80 layers and few KV heads, Q3_K and Q4_K of values become Q5_K.
    ("Q4_K_M", V, "gqa 8, 80 layers", 10, "Q5_K"),
    ("Q4_K_M", V, "gqa 8, 80 layers", 12, "Q6_K"),
    ("Q3_K_S", V, "gqa 8, 80 layers", 10, "Q5_K"),
    ("Q3_K_S", V, "gqa 4, 32 layers", 10, "Q3_K"),
    ("IQ2_XXS", V, "gqa 8, 80 layers", 10, "Q4_K"),  # but not in the mixes with the fewest bits
    # A fixed number or a fraction of the layers at the beginning.
    ("Q3_K_M", V, "gqa 4, 32 layers", 1, "Q5_K"),
    ("Q3_K_M", V, "gqa 4, 32 layers", 2, "Q4_K"),
    ("Q3_K_M", DOWN_PROJ, "gqa 4, 32 layers", 1, "Q5_K"),  # a sixteenth of 32
    ("Q3_K_M", DOWN_PROJ, "gqa 4, 32 layers", 2, "Q4_K"),
    ("Q4_K_S", V, "gqa 4, 32 layers", 3, "Q5_K"),
    ("Q4_K_S", V, "gqa 4, 32 layers", 4, "Q4_K"),
    ("Q4_K_S", DOWN_PROJ, "gqa 4, 32 layers", 3, "Q5_K"),  # an eighth of 32
    ("Q4_K_S", DOWN_PROJ, "gqa 4, 32 layers", 4, "Q4_K"),
    # All except the first and last eighth.
    *[("IQ3_XS", name, "gqa 4, 32 layers", layer, "IQ3_XXS") for name in (GATE, UP) for layer in (4, 27)],
    *[("IQ3_XS", name, "gqa 4, 32 layers", layer, "IQ3_S") for name in (GATE, UP) for layer in (3, 28)],
    # Few KV heads; in the mixes with the fewest bits also experts.
    ("Q2_K", V, "gqa 4, 32 layers", 9, "Q4_K"),
    ("Q2_K", V, "gqa 1, 32 layers", 9, "Q3_K"),
    ("Q2_K", V, "gqa 1, 60 experts", 9, "Q3_K"),
    ("IQ2_XXS", V, "gqa 1, 32 layers", 9, "Q2_K"),
    ("IQ2_XXS", V, "gqa 1, 60 experts", 9, "Q4_K"),
    ("IQ2_M", V, "gqa 1, 32 layers", 9, "IQ3_S"),
    # Eight experts.
    *[("Q4_K_M", name, "8 experts", 9, "Q8_0") for name in (V, K)],
    *[("IQ2_XS", name, "8 experts", 9, "Q4_K") for name in (V, K)],
    ("Q4_K_M", Q, "8 experts", 9, "Q4_K"),
    *[(mix, OUT, "8 experts", 9, "Q5_K") for mix in ("Q4_K_M", "IQ2_XS", "Q2_K", "Q3_K_M", "IQ4_NL")],
    *[("IQ3_M", "mlp.experts.down_proj", "8 experts", layer, "Q4_K") for layer in (3, 9, 28)],
    ("IQ3_M", "mlp.experts.down_proj", "8 experts", 8, "IQ3_S"),
    ("IQ3_M", DOWN_PROJ, "gqa 4, 32 layers", 3, "Q4_K"),
    ("IQ3_M", DOWN_PROJ, "gqa 4, 32 layers", 9, "IQ3_S"),
    ("Q3_K_L", OUT, "8 experts", 9, "Q3_K"),
    ("Q2_K_S", OUT, "8 experts", 9, "Q2_K"),
    ("Q6_K", OUT, "8 experts", 9, "Q6_K"),
    ("Q3_K_L", OUT, "gqa 4, 32 layers", 9, "Q5_K"),
    ("Q2_K", OUT, "gqa 4, 32 layers", 9, "Q3_K"),
]


@pytest.mark.parametrize(("mix", "name", "model", "layer", "expected"), CHOSEN)
def test_formats_of_gguf_tensors(mix, name, model, layer, expected):
    tensor = Tensor(name=name, group=MLP, rows=1024, columns=4096)
    found = gguf_precision(catalog.precision("precision", mix), tensor, MODELS[model], layer)
    assert found.name == expected


@pytest.mark.parametrize(
    ("tensor", "expected"),
    [
        # Routers and tensors of one dimension are in 32 bits; towers are in a separate file, in 16.
        (Tensor(name="mlp.gate", group=ROUTER, rows=8, columns=4096), ("F32", 4, 1)),
        (Tensor(name="input_layernorm", group=VECTOR, rows=4096), ("F32", 4, 1)),
        (Tensor(name=UP, group=MLP, rows=4096, columns=1), ("F32", 4, 1)),
        (Tensor(name="conv1d", group=VECTOR, rows=4096, columns=4), ("F32", 4, 1)),
        (Tensor(name="vision.fc1", group=VISION, rows=4096, columns=1024), ("F16", 2, 1)),
        # Rows that are not a multiple of 256 values use blocks of 32; rows that are a multiple of neither use 16 bits.
        (Tensor(name=UP, group=MLP, rows=8, columns=2880), ("Q5_0", 22, 32)),
        (Tensor(name=UP, group=MLP, rows=8, columns=1000), ("F16", 2, 1)),
        (Tensor(name="lm_head", group=HEAD, rows=8, columns=2880), ("Q8_0", 34, 32)),
    ],
)
def test_gguf_tensors_that_do_not_use_the_mix(tensor, expected):
    found = gguf_precision(catalog.precision("precision", "q4_k_m"), tensor, LLAMA_8B, 9)
    assert (found.name, found.block_bytes, found.block_values) == expected


def test_fallback_formats_have_the_bytes_of_llama_cpp():
    """Q3_K and the rest become Q4_0 or IQ4_NL, both of 18 bytes for 32 values; Q5_K becomes Q5_1."""
    row = Tensor(name=UP, group=MLP, rows=8, columns=2880)
    for mix, block_bytes in (("q3_k_s", 18), ("q2_k", 18), ("iq3_s", 18), ("q5_k_s", 24), ("q6_k", 34)):
        found = gguf_precision(catalog.precision("precision", mix), row, LLAMA_8B, 9)
        assert (found.block_bytes, found.block_values) == (block_bytes, 32)


# Linear layers of Llama-3.1-8B by hand: 32 × (4096 × (4096 + 1024 + 1024 + 4096) + 3 × 4096 × 14336).
LINEAR = 6_979_321_856
IN_16_BITS = 8_030_261_248 - LINEAR
ROWS = 32 * (4096 + 1024 + 1024 + 4096 + 14336 + 14336 + 4096)  # output channels
COLUMNS = 32 * (4 * 4096 + 2 * 4096 + 14336)  # input channels
TILES = LINEAR // 128**2
TENSORS = 32 * 7


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fp8_tensor", LINEAR + 4 * TENSORS),
        ("fp8_channel", LINEAR + 2 * ROWS),
        ("fp8_block", LINEAR + 4 * TILES),
        ("w8a8", LINEAR + 2 * ROWS),
        ("w4a16", LINEAR // 2 + 2 * LINEAR // 128),
        ("awq", LINEAR // 2 + LINEAR // 128 * 5 // 2),
        ("gptq_act_order", LINEAR // 2 + LINEAR // 128 * 5 // 2 + 4 * COLUMNS),
        ("nf4", LINEAR // 2 + 4 * LINEAR // 64),
        ("mxfp4", LINEAR // 2 + LINEAR // 32),
        ("nvfp4", LINEAR // 2 + LINEAR // 16 + 8 * TENSORS),
        ("bnb_int8", LINEAR + 4 * ROWS),
    ],
)
def test_formats_by_hand(name, expected):
    assert weights_bytes(LLAMA_8B, catalog.precision("precision", name)) == expected + 2 * IN_16_BITS


@pytest.mark.parametrize(
    ("name", "expected_gb"), [("fp16", 140), ("fp8", 70), ("int8", 70), ("int4", 35), ("fp32", 280)]
)
def test_nominal_precisions_are_bytes_per_parameter(name, expected_gb):
    spec = spec_from_config(
        {"model_type": "llama", "params_b": 70, "num_hidden_layers": 80, "hidden_size": 8196}, name="article"
    )
    assert weights_bytes(spec, catalog.precision("precision", name)) == expected_gb * 10**9


def test_router_biases_are_stored_in_32_bits():
    """DeepSeek-V3 in 16 bits: 58 mixtures with a bias for each of 256 experts (e_score_correction_bias,
    vLLM models/glm4_moe.py: torch.float32)."""
    spec = replace(catalog.model("deepseek-v3").spec, quantization=None)
    assert weights_bytes(spec) == 2 * model_counts(spec).parameters.total + 2 * 58 * 256


QUANTIZED = {"model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
             "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256, "head_dim": 128}  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8_block"),
        ({"quant_method": "fp8", "activation_scheme": "static"}, "fp8_tensor"),
        ({"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True}, "awq"),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": True}, "gptq_act_order"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "nf4"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_use_double_quant": True}, "nf4_dq"),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["lm_head"]}, "nvfp4"),
        ({"quant_method": "compressed-tensors", "ignore": ["lm_head"], "config_groups": {"group_0": {
            "targets": ["Linear"], "weights": {"num_bits": 8, "type": "int", "strategy": "channel"}}}}, "w8a8"),
        ({"quant_method": "compressed-tensors", "ignore": ["re:.*lm_head"], "config_groups": {"group_0": {
            "targets": ["Linear"], "weights": {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 128,
                                               "symmetric": True}}}}, "w4a16"),
    ],
)  # fmt: skip
def test_quantization_config_is_the_named_format(settings, named):
    spec = spec_from_config(QUANTIZED | {"quantization_config": settings}, name="q")
    assert weights_bytes(spec) == weights_bytes(spec, catalog.precision("precision", named))


@pytest.mark.parametrize(
    ("name", "tensor", "layer", "selected"),
    [
        # A full path selects the modules below it, only in that layer.
        ("model.layers.3.self_attn", "self_attn.q_proj", 3, True),
        ("model.layers.3.self_attn", "self_attn.q_proj", 4, False),
        ("model.layers.3.self_attn.q_proj", "self_attn.k_proj", 3, False),
        # A star matches any text, at the end and elsewhere.
        ("model.layers.3.mlp.*", "mlp.up_proj", 3, True),
        ("model.layers.3.mlp.*", "mlp.up_proj", 30, False),
        ("model.layers.3.mlp.*", "self_attn.q_proj", 3, False),
        ("model.layers.3.mlp.up_pro*j", "mlp.up_proj", 3, True),
        ("model.layers.*.mlp.up_proj", "mlp.up_proj", 7, True),
        ("model.layers.*.mlp.up_proj", "mlp.down_proj", 7, False),
        # Parts of a path select modules in every layer, and outside the layers.
        ("self_attn", "self_attn.q_proj", 0, True),
        ("attn", "mlp.up_proj", 0, False),
        ("model.embed_tokens", "embed_tokens", None, True),
        ("lm_head", "lm_head", None, True),
        ("lm_head", "lm_head_2", None, False),
        # Regular expressions match paths from the beginning.
        (r"re:model\.layers\.[0-3]\..*", "mlp.up_proj", 3, True),
        (r"re:model\.layers\.[0-3]\..*", "mlp.up_proj", 4, False),
        ("re:.*lm_head", "lm_head", None, True),
        ("re:up_proj", "mlp.up_proj", 4, False),
        # Names in other checkpoints: Mixtral's experts, GPT's layers, fused projections.
        ("model.layers.3.block_sparse_moe.experts.0.w1", "mlp.experts.gate_proj", 3, True),
        ("model.layers.3.block_sparse_moe.experts.0.w1", "mlp.experts.down_proj", 3, False),
        ("model.layers.3.block_sparse_moe.experts.0.w1", "mlp.shared_experts.gate_proj", 3, False),
        ("transformer.h.3.attn.q_proj", "self_attn.q_proj", 3, True),
        ("model.layers.3.self_attn.qkv_proj", "self_attn.v_proj", 3, True),
        ("model.layers.3.mlp.router", "mlp.gate", 3, True),
        # Towers have layers with the same numbers.
        ("visual.layers.3.self_attn", "self_attn.q_proj", 3, False),
    ],
)
def test_modules_selected_by_a_name_in_config_json(name, tensor, layer, selected):
    """How transformers, vLLM and compressed-tensors read `ignore` and `modules_to_not_convert`."""
    assert modules([name]).has(Tensor(name=tensor, group=MLP, rows=8, columns=8), layer) is selected


def test_vectors_are_never_quantized():
    everything = Quantization(method="fp8", formats=((EVERYTHING, catalog.precision("precision", "fp8_tensor")),))
    for columns, name in ((1, None), (2, "fp8_tensor")):
        found = everything.precision_of(Tensor(name="mlp.up_proj", group=MLP, rows=8, columns=columns), 0)
        assert (found and found.name) == name


def test_modules_that_a_checkpoint_excludes_are_in_16_bits():
    """FP8 except in the attention of layer 3, which is 4096 × (2 × 4096 + 2 × 1024) values."""
    settings = {"quant_method": "fp8", "modules_to_not_convert": ["model.layers.3.self_attn", "lm_head"]}
    spec = spec_from_config(QUANTIZED | {"quantization_config": settings}, name="q")
    attention = 4096 * (2 * 4096 + 2 * 1024)
    expected = weights_bytes(spec, catalog.precision("precision", "fp8_tensor")) + attention - 4 * 4
    assert weights_bytes(spec) == expected


# Qwen3-14B as MLX stores it in 4 bits: github root-hypercube/qwen3-mlx, Qwen3-14B-MLX-4bit: config.json, and total_size
# of model.safetensors.index.json.
QWEN3_14B = {"model_type": "qwen3", "hidden_size": 5120, "intermediate_size": 17408, "num_hidden_layers": 40,
             "head_dim": 128, "num_attention_heads": 40, "num_key_value_heads": 8, "vocab_size": 151936,
             "tie_word_embeddings": False, "sliding_window": None, "use_sliding_window": False, "max_window_layers": 40}  # fmt: skip


@pytest.mark.parametrize("fields", [["quantization"], ["quantization_config"], ["quantization", "quantization_config"]])
def test_mlx_has_the_size_in_its_index(fields):
    spec = spec_from_config(QWEN3_14B | {field: {"group_size": 64, "bits": 4} for field in fields}, name="q")
    assert weights_bytes(spec) == 8_307_783_680


ATTENTION = 32 * 4096 * (2 * 4096 + 2 * 1024)  # values of all projections of attention in QUANTIZED
DOWN = 32 * 4096 * 14336


def gptq(values, columns, bits=4):
    """Return the bytes of `values` in groups of 128 (16-bit scale, zero point), and of g_idx for `columns`."""
    return values * bits // 8 + values // 128 * (2 + bits / 8) + 4 * columns


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        # GPTQModel's "dynamic", as in Qwen3.5-35B-A3B-GPTQ-Int4: attention is not quantized.
        ({"quant_method": "gptq", "bits": 4, "group_size": 128, "dynamic": {"-:.*attn.*": {}, "lm_head": {}}},
         2 * ATTENTION + gptq(LINEAR - ATTENTION, 32 * (2 * 4096 + 14336))),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128, "dynamic": {r"+:.*down_proj": {"bits": 8}}},
         gptq(DOWN, 32 * 14336, 8) + gptq(LINEAR - DOWN, 32 * 6 * 4096)),
        # AutoRound's extra_config: 16 bits means not quantized.
        ({"quant_method": "auto-round", "bits": 4, "group_size": 128, "extra_config": {".*self_attn.*": {"bits": 16}}},
         2 * ATTENTION + gptq(LINEAR - ATTENTION, 32 * (2 * 4096 + 14336))),
        # BitNet: four ternary values per byte (transformers integrations/bitnet.py).
        ({"quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": "offline"},
         LINEAR // 4 + 2 * TENSORS),
        # Quark (vLLM layers/quantization/quark): MXFP4 except in attention; FP8 with a scale per channel.
        ({"quant_method": "quark", "exclude": ["lm_head", "*self_attn*"], "global_quant_config": {
            "weight": {"dtype": "fp4", "qscheme": "per_group", "group_size": 32, "scale_format": "e8m0"}}},
         2 * ATTENTION + (LINEAR - ATTENTION) * 17 // 32),
        ({"quant_method": "quark", "exclude": ["lm_head"], "global_quant_config": {
            "weight": {"dtype": "fp8_e4m3", "qscheme": "per_channel"}}}, LINEAR + 4 * ROWS),
        ({"quant_method": "quark", "exclude": ["lm_head"], "global_quant_config": {
            "weight": {"dtype": "fp8_e4m3", "qscheme": "per_tensor"}}, "layer_quant_config": {"*down_proj": {
                "weight": {"dtype": "int8", "qscheme": "per_channel"}}}},
         LINEAR + 4 * (TENSORS - 32) + 4 * 32 * 4096),
        # MLX: a module with its own bits, and one that is not quantized.
        ({"bits": 4, "group_size": 64, "lm_head": False, "model.embed_tokens": {"bits": 8, "group_size": 64}},
         LINEAR * 9 // 16 + 128256 * 4096 * 17 // 16 - 2 * 128256 * 4096),
    ],
)  # fmt: skip
def test_formats_with_rules_for_modules_by_hand(settings, expected):
    spec = spec_from_config(QUANTIZED | {"quantization_config": settings}, name="q")
    assert weights_bytes(spec) == expected + 2 * IN_16_BITS


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"quant_method": "compressed-tensors", "sparsity_config": {"format": "sparse-24-bitmask"}}, "sparsity_config"),
        ({"quant_method": "compressed-tensors", "format": "marlin-24"}, "quantization_config.format"),
        ({"quant_method": "bitnet", "quantization_mode": "online"}, "quantization_config.quantization_mode"),
        ({"quant_method": "quark", "global_quant_config": {"weight": {"dtype": "fp6"}}}, "weight.dtype"),
        ({"quant_method": "quark", "layer_type_quant_config": {"Linear": {}}}, "layer_type_quant_config"),
        ({"bits": 4, "group_size": 64, "mode": "turbo"}, "quantization"),
        ({"quant_method": "torchao", "quant_type": {"default": {}}}, "quantization_config.quant_type"),
        ({"quant_method": "vptq"}, "quantization_config.quant_method"),
    ],
)  # fmt: skip
def test_unsupported_formats_name_the_field(settings, field):
    with pytest.raises(UnsupportedModelError, match=field):
        spec_from_config(QUANTIZED | {"quantization_config": settings}, name="q")


def test_an_unknown_format_is_named_in_the_error():
    with pytest.raises(Exception, match="quant_method: 'vptq' is not a supported format"):
        spec_from_config(QUANTIZED | {"quantization_config": {"quant_method": "vptq"}}, name="q")


@given(st.sampled_from([row.precision.name for row in catalog.precisions() if row.use != "kv"]))
def test_fewer_bits_never_need_more_than_16_bits(name):
    sixteen = weights_bytes(LLAMA_8B, catalog.precision("precision", "fp16"))
    chosen = catalog.precision("precision", name)
    assert weights_bytes(LLAMA_8B, chosen) <= sixteen or chosen.bytes_per_value > 2


def test_every_mix_is_in_the_catalog():
    assert {row.precision.mix for row in catalog.precisions()} - {""} == set(MIXES)
