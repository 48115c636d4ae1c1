"""How many bytes one stored value takes.

A precision is kept as an exact ratio, so many bytes for a block of so many values, because formats with scales do not
take a whole number of bits a value (GGUF's Q4_0: 18 bytes for 32 values). Nominal precisions are that ratio for every
tensor, as the article counts; real formats of weights also have scales per row or per tile, and leave the tensors that
engines do not quantize in 16 bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

from core.errors import OutOfRangeError, quoted
from core.model.tensors import GROUPS, Tensor

# The widest value that any engine serves is fp32. Whoever writes 8 or 16 means bits, which must not pass silently.
MOST_BYTES_PER_VALUE = 4
LEAST_BYTES_PER_VALUE = 0.0625


@dataclass(frozen=True, kw_only=True)
class Precision:
    """A number format of weights or of cached values.

    Attributes:
        name: the catalog's name ("fp16"), or the number of bytes as text ("0.5").
        block_bytes: bytes of one block, scales included; blocks lie along a row.
        block_values: values in one block.
        block_scale_bytes: how many of the block's bytes are scales that engines keep in a tensor of their own.
        row_bytes: further bytes per output row (a scale per channel).
        column_bytes: further bytes per input column (GPTQ's index of groups).
        tile_rows, tile_columns, tile_bytes: further bytes per tile of so many rows and columns (block-wise FP8).
        tensor_bytes: further bytes per tensor (a scale per tensor).
        groups: the groups of tensors that are stored so, the others staying in 16 bits.
        mix: llama.cpp's name of a mix of formats ("Q4_K_M"), where tensors differ; see `core.model.gguf_mix`.
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
        """Of the little that tells them apart, and once: they are the keys of caches that every estimate looks into."""
        return self._hash

    @property
    def bytes_per_value(self) -> float:
        return self.block_bytes / self.block_values

    @property
    def bits_per_value(self) -> float:
        return 8 * self.block_bytes / self.block_values

    @property
    def is_nominal(self) -> bool:
        """Whether every value of every tensor takes the same."""
        return not self.mix and len(self.groups) == len(GROUPS)

    def bytes_of(self, values: int) -> int:
        """Bytes that `values` values take, rounded up to a whole byte."""
        return -(-values * self.block_bytes // self.block_values)

    def parts_of_tensor(self, tensor: Tensor) -> tuple[int, int]:
        """Bytes of a tensor's values, and of the scales that are kept beside them, all its copies."""
        values = tensor.rows * tensor.columns
        in_blocks = -(-values * self.block_scale_bytes // self.block_values)
        scales = in_blocks + self.tensor_bytes + self.row_bytes * tensor.rows + self.column_bytes * tensor.columns
        if self.tile_bytes:
            scales += self.tile_bytes * -(-tensor.rows // self.tile_rows) * -(-tensor.columns // self.tile_columns)
        return (self.bytes_of(values) - in_blocks) * tensor.copies, scales * tensor.copies


@lru_cache(maxsize=256)
def precision_of_bytes(field: str, bytes_per_value: float) -> Precision:
    """The precision written as a number of bytes, as the article writes it: 2, 1, 0.5.

    Raises:
        OutOfRangeError: the number is not above 0 and at most 4, or is not finite.
    """
    if not LEAST_BYTES_PER_VALUE <= bytes_per_value <= MOST_BYTES_PER_VALUE:
        raise OutOfRangeError(
            field,
            f"{quoted(bytes_per_value)} bytes per value is not between "
            f"{LEAST_BYTES_PER_VALUE} and {MOST_BYTES_PER_VALUE}",
            'Write bytes, not bits (2 for 16 bits, 0.5 for 4), or a name such as "fp16".',
        )
    block_bytes, block_values = float(bytes_per_value).as_integer_ratio()
    return Precision(name=f"{bytes_per_value:g}", block_bytes=block_bytes, block_values=block_values)
