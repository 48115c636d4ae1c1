"""Write the sheet of the scenarios without a page: one scenario per row, with all data that its formulas need."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from core.plan.worksheet import RULE, VLLM
from xlsxwriter.utility import xl_col_to_name

from core.plan.allocation import PAGED
from workbook import formulas as f
from workbook import styles
from workbook.book import BYTES_FORMAT, COUNT_FORMAT, GB_FORMAT, MEMORY_FORMAT, PLAIN_FORMAT
from workbook.export.figures import (
    NOTHING,
    OPEN_INPUTS,
    Figures,
    PlanFigures,
    input_is_usable,
    is_within_longest,
    layout_figures,
    open_inputs,
    tokens_in_window,
)
from workbook.export.sheet import Cell, ColumnCells, Sheet, quoted_sheet
from workbook.labels import Labels
from workbook.scenario import FIELDS, Field

HEADER_ROW = 4
FIRST_ROW = HEADER_ROW + 1
_NOTHING = f.text(NOTHING)


@dataclass(frozen=True)
class _Row:
    """A scenario and the figures of its layout; None if no layout fits."""

    figures: Figures
    layout: PlanFigures | None


@dataclass(frozen=True)
class _RowColumn:
    """One column: its `value` for a scenario, and the `formula` of it from the cells of the row (key → address)."""

    key: str
    label: str
    width: float
    role: str
    value: Callable[[_Row], object]
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
    """Write the sheet, one row for each of `scenarios`, which are read only once.

    Args:
        count: the number of scenarios.
        first_number: the number of the first scenario.
        most_windows: the largest number of window sizes in one model.
        limits: field → references to the cells of its minimum and maximum.
    """
    columns = _columns(labels, most_windows, limits)
    for i, column in enumerate(columns):
        sheet.ws.set_column(i + 1, i + 1, column.width)
    sheet.row([Cell(0, styles.TITLE, labels("export.more_title"))], 28)
    sheet.row([Cell(0, styles.SUBTITLE, labels("export.more_subtitle"))])
    sheet.row([Cell(0, styles.SUBTITLE, labels("export.more_layout"))])
    headings = [labels("export.number"), *(labels(column.label) for column in columns)]
    sheet.row([Cell(i, styles.HEADING, heading) for i, heading in enumerate(headings)], 58)
    at = {column.key: f"{xl_col_to_name(i)}{ColumnCells.ROW}" for i, column in enumerate(columns, start=1)}
    written = [ColumnCells(styles.CHECK, COUNT_FORMAT)]
    written += [ColumnCells(c.role, c.number_format, c.formula and c.formula(at)) for c in columns]
    values = [column.value for column in columns]
    rows = (_row(figures) for figures in scenarios)
    sheet.rows(
        written, ([number, *(value(row) for value in values)] for number, row in enumerate(rows, start=first_number))
    )
    _set_up(sheet, labels, count, len(columns))


def references(sheet_name: str, labels: Labels, most_windows: int, count: int) -> dict[str, str]:
    """Return the references to the columns that the index adds up."""
    keys = [column.key for column in _columns(labels, most_windows, None)]
    sheet, last = quoted_sheet(sheet_name), FIRST_ROW + count - 1
    letters = {key: xl_col_to_name(keys.index(key) + 1) for key in ("total", "gpus", "deploy", "check")}
    return {key: f"{sheet}!${letter}${FIRST_ROW}:${letter}${last}" for key, letter in letters.items()}


def _row(figures: Figures) -> _Row:
    best = figures.best
    return _Row(figures, layout_figures(figures.scenario.workload, best.layout) if best else None)


def _columns(labels: Labels, most_windows: int, limits: dict[str, tuple[str, str]] | None) -> list[_RowColumn]:
    return [
        *(
            _RowColumn(field.name, field.label, field.width, _role(field), partial(_input, field), field.number_format)
            for field in FIELDS
        ),
        _RowColumn(
            "check", "export.checks", 11, styles.CHECK, lambda row: int(row.figures.is_right),
            labels("check.format"), lambda at: "" if limits is None else _check(at, limits),
        ),
        _result("weights", lambda row: row.figures.weights_gb, lambda at: f.in_gb(at["weights_bytes"])),
        _result("kv", lambda row: row.figures.kv_gb, lambda at: _kv(at, most_windows)),
        _result(
            "overhead_gb", lambda row: row.figures.overhead_gb,
            lambda at: (
                f"IF({_by_vllm(at)},{at['gpus']}*({at['gpu_memory_gb']}-{at['room']}),"
                f"{f.overhead_gb(at['weights'], at['kv'], at['overhead'])})"
            ),
            label="scenarios.overhead",
        ),
        _result(
            "total", lambda row: row.figures.total_gb, lambda at: f"{at['weights']}+{at['kv']}+{at['overhead_gb']}",
            styles.TOTAL,
        ),
        # By the rule, the room of a GPU is its memory ÷ (1 + overhead), so one formula is right for both engines.
        _result(
            "gpus", lambda row: row.figures.gpus, lambda at: f.rounded_up(f"({at['weights']}+{at['kv']})/{at['room']}"),
            styles.TOTAL, COUNT_FORMAT,
        ),
        _RowColumn(
            "layout", "scenarios.layout", 14, styles.FORMULA_TEXT,
            lambda row: NOTHING if row.layout is None else row.layout.shape.title,
        ),
        _result(
            "users_per_replica", lambda row: _best_figure(row, "users_per_replica"), _users_per_replica(most_windows),
            number_format=COUNT_FORMAT, label="procurement.users_per_replica",
        ),
        _result(
            "deploy", lambda row: _best_figure(row, "gpus"), _deploy, styles.TOTAL, COUNT_FORMAT,
        ),
        _result(
            "tokens", lambda row: row.figures.scenario.workload.tokens,
            lambda at: f.allocated_tokens(
                at["context"], at["average_tokens"], paged=f"{at['allocation']}={f.text(PAGED)}", in_blocks=_by_vllm(at)
            ),
            number_format=COUNT_FORMAT,
        ),
        _result(
            "usable", lambda row: row.figures.usable_gb,
            lambda at: (
                f"IF({_by_vllm(at)},{f.vllm_usable_gb(at['gpu_memory_gb'])},{at['gpu_memory_gb']}/(1+{at['overhead']}))"
            ),
            label="export.usable",
        ),
        _result("room", lambda row: row.figures.room_gb, _room, label="export.room"),
        _known("weights_bytes", "export.weights_bytes", lambda row: row.figures.weights_bytes),
        _known("values_per_token", "models.values_per_token", lambda row: row.figures.kv.values_per_token),
        *(column for i in range(most_windows) for column in _window_columns(i)),
        _known("fixed_values", "models.fixed_values", lambda row: row.figures.kv.fixed_values),
        _known("fixed_bytes", "models.fixed_bytes", lambda row: row.figures.kv.fixed_bytes),
        _known("index_bytes", "models.index_bytes", lambda row: row.figures.kv.index_bytes_per_token),
        _known(
            "value_bytes", "article.bytes_per_value", lambda row: row.figures.scenario.kv_precision.bytes_per_value,
            PLAIN_FORMAT,
        ),
        _known(
            "longest", "models.max_context", lambda row: row.figures.scenario.model.spec.max_position_embeddings
        ),
        _known("buffers_one", "export.buffers_one", lambda row: row.figures.buffers_gb[0], GB_FORMAT),
        _known("buffers_several", "export.buffers_several", lambda row: row.figures.buffers_gb[1], GB_FORMAT),
        _known("per_replica", "export.per_replica", lambda row: row.layout and row.layout.shape.gpus),
        _known("held", "export.layout_held", _gb_besides_cache, GB_FORMAT),
        _known("growing", "export.layout_growing", lambda row: row.layout and row.layout.growing_bytes),
        *(
            _known(
                f"windowed_{i}", "export.layout_windowed",
                partial(_layout_window_bytes, i),
            )
            for i in range(most_windows)
        ),
        _known("fixed", "export.layout_fixed", lambda row: row.layout and row.layout.fixed_bytes),
        _known(
            "step_tokens", "scenarios.step_tokens",
            lambda row: row.figures.scenario.workload.gpu.step_tokens if row.figures.scenario.engine == VLLM else 0,
        ),
        _known(
            "max_sequences", "scenarios.max_sequences",
            lambda row: (
                row.figures.scenario.workload.gpu.max_sequences if row.figures.scenario.engine == VLLM else None
            ),
        ),
    ]  # fmt: skip


def _role(field: Field) -> str:
    return styles.INPUT if field.limits else styles.FORMULA_TEXT


def _input(field: Field, row: _Row) -> object:
    if field.name == "gpu_memory_gb":
        return _gpu_memory_gb(row)
    value = field.cell(row.figures.scenario)
    return value if field.limits else value or NOTHING


def _known(key: str, label: str, value: Callable[[_Row], object], number_format: str = BYTES_FORMAT) -> _RowColumn:
    return _RowColumn(key, label, 16, styles.SOURCE_FIGURE, value, number_format)


def _result(
    key: str,
    value: Callable[[_Row], object],
    formula: Callable[[dict[str, str]], str],
    role: str = styles.FORMULA,
    number_format: str = GB_FORMAT,
    *,
    label: str | None = None,
) -> _RowColumn:
    return _RowColumn(key, label or f"scenarios.{key}", 13, role, value, number_format, formula)


def _gpu_memory_gb(row: _Row) -> object:
    """Return the GPU memory, as a locked cell if the formulas could not follow a change."""
    scenario = row.figures.scenario
    if "gpu_memory_gb" in open_inputs(scenario):
        return scenario.gpu_memory_gb
    column = 1 + [field.name for field in FIELDS].index("gpu_memory_gb")
    return Cell(column, styles.SOURCE_FIGURE, scenario.gpu_memory_gb, None, MEMORY_FORMAT)


def _best_figure(row: _Row, field: str) -> object:
    return NOTHING if row.figures.best is None else getattr(row.figures.best, field)


def _layout_window_bytes(i: int, row: _Row) -> float | None:
    return _window_item(row.layout.windowed_bytes, i) if row.layout else None


def _window_item(pairs: tuple[tuple[int, float], ...], i: int, part: int = 1) -> float:
    """Return item `part` of window number `i`; 0 for a model with fewer windows."""
    return pairs[i][part] if i < len(pairs) else 0


def _window_columns(i: int) -> tuple[_RowColumn, _RowColumn]:
    """Return the columns of window number `i`: its size, and the values cached per token."""
    return (
        _known(f"window_{i}", "models.window", lambda row: _window_item(row.figures.kv.windowed, i, 0)),
        _known(f"windowed_values_{i}", "models.windowed_values", lambda row: _window_item(row.figures.kv.windowed, i)),
    )


def _gb_besides_cache(row: _Row) -> float | None:
    """Return the GB that a GPU of the layout uses besides the KV cache."""
    layout = row.layout
    if layout is None:
        return None
    return layout.weights_gb + layout.loading_gb + row.figures.buffers_gb[layout.shape.tp > 1]


def _by_vllm(at: dict[str, str]) -> str:
    return f"{at['engine']}={f.text(VLLM)}"


def _kv(at: dict[str, str], most_windows: int) -> str:
    windowed = [(at[f"window_{i}"], at[f"windowed_values_{i}"]) for i in range(most_windows)]
    fixed = (at[key] for key in ("fixed_values", "fixed_bytes", "index_bytes"))
    return f.kv_gb(
        at["values_per_token"], windowed, *fixed,
        context=at["tokens"], users=at["users"], value_bytes=at["value_bytes"],
    )  # fmt: skip


def _room(at: dict[str, str]) -> str:
    one, several = (f"{at['usable']}-{at[key]}" for key in ("buffers_one", "buffers_several"))
    return f"IF({at['weights']}+{at['kv']}<={one},{one},{several})"


def _users_per_replica(most_windows: int) -> Callable[[dict[str, str]], str]:
    """Return the formula of `core.plan.worksheet.worksheet_plans` for the layout that was best at the export."""

    def formula(at: dict[str, str]) -> str:
        block = f"SIGN({at['step_tokens']})*kv_block_tokens"
        in_windows = (
            f"{at[f'windowed_{i}']}*{tokens_in_window(at[f'window_{i}'], at['tokens'], at['step_tokens'], block)}"
            for i in range(most_windows)
        )
        each = "+".join([f"{at['growing']}*{at['tokens']}", *in_windows, at["fixed"]])
        fitting = f.users_that_fit(f"({at['usable']}-{at['held']})*{f.GB}", f"({each})")
        # MIN ignores a blank cell: the rule has no limit of sequences.
        return f"IF(ISNUMBER({at['per_replica']}),MAX(0,MIN({at['max_sequences']},{fitting})),{_NOTHING})"

    return formula


def _deploy(at: dict[str, str]) -> str:
    each = at["users_per_replica"]
    all_gpus = f"{f.rounded_up(at['users'] + '/' + each)}*{at['per_replica']}"
    return f"IF(ISNUMBER({each}),IF({each}>0,{all_gpus},{_NOTHING}),{_NOTHING})"


def _check(at: dict[str, str], limits: dict[str, tuple[str, str]]) -> str:
    paged, by_rule = f"{at['allocation']}={f.text(PAGED)}", f"{at['engine']}={f.text(RULE)}"
    checks = {field: input_is_usable(field, at[field], limits) for field in OPEN_INPUTS}
    checks["average_tokens"] = f"IF({paged},{checks['average_tokens']},TRUE)"
    checks["overhead"] = f"IF({by_rule},{checks['overhead']},TRUE)"
    deployable, longest = f"ISNUMBER({at['deploy']})", is_within_longest(at["context"], at["longest"])
    return f"IF(AND({','.join(checks.values())}),IF(AND({deployable},{longest}),1,0),0)"


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
