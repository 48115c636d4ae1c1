"""Bytes of weights in real formats: scales included, and what they leave in 16 bits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import catalog
from core.errors import UnsupportedModelError
from core.gguf_mix import MIXES
from core.readers.hf_config import spec_from_config
from core.sizing import footprint
from core.weights import weights_bytes

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
def test_gguf_mixes_take_what_llama_cpp_publishes(name, published):
    size_bytes = weights_bytes(LLAMA_8B, catalog.precision("precision", name))
    bits_per_weight = 8 * size_bytes / footprint(LLAMA_8B).parameters.total
    assert (round(bits_per_weight, 4), round(size_bytes / 2**30, 2)) == published


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
def test_as_shipped_is_the_format_of_that_name(settings, named):
    spec = spec_from_config(QUANTIZED | {"quantization_config": settings}, name="q")
    assert weights_bytes(spec) == weights_bytes(spec, catalog.precision("precision", named))


def test_modules_that_a_checkpoint_leaves_alone_stay_in_16_bits():
    """FP8 of everything but the attention of layer 3, which is 4096 × (2 × 4096 + 2 × 1024) values."""
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
def test_mlx_takes_what_its_index_says(fields):
    spec = spec_from_config(QWEN3_14B | {field: {"group_size": 64, "bits": 4} for field in fields}, name="q")
    assert weights_bytes(spec) == 8_307_783_680


ATTENTION = 32 * 4096 * (2 * 4096 + 2 * 1024)  # values of all projections of attention in QUANTIZED
DOWN = 32 * 4096 * 14336


def gptq(values, columns, bits=4):
    """Bytes of so many values in groups of 128 (scale of 16 bits, zero point), and of g_idx for so many columns."""
    return values * bits // 8 + values // 128 * (2 + bits / 8) + 4 * columns


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        # GPTQModel's "dynamic", as Qwen3.5-35B-A3B-GPTQ-Int4 has it: no attention is quantized.
        ({"quant_method": "gptq", "bits": 4, "group_size": 128, "dynamic": {"-:.*attn.*": {}, "lm_head": {}}},
         2 * ATTENTION + gptq(LINEAR - ATTENTION, 32 * (2 * 4096 + 14336))),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128, "dynamic": {r"+:.*down_proj": {"bits": 8}}},
         gptq(DOWN, 32 * 14336, 8) + gptq(LINEAR - DOWN, 32 * 6 * 4096)),
        # AutoRound's extra_config: 16 bits are none.
        ({"quant_method": "auto-round", "bits": 4, "group_size": 128, "extra_config": {".*self_attn.*": {"bits": 16}}},
         2 * ATTENTION + gptq(LINEAR - ATTENTION, 32 * (2 * 4096 + 14336))),
        # BitNet: four ternary values a byte (transformers integrations/bitnet.py).
        ({"quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": "offline"},
         LINEAR // 4 + 2 * TENSORS),
        # Quark (vLLM layers/quantization/quark): MXFP4 everywhere but in attention; FP8 with a scale per channel.
        ({"quant_method": "quark", "exclude": ["lm_head", "*self_attn*"], "global_quant_config": {
            "weight": {"dtype": "fp4", "qscheme": "per_group", "group_size": 32, "scale_format": "e8m0"}}},
         2 * ATTENTION + (LINEAR - ATTENTION) * 17 // 32),
        ({"quant_method": "quark", "exclude": ["lm_head"], "global_quant_config": {
            "weight": {"dtype": "fp8_e4m3", "qscheme": "per_channel"}}}, LINEAR + 4 * ROWS),
        ({"quant_method": "quark", "exclude": ["lm_head"], "global_quant_config": {
            "weight": {"dtype": "fp8_e4m3", "qscheme": "per_tensor"}}, "layer_quant_config": {"*down_proj": {
                "weight": {"dtype": "int8", "qscheme": "per_channel"}}}},
         LINEAR + 4 * (TENSORS - 32) + 4 * 32 * 4096),
        # MLX: modules with bits of their own, and one that stays as it was.
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
        ({"quant_method": "torchao", "quant_type": {"default": {}}}, "quantization_config.quant_method"),
        ({"quant_method": "hqq"}, "quantization_config.quant_method"),
    ],
)  # fmt: skip
def test_formats_that_are_not_understood_name_the_field(settings, field):
    with pytest.raises(UnsupportedModelError, match=field):
        spec_from_config(QUANTIZED | {"quantization_config": settings}, name="q")


def test_an_unknown_format_is_an_error_that_names_it():
    with pytest.raises(Exception, match="quant_method: 'aqlm' is not a format that is understood"):
        spec_from_config(QUANTIZED | {"quantization_config": {"quant_method": "aqlm"}}, name="q")


@given(st.sampled_from([row.precision.name for row in catalog.precisions() if row.use != "kv"]))
def test_fewer_bits_never_need_more_than_sixteen(name):
    sixteen = weights_bytes(LLAMA_8B, catalog.precision("precision", "fp16"))
    chosen = catalog.precision("precision", name)
    assert weights_bytes(LLAMA_8B, chosen) <= sixteen or chosen.bytes_per_value > 2


def test_every_mix_is_in_the_catalog():
    assert {row.precision.mix for row in catalog.precisions()} - {""} == set(MIXES)
