"""Test how named LAMBDAs are written: as Excel stores what a user types."""

from __future__ import annotations

import pytest
from openpyxl import Workbook

from workbook.functions.all import functions
from workbook.labels import LANGUAGES, Labels
from workbook.lambdas import LONGEST_COMMENT, Function, define, distinct, names_in, of_numbers

LONGEST_FORMULA = 8_192  # characters: support.microsoft.com, "Excel specifications and limits"
LONGEST_PART = 4_500  # of a stored LAMBDA, so that a reader can follow each


@pytest.mark.parametrize(
    ("function", "stored"),
    [
        # Origin: names that Excel for Mac 16 saved after "LAMBDA(value, rate, [periods], …)" and the like were typed.
        (
            Function(
                "GROW", ("value", "rate"), "value*(1+rate)^IF(ISOMITTED(periods),1,periods)", optional=("periods",)
            ),
            "_xlfn.LAMBDA(_xlpm.value,_xlpm.rate,_xlop.periods,"
            "_xlpm.value*(1+_xlpm.rate)^IF(_xlfn.ISOMITTED(_xlpm.periods),1,_xlpm.periods))",
        ),
        (
            Function("STEPS", ("x",), "y*z", steps={"y": "x*2", "z": "y+1"}),
            "_xlfn.LAMBDA(_xlpm.x,_xlfn.LET(_xlpm.y,_xlpm.x*2,_xlpm.z,_xlpm.y+1,_xlpm.y*_xlpm.z))",
        ),
        (
            Function("EACH", (), "SUM(MAP(SEQUENCE(3),LAMBDA(v,v*2)))", inner=("v",)),
            "_xlfn.LAMBDA(SUM(_xlfn.MAP(_xlfn.SEQUENCE(3),_xlfn.LAMBDA(_xlpm.v,_xlpm.v*2))))",
        ),
        # Names of the workbook, columns of tables, texts and other functions stay as they are.
        (
            Function("TAKES", ("row",), 'OTHER(row)&INDEX(Models[row],row)&rows&"row"'),
            '_xlfn.LAMBDA(_xlpm.row,OTHER(_xlpm.row)&INDEX(Models[row],_xlpm.row)&rows&"row")',
        ),
    ],
)
def test_a_file_holds_what_excel_writes(function, stored):
    assert function.stored == stored


def test_excel_shows_it_without_prefixes():
    function = Function("F", ("x",), "x+y", optional=("z",), steps={"y": "2*x"})
    assert function.shown == "LAMBDA(x,[z],LET(y,2*x,x+y))"
    assert function.arguments == "x, [z]"


def test_bound_names_that_are_taken_get_an_underscore():
    function = Function("F", ("gpus",), "gpus+y+GPUs[y]", steps={"y": "gpus*2"})
    assert distinct(function, {"gpus"}).shown == "LAMBDA(gpus_,LET(y,gpus_*2,gpus_+y+GPUs[y]))"


def test_least_and_most_of_values_that_may_be_texts():
    assert of_numbers("MIN(a,MAX(b,1))*IF(c,1,0)") == "MIN(HSTACK(a,MAX(HSTACK(b,1))))*IF(c,1,0)"


def test_a_comment_that_excel_would_not_open_is_refused():
    with pytest.raises(ValueError, match="longer than 255"):
        define(Workbook(), [Function("F", ("x",), "x")], {"F": "x" * (LONGEST_COMMENT + 1)})


@pytest.mark.parametrize("lang", LANGUAGES)
def test_functions_are_short_enough_to_read_and_described(lang):
    labels = Labels(lang)
    for function in functions(labels):
        assert len(function.stored) <= LONGEST_PART < LONGEST_FORMULA, function.name
        assert 0 < len(labels(f"functions.{function.name}")) <= LONGEST_COMMENT, function.name
        bound = {*function.required, *function.optional, *function.steps, *function.inner}
        used = {name for formula in (function.result, *function.steps.values()) for name in names_in(formula)}
        assert {*function.required, *function.optional} <= used, function.name
        assert not {
            name for name in bound if name.upper() in ("R", "C") or (name[-1:].isdigit() and name[:-1].isalpha())
        }
