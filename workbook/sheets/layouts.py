"""Write the Layouts sheet: what one GPU of each layout of each model holds, from which users per replica follow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TypeVar

from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet

from core import catalog
from core.catalog.draft_models import DraftedModel, drafted_models
from core.plan.fleet import ATTENTION_GROUPS, LAYOUTS
from core.plan.layout_figures import (
    ACTIVATION_COLUMNS,
    CACHE_WIDTHS,
    COLUMNS,
    LATENT_COLUMNS,
    WEIGHT_FORMATS,
    Row,
    is_possible,
    layout_rows,
    stored_rows,
)
from workbook import styles
from workbook.book import COUNT_FORMAT, Book, absolute, heading, protect, put, put_formula, put_numbers
from workbook.labels import Labels
from workbook.sheets import models

HEADER_ROW = 4
NO_MODEL_ROW = HEADER_ROW + 1  # a row without figures, for scenarios without a model
FIRST_ROW = NO_MODEL_ROW + 1
ROWS_OF_GROUPS = tuple(f"row_of_{groups}" for groups in ATTENTION_GROUPS)
# A layout has rows for each number of groups, then the same with the model's own layers that draft.
VARIANTS = tuple((groups, drafts) for drafts in (False, True) for groups in ATTENTION_GROUPS)
_Key = TypeVar("_Key")
_ROWS_OF_VARIANTS = (*ROWS_OF_GROUPS, *(f"{key}_drafting" for key in ROWS_OF_GROUPS))
_KEYS = ("model", "tp", "pp", "groups", "drafts", "second", "third", *_ROWS_OF_VARIANTS)
_FIRST_VARIANT = len(_KEYS) - len(_ROWS_OF_VARIANTS) + 1  # its column
_LETTER = {key: get_column_letter(number) for number, key in enumerate((*_KEYS, *COLUMNS), start=1)}
# Workbook-level name → its first and last column.
NAMES = {
    "layout_tp": ("tp", "tp"),
    "layout_pp": ("pp", "pp"),
    "layout_second": ("second", "second"),
    "layout_third": ("third", "third"),
    "layout_rows": (_ROWS_OF_VARIANTS[0], _ROWS_OF_VARIANTS[-1]),
    **{
        f"layout_{key}": (key, key)
        for key in (
            "parameters", "shipped_bytes", "values_per_token", "windowed_values", "windowed_values_2", "fixed_values",
            "fixed_bytes", "index_bytes", "lora_values", "latent_per_token", "window_block_tokens",
        )
    },
    "layout_weights": (f"weights_{WEIGHT_FORMATS[0]}", f"weights_{WEIGHT_FORMATS[-1]}"),
    "layout_activations": (ACTIVATION_COLUMNS[0], ACTIVATION_COLUMNS[-1]),
    "layout_latents": (LATENT_COLUMNS[0], LATENT_COLUMNS[-1]),
    **{
        f"layout_{key}": (f"{key}_{next(iter(CACHE_WIDTHS))}", f"{key}_{[*CACHE_WIDTHS][-1]}")
        for key in ("block_bytes", "block_tokens", "block_tokens_2")
    },
}  # fmt: skip


def write(book: Book) -> None:
    """Write the sheet and its names; the sheet Models must exist.

    Row number (model − 1) × 17 + layout + 1 of the names is the first row of that layout of that model, in the order of
    Models and of `LAYOUTS`. Further stages of pipelines are below, and the columns `second` and `third` point to them;
    so are the rows of `VARIANTS`, to which the last of the keys point.
    """
    labels = book.labels
    ws = book.sheet("layouts", [24, 6, 6, 7, 7, *([9] * (len(_KEYS) - 5)), *([13] * len(COLUMNS))])
    heading(ws, labels("layouts.title"), labels("layouts.subtitle"))
    for key, letter in _LETTER.items():
        put(ws, f"{letter}{HEADER_ROW}", styles.HEADING, header(labels, key))
    ws.row_dimensions[HEADER_ROW].height = 58
    put(ws, f"A{NO_MODEL_ROW}", styles.NOTE, labels("layouts.no_model"))
    for key in ("groups", "second", "third", *_ROWS_OF_VARIANTS):
        put(ws, f"{_LETTER[key]}{NO_MODEL_ROW}", styles.FORMULA, 1, COUNT_FORMAT)
    for number in range(len(models.OWN_MODELS)):
        _write_own(book, ws, number)
    last = _write_catalog(ws)
    _write_group_sizes(book, ws)
    for name, (first_key, last_key) in NAMES.items():
        book.name(name, ws, f"{_LETTER[first_key]}{NO_MODEL_ROW}:{_LETTER[last_key]}{last}")
    ws.freeze_panes = f"D{FIRST_ROW}"
    ws.print_title_rows = f"{HEADER_ROW}:{HEADER_ROW}"
    ws.print_area = f"A1:{_LETTER['third']}{NO_MODEL_ROW}"  # the rest is too much for paper
    protect(ws)


def header(labels: Labels, key: str) -> str:
    """Return the heading of a column: its name, with the format, kind or width that it is for."""
    for prefix in ("weights_", "activation_", "latent_", "block_bytes_", "block_tokens_2_", "block_tokens_"):
        if key.startswith(prefix) and key != "latent_per_token":
            return f"{labels(f'layouts.{prefix[:-1]}')}: {key.removeprefix(prefix).replace('_', ' ')}"
    if key in _ROWS_OF_VARIANTS:
        plain = key.removesuffix("_drafting")
        text = "layouts.row_of_groups" if key == plain else "layouts.row_drafting"
        return labels(text, groups=plain.rpartition("_")[2])
    return labels(f"layouts.{key}")


def _write_own(book: Book, ws: Worksheet, number: int) -> None:
    """Write the rows of an own model: its figures divided by the GPUs of the layout, for the engine "rule"."""
    models_ws = book.openpyxl[book.labels("sheet.models")]

    def own(key: str) -> str:
        return absolute(models_ws, models.own_cell(key, number))

    for position, (tp, pp) in enumerate(LAYOUTS):
        row = FIRST_ROW + number * len(LAYOUTS) + position
        gpus, layers = f"($B{row}*$C{row})", f"ROUNDUP({{layers}}/$C{row},0)"
        heads = f"MAX(MIN(1,{own('kv_heads')}),ROUNDUP({own('kv_heads')}/$B{row},0))"

        def values(of_layers: str, heads: str = heads, layers: str = layers) -> str:
            return f"{layers.format(layers=of_layers)}*{heads}*{own('head_dim')}*(1+1)"

        possible = f"AND({own('parameters')}>0,{own('layers')}>=$C{row})"
        full = f"({own('layers')}-{own('windowed_layers')})"
        formulas = {
            "parameters": f'IF({possible},ROUNDUP({own("parameters")}/{gpus},0),"–")',
            "shipped_bytes": f"ROUNDUP({own('shipped_bytes')}/{gpus},0)",
            "values_per_token": values(full),
            "windowed_values": values(own("windowed_layers")),
        }
        _write_keys(ws, row, (models.OWN_MODELS[number], tp, pp, 1, 0), (row, row))
        _write_variants(ws, row, row_numbers({VARIANTS[0]: row}, VARIANTS))
        for key, formula in formulas.items():
            put_formula(ws, f"{_LETTER[key]}{row}", styles.FORMULA, formula, COUNT_FORMAT)


def _write_catalog(ws: Worksheet) -> int:
    """Write the rows of the catalog's models and of the pairs, and return the last row."""
    known = drafted_models()
    row = FIRST_ROW + len(models.OWN_MODELS) * len(LAYOUTS)
    further = row + len(known) * len(LAYOUTS)
    for model, rows_of in zip(known, _rows_of(known)):
        for tp, pp in LAYOUTS:
            firsts: dict[tuple[int, bool], int] = {}
            for groups, drafts in VARIANTS:
                stages = rows_of(tp, pp, groups, drafts)
                is_plain = (groups, drafts) == VARIANTS[0]
                if not (stages or is_plain):
                    continue
                at = firsts[groups, drafts] = row if is_plain else further
                further += not is_plain
                below = range(further, further + max(0, len(stages) - 1))
                further = below.stop
                key = model.name, tp, pp, groups, int(drafts)
                _write_keys(ws, at, key, [*below, at, at][:2])
                for further_row in below:
                    _write_keys(ws, further_row, key)
                for stage_row, figures in zip((at, *below), stages):
                    _write_figures(ws, stage_row, figures)
            _write_variants(ws, row, row_numbers(firsts, VARIANTS))
            row += 1
    return further - 1


