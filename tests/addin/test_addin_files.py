"""Test the files with the functions by reading them with other programs."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
from lxml import etree
from oletools.olevba import VBA_Parser
from openpyxl import load_workbook
from openpyxl.xml.constants import XLSM
from pyopenvba import ExcelFile
from pyopenvba.integrity import check_file

from addin.build import addin_file, has_our_code, workbook_with_functions
from addin.functions import declared_functions
from addin.vba_project import PROJECT_TITLE, TEMPLATE, functions_source
from tests.paths import GOLDEN, ROOT
from tests.spreadsheets import libreoffice
from tests.workbook.planner_rows import few
from workbook.package import rewritten
from workbook.template import build

pytestmark = pytest.mark.slow

FUNCTIONS = GOLDEN / "vram_functions.bas"

MODULES = {"vram.xlam": {"ThisWorkbook", "Sheet2", "xlwings_udfs"}, "planner.xlsm": {"ThisWorkbook", "xlwings_udfs"}}
ADDIN_TYPE = b"application/vnd.ms-excel.addin.macroEnabled.main+xml"
FILES = pytest.mark.parametrize("name", list(MODULES))


@pytest.fixture(scope="module")
def planner() -> bytes:
    with few():
        return build("en")[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, planner) -> Path:
    folder = tmp_path_factory.mktemp("files")
    (folder / "vram.xlam").write_bytes(addin_file())
    (folder / "planner.xlsm").write_bytes(workbook_with_functions(planner))
    return folder


def _modules(path: Path) -> dict[str, str]:
    parser = VBA_Parser(str(path))
    try:
        return {Path(name).stem: code for _, _, name, code in parser.extract_macros()}
    finally:
        parser.close()


def test_the_functions_module_is_the_reviewed_one():
    """After an intended change, run `make golden` and review the difference."""
    assert functions_source().encode("ascii") == FUNCTIONS.read_bytes()


@FILES
def test_olevba_finds_our_code(folder, name):
    modules = _modules(folder / name)
    assert modules.keys() >= MODULES[name]
    # olevba omits the Attribute lines of procedures.
    code = [line for line in functions_source().splitlines() if not line.startswith("Attribute ")]
    found = [line for line in modules["xlwings_udfs"].splitlines() if not line.startswith("Attribute ")]
    assert found == code
    assert "Private Sub Workbook_Open()" in modules["ThisWorkbook"]


@FILES
def test_the_samples_of_the_template_are_removed(folder, name):
    text = "\n".join(_modules(folder / name).values())
    assert "SampleCall" not in text
    assert "myaddin" not in text.lower()


# A procedure without Private is public; a cell of any workbook can call those of a standard module (Microsoft, "Custom
# functions in VBA"), also functions of DLLs.
PUBLIC = re.compile(
    r"(?im)^[ \t]*(?!private\b|end\b|exit\b)(?:(?:public|friend|static)\s+)*"
    r"(?:declare\s+(?:ptrsafe\s+)?)?(?:function|sub|property\s+\w+)\s+(\w+)"
)


@FILES
def test_the_public_procedures_are_our_functions(folder, name):
    """What `PUBLIC` misses would be a hole, so the words are counted too."""
    code = "\n".join(_modules(folder / name).values())
    functions = [*(function.name for function in declared_functions()), "VRAM_LAST_ERROR"]
    assert sorted(PUBLIC.findall(code)) == sorted(functions)
    ends = re.findall(r"(?im)^[ \t]*end (?:function|sub|property)\b", code)
    assert len(ends) == len(re.findall(r"(?im)^[ \t]*private (?:function|sub) ", code)) + len(functions)


def test_the_search_for_public_procedures_finds_each_kind():
    kinds = "Sub A()\n  Function B()\nPublic Sub C()\nDeclare PtrSafe Function D Lib\nPublic Declare Sub E Lib\nstatic sub F()"
    assert PUBLIC.findall(kinds + "\nProperty Get G()\nPrivate Sub H()\nEnd Sub\nPrivate Declare Sub I") == list(
        "ABCDEFG"
    )


@FILES
def test_nothing_of_xlwings_vba_is_left(folder, name):
    code = "\n".join(_modules(folder / name).values())
    for part in ("RunPython", "RunFrozenPython", "GetConfig", "WScript", "CreateObject", "cmd.exe", "Shell"):
        assert part not in code


def test_the_tooltip_add_in_finds_each_function(folder):
    # openpyxl reads no add-ins, which differ from workbooks only in the declared type.
    content = rewritten((folder / "vram.xlam").read_bytes(), lambda part, xml: xml.replace(ADDIN_TYPE, XLSM.encode()))
    rows = list(load_workbook(BytesIO(content))["_IntelliSense_"].values)
    assert rows[0][:2] == ("FunctionInfo", "1")
    for row, function in zip(rows[1:], declared_functions(), strict=True):
        assert row[:3] == (function.name, function.description, None)
        texts = [text for argument in function.arguments for text in (argument.label, argument.description)]
        assert [*filter(None, row[3:])] == texts


@FILES
def test_nothing_depends_on_the_active_workbook(folder, name):
    assert "ActiveWorkbook" not in "\n".join(_modules(folder / name).values())


@FILES
def test_the_structure_of_package_and_vba_project_is_valid(folder, name):
    with ExcelFile(folder / name) as book:
        assert book.validate() == []
    report = check_file(folder / name)
    assert report.ok, report.errors


def test_each_function_has_its_description_in_the_file(folder):
    with ExcelFile(folder / "vram.xlam") as book:
        source = book.get_module("xlwings_udfs")
    for function in declared_functions():
        text = function.description.replace('"', '""')
        assert f'Attribute {function.name}.VB_Description = "{text}"' in source


@pytest.mark.needs("libreoffice")
@FILES
def test_libreoffice_opens_it_and_finds_every_module(folder, name, tmp_path):
    with zipfile.ZipFile(libreoffice.to_ods(folder / name, tmp_path)) as converted:
        library = PROJECT_TITLE if name == "vram.xlam" else "VBAProject"
        modules = {Path(part).stem for part in converted.namelist() if part.startswith(f"Basic/{library}/")}
        assert modules >= MODULES[name]
        text = "".join(etree.fromstring(converted.read(f"Basic/{library}/xlwings_udfs.xml")).itertext())
    for function in declared_functions():
        assert f"Function {function.name}(" in text


def test_the_add_in_is_an_add_in(folder):
    with zipfile.ZipFile(folder / "vram.xlam") as package, zipfile.ZipFile(TEMPLATE) as template:
        assert package.namelist() == template.namelist()
        types = package.read("[Content_Types].xml")
        assert ADDIN_TYPE in types
        everything = b"".join(package.read(part) for part in package.namelist())
    assert b"felix" not in everything.lower(), "the template's author and path"


# The bytes must not depend on the clock, time zone, folder or order of sets, which differ in each process.
BUILD = textwrap.dedent("""
    import sys, time
    now = float(sys.argv[1])
    time.time = lambda: now
    if __name__ == "__main__":
        from addin.build import addin_file, has_our_code, workbook_with_functions
        from addin.vba_project import functions_source
        planner = open(sys.argv[2], "rb").read()
        for content in (addin_file(), functions_source().encode(), workbook_with_functions(planner)):
            sys.stdout.buffer.write(content)
