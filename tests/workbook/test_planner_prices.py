"""The offers of a filled planner, and the pages that `vram export` writes from them."""

from __future__ import annotations

import datetime
from functools import cache

import openpyxl
import pytest

from core.catalog.offer_choice import PROBLEMS, catalog_prices
from core.catalog.offers import catalog_offers
from tests.workbook.planner_rows import few
from workbook.labels import LANGUAGES, Labels
from workbook.offers import key_of, label_of
from workbook.planner_reader import Planner
from workbook.sheets import options, plan_inputs, prices
from workbook.template import without_values

FIRST_BLANK = prices.FIRST_ROW + len(catalog_offers())
DAY = datetime.datetime(2026, 8, 1)
QUOTE = {
    "gpu": "h200-sxm", "gpus": 8, "vendor": "Vendor A", "quote": "4711", "kind": "own quote", "terms": "buy",
    "date": DAY, "valid_until": datetime.datetime(2026, 12, 31), "typical": 200_000, "currency": "USD",
}  # fmt: skip


@cache
def _blank(lang: str) -> bytes:
    with few():  # all offers, but a few models and options, which play no part here
        return without_values(lang)


def filled(tmp_path, *offers, lang="en", cells=()):
    """Write a planner with `offers` in its blank rows, and other cells: (sheet, address, value)."""
    path, labels = tmp_path / "filled.xlsx", Labels(lang)
    path.write_bytes(_blank(lang))
    book = openpyxl.load_workbook(path)
    ws = book[labels("sheet.prices")]
    for row, offer in enumerate(offers, start=FIRST_BLANK):
        for column, value in offer.items():
            if column in ("kind", "terms"):
                value = label_of(labels, column, value)
            ws[f"{prices.letter(column)}{row}"].value = value
    for sheet, address, value in cells:
        book[labels(sheet)][address].value = value
    book.save(path)
    return path


@pytest.mark.parametrize("lang", LANGUAGES)
def test_a_blank_planner_has_the_catalogs_prices(tmp_path, lang):
    found = Planner(filled(tmp_path, lang=lang)).prices()
    assert found.by_gpu == catalog_prices() and found.problems == ()


@pytest.mark.parametrize("lang", LANGUAGES)
def test_an_own_quote_counts(tmp_path, lang):
    found = Planner(filled(tmp_path, QUOTE, lang=lang)).prices().by_gpu["h200-sxm"]
    assert (found.purchase.usd, found.purchase.step, found.server_per_gpu.usd) == (25_000, 8, 0)
    assert (found.purchase.offer.vendor, found.purchase.offer.quote) == ("Vendor A", "4711")
    assert found.purchase.offer.valid_until == datetime.date(2026, 12, 31)


def test_quotes_that_cannot_count_are_named(tmp_path):
    changes = [
        ({"typical": "200k"}, "a text, not a number"),
        ({"typical": True}, "a text, not a number"),
        ({"valid_until": DAY.replace(year=2025)}, "expired"),
        ({"date": "May"}, "a text, not a date"),
        ({"gpu": "h9000"}, "no such GPU"),
        ({"currency": "eur"}, None),
    ]
    found = Planner(filled(tmp_path, *(QUOTE | changed for changed, _ in changes))).prices()
    assert found.by_gpu == catalog_prices()
    rows = enumerate((problem for _, problem in changes), start=FIRST_BLANK)
    assert found.problems == tuple(f"Prices row {row}: {problem}" for row, problem in rows if problem)


def test_the_planners_own_cells_decide(tmp_path):
    """The exchange rate, the order of kinds, and a date as a plain number."""
    labels = Labels("en")
    book = openpyxl.load_workbook(filled(tmp_path))
    ((sheet, ranks),) = book.defined_names["offer_ranks"].destinations
    letter, row = ranks.split(":")[1].replace("$", " ").split()
    assert sheet == labels("sheet.prices")
    cells = [
        ("sheet.prices", prices.INPUTS["offer_currency"], "eur"),
        ("sheet.prices", prices.INPUTS["offer_exchange_rate"], 0.8),
        ("sheet.prices", f"{letter}{int(row) - 1}", 2),  # hyperscaler
        ("sheet.prices", f"{letter}{row}", 1),  # specialist cloud
    ]
    quote = QUOTE | {"currency": "EUR", "date": 46_235}
    found = Planner(filled(tmp_path, quote, cells=cells)).prices()
    assert found.by_gpu["h200-sxm"].purchase.usd == 31_250  # 200 000 ÷ 0.8 ÷ 8
    assert found.by_gpu["h200-sxm"].purchase.offer.date == datetime.date(2026, 8, 1)
    assert found.by_gpu["h200-sxm"].on_demand_per_gpu_hour.offer.vendor == "Nebius"


def test_a_later_plan_date_makes_a_quote_expire(tmp_path):
    later = ("sheet.plan", plan_inputs.cell("plan_date"), datetime.datetime(2027, 1, 1))
    assert Planner(filled(tmp_path, QUOTE, cells=[later])).prices().problems == (f"Prices row {FIRST_BLANK}: expired",)


def test_labels_are_found_in_every_language():
    for lang in LANGUAGES:
        assert key_of("problem", label_of(Labels(lang), "problem", "text").upper(), PROBLEMS) == "text"
    assert key_of("problem", "Other", PROBLEMS) == "other"


def test_the_export_prints_the_planners_quotes(vram, tmp_path):
    """A machine's quote is the price of GPU and server: 2 of 3 prices, the third is the rent on demand."""
    source, out = filled(tmp_path, QUOTE, {"gpu": "h100-sxm", "typical": "15k"}), tmp_path / "decision.xlsx"
    book = openpyxl.load_workbook(source)
    ws = book["Scenarios"]
    headings = {cell.value: cell.column_letter for cell in ws[6]} | {c.value: c.column_letter for c in ws[5]}
    first = next(row for row in range(1, 12) if ws[f"{headings['GPU']}{row}"].value == "GPU") + 1
    for row in range(first, first + 8):
        ws[f"{headings['GPU']}{row}"].value = "h200-sxm"
    assert not Planner(source).has_measured_speeds
    book["Options"][f"{options.letter(options.GIVEN_SPEED)}{options.FIRST_ROW + 3}"].value = 25
    book.save(source)
    status, _, err = vram("export", source, "-o", out)
    assert status == 0
    assert "speeds that you measured count on Options and Plan alone" in err
    assert f"Prices row {FIRST_BLANK + 1}: " in err and "This offer does not count." in err
    page = openpyxl.load_workbook(out).worksheets[1]
    texts = [str(cell.value) for row in page.iter_rows() for cell in row if isinstance(cell.value, str)]
    assert any("Vendor A quote 4711; own quote; 2026-08-01; valid until 2026-12-31" in text for text in texts)
    assert any("2 of 3 are your quotes" in text for text in texts)
    assert 25_000 in [cell.value for row in page.iter_rows() for cell in row]
