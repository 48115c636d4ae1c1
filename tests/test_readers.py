"""What cannot be read is an error that names the field, the value and the remedy."""

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import catalog
from core.errors import OutOfRangeError, PlannerError, UnsupportedModelError, WrongTypeError
from core.model_spec import LatentAttention, SlidingWindowAttention
from core.parameters import count_parameters
from core.readers.families import MEMORY_FIELDS, known_model_types
from core.readers.hf_config import read_config_file, spec_from_config
from core.sizing import estimate, footprint
from tests import golden_tables

LLAMA = {"model_type": "llama", "hidden_size": 1024, "num_hidden_layers": 2, "num_attention_heads": 8,
         "vocab_size": 1000, "intermediate_size": 4096}  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        ({"model_type": "llama5"}, UnsupportedModelError, "model_type: 'llama5' is not an architecture"),
        ({"model_type": None}, UnsupportedModelError, "model_type: it is missing"),
        ({"hidden_size": None}, UnsupportedModelError, "hidden_size: it is missing"),
        ({"num_hidden_layers": 0}, OutOfRangeError, "num_hidden_layers: 0 is below 1"),
        ({"num_hidden_layers": "two"}, WrongTypeError, "num_hidden_layers: 'two' is not a number"),
        ({"num_key_value_heads": 3}, UnsupportedModelError, "3 does not divide the 8 attention heads"),
        (
            {"num_attention_heads": 7},
            UnsupportedModelError,
            "head_dim: it is missing, and hidden_size 1024 is no multiple",
        ),
        # Fields that change memory and that this family's reader knows nothing of.
        ({"sliding_window": 4096}, UnsupportedModelError, "sliding_window: it changes the memory"),
        (
            {"layer_types": ["full_attention", "linear_attention"]},
            UnsupportedModelError,
            "'linear_attention' is not a kind",
        ),
        ({"layer_types": ["full_attention"]}, UnsupportedModelError, "layer_types: it has 1 entries for 2 layers"),
        ({"kv_lora_rank": 512}, UnsupportedModelError, "kv_lora_rank: it changes the memory"),
        ({"num_experts": 8}, UnsupportedModelError, "num_experts: it changes the memory"),
        ({"num_kv_shared_layers": 4}, UnsupportedModelError, "num_kv_shared_layers: it changes the memory"),
    ],
)
def test_what_is_not_understood_is_an_error_that_names_the_field(fields, error, words):
    with pytest.raises(error) as raised:
        count_parameters(spec_from_config(LLAMA | fields, name="m"))
    assert words in str(raised.value)


@pytest.mark.parametrize("field", ["sliding_window", "num_experts", "kv_lora_rank", "attention_bias", "mlp_bias"])
def test_a_field_that_says_no_is_no_error(field):
    for nothing in (None, False, 0):
        spec_from_config(LLAMA | {field: nothing}, name="m")


def test_labelled_cells_hold_floats():
    as_floats = {name: float(value) if isinstance(value, int) else value for name, value in LLAMA.items()}
    assert spec_from_config(as_floats, name="m") == spec_from_config(LLAMA, name="m")


@pytest.mark.parametrize(
    ("model_type", "tied"),
    # transformers 5.23, configuration_*.py: the class default of tie_word_embeddings.
    [("llama", False), ("qwen2", False), ("mistral", False), ("gemma", True), ("gemma2", True), ("cohere", True),
     ("phi3", False), ("starcoder2", True), ("smollm3", True), ("granite", False), ("olmo2", False)],
)  # fmt: skip
def test_the_head_is_tied_as_the_family_has_it_where_the_config_is_silent(model_type, tied):
    assert spec_from_config(LLAMA | {"model_type": model_type, "head_dim": 128}, name="m").tie_word_embeddings is tied


def test_parts_of_composite_configs_leave_out_what_is_the_familys_default():
    """Gemma 3 4B as the hub has it, without heads, vocabulary and pattern; the published total is 4 300 079 472."""
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


@pytest.mark.parametrize("content", ["", "[]", "{", '{"model_type": "llama", "model_type": "llama"}', '{"a": NaN}'])
def test_what_is_no_config_file_is_an_error(tmp_path, content):
    path = tmp_path / "config.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(PlannerError, match="cannot be read as a config.json"):
        read_config_file(str(path))


def test_a_config_file_is_named_after_its_folder(tmp_path):
    folder = tmp_path / "my-model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(LLAMA), encoding="utf-8")
    assert read_config_file(str(folder / "config.json")).name == "my-model"


def test_every_memory_field_is_a_known_word():
    assert len(set(MEMORY_FIELDS)) == len(MEMORY_FIELDS)
    assert {"llama", "deepseek_v3", "qwen3_next", "gemma3", "whisper"} <= set(known_model_types())


def test_an_estimate_counts_a_model_once():
    """The second estimate finds the model's footprint: a specification is a key, hashed once."""
    row = next(row for row in golden_tables.rows("nine_models") if row["model"] == "deepseek-v3")
    spec = spec_from_config(golden_tables.config(row), name="deepseek-v3")
    again = spec_from_config(golden_tables.config(row), name="deepseek-v3")
    assert spec == again and hash(spec) == hash(again)
    assert footprint(spec) is footprint(again)
    assert isinstance(spec.layers[0].mixer, LatentAttention)
    kv = catalog.precision("kv_precision", "fp16")
    assert estimate(spec, context=10, kv_precision=kv) == estimate(again, context=10, kv_precision=kv)


JUNK = st.sampled_from(
    [None, "x", "", -1, 0, 1, 0.5, 3, 10**12, float("inf"), float("nan"), True, [], [1], ["x"], {}, {"a": 1}]
)
CONFIGS = [golden_tables.config(row) for row in golden_tables.rows("parameters")]


@settings(deadline=None, max_examples=600)
@given(st.data())
def test_whatever_stands_in_a_field_the_answer_is_a_model_or_a_clear_error(data):
    config = copy.deepcopy(data.draw(st.sampled_from(CONFIGS)))
    part = config
    nested = [name for name, value in config.items() if isinstance(value, dict)]
    if nested and data.draw(st.booleans()):
        part = config[data.draw(st.sampled_from(nested))]
    part[data.draw(st.sampled_from(sorted(part)))] = data.draw(JUNK)
    try:
        assert footprint(spec_from_config(config, name="m")).parameters.total > 0
    except PlannerError as error:
        assert error.field and error.problem and error.remedy
