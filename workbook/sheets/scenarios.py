"""Write the Scenarios sheet: the planner itself, an Excel table with one scenario per row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from openpyxl.chart import BarChart, LineChart, Reference
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet

from core.checks import LIMITS
from core.plan.allocation import PAGED, RESERVED
from core.plan.worksheet import LAYOUTS, RULE, STEP_TOKENS, VLLM
from workbook import formulas as f
from workbook import styles
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
LEAST_ROW, MOST_ROW, HEADER_ROW = 4, 5, 6
TP_ROW, PP_ROW = LEAST_ROW, MOST_ROW  # of the layouts, whose columns have no limits
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
_WORKING = (
    SheetColumn("model_row", 10, styles.FORMULA, COUNT_FORMAT),
    SheetColumn("gpu_row", 10, styles.FORMULA, COUNT_FORMAT),
    SheetColumn("memory_gb", 12, styles.FORMULA, GB_FORMAT),
    SheetColumn("per_node", 10, styles.FORMULA, COUNT_FORMAT),
    SheetColumn("step_tokens", 10, styles.FORMULA, COUNT_FORMAT),
    SheetColumn("max_sequences", 13, styles.FORMULA, COUNT_FORMAT),
    SheetColumn("tokens", 11, styles.FORMULA, COUNT_FORMAT),
    SheetColumn("value_bytes", 10, styles.FORMULA, "0.0###"),
    SheetColumn("usable_one", 12, styles.FORMULA, GB_FORMAT),
    SheetColumn("usable_several", 12, styles.FORMULA, GB_FORMAT),
    *(SheetColumn(f"padding_{part}", 10, styles.FORMULA, "0.000") for part in ("all_tokens", "windows", "states")),
    *(SheetColumn(f"users_{number}", 13, styles.FORMULA, COUNT_FORMAT) for number in range(len(LAYOUTS))),
    *(SheetColumn(f"gpus_{number}", 13, styles.FORMULA, COUNT_FORMAT) for number in range(len(LAYOUTS))),
    SheetColumn("holds", 12, styles.CHECK, None),
)
_COLUMNS = (*_INPUTS, *_ANSWERS, *_WORKING)

_LETTER = {column.key: get_column_letter(number) for number, column in enumerate(_COLUMNS, start=1)}
_LIMITS = {key: LIMITS[field.limits] for key, field in _FIELD_OF.items() if field.limits}
Cell = Callable[[str], str]
Values = Mapping[str, object]


def default_rows(labels: Labels) -> list[Values]:
    """Return the example rows of a new planner."""
    return [
        {field.column: example[field.name] for field in FIELDS}
        | {"scenario": labels(f"scenarios.{example['scenario']}")}
        for example in EXAMPLES
    ]


def write(book: Book, rows: Sequence[Values]) -> None:
    """Write the sheet. The sheets Models, GPUs and Precisions and the name `addin_loaded` must exist.

    Args:
        rows: the inputs of each scenario: column key → value.
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
    _write_layouts(ws, labels)
    ws.row_dimensions[HEADER_ROW].height = 46
    last = filled_table(ws, TABLE, HEADER_ROW, _COLUMNS, partial(header, labels), rows, _formulas(book))
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
    part, _, number = key.rpartition("_")
    if number.isdigit():
        return labels(f"scenarios.{part}_of_layout", layout=LAYOUTS[int(number)].title)
    return labels(f"scenarios.{key}")


def letter(key: str) -> str:
    """Return the letter of a column."""
    return _LETTER[key]


def column(book: Book, key: str) -> str:
    """Return the reference to a whole column."""
    return f.whole_column(TABLE, header(book.labels, key))


