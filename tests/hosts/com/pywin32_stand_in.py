"""A stand-in for pywin32 that lets xlwings' real Windows code run without Windows.

Real: ``xlwings.udfs`` (decorators, conversion of arguments and results), ``xlwings._xlwindows`` and
``xlwings.com_server.XLPython.CallUDF``, the method that Excel's VBA calls. Imitated: the names that they import from
pywin32, Excel's Range objects with their values, and pywin32's conversion of a Python result to a COM VARIANT
(``oleargs.cpp``), so that a test sees the type and value that Excel would receive.

    with ExcelCaller("vram_udf") as excel:
        excel("VRAM_TOTAL", Range([["llama"]]), MISSING, 3.0)  # -> Variant(type="VT_R8", value=...)

``install`` changes ``sys.modules`` and xlwings' decorators for the rest of the process, and must run before the module
with the functions is imported. ``ExcelCaller`` therefore uses a new process, so that tests can run in any order or in
parallel. The process ends with the ``with`` block, or at the latest with the test process.

Not imitated: the VBA wrapper around the call (which converts "#NUM!" to an error cell), how a cell shows each VARIANT
type, and COM itself.
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
    """Calls the functions of one module like Excel, in a separate process."""

    def __init__(self, module_name: str) -> None:
        # "spawn" starts a new interpreter, which inherits only the module search path.
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
        """Return the VARIANT that Excel receives for ``=function_name(arguments)``."""
        self._connection.send((function_name, arguments))
        return self._receive()

    def __enter__(self) -> ExcelCaller:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process; may be called more than once."""
        self._process.kill()
        self._process.join()
        self._connection.close()

    def _receive(self) -> object:
        try:
            if self._connection.poll(TIMEOUT_S):
                return self._connection.recv()
            reason = f"did not answer within {TIMEOUT_S:.0f} s"
        except EOFError:
            reason = "ended"
        self.close()
        raise RuntimeError(f"the process that acts as xlwings' server {reason}")


def _serve(connection: Connection, module_name: str) -> None:
    """In the other process: send None or the traceback of the import, then answer calls one by one."""
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
    """Call a function through xlwings' real COM server class; requires ``install``."""
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
    # xlwings' DLL reverses the lines of pywin32's traceback, so that the text begins with the message.
    lines = [line for line in formatted_exception.splitlines()[1:] if line]
    return "\n".join(reversed(lines))


# ---- from Excel to Python ----------------------------------------------------------------------------


def _com_argument(argument: object) -> object:
    """Return what pywin32 passes for an argument of a formula."""
    if argument is MISSING:
        return PARAMETER_NOT_FOUND
    if isinstance(argument, Range):
        return _ComRange(argument.rows)
    if isinstance(argument, (list, tuple)):
        # A calculated array such as A1:A3*2 is passed by value.
        return tuple(tuple(_cell_value(cell) for cell in row) for row in argument)
    return _cell_value(argument)


def _cell_value(content: object) -> object:
    """Return a cell's value as in COM: a number as float, currency as Decimal, an error as its negative code."""
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
        """The value of a single cell, or a tuple of rows."""
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
        # CallUDF returns a single row as a flat list, which Excel shows as one row.
        return Variant("VT_ARRAY", [marshalled.value])
    if marshalled.type == "VT_ARRAY":
        return Variant("VT_ARRAY", [row.value for row in marshalled.value])
    return marshalled


def _marshalled(value: object) -> Variant:
    """Return the VARIANT to which pywin32 converts a Python value."""
    if isinstance(value, _VARIANT):
        # pywin32 drops the code of a VT_ERROR, which is why functions return "#NUM!" as text.
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
    """pywin32's IID, which ignores letter case in comparisons."""

    def __new__(cls, text: str) -> _InterfaceId:
        return super().__new__(cls, text.upper())


class _VARIANT:
    """pywin32's VARIANT: a value with an explicit type."""

    def __init__(self, varianttype: int, value: object) -> None:
        self.varianttype = varianttype
        self.value = value


class _SilentLibrary:
    """A Windows DLL whose functions all return 0."""

    def __getattr__(self, function_name: str):
        return lambda *arguments, **options: 0


def install() -> None:
    """Make xlwings run as on Windows with pywin32, for the rest of the process; see the module's docstring."""
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
        # The type of a raw COM pointer; our arguments never are one.
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
    """Import the real modules, and do what ``import xlwings`` does only on Windows."""
    libraries = types.SimpleNamespace(ole32=_SilentLibrary(), oleacc=_SilentLibrary(), kernel32=_SilentLibrary())
    ctypes.windll = ctypes.oledll = libraries
    real_pydll = ctypes.PyDLL
    ctypes.PyDLL = lambda path: types.SimpleNamespace(PyCom_PyObjectFromIUnknown=types.SimpleNamespace())
    try:
        import xlwings
        from xlwings import _xlwindows
    finally:
        ctypes.PyDLL = real_pydll
    # At exit, xlwings would search for orphaned Excel processes with a Windows command.
    atexit.unregister(_xlwindows.cleanup)
    xlwings.engines.add(xlwings.Engine(impl=_xlwindows.engine))
    xlwings.engines.active = xlwings.engines["excel"]

    import xlwings.com_server
    from xlwings import udfs

    decorate_for_windows(udfs)
