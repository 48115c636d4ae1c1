"""The sheet of scenarios that have no page of their own: one a row, with everything that its formulas need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from xlsxwriter.utility import xl_col_to_name

from workbook import formulas as f
from workbook import styles
from workbook.book import BYTES_FORMAT, COUNT_FORMAT, GB_FORMAT, PLAIN_FORMAT
from workbook.export.figures import (
    MEMORY_FORMAT,
    OPEN_INPUTS,
    RATE_FORMAT,
    Figures,
    inputs_are_usable,
    is_within_longest,
)
from workbook.export.sheet import ROW, Cell, Sheet, quoted_sheet
from workbook.labels import Labels
from workbook.scenario import COLUMN_LABELS

HEADER_ROW = 4
FIRST_ROW = HEADER_ROW + 1


@dataclass(frozen=True)
class _Column:
    """One column: its `value` for a scenario, and the `formula` for it, of the same row's cells (key → address)."""

    key: str
    label: str
    width: float
    role: str
    value: Callable[[Figures], object]
    number_format: str | None = None
    formula: Callable[[dict[str, str]], str] | None = None


def write(
    sheet: Sheet,
    labels: Labels,
    scenarios: Iterable[Figures],
    *,
    count: int,
    first_number: int,
    most_windows: int,
    limits: dict[str, tuple[str, str]],
) -> None:
    """Writes the sheet, row by row as `scenarios` gives them.

    Args:
        count: how many scenarios there are.
        first_number: the number of the first of them.
        most_windows: how many sizes of window the model with the most of them has.
        limits: field → the cells, from anywhere, of the least and the most that it may be.
    """
    columns = _columns(labels, most_windows, limits)
    for i, column in enumerate(columns):
        sheet.ws.set_column(i + 1, i + 1, column.width)
    sheet.row([Cell(0, styles.TITLE, labels("export.more_title"))], 28)
    sheet.row([Cell(0, styles.SUBTITLE, labels("export.more_subtitle"))])
    sheet.row()
    headings = [labels("export.number"), *(labels(column.label) for column in columns)]
    sheet.row([Cell(i, styles.HEADING, heading) for i, heading in enumerate(headings)], 44)
    letters = {column.key: xl_col_to_name(i + 1) for i, column in enumerate(columns)}

    def cells(row: int | str, values: Sequence[object]) -> list[Cell]:
        at = {key: f"{letter}{row}" for key, letter in letters.items()}
        return [
            Cell(0, styles.CHECK, values[0], None, COUNT_FORMAT),
            *(
                Cell(i, column.role, values[i], column.formula and column.formula(at), column.number_format)
                for i, column in enumerate(columns, start=1)
            ),
        ]

    template = None
    for row, figures in enumerate(scenarios, start=FIRST_ROW):
        values = [row - FIRST_ROW + first_number, *(column.value(figures) for column in columns)]
        if template is None or not sheet.fill(template, values):
            sheet.row(cells(row, values))
        template = template or sheet.template(cells(ROW, [None] * len(values)))
    _set_up(sheet, labels, count, len(columns))


def references(sheet_name: str, labels: Labels, most_windows: int, count: int) -> dict[str, str]:
    """Where the index finds the columns that it totals."""
    keys = [column.key for column in _columns(labels, most_windows, {})]
    sheet, last = quoted_sheet(sheet_name), FIRST_ROW + count - 1
    letters = {key: xl_col_to_name(keys.index(key) + 1) for key in ("total", "gpus", "check")}
    return {key: f"{sheet}!${letter}${FIRST_ROW}:${letter}${last}" for key, letter in letters.items()}


