"""Test the template's file: sheets, names, texts, stored values, and nothing that procurement departments forbid."""

from __future__ import annotations

import re
import zipfile
from contextlib import nullcontext

import openpyxl
import pandas
import pytest
from openpyxl.utils import column_index_from_string

import vram
from core import catalog
from core.catalog.draft_models import draft_pairs
from core.catalog.mig import gpu_or_slice, gpus_with_slices
from core.catalog.offer_choice import ITEMS, OUTCOMES, PROBLEMS, default_offer_policy, judge, prices
from core.catalog.offers import catalog_offers
from core.model.counts import model_counts
from core.plan.fleet import LAYOUTS, layout_title
from core.plan.money import OPTION_MONEY
from tests.spreadsheets.stored import stored_results
from tests.workbook.article_names import ARTICLE_NAMES
from tests.workbook.formula_form import depth_of_if
from tests.workbook.planner_rows import FEW_GPUS, FEW_SCENARIOS, MOST_SCENARIOS, SMALL_CATALOG, few
from tests.workbook.reading import read_once
from workbook import labels as label_table
from workbook.labels import Labels
from workbook.offers import label_of
from workbook.sheets import capacity, how_it_works, models, options, precisions, scenarios
from workbook.sheets import prices as prices_sheet
from workbook.template import SHEET_ORDER, build

pytestmark = pytest.mark.slow

RESULT_NAMES = (*ARTICLE_NAMES, "exact_total_gb", "real_total_gb", "master_check")


def named_values(path) -> dict[str, object]:
    """Return the stored value of every workbook name of a single cell."""
    book = read_once(path, data_only=True)
    values = {}
    for name, defined in book.defined_names.items():
        if "LAMBDA" in defined.attr_text:  # the workbook's functions
            continue
        ((sheet, address),) = defined.destinations
        if ":" not in address:
            values[name] = book[sheet][address.replace("$", "")].value
    return values


def formulas(path):
    for ws in read_once(path):
        for row in ws.iter_rows():
            for cell in row:
                if cell.data_type == "f":
                    yield ws.title, cell.coordinate, cell.value


def test_sheets_stand_in_order(planner, language):
    labels = Labels(language)
    book = read_once(planner)
    assert book.sheetnames == [labels(f"sheet.{key}") for key in SHEET_ORDER]
    assert book.active.title == labels("sheet.plan")
    assert all(ws.sheet_state == "visible" for ws in book)


def test_the_file_carries_the_articles_figures(planner):
    # Origin: the article's table; exact and real model by hand: (140 + 839.2704) × 1.1 and (141.107412992 + 104.8576) × 1.1.
    values = named_values(planner)
    assert {name: values[name] for name in RESULT_NAMES} == pytest.approx(
        {**ARTICLE_NAMES, "exact_total_gb": 1077.19744, "real_total_gb": 270.5615142912, "master_check": 1}, rel=1e-12
    )


def test_pandas_reads_numbers_without_recalculation(planner, language):
    sheet = pandas.read_excel(planner, sheet_name=Labels(language)("sheet.article"), header=None)
    assert 1034 in sheet.to_numpy()
    assert 1077.19744 in sheet.to_numpy()


def test_every_formula_cell_has_a_value_and_none_is_an_error(planner):
    results = stored_results(planner)
    assert len(results) > 10_000
    for cell, value in results.items():
        assert value != "" and not str(value).startswith("#"), (cell, value)


def test_formulas_are_ones_that_excel_2010_knows(planner):
    known = {
        "ABS", "AND", "COLUMN", "COLUMNS", "COUNT", "COUNTA", "COUNTIF", "COUNTIFS", "DAY", "EDATE", "EXACT", "FIND", "FIXED", "IF", "IFERROR", "INDEX", "INT", "ISNUMBER", "ISTEXT", "MONTH", "RIGHT", "YEAR",
        "LARGE", "LEN", "LOG", "LOWER", "MATCH", "MAX", "MIN", "MOD", "N", "NA", "NOT", "OR", "ROUND", "ROUNDUP", "ROW", "ROWS", "SIGN", "SMALL", "SUBSTITUTE", "SUM", "SUMIF",
        "SUMPRODUCT", "VRAM_TOTAL", "VRAM_WEIGHTS",
    }  # fmt: skip
    for _, _, formula in formulas(planner):
        without_text = re.sub(r'"[^"]*"', "", formula)
        assert set(re.findall(r"([A-Z_][A-Z_0-9.]*)\(", without_text)) <= known, formula


