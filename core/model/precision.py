"""Define number formats: the bytes of a block of values, and the scales that some formats add.

A precision is an exact ratio, bytes per block ÷ values per block, because formats with scales do not have a whole
number of bits per value (GGUF's Q4_0: 18 bytes for 32 values). Nominal precisions use that ratio for every tensor, as
the article does; real weight formats also have scales per row or per tile, and leave the tensors that engines do not
quantize in 16 bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

from core.errors import OutOfRangeError, quoted
from core.model.tensors import GROUPS, Tensor

# The widest value that any engine serves is fp32, the narrowest one bit. A user who writes 8 or 16 means bits, which
# must be an error.
MAX_BYTES_PER_VALUE = 4
MIN_BYTES_PER_VALUE = 0.125


@dataclass(frozen=True, kw_only=True)
class Precision:
    """A number format of weights or of cached values.

    Attributes:
        name: the catalog's name ("fp16"), or the number of bytes as text ("0.5").
        block_bytes: bytes of one block, scales included; blocks lie along a row.
        block_values: values in one block.
        block_scale_bytes: the part of `block_bytes` that is scales, which engines store in a separate tensor.
        row_bytes: additional bytes per output row (a scale per channel).
        column_bytes: additional bytes per input column (GPTQ's index of groups).
        tile_rows, tile_columns, tile_bytes: additional bytes per tile, and the tile's size (block-wise FP8).
        tensor_bytes: additional bytes per tensor (a scale per tensor).
        groups: the groups of tensors in this format; the others are in 16 bits.
        mix: llama.cpp's name of a mix of formats ("Q4_K_M"), which differ by tensor; see `core.model.gguf_mix`.
        source: where the layout is documented.
    """

    name: str
    block_bytes: int
    block_values: int = 1
    block_scale_bytes: int = 0
    row_bytes: int = 0
    column_bytes: int = 0
    tile_rows: int = 0
    tile_columns: int = 0
    tile_bytes: int = 0
    tensor_bytes: int = 0
    groups: frozenset[str] = frozenset(GROUPS)
    mix: str = ""
    source: str = ""

    @cached_property
    def _hash(self) -> int:
        return hash((self.name, self.block_bytes, self.block_values))

    def __hash__(self) -> int:
        """Hash the few fields that differ, and once per object: every estimate uses precisions as cache keys."""
        return self._hash

    @property
    def bytes_per_value(self) -> float:
        return self.block_bytes / self.block_values

    @property
    def bits_per_value(self) -> float:
        return 8 * self.block_bytes / self.block_values

    @property
    def is_number(self) -> bool:
        """Return whether it was written as a number of bytes instead of a name."""
        return self.name.replace(".", "", 1).isdigit()

    @property
    def is_nominal(self) -> bool:
        """Return whether every value of every tensor takes the same number of bytes."""
        return not self.mix and len(self.groups) == len(GROUPS)

    def bytes_of(self, values: int) -> int:
        """Return the bytes of `values` values, rounded up to a whole byte."""
        return -(-values * self.block_bytes // self.block_values)

    def value_and_scale_bytes(self, tensor: Tensor) -> tuple[int, int]:
        """Return the bytes of all copies of a tensor: those of its values, and those of separately stored scales."""
        values = tensor.rows * tensor.columns
        block_scales = -(-values * self.block_scale_bytes // self.block_values)
        scales = block_scales + self.tensor_bytes + self.row_bytes * tensor.rows + self.column_bytes * tensor.columns
        if self.tile_bytes:
            scales += self.tile_bytes * -(-tensor.rows // self.tile_rows) * -(-tensor.columns // self.tile_columns)
        return (self.bytes_of(values) - block_scales) * tensor.copies, scales * tensor.copies


@lru_cache(maxsize=256)
def precision_of_bytes(field: str, bytes_per_value: float) -> Precision:
    """Return the precision written as a number of bytes, as the article writes it: 2, 1, 0.5.

    Raises:
        OutOfRangeError: the number is not from 0.125 to 4.
    """
    if not MIN_BYTES_PER_VALUE <= bytes_per_value <= MAX_BYTES_PER_VALUE:
        raise OutOfRangeError(
            field,
            f"{quoted(bytes_per_value)} bytes per value is not between {MIN_BYTES_PER_VALUE} and {MAX_BYTES_PER_VALUE}",
            'Write bytes, not bits (2 for 16 bits, 0.5 for 4), or a name such as "fp16".',
        )
    block_bytes, block_values = float(bytes_per_value).as_integer_ratio()
    return Precision(name=f"{bytes_per_value:g}", block_bytes=block_bytes, block_values=block_values)


def mean_precision(keys: Precision, values: Precision) -> Precision:
    """Return the format of a cache whose keys and values, equally many, have two (llama.cpp's -ctk and -ctv)."""
    together = math.lcm(keys.block_values, values.block_values)
    return Precision(
        name=f"{keys.name}/{values.name}",
        block_bytes=sum(one.block_bytes * together // one.block_values for one in (keys, values)),
        block_values=2 * together,
    )
