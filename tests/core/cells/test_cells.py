"""Test the cell functions in a workbook's formulas, which openpyxl writes and formualizer evaluates."""

from __future__ import annotations

from decimal import Decimal

import openpyxl
import pytest
from openpyxl.utils import get_column_letter

import vram_udf
from core.cells.values import grid
from tests.spreadsheets import formualizer_program
from vram_udf import VRAM_BREAKDOWN, VRAM_CHECK, VRAM_GPU, VRAM_KV, VRAM_MODEL, VRAM_TOTAL, VRAM_WEIGHTS

LLAMA = "llama-3.1-70b"
FUNCTIONS = {function.__name__: function for function in vram_udf.FUNCTIONS}

# The cells that the formulas refer to.
INPUTS = {
    "A1": LLAMA, "B1": 32768, "C1": 10, "D1": "fp8", "E1": 0.2, "F1": "GiB",
    "A2": "ＬＬＡＭＡ－３．１－７０Ｂ",
    # A3 is blank, and so are A4 to F4.
    "A5": 70, "B5": 80, "C5": 8196,
    "A6": 1024, "B6": -1, "C6": "x", "D6": "=NA()", "E6": 4096,
    "A7": 1024, "A8": 4096, "A9": 32768,
    "A10": "params_b", "B10": 70, "A11": "num_hidden_layers", "B11": 80, "A12": "hidden_size", "B12": 8196,
    "A13": "params_b", "B13": "layers", "C13": "hidden",
    "A14": 70, "B14": 80, "C14": 8196, "A15": 7, "B15": 32, "C15": 4096,
    "A16": "params_b", "B16": 70, "C16": "layers", "D16": 80, "E16": "hidden", "F16": 8196,
    "A17": LLAMA, "A18": "llama-3-8b", "A19": "no such model",
    "A20": True, "B20": "=1/0", "C20": "10",
}  # fmt: skip

SCALARS = {
    # The article: 70 × 10⁹ × 2 bytes; 80 × 8196 × 2 × 2 bytes per token.
    "=VRAM_WEIGHTS(70)": 140.0,
    "=VRAM_WEIGHTS({70,80,8196})": 140.0,
    '=VRAM_KV_PER_TOKEN(A5:C5,"fp16","B")': 2_622_720.0,
    "=VRAM_KV({70,80,8196},32000,10)": 839.2704,
    "=VRAM_TOTAL({70;80;8196},32000,10)": 1077.19744,
    # Llama 3.1 70B: 327 680 bytes × 32 768 × 10 = 100 × 2³⁰.
    '=VRAM_KV(A1,B1,C1,"fp16","GiB")': 100.0,
    "=VRAM_KV(A2,B1,C1,D1,F1)": 50.0,
    "=VRAM_TOTAL(A1,B1,C1,D1,D1,E1,F1)": VRAM_TOTAL(LLAMA, 32768, 10, "fp8", "fp8", 0.2, "GiB"),
    '=VRAM_TOTAL("llama-3.1-70b",32768)': VRAM_TOTAL(LLAMA, 32768),
    "=SUM(VRAM_WEIGHTS(70),VRAM_WEIGHTS(8))": 156.0,
    "=VRAM_KV(A1,B1*2,C1)/VRAM_KV(A1,B1,C1)": 2.0,
    # Blank cells are omitted arguments; a blank model or context is an error.
    "=VRAM_TOTAL(A1,B1,A3,B4,C4,D4,E4)": VRAM_TOTAL(LLAMA, 32768),
    "=VRAM_TOTAL(A3,B1)": "#VALUE!",
    "=VRAM_TOTAL(A1,A3)": "#VALUE!",
    # Labelled ranges from cells.
    '=VRAM_KV_PER_TOKEN(A10:B12,"fp16","B")': 2_622_720.0,
    '=VRAM_KV_PER_TOKEN(A16:F16,"fp16","B")': 2_622_720.0,
    "=VRAM_WEIGHTS(A10:B12)": 140.0,
    # Errors.
    '=VRAM_TOTAL("lama",1000)': "#N/A",
    "=VRAM_TOTAL(A1,-1)": "#NUM!",
    "=VRAM_TOTAL(A1,1.5)": "#NUM!",
    "=VRAM_TOTAL(A1,C6)": "#VALUE!",
    "=VRAM_TOTAL(A1,A20)": "#VALUE!",
    "=VRAM_TOTAL(A1,C20)": "#VALUE!",
    "=VRAM_TOTAL(A1,B20)": "#DIV/0!",
    "=VRAM_TOTAL(A1,B1,D6)": "#N/A",
    "=VRAM_WEIGHTS(70,16)": "#NUM!",
    '=VRAM_WEIGHTS(70,2,"gigabyte")': "#N/A",
    "=VRAM_TOTAL(A1,-1)+1": "#NUM!",
    '=IFERROR(VRAM_TOTAL("lama",1000),"no figure")': "no figure",
    "=ISNUMBER(VRAM_TOTAL(A1,B1))": True,
    "=ISERROR(VRAM_TOTAL(A1,-1))": True,
    # Messages.
    "=VRAM_CHECK(A1,B1,C1)": "OK",
    "=VRAM_CHECK(A1,B6)": "context: -1 is below 1. Write the context in tokens, for example 32768.",
    '=VRAM_CHECK("lama-3.1-70b",B1)': "model: 'lama-3.1-70b' is not known. Did you mean 'llama-3.1-70b'?",
    '=VRAM_MODEL(A1,"parameters")': 70_553_706_496.0,
    '=VRAM_MODEL("Llama 3.1 70B","developer")': "Meta",
    '=VRAM_MODEL(A1,"no such field")': "#N/A",
    '=VRAM_GPU("A100 80GB","memory_gb")': 85.89934592,  # 81920 MiB
    '=VRAM_GPU("A100 80 TB")': "#N/A",
    "=VRAM_GPU(80)": "#VALUE!",
}

