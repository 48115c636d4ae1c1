"""Run the add-in's VBA without Excel, in pyOpenVBA's interpreter with stand-ins for Excel and xlwings' DLL.

    host = VbaHost(call, source)
    host.cell("VRAM_TOTAL", "llama-3.1-70b", 32768)   # what the cell shows: a number, ExcelError.NUM, rows of cells

`call(function name, arguments)` replaces the server's CallUDF, with which VBA calls Python. `windows` is the part of
Windows that VBA sees: DLLs, the user's settings, the time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import xlwings
from pyopenvba.interpreter import (
    EMPTY,
    MISSING,
    HostBridge,
    Interpreter,
    VBAArray,
    VBAErrorValue,
    VBAObject,
    VBARuntimeError,
    member,
    method,
    setter,
)
from pyopenvba.interpreter._constants_data import EXCEL_CONSTANTS
from pyopenvba.interpreter._runtime import UNRESOLVED

from addin.server import SERVED_CLASS
from tests.hosts.com import pywin32_stand_in

# The error number in VBA for a Python exception (vbObjectError plus COM's own offset).
_PYTHON_FAILED = -2147467259


class ExcelError(IntEnum):
    """An error cell, with its number for CVErr."""

    NULL, DIV0, VALUE, REF, NAME, NUM, NA = 2000, 2007, 2015, 2023, 2029, 2036, 2042
    SPILL, CALC = 2045, 2050


class PythonError(Exception):
    """Raised by `call` for a Python exception; its text becomes VBA's Err.Description."""


@dataclass
class Windows:
    """What VBA sees of Windows.

    Attributes:
        interpreter: the setting of the user's file.
        dlls: the paths of the DLLs that can be loaded.
        failures: what the DLL is asked for → the message with which it fails; everything else it starts.
        seconds: the time.
        started: what the DLL was asked for, in order.
        settings_read: how often the user's file was read.
    """

    interpreter: str = r"%USERPROFILE%\venv\Scripts\pythonw.exe"
    dlls: tuple[str, ...] = (rf"C:\Users\Ann\venv\xlwings64-{xlwings.__version__}.dll",)
    failures: dict[str, str] = field(default_factory=lambda: {SERVED_CLASS: "No command specified"})
    seconds: float = 0
    started: list[str] = field(default_factory=list)
    settings_read: int = 0


# These take the place of what needs Windows in the VBA: two functions of DLLs, and reading a file.
_WINDOWS_FUNCTIONS = r"""
Private Function LoadLibrary(ByVal path As String) As Long
    LoadLibrary = Windows.Load(path)
End Function
Private Function ActivateServer(ByRef server As Variant, ByVal target As String, ByVal mode As Long) As Long
    ActivateServer = Windows.Activate(target)
    If ActivateServer = 0 Then
        Set server = Windows.Server
    Else
        server = Windows.Message
    End If
End Function
Private Function InterpreterSetting() As String
    InterpreterSetting = Windows.Interpreter
End Function
Private Function Environ(ByVal name As String) As String
    If name = "USERPROFILE" Then Environ = "C:\Users\Ann"
End Function
Private Function Now() As Date
    Now = DateAdd("s", Windows.Seconds, #11/30/2026#)
End Function
"""


class VbaHost(HostBridge):
    """The part of Excel that the functions' VBA module needs; calls functions from a cell."""

    def __init__(
        self, call: Callable[[str, Sequence[object]], object], source: str, windows: Windows | None = None
    ) -> None:
        self.windows = windows or Windows()
        self._objects = {
            "application": _Application(),
            "thisworkbook": _Workbook(),
            "windows": _Windows(self.windows, _Server(call)),
        }
        self.interpreter = Interpreter(self)
        self.interpreter.add_module(_without_windows(without_attributes(source)), name="xlwings_udfs")

    def cell(self, function: str, *arguments: object) -> object:
        """Return what a cell with =function(arguments) shows."""
        return _from_vba(self.interpreter.run(function, [_to_vba(argument) for argument in arguments]))

    def global_object(self, name: str) -> object:
        return self._objects.get(name.lower(), UNRESOLVED)

    def constant(self, name: str) -> object:
        return _CONSTANTS.get(name.lower(), UNRESOLVED)


