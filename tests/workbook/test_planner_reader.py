"""Test reading filled planners (found, recomputed, compared) and refusing hostile files."""

from __future__ import annotations

import io
import json
import random
import re
import zipfile

import openpyxl
import pytest

from core.units import GB
from tests.spreadsheets import libreoffice
from tests.workbook.planner_rows import row
from workbook import untrusted
from workbook.changed_cells import Changes
from workbook.files import UnreadableFileError
from workbook.labels import LANGUAGES, Labels
from workbook.package import rewritten
from workbook.planner_reader import RESULTS, Kind, Planner
from workbook.scenario import FIELDS
from workbook.sheets import models, outcome, scenarios
from workbook.sheets.scenarios import EXAMPLES, FIRST_ROW

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("few_models")]

# Origin: the article's three cases without its rounding, by hand.
FIRST_TOTALS_GB = [1077.19744, 246.319744, 384.79936]
INPUT_COLUMNS = tuple(field.column for field in FIELDS)


def at(key: str, number: int) -> str:
    """Return the cell of a column in a row of Scenarios."""
    return f"{scenarios.letter(key)}{number}"


LAST_COLUMN = scenarios.letter(outcome.WORKINGS[-1].key)
TOTAL, KV, GPUS, CHECK = (scenarios.letter(key) for key in ("total", "kv", "gpus", "input_check"))


@pytest.fixture(scope="module", params=LANGUAGES)
def planner(small_planners, request):
    return small_planners[request.param]


@pytest.fixture(scope="module")
def filled(small_planners, tmp_path_factory):
    """Save with LibreOffice a planner that a user has filled, renamed and rearranged."""
    path = tmp_path_factory.mktemp("filled") / "filled.xlsx"
    book = openpyxl.load_workbook(small_planners["zh"])
    ws = book[Labels("zh")("sheet.scenarios")]
    ws.title = "Q4's 预算"
    for key, number, value in (
        ("context", 8, 16_000), ("users", 9, 77), ("model", 11, "qwen2.5-72b"), ("context", 12, "long"),
        ("model", 13, "lama"), ("context", 14, "=2^12"), ("total", 10, 270.6), ("gpus", 16, "=3+3"),
    ):  # fmt: skip
        ws[at(key, number)].value = value
    for column in INPUT_COLUMNS:
        ws[at(column, 15)].value = None
    book.save(path)
    return libreoffice.saved(path, path.parent / "saved")


def edited(planner, folder, edit) -> Planner:
    """Return the planner after `edit(sheet of scenarios, workbook)`, saved by openpyxl without stored values."""
    book = openpyxl.load_workbook(planner)
    edit(book[Labels("en")("sheet.scenarios")], book)
    book.save(folder / "edited.xlsx")
    return Planner(folder / "edited.xlsx")


def test_the_template_agrees(planner):
    rows = list(Planner(planner))
    assert [row.number for row in rows] == list(range(FIRST_ROW, FIRST_ROW + len(EXAMPLES)))
    assert not any(row.problems or row.differences or row.uncalculated for row in rows)
    totals = [row.scenario.estimate.total_bytes / GB for row in rows[:3]]
    assert totals == pytest.approx(FIRST_TOTALS_GB, rel=1e-12)


def test_all_results_are_compared(planner):
    assert set(Planner(planner)._place.results) == set(RESULTS)


class TestFilled:
    @pytest.mark.needs("libreoffice")
    def test_rows_are_found_and_recomputed(self, filled):
        planner = Planner(filled)
        assert planner.sheet == "Q4's 预算"
        rows = {row.number: row for row in planner}
        assert sorted(rows) == [7, 8, 9, 10, 11, 12, 13, 14, 16]  # row 15 was cleared
        assert rows[8].scenario.context == 16_000 and rows[9].scenario.users == 77
        assert rows[14].scenario.context == 4096
        # Origin: 2 622 720 bytes × 16 000 tokens + 140 GB, and a tenth of both, by hand.
        assert rows[8].scenario.estimate.total_bytes == (140 * GB + 2_622_720 * 16_000) * 11 // 10

    @pytest.mark.needs("libreoffice")
    def test_what_was_overwritten_is_named(self, filled):
        differences = [difference for row in Planner(filled) for difference in row.differences]
        assert [(d.cell, d.kind) for d in differences] == [(f"'Q4''s 预算'!{TOTAL}10", Kind.OVERWRITTEN)]
        assert differences[0].stored == 270.6
        assert differences[0].expected == pytest.approx(270.5615142912, rel=1e-9)

    @pytest.mark.needs("libreoffice")
    def test_rows_that_are_not_usable_are_named(self, filled):
        problems = {row.number: [str(problem) for problem in row.problems] for row in Planner(filled) if row.problems}
        assert set(problems) == {12, 13}
        assert "context: 'long' is text, not a number" in problems[12][0]
        assert "model: 'lama' is not known" in problems[13][0]


