"""Test `vram relink --plain` on workbooks with links as Excel saves them, and in LibreOffice."""

from __future__ import annotations

import zipfile
from io import BytesIO

import openpyxl
import pytest

from addin.libreoffice import extension
from addin.plain_names import with_plain_names
from tests.addin.test_relink import FULL, THEIRS, XLSTART, workbook
from tests.spreadsheets import libreoffice
from workbook.package import rewritten

OTHER = (FULL, "file:///C:\\data\\prices.xlsx")
LINK = (FULL, f"file:///{THEIRS}")


def with_formulas(content: bytes, *formulas: str) -> bytes:
    """Return the workbook with these formulas in A1, A2 …; openpyxl keeps the links."""
    book, out = openpyxl.load_workbook(BytesIO(content)), BytesIO()
    for number, formula in enumerate(formulas, start=1):
        book.active[f"A{number}"] = formula
    book.save(out)
    return out.getvalue()


def formulas(content: bytes) -> list[str]:
    book = openpyxl.load_workbook(BytesIO(content))
    return [row[0] for row in book.active.iter_rows(max_col=1, values_only=True)]


def parts(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(BytesIO(content)) as package:
        return {name: package.read(name) for name in package.namelist()}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("=[1]!VRAM_WEIGHTS(70)", "=VRAM_WEIGHTS(70)"),
        ("=SUM([1]!VRAM_KV(B1,1),-[1]!VRAM_WEIGHTS(70))", "=SUM(VRAM_KV(B1,1),-VRAM_WEIGHTS(70))"),
        ('=IF(B1="[1]!VRAM_KV(1)",[1]!VRAM_WEIGHTS(70),"")', '=IF(B1="[1]!VRAM_KV(1)",VRAM_WEIGHTS(70),"")'),
        ('="say ""[1]!x"" "&[1]!VRAM_WEIGHTS(70)', '="say ""[1]!x"" "&VRAM_WEIGHTS(70)'),
        ("=[2]!RATE(1)+[1]!VRAM_WEIGHTS(70)", "=[1]!RATE(1)+VRAM_WEIGHTS(70)"),
        ("=[2]Prices!A1*[1]!VRAM_WEIGHTS(70)", "=[1]Prices!A1*VRAM_WEIGHTS(70)"),
        ("='[2]Our [old] prices'!A1", "='[1]Our [old] prices'!A1"),
        ("=SUM(Sales[1])+SUM(Sales[[1]:[2]])", "=SUM(Sales[1])+SUM(Sales[[1]:[2]])"),
    ],
)
def test_only_calls_of_the_add_in_become_plain(before, after):
    found = with_plain_names(with_formulas(workbook(LINK, OTHER), before, "=[2]!RATE(2)"), "vram.xlam")
    assert formulas(found.content) == [after, "=[1]!RATE(2)"]
    assert found.former == (THEIRS,)


def test_the_link_and_all_that_names_it_are_gone():
    before = workbook((XLSTART, "VRAM.xlam"), OTHER, LINK)
    found = with_plain_names(before, "vram.xlam")
    assert found.former == ("VRAM.xlam", THEIRS)
    assert formulas(found.content) == ["=VRAM_WEIGHTS(70)", "=[1]!VRAM_WEIGHTS(70)", "=VRAM_WEIGHTS(70)"]
    kept = {"xl/externalLinks/externalLink2.xml", "xl/externalLinks/_rels/externalLink2.xml.rels"}
    assert {name for name in parts(found.content) if "externalLink" in name} == kept
    for part, content in parts(found.content).items():
        assert b"externalLink1" not in content and b"externalLink3" not in content, part
    (link,) = openpyxl.load_workbook(BytesIO(found.content))._external_links
    assert link.file_link.Target == OTHER[1]
    assert with_plain_names(found.content, "vram.xlam") == (found.content, ()), "a second time there is nothing to do"


def test_nothing_but_formulas_and_links_changes():
    before = workbook(LINK)
    after = parts(with_plain_names(before, "vram.xlam").content)
    changed = {"[Content_Types].xml", "xl/workbook.xml", "xl/_rels/workbook.xml.rels", "xl/worksheets/sheet1.xml"}
    assert {name for name in after if after[name] != parts(before)[name]} == changed
    assert b"externalReferences" not in after["xl/workbook.xml"]


def test_a_link_that_a_cell_needs_stays():
    before = with_formulas(workbook(LINK), "=[1]!VRAM_WEIGHTS(70)", "=[1]Data!A1")
    assert with_plain_names(before, "vram.xlam") == (before, ())


def test_names_validations_and_formats_call_plain_names_too():
    def edit(part: str, xml: bytes) -> bytes:
        if part == "xl/workbook.xml":
            return xml.replace(b"<calcPr", b'<definedNames><definedName name="w">[1]!VRAM_WEIGHTS(70)</definedName>'
                               b"</definedNames><calcPr")  # fmt: skip
        if part == "xl/worksheets/sheet1.xml":
            return xml.replace(b"<pageMargins", b'<conditionalFormatting sqref="A1"><cfRule type="expression" priority="1">'
                               b"<formula>[1]!VRAM_WEIGHTS(70)=140</formula></cfRule></conditionalFormatting><pageMargins")  # fmt: skip
        return xml

    found = parts(with_plain_names(rewritten(workbook(LINK), edit), "vram.xlam").content)
    assert b">VRAM_WEIGHTS(70)</definedName>" in found["xl/workbook.xml"]
    assert b"<formula>VRAM_WEIGHTS(70)=140</formula>" in found["xl/worksheets/sheet1.xml"]


@pytest.mark.needs("libreoffice")
def test_libreoffice_computes_plain_names_only(tmp_path):
    (tmp_path / "vram.oxt").write_bytes(extension())
    before = with_formulas(workbook(LINK), "=[1]!VRAM_WEIGHTS(70)", '=[1]!VRAM_KV_PER_TOKEN("llama-3.1-70b",,"B")')
    after = with_plain_names(before, "vram.xlam").content
    values = []
    for name, content in {"before.xlsx": before, "after.xlsx": after}.items():
        (tmp_path / name).write_bytes(content)
        values.append(libreoffice.recalculate(tmp_path / name, tmp_path / "vram.oxt")["Sheet"])
    assert [[cells["A1"], cells["A2"]] for cells in values] == [["#NAME?", "#NAME?"], [140.0, 327680.0]]


def test_the_command(vram, tmp_path):
    path = tmp_path / "prices.xlsx"
    path.write_bytes(workbook(LINK))
    assert vram("relink", path, "--plain") == (0, f"Removed the link to {THEIRS}\nWrote {path}\n", "")
    assert formulas(path.read_bytes()) == ["=VRAM_WEIGHTS(70)"]
    assert vram("relink", path, "--plain") == (0, "No link to vram.xlam.\n", "")
    status, _, err = vram("relink", path, "--plain", "--to", THEIRS)
    assert (status, "--plain removes the links" in err) == (2, True)
