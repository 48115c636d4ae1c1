"""What a buyer signs on an exported page: speed, alternatives, acceptance test, order and risks."""

from __future__ import annotations

import datetime
import math
import random
from dataclasses import replace

import pytest

from core import catalog
from core.catalog.offer_choice import catalog_prices
from core.catalog.offers import OWN_QUOTE
from core.engines.deployment import EngineSettings
from core.plan.demand import MIN_SPEED
from core.plan.fleet import layout_title
from core.plan.serving import ENGINES, RULE, VLLM
from core.units import GB
from tests.spreadsheets.programs import in_each_program
from tests.workbook.export.test_export import Given, deployed, figures_by_label, on_gpu, pages, scenario
from tests.workbook.reading import read
from vram.plans import plan
from workbook.export import alternatives, speeds
from workbook.export.figures import NOTHING, figures_of
from workbook.export.workbook import export_scenarios
from workbook.labels import LANGUAGES, Labels, all_keys
from workbook.scenario import Scenario

pytestmark = pytest.mark.slow

LABELS = Labels("en")
AS_OF = datetime.date(2026, 11, 29)


def chat(**changes) -> Scenario:
    fields = {"engine": VLLM, "users": 300, "context": 8192, "precision": None, **on_gpu("h100-sxm")}
    return scenario("Chat", "llama-3.1-8b", **fields | changes)


def quoted():
    """Prices of the catalog, but two of the four of an H100 are quotes: for the GPU and for the server."""
    found = catalog_prices()
    h100 = found["h100-sxm"]

    def own(price, usd: float, until: datetime.date):
        offer = replace(price.offer, kind=OWN_QUOTE, vendor="Acme", quote="Q-17", typical=usd, valid_until=until)
        return replace(price, offer=offer, usd=usd, is_stale=False)

    h100 = replace(
        h100,
        purchase=own(h100.purchase, 10_000, datetime.date(2027, 1, 31)),
        server_per_gpu=own(h100.server_per_gpu, 2_000, datetime.date(2026, 12, 31)),
    )
    return {**found, "h100-sxm": h100}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("decision") / "page.xlsx"
    export_scenarios(path, Given([chat()]), "en", prices=quoted(), as_of=AS_OF)
    (ws,) = pages(read(path, data_only=True))
    return ws


def texts_of(ws) -> list[str]:
    return [cell.value for row in ws.iter_rows(max_col=8) for cell in row if isinstance(cell.value, str)]


def test_a_page_worked_by_hand(page):
    # 8192 tokens are 910 of an answer (8192 ÷ 9 = 910.2) and 7282 of a prompt.
    at = figures_by_label(page)

    def value(key: str):
        return page[at[LABELS(key)]].value

    assert value("scenarios.layout") == "TP 2 × PP 2"
    # A token is 65,536 bytes in fp8 (32 layers × 2 × 8 heads × 128 values), a fourth of it on each of four GPUs.
    each = value("procurement.users_per_replica")
    assert each == int(value("term.kv_budget_bytes") * GB / (8192 * 65_536 / 4)) == 534
    # With 30 % headroom 300 ÷ (534 × 0.7) = 0.8 replicas, and one spare: two of 4 GPUs, which fill a node of 8.
    assert value("scenarios.replicas") == 1 and value("procurement.best_gpus") == 8
    # 8 GPUs of 10,000 USD with servers of 2,000 each, and 4.86 % for the network.
    assert value("export.capex") == pytest.approx(8 * 12_000 * 1.0486, rel=1e-12)
    low, first = value("export.low_tokens_per_s"), value("export.slow_first_token")
    shown = f"at least {math.floor(low * 10) / 10:.1f} tokens/s and the first token within {math.ceil(first * 10) / 10:.1f} s"
    (test,) = [text for text in texts_of(page) if text.startswith("With 300 concurrent users")]
    assert "prompts of 7,282 and answers of 910 tokens" in test and shown in test
    assert "over 10 minutes after 2 minutes of warm-up, with vLLM" in test and "KV cache fp8" in test
    assert low >= MIN_SPEED


def test_an_order_names_supplier_quote_and_validity(page):
    at = figures_by_label(page)
    order = {key: page[at[LABELS(f"export.{key}")]].value for key in ("supplier", "quote_number", "valid", "lead_time")}
    assert order == {"supplier": "Acme", "quote_number": "Q-17", "valid": "2026-12-31", "lead_time": None}
    assert page[at[LABELS("export.lead_time")]].protection.locked is False
    prices = LABELS("export.risk_prices", own=2, all=4, stale=2, date=AS_OF)
    assert prices in texts_of(page)
    assert LABELS("export.answer_tax", start_tax="0", month_tax="0") in texts_of(page)


def test_offers_of_others_are_no_promise(tmp_path):
    export_scenarios(tmp_path / "page.xlsx", Given([chat()]), "en")
    (ws,) = pages(read(tmp_path / "page.xlsx"))
    at = figures_by_label(ws)
    assert [ws[at[LABELS(f"export.{key}")]].value for key in ("supplier", "quote_number", "valid")] == [None] * 3