def test_a_stored_value_that_differs_from_core(small_planners, tmp_path):
    """The stored value differs and the formula is unchanged, as if a faulty program had saved the file."""
    path = tmp_path / "wrong.xlsx"
    cells = {f"{KV}7": "839.27041", f"{GPUS}10": "5", f"{CHECK}11": "Model: choose from the list"}
    wrong = {address.encode(): value.encode() for address, value in cells.items()}

    def tamper(part, content):
        if "worksheets" not in part or f'r="{KV}7"'.encode() not in content or b"Scenarios[" not in content:
            return content
        for address, value in wrong.items():
            content, count = re.subn(
                rb'(<c r="%s".*?<v>)[^<]*(</v>)' % address, rb"\g<1>%s\g<2>" % value, content, count=1
            )
            assert count == 1
        return content

    path.write_bytes(rewritten(small_planners["en"].read_bytes(), tamper))
    found = {d.cell: (d.kind, d.stored) for row in Planner(path) for d in row.differences}
    assert found == {
        f"Scenarios!{KV}7": (Kind.DIFFERS, 839.27041),
        f"Scenarios!{GPUS}10": (Kind.DIFFERS, 5),
        f"Scenarios!{CHECK}11": (Kind.DIFFERS, "Model: choose from the list"),
    }


def test_a_file_that_no_spreadsheet_program_has_calculated(small_planners, tmp_path):
    planner = edited(small_planners["en"], tmp_path, lambda ws, _: ws[at("context", 7)].__setattr__("value", "=2^12"))
    rows = list(planner)
    assert all(row.uncalculated == len(RESULTS) and not row.differences for row in rows)
    (problem,) = rows[0].problems
    assert str(problem).startswith("context: its formula has no stored value.")


@pytest.mark.parametrize(("key", "text", "tokens"), [("context", "32K", 32_768), ("output_tokens", "1k", 1_024)])
def test_tokens_in_thousands_are_read(small_planners, tmp_path, key, text, tokens):
    planner = edited(small_planners["en"], tmp_path, lambda ws, _: ws[at(key, 7)].__setattr__("value", text))
    scenario = next(iter(planner)).scenario
    assert scenario.value(key) == tokens


@pytest.mark.needs("libreoffice")
def test_an_alias_is_sized_by_core_and_refused_by_the_sheet(small_planners, tmp_path):
    book = openpyxl.load_workbook(small_planners["en"])
    book["Scenarios"]["B7"].value = "meta-llama/Llama-3.1-70B"
    book.save(tmp_path / "alias.xlsx")
    (row, *_) = Planner(libreoffice.saved(tmp_path / "alias.xlsx", tmp_path / "saved"))
    assert row.scenario.model.name == "llama-3.1-70b"
    assert {d.result: d.stored for d in row.differences} == {
        "input_check": "Model: choose from the list"
    } | dict.fromkeys(set(RESULTS) - {"input_check"}, "–")


def test_rows_below_the_table_are_read_and_notes_further_down_are_not(small_planners, tmp_path):
    def add(ws, _):
        for key, value in row("New", "llama-3-8b", users=3, gpu_memory=24).items():
            ws[at(key, 17)].value = value
        ws["A20"].value = "Approved in the meeting of 3 November"

    rows = list(edited(small_planners["en"], tmp_path, add))
    assert [row.number for row in rows][-1] == 17
    assert rows[-1].scenario.users == 3
    assert [d.kind for d in rows[-1].differences] == [Kind.BLANK] * len(RESULTS)


