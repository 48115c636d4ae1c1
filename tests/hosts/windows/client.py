"""A client in the role of Excel: it loads xlwings' DLL like our add-in's VBA, and calls cell functions through COM.

    python -m tests.hosts.windows.client STEPS ANSWERS    (two files; see `session`)

The docstrings name the corresponding procedures in addin/vba/python.bas. All steps run with a folder `hostile` as the
current one, next to the two files.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import POINTER, wintypes
from functools import cache
from pathlib import Path

import xlwings
from comtypes import GUID
from comtypes.automation import DISPATCH_METHOD, DISPATCH_PROPERTYGET, DISPPARAMS, EXCEPINFO, VARIANT
from comtypes.hresult import DISP_E_EXCEPTION

from addin.server import OPTIONS, SERVED_CLASS, code, command_line
from tests.hosts.com.cells import MISSING, Range, Variant
from tests.hosts.com.facts import MODULE as SAMPLES
from tests.hosts.windows import process_end, variants
from tests.hosts.windows.excel_objects import Excel
from tests.hosts.windows.session import (
    MISSING_PYTHON,
    SERVED,
    STARTED,
    WITHOUT_PACKAGES,
    WITHOUT_PYWIN32,
    Answers,
    Call,
    Serve,
    Step,
)

_START, _KILL = 1, -1  # the modes of XLPyDLLActivateAuto
_SERVE_ATTEMPTS, _SERVE_PAUSE_S = 300, 0.1

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


class Dll:
    """xlwings' DLL, which reaches a Python server by a command that starts it, or by its class id."""

    def __init__(self, python: Path) -> None:
        self._activate = _library(python).XLPyDLLActivateAuto
        self._activate.argtypes = [POINTER(VARIANT), ctypes.c_char_p, ctypes.c_long]
        self._activate.restype = ctypes.c_long

    def server(self, target: str) -> VARIANT:
        """XLPy: return the server's object; the first call starts the server."""
        server = VARIANT()
        # VBA passes a String to a DLL in the ANSI code page.
        if self._activate(server, target.encode("mbcs"), _START) != 0:
            raise NoServerError(server.value)
        return server

    def kill(self, target: str) -> None:
        """End the server."""
        self._activate(VARIANT(), target.encode("mbcs"), _KILL)


class NoServerError(Exception):
    """The DLL reached no server; the text is Err.Description in VBA."""


def _library(python: Path) -> ctypes.CDLL:
    """LoadDll: load the DLL from the interpreter's folder or, in a virtual environment, its parent."""
    name = f"xlwings64-{xlwings.__version__}.dll"
    found = [folder / name for folder in (python.parent, python.parent.parent) if (folder / name).exists()]
    if not found:
        raise FileNotFoundError(f"{name} is neither in {python.parent} nor in {python.parent.parent}")
    return ctypes.WinDLL(str(found[0]))


def environment(python: Path, folder: Path, *packages: str) -> Path:
    """Make an environment of `python` in `folder` that has only `packages`, and return its interpreter."""
    folder.mkdir()
    for file in (python, *python.parent.glob("python3*.*"), *python.parent.glob("vcruntime*.dll")):
        shutil.copy(file, folder)
    for package in packages:
        installed = Path(sysconfig.get_path("purelib"), package)
        shutil.copytree(installed, folder / "Lib" / "site-packages" / package)
    (folder / "pyvenv.cfg").write_text(f"home = {Path(sys.base_prefix)}\n", encoding="utf-8")
    return folder / python.name


@contextmanager
def _project_installed() -> Iterator[None]:
    """Put the project on the module search path of every process of this Python, as `pip install` does."""
    path = Path(sysconfig.get_path("purelib"), "vram_tests.pth")
    path.write_text(str(Path(__file__).resolve().parents[3]), encoding="mbcs")
    try:
        yield
    finally:
        path.unlink()


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
    dll = Dll(python)
    targets = {
        STARTED: command_line(str(python)),
        SERVED: SERVED_CLASS,
        WITHOUT_PACKAGES: command_line(str(environment(python, folder / "empty"))),
        WITHOUT_PYWIN32: command_line(str(environment(python, folder / "no pywin32", "xlwings"))),
        MISSING_PYTHON: command_line(r"C:\no such folder\pythonw.exe"),
    }
    serving: list[subprocess.Popen] = []
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
        try:
            server = dll.server(targets[step.python])
        except NoServerError as error:
            return Variant("Err.Description", str(error))
        return call_udf(
            server,
            [
                VARIANT(step.module),
                VARIANT(step.function),
                variants.argument_list([argument(content, step.workbook) for content in step.arguments]),
                this_workbook(step.add_in),
                caller(step.workbook),
            ],
        )

    def serve() -> Variant:
        serving.append(subprocess.Popen([sys.executable, *OPTIONS, "-c", code(SERVED_CLASS)], stdin=subprocess.DEVNULL))
        for _ in range(_SERVE_ATTEMPTS):
            try:
                dll.server(SERVED_CLASS)
                return Variant("VT_BOOL", True)
            except NoServerError:
                time.sleep(_SERVE_PAUSE_S)
        return Variant("VT_BOOL", False)

    def end_server() -> Variant:
        process_id = call(Call("process_id", (), SAMPLES)).value
        dll.kill(targets[STARTED])
        return Variant("VT_BOOL", process_end.ends(int(process_id)))

    def answer(step: Step) -> Variant:
        if isinstance(step, Call):
            return call(step)
        return serve() if isinstance(step, Serve) else end_server()

    try:
        return [answer(step) for step in steps]
    finally:
        for process in serving:
            process.kill()


if __name__ == "__main__":
    steps_file, answers_file = (Path(argument).resolve() for argument in sys.argv[1:])
    hostile = steps_file.with_name("hostile")
    os.chdir(hostile)
    os.environ["PYTHONPATH"] = str(hostile)
    with _project_installed():
        steps = pickle.loads(steps_file.read_bytes())
        answers_file.write_bytes(pickle.dumps(answers(steps, steps_file.parent)))
