"""Make sheet names from the titles of scenarios."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

# Excel's rules: support.microsoft.com, "Rename a worksheet". It counts UTF-16 code units.
LONGEST_NAME = 31
# Also their full-width forms, which some programs treat as the same characters; "!", which Excel allows but at which
# IronCalc 0.9.1 splits a reference; and the start of "_x003D_", which readers decode to another character
# (ECMA-376 part 1, 22.9.2.19, ST_Xstring).
_FORBIDDEN = re.compile(r"[\[\]:*?/\\!：＊？／＼［］！]|_(?=x[0-9A-Fa-f]{4}_)")
_RESERVED = {"history", "历史记录"}  # Excel's sheet of tracked changes, in English and Chinese


def sheet_names(titles: Iterable[str], taken: Iterable[str]) -> list[str]:
    """Return a sheet name for each title: valid in Excel, unique, and as close to the title as possible.

    Args:
        taken: the names of the workbook's other sheets.
    """
    used = {_comparable(name) for name in taken} | _RESERVED
    names = []
    for title in titles:
        plain = _FORBIDDEN.sub("-", "".join(c for c in title if c.isprintable())).strip("' ") or "-"
        name, number = _shortened(plain, LONGEST_NAME), 1
        while _comparable(name) in used:
            number += 1
            suffix = f" ({number})"
            name = _shortened(plain, LONGEST_NAME - len(suffix)) + suffix
        used.add(_comparable(name))
        names.append(name)
    return names


def _comparable(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()


def _shortened(text: str, longest: int) -> str:
    """Shorten `text` to at most `longest` UTF-16 code units, without an apostrophe at its end."""
    while len(text.encode("utf-16-le")) // 2 > longest:
        text = text[:-1]
    return text.rstrip("' ") or "-"
