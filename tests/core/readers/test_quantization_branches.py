"""Test rare forms of `quantization_config`, and rare branches of other readers, with figures computed by hand."""

from __future__ import annotations

import errno

import pytest

from core import catalog
from core.catalog.rows import COLUMNS, LARGEST_FILE_BYTES, BadRowError, needed_fields, read_rows, row_of
from core.errors import UnsupportedModelError, WrongTypeError
from core.model.parameters import count_parameters
from core.model.spec import ModelSpec
from core.model.tensors import ATTENTION, EXPERT, HEAD, MLP, Tensor
from core.model.weights import weights_bytes
from core.plan.details import layer_details
from core.readers.files import SourceFile, UnreadableFileError
from core.readers.hf_config import spec_from_config
from core.readers.weight_files.gguf_config import config_of_gguf
from core.readers.weight_files.gguf_header import LONGEST_ARRAY_KEPT, Gguf, LongArray, read_gguf
from core.readers.weight_files.stored import StoredTensor, StoredTensors
from tests.core.readers import gguf_files

SMALL = {
    "model_type": "llama", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "vocab_size": 10,
    "num_attention_heads": 2, "num_key_value_heads": 1, "tie_word_embeddings": False,
}  # fmt: skip
# Its linear layers, rows × columns: q and o 32 × 32, k and v 16 × 32, gate and up 64 × 32, down 32 × 64.
ATTENTION_VALUES = 2 * 32 * 32 + 2 * 16 * 32
DOWN_VALUES = 32 * 64
VALUES = ATTENTION_VALUES + 3 * 64 * 32
TENSORS = 7
ROWS = (32 + 32) + (16 + 16) + (64 + 64) + 32  # q, o; k, v; gate, up; down
COLUMNS_IN = 6 * 32 + 64
TILES = VALUES // 16**2  # of 16 × 16; every side above is a multiple of 16
# An embedding and a head of 10 × 32 and three norms of 32, always in 16 bits.
REST = 2 * (2 * 10 * 32 + 3 * 32)


def read(settings: object, **fields: object) -> ModelSpec:
    return spec_from_config(SMALL | fields | {"quantization_config": settings}, name="small")


def compressed(activations: object = None, **weights: object) -> dict[str, object]:
    """Return the settings of compressed-tensors with one scheme for all linear layers."""
    scheme = {"targets": ["Linear"], "weights": weights, "input_activations": activations}
    return {"quant_method": "compressed-tensors", "ignore": ["lm_head"], "config_groups": {"group_0": scheme}}


def quark(scheme: dict[str, object] | None, **others: object) -> dict[str, object]:
    return {"quant_method": "quark", "exclude": ["lm_head"], "global_quant_config": {"weight": scheme}, **others}


# ---- bytes of all weights ------------------------------------------------------------------------------


def torchao(kind: str, **data: object) -> dict[str, object]:
    return {"quant_method": "torchao", "quant_type": {"default": {"_type": kind, "_data": data}}}


HEAD_VALUES = 10 * 32