def through_xlwings(excel: pywin32_stand_in.ExcelCaller) -> Callable[[str, Sequence[object]], object]:
    """Return a `call` that uses xlwings' real Windows code."""

    def call(function: str, arguments: Sequence[object]) -> object:
        answer = excel(function, *arguments)
        if answer.type == "Err.Description":
            raise PythonError(answer.value)
        if answer.type == "VT_ARRAY":
            rows = [[cell.value for cell in row] for row in answer.value]
            # xlwings returns a single row as a flat array.
            return rows[0] if len(rows) == 1 else rows
        return answer.value

    return call


def without_attributes(source: str) -> str:
    """Return VBA source as the editor shows it, without Attribute lines and comments after #, for the interpreter."""
    lines = source.replace("\r\n", "\n").split("\n")
    lines = ["" if line.startswith("Attribute ") else line for line in lines]
    return "\n".join(line.split(" '")[0] if line.lstrip().startswith("#") else line for line in lines)


def _without_windows(source: str) -> str:
    source, declares = re.subn(r"(?m)^ *Private Declare .*$", "", source)
    source, readers = re.subn(r"(?ms)^Private Function InterpreterSetting\(.*?^End Function$", "", source)
    assert (declares, readers) == (4, 1)
    return source + _WINDOWS_FUNCTIONS


class _Windows(VBAObject):
    vba_type_name = "Windows"

    def __init__(self, windows: Windows, server: _Server) -> None:
        self._windows, self._server, self._message = windows, server, ""

    @method
    def Load(self, path: object) -> object:
        return int(str(path) in self._windows.dlls)

    @method
    def Activate(self, target: object) -> object:
        self._windows.started.append(str(target))
        failures = self._windows.failures
        self._message = next((text for part, text in failures.items() if part in str(target)), "")
        return int(bool(self._message))

    @member
    def Server(self) -> object:
        return self._server

    @member
    def Message(self) -> object:
        return self._message

    @member
    def Interpreter(self) -> object:
        self._windows.settings_read += 1
        return self._windows.interpreter

    @member
    def Seconds(self) -> object:
        return self._windows.seconds


_CONSTANTS = {name.lower(): value for name, value in EXCEL_CONSTANTS.items()}


class _CallingCell(VBAObject):
    vba_type_name, vba_library = "Range", "excel"


class _Workbook(VBAObject):
    vba_type_name, vba_library = "Workbook", "excel"


class _Application(VBAObject):
    vba_type_name, vba_library = "Application", "excel"

    @member
    def Caller(self) -> object:
        return _CallingCell()

    @method
    def Volatile(self) -> object:
        return EMPTY


class FunctionWizard(VBAObject):
    """The part of Excel's Application that takes descriptions of functions; refuses them while `closed`.

    Attributes:
        descriptions: function → (description, category, descriptions of the arguments).
        workbooks: the workbooks that are open.
    """

    vba_type_name, vba_library = "Application", "excel"

    def __init__(self) -> None:
        self.closed = True
        self.descriptions: dict[str, tuple[str, str, list[str]]] = {}
        self.workbooks: list[LinkedWorkbook] = []

    @member
    def Workbooks(self) -> object:
        return VBAArray([(0, len(self.workbooks) - 1)], items=list(self.workbooks))

    @method
    def MacroOptions(self, Macro, Description, Category, ArgumentDescriptions) -> object:
        if self.closed:
            raise VBARuntimeError(1004, "Method 'MacroOptions' of object '_Application' failed")
        argument_descriptions = [str(text) for text in ArgumentDescriptions.items]
        self.descriptions[str(Macro)] = (str(Description), str(Category), argument_descriptions)
        return EMPTY


