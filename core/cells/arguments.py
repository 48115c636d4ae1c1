"""The arguments of the cell functions: what one cell means, and what a range does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import chain

from core import catalog
from core.cells.broadcast import Array, parsed
from core.cells.models import model_cells, model_of_cell, size_or_model_of_cell
from core.cells.values import CellError, Grid, error_code, grid, is_blank
from core.checks import number, numbers, text
from core.plan.estimate import DEFAULT_OVERHEAD_FRACTION
from core.units import DEFAULT_UNIT, unit_bytes


@dataclass(frozen=True)
class Argument:
    """How one argument is read.

    Attributes:
        of_cell: the value of one cell; raises `PlannerError`. A cell left out is None.
        of_range: the values of a grid of cells, where that is more than each cell's.
    """

    of_cell: Callable[[object], object]
    of_range: Callable[[Grid], Array] | None = None

    def read(self, cells: object) -> Array:
        """The values of `cells`, one cell or a range of them, and what is wrong with the others."""
        cells = grid(cells)
        return self.of_range(cells) if self.of_range else parsed(cells, self.of_cell)


def field(name: str, read: Callable[[object], object], default: object = None) -> Argument:
    """An argument of cells read by `read`; a blank one is the `default`, an error cell goes through."""
    standard = lru_cache(maxsize=None)(lambda: read(default))

    def of_cell(cell: object) -> object:
        if cell is None:
            return standard()
        if isinstance(cell, float):
            return read(cell)
        code = error_code(cell)
        if code is not None:
            raise CellError(name, code)
        return standard() if is_blank(cell) else read(cell)

    return Argument(of_cell)


def _number(name: str, default: float | None = None) -> Argument:
    one = field(name, partial(number, name), default)

    def of_range(cells: Grid) -> Array:
        found = numbers(name, list(chain.from_iterable(cells)))
        return parsed(cells, one.of_cell) if found is None else Array(found, len(cells[0]))

    return Argument(one.of_cell, of_range)


MODEL = Argument(model_of_cell, lambda cells: model_cells(cells, size_is_enough=False))
MODEL_OR_SIZE = Argument(size_or_model_of_cell, lambda cells: model_cells(cells, size_is_enough=True))
CONTEXT = _number("context")
USERS = _number("users", 1)
GPUS = _number("gpus")
PRECISION = field("precision", catalog.weights_precision, "fp16")
KV_PRECISION = field("kv_precision", partial(catalog.precision, "kv_precision"), "fp16")
OVERHEAD = _number("overhead", DEFAULT_OVERHEAD_FRACTION)
OVERHEAD_IF_ANY = field("overhead", lambda value: None if value is None else number("overhead", value))
UNIT = field("unit", unit_bytes, DEFAULT_UNIT)
FIELD = field("field", partial(text, "field"))

# What the functions that size a whole scenario take, in their order.
SCENARIO = (MODEL, CONTEXT, USERS, PRECISION, KV_PRECISION, OVERHEAD, UNIT)