def test_the_headline_numbers_need_no_add_in(planner, language):
    """Only the cross-check column and the test for the add-in use its functions."""
    labels = Labels(language)
    users = {(sheet, re.sub(r"\d", "", address)) for sheet, address, formula in formulas(planner) if "VRAM_" in formula}
    assert users == {(labels("sheet.scenarios"), scenarios.letter("addin_total")), (labels("sheet.checks"), "B")}


def test_nothing_that_procurement_forbids(planner):
    with zipfile.ZipFile(planner) as package:
        assert package.testzip() is None
        names = package.namelist()
    assert not [n for n in names if "vbaProject" in n or "externalLink" in n or "connections" in n or "activeX" in n]


def test_the_same_version_writes_the_same_bytes(small_planners, language):
    """In one process; `tests/tools/test_release.py` writes planners in processes of their own."""
    with few():
        assert build(language)[0] == small_planners[language].read_bytes()


def gpus_of(language: str) -> list[str]:
    """Return the GPUs of the planner in a language."""
    return [gpu.name for gpu in gpus_with_slices() if language == "en" or gpu.name in FEW_GPUS]


def models_of(language: str) -> list[str]:
    """Return the models that the fixture `planner` has in a language."""
    return [name for name in catalog.model_names() if language == "en" or name in SMALL_CATALOG]


def options_of(language: str) -> list[tuple[str, int]]:
    """Return the options that it has: the GPU and the number of the layout."""
    with nullcontext() if language == "en" else few():
        return capacity.option_rows()


def most_scenarios_of(language: str) -> int:
    """Return the number of scenarios whose layouts it has."""
    return MOST_SCENARIOS if language == "en" else FEW_SCENARIOS


def test_models_sheet_is_the_catalog(planner, language):
    ws = read_once(planner)[Labels(language)("sheet.models")]
    labels = Labels(language)
    headers = {cell.value: cell.column - 1 for cell in ws[models.HEADER_ROW]}
    rows = [[cell.value for cell in row] for row in ws.iter_rows(min_row=models.FIRST_ROW)]
    own = len(models.OWN_MODELS)
    names = models_of(language)
    pairs = [f"{pair.model} + {pair.draft_model}" for pair in draft_pairs() if pair.model in names]
    assert [row[0] for row in rows] == [*models.OWN_MODELS, *names, *pairs]
    for row in rows[own:]:
        model, _, draft = row[0].partition(" + ")
        known = catalog.model(model)
        assert row[headers[labels("models.draft_model")]] == (draft or None)
        assert row[headers[labels("models.parameters")]] == model_counts(known.spec).parameters.total
        assert row[headers[labels("models.source")]] == known.source


def test_gpus_sheet_is_the_catalog(planner, language):
    labels = Labels(language)
    ws = read_once(planner, data_only=True)[labels("sheet.gpus")]
    columns = [cell.value for cell in ws[4]]
    rows = [dict(zip(columns, (cell.value for cell in row))) for row in ws.iter_rows(min_row=5, max_col=len(columns))]
    assert [row[labels("gpus.gpu")] for row in rows] == gpus_of(language)
    basis = {True: labels("gpus.basis_label"), False: labels("gpus.basis_driver")}
    for row in rows:
        known = gpu_or_slice(row[labels("gpus.gpu")])
        shown = {
            "gpus.maker": known.maker,
            "gpus.label": known.label_gb,
            "gpus.memory_mib": known.memory_mib,
            "gpus.basis": basis[known.memory_is_label],
            "gpus.bandwidth": known.bandwidth_gb_per_s,
            "gpus.bf16_tflops": known.bf16_tflops,
            "gpus.fp8_tflops": known.fp8_tflops,
            "gpus.fp4_tflops": known.fp4_tflops,
            "gpus.int8_tops": known.int8_tops,
            "gpus.compute_source": known.compute_source or None,
            "gpus.tdp": known.tdp_w,
            "gpus.per_node": known.gpus_per_node,
            "gpus.interconnect": known.interconnect or None,
            "gpus.source": known.source,
            "gpus.as_of": known.as_of,
        }
        assert {key: row[labels(key)] for key in shown} == shown
        # The formula compared with core: 81559 MiB are 85.52 GB; without a driver's figure the label counts.
        assert row[labels("gpus.memory_gb")] == pytest.approx(known.memory_bytes / 10**9, rel=1e-12)


