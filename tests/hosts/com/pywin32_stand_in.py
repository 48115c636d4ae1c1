"""A stand-in for pywin32 that lets xlwings' real Windows code run without Windows.

What runs for real: ``xlwings.udfs`` (decorators, argument and result conversion), ``xlwings._xlwindows``
and ``xlwings.com_server.XLPython.CallUDF``, the method that Excel's VBA reaches. What is imitated: the
names that they import from pywin32, Excel's Range objects with the values Excel puts into them, and
pywin32's rules for turning a Python result into a COM VARIANT (``oleargs.cpp``), so that a test sees the
type and value that Excel would be handed.

    with ExcelCaller("vram_udf") as excel:
        excel("VRAM_TOTAL", Range([["llama"]]), MISSING, 3.0)  # -> Variant(type="VT_R8", value=...)

``install`` changes ``sys.modules`` and xlwings' decorators for good, and must come before the module
with the functions is imported. ``ExcelCaller`` therefore does everything in a fresh process of its own:
the test process stays clean, and tests may run in any order or in parallel. The process ends with the
``with`` block, or at the latest with the test process.

Not imitated: the VBA wrapper around the call (which turns "#NUM!" into a real error cell), what a cell
shows for each VARIANT type, and COM itself.
"""

from __future__ import annotations

import atexit
import ctypes
import datetime
import decimal
import importlib
import multiprocessing
import sys
import traceback
import types
from multiprocessing.connection import Connection

from addin.xlwings_udfs import add_module, decorate_for_windows
from tests.hosts.com.cells import EXCEL_ERRORS, MISSING, PARAMETER_NOT_FOUND, RANGE_INTERFACE, Range, Variant

TIMEOUT_S = 60.0

_DISPATCH_INTERFACE = "{00020400-0000-0000-C000-000000000046}"


class ExcelCaller:
    """Calls the functions of one module the way Excel does, in a process of its own."""

    def __init__(self, module_name: str) -> None:
        # "spawn" gives a fresh interpreter, which inherits nothing but the module search path.
        context = multiprocessing.get_context("spawn")
        self._connection, other_end = context.Pipe()
        self._process = context.Process(target=_serve, args=(other_end, module_name), daemon=True)
        self._process.start()
        other_end.close()
        failure = self._receive()
        if failure is not None:
            self.close()
            raise ImportError(f"cannot import {module_name} through the pywin32 stand-in:\n{failure}")

    def __call__(self, function_name: str, *arguments: object) -> Variant:
        """The VARIANT that Excel gets for ``=function_name(arguments)``."""
        self._connection.send((function_name, arguments))
        return self._receive()

    def __enter__(self) -> ExcelCaller:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process; calling it again does no harm."""
        self._process.kill()
        self._process.join()
        self._connection.close()

    def _receive(self) -> object:
        try:
            if self._connection.poll(TIMEOUT_S):
                return self._connection.recv()
            reason = f"gave no answer within {TIMEOUT_S:.0f} s"
        except EOFError:
            reason = "died"
        self.close()
        raise RuntimeError(f"the process that stands in for xlwings' server {reason}")


def _serve(connection: Connection, module_name: str) -> None:
    """The other process: report None or an import's traceback, then answer one call after another."""
    try:
        install()
        importlib.import_module(module_name)
    except BaseException:
        connection.send(traceback.format_exc())
        return
    connection.send(None)
    while True:
        try:
            function_name, arguments = connection.recv()
        except EOFError:
            return
        connection.send(call(module_name, function_name, arguments))


def call(module_name: str, function_name: str, arguments: tuple[object, ...]) -> Variant:
    """One call through xlwings' real COM server class; needs ``install`` first."""
    from xlwings.com_server import XLPython

    try:
        com_arguments = [_com_argument(argument) for argument in arguments]
        result = XLPython().CallUDF(module_name, function_name, com_arguments, None, _ComRange([[None]]))
    except Exception:
        return Variant("Err.Description", _error_description(traceback.format_exc()))
    try:
        return _marshalled_result(result)
    except TypeError as error:
        return Variant("Err.Description", f"Unexpected Python Error: TypeError: {error}\n")


def _error_description(formatted_exception: str) -> str:
    # xlwings' DLL turns pywin32's traceback upside down, so that a cell begins with the message.
    lines = [line for line in formatted_exception.splitlines()[1:] if line]
    return "\n".join(reversed(lines))


