"""Measure how hard a formula is to follow."""

from __future__ import annotations

import re


def depth_of_if(formula: str) -> int:
    """Return how deep IF stands within IF, in a formula whose texts are empty."""
    opened: list[str] = []
    deepest = 0
    for call in re.findall(r"[A-Z0-9.]*\(|\)", re.sub(r"\[(?:[^\[\]']|'.)*\]", "", formula)):
        if call == ")":
            opened.pop()
        else:
            opened.append(call)
            deepest = max(deepest, opened.count("IF("))
    return deepest
