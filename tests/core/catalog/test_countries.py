"""Presets of countries: complete, sourced and dated, or blank; in US dollars; old sources are marked."""

from __future__ import annotations

import datetime

import pytest

from core.catalog.countries import countries, country, is_old
from core.catalog.prices import cost_defaults, date_of
from core.errors import UnknownNameError, WrongTypeError
from core.plan.costs import COST_LIMITS, NAMES

FIELDS = {
    "tariff_usd_per_kwh", "pue", "hosting_usd_per_kw_month", "grid_kg_per_kwh", "standard_tax_rate", "exchange_rate",
}  # fmt: skip
ALL = [(name, preset) for name, found in countries().items() for preset in found.presets.values()]


def test_each_country_has_every_field_and_a_currency():
    assert {name: found.currency for name, found in countries().items()} == {
        "us": "USD", "eu": "EUR", "uk": "GBP", "cn": "CNY",
    }  # fmt: skip
    assert all(set(found.presets) == FIELDS for found in countries().values())


@pytest.mark.parametrize(("name", "preset"), ALL, ids=lambda value: getattr(value, "field", value))
def test_each_value_has_a_source_and_a_date_and_each_blank_a_reason(name, preset):
    assert bool(preset.note_en) == bool(preset.note_zh)
    if preset.value is None:
        assert not preset.source and not preset.as_of and preset.note_en
    else:
        assert preset.source and date_of(preset.as_of)
        limits = COST_LIMITS.get(preset.field)
        assert preset.value >= 0 and (limits is None or limits.least <= preset.value <= limits.most)
    money = preset.field in ("tariff_usd_per_kwh", "hosting_usd_per_kw_month", "exchange_rate")
    assert bool(preset.currency) == (money and preset.value is not None)


def test_assumptions_are_in_us_dollars():
    """0.1902 EUR ÷ 0.84415 EUR per dollar; a price in dollars stays; what is blank and the tax are not assumed."""
    assert countries()["eu"].assumptions == {
        "tariff_usd_per_kwh": pytest.approx(0.22532, abs=1e-5), "pue": 1.36, "grid_kg_per_kwh": 0.214,
    }  # fmt: skip
    assert countries()["cn"].assumptions["tariff_usd_per_kwh"] == 0.088
    assert all(set(found.assumptions) <= set(NAMES) for found in countries().values())


def test_the_defaults_are_those_of_the_us():
    for name, value in countries()["us"].assumptions.items():
        default, preset = cost_defaults()[name], countries()["us"].presets[name]
        assert (value, preset.source, preset.as_of) == (default.value, default.source, default.as_of)


def test_a_source_older_than_three_years_is_old():
    today = datetime.date(2026, 11, 26)
    assert [is_old(as_of, today) for as_of in ("2023-11-26", "2023-11-25", "2023-12", "2023-11")] == [
        False, True, False, True,
    ]  # fmt: skip
    old = {(name, preset.field) for name, preset in ALL if preset.as_of and is_old(preset.as_of, today)}
    assert old == {("uk", "hosting_usd_per_kw_month"), ("cn", "pue")}


def test_a_country_by_name():
    assert country(" UK ") is countries()["uk"]
    with pytest.raises(UnknownNameError, match='^country: \'fr\' is not known. Write "us" or "eu"'):
        country("fr")
    with pytest.raises(WrongTypeError):
        country(1)
