import csv
import datetime
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import catalog
from core.catalog import offers
from core.catalog.mig import gpus_with_slices
from core.catalog.offer_choice import (
    PROBLEMS,
    STATES,
    OfferPolicy,
    catalog_prices,
    default_offer_policy,
    judge,
    prices,
    prices_by_gpu,
)
from core.catalog.offers import (
    COLUMNS,
    HYPERSCALER,
    KINDS,
    LICENCE_NOTE,
    LIST,
    OWN_QUOTE,
    SPECIALIST,
    STREET,
    TERMS,
    Offer,
    catalog_offers,
    licence_note,
    offers_of_rows,
    row_of,
)
from core.errors import PlannerError, UnknownNameError

PLAN = datetime.date(2026, 11, 26)
POLICY = OfferPolicy(plan_date=PLAN, stale_after_months=6)
CURRENT = datetime.date(2026, 10, 1)
OLD = datetime.date(2026, 1, 21)


def offer(kind=LIST, terms="buy", typical=30_000, date=CURRENT, gpu="h100-sxm", **others):
    return Offer(gpu=gpu, kind=kind, terms=terms, typical=typical, date=date, **others)


def states(*given, policy=POLICY):
    return [found.state for found in judge(given, policy)]


# ---- the rule -----------------------------------------------------------------------------------------


def test_an_own_quote_wins_over_cheaper_and_newer_offers():
    own = offer(OWN_QUOTE, typical=40_000, date=OLD)
    assert states(offer(LIST), own, offer(STREET, typical=1)) == ["own_instead", "used_own_stale", "own_instead"]


def test_of_own_quotes_a_current_one_then_the_cheapest_counts():
    quotes = [
        offer(OWN_QUOTE, typical=1, date=OLD), offer(OWN_QUOTE, typical=29_000), offer(OWN_QUOTE, typical=28_000),
        offer(OWN_QUOTE, typical=28_000),
    ]  # fmt: skip
    assert states(*quotes) == ["another_offer", "another_offer", "used_own", "another_offer"]


def test_buying_compares_list_prices_then_street_prices():
    assert states(offer(STREET, typical=1), offer(LIST)) == ["another_kind", "used"]
    assert states(offer(STREET, typical=1)) == ["used"]


def test_renting_compares_hyperscalers_then_specialists_unless_told_otherwise():
    rents = [offer(SPECIALIST, "rent on demand", 2), offer(HYPERSCALER, "rent on demand", 7)]
    assert states(*rents) == ["another_kind", "used"]
    other = replace(POLICY, to_rent=(SPECIALIST, HYPERSCALER, LIST, STREET))
    assert states(*rents, policy=other) == ["used", "another_kind"]


def test_within_a_kind_the_newest_then_the_cheapest_per_gpu_then_the_first_counts():
    cheap = offer(HYPERSCALER, "rent 1 year", 1, OLD)
    machine = offer(HYPERSCALER, "rent 1 year", 16, gpus=8)
    single = offer(HYPERSCALER, "rent 1 year", 2)
    dear = offer(HYPERSCALER, "rent 1 year", 3)
    assert states(cheap, dear, machine, single) == ["another_offer", "another_offer", "used", "another_offer"]


def test_gpus_and_terms_do_not_compete():
    given = [
        offer(),
        offer(gpu="h200-sxm"),
        offer(SPECIALIST, "rent 1 year", 2),
        offer(SPECIALIST, "rent on demand", 3),
    ]
    assert states(*given) == ["used"] * 4


@pytest.mark.parametrize(
    "changed, state",
    [
        ({"gpu": "h1000"}, "no_gpu"),
        ({"kind": "friend"}, "no_terms"),
        ({"terms": "lease"}, "no_terms"),
        ({"typical": "15k"}, "text"),
        ({"gpus": "eight"}, "text"),
        ({"smallest": "a rack"}, "text"),
        ({"typical": None}, "no_price"),
        ({"typical": 0}, "out_of_range"),
        ({"typical": -1}, "out_of_range"),
        ({"typical": 1e9}, "out_of_range"),
        ({"gpus": 2.5}, "out_of_range"),
        ({"gpus": -1}, "out_of_range"),
        ({"smallest": 10**5}, "out_of_range"),
        ({"date": "soon"}, "bad_date"),
        ({"valid_until": "soon"}, "bad_date"),
        ({"date": datetime.date(1999, 12, 31)}, "bad_date"),
        ({"valid_until": PLAN - datetime.timedelta(days=1)}, "expired"),
        ({"currency": "CNY"}, "other_currency"),
        ({"terms": "spot", "typical": 2}, "not_compared"),
        ({"terms": "rent 3 years", "typical": 2}, "not_compared"),
        ({"valid_until": PLAN}, "used"),
        ({"low": "?"}, "used"),
        ({"gpus": None}, "used"),
        ({"date": None}, "used_stale"),
        # Of several problems, what must be corrected first.
        ({"gpu": "h1000", "typical": "15k"}, "no_gpu"),
        ({"typical": "15k", "valid_until": OLD}, "text"),
    ],
)
def test_what_cannot_count_says_why(changed, state):
    found, other = judge([replace(offer(), **changed), offer(STREET, typical=1)], POLICY)
    assert found.state == state
    assert found.counts is (state in ("used", "used_stale"))
    assert (found.usd is None) is (state in PROBLEMS)
    assert other.counts is not found.counts


