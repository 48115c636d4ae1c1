"""Test the checks of inputs: limits, error classes and messages."""

from __future__ import annotations

import datetime
import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.checks import LIMITS, flag, number, text
from core.errors import (
    LONGEST_QUOTED_VALUE,
    OutOfRangeError,
    PlannerError,
    UnknownNameError,
    WrongTypeError,
    quoted,
    unknown_name,
)

FIELDS = pytest.mark.parametrize("field, limits", LIMITS.items(), ids=LIMITS)


@FIELDS
def test_limits_are_inclusive(field, limits):
    for bound in (limits.least, limits.most):
        result = number(field, bound)
        assert result == bound
        assert type(result) is (int if limits.whole else float)
    for beyond in (limits.least - 1, math.nextafter(limits.least, -math.inf), limits.most + 1, -limits.most, -math.inf):
        with pytest.raises(OutOfRangeError, match=f"^{field}: "):
            number(field, beyond)


# About ten times the largest realistic value, so that a value 1000 times too large is refused.
EXPECTED_LIMITS = {
    # Tokens: Llama 4 Scout's 10 485 760 is the longest context of the catalog; steps are of thousands.
    "context": (1, 100_000_000), "average_tokens": (1, 100_000_000), "max_position_embeddings": (1, 1_000_000_000),
    "users": (1, 100_000_000),
    # GPUs: at most as many as `core.plan.fleet` searches layouts for. A GPU of the catalog has at most 288 GB.
    "tp": (1, 1024), "pp": (1, 1024), "gpus": (1, 100_000),
    # Fine-tuning: a sequence is as long as a context; ZeRO has stages up to 3 (Rajbhandari et al. 2020).
    "sequence": (1, 100_000_000), "batch": (1, 1_000_000), "rank": (1, 100_000), "zero": (0, 3),
    "gpu_memory_gib": (1, 100_000), "gpu_memory_gb": (1, 100_000),
    # Models: the catalog has up to 1573 billion parameters (DeepSeek V4 Pro), 126 layers, a hidden size of 16 384 and a
    # vocabulary of 262 400.
    "params_b": (0.000_001, 100_000), "num_hidden_layers": (1, 10_000), "hidden_size": (1, 1_000_000),
    "intermediate_size": (1, 10_000_000), "vocab_size": (1, 10_000_000), "num_attention_heads": (1, 10_000),
    "num_key_value_heads": (1, 10_000), "head_dim": (1, 1_000_000),
    # Loads and demand: prompts and answers as long as a context, people as many as there are, a request an hour.
    "prompt_tokens": (1, 100_000_000), "output_tokens": (1, 100_000_000), "replicas": (1, 100_000),
    "tokens_per_second": (0.001, 1_000_000), "min_speed": (0, 1_000_000), "measured_speed": (0.001, 1_000_000),
    "people": (1, 10_000_000_000),
    "requests_per_hour": (0.001, 10_000_000_000),
    # Fractions.
    "overhead": (0, 1), "active": (0.000_001, 1),
}  # fmt: skip


def test_expected_limits():
    assert {field: (limits.least, limits.most) for field, limits in LIMITS.items()} == EXPECTED_LIMITS
    fractions = {
        "overhead", "gpu_memory_gib", "gpu_memory_gb", "params_b", "tokens_per_second", "min_speed", "active",
        "requests_per_hour", "measured_speed",
    }  # fmt: skip
    assert {field for field, limits in LIMITS.items() if not limits.whole} == fractions


@FIELDS
def test_every_remedy_is_a_sentence(field, limits):
    assert limits.remedy.startswith("Write ") and limits.remedy.endswith(".")


@FIELDS
@pytest.mark.parametrize("value", ["10", "", None, True, False, datetime.datetime(2026, 11, 23), [1], 1j, Fraction(7)])
def test_values_that_are_not_numbers(field, limits, value):
    with pytest.raises(WrongTypeError) as caught:
        number(field, value)
    assert str(caught.value).endswith(limits.remedy)


@pytest.mark.parametrize(
    "value, message",
    [
        (None, "users: it is blank. "),
        ("10", "users: '10' is text, not a number. "),
        (True, "users: TRUE is not a number. "),
        (2.5, "users: 2.5 is not a whole number. "),
        (0, "users: 0 is below 1. "),
        (2e8, "users: 200000000 is above 100,000,000. "),
        (math.nan, "users: nan is not a finite number. "),
    ],
)
def test_messages_name_field_value_and_remedy(value, message):
    with pytest.raises(PlannerError) as caught:
        number("users", value)
    assert str(caught.value) == message + "Write the number of concurrent users, for example 10."


@given(st.sampled_from(sorted(LIMITS)), st.one_of(st.floats(), st.integers()))
def test_a_number_is_returned_unchanged_or_refused(field, value):
    limits = LIMITS[field]
    valid = limits.least <= value <= limits.most and (not limits.whole or value == int(value))
    if valid:
        assert number(field, value) == value
    else:
        with pytest.raises(OutOfRangeError):
            number(field, value)


@pytest.mark.parametrize(
    "value, truth", [(True, True), (False, False), (1, True), (0, False), (1.0, True), (0.0, False)]
)
def test_flags(value, truth):
    assert flag("tie_word_embeddings", value) is truth


@pytest.mark.parametrize("value", ["TRUE", 2, -1, None, math.nan, [], "yes"])
def test_values_that_are_not_flags(value):
    with pytest.raises(WrongTypeError, match="tie_word_embeddings: .* is neither true nor false. Write TRUE or FALSE."):
        flag("tie_word_embeddings", value)


def test_texts():
    assert text("field", " title ") == " title "
    for value in (3.0, True, None, datetime.datetime(2026, 11, 23)):
        with pytest.raises(WrongTypeError, match="^field: "):
            text("field", value)


@pytest.mark.parametrize(
    "value, shown",
    [
        ("llama", "'llama'"),
        ("it's", '"it\'s"'),
        (3.0, "3"),
        (0.1, "0.1"),
        (1e300, "1e+300"),
        (True, "TRUE"),
        (False, "FALSE"),
        ("模型", "'模型'"),
        ("a\nb", r"'a\nb'"),
    ],
)
def test_values_in_messages(value, shown):
    assert quoted(value) == shown


@given(st.text() | st.integers())
def test_values_in_messages_are_short_and_on_one_line(value):
    shown = quoted(value if isinstance(value, str) else value**99)
    assert "\n" not in shown and "\r" not in shown
    assert len(shown) <= 10 * LONGEST_QUOTED_VALUE + 2  # an unprintable character takes up to ten: \U0010ffff


KNOWN = ["llama-3.1-70b", "llama-3.1-8b", "qwen2.5-72b", "fp16", "GB", "GiB"]


@pytest.mark.parametrize(
    "name, remedy",
    [
        ("lama-3.1-70b", "Did you mean 'llama-3.1-70b'?"),
        ("LLAMA-3.1-70", "Did you mean 'llama-3.1-70b'?"),
        ("llama", "Did you mean 'llama-3.1-70b' or 'llama-3.1-8b'?"),
        ("qwen", "Did you mean 'qwen2.5-72b'?"),
        ("gb ", "Did you mean 'GB'?"),
        ("zzz", "Write one of the names in the list."),
        ("", "Write one of the names in the list."),
        ("x" * 10**6, "Write one of the names in the list."),
    ],
)
def test_similar_names_are_suggested(name, remedy):
    error = unknown_name("model", name, KNOWN, "the list")
    assert isinstance(error, UnknownNameError)
    assert error.remedy == remedy
    assert str(error) == f"model: {quoted(name)} is not known. {remedy}"
