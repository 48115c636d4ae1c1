"""The rarer spellings of `quantization_config`, and rarer turns of the readers beside it, worked out by hand."""

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
# An embedding and a head of 10 × 32 and three norms of 32, in 16 bits whatever the linear layers are stored in.
REST = 2 * (2 * 10 * 32 + 3 * 32)


def read(settings: object, **fields: object) -> ModelSpec:
    return spec_from_config(SMALL | fields | {"quantization_config": settings}, name="small")


def compressed(activations: object = None, **weights: object) -> dict[str, object]:
    """One scheme of compressed-tensors for all linear layers."""
    scheme = {"targets": ["Linear"], "weights": weights, "input_activations": activations}
    return {"quant_method": "compressed-tensors", "ignore": ["lm_head"], "config_groups": {"group_0": scheme}}


def quark(scheme: dict[str, object] | None, **others: object) -> dict[str, object]:
    return {"quant_method": "quark", "exclude": ["lm_head"], "global_quant_config": {"weight": scheme}, **others}


# ---- bytes of all weights ------------------------------------------------------------------------------

BYTES = {
    # A byte a value, and a 32-bit scale for each output channel (transformers integrations/fbgemm_fp8.py).
    "FBGEMM": ({"quant_method": "fbgemm_fp8"}, VALUES + 4 * ROWS),
    "FBGEMM but for the way down": (
        {"quant_method": "fbgemm_fp8", "modules_to_not_convert": ["model.layers.0.mlp.down_proj", "lm_head"]},
        (VALUES - DOWN_VALUES) + 4 * (ROWS - 32) + 2 * DOWN_VALUES,
    ),
    # One name may stand without a list around it.
    "a name alone": (
        {"quant_method": "fbgemm_fp8", "modules_to_not_convert": "self_attn"},
        (VALUES - ATTENTION_VALUES) + 4 * (64 + 64 + 32) + 2 * ATTENTION_VALUES,
    ),
    # bitsandbytes: a byte a value, and an absolute maximum of 32 bits for each row (arXiv:2208.07339).
    "LLM.int8()": ({"quant_method": "bitsandbytes", "load_in_8bit": True}, VALUES + 4 * ROWS),
    "LLM.int8(), as transformers saves it": (
        {"quant_method": "bitsandbytes", "_load_in_4bit": False, "_load_in_8bit": True}, VALUES + 4 * ROWS,
    ),
    # GPTQ of 8 bits whose group is the whole row: for each a scale of 2 bytes and a zero point of 1, and g_idx.
    "GPTQ of whole rows": ({"quant_method": "gptq", "bits": 8, "group_size": -1}, VALUES + 3 * ROWS + 4 * COLUMNS_IN),
    # Half a byte a value: MXFP4 has a byte for 32 of them (OCP Microscaling 1.0), NVFP4 one for 16,
    # and a tensor 4 for its weights' range and 4 for its inputs'.
    "compressed-tensors, MXFP4": (compressed(num_bits=4, type="float", group_size=32), VALUES // 2 + VALUES // 32),
    "compressed-tensors, NVFP4": (
        compressed({"num_bits": 4, "type": "float"}, num_bits=4, type="float", strategy="tensor_group", group_size=16),
        VALUES // 2 + VALUES // 16 + 8 * TENSORS,
    ),
    # compressed-tensors keeps its scales in the model's 16 bits: one a tile, one a tensor.
    "compressed-tensors, tiles": (
        compressed(num_bits=8, type="float", strategy="block", block_structure=[16, 16]), VALUES + 2 * TILES,
    ),
    "compressed-tensors, tiles as once written": (
        compressed(num_bits=8, type="float", strategy="block", block_structure="16x16"), VALUES + 2 * TILES,
    ),
    "compressed-tensors, whole tensors": (
        compressed(num_bits=8, type="float", strategy="tensor", group_size=None), VALUES + 2 * TENSORS,
    ),
    # A scheme without weights (activations alone) says nothing of what is stored.
    "compressed-tensors, a scheme without weights": (
        {"quant_method": "compressed-tensors", "config_groups": {
            "group_0": {"targets": ["re:.*self_attn.*"], "weights": None, "input_activations": {"num_bits": 8}},
            "group_1": {"targets": ["re:.*mlp.*"], "weights": {"num_bits": 8, "type": "float", "strategy": "tensor"}}}},
        2 * ATTENTION_VALUES + (VALUES - ATTENTION_VALUES) + 2 * 3,
    ),
    # Quark's groups of 32: 4 bits a value and a 16-bit scale, and a zero point of 4 bits where they are asymmetric.
    "Quark, symmetric groups": (
        quark({"dtype": "int4", "qscheme": "per_group", "group_size": 32, "symmetric": True}),
        VALUES // 2 + 2 * VALUES // 32,
    ),
    "Quark, asymmetric groups": (
        quark({"dtype": "uint4", "qscheme": "per_group", "group_size": 32, "symmetric": False}),
        VALUES // 2 + 2 * VALUES // 32 + VALUES // 32 // 2,
    ),
    # A module whose own scheme is none stays in 16 bits; the others have a byte a value and a 32-bit scale a channel.
    "Quark, a module without a scheme": (
        quark({"dtype": "fp8_e4m3", "qscheme": "per_channel"}, layer_quant_config={"*down_proj": {"weight": None}}),
        (VALUES - DOWN_VALUES) + 4 * (ROWS - 32) + 2 * DOWN_VALUES,
    ),
    # And without a scheme for all only the modules that have one of their own are quantized.
    "Quark, no scheme for all": (
        quark(None, layer_quant_config={"*down_proj": {"weight": {"dtype": "fp8_e4m3", "qscheme": "per_channel"}}}),
        2 * (VALUES - DOWN_VALUES) + DOWN_VALUES + 4 * 32,
    ),
}  # fmt: skip


def test_the_small_model_by_hand():
    """What the figures below are made of: in 16 bits it is two bytes for each of its values."""
    assert weights_bytes(spec_from_config(SMALL, name="small")) == 2 * VALUES + REST == 19_904


@pytest.mark.parametrize(("settings", "linear_bytes"), BYTES.values(), ids=BYTES)
def test_formats_by_hand(settings, linear_bytes):
    assert weights_bytes(read(settings)) == linear_bytes + REST


@pytest.mark.parametrize(("mode", "block_bytes"), [("mxfp4", 32 // 2 + 1), ("mxfp8", 32 + 1)])
def test_mlx_modes_with_one_exponent_for_32_values(mode, block_bytes):
    """MLX quantizes the embedding and the head too, 10 × 32 values each (docs of mlx.core.quantize: e8m0, no bias)."""
    spec = spec_from_config(SMALL | {"quantization": {"mode": mode, "bits": 4, "group_size": 32}}, name="small")
    assert weights_bytes(spec) == (VALUES + 2 * 10 * 32) // 32 * block_bytes + 2 * 3 * 32


# ---- formats of single modules -------------------------------------------------------------------------

Q, K = (Tensor(name=f"self_attn.{name}_proj", group=ATTENTION, rows=32, columns=32) for name in "qk")
UP, DOWN = (Tensor(name=f"mlp.{name}_proj", group=MLP, rows=32, columns=64) for name in ("up", "down"))
LM_HEAD = Tensor(name="lm_head", group=HEAD, rows=10, columns=32)


def bits(spec: ModelSpec, tensor: Tensor, layer: int | None) -> float | None:
    """Bits of a value of the tensor, the scales of its blocks included; None where it stays as it was trained."""
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
        # The same as hf_quant_config.json writes it.
        {"hf_quant_config": {"producer": {"name": "modelopt"},
                             "quantization": {**MIXED, "exclude_modules": ["*self_attn.k_proj"]}}},
    ],
)  # fmt: skip
def test_model_optimizer_with_a_format_for_each_module(fields):
    """Modules that are not listed stay as they were, and so do those that are left out.

    NVFP4 is 4 bits and a scale of 8 for 16 values: 4.5 bits.
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


def test_model_optimizer_on_top_of_fp8_leaves_the_other_modules_in_tiles():
    """As NVIDIA writes DeepSeek-V4 with experts in NVFP4: `ignore` names what that left alone, which still is FP8."""
    settings = {
        "quant_method": "fp8", "quant_algo": "MIXED_PRECISION", "weight_block_size": [16, 16],
        "ignore": ["*self_attn*", "head", "mtp.*"],
        "quantized_layers": {"layers.0.mlp": {"quant_algo": "NVFP4", "group_size": 16}},
    }  # fmt: skip
    spec = read(settings, num_hidden_layers=2)
    assert [bits(spec, DOWN, 0), bits(spec, DOWN, 1), bits(spec, Q, 0), bits(spec, LM_HEAD, None)] == [4.5, 8, 8, None]
    # 32 × 32 values of a byte, and a 32-bit scale for each of its 2 × 2 tiles.
    assert spec.quantization.precision_of(Q, 0).parts_of_tensor(Q) == (1024, 4 * 4)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        # Its extra_config: 8 bits for one module; what is no object says nothing, and 16 bits are none.
        ({"quant_method": "auto-round", "extra_config": {
            "model.layers.0.mlp.down_proj": {"bits": 8}, "model.layers.0.mlp.up_proj": "float",
            "model.layers.0.self_attn.q_proj": {"bits": 16}}}, {"down": 8, "up": 4, "q": None}),
        # GPTQModel's "dynamic": a pattern without settings of its own changes nothing.
        ({"quant_method": "gptq", "dynamic": {"+:.*up_proj": None, "+:.*down_proj": {"bits": 8}, "-:.*q_proj": None}},
         {"down": 8, "up": 4, "q": None}),
    ],
)  # fmt: skip
def test_rules_of_gptq_for_single_modules(settings, expected):
    """Values alone, without the scale of 16 bits and the zero point that each group of 32 has beside them."""
    spec = read({"bits": 4, "group_size": 32, **settings})
    found = {name: spec.quantization.precision_of(t, 0) for name, t in (("down", DOWN), ("up", UP), ("q", Q))}
    values = {name: found[name] and 8 * found[name].parts_of_tensor(DOWN)[0] / (32 * 64) for name in found}
    assert values == expected


def test_of_several_steps_of_quark_the_last_is_stored():
    """INT4 of weights that were rounded to FP8 before (vLLM layers/quantization/quark, W4A8): half a byte a value."""
    first, last = {"dtype": "fp8_e4m3", "qscheme": "per_tensor"}, {"dtype": "int4", "qscheme": "per_channel"}
    spec = read({"quant_method": "quark", "global_quant_config": {"weight": [first, last]}})
    assert bits(spec, DOWN, 0) == 4


# ---- what is not understood ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "field", "problem"),
    [
        ({"quant_method": "fp8", "weight_block_size": [128]}, "weight_block_size", "[128] is not two sides of a tile"),
        ({"quant_method": "fp8", "weight_block_size": [128, 0]}, "weight_block_size",
         "[128, 0] is not two sides of a tile"),
        (compressed(num_bits=8, strategy="block", block_structure="128"), "block_structure",
         "'128' is not two sides of a tile"),
        (compressed(num_bits=8, strategy="block", block_structure="0x128"), "block_structure",
         "[0, 128] is not two sides of a tile"),
        ({"quant_method": "compressed-tensors"}, "config_groups", "it is missing"),
        ({"quant_method": "compressed-tensors", "config_groups": ["group_0"]}, "config_groups", "it is missing"),
        (quark({"dtype": "int8", "qscheme": "per_block"}), "global_quant_config.weight.qscheme",
         "'per_block' is not understood"),
        ({"quant_method": "modelopt", "quant_algo": "W3A16"}, "quant_algo",
         "'W3A16' is not a format that is understood"),
        ({"quant_algo": "MIXED_PRECISION", "quantized_layers": {"lm_head": {"quant_algo": "W3A16"}}}, "quant_algo",
         "'W3A16' is not a format that is understood"),
    ],
)  # fmt: skip
def test_an_error_names_the_field_and_what_stands_there(settings, field, problem):
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
def test_a_field_of_the_wrong_kind_is_named_with_its_place(config, field, problem):
    with pytest.raises(WrongTypeError) as error:
        spec_from_config(config, name="m")
    assert (error.value.field, error.value.problem) == (field, problem)


def kimi(**tower: object) -> dict[str, object]:
    """Kimi-VL with a tower of one layer, of 4 × 4 positions and patches of 1 × 1, in front of a decoder."""
    vision = {"model_type": "moonvit", "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1,
              "patch_size": 1, "init_pos_emb_height": 4, "init_pos_emb_width": 4, **tower}  # fmt: skip
    text = SMALL | {
        "model_type": "deepseek_v3", "kv_lora_rank": 8, "q_lora_rank": None, "qk_rope_head_dim": 4,
        "qk_nope_head_dim": 4, "v_head_dim": 4, "n_routed_experts": 2, "num_experts_per_tok": 1,
        "moe_intermediate_size": 8, "n_shared_experts": 0, "first_k_dense_replace": 1,
    }  # fmt: skip
    return {"model_type": "kimi_vl", "text_config": text, "vision_config": vision}


@pytest.mark.parametrize("nothing", [{}, {"merge_kernel_size": None}, {"merge_kernel_size": []}])
def test_a_list_of_sizes_that_is_absent_is_the_familys_own(nothing):
    """MoonViT merges 2 × 2 patches where its config.json does not say (configuration_kimi_vl.py, MoonViTConfig).

    From m merged patches of width 8 the projector makes m·8 values (a square matrix and a bias), and of these the 32
    of the decoder (a matrix of 32 rows, whose bias does not depend on m): m is 4 where 2 × 2 are merged, else 1.
    """
    absent, said, none_merged = (
        count_parameters(spec_from_config(kimi(**tower), name="k")).total
        for tower in (nothing, {"merge_kernel_size": [2, 2]}, {"merge_kernel_size": [1, 1]})
    )
    assert absent == said
    assert absent - none_merged == (32 * 32 + 32 + 32 * 32) - (8 * 8 + 8 + 32 * 8)


def test_a_list_of_sizes_has_as_many_as_there_are_sides():
    with pytest.raises(UnsupportedModelError) as error:
        spec_from_config(kimi(merge_kernel_size=[2]), name="k")
    assert error.value.field == "vision_config.merge_kernel_size"
    assert (error.value.problem, error.value.remedy) == ("it has 1 entries", "Give 2, as in the model's config.json.")


# ---- files ---------------------------------------------------------------------------------------------


class BrokenDisk:
    """A stream that cannot be read, as of a disk that fails."""

    def read(self, count: int) -> bytes:
        raise OSError(errno.EIO, "Input/output error")


def test_a_file_that_fails_while_it_is_read_says_why(tmp_path, monkeypatch):
    path = tmp_path / "model.bin"
    path.write_bytes(b"abcd")
    with SourceFile(str(path), kind="a model", remedy="Download it again.") as file:
        with monkeypatch.context() as broken:
            broken.setattr(file, "_stream", BrokenDisk())
            with pytest.raises(UnreadableFileError) as error:
                file.read(4)
        assert file.read(4) == b"abcd"
    assert str(error.value) == f"{path}: it cannot be read as a model: Input/output error. Download it again."


def test_a_file_that_ends_before_it_should_is_cut_short(tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(b"abcd")
    with SourceFile(str(path), kind="a model", remedy="Download it again.") as file:
        assert file.read(3) == b"abc"
        with pytest.raises(UnreadableFileError) as error:
            file.read(2)
    assert str(error.value) == f"{path}: it cannot be read as a model: it is cut short. Download it again."


def test_of_a_long_list_of_numbers_the_length_is_kept_and_what_follows_is_read(tmp_path):
    path, most = tmp_path / "m.gguf", LONGEST_ARRAY_KEPT
    path.write_bytes(gguf_files.raw([
        gguf_files.array(b"long", 4, most + 1, bytes(4 * (most + 1))),
        gguf_files.array(b"kept", 4, most, bytes(4 * most)),
        gguf_files.u32(b"after", 7),
    ]))  # fmt: skip
    assert read_gguf(str(path)).metadata == {"long": LongArray(most + 1), "kept": [0] * most, "after": 7}


def test_the_vocabulary_is_what_the_metadata_say_where_no_embedding_is_stored():
    """A file of a split model may hold no embedding; the list of tokens, longer by padding, does not count then."""
    head = StoredTensor("output.weight", "F16", (32, 10), 640, 320)
    metadata = {"general.architecture": "llama", "llama.block_count": 1, "llama.vocab_size": 10,
                "tokenizer.ggml.tokens": LongArray(12)}  # fmt: skip
    assert config_of_gguf(Gguf(metadata=metadata, stored=StoredTensors(tensors=(head,))))["vocab_size"] == 10


# ---- rows of models ------------------------------------------------------------------------------------


def test_a_file_of_models_that_is_too_large_is_not_read(tmp_path):
    path = tmp_path / "models.csv"
    with path.open("wb") as file:
        file.truncate(LARGEST_FILE_BYTES + 1)  # all of it a hole
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
def test_a_cell_that_no_workbook_can_show_is_refused_by_line_and_column(tmp_path, column, text, problem):
    path = tmp_path / "models.csv"
    cells = {"name": "house-model", "model_type": "llama", column: text}
    path.write_text(",".join(COLUMNS) + "\n" + ",".join(cells.get(each, "") for each in COLUMNS) + "\n", "utf-8")
    with pytest.raises(BadRowError) as error:
        read_rows(str(path))
    assert error.value.field == f"{path}, line 2, {column}"
    assert error.value.problem == problem


def test_texts_as_long_as_a_cell_holds_are_rows(tmp_path):
    path = tmp_path / "models.csv"
    cells = {"name": "n" * 255, "model_type": "llama", "source": "s" * 32_767}
    path.write_text(",".join(COLUMNS) + "\n" + ",".join(cells.get(each, "") for each in COLUMNS) + "\n", "utf-8")
    assert [row["source"] for row in read_rows(str(path))] == ["s" * 32_767]


def test_a_text_longer_than_a_cell_is_not_written():
    given = {"name": "m", "title": "m", "as_of": "2026-11-23"}
    assert row_of(SMALL, source="s" * 32_767, **given)["source"] == "s" * 32_767
    with pytest.raises(UnsupportedModelError) as error:
        row_of(SMALL, source="s" * 32_768, **given)
    assert error.value.field == "source"
    assert error.value.problem == "it has 32768 characters, a spreadsheet's cell holds 32767"


def test_of_a_nested_object_a_row_keeps_what_is_looked_at():
    """How activations are scaled changes no byte of the weights; the sides of the tiles do."""
    kept = {"quant_method": "fp8", "weight_block_size": [16, 16]}
    config = SMALL | {"quantization_config": {**kept, "activation_scheme": "dynamic"}}
    assert needed_fields(config, name="m") == SMALL | {"quantization_config": kept}


def test_of_a_nested_object_what_only_equals_the_default_stays():
    """MPT normalises no queries unless told to; a row says so all the same, but not how attention is computed."""
    said = MPT | {"attn_config": {"qk_ln": False, "attn_impl": "torch"}}
    assert spec_from_config(said, name="m") == spec_from_config(MPT, name="m")
    assert needed_fields(said, name="m") == MPT | {"attn_config": {"qk_ln": False}}


# ---- kinds of layer ------------------------------------------------------------------------------------


def test_layers_of_two_mixers_are_called_by_both():
    """Falcon-H1: Mamba-2 beside attention in each of three layers.

    A token keeps a key and a value of 16 in 16 bits. The state is 4 heads × 8 × 16 values of 32 bits, and of 16 bits
    the 3 last inputs of a convolution over 4 × 8 + 2 × 16 channels.
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


# ---- what no checkpoint says ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "field", "problem"),
    [
        ({"quant_method": "gptq", "bits": float("nan")}, "bits", "nan is no number of bits or values"),
        ({"quant_method": "gptq", "bits": float("inf")}, "bits", "inf is no number of bits or values"),
        ({"quant_method": "gptq", "bits": -4}, "bits", "-4 is no number of bits or values"),
        ({"quant_method": "gptq", "bits": -1}, "bits", "-1 is no number of bits"),
        ({"quant_method": "awq", "w_bit": 2.5}, "w_bit", "2.5 is no number of bits or values"),
        ({"quant_method": "awq", "w_bit": 4, "q_group_size": -128}, "q_group_size", "-128 is no number"),
        ({"quant_method": "fp8", "weight_block_size": [True, 128]}, "weight_block_size", "is not two sides of a tile"),
        ({"quant_algo": "MIXED_PRECISION", "quantized_layers": {"x": {}}}, "quant_algo", "'None' is not a format"),
        ({"quant_algo": "MIXED_PRECISION", "quantized_layers": {"x": "FP9"}}, "quant_algo", "'FP9' is not a format"),
        ({"quant_method": "fp8", "ignored_layers": ["re:("]}, "", r"'\(' is not a regular expression"),
        ({"quant_method": "gptq", "dynamic": {"-:(": {}}}, "", r"'\(' is not a regular expression"),
        ({"quant_method": "fp8", "ignored_layers": ["re:(a+)+b"]}, "", "could be looked for without end"),
        ({"quant_method": "fp8", "ignored_layers": ["re:" + 9 * ".*a"]}, "", "could be looked for without end"),
    ],
)
def test_nonsense_is_refused_when_it_is_read(settings, field, problem):
    with pytest.raises(UnsupportedModelError, match=f"{field}.*{problem}"):
        read(settings)


def test_a_mode_that_is_no_text_is_refused():
    with pytest.raises(UnsupportedModelError, match=r"quantization: \['x'\], 4 bits in groups of 64"):
        spec_from_config(SMALL | {"quantization": {"bits": 4, "group_size": 64, "mode": ["x"]}}, name="small")


def test_a_whole_row_in_a_group_is_a_channel():
    """Compressed-tensors' own rule where no strategy is written (quant_args.py, infer_strategy)."""
    assert weights_bytes(read(compressed(num_bits=8, group_size=-1))) == VALUES + 2 * ROWS + REST


# Model Optimizer on DeepSeek-V4: experts in NVFP4, all else as DeepSeek publishes it, whose own experts are MXFP4.
MIXED_V4 = {
    "quant_method": "fp8", "quant_algo": "MIXED_PRECISION", "weight_block_size": [16, 16],
    "quantized_layers": {"model.layers.0.mlp.experts": {"quant_algo": "NVFP4"}},
}  # fmt: skip


def format_of(spec: ModelSpec, name: str, group: str) -> str | None:
    found = spec.quantization.precision_of(Tensor(name=name, group=group, rows=32, columns=32), 0)
    return None if found is None else found.name


def test_what_model_optimizer_left_alone_stays_in_fp8():
    spec = read(MIXED_V4, expert_dtype="fp4")
    assert format_of(spec, "mlp.experts.up_proj", EXPERT) == "nvfp4"
    assert format_of(spec, "self_attn.q_proj", ATTENTION) == "fp8_block"
    assert weights_bytes(spec) == VALUES + 4 * TILES + REST


@pytest.mark.parametrize("field", ["modules_to_not_convert", "ignored_layers"])
def test_what_fp8_leaves_out_is_left_out_of_a_mixture_too(field):
    spec = read(MIXED_V4 | {field: ["model.layers.0.self_attn.q_proj"], "ignore": ["model.layers.0.self_attn.k_proj"]})
    assert format_of(spec, "self_attn.q_proj", ATTENTION) is None
    assert format_of(spec, "self_attn.k_proj", ATTENTION) == "fp8_block"
