"""Write the Scenarios sheet: the planner itself, an Excel table with one scenario per row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from openpyxl.chart import BarChart, LineChart, Reference
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet

from core.checks import LIMITS
from core.plan.allocation import PAGED, RESERVED
from core.plan.memory import DEVICE, ESTIMATE
from core.plan.serving import RULE, VLLM
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
    heading,
    list_rule,
    put,
    text_rule,
    validate,
)
from workbook.labels import Labels
from workbook.scenario import FIELDS, Field
from workbook.sheets import gpus, models, precisions

TABLE = "Scenarios"
MOST_SCENARIOS = 30  # the rows that Capacity has room for
LEAST_ROW, MOST_ROW, HEADER_ROW = 4, 5, 6
FIRST_ROW = HEADER_ROW + 1
LONGEST_TITLE = 60  # characters; two lines of the column hold that many
_ROWS_TO_GROW = 14  # free rows between the table and the chart below it


def _example(title: str, model: str, context: int, users: int, **given: object) -> Mapping[str, object]:
    """Return an example row, field → value; `title` is the key of a label, and a field not given has its default."""
    defaults = {field.name: field.default for field in FIELDS}
    return {**defaults, "scenario": title, "model": model, "context": context, "users": users, **given}


# The article: 2 bytes per value, 10 % overhead, and the label of an A100 80 GB.
_AS_IN_ARTICLE = {"precision": "fp16", "engine": RULE, "gpu": "a100-sxm-80gb", "gpu_memory_gb": 80}
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
_INPUTS = tuple(
    SheetColumn(key, field.width, styles.INPUT if field.limits else styles.INPUT_TEXT, field.number_format)
    for key, field in _FIELD_OF.items()
)
_ANSWERS = (
    SheetColumn("input_check", 30, styles.FORMULA_TEXT, None),
    SheetColumn("weights", 11, styles.FORMULA, GB_FORMAT),
    SheetColumn("kv", 11, styles.FORMULA, GB_FORMAT),
    SheetColumn("overhead", 11, styles.FORMULA, GB_FORMAT),
    SheetColumn("total", 12, styles.TOTAL, GB_FORMAT),
    SheetColumn("gpus", 11, styles.TOTAL, COUNT_FORMAT),
    SheetColumn("layout", 12, styles.FORMULA_TEXT, None),
    SheetColumn("replicas", 10, styles.FORMULA, COUNT_FORMAT),
    SheetColumn("deploy", 10, styles.TOTAL, COUNT_FORMAT),
    SheetColumn("nodes", 8, styles.FORMULA, COUNT_FORMAT),
    SheetColumn("capacity", 12, styles.FORMULA, GB_FORMAT),
    SheetColumn("addin", 16, styles.FORMULA_TEXT, None),
)
# Columns of Models that the terms use: name of the input → key of the column.
OF_MODEL = {
    "all_parameters": "parameters", "all_values_per_token": "values_per_token", "window_tokens": "window",
    "all_windowed_values": "windowed_values", "window_tokens_2": "window_2",
    "all_windowed_values_2": "windowed_values_2", "all_fixed_values": "fixed_values", "all_fixed_bytes": "fixed_bytes",
    "all_index_bytes": "index_bytes", "groups": "groups", "groups_2": "groups_2", "window": "vllm_window",
    "window_groups": "window_groups", "states": "states",
}  # fmt: skip
# Answers that are terms: key of the column → name of the term.
_ANSWER_TERMS = {
    "weights": "weights_gb", "kv": "kv_gb", "overhead": "overhead_gb", "total": "total_gb", "gpus": "by_division",
}  # fmt: skip
_WORKING_TERMS = tuple(term.name for term in ESTIMATE if term.name not in _ANSWER_TERMS.values())

# Checks of inputs, in the order in which their problems are named: key → the field or what else is checked.
_CHECKS = (
    "model", "model_empty", "context", "users", "allocation", "average_tokens", "precision", "kv_precision", "engine",
    "engine_shapes", "overhead_rate", "gpu", "gpu_memory",
)  # fmt: skip
_MADE_OF_INPUTS = (
    "number", "model_row", "model_at", "gpu_row", "gpu_at", "precision_row", "format_column", "served_row", "memory_bytes",
    "value_bytes", "cache_column", "by_engine", "is_shipped", "weights_column", "kernels", "wide",
    "all_weights_bytes",
)  # fmt: skip
_WORKING = (
    *(SheetColumn(f"check_{key}", 10, styles.CHECK) for key in _CHECKS),
    *(SheetColumn(key, 13) for key in _MADE_OF_INPUTS),
    *(SheetColumn(term.name, 14) for term in DEVICE),
    *(SheetColumn(key, 16) for key in OF_MODEL),
    *(SheetColumn(name, 14) for name in _WORKING_TERMS),
    SheetColumn("best_row", 10),
    SheetColumn("adds_up", 9, styles.CHECK, None),
    SheetColumn("holds", 12, styles.CHECK, None),
    SheetColumn("addin_total", 13, styles.FORMULA, GB_FORMAT),
)
_COLUMNS = (*_INPUTS, *_ANSWERS, *_WORKING)

_LETTER = {column.key: get_column_letter(number) for number, column in enumerate(_COLUMNS, start=1)}
_LIMITS = {key: LIMITS[field.limits] for key, field in _FIELD_OF.items() if field.limits}
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
    for row, key in ((LEAST_ROW, "least"), (MOST_ROW, "most")):
        put(ws, f"B{row}", styles.NOTE, labels(f"scenarios.{key}"))
    for key, limits in _LIMITS.items():
        number_format = PERCENT_FORMAT if _FIELD_OF[key].number_format == RATE_FORMAT else COUNT_FORMAT
        put(ws, f"{_LETTER[key]}{LEAST_ROW}", styles.SOURCE_FIGURE, limits.least, number_format)
        put(ws, f"{_LETTER[key]}{MOST_ROW}", styles.SOURCE_FIGURE, limits.most, number_format)
    for key in _CHECKS:
        put(ws, f"{_LETTER[f'check_{key}']}{LEAST_ROW}", styles.NOTE, labels(f"scenarios.problem_{key}"))
    ws.row_dimensions[HEADER_ROW].height = 46
    last = filled_table(ws, TABLE, HEADER_ROW, _COLUMNS, partial(header, labels), rows, _formulas(book, of_capacity))
    book.name("scenario_names", ws, f"A{FIRST_ROW}:A{last}")
    _validate(book, ws, last)
    _write_chart(book, ws, last)
    ws.freeze_panes = f"C{FIRST_ROW}"
    ws.print_title_rows = f"{HEADER_ROW}:{HEADER_ROW}"
    ws.print_area = f"A1:{_LETTER['capacity']}{last + _ROWS_TO_GROW + 22}"


def header(labels: Labels, key: str) -> str:
    """Return the heading of a column."""
    if key in _FIELD_OF:
        return labels(_FIELD_OF[key].label)
    if key.startswith("check_"):
        return labels("scenarios.check_of", number=_CHECKS.index(key.removeprefix("check_")) + 1)
    return terms.label(labels, key) if key in _TERM_KEYS else labels(f"scenarios.{key}")


_TERM_KEYS = {
    *(term.name for term in (*DEVICE, *ESTIMATE)), *OF_MODEL, "memory_bytes", "value_bytes", "by_engine", "is_shipped",
    "wide", "kernels", "all_weights_bytes",
} - {*_ANSWER_TERMS}  # fmt: skip


def letter(key: str) -> str:
    """Return the letter of a column."""
    return _LETTER[key]


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
        key = _KEY_OF_NAME.get(name, name)
        if key in _LETTER:
            return cell(key)
        return gpu(name) if name in ("is_a100", "workspace_bytes") else name

    def formula(term: Term) -> str:
        return terms.formula(term, reference)

    def if_ok(formula: str) -> str:
        return f"IF({cell('input_check')}={f.text(f.OK)},{formula},0)"

    checks = f.row_range(TABLE, *(header(labels, f"check_{_CHECKS[i]}") for i in (0, -1)))
    problems = f"${_LETTER[f'check_{_CHECKS[0]}']}${LEAST_ROW}:${_LETTER[f'check_{_CHECKS[-1]}']}${LEAST_ROW}"
    return {
        "input_check": f"IF(MIN({checks})=1,{f.text(f.OK)},INDEX({problems},MATCH(0,{checks},0)))",
        **{f"check_{key}": f"IF({check},1,0)" for key, check in _conditions(book, cell, model).items()},
        **_rows_and_lookups(book, cell, model, gpu, if_ok),
        **{term.name: if_ok(formula(term)) for term in (ESTIMATE["tokens"], ESTIMATE["allocated_tokens"])},
        **{term.name: formula(term) for term in (*DEVICE, *(ESTIMATE[name] for name in _WORKING_TERMS[2:]))},
        **{key: f.if_inputs_ok(cell("input_check"), formula(ESTIMATE[name])) for key, name in _ANSWER_TERMS.items()},
        **_answers(labels, cell, of_capacity),
        **_addin_comparison(labels, cell),
    }


def _rows_and_lookups(book: Book, cell: Cell, model: Cell, gpu: Cell, if_ok: Cell) -> dict[str, str]:
    """Return the formulas of rows in other tables, and of what is looked up there."""

    def precision(number: str, row: str = "precision_row") -> str:
        return f"INDEX(precision_{number},{cell(row)})"

    served = f"INDEX(served_names,{cell('model_at')},{precision('served_column')})"
    stored = f"INDEX(format_bytes,{cell('model_at')},{cell('format_column')})"
    given = cell("gpu_memory")
    return {
        "number": f"ROW()-ROW($A${HEADER_ROW})",
        "model_row": f.row_in(models.column(book, "model"), cell("model")),
        "model_at": f"MAX(1,{cell('model_row')})",
        "gpu_row": f.row_in(gpus.column(book, "gpu"), cell("gpu")),
        "gpu_at": f"MAX(1,{cell('gpu_row')})",
        "precision_row": f"MAX(1,{f.row_in('precision_names', cell('precision'))})",
        "served_row": f"IF({precision('served_column')}>0,{precisions.row_of(served)},{cell('precision_row')})",
        "memory_bytes": if_ok(f"IF({given}>0,{given}*{f.GB},{gpu('memory_bytes')})"),
        "value_bytes": if_ok(precisions.bytes_of(cell("kv_precision"))),
        "cache_column": if_ok(f"INDEX(precision_cache_column,{precisions.row_of(cell('kv_precision'))})"),
        "by_engine": f"IF({cell('engine')}={f.text(VLLM)},1,0)",
        "is_shipped": f"IF({cell('precision')}={f.text(precisions.SHIPPED)},1,0)",
        "weights_column": precision("weights_column", "served_row"),
        "kernels": f"IF({precision('kernels', 'served_row')}>0,{precision('kernels', 'served_row')},{model('shipped_kernels')})",
        "wide": f"IF({precision('wide', 'served_row')}>0,{precision('wide', 'served_row')},{model('shipped_wide')})",
        "format_column": precision("format_column"),
        "all_weights_bytes": f"IF({cell('format_column')}>0,{stored},{model('parameters')}*{precision('bytes')})",
        **{name: model(key) for name, key in OF_MODEL.items()},
    }


def _answers(labels: Labels, cell: Cell, of_capacity: Cell) -> dict[str, str]:
    """Return the formulas of the layout with the fewest GPUs, which Capacity finds."""

    def of_best(key: str) -> str:
        best = cell("best_row")
        return f"IF({best}>0,INDEX({of_capacity(key)},{best}),NA())"

    deploy, number = cell("deploy"), cell("number")
    last = f"INDEX({of_capacity('best_row')},{number}*layouts_per_scenario)"
    size = f"({cell('weights')}+{cell('kv')})"
    lines = f"({cell('weights')}+{cell('kv')}+{cell('overhead')})"
    enough = f"IF({cell('capacity')}>={size}*(1-{f.ROUNDING_NOISE}),1,0)"
    return {
        "best_row": f"IF(AND({cell('input_check')}={f.text(f.OK)},{number}<=most_scenarios),{last},0)",
        "deploy": of_best("gpus"),
        "layout": f"IF({number}>most_scenarios,{f.text(labels('scenarios.full'))},{of_best('layout')})",
        "replicas": of_best("replicas_needed"),
        "nodes": of_best("nodes"),
        "capacity": f"{deploy}*{cell('memory_bytes')}/{f.GB}",
        "adds_up": f"IF(ISNUMBER({cell('total')}),IF({f.about(lines, cell('total'))},1,0),1)",
        "holds": f"IF(ISNUMBER({deploy}),{enough},1)",
    }


def _conditions(book: Book, cell: Cell, model: Cell) -> dict[str, str]:
    """Return the condition of each of `_CHECKS`."""

    def number(key: str) -> str:
        limits = f"${_LETTER[key]}${LEAST_ROW}", f"${_LETTER[key]}${MOST_ROW}"
        within = f.is_number_within(cell(key), *limits, whole=_LIMITS[key].whole)
        if key != "gpu_memory":
            return within
        between = f"AND({cell(key)}>={limits[0]},{cell(key)}<={limits[1]})"  # a blank cell may be read as 0
        return f"IF(ISNUMBER({cell(key)}),OR({cell(key)}=0,{between}),LEN({cell(key)})=0)"

    def one_of(key: str, choices: tuple[str, ...]) -> str:
        return f"OR({','.join(f'EXACT({cell(key)},{f.text(choice)})' for choice in choices)})"

    def usual(key: str, field: Field) -> str:
        if field.limits:
            return number(key)
        return one_of(key, field.options) if field.options else f.is_listed(cell(key), field.choices or "")

    by_rule = f"{cell('engine')}={f.text(RULE)}"
    return {
        **{key: usual(key, field) for key, field in _FIELD_OF.items() if field.problem},
        "model": f.is_in_row(cell("model"), models.column(book, "model"), cell("model_row")),
        "model_empty": f"{model('parameters')}*{model('layers')}>0",
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
        if field.limits:
            limits = f"${_LETTER[key]}${LEAST_ROW}", f"${_LETTER[key]}${MOST_ROW}"
            rule = between_rule(*limits, whole=_LIMITS[key].whole)
            _attach(labels, ws, key, last, rule, prompt)
            rule.allow_blank = field.may_be_blank
        elif field.choices or field.options:
            choices = field.choices or '"' + ",".join(field.options) + '"'
            _attach(labels, ws, key, last, list_rule(choices), prompt)
        else:
            _attach(labels, ws, key, last, text_rule(LONGEST_TITLE), prompt)


def _attach(labels: Labels, ws: Worksheet, key: str, last: int, rule, prompt: str) -> None:
    cells = f"{_LETTER[key]}{FIRST_ROW}:{_LETTER[key]}{last}"
    title = header(labels, key)
    validate(ws, cells, rule, title=title, prompt=prompt, wrong_title=labels("prompt.wrong_title"))


def _write_chart(book: Book, ws: Worksheet, last: int) -> None:
    """Add a chart: weights, KV cache and overhead as stacked bars, the memory of the deployed GPUs as marks."""
    labels = book.labels

    def series(key: str) -> Reference:
        number = list(_LETTER).index(key) + 1
        return Reference(ws, min_col=number, min_row=HEADER_ROW, max_row=last)

    bars = BarChart()
    bars.grouping, bars.overlap, bars.gapWidth = "stacked", 100, 60
    for key, colour in zip(("weights", "kv", "overhead"), styles.PART_COLOURS):
        bars.add_data(series(key), titles_from_data=True)
        bars.series[-1].graphicalProperties.solidFill = colour
        bars.series[-1].graphicalProperties.line.solidFill = styles.INK
    capacity = LineChart()
    capacity.add_data(series("capacity"), titles_from_data=True)
    capacity.series[0].smooth = False
    capacity.series[0].graphicalProperties.line.noFill = True
    capacity.series[0].marker.symbol, capacity.series[0].marker.size = "dash", 12
    capacity.series[0].marker.graphicalProperties.solidFill = styles.INK
    names = Reference(ws, min_col=1, min_row=FIRST_ROW, max_row=last)
    bars.set_categories(names)
    bars += capacity
    bars.title = labels("scenarios.chart")
    bars.height, bars.width = 11, 40
    bars.x_axis.delete = bars.y_axis.delete = False
    bars.y_axis.title, bars.y_axis.number_format = labels("unit.gb"), "#,##0"
    bars.legend.position = "b"
    book.add_chart(ws, bars, f"A{last + _ROWS_TO_GROW}", labels("scenarios.chart_alt"))
