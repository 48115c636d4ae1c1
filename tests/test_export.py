"""Exported decision sheets: formulas that live, values that are core's, and nothing that a user's text could do."""

from __future__ import annotations

import random
import re
import tracemalloc
import zipfile
from pathlib import Path

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import catalog
from core.catalog import CatalogModel
from core.fleet import gpus_by_division
from core.model_spec import (
    CrossAttention,
    FullAttention,
    Indexer,
    LayerRun,
    ModelSpec,
    RecurrentState,
    SlidingWindowAttention,
)
from core.precision import precision_of_bytes
from core.sizing import estimate
from core.units import GB
from tests.engines import ironcalc_engine, libreoffice
from workbook import pdf
from workbook.export import page
from workbook.export import workbook as exported
from workbook.export.figures import OPEN_INPUTS
from workbook.export.names import LONGEST_NAME, sheet_names
from workbook.export.page import fixed_text
from workbook.export.workbook import export_scenarios
from workbook.files import UnwritableFileError
from workbook.labels import Labels
from workbook.planner_reader import Planner
from workbook.scenario import GivenRow, Scenario

ENGINES = {"libreoffice": libreoffice, "ironcalc": ironcalc_engine}
PAYLOADS = (
    "=1+1", "+1", "-1", "@SUM(A1)", "=cmd|' /C calc'!A0", "'History", "History", "a/b\\c:d*e?[f]", "{=1}", "&A &P <b>",
    'He said "no"', "https://example.org", "x" * 200, "客服机器人 🙂", "客服机器人 🙂", "index", "-", "0012",
)  # fmt: skip


def hybrid_model() -> CatalogModel:
    """Layers of every kind that the cache tells apart: full, windows of three sizes, an encoder's, a state, index."""
    heads = {"num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 64}
    layers = (
        LayerRun(count=3, mixer=FullAttention(**heads)),
        LayerRun(count=5, mixer=SlidingWindowAttention(**heads, sliding_window=1024)),
        LayerRun(count=2, mixer=SlidingWindowAttention(**heads, sliding_window=4096)),
        LayerRun(count=1, mixer=SlidingWindowAttention(**heads, sliding_window=128)),
        LayerRun(count=4, mixer=RecurrentState(conv_values=300, ssm_values=4096)),
        LayerRun(count=2, mixer=CrossAttention(**heads, encoder_tokens=1500)),
        LayerRun(count=2, mixer=FullAttention(**heads, indexer=Indexer(index_head_dim=128, bytes_per_token=132))),
    )
    spec = ModelSpec(name="hybrid", hidden_size=512, layers=layers, stated_parameters=1_234_567_891)
    return CatalogModel(
        name="hybrid", aliases=(), title="Hybrid", developer="", licence="", spec=spec, published_parameters=None,
        source="made up for this test", as_of="2026-11-23",
    )  # fmt: skip


def scenario(title="Chat", model="llama-3.1-70b", **changes) -> Scenario:
    fields = {
        "title": title,
        "model": catalog.model(model) if isinstance(model, str) else model,
        "context": 32_768,
        "users": 10,
        "precision": catalog.precision("precision", "fp16"),
        "kv_precision": catalog.precision("kv_precision", "fp8"),
        "overhead": 0.1,
        "gpu_memory_gb": 80.0,
    }
    return Scenario(**fields | changes)


def several_scenarios() -> list[Scenario]:
    rng = random.Random(20261123)
    for_weights, for_kv = (
        [row.precision for row in catalog.precisions() if row.use in ("", use)] for use in ("weights", "kv")
    )
    rows = [
        scenario(
            title,
            rng.choice(catalog.model_names()),
            context=rng.choice([1, 1000, 8192, 32_768, 131_072, 10**7]),
            users=rng.choice([1, 7, 100, 10**5]),
            precision=rng.choice(for_weights),
            kv_precision=rng.choice(for_kv),
            overhead=rng.choice([0, 0.1, 0.123, 1]),
            gpu_memory_gb=rng.choice([24, 80, 85.52]),
        )
        for title in PAYLOADS
    ]
    rows += [scenario("Windows", hybrid_model(), context=context, users=3) for context in (1, 1024, 3000, 100_000)]
    rows += [scenario(name, name) for name in ("gemma-3-27b", "deepseek-v3", "gpt-oss-120b", "qwen3-next-80b-a3b")]
    return [*rows, scenario("Bytes", kv_precision=precision_of_bytes("kv_precision", 0.5625))]


class Given:
    """Scenarios that need no file."""

    path = Path("scenarios.csv")

    def __init__(self, scenarios: list[Scenario]) -> None:
        self._scenarios = scenarios

    def given_rows(self):
        for line, item in enumerate(self._scenarios, start=2):
            yield GivenRow(f"line {line}", item, ())


@pytest.fixture(scope="session")
def sheets(tmp_path_factory, language) -> Path:
    """Pages of many kinds."""
    path = tmp_path_factory.mktemp("export") / "pages.xlsx"
    assert export_scenarios(path, Given(several_scenarios()), language) == len(several_scenarios())
    return path


@pytest.fixture(scope="session")
def crowd(tmp_path_factory) -> Path:
    """The same scenarios where only the first two get a page."""
    path = tmp_path_factory.mktemp("export") / "crowd.xlsx"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exported, "MOST_PAGES", 2)
        export_scenarios(path, Given(several_scenarios()), "en")
    return path


