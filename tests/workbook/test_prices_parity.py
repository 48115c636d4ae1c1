"""Compare the Prices sheet, recalculated by LibreOffice and by IronCalc, with `core.catalog.offer_choice`."""

from __future__ import annotations

import datetime
import random
import re
from dataclasses import replace

import pytest

from core import catalog
from core.catalog.offer_choice import (
    EPOCH,
    ITEMS,
    PROBLEMS,
    Judged,
    OfferPolicy,
    default_offer_policy,
    judge,
    prices_by_gpu,
)
from core.catalog.offers import COLUMNS, DATES, KINDS, TERMS, Offer, catalog_offers
from tests.spreadsheets.programs import in_each_program
from tests.workbook.formula_form import depth_of_if
from tests.workbook.planner_rows import few
from workbook.labels import Labels
from workbook.offers import label_of
from workbook.sheets import gpus, plan, prices
from workbook.template import without_values

pytestmark = pytest.mark.slow

TOLERANCE = 1e-9
CASES = 10
NAMES = [*catalog.gpu_names(), "h100-sxm-1g.10gb"]
LABELS = Labels("en")
NOTHING = "–"
WITH_ROWS = {"h100-sxm", "h200-sxm", "rtx-4090"}  # on Options


@pytest.fixture(scope="module")
def planner(tmp_path_factory):
    path = tmp_path_factory.mktemp("prices") / "planner.xlsx"
    with few(gpus=WITH_ROWS, sheet_gpus=None):
        path.write_bytes(without_values("en"))
    return path


@in_each_program
def test_the_offer_that_counts(program, planner):
    """Own quotes, texts, expired and stale offers, machines and another currency, at random, over the catalog's."""
    rng = random.Random(17)
    sheets, inputs = (LABELS("sheet.prices"), LABELS("sheet.gpus")), plan.input_cells(LABELS)
    first, last = prices.FIRST_ROW, prices.FIRST_ROW + len(catalog_offers()) + prices.OWN_ROWS - 1
    states = [(sheets[0], f"{prices.letter('state')}{row}") for row in range(first, last + 1)]
    keys = [f"{item}_{key}" for item in ITEMS for key in ("amount", "offer", "step")]
    figures = [(sheets[1], gpus.address(key, name)) for name in NAMES for key in keys]
    cases, expected = [], []
    for _ in range(CASES):
        own = [random_offer(rng) for _ in range(rng.randint(1, prices.OWN_ROWS))]
        changed = {rng.randrange(len(catalog_offers())): random_offer(rng) for _ in range(6)}
        given = [changed.get(number, offer) for number, offer in enumerate(catalog_offers())] + own
        policy = random_policy(rng)
        cells = {
            number: offer for number, offer in enumerate(given) if number in changed or number >= len(given) - len(own)
        }
        blank = range(len(given), last - first + 1)
        cases.append(
            {(sheets[0], f"{prices.letter(column)}{first + number}"): value
             for number, offer in cells.items() for column, value in cells_of(offer).items()}
            | {(sheets[0], f"{prices.letter(column)}{first + number}"): None for number in blank for column in prices.INPUT_KEYS}
            | {(sheets[0], prices.INPUTS["offer_currency"]): "CNY" if policy.rates else None}
            | {(sheets[0], prices.INPUTS["offer_exchange_rate"]): policy.rates.get("CNY")}
            | {inputs["plan_date"]: float((policy.plan_date - EPOCH).days)}
            | {inputs["stale_after_months"]: float(policy.stale_after_months)}
        )  # fmt: skip
        expected.append((given, judge(given, policy)))
    with program.WhatIf(planner) as session:
        results = session.run(cases, [*states, *figures])
    seen = set()
    for (given, judged), values in zip(expected, results):
        found = iter(values)
        for offer, verdict in zip(given, judged):
            assert next(found) == state_label(verdict), (offer, verdict)
            seen.add(verdict.state)
        assert {next(found) for _ in range(len(states) - len(given))} <= {NOTHING}
        known = prices_by_gpu(judged)
        for name in NAMES:
            for item in ITEMS:
                price = getattr(known[name], item)
                amount, row, step = (next(found) for _ in range(3))
                if price is None:
                    assert (amount, row, step) == (NOTHING, 0, NOTHING), (name, item)
                else:
                    assert amount == pytest.approx(price.usd, rel=TOLERANCE), (name, item)
                    assert given[int(row) - 1] is price.offer and step == price.step, (name, item)
    assert seen >= {*PROBLEMS, "used", "used_own", "used_stale", "used_own_stale", "own_instead", "another_kind",
                    "another_offer", "in_machine"}  # fmt: skip


