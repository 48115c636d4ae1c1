"""The Scenarios sheet: the planner, an Excel table with one scenario a row."""

from __future__ import annotations

from dataclasses import dataclass

from core.checks import LIMITS
from core.overhead import DEFAULT_OVERHEAD_FRACTION
from workbook import formulas as f
from workbook import styles
from workbook.book import (
    COUNT_FORMAT,
    GB_FORMAT,
    PERCENT_FORMAT,
    Book,
    between_rule,
    heading,
    list_rule,
    put,
    put_formula,
    table,
    text_rule,
    validate,
)
from workbook.sheets import models, precisions

TABLE = "Scenarios"
LEAST_ROW, MOST_ROW, HEADER_ROW = 4, 5, 6
FIRST_ROW = HEADER_ROW + 1
LONGEST_TITLE = 60  # characters, as many as two lines of the column hold


@dataclass(frozen=True)
class Scenario:
    """One of the rows that the template starts with; `title` is a label key."""

    title: str
    model: str
    context: int
    users: int
    precision: str = "fp16"
    kv_precision: str = "fp16"
    overhead: float = DEFAULT_OVERHEAD_FRACTION
    gpu_memory_gb: float = 80


DEFAULT_SCENARIOS = (
    Scenario("row_article", "article-llama-70b", 32_000, 10),
    Scenario("row_article_one_user", "article-llama-70b", 32_000, 1),
    Scenario("row_article_8k", "article-llama-70b", 8_000, 10),
    Scenario("row_real", "llama-3.1-70b", 32_000, 10),
    Scenario("row_real_one_user", "llama-3.1-70b", 32_000, 1),
    Scenario("row_real_8k", "llama-3.1-70b", 8_000, 10),
    Scenario("row_real_fp8", "llama-3.1-70b", 32_768, 50, "fp8", "fp8"),
    Scenario("row_small", "llama-3.1-8b", 8_192, 100),
    Scenario("row_qwen", "qwen2.5-72b", 32_768, 20),
    Scenario("row_large", "llama-3.1-405b", 32_768, 20, "fp8", "fp8"),
)

# (label key, column letter, width, role, number format)
_COLUMNS = (
    ("scenario", "A", 30, styles.INPUT_TEXT, None),
    ("model", "B", 20, styles.INPUT_TEXT, None),
    ("context", "C", 13, styles.INPUT, COUNT_FORMAT),
    ("users", "D", 13, styles.INPUT, COUNT_FORMAT),
    ("precision", "E", 12, styles.INPUT_TEXT, None),
    ("kv_precision", "F", 12, styles.INPUT_TEXT, None),
    ("overhead_rate", "G", 11, styles.INPUT, PERCENT_FORMAT),
    ("gpu_memory", "H", 14, styles.INPUT, COUNT_FORMAT),
    ("input_check", "I", 38, styles.FORMULA_TEXT, None),
    ("weights", "J", 14, styles.FORMULA, GB_FORMAT),
    ("kv", "K", 12, styles.FORMULA, GB_FORMAT),
    ("overhead", "L", 12, styles.FORMULA, GB_FORMAT),
    ("total", "M", 13, styles.TOTAL, GB_FORMAT),
    ("gpus", "N", 10, styles.TOTAL, COUNT_FORMAT),
    ("addin", "O", 20, styles.FORMULA_TEXT, None),
)
_LETTER = {key: letter for key, letter, *_ in _COLUMNS}
_LIMITED = {"context": "context", "users": "users", "overhead_rate": "overhead", "gpu_memory": "gpu_memory_gb"}


def write(book: Book) -> None:
    """Writes the sheet; needs the sheets Models and Precisions, and the name `addin_loaded`."""
    labels = book.labels
    ws = book.sheet("scenarios", [width for _, _, width, *_ in _COLUMNS], tab_colour="BF8F00")
    heading(ws, labels("scenarios.title"), labels("scenarios.subtitle"))
    put(ws, "A3", styles.SUBTITLE, labels("scenarios.note"))
    for row, key in ((LEAST_ROW, "least"), (MOST_ROW, "most")):
        put(ws, f"B{row}", styles.NOTE, labels(f"scenarios.{key}"))
    for key, field in _LIMITED.items():
        number_format = PERCENT_FORMAT if key == "overhead_rate" else COUNT_FORMAT
        put(ws, f"{_LETTER[key]}{LEAST_ROW}", styles.SOURCE_FIGURE, LIMITS[field].least, number_format)
        put(ws, f"{_LETTER[key]}{MOST_ROW}", styles.SOURCE_FIGURE, LIMITS[field].most, number_format)
    for key, letter, *_ in _COLUMNS:
        put(ws, f"{letter}{HEADER_ROW}", styles.HEADING, labels(f"scenarios.{key}"))
    ws.row_dimensions[HEADER_ROW].height = 32

    calculated = _formulas(book)
    for row, scenario in enumerate(DEFAULT_SCENARIOS, start=FIRST_ROW):
        inputs = (
            labels(f"scenarios.{scenario.title}"),
            scenario.model,
            scenario.context,
            scenario.users,
            scenario.precision,
            scenario.kv_precision,
            scenario.overhead,
            scenario.gpu_memory_gb,
        )
        for (_, letter, _, role, number_format), value in zip(_COLUMNS, inputs):
            put(ws, f"{letter}{row}", role, value, number_format)
        for key, letter, _, role, number_format in _COLUMNS[len(inputs) :]:
            put_formula(ws, f"{letter}{row}", role, calculated[key], number_format)
    last = FIRST_ROW + len(DEFAULT_SCENARIOS) - 1
    columns = [labels(f"scenarios.{key}") for key, *_ in _COLUMNS]
    by_column = {labels(f"scenarios.{key}"): formula for key, formula in calculated.items()}
    table(ws, TABLE, f"A{HEADER_ROW}:{_COLUMNS[-1][1]}{last}", columns, by_column)
    _validate(book, ws, last)
    ws.freeze_panes = f"C{FIRST_ROW}"
    ws.print_title_rows = f"{HEADER_ROW}:{HEADER_ROW}"


