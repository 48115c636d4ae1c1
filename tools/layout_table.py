"""Renew core/plan/data/layouts.csv: the figures of every catalog model in every layout; takes a minute.

Run: python -m tools.layout_table
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from core import catalog
from core.plan.fleet import LAYOUTS
from core.plan.layout_figures import COLUMNS, is_possible, layout_rows

TABLE = Path(__file__).parents[1] / "core" / "plan" / "data" / "layouts.csv"


def lines_of(name: str) -> list[tuple[object, ...]]:
    """Return the lines of a model of the catalog; a figure that is 0 or missing is blank."""
    spec = catalog.model(name).spec
    return [
        (name, tp, pp, *(row.get(column) or "" for column in COLUMNS))
        for tp, pp in LAYOUTS
        if is_possible(spec, tp, pp)
        for row in layout_rows(spec, tp, pp)
    ]


def table_text(all_lines: Iterator[list[tuple[object, ...]]]) -> str:
    """Return the text of the table."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("model", "tp", "pp", *COLUMNS))
    for lines in all_lines:
        writer.writerows(lines)
    return out.getvalue()


def main() -> None:
    names = [model.name for model in catalog.models()]
    with ProcessPoolExecutor() as pool:
        TABLE.write_text(table_text(pool.map(lines_of, names, chunksize=4)), encoding="utf-8")


if __name__ == "__main__":
    main()
