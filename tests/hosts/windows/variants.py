"""Create COM VARIANTs from cell contents like Excel, and read VARIANTs with their types."""

from __future__ import annotations

import ctypes
import datetime
from decimal import Decimal

from comtypes import automation
from comtypes.automation import VARIANT, VT_ARRAY, VT_BSTR, VT_ERROR, VT_VARIANT

from tests.hosts.com.cells import EXCEL_ERRORS, PARAMETER_NOT_FOUND, Variant

_TYPE_NAMES = {
    getattr(automation, name): name
    for name in (
        "VT_EMPTY VT_NULL VT_I2 VT_I4 VT_R4 VT_R8 VT_CY VT_DATE VT_BSTR VT_DISPATCH VT_BOOL VT_UNKNOWN VT_DECIMAL "
        "VT_UI1 VT_UI4 VT_I8 VT_UI8"
    ).split()
}

# These raise OSError if they fail.
_oleaut32 = ctypes.OleDLL("oleaut32")
_oleaut32.SafeArrayPutElement.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(VARIANT)]
_oleaut32.SafeArrayGetElement.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(VARIANT)]
_oleaut32.SafeArrayGetLBound.argtypes = [ctypes.c_void_p, ctypes.c_uint, ctypes.POINTER(ctypes.c_long)]
_oleaut32.SafeArrayGetUBound.argtypes = [ctypes.c_void_p, ctypes.c_uint, ctypes.POINTER(ctypes.c_long)]

# These return no HRESULT.
_safe_array_create = ctypes.WinDLL("oleaut32").SafeArrayCreate
_safe_array_create.argtypes = [ctypes.c_ushort, ctypes.c_uint, ctypes.c_void_p]
_safe_array_create.restype = ctypes.c_void_p
_safe_array_dimensions = ctypes.WinDLL("oleaut32").SafeArrayGetDim
_safe_array_dimensions.argtypes = [ctypes.c_void_p]


class _Bound(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ulong), ("first_index", ctypes.c_long)]


def omitted() -> VARIANT:
    """Return what VBA passes for an optional argument that the formula omits."""
    return _error(PARAMETER_NOT_FOUND)


def cell(content: object) -> VARIANT:
    """Return the value of one cell as Excel passes it: numbers as double, blanks as VT_EMPTY, errors as codes."""
    if content is None:
        return VARIANT()
    if isinstance(content, str) and content in EXCEL_ERRORS:
        return _error(EXCEL_ERRORS[content])
    if isinstance(content, (str, bool, datetime.datetime, Decimal)):
        return VARIANT(content)
    return VARIANT(float(content))


def block(rows: list[list[object]]) -> VARIANT:
    """Return the values of several cells: a two-dimensional array with indices from 1."""
    array = _array(_Bound(len(rows), 1), _Bound(len(rows[0]), 1))
    for i, row in enumerate(rows, 1):
        for j, content in enumerate(row, 1):
            _put(array, cell(content), i, j)
    return array


def argument_list(arguments: list[VARIANT]) -> VARIANT:
    """Return VBA's `Array(...)`: a one-dimensional array with indices from 0."""
    array = _array(_Bound(len(arguments), 0))
    for i, argument in enumerate(arguments):
        _put(array, argument, i)
    return array


def _error(code: int) -> VARIANT:
    variant = VARIANT()
    variant.vt = VT_ERROR
    variant._.VT_I4 = code
    return variant


def _array(*bounds: _Bound) -> VARIANT:
    array = VARIANT()
    array.vt = VT_ARRAY | VT_VARIANT
    array._.c_void_p = _safe_array_create(VT_VARIANT, len(bounds), (_Bound * len(bounds))(*bounds))
    return array


def _put(array: VARIANT, element: VARIANT, *index: int) -> None:
    _oleaut32.SafeArrayPutElement(array._.c_void_p, (ctypes.c_long * len(index))(*index), element)


def read(variant: VARIANT) -> Variant:
    """Return a result with its type, arrays element by element; a one-dimensional array is one row."""
    if variant.vt == VT_ARRAY | VT_VARIANT:
        return Variant("VT_ARRAY", _rows(variant._.c_void_p))
    if variant.vt == VT_ERROR:
        return Variant("VT_ERROR", variant._.VT_I4)
    if variant.vt == VT_BSTR:
        return Variant("VT_BSTR", variant.value or "")
    return Variant(_TYPE_NAMES[variant.vt], variant.value)


def _rows(array: int) -> list[list[Variant]]:
    if _safe_array_dimensions(array) == 1:
        return [[_element(array, i) for i in _indices(array, 1)]]
    return [[_element(array, i, j) for j in _indices(array, 2)] for i in _indices(array, 1)]


def _indices(array: int, dimension: int) -> range:
    first, last = ctypes.c_long(), ctypes.c_long()
    _oleaut32.SafeArrayGetLBound(array, dimension, first)
    _oleaut32.SafeArrayGetUBound(array, dimension, last)
    return range(first.value, last.value + 1)


def _element(array: int, *index: int) -> Variant:
    element = VARIANT()
    _oleaut32.SafeArrayGetElement(array, (ctypes.c_long * len(index))(*index), element)
    return read(element)
