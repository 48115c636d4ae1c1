"""Test the cell functions through xlwings' real Windows code: what Excel receives, and how they are declared."""

from __future__ import annotations

import ast
import datetime
import inspect
import json
import subprocess
import sys
from decimal import Decimal

import pytest

import vram_udf
from addin.functions import declared_functions
from tests.hosts.com.pywin32_stand_in import MISSING, ExcelCaller, Range, Variant
from tests.paths import ROOT

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has the real pywin32")

LLAMA = "llama-3.1-70b"
NUM, VALUE, NA = "#NUM!", "#VALUE!", "#N/A"
LABELS = [["params_b", 70], ["num_hidden_layers", 80], ["hidden_size", 8196]]


@pytest.fixture(scope="module")
def excel():
    with ExcelCaller("vram_udf") as caller:
        yield caller


# ---- what Excel receives -----------------------------------------------------------------------------


def plain_result(function_name: str, arguments: tuple[object, ...]) -> object:
    """Call the plain function with the contents of Excel's cells."""
    function = getattr(vram_udf, function_name)
    parameters = inspect.signature(function).parameters.values()
    cells = [
        parameter.default if argument is MISSING else argument.rows if isinstance(argument, Range) else argument
        for parameter, argument in zip(parameters, arguments)
    ]
    return function(*cells)


def as_variant(result: object) -> Variant:
    """Return the VARIANT that Excel should receive for a result: VT_R8 for numbers, VT_BSTR for texts."""
    if isinstance(result, list):
        return Variant("VT_ARRAY", [[as_variant(cell) for cell in row] for row in result])
    return Variant({float: "VT_R8", str: "VT_BSTR"}[type(result)], result)


@pytest.mark.parametrize(
    "call, variant",
    [
        # The article: 70 × 10⁹ × 2 bytes.
        (("VRAM_WEIGHTS", 70), Variant("VT_R8", 140.0)),
        # 100 × 2³⁰ bytes: an integer in Python, above 32 bits, which COM must get as a double.
        (("VRAM_KV", LLAMA, 32768, 10, MISSING, "B"), Variant("VT_R8", 107_374_182_400.0)),
        (("VRAM_KV_PER_TOKEN", LLAMA, MISSING, "B"), Variant("VT_R8", 327_680.0)),
        (("VRAM_MODEL", LLAMA, "num_hidden_layers"), Variant("VT_R8", 80.0)),
        (("VRAM_MODEL", LLAMA, "developer"), Variant("VT_BSTR", "Meta")),
        (("VRAM_PRECISION", "mxfp4", "bits_per_value"), Variant("VT_R8", 4.25)),
        (("VRAM_GPU", "H100", "memory_mib"), Variant("VT_R8", 81_559.0)),
        (("VRAM_GPU", "NVIDIA H100 80GB HBM3", "memory_basis"), Variant("VT_BSTR", "driver")),
        (("VRAM_CHECK", LLAMA, 1000), Variant("VT_BSTR", "OK")),
        (("VRAM_TOTAL", "no such model", 1000), Variant("VT_BSTR", NA)),
        (("VRAM_TOTAL", LLAMA, -1), Variant("VT_BSTR", NUM)),
        (("VRAM_TOTAL", LLAMA, "x"), Variant("VT_BSTR", VALUE)),
    ],
)
def test_scalars_and_errors(excel, call, variant):
    assert excel(*call) == variant


