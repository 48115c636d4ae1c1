"""Add alternative text to charts, which openpyxl cannot write."""

from __future__ import annotations

import re
from xml.sax.saxutils import quoteattr

_DRAWING = re.compile(r"xl/drawings/drawing(\d+)\.xml")
_CHART_FRAME = re.compile(r"<(\w+:)?cNvPr id=\"(\d+)\" name=\"(Chart [^\"]*)\" ?/>")


def with_chart_texts(part: str, content: bytes, texts: list[list[str]]) -> bytes:
    """Return `content`, with the text of each chart added if `part` is a drawing.

    Args:
        texts: the chart texts of each sheet that has charts, in the order of the sheets.
    """
    drawing = _DRAWING.fullmatch(part)
    if drawing is None:
        return content
    remaining = iter(texts[int(drawing[1]) - 1])

    def with_text(frame: re.Match[str]) -> str:
        prefix, number, name = frame[1] or "", frame[2], frame[3]
        return f'<{prefix}cNvPr id="{number}" name="{name}" descr={quoteattr(next(remaining))}/>'

    return _CHART_FRAME.sub(with_text, content.decode("utf-8")).encode("utf-8")