def formula_cells(path):
    formulas, values = openpyxl.load_workbook(path), openpyxl.load_workbook(path, data_only=True)
    for ws in formulas:
        for row in ws.iter_rows():
            for cell in row:
                if cell.data_type == "f":
                    yield ws.title, cell.coordinate, cell.value, values[ws.title][cell.coordinate].value


def rows_by_label(ws) -> dict[str, int]:
    """The page's rows by the text in their first column; the first where it stands twice."""
    rows: dict[str, int] = {}
    for (cell,) in ws.iter_rows(max_col=1):
        rows.setdefault(cell.value, cell.row)
    return rows


@pytest.mark.parametrize("engine", ENGINES)
def test_recalculated_values_are_those_in_the_file(engine, sheets):
    agrees_with_its_formulas(ENGINES[engine], sheets)


@pytest.mark.parametrize("engine", ENGINES)
def test_recalculated_values_are_those_of_rows_without_a_page(engine, crowd):
    agrees_with_its_formulas(ENGINES[engine], crowd)


def agrees_with_its_formulas(engine, path) -> None:
    recalculated = engine.recalculate(path)
    cells = list(formula_cells(path))
    assert len(cells) > 100
    for sheet, address, formula, stored in cells:
        value = recalculated[sheet][address]
        if isinstance(stored, (int, float)):
            assert value == pytest.approx(stored, rel=1e-9, abs=0), (sheet, address, formula)
        else:
            assert value == stored, (sheet, address, formula)


def test_the_page_says_what_core_says(sheets, language):
    labels = Labels(language)
    book = openpyxl.load_workbook(sheets, data_only=True)
    for ws, item in zip(book.worksheets[1:], several_scenarios()):
        needs, gpus = item.sized()
        at = rows_by_label(ws)
        sizes = {"weights": needs.weights_bytes, "kv": needs.kv_bytes, "total": needs.total_bytes}
        for key, size_bytes in sizes.items():
            found = ws[f"B{at[labels(f'article.{key}')]}"].value
            assert found * GB == pytest.approx(size_bytes, rel=1e-12, abs=1), (ws.title, key)
        assert ws[f"B{at[labels('article.gpus')]}"].value == gpus
        assert ws["A1"].value == item.title
        sentence = ws[f"A{at[labels('export.section_recommendation')] + 1}"].value
        assert item.model.title in sentence and fixed_text(needs.total_bytes / GB, 1) in sentence


