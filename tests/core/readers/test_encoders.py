"""Test BERT and its variants: counts by hand where transformers lacks them, heads by class, and no cache."""

from __future__ import annotations

import pytest

from core.errors import UnsupportedModelError
from core.model.counts import model_counts
from core.model.kv_cache import kv_profile
from core.readers.architectures import encoder
from core.readers.hf_config import spec_from_config

BERT = {
    "model_type": "bert", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
    "vocab_size": 100, "max_position_embeddings": 16,
}  # fmt: skip
EMBEDDINGS = (100 + 16 + 2) * 32 + 2 * 32
LAYER = 4 * (32 * 32 + 32) + (64 * 32 + 64) + (32 * 64 + 32) + 4 * 32
POOLER = 32 * 32 + 32


def total(**fields: object) -> int:
    return model_counts(spec_from_config(BERT | fields, name="m")).parameters.total


@pytest.mark.parametrize(
    ("fields", "head"),
    [
        ({}, POOLER),
        ({"architectures": ["BertModel"]}, POOLER),
        ({"architectures": ["BertModel"], "add_pooling_layer": False}, 0),
        ({"architectures": ["BertForMaskedLM"]}, POOLER + 2 * 32 + 100),
        ({"architectures": ["BertForSequenceClassification"], "num_labels": 3}, POOLER + 3 * 32 + 3),
        ({"architectures": ["BertForQuestionAnswering"]}, 2 * 32 + 2),
        ({"architectures": ["BertForTokenClassification"], "id2label": {"0": "a", "1": "b", "2": "c"}}, 3 * 32 + 3),
    ],
)
def test_the_class_decides_what_is_behind_the_layers(fields, head):
    assert total(**fields) == EMBEDDINGS + 2 * LAYER + head


def test_jinas_bert_has_a_gate_and_no_positions():
    """Three projections without biases but for the last one (jinaai/jina-bert-implementation modeling_bert.py)."""
    fields = {"position_embedding_type": "alibi", "feed_forward_type": "geglu"}
    layer = 4 * (32 * 32 + 32) + 3 * 64 * 32 + 32 + 4 * 32
    assert total(**fields) == (100 + 2) * 32 + 2 * 32 + 2 * layer + POOLER


def test_nomics_own_field_names():
    """nomic-embed-text-v1.5: 136 731 648 parameters in its safetensors (PyPI llmfit 1.1.17)."""
    config = {"model_type": "nomic_bert", "n_embd": 768, "n_layer": 12, "n_head": 12, "n_inner": 3072,
              "n_positions": 8192, "vocab_size": 30528, "type_vocab_size": 2, "architectures": ["NomicBertModel"],
              "qkv_proj_bias": False}  # fmt: skip
    assert model_counts(spec_from_config(config, name="m")).parameters.total == 136_731_648


def test_an_encoder_has_no_cache_and_says_so():
    spec = spec_from_config(BERT, name="m")
    assert kv_profile(spec).values_per_token == 0
    assert any(note == f"model_type: {encoder.NO_CACHE}" for note in spec.notes)


@pytest.mark.parametrize(
    "fields",
    [
        {"architectures": ["BertForMusic"]},
        {"model_type": "deberta-v2", "relative_attention": True},
        {"model_type": "deberta-v2", "relative_attention": True, "share_att_key": True, "conv_kernel_size": 3},
    ],
)
def test_what_is_not_understood_is_refused(fields):
    with pytest.raises(UnsupportedModelError):
        total(**fields)


def test_deberta_without_relative_positions():
    assert total(model_type="deberta-v2", type_vocab_size=0) == EMBEDDINGS - 2 * 32 + 2 * LAYER


def test_layer_types_as_transformers_5_saves_them_change_nothing():
    config = {
        "model_type": "modernbert", "hidden_size": 768, "num_hidden_layers": 22, "intermediate_size": 1152,
        "num_attention_heads": 12, "vocab_size": 50368, "attention_bias": False, "norm_bias": False,
    }  # fmt: skip
    with_types = config | {"layer_types": ["full_attention", "sliding_attention"] * 11}
    assert spec_from_config(with_types, name="m") == spec_from_config(config, name="m")