def _write_layouts(ws: Worksheet, labels: Labels) -> None:
    """Write TP and PP of each layout above its columns."""
    put(ws, f"{_LETTER['padding_states']}{TP_ROW}", styles.NOTE, "TP")
    put(ws, f"{_LETTER['padding_states']}{PP_ROW}", styles.NOTE, "PP")
    for number, layout in enumerate(LAYOUTS):
        for part in ("users", "gpus"):
            put(ws, f"{_LETTER[f'{part}_{number}']}{TP_ROW}", styles.SOURCE_FIGURE, layout.tp, COUNT_FORMAT)
            put(ws, f"{_LETTER[f'{part}_{number}']}{PP_ROW}", styles.SOURCE_FIGURE, layout.pp, COUNT_FORMAT)


def _formulas(book: Book) -> dict[str, str]:
    labels = book.labels

    def cell(key: str) -> str:
        return f.this_row(TABLE, header(labels, key))

    def model(key: str) -> str:
        return models.field_at(book, key, cell("model_row"))

    def gpu(key: str) -> str:
        return f"INDEX({gpus.column(book, key)},{cell('gpu_row')})"

    by_vllm = f"{cell('engine')}={f.text(VLLM)}"
    size = f"{cell('weights')}+{cell('kv')}"
    room = f"IF({size}<={cell('usable_one')},{cell('usable_one')},{cell('usable_several')})"
    by_rule = f.overhead_gb(cell("weights"), cell("kv"), cell("overhead_rate"))
    # The input check reads these, so they are never an error: 0 if they cannot be computed.
    used_by_check = {
        "memory_gb": f"IF({cell('gpu_memory')}>0,{cell('gpu_memory')},{gpu('memory_gb')})",
        "step_tokens": f"IF({by_vllm},{gpu('step_tokens')},0)",
        "usable_one": _usable(cell, model, by_vllm, several=False),
        "usable_several": _usable(cell, model, by_vllm, several=True),
    }
    results = {
        "per_node": gpu("per_node_planned"),
        "max_sequences": f"IF({by_vllm},{gpu('max_sequences')},{f.GB})",
        "tokens": f.allocated_tokens(
            cell("context"), cell("average_tokens"), paged=f"{cell('allocation')}={f.text(PAGED)}", in_blocks=by_vllm
        ),
        "value_bytes": precisions.bytes_of(cell("kv_precision")),
        **{
            f"padding_{part}": f"IF({by_vllm},{model(f'padding_{part}')},1)"
            for part in ("all_tokens", "windows", "states")
        },
        **{f"users_{number}": _users(cell, model, number) for number in range(len(LAYOUTS))},
        **{f"gpus_{number}": _gpus(cell, number) for number in range(len(LAYOUTS))},
        "weights": models.weights_gb(book, cell("model_row"), cell("precision")),
        "kv": models.kv_gb(book, cell("model_row"), cell("tokens"), cell("users"), cell("value_bytes")),
        "overhead": f"IF({by_vllm},{cell('gpus')}*({cell('memory_gb')}-{room}),{by_rule})",
        "total": f"{size}+{cell('overhead')}",
        "gpus": f.rounded_up(f"IF({by_vllm},({size})/{room},({size}+{by_rule})/{cell('memory_gb')})"),
        **_answers(cell),
    }
    return {
        "model_row": f.row_in(models.column(book, "model"), cell("model")),
        "gpu_row": f.row_in(gpus.column(book, "gpu"), cell("gpu")),
        **{key: f"IFERROR({formula},0)" for key, formula in used_by_check.items()},
        "input_check": f.first_problem(_conditions(book, cell, model)),
        **{key: f.if_inputs_ok(cell("input_check"), formula) for key, formula in results.items()},
        "addin": _addin_comparison(labels, cell),
    }


def _usable(cell: Cell, model: Cell, by_vllm: str, *, several: bool) -> str:
    """Return a formula for the GB of one GPU that weights and KV cache may use."""
    memory, other = cell("memory_gb"), "vllm_other_several_gb" if several else "vllm_other_one_gb"
    activation = f.first_of(
        [
            (f"{cell('step_tokens')}=vllm_step_tokens_{number}", model(models.activation_key(step, several)))
            for number, step in enumerate(STEP_TOKENS, start=1)
        ]
    )
    return f"IF({by_vllm},{f.vllm_usable_gb(memory)}-{activation}-{other},{memory}/(1+{cell('overhead_rate')}))"


