"""Normalise texts from users and files, so that they can be compared and shown safely."""

from __future__ import annotations

import re
import unicodedata

# Far longer than any name, label, unit or number. Normalising sorts runs of combining marks (Unicode Standard
# Annex #15, section 1.3) in quadratic time: seconds for one cell full of them.
LONGEST_COMPARED = 255

# Characters, also full-width, with which a cell that is typed, pasted or read from CSV starts a formula
# (OWASP, "CSV Injection").
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")

# Characters that no cell of a workbook can hold or show: control characters, unpaired surrogates, noncharacters
# (XML 1.0, section 2.2), and those that control a terminal, break a line or turn the direction of text around (Unicode
# Standard Annex #9, sections 2.1 to 2.5).
NOT_PRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]+")
# Those of them, and the marks of direction, that a terminal obeys, but not ESC, with which styles are written.
_OBEYED = re.compile(r"[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


# Dashes that word processors and web pages write for a hyphen (Unicode, general category Pd), and the minus sign.
_DASHES = dict.fromkeys(map(ord, "‐‑‒–—―−﹘﹣－"), "-")


def plain_letters(text: str) -> str:
    """Replace full-width letters and digits with ASCII ones; return a text that is too long for a name unchanged."""
    if text.isascii() or len(text) > LONGEST_COMPARED:
        return text
    return unicodedata.normalize("NFKC", text)


def plain_name(text: str) -> str:
    """Return the same as `plain_letters`, with a hyphen for every dash and without quotation marks around a name."""
    return (text if text.isascii() else plain_letters(text).translate(_DASHES)).strip(QUOTES)


QUOTES = " \t\u00a0\"'`“”‘’‚„«»「」『』"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: "1 user", "2,000 users"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def printable(text: str) -> str:
    """Shorten `text` and escape its control characters and unpaired surrogates, so that it fits a cell or message."""
    return escaped(text[:LONGEST_COMPARED])


def escaped_output(text: str) -> str:
    """Escape in what a command prints, styles included, what controls a terminal or the direction of text."""
    return text if text.isascii() else _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)  # as JSON has it


def escaped(text: str) -> str:
    """Escape what controls a terminal or the direction of text: all that does not show itself."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
