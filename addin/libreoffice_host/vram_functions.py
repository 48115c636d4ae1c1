"""The component that LibreOffice loads: it passes calls from cells to `vram_udf`.

Runs in LibreOffice's own Python. `XCellFunctions` is the interface in XCellFunctions.idl, with one method per function.
"""

import inspect
import struct

import unohelper
from com.sun.star.lang import XServiceInfo
from vramplanner import XCellFunctions

import vram_udf
from core.cells.values import VALUE_ERROR, error_code
from core.checks import LIMITS

SERVICE = "vramplanner.CellFunctions"

# LibreOffice's numbers of the errors that Excel also has (include/formula/errorcodes.hxx in its source).
ERROR_NUMBERS = {
    "#NUM!": 503,
    "#VALUE!": 519,
    "#NULL!": 521,
    "#REF!": 524,
    "#NAME?": 525,
    "#DIV/0!": 532,
    "#N/A": 32767,
}
# A cell's error is a NaN with the error's number in its lowest bits (CreateDoubleError, in the same file).
_QUIET_NAN = 0x7FF8 << 48


class CellFunctions(unohelper.Base, XCellFunctions, XServiceInfo):
    def __init__(self, context):
        pass

    def getImplementationName(self):
        return SERVICE

    def getSupportedServiceNames(self):
        return (SERVICE,)

    def supportsService(self, name):
        return name == SERVICE


def method(function):
    """Return `function` as a method with the arguments and results of Calc."""
    names = tuple(inspect.signature(function).parameters)

    def call(self, *arguments):
        return calc_rows(function(*map(udf_argument, names, arguments)))

    return call


def udf_argument(name, value):
    """Return an argument as `vram_udf` expects it: None if omitted, otherwise rows of cells."""
    rows = value if isinstance(value, tuple) else ((value,),)
    # Calc passes a single blank cell as 0, which is valid only for numeric arguments; for others it means omitted.
    return None if rows == ((0.0,),) and name not in LIMITS else rows


def calc_rows(result):
    """Return a result as rows of numbers and texts, with Calc's errors for Excel's."""
    rows = result if isinstance(result, list) else [[result]]
    return tuple(tuple(calc_value(cell) for cell in row) for row in rows)


def calc_value(cell):
    code = error_code(cell)
    if code is None:
        return cell
    number = ERROR_NUMBERS.get(code, ERROR_NUMBERS[VALUE_ERROR])
    return struct.unpack("<d", struct.pack("<Q", _QUIET_NAN | number))[0]


for declared in vram_udf.FUNCTIONS:
    setattr(CellFunctions, declared.__name__, method(declared))

# The name that LibreOffice's Python loader looks for.
g_ImplementationHelper = unohelper.ImplementationHelper()
g_ImplementationHelper.addImplementation(CellFunctions, SERVICE, (SERVICE,))