CALLS = {
    "one cell": ("VRAM_TOTAL", Range([[LLAMA]]), Range([[32768]]), Range([[10]])),
    "constants": ("VRAM_TOTAL", LLAMA, 32768, 10, "fp8", 2, 0.2, "GiB"),
    "omitted in the middle": ("VRAM_TOTAL", LLAMA, 32768, MISSING, MISSING, "fp8", MISSING, "B"),
    "omitted at the end": ("VRAM_TOTAL", LLAMA, 32768),
    "blank cells": ("VRAM_TOTAL", LLAMA, 32768, Range([[None]]), Range([[""]]), Range([[" "]])),
    "a required cell is blank": ("VRAM_TOTAL", Range([[None]]), 32768),
    "a row": ("VRAM_KV", LLAMA, Range([[1024, 4096, 32768]])),
    "a column": ("VRAM_KV", LLAMA, Range([[1024], [4096], [32768]])),
    "a column against a row": ("VRAM_KV", LLAMA, Range([[1024], [4096]]), Range([[1, 2, 3]])),
    "a grid": ("VRAM_KV", LLAMA, Range([[1024, 2048], [4096, None]])),
    "unequal lengths": ("VRAM_KV", LLAMA, Range([[1024], [4096]]), Range([[1], [2], [3]])),
    "an array by value": ("VRAM_KV", LLAMA, [[1024, 2048], [4096, 8192]]),
    "failing elements": ("VRAM_TOTAL", LLAMA, Range([[1000, -1, "x", None, 2000]])),
    "a column of scenarios": (
        "VRAM_TOTAL",
        Range([[LLAMA], ["llama-3-8b"], ["no such model"]]),
        Range([[32768], [8192], [8192]]),
        Range([[10], [None], [1]]),
        Range([["fp16"], ["int4"], [2]]),
    ),
    "three numbers in a row": ("VRAM_KV_PER_TOKEN", Range([[70, 80, 8196]])),
    "three numbers in a column": ("VRAM_KV_PER_TOKEN", Range([[70], [80], [8196]])),
    "rows of three numbers": ("VRAM_KV_PER_TOKEN", Range([[70, 80, 8196], [7, 32, 4096]])),
    "an array constant": ("VRAM_KV_PER_TOKEN", [[70, 80, 8196]]),
    "a labelled range": ("VRAM_TOTAL", Range(LABELS), 32768, 10),
    "a labelled range with blanks": ("VRAM_TOTAL", Range([*LABELS, [None, None], ["vocab_size", None]]), 32768),
    "a header and rows": (
        "VRAM_KV_PER_TOKEN",
        Range([["params_b", "layers", "hidden"], [70, 80, 8196], [7, 32, 4096]]),
    ),
    "alternating labels and values": ("VRAM_TOTAL", Range([["params_b", 70, "layers", 80, "hidden", 8196]]), 1000),
    "sizes": ("VRAM_WEIGHTS", Range([[8, 70, 405]])),
    "error cells": ("VRAM_KV", LLAMA, Range([["#NULL!", "#DIV/0!", VALUE, "#REF!", "#NAME?", NUM, NA]])),
    "an error cell for a default": ("VRAM_TOTAL", LLAMA, 1000, Range([["#DIV/0!"]]), Range([["#REF!"]])),
    "booleans": ("VRAM_KV", LLAMA, Range([[True], [False]])),
    "a boolean by value": ("VRAM_KV", LLAMA, True),
    "a date": ("VRAM_KV", LLAMA, Range([[datetime.datetime(2026, 11, 23)]])),
    "a currency": ("VRAM_KV", LLAMA, Range([[Decimal(32768)]]), Range([[Decimal(10)]])),
    "texts for numbers": ("VRAM_KV", LLAMA, Range([["10", "1e3", " 10 "]])),
    "impossible numbers": ("VRAM_KV", LLAMA, Range([[0, -1, 1.5, 1e12, 1e308]])),
    "full-width letters": ("VRAM_WEIGHTS", "ＬＬＡＭＡ－３．１－７０Ｂ", "ＦＰ８", "ＧＢ"),
    "breakdown": ("VRAM_BREAKDOWN", LLAMA, 32768, 10),
    "breakdowns side by side": ("VRAM_BREAKDOWN", LLAMA, Range([[1000, -1]])),
    "a failed breakdown": ("VRAM_BREAKDOWN", "no such model", 1000),
    "a card": ("VRAM_MODEL", LLAMA),
    "cards side by side": ("VRAM_MODEL", Range([[LLAMA, "no such model", "article-llama-70b"]])),
    "a table of fields": (
        "VRAM_MODEL",
        Range([[LLAMA], ["llama-3-8b"]]),
        Range([["parameters", "title", "no such field"]]),
    ),
    "a GPU's card": ("VRAM_GPU", "mi300x"),
    "a number format's card": ("VRAM_PRECISION", "awq"),
    "GPUs' cards side by side": ("VRAM_GPU", Range([["h100-sxm", "no such GPU", "dgx-spark"]])),
    "GPUs for columns of users and contexts": (
        "VRAM_GPUS",
        LLAMA,
        Range([[8192], [32768]]),
        Range([[1, 100]]),
        Range([["h100"]]),
        "fp8",
        MISSING,
        MISSING,
    ),
    "GPUs of 80 GB, with an overhead": ("VRAM_GPUS", Range([[70, 80, 8196]]), 32000, 1, 80, MISSING, MISSING, 0.1),
    "users, also for too few GPUs": ("VRAM_MAX_USERS", LLAMA, 32768, "h100", Range([[1, 4, -1]])),
    "contexts": ("VRAM_MAX_CONTEXT", LLAMA, 10, Range([["h100"], ["no such GPU"]]), 8),
    "speeds": ("VRAM_SPEED", LLAMA, 2000, 500, Range([[1], [50], ["x"]]), Range([["h100", "no such GPU"]]), 8),
    "a speed's range": (
        "VRAM_SPEED",
        LLAMA,
        2000,
        500,
        50,
        "h100",
        8,
        MISSING,
        MISSING,
        Range([["low", "limited_by"]]),
    ),
    "users at a speed": ("VRAM_USERS_AT_SPEED", LLAMA, 2000, 500, Range([[20, 1000, 0]]), "h100", 8, "fp8"),
    "a plan of one GPU": ("VRAM_PLAN", LLAMA, 32768, 50, "h100"),
    "costs": ("VRAM_COST", LLAMA, 32768, Range([[10], [-1]]), Range([["h100", "no such GPU"]])),
    "a list": ("VRAM_LIST", "gpus", "h100"),
    "fine-tuning": ("VRAM_TRAIN", LLAMA, Range([["lora", "qlora", "dora"]]), 4096, MISSING, Range([[16], [0]])),
    "a check": ("VRAM_CHECK", Range([["lama-3.1-70b"], [LLAMA]]), Range([[1000, True]])),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_excel_receives_what_the_plain_function_returns(excel, call):
    function_name, *arguments = call
    assert excel(*call) == as_variant(plain_result(function_name, tuple(arguments)))


def test_the_calls_include_every_function():
    assert {name for name, *_ in CALLS.values()} == {function.name for function in declared_functions()}


def test_a_row_stays_a_row_and_a_column_a_column(excel):
    row, column = (excel(*CALLS[call]) for call in ("a row", "a column"))
    assert [len(line) for line in row.value] == [3]
    assert [len(line) for line in column.value] == [1, 1, 1]


@pytest.mark.parametrize(
    "error", ["#SPILL!", "#CALC!", "#FIELD!", "#BLOCKED!", "#CONNECT!", "#UNKNOWN!", "#GETTING_DATA"]
)
def test_newer_errors_are_passed_as_integers_and_returned_as_value_errors(excel, error):
    assert excel("VRAM_WEIGHTS", Range([[error]])) == Variant("VT_BSTR", VALUE)
    assert excel("VRAM_TOTAL", LLAMA, 1000, Range([[error]])) == Variant("VT_BSTR", VALUE)
    failing = excel("VRAM_KV", LLAMA, Range([[1000, error]])).value[0]
    assert [cell.type for cell in failing] == ["VT_R8", "VT_BSTR"]
    assert failing[1].value == VALUE


# ---- declarations ------------------------------------------------------------------------------------

_DECLARATIONS = """
import json, sys
from tests.hosts.com import pywin32_stand_in
pywin32_stand_in.install()
import vram_udf
names = [function.__name__ for function in vram_udf.FUNCTIONS]
json.dump({name: getattr(vram_udf, name).__xlfunc__ for name in names}, sys.stdout, default=repr)
"""


@pytest.fixture(scope="module")
def declarations() -> dict[str, dict]:
    """Return what xlwings' decorators recorded about each function, from a process that runs as on Windows."""
    command = [sys.executable, "-c", _DECLARATIONS]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=60).stdout)


