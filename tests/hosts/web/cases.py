"""Calls of the cell functions as Office.js sends them, with the result that every host must return."""

from __future__ import annotations

from dataclasses import dataclass

import vram_udf
from addin.functions import declared_functions
from tests.hosts.web.office_js import OMITTED, Matrix, call, cell, error_cell, formatted_cell, result

LLAMA = cell("llama-3.1-70b")

# Llama-3.1-70B's config.json: 80 layers, 8 key/value heads of 128, so 2 x 80 x 8 x 128 values of 2 bytes per token;
# its parameters, counted from the same file, are 70 553 706 496 of 2 bytes.
KV_BYTES_PER_TOKEN = 327_680
WEIGHTS_BYTES = 141_107_412_992

LABELLED_MODEL = [
    ["params_b", 70.6],
    ["num_hidden_layers", 80],
    ["hidden_size", 8192],
    ["num_attention_heads", 64],
    ["num_key_value_heads", 8],
    ["", None],
]

# A value for each argument, for calls of every declared function; "FUNCTION.argument" is for one function.
ARGUMENT_SAMPLES = {
    "model": "llama-3.1-70b",
    "name": "llama-3.1-70b",
    "field": "num_hidden_layers",
    "context": 8192,
    "users": 3,
    "precision": "fp8",
    "kv_precision": 1,
    "overhead": 0.2,
    "unit": "GiB",
    "gpu": "h100",
    "gpus": 8,
    "prompt_tokens": 2000,
    "output_tokens": 500,
    "speed": 20,
    "min_speed": 20,
    "VRAM_COST.result": "net_present_cost",
    "kind": "gpus",
    "search": "h100",
    "method": "lora",
    "sequence": 4096,
    "batch": 2,
    "rank": 16,
    "zero": 2,
    "result": "first_token",
    "VRAM_TRAIN.result": "optimizer",
    "VRAM_PRECISION.name": "awq",
    "VRAM_GPU.name": "h100",
    "VRAM_GPU.field": "memory_gb",
}


@dataclass(frozen=True)
class Case:
    """One call and its expected result.

    Attributes:
        name: a description of the case.
        request: the call as the add-in sends it.
        answer: the result as Excel receives it.
    """

    name: str
    request: dict[str, object]
    answer: Matrix


def _case(name: str, function: str, arguments: tuple, answer: object, **runtime: str) -> Case:
    return Case(name, call(function, arguments, **runtime), result(answer))


HAND_WORKED = [
    # The article: 70 x 10^9 x 2 bytes; and (that + 80 x 8196 x 2 x 2 bytes x 32000 x 10) x 1.1, without its rounding.
    _case("a number of parameters", "VRAM_WEIGHTS", (cell(70),), 140),
    _case("the article's model, one row", "VRAM_TOTAL", ([[70, 80, 8196]], cell(32000), cell(10)), 1077.19744),
    _case("the article's model, one column", "VRAM_TOTAL", ([[70], [80], [8196]], cell(32000), cell(10)), 1077.19744),
    _case("an argument omitted in the middle", "VRAM_KV_PER_TOKEN", (LLAMA, OMITTED, cell("B")), KV_BYTES_PER_TOKEN),
    _case("a name in upper case", "VRAM_KV_PER_TOKEN", (cell("LLAMA-3.1-70B"), OMITTED, cell("b")), KV_BYTES_PER_TOKEN),
    _case("a labelled range", "VRAM_KV_PER_TOKEN", (LABELLED_MODEL, OMITTED, cell("B")), KV_BYTES_PER_TOKEN),
    _case("arguments omitted at the end", "VRAM_KV", (LLAMA, cell(32768)), 10.73741824),
    _case("an omitted argument", "VRAM_KV", (LLAMA, cell(32768), OMITTED), 10.73741824),
    _case("a blank cell, null", "VRAM_KV", (LLAMA, cell(32768), cell(None)), 10.73741824),
    _case("a blank cell, empty text", "VRAM_KV", (LLAMA, cell(32768), cell("")), 10.73741824),
    _case(
        "a column and a row with a blank cell",
        "VRAM_KV",
        (LLAMA, [[1000], [2000]], [[1, 2, None]], OMITTED, cell("B")),
        [[327_680_000, 655_360_000, 327_680_000], [655_360_000, 1_310_720_000, 655_360_000]],
    ),
    _case(
        "a cell formatted as a percentage",
        "VRAM_TOTAL",
        ([[70, 80, 8196]], cell(32000), cell(10), OMITTED, OMITTED, formatted_cell(0.1, "0%")),
        1077.19744,
    ),
    _case(
        "a labelled result",
        "VRAM_BREAKDOWN",
        (LLAMA, cell(32768), OMITTED, OMITTED, OMITTED, OMITTED, cell("B")),
        [
            ["weights", WEIGHTS_BYTES],
            ["KV cache", 32768 * KV_BYTES_PER_TOKEN],
            ["overhead", 15_184_483_123],  # a tenth of both, 15 184 483 123.2, in whole bytes
            ["total", 167_029_314_355],
        ],
    ),
    _case("a text", "VRAM_CHECK", (LLAMA, cell(32768)), "OK"),
    _case(
        "a message",
        "VRAM_CHECK",
        (cell("llama-3.1-70"), cell(32768)),
        "model: 'llama-3.1-70' is not known. Did you mean 'llama-3.1-70b'?",
    ),
    _case("an unknown name", "VRAM_WEIGHTS", (cell("ламa-70b"),), "#N/A"),
    _case("a number out of range", "VRAM_KV", (LLAMA, cell(-1)), "#NUM!"),
    _case("a text for a number", "VRAM_KV", (LLAMA, cell("many")), "#VALUE!"),
    _case("a boolean for a number", "VRAM_KV", (LLAMA, cell(True)), "#VALUE!"),
    _case("a required argument omitted", "VRAM_KV", (LLAMA, OMITTED), "#VALUE!"),
    _case("an error in an argument", "VRAM_KV", (error_cell("#REF!"), cell(1)), "#REF!"),
    _case("an error in an optional argument", "VRAM_KV", (LLAMA, cell(1), error_cell("#DIV/0!")), "#DIV/0!"),
    _case("an error that no function returns", "VRAM_KV", (LLAMA, error_cell("#SPILL!")), "#VALUE!"),
    _case(
        "errors among the cells of a range",
        "VRAM_WEIGHTS",
        ([[70], ["x"], [-1], *error_cell("#N/A")],),
        [[140], ["#N/A"], ["#NUM!"], ["#N/A"]],
    ),
]

# Before CustomFunctionsRuntime 1.4 a function cannot return an error, and xlwings returns its text.
OLD_EXCEL = Case("Excel 2021", call("VRAM_WEIGHTS", (cell("x"),), runtime="1.3"), [["#N/A"]])


def _as_plain_python() -> list[Case]:
    """Return cases that call every declared function with its required and with all arguments, and expect the result of
    the plain function.
    """
    cases = []
    for function in declared_functions():
        for number in {sum(not argument.optional for argument in function.arguments), len(function.arguments)}:
            values = [
                ARGUMENT_SAMPLES.get(f"{function.name}.{argument.name}", ARGUMENT_SAMPLES[argument.name])
                for argument in function.arguments[:number]
            ]
            answer = getattr(vram_udf, function.name)(*values)
            request = call(function.name, tuple(map(cell, values)))
            cases.append(Case(f"{function.name} with {number} arguments", request, result(answer)))
    return cases


CASES = [*HAND_WORKED, OLD_EXCEL, *_as_plain_python()]
