"""Test that `vram read` and `vram export` read users' workbooks and refuse hostile ones with a reason."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pytest
from openpyxl.xml.constants import ARC_CONTENT_TYPES, SHARED_STRINGS, WORKSHEET_TYPE

from tests.fuzz import seeds
from tests.workbook.audit.test_audit_hostile import FILES
from workbook import untrusted
from workbook.files import UnreadableFileError
from workbook.labels import Labels
from workbook.planner_reader import RESULTS, Kind, Planner
from workbook.scenario import FIELDS
from workbook.sheets.scenarios import header as header_of

pytestmark = pytest.mark.slow

LABELS = Labels("en")
SHEET, STYLES, TEXTS, TABLE = (
    f"xl/{part}.xml" for part in ("worksheets/sheet1", "styles", "sharedStrings", "tables/table1")
)


# ---- refused: one line, status 2, nothing written ----------------------------------------------------


# The audit refuses some of these only because it loads every cell; the reader streams them and finds no scenarios.
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("command", ["read", "export"])
def test_hostile_files(vram, tmp_path, name, command):
    path, out = tmp_path / "hostile.xlsx", tmp_path / "out.xlsx"
    path.write_bytes(FILES[name][0])
    status, printed, err = vram(command, path, *(["-o", out] if command == "export" else []))
    assert (status, printed) == (2, ""), printed
    assert err.startswith(f"vram: {path}: ") and err.count("\n") == 1, err
    assert not out.exists()


def package(changes: dict[str, Callable[[bytes], bytes]], added: dict[str, bytes] | None = None) -> bytes:
    """Return the small planner with changed parts, compressed with Deflate."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for part, content in seeds.PARTS.items():
            changed = changes.get(part, lambda content: content)(content)
            assert part not in changes or changed != content, f"nothing changed in {part}"
            made.writestr(part, changed)
        for part, content in (added or {}).items():
            made.writestr(part, content)
    return out.getvalue()


def inserted(text: bytes, before: bytes) -> Callable[[bytes], bytes]:
    return lambda content: content.replace(before, text + before, 1)


