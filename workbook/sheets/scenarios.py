"""Write the Scenarios sheet: the planner itself, an Excel table with one scenario per row.

Its columns are the inputs, the answers right next to them, inputs that few people change, and the workings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from openpyxl.formatting.rule import FormulaRule
from openpyxl.styles import Alignment, Border, Font, Side
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet

from core.catalog.draft_models import JOINED
from core.plan.allocation import PAGED, RESERVED
from core.plan.cache_formats import CACHE
from core.plan.layout_figures import FIGURES_OF_TERMS
from core.plan.memory import DEVICE, ESTIMATE, GROUPS, OF_CONTEXT
from core.plan.serving import RULE, VLLM
from core.plan.speed_terms import DRAFTS
from core.plan.terms import Term
from workbook import formulas as f
from workbook import styles, terms
from workbook.book import (
    COUNT_FORMAT,
    GB_FORMAT,
    PERCENT_FORMAT,
    RATE_FORMAT,
    Book,
    SheetColumn,
    between_rule,
    filled_table,
    filterable,
    heading,
    list_rule,
    put,
    put_formula,
    text_rule,
    validate,
)
from workbook.labels import Labels
from workbook.scenario import FIELDS, Field
from workbook.sheets import gpus, models, outcome, precisions

TABLE = "Scenarios"
MOST_SCENARIOS = 30  # the rows that Capacity has room for
HEADER_ROW = 6
FIRST_ROW = HEADER_ROW + 1
GROUP_ROW, TOTAL_ROW = 4, 5  # the total stands above the headings, so that the table grows, sorts and filters
# Above the workings: the limits of inputs, and the texts of the input check.
LIMIT_ROW, LEAST_ROW, MOST_ROW, PROBLEM_ROW = 1, 2, 3, 5
LONGEST_TITLE = 60  # characters


def _example(title: str, model: str, context: int, users: int, **given: object) -> Mapping[str, object]:
    """Return an example row, field → value; `title` is the key of a label, and a field not given has its default."""
    defaults = {field.name: field.default for field in FIELDS}
    return {**defaults, "scenario": title, "model": model, "context": context, "users": users, **given}


# The article: 2 bytes per value, 10 % overhead, and the label of an A100 80 GB.
_AS_IN_ARTICLE = {
    "precision": "fp16", "kv_precision": "fp16", "engine": RULE, "gpu": "a100-sxm-80gb", "gpu_memory_gb": 80,
}  # fmt: skip
EXAMPLES = (
    _example("row_article", "article-llama-70b", 32_000, 10, **_AS_IN_ARTICLE),
    _example("row_article_one_user", "article-llama-70b", 32_000, 1, **_AS_IN_ARTICLE),
    _example("row_article_8k", "article-llama-70b", 8_000, 10, **_AS_IN_ARTICLE),
    _example("row_real", "llama-3.1-70b", 32_000, 10, **_AS_IN_ARTICLE),
    _example("row_real_one_user", "llama-3.1-70b", 32_000, 1, **_AS_IN_ARTICLE),
    _example("row_real_8k", "llama-3.1-70b", 8_000, 10, **_AS_IN_ARTICLE),
    _example("row_real_fp8", "llama-3.1-70b", 32_768, 50, precision="fp8", kv_precision="fp8", gpu="h100-sxm"),
    _example("row_small", "llama-3.1-8b", 8_192, 100, precision="fp16", gpu="l40s"),
    _example(
        "row_qwen", "qwen2.5-72b", 32_768, 20, allocation=PAGED, average_tokens=8_000, precision="awq", gpu="h100-sxm"
    ),
    _example("row_large", "deepseek-v3", 32_768, 20, gpu="h200-sxm"),
)

_FIELD_OF = {field.column: field for field in FIELDS}


def _inputs(*, rare: bool) -> tuple[SheetColumn, ...]:
    return tuple(
        SheetColumn(key, field.width, styles.INPUT if field.limits else styles.INPUT_TEXT, field.number_format)
        for key, field in _FIELD_OF.items()
        if field.is_rare == rare
    )


_ANSWERS = (
    SheetColumn("total", 8, styles.TOTAL, "#,##0.0"),
    outcome.ANSWERS["deployable"],
    outcome.ANSWERS["best_gpus"],
    SheetColumn("layout", 11, styles.FORMULA_TEXT, None),
    *(outcome.ANSWERS[key] for key in ("tokens_per_s_per_user", "cost_month", "cost_user_month", "state")),
)
# What the memory consists of, and the layout with the fewest GPUs that hold it.
_MEMORY = (
    SheetColumn("input_check", 30, styles.FORMULA_TEXT, None),
    SheetColumn("weights", 11, styles.FORMULA, GB_FORMAT),
    SheetColumn("kv", 11, styles.FORMULA, GB_FORMAT),
    SheetColumn("overhead", 11, styles.FORMULA, GB_FORMAT),
    SheetColumn("gpus", 11, styles.FORMULA, COUNT_FORMAT),
    SheetColumn("replicas", 10, styles.FORMULA, COUNT_FORMAT),
    SheetColumn("deploy", 10, styles.FORMULA, COUNT_FORMAT),
    SheetColumn("nodes", 8, styles.FORMULA, COUNT_FORMAT),
    SheetColumn("capacity", 12, styles.FORMULA, GB_FORMAT),
    SheetColumn("addin", 16, styles.FORMULA_TEXT, None),
)
# Columns of Models that the terms use: name of the input → key of the column.
OF_MODEL = {
    "all_parameters": "parameters", "all_values_per_token": "values_per_token", "window_tokens": "window",
    "all_windowed_values": "windowed_values", "window_tokens_2": "window_2",
    "all_windowed_values_2": "windowed_values_2", "all_fixed_values": "fixed_values", "all_fixed_bytes": "fixed_bytes",
    "all_index_bytes": "index_bytes", **{name: models.key_of_figure(name) for name in FIGURES_OF_TERMS},
}  # fmt: skip
# Answers that are terms: key of the column → name of the term.
_ANSWER_TERMS = {
    "weights": "weights_gb", "kv": "kv_gb", "overhead": "overhead_gb", "total": "total_gb", "gpus": "by_division",
}  # fmt: skip
_WORKING_TERMS = tuple(term.name for term in ESTIMATE if term.name not in _ANSWER_TERMS.values())

# Checks of inputs, in the order in which their problems are named: key → the field or what else is checked.
_CHECKS = (
    "model", "model_empty", "context", "output_tokens", "output_fits", "users", "allocation", "average_tokens", "precision", "kv_precision", "engine",
    "engine_shapes", "overhead_rate", "gpu", "gpu_memory",
    *(key for key, field in _FIELD_OF.items() if field.is_setting), "drafter",
)  # fmt: skip
# The checks that concern each input: a model or an engine has a second one.
_CHECKS_OF_INPUT = {
    key: [f"check_{check}" for check in _CHECKS if check == key or check in seconds]
    for key, seconds in {
        **{key: () for key, field in _FIELD_OF.items() if field.problem},
        "model": ("model_empty",), "output_tokens": ("output_fits",), "engine": ("engine_shapes",),
        "mtp_tokens": ("drafter",), "draft_model": ("drafter",),
    }.items()
}  # fmt: skip
_MADE_OF_INPUTS = (
    "number", "model_row", "model_at", "gpu_row", "gpu_at", "precision_row", "format_column", "served_row", "memory_bytes",
    "cache_format", "value_bytes", "cache_column", "by_engine", "is_shipped", "weights_column", "kernels", "wide",
    "all_weights_bytes", "attention_groups", "groups_column", "layout_column", *DRAFTS.by_name,
    *CACHE.by_name,
)  # fmt: skip
_WORKING = (
    *_MEMORY,
    *(SheetColumn(f"check_{key}", 10, styles.CHECK) for key in _CHECKS),
    *(
        SheetColumn(key, 13, styles.FORMULA_TEXT, None) if key == "cache_format" else SheetColumn(key, 13)
        for key in _MADE_OF_INPUTS
    ),
    *(SheetColumn(term.name, 14) for term in DEVICE),
    *(SheetColumn(key, 16) for key in OF_MODEL),
    *(SheetColumn(name, 14) for name in (*_WORKING_TERMS, *OF_CONTEXT.by_name)),
    SheetColumn("best_row", 10),
    SheetColumn("adds_up", 9, styles.CHECK, None),
    SheetColumn("holds", 12, styles.CHECK, None),
    SheetColumn("addin_total", 13, styles.FORMULA, GB_FORMAT),
    *outcome.WORKINGS,
)
_GROUPS = {
    "inputs": _inputs(rare=False), "answers": _ANSWERS, "more_inputs": _inputs(rare=True), "workings": _WORKING,
}  # fmt: skip
_COLUMNS = tuple(column for columns in _GROUPS.values() for column in columns)
# Columns whose total stands above the headings, over the rows that are counted.
_TOTALS = ("users", "total", "deployable", "best_gpus", "cost_month", "start_cash")

_LETTER = {column.key: get_column_letter(number) for number, column in enumerate(_COLUMNS, start=1)}
_LIMITS = {key: field.limits for key, field in _FIELD_OF.items() if field.limits and not field.choices}
# The columns that have the limits above them: of each limited input one, from the first of the checks.
_LIMIT_LETTERS = dict(zip(_LIMITS, (_LETTER[column.key] for column in _WORKING[len(_MEMORY) :])))
# Names of terms and of their inputs that the sheet has under another key.
_KEY_OF_NAME = {name: key for key, name in _ANSWER_TERMS.items()} | {"overhead": "overhead_rate"}
Cell = Callable[[str], str]
Values = Mapping[str, object]


def default_rows(labels: Labels) -> list[Values]:
    """Return the example rows of a new planner."""
    return [
        {field.column: example[field.name] for field in FIELDS}
        | {"scenario": labels(f"scenarios.{example['scenario']}")}
        for example in EXAMPLES
    ]


def write(book: Book, rows: Sequence[Values], of_capacity: Cell) -> None:
    """Write the sheet. The sheets Models, GPUs and Precisions and the name `addin_loaded` must exist.

    Args:
        rows: the inputs of each scenario: column key → value.
        of_capacity: column key → the reference to that column of the Capacity sheet, which finds the layouts.
    """
    labels = book.labels
    ws = book.sheet("scenarios", [column.width for column in _COLUMNS], tab_colour="BF8F00")
    heading(ws, labels("scenarios.title"), labels("scenarios.subtitle"))
    put(ws, "A3", styles.SUBTITLE, labels("scenarios.note"))
    _write_limits(labels, ws)
    last = filled_table(ws, TABLE, HEADER_ROW, _COLUMNS, partial(header, labels), rows, _formulas(book, of_capacity))
    filterable(ws, TABLE)
    book.name("scenario_names", ws, f"A{FIRST_ROW}:A{last}")
    _write_totals(book, ws)
    _validate(book, ws, last)
    _mark_wrong_cells(ws)
    _set_out(labels, ws, last)
    _print_answers(ws, last)


def _write_limits(labels: Labels, ws: Worksheet) -> None:
    """Write the limits of inputs and the texts of the input check, above the workings."""
    notes = _LETTER["input_check"]
    for row, key in ((LIMIT_ROW, "limits"), (LEAST_ROW, "least"), (MOST_ROW, "most")):
        put(ws, f"{notes}{row}", styles.NOTE, labels(f"scenarios.{key}"))
    for key, limits in _LIMITS.items():
        column_letter = _LIMIT_LETTERS[key]
        number_format = PERCENT_FORMAT if _FIELD_OF[key].number_format == RATE_FORMAT else COUNT_FORMAT
        put(ws, f"{column_letter}{LIMIT_ROW}", styles.NOTE, header(labels, key))
        put(ws, f"{column_letter}{LEAST_ROW}", styles.SOURCE_FIGURE, limits.least, number_format)
        put(ws, f"{column_letter}{MOST_ROW}", styles.SOURCE_FIGURE, limits.most, number_format)
    for key in _CHECKS:
        put(ws, f"{_LETTER[f'check_{key}']}{PROBLEM_ROW}", styles.NOTE, labels(f"scenarios.problem_{key}"))


def _write_totals(book: Book, ws: Worksheet) -> None:
    """Write the totals of the rows that are counted, and how many those are."""
    labels = book.labels
    counted = column(book, "counted")
    for shown in (*_GROUPS["inputs"], *_ANSWERS):
        put(ws, f"{_LETTER[shown.key]}{TOTAL_ROW}", styles.TOTAL)
    left = Alignment(horizontal="left", vertical="center", indent=1)
    put(ws, f"A{TOTAL_ROW}", styles.TOTAL, labels("scenarios.total_of_rows")).alignment = left
    formats = {shown.key: shown.number_format for shown in _COLUMNS}
    for key in _TOTALS:
        total = f"SUMIF({counted},1,{column(book, key)})"
        put_formula(ws, f"{_LETTER[key]}{TOTAL_ROW}", styles.TOTAL, total, formats[key])
    month, users = (f"{_LETTER[key]}{TOTAL_ROW}" for key in ("cost_month", "users"))
    per_user = f"IF({users}>0,{month}/{users},{terms.MISSING})"
    put_formula(ws, f"{_LETTER['cost_user_month']}{TOTAL_ROW}", styles.TOTAL, per_user, formats["cost_user_month"])
    counts = {"counted": f"SUM({counted})", "rows": f"ROWS({counted})", "out": f"(ROWS({counted})-SUM({counted}))"}
    rows_counted = f.sentence(labels("scenarios.rows_counted"), counts)
    put_formula(ws, f"{_LETTER['state']}{TOTAL_ROW}", styles.TOTAL, rows_counted).alignment = left


def _mark_wrong_cells(ws: Worksheet) -> None:
    """Colour the inputs that a check finds wrong, and rows that are not counted; the column Check says why."""
    line = Side(style="thin", color=styles.WARNING)
    wrong = {"fill": styles.fill(styles.WRONG_FILL), "border": Border(left=line, right=line, top=line, bottom=line)}
    last = FIRST_ROW + MOST_SCENARIOS - 1  # rows below the table have no checks, so that nothing is coloured there
    for key, checks in _CHECKS_OF_INPUT.items():
        failed = ",".join(
            f"IF(ISNUMBER({check}),{check}=0,FALSE)" for check in (f"${_LETTER[name]}{FIRST_ROW}" for name in checks)
        )
        rule = FormulaRule([f"OR({failed})"], **wrong)
        ws.conditional_formatting.add(f"{_LETTER[key]}{FIRST_ROW}:{_LETTER[key]}{last}", rule)
    beyond, lacks, counted = (f"${_LETTER[key]}{FIRST_ROW}" for key in ("beyond", "lacks_cache", "counted"))
    doubtful = f"IF(ISNUMBER({counted}),OR({counted}=0,{beyond}=1,{lacks}=1),FALSE)"
    rule = FormulaRule([doubtful], font=Font(bold=True, color=styles.WARNING))
    ws.conditional_formatting.add(f"{_LETTER['state']}{FIRST_ROW}:{_LETTER['state']}{last}", rule)


def _set_out(labels: Labels, ws: Worksheet, last: int) -> None:
    """Write the headings of the groups of columns, with a rule left of each group but the first."""
    accent = Side(style="medium", color=styles.HEADING_FILL)
    for row in range(LEAST_ROW, HEADER_ROW):  # the notes above the workings would make some of them higher
        ws.row_dimensions[row].height = 18
    ws.row_dimensions[HEADER_ROW].height = 58  # three lines, and the buttons of the filter below them
    for name, columns in _GROUPS.items():
        first = _LETTER[columns[0].key]
        put(ws, f"{first}{GROUP_ROW}", styles.STATEMENT, labels(f"scenarios.{name}"))
        for shown in columns:
            heading_cell = ws[f"{_LETTER[shown.key]}{HEADER_ROW}"]
            heading_cell.alignment = Alignment(horizontal="center", vertical="top", wrap_text=True)
        if name != "inputs":
            for row in range(GROUP_ROW, last + 1):
                border = ws[f"{first}{row}"].border
                ws[f"{first}{row}"].border = Border(accent, border.right, border.top, border.bottom)
    for row in range(FIRST_ROW, last + 1):  # some formats of a cache have long names
        ws[f"{_LETTER['kv_precision']}{row}"].alignment = Alignment("left", "center", wrap_text=True, indent=1)
    ws.freeze_panes = f"B{FIRST_ROW}"


def _print_answers(ws: Worksheet, last: int) -> None:
    """Print the inputs and the answers."""
    ws.page_margins.left = ws.page_margins.right = 0.25  # inches
    ws.print_title_rows = f"{HEADER_ROW}:{HEADER_ROW}"
    ws.print_area = f"A1:{_LETTER['state']}{last}"


def header(labels: Labels, key: str) -> str:
    """Return the heading of a column."""
    if key in _FIELD_OF:
        return labels(_FIELD_OF[key].label)
    if outcome.has(key):
        return outcome.header(labels, key)
    if key in _BY_MEMORY:
        return labels(f"scenarios.{key}_by_memory")
    if key.startswith("check_"):
        return labels("scenarios.check_of", number=_CHECKS.index(key.removeprefix("check_")) + 1)
    return terms.label(labels, key) if key in _TERM_KEYS else labels(f"scenarios.{key}")


_BY_MEMORY = ("replicas", "deploy", "nodes")  # of the layout that holds the users at any speed
_TERM_KEYS = {
    *(term.name for term in (*DEVICE, *ESTIMATE, *OF_CONTEXT)), *OF_MODEL, "memory_bytes", "value_bytes", "by_engine", "is_shipped",
    "wide", "kernels", "all_weights_bytes", "attention_groups", *DRAFTS.by_name, *CACHE.by_name,
} - {*_ANSWER_TERMS}  # fmt: skip


def letter(key: str) -> str:
    """Return the letter of a column."""
    return _LETTER[key]


def key_of(name: str) -> str | None:
    """Return the key of the column that holds a name of the terms; None if there is none."""
    key = _KEY_OF_NAME.get(name, name)
    return key if key in _LETTER else None


def column(book: Book, key: str) -> str:
    """Return the reference to a whole column."""
    return f.whole_column(TABLE, header(book.labels, key))


def _formulas(book: Book, of_capacity: Cell) -> dict[str, str]:
    labels = book.labels

    def cell(key: str) -> str:
        return f.this_row(TABLE, header(labels, key))

    def model(key: str) -> str:
        return models.field_at(book, key, cell("model_at"))

    def gpu(key: str) -> str:
        return f"INDEX({gpus.column(book, key)},{cell('gpu_at')})"

    def reference(name: str) -> str:
        """Return the cell, look-up or defined name that holds a name of the terms."""
        key = key_of(name)
        if key:
            return cell(key)
        if name == "has_cache":
            return precisions.vllm_has_cache(cell("cache_format"), model("attention_kind"))
        return gpu(name) if name in ("small_steps", "workspace_bytes") else name

    def formula(term: Term) -> str:
        return terms.formula(term, reference)

    def if_ok(formula: str) -> str:
        return f"IF({cell('input_check')}={f.text(f.OK)},{formula},0)"

    checks = f.row_range(TABLE, *(header(labels, f"check_{_CHECKS[i]}") for i in (0, -1)))
    problems = f"${_LETTER[f'check_{_CHECKS[0]}']}${PROBLEM_ROW}:${_LETTER[f'check_{_CHECKS[-1]}']}${PROBLEM_ROW}"
    return {
        "input_check": f"IF(MIN({checks})=1,{f.text(f.OK)},INDEX({problems},MATCH(0,{checks},0)))",
        **{f"check_{key}": f"IF({check},1,0)" for key, check in _conditions(book, cell).items()},
        **_rows_and_lookups(book, cell, model, gpu, if_ok),
        # From the formula of `attention_groups`: a shorter chain.
        "groups_column": f"MAX(1,{f.row_in('group_sizes', formula(GROUPS['attention_groups']))})",
        **{
            term.name: if_ok(formula(term))
            for term in (ESTIMATE["tokens"], ESTIMATE["allocated_tokens"], *OF_CONTEXT, *CACHE)
        },
        **{
            term.name: formula(term)
            for term in (*DEVICE, *GROUPS, *DRAFTS, *(ESTIMATE[name] for name in _WORKING_TERMS[2:]))
        },
        **{key: f.if_inputs_ok(cell("input_check"), formula(ESTIMATE[name])) for key, name in _ANSWER_TERMS.items()},
        **_layout(labels, cell, of_capacity),
        **outcome.formulas(labels, cell, of_capacity, gpu, model("max_context")),
        **_addin_comparison(labels, cell),
    }


def _rows_and_lookups(book: Book, cell: Cell, model: Cell, gpu: Cell, if_ok: Cell) -> dict[str, str]:
    """Return the formulas of rows in other tables, and of what is looked up there."""

    def precision(number: str, row: str = "precision_row") -> str:
        return f"INDEX(precision_{number},{cell(row)})"

    served = f"INDEX(served_names,{_model_at(cell)},{precision('served_column')})"
    stored = f"INDEX(format_bytes,{cell('model_at')},{cell('format_column')})"
    given, kv = cell("gpu_memory"), cell("kv_precision")
    drafts = f"{cell('mtp_tokens')}>0"
    kernels = f"INDEX(shipped_kernels,{cell('model_at')},1+({drafts}))"
    return {
        "number": f"ROW()-ROW($A${HEADER_ROW})",
        "model_row": f.row_in(models.column(book, "model"), _drafted_name(cell)),
        "model_at": _model_at(cell),
        "gpu_row": f.row_in(gpus.column(book, "gpu"), cell("gpu")),
        "gpu_at": f"MAX(1,{cell('gpu_row')})",
        "precision_row": f"MAX(1,{f.row_in('precision_names', cell('precision'))})",
        "served_row": f"IF({precision('served_column')}>0,{precisions.row_of(served)},{cell('precision_row')})",
        "memory_bytes": if_ok(f"IF({given}>0,{given}*{f.GB},{gpu('memory_bytes')})"),
        "cache_format": f"IF({kv}={f.text(precisions.SHIPPED)},INDEX(cache_names,{cell('model_at')}),{kv})",
        "value_bytes": if_ok(precisions.of_cache("kv_bytes", cell("cache_format"))),
        "cache_column": if_ok(precisions.of_cache("kv_cache_column", cell("cache_format"))),
        "by_engine": f"IF({cell('engine')}={f.text(VLLM)},1,0)",
        "is_shipped": f"IF({cell('precision')}={f.text(precisions.SHIPPED)},1,0)",
        "weights_column": precision("weights_column", "served_row"),
        "kernels": f.or_shipped(precision("kernels", "served_row"), kernels),
        "wide": f.or_shipped(precision("wide", "served_row"), model("shipped_wide")),
        "format_column": precision("format_column"),
        "all_weights_bytes": f.weights_bytes(cell("format_column"), stored, model("parameters"), precision("bytes")),
        **{name: model(key) for name, key in OF_MODEL.items()},
        "layout_column": f"{cell('groups_column')}+IF({drafts},COLUMNS(group_sizes),0)",
    }


def _layout(labels: Labels, cell: Cell, of_capacity: Cell) -> dict[str, str]:
    """Return the formulas of the layout with the fewest GPUs, which Capacity finds."""

    def of_best(key: str) -> str:
        best = cell("best_row")
        return f"IF({best}>0,INDEX({of_capacity(key)},{best}),{terms.MISSING})"

    deploy, number = cell("deploy"), cell("number")
    last = f"INDEX({of_capacity('best_row')},{number}*layouts_per_scenario)"
    size = f"({cell('weights')}+{cell('kv')})"
    lines = f"({cell('weights')}+{cell('kv')}+{cell('overhead')})"
    enough = f"IF({cell('capacity')}>={size}*(1-{f.ROUNDING_NOISE}),1,0)"
    return {
        "best_row": f"IF(AND({cell('input_check')}={f.text(f.OK)},{number}<=most_scenarios),{last},0)",
        "deploy": of_best("gpus"),
        "layout": of_best("layout"),
        "replicas": of_best("replicas_needed"),
        "nodes": of_best("nodes"),
        "capacity": f"IF(ISNUMBER({deploy}),{deploy}*{cell('memory_bytes')}/{f.GB},{terms.MISSING})",
        "adds_up": f"IF(ISNUMBER({cell('total')}),IF({f.about(lines, cell('total'))},1,0),1)",
        "holds": f"IF(ISNUMBER({deploy}),{enough},1)",
    }


def _model_at(cell: Cell) -> str:
    """Return the formula of the cell `model_at`, with which other formulas have a shorter chain than with the cell."""
    return f"MAX(1,{cell('model_row')})"


def _drafted_name(cell: Cell) -> str:
    """Return the formula of the name on Models of the model, or of the pair if a model is named that drafts for it."""
    model, draft = cell("model"), cell("draft_model")
    return f"IF(LEN({draft})=0,{model},{model}&{f.text(JOINED)}&{draft})"


def _conditions(book: Book, cell: Cell) -> dict[str, str]:
    """Return the condition of each of `_CHECKS`."""

    def number(key: str) -> str:
        limits = _limit_cells(key)
        if key not in ("gpu_memory", "output_tokens"):
            return f.is_number_within(cell(key), *limits, whole=_LIMITS[key].whole)
        conditions = [f"{cell(key)}>={limits[0]}", f"{cell(key)}<={limits[1]}"]
        conditions += [f"{cell(key)}=INT({cell(key)})"] if _LIMITS[key].whole else []
        within = f"AND({','.join(conditions)})"
        return f"IF(ISNUMBER({cell(key)}),OR({cell(key)}=0,{within}),LEN({cell(key)})=0)"  # a blank may be read as 0

    def one_of(key: str, choices: tuple[str, ...]) -> str:
        return f"OR({','.join(f'EXACT({cell(key)},{f.text(choice)})' for choice in choices)})"

    def usual(key: str, field: Field) -> str:
        if key in _LIMITS:
            return number(key)
        return one_of(key, field.options) if field.options else f.is_listed(cell(key), field.choices or "")

    by_rule, tokens = f"{cell('engine')}={f.text(RULE)}", cell("mtp_tokens")

    def model(key: str) -> str:
        return models.field_at(book, key, _model_at(cell))

    return {
        **{key: usual(key, field) for key, field in _FIELD_OF.items() if field.problem},
        "model": f.is_listed(cell("model"), "model_names"),
        "draft_model": f"{model('draft_model')}&{f.text('')}={cell('draft_model')}&{f.text('')}",
        "model_empty": "*".join(map(model, ("parameters", "layers"))) + ">0",
        "drafter": f"IF(ISNUMBER({tokens}),IF({tokens}=0,LEN({cell('draft_model')})=0,{model('mtp_layers')}>0),TRUE)",
        "output_fits": f"IF(ISNUMBER({cell('output_tokens')}),{cell('output_tokens')}<{cell('context')},TRUE)",
        "average_tokens": f"IF({cell('allocation')}={f.text(PAGED)},{number('average_tokens')},TRUE)",
        "engine_shapes": f"IF({by_rule},TRUE,{model('has_shapes')}=1)",
        "gpu": f.is_in_row(cell("gpu"), gpus.column(book, "gpu"), cell("gpu_row")),
    }


def _addin_comparison(labels: Labels, cell: Cell) -> dict[str, str]:
    """Return the formulas that compare the total with the add-in's; their results are texts or feed one text only."""
    arguments = ",".join(
        cell(key) for key in ("model", "context", "users", "precision", "kv_precision", "overhead_rate")
    )
    reserved = f"{cell('allocation')}={f.text(RESERVED)}"
    texts = {
        key: f.text(labels(f"scenarios.addin_{key}")) for key in ("agrees", "differs", "no_input", "other", "missing")
    }
    total, is_ok = cell("addin_total"), f"{cell('input_check')}={f.text(f.OK)}"
    compared = f"IF({f.about(total, cell('total'))},{texts['agrees']},{texts['differs']})"
    # VRAM_TOTAL reserves the whole context, as the article does.
    return {
        "addin_total": f"IF(AND(addin_loaded=1,{reserved}),IFERROR(VRAM_TOTAL({arguments}),0),{terms.MISSING})",
        "addin": f"IF(ISNUMBER({total}),IF({is_ok},{compared},{texts['no_input']}),"
        f"IF(addin_loaded=1,{texts['other']},{texts['missing']}))",
    }


def _validate(book: Book, ws: Worksheet, last: int) -> None:
    labels = book.labels
    for key, field in _FIELD_OF.items():
        prompt = labels(field.prompt)
        if key in _LIMITS:
            rule = between_rule(*_limit_cells(key), whole=_LIMITS[key].whole)
        elif field.choices or field.options:
            rule = list_rule(field.choices or '"' + ",".join(field.options) + '"')
        else:
            rule = text_rule(LONGEST_TITLE)
        _attach(labels, ws, key, last, rule, prompt)
        if field.limits or field.choices:
            rule.allow_blank = field.may_be_blank


def _attach(labels: Labels, ws: Worksheet, key: str, last: int, rule, prompt: str) -> None:
    cells = f"{_LETTER[key]}{FIRST_ROW}:{_LETTER[key]}{last}"
    title = header(labels, key)
    validate(ws, cells, rule, title=title, prompt=prompt, wrong_title=labels("prompt.wrong_title"))


def _limit_cells(key: str) -> tuple[str, str]:
    """Return the cells of the least and the most of an input."""
    return f"${_LIMIT_LETTERS[key]}${LEAST_ROW}", f"${_LIMIT_LETTERS[key]}${MOST_ROW}"
