"""What a test tells the client to do, and what the client answers: they exchange it as files."""

from __future__ import annotations

from dataclasses import dataclass

from tests.hosts.com.cells import Variant


@dataclass(frozen=True)
class Call:
    """A cell's call of a function.

    Attributes:
        function: its name.
        arguments: cell contents, ranges, arrays (lists of rows), or MISSING.
        module: the Python module that declares it.
        add_in: the file whose VBA makes the call; each has a Python server of its own.
        workbook: the file that the cell and the ranges are in.
    """

    function: str
    arguments: tuple[object, ...] = ()
    module: str = "vram_udf"
    add_in: str = "vram.xlam"
    workbook: str = "planner.xlsx"


@dataclass(frozen=True)
class EndServer:
    """The VBA's KillPy: ends the Python server of `add_in`. The answer tells whether its process has ended.

    Under Wine 8 no further call of this add-in can follow: it keeps the dead server's class registered.
    """

    add_in: str = "vram.xlam"


Step = Call | EndServer

Answers = list[Variant]
"""One for each step."""
