"""Test the cell functions through the real Windows stack: Excel must receive what plain Python returns.

A client in the role of Excel loads xlwings' DLL, which starts xlwings' COM server, which calls `vram_udf`.
"""

from __future__ import annotations

import datetime
import inspect
import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path, PureWindowsPath

import pytest

import vram_udf
from addin.functions import CellFunction, declared_functions
from tests.hosts.com import facts, test_udf_com
from tests.hosts.com.cells import EXCEL_ERRORS, MISSING, Range, Variant
from tests.hosts.windows.session import (
    MISSING_PYTHON,
    SERVED,
    STARTED,
    WITHOUT_PACKAGES,
    WITHOUT_PYWIN32,
    Call,
    EndServer,
    Serve,
    Step,
)
from tests.hosts.windows.stack import windows_stack

pytestmark = pytest.mark.needs("wine")

# Two valid values for each argument; "FUNCTION.argument" is for one function.
EXAMPLES = {
    "model": ("llama-3.1-70b", "qwen2.5-72b"),
    "name": ("llama-3.1-8b", "llama-2-7b"),
    "context": (32768, 8000),
    "users": (10, 1),
    "precision": ("fp8", 0.5),
    "kv_precision": (1, "fp16"),
    "overhead": (0.2, 0),
    "gpu": ("h100-sxm", 80),
    "gpus": (8, 4),
    "prompt_tokens": (2000, 8192),
    "output_tokens": (500, 1024),
    "speed": (20, 5.5),
    "method": ("lora", "full"),
    "sequence": (4096, 512),
    "batch": (2, 1),
    "rank": (16, 64),
    "zero": (3, 0),
    "result": ("low", "limited_by"),
    "VRAM_TRAIN.result": ("optimizer", "trainable"),
    "min_speed": (20, 0),
    "VRAM_COST.gpu": ("h100-sxm", 4090),
    "VRAM_COST.result": ("per_month", "way"),
    "VRAM_CHECK.result": ("optimizer", "trainable"),  # of fine-tuning, because a method is given
    "kind": ("models", "gpus"),
    "search": ("llama 70b", "mi300x"),
    "unit": ("GiB", "B"),
    "field": ("parameters", "source"),
    "VRAM_PRECISION.name": ("awq", "q4_k_m"),
    "VRAM_GPU.name": ("h100-sxm", "a100-sxm-80gb"),
    "VRAM_GPU.field": ("memory_mib", "source"),
    "VRAM_PRECISION.field": ("bits_per_value", "source"),
}

# Errors that xlwings does not know by name and passes as integers.
NEWER_ERRORS = ("#SPILL!", "#CALC!", "#FIELD!")

# Unusual contents of cells, for all arguments.
ODD_CONTENTS = [
    None,
    "",
    "  ",
    "no such thing",
    "模型",
    0,
    -1,
    2.5,
    1e300,
    Decimal("1.5"),  # of a cell formatted as currency
    True,
    False,
    datetime.datetime(2026, 1, 2, 3, 4, 5),
    "#NULL!",
    "#DIV/0!",
    "#VALUE!",
    "#REF!",
    "#NAME?",
    "#NUM!",
    "#N/A",
    *NEWER_ERRORS,
]

# Some of them as constants in the formula: one for each way in which xlwings converts them. It does so in the same way for
# every argument: for the first one all of them are tried, for the others one.
ODD_CONSTANTS = ["no such thing", "#REF!", "#SPILL!", -1, True, datetime.datetime(2026, 1, 2, 3, 4, 5)]


