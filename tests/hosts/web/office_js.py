"""Cell values and calls in the form in which Excel's JavaScript API and xlwings' add-in send them to Python.

https://learn.microsoft.com/office/dev/add-ins/excel/custom-functions-data-types-concepts, and xlwings-server's
static/js/custom-functions/custom-functions-code.js: an argument is a matrix, an omitted one is null.
"""

from __future__ import annotations

OMITTED = None
Matrix = list[list[object]]

_ERROR_TYPES = {
    "#DIV/0!": "Div0",
    "#N/A": "NotAvailable",
    "#NAME?": "Name",
    "#NULL!": "Null",
    "#NUM!": "Num",
    "#REF!": "Ref",
    "#SPILL!": "Spill",
    "#VALUE!": "Value",
}


def cell(value: object) -> Matrix:
    """Return a single cell as an argument."""
    return [[value]]


def error_cell(code: str) -> Matrix:
    """Return a single cell with an error as an argument."""
    return [[{"type": "Error", "basicType": "Error", "basicValue": code, "errorType": _ERROR_TYPES[code]}]]


def formatted_cell(value: float, number_format: str) -> Matrix:
    """Return a single cell with a number format as an argument."""
    return [[{"type": "FormattedNumber", "basicType": "Double", "basicValue": value, "numberFormat": number_format}]]


def result(value: object) -> Matrix:
    """Return what xlwings sends to Excel for a function that returned `value`: errors as errors, not as text."""
    rows = value if isinstance(value, list) else [[value]]
    return [[_result_element(element) for element in row] for row in rows]


def _result_element(value: object) -> object:
    is_error = isinstance(value, str) and value in _ERROR_TYPES
    return {"type": "Error", "errorType": _ERROR_TYPES[value]} if is_error else value


def call(function: str, arguments: tuple, *, runtime: str = "1.4") -> dict[str, object]:
    """Return the request for one call. Errors in cells require CustomFunctionsRuntime 1.4."""
    return {
        "client": "Office.js",
        "func_name": function,
        "args": list(arguments),
        "caller_address": "[Book1.xlsx]Sheet1!B2",
        "session_id": "7f3c1d2e",
        "culture_info_name": "en-US",
        "date_format": "m/d/yyyy",
        "version": "",
        "runtime": runtime,
    }
