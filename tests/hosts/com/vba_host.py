"""Runs the add-in's VBA without Excel: pyOpenVBA's interpreter, with what Excel and xlwings' DLL give it played here.

    host = VbaHost(call)
    host.cell("VRAM_TOTAL", "llama-3.1-70b", 32768)   # what the cell shows: a number, ExcelError.NUM, rows of cells

`call(function name, arguments)` answers for XLPy.CallUDF, the door from VBA to Python.
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

# The number with which xlwings' VBA passes on what Python raised: vbObjectError and whatever COM adds.
_PYTHON_FAILED = -2147467259


class ExcelError(IntEnum):
    """An error cell, by the number that CVErr takes."""

    NULL, DIV0, VALUE, REF, NAME, NUM, NA = 2000, 2007, 2015, 2023, 2029, 2036, 2042
    SPILL, CALC = 2045, 2050


class PythonError(Exception):
    """What `call` raises for a Python exception; its text is what VBA finds in Err.Description."""


class VbaHost(HostBridge):
    """Excel, as far as the functions' VBA module asks for it, calling from a cell."""

    def __init__(self, call: Callable[[str, Sequence[object]], object], source: str) -> None:
        self._objects = {"application": _Application(), "thisworkbook": _Workbook(), "xlpy": _XlPy(call)}
        self.interpreter = Interpreter(self)
        self.interpreter.add_module(without_attributes(source), name="xlwings_udfs")

    def cell(self, function: str, *arguments: object) -> object:
        """What a cell with =function(arguments) is given."""
        return _from_vba(self.interpreter.run(function, [_to_vba(argument) for argument in arguments]))

    def global_object(self, name: str) -> object:
        return self._objects.get(name.lower(), UNRESOLVED)

    def constant(self, name: str) -> object:
        return _CONSTANTS.get(name.lower(), UNRESOLVED)


def through_xlwings(excel: pywin32_stand_in.ExcelCaller) -> Callable[[str, Sequence[object]], object]:
    """A `call` that goes through xlwings' real Windows code."""

    def call(function: str, arguments: Sequence[object]) -> object:
        answer = excel(function, *arguments)
        if answer.type == "Err.Description":
            raise PythonError(answer.value)
        if answer.type == "VT_ARRAY":
            rows = [[cell.value for cell in row] for row in answer.value]
            # xlwings hands a single row on as a flat array.
            return rows[0] if len(rows) == 1 else rows
        return answer.value

    return call


def without_attributes(source: str) -> str:
    """VBA as the editor shows it and as the interpreter takes it: no Attribute lines, no comments behind #."""
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
    """Application, as far as it is told what functions and arguments are; refuses while `closed`.

    Attributes:
        told: function → (description, category, texts of the arguments).
    """

    vba_type_name, vba_library = "Application", "excel"

    def __init__(self) -> None:
        self.closed = True
        self.told: dict[str, tuple[str, str, list[str]]] = {}

    @method
    def MacroOptions(self, Macro, Description, Category, ArgumentDescriptions) -> object:
        if self.closed:
            raise VBARuntimeError(1004, "Method 'MacroOptions' of object '_Application' failed")
        self.told[str(Macro)] = (str(Description), str(Category), [str(text) for text in ArgumentDescriptions.items])
        return EMPTY


class OpenedWorkbook(VBAObject):
    """ThisWorkbook, whose code runs when the file opens and when another workbook is activated."""

    vba_type_name, vba_library = "Workbook", "excel"

    def __init__(self, name: str, wizard: FunctionWizard, source: str) -> None:
        self.name, self.saved = name, True
        host = HostBridge()
        host.global_object = lambda name: {"application": wizard, "thisworkbook": self}.get(name.lower(), UNRESOLVED)
        self._interpreter = Interpreter(host)
        # The interpreter has no events: they are raised by `run`.
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
    """Rows as an array with two dimensions, a flat list as one with one."""
    if value is pywin32_stand_in.MISSING:
        return MISSING
    if not isinstance(value, (list, tuple)):
        return value
    if value and isinstance(value[0], (list, tuple)):
        made = VBAArray([(0, len(value) - 1), (0, len(value[0]) - 1)])
        for i, row in enumerate(value):
            for j, cell in enumerate(row):
                made.set([i, j], cell)
        return made
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
