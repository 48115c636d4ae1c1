"""Units of memory. GB is 10⁹ bytes, GiB is 2³⁰ bytes; the two are never interchanged (IEC 80000-13)."""

from __future__ import annotations

from core.errors import WrongTypeError, quoted, unknown_name
from core.texts import plain_letters

KB, MB, GB, TB = 10**3, 10**6, 10**9, 10**12
KIB, MIB, GIB, TIB = 2**10, 2**20, 2**30, 2**40

DEFAULT_UNIT = "GB"

UNIT_BYTES: dict[str, int] = {
    "B": 1,
    "KB": KB,
    "MB": MB,
    "GB": GB,
    "TB": TB,
    "KiB": KIB,
    "MiB": MIB,
    "GiB": GIB,
    "TiB": TIB,
}
_BY_LOWER_CASE = {unit.lower(): size_bytes for unit, size_bytes in UNIT_BYTES.items()} | {"bytes": 1}


def unit_bytes(unit: object) -> int:
    """Return the bytes in one `unit`, given in any letter case and letter width.

    Raises:
        WrongTypeError: `unit` is not text.
        UnknownNameError: there is no such unit.
    """
    if not isinstance(unit, str):
        raise WrongTypeError("unit", f"{quoted(unit)} is not a unit", 'Write "GB" (10⁹ bytes) or "GiB" (2³⁰ bytes).')
    size_bytes = _BY_LOWER_CASE.get(plain_letters(unit).strip().lower())
    if size_bytes is None:
        raise unknown_name("unit", unit, UNIT_BYTES, "this list: " + ", ".join(UNIT_BYTES))
    return size_bytes