BYTES = {
    # torchao: a 16-bit scale and a 16-bit zero point per group; FP8 with one 32-bit scale per row or tensor.
    "torchao int4": (torchao("Int4WeightOnlyConfig", group_size=32), VALUES // 2 + VALUES // 32 * 4),
    "torchao int4, older": (
        {"quant_method": "torchao", "quant_type": "int4_weight_only", "quant_type_kwargs": {"group_size": 32}},
        VALUES // 2 + VALUES // 32 * 4,
    ),
    "torchao int8": (torchao("Int8WeightOnlyConfig", group_size=None), VALUES + 2 * ROWS),
    "torchao fp8 by row": (
        torchao("Float8DynamicActivationFloat8WeightConfig", granularity=[{"_type": "PerRow"}]), VALUES + 4 * ROWS,
    ),
    "torchao fp8": (torchao("Float8WeightOnlyConfig"), VALUES + 4 * TENSORS),
    "torchao nvfp4": (torchao("NVFP4WeightOnlyConfig"), VALUES * 9 // 16 + 8 * TENSORS),
    "torchao by module": (
        torchao("ModuleFqnToConfig", module_fqn_to_config={
            "_default": {"_type": "Int8DynamicActivationInt4WeightConfig", "_data": {"group_size": 32}},
            "model.layers.0.mlp.down_proj": None,
            "model.embed_tokens": {"_type": "IntxWeightOnlyConfig", "_data": {
                "weight_dtype": {"_data": "int8", "_type": "torch.dtype"},
                "granularity": {"_type": "PerAxis", "_data": {"axis": 0}}}},
        }),
        (VALUES - DOWN_VALUES) // 2 + (VALUES - DOWN_VALUES) // 32 * 4 + 2 * DOWN_VALUES - HEAD_VALUES + 2 * 10,
    ),
    "torchao by module, others as they are": (
        torchao("FqnToConfig", fqn_to_config={
            "model.layers.0.mlp.down_proj": {"_type": "IntxWeightOnlyConfig", "_data": {
                "weight_dtype": "int4", "granularity": {"_type": "PerGroup", "_data": {"group_size": 32}}}},
        }),
        2 * (VALUES - DOWN_VALUES) + DOWN_VALUES // 2 + DOWN_VALUES // 32 * 4,
    ),
    "torchao with embedding and head": (
        torchao("Int8WeightOnlyConfig") | {"include_input_output_embeddings": True},
        VALUES + 2 * ROWS - 2 * HEAD_VALUES + 2 * 2 * 10,
    ),
    # HQQ: a 16-bit scale and a 16-bit zero point per group of 64 (mobiusml hqq/core/quantize.py).
    "HQQ": (
        {"quant_method": "hqq", "quant_config": {"weight_quant_params": {"nbits": 4, "group_size": 32}}},
        VALUES // 2 + VALUES // 32 * 4,
    ),
    "HQQ, flat": ({"quant_method": "hqq", "bits": 8, "group_size": 32}, VALUES + VALUES // 32 * 4),
    # AQLM: a 16-bit code for 8 inputs, a scale per row and 2¹⁶ codes of 8 values per tensor.
    "AQLM": (
        {"quant_method": "aqlm", "in_group_size": 8, "nbits_per_codebook": 16, "num_codebooks": 1,
         "linear_weights_not_to_quantize": ["model.embed_tokens.weight", "lm_head.weight"]},
        VALUES // 4 + 2 * ROWS + TENSORS * 2**16 * 8 * 2,
    ),
    # ExLlama: mean bits; EXL3 has a 16-bit sign and scale for each row and column (exllamav3 modules/quant/exl3.py).
    "EXL2": ({"quant_method": "exl2", "bits": 4.5, "head_bits": 8}, VALUES * 9 // 16 - HEAD_VALUES),
    "EXL3": (
        {"quant_method": "exl3", "bits": 3, "head_bits": 6},
        VALUES * 3 // 8 + 2 * (ROWS + COLUMNS_IN) - HEAD_VALUES * 2 + HEAD_VALUES * 6 // 8 + 2 * (10 + 32),
    ),
    # AutoRound's floats (auto_round/data_type) and its AWQ packing.
    "AutoRound MXFP4": (
        {"quant_method": "auto-round", "data_type": "mx_fp", "bits": 4}, VALUES // 2 + VALUES // 32,
    ),
    "AutoRound MXFP8": (
        {"quant_method": "auto-round", "data_type": "mx_fp", "bits": 8}, VALUES + VALUES // 32,
    ),
    "AutoRound NVFP4": (
        {"quant_method": "auto-round", "data_type": "nv_fp", "bits": 4}, VALUES * 9 // 16 + 8 * TENSORS,
    ),
    "AutoRound packed as AWQ": (
        {"quant_method": "auto-round", "bits": 4, "group_size": 32, "packing_format": "auto_round:auto_awq"},
        VALUES // 2 + VALUES // 32 * 5 // 2,
    ),
    # One byte per value, and a 32-bit scale per output channel (transformers integrations/fbgemm_fp8.py).
    "FBGEMM": ({"quant_method": "fbgemm_fp8"}, VALUES + 4 * ROWS),
    "FBGEMM except one projection": (
        {"quant_method": "fbgemm_fp8", "modules_to_not_convert": ["model.layers.0.mlp.down_proj", "lm_head"]},
        (VALUES - DOWN_VALUES) + 4 * (ROWS - 32) + 2 * DOWN_VALUES,
    ),
    # A single name need not be in a list.
    "a name without a list": (
        {"quant_method": "fbgemm_fp8", "modules_to_not_convert": "self_attn"},
        (VALUES - ATTENTION_VALUES) + 4 * (64 + 64 + 32) + 2 * ATTENTION_VALUES,
    ),
    # bitsandbytes: one byte per value, and a 32-bit absolute maximum per row (arXiv:2208.07339).
    "LLM.int8()": ({"quant_method": "bitsandbytes", "load_in_8bit": True}, VALUES + 4 * ROWS),
    "LLM.int8(), as transformers saves it": (
        {"quant_method": "bitsandbytes", "_load_in_4bit": False, "_load_in_8bit": True}, VALUES + 4 * ROWS,
    ),
    # 8-bit GPTQ with a row as group: per row a 2-byte scale and a 1-byte zero point, and g_idx.
    "GPTQ of whole rows": ({"quant_method": "gptq", "bits": 8, "group_size": -1}, VALUES + 3 * ROWS + 4 * COLUMNS_IN),
    # Half a byte per value. MXFP4: one byte per 32 values (OCP Microscaling 1.0); NVFP4: one per 16, and 8 per tensor,
    # 4 for the range of the weights and 4 for that of the inputs.
    "compressed-tensors, MXFP4": (compressed(num_bits=4, type="float", group_size=32), VALUES // 2 + VALUES // 32),
    "compressed-tensors, NVFP4": (
        compressed({"num_bits": 4, "type": "float"}, num_bits=4, type="float", strategy="tensor_group", group_size=16),
        VALUES // 2 + VALUES // 16 + 8 * TENSORS,
    ),
    # compressed-tensors has scales of the model's 16 bits, one per tile or per tensor.
    "compressed-tensors, tiles": (
        compressed(num_bits=8, type="float", strategy="block", block_structure=[16, 16]), VALUES + 2 * TILES,
    ),
    "compressed-tensors, tiles in the older spelling": (
        compressed(num_bits=8, type="float", strategy="block", block_structure="16x16"), VALUES + 2 * TILES,
    ),
    "compressed-tensors, whole tensors": (
        compressed(num_bits=8, type="float", strategy="tensor", group_size=None), VALUES + 2 * TENSORS,
    ),
    # A scheme for activations only does not change how weights are stored.
    "compressed-tensors, a scheme without weights": (
        {"quant_method": "compressed-tensors", "config_groups": {
            "group_0": {"targets": ["re:.*self_attn.*"], "weights": None, "input_activations": {"num_bits": 8}},
            "group_1": {"targets": ["re:.*mlp.*"], "weights": {"num_bits": 8, "type": "float", "strategy": "tensor"}}}},
        2 * ATTENTION_VALUES + (VALUES - ATTENTION_VALUES) + 2 * 3,
    ),
    # Quark's groups of 32: 4 bits per value and a 16-bit scale, with a 4-bit zero point if asymmetric.
    "Quark, symmetric groups": (
        quark({"dtype": "int4", "qscheme": "per_group", "group_size": 32, "symmetric": True}),
        VALUES // 2 + 2 * VALUES // 32,
    ),
    "Quark, asymmetric groups": (
        quark({"dtype": "uint4", "qscheme": "per_group", "group_size": 32, "symmetric": False}),
        VALUES // 2 + 2 * VALUES // 32 + VALUES // 32 // 2,
    ),
    # A module without a scheme stays in 16 bits; the others have one byte per value and a 32-bit scale per channel.
    "Quark, a module without a scheme": (
        quark({"dtype": "fp8_e4m3", "qscheme": "per_channel"}, layer_quant_config={"*down_proj": {"weight": None}}),
        (VALUES - DOWN_VALUES) + 4 * (ROWS - 32) + 2 * DOWN_VALUES,
    ),
    # Without a global scheme only the modules that have one are quantized.
    "Quark, no global scheme": (
        quark(None, layer_quant_config={"*down_proj": {"weight": {"dtype": "fp8_e4m3", "qscheme": "per_channel"}}}),
        2 * (VALUES - DOWN_VALUES) + DOWN_VALUES + 4 * 32,
    ),
}  # fmt: skip


def test_the_small_model_by_hand():
    """The figures below build on this one: two bytes per value."""
    assert weights_bytes(spec_from_config(SMALL, name="small")) == 2 * VALUES + REST == 19_904


@pytest.mark.parametrize(("settings", "linear_bytes"), BYTES.values(), ids=BYTES)
def test_weights_bytes_of_a_format(settings, linear_bytes):
    assert weights_bytes(read(settings)) == linear_bytes + REST


@pytest.mark.parametrize(("mode", "block_bytes"), [("mxfp4", 32 // 2 + 1), ("mxfp8", 32 + 1)])
def test_mlx_modes_with_one_exponent_per_32_values(mode, block_bytes):
    """MLX also quantizes the embedding and the head, 10 × 32 values each (docs of mlx.core.quantize: e8m0, no bias)."""
    spec = spec_from_config(SMALL | {"quantization": {"mode": mode, "bits": 4, "group_size": 32}}, name="small")
    assert weights_bytes(spec) == (VALUES + 2 * 10 * 32) // 32 * block_bytes + 2 * 3 * 32


# ---- formats of single modules -------------------------------------------------------------------------

Q, K = (Tensor(name=f"self_attn.{name}_proj", group=ATTENTION, rows=32, columns=32) for name in "qk")
UP, DOWN = (Tensor(name=f"mlp.{name}_proj", group=MLP, rows=32, columns=64) for name in ("up", "down"))
LM_HEAD = Tensor(name="lm_head", group=HEAD, rows=10, columns=32)


def bits(spec: ModelSpec, tensor: Tensor, layer: int | None) -> float | None:
    """Return the tensor's bits per value, with the scales of its blocks; None if it is not quantized."""
    assert spec.quantization is not None
    found = spec.quantization.precision_of(tensor, layer)
    return found and found.bits_per_value


MIXED = {
    "quant_algo": "MIXED_PRECISION",
    "quantized_layers": {
        "model.layers.0.self_attn.q_proj": {"quant_algo": "FP8"},
        "model.layers.0.self_attn.k_proj": {"quant_algo": "FP8"},
        "model.layers.1.mlp.down_proj": {"quant_algo": "NVFP4", "group_size": 16},
        "model.layers.1.mlp.up_proj": {"quant_algo": "FP8"},
        "lm_head": {"quant_algo": "NVFP4", "group_size": 16},
    },
}


@pytest.mark.parametrize(
    "fields",
    [
        {"quantization_config": {**MIXED, "quant_method": "modelopt", "ignore": ["*self_attn.k_proj"]}},
        {"quantization_config": {**MIXED, "ignore": ["*self_attn.k_proj"]}},
        # The same in hf_quant_config.json.
        {"hf_quant_config": {"producer": {"name": "modelopt"},
                             "quantization": {**MIXED, "exclude_modules": ["*self_attn.k_proj"]}}},
    ],
)  # fmt: skip
def test_model_optimizer_with_a_format_per_module(fields):
    """Modules that are not listed, or excluded, are not quantized.

    NVFP4 has 4 bits per value and an 8-bit scale per 16 values: 4.5 bits.
    """
    spec = spec_from_config(SMALL | {"num_hidden_layers": 2} | fields, name="mixed")
    by_layer = {
        (tensor.name, layer): bits(spec, tensor, layer)
        for layer, tensors in ((0, (Q, K, UP, DOWN)), (1, (Q, K, UP, DOWN)), (None, (LM_HEAD,)))
        for tensor in tensors
    }
    assert {module: found for module, found in by_layer.items() if found is not None} == {
        ("self_attn.q_proj", 0): 8, ("mlp.up_proj", 1): 8, ("mlp.down_proj", 1): 4.5, ("lm_head", None): 4.5,
    }  # fmt: skip


def test_model_optimizer_on_an_fp8_model_leaves_other_modules_in_fp8():
    """NVIDIA's DeepSeek-V4 with experts in NVFP4: `ignore` lists the modules that stay in FP8."""
    settings = {
        "quant_method": "fp8", "quant_algo": "MIXED_PRECISION", "weight_block_size": [16, 16],
        "ignore": ["*self_attn*", "head", "mtp.*"],
        "quantized_layers": {"layers.0.mlp": {"quant_algo": "NVFP4", "group_size": 16}},
    }  # fmt: skip
    spec = read(settings, num_hidden_layers=2)
    assert [bits(spec, DOWN, 0), bits(spec, DOWN, 1), bits(spec, Q, 0), bits(spec, LM_HEAD, None)] == [4.5, 8, 8, None]
    # 32 × 32 values of one byte, and a 32-bit scale for each of 2 × 2 tiles.
    assert spec.quantization.precision_of(Q, 0).value_and_scale_bytes(Q) == (1024, 4 * 4)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        # extra_config: 8 bits for one module; an entry that is not an object is ignored; 16 bits mean not quantized.
        ({"quant_method": "auto-round", "extra_config": {
            "model.layers.0.mlp.down_proj": {"bits": 8}, "model.layers.0.mlp.up_proj": "float",
            "model.layers.0.self_attn.q_proj": {"bits": 16}}}, {"down": 8, "up": 4, "q": None}),
        # GPTQModel's "dynamic": a pattern without settings changes nothing.
        ({"quant_method": "gptq", "dynamic": {"+:.*up_proj": None, "+:.*down_proj": {"bits": 8}, "-:.*q_proj": None}},
         {"down": 8, "up": 4, "q": None}),
    ],
)  # fmt: skip
def test_gptq_settings_of_single_modules(settings, expected):
    """Bits per value, without the 16-bit scale and the zero point of each group of 32."""
    spec = read({"bits": 4, "group_size": 32, **settings})
    found = {name: spec.quantization.precision_of(t, 0) for name, t in (("down", DOWN), ("up", UP), ("q", Q))}
    values = {name: found[name] and 8 * found[name].value_and_scale_bytes(DOWN)[0] / (32 * 64) for name in found}
    assert values == expected


def test_the_last_of_several_quark_steps_is_stored():
    """Weights that are rounded to FP8, then to INT4 (vLLM layers/quantization/quark, W4A8): half a byte per value."""
    first, last = {"dtype": "fp8_e4m3", "qscheme": "per_tensor"}, {"dtype": "int4", "qscheme": "per_channel"}
    spec = read({"quant_method": "quark", "global_quant_config": {"weight": [first, last]}})
    assert bits(spec, DOWN, 0) == 4


# ---- unsupported settings -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "field", "problem"),
    [
        ({"quant_method": "fp8", "weight_block_size": [128]}, "weight_block_size", "[128] is not a pair of tile sides"),
        ({"quant_method": "fp8", "weight_block_size": [128, 0]}, "weight_block_size",
         "[128, 0] is not a pair of tile sides"),
        (compressed(num_bits=8, strategy="block", block_structure="128"), "block_structure",
         "'128' is not a pair of tile sides"),
        (compressed(num_bits=8, strategy="block", block_structure="0x128"), "block_structure",
         "[0, 128] is not a pair of tile sides"),
        ({"quant_method": "compressed-tensors"}, "config_groups", "it is missing"),
        ({"quant_method": "compressed-tensors", "config_groups": ["group_0"]}, "config_groups", "it is missing"),
        (quark({"dtype": "int8", "qscheme": "per_block"}), "global_quant_config.weight.qscheme",
         "'per_block' is not supported"),
        ({"quant_method": "modelopt", "quant_algo": "W3A16"}, "quant_algo",
         "'W3A16' is not a supported format"),
        (torchao("Int3OddConfig"), "quant_type", "'Int3OddConfig' is not a supported format"),
        ({"quant_method": "aqlm", "out_group_size": 2}, "out_group_size",
         "groups of 8 × 2 in 1 codebooks are not supported"),
        ({"quant_method": "exl3", "bits": 0.5}, "bits", "0.5 is not a number of bits"),
        ({"quant_algo": "MIXED_PRECISION", "quantized_layers": {"lm_head": {"quant_algo": "W3A16"}}}, "quant_algo",
         "'W3A16' is not a supported format"),
    ],
)  # fmt: skip
def test_an_error_names_the_field_and_its_value(settings, field, problem):
    with pytest.raises(UnsupportedModelError) as error:
        read(settings)
    assert (error.value.field, error.value.problem) == (f"quantization_config.{field}", problem)


# ---- fields of a config.json ---------------------------------------------------------------------------

MPT = {"model_type": "mpt", "d_model": 32, "n_heads": 2, "n_layers": 1, "vocab_size": 10}


@pytest.mark.parametrize(
    ("config", "field", "problem"),
    [
        (MPT | {"attn_config": {"attn_type": 7}}, "attn_config.attn_type", "7 is not text"),
        (SMALL | {"layer_types": "full_attention"}, "layer_types", "'full_attention' is not a list"),
    ],
)
def test_a_field_of_the_wrong_type_is_named_with_its_path(config, field, problem):
    with pytest.raises(WrongTypeError) as error:
        spec_from_config(config, name="m")
    assert (error.value.field, error.value.problem) == (field, problem)


def kimi(**tower: object) -> dict[str, object]:
    """Return a Kimi-VL whose tower has one layer, 4 × 4 positions and patches of 1 × 1."""
    vision = {"model_type": "moonvit", "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1,
              "patch_size": 1, "init_pos_emb_height": 4, "init_pos_emb_width": 4, **tower}  # fmt: skip
    text = SMALL | {
        "model_type": "deepseek_v3", "kv_lora_rank": 8, "q_lora_rank": None, "qk_rope_head_dim": 4,
        "qk_nope_head_dim": 4, "v_head_dim": 4, "n_routed_experts": 2, "num_experts_per_tok": 1,
        "moe_intermediate_size": 8, "n_shared_experts": 0, "first_k_dense_replace": 1,
    }  # fmt: skip
    return {"model_type": "kimi_vl", "text_config": text, "vision_config": vision}


@pytest.mark.parametrize("missing", [{}, {"merge_kernel_size": None}, {"merge_kernel_size": []}])
def test_a_missing_list_of_sizes_has_the_familys_default(missing):
    """MoonViT merges 2 × 2 patches by default (configuration_kimi_vl.py, MoonViTConfig).

    From m merged patches of width 8 the projector makes m·8 values (a square matrix and a bias), and of these the 32
    of the decoder (a matrix of 32 rows, whose bias does not depend on m): m is 4 where 2 × 2 are merged, else 1.
    """
    default, stated, none_merged = (
        count_parameters(spec_from_config(kimi(**tower), name="k")).total
        for tower in (missing, {"merge_kernel_size": [2, 2]}, {"merge_kernel_size": [1, 1]})
    )
    assert default == stated
    assert default - none_merged == (32 * 32 + 32 + 32 * 32) - (8 * 8 + 8 + 32 * 8)


def test_a_list_of_sizes_of_the_wrong_length():
    with pytest.raises(UnsupportedModelError) as error:
        spec_from_config(kimi(merge_kernel_size=[2]), name="k")
    assert error.value.field == "vision_config.merge_kernel_size"
    assert (error.value.problem, error.value.remedy) == ("it has 1 entries", "Write 2, as in the model's config.json.")


# ---- files ---------------------------------------------------------------------------------------------


class BrokenDisk:
    """A stream of a failing disk, which cannot be read."""

    def read(self, count: int) -> bytes:
        raise OSError(errno.EIO, "Input/output error")


def test_an_error_while_reading_names_the_cause(tmp_path, monkeypatch):
    path = tmp_path / "model.bin"
    path.write_bytes(b"abcd")
    with SourceFile(str(path), kind="a model", remedy="Download it again.") as file:
        with monkeypatch.context() as broken:
            broken.setattr(file, "_stream", BrokenDisk())
            with pytest.raises(UnreadableFileError) as error:
                file.read(4)
        assert file.read(4) == b"abcd"
    assert str(error.value) == f"{path}: it cannot be read as a model: Input/output error. Download it again."


def test_a_file_that_ends_too_early_is_cut_short(tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(b"abcd")
    with SourceFile(str(path), kind="a model", remedy="Download it again.") as file:
        assert file.read(3) == b"abc"
        with pytest.raises(UnreadableFileError) as error:
            file.read(2)
    assert str(error.value) == f"{path}: it cannot be read as a model: it is cut short. Download it again."


def test_a_long_array_is_skipped_and_the_next_entry_read(tmp_path):
    path, most = tmp_path / "m.gguf", LONGEST_ARRAY_KEPT
    path.write_bytes(gguf_files.raw([
        gguf_files.array(b"long", 4, most + 1, bytes(4 * (most + 1))),
        gguf_files.array(b"kept", 4, most, bytes(4 * most)),
        gguf_files.u32(b"after", 7),
    ]))  # fmt: skip
    assert read_gguf(str(path)).metadata == {"long": LongArray(most + 1), "kept": [0] * most, "after": 7}


def test_the_vocabulary_comes_from_the_metadata_without_an_embedding():
    """A file of a split model may have no embedding; the list of tokens is longer because of padding."""
    head = StoredTensor("output.weight", "F16", (32, 10), 640, 320)
    metadata = {"general.architecture": "llama", "llama.block_count": 1, "llama.vocab_size": 10,
                "tokenizer.ggml.tokens": LongArray(12)}  # fmt: skip
    assert config_of_gguf(Gguf(metadata=metadata, stored=StoredTensors(tensors=(head,))))["vocab_size"] == 10


# ---- rows of models ------------------------------------------------------------------------------------


def test_a_too_large_file_of_models_is_not_read(tmp_path):
    path = tmp_path / "models.csv"
    with path.open("wb") as file:
        file.truncate(LARGEST_FILE_BYTES + 1)  # sparse: takes no disk space
    with pytest.raises(UnreadableFileError, match="it is larger than 16 MiB") as error:
        read_rows(str(path))
    assert error.value.field == str(path)


@pytest.mark.parametrize(
    ("column", "text", "problem"),
    [
        ("title", "A\x07model", r"'A\x07model' has control characters"),
        ("name", "n" * 256, "it has 256 characters, more than 255"),
        ("title", "t" * 256, "it has 256 characters, more than 255"),
        # Excel's limit for a cell: 32 767 characters.
        ("source", "s" * 32_768, "it has 32768 characters, more than 32767"),
    ],
)
def test_the_error_names_the_line_and_column_of_a_cell_that_excel_cannot_show(tmp_path, column, text, problem):
    path = tmp_path / "models.csv"
    cells = {"name": "house-model", "model_type": "llama", column: text}
    path.write_text(",".join(COLUMNS) + "\n" + ",".join(cells.get(each, "") for each in COLUMNS) + "\n", "utf-8")
    with pytest.raises(BadRowError) as error:
        read_rows(str(path))
    assert error.value.field == f"{path}, line 2, {column}"
    assert error.value.problem == problem


def test_texts_of_the_largest_length_are_accepted(tmp_path):
    path = tmp_path / "models.csv"
    cells = {"name": "n" * 255, "model_type": "llama", "source": "s" * 32_767}
    path.write_text(",".join(COLUMNS) + "\n" + ",".join(cells.get(each, "") for each in COLUMNS) + "\n", "utf-8")
    assert [row["source"] for row in read_rows(str(path))] == ["s" * 32_767]


def test_a_text_too_long_for_a_cell_is_not_written():
    given = {"name": "m", "title": "m", "as_of": "2026-11-23"}
    assert row_of(SMALL, source="s" * 32_767, **given)["source"] == "s" * 32_767
    with pytest.raises(UnsupportedModelError) as error:
        row_of(SMALL, source="s" * 32_768, **given)
    assert error.value.field == "source"
    assert error.value.problem == "it has 32768 characters, a cell holds 32767"


def test_a_row_has_only_the_needed_fields_of_a_nested_object():
    """The scaling of activations does not change the weights' bytes; the sides of the tiles do."""
    needed = {"quant_method": "fp8", "weight_block_size": [16, 16]}
    config = SMALL | {"quantization_config": {**needed, "activation_scheme": "dynamic"}}
    assert needed_fields(config, name="m") == SMALL | {"quantization_config": needed}


def test_a_row_has_nested_fields_that_equal_the_default():
    """False is MPT's default of `qk_ln`; a row has it nevertheless, but not how attention is computed."""
    config = MPT | {"attn_config": {"qk_ln": False, "attn_impl": "torch"}}
    assert spec_from_config(config, name="m") == spec_from_config(MPT, name="m")
    assert needed_fields(config, name="m") == MPT | {"attn_config": {"qk_ln": False}}


# ---- kinds of layer ------------------------------------------------------------------------------------


def test_a_layer_with_two_mixers_is_named_after_both():
    """Falcon-H1: Mamba-2 and attention in each of three layers.

    The cache has a key and a value of 16 values per token in 16 bits. The state has 4 heads × 8 × 16 values in 32 bits,
    and the 3 last inputs of a convolution over 4 × 8 + 2 × 16 channels in 16 bits.
    """
    config = {
        "model_type": "falcon_h1", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "vocab_size": 10,
        "num_attention_heads": 2, "num_key_value_heads": 1, "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_d_ssm": 32,
        "mamba_d_state": 16, "mamba_n_groups": 1, "mamba_d_conv": 4, "mamba_ssm_dtype": "float32",
    }  # fmt: skip
    details = layer_details(spec_from_config(config, name="h"), catalog.precision("kv_precision", "fp16"))
    assert details == [
        {"kind": "mamba2 + full_attention", "count": 3, "bytes_per_token": 2 * 16 * 2,
         "fixed_bytes": 4 * (4 * 8 * 16) + 2 * 3 * (4 * 8 + 2 * 16)},
    ]  # fmt: skip


# ---- impossible settings -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "field", "problem"),
    [
        ({"quant_method": "gptq", "bits": float("nan")}, "bits", "nan is not a number of bits or values"),
        ({"quant_method": "gptq", "bits": float("inf")}, "bits", "inf is not a number of bits or values"),
        ({"quant_method": "gptq", "bits": -4}, "bits", "-4 is not a number of bits or values"),
        ({"quant_method": "gptq", "bits": -1}, "bits", "-1 is not a number of bits"),
        ({"quant_method": "awq", "w_bit": 2.5}, "w_bit", "2.5 is not a number of bits or values"),
        ({"quant_method": "awq", "w_bit": 4, "q_group_size": -128}, "q_group_size", "-128 is not a number"),
        ({"quant_method": "fp8", "weight_block_size": [True, 128]}, "weight_block_size", "is not a pair of tile sides"),
        ({"quant_algo": "MIXED_PRECISION", "quantized_layers": {"x": {}}}, "quant_algo", "'None' is not a supported"),
        ({"quant_algo": "MIXED_PRECISION", "quantized_layers": {"x": "FP9"}}, "quant_algo", "'FP9' is not a supported"),
        ({"quant_method": "fp8", "ignored_layers": ["re:("]}, "", r"'\(' is not a regular expression"),
        ({"quant_method": "gptq", "dynamic": {"-:(": {}}}, "", r"'\(' is not a regular expression"),
        ({"quant_method": "fp8", "ignored_layers": ["re:(a+)+b"]}, "", "could take too long to match"),
        ({"quant_method": "fp8", "ignored_layers": ["re:" + 9 * ".*a"]}, "", "could take too long to match"),
    ],
)
def test_impossible_settings_are_refused(settings, field, problem):
    with pytest.raises(UnsupportedModelError, match=f"{field}.*{problem}"):
        read(settings)


def test_a_mode_that_is_not_text_is_refused():
    with pytest.raises(UnsupportedModelError, match=r"quantization: \['x'\], 4 bits in groups of 64"):
        spec_from_config(SMALL | {"quantization": {"bits": 4, "group_size": 64, "mode": ["x"]}}, name="small")


def test_a_group_of_a_whole_row_has_a_scale_per_channel():
    """The rule of compressed-tensors where no strategy is given (quant_args.py, infer_strategy)."""
    assert weights_bytes(read(compressed(num_bits=8, group_size=-1))) == VALUES + 2 * ROWS + REST


# Model Optimizer on DeepSeek-V4: experts in NVFP4, the rest as published by DeepSeek, whose experts are in MXFP4.
MIXED_V4 = {
    "quant_method": "fp8", "quant_algo": "MIXED_PRECISION", "weight_block_size": [16, 16],
    "quantized_layers": {"model.layers.0.mlp.experts": {"quant_algo": "NVFP4"}},
}  # fmt: skip


def format_of(spec: ModelSpec, name: str, group: str) -> str | None:
    found = spec.quantization.precision_of(Tensor(name=name, group=group, rows=32, columns=32), 0)
    return None if found is None else found.name


def test_modules_that_model_optimizer_ignored_stay_in_fp8():
    spec = read(MIXED_V4, expert_dtype="fp4")
    assert format_of(spec, "mlp.experts.up_proj", EXPERT) == "nvfp4"
    assert format_of(spec, "self_attn.q_proj", ATTENTION) == "fp8_block"
    assert weights_bytes(spec) == VALUES + 4 * TILES + REST


@pytest.mark.parametrize("field", ["modules_to_not_convert", "ignored_layers"])
def test_modules_that_fp8_excludes_are_not_quantized_with_model_optimizer(field):
    spec = read(MIXED_V4 | {field: ["model.layers.0.self_attn.q_proj"], "ignore": ["model.layers.0.self_attn.k_proj"]})
    assert format_of(spec, "self_attn.q_proj", ATTENTION) is None
    assert format_of(spec, "self_attn.k_proj", ATTENTION) == "fp8_block"
