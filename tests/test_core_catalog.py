"""The models and precisions known by name."""

from __future__ import annotations

import math
import re
from collections import Counter

import pytest

from core import catalog
from core.errors import OutOfRangeError, UnknownNameError, WrongTypeError
from core.model_card import card_field, model_card
from core.model_spec import ModelSpec
from core.parameters import count_parameters

MODELS = pytest.mark.parametrize("model", catalog.models(), ids=lambda model: model.name)
PRECISIONS = pytest.mark.parametrize("row", catalog.precisions(), ids=lambda row: row.precision.name)


@MODELS
def test_the_counted_parameters_are_the_published_ones(model):
    if model.name == "article-llama-70b":
        assert (model.published_parameters, count_parameters(model.spec).total) == (None, 70 * 10**9)
    else:
        assert count_parameters(model.spec).total == model.published_parameters


@MODELS
def test_every_model_says_where_its_figures_are_from_and_since_when(model):
    assert model.source and model.title
    assert re.fullmatch(r"\d{4}-\d\d(-\d\d)?", model.as_of)
    assert model.spec.name == model.name


def test_no_two_models_go_by_one_name():
    owners = Counter()
    for model in catalog.models():
        names = {model.name, *model.aliases, *(alias.rpartition("/")[2] for alias in model.aliases)}
        owners.update({re.sub(r"[\s_-]", "", name.casefold()) for name in names})
    assert [name for name, count in owners.items() if count > 1] == []


@MODELS
def test_a_model_is_found_under_every_name(model):
    for name in (model.name, *model.aliases, *(alias.rpartition("/")[2] for alias in model.aliases)):
        for written in (name, name.upper(), f" {name} ", name.replace("-", " "), name.replace("-", "_")):
            assert catalog.model(written) is model


def test_names_are_in_the_order_of_the_models():
    assert catalog.model_names() == tuple(model.name for model in catalog.models())


@pytest.mark.parametrize(
    "name, error, message",
    [
        ("lama-3.1-70b", UnknownNameError, "Did you mean 'llama-3.1-70b'?"),
        ("", UnknownNameError, "model: '' is not known. Write one of the names in the Models sheet of the planner."),
        ("../../etc/passwd", UnknownNameError, "is not known"),
        (70, WrongTypeError, 'model: 70 is not a name. Write a name such as "llama-3.1-70b".'),
        (None, WrongTypeError, "is not a name"),
    ],
)
def test_what_is_no_model(name, error, message):
    with pytest.raises(error) as caught:
        catalog.model(name)
    assert message in str(caught.value)


# ---- precisions --------------------------------------------------------------------------------------


def test_bits_of_the_plain_formats():
    bits = {row.precision.name: row.precision.bits_per_value for row in catalog.precisions()}
    # What each name says; IEEE 754-2019 and arXiv:2209.05433 for the floating-point formats.
    expected = {"fp32": 32, "fp16": 16, "bf16": 16, "fp8": 8, "int8": 8, "int4": 4}
    assert {name: bits[name] for name in expected} == expected


# The inputs that a format's use allows, and those that it does not.
FIELDS = {
    "": (("precision", "kv_precision"), ()),
    "weights": (("precision",), ("kv_precision",)),
    "kv": (("kv_precision",), ("precision",)),
}


@PRECISIONS
def test_a_precision_is_found_under_every_name(row):
    for name in (row.precision.name, *row.aliases):
        for written in (name, name.upper(), f" {name} ", name.replace("_", "-")):
            for field in FIELDS[row.use][0]:
                assert catalog.precision(field, written) is row.precision


@pytest.mark.parametrize("row", [row for row in catalog.precisions() if row.use], ids=lambda row: row.precision.name)
def test_a_format_of_one_use_is_refused_for_the_other(row):
    only = {"weights": "weights", "kv": "the KV cache"}[row.use]
    for name in (row.precision.name, *row.aliases):
        for field in FIELDS[row.use][1]:
            with pytest.raises(UnknownNameError) as caught:
                catalog.precision(field, name)
            assert str(caught.value) == f'{field}: \'{name}\' is a format of {only} alone. Write "fp16" or "fp8".'


def test_no_two_precisions_go_by_one_name():
    owners = Counter()
    for row in catalog.precisions():
        owners.update({re.sub(r"[\s_-]", "", name.casefold()) for name in (row.precision.name, *row.aliases)})
    assert [name for name, count in owners.items() if count > 1] == []


@pytest.mark.parametrize(
    "field, value, remedy",
    [
        ("precision", "q4_k", "Did you mean 'q4_k_s'?"),
        ("kv_precision", "q4_k", "Did you mean 'q4_1'?"),
        ("kv_precision", "fp8_ds_mlb", "Did you mean 'fp8_ds_mla'?"),
        ("precision", "fp8_ds_mlb", "Write one of the names in the Precisions sheet."),
    ],
)
def test_only_what_the_field_can_take_is_proposed(field, value, remedy):
    with pytest.raises(UnknownNameError) as caught:
        catalog.precision(field, value)
    assert caught.value.remedy == remedy


@PRECISIONS
def test_every_precision_has_a_source_and_two_titles(row):
    assert row.precision.source and row.as_of
    assert row.titles["en"] and row.titles["zh"] and row.titles["en"] != row.titles["zh"]


@pytest.mark.parametrize(
    "value, error",
    [
        ("fp15", UnknownNameError),
        ("", UnknownNameError),
        (16, OutOfRangeError),
        (math.nan, OutOfRangeError),
        (True, WrongTypeError),
        (None, WrongTypeError),
        ([2], WrongTypeError),
    ],
)
def test_what_is_no_precision_names_the_field(value, error):
    with pytest.raises(error, match="^kv_precision: "):
        catalog.precision("kv_precision", value)


# ---- cards -------------------------------------------------------------------------------------------


@MODELS
def test_every_model_has_a_card(model):
    card = model_card(model.spec)
    assert (card["name"], card["source"]) == (model.name, model.source)
    assert card["parameters"] == float(count_parameters(model.spec).total)
    assert all(type(value) in (float, str) and value != "" for value in card.values())
    assert {card_field(model.spec, field.upper()) for field in card} == set(card.values())


def test_a_card_shows_no_heads_where_they_are_not_known():
    assert "num_attention_heads" not in model_card(catalog.model("article-llama-70b").spec)


def test_a_model_of_the_same_name_is_not_the_catalogs():
    spec = ModelSpec(
        name="llama-3.1-70b", hidden_size=1, layers=catalog.model("llama-3-8b").spec.layers, stated_parameters=1
    )
    assert "source" not in model_card(spec)


def test_an_unknown_field_proposes_the_nearest():
    with pytest.raises(UnknownNameError, match="field: 'hidden' is not known. Did you mean 'hidden_size'"):
        card_field(catalog.model("llama-3.1-70b").spec, "hidden")