@pytest.mark.parametrize("engine", ENGINES)
def test_a_page_and_the_index_follow_the_pages_inputs(engine, sheets, language):
    """Each input changed at random, on the page with the most kinds of layer."""
    labels = Labels(language)
    ws = next(ws for ws in openpyxl.load_workbook(sheets) if ws["A1"].value == "Windows")
    at = {key: f"B{row}" for key, row in rows_by_label(ws).items()}
    index = openpyxl.load_workbook(sheets).worksheets[0]
    row = next(cell.row for (cell,) in index.iter_rows(min_col=2, max_col=2) if cell.value == "Windows")
    context, users, rate, memory = (
        at[labels(f"article.{key}")] for key in ("context", "users", "overhead_rate", "gpu_memory")
    )
    total, gpus = at[labels("article.total")], at[labels("article.gpus")]
    outputs = [(ws.title, total), (ws.title, gpus), (index.title, f"M{row}"), (index.title, f"N{row}")]
    rng = random.Random(3)
    requests = [
        (rng.randint(1, 10**6), rng.randint(1, 10**4), round(rng.random(), 3), rng.choice([24.0, 80.0, 141.5]))
        for _ in range(40)
    ]
    cases = [
        {(ws.title, address): float(value) for address, value in zip((context, users, rate, memory), request)}
        for request in requests
    ]
    with ENGINES[engine].WhatIf(sheets) as what_if:
        found = what_if.run(cases, outputs)
        sentences = what_if.run([{(ws.title, users): 12_345.0}, {(ws.title, users): "ten"}], [(ws.title, "A5")])
    given = next(item for item in several_scenarios() if item.title == "Windows")
    for (tokens, people, overhead, gpu_memory_gb), (total_gb, count, *in_index) in zip(requests, found):
        needs = estimate(
            given.model.spec, context=tokens, users=people, precision=given.precision,
            kv_precision=given.kv_precision, overhead=overhead,
        )  # fmt: skip
        assert total_gb == pytest.approx(needs.total_bytes / GB, rel=1e-9)
        assert count == gpus_by_division(needs.total_bytes, gpu_memory_gb)
        assert in_index == [total_gb, count]
    assert "12,345" in sentences[0][0]
    assert sentences[1][0] == labels("export.unusable")


def test_totals_of_the_index(crowd, sheets):
    scenarios = several_scenarios()
    for path in (crowd, sheets):
        ws = openpyxl.load_workbook(path, data_only=True).worksheets[0]
        assert ws["C4"].value == len(scenarios)
        needs = [item.sized() for item in scenarios]
        assert ws["C5"].value == pytest.approx(sum(n.total_bytes for n, _ in needs) / GB, rel=1e-9)
        assert ws["C6"].value == sum(gpus for _, gpus in needs)
        assert ws["C7"].value == 0  # a context of ten million tokens is more than any of these models allows


def test_a_failing_check_shows_on_page_index_and_total(tmp_path):
    # Origin: Llama 2's config.json, max_position_embeddings 4096.
    path = tmp_path / "long.xlsx"
    export_scenarios(path, Given([scenario(context=4096), scenario("Long", "llama-2-7b", context=4097)]), "en")
    book = openpyxl.load_workbook(path, data_only=True)
    index = book.worksheets[0]
    assert [index["C7"].value, index["O13"].value, index["O14"].value] == [0, 1, 0]
    ws = book["Long"]
    assert ws[f"B{rows_by_label(ws)['The model allows this context']}"].value == 0


def test_scenarios_beyond_the_pages_stand_one_a_row(crowd):
    book = openpyxl.load_workbook(crowd, data_only=True)
    scenarios = several_scenarios()
    assert len(book.sheetnames) == 1 + 2 + 1
    ws = book.worksheets[-1]
    assert ws.max_row == 4 + len(scenarios) - 2
    headings = [cell.value for cell in ws[4]]
    assert headings.count(Labels("en")("models.window")) == 3
    totals = [row[headings.index("Total (GB)")].value for row in ws.iter_rows(min_row=5)]
    expected = [item.sized()[0].total_bytes / GB for item in scenarios[2:]]
    assert totals == pytest.approx(expected, rel=1e-9)
    assert (
        "2 scenarios" in book.worksheets[0]["A3"].value
        and f"other {len(scenarios) - 2}" in book.worksheets[0]["A3"].value
    )