# ---- from Excel to Python ----------------------------------------------------------------------------


def _com_argument(argument: object) -> object:
    """What pywin32 passes on for an argument of a formula."""
    if argument is MISSING:
        return PARAMETER_NOT_FOUND
    if isinstance(argument, Range):
        return _ComRange(argument.rows)
    if isinstance(argument, (list, tuple)):
        # A computed array, such as A1:A3*2, is passed by value.
        return tuple(tuple(_cell_value(cell) for cell in row) for row in argument)
    return _cell_value(argument)


def _cell_value(content: object) -> object:
    """A cell's value as COM delivers it: a number as float, currency as Decimal, an error as its negative code."""
    if isinstance(content, str):
        return EXCEL_ERRORS.get(content, content)
    if content is None or isinstance(content, (bool, datetime.datetime, decimal.Decimal)):
        return content
    return float(content)


class CDispatch:
    """pywin32's name for a late-bound COM object; xlwings recognises ranges among them."""


class _ComRange(CDispatch):
    """The part of Excel's Range object that xlwings reads for an argument or for the calling cell."""

    def __init__(self, rows: list[list[object]]) -> None:
        self._cells = tuple(tuple(_cell_value(cell) for cell in row) for row in rows)
        self._oleobj_ = _TypedObject()
        self.Row = self.Column = 1
        self.Rows = types.SimpleNamespace(Count=len(rows))
        self.Columns = types.SimpleNamespace(Count=len(rows[0]))
        self.Count = self.Rows.Count * self.Columns.Count
        self.Address = "$A$1"
        application = types.SimpleNamespace(Hwnd=0, Version="16.0")
        workbook = types.SimpleNamespace(Name="Book1.xlsx", Application=application)
        self.Worksheet = types.SimpleNamespace(Name="Sheet1", Parent=workbook)

    def GetAddress(self, *options: object) -> str:
        return self.Address

    @property
    def Value(self) -> object:
        """One cell gives its value, several cells give a tuple of rows."""
        return self._cells[0][0] if self.Count == 1 else self._cells


class _TypedObject:
    """Answers xlwings' question whether a COM object is a Range."""

    def GetTypeInfo(self) -> _TypedObject:
        return self

    def GetTypeAttr(self) -> types.SimpleNamespace:
        return types.SimpleNamespace(iid=RANGE_INTERFACE)

    def GetDocumentation(self, member: int) -> tuple:
        return ("Range", "", 0, "")


# ---- from Python to Excel ----------------------------------------------------------------------------


def _marshalled_result(result: object) -> Variant:
    marshalled = _marshalled(result)
    if marshalled.type == "VT_ARRAY" and not any(cell.type == "VT_ARRAY" for cell in marshalled.value):
        # CallUDF flattens a single row; Excel shows a flat array as one row.
        return Variant("VT_ARRAY", [marshalled.value])
    if marshalled.type == "VT_ARRAY":
        return Variant("VT_ARRAY", [row.value for row in marshalled.value])
    return marshalled


def _marshalled(value: object) -> Variant:
    """The VARIANT that pywin32 makes of a Python value."""
    if isinstance(value, _VARIANT):
        # The reason why functions return "#NUM!" as a text: pywin32 drops the code of a VT_ERROR.
        is_error = value.varianttype == _VT_ERROR
        return Variant("VT_ERROR" if is_error else f"VT_{value.varianttype}", None if is_error else value.value)
    if isinstance(value, str):
        return Variant("VT_BSTR", value)
    if isinstance(value, bool):
        return Variant("VT_BOOL", value)
    if isinstance(value, int):
        return _marshalled_integer(value)
    if isinstance(value, float):
        return Variant("VT_R8", float(value))
    if value is None:
        return Variant("VT_NULL", None)
    if isinstance(value, datetime.datetime):
        return Variant("VT_DATE", value.replace(tzinfo=None))
    if isinstance(value, (list, tuple)):
        return Variant("VT_ARRAY", _marshalled_elements(value))
    if isinstance(value, decimal.Decimal):
        return Variant("VT_CY", value.quantize(decimal.Decimal("0.0001"), decimal.ROUND_DOWN))
    if hasattr(value, "__float__"):
        return Variant("VT_R8", float(value))
    raise TypeError(f"Objects of type '{type(value).__name__}' can not be converted to a COM VARIANT")