def test_a_row_of_totals_is_no_scenario(small_planners, tmp_path):
    def total(ws, _):
        ws.tables["Scenarios"].ref, ws.tables["Scenarios"].totalsRowCount = f"A6:{LAST_COLUMN}17", 1
        ws["A17"].value, ws[at("total", 17)].value = "Total", f"=SUM({TOTAL}7:{TOTAL}16)"
        ws["A18"].value = "not a scenario either"

    assert [row.number for row in edited(small_planners["en"], tmp_path, total)][-1] == 16


def test_own_models_are_read_from_their_sheet(small_planners, tmp_path):
    def edit(ws, book):
        own = {"model": "ours 13B", "parameters": 13_015_864_320, "layers": 40, "kv_heads": 40, "head_dim": 128}
        for key, value in own.items():
            book["Models"][models.own_inputs()[key]].value = value
        ws[at("model", 7)].value = "ours 13B"
        ws[at("model", 8)].value = "own-2"  # an unused row

    first, second, *_ = edited(small_planners["en"], tmp_path, edit)
    needs = first.scenario.estimate
    assert needs.weights_bytes == 2 * 13_015_864_320
    assert needs.kv_bytes == 40 * 2 * 40 * 128 * 2 * 32_000 * 10  # layers × key and value × heads × size × bytes
    assert [problem.field for problem in second.problems] == ["model"]


def test_a_planner_of_an_earlier_version_has_fewer_columns(tmp_path):
    """Without allocation, engine and GPU its meaning stays: reserved context, engine "rule", the given GB."""
    book = openpyxl.Workbook()
    headings = "Model,Context (tokens),Users,Weights precision,KV precision,Overhead (%),GPU memory (GB)"
    book.active.append(headings.split(","))
    book.active.append(("llama-3.1-70b", 32_000, 10, "fp16", "fp16", 0.1, 80))
    book.save(tmp_path / "before.xlsx")
    (only,) = Planner(tmp_path / "before.xlsx")
    assert only.scenario.estimate.total_bytes / GB == pytest.approx(270.5615142912)


def test_deleted_rows_moved_and_missing_columns(small_planners, tmp_path):
    def rearrange(ws, book):
        values = [[ws[at(column, number)].value for column in INPUT_COLUMNS] for number in range(6, 17)]
        other = book.create_sheet("Elsewhere", 0)
        for i, cells in enumerate(values[:1] + values[3:5]):
            for j, value in enumerate(reversed(cells)):
                other.cell(i + 30, j + 4, value)
        del book["Scenarios"]

    planner = edited(small_planners["en"], tmp_path, rearrange)
    assert planner.sheet == "Elsewhere"  # found by its columns: the table was deleted
    rows = list(planner)
    assert [(row.number, row.scenario.title) for row in rows] == [(31, "Article, 8K"), (32, "Llama 70B, 10 users")]
    assert not any(row.differences for row in rows)


def test_many_rows_with_an_outdated_size_in_the_file(small_planners, tmp_path):
    """A thousand rows, with a stated dimension of ten."""
    row_xml = re.compile(rb'<row r="7".*?</row>', re.DOTALL)

    def multiply(part, content):
        area = f"A6:{LAST_COLUMN}16".encode()
        if b'ref="%s"' % area in content and "tables/" in part:
            return content.replace(area, f"A6:{LAST_COLUMN}1006".encode())
        if "worksheets/sheet" not in part or f'r="{LAST_COLUMN}16"'.encode() not in content:
            return content
        first = row_xml.search(content)[0]
        rows = (re.sub(rb'r="([A-Z]*)7"', rb'r="\g<1>%d"' % number, first) for number in range(7, 1007))
        return content[: content.index(b'<row r="7"')] + b"".join(rows) + content[content.index(b"</sheetData>") :]

    path = tmp_path / "many.xlsx"
    path.write_bytes(rewritten(small_planners["en"].read_bytes(), multiply))
    rows = list(Planner(path))
    assert len(rows) == 1000
    assert not any(row.differences or row.problems for row in rows)