def test_alternatives_are_the_cheapest_of_vram_plan(page, tmp_path):
    """Also with costs that tie, and for models of every kind: GPUs that cannot be among them are not looked at."""
    chance, items = random.Random(5), []
    models = ("llama-3.1-8b", "gpt-oss-120b", "qwen3-30b-a3b", "gemma-3-27b", "deepseek-v3", "qwen3-next-80b-a3b")
    for number, model in enumerate(models):
        gpu = chance.choice(("h100-sxm", "l40s", "rtx-pro-4000"))
        items.append(
            scenario(f"{number}", model, engine=VLLM, users=50 * number + 7, precision=None, **on_gpu(gpu))
        )  # fmt: skip
    for item in items:
        answer = plan(item.model.name, users=item.users, context=item.context, precision="shipped", kv_precision="fp8")
        ranked = [option for option in answer.options if option.rank]
        others = [option for option in ranked if option.gpu != item.gpu.name][:2]
        figures = figures_of(item)
        found = alternatives.OtherGpus(catalog_prices()).of(figures)
        assert len(found) == len(others) == 2
        for shown, option in zip(found, others):
            assert shown.gpu == catalog.gpu(option.gpu).title
            assert shown.layout == layout_title(option.tp, option.pp)
            assert shown.net_present_cost == pytest.approx(option.costs.net_present_cost, rel=1e-12)
            assert shown.start_cash == pytest.approx(option.costs.outcome["start_cash"], rel=1e-12)
            assert shown.cost_month == pytest.approx(option.costs.outcome["cost_month"], rel=1e-12)
            low = option.speed.low.tokens_per_second_per_user
            assert shown.speed.low.tokens_per_s_per_user == pytest.approx(low, rel=1e-12)


def test_scenarios_that_differ_in_their_answers_have_alternatives_of_their_own():
    """The alternatives are computed once for scenarios that ask the same, which a longer answer does not."""
    others = alternatives.OtherGpus(catalog_prices())
    short, long = (
        scenario("chat", "llama-3.1-8b", engine=VLLM, users=50, precision=None, output_tokens=tokens, **on_gpu("l40s"))
        for tokens in (100, 6000)
    )
    for item in (short, long):
        answer = plan(
            item.model.name, users=50, context=item.context, output_tokens=item.output_tokens, precision="shipped",
            kv_precision="fp8",
        )  # fmt: skip
        speeds = {
            (catalog.gpu(option.gpu).title, layout_title(option.tp, option.pp)): option.speed
            for option in answer.options
        }
        for found in others.of(figures_of(item)):
            low = speeds[found.gpu, found.layout].low.tokens_per_second_per_user
            assert found.speed.low.tokens_per_s_per_user == pytest.approx(low, rel=1e-12)


def test_alternatives_stand_under_the_named_option(page):
    heading = LABELS("export.alternatives_net_cost")
    (row,) = [cell.row for cell in page["G"] if cell.value == heading]
    lines = [[page.cell(line, column).value for column in (1, 2, 5, 6, 7, 8)] for line in range(row + 1, row + 4)]
    figures = figures_of(chat(), quoted())
    assert lines[0][0] == f"8 × {catalog.gpu('h100-sxm').title}" and lines[0][1] == "Buy; TP 2 × PP 2"
    assert lines[0][4] == pytest.approx(figures.best_money["net_present_cost"]) and lines[0][5] == NOTHING
    for _, _, cash, month, cost, difference in lines[1:]:
        assert cash >= 0 and month > 0 and difference == pytest.approx(cost - lines[0][4])


def without_speed() -> dict[str, Scenario]:
    """A scenario for each reason why there is no speed."""
    llama = catalog.model("llama-3.1-8b")
    sized = replace(llama, spec=replace(llama.spec, vocab_size=None, stated_parameters=8_030_261_248))
    gpus = [gpu for gpu in catalog.gpus() if gpu.bandwidth_gb_per_s and gpu.bf16_tflops is None]
    found = {
        speeds.NO_GPU: chat(gpu=None, gpu_memory_gb=80.0),
        speeds.NO_FIGURES: replace(chat(engine=RULE), model=sized),
        speeds.NO_KERNEL: chat(precision=catalog.precision("precision", "fp8"), **on_gpu("p40")),
    }
    no_bandwidth = [gpu for gpu in catalog.gpus() if gpu.bandwidth_gb_per_s is None]
    if gpus:
        found[speeds.NO_RATE] = chat(**on_gpu(gpus[0].name))
    if no_bandwidth:
        found[speeds.NO_BANDWIDTH] = chat(**on_gpu(no_bandwidth[0].name))
    return found


