"""Write the sheet of the scenarios without a page: one scenario per row, with all data that its formulas need."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from xlsxwriter.utility import xl_col_to_name

from core.engines.blocks import BLOCK_TOKENS
from core.plan.allocation import PAGED
from core.plan.fleet import MAX_GPUS
from core.plan.layout_figures import FIGURES_OF_TERMS, model_figures
from core.plan.memory import BLOCKS, ESTIMATE, OF_CONTEXT, STAGE
from core.plan.replica_figures import settings_inputs
from core.plan.serving import RULE, VLLM
from core.plan.terms import Term, Terms
from workbook import formulas as f
from workbook import styles, terms
from workbook.book import COUNT_FORMAT, MEMORY_FORMAT, PLAIN_FORMAT
from workbook.export import assumptions
from workbook.export.calculation import field_label, label
from workbook.export.figures import (
    LAYOUT_TERMS,
    NOTHING,
    OPEN_INPUTS,
    STAGE_INPUTS,
    STAGE_TERMS,
    STAGE_USERS,
    Figures,
    input_is_usable,
    is_within_longest,
    memory_bytes,
    open_inputs,
    stages_of,
)
from workbook.export.sheet import Cell, ColumnCells, Sheet, footer, quoted_sheet
from workbook.labels import Labels
from workbook.scenario import FIELDS, Field, Scenario

HEADER_ROW = 4
FIRST_ROW = HEADER_ROW + 1
# Engine → the terms of a stage that a row computes. With vLLM the GPU is fixed, so its figures are constants.
_TERMS = {RULE: STAGE_TERMS[RULE], VLLM: Terms(*OF_CONTEXT, *BLOCKS, *STAGE)}
# Figures that few scenarios have: of settings of the engine, and of models with further windows, as DeepSeek-V4. Where
# none has them, the sheet does not have their columns, and computes with 0 or with what `terms.WITHOUT_SETTINGS` has.
_OF_SETTINGS = frozenset({*terms.WITHOUT_SETTINGS, *(field.name for field in FIELDS if field.is_setting)})
_OF_FURTHER_WINDOWS = frozenset(
    {name for name in (*FIGURES_OF_TERMS, *BLOCKS.by_name) if name.startswith("window") and name.endswith(("_2", "_3"))}
    | {"context_bytes", "context_workspace_bytes"}
)
_ANSWERS = ("weights_gb", "kv_gb", "overhead_gb", "total_gb", "by_division")
_TOTALS = ("total_gb", "by_division", "gpus")

Values = Mapping[str, Any]
"""Name → input or term, of a scenario in the layout that was best at the export."""


@dataclass(frozen=True)
class _RowColumn:
    """One column: its `value` for a scenario, and the `formula` of it from the cells of the row (key → address)."""

    key: str
    heading: str
    width: float
    role: str
    value: Callable[[Figures, Values], object]
    number_format: str | None = None
    formula: Callable[[Callable[[str], str]], str] | None = None


def not_in(scenario: Scenario) -> frozenset[str]:
    """Return the figures for which the sheet has columns only if some scenario has them, and this one has not."""
    figures = model_figures(scenario.model.spec, scenario.draft_spec)
    return _not_in(bool(figures.window_groups_2 or figures.context_bytes), scenario.has_settings)


@cache
def _not_in(has_further_windows: bool, has_settings: bool) -> frozenset[str]:
    without_windows = frozenset() if has_further_windows else _OF_FURTHER_WINDOWS
    return without_windows if has_settings else without_windows | _OF_SETTINGS


def write(
    sheet: Sheet,
    labels: Labels,
    scenarios: Iterable[Figures],
    *,
    count: int,
    first_number: int,
    engines: Collection[str],
    left_out: Collection[str],
    limits: dict[str, tuple[str, str]],
) -> None:
    """Write the sheet, one row for each of `scenarios`, which are read only once.

    Args:
        count: the number of scenarios.
        first_number: the number of the first scenario.
        engines: those of all scenarios.
        left_out: figures that no scenario has, as `not_in` gives them.
        limits: field → references to the cells of its minimum and maximum.
    """
    columns = _columns(labels, engines, limits, left_out)
    for i, column in enumerate(columns):
        sheet.ws.set_column(i + 1, i + 1, column.width)
    sheet.row([Cell(0, styles.TITLE, labels("export.more_title"))], 28)
    sheet.row([Cell(0, styles.SUBTITLE, labels("export.more_subtitle"))])
    sheet.row([Cell(0, styles.SUBTITLE, labels("export.more_layout"))])
    headings = [labels("export.number"), *(column.heading for column in columns)]
    sheet.row([Cell(i, styles.HEADING, heading) for i, heading in enumerate(headings)], 58)
    cells = {column.key: f"{xl_col_to_name(i)}{ColumnCells.ROW}" for i, column in enumerate(columns, start=1)}

    def at(name: str) -> str:
        if name in left_out:
            instead = terms.WITHOUT_SETTINGS.get(name, "0")
            return instead if instead == "0" else at(instead)
        return name if name in assumptions.NAMES else cells[name]

    written = [ColumnCells(styles.CHECK, COUNT_FORMAT)]
    written += [ColumnCells(c.role, c.number_format, c.formula and c.formula(at)) for c in columns]
    functions = [column.value for column in columns]

    def rows() -> Iterable[list[object]]:
        for number, figures in enumerate(scenarios, start=first_number):
            values = _values(figures, engines)
            yield [number, *(value(figures, values) for value in functions)]

    sheet.rows(written, rows())
    _set_up(sheet, labels, count, len(columns))


def references(
    sheet_name: str, labels: Labels, engines: Collection[str], count: int, left_out: Collection[str]
) -> dict[str, str]:
    """Return the references to the columns that the index adds up."""
    keys = [column.key for column in _columns(labels, engines, None, left_out)]
    sheet, last = quoted_sheet(sheet_name), FIRST_ROW + count - 1
    letters = {key: xl_col_to_name(keys.index(key) + 1) for key in (*_TOTALS, "check")}
    return {key: f"{sheet}!${letter}${FIRST_ROW}:${letter}${last}" for key, letter in letters.items()}


def _values(figures: Figures, engines: Collection[str]) -> Values:
    """Return the figures of a row: those of the fullest stage of the best layout, and 0 for another engine."""
    engine, best = figures.scenario.engine, figures.best
    values: dict[str, Any] = {}
    for other in engines:
        values |= _nothing(other)
    values["gpus_per_replica"] = users = 0
    if best is not None:
        key = STAGE_USERS[engine]
        stage = min(stages_of(figures, best.replica), key=lambda stage: stage[key])
        values |= stage
        values["gpus_per_replica"] = best.replica.gpus
        users = stage[key] * figures.scenario.service.groups
    if RULE in engines:
        values["all_parameters"] = figures.scenario.estimate.parameters
    values |= figures.terms
    if VLLM in engines and (engine != VLLM or best is None):
        given = {"context": figures.scenario.context, "context_bytes": 0, **settings_inputs(figures.scenario.settings)}
        values |= OF_CONTEXT.compute(values | given)
    values |= {"users_per_replica": users, "most_planned_gpus": MAX_GPUS}
    return values | LAYOUT_TERMS.compute(values)


@cache
def _nothing(engine: str) -> Values:
    """Return the inputs and terms of an engine where a row has no layout, or another engine."""
    computed = _TERMS[engine]
    given = dict.fromkeys((*computed.inputs, *STAGE_INPUTS[engine], "step_class"), 0)
    given |= {"all_parameters": 1, "kv_block_tokens": BLOCK_TOKENS}
    return given | computed.compute(given)


def _constants(engine: str, left_out: Collection[str]) -> list[str]:
    """Return the inputs of an engine's terms that have a column."""
    known = {*left_out, *(field.name for field in FIELDS), *ESTIMATE.by_name, *ESTIMATE.inputs, *assumptions.NAMES}
    return [name for name in _TERMS[engine].inputs if name not in known]


