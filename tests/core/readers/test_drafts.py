"""Test which layers for drafting are read of a config.json."""

from __future__ import annotations

import pytest

from core.readers.drafts import draft_layers
from core.readers.hf_config import spec_from_config

# Sizes of no model; the numbers of layers for drafting are as released configs state them.
SMALL = {
    "hidden_size": 64, "num_hidden_layers": 4, "intermediate_size": 128, "num_attention_heads": 4, "vocab_size": 100,
    "num_key_value_heads": 2, "head_dim": 16,
}  # fmt: skip
TEXT = {"model_type": "qwen3_5_text", **SMALL, "linear_num_value_heads": 4, "linear_num_key_heads": 2,
        "linear_key_head_dim": 16, "linear_value_head_dim": 16}  # fmt: skip


@pytest.mark.parametrize(
    ("config", "count"),
    [
        ({"model_type": "mimo", **SMALL, "num_nextn_predict_layers": 1}, 1),
        ({"model_type": "mimo", **SMALL, "num_nextn_predict_layers": 0}, 0),
        ({"model_type": "mimo", **SMALL}, 1),
        ({**TEXT, "mtp_num_hidden_layers": 2}, 2),
        ({"model_type": "qwen3_5", "text_config": TEXT | {"mtp_num_hidden_layers": 1}}, 1),
        ({"model_type": "llama", **SMALL, "num_nextn_predict_layers": 1}, 0),  # no engine loads it
        ({"model_type": "llama", **SMALL}, 0),
    ],
)
def test_how_many_are_read(config, count):
    drafts = spec_from_config(config, name="m").drafts
    assert (drafts.count if drafts else 0) == count
    if drafts:
        assert drafts.runs == spec_from_config(config, name="m").layers[-1:]


def test_the_answer_names_those_that_are_left_out():
    notes = spec_from_config({"model_type": "mimo", **SMALL, "num_nextn_predict_layers": 1}, name="m").notes
    assert notes[-1].startswith("num_nextn_predict_layers: the layers for multi-token prediction are left out")


@pytest.mark.parametrize("model_type", ["mimo_v2", "nemotron_h"])
def test_layers_of_other_kinds_than_usual(model_type):
    """Without a window, a dense block or experts, the layers that there are serve as the pattern."""
    layers = spec_from_config({"model_type": "llama", **SMALL}, name="m").layers
    drafts = draft_layers({"model_type": model_type, "num_nextn_predict_layers": 1}, layers)
    assert drafts.count == 1 and drafts.runs == layers[-1:]
