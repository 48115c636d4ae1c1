"""The VBA between a cell and Python: xlwings' own wrapper of each function, so changed that failures are real errors.

xlwings' wrapper writes an exception's text into the cell, and pywin32 cannot carry an error value (xlwings issue 776).
Here the functions return the text of an Excel error, which the wrapper turns into the error itself.
"""

from __future__ import annotations

import functools
import multiprocessing
import re
from concurrent.futures import ProcessPoolExecutor
from importlib.resources import files

from addin import xlwings_udfs
from addin.functions import CellFunction, declared_functions

# As xlwings names it, so that its button Import Functions replaces this module instead of doubling every function.
MODULE_NAME = "xlwings_udfs"
CATEGORY = "VRAM"

LAST_ERROR = CellFunction(
    name="VRAM_LAST_ERROR",
    description="The last message from Python: why a VRAM function shows #VALUE! although VRAM_CHECK finds nothing.",
    arguments=(),
)

# The VBA editor's limits: 1023 characters a line, 24 continuations of a line.
LONGEST_LINE = 1000
MOST_ARGUMENTS = 20

_HEADER = f"""\
Attribute VB_Name = "{MODULE_NAME}"
' Made by `vram addin build` from vram_udf.py with xlwings' generator; changes are lost with the next build.
#Const App = "Microsoft Excel"
Option Explicit

"""


@functools.cache  # a process is started for it
def functions_module() -> str:
    """The standard module with every declared function, as VBA source with "\\n" line ends.

    Raises:
        RuntimeError: xlwings' generator writes something else than this module knows how to change.
    """
    generated = _in_another_process(xlwings_udfs.generated_wrapper, "vram_udf")
    functions = declared_functions()
    source = _HEADER + _vba("cell_values.bas") + "\n" + _with_real_errors(generated, len(functions))
    for function in (*functions, LAST_ERROR):
        source = _with_description(source, function)
    return _checked(source)


def workbook_module() -> str:
    """The body of ThisWorkbook, which tells Excel's function wizard what functions and arguments are."""
    descriptions = "\n".join(_describe(function) for function in declared_functions())
    template = _vba("this_workbook.bas")
    return _checked(template.replace("'{descriptions}", descriptions).replace("{category}", CATEGORY))


def _in_another_process(function, *arguments):
    # Of its own, because the generator needs xlwings changed for good.
    with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(function, *arguments).result()


def _with_real_errors(generated: str, functions: int) -> str:
    changed, calls = re.subn(r"(?m)^( +\w+ = )(XLPy\.CallUDF\(.*\))$", r"\1CellValue(\2)", generated)
    changed, failures = re.subn(r"(?m)^( +\w+ = )Err\.Description$", r"\1Failed(Err.Description)", changed)
    # Each function has a call for Excel and one for other Office programs.
    if (calls, failures) != (2 * functions, functions):
        raise RuntimeError(
            f"xlwings' generator has changed: {calls} calls and {failures} failures for {functions} functions"
        )
    return changed


def _with_description(source: str, function: CellFunction) -> str:
    start = re.search(rf"^Function {function.name}\(.*\n", source, flags=re.MULTILINE)
    if start is None:
        raise RuntimeError(f"xlwings wrote no wrapper for {function.name}")
    attributes = (
        f"Attribute {function.name}.VB_Description = {_quoted(function.description)}\n"
        # Category 14 of the function wizard, "User Defined", until ThisWorkbook has told Excel a better one.
        f'Attribute {function.name}.VB_ProcData.VB_Invoke_Func = " \\n14"\n'
    )
    return source[: start.end()] + attributes + source[start.end() :]


def _describe(function: CellFunction) -> str:
    if len(function.arguments) > MOST_ARGUMENTS:
        raise RuntimeError(f"{function.name} has more than {MOST_ARGUMENTS} arguments")
    texts = [_quoted(argument.description) for argument in function.arguments]
    head = f"    Describe {_quoted(function.name)}, {_quoted(function.description)}, Array("
    return head + " _\n        " + ", _\n        ".join(texts) + ")"


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _vba(name: str) -> str:
    return (files("addin") / "vba" / name).read_text(encoding="ascii")


def _checked(source: str) -> str:
    longest = max(source.split("\n"), key=len)
    if len(longest) > LONGEST_LINE:
        raise RuntimeError(f"a line is too long for VBA: {longest[:80]}…")
    source.encode("ascii")  # a VBA project is read in the code page of the machine
    return source