def _rows_of(known: Sequence[DraftedModel]) -> Iterator[Callable[[int, int, int, bool], tuple[Row, ...]]]:
    """Yield for each model or pair its rows by layout and variant; those of the user's own files are computed."""
    stored, own = stored_rows(), catalog.own_model_names()
    for model in known:
        layouts = None if model.is_any_of(own) else stored.get(model.name)
        yield partial(_computed, model) if layouts is None else partial(_stored, layouts)


def _stored(
    layouts: Mapping[tuple[int, int, int, bool], tuple[Row, ...]], tp: int, pp: int, groups: int, drafts: bool
) -> tuple[Row, ...]:
    return layouts.get((tp, pp, groups, drafts), ())


def _computed(drafted: DraftedModel, tp: int, pp: int, groups: int, drafts: bool) -> tuple[Row, ...]:
    if drafted.draft is not None and not drafts:
        return ()
    layout, draft = (drafted.model.spec, tp, pp, groups), drafted.draft_spec
    return layout_rows(*layout, drafts=drafts, draft=draft) if is_possible(*layout, drafts=drafts, draft=draft) else ()


def row_numbers(rows: Mapping[_Key, int], variants: Iterable[_Key]) -> list[int]:
    """Return the numbers of a layout's rows by variant, by which other sheets look them up.

    Args:
        rows: variant → row; a variant that is missing has row 1, which has no figures.
    """
    return [_number(rows[variant]) if variant in rows else 1 for variant in variants]


