"""Run a test in each spreadsheet program that recalculates native formulas."""

from __future__ import annotations

import pytest

from tests.spreadsheets import ironcalc_program, libreoffice

PROGRAMS = (
    pytest.param(libreoffice, id="libreoffice", marks=pytest.mark.needs("libreoffice")),
    pytest.param(ironcalc_program, id="ironcalc"),
)
in_each_program = pytest.mark.parametrize("program", PROGRAMS)
