"""Arguments that are ranges: computed element by element, as Excel's own dynamic arrays do.

A single cell goes with everything, a column against a row gives a grid, and where two arrays differ in length the
elements that only one of them has are `#N/A`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from core.cells.values import excel_error
from core.errors import PlannerError, UnknownNameError

Parsed = Sequence[Sequence[object]]
Rows = list[list[object]]


def parsed(cells: Sequence[Sequence[object]], parse: Callable[[object], object]) -> Parsed:
    """Each cell through `parse`; what is wrong with a cell is kept in its place."""
    return [[_or_error(parse, [cell]) for cell in row] for row in cells]


def broadcast(
    function: Callable[..., object],
    arguments: Sequence[Parsed],
    failed: Callable[[PlannerError], object] = excel_error,
) -> Rows:
    """`function` of every element of `arguments`, as a rectangle of rows.

    Args:
        function: from one element of each argument to a result; may raise `PlannerError`.
        arguments: grids of values, and of errors in the places of the values that were wrong.
        failed: what to put in the place of an element that has an error, or whose function raises one; its
            neighbours are computed all the same.
    """
    rows = max(len(argument) for argument in arguments)
    columns = max(len(argument[0]) for argument in arguments)

    def element(i: int, j: int) -> object:
        values = [_at(argument, i, j) for argument in arguments]
        error = next((value for value in values if isinstance(value, PlannerError)), None)
        result = _or_error(function, values) if error is None else error
        return failed(result) if isinstance(result, PlannerError) else result

    return [[element(i, j) for j in range(columns)] for i in range(rows)]


_BEYOND = UnknownNameError("range", "it is shorter than another argument's range", "Give ranges of the same length.")


def _at(argument: Parsed, i: int, j: int) -> object:
    if len(argument) == 1:
        i = 0
    if i < len(argument) and len(argument[i]) == 1:
        j = 0
    return argument[i][j] if i < len(argument) and j < len(argument[i]) else _BEYOND


def _or_error(function: Callable[..., object], values: Sequence[object]) -> object:
    try:
        return function(*values)
    except PlannerError as error:
        return error
