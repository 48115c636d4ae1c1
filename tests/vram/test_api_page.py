"""The examples of docs/api.md and the tutorials, run as they stand there, and its tables against the code."""

from __future__ import annotations

import doctest
import inspect
import re

import pytest

import vram
from tests.paths import ROOT

PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "examples"), [("api.md", 15), ("tutorial.md", 5), ("tutorial.zh.md", 4)])
def test_examples_give_what_the_page_prints(name, examples):
    text = re.sub(r"^```.*$", "", (ROOT / "docs" / name).read_text(encoding="utf-8"), flags=re.MULTILINE)
    example = doctest.DocTestParser().get_doctest(text, {"vram": vram}, name, name, 0)
    assert len(example.examples) >= examples
    runner = doctest.DocTestRunner()
    written: list[str] = []
    assert runner.run(example, out=written.append).failed == 0, "".join(written)


@pytest.mark.parametrize("name", ["model", "estimate", "capacity", "speed", "users_at_speed", "plan", "train"])
def test_every_public_function_has_a_heading_and_every_argument_a_text(name):
    function = getattr(vram, name)
    assert f"## `vram.{name}(" in PAGE
    documented = inspect.getdoc(function)
    assert all(argument in documented for argument in inspect.signature(function).parameters)


@pytest.mark.parametrize(
    "name", ["Capacity", "Estimate", "Option", "Plan", "Range", "RuledOut", "Model", "Speed", "Training"]
)
def test_results_are_frozen(name):
    assert getattr(vram, name).__dataclass_params__.frozen


def test_all_that_is_public_can_be_imported():
    assert set(dir(vram)) == set(vram.__all__)
    assert all(getattr(vram, name) for name in vram.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        vram.nothing  # noqa: B018
