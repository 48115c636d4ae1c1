"""List the workbook's functions.

Those that a user calls begin with "LLM_"; their parts begin with "_LLM_", so that Excel lists only the former while a
name is typed. They have other names than the add-in's functions, which a name of a workbook would hide.
"""

from __future__ import annotations

from functools import cache

from openpyxl.workbook.defined_name import DefinedName

from workbook.book import Book
from workbook.functions.costs import cost_functions
from workbook.functions.layouts import layout_functions
from workbook.functions.memory import memory_functions
from workbook.functions.parts import Columns, checking_functions
from workbook.functions.speed import speed_functions
from workbook.labels import Labels
from workbook.lambdas import Function, define, distinct, stored
from workbook.sheets import gpus, pace

# Names of the planner that terms have too: its tables, the groups of the chosen scenario, and columns of Speed.
_TAKEN = frozenset(
    {gpus.TABLE.casefold(), "attention_groups", *(pace.name_of(key, of_scenarios=False) for key in pace.NAMED)}
)


# A name that is 1 where LAMBDA is known, and an error elsewhere. LibreOffice 25.2 shows an error for a whole formula in
# which a name is called, IFERROR or not; a function that it does not know is an ordinary error.
KNOWN = "_LLM_KNOWN"
_KNOWN_FORMULA = stored("MAP(1,LAMBDA(value,value))", {"value"})


def functions(labels: Labels) -> tuple[Function, ...]:
    """Return the functions of a workbook in one language, parts first."""
    return _functions(labels.lang)


@cache
def _functions(lang: str) -> tuple[Function, ...]:
    columns = Columns(Labels(lang))
    groups = (checking_functions, memory_functions, layout_functions, speed_functions, cost_functions)
    return tuple(distinct(function, _TAKEN) for group in groups for function in group(columns))


def define_functions(book: Book) -> None:
    """Define the functions as names of a workbook, with what Excel shows while a name is typed."""
    found = functions(book.labels)
    comments = {function.name: book.labels(f"functions.{function.name}") for function in found}
    define(book.openpyxl, found, comments)
    comment = book.labels(f"functions.{KNOWN}")
    book.openpyxl.defined_names[KNOWN] = DefinedName(KNOWN, comment=comment, attr_text=_KNOWN_FORMULA)
