"""Check that a person can follow the formulas: short ones, few references, short chains of precedents."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from workbook.audit.allowed import ALLOWED_NAMES_WITH_FOREIGN_FUNCTIONS
from workbook.audit.formula import Form
from workbook.audit.subject import Fault, Place, Subject
from workbook.audit.tracing import Node, Precedents, precedents

# The planner's own limits; auditors by FAST 3.03 want formulas no longer than a thumb, and IF not nested.
MOST_CHARACTERS, MOST_IFS, MOST_REFERENCES = 200, 3, 8
# What a planner needs: memory, speed, the users that the speed allows, money and the ranking depend on one another in
# this order, in formulas of that length. Drafted tokens alone take fifteen cells.
MOST_CELLS_OF_A_CHAIN, MOST_CELLS_BEHIND = 50, 520


@dataclass(frozen=True)
class Trace:
    """What stands behind a headline: a name of a cell with a result.

    Of the cells in a column of a range that have one formula, the first alone counts: one row of a table, not all.

    Attributes:
        name: the headline.
        place: its cell.
        chain: the cells of its longest chain of precedents, the first precedent first and its own cell last.
        cells: how many formula cells it depends on, its own included.
    """

    name: str
    place: Place
    chain: tuple[Place, ...]
    cells: int


def long_formulas(subject: Subject) -> Iterator[Fault]:
    """Yield formulas that are too long as Excel shows them."""
    for place, formula in subject.formulas.items():
        if formula.characters > MOST_CHARACTERS:
            yield Fault(str(place), f"{formula.characters} characters: compute a part in its own cell")


def nested_ifs(subject: Subject) -> Iterator[Fault]:
    """Yield formulas in which IF is nested too deep."""
    yield from _by_form(
        subject, lambda form: form.if_depth, MOST_IFS, "IF {} deep: compute a condition in its own cell"
    )


def many_references(subject: Subject) -> Iterator[Fault]:
    """Yield formulas that refer to too many different cells, ranges and names."""
    remedy = "{} references: compute a part in its own cell"
    yield from _by_form(subject, lambda form: form.references, MOST_REFERENCES, remedy)


def _by_form(subject: Subject, measure: Callable[[Form], int], most: int, words: str) -> Iterator[Fault]:
    for form, places in subject.forms.items():
        if measure(form) > most:
            yield from (Fault(str(place), words.format(measure(form))) for place in places)


def long_chains(subject: Subject) -> Iterator[Fault]:
    """Yield named results with too long a chain of precedents."""
    for trace in traces(subject):
        if len(trace.chain) > MOST_CELLS_OF_A_CHAIN:
            yield Fault(f"name {trace.name}", f"{len(trace.chain)} cells, from {trace.chain[0]}: join some of them")


def wide_headlines(subject: Subject) -> Iterator[Fault]:
    """Yield named results behind which there are too many formula cells."""
    for trace in traces(subject):
        if trace.cells > MOST_CELLS_BEHIND:
            yield Fault(f"name {trace.name}", f"{trace.cells} formula cells: refer to fewer")


@lru_cache(maxsize=1)
def traces(subject: Subject) -> tuple[Trace, ...]:
    """Trace each headline, the one with the longest chain first.

    Headlines are the workbook's names of one cell with a formula, without those that `allowed` lists as checks.
    """
    graph = Precedents(subject, one_of_each=True)
    lengths = _lengths(graph)
    found = []
    for name, place in headlines(subject):
        cells = sum(isinstance(node, Place) for node in graph.all_of(place))
        found.append(Trace(name, place, _chain(graph, lengths, place), cells))
    return tuple(sorted(found, key=lambda trace: (-len(trace.chain), -trace.cells, trace.name)))


def cells_behind(subject: Subject, headline: Trace) -> int:
    """Return how many formula cells a headline depends on, every row of a table counted."""
    return sum(isinstance(node, Place) for node in precedents(subject).all_of(headline.place))


def headlines(subject: Subject) -> Iterator[tuple[str, Place]]:
    """Yield (name, cell) of each headline."""
    for (sheet, name), formula in subject.named_formulas.items():
        if sheet is None and len(formula.areas) == 1 and name not in ALLOWED_NAMES_WITH_FOREIGN_FUNCTIONS:
            place = Place(*formula.areas[0][:3])
            if formula.areas[0][1:3] == formula.areas[0][3:] and place in subject.formulas:
                yield name, place


def _lengths(graph: Precedents) -> dict[Node, int]:
    """Return the number of cells of the longest chain that ends at each node."""
    lengths: dict[Node, int] = {}
    for node in graph.precedents_first():
        before = max((lengths.get(other, 0) for other in graph.of(node)), default=0)
        lengths[node] = before + isinstance(node, Place)
    return lengths


def _chain(graph: Precedents, lengths: Mapping[Node, int], end: Node) -> tuple[Place, ...]:
    """Return the cells of the longest chain that ends at `end`."""
    chain, node, seen = [], end, set()
    while node not in seen:  # a circular reference, which `circular` reports, would not end
        seen.add(node)
        if isinstance(node, Place):
            chain.append(node)
        node = max(graph.of(node), key=lambda other: lengths.get(other, 0), default=node)
    return tuple(reversed(chain))
