"""Test VRAM_LIST and the search that it uses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import catalog
from core.catalog.search import KINDS, names
from vram_udf import VRAM_GPU, VRAM_LIST, VRAM_MODEL, VRAM_PRECISION

CARD = {"models": VRAM_MODEL, "gpus": VRAM_GPU, "precisions": VRAM_PRECISION}


@pytest.mark.parametrize("kind", KINDS)
def test_every_name_is_listed_and_understood(kind):
    column = VRAM_LIST(kind)
    assert len(column) > 10 and {len(row) for row in column} == {1}
    cards = CARD[kind](column, "name")
    assert cards == column


@pytest.mark.parametrize(
    ("kind", "search", "found"),
    [
        ("gpus", "h100", {"h100-pcie", "h100-sxm", "h100-nvl"}),
        ("GPUs", "H 100  sxm", {"h100-sxm"}),
        ("gpus", "rtx 4090", {"rtx-4090", "rtx-4090-d", "rtx-4090-48gb"}),
        ("precisions", "mxfp4", {"mxfp4"}),
        ("models", "meta-llama/Llama-3.1-70B-Instruct", {"llama-3.1-70b"}),
    ],
)
def test_a_search(kind, search, found):
    assert {name for (name,) in VRAM_LIST(kind, search)} == found


def test_makers_are_searched():
    amd = {gpu.name for gpu in catalog.gpus() if gpu.maker == "AMD"}
    assert amd and {name for (name,) in VRAM_LIST("gpus", "amd")} >= amd


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("dogs",), "#N/A"),
        ((7,), "#VALUE!"),
        ((None,), "#VALUE!"),
        (("gpus", "no such card"), "#N/A"),
        (("gpus", 4090), "#VALUE!"),
        (("gpus", "#REF!"), "#REF!"),
        (([["gpus"], ["models"]],), "#VALUE!"),
    ],
)
def test_errors(arguments, error):
    assert VRAM_LIST(*arguments) == error


@given(kind=st.sampled_from(KINDS), one=st.text(max_size=8), other=st.text(max_size=8))
def test_more_words_find_fewer_names(kind, one, other):
    both = names(kind, f"{one} {other}")
    assert set(both) <= set(names(kind, one))
    assert both == [name for name in names(kind) if name in both], "in the order of the catalog"
