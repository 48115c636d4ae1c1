"""Test how `architectures` changes what is counted, with figures worked out by hand."""

from __future__ import annotations

import pytest

from core.errors import UnsupportedModelError
from core.model.counts import model_counts
from core.readers.hf_config import spec_from_config

LLAMA = {
    "model_type": "llama", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "vocab_size": 10,
    "num_attention_heads": 2, "num_key_value_heads": 1, "tie_word_embeddings": False,
}  # fmt: skip
T5 = {"model_type": "t5", "d_model": 32, "d_ff": 64, "d_kv": 8, "num_heads": 2, "num_layers": 3, "vocab_size": 10}
HEAD = 10 * 32


def counts(config: dict[str, object], architecture: str | None, **fields: object):
    listed = {} if architecture is None else {"architectures": [architecture]}
    return model_counts(spec_from_config(config | listed | fields, name="m"))


@pytest.mark.parametrize(
    ("architecture", "fields", "difference"),
    [
        ("LlamaForCausalLM", {}, 0),
        ("MiniCPMForConditionalGeneration", {}, 0),
        ("QWenLMHeadModel", {}, 0),
        ("InternVLChatModel", {}, 0),
        ("ChatGLMModel", {}, 0),
        ("Qwen2_5OmniModel", {}, 0),
        ("Eagle2_5_VLForConditionalGeneration", {}, 0),  # NVIDIA's vision models are no draft heads
        ("LlamaModel", {}, -HEAD),
        ("SmolLM3Model", {}, -HEAD),
        # A row per label, two unless the config says otherwise; classifiers of tokens have a bias.
        ("LlamaForSequenceClassification", {}, 2 * 32 - HEAD),
        ("LlamaForSequenceClassification", {"id2label": {"0": "LABEL_0"}}, 32 - HEAD),
        ("LlamaForSequenceClassification", {"num_labels": 5}, 5 * 32 - HEAD),
        ("LlamaForTokenClassification", {"num_labels": 5}, 5 * 32 + 5 - HEAD),
        ("LlamaForQuestionAnswering", {}, 2 * 32 + 2 - HEAD),
        ("InternLM2ForRewardModel", {}, 32 - HEAD),
        ("Qwen2ForRewardModel", {}, 32 * 32 + 32 + 32 + 1 - HEAD),
        ("Qwen2ForProcessRewardModel", {}, 32 * 32 + 32 + 2 * 32 + 2 - HEAD),
    ],
)
def test_a_class_decides_about_the_head(architecture, fields, difference):
    whole, found = counts(LLAMA, None), counts(LLAMA, architecture, **fields)
    assert found.parameters.total - whole.parameters.total == difference
    assert found.kv == whole.kv  # a causal model keeps its cache


def test_an_encoder_has_no_decoder_and_no_cache():
    found = counts(T5, "T5EncoderModel")
    # Per layer four projections between 32 and 2 × 8, a block of 64, two norms; the last norm; 32 buckets for 2 heads.
    layer = 4 * 32 * 16 + 2 * 64 * 32 + 2 * 32
    assert found.parameters.total == 10 * 32 + 3 * layer + 32 + 32 * 2
    assert found.kv.values(1000) == found.kv.fixed_bytes == 0
    assert spec_from_config(T5 | {"architectures": ["T5EncoderModel"]}, name="m").num_hidden_layers == 3


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"architectures": ["LlamaForCausalLMEagle3"]}, "architectures"),
        ({"architectures": ["EagleMistralLarge3ForCausalLM"]}, "architectures"),
        ({"architectures": ["Qwen3NextMTP"]}, "architectures"),
        ({"model_type": "medusa"}, "model_type"),
        ({"speculators_model_type": "eagle3"}, "speculators_model_type"),
        ({"architectures": ["LlamaForCausalLM"], "draft_vocab_size": 5}, "draft_vocab_size"),
        ({"architectures": ["LlamaBiaffineParser"]}, "architectures"),
        ({"architectures": ["LlamaEncoderModel"]}, "architectures"),
    ],
)
def test_what_is_not_a_whole_model_is_refused_by_its_name(fields, field):
    with pytest.raises(UnsupportedModelError) as error:
        spec_from_config(LLAMA | fields, name="m")
    assert error.value.field == field and str(fields[field]).strip("[]") in error.value.problem
    assert spec_from_config(LLAMA, name="m")  # without the field, as a remedy says


def test_a_stated_number_of_parameters_is_kept():
    assert counts(LLAMA, "LlamaModel", params_b=1).parameters.total == 10**9


def test_a_tied_head_is_no_tensor_to_leave_out():
    tied = {**LLAMA, "tie_word_embeddings": True}
    assert counts(tied, "LlamaModel") == counts(tied, None)
    assert spec_from_config(tied | {"architectures": ["LlamaModel"]}, name="m").notes == ()
