"""The language of formulas: the same value in Python and in a spreadsheet program, for any expression."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import Workbook

from core.plan.money import MONEY_TERMS
from core.plan.terms import (
    MISSING,
    Expression,
    Term,
    Terms,
    all_of,
    any_of,
    down,
    equal,
    if_known,
    known,
    least,
    log2,
    most,
    nearest,
    python_source,
    spreadsheet_formula,
    up,
    v,
    when,
)
from tests.spreadsheets import ironcalc_program

VALUES = {"a": 7, "b": 2.5, "c": 3, "d": 0.25, "none": None}
CELLS = {"a": "A1", "b": "B1", "c": "C1", "d": "D1", "none": "E1"}
DECLARED = (MONEY_TERMS,)


def term(name: str, formula: Expression) -> Term:
    return Term(name=name, unit="", means="A figure.", formula=formula)


def python_value(expression: Expression) -> object:
    given_values = {name: VALUES[name] for name in Terms(term("x", expression)).inputs}
    return Terms(term("x", expression)).compute(given_values)["x"]


def spreadsheet_values(expressions: list[Expression], folder) -> list[object]:
    book = Workbook()
    ws = book.active
    ws.title = "S"
    for name, value in VALUES.items():
        ws[CELLS[name]] = "–" if value is None else value
    for row, expression in enumerate(expressions, start=2):
        ws[f"A{row}"] = "=" + spreadsheet_formula(expression, CELLS.__getitem__)
    book.save(folder / "terms.xlsx")
    values = ironcalc_program.recalculate(folder / "terms.xlsx")["S"]
    return [values.get(f"A{row}") for row in range(2, len(expressions) + 2)]


HAND_WORKED = [
    (v.a - (v.b - v.c), 7.5, "A1-(B1-C1)"),
    (v.a / (v.b * v.c), 7 / 7.5, "A1/(B1*C1)"),
    ((v.a + v.b) * v.c, 28.5, "(A1+B1)*C1"),
    (-(v.b**2), -6.25, "-(B1^2)"),
    ((-v.b) ** 2, 6.25, "(-B1)^2"),
    (v.c ** (-v.d), 3**-0.25, "C1^(-D1)"),
    (up(v.a / v.c), 3, "ROUNDUP(A1/C1-10^-9,0)"),
    (up(v.a / v.a * 3), 3, "ROUNDUP(A1/A1*3-10^-9,0)"),
    (down(v.a / v.c), 2, "INT(A1/C1)"),
    (nearest(v.b), 3, "ROUND(B1,0)"),
    (log2(v.d) + v.a, 5, "LOG(D1,2)+A1"),
    (least(v.a, v.none, v.c), 3, "MIN(A1,E1,C1)"),
    (most(v.a, v.none), 7, "MAX(A1,E1)"),
    (when(all_of(v.a > 1, v.b <= 2.5), "yes", "no"), "yes", 'IF(AND(A1>1,B1<=2.5),"yes","no")'),
    (when(any_of(v.a < 1, equal(v.c, 3)), v.a, MISSING), 7, 'IF(OR(A1<1,C1=3),A1,"–")'),
    (if_known([v.none], v.none + 1), None, 'IF(ISNUMBER(E1),E1+1,"–")'),
    (if_known([v.a, v.b], v.a + v.b), 9.5, 'IF(AND(ISNUMBER(A1),ISNUMBER(B1)),A1+B1,"–")'),
    (when(known(v.none), 1, 0), 0, "IF(ISNUMBER(E1),1,0)"),
]


@pytest.mark.parametrize(("expression", "value", "formula"), HAND_WORKED)
def test_value_and_formula(expression, value, formula):
    assert python_value(expression) == value
    assert spreadsheet_formula(expression, CELLS.__getitem__) == formula


def test_a_spreadsheet_program_computes_the_same(tmp_path):
    computed = spreadsheet_values([expression for expression, _, _ in HAND_WORKED], tmp_path)
    for (expression, value, _), found in zip(HAND_WORKED, computed):
        expected = "–" if value is None else value
        assert found == (pytest.approx(expected, rel=1e-12) if isinstance(expected, (int, float)) else expected), (
            python_source(expression)
        )


NUMBERS = st.one_of(
    st.sampled_from([v.a, v.b, v.c, v.d]), st.integers(1, 9).map(lambda n: Expression("constant", (n,)))
)


def _grow(parts):
    pairs = st.tuples(parts, parts)
    return st.one_of(
        pairs.map(lambda p: p[0] + p[1]),
        pairs.map(lambda p: p[0] - p[1]),
        pairs.map(lambda p: p[0] * p[1]),
        pairs.map(lambda p: p[0] / (most(p[1], -p[1]) + 1)),
        pairs.map(lambda p: least(*p)),
        pairs.map(lambda p: when(p[0] <= p[1], p[0], p[1] - 1)),
        parts.map(lambda p: -p),
        parts.map(lambda p: up(most(0.5, p))),
        parts.map(lambda p: down(most(0, p) + 0.001)),
    )


@given(st.lists(st.recursive(NUMBERS, _grow, max_leaves=8), min_size=1, max_size=20))
def test_any_expression_computes_the_same(tmp_path_factory, expressions):
    computed = spreadsheet_values(expressions, tmp_path_factory.mktemp("terms"))
    for expression, found in zip(expressions, computed):
        assert found == pytest.approx(python_value(expression), rel=1e-9, abs=1e-9), python_source(expression)


def test_terms_are_computed_in_order_and_name_their_inputs():
    terms = Terms(term("x", v.a + 1), term("y", v.x * v.b))
    assert terms.inputs == ("a", "b")
    assert terms.compute({"a": 2, "b": 5}) == {"x": 3, "y": 15}


def test_a_term_that_comes_too_late_or_twice_is_refused():
    with pytest.raises(ValueError, match="y uses a term that comes later"):
        Terms(term("y", v.x * 2), term("x", v.a + 1))
    with pytest.raises(ValueError, match="same name"):
        Terms(term("x", v.a), term("x", v.b))


def depth_of_if(expression: Expression) -> int:
    below = max((depth_of_if(part) for part in expression.parts if isinstance(part, Expression)), default=0)
    return below + (expression.kind == "IF")


@pytest.mark.parametrize("declared", [term for terms in DECLARED for term in terms], ids=lambda term: term.name)
def test_every_declared_formula_can_be_followed(declared):
    """At most 8 different references, IF at most 3 deep, and a sentence that says what it is."""
    assert len(set(declared.formula.names())) <= 8
    assert depth_of_if(declared.formula) <= 3
    assert declared.means.endswith(".") and declared.means[0].isupper()
