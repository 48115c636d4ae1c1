"""Every example that the function wizard shows works in the function that shows it."""

from __future__ import annotations

import re

import pytest

import vram_udf
from addin.functions import CellFunction, FunctionArgument, declared_functions
from core.cells.values import EXCEL_ERRORS

# A number after these words is an example. Numbers in brackets, such as (4090) and (2, 1, 0.5), are examples too.
_NUMBER = r"\d+(?:\.\d+)?"
_FOR_EXAMPLE = re.compile(rf"for example ({_NUMBER})")
_IN_BRACKETS = re.compile(rf"\(({_NUMBER}(?:, {_NUMBER})*)\)")
_QUOTED = re.compile(r'"([^"]+)"')
_FORMULA = re.compile(r"=(VRAM_\w+)\(([^)]*)\)(?: is (\d+))?")
_PART = re.compile(r'"[^"]*"|[^,\s]+|(?<=,)(?=,)')


def examples(argument: FunctionArgument) -> list[object]:
    """Return the examples in an argument's description."""
    text = argument.description
    numbers = _FOR_EXAMPLE.findall(text) + [part for found in _IN_BRACKETS.findall(text) for part in found.split(", ")]
    return [*_QUOTED.findall(text), *map(float, numbers)]


def is_error(result: object) -> bool:
    cells = [cell for row in result for cell in row] if isinstance(result, list) else [result]
    return any(cell in EXCEL_ERRORS for cell in cells)


SHOWN = [
    (function, argument, example)
    for function in declared_functions()
    for argument in function.arguments
    for example in examples(argument)
]


@pytest.mark.parametrize(
    ("function", "argument", "example"),
    SHOWN,
    ids=[f"{function.name}-{argument.name}-{example}" for function, argument, example in SHOWN],
)
def test_an_argument_takes_its_examples(function: CellFunction, argument: FunctionArgument, example):
    """The other required arguments have the first of their examples; VRAM_CHECK also needs a context."""
    values = [
        example
        if other == argument
        else examples(other)[0]
        if not other.optional or (function.name, other.name) == ("VRAM_CHECK", "context")
        else None
        for other in function.arguments
    ]
    result = getattr(vram_udf, function.name)(*values)
    assert not is_error(result), values
    if function.name == "VRAM_CHECK":
        assert result.startswith("OK")


def test_every_required_argument_has_an_example():
    arguments = [argument for function in declared_functions() for argument in function.arguments]
    assert [argument.name for argument in arguments if not argument.optional and not examples(argument)] == []
    assert len(SHOWN) > 200


FORMULAS = [(f.name, *found) for f in declared_functions() for found in _FORMULA.findall(f.description)]


@pytest.mark.parametrize(("shown_by", "name", "arguments", "result"), FORMULAS)
def test_a_formula_in_a_description_works(shown_by, name, arguments, result):
    assert name == shown_by
    parts = [part.strip('"') if '"' in part else float(part) if part else None for part in _PART.findall(arguments)]
    found = getattr(vram_udf, name)(*parts)
    assert not is_error(found)
    assert not result or found == float(result)


@pytest.mark.parametrize("name", ["VRAM_MODEL", "VRAM_GPU", "VRAM_PRECISION"])
def test_the_fields_in_a_description_exist(name):
    (function,) = (function for function in declared_functions() if function.name == name)
    fields = _QUOTED.findall(function.description)
    (item, *_) = examples(function.arguments[0])
    assert len(fields) > 1
    assert not any(is_error(getattr(vram_udf, name)(item, field)) for field in fields)