def _users(cell: Cell, model: Cell, number: int) -> str:
    """Return a formula for the most users of a replica (`core.plan.worksheet.worksheet_plans`); 0 if not possible."""

    def needs(part: str) -> str:
        return model(models.layout_key(number, part))

    usable = cell("usable_one" if LAYOUTS[number].tp == 1 else "usable_several")
    stored = f"{cell('weights')}*{needs('parameters')}/{model('parameters')}"
    weights = f"IF({cell('precision')}={f.text(precisions.SHIPPED)},{f.in_gb(needs('shipped_bytes'))},{stored})"
    loading = f.in_gb(f"SIGN({cell('step_tokens')})*{needs('loading')}")
    budget = f"({usable}-{loading}-{weights})"
    each = _kv_of_user(cell, model, needs)
    users = f"MAX(0,MIN({cell('max_sequences')},{f.users_that_fit(budget, f'({each})')}))"
    return f"IF({_is_possible(cell, needs('parameters'), number)},{users},0)"


def _is_possible(cell: Cell, parameters: str, number: int) -> str:
    """Return a condition: the model can be split this way and the layout fits nodes (`core.plan.nodes.node_takes`)."""
    tp, pp = _layout_cells(number)
    in_node = f"MOD({cell('per_node')},{tp}*{pp})=0"
    over_nodes = f"{cell('per_node')}={tp}"
    splits = f"IF({tp}*{pp}<={cell('per_node')},{in_node},{over_nodes})"
    return f"IF(ISNUMBER({parameters}),IF(MOD({cell('per_node')},{tp})=0,{splits},FALSE),FALSE)"


def _layout_cells(number: int) -> tuple[str, str]:
    """Return the cells of TP and PP of a layout."""
    column = _LETTER[f"users_{number}"]
    return f"${column}${TP_ROW}", f"${column}${PP_ROW}"


def _kv_of_user(cell: Cell, model: Cell, needs: Cell) -> str:
    """Return a formula for one user's GB on a GPU of the layout (`core.plan.worksheet.kv_bytes_per_user`)."""
    tokens, step, value_bytes = cell("tokens"), cell("step_tokens"), cell("value_bytes")
    block = f"SIGN({step})*kv_block_tokens"

    def in_window(window: str, values: str) -> str:
        return f"{needs(values)}*(MIN({tokens},{model(window)}+{step})+{block})"

    growing = (
        f"({needs('values_per_token')}*{value_bytes}+{needs('index_bytes')})*{tokens}*{cell('padding_all_tokens')}"
    )
    windowed = f"{in_window('window', 'windowed_values')}+{in_window('window_2', 'windowed_values_2')}"
    fixed = f"({needs('fixed_values')}*{value_bytes}+{needs('fixed_bytes')})*{cell('padding_states')}"
    return f"({growing}+({windowed})*{value_bytes}*{cell('padding_windows')}+{fixed})/{f.GB}"


def _gpus(cell: Cell, number: int) -> str:
    """GPUs of all replicas in that layout; 0 where not even one user fits."""
    tp, pp = _layout_cells(number)
    all_users, users = cell("users"), cell(f"users_{number}")
    return f"IF({users}>0,{f.rounded_up(f'{all_users}/{users}')}*{tp}*{pp},0)"