def _number(row: int) -> int:
    return row - NO_MODEL_ROW + 1


def _write_keys(ws: Worksheet, row: int, layout: tuple[str, int, int, int, int], stages: Sequence[int] = ()) -> None:
    """Write the model, the layout and the variant of a row, and of the first stage the rows of the further ones."""
    model, *sizes = layout
    put(ws, (row, 1), styles.LABEL, model)
    numbers = enumerate((*sizes, *map(_number, stages)), start=2)
    put_numbers(ws, row, styles.FORMULA, [(column, number) for column, number in numbers if number], COUNT_FORMAT)


def _write_variants(ws: Worksheet, row: int, numbers: Sequence[int]) -> None:
    """Write the `row_numbers` of a layout."""
    put_numbers(ws, row, styles.FORMULA, enumerate(numbers, start=_FIRST_VARIANT), COUNT_FORMAT)


def _write_group_sizes(book: Book, ws: Worksheet) -> None:
    """Write the numbers of groups above their columns, and name them."""
    row = HEADER_ROW - 1
    for key, groups in zip(ROWS_OF_GROUPS, ATTENTION_GROUPS):
        put(ws, f"{_LETTER[key]}{row}", styles.SOURCE_FIGURE, groups, COUNT_FORMAT)
    book.name("group_sizes", ws, f"{_LETTER[ROWS_OF_GROUPS[0]]}{row}:{_LETTER[ROWS_OF_GROUPS[-1]]}{row}")


def _write_figures(ws: Worksheet, row: int, figures: Row) -> None:
    values = [(column, figures.get(key)) for column, key in enumerate(COLUMNS, start=len(_KEYS) + 1)]
    put_numbers(ws, row, styles.FORMULA, [(column, value) for column, value in values if value], COUNT_FORMAT)