def _cases(function: CellFunction) -> list[Call]:
    """Return calls of one function: with all arguments, with the required ones only, and with unusual values of each.

    A range takes some thirty calls between processes, an array or a constant none, so there are few, but long, ranges.
    """
    examples = [
        EXAMPLES.get(f"{function.name}.{argument.name}") or EXAMPLES[argument.name] for argument in function.arguments
    ]
    valid = [one for one, _ in examples]
    required = sum(not argument.optional for argument in function.arguments)
    optional = len(valid) - required
    columns = [[[one], [other]] for one, other in examples]
    lists = [
        valid,
        [*valid[:required], *[MISSING] * optional],
        [*valid[:required], *[Range([[None]]), *[None] * optional][:optional]],
        [Range([[valid[0]]]), *valid[1:]],
        [Range([["#N/A"]]), *valid[1:]],
        [Range(columns[0]), *columns[1:]],
        # A column and a row spill a grid.
        [Range(columns[0]), Range([[*examples[1]]]), *valid[2:]],
    ]
    for place, (one, other) in enumerate(examples):
        varied = [
            Range([[content] for content in (one, *ODD_CONTENTS, other)]),
            [[one, other], ["#N/A", "#SPILL!"]],
            *(ODD_CONSTANTS if place == 0 else ODD_CONSTANTS[1:2]),
        ]
        if function.arguments[place].optional:
            varied.append(MISSING)
        lists += [[*valid[:place], argument, *valid[place + 1 :]] for argument in varied]
    lists += [arguments for name, *arguments in test_udf_com.CALLS.values() if name == function.name]
    # The VBA passes all arguments, also the omitted ones.
    return [Call(function.name, (*arguments, *[MISSING] * (len(valid) - len(arguments)))) for arguments in lists]


CASES = [case for function in declared_functions() for case in _cases(function)]
FACTS = [Call(function, arguments, facts.MODULE) for function, arguments, _ in facts.RESULTS]
EXCEPTIONS = [Call(function, arguments, facts.MODULE) for function, arguments, _ in facts.EXCEPTIONS]


def _process_id(add_in: str = "vram.xlam", workbook: str = "planner.xlsx", python: str = STARTED) -> Call:
    return Call("process_id", (), facts.MODULE, add_in, workbook, python)


FIRST, OTHER_WORKBOOK, OTHER_ADD_IN = _process_id(), _process_id(workbook="other.xlsx"), _process_id("planner.xlsm")
SEARCH_PATH = Call("search_path", (), facts.MODULE)
NO_SERVER = Call("VRAM_WEIGHTS", (70, MISSING, MISSING), python=SERVED)
BROKEN = [
    Call("VRAM_WEIGHTS", (70, MISSING, MISSING), python=python)
    for python in (WITHOUT_PACKAGES, WITHOUT_PYWIN32, MISSING_PYTHON)
]
SERVE, FROM_SERVER, SERVER = Serve(), replace(NO_SERVER), _process_id(python=SERVED)
SERVED_STEPS = [SERVE, FROM_SERVER, SERVER]
END = EndServer()
STEPS: list[Step] = [
    FIRST, SEARCH_PATH, *CASES, *FACTS, *EXCEPTIONS, OTHER_WORKBOOK, OTHER_ADD_IN, NO_SERVER, *BROKEN, *SERVED_STEPS,
    END,
]  # fmt: skip

# Modules that Python or our code import by these names; each leaves a trace if it is taken from the current folder.
HOSTILE_MODULES = ("core", "vram_udf", "xlwings", "os", "site", "sitecustomize", "encodings", "pywintypes", "win32api")
TRACE = "import pathlib; pathlib.Path(__file__).resolve().with_name('executed').touch()\n"


def hostile_folder(folder: Path) -> Path:
    """Make a folder with modules under the names that the server imports, and a file of settings."""
    hostile = folder / "hostile"
    hostile.mkdir()
    for name in HOSTILE_MODULES:
        (hostile / f"{name}.py").write_text(TRACE, encoding="ascii")
    (hostile / "vram.conf").write_text('"INTERPRETER_WIN","C:\\evil.exe"\n', encoding="ascii")
    return hostile


