"""Names for sheets, made from what users call their scenarios."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

# Excel's rules: support.microsoft.com, "Rename a worksheet". It counts UTF-16 code units.
LONGEST_NAME = 31
# Also in their full-width forms, which some hosts take for the plain ones; and "!", which Excel allows but at which
# other programs cut a reference in two (IronCalc 0.9.1); and the beginning of "_x003D_", which readers decode
# to another character (ECMA-376 part 1, 22.9.2.19, ST_Xstring).
_FORBIDDEN = re.compile(r"[\[\]:*?/\\!：＊？／＼［］！]|_(?=x[0-9A-Fa-f]{4}_)")
_RESERVED = {"history", "历史记录"}  # Excel's own sheet of tracked changes, in either language


def sheet_names(titles: Iterable[str], taken: Iterable[str]) -> list[str]:
    """A name for the sheet of each title: allowed by Excel, as like the title as can be, and different from all others.

    Args:
        taken: names that other sheets of the workbook have.
    """
    used = {_folded(name) for name in taken} | _RESERVED
    names = []
    for title in titles:
        plain = _FORBIDDEN.sub("-", "".join(c for c in title if c.isprintable())).strip("' ") or "-"
        name, number = _cut(plain, LONGEST_NAME), 1
        while _folded(name) in used:
            number += 1
            suffix = f" ({number})"
            name = _cut(plain, LONGEST_NAME - len(suffix)) + suffix
        used.add(_folded(name))
        names.append(name)
    return names


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()


def _cut(text: str, longest: int) -> str:
    """The beginning of `text` that has at most `longest` UTF-16 code units, and does not end in an apostrophe."""
    while len(text.encode("utf-16-le")) // 2 > longest:
        text = text[:-1]
    return text.rstrip("' ") or "-"
