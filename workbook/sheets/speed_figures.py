"""Write the Speed figures sheet: what one GPU reads and computes for a token of each model, by tensor parallel size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from openpyxl.utils import get_column_letter

from core import catalog
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
from workbook.sheets import models

HEADER_ROW = 4
NO_MODEL_ROW = HEADER_ROW + 1  # a row without figures, for scenarios without a model
FIRST_ROW = NO_MODEL_ROW + 1
_KEYS = ("model", "tp")
_LETTER = {key: get_column_letter(number) for number, key in enumerate((*_KEYS, *COLUMNS), start=1)}
_GROUPS = {
    **dict.fromkeys(CLASS_FIGURES, tuple(CLASSES)),
    **dict.fromkeys(KIND_FIGURES, OWN_KINDS),
    **dict.fromkeys(FORMAT_FIGURES, WEIGHT_FORMATS),
}
# Workbook-level name → its first and last column.
NAMES = {f"speed_{figure}": (figure, figure) for figure in COMMON_FIGURES} | {
    f"speed_{figure}": (f"{figure}_{names[0]}", f"{figure}_{names[-1]}") for figure, names in _GROUPS.items()
}


def write(book: Book) -> None:
    """Write the sheet and its names.

    Row number (model − 1) × 4 + place of the tensor parallel size + 1 of the names is that size of that model, in the
    order of Models and of `TP_SIZES`. Models of which only the size is known, and own models, have no figures.
    """
    labels = book.labels
    ws = book.sheet("speed_figures", [24, 6, *([14] * len(COLUMNS))])
    heading(ws, labels("speed_figures.title"), labels("speed_figures.subtitle"))
    for key, letter in _LETTER.items():
        put(ws, f"{letter}{HEADER_ROW}", styles.HEADING, header(labels, key))
    ws.row_dimensions[HEADER_ROW].height = 58
    put(ws, f"A{NO_MODEL_ROW}", styles.NOTE, labels("layouts.no_model"))
    row = FIRST_ROW
    for name, figures_by_tp in _rows():
        for tp in TP_SIZES:
            put(ws, (row, 1), styles.LABEL, name)
            put(ws, (row, 2), styles.FORMULA, tp)
            figures = figures_by_tp.get(tp, {})
            for column, key in enumerate(COLUMNS, start=len(_KEYS) + 1):
                if figures.get(key):
                    put(ws, (row, column), styles.FORMULA, figures[key])
            row += 1
    for name, (first_key, last_key) in NAMES.items():
        book.name(name, ws, f"{_LETTER[first_key]}{NO_MODEL_ROW}:{_LETTER[last_key]}{row - 1}")
    ws.freeze_panes = f"C{FIRST_ROW}"
    ws.print_title_rows = f"{HEADER_ROW}:{HEADER_ROW}"
    ws.print_area = f"A1:{_LETTER[COMMON_FIGURES[5]]}{NO_MODEL_ROW}"  # the rest is too much for paper
    protect(ws)


def header(labels: Labels, key: str) -> str:
    """Return the heading of a column: its name, with the format or class of formats that it is for."""
    for figure, names in _GROUPS.items():
        if key.removeprefix(f"{figure}_") in names and key.startswith(figure):
            return f"{terms.label(labels, figure)}: {key.removeprefix(f'{figure}_').replace('_', ' ')}"
    return labels(f"layouts.{key}") if key in _KEYS else terms.label(labels, key)


def _rows() -> Iterator[tuple[str, Mapping[int, Mapping[str, float]]]]:
    """Yield each model with its figures by tensor parallel size; those of the user's own files are computed."""
    for name in models.OWN_MODELS:
        yield name, {}
    stored, own = stored_rows(), catalog.own_model_names()
    for model in catalog.models():
        if model.name in own:
            sizes = [tp for tp in TP_SIZES if has_speed(model.spec) and is_possible(model.spec, tp, 1)]
            yield model.name, {tp: speed_row(model.spec, tp) for tp in sizes}
        else:
            yield model.name, {tp: stored.get((model.name, tp), {}) for tp in TP_SIZES}