def column(book: Book, key: str) -> str:
    """A whole column, for formulas."""
    return f.whole_column(TABLE, book.labels(f"scenarios.{key}"))


def _formulas(book: Book) -> dict[str, str]:
    labels = book.labels

    def cell(key: str) -> str:
        return f.this_row(TABLE, labels(f"scenarios.{key}"))

    def value_bytes(key: str) -> str:
        return precisions.bytes_per_value(book, cell(key))

    check, model, total = cell("input_check"), cell("model"), cell("total")
    weights = models.weights_gb(book, model, value_bytes("precision"))
    kv = models.kv_gb(book, model, cell("context"), cell("users"), value_bytes("kv_precision"))
    return {
        "input_check": f.first_problem(_conditions(book, cell)),
        "weights": f.unless_wrong(check, weights),
        "kv": f.unless_wrong(check, kv),
        "overhead": f.unless_wrong(check, f.overhead_gb(cell("weights"), cell("kv"), cell("overhead_rate"))),
        "total": f.unless_wrong(check, f"{cell('weights')}+{cell('kv')}+{cell('overhead')}"),
        "gpus": f.unless_wrong(check, f.gpus_by_division(total, cell("gpu_memory"))),
        "addin": _addin_comparison(labels, cell),
    }


def _conditions(book: Book, cell) -> list[tuple[str, str]]:
    """(what must hold, what to say if it does not), in the order of the columns."""

    def number(key: str) -> str:
        letter = _LETTER[key]
        limits = f"${letter}${LEAST_ROW}", f"${letter}${MOST_ROW}"
        return f.is_number_within(cell(key), *limits, whole=LIMITS[_LIMITED[key]].whole)

    holds = {
        "model": f.is_listed(cell("model"), models.column(book, "model")),
        "context": number("context"),
        "users": number("users"),
        "precision": f.is_listed(cell("precision"), precisions.names(book)),
        "kv_precision": f.is_listed(cell("kv_precision"), precisions.names(book)),
        "overhead_rate": number("overhead_rate"),
        "gpu_memory": number("gpu_memory"),
    }
    return [(condition, book.labels(f"scenarios.problem_{key}")) for key, condition in holds.items()]


def _addin_comparison(labels, cell) -> str:
    """In words, so that it is harmless where the functions are unknown: no number depends on it."""
    arguments = ",".join(
        cell(key) for key in ("model", "context", "users", "precision", "kv_precision", "overhead_rate")
    )
    total = cell("total")
    agrees, differs = f.text(labels("scenarios.addin_agrees")), f.text(labels("scenarios.addin_differs"))
    compared = f"IFERROR(IF({f.equal(f'VRAM_TOTAL({arguments})', total)}=1,{agrees},{differs}),{differs})"
    usable = f"IF({cell('input_check')}={f.text(f.OK)},{compared},{f.text(labels('scenarios.addin_no_input'))})"
    return f"IF(addin_loaded=1,{usable},{f.text(labels('scenarios.addin_missing'))})"


def _validate(book: Book, ws, last: int) -> None:
    labels = book.labels
    _attach(labels, ws, "scenario", last, text_rule(LONGEST_TITLE), labels("prompt.scenario"))
    for key in ("model", "precision", "kv_precision"):
        source = "model_names" if key == "model" else "precision_names"
        _attach(labels, ws, key, last, list_rule(source), labels("prompt.pick"))
    for key, field in _LIMITED.items():
        letter = _LETTER[key]
        rule = between_rule(f"${letter}${LEAST_ROW}", f"${letter}${MOST_ROW}", whole=LIMITS[field].whole)
        _attach(labels, ws, key, last, rule, labels(f"prompt.{key}"))


def _attach(labels, ws, key: str, last: int, rule, prompt: str) -> None:
    cells = f"{_LETTER[key]}{FIRST_ROW}:{_LETTER[key]}{last}"
    validate(
        ws, cells, rule, title=labels(f"scenarios.{key}"), prompt=prompt, wrong_title=labels("prompt.wrong_title")
    )
