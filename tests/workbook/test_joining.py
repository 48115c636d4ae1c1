"""Joined formulas have the values of the terms that they are made of."""

from __future__ import annotations

import random

import pytest

from core.plan.money import OPTION_MONEY
from core.plan.terms import MISSING, Expression, Term, Terms, all_of, if_known, known, python_source, v, when
from workbook.joining import Facts, Knowledge, Simplifier, fits_in_sheet, joined
from workbook.labels import LANGUAGES, Labels
from workbook.sheets import option_terms

OPTIONAL = (
    "gpu_usd", "server_per_gpu_usd", "tdp_w", "on_demand_usd_per_gpu_hour", "reserved_usd_per_gpu_hour",
    "users_per_replica", "order_step", "on_demand_step", "reserved_step",
)  # fmt: skip


def simplified(formula: Expression, formulas: dict[str, Expression]) -> str:
    return python_source(Simplifier(Knowledge(formulas, frozenset({"x", "y"}))).simplified(formula))


def computed(formulas: dict[str, Expression], given: dict[str, object]) -> dict[str, object]:
    return Terms(*(Term(name=name, unit="", means="", formula=formulas[name]) for name in formulas)).compute(given)


def test_a_term_takes_the_place_of_its_name_and_its_test_that_of_what_it_needs():
    formulas = {"a": if_known([v.x], v.x * 2), "b": if_known([v.a], v.a + 1)}
    found = joined(formulas, {"b"}, lambda _: True, {"x"})
    assert {name: python_source(formula) for name, formula in found.items()} == {
        "b": "(((x * 2) + 1) if (x is not None) else None)"
    }


def test_a_formula_that_does_not_fit_stays_apart():
    formulas = {"a": if_known([v.x], v.x * 2), "b": if_known([v.a], v.a + 1)}
    found = joined(formulas, {"b"}, lambda formula: "*" not in repr(formula), {"x"})
    assert repr(found) == repr(formulas)


def test_a_missing_figure_never_meets_an_operator():
    """A spreadsheet program computes both conditions of AND, and "–" × 2 is an error."""
    formulas = {"a": if_known([v.x], v.x * 2), "b": when(all_of(known(v.a), v.a > 1), v.a, MISSING)}
    found = joined(formulas, {"b"}, lambda _: True, {"x"})["b"]
    simplifier = Simplifier(Knowledge(formulas, frozenset({"x"})))
    assert simplifier.is_sound(found)
    assert not simplifier.is_sound(when(all_of(known(v.x), v.x * 2 > 1), 1, 0))
    assert not simplifier.is_sound(v.x * 2)
    assert simplifier.is_sound(v.x * 2, Facts(frozenset({"(x is not None)"})))


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        (if_known([v.x], if_known([v.x, v.y], v.x + v.y)), "((x + y) if ((x is not None) and (y is not None)) else None)"),
        (if_known([v.a, v.x], v.a), "(a if (a is not None) else None)"),
        (when(known(v.z), v.z, 0), "z"),
        (when(v.z > 1, when(v.z > 1, v.x, v.y), v.z), "(x if (z > 1) else z)"),
        (v.z / 1 * 1, "z"),
    ],
)  # fmt: skip
def test_tests_that_follow_from_others_are_left_out(formula, expected):
    assert simplified(formula, {"a": if_known([v.x], v.x * 2)}) == expected


def test_joined_money_is_the_same_money():
    """Whatever is missing: every column that remains has the value of its term."""
    rng = random.Random(3)
    formulas = {term.name: term.formula for term in OPTION_MONEY}
    fits = fits_in_sheet(lambda name: f"Options[[#This Row],[{name}]]")
    found = joined(formulas, {"net_present_cost", "break_even", "order", "rented"}, fits, OPTIONAL)
    assert len(found) < len(formulas)
    for _ in range(500):
        given = {name: float(rng.choice((0, 1, 2, 7, 40))) + 0.5 for name in OPTION_MONEY.inputs}
        given |= {"headroom": 0.1, "whole_nodes": float(rng.randint(0, 1)), "on_board": float(rng.randint(0, 1))}
        given |= {"monthly_rate": 0.01, "most_gpus": 1000.0}
        given |= dict.fromkeys(rng.sample(OPTIONAL, rng.choice((0, 0, 1, 3))))
        try:
            expected = OPTION_MONEY.compute(given)
        except TypeError:  # a step of an offer is missing, which terms do not allow
            continue
        for name, value in computed(found, given).items():
            assert value == (expected[name] if value is None else pytest.approx(expected[name], rel=1e-12)), (
                name,
                given,
            )


def test_options_has_every_figure_that_others_look_up_under_a_heading_of_its_own():
    shown = option_terms.shown()
    assert shown.keys() >= option_terms.KEPT & option_terms.NAMES
    for lang in LANGUAGES:
        headings = [option_terms.header(Labels(lang), name) for name in shown]
        assert len(headings) == len(set(headings))
