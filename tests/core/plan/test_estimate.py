"""Estimates with their line items: weights, KV cache, the overhead rule and the GPU count."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import catalog
from core.checks import LIMITS
from core.errors import OutOfRangeError, UnsupportedModelError, WrongTypeError
from core.model.counts import model_counts
from core.model.kv_profile import KvProfile
from core.model.mixers import FullAttention
from core.model.precision import MAX_BYTES_PER_VALUE, MIN_BYTES_PER_VALUE, precision_of_bytes
from core.model.spec import LayerRun, ModelSpec
from core.model.weights import weights_bytes
from core.plan.estimate import DEFAULT_OVERHEAD_FRACTION, Sizing, estimate, rule_overhead_bytes
from core.plan.fleet import gpus_by_division
from core.units import GB

FP16, FP8, INT4 = (catalog.precision("precision", name) for name in ("fp16", "fp8", "int4"))
LLAMA = catalog.model("llama-3.1-70b").spec


def needs(model=LLAMA, context=32_768, users=10, precision=FP16, kv_precision=FP16, overhead=0.1):
    return estimate(
        model, context=context, users=users, precision=precision, kv_precision=kv_precision, overhead=overhead
    )


def test_llama_3_1_70b_by_hand():
    result = needs()
    assert [(item.key, item.size_bytes) for item in result.line_items] == [
        ("weights", 70_553_706_496 * 2),
        ("kv_cache", 100 * 2**30),  # 80 × 8 × 128 × 2 × 2 bytes × 32 768 × 10
        ("overhead", 24_848_159_539),  # 10 % of 248 481 595 392, rounded
    ]
    assert result.total_bytes == 273_329_754_931
    assert (result.parameters, result.kv_bytes_per_token) == (70_553_706_496, 327_680)
    assert (result.weights_bytes, result.kv_bytes, result.overhead_bytes) == (
        141_107_412_992,
        100 * 2**30,
        24_848_159_539,
    )
    assert all(type(item.size_bytes) is int for item in result.line_items)


# Weights and, for 10 users of 32 768 tokens, KV cache in 16 bits; counted by hand from each config.json.
@pytest.mark.parametrize(
    "name, weights_gb, kv_gib",
    [
        ("llama-2-70b", 137.95, 100.0),
        ("llama-3.1-70b", 141.11, 100.0),
        ("qwen2.5-72b", 145.41, 100.0),
        ("llama-3.1-8b", 16.06, 40.0),
        ("llama-2-7b", 13.48, 160.0),
        ("llama-3.1-405b", 811.71, 157.5),
    ],
)
def test_catalog_models(name, weights_gb, kv_gib):
    result = needs(catalog.model(name).spec)
    assert round(result.weights_bytes / GB, 2) == weights_gb
    assert result.kv_bytes / 2**30 == kv_gib


def test_weights_and_cache_have_separate_precisions():
    result = needs(precision=INT4, kv_precision=FP8)
    assert (result.weights_bytes, result.kv_bytes) == (35_276_853_248, 50 * 2**30)


def test_defaults_are_one_user_and_the_articles_overhead():
    result = estimate(LLAMA, context=1000, precision=FP16, kv_precision=FP16)
    assert result == needs(context=1000, users=1, overhead=DEFAULT_OVERHEAD_FRACTION)
    assert DEFAULT_OVERHEAD_FRACTION == 0.1


@pytest.mark.parametrize(
    "field, value, error",
    [
        ("context", 0, OutOfRangeError),
        ("context", 1.5, OutOfRangeError),
        ("context", math.nan, OutOfRangeError),
        ("context", None, WrongTypeError),
        ("users", -1, OutOfRangeError),
        ("users", math.inf, OutOfRangeError),
        ("users", "ten", WrongTypeError),
        ("users", True, WrongTypeError),
        ("overhead", -0.1, OutOfRangeError),
        ("overhead", 10, OutOfRangeError),
    ],
)
def test_impossible_workloads_name_the_field_and_the_remedy(field, value, error):
    with pytest.raises(error) as caught:
        needs(**{field: value})
    assert caught.value.field == field
    assert str(caught.value).endswith(LIMITS[field].remedy)


def test_a_model_whose_parameters_cannot_be_counted():
    attention = FullAttention(num_attention_heads=1, num_key_value_heads=1, head_dim=1)
    spec = ModelSpec(name="test", hidden_size=1, layers=(LayerRun(count=1, mixer=attention),))
    with pytest.raises(UnsupportedModelError, match="vocab_size"):
        model_counts(spec)


# ---- weights, overhead, GPUs -------------------------------------------------------------------------


def test_weights_are_parameters_times_bytes():
    spec = ModelSpec(name="test", hidden_size=0, layers=(), stated_parameters=101)
    assert [weights_bytes(spec, precision) for precision in (FP16, FP8, INT4)] == [202, 101, 51]


# The article: (140 + 800) × 10 % = 94 GB; a half is rounded to the even byte, as by round().
@pytest.mark.parametrize(
    "weights, kv, fraction, size_bytes",
    [
        (140 * GB, 800 * GB, 0.1, 94 * GB),
        (140 * GB, 80 * GB, 0.1, 22 * GB),
        (140 * GB, 200 * GB, 0.1, 34 * GB),
        (10, 0, 0, 0),
        (7, 3, 1, 10),
        (1, 0, 0.5, 0),
        (3, 0, 0.5, 2),
    ],
)
def test_overhead_rule(weights, kv, fraction, size_bytes):
    assert rule_overhead_bytes(weights, kv, fraction) == size_bytes


# The article: 242 GB on A100 80 GB is "3-4"; 1034 ÷ 80 = 12.9, 374 ÷ 80 = 4.7.
@pytest.mark.parametrize("total_gb, gpus", [(1034, 13), (242, 4), (374, 5), (80, 1), (160, 2), (0, 0)])
def test_gpus_by_division(total_gb, gpus):
    assert gpus_by_division(total_gb * GB, 80) == gpus


def test_one_byte_too_many_is_one_more_gpu():
    assert (gpus_by_division(80 * GB, 80), gpus_by_division(80 * GB + 1, 80)) == (1, 2)


# ---- properties --------------------------------------------------------------------------------------

MODELS = st.sampled_from([known.spec for known in catalog.models()])
CONTEXTS, USERS = st.integers(1, 10**8), st.integers(1, 10**8)
PRECISIONS = st.floats(MIN_BYTES_PER_VALUE, MAX_BYTES_PER_VALUE).map(lambda size: precision_of_bytes("precision", size))
FRACTIONS = st.floats(0, 1)
SCENARIOS = st.fixed_dictionaries(
    {
        "model": MODELS, "context": CONTEXTS, "users": USERS, "precision": PRECISIONS,
        "kv_precision": PRECISIONS, "overhead": FRACTIONS,
    }
)  # fmt: skip


@given(SCENARIOS)
def test_the_total_is_the_sum_of_its_lines(scenario):
    result = needs(**scenario)
    assert result.total_bytes == result.weights_bytes + result.kv_bytes + result.overhead_bytes
    assert [item.key for item in result.line_items] == ["weights", "kv_cache", "overhead"]
    assert all(item.size_bytes >= 0 for item in result.line_items)


@pytest.mark.parametrize(
    "field, values, order",
    [
        ("context", CONTEXTS, None),
        ("users", USERS, None),
        ("precision", PRECISIONS, lambda precision: precision.bytes_per_value),
        ("kv_precision", PRECISIONS, lambda precision: precision.bytes_per_value),
        ("overhead", FRACTIONS, None),
    ],
)
@given(scenario=SCENARIOS, data=st.data())
def test_more_of_anything_never_needs_less(field, values, order, scenario, data):
    less, more = sorted((scenario[field], data.draw(values)), key=order)
    assert needs(**scenario | {field: less}).total_bytes <= needs(**scenario | {field: more}).total_bytes


@given(SCENARIOS, st.floats(1, 10**5))
def test_the_gpus_hold_the_total_and_one_fewer_do_not(scenario, gpu_memory_gb):
    total_bytes = needs(**scenario).total_bytes
    gpus, one = gpus_by_division(total_bytes, gpu_memory_gb), round(gpu_memory_gb * GB)
    assert (gpus - 1) * one < total_bytes <= gpus * one


# ---- many numbers of users at once ---------------------------------------------------------------------


@given(
    weights=st.integers(0, 2**52),
    values_per_token=st.integers(0, 2**24),
    context=st.integers(1, 10**8),
    users=st.lists(st.integers(1, 10**8), min_size=1, max_size=4),
    overhead=st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0]) | st.floats(0, 1),
)
def test_totals_of_many_users_equal_the_single_totals(weights, values_per_token, context, users, overhead):
    """To the last byte, with a half rounded to even as by round(); also where floats are not exact."""
    sizing = Sizing(LLAMA, parameters=1, weights_bytes=weights, kv=KvProfile(values_per_token=values_per_token))
    one_by_one = [sizing.total_bytes(context, number, FP16, overhead) / GB for number in users]
    assert sizing.totals(context, users, FP16, overhead, GB) == one_by_one


def test_half_a_byte_of_overhead_is_rounded_to_even():
    sizing = Sizing(LLAMA, parameters=1, weights_bytes=0, kv=KvProfile(fixed_bytes=5))
    assert sizing.totals(1, [1, 3, 5], FP16, 0.5, 1) == [5 + 2, 15 + 8, 25 + 12]
