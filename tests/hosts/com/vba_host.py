"""Run the add-in's VBA without Excel, in pyOpenVBA's interpreter with stand-ins for Excel and xlwings' DLL.

    host = VbaHost(call, source)
    host.cell("VRAM_TOTAL", "llama-3.1-70b", 32768)   # what the cell shows: a number, ExcelError.NUM, rows of cells

`call(function name, arguments)` replaces XLPy.CallUDF, with which VBA calls Python.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum

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

from tests.hosts.com import pywin32_stand_in

# The error number in VBA for a Python exception (vbObjectError plus COM's own offset).
_PYTHON_FAILED = -2147467259


class ExcelError(IntEnum):
    """An error cell, with its number for CVErr."""

    NULL, DIV0, VALUE, REF, NAME, NUM, NA = 2000, 2007, 2015, 2023, 2029, 2036, 2042
    SPILL, CALC = 2045, 2050


class PythonError(Exception):
    """Raised by `call` for a Python exception; its text becomes VBA's Err.Description."""


class VbaHost(HostBridge):
    """The part of Excel that the functions' VBA module needs; calls functions from a cell."""

    def __init__(self, call: Callable[[str, Sequence[object]], object], source: str) -> None:
        self._objects = {"application": _Application(), "thisworkbook": _Workbook(), "xlpy": _XlPy(call)}
        self.interpreter = Interpreter(self)
        self.interpreter.add_module(without_attributes(source), name="xlwings_udfs")

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
    """

    vba_type_name, vba_library = "Application", "excel"

    def __init__(self) -> None:
        self.closed = True
        self.descriptions: dict[str, tuple[str, str, list[str]]] = {}

    @method
    def MacroOptions(self, Macro, Description, Category, ArgumentDescriptions) -> object:
        if self.closed:
            raise VBARuntimeError(1004, "Method 'MacroOptions' of object '_Application' failed")
        argument_descriptions = [str(text) for text in ArgumentDescriptions.items]
        self.descriptions[str(Macro)] = (str(Description), str(Category), argument_descriptions)
        return EMPTY


class OpenedWorkbook(VBAObject):
    """ThisWorkbook, whose code runs when the file opens and when another workbook is activated."""

    vba_type_name, vba_library = "Workbook", "excel"

    def __init__(self, name: str, wizard: FunctionWizard, source: str) -> None:
        self.name, self.saved = name, True
        host = HostBridge()
        host.global_object = lambda name: {"application": wizard, "thisworkbook": self}.get(name.lower(), UNRESOLVED)
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
    def Saved(self) -> object:
        return self.saved

    @setter("Saved")
    def _set_saved(self, value: object) -> None:
        self.saved = value


class _XlPy(VBAObject):
    vba_type_name = "XLPy"

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
