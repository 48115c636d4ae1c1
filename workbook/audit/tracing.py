"""Trace the precedents of formulas."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TypeGuard, cast

from workbook.audit.formula import Formula
from workbook.audit.references import Area
from workbook.audit.subject import Place, Subject

# A node is a formula cell, a name, or a block of one column's formula cells. A long range consists of a few blocks, so
# a column of running totals (each SUM one row longer) has n·log n edges instead of n².
Name = tuple[str | None, str]
Block = tuple[str, int, int, str]
Node = Place | Name | Block


@dataclass(frozen=True)
class _Order:
    """All nodes, precedents first, and a circular reference if there is one."""

    nodes: tuple[Node, ...]
    cycle: tuple[Node, ...]


class Precedents:
    """The graph from each formula to the formulas, names and ranges that it uses.

    Args:
        one_of_each: of the cells in one column of a range that have one formula, follow the first alone.
    """

    def __init__(self, subject: Subject, *, one_of_each: bool = False) -> None:
        self._subject = subject
        self._one_of_each = one_of_each
        self._of_area: dict[Area, list[Node]] = {}
        self._of: dict[Node, list[Node]] = {}

    def of(self, node: Node) -> list[Node]:
        """Return the formula cells, names and blocks from which `node` is directly computed."""
        if node not in self._of:
            formula = self.formula(node)
            nodes = self._of_formula(formula) if formula is not None else self._halves(cast("Block", node))
            self._subject.budget.spend(len(nodes))
            self._of[node] = list(dict.fromkeys(nodes))
        return self._of[node]

    def formula(self, node: Node) -> Formula | None:
        """Return the formula of a cell or of a name; None for a block of cells, which follow one by one."""
        if isinstance(node, Place):
            return self._subject.formulas[node]
        return None if _is_block(node) else self._subject.named_formulas[cast("Name", node)]

    def cycle(self) -> list[Node]:
        """Return the cells and names of a circular reference; empty if there is none."""
        return [node for node in self._order.cycle if not _is_block(node)]

    def precedents_first(self) -> tuple[Node, ...]:
        """Return every node after those from which it is computed, except within a circular reference."""
        return self._order.nodes

    def all_of(self, start: Node) -> Iterator[Node]:
        """Yield `start` and all its direct and indirect precedents."""
        pending, seen = [start], {start}
        while pending:
            node = pending.pop()
            yield node
            new = [other for other in self.of(node) if other not in seen]
            seen.update(new)
            pending += new

    @cached_property
    def _order(self) -> _Order:
        """Visit the graph depth first, without recursion: chains may be longer than Python's stack."""
        finished: dict[Node, None] = {}
        path: dict[Node, Iterator[Node]] = {}
        cycle: tuple[Node, ...] = ()
        starts: list[Node] = [*self._subject.formulas, *self._subject.named_formulas]
        for start in starts:
            if start not in finished:
                path[start] = iter(self.of(start))
            while path:
                node, precedents = path.popitem()
                path[node] = precedents  # dicts keep their order, so popitem() gives the end of the path
                for other in precedents:
                    if other in path:
                        cycle = cycle or (*_from(path, other), other)
                    elif other not in finished:
                        path[other] = iter(self.of(other))
                        break
                else:
                    del path[node]
                    finished[node] = None
        return _Order(tuple(finished), cycle)

    def _of_formula(self, formula: Formula) -> list[Node]:
        nodes: list[Node] = list(formula.names)
        for area in formula.areas:
            sheet, row, column, last_row, last_column = area
            if row == last_row and column == last_column:
                place = Place(sheet, row, column)
                if place in self._subject.formulas:
                    nodes.append(place)
            else:
                nodes += self._in_area(area)
        return nodes

    def _in_area(self, area: Area) -> list[Node]:
        if area not in self._of_area:
            nodes: list[Node] = []
            for column, rows, first, end in self._subject.formula_grid.columns(area):
                self._subject.budget.spend()
                if self._one_of_each:
                    self._subject.budget.spend(end - first)
                    places = [Place(area.sheet, row, column) for row in rows[first:end]]
                    nodes += {self._subject.formulas[place].form.text: place for place in reversed(places)}.values()
                else:
                    nodes += (self._node(area.sheet, column, rows, k) for k in _blocks(len(rows), first, end))
            self._of_area[area] = nodes
        return self._of_area[area]

    def _halves(self, node: Block) -> list[Node]:
        sheet, column, k, _ = node
        rows = self._subject.formula_grid.rows(sheet, column)
        return [self._node(sheet, column, rows, child) for child in (2 * k, 2 * k + 1)]

    @staticmethod
    def _node(sheet: str, column: int, rows: list[int], k: int) -> Node:
        """Return block `k` of a column. It consists of blocks 2k and 2k + 1; from len(rows) on, blocks are cells."""
        return Place(sheet, rows[k - len(rows)], column) if k >= len(rows) else (sheet, column, k, "block")


@lru_cache(maxsize=1)
def precedents(subject: Subject) -> Precedents:
    """Return the graph of `subject`, shared by the checks that follow it."""
    return Precedents(subject)


def _from(path: dict[Node, Iterator[Node]], start: Node) -> list[Node]:
    """Return the end of `path` from `start` on."""
    nodes = list(path)
    return nodes[nodes.index(start) :]


def _is_block(node: Node) -> TypeGuard[Block]:
    return len(node) > len(Place._fields)


def _blocks(size: int, first: int, end: int) -> Iterator[int]:
    """Yield the fewest blocks of a segment tree over `size` leaves that cover exactly range(first, end)."""
    left, right = first + size, end + size
    while left < right:
        if left & 1:
            yield left
            left += 1
        if right & 1:
            right -= 1
            yield right
        left, right = left >> 1, right >> 1