""")


def test_the_files_are_reproducible(tmp_path, planner):
    (tmp_path / "build.py").write_text(BUILD, encoding="utf-8")
    (tmp_path / "planner.xlsx").write_bytes(planner)
    results = []
    for number, (now, zone) in enumerate([("1000000000", "Asia/Shanghai"), ("1900000000", "America/New_York")]):
        here = tmp_path / str(number)
        here.mkdir()
        root = str(ROOT)
        environment = {"PYTHONPATH": root, "TZ": zone, "PYTHONHASHSEED": str(number + 1), "TMPDIR": str(here)}
        command = [sys.executable, str(tmp_path / "build.py"), now, str(tmp_path / "planner.xlsx")]
        results.append(subprocess.run(command, cwd=here, env=environment, check=True, capture_output=True).stdout)
    assert len(results[0]) > 100_000
    assert results[0] == results[1]


def _cells(content: bytes, **options) -> dict[str, dict[str, object]]:
    workbook = load_workbook(BytesIO(content), **options)
    return {ws.title: {c.coordinate: c.value for row in ws for c in row if c.value is not None} for ws in workbook}


@pytest.mark.parametrize("data_only", [False, True], ids=["formulas", "values"])
def test_formulas_and_values_of_the_planner_do_not_change(folder, planner, data_only):
    before = _cells(planner, data_only=data_only)
    after = _cells((folder / "planner.xlsm").read_bytes(), data_only=data_only, keep_vba=True)
    assert after == before


@pytest.mark.needs("libreoffice")
def test_libreoffice_calculates_the_same_values_for_the_planner(folder, planner):
    recalculated = libreoffice.recalculate(folder / "planner.xlsm")
    numbers = 0
    for sheet, cells in _cells(planner, data_only=True).items():
        for address, value in cells.items():
            if isinstance(value, float):
                numbers += 1
                assert recalculated[sheet][address] == pytest.approx(value, rel=1e-12), (sheet, address)
    assert numbers > 100


def test_openpyxl_keeps_the_macros_when_it_saves_the_planner(folder, tmp_path):
    workbook = load_workbook(folder / "planner.xlsm", keep_vba=True)
    workbook.save(tmp_path / "again.xlsm")
    assert _modules(tmp_path / "again.xlsm").keys() >= MODULES["planner.xlsm"]


def test_every_sheet_has_a_module_as_in_excel(folder):
    with zipfile.ZipFile(folder / "planner.xlsm") as package:
        sheets = [part for part in package.namelist() if part.startswith("xl/worksheets/") and part.endswith(".xml")]
        names = [etree.fromstring(package.read(part))[0].get("codeName") for part in sheets]
    assert sorted(names) == sorted(f"Sheet{number}" for number in range(1, len(sheets) + 1))
    assert set(names) <= _modules(folder / "planner.xlsm").keys()


def test_no_formula_of_the_planner_refers_to_another_file(folder):
    with zipfile.ZipFile(folder / "planner.xlsm") as package:
        assert not [part for part in package.namelist() if "externalLink" in part]
        assert not [part for part in package.namelist() if b".xlam" in package.read(part)]


@FILES
def test_no_file_names_a_python(folder, name):
    """Which Python runs is each user's own setting, not the author's."""
    with zipfile.ZipFile(folder / name) as package:
        parts = [part for part in package.namelist() if part != "xl/vbaProject.bin"]
        assert not [part for part in parts if b"interpreter_win" in package.read(part).lower()]
        assert not [part for part in parts if b"python.exe" in package.read(part).lower()]


def test_a_workbook_that_is_not_xlsx_is_refused(folder):
    with pytest.raises(ValueError, match="not an .xlsx"):
        workbook_with_functions((folder / "planner.xlsm").read_bytes())


def test_a_signed_copy_has_our_code_and_another_file_has_not(folder, planner):
    addin = (folder / "vram.xlam").read_bytes()
    signed = rewritten(addin, lambda part, content: content, {"xl/vbaProjectSignature.bin": b"a signature"})
    assert has_our_code(addin) and has_our_code(signed)
    changed = rewritten(addin, lambda part, content: content[:-1] if part == "xl/vbaProject.bin" else content)
    assert not any(map(has_our_code, (changed, planner, b"PK\x03\x04 damaged", b"")))
