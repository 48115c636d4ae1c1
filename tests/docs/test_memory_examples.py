"""The worked examples of docs/memory.md: the arithmetic is right, and the command line gives the same figures.

An example is a line "$ vram … --json", followed by lines "name = expression = figure". A name without spaces is a field
of the command's JSON (a dot goes into a list or an object); other names are intermediate results.
"""

from __future__ import annotations

import json
import math
import re
import shlex

import pytest

from tests.paths import ROOT

FENCE = "```"
FUNCTIONS = {"ceil": math.ceil, "floor": math.floor, "max": max, "min": min}


def _examples():
    """Each command of the page and the lines below it."""
    examples = []
    for block in (ROOT / "docs/memory.md").read_text(encoding="utf-8").split(FENCE)[1::2]:
        for line in block.strip().splitlines():
            if line.startswith("$ "):
                examples.append((line.removeprefix("$ "), []))
            elif not line.startswith("#"):
                examples[-1][1].append(line)
    return examples


def _decimals(figure):
    return len(figure.partition(".")[2])


def _value(expression):
    """The value of an expression written with ×, ÷, − and commas between thousands."""
    python = re.sub(r"(?<=\d),(?=\d{3})", "", expression).translate(str.maketrans("×÷−", "*/-"))
    assert set(re.findall(r"[A-Za-z_]+", python)) <= set(FUNCTIONS), expression
    return eval(python, {"__builtins__": {}}, FUNCTIONS)


def _field(answer, name):
    for key in name.split("."):
        answer = answer[int(key)] if isinstance(answer, list) else answer[key]
    return answer


@pytest.mark.parametrize(("command", "lines"), _examples(), ids=lambda part: part if isinstance(part, str) else "")
def test_example(vram, command, lines):
    status, out, err = vram(*shlex.split(command)[1:])
    assert (status, err) == (0, "")
    assert lines
    for line in lines:
        name, *expressions, figure = line.split(" = ")
        stated, decimals = _value(figure), _decimals(figure)
        for expression in expressions:
            assert round(_value(expression), decimals) == stated, line
        if " " not in name:
            assert _field(json.loads(out), name) == stated, line


def test_every_kind_of_figure_has_an_example():
    commands = [command.split()[1] for command, _ in _examples()]
    assert {"estimate", "capacity", "plan"} <= set(commands)
    assert len(commands) >= 15