def _marshalled_integer(value: int) -> Variant:
    bits, positive = value.bit_length(), value > 0
    if bits > 64:
        return Variant("VT_R8", float(value))
    if bits > 32:
        return Variant("VT_UI8" if positive and bits == 64 else "VT_I8", value)
    return Variant("VT_UI4" if positive and bits == 32 else "VT_I4", value)


def _marshalled_elements(elements: list | tuple) -> list[Variant]:
    marshalled = [_marshalled(element) for element in elements]
    lengths = {len(element.value) if element.type == "VT_ARRAY" else None for element in marshalled}
    if len(lengths) > 1:
        raise TypeError("All dimensions must be sequences of the same size")
    return marshalled


# ---- the names that xlwings imports from pywin32 -----------------------------------------------------

_VT_ERROR = 10


class _ComError(Exception):
    """pywin32's com_error."""


class _InterfaceId(str):
    """pywin32's IID, which compares by value whatever the letter case."""

    def __new__(cls, text: str) -> _InterfaceId:
        return super().__new__(cls, text.upper())


class _VARIANT:
    """pywin32's VARIANT: a value with an explicit type."""

    def __init__(self, varianttype: int, value: object) -> None:
        self.varianttype = varianttype
        self.value = value


class _SilentLibrary:
    """A Windows DLL whose every function returns 0."""

    def __getattr__(self, function_name: str):
        return lambda *arguments, **options: 0


def install() -> None:
    """Make xlwings believe that it runs on Windows with pywin32. For good: see the module's docstring."""
    if sys.platform == "win32":
        raise RuntimeError("the pywin32 stand-in is for systems without the real one")
    if "xlwings.udfs" in sys.modules:
        return
    _install_pywin32_modules()
    _import_xlwings_windows_code()


def _install_pywin32_modules() -> None:
    def returns_first(first: object, *others: object, **options: object) -> object:
        return first

    def not_a_wrapped_object(value: object) -> None:
        raise _ComError

    utc = types.SimpleNamespace(utc=lambda: datetime.timezone.utc)
    add_module("pywintypes", com_error=_ComError, error=OSError, IID=_InterfaceId, TimeType=datetime.datetime)
    add_module(
        "pythoncom",
        __file__="pythoncom",
        com_error=_ComError,
        ole_error=_ComError,
        CoInitialize=lambda *arguments: None,
        IID_IDispatch=_InterfaceId(_DISPATCH_INTERFACE),
        # The type of a raw COM pointer; no argument that we pass is one.
        TypeIIDs={_InterfaceId(_DISPATCH_INTERFACE): type("PyIDispatch", (), {})},
        Missing=PARAMETER_NOT_FOUND,
        VT_ERROR=_VT_ERROR,
    )
    for name in ("win32api", "win32con", "win32event", "win32gui", "win32com", "win32com.server"):
        add_module(name)
    add_module("win32process", GetWindowThreadProcessId=lambda window: (0, 1))
    add_module("win32timezone", TimeZoneInfo=utc)
    add_module(
        "win32com.client",
        CDispatch=CDispatch,
        CoClassBaseClass=type("CoClassBaseClass", (), {}),
        DispatchBaseClass=type("DispatchBaseClass", (), {}),
        Dispatch=returns_first,
        DispatchEx=returns_first,
        VARIANT=_VARIANT,
    )
    add_module("win32com.server.dispatcher")
    add_module("win32com.server.policy")
    add_module("win32com.server.util", wrap=returns_first, unwrap=not_a_wrapped_object)


def _import_xlwings_windows_code() -> None:
    """Import the real modules, and repeat what ``import xlwings`` does on Windows."""
    libraries = types.SimpleNamespace(ole32=_SilentLibrary(), oleacc=_SilentLibrary(), kernel32=_SilentLibrary())
    ctypes.windll = ctypes.oledll = libraries
    real_pydll = ctypes.PyDLL
    ctypes.PyDLL = lambda path: types.SimpleNamespace(PyCom_PyObjectFromIUnknown=types.SimpleNamespace())
    try:
        import xlwings
        from xlwings import _xlwindows
    finally:
        ctypes.PyDLL = real_pydll
    # At exit, xlwings would look for orphaned Excel processes with a Windows command.
    atexit.unregister(_xlwindows.cleanup)
    xlwings.engines.add(xlwings.Engine(impl=_xlwindows.engine))
    xlwings.engines.active = xlwings.engines["excel"]

    import xlwings.com_server
    from xlwings import udfs

    decorate_for_windows(udfs)
