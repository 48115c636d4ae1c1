"""Compute a function of ranges element by element, like Excel's dynamic arrays.

A single cell is repeated for all elements, and a column with a row gives a grid. If two arrays differ in length, the
elements that only one of them has are `#N/A`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, repeat, starmap
from typing import Any

from core.cells.values import excel_error
from core.errors import PlannerError, UnknownNameError

Rows = list[list[object]]


@dataclass(frozen=True)
class Array:
    """A rectangle of values of an argument or of results, or of errors in their place.

    Attributes:
        elements: all rows in one list, because Python's garbage collector would track each row's list.
    """

    elements: Sequence[Any]
    columns: int

    @property
    def rows(self) -> int:
        return len(self.elements) // self.columns

    def to_rows(self) -> Rows:
        """Return the elements as a list of rows, the form that hosts expect."""
        if self.columns == 1:
            return [[element] for element in self.elements]
        elements = self.elements if isinstance(self.elements, list) else list(self.elements)
        return [elements[start : start + self.columns] for start in range(0, len(elements), self.columns)]


@dataclass(frozen=True)
class LineFunction:
    """A function that computes a whole row or column, in which only one argument varies.

    Attributes:
        compute: takes a sequence of values for the argument with index `varying`, and one value for each other.
    """

    compute: Callable[..., Sequence[object]]
    varying: int


def parse_cells(cells: Sequence[Sequence[object]], parse: Callable[[object], object]) -> Array:
    """Parse each cell; a `PlannerError` takes the place of an invalid cell's value."""
    flat, columns = list(chain.from_iterable(cells)), len(cells[0])
    if set(map(type, flat)) in _TYPES_WITHOUT_FALSE_EQUALS:  # columns repeat a few texts and numbers many times
        known = {cell: _value_or_error(parse, cell) for cell in set(flat)}
        return Array([known[cell] for cell in flat], columns)
    return Array([_value_or_error(parse, cell) for cell in flat], columns)


# Sets of cell types in which equal cells mean the same; with booleans, True would equal 1.
_TYPES_WITHOUT_FALSE_EQUALS = ({str}, {float}, {str, float})


def broadcast(
    function: Callable[..., object],
    arguments: Sequence[Array],
    on_error: Callable[[PlannerError], object] = excel_error,
    line_function: LineFunction | None = None,
) -> Array:
    """Compute `function` of each element of `arguments`.

    Args:
        function: takes one element of each argument; may raise `PlannerError`.
        arguments: values, or errors in place of invalid values.
        on_error: returns the result of an element that has an error, or whose function raises one.
        line_function: the same function for whole rows or columns of a grid.
    """
    rows, columns = max(argument.rows for argument in arguments), max(argument.columns for argument in arguments)
    if not any(_has_errors(argument, rows, columns) for argument in arguments):
        try:
            if line_function and rows > 1 and columns > 1:
                grid = _computed_by_lines(line_function, arguments, rows, columns)
                if grid is not None:
                    return grid
            return Array(list(starmap(function, _argument_tuples(arguments, rows, columns))), columns)
        except PlannerError:
            pass  # computed again below, so that each element has its own error
    tuples = _argument_tuples(arguments, rows, columns)
    return Array([_result_or_error(function, values, on_error) for values in tuples], columns)


def _argument_tuples(arguments: Sequence[Array], rows: int, columns: int) -> Iterator[tuple[object, ...]]:
    """Return the arguments of each element, row by row."""
    return zip(*(_expanded(argument, rows, columns) for argument in arguments))


def _result_or_error(
    function: Callable[..., object], values: Sequence[object], on_error: Callable[[PlannerError], object]
) -> object:
    for value in values:
        if isinstance(value, PlannerError):
            return on_error(value)
    try:
        return function(*values)
    except PlannerError as error:
        return on_error(error)


def _computed_by_lines(
    line_function: LineFunction, arguments: Sequence[Array], rows: int, columns: int
) -> Array | None:
    """Compute a grid line by line; None unless only the varying argument changes along each row or each column."""
    varying = arguments[line_function.varying]
    others = [argument for i, argument in enumerate(arguments) if i != line_function.varying]
    if varying.rows == 1 and all(argument.columns == 1 for argument in others):
        return Array(list(chain.from_iterable(_lines(line_function, arguments, rows))), columns)
    if varying.columns == 1 and all(argument.rows == 1 for argument in others):
        return Array(list(chain.from_iterable(zip(*_lines(line_function, arguments, columns)))), columns)
    return None


def _lines(line_function: LineFunction, arguments: Sequence[Array], count: int) -> list[Sequence[object]]:
    values_of_arguments = (
        repeat(argument.elements) if i == line_function.varying else _expanded(argument, count, 1)
        for i, argument in enumerate(arguments)
    )
    return [line_function.compute(*values) for values in zip(*values_of_arguments)]


_TOO_SHORT = UnknownNameError("range", "it is shorter than another argument's range", "Give ranges of the same length.")


def _expanded(argument: Array, rows: int, columns: int) -> Iterable[object]:
    """Return the values of `argument` for each element of a rectangle, row by row."""
    elements, height, width = argument.elements, argument.rows, argument.columns
    if (height, width) == (rows, columns):
        return elements
    if height == width == 1:
        return repeat(elements[0], rows * columns)
    lines: Iterable[Iterable[object]] = argument.to_rows() if height > 1 else repeat(elements, rows)
    if width == 1 < columns:
        lines = (repeat(line, columns) for (line,) in lines)
    elif width < columns:
        lines = ([*line, *repeat(_TOO_SHORT, columns - width)] for line in lines)
    below = repeat(_TOO_SHORT, (rows - height) * columns if height > 1 else 0)
    return chain(chain.from_iterable(lines), below)


def _has_errors(argument: Array, rows: int, columns: int) -> bool:
    """Return whether `argument` has errors among its elements, or is too short for the result."""
    if not (argument.rows in (1, rows) and argument.columns in (1, columns)):
        return True
    return any(issubclass(kind, PlannerError) for kind in set(map(type, argument.elements)))


def _value_or_error(parse: Callable[[object], object], cell: object) -> object:
    try:
        return parse(cell)
    except PlannerError as error:
        return error