@pytest.mark.parametrize("lang", LANGUAGES)
def test_a_page_without_speed_says_why(lang, tmp_path):
    labels, items = Labels(lang), without_speed()
    export_scenarios(tmp_path / "pages.xlsx", Given([*items.values()]), lang)
    for ws, (gap, item) in zip(pages(read(tmp_path / "pages.xlsx", data_only=True)), items.items()):
        assert figures_of(item).speed_gap == gap
        assert labels(f"export.gap_{gap}") in texts_of(ws)
        assert any(text.endswith(labels("export.risk_memory")) for text in texts_of(ws))
        assert labels("export.no_test") in texts_of(ws)
        if gap in speeds.REFUSING:
            assert labels(f"export.answer_{gap}") == ws["A6"].value
            assert figures_of(item).best is None


def test_a_cache_that_vllm_lacks_is_a_risk(tmp_path):
    pairs = {engine: chat(engine=engine, kv_precision=catalog.kv_precision("q8_0/q4_0")) for engine in ENGINES}
    export_scenarios(tmp_path / "pages.xlsx", Given([*pairs.values()]), "en")
    risk = LABELS("export.risk_cache", format="q8_0/q4_0")
    for ws, engine in zip(pages(read(tmp_path / "pages.xlsx")), pairs):
        assert (risk in texts_of(ws)) == (engine == VLLM)


def test_a_speed_that_no_measurement_shows_is_a_risk(tmp_path):
    usual, risk = LABELS("export.risk_speed"), LABELS("export.risk_settings")
    expected = {
        EngineSettings(): usual,
        EngineSettings(shared_tokens=1000): risk,
        EngineSettings(mtp_tokens=2, acceptance=0.6): f"{risk}{LABELS('export.risk_drafts', share='60%')}",
        EngineSettings(mtp_tokens=2): f"{risk}{LABELS('export.risk_drafts', share='85%')}",
    }
    items = [scenario("Qwen", "qwen3.5-27b", engine=VLLM, settings=given, **on_gpu("h200-sxm")) for given in expected]
    export_scenarios(tmp_path / "pages.xlsx", Given(items), "en")
    for ws, text in zip(pages(read(tmp_path / "pages.xlsx")), expected.values()):
        assert text in texts_of(ws)


@in_each_program
def test_the_wanted_speed_can_be_changed(program, tmp_path):
    """Layout, users of a replica and speed are core's for another wanted speed, until every layout is too slow."""
    path = tmp_path / "page.xlsx"
    items = [chat(), replace(chat(engine=RULE), title="By the rule"), scenario("Experts", "gpt-oss-120b", engine=VLLM,
             users=90, precision=None, **on_gpu("h200-sxm"))]  # fmt: skip
    export_scenarios(path, Given(items), "en")
    book = read(path)
    sheet, _, cell = book.defined_names["min_speed"].attr_text.replace("$", "").partition("!")
    outputs = []
    for ws in pages(book):
        at = figures_by_label(ws)
        keys = ("scenarios.layout", "scenarios.replicas", "scenarios.deploy", "scenarios.nodes",
                "procurement.users_per_replica", "export.low_tokens_per_s", "export.first_token", "procurement.binds")  # fmt: skip
        outputs += [(ws.title, at[LABELS(key)]) for key in keys] + [(ws.title, "A6")]
    wanted = (0.0, 10.0, 25.0, 40.0, 80.0, 10_000.0)
    with program.WhatIf(path) as what_if:
        answers = what_if.run([{(sheet.strip("'"), cell): speed} for speed in wanted], outputs)
    kept_fast = 0
    for speed, answer in zip(wanted, answers):
        for item, start in zip(items, range(0, len(outputs), 9)):
            *layout, each, low, first, binds, sentence = answer[start : start + 9]
            figures = figures_of(item, min_speed=speed)
            at_load = figures.best_at_load
            assert layout == deployed(figures.best), (item.title, speed)
            if at_load is None:
                assert [each, low, first] == [NOTHING] * 3
                assert binds == LABELS("export.binds_slow") and sentence == LABELS("export.answer_slow")
                continue
            assert each == figures.best.users_per_replica
            assert low == pytest.approx(at_load.speed.low.tokens_per_s_per_user, rel=1e-9)
            assert first == pytest.approx(at_load.speed.expected.first_token_s, rel=1e-9)
            kept_fast += binds == LABELS("export.binds_speed")
    assert kept_fast


def test_chinese_is_complete(tmp_path):
    """No English word of the texts of this page is left: only names, units and what files quote."""
    export_scenarios(tmp_path / "page.xlsx", Given([chat()]), "zh", prices=quoted(), as_of=AS_OF)
    (ws,) = pages(read(tmp_path / "page.xlsx", data_only=True))
    chinese = {Labels("zh")(key) for key in all_keys()}
    english = {LABELS(key) for key in all_keys()} - chinese
    assert not english & set(texts_of(ws))
    calculation = [cell.value for row in ws.iter_rows(min_col=10) for cell in row if isinstance(cell.value, str)]
    assert not english & set(calculation)
