"""The arguments of the cell functions: how each is read from one cell or a range of cells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import chain

from core import catalog
from core.cells.broadcast import Array, parse_cells
from core.cells.models import model_cells, model_of_cell, size_or_model_of_cell
from core.cells.values import CellError, Grid, error_code, grid, is_blank
from core.checks import number, numbers, text, tokens
from core.plan import defaults
from core.plan.estimate import DEFAULT_OVERHEAD_FRACTION
from core.units import DEFAULT_UNIT, unit_bytes


@dataclass(frozen=True)
class Argument:
    """How one argument is read.

    Attributes:
        read_cell: returns the value of one cell, None if omitted; raises `PlannerError`.
        read_range: returns the values of a grid of cells; None: `read_cell` of each.
    """

    read_cell: Callable[[object], object]
    read_range: Callable[[Grid], Array] | None = None

    def read(self, cells: object) -> Array:
        """Return the values of one cell or a range of cells, with a `PlannerError` in place of each invalid one."""
        cells = grid(cells)
        return self.read_range(cells) if self.read_range else parse_cells(cells, self.read_cell)


def cell_argument(name: str, parse: Callable[[object], object], default: object = None) -> Argument:
    """Return an argument whose cells `parse` reads; a blank cell means `default`, and an error cell stays an error."""
    parsed_default = lru_cache(maxsize=None)(lambda: parse(default))

    def read_cell(cell: object) -> object:
        if cell is None:
            return parsed_default()
        if isinstance(cell, float):
            return parse(cell)
        code = error_code(cell)
        if code is not None:
            raise CellError(name, code)
        return parsed_default() if is_blank(cell) else parse(cell)

    return Argument(read_cell)


def optional(argument: Argument) -> Argument:
    """Return `argument`, read cell by cell, with None in place of a default."""
    return Argument(lambda cell: None if is_blank(cell) else argument.read_cell(cell))


def _number(name: str, default: float | None = None, parse: Callable[[str, object], object] = number) -> Argument:
    read_cell = cell_argument(name, partial(parse, name), default).read_cell

    def read_range(cells: Grid) -> Array:
        found = numbers(name, list(chain.from_iterable(cells)))
        return parse_cells(cells, read_cell) if found is None else Array(found, len(cells[0]))

    return Argument(read_cell, read_range)


MODEL = Argument(model_of_cell, lambda cells: model_cells(cells, allow_size=False))
MODEL_OR_SIZE = Argument(size_or_model_of_cell, lambda cells: model_cells(cells, allow_size=True))
CONTEXT = _number("context", parse=tokens)
USERS = _number("users", defaults.USERS)
GPUS = _number("gpus")
PROMPT_TOKENS = _number("prompt_tokens", parse=tokens)
OUTPUT_TOKENS = _number("output_tokens", parse=tokens)
TOKENS_PER_SECOND = _number("tokens_per_second")
PRECISION = cell_argument("precision", catalog.weights_precision, defaults.PRECISION)
KV_PRECISION = cell_argument("kv_precision", catalog.kv_precision, defaults.KV_PRECISION)
OVERHEAD = _number("overhead", DEFAULT_OVERHEAD_FRACTION)
OPTIONAL_OVERHEAD = optional(OVERHEAD)
UNIT = cell_argument("unit", unit_bytes, DEFAULT_UNIT)
FIELD = cell_argument("field", partial(text, "field"))

# The arguments, in order, of the functions that size a whole scenario.
SCENARIO = (MODEL, CONTEXT, USERS, PRECISION, KV_PRECISION, OVERHEAD, UNIT)
