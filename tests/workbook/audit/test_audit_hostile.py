"""Test that hostile, broken and unrelated files are refused with one line and status 2."""

from __future__ import annotations

import random
import re
import zipfile
from io import BytesIO
from pathlib import Path

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from openpyxl.chart import BarChart, Reference
from openpyxl.comments import Comment
from openpyxl.formatting.rule import CellIsRule, ColorScaleRule
from openpyxl.styles import Color, Font, NamedStyle, PatternFill, Protection
from openpyxl.workbook.defined_name import DefinedName
from openpyxl.worksheet.datavalidation import DataValidation
from openpyxl.worksheet.table import Table

from tests.workbook.package_edits import MAIN, Xlsx
from workbook.audit import opening
from workbook.audit.opening import UnreadableWorkbookError
from workbook.audit.run import audit

pytestmark = pytest.mark.slow

SHEET = "xl/worksheets/sheet1.xml"
LAUGHS = b'<!DOCTYPE lolz [<!ENTITY lol "lol">' + b"".join(
    f'<!ENTITY lol{n} "{f"&lol{n - 1};" * 10}">'.replace("lol0", "lol").encode() for n in range(1, 10)
) + b"]>"  # fmt: skip


def small_workbook() -> bytes:
    """Build a workbook with a little of everything that openpyxl writes."""
    book = openpyxl.Workbook()
    ws = book.active
    ws.append(["a", "b"])
    for row in range(2, 6):
        ws.append([row, f"=A{row}*A$2"])
    ws.add_table(Table(displayName="T", ref="A1:B5"))
    rule = DataValidation(type="list", formula1="$A$2:$A$5")
    rule.add("D1:D9")
    ws.add_data_validation(rule)
    ws["D1"] = 3
    ws["F1"].comment = Comment("note", "me")
    ws["F2"].hyperlink = "https://example.org/"
    ws.merge_cells("F3:G3")
    ws.row_dimensions[7].height = 20
    ws.column_dimensions["C"].width = 3
    book.add_named_style(NamedStyle("Figure", font=Font(color=Color(theme=4, tint=0.2)), number_format="0.0"))
    ws["B3"].style = "Figure"
    ws["B4"].fill = PatternFill("solid", start_color="FFEEEEEE")
    ws["B5"].protection = Protection(locked=False)
    ws.conditional_formatting.add("A2:B5", CellIsRule("greaterThan", ["$B$2"], font=Font(color="FF9C0006")))
    ws.conditional_formatting.add("A2:A5", ColorScaleRule("min", None, "FFFFFF", "max", None, "9DC3E6"))
    whole = DataValidation(type="whole", operator="lessThan", formula1="B2", formula2="9")
    whole.add("A2:A5")
    ws.add_data_validation(whole)
    chart = BarChart()
    chart.add_data(Reference(ws, min_col=1, min_row=2, max_row=5))
    ws.add_chart(chart, "H1")
    book.defined_names["total"] = DefinedName("total", attr_text="Other!$A$1")
    book.defined_names["master_check"] = DefinedName("master_check", attr_text="Sheet!$B$2")
    ws["C1"], ws["C2"] = "Share (%)", 0.5
    ws.freeze_panes = "B2"
    book.create_sheet("Other")["A1"] = "=SUM(T[b])"
    out = BytesIO()
    book.save(out)
    return out.getvalue()


SMALL = small_workbook()


