"""Write the Article sheet: the article's example step by step, as printed, in exact bytes, and for the real model."""

from __future__ import annotations

from dataclasses import dataclass

from core.checks import LIMITS
from core.model.precision import MAX_BYTES_PER_VALUE, MIN_BYTES_PER_VALUE
from core.plan.article import ONE_USER, SHORT_CONTEXT, ArticleInputs
from workbook import formulas as f
from workbook import styles
from workbook.book import (
    BYTES_FORMAT,
    COUNT_FORMAT,
    GB_FORMAT,
    PERCENT_FORMAT,
    PLAIN_FORMAT,
    Book,
    between_rule,
    heading,
    protect,
    put,
    put_formula,
    validate,
)
from workbook.sheets import models

REAL_MODEL = "llama-3.1-70b"
WHAT, HOW, UNIT, PRINTED, LIVE, AGREES, EXACT, REAL, WHY = "ABCDEFGHI"
_WIDTHS = (32, 35, 12, 13, 15, 12, 15, 17, 66)

FIRST_INPUT_ROW = 5
_ARTICLE = ArticleInputs()
_PRECISION_LEAST, _PRECISION_MOST = f"{MIN_BYTES_PER_VALUE:g}", f"{MAX_BYTES_PER_VALUE:g}"

# One input per row: (label key, unit, the article's value, number format, note, field of LIMITS).
_INPUTS = (
    ("parameters", "billion", _ARTICLE.params_b, PLAIN_FORMAT, "note_parameters", "params_b"),
    ("layers", "layers", _ARTICLE.num_hidden_layers, COUNT_FORMAT, "note_layers", "num_hidden_layers"),
    ("hidden", "values", _ARTICLE.hidden_size, COUNT_FORMAT, "note_hidden", "hidden_size"),
    ("bytes_per_parameter", "bytes", _ARTICLE.bytes_per_parameter, PLAIN_FORMAT, "note_bytes", None),
    ("bytes_per_value", "bytes", _ARTICLE.bytes_per_value, PLAIN_FORMAT, "note_bytes", None),
    ("context", "tokens", _ARTICLE.context, COUNT_FORMAT, "note_context", "context"),
    ("users", "users", _ARTICLE.users, COUNT_FORMAT, None, "users"),
    ("overhead_rate", "of_weights_kv", _ARTICLE.overhead, PERCENT_FORMAT, "note_overhead", "overhead"),
    ("one_user", "users", ONE_USER, COUNT_FORMAT, None, "users"),
    ("short_context", "tokens", SHORT_CONTEXT, COUNT_FORMAT, "note_short_context", "context"),
    ("gpu_memory", "gb", _ARTICLE.gpu_memory_gb, COUNT_FORMAT, "note_gpu_memory", "gpu_memory_gb"),
)
_INPUT_ROW = {key: row for row, (key, *_) in enumerate(_INPUTS, start=FIRST_INPUT_ROW)}
_REAL_MODEL_ROW = FIRST_INPUT_ROW + len(_INPUTS)
_ALL_AS_PRINTED = f"{AGREES}{_REAL_MODEL_ROW}"


@dataclass(frozen=True)
class Block:
    """One of the article's three cases: the inputs that it uses, and the figures that the article prints for it."""

    key: str
    name_prefix: str
    context: str
    users: str
    printed: dict[str, float]
    why: dict[str, str]


BLOCKS = (
    Block(
        key="block_base",
        name_prefix="article",
        context="context",
        users="users",
        printed={"weights": 140, "kv_per_token": 2.5, "kv": 800, "overhead": 94, "total": 1034},
        why={key: f"why_{key}" for key in
             ("weights", "kv_bytes_per_token", "kv_per_token", "kv", "overhead", "total", "gpus")},
    ),
    Block(
        key="block_one_user",
        name_prefix="article_one_user",
        context="context",
        users="one_user",
        printed={"weights": 140, "kv_per_token": 2.5, "kv": 80, "overhead": 22, "total": 242, "gpus": 4},
        why={"total": "why_total_one_user", "gpus": "why_gpus_one_user"},
    ),
    Block(
        key="block_8k",
        name_prefix="article_8k",
        context="short_context",
        users="users",
        printed={"weights": 140, "kv_per_token": 2.5, "kv": 200, "overhead": 34, "total": 374},
        why={"total": "why_total_8k"},
    ),
)  # fmt: skip

# (step, unit, number format, role), in the article's order.
STEPS = (
    ("weights", "gb", GB_FORMAT, styles.FORMULA),
    ("kv_bytes_per_token", "bytes", BYTES_FORMAT, styles.FORMULA),
    ("kv_per_token", "mb", "#,##0.00", styles.FORMULA),
    ("kv", "gb", GB_FORMAT, styles.FORMULA),
    ("overhead", "gb", GB_FORMAT, styles.FORMULA),
    ("total", "gb", GB_FORMAT, styles.TOTAL),
    ("gpus", "gpus", COUNT_FORMAT, styles.TOTAL),
)
_FIRST_BLOCK_ROW = _REAL_MODEL_ROW + 2
_BLOCK_HEIGHT = len(STEPS) + 2