class TestHostileFiles:
    """Every hostile file is refused in one line."""

    def refused(self, path, words):
        with pytest.raises(UnreadableFileError, match=words) as refusal:
            list(Planner(path))
        assert "\n" not in str(refusal.value)

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"", "not an .xlsx workbook"),
            (b"model,context\n", "not an .xlsx workbook"),
            (b"PK\x03\x04" + bytes(100), "damaged"),
            (b"\xd0\xcf\x11\xe0" + bytes(600), "password-protected or an old .xls"),
        ],
    )
    def test_other_kinds_of_file(self, tmp_path, content, words):
        path = tmp_path / "f.xlsx"
        path.write_bytes(content)
        self.refused(path, words)

    def test_a_missing_file(self, tmp_path):
        self.refused(tmp_path / "missing.xlsx", "no such file")
        self.refused(tmp_path, "no such file")

    def test_truncated_anywhere(self, small_planners, tmp_path):
        whole = small_planners["en"].read_bytes()
        for size in random.Random(1).sample(range(4, len(whole)), 25):
            (tmp_path / "cut.xlsx").write_bytes(whole[:size])
            self.refused(tmp_path / "cut.xlsx", "damaged")

    def test_bytes_changed_anywhere(self, small_planners, tmp_path):
        """The file is read or refused; nothing else is raised."""
        whole = small_planners["en"].read_bytes()
        rng = random.Random(2)
        path = tmp_path / "changed.xlsx"
        for _ in range(15):
            content = bytearray(whole)
            for position in rng.sample(range(4, len(whole)), 20):
                content[position] ^= rng.randrange(1, 256)
            path.write_bytes(content)
            try:
                list(Planner(path))
            except UnreadableFileError as refusal:
                assert "\n" not in str(refusal)

    @pytest.mark.parametrize("part", ["xl/workbook.xml", "xl/styles.xml", "xl/worksheets/sheet2.xml"])
    def test_entities(self, small_planners, tmp_path, part):
        entities = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
        external = b'<!DOCTYPE x SYSTEM "file:///etc/passwd">'
        for declaration in (entities, external):
            path = tmp_path / "entities.xlsx"
            path.write_bytes(rewritten(small_planners["en"].read_bytes(), with_declaration(part, declaration)))
            self.refused(path, "declares a document type")

    def test_bombs(self, small_planners, tmp_path, monkeypatch):
        """Ten megabytes of blanks, compressed to ten kilobytes, with limits of one megabyte."""
        monkeypatch.setattr(untrusted, "LARGEST_SHEETS_BYTES", 2**20)
        monkeypatch.setattr(untrusted, "LARGEST_REST_BYTES", 2**20)
        for part in ("xl/worksheets/sheet2.xml", "xl/styles.xml"):
            path = tmp_path / "bomb.xlsx"
            blanks = rewritten(
                small_planners["en"].read_bytes(), lambda p, c, part=part: c + b" " * 10**7 if p == part else c
            )
            path.write_bytes(blanks)
            self.refused(path, "it unpacks to")

    def test_a_part_that_says_it_is_encrypted(self, small_planners, tmp_path):
        content = bytearray(small_planners["en"].read_bytes())
        central = content.rindex(b"PK\x01\x02")
        content[central + 8] |= 1
        (tmp_path / "e.xlsx").write_bytes(content)
        self.refused(tmp_path / "e.xlsx", "encrypted")

    def test_missing_parts(self, small_planners, tmp_path):
        whole = small_planners["en"].read_bytes()
        with zipfile.ZipFile(io.BytesIO(whole)) as package:
            for missing in ("xl/workbook.xml", "[Content_Types].xml", "xl/worksheets/sheet2.xml"):
                with zipfile.ZipFile(tmp_path / "m.xlsx", "w") as out:
                    for name in package.namelist():
                        if name != missing:
                            out.writestr(name, package.read(name))
                self.refused(tmp_path / "m.xlsx", "damaged|no table of scenarios|more than 200,000 elements")

    def test_a_workbook_without_scenarios(self, tmp_path):
        book = openpyxl.Workbook()
        book.active.append(["Model", "Context (tokens)"])
        book.save(tmp_path / "other.xlsx")
        self.refused(tmp_path / "other.xlsx", "no table of scenarios")

    def test_links_to_other_files_and_merged_cells_do_no_harm(self, small_planners, tmp_path):
        def edit(ws, _):
            ws.merge_cells("D7:E7")
            ws["C8"].value = "='[http://127.0.0.1:9/prices.xlsx]Sheet1'!A1"

        rows = {row.number: row for row in edited(small_planners["en"], tmp_path, edit)}
        assert [problem.field for problem in rows[7].problems] == ["users"]
        assert "its formula has no stored value" in str(rows[8].problems[0])
        assert not rows[9].problems


