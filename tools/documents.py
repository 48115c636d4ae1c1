"""Renew the generated parts of a document in docs/; the text around them is written by hand.

A part is what stands between `<!-- begin NAME -->` and `<!-- end NAME -->`.
`python -m tools.documents FILE NAME` replaces one part of a file by standard input.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from workbook.files import write_whole

DOCS = Path(__file__).resolve().parents[1] / "docs"


def with_parts(text: str, parts: Mapping[str, str]) -> str:
    """Return `text` with the content of each named part replaced; raises ValueError where a part is missing."""
    for name, content in parts.items():
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        before, begun, rest = text.partition(begin)
        _, ended, after = rest.partition(end)
        if not (begun and ended):
            raise ValueError(f"The document has no part {name!r}. Write {begin} and {end} where it belongs.")
        text = f"{before}{begin}\n\n{content.strip()}\n\n{end}{after}"
    return text


def renew(path: Path, parts: Mapping[str, str]) -> None:
    """Replace the named parts in the file at `path`."""
    write_whole(path, with_parts(path.read_text(encoding="utf-8"), parts).encode("utf-8"))


def table(headings: Iterable[str], rows: Iterable[Iterable[object]], align: str) -> str:
    """Return a Markdown table; `align` has an "l" (left) or "r" (right) for each column."""
    rule = ({"l": "---", "r": "---:"}[letter] for letter in align)
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in (headings, rule, *rows))


if __name__ == "__main__":
    renew(Path(sys.argv[1]), {sys.argv[2]: sys.stdin.read() or sys.exit("Standard input is empty.")})