def write(book: Book) -> None:
    """Write the sheet and define the names of its results. The sheet Models must exist."""
    labels = book.labels
    ws = book.sheet("article", _WIDTHS, tab_colour="2E75B6")
    heading(ws, labels("article.title"), labels("article.subtitle"))
    _write_inputs(book, ws)
    for block in BLOCKS:
        _write_block(book, ws, block)
    _define_names(book, ws)
    ws.freeze_panes = "B5"
    ws.print_area = f"A1:{REAL}{ws.max_row}"  # without the notes
    protect(ws)


def figure_cells() -> dict[tuple[str, str, str], str]:
    """Return the cells of the figures: (block key, step, column letter) → address. Columns are LIVE, EXACT, REAL."""
    return {
        (block.key, step, column): f"{column}{_step_row(block, step)}"
        for block in BLOCKS
        for step, *_ in STEPS
        for column in (LIVE, EXACT, REAL)
    }


def agreement_cells() -> dict[tuple[str, str], str]:
    """Return the cells that compare the article's printed figures with ours: (block key, step) → address."""
    return {
        (block.key, step): f"{AGREES}{_step_row(block, step)}"
        for block in BLOCKS
        for step, *_ in STEPS
        if step in block.printed
    }


def input_cells() -> dict[str, str]:
    """Return the input cells: label key → address."""
    return {key: f"{LIVE}{row}" for key, row in _INPUT_ROW.items()}


def _write_inputs(book: Book, ws) -> None:
    labels = book.labels
    header = {
        WHAT: "inputs", HOW: "", UNIT: "unit", PRINTED: "printed", LIVE: "input_value", AGREES: "as_in_article",
        EXACT: "", REAL: "real", WHY: "note",
    }  # fmt: skip
    for letter, key in header.items():
        put(ws, f"{letter}{FIRST_INPUT_ROW - 1}", styles.HEADING, labels(f"article.{key}") if key else None)
    for key, unit, value, number_format, note, field in _INPUTS:
        row = _INPUT_ROW[key]
        put(ws, f"{WHAT}{row}", styles.LABEL, labels(f"article.{key}"))
        put(ws, f"{HOW}{row}", styles.NOTE)
        put(ws, f"{UNIT}{row}", styles.NOTE, labels(f"unit.{unit}"))
        put(ws, f"{PRINTED}{row}", styles.SOURCE_FIGURE, value, number_format)
        put(ws, f"{LIVE}{row}", styles.INPUT, value, number_format)
        put_formula(ws, f"{AGREES}{row}", styles.CHECK, f.equal(f"{LIVE}{row}", f"{PRINTED}{row}"), '[=1]"=";"≠"')
        put(ws, f"{EXACT}{row}", styles.NOTE)
        put(ws, f"{REAL}{row}", styles.NOTE)
        put(ws, f"{WHY}{row}", styles.NOTE, labels(f"article.{note}") if note else None)
        _validate_input(labels, ws, f"{LIVE}{row}", key, field)
    real = f"{REAL}{_REAL_MODEL_ROW}"
    for letter, key in ((WHAT, "real_model"), (WHY, "note_real_model")):
        put(ws, f"{letter}{_REAL_MODEL_ROW}", styles.LABEL if letter == WHAT else styles.NOTE, labels(f"article.{key}"))
    for letter in (HOW, UNIT, PRINTED, LIVE, EXACT):
        put(ws, f"{letter}{_REAL_MODEL_ROW}", styles.NOTE)
    as_printed = f"{AGREES}{FIRST_INPUT_ROW}:{AGREES}{_REAL_MODEL_ROW - 1}"
    put_formula(ws, _ALL_AS_PRINTED, styles.CHECK, f"MIN({as_printed})", '[=1]"=";"≠"')
    put(ws, real, styles.LABEL, REAL_MODEL)
    name = f"${REAL}${_REAL_MODEL_ROW}"
    real_values = {
        "parameters": (f"{models.looked_up_field(book, 'parameters', name)}/{f.GB}", "#,##0.000"),
        "layers": (models.looked_up_field(book, "layers", name), COUNT_FORMAT),
        "hidden": (models.looked_up_field(book, "hidden", name), COUNT_FORMAT),
    }
    for key, (formula, number_format) in real_values.items():
        put_formula(ws, f"{REAL}{_INPUT_ROW[key]}", styles.LINK, formula, number_format)