def state_label(found: Judged) -> str:
    """Return the state of an offer on the sheet, whose own reason comes after those of `core`."""
    if found.counts and found.offer.gpu.casefold() not in WITH_ROWS:
        return LABELS("prices.state_no_options")
    return label_of(LABELS, "problem" if found.state in PROBLEMS else "outcome", found.state)


def random_policy(rng: random.Random) -> OfferPolicy:
    return replace(
        default_offer_policy(),
        plan_date=datetime.date(2026, rng.randint(6, 12), rng.randint(1, 28)),
        stale_after_months=rng.randint(1, 12),
        rates={"CNY": 7.25} if rng.random() < 0.5 else {},
    )


def random_offer(rng: random.Random) -> Offer:
    def day() -> datetime.date:
        return datetime.date(2026, rng.randint(1, 12), rng.randint(1, 28))

    terms = rng.choice([*TERMS, "buy", "buy", "server"])
    gpus_of_offer = rng.choice([1, 1, None, 8, 72])
    each = rng.uniform(5_000, 50_000) if terms in ("buy", "server") else rng.uniform(0.5, 9)
    offer = Offer(
        gpu=rng.choice(["h100-sxm", "h100-sxm", "h200-sxm", "b200", "ascend-910b", "rtx-4090", "h100-sxm-1g.10gb"]),
        gpus=gpus_of_offer,
        kind=rng.choice([KINDS[0], *KINDS]),
        terms=terms,
        date=rng.choice([day(), day(), day(), None]),
        valid_until=rng.choice([None, None, day()]),
        smallest=rng.choice([None, None, 1, 8, 12]),
        typical=round(each * (gpus_of_offer or 1), rng.choice([0, 2])),
        currency=rng.choice(["USD", "USD", "CNY"]),
    )
    if rng.random() < 0.4:
        offer = replace(offer, **rng.choice(_MISTAKES))
    return offer


_MISTAKES = (
    {"typical": "15k"}, {"typical": None}, {"typical": -5}, {"typical": 10**12}, {"gpus": "eight"}, {"smallest": 2.5},
    {"gpus": 1.5}, {"date": "May"}, {"valid_until": "soon"}, {"date": datetime.date(1999, 1, 1)}, {"gpu": "h1*"},
    {"gpu": "nonesuch"}, {"kind": "friend"}, {"terms": "*"}, {"currency": "EUR"}, {"gpu": "H100-SXM"},
)  # fmt: skip


def cells_of(offer: Offer) -> dict[str, object]:
    values = {column: getattr(offer, column) for column in prices.INPUT_KEYS}
    for column in DATES:
        if isinstance(values[column], datetime.date):
            values[column] = float((values[column] - EPOCH).days)
    values |= {
        "kind": label_of(LABELS, "kind", offer.kind) if offer.kind in KINDS else offer.kind,
        "terms": label_of(LABELS, "terms", offer.terms) if offer.terms in TERMS else offer.terms,
    }
    return {name: float(value) if isinstance(value, int) else value or None for name, value in values.items()}


def _as_shown(found: re.Match[str]) -> str:
    """Return a reference to the formula's own row as Excel shows it."""
    return f"[@{found[1]}]" if found[1].isalnum() else f"[@[{found[1]}]]"


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_formulas_are_short_as_excel_shows_them(lang):
    labels = Labels(lang)
    columns = {prices.TABLE: prices.formulas(labels), gpus.TABLE: gpus.formulas(labels)}
    for table, formulas in columns.items():
        for key, formula in formulas.items():
            shown = re.sub(table + r"\[\[#This Row\],\[([^]]*)\]\]", _as_shown, formula)
            assert len(shown) <= 200, (key, len(shown), shown)
            assert depth_of_if(formula) <= 3, key
    assert set(COLUMNS) >= set(prices.INPUT_KEYS)
