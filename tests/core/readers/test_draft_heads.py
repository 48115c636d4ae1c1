"""Heads that draft for another model: their tensors by hand, in the formats of two libraries, and what is refused."""

from __future__ import annotations

import pytest

from core.errors import PlannerError, UnsupportedModelError
from core.model.counts import model_counts
from core.readers.hf_config import spec_from_config

# The shapes of sgl-project/SpecForge configs/llama3-8B-eagle3.json.
LAYERS = {
    "hidden_size": 4096, "intermediate_size": 14_336, "num_attention_heads": 32, "num_key_value_heads": 8,
    "num_hidden_layers": 1, "vocab_size": 128_256, "max_position_embeddings": 2048,
}  # fmt: skip
HEAD = {"architectures": ["LlamaForCausalLMEagle3"], "model_type": "llama", "draft_vocab_size": 32_000, **LAYERS}
JOINING = 3 * 4096 * 4096  # of three hidden states to one
ATTENTION = 2 * 4096 * (32 + 2 * 8) * 128 + 4096 * 4096  # of an embedding and a hidden state; the output
BLOCK = 3 * 4096 * 14_336
OUTPUT = 32_000 * 4096  # the embedding is the model's
NORMS = 4 * 4096  # of the embedding, the hidden state, before the block, and before the output


def head(**changes):
    return spec_from_config(HEAD | changes, name="head", heads=True)


def test_a_head_by_hand():
    spec = head()
    assert model_counts(spec).parameters.total == JOINING + ATTENTION + BLOCK + OUTPUT + NORMS == 424_689_664
    assert model_counts(spec).kv.values_per_token == 2 * 8 * 128
    assert spec.is_draft_head and spec.bytes_per_value == 2 and spec.notes == ()


@pytest.mark.parametrize(
    ("changes", "more"),
    [
        ({"draft_vocab_size": None}, (128_256 - 32_000) * 4096),  # as wide as the model's
        ({"target_hidden_size": 8192}, JOINING),
        ({"eagle_config": {"use_aux_hidden_state": False}}, -JOINING),
        ({"eagle_config": {"eagle_aux_hidden_state_layer_ids": [2, 30]}}, -JOINING / 3),
        ({"eagle_config": {"use_aux_hidden_state": True}}, 0),
        # A second layer reads hidden states alone.
        ({"num_hidden_layers": 2}, ATTENTION - 4096 * (32 + 2 * 8) * 128 + BLOCK + 2 * 4096),
        ({"model_type": "kimi_k2", "architectures": ["Eagle3LlamaForCausalLM"]}, 0),  # its layers are Llama's
    ],
)
def test_what_a_head_can_have(changes, more):
    assert model_counts(head(**changes)).parameters.total - 424_689_664 == more


def test_a_head_as_the_library_speculators_writes_it():
    written = {
        "architectures": ["Eagle3Speculator"], "speculators_model_type": "eagle3", "draft_vocab_size": 32_000,
        "torch_dtype": "bfloat16", "transformer_layer_config": {"model_type": "llama", **LAYERS},
    }  # fmt: skip
    found = spec_from_config(written, name="head", heads=True)
    assert found == head()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"target_hidden_size": "wide"}, "target_hidden_size"),
        ({"target_hidden_size": True}, "target_hidden_size"),
        ({"transformer_layer_config": 3}, "transformer_layer_config"),
        ({"hidden_size": None}, "hidden_size"),
        ({"draft_vocab_size": -5}, "vocab_size"),
    ],
)
def test_a_wrong_head_is_refused_by_its_field(changes, field):
    with pytest.raises(PlannerError) as error:
        head(**changes)
    assert error.value.field == field


@pytest.mark.parametrize("architecture", ["Eagle3DeepseekV2ForCausalLM", "EagleLlamaForCausalLM", "MedusaModel"])
def test_heads_that_are_not_known_are_refused(architecture):
    with pytest.raises(UnsupportedModelError, match="draft head"):
        head(architectures=[architecture])


def test_a_head_is_no_model_unless_it_may_be_one():
    with pytest.raises(UnsupportedModelError, match=r"architectures.*LlamaForCausalLMEagle3.*draft head"):
        spec_from_config(HEAD, name="head")


def test_every_rank_has_the_whole_projection_that_joins_hidden_states():
    """Half of the wide queries, keys and values are on one of two ranks."""
    extra = head().layers[0].extra
    assert {tensor.name.rpartition(".")[2] for tensor in extra} == {"embedding", "fc"}
    on_rank = sum(tensor.on_rank(2).parameters for tensor in extra)
    assert on_rank == JOINING + 4096 * (32 + 2 * 8) * 128 / 2