def _columns(labels: Labels, most_windows: int, limits: dict[str, tuple[str, str]]) -> list[_Column]:
    inputs = {
        "scenario": (36, None, lambda figures: figures.scenario.title),
        "model": (22, None, lambda figures: figures.scenario.model.name),
        "context": (12, COUNT_FORMAT, lambda figures: figures.scenario.context),
        "users": (10, COUNT_FORMAT, lambda figures: figures.scenario.users),
        "precision": (12, None, lambda figures: figures.scenario.precision_name),
        "kv_precision": (12, None, lambda figures: figures.scenario.kv_precision.name),
        "overhead": (11, RATE_FORMAT, lambda figures: figures.scenario.overhead),
        "gpu_memory_gb": (12, MEMORY_FORMAT, lambda figures: figures.scenario.gpu_memory_gb),
    }
    return [
        *(
            _Column(field, COLUMN_LABELS[field], width, _role(field), value, shown)
            for field, (width, shown, value) in inputs.items()
        ),
        _Column(
            "check", "export.checks", 11, styles.CHECK, lambda figures: int(figures.is_within_longest),
            labels("check.format"), lambda at: _check(at, limits),
        ),
        _known("weights_bytes", "export.weights_bytes", lambda figures: figures.weights_bytes),
        _known("values_per_token", "models.values_per_token", lambda figures: figures.kv.values_per_token),
        *(column for i in range(most_windows) for column in _window(i)),
        _known("fixed_values", "models.fixed_values", lambda figures: figures.kv.fixed_values),
        _known("fixed_bytes", "models.fixed_bytes", lambda figures: figures.kv.fixed_bytes),
        _known("index_bytes", "models.index_bytes", lambda figures: figures.kv.index_bytes_per_token),
        _known(
            "value_bytes", "article.bytes_per_value", lambda figures: figures.scenario.kv_precision.bytes_per_value,
            PLAIN_FORMAT,
        ),
        _known("longest", "models.max_context", lambda figures: figures.scenario.model.spec.max_position_embeddings),
        _result("weights", lambda figures: figures.weights_gb, lambda at: f.in_gb(at["weights_bytes"])),
        _result("kv", lambda figures: figures.kv_gb, lambda at: _kv(at, most_windows)),
        _Column(
            "overhead_gb", "scenarios.overhead", 13, styles.FORMULA, lambda figures: figures.overhead_gb, GB_FORMAT,
            lambda at: f.overhead_gb(at["weights"], at["kv"], at["overhead"]),
        ),
        _result(
            "total", lambda figures: figures.total_gb, lambda at: f"{at['weights']}+{at['kv']}+{at['overhead_gb']}",
            styles.TOTAL,
        ),
        _result(
            "gpus", lambda figures: figures.gpus, lambda at: f.gpus_by_division(at["total"], at["gpu_memory_gb"]),
            styles.TOTAL, COUNT_FORMAT,
        ),
    ]  # fmt: skip


def _role(field: str) -> str:
    return styles.INPUT if field in OPEN_INPUTS else styles.FORMULA_TEXT


def _known(key: str, label: str, value: Callable[[Figures], object], number_format: str = BYTES_FORMAT) -> _Column:
    return _Column(key, label, 16, styles.SOURCE_FIGURE, value, number_format)


def _result(
    key: str,
    value: Callable[[Figures], float],
    formula: Callable[[dict[str, str]], str],
    role: str = styles.FORMULA,
    number_format: str = GB_FORMAT,
) -> _Column:
    return _Column(key, f"scenarios.{key}", 13, role, value, number_format, formula)


def _window(i: int) -> tuple[_Column, _Column]:
    """The size of a model's window number `i` and what it keeps of it; 0 for a model that has fewer."""

    def of(figures: Figures, part: int) -> int:
        return figures.kv.windowed[i][part] if i < len(figures.kv.windowed) else 0

    return (
        _known(f"window_{i}", "models.window", lambda figures: of(figures, 0)),
        _known(f"windowed_values_{i}", "models.windowed_values", lambda figures: of(figures, 1)),
    )


def _kv(at: dict[str, str], most_windows: int) -> str:
    windowed = [(at[f"window_{i}"], at[f"windowed_values_{i}"]) for i in range(most_windows)]
    fixed = (at[key] for key in ("fixed_values", "fixed_bytes", "index_bytes"))
    return f.kv_gb(
        at["values_per_token"], windowed, *fixed,
        context=at["context"], users=at["users"], value_bytes=at["value_bytes"],
    )  # fmt: skip


def _check(at: dict[str, str], limits: dict[str, tuple[str, str]]) -> str:
    usable = inputs_are_usable({field: at[field] for field in OPEN_INPUTS}, limits)
    return f"IF(AND({usable},{is_within_longest(at['context'], at['longest'])}),1,0)"


def _set_up(sheet: Sheet, labels: Labels, count: int, columns: int) -> None:
    ws = sheet.ws
    ws.freeze_panes(HEADER_ROW, 2)
    ws.autofilter(HEADER_ROW - 1, 0, HEADER_ROW + count - 1, columns)
    ws.set_landscape()
    ws.set_paper(9)  # A4
    ws.fit_to_pages(1, 0)
    ws.repeat_rows(HEADER_ROW - 1)
    ws.set_footer(f"&L&A&R{labels('page.of')}")
    ws.protect("", {"autofilter": True, "sort": True, "format_columns": True, "format_rows": True})
