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

Parsed = Sequence[Sequence[Any]]  # what one argument's cells were read as, or what is wrong with them
Rows = list[list[object]]


@dataclass(frozen=True)
class Line:
    """A function for many elements at once that differ in one argument alone.

    Attributes:
        compute: the results, for all values of argument number `along` and one element of each other argument.
    """

    compute: Callable[..., Sequence[object]]
    along: int


def parsed(cells: Sequence[Sequence[object]], parse: Callable[[object], object]) -> Parsed:
    """Each cell through `parse`; what is wrong with a cell is kept in its place."""
    if len(cells) == 1 and len(cells[0]) == 1:
        return [[_or_error(parse, cells[0][0])]]
    known: dict[object, object] = {}  # columns repeat a few texts and numbers many times

    def read(cell: object) -> object:
        if type(cell) not in (str, float):  # True is 1 to a dictionary
            return _or_error(parse, cell)
        if cell not in known:
            known[cell] = _or_error(parse, cell)
        return known[cell]

    if len(cells[0]) == 1:
        return [[read(row[0])] for row in cells]
    return [[read(cell) for cell in row] for row in cells]


def broadcast(
    function: Callable[..., object],
    arguments: Sequence[Parsed],
    failed: Callable[[PlannerError], object] = excel_error,
    line: Line | None = None,
) -> Rows:
    """`function` of every element of `arguments`, as a rectangle of rows.

    Args:
        function: from one element of each argument to a result; may raise `PlannerError`.
        arguments: grids of values, and of errors in the places of the values that were wrong.
        failed: what to put in the place of an element that has an error, or whose function raises one; its
            neighbours are computed all the same.
        line: the same function for whole rows or columns of a grid at once.
    """
    rows, columns = max(map(len, arguments)), max(len(argument[0]) for argument in arguments)
    if not any(_may_fail(argument, rows, columns) for argument in arguments):
        try:
            if line and rows > 1 and columns > 1:
                whole = _by_lines(line, arguments, rows, columns)
                if whole is not None:
                    return whole
            return _in_rows(list(starmap(function, _every(arguments, rows, columns))), columns)
        except PlannerError:
            pass  # one by one, each gets its own error
    return _in_rows([_element(function, values, failed) for values in _every(arguments, rows, columns)], columns)


def _every(arguments: Sequence[Parsed], rows: int, columns: int) -> Iterator[tuple[object, ...]]:
    """The arguments of each element, row by row."""
    return zip(*(_elements(argument, rows, columns) for argument in arguments))


def _in_rows(results: list[object], columns: int) -> Rows:
    if columns == 1:
        return [[result] for result in results]
    return [results[start : start + columns] for start in range(0, len(results), columns)]


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


def _by_lines(line: Line, arguments: Sequence[Parsed], rows: int, columns: int) -> Rows | None:
    """A grid of which the argument that `line` goes along is one side and the others are the other; else None."""
    if _is_row_by_columns(arguments, line.along):
        return _lines(line, arguments, rows)
    turned = [list(zip(*argument)) for argument in arguments]
    if _is_row_by_columns(turned, line.along):
        return [list(row) for row in zip(*_lines(line, turned, columns))]
    return None


def _is_row_by_columns(arguments: Sequence[Parsed], along: int) -> bool:
    others = (argument for i, argument in enumerate(arguments) if i != along)
    return len(arguments[along]) == 1 and all(len(argument[0]) == 1 for argument in others)


def _lines(line: Line, arguments: Sequence[Parsed], rows: int) -> Rows:
    every = (
        repeat(argument[0]) if i == line.along else _elements(argument, rows, 1) for i, argument in enumerate(arguments)
    )
    return [list(line.compute(*values)) for values in zip(*every)]


_BEYOND = UnknownNameError("range", "it is shorter than another argument's range", "Give ranges of the same length.")


def _elements(argument: Parsed, rows: int, columns: int) -> Iterable[object]:
    """What `argument` has for each element of a rectangle, row by row."""
    height, width = len(argument), len(argument[0])
    if height == width == 1:
        return repeat(argument[0][0], rows * columns)
    lines: Iterable[Iterable[object]] = argument if height > 1 else repeat(argument[0], rows)
    if width == 1 < columns:
        lines = (repeat(line, columns) for (line,) in lines)
    elif width < columns:
        lines = ([*line, *repeat(_BEYOND, columns - width)] for line in lines)
    beyond = repeat(_BEYOND, (rows - height) * columns if height > 1 else 0)
    return chain(chain.from_iterable(lines), beyond)


def _may_fail(argument: Parsed, rows: int, columns: int) -> bool:
    """Whether there are errors among the elements of `argument`."""
    if not (len(argument) in (1, rows) and len(argument[0]) in (1, columns)):
        return True
    return any(issubclass(kind, PlannerError) for kind in set(map(type, chain.from_iterable(argument))))


def _or_error(parse: Callable[[object], object], cell: object) -> object:
    try:
        return parse(cell)
    except PlannerError as error:
        return error