def replaced(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return lambda content: content.replace(old, new)


def without_table(content: bytes) -> bytes:
    return content.replace(b"relationships/table", b"relationships/other")


def distinct(element: bytes, count: int) -> bytes:
    """Return `count` different elements, which compress too little to count as a zip bomb."""
    return b"".join(element % (i * 2_654_435_761 % 2**32) for i in range(count))


RELS, TYPES = "xl/worksheets/_rels/sheet1.xml.rels", ARC_CONTENT_TYPES
MANY_FORMATS = inserted(distinct(b'<xf numFmtId="%d"/>', 210_000), b"</cellXfs>")
BAD_PACKAGES = {
    "a row beyond the last one": ({SHEET: replaced(b'<row r="4"', b'<row r="99999999999"'), RELS: without_table}, {},
    "a row 1,001"),
    "cell formats without end": ({STYLES: MANY_FORMATS}, {}, "styles.xml has more than 200,000 elements"),
    "texts without end": ({TEXTS: inserted(b"<si/>" * 10**6, b"</sst>")}, {}, "a zip bomb"),
    "texts that say they are a sheet": (
        {TYPES: inserted(
            b'<Override PartName="/xl/worksheets/s.xml" ContentType="%s"/>' % WORKSHEET_TYPE.encode()
            + b'<Override PartName="/xl/worksheets/s.xml" ContentType="%s"/>' % SHARED_STRINGS.encode(), b"</Types>")},
        {"xl/worksheets/s.xml": b"<sst>" + distinct(b"<si>%d</si>", 210_000) + b"</sst>"},
        "s.xml has more than 200,000 elements",
    ),
    "entities in a part that is not called .xml": (
        {}, {"xl/hidden.bin": b'<!DOCTYPE x [<!ENTITY a "b">]><x/>'}, "hidden.bin declares a document type",
    ),
    "an unknown encoding": ({STYLES: replaced(b'encoding="UTF-8"', b'encoding="FUT-8"')}, {},
    "unknown encoding"),
    "no content types": ({TYPES: replaced(b"Override", b"Other")}, {}, "damaged"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_PACKAGES)
def test_packages_that_would_hang_or_fill_memory(tmp_path, monkeypatch, name):
    monkeypatch.setattr("workbook.planner_reader.MOST_ROWS", 1000)
    changes, added, words = BAD_PACKAGES[name]
    path = tmp_path / "bad.xlsx"
    path.write_bytes(package(changes, added))
    with pytest.raises(UnreadableFileError, match=words) as refusal:
        list(Planner(path))
    assert "\n" not in str(refusal.value)


def test_an_offset_before_the_file_is_refused(tmp_path):
    """The directory is said to begin at an impossible offset, for which the zip module raises a ValueError."""
    content = seeds.PLANNER
    path = tmp_path / "bad.xlsx"
    path.write_bytes(content[:30] + content[200:])
    with pytest.raises(UnreadableFileError, match="damaged"):
        list(Planner(path))


def test_a_definition_of_a_table_that_is_a_sheet_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr("workbook.planner_reader._LARGEST_TABLE_BYTES", 100)
    path = tmp_path / "planner.xlsx"
    path.write_bytes(seeds.PLANNER)
    assert Planner(path).sheet == "Scenarios"  # found by its columns


def test_limits_leave_room_for_what_users_have(whole_planner):
    """The template is far from every limit that refuses a file."""
    with zipfile.ZipFile(whole_planner) as parts:
        for part in parts.infolist():
            assert (
                part.file_size < max(untrusted.RATIO_COUNTS_FROM_BYTES, untrusted.MOST_RATIO * part.compress_size) / 4
            )
            if not part.filename.startswith("xl/worksheets/"):
                assert parts.read(part).count(b"<") < untrusted.MOST_ELEMENTS / 4


# ---- read --------------------------------------------------------------------------------------------


@pytest.fixture
def changed(small_planners, tmp_path):
    """Apply `change(sheet, column of each key, first row, book)` to the English planner and return its path."""

    def make(change) -> Path:
        book = openpyxl.load_workbook(small_planners["en"])
        ws = book[LABELS("sheet.scenarios")]
        header = next(row for row in ws.iter_rows() if row[0].value == LABELS("scenarios.scenario"))
        column = {cell.value: cell.column for cell in header}
        keys = {result: column[header_of(LABELS, result)] for result in RESULTS}
        keys |= {field.name: column[LABELS(field.label)] for field in FIELDS}
        change(ws, keys, header[0].row + 1, book)
        path = tmp_path / "changed.xlsx"
        book.save(path)
        return path

    return make


def test_a_number_stored_as_text_is_reported_and_not_guessed(changed):
    """With another country's settings Excel stores "0,1" as a text, with which the sheet cannot compute either."""
    texts = ("0,1", "10 %", "32.768", "32 768", "３２７６８", "1e3", "ten", "'10")

    def change(ws, keys, first, _):
        for row, text in enumerate(texts, start=first):
            for field in ("context", "users", "overhead"):
                ws.cell(row, keys[field], text)

    for text, row in zip(texts, Planner(changed(change))):
        assert row.scenario is None, text
        assert [problem.field for problem in row.problems] == ["context", "users", "overhead"], text
        assert all("is text, not a number" in problem.problem for problem in row.problems), text


def test_formulas_overwritten_in_a_whole_column(changed, vram, tmp_path):
    def change(ws, keys, first, _):
        for row in range(first, first + 10):
            ws.cell(row, keys["total"], 1)

    path = changed(change)
    found = [difference for row in Planner(path) for difference in row.differences]
    assert [(difference.result, difference.kind) for difference in found] == [("total", Kind.OVERWRITTEN)] * 10
    assert vram("export", path, "-o", tmp_path / "out.xlsx")[0] == 0  # the export uses only the inputs


def test_deleted_rows_and_columns_and_a_renamed_sheet(changed):
    def change(ws, keys, first, book):
        ws.delete_rows(first + 1, 3)
        ws.title = "Q4 '26 & co"
        del book[LABELS("sheet.checks")]

    planner = Planner(changed(change))
    assert planner.sheet == "Q4 '26 & co"
    assert [row.number for row in planner if row.scenario] and not [row for row in planner if row.problems]


def test_a_deleted_column_of_inputs_is_a_refusal(changed):
    path = changed(lambda ws, keys, first, _: ws.cell(first - 1, keys["users"]).__setattr__("value", "Seats"))
    with pytest.raises(UnreadableFileError, match="no table of scenarios"):
        Planner(path)


def test_merged_cells_hold_their_first_value(changed):
    def change(ws, keys, first, _):
        ws.merge_cells(start_row=first, end_row=first + 2, start_column=keys["model"], end_column=keys["model"])

    rows = list(Planner(changed(change)))
    assert rows[0].scenario is not None
    assert [problem.field for row in rows[1:3] for problem in row.problems] == ["model", "model"]


def test_a_formula_that_links_to_another_file_is_not_followed(changed):
    def change(ws, keys, first, _):
        ws.cell(first, keys["users"], "='file:///etc/[hostname]Sheet1'!A1")

    (problem,) = next(iter(Planner(changed(change)))).problems
    assert (problem.field, problem.problem) == ("users", "its formula has no stored value")


def test_a_hundred_thousand_rows(tmp_path):
    """Rows are returned while the file is read, which is never held in memory."""
    row = re.search(rb'<row r="3".*?</row>', seeds.PARTS[SHEET])[0]
    rows = (re.sub(rb'r="([A-Z]*)3"', rb'r="\g<1>%d"' % number, row) for number in range(10, 100_010))
    path = tmp_path / "many.xlsx"
    path.write_bytes(package({SHEET: inserted(b"".join(rows), b"</sheetData>"), RELS: without_table}))
    found = iter(Planner(path))
    assert [next(found).number for _ in range(1000)] == [3, 4, *range(9, 1007)]
    found.close()
