"""Write the Speed figures sheet: what one GPU reads and computes for a token of each model, by tensor parallel size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet

from core import catalog
from core.catalog.draft_models import DraftedModel, drafted_models
from core.plan.fleet import ATTENTION_GROUPS
from core.plan.layout_figures import WEIGHT_FORMATS, is_possible
from core.plan.speed_figures import has_speed
from core.plan.speed_rows import (
    CLASS_FIGURES,
    CLASSES,
    COLUMNS,
    COMMON_FIGURES,
    FORMAT_FIGURES,
    KIND_FIGURES,
    OWN_KINDS,
    TP_SIZES,
    speed_row,
    stored_rows,
)
from workbook import styles, terms
from workbook.book import Book, heading, protect, put
from workbook.labels import Labels
from workbook.sheets import layouts, models
from workbook.sheets.layouts import FIRST_ROW, HEADER_ROW, NO_MODEL_ROW, ROWS_OF_GROUPS, row_numbers

_KEYS = ("model", "tp", "groups", *ROWS_OF_GROUPS)
_LETTER = {key: get_column_letter(number) for number, key in enumerate((*_KEYS, *COLUMNS), start=1)}
Figures = Mapping[str, float]
_GROUPS = {
    **dict.fromkeys(CLASS_FIGURES, tuple(CLASSES)),
    **dict.fromkeys(KIND_FIGURES, OWN_KINDS),
    **dict.fromkeys(FORMAT_FIGURES, WEIGHT_FORMATS),
}
# Workbook-level name → its first and last column.
NAMES = {f"speed_{figure}": (figure, figure) for figure in COMMON_FIGURES} | {
    f"speed_{figure}": (f"{figure}_{names[0]}", f"{figure}_{names[-1]}") for figure, names in _GROUPS.items()
}
NAMES["speed_rows"] = ROWS_OF_GROUPS[0], ROWS_OF_GROUPS[-1]


def write(book: Book) -> None:
    """Write the sheet and its names.

    Row number (model − 1) × 4 + place of the tensor parallel size + 1 of the names is that size of that model, in the
    order of Models and of `TP_SIZES`. Models of which only the size is known, and own models, have no figures. The rows
    with data-parallel attention are below; the columns `ROWS_OF_GROUPS` point to them.
    """
    labels = book.labels
    ws = book.sheet("speed_figures", [24, 6, 7, *([9] * len(ROWS_OF_GROUPS)), *([14] * len(COLUMNS))])
    heading(ws, labels("speed_figures.title"), labels("speed_figures.subtitle"))
    for key, letter in _LETTER.items():
        put(ws, f"{letter}{HEADER_ROW}", styles.HEADING, header(labels, key))
    ws.row_dimensions[HEADER_ROW].height = 58
    put(ws, f"A{NO_MODEL_ROW}", styles.NOTE, labels("layouts.no_model"))
    for key in ROWS_OF_GROUPS:
        put(ws, f"{_LETTER[key]}{NO_MODEL_ROW}", styles.FORMULA, 1)
    rows = list(_rows())
    row, further = FIRST_ROW, FIRST_ROW + len(rows) * len(TP_SIZES)
    for name, figures_of in rows:
        for tp in TP_SIZES:
            at = {1: row}
            for groups in ATTENTION_GROUPS[1:]:
                figures = figures_of(tp, groups)
                if figures:
                    at[groups] = further
                    _write_row(ws, further, name, (tp, groups), figures)
                    further += 1
            _write_row(ws, row, name, (tp, 1, *row_numbers(at, ATTENTION_GROUPS)), figures_of(tp, 1))
            row += 1
    for name, (first_key, last_key) in NAMES.items():
        book.name(name, ws, f"{_LETTER[first_key]}{NO_MODEL_ROW}:{_LETTER[last_key]}{further - 1}")
    ws.freeze_panes = f"D{FIRST_ROW}"
    ws.print_title_rows = f"{HEADER_ROW}:{HEADER_ROW}"
    ws.print_area = f"A1:{_LETTER[COMMON_FIGURES[4]]}{NO_MODEL_ROW}"  # the rest is too much for paper
    protect(ws)


def header(labels: Labels, key: str) -> str:
    """Return the heading of a column: its name, with the format or class of formats that it is for."""
    for figure, names in _GROUPS.items():
        if key.removeprefix(f"{figure}_") in names and key.startswith(figure):
            return f"{terms.label(labels, figure)}: {key.removeprefix(f'{figure}_').replace('_', ' ')}"
    return layouts.header(labels, key) if key in _KEYS else terms.label(labels, key)


def _write_row(ws: Worksheet, row: int, name: str, keys: Sequence[int], figures: Figures) -> None:
    put(ws, (row, 1), styles.LABEL, name)
    figures_from = len(_KEYS) + 1
    for column, value in (*enumerate(keys, start=2), *enumerate(map(figures.get, COLUMNS), start=figures_from)):
        if value:
            put(ws, (row, column), styles.FORMULA, value)


def _rows() -> Iterator[tuple[str, Callable[[int, int], Figures]]]:
    """Yield each model or pair with its figures by tensor parallel size and groups; those of own models are computed."""
    for name in models.OWN_MODELS:
        yield name, lambda tp, groups: {}
    own = catalog.own_model_names()
    for model in drafted_models():
        yield model.name, partial(_computed, model) if model.is_any_of(own) else partial(_stored, model.name)


def _computed(drafted: DraftedModel, tp: int, groups: int) -> Figures:
    model, draft = drafted.model.spec, drafted.draft_spec
    return speed_row(model, tp, groups, draft) if has_speed(model) and is_possible(model, tp, 1, groups) else {}


def _stored(name: str, tp: int, groups: int) -> Figures:
    return stored_rows().get((name, tp, groups), {})