INPUT_STYLES = {f"VRAM {name}" for name in ("input", "input text", "plan input", "plan input text", "plan input long")}


def test_every_input_is_unlocked_and_checked(planner, language):
    labels = Labels(language)
    book = read_once(planner)
    for key in ("article", "scenarios", "sensitivity", "plan", "assumptions", "models", "prices"):
        ws = book[labels(f"sheet.{key}")]
        validated = {
            place for rule in ws.data_validations.dataValidation for area in rule.sqref.ranges for place in area.cells
        }
        inputs = [cell for row in ws.iter_rows() for cell in row if cell.style in INPUT_STYLES]
        assert inputs
        for cell in inputs:
            assert not cell.protection.locked
            assert (cell.row, cell.column) in validated, cell.coordinate


def test_lists_offer_what_the_catalog_has(planner, language):
    book = read_once(planner)
    for name, known in (
        ("model_names", [*models.OWN_MODELS, *models_of(language)]),
        ("kv_precision_names", ["fp32", "fp16", "bf16", "fp8", "int8", "int4", *precisions.CACHES, "shipped"]),
        ("precision_names", ["fp32", "fp16", "bf16", "fp8", "int8", "int4", "shipped", *precisions.FORMATS]),
        ("engine_names", ["rule", "vllm"]),
        ("gpu_names", gpus_of(language)),
    ):
        ((sheet, cells),) = book.defined_names[name].destinations
        assert [cell.value for (cell,) in book[sheet][cells]] == known


def test_the_prices_are_those_of_the_offers_that_count(planner, language):
    """Prices shows the state of each offer of the catalog, and GPUs the price of the one that counts, and its row."""
    labels = Labels(language)
    book = read_once(planner, data_only=True)
    with_options = {gpu for gpu, _ in options_of(language)}  # of others Prices says that they have none
    judged = [
        (row, found)
        for row, found in enumerate(judge(catalog_offers(), default_offer_policy()), start=prices_sheet.FIRST_ROW)
        if found.offer.gpu in with_options
    ]
    ws = book[labels("sheet.prices")]
    states = [ws[f"{prices_sheet.letter('state')}{row}"].value for row, _ in judged]
    group = dict.fromkeys(PROBLEMS, "problem") | dict.fromkeys(OUTCOMES, "outcome")
    assert states == [label_of(labels, group[found.state], found.state) for _, found in judged]
    assert states
    ws = book[labels("sheet.gpus")]
    columns = [cell.value for cell in ws[4]]
    for cells in ws.iter_rows(min_row=5, max_col=len(columns), values_only=True):
        row = dict(zip(columns, cells))
        known = prices(row[labels("gpus.gpu")])
        for item in ITEMS:
            price, title = getattr(known, item), labels(f"gpus.{item}")
            found = [row[f"{title}{part}"] for part in ("", f": {labels('gpus.price_offer')}")]
            assert found == ([price.usd, catalog_offers().index(price.offer) + 1] if price else ["–", 0]), known.name


