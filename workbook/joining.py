"""Join terms where a sheet shows them, so that it has fewer columns and its formulas shorter chains of precedents.

Each term takes the place of its name in the terms that use it, as long as their formulas stay short enough for a
reader. What a missing figure makes necessary stays: a test whether a figure is known becomes the test of what it is
computed from. The functions here know nothing of a sheet but how it refers to each name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from types import MappingProxyType

from core.plan.terms import Expression, all_of, equal, known, python_source, spreadsheet_formula, when
from workbook.audit.followable import MOST_CHARACTERS, MOST_IFS, MOST_REFERENCES
from workbook.audit.formula import as_shown, operands

TRUE, FALSE, ONE = (Expression("constant", (value,)) for value in (True, False, 1))
_COMPARISONS = frozenset({"=", "<", ">", "<=", ">="})
# Operands that a formula repeats if a term takes the place of several names: the work that a cell less may cost.
MOST_REPEATED = 12
_MOST_USES = (1, 2, 100)
SPARE_CHARACTERS = 3  # below the limit, for the "=" and what a sheet adds
Formulas = dict[str, Expression]
Fits = Callable[[Expression], bool]


@dataclass(frozen=True)
class Facts:
    """Conditions that hold where an expression is evaluated, by their Python source, and those that do not."""

    true: frozenset[str] = frozenset()
    false: frozenset[str] = frozenset()


_NONE = Facts()


@dataclass(frozen=True)
class Knowledge:
    """What follows from a figure that is known.

    Attributes:
        formulas: the formula of each term, before any is joined.
        optional: inputs that can be missing.
    """

    formulas: Mapping[str, Expression]
    optional: Collection[str] = ()
    _implied: dict[str, frozenset[str]] = field(default_factory=dict)

    @cached_property
    def may_be_missing(self) -> frozenset[str]:
        """The names of terms and inputs that can be missing."""
        found = set(self.optional)
        for name, formula in self.formulas.items():
            if self._can_be_missing(formula, found):
                found.add(name)
        return frozenset(found)

    def implied_by(self, name: str) -> frozenset[str]:
        """Return the conditions that hold where the figure `name` is known, `known(name)` included."""
        if name not in self._implied:
            own = {python_source(known(Expression("name", (name,))))}
            for condition in self._conditions(self.formulas[name]) if name in self.formulas else ():
                own |= self.with_implied(condition)
            self._implied[name] = frozenset(own)
        return self._implied[name]

    def with_implied(self, condition: Expression) -> frozenset[str]:
        """Return a condition that holds with all that follow from it."""
        if condition.kind == "AND":
            return frozenset().union(*map(self.with_implied, _parts(condition)))
        if condition.kind == "known" and _parts(condition)[0].kind == "name":
            return self.implied_by(str(_parts(condition)[0].parts[0]))
        if condition.kind == "IF" and _is(_parts(condition)[2], FALSE):
            return self.with_implied(_parts(condition)[0]) | self.with_implied(_parts(condition)[1])
        return frozenset({python_source(condition)})

    def _can_be_missing(self, formula: Expression, names: Collection[str]) -> bool:
        if formula.kind == "IF":
            return any(self._can_be_missing(part, names) for part in _parts(formula)[1:])
        return formula.kind == "missing" or (formula.kind == "name" and formula.parts[0] in names)

    def _conditions(self, formula: Expression) -> list[Expression]:
        """Return conditions that hold where the result of a formula is known."""
        if formula.kind == "name":
            return [known(formula)] if formula.parts[0] in self.may_be_missing else []
        if formula.kind == "IF":
            condition, then, otherwise = _parts(formula)
            if otherwise.kind == "missing":
                return [condition, *self._conditions(then)]
            return self._conditions(otherwise) if then.kind == "missing" else []
        if formula.kind in ("+", "-", "*", "/", "^", "negate", "up", "down", "nearest", "log2"):
            return [condition for part in _parts(formula) for condition in self._conditions(part)]
        return []


def _parts(expression: Expression) -> tuple[Expression, ...]:
    return expression.parts  # type: ignore[return-value]


def _is(expression: Expression, constant: Expression) -> bool:
    return expression.kind == "constant" and expression.parts[0] is constant.parts[0]


@lru_cache(maxsize=10_000)
def _key(expression: Expression) -> str:
    return python_source(expression)


@lru_cache(maxsize=10_000)
def _names(expression: Expression) -> tuple[str, ...]:
    return tuple(expression.names())


def replaced(expression: Expression, by: Mapping[str, Expression]) -> Expression:
    """Return an expression in which others take the place of names."""
    if expression.kind == "name":
        return by.get(str(expression.parts[0]), expression)
    if expression.kind in ("constant", "missing"):
        return expression
    parts = tuple(replaced(part, by) for part in _parts(expression))
    return expression if all(a is b for a, b in zip(parts, expression.parts)) else Expression(expression.kind, parts)


def without_ones(expression: Expression) -> Expression:
    """Return an expression without its factors and divisors of 1 on the right."""
    if expression.kind in ("name", "constant", "missing"):
        return expression
    parts = tuple(map(without_ones, _parts(expression)))
    if expression.kind in ("*", "/") and _is(parts[1], ONE):
        return parts[0]
    return Expression(expression.kind, parts)


class Simplifier:
    """Simplify expressions: leave out tests whose outcome follows from those around them."""

    def __init__(self, knowledge: Knowledge) -> None:
        self._knowledge = knowledge
        self._following: dict[tuple[str, Facts], bool] = {}

    def simplified(self, expression: Expression, facts: Facts = _NONE) -> Expression:
        """Return the expression without what the facts decide."""
        if expression.kind in ("name", "constant", "missing"):
            return expression
        decided = self._decided(expression, facts)
        if decided is not None:
            return decided
        if expression.kind == "IF":
            return self._if(expression, facts)
        if expression.kind in ("AND", "OR"):
            return self._all_or_any(expression, facts)
        if expression.kind == "known":
            return self._known(_parts(expression)[0], facts)
        parts = tuple(self.simplified(part, facts) for part in _parts(expression))
        if expression.kind == "=" and parts[0].kind == "IF":
            of_choice = self._choice_is(parts[0], parts[1], facts)
            if of_choice is not None:
                return of_choice
        if expression.kind in ("*", "/") and parts[1].kind == "constant" and parts[1].parts[0] == 1:
            return parts[0]
        return Expression(expression.kind, parts)

    def is_sound(self, expression: Expression, facts: Facts = _NONE, *, is_result: bool = True) -> bool:
        """Return whether no program makes an error of a missing figure: it is a text, with which none can compute.

        Args:
            is_result: the value may be missing, as that of a cell may.
        """
        kind = expression.kind
        if kind in ("constant", "missing", "known"):
            return kind != "missing" or is_result
        if kind == "name":
            return is_result or self._is_known(expression, facts)
        parts = _parts(expression)
        if kind == "IF":
            then, otherwise = self.with_true(facts, parts[0]), _with_false(facts, parts[0])
            return (
                self.is_sound(parts[0], facts, is_result=False)
                and self.is_sound(parts[1], then, is_result=is_result)
                and self.is_sound(parts[2], otherwise, is_result=is_result)
            )
        if kind in ("MIN", "MAX") or kind in _COMPARISONS:  # they leave out a cell with a text
            return all(self._is_cell(part) or self.is_sound(part, facts, is_result=False) for part in parts)
        return all(self.is_sound(part, facts, is_result=False) for part in parts)

    def _is_cell(self, expression: Expression) -> bool:
        return expression.kind == "name" and expression.parts[0] in self._knowledge.formulas

    def with_true(self, facts: Facts, condition: Expression) -> Facts:
        """Return the facts where a condition holds too."""
        return Facts(facts.true | self._knowledge.with_implied(condition), facts.false)

    def _is_known(self, expression: Expression, facts: Facts) -> bool:
        return _is(self._known(expression, facts), TRUE)

    @staticmethod
    def _decided(condition: Expression, facts: Facts) -> Expression | None:
        if condition.kind in _COMPARISONS or condition.kind in ("known", "AND", "OR"):
            key = _key(condition)
            return TRUE if key in facts.true else FALSE if key in facts.false else None
        return None

    def _if(self, expression: Expression, facts: Facts) -> Expression:
        condition = self.simplified(_parts(expression)[0], facts)
        if condition.kind == "constant":
            return self.simplified(_parts(expression)[1 if condition.parts[0] else 2], facts)
        then = self.simplified(_parts(expression)[1], self.with_true(facts, condition))
        otherwise = self.simplified(_parts(expression)[2], _with_false(facts, condition))
        if _key(then) == _key(otherwise):
            return then
        if then.kind == "IF" and _key(_parts(then)[2]) == _key(otherwise):  # IF(a,IF(b,x,y),y) is IF(AND(a,b),x,y)
            both = self._both(condition, _parts(then)[0], facts)
            if both.kind == "AND":
                return when(both, _parts(then)[1], otherwise)
        return when(condition, then, otherwise)

    def _choice_is(self, choice: Expression, value: Expression, facts: Facts) -> Expression | None:
        """Return the condition that a choice gives a constant that its other value is not, or None."""
        condition, then, otherwise = _parts(choice)
        if not (value.kind == otherwise.kind == "constant") or _key(value) == _key(otherwise):
            return None
        if then.kind == "constant":
            return condition if _key(then) == _key(value) else None
        return self._both(condition, equal(then, value), facts)

    def _all_or_any(self, expression: Expression, facts: Facts) -> Expression:
        decisive = expression.kind == "OR"  # a TRUE decides OR, a FALSE decides AND
        conditions: dict[str, Expression] = {}
        for part in _parts(expression):
            condition = self.simplified(part, facts)
            for one in _parts(condition) if condition.kind == expression.kind else (condition,):
                if one.kind != "constant":
                    conditions[_key(one)] = one
                elif bool(one.parts[0]) == decisive:
                    return TRUE if decisive else FALSE
        if expression.kind == "AND":
            conditions = self._without_implied(conditions)
        if len(conditions) < 2:
            return next(iter(conditions.values()), FALSE if decisive else TRUE)
        return Expression(expression.kind, tuple(conditions.values()))

    def _without_implied(self, conditions: Mapping[str, Expression]) -> dict[str, Expression]:
        """Return conditions without those that follow from another one."""
        left = dict(conditions)
        for key in conditions:
            if any(key in self._knowledge.with_implied(other) for name, other in left.items() if name != key):
                del left[key]
        return left

    def _known(self, operand: Expression, facts: Facts) -> Expression:
        """Return the condition that the value of an expression is known."""
        kind = operand.kind
        if kind == "missing":
            return FALSE
        if kind == "name":
            if operand.parts[0] not in self._knowledge.may_be_missing:
                return TRUE
            return self._decided(known(operand), facts) or self._follows(str(operand.parts[0]), facts) or known(operand)
        if kind == "IF":
            condition = self.simplified(_parts(operand)[0], facts)
            if condition.kind == "constant":
                return self._known(_parts(operand)[1 if condition.parts[0] else 2], facts)
            then = self._known(_parts(operand)[1], self.with_true(facts, condition))
            otherwise = self._known(_parts(operand)[2], _with_false(facts, condition))
            if _key(then) == _key(otherwise):
                return then
            return self._both(condition, then, facts) if _is(otherwise, FALSE) else when(condition, then, otherwise)
        if kind in ("+", "-", "*", "/", "^", "negate", "up", "down", "nearest", "log2"):
            return self._all_or_any(all_of(*(known(part) for part in _parts(operand))), facts)
        return TRUE  # the least and the most are of those known

    def _follows(self, name: str, facts: Facts) -> Expression | None:
        """Return TRUE if it follows from the facts, by the formula of a term, that it is known."""
        if name not in self._knowledge.formulas:
            return None
        key = name, facts
        if key not in self._following:
            self._following[key] = _is(self._known(self._knowledge.formulas[name], facts), TRUE)
        return TRUE if self._following[key] else None

    def _both(self, first: Expression, second: Expression, facts: Facts) -> Expression:
        """Return the condition that both hold, the second of which is computed only where the first holds."""
        if _is(second, TRUE):
            return first
        if not self.is_sound(second, facts, is_result=False):
            return when(first, second, FALSE)
        return self._all_or_any(all_of(first, second), facts)


def _with_false(facts: Facts, condition: Expression) -> Facts:
    opened = _parts(condition) if condition.kind == "OR" else (condition,)
    return Facts(facts.true, facts.false | {_key(one) for one in opened})


def joined(
    formulas: Mapping[str, Expression],
    keep: Collection[str],
    fits: Fits,
    optional: Collection[str] = (),
    lengths: Mapping[str, int] = MappingProxyType({}),
) -> Formulas:
    """Return the formulas of the columns that remain, in their order.

    Args:
        formulas: the formula of each term, after those that it uses.
        keep: terms that remain in any case.
        fits: whether a sheet may show a formula.
        optional: inputs that can be missing.
        lengths: of inputs: how many cells their chains of precedents have; 0 where it is not given.
    """
    simplifier = Simplifier(Knowledge(formulas, frozenset(optional)))
    joiner = _Joiner(simplifier, frozenset(keep), fits, lengths)
    simple = {name: simplifier.simplified(formula) for name, formula in formulas.items()}
    return joiner.with_shorter_chains(joiner.with_fewer_columns(simple))


@dataclass(frozen=True)
class _Joiner:
    simplifier: Simplifier
    keep: frozenset[str]
    fits: Fits
    lengths: Mapping[str, int]

    def with_fewer_columns(self, formulas: Formulas) -> Formulas:
        """Put the formulas of terms that need not remain in the place of their names, those used seldom first."""
        for most_uses in _MOST_USES:
            changed = True
            while changed:
                changed = False
                uses = Counter(name for formula in formulas.values() for name in _names(formula))
                names = [name for name in formulas if name not in self.keep and uses[name] <= most_uses]
                for name in sorted(names, key=lambda name: (_size(formulas[name]), name)):
                    into = self._without(formulas, name)
                    if into is not None:
                        formulas |= into
                        del formulas[name]
                        changed = True
        return formulas

    def with_shorter_chains(self, formulas: Formulas) -> Formulas:
        """Repeat formulas where that shortens the longest chain of precedents, and leave out columns without a user."""
        changed = True
        while changed:
            changed = False
            for name in self._of_longest_chain(formulas):
                shorter = self._one_shorter(formulas, name)
                if shorter is not None:
                    formulas[name] = shorter
                    changed = True
        used = {name for formula in formulas.values() for name in _names(formula)} | self.keep
        if used >= set(formulas):
            return formulas
        return self.with_shorter_chains({name: formula for name, formula in formulas.items() if name in used})

    def _without(self, formulas: Formulas, name: str) -> Formulas | None:
        """Return the formulas that use `name` with its formula in its place; None if one does not fit."""
        users = {other: formula for other, formula in formulas.items() if name in _names(formula)}
        before = _size(formulas[name]) + sum(map(_size, users.values()))
        found: Formulas = {}
        for other, formula in users.items():
            new = self._replaced(formula, {name: formulas[name]})
            if new is None:
                return None
            found[other] = new
        return found if sum(map(_size, found.values())) - before <= MOST_REPEATED else None

    def _replaced(self, formula: Expression, by: Mapping[str, Expression]) -> Expression | None:
        new = self.simplifier.simplified(replaced(formula, by))
        return new if self.simplifier.is_sound(new) and self.fits(new) else None

    def _of_longest_chain(self, formulas: Formulas) -> list[str]:
        """Return the terms of which the longest chain consists, or one of the longest, the first first."""
        before = self._chain_lengths(formulas)
        left = [max(formulas, key=lambda name: before[name])]
        chain = []
        while left:
            chain.append(left.pop())
            found = [name for name in dict.fromkeys(_names(formulas[chain[-1]])) if name in formulas]
            left = sorted(found, key=lambda name: before[name])[-1:]
        return chain[::-1]

    def _one_shorter(self, formulas: Formulas, name: str) -> Expression | None:
        """Return the formula of `name` with those of its last precedents in the place of their names."""
        before = self._chain_lengths(formulas)
        used = [other for other in dict.fromkeys(_names(formulas[name])) if other in formulas]
        last = max((before[other] for other in used), default=0)
        if any(
            before.get(other, self.lengths.get(other, 0)) >= last
            for other in _names(formulas[name])
            if other not in formulas
        ):
            return None
        by = {other: formulas[other] for other in used if before[other] == last}
        return self._replaced(formulas[name], by) if by else None

    def _chain_lengths(self, formulas: Formulas) -> dict[str, int]:
        found: dict[str, int] = {}
        for name, formula in formulas.items():
            found[name] = 1 + max(
                (found.get(other, self.lengths.get(other, 0)) for other in _names(formula)), default=0
            )
        return found


@lru_cache(maxsize=10_000)
def _size(expression: Expression) -> int:
    """Return the number of operands and operations."""
    if expression.kind in ("name", "constant", "missing"):
        return 1
    return 1 + sum(map(_size, _parts(expression)))


def fits_in_sheet(*references: Callable[[str], str]) -> Fits:
    """Return whether a reader can follow a formula, in every language of the sheet.

    Args:
        references: in each language: name → the cell, column or look-up that holds it.
    """
    in_languages = [_Shown(reference) for reference in references]
    return lambda expression: _depth_of_if(expression) <= MOST_IFS and all(one.fits(expression) for one in in_languages)


class _Shown:
    """How a sheet shows names, in one language."""

    def __init__(self, reference: Callable[[str], str]) -> None:
        self._reference = reference
        self._shown: dict[str, tuple[str, frozenset[str]]] = {}

    def fits(self, expression: Expression) -> bool:
        """Return whether a formula is short enough and refers to few enough different cells, columns and names."""
        references = frozenset().union(*(self._of(name)[1] for name in set(_names(expression))))
        if len(references) > MOST_REFERENCES:
            return False
        text = spreadsheet_formula(expression, lambda name: self._of(name)[0])
        return len(text) <= MOST_CHARACTERS - SPARE_CHARACTERS

    def _of(self, name: str) -> tuple[str, frozenset[str]]:
        if name not in self._shown:
            text = self._reference(name)
            self._shown[name] = as_shown(text), frozenset(operands(f"={text}"))
        return self._shown[name]


def _depth_of_if(expression: Expression) -> int:
    if expression.kind in ("name", "constant", "missing"):
        return 0
    return (expression.kind == "IF") + max(map(_depth_of_if, _parts(expression)))