def _columns(
    labels: Labels, engines: Collection[str], limits: dict[str, tuple[str, str]] | None, left_out: Collection[str]
) -> list[_RowColumn]:
    fields = [field for field in FIELDS if field.name not in left_out]
    ordered = [engine for engine in _TERMS if engine in engines]

    def term(of: Term) -> _RowColumn:
        role = styles.TOTAL if of.name in _TOTALS else styles.FORMULA
        heading = labels({"by_division": "scenarios.gpus", "gpus": "scenarios.deploy"}.get(of.name, f"term.{of.name}"))
        return _RowColumn(
            of.name, heading, 13, role, partial(_value, of.name), terms.number_format(of), partial(terms.formula, of)
        )

    def constant(name: str) -> _RowColumn:
        shown = PLAIN_FORMAT if name == "value_bytes" else COUNT_FORMAT
        return _RowColumn(name, label(labels, name), 14, styles.SOURCE_FIGURE, partial(_value, name), shown)

    inputs = {field.name for field in FIELDS}
    return [
        *(
            _RowColumn(
                field.name, labels(field.label), field.width,
                _role(field), partial(_input, field, i),
                field.number_format,
            )
            for i, field in enumerate(fields, start=1)
        ),
        _RowColumn(
            "check", labels("export.checks"), 11, styles.CHECK, lambda figures, _: int(figures.is_right),
            labels("check.format"), _check,
        ),
        *(term(ESTIMATE[name]) for name in _ANSWERS),
        _RowColumn("layout", labels("scenarios.layout"), 14, styles.FORMULA_TEXT, lambda figures, _: figures.layout),
        _RowColumn(
            "users_per_replica", label(labels, "users_per_replica"), 13, styles.FORMULA,
            partial(_value, "users_per_replica"), COUNT_FORMAT, partial(_users, ordered, "attention_dp" in left_out),
        ),
        *map(term, LAYOUT_TERMS),
        *(
            _RowColumn(
                f"usable_{field}", labels("export.usable_input", figure=field_label(labels, field)), 11, styles.CHECK,
                lambda figures, _: 1, COUNT_FORMAT, partial(_usable, field, limits or {field: ("", "")}),
            )
            for field in OPEN_INPUTS
        ),
        _RowColumn(
            "memory_bytes", label(labels, "memory_bytes"), 16, styles.FORMULA, partial(_value, "memory_bytes"),
            COUNT_FORMAT, lambda at: memory_bytes(at("gpu_memory_gb")),
        ),
        *(term(of) for of in ESTIMATE if of.name not in _ANSWERS),
        *(term(of) for engine in ordered for of in _TERMS[engine] if of.name not in left_out),
        _RowColumn(
            "longest", labels("models.max_context"), 14, styles.SOURCE_FIGURE,
            lambda figures, _: figures.scenario.model.spec.max_position_embeddings, COUNT_FORMAT,
        ),
        *map(constant, ("gpus_per_replica",)),
        *(constant(name) for name in ESTIMATE.inputs if name not in inputs | {"memory_bytes", *assumptions.NAMES}),
        *(constant(name) for engine in ordered for name in _constants(engine, left_out)),
    ]  # fmt: skip


