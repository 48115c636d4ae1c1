"""`make measure` without a GPU: its message, and its list of tensors against the computed weights."""

from __future__ import annotations

import sys

import pytest

from core import catalog
from core.engines.loaded_weights import allocated_bytes, loaded_weights_bytes
from tools import measure


def test_without_pytorch_it_says_so(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert measure.main() == 1
    assert capsys.readouterr().out == "Nothing was measured: PyTorch is not installed.\n"


@pytest.mark.parametrize("name", ["llama-3-8b", "llama-3.1-8b", "llama-2-13b"])
def test_the_tensors_add_up_to_what_is_computed(name):
    spec = catalog.model(name).spec
    rotary = measure.stored_tensors(spec)[-1]
    allocated = sum(map(allocated_bytes, measure.stored_tensors(spec)[:-1])) + rotary
    assert allocated == loaded_weights_bytes(spec)
