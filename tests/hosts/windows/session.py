"""The steps that a test sends to the client, and the client's answers; they exchange both as files."""

from __future__ import annotations

from dataclasses import dataclass

from tests.hosts.com.cells import Variant


@dataclass(frozen=True)
class Call:
    """A call of a function from a cell.

    Attributes:
        function: the function's name.
        arguments: cell contents, ranges, arrays (lists of rows), or MISSING.
        module: the Python module that declares the function.
        add_in: the file whose VBA makes the call; each has a separate Python server.
        workbook: the file with the cell and the ranges.
    """

    function: str
    arguments: tuple[object, ...] = ()
    module: str = "vram_udf"
    add_in: str = "vram.xlam"
    workbook: str = "planner.xlsx"


@dataclass(frozen=True)
class EndServer:
    """VBA's KillPy, which ends the Python server of `add_in`; the answer is whether its process has ended.

    Under Wine 8 this must be the add-in's last step, because the ended server's class stays registered.
    """

    add_in: str = "vram.xlam"


Step = Call | EndServer

Answers = list[Variant]
"""One answer per step."""