def test_the_recommendation_is_the_first_of_vram_plan(whole_planner):
    """The options in the order of their ranks are those of `vram plan` for the chosen scenario."""
    labels = Labels("en")
    book = read_once(whole_planner, data_only=True)
    ws = book[labels("sheet.options")]
    columns = {key: ord_of(options.letter(key)) for key in ("rank", "gpu", "layout", "net_present_cost", "state")}
    rows = [
        {key: row[i] for key, i in columns.items()} for row in ws.iter_rows(min_row=options.FIRST_ROW, values_only=True)
    ]
    ranked = sorted((row for row in rows if isinstance(row["rank"], (int, float))), key=lambda row: row["rank"])
    assert [row["rank"] for row in ranked] == list(range(1, len(ranked) + 1))
    assert all((row["state"] == labels("options.in")) == (row in ranked) for row in rows)
    plan = vram.plan(
        "llama-3.1-70b", users=50, context=32_768, precision="fp8", kv_precision="fp8",
        gpus=list(dict.fromkeys(row["gpu"] for row in rows)),
    )  # fmt: skip
    found = [(option.gpu, layout_title(option.tp, option.pp)) for option in plan.options if option.rank]
    assert [(row["gpu"], row["layout"]) for row in ranked] == found
    costs = [option.costs.net_present_cost for option in plan.options if option.rank]
    assert "dgx-spark" not in {row["gpu"] for row in ranked}  # it is too slow
    assert [row["net_present_cost"] for row in ranked] == pytest.approx(costs, rel=1e-12)
    sheet = book[labels("sheet.plan")]
    headline = sheet["E3"].value
    assert catalog.gpu(found[0][0]).title.removeprefix("NVIDIA ") in headline
    assert headline in [cell.value for row in book[labels("sheet.about")].iter_rows() for cell in row]
    results = {name: value_of(book, name) for name in ("plan_gpu", "plan_layout", "plan_runner_up", "plan_margin")}
    runner_up = plan.runner_up
    assert (results["plan_gpu"], results["plan_layout"]) == found[0]
    assert results["plan_runner_up"] == runner_up.gpu
    assert results["plan_margin"] == pytest.approx(plan.margin, rel=1e-9)
    best = plan.options[0].costs
    assert value_of(book, "plan_net_present_cost") == pytest.approx(best.net_present_cost, rel=1e-9)
    assert value_of(book, "plan_cost_per_month") == pytest.approx(best.outcome["cost_month"], rel=1e-9)
    assert value_of(book, "plan_cost_per_million_tokens") == pytest.approx(best.outcome["million_cost"], rel=1e-9)


def value_of(book, name: str) -> object:
    """Return the value of a named cell."""
    ((sheet, address),) = book.defined_names[name].destinations
    return book[sheet][address].value


# What programs may rely on: every input and every result of a plan has a name.
NAMES_OF_PLAN = (
    "plan_scenario", "plan_people", "plan_active_share", "plan_users", "plan_requests_per_hour", "plan_min_speed",
    "plan_candidates", "plan_way_wanted", "plan_horizon_months", "plan_spare_replicas", "plan_hours_per_day",
    "plan_days_per_month", "plan_average_load", "plan_api_prompt_price", "plan_api_output_price", "plan_currency",
    "plan_exchange_rate", "plan_tax_rate", "plan_date", "plan_gpu", "plan_gpus", "plan_layout", "plan_replicas",
    "plan_way", "plan_capex", "plan_cost_per_month", "plan_net_present_cost", "plan_cost_per_person_month",
    "plan_cost_per_million_tokens", "plan_speed", "plan_speed_low", "plan_first_token_s", "plan_runner_up",
    "plan_margin",
)  # fmt: skip


def test_inputs_and_results_of_a_plan_have_names(planner):
    names = openpyxl.load_workbook(planner, read_only=True).defined_names
    assert [name for name in NAMES_OF_PLAN if name not in names] == []


def test_plan_is_the_first_sheet(planner, language):
    assert openpyxl.load_workbook(planner, read_only=True).sheetnames[0] == Labels(language)("sheet.plan")


def ord_of(letter: str) -> int:
    return column_index_from_string(letter) - 1


# ---- what an auditor can follow --------------------------------------------------------------------------


def test_every_formula_can_be_followed(planner):
    """As Excel shows a formula, it has at most 200 characters, 8 different references, and IF 3 deep."""
    seen = set()
    for ws in read_once(planner):
        for row in ws.iter_rows():
            for cell in row:
                if cell.data_type == "f":
                    shown = re.sub(r"\w+\[\[#This Row\],(\[(?:[^\]']|'.)*\])\]", r"[@\1]", cell.value)
                    pattern = re.sub(r"\d+", "0", shown)
                    if pattern in seen:
                        continue
                    seen.add(pattern)
                    where = f"{ws.title}!{cell.coordinate}: {shown}"
                    assert len(shown) <= 200, where
                    bare = re.sub(r'"(?:[^"]|"")*"', '""', shown)
                    assert depth_of_if(bare) <= 3, where
                    assert len(set(references(bare))) <= 8, where
    assert len(seen) > 200


