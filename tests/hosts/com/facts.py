"""How xlwings on Windows converts arguments and results, as calls of `sample_functions` with their results.

Observed with the real xlwings 0.37.8 and pywin32 312, which `test_windows_stack` runs; the stand-in for pywin32 must
behave the same.
"""

from __future__ import annotations

import datetime
import decimal

from tests.hosts.com.cells import MISSING, Range, Variant

MODULE = "tests.hosts.com.sample_functions"

_DATE = datetime.datetime(2026, 1, 2, 3, 4, 5)


def _shown(x: object, y: object = "default") -> Variant:
    return Variant("VT_BSTR", repr((x, y)))


def _numbers(*values: float) -> list[Variant]:
    return [Variant("VT_R8", value) for value in values]


# Function, arguments, what Excel receives.
RESULTS = [
    # Arguments as Python receives them.
    ("show", (Range([["llama", 3], [None, True]]),), _shown([["llama", 3.0], [None, True]])),
    ("show", (Range([["llama"]]),), _shown([["llama"]])),
    ("show", (Range([["a"], ["b"]]),), _shown([["a"], ["b"]])),
    ("show", (Range([["a", "b"]]),), _shown([["a", "b"]])),
    ("show", (Range([[None]]),), _shown([[None]])),
    ("show", (Range([[""]]),), _shown([[None]])),
    ("show", (Range([["#N/A", "#DIV/0!"]]),), _shown([["#N/A", "#DIV/0!"]])),
    ("show", (Range([["#NULL!", "#NAME?", "#NUM!"]]),), _shown([["#NULL!", "#NAME?", "#NUM!"]])),
    ("show", (Range([["#REF!", "#VALUE!"]]),), _shown([["#REF!", "#VALUE!"]])),
    ("show", (Range([["#SPILL!"]]),), _shown([[-2146826243]])),
    ("show", (Range([["#CALC!", 1]]),), _shown([[-2146826238, 1.0]])),
    ("show", (Range([[_DATE]]),), _shown([[_DATE]])),
    ("show", (Range([[decimal.Decimal("1.5")]]),), _shown([[decimal.Decimal("1.5")]])),
    ("show", (3,), _shown([[3.0]])),
    ("show", ("text",), _shown([["text"]])),
    ("show", ("模型",), _shown([["模型"]])),
    ("show", ("#NUM!",), _shown([["#NUM!"]])),
    ("show", ("#FIELD!",), _shown([[-2146826239]])),
    ("show", (None,), _shown([[None]])),
    ("show", (False,), _shown([[False]])),
    ("show", ([[1, 2], [3, "#N/A"]],), _shown([[1.0, 2.0], [3.0, "#N/A"]])),
    ("show", (1.0, MISSING), _shown([[1.0]], "default")),
    ("show", (1.0, Range([[None]])), _shown([[1.0]], None)),
    # Round trips.
    ("echo", (2,), Variant("VT_R8", 2.0)),
    ("echo", (Range([["llama"]]),), Variant("VT_BSTR", "llama")),
    ("echo", (Range([["模型"]]),), Variant("VT_BSTR", "模型")),
    ("echo", (Range([["#N/A"]]),), Variant("VT_BSTR", "#N/A")),
    ("echo", (Range([[None]]),), Variant("VT_BSTR", "")),
    ("echo", (True,), Variant("VT_BOOL", True)),
    # Results as Excel receives them.
    ("result", ("float",), Variant("VT_R8", 2.5)),
    ("result", ("text",), Variant("VT_BSTR", "#NUM!")),
    ("result", ("truth",), Variant("VT_BOOL", True)),
    ("result", ("none",), Variant("VT_BSTR", "")),
    ("result", ("decimal",), Variant("VT_CY", decimal.Decimal("1.2345"))),
    ("result", ("int",), Variant("VT_I4", 3)),
    ("result", ("uint",), Variant("VT_UI4", 2**31)),
    ("result", ("long",), Variant("VT_I8", 2**40)),
    ("result", ("long long",), Variant("VT_UI8", 2**63)),
    ("result", ("huge",), Variant("VT_R8", float(2**70))),
    ("result", ("date",), Variant("VT_DATE", _DATE)),
    ("result", ("row",), Variant("VT_ARRAY", [_numbers(1.0, 2.0)])),
    ("result", ("column",), Variant("VT_ARRAY", [_numbers(1.0), _numbers(2.0)])),
    ("result", ("cell",), Variant("VT_R8", 1.0)),
    (
        "result",
        ("rows",),
        Variant(
            "VT_ARRAY",
            [[Variant("VT_R8", 1.0), Variant("VT_BSTR", "a")], [Variant("VT_BSTR", "#N/A"), Variant("VT_R8", 2.0)]],
        ),
    ),
]

# Function, arguments, beginning of the text in VBA's Err.Description.
EXCEPTIONS = [
    ("fail", (), "ValueError: no such model"),
    ("result", ("ragged",), "Exception: All elements of a 2d list or tuple must be of the same length"),
    (
        "result",
        ("object",),
        "Unexpected Python Error: TypeError: Objects of type 'object' can not be converted to a COM VARIANT",
    ),
    ("no_such_function", (), f"AttributeError: module '{MODULE}' has no attribute 'no_such_function'"),
]