def zipped(parts: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w", method) as package:
        for name, content in parts.items():
            package.writestr(name, content)
    return out.getvalue()


def with_part(part: str, change) -> bytes:
    """Return SMALL with one part's text changed."""
    x = Xlsx(SMALL)
    with zipfile.ZipFile(BytesIO(SMALL)) as package:
        x.replace(part, change(package.read(part)))
    assert x.content != SMALL
    return x.content


def before_the_root(text: bytes):
    return lambda xml: re.sub(rb"^(<\?xml[^>]*\?>)?", lambda match: match[0] + text, xml, count=1)


def in_the_sheet(text: str, after: str = "</sheetData>"):
    return with_part(SHEET, lambda xml: xml.replace(after.encode(), after.encode() + text.encode()))


def sized_down(content: bytes) -> bytes:
    """Return a package whose directory states a wrong, small size for its largest part."""
    with zipfile.ZipFile(BytesIO(content)) as package:
        largest = max(package.infolist(), key=lambda part: part.file_size)
    size = largest.file_size.to_bytes(4, "little")
    assert content.count(size) >= 2
    return content.replace(size, (100).to_bytes(4, "little"))


def encrypted_flag(content: bytes) -> bytes:
    """Set the first bit of the general purpose flag of each directory entry: APPNOTE 4.4.4."""
    return re.sub(rb"(PK\x01\x02.{4})(.)", lambda m: m[1] + bytes([m[2][0] | 1]), content, flags=re.DOTALL)


OLE = bytes.fromhex("d0cf11e0a1b11ae1") + b"\0" * 504
FORMULA = '<c r="B2"><f>'
FILES = {
    "empty": (b"", "it is empty"),
    "text": (b"a,b\n1,2\n", "it is not an Excel workbook"),
    "a web page called .xlsx": (b"<html><table></table></html>", "it is not an Excel workbook"),
    "old .xls": (OLE + "Workbook".encode("utf-16-le"), "it is an old .xls workbook"),
    "encrypted": (OLE + "EncryptedPackage".encode("utf-16-le"), "it is encrypted with a password"),
    "old Word": (OLE + "WordDocument".encode("utf-16-le"), "it is not an Excel workbook"),
    "cut short": (SMALL[: len(SMALL) // 2], "it is damaged or incomplete"),
    "a zip of something else": (zipped({"readme.txt": b"x"}), "it is a zip archive but not an Excel workbook"),
    "OpenDocument": (zipped({"mimetype": b"application/vnd.oasis.opendocument.spreadsheet"}), "not an Excel workbook"),
    "Word": (zipped({"[Content_Types].xml": b"<Types/>", "word/document.xml": b"<d/>"}), "not an Excel workbook"),
    "binary workbook": (zipped({"[Content_Types].xml": b"<Types/>", "xl/workbook.bin": b"\0"}), "binary .xlsb"),
    "strict": (
        with_part(
            "xl/workbook.xml",
            lambda xml: xml.replace(MAIN[1:-1].encode(), b"http://purl.oclc.org/ooxml/spreadsheetml/main"),
        ),
        "it is a Strict Open XML workbook",
    ),
    "zip password": (encrypted_flag(SMALL), "its parts are encrypted"),
    "odd packing": (
        zipped({"[Content_Types].xml": b"<Types/>", "xl/a.xml": b"<a/>"}, zipfile.ZIP_BZIP2),
        "a compression that Excel does not use",
    ),
    "zip bomb": (zipped({"[Content_Types].xml": b"<Types/>", SHEET: b" " * 20_000_000}), "a zip bomb"),
    "many parts": (zipped({f"xl/{n}": b"" for n in range(10_001)}), "it has 10,001 parts"),
    "sizes that lie": (sized_down(with_part(SHEET, lambda xml: xml + b" " * 123_457)), "it is damaged or incomplete"),
    "broken XML": (with_part(SHEET, lambda xml: xml[:-20]), f"its part {SHEET} is not well-formed"),
    "no sheets": (
        with_part("xl/workbook.xml", lambda xml: re.sub(rb"<sheets>.*</sheets>", b"<sheets/>", xml)),
        "it has no worksheet",
    ),
    "entities in a sheet": (with_part(SHEET, before_the_root(LAUGHS)), "declares XML entities"),
    "entities in the styles": (with_part("xl/styles.xml", before_the_root(LAUGHS)), "declares XML entities"),
    "entities in the content types": (
        with_part("[Content_Types].xml", before_the_root(LAUGHS)),
        "declares XML entities",
    ),
    "entities in UTF-16": (
        with_part(
            SHEET, lambda xml: before_the_root(LAUGHS)(xml).decode().replace('encoding="UTF-8"', "").encode("utf-16")
        ),
        "declares XML entities",
    ),
    "a file of this machine": (
        with_part(SHEET, before_the_root(b'<!DOCTYPE x [<!ENTITY x SYSTEM "file:///etc/hostname">]>')),
        "declares XML entities",
    ),
    "all cells merged": (
        in_the_sheet('<mergeCells><mergeCell ref="A1:XFD1048576"/></mergeCells>'),
        "more than 2,000,000 cells",
    ),
    "all cells linked": (
        in_the_sheet('<hyperlinks><hyperlink ref="A1:XFD1048576" location="A1"/></hyperlinks>'),
        "more than 2,000,000 cells",
    ),
    "all cells commented": (
        with_part("xl/comments/comment1.xml", lambda xml: xml.replace(b'ref="F1"', b'ref="A:XFD"')),
        "more than 2,000,000 cells",
    ),
    "a formula without end": (
        with_part(SHEET, lambda xml: xml.replace(FORMULA.encode(), FORMULA.encode() + b"1+" * 5000)),
        "more than 8,192 characters in one formula",
    ),
    "nested without end": (in_the_sheet("<a>" * 5000 + "</a>" * 5000), "cannot be understood"),
    "a validation of everything, often": (
        in_the_sheet(
            '<dataValidation type="whole" sqref="A1:XFD1048576"><formula1>1</formula1></dataValidation>' * 2000,
            after='<dataValidations count="2">',
        ),
        "too many cells to follow",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_one_line(vram, tmp_path, monkeypatch, name):
    content, words = FILES[name]
    if name == "a validation of everything, often":
        monkeypatch.setattr(opening.Budget.__init__, "__defaults__", (10_000,))
    path = tmp_path / "hostile.xlsx"
    path.write_bytes(content)
    status, out, err = vram("audit", path)
    assert (status, out) == (2, ""), out
    assert err.startswith(f"vram: {path}: it") and err.count("\n") == 1
    assert words in err, err


@pytest.mark.parametrize(("path", "words"), [("missing.xlsx", "No such file"), (".", "is a directory")])
def test_no_file(vram, path, words):
    status, out, err = vram("audit", path)
    assert (status, out) == (2, "") and words in err


@pytest.mark.parametrize(
    ("limit", "value", "words"),
    [
        ("MOST_FILE_BYTES", 1000, "it is larger than"),
        ("MOST_UNPACKED_BYTES", 1000, "it unpacks to"),
        ("MOST_ELEMENTS", 100, "more than 100 XML elements"),
        ("MOST_CELLS", 10, "more than 10 cells"),
        ("MOST_FORMULAS", 3, "more than 3 formulas"),
        ("MOST_FORMULA_CHARACTERS", 20, "more than 20 characters of formulas"),
    ],
)
def test_limits(tmp_path, monkeypatch, limit, value, words):
    monkeypatch.setattr(opening, limit, value)
    path = tmp_path / "small.xlsx"
    path.write_bytes(SMALL)
    with pytest.raises(UnreadableWorkbookError, match=words):
        audit(path)


def test_shared_formulas_count_as_often_as_they_are_used(tmp_path, monkeypatch):
    """The file holds one long formula, which becomes a hundred in memory."""
    rows = "".join(f'<row r="{n}"><c r="A{n}"><f t="shared" si="0"/></c></row>' for n in range(10, 110))
    first = f'<row r="9"><c r="A9"><f t="shared" si="0" ref="A9:A109">{"1+" * 500}1</f></c></row>'
    path = tmp_path / "t.xlsx"
    path.write_bytes(with_part(SHEET, lambda xml: xml.replace(b"</sheetData>", f"{first}{rows}</sheetData>".encode())))
    assert audit(path).results
    monkeypatch.setattr(opening, "MOST_FORMULA_CHARACTERS", 50_000)
    with pytest.raises(UnreadableWorkbookError, match="characters of formulas"):
        audit(path)


def test_a_cell_in_the_last_corner_costs_nothing(tmp_path):
    book = openpyxl.Workbook()
    book.active["A1"] = "=SUM(B2:XFD1048576)"
    book.active["XFD1048576"] = 1
    book.save(tmp_path / "t.xlsx")
    assert [r.check.key for r in audit(tmp_path / "t.xlsx", with_house=False).results if not r.passed] == [
        "values_stored"
    ]


def read_or_refused(content: bytes, path: Path) -> None:
    path.write_bytes(content)
    try:
        audit(path)
    except UnreadableWorkbookError as error:
        assert "\n" not in str(error)
        # Damage must be found while the file is read, not by a check.
        assert "the check" not in str(error), f"{error.__cause__!r}"


@settings(max_examples=60)
@given(st.integers(0, len(SMALL) - 1))
def test_a_file_cut_anywhere_is_refused(tmp_path_factory, length):
    path = tmp_path_factory.mktemp("cut") / "t.xlsx"
    path.write_bytes(SMALL[:length])
    with pytest.raises(UnreadableWorkbookError):
        audit(path)


@settings(max_examples=60)
@given(st.integers(0, len(SMALL) - 1), st.integers(1, 255))
def test_a_file_with_a_wrong_byte_is_read_or_refused(tmp_path_factory, place, difference):
    content = bytearray(SMALL)
    content[place] ^= difference
    read_or_refused(bytes(content), tmp_path_factory.mktemp("byte") / "t.xlsx")


JUNK = (
    "",
    "-1",
    "0",
    "1",
    "7",
    "99999999999999999999",
    "NaN",
    "A1:XFD1048576",
    "ZZZZ9",
    "A0",
    "rId99",
    "true",
    "=#REF!",
    "𝄞",
)


@given(st.randoms(use_true_random=False), st.sampled_from(JUNK))
def test_a_file_with_junk_in_its_xml_is_read_or_refused(tmp_path_factory, chance: random.Random, junk):
    with zipfile.ZipFile(BytesIO(SMALL)) as package:
        part = chance.choice([name for name in package.namelist() if name.endswith((".xml", ".rels"))])

    def junked(xml: bytes) -> bytes:
        root = etree.fromstring(xml)
        element = chance.choice(list(root.iter()))
        action = chance.choice(["attribute", "text", "remove", "double"])
        if action == "attribute" and element.attrib:
            element.set(chance.choice(sorted(element.attrib)), junk)
        elif action == "remove" and element is not root:
            element.getparent().remove(element)
        elif action == "double" and element is not root:
            element.getparent().append(etree.fromstring(etree.tostring(element)))
        else:
            element.text = junk
        return etree.tostring(root)

    x = Xlsx(SMALL)
    with zipfile.ZipFile(BytesIO(SMALL)) as package:
        x.replace(part, junked(package.read(part)))
    read_or_refused(x.content, tmp_path_factory.mktemp("junk") / "t.xlsx")
