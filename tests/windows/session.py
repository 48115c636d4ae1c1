"""What a test tells the client to do, and what it answers; read and written on both sides, which exchange them as files."""

from __future__ import annotations

from dataclasses import dataclass

from tests.com.cells import Variant


@dataclass(frozen=True)
class Call:
    """A cell's call of a function.

    Attributes:
        function: its name.
        arguments: cell contents, ranges, arrays (lists of rows), or MISSING.
        module: the Python module that declares it.
        add_in: the file whose VBA makes the call; each has a Python server of its own.
        workbook: the file that the cell is in.
    """

    function: str
    arguments: tuple[object, ...] = ()
    module: str = "vram_udf"
    add_in: str = "vram.xlam"
    workbook: str = "planner.xlsx"


@dataclass(frozen=True)
class RestartServer:
    """The ribbon's "Restart UDF Server": ends the Python server of `add_in`; the next call starts another."""

    add_in: str = "vram.xlam"


Step = Call | RestartServer


@dataclass(frozen=True)
class Session:
    """One run of Excel: steps, done in order, and the folders that Python shall import modules from."""

    steps: tuple[Step, ...]
    python_path: tuple[str, ...]


Answers = list[Variant | None]
"""One for each step; None for a step that is not a call."""
