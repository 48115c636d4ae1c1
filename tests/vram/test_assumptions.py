"""Assumptions of the costs at the command line and in the API: by name, by country, and what follows in the answer."""

from __future__ import annotations

import json

import pytest

import vram
from core import catalog
from core.catalog.prices import cost_defaults
from core.plan.costs import NAMES
from core.plan.estimate import estimate
from core.plan.fleet import gpus_by_division
from core.units import GB

ASKED = {"users": 40, "context": 8192, "gpus": ["h100"]}


def first(**given):
    return vram.plan("llama-3.1-70b", **ASKED | given).options[0]


def of_json(vram_command, *arguments: object) -> dict:
    status, out, err = vram_command(
        "plan", "llama-3.1-70b", "--users", 40, "--context", 8192, "--gpu", "h100", "--costs", "--json", *arguments
    )
    assert (status, err) == (0, "")
    return json.loads(out)


def test_every_assumption_can_be_given_and_changes_nothing_at_its_default():
    values = {name: cost_defaults()[name].value for name in NAMES}
    assert first(assumptions=values).costs == first().costs


def test_options_and_pairs_are_the_same(vram_command):
    by_option = of_json(vram_command, "--horizon-months", 48, "--spare-replicas", 0, "--tax-rate", 0.19)
    by_pair = of_json(
        vram_command, "--assume", "horizon_months=48", "--assume", "spare-replicas=0", "--assume", "tax_rate=0.19"
    )
    assert by_option == by_pair
    plan = vram.plan(
        "llama-3.1-70b", costs=True, assumptions={"horizon_months": 48, "spare_replicas": 0, "tax_rate": 0.19}, **ASKED
    )
    assert json.loads(json.dumps(plan.as_dict())) == by_option
    assert by_option["assumptions"]["horizon_months"] == 48
    assert tuple(by_option["assumptions"]) == NAMES


def test_a_country_sets_what_is_known_of_it(vram_command):
    found = of_json(vram_command, "--country", "uk", "--assume", "pue=1.2")["assumptions"]
    assert (found["tariff_usd_per_kwh"], found["pue"]) == (pytest.approx(0.2005 / 0.73333), 1.2)
    assert found["grid_kg_per_kwh"] == 0.177
    assert found["tax_rate"] == 0


def test_the_answer_has_cash_tokens_energy_and_an_api(vram_command):
    """As `tests/core/plan/test_outcome.py` computes them by hand; here the keys and how they belong together."""
    prices = ("--assume", "api_prompt_usd_per_million=0.5", "--assume", "api_output_usd_per_million=2")
    found = of_json(vram_command, *prices)["layouts"][0]
    costs = found["costs"]
    tokens = found["output_tokens_per_second"] * 0.4 * 730 * 3600 / 1e6
    assert costs["million_output_tokens_per_month"] == pytest.approx(tokens, rel=1e-3)
    assert costs["usd_per_million_output_tokens"] == pytest.approx(costs["usd_per_month"] / tokens, rel=1e-3)
    assert costs["usd_per_person_month"] == pytest.approx(costs["usd_per_month"] / 40, abs=0.01)
    assert costs["api_usd_per_month"] == pytest.approx(tokens * (2 + 0.5 * 7282 / 910), rel=1e-3)
    assert costs["co2_kg_per_month"] == pytest.approx(costs["energy_kwh_per_month"] * 0.366, abs=0.01)
    bought = costs["cheaper"] == "buy"
    assert costs["cash_at_start_usd"] == (costs["owning"]["capex_usd"] if bought else 0)
    assert of_json(vram_command)["layouts"][0]["costs"]["api_usd_per_month"] is None


def test_people_share_the_cost():
    by_people = vram.plan("llama-3.1-70b", people=400, active=0.1, context=8192, gpus=["h100"]).options[0]
    by_users = first()
    assert by_people.costs.outcome["persons"] == 400
    assert by_people.costs.outcome["person_month"] * 10 == pytest.approx(by_users.costs.outcome["person_month"])


def test_without_a_speed_nothing_per_token_is_known():
    outcome = first(min_speed=None).costs.outcome
    assert outcome["million_cost"] is None and outcome["person_month"] is not None


@pytest.mark.parametrize(
    "given",
    [
        {"precision": "fp8"}, {"precision": "fp8", "average_tokens": 2_000}, {"precision": "fp16", "overhead": 0.3},
        {"precision": "int4", "overhead": 0.0, "average_tokens": 100}, {},
    ],
)  # fmt: skip
def test_the_count_by_division_is_that_of_the_sheets(given):
    """The requested precision, not the format that the engine serves; the tokens allocated; the rule's fraction."""
    model = catalog.model("llama-3.1-70b").spec
    precision = catalog.precision("precision", given["precision"]) if "precision" in given else None
    # An engine allocates whole blocks of 16 tokens where a sequence holds fewer on average.
    tokens = min(8192, -(-given.get("average_tokens", 8192) // 16) * 16)
    needed = estimate(
        model, context=tokens, users=40, precision=precision, kv_precision=catalog.precision("kv_precision", "fp16"),
        overhead=given.get("overhead", 0.1),
    ).total_bytes  # fmt: skip
    expected = gpus_by_division(needed, catalog.gpu("h100").memory_bytes / GB)
    assert first(kv_precision="fp16", **given).costs.order.by_division == expected


def test_the_list_of_names(vram_command):
    status, out, err = vram_command("plan", "--assume", "help")
    assert (status, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert tuple(line[0] for line in lines[1:]) == NAMES
    assert ["tax_rate", "0", "share", "of", "the", "price", "0", "1"] in lines


@pytest.mark.parametrize(
    ("pair", "sentence"),
    [
        ("taxrate=0.1", "assumptions: 'taxrate' is not known. Did you mean 'tax_rate'?"),
        ("tax_rate=19", "tax_rate: 19 is above 1. Write the tax that is not refunded as a fraction"),
        ("tax_rate=high", "Invalid value for '--assume': 'high' is not a number. Write the tax"),
        ("tax_rate", "Invalid value for '--assume': 'tax_rate' has no value. Write NAME=VALUE"),
    ],
)
def test_a_wrong_assumption_is_one_sentence(vram_command, pair, sentence):
    status, out, err = vram_command("plan", "llama-3.1-70b", "--users", 1, "--context", 8192, "--assume", pair)
    assert (status, out) == (2, "")
    assert err.startswith(f"vram: {sentence}") and len(err.splitlines()) == 1


def test_a_wrong_country_is_named():
    with pytest.raises(vram.PlannerError, match="^country: 'fr' is not known"):
        first(country="fr")