def with_declaration(part: str, declaration: bytes):
    def edit(name: str, content: bytes) -> bytes:
        if name != part:
            return content
        head, end, rest = content.partition(b"?>") if content.startswith(b"<?xml") else (b"", b"", content)
        return head + end + declaration + rest

    return edit


class TestCommand:
    @pytest.mark.needs("libreoffice")
    def test_for_people(self, vram, small_planners, filled):
        status, out, err = vram("read", small_planners["en"])
        assert (status, err) == (0, "") and "1,077.20" in out and "agrees" in out
        status, out, err = vram("read", filled)
        assert (status, err) == (1, "")
        assert f"{TOTAL}10 was overwritten by 270.6; the formula gives 270.561514291" in out
        assert "row 12: context: 'long' is text, not a number" in out

    @pytest.mark.needs("libreoffice")
    def test_json(self, vram, filled):
        status, out, _ = vram("read", filled, "--json")
        answer = json.loads(out)
        assert status == 1 and answer["agrees"] is False
        assert answer["rows"][0]["total_bytes"] == 1_077_197_440_000
        assert answer["rows"][0]["scenario"] == "文章：10 用户"
        bad = {row["row"]: row for row in answer["rows"]}[12]
        assert bad["total_bytes"] is None and bad["context"] == "long" and len(bad["problems"]) == 1
        assert [found["kind"] for found in answer["differences"]] == ["overwritten"]
        assert answer["formulas_without_value"] == 0

    def test_csv_can_be_exported_again(self, vram, small_planners, tmp_path):
        status, out, _ = vram("read", small_planners["en"], "--csv")
        assert status == 0
        (tmp_path / "again.csv").write_text(out, encoding="utf-8")
        assert vram("export", tmp_path / "again.csv", "-o", tmp_path / "again.xlsx")[0] == 0
        ws = openpyxl.load_workbook(tmp_path / "again.xlsx", data_only=True).worksheets[0]
        assert ws["C4"].value == len(EXAMPLES)

    def test_an_exported_file_is_read_from_its_index(self, vram, tmp_path):
        lines = [
            "scenario,model,context,users,gpu,gpu_memory_gb,draft_model,mtp_tokens",
            "Slice,qwen3-4b,8192,40,h100-1g.10gb,,,",
            "Whole,qwen3-4b,8192,40,h100,,eagle3-qwen3-4b,2",
            "Given,qwen3-4b,8192,40,h100,70,,",
            "By size,qwen3-4b,8192,40,,70,,",
        ]
        (tmp_path / "given.csv").write_text("\n".join(lines), encoding="utf-8")
        assert vram("export", tmp_path / "given.csv", "-o", tmp_path / "given.xlsx")[0] == 0
        _, words, _ = vram("read", tmp_path / "given.xlsx")
        assert words.endswith("4 scenarios; every result agrees, and formulas of its pages are not compared.\n")
        status, out, _ = vram("read", tmp_path / "given.xlsx", "--json")
        answer = json.loads(out)
        assert (status, answer["agrees"]) == (0, True)
        assert Planner(tmp_path / "given.xlsx").changes() == Changes((), (), is_planner=False)
        found = [(row["gpu"], row["draft_model"], row["mtp_tokens"]) for row in answer["rows"]]
        assert found == [
            ("h100-sxm-1g.10gb", None, 0),
            ("h100-sxm", "eagle3-qwen3-4b", 2),
            ("h100-sxm", None, 0),
            ("", None, 0),
        ]
        assert [row["gpu_memory_gb"] for row in answer["rows"][2:]] == [70, 70]

    def test_csv_never_holds_a_formula(self, vram, small_planners, tmp_path):
        planner = edited(small_planners["en"], tmp_path, lambda ws, _: ws["A7"].__setattr__("value", "x"))
        book = openpyxl.load_workbook(planner.path)
        cell = book["Scenarios"]["A7"]
        cell.value, cell.data_type = "=cmd|' /C calc'!A0", "s"
        book.save(planner.path)
        _, out, _ = vram("read", planner.path, "--csv")
        assert out.splitlines()[1].startswith("7,'=cmd|")

    def test_bad_arguments(self, vram, small_planners):
        for arguments in ([small_planners["en"], "--json", "--csv"], ["missing.xlsx"], [__file__]):
            status, out, err = vram("read", *arguments)
            assert (status, out) == (2, "")
            assert err.startswith("vram: ") and err.count("\n") == 1