@pytest.mark.parametrize(
    "date, plan, months, stale",
    [
        ((2026, 5, 26), (2026, 11, 26), 6, False),
        ((2026, 5, 25), (2026, 11, 26), 6, True),
        ((2026, 8, 31), (2027, 2, 28), 6, False),  # as EDATE does: the last day of February
        ((2026, 8, 31), (2027, 3, 1), 6, True),
    ],
)
def test_stale_prices(date, plan, months, stale):
    policy = OfferPolicy(plan_date=datetime.date(*plan), stale_after_months=months)
    (found,) = judge([offer(date=datetime.date(*date))], policy)
    assert found.is_stale is stale and found.counts


def test_another_currency_needs_its_rate():
    yuan = offer(HYPERSCALER, "rent on demand", 172.8, gpus=8, currency="CNY", gpu="a100-sxm-40gb")
    (found,) = judge([yuan], replace(POLICY, rates={"CNY": 7.2}))
    assert found.state == "used" and found.usd == pytest.approx(3)  # 172.8 ÷ 8 ÷ 7.2
    assert states(yuan, policy=replace(POLICY, rates={"CNY": 0})) == ["other_currency"]


@pytest.mark.parametrize(
    "gpus, smallest, step", [(1, None, 1), (8, None, 8), (8, 8, 8), (8, 12, 16), (1, 8, 8), (72, 1, 72), (8, 1, 8)]
)
def test_orders_are_multiples_of_whole_machines(gpus, smallest, step):
    (found,) = judge([offer(typical=1_000_000, gpus=gpus, smallest=smallest)], POLICY)
    assert found.step == step


def test_a_machine_includes_its_servers():
    """8 × H100 for 280 000: 35 000 a GPU, and the list price of a server no longer counts."""
    given = [offer(), offer(terms="server", typical=9_625), offer(OWN_QUOTE, gpus=8, typical=280_000)]
    judged = judge(given, POLICY)
    assert [found.state for found in judged] == ["own_instead", "in_machine", "used_own"]
    found = prices_by_gpu(judged)["h100-sxm"]
    assert (found.purchase.usd, found.purchase.step, found.server_per_gpu.usd) == (35_000, 8, 0)
    assert found.server_per_gpu.offer is given[2]


def test_the_spread_is_that_of_all_kinds():
    """Per GPU: AWS 55.04 ÷ 8 = 6.88; a specialist 4.50 to 6.00, typically 5.25."""
    given = [
        offer(HYPERSCALER, "rent on demand", 55.04, gpus=8),
        offer(SPECIALIST, "rent on demand", 5.25, low=4.5, high=6),
        offer(SPECIALIST, "rent on demand", "cheap"),
    ]  # fmt: skip
    found = prices_by_gpu(judge(given, POLICY))["h100-sxm"].on_demand_per_gpu_hour
    assert (found.usd, found.low_usd, found.high_usd) == pytest.approx((6.88, 4.5, 6.88))


OFFERS = st.builds(
    Offer,
    gpu=st.sampled_from(["h100-sxm", "H100-SXM", "l40s", "nothing"]),
    gpus=st.sampled_from([1, 8, None, "?"]),
    kind=st.sampled_from(KINDS),
    terms=st.sampled_from(TERMS),
    date=st.sampled_from([None, OLD, CURRENT, "May"]),
    valid_until=st.sampled_from([None, None, OLD, datetime.date(2027, 1, 1)]),
    typical=st.sampled_from([None, "15k", 0, 1, 2, 2.00001, 30_000]),
    currency=st.sampled_from(["USD", "CNY"]),
)


@given(st.lists(OFFERS, max_size=12))
def test_one_offer_counts_for_each_gpu_and_terms_that_have_a_usable_one(given):
    judged = judge(given, POLICY)
    assert [found.offer for found in judged] == given and {found.state for found in judged} <= set(STATES)
    usable = {(found.offer.gpu.casefold(), found.offer.terms) for found in judged if found.usd is not None}
    counting = [found for found in judged if found.counts]
    keys = [(found.offer.gpu.casefold(), found.offer.terms) for found in counting]
    machines = {found.offer.gpu.casefold() for found in judged if found.state == "in_machine"}
    assert len(keys) == len(set(keys))
    assert usable - set(keys) == {(gpu, "server") for gpu in machines}
    for found in counting:
        others = [each for each in judged if each.usd is not None and each.offer.terms == found.offer.terms]
        same_gpu = [each for each in others if each.offer.gpu.casefold() == found.offer.gpu.casefold()]
        assert found.offer.kind == OWN_QUOTE or all(each.offer.kind != OWN_QUOTE for each in same_gpu)


