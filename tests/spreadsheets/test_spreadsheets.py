"""Test the test harness itself, on tiny workbooks: the spreadsheet programs and the replacement of pywin32."""

from __future__ import annotations

import sys
import tempfile
import zipfile
from pathlib import Path

import openpyxl
import pytest
from openpyxl.comments import Comment
from openpyxl.formatting.rule import IconSetRule
from openpyxl.styles import Protection
from openpyxl.workbook.defined_name import DefinedName
from openpyxl.worksheet.datavalidation import DataValidation
from openpyxl.worksheet.hyperlink import Hyperlink
from openpyxl.worksheet.table import Table

from tests import required
from tests.hosts.com import facts
from tests.hosts.com.pywin32_stand_in import ExcelCaller
from tests.spreadsheets import ProgramError, WriteRefused, formualizer_program, libreoffice
from tests.spreadsheets.programs import PROGRAMS, in_each_program

pytestmark = pytest.mark.slow


# (formula, expected result); the fixture `workbook` writes the table "Scenarios" and its sheet.
FORMULAS = [
    ("=1/3*3", 1.0),
    ("=Inputs!B1*2", 6.0),
    ("=SUM(Scenarios[KV cache (GB)])", 4.0),
    ("=SUM(Scenarios[权重])", 7.0),
    ('=INDEX(Scenarios[权重],MATCH("b",Scenarios[Name],0))', 4.0),
    ('=_xlfn.XLOOKUP("b",Scenarios[Name],Scenarios[Total (GB)])', 6.5),
    ("=SUM('场景'!B2:B3)", 4.0),
    ("=kv_total", 4.0),
    ("=ISNUMBER(VRAM_WEIGHTS(1))", False),
    ('=IFERROR(VRAM_WEIGHTS(1),"not installed")', "not installed"),
    ("=VRAM_WEIGHTS(1)", "#NAME?"),
    ("=1/0", "#DIV/0!"),
    ("=NA()", "#N/A"),
    ('="a"+1', "#VALUE!"),
    ("=INDEX(Scenarios[Name],9)", "#REF!"),
    ("=ISBLANK(Inputs!B3)", True),
    ('=Inputs!B3&""', ""),
    ('=HYPERLINK("#Inputs!A1","go")', "go"),
]


@pytest.fixture(scope="module")
def workbook(tmp_path_factory) -> Path:
    """Write a workbook with the features that the planner uses, and a wrong stored result for every formula."""
    book = openpyxl.Workbook()
    _fill_inputs(book.active)
    _fill_scenarios(book.create_sheet("场景"))
    _fill_results(book.create_sheet("Results"))
    for name, cells in {"kv_total": "Results!$A$3", "broken": "Results!$A$12", "kv": "场景!$B$2:$B$3"}.items():
        book.defined_names[name] = DefinedName(name, attr_text=cells)
    book.defined_names["constant"] = DefinedName("constant", attr_text="42")
    path = tmp_path_factory.mktemp("spreadsheets") / "tiny book.xlsx"
    book.save(path)
    _store_wrong_results(path)
    return path


def _fill_inputs(sheet) -> None:
    sheet.title = "Inputs"
    sheet["B1"], sheet["B2"] = 3, "llama"
    sheet["B1"].comment = Comment("a comment", "the author")
    sheet["B5"] = "=B1+1"
    sheet["B6"] = "=B1>5"
    for address in ("B1", "B2", "B3"):
        sheet[address].protection = Protection(locked=False)
    sheet.protection.sheet = True
    choice = DataValidation(type="list", formula1='"llama,qwen"', showErrorMessage=True)
    choice.add("B2")
    sheet.add_data_validation(choice)


def _fill_scenarios(sheet) -> None:
    sheet.append(["Name", "KV cache (GB)", "权重", "Total (GB)"])
    total = "=Scenarios[[#This Row],[KV cache (GB)]]+Scenarios[[#This Row],[权重]]"
    sheet.append(["a", 1.5, 3, total])
    sheet.append(["b", 2.5, 4, total])
    sheet.add_table(Table(displayName="Scenarios", ref="A1:D3"))
    sheet.conditional_formatting.add("B2:B3", IconSetRule("3TrafficLights1", "num", [0, 1, 2]))


def _fill_results(sheet) -> None:
    for formula, _ in FORMULAS:
        sheet.append([formula])
    sheet["C1"] = "back"
    sheet["C1"].hyperlink = Hyperlink(ref="C1", location="'Inputs'!A1")