def _role(field: Field) -> str:
    if field.is_setting and field.limits:
        return styles.SOURCE_FIGURE
    return styles.INPUT if field.name in OPEN_INPUTS else styles.FORMULA_TEXT


def _value(name: str, _: Figures, values: Values) -> object:
    value = values[name]
    return NOTHING if value is None else value


def _input(field: Field, column: int, figures: Figures, _: Values) -> object:
    """Return the value of a field; a locked cell if it is a number that the formulas cannot follow."""
    scenario = figures.scenario
    value = field.cell(scenario)
    if field.name == "gpu_memory_gb" and field.name not in open_inputs(scenario):
        return Cell(column, styles.SOURCE_FIGURE, value, None, MEMORY_FORMAT)
    return value if field.name in OPEN_INPUTS or (field.is_setting and field.limits) else value or NOTHING


def _usable(field: str, limits: dict[str, tuple[str, str]], at: Callable[[str], str]) -> str:
    usable = input_is_usable(field, at(field), limits)
    return f"IF({at('allocation')}={f.text(PAGED)},{usable},1)" if field == "average_tokens" else usable


def _users(engines: list[str], is_one_group: bool, at: Callable[[str], str]) -> str:
    """Return the formula of the users of a replica: those of a stage, in all groups of data-parallel attention."""
    groups = "" if is_one_group else f"*{at('attention_dp')}"
    users = [at(STAGE_USERS[engine]) + (groups if engine == VLLM else "") for engine in engines]
    return users[0] if len(users) == 1 else f"IF({at('engine')}={f.text(engines[0])},{users[0]},{users[1]})"


def _check(at: Callable[[str], str]) -> str:
    usable = f"MIN({at(f'usable_{OPEN_INPUTS[0]}')}:{at(f'usable_{OPEN_INPUTS[-1]}')})=1"
    return f"IF(AND({usable},ISNUMBER({at('gpus')}),{is_within_longest(at('context'), at('longest'))}),1,0)"


def _set_up(sheet: Sheet, labels: Labels, count: int, columns: int) -> None:
    ws = sheet.ws
    ws.freeze_panes(HEADER_ROW, 2)
    ws.autofilter(HEADER_ROW - 1, 0, HEADER_ROW + count - 1, columns)
    ws.set_landscape()
    ws.set_paper(9)  # A4
    ws.fit_to_pages(1, 0)
    ws.repeat_rows(HEADER_ROW - 1)
    ws.set_footer(footer(labels))
    ws.protect("", {"autofilter": True, "sort": True, "format_columns": True, "format_rows": True})
