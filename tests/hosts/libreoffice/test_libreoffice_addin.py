"""Test the extension vram.oxt: its files, and the results of the functions in Calc.

The expected results are those of `vram_udf`, which has its own tests.
"""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from io import BytesIO
from itertools import accumulate
from pathlib import Path

import openpyxl
import pytest
from click.testing import CliRunner
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.formula import ArrayFormula

import vram_udf
from addin.functions import declared_functions
from addin.libreoffice import extension, function_texts, type_library
from core.checks import LIMITS
from tests.spreadsheets import libreoffice
from tests.workbook.planner_rows import few
from vram.cli.main import vram
from workbook.labels import LANGUAGES, Labels
from workbook.sheets import scenarios
from workbook.template import build

pytestmark = pytest.mark.needs("libreoffice")

DECLARED = {function.name: function for function in declared_functions()}

# Cells for each argument: two valid ones, a blank one, and three invalid ones.
SAMPLES: dict[str, list[object]] = {
    "model": ["llama-3.1-70b", "llama-3.1-8b", None, "no such model", -1.0, "#REF!"],
    "name": ["llama-3.1-70b", "llama-3.1-8b", None, "no such model", -1.0, "#REF!"],
    "context": [32768.0, 8192.0, None, -1.0, 0.5, "32Q"],
    "users": [10.0, 3.0, None, 0.0, 1.5, "ten"],
    "precision": ["fp16", 0.5, None, "fp17", 16.0, "#N/A"],
    "kv_precision": ["fp8", 2.0, None, "fp17", -2.0, "#N/A"],
    "overhead": [0.1, 0.0, None, 1.5, "10%", "#DIV/0!"],
    "gpu": ["h100", 80.0, None, "h101", -1.0, "#REF!"],
    "gpus": [8.0, 4.0, None, 0.0, 1.5, "eight"],
    "prompt_tokens": [2000.0, 500.0, None, 0.0, 1.5, "2K"],
    "output_tokens": [500.0, 100.0, None, -1.0, 0.5, "many"],
    "speed": [20.0, 5.5, None, 0.0, -1.0, "fast"],
    "min_speed": [20.0, 5.5, None, -1.0, -2.0, "fast"],
    "kind": ["gpus", "precisions", None, "cars", 2.0, "#REF!"],
    "search": ["h100", "fp", None, "no such name", 2.0, "#REF!"],
    "method": ["lora", "full", None, "dora", 2.0, "#REF!"],
    "sequence": [4096.0, 512.0, None, 0.0, 1.5, "4K"],
    "batch": [2.0, 1.0, None, -1.0, 0.5, "two"],
    "rank": [16.0, 64.0, None, 0.0, 1.5, "low"],
    "zero": [3.0, 0.0, None, 4.0, 0.5, "three"],
    "result": ["first_token", "limited_by", None, "speed", 2.0, "#REF!"],
    "unit": ["GB", "GiB", None, "GX", 1000.0, "#NULL!"],
    "field": ["parameters", "source", None, "colour", 7.0, "#NAME?"],
}
LENGTH = 6
SHEETS = ("Calls", "Down", "Across", "Formulas", "Notes")


