"""Mutants of a module: Cosmic Ray's small changes, one for each place, drawn with a fixed seed."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.provider import OperatorProvider

# Decorators are caches and frozen dataclasses here: without them the figures are the same. Variables are replaced at
# random, by no seed.
_LEFT_OUT = ("RemoveDecorator", "VariableReplacer", "VariableInserter")


@dataclass(frozen=True)
class Mutant:
    """One change.

    Attributes:
        module: path of the module from the root.
        line: number of the line that is changed.
        before, after: that line.
        code: the module's whole text as changed.
    """

    module: str
    line: int
    before: str
    after: str
    code: str


def mutants(root: Path, module: str, least: int, one_of: int, seed: int) -> tuple[int, list[Mutant]]:
    """How many places of `module` can be changed, and one change of each of `least` of them and `one_of` the others."""
    source = (root / module).read_text("utf-8")
    by_place: dict[tuple[int, int], list[tuple[object, int]]] = defaultdict(list)
    for place, operator, occurrence in _changes(source):
        by_place[place].append((operator, occurrence))
    places = sorted(by_place)
    random.Random(f"{seed} {module}").shuffle(places)
    found = []
    for place in places[: least + len(places) // one_of]:
        changes = by_place[place]
        # Drawn place by place, so that a larger share has the smaller one's mutants in it.
        random.Random(f"{seed} {module} {place}").shuffle(changes)
        found.append(next((made for each in changes if (made := _mutant(module, source, place[0], *each))), None))
    return len(places), [mutant for mutant in found if mutant is not None]


def _changes(source: str) -> Iterator[tuple[tuple[int, int], object, int]]:
    nodes = list(ast_nodes(get_ast(source)))
    provider = OperatorProvider()
    for name in provider:
        if name in _LEFT_OUT or _is_of_identity(name):
            continue
        operator, occurrence = provider[name](), 0
        for node in nodes:
            for start, _ in operator.mutation_positions(node):
                if not _changes_nothing(node):
                    yield start, operator, occurrence
                occurrence += 1


def _is_of_identity(name: str) -> bool:
    """== for `is` and the other way about: the same for the small values that are compared here."""
    parts = set(name.split("_"))
    return "ReplaceComparisonOperator" in parts and bool(parts & {"Is", "IsNot"}) and bool(parts & {"Eq", "NotEq"})


def _changes_nothing(node: Any) -> bool:
    """Whether `node` belongs to a decorator or an annotation, or is the star before keyword-only parameters."""
    if node.parent is None:
        return False
    if node.parent.type in ("param", "parameters") and node.type == "operator":
        return True
    within = node
    while within is not None:
        parent = within.parent
        if within.type == "decorator":
            return True
        if parent is not None:
            if parent.type == "tfpdef" and within is parent.children[-1]:
                return True
            if parent.type == "annassign" and within is parent.children[1]:
                return True
            if parent.type == "funcdef" and within is parent.annotation:
                return True
        within = parent
    return False


def _mutant(module: str, source: str, line: int, operator: object, occurrence: int) -> Mutant | None:
    code = mutate_code(source, operator, occurrence)
    try:
        compile(code, module, "exec")
    except SyntaxError:
        return None
    old, new = source.splitlines(), code.splitlines()
    return Mutant(module, line, old[line - 1].strip(), new[line - 1].strip(), code)