@given(st.lists(OFFERS, max_size=8))
def test_an_offer_that_cannot_count_changes_nothing(given):
    judged = judge(given, POLICY)
    usable = [found for found in judged if found.usd is not None]
    assert judge([found.offer for found in usable], POLICY) == usable


# ---- the catalog's offers ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "found", judge(catalog_offers(), POLICY), ids=lambda found: f"{found.offer.gpu}-{found.offer.terms}"
)
def test_each_offer_of_the_catalog_has_a_gpu_a_source_and_a_date(found):
    known = found.offer
    assert known.gpu in catalog.gpu_names()
    assert isinstance(known.date, datetime.date)
    assert known.source.startswith(("GitHub ", "https://")) or "https://" in known.source
    assert known.vendor or known.note
    assert known.kind in KINDS and known.kind != OWN_QUOTE
    assert found.state in ("used", "used_stale", "another_kind", "other_currency")
    assert licence_note(known.gpu) in known.note


def test_the_default_prices():
    """AWS for H100 (55.04 ÷ 8), H200 (63.296 ÷ 8) and B200 (113.9328 ÷ 8); Azure for MI300X; specialists elsewhere."""
    on_demand = {name: prices(name).on_demand_per_gpu_hour for name in ("h100", "h200", "b200", "mi300x", "a10")}
    assert {name: (found.usd, found.offer.vendor, found.step) for name, found in on_demand.items()} == {
        "h100": (6.88, "AWS", 8), "h200": (7.912, "AWS", 8), "b200": (14.2416, "AWS", 8), "mi300x": (6, "Azure", 1),
        "a10": (0.86, "Lambda", 1),
    }  # fmt: skip
    assert prices("gb200").purchase.usd == pytest.approx(2_500_000 / 72)
    assert (prices("gb200").purchase.step, prices("gb200").server_per_gpu.usd) == (72, 0)
    assert prices("h100").reserved_per_gpu_hour.offer.kind == SPECIALIST


def test_prices_are_found_by_any_name():
    assert prices("H100") is prices("h100-sxm")
    assert prices("ascend-910b").purchase is None and not prices("ascend-910b").has_offer
    assert list(prices("a10g").known) == ["on_demand_per_gpu_hour", "reserved_per_gpu_hour"]
    assert set(catalog_prices()) == {gpu.name for gpu in gpus_with_slices()}
    assert not prices("H100 MIG 1g.10gb").has_offer
    with pytest.raises(UnknownNameError):
        prices("h1000")


def test_reserved_costs_less_than_on_demand():
    for name, found in catalog_prices().items():
        if found.on_demand_per_gpu_hour and found.reserved_per_gpu_hour:
            assert found.reserved_per_gpu_hour.usd < found.on_demand_per_gpu_hour.usd, name


def test_the_default_policy_has_the_date_of_the_newest_default():
    assert default_offer_policy().plan_date >= max(found.date for found in catalog_offers())
    assert default_offer_policy().stale_after_months == 6


def test_geforce_cards_say_what_their_licence_excludes():
    assert licence_note("rtx-4090") == LICENCE_NOTE
    assert licence_note("rtx-6000-ada") == ""


# ---- rows of CSV files ---------------------------------------------------------------------------------


def row(**changed):
    return dict.fromkeys(COLUMNS, "") | {"gpu": "H100", "kind": "List", "terms": "buy", "typical": "30000"} | changed


def test_a_row_is_an_offer():
    (found,) = offers_of_rows([row(gpus="8", smallest="16", date="2026-05", currency="eur", vendor=" A "), row(gpu="", kind="", terms="", typical="")])  # fmt: skip
    assert found == Offer(
        gpu="h100-sxm", gpus=8, smallest=16, kind=LIST, terms="buy", typical=30_000, vendor="A", currency="EUR",
        date=datetime.date(2026, 5, 1),
    )  # fmt: skip


def test_texts_in_a_row_stay_texts():
    (found,) = offers_of_rows([row(typical="15k", date="May", high="inf")])
    assert (found.typical, found.date, found.high) == ("15k", "May", "inf")


@pytest.mark.parametrize(
    "rows, message",
    [
        ([row(), row(gpu="h1000")], "^row 3, gpu: 'h1000' is not known"),
        ([row(kind="friend")], "^row 2, kind: 'friend' is not known"),
        ([row(terms="lease")], "^row 2, terms: 'lease' is not known"),
        ([{"gpu": "h100"}], "^header: it has no column kind. Name the columns gpu, gpus, vendor"),
    ],
)
def test_a_wrong_row_is_named(rows, message):
    with pytest.raises(PlannerError, match=message):
        list(offers_of_rows(rows))


def test_every_offer_survives_a_csv_file():
    assert tuple(offers_of_rows(map(row_of, catalog_offers()))) == catalog_offers()
    with open(Path(catalog.DATA_FOLDER) / "offers.csv", encoding="utf-8", newline="") as lines:
        assert tuple(csv.DictReader(lines).fieldnames) == COLUMNS


def test_a_file_adds_to_the_catalog():
    own = offer(OWN_QUOTE)
    assert offers.with_offers([own]) == (*catalog_offers(), own)
