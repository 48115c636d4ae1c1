"""Bytes of a model's weights."""

from __future__ import annotations

from core.parameters import ParameterCount
from core.precision import Precision


def weights_bytes(parameters: ParameterCount, precision: Precision) -> int:
    """Bytes of the weights when every tensor is stored in `precision`: parameters × bytes per value."""
    return precision.bytes_of(parameters.total)