class _SavedWorkbook(VBAObject):
    """A workbook that says whether it has changes that are not saved."""

    vba_type_name, vba_library = "Workbook", "excel"
    saved: object = True

    @member
    def Saved(self) -> object:
        return self.saved

    @setter("Saved")
    def _set_saved(self, value: object) -> None:
        self.saved = value


class LinkedWorkbook(_SavedWorkbook):
    """A user's workbook with links to other files; refuses to change them if it is protected."""

    def __init__(self, *links: str, protected: bool = False) -> None:
        self.links, self.protected = list(links), protected

    @method
    def LinkSources(self, kind: object) -> object:
        assert kind == EXCEL_CONSTANTS["xlExcelLinks"]
        return VBAArray([(1, len(self.links))], items=list(self.links)) if self.links else EMPTY

    @method
    def ChangeLink(self, name: object, new_name: object, kind: object) -> object:
        if self.protected:
            raise VBARuntimeError(1004, "Method 'ChangeLink' of object '_Workbook' failed")
        self.links[self.links.index(str(name))] = str(new_name)
        self.saved = False
        return EMPTY


class OpenedWorkbook(_SavedWorkbook):
    """ThisWorkbook, whose code runs when the file opens and when another workbook is opened or activated."""

    def __init__(self, name: str, wizard: FunctionWizard, source: str) -> None:
        self.name = name
        host = HostBridge()
        host.global_object = lambda name: {"application": wizard, "thisworkbook": self}.get(name.lower(), UNRESOLVED)
        host.constant = lambda name: _CONSTANTS.get(name.lower(), UNRESOLVED)
        self._interpreter = Interpreter(host)
        # The interpreter has no events; `run` calls their handlers.
        code = without_attributes(source).replace("Private WithEvents", "Private")
        self._interpreter.add_module(code, name="ThisWorkbook", kind="document")
        self._interpreter.bind_document("ThisWorkbook", self)

    def run(self, event: str, *arguments: object) -> None:
        self._interpreter.run(event, arguments, module="ThisWorkbook")

    @member
    def Name(self) -> object:
        return self.name

    @member
    def FullName(self) -> object:
        return "C:\\Users\\Ann\\XLSTART\\" + self.name

    @member
    def IsAddin(self) -> object:
        return self.name.endswith(".xlam")


class _Server(VBAObject):
    vba_type_name = "XLPython"

    def __init__(self, call: Callable[[str, Sequence[object]], object]) -> None:
        self._call = call

    @method
    def CallUDF(self, module: object, function: object, arguments: object, workbook: object, caller: object) -> object:
        assert str(module) == "vram_udf" and isinstance(workbook, _Workbook) and isinstance(caller, _CallingCell)
        try:
            return _to_vba(self._call(str(function), [_argument(item) for item in arguments.items]))
        except PythonError as error:
            raise VBARuntimeError(_PYTHON_FAILED, str(error)) from error


def _argument(value: object) -> object:
    return pywin32_stand_in.MISSING if value is MISSING else _from_vba(value)


def _to_vba(value: object) -> object:
    """Convert rows to a two-dimensional array, and a flat list to a one-dimensional one."""
    if value is pywin32_stand_in.MISSING:
        return MISSING
    if not isinstance(value, (list, tuple)):
        return value
    if value and isinstance(value[0], (list, tuple)):
        array = VBAArray([(0, len(value) - 1), (0, len(value[0]) - 1)])
        for i, row in enumerate(value):
            for j, cell in enumerate(row):
                array.set([i, j], cell)
        return array
    return VBAArray([(0, len(value) - 1)], items=list(value))


def _from_vba(value: object) -> object:
    if isinstance(value, VBAErrorValue):
        return ExcelError(value.number)
    if isinstance(value, VBAArray):
        if value.dimensions == 1:
            return [_from_vba(cell) for cell in value.items]
        (first_row, last_row), (first_column, last_column) = value.bounds
        return [
            [_from_vba(value.get([i, j])) for j in range(first_column, last_column + 1)]
            for i in range(first_row, last_row + 1)
        ]
    return value
