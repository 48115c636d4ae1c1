"""Texts from outside, made comparable and fit to be shown."""

from __future__ import annotations

import re
import unicodedata

# Far longer than any name, label, unit or number. Normalising takes time by the square of a run of combining marks
# (they are sorted, Unicode Standard Annex #15, section 1.3): seconds for one cell full of them.
LONGEST_COMPARED = 255

# What a spreadsheet takes for the start of a formula in a cell that is typed, pasted or read from CSV, also full-width
# (OWASP, "CSV Injection").
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")

# What no cell of a workbook can hold or show: controls, halves of surrogate pairs, code points that are no characters
# (XML 1.0, section 2.2, and what only steers a terminal or breaks a line).
NOT_PRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]+")


def plain_letters(text: str) -> str:
    """`text` with full-width letters and digits made plain; a text that is too long to be a name stays as it is."""
    return unicodedata.normalize("NFKC", text) if len(text) <= LONGEST_COMPARED else text


def printable(text: str) -> str:
    """`text` as it may stand in any cell or sentence: not endless, controls and halves of surrogate pairs escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[:LONGEST_COMPARED])
