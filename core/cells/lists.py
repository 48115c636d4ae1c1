"""The cell function that lists names of the catalog. `vram_udf` describes it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from core.catalog.search import KINDS, names
from core.cells.arguments import cell_argument
from core.cells.spill import spilled, the_only_value
from core.checks import one_of, text
from core.errors import UnknownNameError, quoted

KIND = cell_argument("kind", lambda value: one_of("kind", value, KINDS))
SEARCH = cell_argument("search", partial(text, "search"), "")


def names_of(kind: object, search: object) -> object:
    def column() -> object:
        wanted = the_only_value("search", SEARCH.read(search))
        return [[name] for name in names_with(the_only_value("kind", KIND.read(kind)), wanted)]

    return spilled(column)


def names_with(kind: str, search: str) -> Sequence[str]:
    """Return the names of that kind that contain the words of `search`.

    Raises:
        UnknownNameError: no name does.
    """
    found = names(kind, search)
    if not found:
        raise UnknownNameError("search", f"no name contains {quoted(search)}", "Write a part of a name.")
    return found