ARRAYS = {
    "=VRAM_KV(A1,A7:A9)": [[VRAM_KV(LLAMA, context)] for context in (1024, 4096, 32768)],
    "=VRAM_KV(A1,A7:A9,{1,2})": [
        [VRAM_KV(LLAMA, context, users) for users in (1, 2)] for context in (1024, 4096, 32768)
    ],
    "=VRAM_KV(A1,A6:E6)": [[VRAM_KV(LLAMA, 1024), "#NUM!", "#VALUE!", "#N/A", VRAM_KV(LLAMA, 4096)]],
    "=VRAM_TOTAL(A17:A19,B1,C1)": [[VRAM_TOTAL(LLAMA, 32768, 10)], [VRAM_TOTAL("llama-3-8b", 32768, 10)], ["#N/A"]],
    "=VRAM_CHECK(A17:A18,A7:A9)": [["OK"], ["OK"], [VRAM_CHECK([["a"], ["b"]], [[1], [2], [3]])[2][0]]],
    '=VRAM_KV_PER_TOKEN(A13:C15,"fp16","B")': [[2_622_720.0], [524_288.0]],  # 32 layers × 4096 × 2 × 2 bytes
    '=VRAM_KV_PER_TOKEN(A14:C15,"fp16","B")': [[2_622_720.0], [524_288.0]],
    "=VRAM_WEIGHTS({8,70,405})": [[16.0, 140.0, 810.0]],
    "=VRAM_BREAKDOWN(A1,B1,C1)": VRAM_BREAKDOWN(LLAMA, 32768, 10),
    "=VRAM_BREAKDOWN(A1,A6:B6)": VRAM_BREAKDOWN(LLAMA, [[1024, -1]]),
    "=VRAM_MODEL(A1)": VRAM_MODEL(LLAMA),
    '=VRAM_GPU({"h100","t4"})': VRAM_GPU([["h100", "t4"]]),
    '=VRAM_MODEL(A17:A19,{"parameters","title"})': VRAM_MODEL(
        [[LLAMA], ["llama-3-8b"], ["?"]], [["parameters", "title"]]
    ),
}


@pytest.fixture(scope="module")
def sheets(tmp_path_factory) -> dict[str, dict[str, object]]:
    """Return the values of a workbook with all formulas: scalars in one column, each array on a separate sheet."""
    book = openpyxl.Workbook()
    book.active.title = "Inputs"
    scalars = book.create_sheet("Scalars")
    arrays = [book.create_sheet(f"Array {i}") for i in range(len(ARRAYS))]
    for sheet in (book["Inputs"], scalars, *arrays):
        for address, content in INPUTS.items():
            sheet[address] = content
    for line, formula in enumerate(SCALARS, start=1):
        scalars[f"H{line}"] = formula
    for sheet, (formula, rows) in zip(arrays, ARRAYS.items()):
        sheet["H1"] = formula
        last = f"{get_column_letter(7 + len(rows[0]))}{len(rows)}"
        sheet["A40"] = f"=SUM(H1:{last})"
        sheet["A41"] = f"=COUNT(H1:{last})"
        sheet["A42"] = f"=SUM({formula.removeprefix('=')})"
    path = tmp_path_factory.mktemp("cells") / "functions.xlsx"
    book.save(path)
    return formualizer_program.evaluate(path, FUNCTIONS)


