"""Renew core/plan/data: the figures of every catalog model in every layout and with every tensor parallel size.

Run: python -m tools.layout_table; takes a minute.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from core.catalog.draft_models import DraftedModel, drafted_models
from core.plan import layout_figures, speed_rows
from core.plan.fleet import ATTENTION_GROUPS, LAYOUTS
from core.plan.layout_figures import is_possible, layout_rows
from core.plan.speed_figures import has_speed

DATA = Path(__file__).parents[1] / "core" / "plan" / "data"
LAYOUT_TABLE, SPEED_TABLE = DATA / "layouts.csv", DATA / "speeds.csv"
LAYOUT_HEADER = ("model", "tp", "pp", "groups", "drafts", *layout_figures.COLUMNS)
SPEED_HEADER = ("model", "tp", "groups", *speed_rows.COLUMNS)
Lines = list[tuple[object, ...]]


def layout_lines(drafted: DraftedModel) -> Lines:
    """Return the lines of a model of the catalog in layouts.csv; a figure that is 0 or missing is blank.

    Of a pair there are those lines alone in which the one drafts for the other.
    """
    spec, draft = drafted.model.spec, drafted.draft_spec
    return [
        (drafted.name, tp, pp, groups, int(drafts), *(row.get(column) or "" for column in layout_figures.COLUMNS))
        for tp, pp in LAYOUTS
        for drafts in ((False, True) if draft is None else (True,))
        for groups in ATTENTION_GROUPS
        if is_possible(spec, tp, pp, groups, drafts=drafts, draft=draft)
        for row in layout_rows(spec, tp, pp, groups, drafts=drafts, draft=draft)
    ]


def speed_lines(drafted: DraftedModel) -> Lines:
    """Return the lines of a model of the catalog, or of a pair, in speeds.csv; a figure that is 0 is blank."""
    spec, draft = drafted.model.spec, drafted.draft_spec
    found: Lines = []
    for tp in speed_rows.TP_SIZES if has_speed(spec) else ():
        for groups in ATTENTION_GROUPS:
            if is_possible(spec, tp, 1, groups):
                row = speed_rows.speed_row(spec, tp, groups, draft)
                found.append((drafted.name, tp, groups, *(_shortest(row[column]) for column in speed_rows.COLUMNS)))
    return found


def _shortest(figure: float) -> object:
    whole = int(figure)
    return (whole or "") if whole == figure else figure


def table_text(header: Sequence[str], all_lines: Iterable[Lines]) -> str:
    """Return the text of a table."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    for lines in all_lines:
        writer.writerows(lines)
    return out.getvalue()


def main() -> None:
    known = drafted_models()
    with ProcessPoolExecutor() as pool:
        layouts = pool.map(layout_lines, known, chunksize=4)
        LAYOUT_TABLE.write_text(table_text(LAYOUT_HEADER, layouts), encoding="utf-8")
        SPEED_TABLE.write_text(table_text(SPEED_HEADER, pool.map(speed_lines, known, chunksize=4)), encoding="utf-8")


if __name__ == "__main__":
    main()
