"""Bytes per stored value."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import catalog
from core.errors import OutOfRangeError, UnknownNameError
from core.model.precision import MAX_BYTES_PER_VALUE, MIN_BYTES_PER_VALUE, Precision, precision_of_bytes
from core.model.tensors import MLP, Tensor

FP16 = Precision(name="fp16", block_bytes=2)
INT4 = Precision(name="int4", block_bytes=1, block_values=2)
# llama.cpp ggml/src/ggml-common.h, block_q4_0: one fp16 scale and 16 bytes of nibbles for 32 values.
Q4_0 = Precision(name="q4_0", block_bytes=18, block_values=32)


@pytest.mark.parametrize(
    "precision, values, size_bytes",
    [
        (FP16, 0, 0),
        (FP16, 70 * 10**9, 140 * 10**9),  # the article's weights
        (INT4, 10, 5),
        (INT4, 11, 6),  # a whole byte, rounded up
        (Q4_0, 32, 18),
        (Q4_0, 4096, 2304),
        (Q4_0, 1, 1),
    ],
)
def test_bytes_of(precision, values, size_bytes):
    assert precision.bytes_of(values) == size_bytes
    assert type(precision.bytes_of(values)) is int


@pytest.mark.parametrize(
    ("layout", "values", "scales"),
    [
        # 300 × 256 values, three copies. In 16 bits without scales.
        ({"block_bytes": 2}, 153_600, 0),
        # 32 values in 16 bytes and a scale of one byte: 2400 blocks.
        ({"block_bytes": 17, "block_values": 32, "block_scale_bytes": 1}, 38_400, 2400),
        # Scales of 4 bytes for the tensor; 2 for each row; 4 for each column; 4 for each of 3 × 2 tiles of 128 × 128.
        ({"block_bytes": 1, "tensor_bytes": 4}, 76_800, 4),
        ({"block_bytes": 1, "row_bytes": 2}, 76_800, 600),
        ({"block_bytes": 1, "column_bytes": 4}, 76_800, 1024),
        ({"block_bytes": 1, "tile_bytes": 4, "tile_rows": 128, "tile_columns": 128}, 76_800, 24),
        ({"block_bytes": 9, "block_values": 16, "block_scale_bytes": 1, "tensor_bytes": 8}, 38_400, 4808),
    ],
)
def test_values_and_scales_of_a_tensor(layout, values, scales):
    precision, tensor = Precision(name="test", **layout), Tensor(name="w", group=MLP, rows=300, columns=256, copies=3)
    assert precision.value_and_scale_bytes(tensor) == (3 * values, 3 * scales)


def test_bits_and_bytes_per_value():
    assert (FP16.bits_per_value, INT4.bits_per_value, Q4_0.bits_per_value) == (16, 4, 4.5)
    assert (FP16.bytes_per_value, INT4.bytes_per_value, Q4_0.bytes_per_value) == (2, 0.5, 0.5625)


@pytest.mark.parametrize("bytes_per_value, name", [(2, "2"), (1.0, "1"), (0.5, "0.5"), (0.125, "0.125"), (4, "4")])
def test_a_number_of_bytes(bytes_per_value, name):
    precision = precision_of_bytes("precision", bytes_per_value)
    assert (precision.bytes_per_value, precision.name) == (bytes_per_value, name)
    assert precision.bytes_of(10**12) == bytes_per_value * 10**12


@pytest.mark.parametrize("bytes_per_value", [0, 0.1, 4.01, 8, 16, -2, 1e308, math.nan, math.inf, -math.inf])
def test_impossible_numbers_of_bytes(bytes_per_value):
    with pytest.raises(OutOfRangeError, match="kv_precision: .* Write bytes, not bits"):
        precision_of_bytes("kv_precision", bytes_per_value)


BYTES_PER_VALUE = st.floats(MIN_BYTES_PER_VALUE, MAX_BYTES_PER_VALUE)


@given(BYTES_PER_VALUE, BYTES_PER_VALUE, st.integers(0, 10**13), st.integers(0, 10**13))
def test_more_bits_and_more_values_never_take_less(narrow, wide, few, many):
    narrow, wide = sorted((narrow, wide))
    few, many = sorted((few, many))
    narrow, wide = precision_of_bytes("precision", narrow), precision_of_bytes("precision", wide)
    assert narrow.bytes_of(few) <= wide.bytes_of(few) <= wide.bytes_of(many)


@given(BYTES_PER_VALUE, st.integers(0, 10**13))
def test_a_size_is_the_product_rounded_up(bytes_per_value, values):
    precision = precision_of_bytes("precision", bytes_per_value)
    exact = values * precision.block_bytes  # times block_values
    assert exact <= precision.bytes_of(values) * precision.block_values < exact + precision.block_values


def test_keys_and_values_in_two_formats():
    """llama.cpp's Q8_0 takes 34 bytes for 32 values, Q4_0 18; half of the cache has each."""
    both = catalog.precision("kv_precision", "q8_0/q4_0")
    assert (both.name, both.bytes_per_value) == ("q8_0/q4_0", (34 + 18) / 64)
    assert both.bytes_of(64) == 52
    assert catalog.precision("kv_precision", "fp8 / fp16").bytes_per_value == 1.5
    with pytest.raises(UnknownNameError, match="kv_precision"):
        catalog.precision("kv_precision", "q8_0/none")
    with pytest.raises(UnknownNameError, match="precision"):
        catalog.precision("precision", "q8_0/q4_0")
