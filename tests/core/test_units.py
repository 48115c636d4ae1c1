"""Test the units of memory: exact powers of 1000 and 1024."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UnknownNameError, WrongTypeError
from core.units import DEFAULT_UNIT, UNIT_BYTES, unit_bytes

# IEC 80000-13, clause 4: SI prefixes are powers of 1000, binary prefixes powers of 1024.
POWERS = {
    "B": 1000**0, "KB": 1000**1, "MB": 1000**2, "GB": 1000**3, "TB": 1000**4,
    "KiB": 1024**1, "MiB": 1024**2, "GiB": 1024**3, "TiB": 1024**4,
}  # fmt: skip


def test_every_unit_is_the_expected_power():
    assert {unit: unit_bytes(unit) for unit in UNIT_BYTES} == POWERS
    assert unit_bytes(DEFAULT_UNIT) == 10**9


@pytest.mark.parametrize("unit", POWERS)
def test_case_spaces_and_width_do_not_matter(unit):
    wide = "".join(chr(ord(letter) + 0xFEE0) for letter in unit)
    for written in (unit.lower(), unit.upper(), f"  {unit}\t", wide, wide.lower()):
        assert unit_bytes(written) == POWERS[unit]


@given(st.integers(0, 10**18), st.sampled_from(sorted(POWERS)), st.sampled_from(sorted(POWERS)))
def test_conversions_are_exact(size, unit, other):
    in_unit = Fraction(size * unit_bytes(unit), unit_bytes(other))
    assert in_unit * unit_bytes(other) == size * unit_bytes(unit)
    assert in_unit / size == Fraction(POWERS[unit], POWERS[other]) if size else in_unit == 0


@pytest.mark.parametrize(
    "unit, error, message",
    [
        ("G", UnknownNameError, "unit: 'G' is not known. Did you mean 'GB' or 'GiB'?"),
        ("", UnknownNameError, "unit: '' is not known."),
        ("gigabyte", UnknownNameError, "KiB, MiB, GiB, TiB"),
        (9, WrongTypeError, "unit: 9 is not a unit. Write"),
        (None, WrongTypeError, "unit: None is not a unit"),
        (True, WrongTypeError, "unit: TRUE is not a unit"),
    ],
)
def test_invalid_units(unit, error, message):
    with pytest.raises(error) as caught:
        unit_bytes(unit)
    assert message in str(caught.value)