def _store_wrong_results(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            for no_result in (b"<v></v>", b"<v />", b"<v/>"):
                content = content.replace(b"</f>" + no_result, b"</f><v>999</v>")
            archive.writestr(name, content)


def _results_by_formula(sheet: dict[str, object]) -> dict[str, object]:
    return {formula: sheet.get(f"A{row}") for row, (formula, _) in enumerate(FORMULAS, start=1)}


# ---- the two programs for native formulas ------------------------------------------------------------


def test_the_tiny_workbook_holds_wrong_results(workbook):
    stored = openpyxl.load_workbook(workbook, data_only=True)
    assert [stored["Results"].cell(row, 1).value for row in range(1, len(FORMULAS) + 1)] == [999] * len(FORMULAS)


@in_each_program
def test_every_formula_is_recalculated_whatever_the_file_says(program, workbook):
    values = program.recalculate(workbook)
    assert _results_by_formula(values["Results"]) == dict(FORMULAS)
    assert values["场景"]["D3"] == 6.5


@in_each_program
def test_constants_are_reported_and_blanks_are_absent(program, workbook):
    inputs = program.recalculate(workbook)["Inputs"]
    assert inputs == {"B1": 3.0, "B2": "llama", "B5": 4.0, "B6": False}
    assert type(inputs["B1"]) is float


@pytest.fixture(scope="module", params=PROGRAMS)
def book(request, workbook):
    """Open the tiny workbook for what-ifs."""
    with request.param.WhatIf(workbook) as opened:
        yield opened


def test_a_change_reaches_the_results(book):
    book.set({("Inputs", "B1"): 10})
    assert book.get([("Inputs", "B1"), ("Inputs", "B5"), ("Results", "A2")]) == [10.0, 11.0, 20.0]
    assert book.get([("Inputs", "B6")]) == [1.0]  # TRUE
    book.set({("Inputs", "B1"): 3})
    assert book.get([("Results", "A2"), ("Inputs", "B6")]) == [6.0, 0.0]  # 0.0 is FALSE


def test_texts_stay_texts_and_none_clears(book):
    book.set({("Inputs", "B2"): "=1+1", ("Inputs", "B3"): "0.5"})
    assert book.get([("Inputs", "B2"), ("Inputs", "B3"), ("Results", "A16")]) == ["=1+1", "0.5", 0.0]
    book.set({("Inputs", "B2"): "llama", ("Inputs", "B3"): None})
    assert book.get([("Inputs", "B2"), ("Inputs", "B3"), ("Results", "A16")]) == ["llama", None, 1.0]


def test_numbers_keep_all_their_digits(book):
    numbers = [0.1 + 0.2, 1e300, 5e-324, 123456789.123456789]
    assert book.run([{("Inputs", "B1"): number} for number in numbers], [("Inputs", "B1")]) == [[n] for n in numbers]


def test_results_of_formulas_are_read_as_excel_shows_them(book):
    cells = [("Results", f"A{row}") for row in range(1, len(FORMULAS) + 1)]
    assert book.get(cells) == [expected for _, expected in FORMULAS]


def test_names(book):
    assert book.named(["kv_total", "broken", "kv"]) == [4.0, "#DIV/0!", [[1.5], [2.5]]]
    assert book.get(["kv_total", ("Inputs", "B2")]) == [4.0, "llama"]
    for name in ("no_such_name", "constant"):
        with pytest.raises(ProgramError, match=name):
            book.named([name])


def test_cases_of_one_run_are_independent_and_leave_no_trace(book):
    cases = [{("Inputs", "B1"): 100}, {("Inputs", "B2"): "qwen"}, {("Inputs", "B1"): 0.5, ("Inputs", "B3"): 1}]
    outputs = [("Results", "A2"), ("Inputs", "B2"), ("Results", "A16"), "kv_total"]
    assert book.run(cases, outputs) == [[200.0, "llama", 1.0, 4.0], [6.0, "qwen", 1.0, 4.0], [1.0, "llama", 0.0, 4.0]]
    assert book.get([("Inputs", "B1"), ("Inputs", "B2"), ("Inputs", "B3")]) == [3.0, "llama", None]


def test_a_locked_cell_refuses_the_write(book):
    for content in (7, "text", None):
        with pytest.raises(WriteRefused, match="Inputs!B5"):
            book.set({("Inputs", "B5"): content})
    with pytest.raises(WriteRefused):
        book.run([{("Inputs", "B1"): 8, ("Inputs", "A1"): 8}], ["kv_total"])
    assert book.get([("Inputs", "B1"), ("Inputs", "B5")]) == [3.0, 4.0]


def test_an_unprotected_sheet_takes_any_write(book):
    assert book.run([{("场景", "B2"): 10}, {("Results", "A3"): 8}], ["kv_total"]) == [[12.5], [8.0]]
    assert book.named(["kv_total"]) == [4.0]


@pytest.mark.parametrize("cell", [("No such sheet", "B1"), ("Inputs", "B1:B2"), ("Inputs", "not a cell")])
def test_what_is_not_a_cell_is_an_error(book, cell):
    with pytest.raises(ProgramError):
        book.get([cell])
    with pytest.raises(ProgramError):
        book.set({cell: 1})


@pytest.mark.parametrize("content, error", [(True, TypeError), ([1], TypeError), (float("nan"), ValueError)])
def test_what_no_cell_can_hold_is_not_written(book, content, error):
    with pytest.raises(error):
        book.set({("Inputs", "B1"): content})


# ---- LibreOffice -------------------------------------------------------------------------------------


@pytest.mark.needs("libreoffice")
def test_pdf(workbook, tmp_path):
    pdf = libreoffice.to_pdf(workbook, tmp_path / "printed")
    assert pdf == tmp_path / "printed" / "tiny book.pdf"
    assert pdf.read_bytes().startswith(b"%PDF-")


@pytest.mark.needs("libreoffice")
def test_a_file_that_cannot_be_converted_is_an_error(tmp_path):
    libreoffice.soffice()
    with pytest.raises(ProgramError, match="nowhere"):
        libreoffice.recalculate(tmp_path / "nowhere.xlsx", as_written=True)
    with pytest.raises(ProgramError, match="nowhere"):
        libreoffice.recalculate(tmp_path / "nowhere.xlsx")


@pytest.mark.needs("libreoffice")
def test_an_office_that_does_not_answer_is_killed_and_leaves_nothing_behind(workbook, tmp_path, monkeypatch):
    libreoffice.python_with_uno()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    impatient = libreoffice.WhatIf(workbook, timeout_s=0.01)
    with pytest.raises(ProgramError, match="no answer"), impatient:
        pass
    assert impatient.has_ended
    assert list(tmp_path.iterdir()) == []


@pytest.mark.needs("libreoffice")
def test_a_failing_test_leaves_nothing_behind(workbook, tmp_path, monkeypatch):
    libreoffice.python_with_uno()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(ZeroDivisionError), libreoffice.WhatIf(workbook) as opened:
        raise ZeroDivisionError
    assert opened.has_ended
    with pytest.raises(ProgramError, match="has ended"):
        opened.get(["kv_total"])
    assert list(tmp_path.iterdir()) == []


def test_a_missing_program_is_skipped_but_fails_in_ci(monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="Abacus is not available: too old"):
        required.missing("Abacus", "too old")
    for value in ("true", "1"):
        monkeypatch.setenv("CI", value)
        with pytest.raises(pytest.fail.Exception, match="Abacus is not available: too old"):
            required.missing("Abacus", "too old")


# ---- formualizer: cells that call Python functions ---------------------------------------------------


def _double_all(block, factor=2.0):
    """Double each number of a block; any other value becomes an error in its own cell."""
    rows = block if isinstance(block, list) else [[block]]
    return [[cell * factor if isinstance(cell, float) else "#NUM!" for cell in row] for row in rows]


def _evaluated(tmp_path, cells: dict[str, object], **functions) -> dict[str, object]:
    """Return the values of a workbook with one sheet, "S"."""
    book = openpyxl.Workbook()
    book.active.title = "S"
    for address, content in cells.items():
        book.active[address] = content
    book.save(tmp_path / "functions.xlsx")
    return formualizer_program.evaluate(tmp_path / "functions.xlsx", functions)["S"]


def test_one_failing_element_of_a_spilled_array(tmp_path):
    cells = {"A1": 1, "B1": "oops", "C1": 3, "F5": "=DOUBLE(A1:C1)"}
    sums = {"A10": "=SUM(F5:H5)", "A11": "=SUM(F5,H5)", "A12": "=SUM(F5#)", "A13": "=IFERROR(G5,-1)", "A14": "=H5+1"}
    values = _evaluated(tmp_path, cells | sums, DOUBLE=_double_all)
    assert [values[address] for address in ("F5", "G5", "H5")] == [2.0, "#NUM!", 6.0]
    assert [values[address] for address in sums] == ["#NUM!", 8.0, "#NUM!", -1.0, 7.0]


def test_an_array_that_has_no_room_is_a_spill_error(tmp_path):
    values = _evaluated(tmp_path, {"A1": 1, "A2": 2, "C1": "=DOUBLE(A1:A2)", "C2": "in the way"}, DOUBLE=_double_all)
    assert (values["C1"], values["C2"]) == ("#SPILL!", "in the way")


@pytest.mark.parametrize("error", ["#NUM!", "#VALUE!", "#N/A", "#REF!", "#DIV/0!", "#NAME?", "#NULL!"])
def test_error_texts_become_errors(tmp_path, error):
    cells = {"A1": "=FAIL()", "B1": "=ISERROR(A1)", "C1": '=IFERROR(FAIL(),"caught")', "D1": "=A1+1"}
    values = _evaluated(tmp_path, cells, FAIL=lambda: error)
    assert [values[address] for address in cells] == [error, True, "caught", error]


def test_how_arguments_arrive(tmp_path):
    seen = {}

    def record(key, *arguments):
        seen[key] = arguments
        return 1.0

    arguments = {
        "number": "B1",
        "text": "B2",
        "blank": "B3",
        "truth": "B4",
        "error": "B5",
        "column": "B1:B3",
        "row": "B5:C5",
        "one cell range": "B1:B1",
        "array": "{1,2;3,4}",
        "spilled": "D1#",
        "left empty": "1,,3",
    }
    cells = {"B1": 2.5, "B2": "x", "B4": True, "B5": "=NA()", "D1": "=DOUBLE(B1:B2)"}
    calls = {f"A{row}": f'=RECORD("{key}",{text})' for row, (key, text) in enumerate(arguments.items(), start=1)}
    values = _evaluated(tmp_path, cells | calls | {"A20": '=RECORD("none")'}, RECORD=record, DOUBLE=_double_all)
    assert all(values[address] == 1.0 for address in calls)
    assert seen == {
        "number": (2.5,),
        "text": ("x",),
        "blank": (None,),
        "truth": (True,),
        "error": ("#N/A",),
        "column": ([[2.5], ["x"], [None]],),
        "row": ([["#N/A", None]],),
        "one cell range": (2.5,),
        "array": ([[1.0, 2.0], [3.0, 4.0]],),
        "spilled": ([[5.0], ["#NUM!"]],),
        "left empty": (1.0, 0.0, 3.0),
        "none": (),
    }


def test_the_signature_limits_the_arguments(tmp_path):
    cells = {"A1": "=DOUBLE(3)", "A2": "=DOUBLE(3,4)", "A3": "=DOUBLE()", "A4": "=DOUBLE(1,2,3)", "A5": "=ALL(1,2,3)"}
    values = _evaluated(tmp_path, cells, DOUBLE=_double_all, ALL=lambda *numbers: sum(numbers))
    assert [values[address] for address in cells] == [6.0, 12.0, "#VALUE!", "#VALUE!", 6.0]


@pytest.mark.parametrize(
    "result, stored",
    [("text", "text"), (True, True), (2.5, 2.5), (3, 3.0), (((7.0,),), 7.0), (float("nan"), "#VALUE!")],
)
def test_results_of_functions(tmp_path, result, stored):
    value = _evaluated(tmp_path, {"A1": "=RESULT()"}, RESULT=lambda: result)["A1"]
    assert value == stored and type(value) is type(stored)


def test_an_exception_is_a_value_error(tmp_path):
    assert _evaluated(tmp_path, {"A1": "=FAIL()"}, FAIL=lambda: 1 / 0) == {"A1": "#VALUE!"}


def test_functions_in_tables_and_native_formulas(workbook):
    values = formualizer_program.evaluate(workbook, {"VRAM_WEIGHTS": lambda size: size * 2.0})
    results = _results_by_formula(values["Results"])
    assert results["=VRAM_WEIGHTS(1)"] == 2.0
    assert results["=ISNUMBER(VRAM_WEIGHTS(1))"] is True
    assert results["=SUM(Scenarios[权重])"] == 7.0
    assert values["场景"]["D3"] == 6.5


# ---- xlwings' COM path -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def excel():
    """Call the sample functions through xlwings' real COM server class."""
    if sys.platform == "win32":
        pytest.skip("Windows has the real pywin32")
    with ExcelCaller(facts.MODULE) as caller:
        yield caller


@pytest.mark.parametrize("function, arguments, variant", facts.RESULTS)
def test_what_excel_is_handed(excel, function, arguments, variant):
    assert excel(function, *arguments) == variant


@pytest.mark.parametrize("function, arguments, message", facts.EXCEPTIONS)
def test_an_exception_reaches_excel_as_its_description(excel, function, arguments, message):
    outcome = excel(function, *arguments)
    assert outcome.type == "Err.Description"
    assert outcome.value.startswith(message)


def test_the_test_process_stays_clean(excel):
    excel("echo", 1.0)
    assert not {"pythoncom", "pywintypes", "xlwings.udfs", facts.MODULE} & set(sys.modules)


def test_a_module_that_cannot_be_imported_is_reported():
    if sys.platform == "win32":
        pytest.skip("Windows has the real pywin32")
    with pytest.raises(ImportError, match="no_such_module"):
        ExcelCaller("no_such_module")
