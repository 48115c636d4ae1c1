"""Test the planner's file in other programs: the stored values that they read and the values that they compute."""

from __future__ import annotations

import json
import shutil
import subprocess

import openpyxl
import pandas
import pytest

import vram_udf
from tests.paths import ROOT
from tests.required import missing
from tests.spreadsheets import formualizer_program
from tests.spreadsheets.stored import stored_results
from tests.workbook.test_parity import same
from workbook.labels import Labels
from workbook.sheets import scenarios

pytestmark = pytest.mark.slow

SHEETJS = ROOT / "tests/hosts/web/sheetjs_values.mjs"


def test_pandas_reads_the_same_values(small_planners, language):
    planner = small_planners[language]
    sheets = pandas.read_excel(planner, sheet_name=None, header=None)
    for (sheet, address), value in stored_results(planner).items():
        cell = openpyxl.utils.cell.coordinate_from_string(address)
        column = openpyxl.utils.column_index_from_string(cell[0]) - 1
        found = sheets[sheet].iat[cell[1] - 1, column]
        assert same(found.item() if hasattr(found, "item") else found, value), (sheet, address)


@pytest.mark.needs("node")
def test_sheetjs_reads_the_same_values(small_planners, language):
    """Web viewers and many mail clients show workbooks with SheetJS."""
    planner = small_planners[language]
    node = shutil.which("node")
    if node is None:
        missing("SheetJS", "Node.js is not installed")
    if not (SHEETJS.parent / "node_modules" / "xlsx").is_dir():
        missing("SheetJS", "run 'npm ci' in tests/hosts/web")
    out = subprocess.run([node, SHEETJS, planner], capture_output=True, check=True, timeout=300).stdout
    sheets = json.loads(out)
    stored = stored_results(planner)
    assert len(stored) > 10_000
    for (sheet, address), value in stored.items():
        assert same(sheets[sheet].get(address), value), (sheet, address)


def test_formualizer_computes_the_same_and_the_add_in_agrees(small_planners):
    """A third program, with the cell functions loaded, computes the same and shows "agrees" in the cross-check."""
    labels, planner = Labels("en"), small_planners["en"]
    functions = {function.__name__: function for function in vram_udf.FUNCTIONS}
    computed = formualizer_program.evaluate(planner, functions)
    sheet, column = labels("sheet.scenarios"), scenarios.letter("addin")
    rows = range(scenarios.FIRST_ROW, scenarios.FIRST_ROW + len(scenarios.EXAMPLES))
    shown = [computed[sheet][f"{column}{number}"] for number in rows]
    comparable = [scenario["allocation"] == "reserved" for scenario in scenarios.EXAMPLES]
    agrees, other = labels("scenarios.addin_agrees"), labels("scenarios.addin_other")
    assert shown == [agrees if reserved else other for reserved in comparable]
    with_add_in = {column, scenarios.letter("addin_total")}
    for (name, address), value in stored_results(planner).items():
        of_add_in = name == sheet and address.rstrip("0123456789") in with_add_in
        if (name, address) != (labels("sheet.checks"), "B4") and not of_add_in:
            assert same(computed[name].get(address), value), (name, address)


def test_openpyxl_keeps_every_chart_and_rule(small_planners, language, tmp_path):
    """Scripts often open and save a workbook with openpyxl."""
    book = openpyxl.load_workbook(small_planners[language])
    book.save(tmp_path / "again.xlsx")
    again = openpyxl.load_workbook(tmp_path / "again.xlsx")
    for ws in book:
        assert len(again[ws.title]._charts) == len(ws._charts)
        assert len(again[ws.title].data_validations.dataValidation) == len(ws.data_validations.dataValidation)
    assert sum(len(ws._charts) for ws in again) == 4
