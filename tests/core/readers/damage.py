"""Generate damaged files with Hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

# Lengths and counts that overflow, are too large, or are off by one.
EXTREME = (0, 1, 7, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1)


@st.composite
def damaged(draw, whole: bytes) -> bytes:
    """Return `whole` cut, overwritten or lengthened."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        how = draw(st.sampled_from(["cut", "byte", "number", "insert", "repeat"]))
        if how == "cut":
            del data[at:]
        elif how == "byte" and data:
            data[at] = draw(st.integers(0, 255))
        elif how == "number":
            data[at : at + 8] = draw(st.sampled_from(EXTREME)).to_bytes(8, "little")
        elif how == "insert":
            data[at:at] = draw(st.binary(max_size=16))
        else:
            data[at:at] = data[at : at + draw(st.integers(1, 64))]
    return bytes(data)
