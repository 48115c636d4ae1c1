"""How many bytes one stored value takes.

A precision is kept as an exact ratio, so many bytes for a block of so many values, because formats with scales do not
take a whole number of bits a value (GGUF's Q4_0: 18 bytes for 32 values).
"""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import OutOfRangeError, quoted

# The widest value that any engine serves is fp32. Whoever writes 8 or 16 means bits, which must not pass silently.
MOST_BYTES_PER_VALUE = 4
LEAST_BYTES_PER_VALUE = 0.0625


@dataclass(frozen=True, kw_only=True)
class Precision:
    """A number format of weights or of cached values.

    Attributes:
        name: the catalog's name ("fp16"), or the number of bytes as text ("0.5").
        block_bytes: bytes of one block, scales included.
        block_values: values in one block.
        source: where the layout is documented.
    """

    name: str
    block_bytes: int
    block_values: int = 1
    source: str = ""

    @property
    def bytes_per_value(self) -> float:
        return self.block_bytes / self.block_values

    @property
    def bits_per_value(self) -> float:
        return 8 * self.block_bytes / self.block_values

    def bytes_of(self, values: int) -> int:
        """Bytes that `values` values take, rounded up to a whole byte."""
        return -(-values * self.block_bytes // self.block_values)


def precision_of_bytes(field: str, bytes_per_value: float) -> Precision:
    """The precision written as a number of bytes, as the article writes it: 2, 1, 0.5.

    Raises:
        OutOfRangeError: the number is not above 0 and at most 4, or is not finite.
    """
    if not LEAST_BYTES_PER_VALUE <= bytes_per_value <= MOST_BYTES_PER_VALUE:
        raise OutOfRangeError(
            field,
            f"{quoted(bytes_per_value)} bytes per value is not between {LEAST_BYTES_PER_VALUE} and {MOST_BYTES_PER_VALUE}",
            'Write bytes, not bits (2 for 16 bits, 0.5 for 4), or a name such as "fp16".',
        )
    block_bytes, block_values = float(bytes_per_value).as_integer_ratio()
    return Precision(name=f"{bytes_per_value:g}", block_bytes=block_bytes, block_values=block_values)