FUNCTIONS = pytest.mark.parametrize("function", declared_functions(), ids=lambda function: function.name)


@FUNCTIONS
def test_signatures(function):
    parameters = inspect.signature(getattr(vram_udf, function.name)).parameters.values()
    for parameter in parameters:
        assert parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        assert parameter.annotation is parameter.empty
        assert parameter.default in (parameter.empty, None)  # None is also the value of a blank cell
    assert inspect.signature(getattr(vram_udf, function.name)).return_annotation is inspect.Signature.empty
    optional = [argument.optional for argument in function.arguments]
    assert optional == sorted(optional)


# Excel's function wizard shows at most 255 characters of a description.
@FUNCTIONS
def test_descriptions(function, declarations):
    descriptions = [function.description, *(argument.description for argument in function.arguments)]
    assert all(0 < len(description) <= 255 for description in descriptions)
    declared = declarations[function.name]
    assert [declared["ret"]["doc"], *(argument["doc"] for argument in declared["args"])] == descriptions


@FUNCTIONS
def test_declarations(function, declarations):
    declared = declarations[function.name]
    assert declared["name"] == function.name
    assert [argument["name"] for argument in declared["args"]] == [argument.name for argument in function.arguments]
    assert ["optional" in argument for argument in declared["args"]] == [a.optional for a in function.arguments]
    # Without err_to_str an error cell is passed as None, like a blank one; without ndim one row loses its orientation.
    assert all(argument["options"] == {"ndim": 2, "err_to_str": True} for argument in declared["args"])
    assert not any(argument["vararg"] for argument in declared["args"])
    assert (declared["volatile"], declared["async_mode"], declared["call_in_wizard"]) == (False, None, True)
    assert declared["category"] == "VRAM"


def test_all_functions_are_declared():
    tree = ast.parse((ROOT / "vram_udf.py").read_text(encoding="utf-8"))
    public = [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("VRAM_")]
    assert [function.name for function in declared_functions()] == public
