"""Lay out an exported page on paper: its columns, the heights of its rows, and its two sheets of A4."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import ceil

from workbook import styles
from workbook.export.sheet import Sheet, footer, width_of
from workbook.labels import Labels

_Line = tuple[float, float, float]
_WORD = re.compile(r"[\u2e80-\uffef]|[^\s\u2e80-\uffef]+\s*|\s+")  # a Chinese character, or a word with its space

# The first columns of the two halves, the column of values of the right half, whose labels take two columns, the last
# printed column, and the first column of the calculation.
LEFT, RIGHT, RIGHT_VALUE, LAST, CALCULATION = 0, 4, 6, 7, 9
WIDTHS = (25, 18, 13, 1, 13, 12, 13, 13, 4, 58, 24, *(16,) * 160)
# Heights in points.
GAP_HEIGHT, SECTION_HEIGHT, SIGNED_HEIGHT = 6, 16, 18
# By language: the height of the first line of a text and of each further one in points, and the width of its average
# character in pixels, of which a Chinese one counts as two. The Chinese font is higher and wider.
_USUAL_LINES: Mapping[str, _Line] = {"en": (13.6, 12.2, 5.8), "zh": (14.0, 13.2, 6.5)}
_LINES: Mapping[str, Mapping[str, _Line]] = {
    styles.TITLE: {"en": (28, 26, 13.0), "zh": (30, 28, 12.5)},
    styles.ANSWER: {"en": (17.5, 15.4, 7.7), "zh": (17.5, 16.4, 8.4)},
    styles.NOTE: {"en": (13.6, 11.2, 5.3), "zh": (13.4, 12.3, 6.1)},
    styles.HEADING: {"en": (15.0, 13.0, 6.6), "zh": (15.4, 13.8, 6.9)},
}
_INDENT_PIXELS = 12  # of a cell's borders and indent
_CAPITAL = 0.3  # by which a capital letter is wider than the average character


def pixels(first: int, last: int) -> float:
    """Return the width of some columns: 7 pixels a character and 5 of padding (ECMA-376, 18.3.1.13)."""
    return sum(width * 7 + 5 for width in WIDTHS[first : last + 1])


def height(lang: str, first: int, last: int, role: str, text: str) -> float:
    """Return the height in points of a text that wraps."""
    line, further, character = _LINES.get(role, _USUAL_LINES)[lang]
    return line + (_lines(text, (pixels(first, last) - _INDENT_PIXELS) / character) - 1) * further


def _lines(text: str, space: float) -> int:
    """Return how many lines of `space` characters a text takes, broken between words and Chinese characters."""
    lines, taken = 1, 0.0
    for word in _WORD.findall(text):
        width = width_of(word) + _CAPITAL * sum(one.isupper() for one in word)
        shown = width - (len(word) - len(word.rstrip()))
        if taken and taken + shown > space:
            lines, taken = lines + 1, 0.0
        lines += max(0, ceil(shown / space) - 1)  # a word that is longer than a line
        taken = (taken + width) % space if shown > space else taken + width
    return lines


def usual_height(lang: str) -> float:
    """Return the height in points of a row with one line of text."""
    return _USUAL_LINES[lang][0]


def set_up(sheet: Sheet, labels: Labels, second_row: int, last_row: int) -> None:
    """Print the first rows on one page and those from `second_row` on, counted from 0, on another."""
    ws = sheet.ws
    ws.set_portrait()
    ws.set_paper(9)  # A4
    ws.fit_to_pages(1, 0)
    ws.set_h_pagebreaks([second_row])
    ws.print_area(0, 0, last_row, LAST)
    ws.center_horizontally()
    ws.set_margins(left=0.4, right=0.4, top=0.4, bottom=0.6)  # inches
    ws.set_footer(footer(labels))
    ws.protect("", {"format_columns": True, "format_rows": True})
