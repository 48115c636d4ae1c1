"""Trace the precedents of formulas."""

from __future__ import annotations

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from typing import TypeGuard, cast

from workbook.audit.formula import Formula
from workbook.audit.references import Area
from workbook.audit.subject import Place, Subject

# A node is a formula cell, a name, or a block of one column's formula cells. A long range consists of a few blocks, so
# a column of running totals (each SUM one row longer) has n·log n edges instead of n².
Name = tuple[str | None, str]
Block = tuple[str, int, int, str]
Node = Place | Name | Block


class Precedents:
    """The graph from each formula to the formulas, names and ranges that it uses."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._of_area: dict[Area, list[Node]] = {}

    def of(self, node: Node) -> list[Node]:
        """Return the formula cells, names and blocks from which `node` is directly computed."""
        if isinstance(node, Place):
            nodes = self._of_formula(self._subject.formulas[node])
        elif _is_block(node):
            nodes = self._halves(node)
        else:
            nodes = self._of_formula(self._subject.named_formulas[cast("Name", node)])
        self._subject.budget.spend(len(nodes))
        return nodes

    def cycle(self) -> list[Node]:
        """Return the cells and names of a circular reference; empty if there is none."""
        graph: TopologicalSorter[Node] = TopologicalSorter()
        pending: list[Node] = [*self._subject.formulas, *self._subject.named_formulas]
        seen = set(pending)
        while pending:
            node = pending.pop()
            used = self.of(node)
            graph.add(node, *used)
            new = [other for other in used if other not in seen]
            seen.update(new)
            pending += new
        try:
            graph.prepare()
        except CycleError as error:
            return [node for node in dict.fromkeys(error.args[1]) if not _is_block(node)]
        return []

    def all_of(self, start: Node) -> Iterator[Node]:
        """Yield `start` and all its direct and indirect precedents."""
        pending, seen = [start], {start}
        while pending:
            node = pending.pop()
            yield node
            new = [other for other in self.of(node) if other not in seen]
            seen.update(new)
            pending += new

    def _of_formula(self, formula: Formula) -> list[Node]:
        nodes: list[Node] = list(formula.names)
        for area in formula.areas:
            nodes += self._in_area(area)
        return nodes

    def _in_area(self, area: Area) -> list[Node]:
        if area not in self._of_area:
            nodes: list[Node] = []
            for column, rows, first, end in self._subject.formula_grid.columns(area):
                self._subject.budget.spend()
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