def _validate_input(labels, ws, cell: str, key: str, field: str | None) -> None:
    if field is None:
        least, most, whole = _PRECISION_LEAST, _PRECISION_MOST, False
    else:
        limits = LIMITS[field]
        least, most, whole = f"{limits.least:f}", f"{limits.most:.0f}", limits.whole
    validate(
        ws, cell, between_rule(least, most, whole=whole), title=labels(f"article.{key}"),
        prompt=labels("prompt.number"), wrong_title=labels("prompt.wrong_title"),
    )  # fmt: skip


def _write_block(book: Book, ws, block: Block) -> None:
    labels = book.labels
    header_row = _step_row(block, STEPS[0][0]) - 1
    header = (
        (WHAT, labels(f"article.{block.key}")),
        *(
            (letter, labels(f"article.{key}"))
            for letter, key in zip(
                (HOW, UNIT, PRINTED, LIVE, AGREES, EXACT, REAL, WHY),
                ("how", "unit", "printed", "as_printed", "agrees", "exact", "real", "why"),
            )
        ),
    )
    for letter, text in header:
        put(ws, f"{letter}{header_row}", styles.HEADING, text)
    ws.row_dimensions[header_row].height = 30
    for step, unit, number_format, role in STEPS:
        row = _step_row(block, step)
        put(ws, f"{WHAT}{row}", styles.LABEL, labels(f"article.{step}"))
        put(ws, f"{HOW}{row}", styles.NOTE, labels(f"article.how_{step}"))
        put(ws, f"{UNIT}{row}", styles.NOTE, labels(f"unit.{unit}"))
        put(ws, f"{PRINTED}{row}", styles.SOURCE_FIGURE, block.printed.get(step, "–"), number_format)
        for column in (LIVE, EXACT, REAL):
            put_formula(ws, f"{column}{row}", role, _step_formula(book, block, step, column), number_format)
        if step in block.printed:
            agrees = f"IF(${_ALL_AS_PRINTED[0]}${_ALL_AS_PRINTED[1:]}=1,{f.equal(f'{LIVE}{row}', f'{PRINTED}{row}')},1)"
            put_formula(ws, f"{AGREES}{row}", styles.CHECK, agrees, labels("check.format"))
        else:
            put(ws, f"{AGREES}{row}", styles.CHECK, "–")
        put(ws, f"{WHY}{row}", styles.NOTE, labels("article." + block.why.get(step, "why_same")))


def _step_formula(book: Book, block: Block, step: str, column: str) -> str:
    def given(key: str) -> str:
        return f"${LIVE}${_INPUT_ROW[key]}"

    def above(key: str) -> str:
        return f"{column}{_step_row(block, key)}"

    name = f"${REAL}${_REAL_MODEL_ROW}"
    context, users = given(block.context), given(block.users)
    if step == "weights":
        if column == REAL:
            return f.weights_gb(models.looked_up_field(book, "parameters", name), given("bytes_per_parameter"))
        return f.weights_gb(f"{given('parameters')}*{f.GB}", given("bytes_per_parameter"))
    if step == "kv_bytes_per_token":
        if column == REAL:
            return models.kv_bytes_per_token(book, name, given("bytes_per_value"))
        return f.full_width_bytes_per_token(given("layers"), given("hidden"), given("bytes_per_value"))
    if step == "kv_per_token":
        return (
            f.article_mb_per_token(above("kv_bytes_per_token"))
            if column == LIVE
            else f"{above('kv_bytes_per_token')}/10^6"
        )
    if step == "kv":
        if column == LIVE:
            return f.uniform_kv_gb(f"{above('kv_per_token')}*10^6", context, users)
        return f.uniform_kv_gb(above("kv_bytes_per_token"), context, users)  # no layer of the model has a window
    if step == "overhead":
        return f.overhead_gb(above("weights"), above("kv"), given("overhead_rate"))
    if step == "total":
        return f"{above('weights')}+{above('kv')}+{above('overhead')}"
    return f.gpus_by_division(above("total"), given("gpu_memory"))


def _define_names(book: Book, ws) -> None:
    for block in BLOCKS:
        for step, unit in (("weights", "gb"), ("kv", "gb"), ("overhead", "gb"), ("total", "gb"), ("gpus", "gpus")):
            name = f"{block.name_prefix}_gpus" if step == "gpus" else f"{block.name_prefix}_{step}_{unit}"
            book.name(name, ws, f"{LIVE}{_step_row(block, step)}")
    base = BLOCKS[0]
    for prefix, column in (("exact", EXACT), ("real", REAL)):
        for step in ("weights", "kv", "overhead", "total"):
            book.name(f"{prefix}_{step}_gb", ws, f"{column}{_step_row(base, step)}")


def _step_row(block: Block, step: str) -> int:
    steps = [key for key, *_ in STEPS]
    return _FIRST_BLOCK_ROW + BLOCKS.index(block) * _BLOCK_HEIGHT + 1 + steps.index(step)
