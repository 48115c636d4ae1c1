"""A client in the role of Excel: it loads xlwings' DLL like an add-in's VBA, and calls cell functions through COM.

    python -m tests.hosts.windows.client STEPS ANSWERS    (two files; see `session`)

The docstrings name the corresponding functions in `xlwings.bas`, the VBA module of every xlwings add-in.
"""

from __future__ import annotations

import ctypes
import pickle
import sys
from ctypes import POINTER, wintypes
from functools import cache
from pathlib import Path

import xlwings
from comtypes import GUID
from comtypes.automation import DISPATCH_METHOD, DISPATCH_PROPERTYGET, DISPPARAMS, EXCEPINFO, VARIANT
from comtypes.hresult import DISP_E_EXCEPTION

from addin.doctor import command_line
from tests.hosts.com.cells import MISSING, Range, Variant
from tests.hosts.com.facts import MODULE as SAMPLES
from tests.hosts.windows import process_end, variants
from tests.hosts.windows.excel_objects import Excel
from tests.hosts.windows.session import Answers, Call, EndServer, Step

_START, _KILL = 1, -1  # the modes of XLPyDLLActivateAuto

# IDispatch::Invoke, the seventh method; comtypes' wrapper hides the type of the result.
_INVOKE = ctypes.WINFUNCTYPE(
    ctypes.HRESULT,
    wintypes.LONG,
    POINTER(GUID),
    wintypes.DWORD,
    wintypes.WORD,
    POINTER(DISPPARAMS),
    POINTER(VARIANT),
    POINTER(EXCEPINFO),
    POINTER(wintypes.UINT),
)(6, "Invoke")


class AddIn:
    """The VBA of an Excel add-in: XLPyLoadDLL, XLPyCommand, XLPy and KillPy."""

    def __init__(self, path: Path, python: Path) -> None:
        self._activate = _library(python).XLPyDLLActivateAuto
        self._activate.argtypes = [POINTER(VARIANT), ctypes.c_char_p, ctypes.c_long]
        self._activate.restype = ctypes.c_long
        # VBA passes a String to a DLL in the ANSI code page.
        self._command = command_line(str(python), str(path)).encode("mbcs")

    def server(self) -> VARIANT:
        """XLPy: return the server's object; the first call starts the server."""
        server = VARIANT()
        if self._activate(server, self._command, _START) != 0:
            raise RuntimeError(f"xlwings' DLL cannot start the Python server: {server.value}")
        return server

    def kill(self) -> None:
        """KillPy: end the server."""
        self._activate(VARIANT(), self._command, _KILL)


def _library(python: Path) -> ctypes.CDLL:
    """XLPyLoadDLL: load the DLL from the interpreter's folder or, in a virtual environment, its parent."""
    name = f"xlwings64-{xlwings.__version__}.dll"
    found = [folder / name for folder in (python.parent, python.parent.parent) if (folder / name).exists()]
    if not found:
        raise FileNotFoundError(f"{name} is neither in {python.parent} nor in {python.parent.parent}")
    return ctypes.WinDLL(str(found[0]))


def call_udf(server: VARIANT, arguments: list[VARIANT]) -> Variant:
    """Call XLPy.CallUDF(arguments) like VBA: late bound, with an exception's text as Err.Description."""
    dispatch = server.value
    number = dispatch.GetIDsOfNames("CallUDF")[0]
    values = (VARIANT * len(arguments))()
    for value, argument in zip(values, reversed(arguments)):  # COM requires the reverse order
        value.value = argument
    parameters = DISPPARAMS(values, None, len(arguments), 0)
    result, exception = VARIANT(), EXCEPINFO()
    flags = DISPATCH_METHOD | DISPATCH_PROPERTYGET
    try:
        _INVOKE(dispatch, number, GUID(), 0, flags, parameters, result, exception, wintypes.UINT())
    except OSError as error:
        if error.winerror != DISP_E_EXCEPTION:
            raise
        return Variant("Err.Description", exception.bstrDescription)
    return variants.read(result)


def answers(steps: list[Step], folder: Path) -> Answers:
    """Run the steps one after the other, with all files in `folder`."""
    excel = Excel(folder)
    python = Path(sys.executable).with_name("pythonw.exe")
    add_in = cache(lambda name: AddIn(folder / name, python))
    # An object lives only while there are COM references to it, which the caches hold.
    this_workbook = cache(lambda name: excel.workbook(name).variant())
    caller = cache(lambda workbook: excel.range([[None]], workbook).variant())

    def argument(content: object, workbook: str) -> VARIANT:
        if content is MISSING:
            return variants.omitted()
        if isinstance(content, Range):
            return excel.range(content.rows, workbook).variant()
        return variants.block(content) if isinstance(content, list) else variants.cell(content)

    def call(step: Call) -> Variant:
        return call_udf(
            add_in(step.add_in).server(),
            [
                VARIANT(step.module),
                VARIANT(step.function),
                variants.argument_list([argument(content, step.workbook) for content in step.arguments]),
                this_workbook(step.add_in),
                caller(step.workbook),
            ],
        )

    def end_server(step: EndServer) -> Variant:
        process_id = call(Call("process_id", (), SAMPLES, step.add_in)).value
        add_in(step.add_in).kill()
        return Variant("VT_BOOL", process_end.ends(int(process_id)))

    return [call(step) if isinstance(step, Call) else end_server(step) for step in steps]


if __name__ == "__main__":
    steps_file, answers_file = map(Path, sys.argv[1:])
    steps = pickle.loads(steps_file.read_bytes())
    answers_file.write_bytes(pickle.dumps(answers(steps, steps_file.parent.resolve())))
