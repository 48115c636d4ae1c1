"""The steps that a test sends to the client, and the client's answers; they exchange both as files."""

from __future__ import annotations

from dataclasses import dataclass

from tests.hosts.com.cells import Variant

# How the add-in reaches Python: it starts this Python, or finds `vram addin serve`, or fails to start one without
# packages, one without pywin32, or one that does not exist.
STARTED, SERVED = "started", "served"
WITHOUT_PACKAGES, WITHOUT_PYWIN32, MISSING_PYTHON = "without packages", "without pywin32", "missing"


@dataclass(frozen=True)
class Call:
    """A call of a function from a cell.

    Attributes:
        function: the function's name.
        arguments: cell contents, ranges, arrays (lists of rows), or MISSING.
        module: the Python module that declares the function.
        add_in: the file whose VBA makes the call.
        workbook: the file with the cell and the ranges.
        python: how the add-in reaches Python.
    """

    function: str
    arguments: tuple[object, ...] = ()
    module: str = "vram_udf"
    add_in: str = "vram.xlam"
    workbook: str = "planner.xlsx"
    python: str = STARTED


@dataclass(frozen=True)
class Serve:
    """Start the server of `vram addin serve`; the answer is whether the DLL finds it."""


@dataclass(frozen=True)
class EndServer:
    """The DLL's call that ends the server that it started; the answer is whether its process has ended.

    Under Wine 8 this must be the last step, because the ended server's class stays registered.
    """


Step = Call | Serve | EndServer

Answers = list[Variant]
"""One answer per step."""
