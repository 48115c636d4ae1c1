"""The published pairs of a model and one that drafts for it."""

from __future__ import annotations

import pytest

from core import catalog
from core.catalog.draft_models import (
    DraftedModel,
    draft_head,
    draft_heads,
    draft_model,
    draft_models_of,
    draft_pairs,
    drafted_models,
)
from core.errors import UnknownNameError
from core.plan.layout_figures import has_shapes


def test_every_pair_fits():
    """A head joins hidden states of the model's width; a model has the same vocabulary, as vLLM demands."""
    for pair in draft_pairs():
        model, draft = catalog.model(pair.model), draft_model(pair.draft_model)
        assert (model.name, draft.name) == (pair.model, pair.draft_model)
        assert has_shapes(model.spec) and pair.source and pair.as_of
        if draft.spec.is_draft_head:
            assert draft.spec.hidden_size == model.spec.hidden_size
        else:
            assert draft.spec.vocab_size == model.spec.vocab_size
            assert draft.spec.hidden_size < model.spec.hidden_size


def test_every_head_has_a_source_and_a_model():
    assert {pair.draft_model for pair in draft_pairs()} >= set(draft_heads())
    for head in draft_heads().values():
        assert head.spec.is_draft_head and head.source and head.as_of
        assert head.name not in catalog.model_names()


def test_the_drafts_come_first_once_each():
    """The workbook's list of drafts is the first rows of the pairs, as many as there are different ones."""
    drafts = [pair.draft_model for pair in draft_pairs()]
    different = len(set(drafts))
    assert len(set(drafts[:different])) == different < len(drafts)


def test_names():
    assert draft_model("lmsys/EAGLE3-gpt-oss-120b-bf16").name == "eagle3-gpt-oss-120b"
    assert draft_model("Qwen3 0.6B").name == "qwen3-0.6b" and draft_head("qwen3-0.6b") is None
    assert draft_head(3) is None
    with pytest.raises(UnknownNameError, match=r"draft_model: 'qwen3-0.5b'"):
        draft_model("qwen3-0.5b")
    assert draft_models_of("qwen3-8b") == ("eagle3-qwen3-8b", "qwen3-0.6b")
    assert draft_models_of("mixtral-8x7b") == ()


def test_tables_have_every_model_then_every_pair():
    found = drafted_models()
    assert [drafted.name for drafted in found[: -len(draft_pairs())]] == list(catalog.model_names())
    assert [drafted.name for drafted in found[-len(draft_pairs()) :]] == [
        f"{pair.model} + {pair.draft_model}" for pair in draft_pairs()
    ]
    pair = DraftedModel(model=catalog.model("qwen3-8b"), draft=draft_model("qwen3-0.6b"))
    assert pair.is_any_of(("qwen3-0.6b",)) and pair.is_any_of(("qwen3-8b",)) and not pair.is_any_of(("qwen3-4b",))
