"""Declare a formula once: its value in Python, its text in a spreadsheet, and what it means.

An expression is written with ordinary operators over names: `v.replicas * v.gpus_per_replica`. `Terms.compute` is
Python code compiled from it once, `spreadsheet_formula` returns its native formula. Both round in the same way, and a
figure can be missing (a price without a quote): None in Python, the text "–" in a cell.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

# Less than a billionth of a GPU is an error of floating-point arithmetic, in Python as in a spreadsheet.
_NOISE, _NOISE_TEXT = 1e-9, "10^-9"

# Operator → its rank (a higher one binds tighter) and its form in Python.
_OPERATORS = {
    "=": (0, "=="), "<": (0, "<"), ">": (0, ">"), "<=": (0, "<="), ">=": (0, ">="),
    "+": (1, "+"), "-": (1, "-"), "*": (2, "*"), "/": (2, "/"), "^": (3, "**"),
}  # fmt: skip
_NEGATION_RANK = 4  # above powers: a spreadsheet reads -2^2 as (-2)^2
_MISSING_TEXT = '"–"'


@dataclass(frozen=True, eq=False)
class Expression:
    """A name, a constant, an operation, or a call of one of the functions below."""

    kind: str
    parts: tuple[object, ...] = ()

    def __add__(self, other: Operand) -> Expression:
        return _operation("+", self, other)

    def __radd__(self, other: Operand) -> Expression:
        return _operation("+", other, self)

    def __sub__(self, other: Operand) -> Expression:
        return _operation("-", self, other)

    def __rsub__(self, other: Operand) -> Expression:
        return _operation("-", other, self)

    def __mul__(self, other: Operand) -> Expression:
        return _operation("*", self, other)

    def __rmul__(self, other: Operand) -> Expression:
        return _operation("*", other, self)

    def __truediv__(self, other: Operand) -> Expression:
        return _operation("/", self, other)

    def __rtruediv__(self, other: Operand) -> Expression:
        return _operation("/", other, self)

    def __pow__(self, other: Operand) -> Expression:
        return _operation("^", self, other)

    def __neg__(self) -> Expression:
        return Expression("negate", (self,))

    def __lt__(self, other: Operand) -> Expression:
        return _operation("<", self, other)

    def __gt__(self, other: Operand) -> Expression:
        return _operation(">", self, other)

    def __le__(self, other: Operand) -> Expression:
        return _operation("<=", self, other)

    def __ge__(self, other: Operand) -> Expression:
        return _operation(">=", self, other)

    def __repr__(self) -> str:
        return python_source(self)

    def names(self) -> Iterator[str]:
        """Yield every name in the expression, as often as it occurs."""
        if self.kind == "name":
            yield str(self.parts[0])
        for part in self.parts:
            if isinstance(part, Expression):
                yield from part.names()


Operand = Expression | float | str


class Names:
    """`v.capex` is the expression that consists of the name "capex"."""

    def __getattr__(self, name: str) -> Expression:
        return Expression("name", (name,))


v = Names()
MISSING = Expression("missing")


def _expression(operand: Operand) -> Expression:
    return operand if isinstance(operand, Expression) else Expression("constant", (operand,))


def _operation(operator: str, left: Operand, right: Operand) -> Expression:
    return Expression(operator, (_expression(left), _expression(right)))


def _call(function: str, *operands: Operand) -> Expression:
    return Expression(function, tuple(map(_expression, operands)))


def equal(left: Operand, right: Operand) -> Expression:
    """Return whether two values are equal."""
    return _operation("=", left, right)


def when(condition: Expression, then: Operand, otherwise: Operand) -> Expression:
    """Return one of two values, by a condition."""
    return _call("IF", condition, then, otherwise)


def all_of(*conditions: Expression) -> Expression:
    """Return whether all conditions hold."""
    return _call("AND", *conditions)


def any_of(*conditions: Expression) -> Expression:
    """Return whether one of the conditions holds."""
    return _call("OR", *conditions)


def least(*operands: Operand) -> Expression:
    """Return the smallest value; missing ones do not count."""
    return _call("MIN", *operands)


def most(*operands: Operand) -> Expression:
    """Return the largest value; missing ones do not count."""
    return _call("MAX", *operands)


def up(operand: Operand) -> Expression:
    """Round up to a whole number, ignoring a billionth; for positive numbers (ROUNDUP rounds away from 0)."""
    return _call("up", operand)


def down(operand: Operand) -> Expression:
    """Round down to a whole number."""
    return _call("down", operand)


def nearest(operand: Operand) -> Expression:
    """Round to the nearest whole number; for numbers that are not negative."""
    return _call("nearest", operand)


def log2(operand: Operand) -> Expression:
    """Return the logarithm to base 2 of a positive number."""
    return _call("log2", operand)


def known(operand: Expression) -> Expression:
    """Return whether a number is not missing."""
    return _call("known", operand)


def if_known(operands: Iterable[Expression], then: Operand) -> Expression:
    """Return `then`, or a missing figure if one of the operands is missing."""
    conditions = [known(operand) for operand in operands]
    return when(conditions[0] if len(conditions) == 1 else all_of(*conditions), then, MISSING)


@dataclass(frozen=True, kw_only=True)
class Term:
    """A figure that sheets show and Python computes.

    Attributes:
        name: its name in expressions.
        unit: "GB", "GPUs", "USD" …; "" for a ratio or a text.
        means: one sentence that says what it is.
        formula: the expression.
        source: the paper, page or file that the formula is from; "" where it follows from the meaning.
    """

    name: str
    unit: str
    means: str
    formula: Expression
    source: str = ""


class Terms:
    """Terms in the order in which they can be computed: each uses inputs and earlier terms."""

    def __init__(self, *terms: Term) -> None:
        self.terms = terms
        self.by_name = {term.name: term for term in terms}
        if len(self.by_name) != len(terms):
            raise ValueError("two terms have the same name")
        later = set(self.by_name)
        for term in terms:
            if later & set(term.formula.names()):
                raise ValueError(
                    f"{term.name} uses a term that comes later: {sorted(later & set(term.formula.names()))}"
                )
            later.discard(term.name)

    def __iter__(self) -> Iterator[Term]:
        return iter(self.terms)

    def __getitem__(self, name: str) -> Term:
        return self.by_name[name]

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """The names that the terms use and that are no terms, in order of use."""
        used = dict.fromkeys(name for term in self.terms for name in term.formula.names())
        return tuple(name for name in used if name not in self.by_name)

    @cached_property
    def source_code(self) -> str:
        """The Python function that computes all terms."""
        lines = ["def compute(given):"]
        lines += [f"    {name} = given[{name!r}]" for name in self.inputs]
        lines += [f"    {term.name} = {python_source(term.formula)}" for term in self.terms]
        results = ", ".join(f"{term.name!r}: {term.name}" for term in self.terms)
        return "\n".join([*lines, f"    return {{{results}}}"])

    @cached_property
    def compute(self) -> Callable[[Mapping[str, object]], dict[str, object]]:
        """The function from a mapping of all `inputs` to a dictionary of all terms; None is a missing figure."""
        space: dict[str, object] = {
            "_up": _up,
            "_down": math.floor,
            "_nearest": _nearest,
            "_least": _least,
            "_most": _most,
            "_log2": math.log2,
        }
        exec(self.source_code, space)  # noqa: S102  the code is printed from declarations, never from a user's text
        return space["compute"]  # type: ignore[return-value]


def _up(number: float) -> int:
    return math.ceil(number - _NOISE)


def _nearest(number: float) -> int:
    return math.floor(number + 0.5)


def _least(*numbers: float | None) -> float:
    try:
        return min(numbers)  # type: ignore[type-var, return-value]
    except TypeError:  # a missing figure does not count, and is rare
        return min(number for number in numbers if number is not None)


def _most(*numbers: float | None) -> float:
    try:
        return max(numbers)  # type: ignore[type-var, return-value]
    except TypeError:
        return max(number for number in numbers if number is not None)


_PYTHON_CALLS = {"MIN": "_least", "MAX": "_most", "up": "_up", "down": "_down", "nearest": "_nearest", "log2": "_log2"}


def python_source(expression: Expression) -> str:
    """Return the Python code of an expression."""
    kind = expression.kind
    if kind in ("name", "constant"):
        return str(expression.parts[0]) if kind == "name" else repr(expression.parts[0])
    if kind == "missing":
        return "None"
    parts = [python_source(part) for part in expression.parts]  # type: ignore[arg-type]
    if kind in _OPERATORS:
        return f"({parts[0]} {_OPERATORS[kind][1]} {parts[1]})"
    if kind == "IF":
        return f"({parts[1]} if {parts[0]} else {parts[2]})"
    if kind in ("AND", "OR"):
        return f"({f' {kind.lower()} '.join(parts)})"
    if kind == "known":
        return f"({parts[0]} is not None)"
    if kind == "negate":
        return f"(-{parts[0]})"
    return f"{_PYTHON_CALLS[kind]}({', '.join(parts)})"


def spreadsheet_formula(expression: Expression, reference: Callable[[str], str], _outer_rank: int = -1) -> str:
    """Return the native formula of an expression, without its "=".

    Args:
        reference: name → the cell, column or defined name that holds it.
    """
    kind = expression.kind
    if kind == "name":
        return reference(str(expression.parts[0]))
    if kind == "constant":
        return _constant(expression.parts[0])
    if kind == "missing":
        return _MISSING_TEXT

    def part(number: int, rank: int = -1) -> str:
        return spreadsheet_formula(expression.parts[number], reference, rank)  # type: ignore[arg-type]

    if kind in _OPERATORS:
        rank = _OPERATORS[kind][0]
        text = f"{part(0, rank)}{kind}{part(1, rank + (kind in '-/^'))}"  # a-(b-c) keeps its parentheses
        return f"({text})" if rank < _outer_rank else text
    if kind == "negate":
        text = f"-{part(0, _NEGATION_RANK)}"
        return f"({text})" if _outer_rank > 1 else text
    if kind == "up":
        return f"ROUNDUP({part(0, 1)}-{_NOISE_TEXT},0)"
    if kind == "nearest":
        return f"ROUND({part(0)},0)"
    if kind == "down":
        return f"INT({part(0)})"
    if kind == "log2":
        return f"LOG({part(0)},2)"
    if kind == "known":
        return f"ISNUMBER({part(0)})"
    return f"{kind}({','.join(part(number) for number in range(len(expression.parts)))})"


def _constant(value: object) -> str:
    if isinstance(value, str):
        return '"' + value.replace('"', '""') + '"'
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, int) and value >= 10**3 and str(value).strip("0") == "1":
        return f"10^{len(str(value)) - 1}"
    return f"{value:.15g}"
