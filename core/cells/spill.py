"""Compute a cell function and return its results as hosts expect them: one value, or rows that spill."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from core.cells.arguments import Argument
from core.cells.broadcast import Array, LineFunction, broadcast
from core.cells.values import excel_error, single_cells
from core.errors import PlannerError, WrongTypeError


def evaluate(
    function: Callable[..., object],
    arguments: Sequence[Argument],
    given: Sequence[object],
    *,
    on_error: Callable[[PlannerError], object] = excel_error,
    line_function: LineFunction | None = None,
) -> object:
    """Read `arguments` from the cells that the host has `given`, and compute `function` of them; see `broadcast`."""
    cells = single_cells(given)
    if cells is not None:
        try:
            return function(*[argument.read_cell(cell) for argument, cell in zip(arguments, cells)])
        except PlannerError as error:
            return on_error(error)
    values = [argument.read(cells) for argument, cells in zip(arguments, given)]
    return value_or_rows(broadcast(function, values, on_error, line_function))


def value_or_rows(results: Array) -> object:
    """Return a single result as a value, several as rows."""
    return results.elements[0] if len(results.elements) == 1 else results.to_rows()


def spilled(table: Callable[[], object]) -> object:
    """Return the result of `table`, or the Excel error of the `PlannerError` that it raises."""
    try:
        return table()
    except PlannerError as error:
        return excel_error(error)


def the_only_value(name: str, values: Array) -> Any:
    """Return the value of an argument that must be one cell, or one model, because the result is a table.

    Raises:
        WrongTypeError: there are several.
        PlannerError: the value itself is invalid.
    """
    if len(values.elements) > 1:
        raise WrongTypeError(name, f"there are {len(values.elements)} of them", "Give one; the result is a table.")
    return valid(values.elements[0])


def valid(value: Any) -> Any:
    """Return a value of an argument, or raise the error in its place."""
    if isinstance(value, PlannerError):
        raise value
    return value


def labelled_rows(labels: list[str], columns: Sequence[object]) -> object:
    """Return a column of labels and one column per result; a column that is an error is repeated in all its rows."""
    if len(columns) == 1 and not isinstance(columns[0], list):
        return columns[0]
    return [
        [label, *(column[i] if isinstance(column, list) else column for column in columns)]
        for i, label in enumerate(labels)
    ]
