"""Test that formulas which nobody can follow are found, with workbooks of a few cells."""

from __future__ import annotations

import datetime
from pathlib import Path

import openpyxl
import pytest
from openpyxl.formula import Tokenizer
from openpyxl.styles import Protection
from openpyxl.workbook.defined_name import DefinedName
from openpyxl.worksheet.datavalidation import DataValidation
from openpyxl.worksheet.table import Table

from workbook.audit.followable import traces
from workbook.audit.formula import FormulaReader, as_shown
from workbook.audit.opening import opened
from workbook.audit.references import Resolver
from workbook.audit.run import Audit, audit
from workbook.audit.subject import subject


def audited(book: openpyxl.Workbook, folder: Path, **options) -> Audit:
    book.save(folder / "t.xlsx")
    return audit(folder / "t.xlsx", **options)


def faults(found: Audit, key: str) -> list[str]:
    return [str(fault) for result in found.results if result.check.key == key for fault in result.faults]


def form(text: str):
    return FormulaReader(Resolver(openpyxl.Workbook())).read(text, "Sheet", 1, 1).form


def named(book: openpyxl.Workbook, name: str, cell: str) -> None:
    book.defined_names[name] = DefinedName(name, attr_text=f"Sheet!{cell}")


@pytest.mark.parametrize(
    ("in_file", "shown"),
    [
        ("=T[[#This Row],[KV (GB)]]*2", "=[@[KV (GB)]]*2"),
        ("=T[[#This Row],[a '[x']]]+T[b]", "=[@[a '[x']]]+T[b]"),
        ("=SUM(T[[#This Row],[a b]:[c]])", "=SUM(T[@[a b]:[c]])"),
        ("=_xlfn.XLOOKUP(A1,B1:B9,C1:C9)", "=XLOOKUP(A1,B1:B9,C1:C9)"),
    ],
)
def test_formulas_as_excel_shows_them(in_file, shown):
    assert as_shown(in_file) == shown


@pytest.mark.parametrize(("terms", "is_long"), [(100, False), (101, True)])
def test_length(tmp_path, terms, is_long):
    """100 zeros, 99 plus signs and "=" are 200 characters."""
    book = openpyxl.Workbook()
    book.active["A1"] = "=" + "+".join("0" * terms)
    expected = ["Sheet!A1 (202 characters: compute a part in its own cell)"] if is_long else []
    assert faults(audited(book, tmp_path), "long_formulas") == expected


def test_length_is_that_of_the_formula_as_shown(tmp_path):
    """210 characters in the file, 15 fewer for each of the four references as shown."""
    book = openpyxl.Workbook()
    ws = book.active
    ws.append(["a", "b"])
    ws.append([1, "=" + "+".join(["Scenarios[[#This Row],[a]]"] * 8)])
    ws.add_table(Table(displayName="Scenarios", ref="A1:B2"))
    assert len(ws["B2"].value) > 200
    assert faults(audited(book, tmp_path), "long_formulas") == []


@pytest.mark.parametrize(
    ("text", "depth"),
    [
        ("=1", 0),
        ("=IF(A1,1,0)+IF(A2,1,0)", 1),
        ("=IF(A1,SUM(IF(A2,1,0)),0)", 2),
        ("=IFERROR(IF(A1,1,0),0)", 1),
        ('=IF(A1,"IF(IF(",IF(A2,1,IF(A3,1,IF(A4,1,0))))', 4),
    ],
)
def test_depth_of_if(text, depth):
    assert form(text).if_depth == depth


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("=1", 0),
        ("=A1+$A$1+a1", 1),
        ("=A1+B1:B9+rate+T[x]+T[y]+T[[#This Row],[x]]", 6),
        ("=_xlfn.LET(_xlpm.x,A1,_xlpm.x+_xlpm.x)", 1),
    ],
)
def test_different_references(text, count):
    assert form(text).references == count


def test_too_many_references_and_ifs_are_named(tmp_path):
    book = openpyxl.Workbook()
    book.active["A1"] = "=" + "+".join(f"B{row}" for row in range(1, 10))
    book.active["A2"] = "=" + "+".join(f"B{row}" for row in range(1, 9))
    book.active["A3"] = "=IF(1,IF(1,IF(1,IF(1,1,0),0),0),0)"
    found = audited(book, tmp_path)
    assert faults(found, "many_references") == ["Sheet!A1 (9 references: compute a part in its own cell)"]
    assert faults(found, "nested_ifs") == ["Sheet!A3 (IF 4 deep: compute a condition in its own cell)"]


@pytest.mark.parametrize("cells", [50, 51])
def test_chains(tmp_path, cells):
    book = openpyxl.Workbook()
    book.active["A1"] = "=B1"
    for row in range(2, cells + 1):
        book.active[f"A{row}"] = f"=A{row - 1}+B{row}"
    book.active["C1"] = "=A1"
    named(book, "result", f"$A${cells}")
    named(book, "side", "$C$1")
    named(book, "an_input", "$B$1")
    found = audited(book, tmp_path)
    expected = ["name result (51 cells, from Sheet!A1: join some of them)"] if cells == 51 else []
    assert faults(found, "long_chains") == expected
    assert found.headline is not None and found.headline.name == "result"
    assert [str(place) for place in found.headline.chain] == [f"Sheet!A{row}" for row in range(1, cells + 1)]