def references(formula: str) -> list[str]:
    """Return the columns, cells, ranges and defined names in a formula without texts."""
    column = r"\[@\[(?:[^\]']|'.)*\]\]|\w+\[(?:[^\[\]']|'.)*\]"
    cell = r"(?:'[^']+'!|\w+!)?\$?[A-Z]{1,3}\$?\d+(?::\$?[A-Z]{1,3}\$?\d+)?"
    return re.findall(rf"{column}|{cell}|\b[a-z][a-z0-9]*_[a-z0-9_]+\b", formula)


def test_sheets_fill_the_rows_of_each_scenario_and_option(planner, language):
    labels = Labels(language)
    ws = read_once(planner)[labels("sheet.capacity")]
    expected = most_scenarios_of(language) * len(LAYOUTS) + len(options_of(language))
    assert ws.max_row == capacity.HEADER_ROW + expected + 3  # the title and the headings of the second table


def test_how_it_works_explains_every_term(planner, language):
    labels = Labels(language)
    ws = read_once(planner)[labels("sheet.how_it_works")]
    rows = list(ws.iter_rows(min_row=5, max_col=5, values_only=True))
    assert [row[0] for row in rows] == [labels(f"term.{term.name}") for term in how_it_works.TERMS]
    figures = {row[0]: row for row in rows}
    for term, row in zip(how_it_works.TERMS, rows):
        _, unit, means, formula, source = row
        assert (unit or "") == (labels(f"term_unit.{term.unit}") if term.unit else "–")
        assert means == labels(f"term.{term.name}.means") and (source or "") == term.source
        for name in set(term.formula.names()) & set(OPTION_MONEY.by_name):
            assert f"[{labels(f'term.{name}')}]" in formula
    if language == "en":
        net = "IF(AND(ISNUMBER([GPUs and servers]),ISNUMBER([TDP of a GPU (W)])),[GPUs and servers]*(1+[Network and installation]),"
        assert figures["Purchase before tax"][3] == net + '"–")'


def test_links_lead_to_sheets(planner, language):
    book = read_once(planner)
    links = [
        cell.hyperlink for row in book[Labels(language)("sheet.about")].iter_rows() for cell in row if cell.hyperlink
    ]
    assert len(links) == len(SHEET_ORDER) - 1
    for link in links:
        assert link.target is None
        assert link.location.split("!")[0].strip("'") in book.sheetnames


def test_every_chart_says_in_words_what_it_shows(planner):
    with zipfile.ZipFile(planner) as package:
        drawings = [package.read(n).decode() for n in package.namelist() if re.match(r"xl/drawings/drawing\d+\.xml", n)]
    frames = [frame for drawing in drawings for frame in re.findall(r"<cNvPr [^>]*>", drawing)]
    assert frames and all(re.search(r'descr="[^"]{20,}"', frame) for frame in frames)


class TestLabels:
    def test_each_has_both_languages(self):
        en, zh = Labels("en"), Labels("zh")
        for key in label_table.all_keys():
            assert en(key).strip() and zh(key).strip(), key

    def test_chinese_is_chinese(self):
        universal = {
            "unit.gb", "unit.gb_per_s", "unit.mb", "unit.none", "unit.tokens", "term_unit.GB", "term_unit.tokens",
            "capacity.of_stage", "plan.line_api_paid",
        }  # fmt: skip
        for key in set(label_table.all_keys()) - universal:
            assert re.search(r"[\u4e00-\u9fff]", Labels("zh")(key)), key

    def test_placeholders_agree(self):
        for key in label_table.all_keys():
            found = [sorted(re.findall(r"{\w+}", Labels(lang)(key))) for lang in ("en", "zh")]
            assert found[0] == found[1], key

    def test_prompts_fit_into_excels_boxes(self):
        # ECMA-376: prompt and error texts of a data validation hold 255 characters.
        for lang in ("en", "zh"):
            assert all(len(Labels(lang)(key)) <= 255 for key in label_table.all_keys() if key.startswith("prompt."))

    def test_another_language_is_refused(self):
        with pytest.raises(ValueError, match="fr"):
            Labels("fr")
