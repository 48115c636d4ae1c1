"""Test reading config.json into a `ModelSpec`: valid and invalid files and fields."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import catalog
from core.errors import PlannerError, UnsupportedModelError
from core.model.counts import model_counts
from core.model.kv_cache import kv_profile
from core.model.mixers import FullAttention, LatentAttention, SlidingWindowAttention
from core.model.parameters import count_parameters
from core.model.spec import ModelSpec
from core.plan.estimate import estimate
from core.readers import files, hf_config
from core.readers.architectures import known
from core.readers.architectures.known import MEMORY_FIELDS, known_model_types
from core.readers.hf_config import UnreadableConfigError, read_config_file, spec_from_config
from tools import golden_tables

# Hugging Face meta-llama/Llama-3.1-70B config.json: the fields that memory depends on, and some others.
LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 8192,
    "intermediate_size": 28672,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "tie_word_embeddings": False,
    "attention_bias": False,
    "rope_theta": 500000.0,
    "eos_token_id": [128001, 128008],
    "torch_dtype": "bfloat16",
}
# Hugging Face Qwen/Qwen2.5-72B config.json.
QWEN = LLAMA | {"model_type": "qwen2", "intermediate_size": 29568, "vocab_size": 152064, "use_sliding_window": False}
TINY = {"model_type": "llama", "hidden_size": 1024, "num_hidden_layers": 2, "num_attention_heads": 8, "vocab_size": 1000,
        "intermediate_size": 4096}  # fmt: skip
SMALL = {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "params_b": 1}


def without(config, *fields):
    return {field: value for field, value in config.items() if field not in fields}


# ---- valid configs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("config, parameters", [(LLAMA, 70_553_706_496), (QWEN, 72_706_203_648)])
def test_published_totals(tmp_path, config, parameters):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    spec = read_config_file(str(path))
    assert count_parameters(spec).total == parameters
    assert kv_profile(spec).values_per_token == 80 * 8 * 128 * 2
    assert spec.max_position_embeddings == 131_072


def test_the_model_is_named_after_its_file_or_folder(tmp_path):
    (tmp_path / "my-model").mkdir()
    for path in (tmp_path / "my-model" / "config.json", tmp_path / "other.json"):
        path.write_text(json.dumps(LLAMA), encoding="utf-8")
    assert read_config_file(str(tmp_path / "my-model" / "config.json")).name == "my-model"
    assert read_config_file(str(tmp_path / "other.json")).name == "other"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_byte_order_mark_is_allowed(tmp_path, encoding):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA | {"名": "模型"}, ensure_ascii=False), encoding=encoding)
    assert read_config_file(str(tmp_path / "config.json")).hidden_size == 8192


def test_missing_fields_follow_from_the_others():
    spec = spec_from_config(without(LLAMA, "num_key_value_heads", "tie_word_embeddings", "attention_bias"), name="x")
    # Without num_key_value_heads every head has its own keys; without head_dim it is hidden_size ÷ heads.
    assert spec.layers[0].mixer == FullAttention(num_attention_heads=64, num_key_value_heads=64, head_dim=128)
    assert spec.tie_word_embeddings is False


@pytest.mark.parametrize("fields", [{}, {"num_key_value_heads": None, "head_dim": None, "params_b": None}])
def test_null_counts_as_missing(fields):
    assert spec_from_config(LLAMA | fields, name="x").layers[0].mixer.head_dim == 128


def test_the_article_needs_only_three_numbers():
    spec = spec_from_config(
        {"model_type": "llama", "params_b": 70, "num_hidden_layers": 80, "hidden_size": 8196}, name="x"
    )
    assert count_parameters(spec).total == 70 * 10**9
    assert kv_profile(spec).values_per_token == 80 * 8196 * 2


def test_biases_come_from_the_family_or_the_config():
    mixer = spec_from_config(LLAMA | {"attention_bias": True}, name="x").layers[0].mixer
    assert (mixer.qkv_bias, mixer.output_bias) == (True, True)  # LlamaAttention
    mixer = spec_from_config(QWEN, name="x").layers[0].mixer
    assert (mixer.qkv_bias, mixer.output_bias) == (True, False)  # Qwen2Attention


def test_every_family_has_a_source():
    assert all(family.source for family in known.DECODERS.values())


@pytest.mark.parametrize("field", ["sliding_window", "num_experts", "kv_lora_rank", "attention_bias", "mlp_bias"])
def test_an_empty_field_of_another_family_is_ignored(field):
    for empty in (None, False, 0):
        spec_from_config(TINY | {field: empty}, name="m")


def test_whole_numbers_may_be_floats_as_in_cells():
    as_floats = {name: float(value) if isinstance(value, int) else value for name, value in TINY.items()}
    assert spec_from_config(as_floats, name="m") == spec_from_config(TINY, name="m")


@pytest.mark.parametrize(
    ("model_type", "tied"),
    # transformers 5.23, configuration_*.py: the class default of tie_word_embeddings.
    [("llama", False), ("qwen2", False), ("mistral", False), ("gemma", True), ("gemma2", True), ("cohere", True),
     ("phi3", False), ("starcoder2", True), ("smollm3", True), ("granite", False), ("olmo2", False)],
)  # fmt: skip
def test_the_familys_default_decides_whether_the_head_is_tied(model_type, tied):
    assert spec_from_config(TINY | {"model_type": model_type, "head_dim": 128}, name="m").tie_word_embeddings is tied


def test_parts_of_composite_configs_may_leave_out_defaults():
    """Gemma 3 4B as on the hub, without heads, vocabulary and window pattern (published total 4 300 079 472)."""
    config = {
        "model_type": "gemma3", "mm_tokens_per_image": 256,
        "text_config": {"hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text",
                        "num_hidden_layers": 34, "sliding_window": 1024},
        "vision_config": {"hidden_size": 1152, "image_size": 896, "intermediate_size": 4304, "num_attention_heads": 16,
                          "model_type": "siglip_vision_model", "num_hidden_layers": 27, "patch_size": 14,
                          "vision_use_head": False},
    }  # fmt: skip
    spec = spec_from_config(config, name="gemma-3-4b")
    assert count_parameters(spec).total == 4_300_079_472
    assert sum(run.count for run in spec.layers if isinstance(run.mixer, SlidingWindowAttention)) == 29


# Qwen2.5-VL with small sizes, and without a field for the head.
COMPOSITE = {"model_type": "qwen2_5_vl",
             "text_config": TINY | {"model_type": "qwen2_5_vl_text", "num_key_value_heads": 8}}  # fmt: skip


@pytest.mark.parametrize(
    ("outer", "inner", "tied"),
    [
        ({}, {}, False),
        ({"tie_word_embeddings": True}, {}, True),
        # Before transformers 5 the text part's field decides where both have it (get_text_config().tie_word_embeddings).
        ({"tie_word_embeddings": True, "transformers_version": "4.57.0"}, {"tie_word_embeddings": False}, False),
        # Since then the whole model's: transformers 5.24, modeling_utils.py, get_expanded_tied_weights_keys.
        ({"tie_word_embeddings": True, "transformers_version": "5.2.0"}, {"tie_word_embeddings": False}, True),
        ({"tie_word_embeddings": False, "transformers_version": "5.2.0"}, {"tie_word_embeddings": True}, False),
    ],
)  # fmt: skip
def test_the_release_decides_which_part_says_that_the_head_is_tied(outer, inner, tied):
    config = COMPOSITE | outer | {"text_config": COMPOSITE["text_config"] | inner}
    assert spec_from_config(config, name="m").tie_word_embeddings is tied


GEMMA_4 = TINY | {"model_type": "gemma4_text", "num_hidden_layers": 2, "head_dim": 128,
                  "hidden_size_per_layer_input": 0,
                  "layer_types": ["sliding_attention", "full_attention"]}  # fmt: skip


@pytest.mark.parametrize(
    ("config", "field"),
    [
        (GEMMA_4 | {"per_layer_config": {"0": {"head_dim": 64}}}, "per_layer_config"),  # a layer with a window
        (GEMMA_4 | {"per_layer_config": {"1": {"intermediate_size": 64}}}, "per_layer_config.intermediate_size"),
        (GEMMA_4 | {"per_layer_config": {"1": 64}}, "per_layer_config"),
        (TINY | {"per_layer_config": {"1": {"head_dim": 64}}}, "per_layer_config"),
        (TINY | {"num_attention_heads_per_layer": [8, 4]}, "num_attention_heads_per_layer"),
        (TINY | {"model_type": "laguna", "num_attention_heads_per_layer": [8]}, "num_attention_heads_per_layer"),
        (TINY | {"model_type": "mpt", "attn_config": {"alibi": False}}, "attn_config.alibi"),
        (TINY | {"model_type": "ernie4_5_moe", "use_bias": True}, "use_bias"),
        (TINY | {"model_type": "opt", "layer_norm_elementwise_affine": False}, "layer_norm_elementwise_affine"),
        ({"model_type": "qwen2_5_omni", "talker_config": {}}, "thinker_config"),
        ({"model_type": "marian", "share_encoder_decoder_embeddings": False}, "share_encoder_decoder_embeddings"),
    ],
)
def test_the_error_names_the_unsupported_field(config, field):
    with pytest.raises(UnsupportedModelError) as caught:
        spec_from_config(config, name="m")
    assert caught.value.field == field


def test_memory_fields_are_unique_and_model_types_known():
    assert len(set(MEMORY_FIELDS)) == len(MEMORY_FIELDS)
    assert {"llama", "deepseek_v3", "qwen3_next", "gemma3", "whisper"} <= set(known_model_types())


def test_an_equal_model_is_counted_once():
    """A `ModelSpec` is the key of a cache: an equal one gets the counts of the first."""
    row = next(row for row in golden_tables.rows("nine_models") if row["model"] == "deepseek-v3")
    spec = spec_from_config(golden_tables.config(row), name="deepseek-v3")
    again = spec_from_config(golden_tables.config(row), name="deepseek-v3")
    assert spec == again and hash(spec) == hash(again)
    assert model_counts(spec) is model_counts(again)
    assert isinstance(spec.layers[0].mixer, LatentAttention)
    kv = catalog.precision("kv_precision", "fp16")
    assert estimate(spec, context=10, kv_precision=kv) == estimate(again, context=10, kv_precision=kv)


# ---- bad files ---------------------------------------------------------------------------------------

BAD_TEXTS = {
    "empty": ("", "it is not JSON (line 1"),
    "not JSON": ("model_type = llama", "it is not JSON (line 1"),
    "cut off": ('{"model_type": "llama",\n "hidden_size": ', "it is not JSON (line 2"),
    "the same field twice": ('{"hidden_size": 1, "hidden_size": 2}', "it has the field 'hidden_size' twice"),
    "the same nested field twice": ('{"a": {"b": 1, "b": 2}}', "it has the field 'b' twice"),
    "a list": ("[1, 2]", "it is not a JSON object"),
    "a number": ("70", "it is not a JSON object"),
    "null": ("null", "it is not a JSON object"),
    "nested too deeply": ('{"a": ' + "[" * 200_000 + "]" * 200_000 + "}", "it is nested too deeply"),
    "an integer of too many digits": ('{"hidden_size": ' + "9" * 10_000 + "}", "Exceeds the limit"),
}


@pytest.mark.parametrize("text, problem", BAD_TEXTS.values(), ids=BAD_TEXTS)
def test_texts_that_are_not_a_json_object(tmp_path, text, problem):
    path = tmp_path / "config.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UnreadableConfigError) as caught:
        read_config_file(str(path))
    assert str(caught.value).startswith(f"{path}: it cannot be read as a config.json: {problem}")
    assert str(caught.value).endswith("Give the config.json of a Hugging Face model.")


@pytest.mark.parametrize("content", [b"\xff\xfe{\x00}\x00", b'{"model_type": "\xe9"}', b"\x80\x02}"])
def test_bytes_that_are_not_utf_8(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(UnreadableConfigError, match="it is not UTF-8 text"):
        read_config_file(str(tmp_path / "config.json"))


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(UnreadableConfigError, match="No such file"):
        read_config_file(str(tmp_path / "config.json"))
    with pytest.raises(UnreadableConfigError, match="it cannot be read as a config.json: it is not a regular file"):
        read_config_file(str(tmp_path))


def test_a_file_beyond_the_limit_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "config.json"
    with open(path, "wb") as file:
        os.truncate(file.fileno(), hf_config.LARGEST_CONFIG_BYTES + 1)
    monkeypatch.setattr(files.SourceFile, "read", None)
    with pytest.raises(UnreadableConfigError, match="it is larger than 16 MiB"):
        read_config_file(str(path))


def test_an_invalid_file_name(tmp_path):
    with pytest.raises(PlannerError):
        read_config_file(str(tmp_path / "con\0fig.json"))


# ---- bad fields --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config, message",
    [
        (without(LLAMA, "model_type"), "model_type: it is missing. Write the model type of a family"),
        (LLAMA | {"model_type": "mystery"}, "model_type: 'mystery' is not a supported architecture"),
        (LLAMA | {"model_type": ["llama"]}, "model_type: ['llama'] is not a supported architecture"),
        (LLAMA | {"model_type": 7}, "model_type: 7 is not a supported architecture"),
        (without(LLAMA, "hidden_size"), "hidden_size: it is missing. Write the hidden dimension"),
        (without(LLAMA, "num_hidden_layers"), "num_hidden_layers: it is missing"),
        (without(LLAMA, "num_attention_heads"), "num_attention_heads: it is missing"),
        (LLAMA | {"hidden_size": "8192"}, "hidden_size: '8192' is text, not a number"),
        (LLAMA | {"hidden_size": True}, "hidden_size: TRUE is not a number"),
        (LLAMA | {"hidden_size": [8192]}, "hidden_size: [8192] is not a number"),
        (LLAMA | {"hidden_size": -1}, "hidden_size: -1 is below 1"),
        (LLAMA | {"hidden_size": 10**400}, "hidden_size: 1000"),
        (LLAMA | {"hidden_size": 8192.5}, "hidden_size: 8192.5 is not a whole number"),
        (LLAMA | {"num_hidden_layers": 0}, "num_hidden_layers: 0 is below 1"),
        (LLAMA | {"num_key_value_heads": 0}, "num_key_value_heads: 0 is below 1"),
        (LLAMA | {"num_key_value_heads": 7}, "num_key_value_heads: 7 does not divide the 64 attention heads"),
        (LLAMA | {"num_key_value_heads": 128}, "num_key_value_heads: 128 does not divide the 64 attention heads"),
        (
            LLAMA | {"num_attention_heads": 72, "num_key_value_heads": 8},
            "head_dim: it is missing, and hidden_size 8192",
        ),
        (LLAMA | {"params_b": -1}, "params_b: -1 is below 1e-06"),
        (LLAMA | {"tie_word_embeddings": "false"}, "tie_word_embeddings: 'false' is neither true nor false"),
        (LLAMA | {"attention_bias": 2}, "attention_bias: 2 is neither true nor false"),
        # Fields that change memory and that the family's reader does not read.
        (LLAMA | {"sliding_window": 4096}, "sliding_window: it changes the memory of a model"),
        (LLAMA | {"kv_lora_rank": 512}, "kv_lora_rank: it changes the memory of a model"),
        (LLAMA | {"num_experts": 8}, "num_experts: it changes the memory of a model"),
        (LLAMA | {"num_kv_shared_layers": 4}, "num_kv_shared_layers: it changes the memory of a model"),
        (LLAMA | {"layer_types": ["full_attention"]}, "layer_types: it has 1 entries for 80 layers"),
        (LLAMA | {"layer_types": 80 * ["linear_attention"]}, "layer_types: 'linear_attention' is not a supported"),
        ({}, "model_type: it is missing"),
    ],
)
def test_impossible_fields(config, message):
    with pytest.raises(PlannerError) as caught:
        spec_from_config(config, name="x")
    assert str(caught.value).startswith(message)
    assert caught.value.remedy.endswith(".")


def test_a_missing_field_is_an_unsupported_model_error():
    with pytest.raises(UnsupportedModelError):
        spec_from_config({}, name="x")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(sorted(set(LLAMA) | set(QWEN) | {"head_dim", "params_b"})), JSON, max_size=3))
def test_any_value_in_a_field_gives_a_model_or_a_planner_error(fields):
    for config in (LLAMA, QWEN, SMALL):
        try:
            spec = spec_from_config(config | fields, name="x")
            assert isinstance(spec, ModelSpec) and count_parameters(spec).total > 0
        except PlannerError as error:
            assert error.field and error.problem and error.remedy
