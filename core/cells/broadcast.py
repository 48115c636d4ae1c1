"""Arguments that are ranges: computed element by element, as Excel's own dynamic arrays do.

A single cell goes with everything, a column against a row gives a grid, and where two arrays differ in length the
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
    """A rectangle of elements: what an argument's cells were read as, or results, or what is wrong with them.

    Attributes:
        elements: row by row in one list; of ten thousand small lists Python's collector would look after each.
    """

    elements: Sequence[Any]
    columns: int

    @property
    def rows(self) -> int:
        return len(self.elements) // self.columns

    def in_rows(self) -> Rows:
        """The same as a host wants it."""
        if self.columns == 1:
            return [[element] for element in self.elements]
        starts = range(0, len(self.elements), self.columns)
        return [list(self.elements[start : start + self.columns]) for start in starts]


@dataclass(frozen=True)
class Line:
    """A function for many elements at once that differ in one argument alone.

    Attributes:
        compute: the results, for all values of argument number `along` and one element of each other argument.
    """

    compute: Callable[..., Sequence[object]]
    along: int


def parsed(cells: Sequence[Sequence[object]], parse: Callable[[object], object]) -> Array:
    """Each cell through `parse`; what is wrong with a cell is kept in its place."""
    flat, columns = list(chain.from_iterable(cells)), len(cells[0])
    if set(map(type, flat)) in _ALIKE:  # columns repeat a few texts and numbers many times
        known = {cell: _or_error(parse, cell) for cell in set(flat)}
        return Array([known[cell] for cell in flat], columns)
    return Array([_or_error(parse, cell) for cell in flat], columns)


# Types of cells among which equal ones are the same; beside numbers, True is 1.
_ALIKE = ({str}, {float}, {str, float})


def broadcast(
    function: Callable[..., object],
    arguments: Sequence[Array],
    failed: Callable[[PlannerError], object] = excel_error,
    line: Line | None = None,
) -> Array:
    """`function` of every element of `arguments`, as a rectangle.

    Args:
        function: from one element of each argument to a result; may raise `PlannerError`.
        arguments: values, and errors in the places of the values that were wrong.
        failed: what to put in the place of an element that has an error, or whose function raises one; its
            neighbours are computed all the same.
        line: the same function for whole rows or columns of a grid at once.
    """
    rows, columns = max(argument.rows for argument in arguments), max(argument.columns for argument in arguments)
    if not any(_may_fail(argument, rows, columns) for argument in arguments):
        try:
            if line and rows > 1 and columns > 1:
                whole = _by_lines(line, arguments, rows, columns)
                if whole is not None:
                    return whole
            return Array(list(starmap(function, _every(arguments, rows, columns))), columns)
        except PlannerError:
            pass  # one by one, each gets its own error
    return Array([_element(function, values, failed) for values in _every(arguments, rows, columns)], columns)


def _every(arguments: Sequence[Array], rows: int, columns: int) -> Iterator[tuple[object, ...]]:
    """The arguments of each element, row by row."""
    return zip(*(_elements(argument, rows, columns) for argument in arguments))


def _element(
    function: Callable[..., object], values: Sequence[object], failed: Callable[[PlannerError], object]
) -> object:
    for value in values:
        if isinstance(value, PlannerError):
            return failed(value)
    try:
        return function(*values)
    except PlannerError as error:
        return failed(error)


def _by_lines(line: Line, arguments: Sequence[Array], rows: int, columns: int) -> Array | None:
    """A grid of which the argument that `line` goes along is one side and the others are the other; else None."""
    along = arguments[line.along]
    others = [argument for i, argument in enumerate(arguments) if i != line.along]
    if along.rows == 1 and all(argument.columns == 1 for argument in others):
        return Array(list(chain.from_iterable(_lines(line, arguments, rows))), columns)
    if along.columns == 1 and all(argument.rows == 1 for argument in others):
        return Array(list(chain.from_iterable(zip(*_lines(line, arguments, columns)))), columns)
    return None


def _lines(line: Line, arguments: Sequence[Array], count: int) -> list[Sequence[object]]:
    every = (
        repeat(argument.elements) if i == line.along else _elements(argument, count, 1)
        for i, argument in enumerate(arguments)
    )
    return [line.compute(*values) for values in zip(*every)]


_BEYOND = UnknownNameError("range", "it is shorter than another argument's range", "Give ranges of the same length.")


def _elements(argument: Array, rows: int, columns: int) -> Iterable[object]:
    """What `argument` has for each element of a rectangle, row by row."""
    elements, height, width = argument.elements, argument.rows, argument.columns
    if (height, width) == (rows, columns):
        return elements
    if height == width == 1:
        return repeat(elements[0], rows * columns)
    lines: Iterable[Iterable[object]] = argument.in_rows() if height > 1 else repeat(elements, rows)
    if width == 1 < columns:
        lines = (repeat(line, columns) for (line,) in lines)
    elif width < columns:
        lines = ([*line, *repeat(_BEYOND, columns - width)] for line in lines)
    beyond = repeat(_BEYOND, (rows - height) * columns if height > 1 else 0)
    return chain(chain.from_iterable(lines), beyond)


def _may_fail(argument: Array, rows: int, columns: int) -> bool:
    """Whether there are errors among the elements of `argument`."""
    if not (argument.rows in (1, rows) and argument.columns in (1, columns)):
        return True
    return any(issubclass(kind, PlannerError) for kind in set(map(type, argument.elements)))


def _or_error(parse: Callable[[object], object], cell: object) -> object:
    try:
        return parse(cell)
    except PlannerError as error:
        return error