def test_users_text_stays_text(sheets, crowd):
    for path in (sheets, crowd):
        texts = {}
        for ws in openpyxl.load_workbook(path):
            for row in ws.iter_rows():
                for cell in row:
                    if isinstance(cell.value, str):
                        texts.setdefault(cell.value, []).append(cell)
        for payload in PAYLOADS:
            assert payload in texts
            for cell in texts[payload]:
                assert cell.data_type == "s"
                assert cell.quotePrefix or not payload.startswith(("=", "+", "-", "@")), cell
        with zipfile.ZipFile(path) as package:
            everything = b"".join(map(package.read, package.namelist()))
        assert b'TargetMode="External"' not in everything
        assert b"DDE" not in everything and b"externalLink" not in everything


def test_formulas_are_ones_that_excel_2010_knows(sheets, crowd):
    known = set("ABS AND COUNT COUNTIF FIXED IF INT ISNUMBER MAX MIN ROUNDUP ROWS SUM".split())
    for path in (sheets, crowd):
        for _, _, formula, _ in formula_cells(path):
            without_text = re.sub(r"\"[^\"]*\"|'[^']*'", "", formula)
            assert set(re.findall(r"([A-Z_][A-Z_0-9.]*)\(", without_text)) <= known, formula


def test_inputs_are_open_and_checked_and_all_else_is_locked(sheets):
    for ws in openpyxl.load_workbook(sheets).worksheets[1:]:
        assert ws.protection.sheet and ws.protection.password is None
        checked = [str(rule.sqref) for rule in ws.data_validations.dataValidation]
        assert len(checked) == len(OPEN_INPUTS)
        opened = [cell for row in ws.iter_rows() for cell in row if not cell.protection.locked]
        assert {cell.coordinate for cell in opened if cell.value is not None} == set(checked)


def test_one_page_each_with_a_chart_that_has_words(sheets):
    book = openpyxl.load_workbook(sheets)
    for ws in book.worksheets[1:]:
        assert (ws.page_setup.fitToWidth, ws.page_setup.fitToHeight) in ((1, 1), (None, None))
        assert ws.sheet_properties.pageSetUpPr.fitToPage
        assert ws.print_area
    with zipfile.ZipFile(sheets) as package:
        charts = [name for name in package.namelist() if name.startswith("xl/charts/chart")]
        drawings = [package.read(name).decode() for name in package.namelist() if "drawings/drawing" in name]
    assert len(charts) == len(book.worksheets)
    frames = [f for drawing in drawings for f in re.findall(r"<xdr:cNvPr [^>]*>", drawing)]
    assert len(frames) == len(charts) and all(re.search(r'descr="[^"]{10,}"', frame) for frame in frames)


def test_links_lead_to_the_pages_and_back(sheets):
    book = openpyxl.load_workbook(sheets)
    links = [cell.hyperlink.location for row in book.worksheets[0].iter_rows() for cell in row if cell.hyperlink]
    names = [location.rpartition("!")[0][1:-1].replace("''", "'") for location in links]
    assert names == book.sheetnames[1:]
    for ws in book.worksheets[1:]:
        (back,) = [cell.hyperlink.location for row in ws.iter_rows() for cell in row if cell.hyperlink]
        assert back == f"'{book.sheetnames[0]}'!A1"


def test_the_same_scenarios_give_the_same_bytes(tmp_path):
    for name in ("a.xlsx", "b.xlsx"):
        export_scenarios(tmp_path / name, Given(several_scenarios()), "en")
    assert (tmp_path / "a.xlsx").read_bytes() == (tmp_path / "b.xlsx").read_bytes()


def test_memory_does_not_grow_with_the_scenarios(tmp_path, monkeypatch):
    """A hundred times the rows take no more memory; 100 bytes a row would show."""
    monkeypatch.setattr(exported, "MOST_PAGES", 1)

    class Many(Given):
        def given_rows(self):
            for line in range(self._scenarios):
                yield GivenRow(f"line {line}", scenario(f"Scenario {line}", users=line + 1), ())

    def peak_bytes(count: int) -> int:
        tracemalloc.start()
        export_scenarios(tmp_path / "many.xlsx", Many(count), "en")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    peak_bytes(10)  # fills the caches
    assert peak_bytes(1000) < peak_bytes(10) + 100_000