@pytest.mark.parametrize("line, formula", list(enumerate(SCALARS, start=1)), ids=SCALARS)
def test_one_cell(sheets, line, formula):
    value, expected = sheets["Scalars"][f"H{line}"], SCALARS[formula]
    assert type(value) is type(expected)
    assert value == (pytest.approx(expected, rel=1e-12) if isinstance(expected, float) else expected)


@pytest.mark.parametrize("number, formula", list(enumerate(ARRAYS)), ids=ARRAYS)
def test_a_spill(sheets, number, formula):
    spilled, rows = sheets[f"Array {number}"], ARRAYS[formula]
    assert [
        [spilled[f"{get_column_letter(8 + j)}{i}"] for j in range(len(row))] for i, row in enumerate(rows, 1)
    ] == rows
    # Nothing to the right of it and nothing below it.
    assert f"{get_column_letter(8 + len(rows[0]))}1" not in spilled
    assert f"H{len(rows) + 1}" not in spilled


@pytest.mark.parametrize("number, formula", list(enumerate(ARRAYS)), ids=ARRAYS)
def test_an_error_in_an_array_is_an_error_in_its_sum_and_not_counted(sheets, number, formula):
    values, cells = sheets[f"Array {number}"], [cell for row in ARRAYS[formula] for cell in row]
    numbers = [cell for cell in cells if isinstance(cell, float)]
    errors = [cell for cell in cells if isinstance(cell, str) and cell.startswith("#")]
    assert values["A41"] == len(numbers)
    assert values["A40"] == values["A42"] == (errors[0] if errors else pytest.approx(sum(numbers), rel=1e-12))


def test_an_array_as_argument_of_another_function(tmp_path):
    book = openpyxl.Workbook()
    book.active["A1"], book.active["A2"], book.active["B1"] = 8, 70, "=VRAM_WEIGHTS(A1:A2)"
    book.active["D1"] = "=MAX(B1:B2)"
    book.active["E1"] = "=VRAM_WEIGHTS(B1:B2)"
    book.save(tmp_path / "chain.xlsx")
    values = formualizer_program.evaluate(tmp_path / "chain.xlsx", FUNCTIONS)["Sheet"]
    assert [values[address] for address in ("B1", "B2", "D1", "E1", "E2")] == [16.0, 140.0, 140.0, 32.0, 280.0]
    assert values["E2"] == VRAM_WEIGHTS(VRAM_WEIGHTS(70))


@pytest.mark.parametrize(
    ("written", "tokens"),
    [("32K", 32_768), ("128k", 131_072), (" 1M tokens ", 1_048_576), ("1.5k", 1536), ("８K", 8192)],
)
def test_a_context_may_be_written_in_thousands(written, tokens):
    assert vram_udf.VRAM_KV("llama-3.1-8b", written, 2) == vram_udf.VRAM_KV("llama-3.1-8b", tokens, 2)
    assert vram_udf.VRAM_CHECK("llama-4-scout", written) == "OK"


def test_other_texts_are_no_context():
    assert vram_udf.VRAM_KV("llama-3.1-8b", "32G", 2) == "#VALUE!"


def test_a_format_in_a_name_is_applied_and_said():
    assert vram_udf.VRAM_WEIGHTS("qwen3:32b-q4_K_M") == vram_udf.VRAM_WEIGHTS("qwen3-32b", "q4_k_m")
    assert vram_udf.VRAM_WEIGHTS("qwen3:32b-q4_K_M", "fp16") == vram_udf.VRAM_WEIGHTS("qwen3-32b")
    said = vram_udf.VRAM_CHECK("qwen3:32b-q4_K_M", 8192)
    assert said == "OK, but model: 'qwen3:32b-q4_K_M' is read as qwen3-32b with weights in q4_k_m"


@pytest.mark.parametrize(
    ("given", "rows"),
    [
        (((1, 2), (3, Decimal("4.5"))), [[1, 2], [3, 4.5]]),
        ([[1, 2], [3]], [[1, 2], [3, None]]),
        ([1, [2, 3]], [[1, None], [2, 3]]),
        ([[], []], [[None], [None]]),
    ],
)
def test_a_range_in_any_form_is_rows_of_the_same_length(given, rows):
    assert grid(given) == rows
