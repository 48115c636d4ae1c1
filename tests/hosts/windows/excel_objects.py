"""COM objects for the part of Excel's object model that xlwings uses during a call of a cell function.

Ranges, their sheet and their workbook are in the client's process; xlwings accesses them from the server's process,
like Excel's. Interface and member numbers are those of the Microsoft Excel 16.0 Object Library.
"""

from __future__ import annotations

import ctypes.wintypes
import sys
from collections.abc import Callable
from pathlib import Path

from comtypes import GUID, COMObject, IUnknown, hresult
from comtypes.automation import VARIANT, IDispatch, IEnumVARIANT
from comtypes.typeinfo import TKIND_DISPATCH, CreateTypeLib, ICreateTypeInfo, LoadTypeLib

from tests.hosts.com.cells import RANGE_INTERFACE
from tests.hosts.windows import variants

_INTERFACES = {
    "_Application": "{000208D5-0000-0000-C000-000000000046}",
    "_Workbook": "{000208DA-0000-0000-C000-000000000046}",
    "Sheets": "{000208D7-0000-0000-C000-000000000046}",
    "_Worksheet": "{000208D8-0000-0000-C000-000000000046}",
    "Range": RANGE_INTERFACE,
}
_MEMBERS = {
    "_NewEnum": -4,
    "Value": 6,
    "Name": 110,
    "Count": 118,
    "Application": 148,
    "Parent": 150,
    "Column": 240,
    "Columns": 241,
    "Row": 257,
    "Rows": 258,
    "Worksheet": 348,
    "Worksheets": 494,
    "Hwnd": 1950,
}
_MEMBER_NAMES = {number: name for name, number in _MEMBERS.items()}
_ANY_LIBRARY = "{5D7A1C1E-3C0B-4B5E-9E63-0A6A4E2B7C11}"  # a type library must have a GUID, but nothing uses it
_MESSAGES_ONLY = ctypes.wintypes.HWND(-3)  # HWND_MESSAGE
_WINDOWS_64_BIT = 3  # SYS_WIN64


class ExcelObject(COMObject):
    """An object with named properties and the interface by which xlwings recognises it.

    It lives only while there are COM references to it, so each access to a property creates a new object.
    """

    _com_interfaces_ = [IDispatch]

    def __init__(self, excel: Excel, interface: str, **properties: Callable[[], object]) -> None:
        self._type_info = excel.type_info(interface)
        self._interface = interface
        self._properties = properties

    def variant(self) -> VARIANT:
        """Return the object as an argument or result."""
        return VARIANT(self.QueryInterface(IDispatch))

    def IDispatch_GetTypeInfoCount(self) -> int:
        return 1

    def IDispatch_GetTypeInfo(self, this, index, locale, type_info):
        type_info[0] = self._type_info
        return hresult.S_OK

    def IDispatch_GetIDsOfNames(self, this, interface, names, count, locale, numbers):
        numbers[0] = _MEMBERS.get(names[0], -1)
        return hresult.S_OK if names[0] in self._properties else self._has_no(names[0])

    def IDispatch_Invoke(self, this, number, interface, locale, flags, arguments, result, exception, bad_argument):
        name = _MEMBER_NAMES.get(number, number)
        if name not in self._properties:
            return self._has_no(name)
        value = self._properties[name]()
        result[0].value = value.variant() if isinstance(value, ExcelObject) else value
        return hresult.S_OK

    def _has_no(self, name: object) -> int:
        # For xlwings this means that Excel is busy, and it retries for ever; the message is shown after the time limit.
        print(f"the stand-in for Excel's {self._interface} has no {name}", file=sys.stderr, flush=True)
        return hresult.DISP_E_MEMBERNOTFOUND


class _Enumerator(COMObject):
    """The enumerator for VBA's `For Each`: here, of the sheets of a workbook."""

    _com_interfaces_ = [IEnumVARIANT]

    def __init__(self, items: list[ExcelObject]) -> None:
        self._items = iter(items)

    def IEnumVARIANT_Next(self, this, count, items, fetched):
        given = 0
        for given, item in zip(range(1, count + 1), self._items):
            items[given - 1].value = item.variant()
        if fetched:
            fetched[0] = given
        return hresult.S_OK if given == count else hresult.S_FALSE


def _each(items: list[ExcelObject]) -> IUnknown:
    return _Enumerator(items).QueryInterface(IEnumVARIANT)


class Excel:
    """Creates the objects."""

    def __init__(self, folder: Path) -> None:
        """Create the type library in `folder`, because it must be a file."""
        path = str(folder / "excel.tlb")
        library = CreateTypeLib(path, _WINDOWS_64_BIT)
        library.SetName("Excel")
        library.SetGuid(GUID(_ANY_LIBRARY))
        for name, interface in _INTERFACES.items():
            type_info = library.CreateTypeInfo(name, TKIND_DISPATCH).QueryInterface(ICreateTypeInfo)
            type_info.SetGuid(GUID(interface))
            type_info.LayOut()
        library.SaveAllChanges()
        self._library = LoadTypeLib(path)
        # An invisible window, which only receives messages.
        self._window = ctypes.windll.user32.CreateWindowExW(
            0, "STATIC", None, 0, 0, 0, 0, 0, _MESSAGES_ONLY, None, None, None
        )

    def type_info(self, interface: str):
        """Return the type information, with the GUID, of one of Excel's interfaces."""
        return self._library.GetTypeInfoOfGuid(GUID(_INTERFACES[interface]))

    def workbook(self, name: str) -> ExcelObject:
        """Return a workbook with one sheet."""
        return ExcelObject(
            self,
            "_Workbook",
            Name=lambda: name,
            Application=self._application,
            Worksheets=lambda: ExcelObject(self, "Sheets", _NewEnum=lambda: _each([self._sheet(name)])),
        )

    def range(self, rows: list[list[object]], workbook: str) -> ExcelObject:
        """Return a range of cells: the value of one cell is a scalar, of several cells an array, as in Excel."""
        height, width = len(rows), len(rows[0])
        return ExcelObject(
            self,
            "Range",
            Value=lambda: variants.cell(rows[0][0]) if height == width == 1 else variants.block(rows),
            Row=lambda: 1,
            Column=lambda: 1,
            Rows=lambda: ExcelObject(self, "Range", Count=lambda: height),
            Columns=lambda: ExcelObject(self, "Range", Count=lambda: width),
            Count=lambda: height * width,
            Worksheet=lambda: self._sheet(workbook),
        )

    def _application(self) -> ExcelObject:
        # xlwings queries the process of the window.
        return ExcelObject(self, "_Application", Hwnd=lambda: self._window)

    def _sheet(self, workbook: str) -> ExcelObject:
        return ExcelObject(self, "_Worksheet", Name=lambda: "Sheet1", Parent=lambda: self.workbook(workbook))
