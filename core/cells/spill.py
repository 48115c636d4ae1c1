"""Results as cell functions return them: one value, or the rectangle that spills."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from core.cells.arguments import Argument
from core.cells.broadcast import Array, Line, broadcast
from core.cells.values import excel_error, single_cells
from core.errors import PlannerError


def computed(
    function: Callable[..., object],
    arguments: Sequence[Argument],
    given: Sequence[object],
    *,
    failed: Callable[[PlannerError], object] = excel_error,
    line: Line | None = None,
) -> object:
    """`function` of what the host has `given` for each of the `arguments`; see `core.cells.broadcast.broadcast`."""
    cells = single_cells(given)
    if cells is not None:
        try:
            return function(*[argument.of_cell(cell) for argument, cell in zip(arguments, cells)])
        except PlannerError as error:
            return failed(error)
    return spilled(broadcast(function, [a.read(value) for a, value in zip(arguments, given)], failed, line))


def spilled(results: Array) -> object:
    """A rectangle of results as a cell function returns it: one result alone is no rectangle."""
    return results.elements[0] if len(results.elements) == 1 else results.in_rows()


def labelled(labels: list[str], columns: Sequence[object]) -> object:
    """One column of labels, and beside it a column for each result; a result that failed is that error all down."""
    if len(columns) == 1 and not isinstance(columns[0], list):
        return columns[0]
    return [
        [label, *(column[i] if isinstance(column, list) else column for column in columns)]
        for i, label in enumerate(labels)
    ]