def _answers(cell: Cell) -> dict[str, str]:
    """The layout with the fewest GPUs, of several the first."""
    every = [cell(f"gpus_{number}") for number in range(len(LAYOUTS))]
    fewest = f"MIN({','.join(f'IF({gpus}>0,{gpus},{f.GB})' for gpus in every)})"
    deploy = cell("deploy")

    def chosen(values: list[str]) -> str:
        return f.first_of([(f"{gpus}={deploy}", value) for gpus, value in zip(every, values)])

    per_replica = chosen(["*".join(_layout_cells(number)) for number in range(len(LAYOUTS))])
    per_node, replicas = cell("per_node"), cell("replicas")
    shared = f.rounded_up(f"{replicas}/INT({per_node}/({per_replica}))")
    return {
        "deploy": f"IF(MAX({','.join(every)})>0,{fewest},NA())",
        "layout": chosen([f.text(layout.title) for layout in LAYOUTS]),
        "replicas": f"{deploy}/({per_replica})",
        "nodes": f"IF({per_replica}>={per_node},{replicas}*{f.rounded_up(f'({per_replica})/{per_node}')},{shared})",
        "capacity": f"{deploy}*{cell('memory_gb')}",
        "holds": f"IF(ISNUMBER({deploy}),IF({cell('capacity')}>=({cell('weights')}+{cell('kv')})*(1-{f.ROUNDING_NOISE}),1,0),1)",
    }


def _conditions(book: Book, cell: Cell, model: Cell) -> list[tuple[str, str]]:
    """Return (condition, message if it is not met) of each check, in the order of the columns."""

    def number(key: str) -> str:
        limits = f"${_LETTER[key]}${LEAST_ROW}", f"${_LETTER[key]}${MOST_ROW}"
        within = f.is_number_within(cell(key), *limits, whole=_LIMITS[key].whole)
        return f"IF({f.is_blank(cell(key))},TRUE,{within})" if key == "gpu_memory" else within

    def one_of(key: str, choices: tuple[str, ...]) -> str:
        return f"OR({','.join(f'EXACT({cell(key)},{f.text(choice)})' for choice in choices)})"

    def usual(key: str, field: Field) -> str:
        if field.limits:
            return number(key)
        return one_of(key, field.options) if field.options else f.is_listed(cell(key), field.choices or "")

    special = {
        "model": f.is_in_row(cell("model"), models.column(book, "model"), cell("model_row")),
        "average_tokens": f"IF({cell('allocation')}={f.text(PAGED)},{number('average_tokens')},TRUE)",
        "gpu": f.is_in_row(cell("gpu"), gpus.column(book, "gpu"), cell("gpu_row")),
    }
    by_rule = f"{cell('engine')}={f.text(RULE)}"
    shapes = f"ISNUMBER({model(models.activation_key(STEP_TOKENS[0], False))})"
    further = {  # after the check of the column
        "model": ("scenarios.problem_model_empty", f"{model('parameters')}*{model('layers')}>0"),
        "engine": ("scenarios.problem_engine_shapes", f"IF({by_rule},TRUE,{shapes})"),
        "gpu_memory": ("scenarios.problem_gpu_too_small", f"{cell('usable_several')}>0"),
    }
    holds = []
    for key, field in _FIELD_OF.items():
        if field.problem:
            holds.append((field.problem, special.get(key) or usual(key, field)))
        if key in further:
            holds.append(further[key])
    return [(condition, book.labels(problem)) for problem, condition in holds]


def _addin_comparison(labels: Labels, cell: Cell) -> str:
    """Return a formula that compares the total with the add-in's; its result is a text that no number depends on."""
    arguments = ",".join(
        cell(key) for key in ("model", "context", "users", "precision", "kv_precision", "overhead_rate")
    )
    agrees, differs = f.text(labels("scenarios.addin_agrees")), f.text(labels("scenarios.addin_differs"))
    compared = f"IFERROR(IF({f.equal(f'VRAM_TOTAL({arguments})', cell('total'))}=1,{agrees},{differs}),{differs})"
    # VRAM_TOTAL computes as the article does: reserved context and the overhead rule.
    comparable = f"AND({cell('allocation')}={f.text(RESERVED)},{cell('engine')}={f.text(RULE)})"
    compared = f"IF({comparable},{compared},{f.text(labels('scenarios.addin_other'))})"
    usable = f"IF({cell('input_check')}={f.text(f.OK)},{compared},{f.text(labels('scenarios.addin_no_input'))})"
    return f"IF(addin_loaded=1,{usable},{f.text(labels('scenarios.addin_missing'))})"


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