def test_progress_is_told(tmp_path):
    told = []
    export_scenarios(tmp_path / "p.xlsx", Given([scenario()] * 3), "en", lambda done, of: told.append((done, of)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_a_failure_half_way_leaves_the_old_file(tmp_path):
    path = tmp_path / "old.xlsx"
    path.write_bytes(b"old")

    class Failing(Given):
        def given_rows(self):
            self.readings = getattr(self, "readings", 0) + 1
            yield from super().given_rows()
            if self.readings > 1:
                raise OSError(28, "No space left on device")

    with pytest.raises(UnwritableFileError, match="No space left on device"):
        export_scenarios(path, Failing([scenario()] * 3), "en")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@given(st.lists(st.text(max_size=60), max_size=12))
def test_sheet_names_are_ones_that_excel_allows(titles):
    names = sheet_names(titles, ("Index", "More scenarios"))
    assert len(names) == len(titles)
    folded = [name.casefold() for name in names] + ["index", "more scenarios", "history"]
    assert len(set(folded)) == len(folded)
    for name in names:
        assert 1 <= len(name.encode("utf-16-le")) // 2 <= LONGEST_NAME
        assert not re.search(r"[\[\]:*?/\\!\x00-\x1f]", name)
        assert not name.startswith("'") and not name.endswith("'") and name == name.strip()


@pytest.mark.parametrize(
    ("titles", "names"),
    [
        (["Chat"], ["Chat"]),
        (["Chat", "chat", "CHAT"], ["Chat", "chat (2)", "CHAT (3)"]),
        (["a/b\\c:d*e?[f]"], ["a-b-c-d-e--f-"]),
        (["'History'", "history"], ["History (2)", "history (3)"]),
        (["Index"], ["Index (2)"]),
        (["", "'", "\t"], ["-", "- (2)", "- (3)"]),
        (["x" * 40, "x" * 40], ["x" * 31, "x" * 27 + " (2)"]),
        (["🙂" * 20], ["🙂" * 15]),  # two UTF-16 units each
    ],
)
def test_sheet_names(titles, names):
    assert sheet_names(titles, ("Index",)) == names


@pytest.mark.parametrize(
    ("number", "decimals", "text"),
    # Origin: FIXED in LibreOffice 25.2 and IronCalc 0.9.1: half up, of the decimal digits that are shown.
    [
        (0.25, 1, "0.3"),
        (1.15, 1, "1.2"),
        (1077.25, 1, "1,077.3"),
        (1234567, 0, "1,234,567"),
        (0, 1, "0.0"),
        (2.5, 0, "3"),
    ],
)
def test_fixed_text(number, decimals, text):
    assert fixed_text(number, decimals) == text


class TestCommand:
    CSV = "scenario,model,context,users,gpu_memory_gb\n{rows}"

    def write(self, folder, *rows) -> Path:
        path = folder / "scenarios.csv"
        path.write_text(self.CSV.format(rows="\n".join(rows)), encoding="utf-8")
        return path

    def test_a_csv_file(self, vram, tmp_path):
        path = self.write(tmp_path, "A,llama-3.1-70b,32000,10,80", "B,llama-3.1-70b,32000,1,80")
        status, out, err = vram("export", path, "-o", tmp_path / "new" / "out.xlsx", "--lang", "zh")
        assert (status, err) == (0, "") and "2 scenarios" in out
        index = openpyxl.load_workbook(tmp_path / "new" / "out.xlsx", data_only=True)["目录"]
        # Origin: (141.107412992 + 104.8576) × 1.1 and (141.107412992 + 10.48576) × 1.1, by hand.
        assert [index["M13"].value, index["M14"].value] == pytest.approx([270.5615142912, 166.7524902912], rel=1e-12)

    def test_a_filled_planner(self, vram, planners, tmp_path):
        status, _, err = vram("export", planners["zh"], "-o", tmp_path / "out.xlsx")
        assert (status, err) == (0, "")
        index = openpyxl.load_workbook(tmp_path / "out.xlsx", data_only=True)["Index"]
        expected = [row.scenario.sized()[0].total_bytes / GB for row in Planner(planners["zh"])]
        assert [index[f"M{13 + i}"].value for i in range(10)] == pytest.approx(expected, rel=1e-9)

    def test_bad_rows_are_all_named_and_nothing_is_written(self, vram, tmp_path):
        path = self.write(tmp_path, "A,llama-3.1-70b,32K,0,80", "B,llama-3-8b,1,1,24", "C,lama-3.1-70b,1,1,80")
        status, out, err = vram("export", path, "-o", tmp_path / "out.xlsx")
        assert (status, out) == (2, "")
        first, *lines = err.splitlines()
        assert first.startswith("vram: ") and "3 problems, nothing was written" in first
        assert lines == [
            "line 2, context: '32K' is not a number but text. Write the tokens per sequence, for example 32768.",
            "line 2, users: 0 is below 1. Write the number of concurrent users, for example 10.",
            "line 4, model: 'lama-3.1-70b' is not known. Did you mean 'llama-3.1-70b'?",
        ]
        assert not (tmp_path / "out.xlsx").exists()

    def test_of_many_problems_the_first_are_named(self, vram, tmp_path):
        path = self.write(tmp_path, *["A,llama-3.1-70b,x,0,80"] * 50)
        _, _, err = vram("export", path, "-o", tmp_path / "out.xlsx")
        assert "100 problems" in err and err.count("\n") == 22 and "… and 80 more." in err

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["missing.csv", "-o", "out.xlsx"], "no such file"),
            (["scenarios.csv", "-o", "out.pdf"], "does not end in .xlsx"),
            (["scenarios.csv"], "--output"),
            (["empty.csv", "-o", "out.xlsx"], "it has no scenario"),
            (["planner.xlsx", "-o", "planner.xlsx"], "is the file that is read"),
        ],
    )
    def test_refusals_are_one_sentence(self, vram, planners, tmp_path, monkeypatch, arguments, words):
        monkeypatch.chdir(tmp_path)
        self.write(tmp_path, "A,llama-3.1-70b,1,1,80")
        Path("empty.csv").write_text(self.CSV.format(rows=""), encoding="utf-8")
        Path("planner.xlsx").write_bytes(planners["en"].read_bytes())
        status, out, err = vram("export", *arguments)
        assert (status, out) == (2, "") and words in err
        assert err.startswith("vram: ") and err.count("\n") == 1
        assert not Path("out.xlsx").exists()
        assert Path("planner.xlsx").read_bytes() == planners["en"].read_bytes()

    def test_pdf(self, vram, tmp_path):
        libreoffice.soffice()  # skips, or in CI fails, where there is none
        path = self.write(tmp_path, "A,llama-3.1-70b,32000,10,80", "B,llama-3.1-70b,32000,1,80")
        status, _, err = vram("export", path, "-o", tmp_path / "out.xlsx", "--pdf")
        assert (status, err) == (0, "")
        printed = (tmp_path / "out.pdf").read_bytes()
        assert printed.startswith(b"%PDF")
        assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 3  # the index, and a page each

    def test_pdf_without_libreoffice_is_refused_before_anything_is_written(self, vram, tmp_path, monkeypatch):
        monkeypatch.setattr(pdf, "possible_offices", lambda: iter(()))
        path = self.write(tmp_path, "A,llama-3.1-70b,32000,10,80")
        status, out, err = vram("export", path, "-o", tmp_path / "out.xlsx", "--pdf")
        assert (status, out) == (2, "") and err.count("\n") == 1
        assert "LibreOffice" in err and "leave --pdf out" in err
        assert list(tmp_path.iterdir()) == [path]


def test_columns_of_the_page_fit_a4():
    # 7 pixels a character and 5 of padding at 96 dpi (ECMA-376, 18.3.1.13): 210 mm less margins, at 80 % or more.
    assert sum(width * 7 + 5 for width in page.WIDTHS) * 25.4 / 96 * 0.8 < 210 - 25.4