@pytest.fixture(scope="module")
def oxt(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("extension") / "vram.oxt"
    result = CliRunner().invoke(vram, ["addin", "libreoffice", "-o", str(path)])
    assert result.exit_code == 0, result.output
    return path


# ---- the file ----------------------------------------------------------------------------------------


def test_the_file_is_reproducible(oxt):
    assert oxt.read_bytes() == extension()
    with zipfile.ZipFile(oxt) as archive:
        entries = archive.infolist()
    assert {(entry.date_time, entry.create_system, entry.compress_type) for entry in entries} == {
        ((1980, 1, 1, 0, 0, 0), 3, zipfile.ZIP_STORED)
    }


def test_the_extension_contains_core_and_its_data():
    with zipfile.ZipFile(BytesIO(extension())) as archive:
        names = archive.namelist()
        models = archive.read("pythonpath/core/catalog/data/models.csv").decode()
    assert {"pythonpath/vram_udf.py", "pythonpath/core/cells/memory.py", "pythonpath/xlwings.py"} <= set(names)
    assert "llama-3.1-70b" in models
    assert not [name for name in names if "__pycache__" in name]


def test_every_declared_function_is_in_the_type_library_and_has_descriptions():
    library, texts = type_library(declared_functions()), function_texts(declared_functions())
    for name in DECLARED:
        assert f" {name}([in] " in library
        assert f'"{name}"' in texts


def test_only_functions_that_always_return_text_have_the_type_string():
    methods = [line for line in type_library(declared_functions()).splitlines() if "sequence< string >" in line]
    assert [method.split("(")[0].split()[-1] for method in methods] == ["VRAM_CHECK"]


# ---- calls from cells --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Call:
    """A call of a function: a formula with arguments on the sheets Down and Across, and the values for `vram_udf`."""

    function: str
    references: tuple[str, ...]
    values: tuple[object, ...]

    @property
    def formula(self) -> str:
        return f"={self.function}({','.join(self.references)})"

    @cached_property
    def expected(self) -> list[list[object]]:
        result = getattr(vram_udf, self.function)(*self.values)
        return result if isinstance(result, list) else [[result]]


def one_cell(argument: str, row: int) -> tuple[str, object]:
    return f"Down!{_letter(argument)}{row + 1}", SAMPLES[argument][row]


def column(argument: str) -> tuple[str, object]:
    return f"Down!{_letter(argument)}1:{_letter(argument)}{LENGTH}", [[cell] for cell in SAMPLES[argument]]


def row(argument: str) -> tuple[str, object]:
    number = list(SAMPLES).index(argument) + 1
    return f"Across!A{number}:{get_column_letter(LENGTH)}{number}", [SAMPLES[argument]]


def _letter(argument: str) -> str:
    return get_column_letter(list(SAMPLES).index(argument) + 1)


def calls_of(function: str) -> Iterator[Call]:
    """Yield calls with scalars, with each argument in turn as a column, and with a column and a row."""
    names = [argument.name for argument in DECLARED[function].arguments]
    required = [argument.name for argument in DECLARED[function].arguments if not argument.optional]
    for given, sample in ((required, 0), (names, 0), (names, 1)):
        yield _call(function, [one_cell(name, sample) for name in given])
    for ranged in names:
        yield _call(function, [column(name) if name == ranged else one_cell(name, 0) for name in names])
    cells = [one_cell(name, 1) for name in names]
    yield _call(function, [column(names[0]), *cells[1:-1], row(names[-1])])


def _call(function: str, arguments: list[tuple[str, object]]) -> Call:
    return Call(function, *zip(*arguments))


CALLS = [call for function in DECLARED for call in calls_of(function)]

LABELLED = [["num_hidden_layers", 80.0], ["hidden_size", 8192.0], ["params_b", 70.0]]
MODEL = "llama-3.1-70b"

# Formula, result. The sheet Notes has LABELLED in A1:B3, errors in D1:D2, and an empty cell E1.
FORMULAS: list[tuple[str, object]] = [
    ("=VRAM_WEIGHTS(70)", 140.0),
    ("=vram_weights(70)", 140.0),
    ("=ISNUMBER(VRAM_WEIGHTS(1))", 1.0),
    ("=VRAM_TOTAL({70,80,8196},32000,10)", vram_udf.VRAM_TOTAL([[70, 80, 8196]], 32000, 10)),
    ("=VRAM_TOTAL(Notes!A1:B3,32000)", vram_udf.VRAM_TOTAL(LABELLED, 32000)),
    (f'=VRAM_KV("{MODEL}",8192,,,"GiB")', vram_udf.VRAM_KV(MODEL, 8192, None, None, "GiB")),
    (f'=VRAM_KV("{MODEL}",VRAM_MODEL("{MODEL}","max_position_embeddings"))', vram_udf.VRAM_KV(MODEL, 131072)),
    (f'=SUM(VRAM_KV("{MODEL}",{{8192;16384}}),1)', 1 + vram_udf.VRAM_KV(MODEL, 8192) + vram_udf.VRAM_KV(MODEL, 16384)),
    # The three errors, which other formulas can test for.
    ('=VRAM_WEIGHTS("seventy")', "#N/A"),
    ("=VRAM_WEIGHTS(-70)", "#NUM!"),
    ('=VRAM_WEIGHTS(70,"fp16",1)', "#VALUE!"),
    ('=ISNA(VRAM_WEIGHTS("seventy"))', 1.0),
    ("=SUM(1,VRAM_WEIGHTS(-70))", "#NUM!"),
    ('=IFERROR(VRAM_WEIGHTS(-70),"caught")', "caught"),
    # A single cell's error is the result; an error in a range makes the whole call an error.
    (f'=VRAM_KV("{MODEL}",Notes!D1)', "#N/A"),
    (f'=VRAM_KV("{MODEL}",8192,Notes!D2)', "#DIV/0!"),
    (f'=SUM(VRAM_KV("{MODEL}",Notes!D1:D3))', "#VALUE!"),
    # A single blank cell is 0 in Calc: the default of an argument that is a name, but 0 of one that is a number.
    (f'=VRAM_KV("{MODEL}",8192,1,Notes!E1,Notes!E1)', vram_udf.VRAM_KV(MODEL, 8192)),
    (f'=VRAM_KV("{MODEL}",8192,Notes!E1)', "#NUM!"),
    (f'=VRAM_KV("{MODEL}",8192,IF(Notes!E1="","",Notes!E1))', vram_udf.VRAM_KV(MODEL, 8192)),
    ("=VRAM_WEIGHTS(Notes!E1)", "#VALUE!"),
    # Texts can be compared.
    (f'=IF(VRAM_CHECK("{MODEL}",8192)="OK",1,0)', 1.0),
    (f'=VRAM_CHECK("{MODEL}",0)', vram_udf.VRAM_CHECK(MODEL, 0)),
    (f'=EXACT(VRAM_MODEL("{MODEL}","name"),"{MODEL}")', 1.0),
    # Too few arguments, and too many.
    ("=VRAM_WEIGHTS()", "#VALUE!"),
    ('=VRAM_WEIGHTS(70,"fp16","GB",1)', "#VALUE!"),
]


@pytest.fixture(scope="module")
def called(oxt, tmp_path_factory) -> Iterator[libreoffice.WhatIf]:
    """Open a workbook from openpyxl, with all calls on its sheet Calls, in LibreOffice with the extension."""
    book = openpyxl.Workbook()
    calls, down, across, formulas, notes = (book.create_sheet(name) for name in SHEETS)
    for cells in zip(*SAMPLES.values()):
        down.append(cells)
    for cells in SAMPLES.values():
        across.append(cells)
    for sheet in (down, across):
        for cell in (cell for cells in sheet.iter_rows() for cell in cells if isinstance(cell.value, str)):
            cell.data_type = "s"  # the text "#N/A", not the error
    for top, call in zip(_tops(), CALLS):
        area = f"A{top}:{get_column_letter(len(call.expected[0]))}{top + len(call.expected) - 1}"
        calls[f"A{top}"] = ArrayFormula(area, call.formula) if len(call.expected) > 1 else call.formula
    for formula, _ in FORMULAS:
        formulas.append([formula])
    for cells in LABELLED:
        notes.append(cells)
    notes["D1"], notes["D2"], notes["D3"] = "=NA()", "=1/0", 8192
    path = tmp_path_factory.mktemp("calls") / "calls.xlsx"
    book.save(path)
    with libreoffice.WhatIf(path, extension=oxt) as opened:
        yield opened


@cache
def _tops() -> list[int]:
    """Return the first row of each call's result."""
    return list(accumulate((len(call.expected) for call in CALLS), initial=1))


@pytest.mark.parametrize("index", range(len(CALLS)), ids=[call.formula for call in CALLS])
def test_a_call_returns_the_result_of_vram_udf(called, index):
    expected, top = CALLS[index].expected, _tops()[index]
    shape = [(i, j) for i in range(len(expected)) for j in range(len(expected[0]))]
    cells = [("Calls", f"{get_column_letter(1 + j)}{top + i}") for i, j in shape]
    assert called.get(cells) == [expected[i][j] for i, j in shape]


def test_the_calls_include_every_error_and_every_function():
    results = {call.function: set() for call in CALLS}
    for call in CALLS:
        results[call.function] |= {cell for row in call.expected for cell in row}
    assert set(results) == set(DECLARED)
    assert {"#N/A", "#NUM!", "#VALUE!", "#REF!", "#DIV/0!", "#NULL!", "#NAME?"} <= set().union(*results.values())


@pytest.mark.parametrize("index", range(len(FORMULAS)), ids=[formula for formula, _ in FORMULAS])
def test_formulas(called, index):
    assert called.get([("Formulas", f"A{index + 1}")]) == [FORMULAS[index][1]]


def test_the_function_wizard_describes_every_function_and_argument(called):
    shown = called.functions(list(DECLARED))
    for function, wizard in zip(DECLARED.values(), shown):
        assert wizard["description"] == function.description
        for argument, (name, description, optional) in zip(function.arguments, wizard["arguments"], strict=True):
            assert (name, optional) == (argument.name, argument.optional)
            assert description.startswith(argument.description)
            assert ("blank cell counts as 0" in description) == (optional and argument.name in LIMITS)


# ---- the planner, and a new function -----------------------------------------------------------------


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_planner_agrees_with_the_functions(oxt, tmp_path, lang):
    labels = Labels(lang)
    with few():
        content, _ = build(lang)
    (tmp_path / "planner.xlsx").write_bytes(content)
    sheet = openpyxl.load_workbook(tmp_path / "planner.xlsx")[labels("sheet.scenarios")]
    rows = [scenarios.FIRST_ROW + number for number in range(len(scenarios.EXAMPLES))]
    verdicts = [(sheet.title, f"{scenarios.letter('addin')}{row}") for row in rows]
    users = (sheet.title, f"{scenarios.letter('users')}{scenarios.FIRST_ROW}")
    compared = [given["allocation"] == "reserved" for given in scenarios.EXAMPLES]
    expected = [labels("scenarios.addin_agrees" if agrees else "scenarios.addin_other") for agrees in compared]
    with libreoffice.WhatIf(tmp_path / "planner.xlsx", extension=oxt) as planner:
        assert planner.named(["addin_loaded", "master_check"]) == [1.0, 1.0]
        assert planner.get(verdicts) == expected
        changed = planner.run([{users: 123.0}, {users: 0.5}], verdicts[:1])
    assert changed == [[labels("scenarios.addin_agrees")], [labels("scenarios.addin_no_input")]]


def test_declaring_a_function_in_vram_udf_is_enough(tmp_path):
    """Build the extension in a process that imports a vram_udf.py with one more function."""
    declaration = """

from math import prod

from core.cells.arguments import CONTEXT, USERS
from core.cells.spill import evaluate


@cell_function
def VRAM_PRODUCT(context, users=None):
    '''Context times users.'''
    return evaluate(lambda *factors: float(prod(factors)), (CONTEXT, USERS), (context, users))
"""
    source = Path(vram_udf.__file__).read_text(encoding="utf-8")
    (tmp_path / "vram_udf.py").write_text(source + declaration, encoding="utf-8")
    repository = Path(vram_udf.__file__).parent
    program = "import sys; from addin.libreoffice import extension; sys.stdout.buffer.write(extension())"
    subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(repository)])},
        cwd=tmp_path,
        stdout=(tmp_path / "more.oxt").open("wb"),
        check=True,
    )
    book = openpyxl.Workbook()
    book.active["A1"], book.active["A2"] = "=VRAM_PRODUCT(21,2)", "=VRAM_PRODUCT(21)"
    book.save(tmp_path / "book.xlsx")
    values = libreoffice.recalculate(tmp_path / "book.xlsx", extension=tmp_path / "more.oxt")
    assert values["Sheet"] == {"A1": 42.0, "A2": 21.0}
