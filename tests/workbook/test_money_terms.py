"""The terms of money as a sheet shows them: short enough to follow, and explained in both languages."""

from __future__ import annotations

import pytest

from core.plan.money import MONEY_TERMS
from workbook import terms
from workbook.labels import LANGUAGES, Labels


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_formula_is_longer_than_200_characters(language):
    """Even if every figure is in a column of a table, `[@[GPUs to buy]]`."""
    labels = Labels(language)
    shown = {
        term.name: "=" + terms.formula(term, lambda name: f"[@[{terms.label(labels, name)}]]") for term in MONEY_TERMS
    }
    assert {name: formula for name, formula in shown.items() if len(formula) > 200} == {}


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_term_has_its_own_heading(language):
    labels = Labels(language)
    headings = [terms.label(labels, term.name) for term in MONEY_TERMS]
    assert len(headings) == len(set(headings))