def test_the_windows_stack(subtests, tmp_path):
    """A single test, because with pytest-xdist the session of Excel must still run only once."""
    hostile = hostile_folder(tmp_path)
    with windows_stack() as stack:
        answers = {id(step): answer for step, answer in zip(STEPS, stack.run(STEPS, tmp_path), strict=True)}
        with subtests.test("all servers end with Excel"):
            stack.wait_for_end([int(answers[id(SERVER)].value)])

    for call in CASES:
        with subtests.test(_shown(call)):
            assert answers[id(call)] == test_udf_com.as_variant(_as_plain_python(call))
    for function in declared_functions():
        with subtests.test(f"{function.name}: the examples are valid input"):
            with_every_argument = next(call for call in CASES if call.function == function.name)
            assert str(answers[id(with_every_argument)].value) not in EXCEL_ERRORS
    for call, (*_, variant) in zip(FACTS, facts.RESULTS, strict=True):
        with subtests.test(_shown(call)):
            assert answers[id(call)] == variant
    for call, (*_, message) in zip(EXCEPTIONS, facts.EXCEPTIONS, strict=True):
        with subtests.test(_shown(call)):
            assert answers[id(call)].type == "Err.Description"
            assert answers[id(call)].value.startswith(message)

    with subtests.test("one server serves every workbook to the end"):
        assert len(CASES) > 200
        assert answers[id(FIRST)] == answers[id(OTHER_WORKBOOK)]
    with subtests.test("the planner with macros shares the add-in's server"):
        assert answers[id(FIRST)] == answers[id(OTHER_ADD_IN)]
    with subtests.test("nothing of a hostile current folder is executed"):
        assert sorted(path.name for path in hostile.iterdir()) == sorted(
            [*(f"{name}.py" for name in HOSTILE_MODULES), "vram.conf"]
        )
        (current, prefix), *search_path = ([cell.value for cell in row] for row in answers[id(SEARCH_PATH)].value)
        assert current == prefix
        assert search_path and all(PureWindowsPath(folder).is_absolute() for folder, _ in search_path)
        assert not any("hostile" in folder for folder, _ in search_path)
    with subtests.test("without `vram addin serve` the DLL says at once that there is no server"):
        assert answers[id(NO_SERVER)].type == "Err.Description"
        assert answers[id(NO_SERVER)].value.startswith("No command specified")
    # After two minutes of attempts, the DLL would say "Could not activate Python COM server".
    exited, not_created = "Python process exited before", "Could not create Python process"
    for call, message in zip(BROKEN, (exited, exited, not_created), strict=True):
        with subtests.test(f"Python {call.python}: the DLL gives up at once"):
            assert answers[id(call)].type == "Err.Description"
            assert answers[id(call)].value.startswith(message)
    with subtests.test("functions are served by a Python that was started outside Excel"):
        assert answers[id(SERVE)] == Variant("VT_BOOL", True)
        assert answers[id(FROM_SERVER)] == Variant("VT_R8", 140.0)
        assert answers[id(SERVER)].value not in (answers[id(FIRST)].value, "")
    with subtests.test("a server can be ended"):
        assert answers[id(END)] == Variant("VT_BOOL", True)


def _shown(call: Call) -> str:
    arguments = ("" if argument is MISSING else repr(argument) for argument in call.arguments)
    return f"{call.function}({', '.join(arguments)})"


def _as_plain_python(call: Call) -> object:
    function = getattr(vram_udf, call.function)
    defaults = [parameter.default for parameter in inspect.signature(function).parameters.values()]
    return function(*[_python_argument(*argument) for argument in zip(call.arguments, defaults, strict=True)])


def _python_argument(argument: object, default: object) -> object:
    """Return what a cell function receives: rows of contents, also for a single cell, or the default."""
    if argument is MISSING:
        return default
    rows = argument.rows if isinstance(argument, Range) else argument if isinstance(argument, list) else [[argument]]
    return [[_python_cell(content) for content in row] for row in rows]


def _python_cell(content: object) -> object:
    if content in NEWER_ERRORS:
        return EXCEL_ERRORS[content]
    if isinstance(content, int) and not isinstance(content, bool):
        return float(content)
    return None if content == "" else content


def test_wine_and_users_have_the_same_version_of_xlwings():
    project = Path(vram_udf.__file__).parent
    required = re.findall(r'"xlwings==([\d.]+); python_version >= ', (project / "pyproject.toml").read_text())
    installed = re.findall(
        r"^xlwings==([\d.]+) ", (project / "tests/hosts/windows/requirements.txt").read_text(), re.MULTILINE
    )
    assert installed == required