def test_a_headline_depends_on_one_row_of_a_table(tmp_path):
    """The look-up finds one of 100 rows: with its own cell and the chosen row's total, 3 cells; 202 of all rows."""
    book = openpyxl.Workbook()
    ws = book.active
    ws.append(["n", "twice", "total"])
    for row in range(2, 102):
        ws.append([row, "=T[[#This Row],[n]]+T[[#This Row],[n]]", "=T[[#This Row],[twice]]+1"])
    ws.add_table(Table(displayName="T", ref="A1:C101"))
    ws["E1"] = "=INDEX(T[total],5)"
    ws["E2"] = "=E1+E1"
    named(book, "result", "$E$2")
    found = audited(book, tmp_path)
    assert found.headline is not None
    assert (found.headline.cells, found.cells_behind, len(found.headline.chain)) == (4, 202, 4)


def test_different_formulas_of_a_range_all_count(tmp_path):
    book = openpyxl.Workbook()
    for row in range(1, 521):
        book.active[f"A{row}"] = f"={row}+B1"
    book.active["C1"] = "=SUM(A1:A520)"
    named(book, "result", "$C$1")
    assert faults(audited(book, tmp_path), "cells_behind") == ["name result (521 formula cells: refer to fewer)"]


def test_a_circle_ends_its_chain(tmp_path):
    book = openpyxl.Workbook()
    book.active["A1"], book.active["A2"] = "=A2", "=A1"
    named(book, "result", "$A$2")
    book.save(tmp_path / "t.xlsx")
    (trace,) = traces(subject(opened(tmp_path / "t.xlsx")))
    assert {str(place) for place in trace.chain} == {"Sheet!A1", "Sheet!A2"}


@pytest.mark.parametrize(
    ("text", "operand"),
    [
        ("=IF(A1=$A$1,1,0)", "A1"),
        ("=IF(ABS(SUM(T[x])-SUM(T[x]))<=1,1,0)", "SUM(T[x])"),
        ("=IF(AND(B1>0,x <> x),1,0)", "x"),
        ("=IF(A1=A2,1,0)", ""),
        ("=A1-B1-B1", ""),
        ("=2*A1-A1", ""),
        ("=A1-A1*2", ""),
        ("=(A1+A2)-(A1+A2)", "(A1+A2)"),
        ("=1-1", ""),
        ("=COUNTIF(T[x],ok)=ROWS(T[x])", ""),
    ],
)
def test_comparisons_with_itself(text, operand):
    assert Tokenizer(text).items  # the formula is valid
    assert form(text).compares_with_itself == operand


def test_checks_that_cannot_fail(tmp_path):
    book = openpyxl.Workbook()
    ws = book.active
    ws["D1"], ws["D2"], ws["E1"] = 1, "=D1", "=1"
    for row, check in enumerate(
        ["=IF(D1=D2,1,0)", 1, "=IF(D1=D1,1,0)", "=IF(TRUE,1,0)", "=E1", "=D2", "a text", "=A8"], start=1
    ):
        ws[f"A{row}"] = check
    ws["B1"] = "=IF(SUM(A1:A8)=ROWS(A1:A8),1,0)"
    named(book, "master_check", "$B$1")
    assert faults(audited(book, tmp_path), "checks_can_fail") == [
        "Sheet!A2 (is the constant 1: write a comparison)",
        "Sheet!A3 (compares D1 with itself: compare it with another route)",
        "Sheet!A4 (refers to no other cell: compare what it checks)",
        "Sheet!A5 (refers to no other cell: compare what it checks)",
        "Sheet!A6 (is the constant 1: write a comparison)",
        "Sheet!A8 (refers to no other cell: compare what it checks)",
    ]


@pytest.mark.parametrize("date_is_named", [True, False])
def test_old_inputs(tmp_path, date_is_named):
    """Three years before the plan's date, or before the file was saved, are allowed; a month more is not."""
    book = openpyxl.Workbook()
    ws = book.active
    today = datetime.date(2026, 11, 29)
    if date_is_named:
        ws["C1"] = today
        named(book, "plan_date", "$C$1")
    else:
        today = book.properties.modified.date()
    old, current = today.replace(year=today.year - 4), today.replace(year=today.year - 3)
    for row, date in enumerate([old, current, old], start=1):
        ws[f"A{row}"] = date
        ws[f"A{row}"].protection = Protection(locked=row == 3)
    found = faults(audited(book, tmp_path), "stale_inputs")
    assert found == [f"Sheet!A1 ({old.isoformat()}: look up the figure of this date again)"]


def test_functions(tmp_path):
    book = openpyxl.Workbook()
    for row, text in enumerate(
        [
            "=BDP(1)",
            "=VRAM_KV(1,2)",
            "=double(1)",
            "=_xlfn.STDEV.S(1,2)",
            "=_xlfn.XLOOKUP(1,2,3)",
            "=AGGREGATE(9,6,B1)",
        ],
        start=1,
    ):
        book.active[f"A{row}"] = text
    book.defined_names["double"] = DefinedName("double", attr_text="_xlfn.LAMBDA(_xlpm.x,_xlpm.x+_xlpm.x)")
    book.defined_names["twice"] = DefinedName("twice", attr_text="_xlfn.LAMBDA(_xlpm.f,_xlpm.f(_xlpm.f(1)))")
    book.defined_names["opened"] = DefinedName("opened", attr_text='RunFrozenPython("calc.exe","")')
    rule = DataValidation(type="custom", formula1="=ReadFile(B1)")
    rule.add("C1")
    book.active.add_data_validation(rule)
    found = audited(book, tmp_path, add_in_functions=["VRAM_KV"])
    unknown = "it is #NAME? where its add-in or macro is missing, or runs that macro"
    assert faults(found, "functions") == [
        f"Sheet!A1 (BDP: {unknown})",
        f"name opened (RUNFROZENPYTHON: {unknown})",
        f"validation of Sheet!C1 (READFILE: {unknown})",
    ]
    assert faults(found, "functions_2010") == ["Sheet!A5 (XLOOKUP: write it with older functions)"]
    assert len(faults(audited(book, tmp_path), "functions")) == 4  # without the add-in's names
