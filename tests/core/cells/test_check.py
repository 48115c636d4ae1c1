"""Test that VRAM_CHECK knows the arguments of every cell function, also of one that is added later."""

from __future__ import annotations

import inspect

import pytest

import vram_udf
from core.cells.check import ARGUMENTS
from core.cells.values import EXCEL_ERRORS
from vram_udf import VRAM_CHECK

LLAMA = "llama-3.1-8b"
CHECKED = list(inspect.signature(VRAM_CHECK).parameters)
NAMES = {"VRAM_MODEL": "model", "VRAM_GPU": "gpu", "VRAM_PRECISION": "precision"}  # what `name` is the name of
OTHERS = {"model": LLAMA, "context": 8192, "gpu": "h100", "prompt_tokens": 500, "output_tokens": 100, "method": "full", "precision": "fp8",
          "kind": "gpus"}  # fmt: skip


def checked_name(function: str, parameter: str) -> str:
    """Return the argument of VRAM_CHECK that is this parameter of a function."""
    return NAMES[function] if parameter == "name" else parameter


EVERY = [
    (function.__name__, parameter)
    for function in vram_udf.FUNCTIONS
    for parameter in inspect.signature(function).parameters
]


def check(**given: object) -> str:
    return VRAM_CHECK(*(given.get(name) for name in CHECKED))


def test_one_declaration_names_the_arguments():
    assert list(ARGUMENTS) == CHECKED


@pytest.mark.parametrize(("function", "parameter"), EVERY)
def test_a_wrong_argument_of_every_function_is_named(function, parameter):
    """The function gives an error for it, and VRAM_CHECK names the argument."""
    name, wrong = checked_name(function, parameter), "§ no such thing"
    parameters = inspect.signature(getattr(vram_udf, function)).parameters
    given = {checked_name(function, other): OTHERS.get(checked_name(function, other)) for other in parameters}
    given |= {"gpus": 8, name: wrong}
    result = getattr(vram_udf, function)(*(given[checked_name(function, other)] for other in parameters))
    verdict = check(**given)
    if function != "VRAM_CHECK":
        assert (result[0][0] if isinstance(result, list) else result) in EXCEL_ERRORS
    assert verdict.startswith(f"{'tokens_per_second' if name == 'speed' else name}: "), verdict
    assert "no such thing" in verdict


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        ({"model": LLAMA, "context": 8192, "users": 4, "gpu": "h100", "min_speed": 5}, "OK"),
        ({"model": LLAMA, "context": 8192, "users": 4, "gpu": "h100", "min_speed": 5, "result": "per_month"}, "OK"),
        ({"model": LLAMA, "context": 8192, "users": 4, "gpu": "h100", "min_speed": -1}, "min_speed: -1 is below 0."),
        ({"model": LLAMA, "context": 8192, "gpu": "h100", "min_speed": 5000}, "gpu: too slow: "),
        ({"model": LLAMA, "context": 8192, "gpu": "h100", "result": "trainable"}, "result: 'trainable' is not known."),
        ({"model": LLAMA, "prompt_tokens": 500, "output_tokens": 100, "result": "low"}, "OK"),
        ({"model": LLAMA, "prompt_tokens": 500, "output_tokens": 100, "result": "way"}, "result: 'way' is not known."),
        ({"model": LLAMA, "method": "lora", "rank": 16, "zero": 2, "gpus": 8, "result": "trainable"}, "OK"),
        ({"model": LLAMA, "method": "lora", "zero": 4}, "zero: 4 is above 3. Write the stage of ZeRO"),
        ({"model": LLAMA, "method": "lora", "rank": 0}, "rank: 0 is below 1. Write the rank"),
        ({"model": LLAMA, "method": "lora", "result": "per_user"}, "result: 'per_user' is not known."),
        ({"method": "lora"}, "model: it is blank."),
        ({"model": LLAMA, "method": "lora", "context": 8192, "gpu": "h100", "gpus": 1, "users": 999}, "OK, but users"),
        ({"model": LLAMA, "field": "licence"}, "OK"),
        ({"model": LLAMA, "field": "price"}, "field: 'price' is not known."),
        ({"gpu": "h100", "field": "price"}, "OK"),
        ({"gpu": "h100", "field": "licence"}, "field: 'licence' is not known."),
        ({"precision": "awq", "field": "bits_per_value"}, "OK"),
        ({"precision": "awq", "field": "price"}, "field: 'price' is not known."),
        ({"field": "price"}, "model: it is blank."),
        ({"kind": "gpus", "search": "hopper h100"}, "search: no name contains 'hopper h100'."),
        ({"kind": "gpus", "search": "h100"}, "OK"),
        ({"kind": "gpu"}, "kind: 'gpu' is not known."),
        ({}, "model: it is blank."),
    ],
)  # fmt: skip
def test_the_verdict_is_that_of_the_function_asked_about(given, verdict):
    found = check(**given)
    assert found == verdict if verdict == "OK" else found.startswith(verdict), found


def test_blank_models_spill():
    assert VRAM_CHECK([[None], [None]], *[None] * 19, [["gpus"], ["gpu"]])[0] == ["OK"]
