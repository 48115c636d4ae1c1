"""Write the Sensitivity sheet: memory, GPUs and speed of the chosen scenario over context × users.

The GPU and the layout are those of the best option; where there is none, those of the scenario's row. Grids show the
results. Below them are the workings: what does not depend on context and users, a table with a row for each context,
and a table with a row for each cell of a grid.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import ModuleType

from openpyxl.chart import LineChart, Reference
from openpyxl.formatting.rule import ColorScaleRule, Rule
from openpyxl.styles import Border, Font, Side
from openpyxl.styles.differential import DifferentialStyle
from openpyxl.styles.numbers import NumberFormat
from openpyxl.utils import absolute_coordinate, coordinate_to_tuple, get_column_letter
from openpyxl.worksheet.worksheet import Worksheet

from core.checks import LIMITS
from core.plan.demand import TOKENS
from core.plan.memory import BLOCKS, ESTIMATE, OF_CONTEXT, REPLICAS, RULE, STAGE
from core.plan.money import ORDER
from core.plan.speed_terms import ATTENTION, FAST, LOAD, PACE, SERVED
from workbook import formulas as f
from workbook import styles, terms
from workbook.book import (
    COUNT_FORMAT,
    GB_FORMAT,
    PLAIN_FORMAT,
    Book,
    SheetColumn,
    between_rule,
    filled_table,
    heading,
    protect,
    put,
    put_formula,
    validate,
)
from workbook.labels import Labels
from workbook.sheets import capacity, gpus, options, pace, scenarios, speed

Cell = Callable[[str], str]
CONTEXTS = (2_048, 4_096, 8_192, 16_384, 32_768, 65_536, 131_072)
USERS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000)
BY_CONTEXT, BY_USERS = "ByContext", "ByUsers"

# What is swept: (label, format), and the row of each.
_SHOWN = ("scenario", "model", "gpu", "layout", "min_speed", "gpus_per_node")
_FIRST_ROW = 4
_ROW = {key: row for row, key in enumerate(_SHOWN, start=_FIRST_ROW)}
_GRIDS = {"total": "#,##0.0", "gpus": COUNT_FORMAT, "speed": "#,##0.0"}
_ROWS_OF_GRID = len(USERS) + 3
_HEADER_ROW = {key: _FIRST_ROW + len(_SHOWN) + 2 + i * _ROWS_OF_GRID for i, key in enumerate(_GRIDS)}
CHART_ROW = max(_HEADER_ROW.values()) + len(USERS) + 2
_FACTS_ROW = CHART_ROW + 20
_FIRST_COLUMN, _LAST_COLUMN = 2, 1 + len(CONTEXTS)

# Terms that depend on the context; of a stage's terms each of the three stages has its own.
_MEMORY = tuple(
    term
    for term in terms.depending(
        (*ESTIMATE, *OF_CONTEXT, *BLOCKS, *STAGE, *RULE, REPLICAS["users_per_replica"]), "context"
    )
    if term.name not in ("kv_gb", "overhead_gb", "total_gb", "by_division")  # these depend on the users too
)
_OF_STAGE = {term.name for term in STAGE}
_SPEED = terms.depending((*TOKENS, *ATTENTION, *PACE, *FAST), "context")
_CONTEXT_KEYS = (
    "context_number", "context",
    *(
        capacity.stage_key(term.name, stage)
        for stage in capacity.STAGES
        for term in _MEMORY
        if (term.name in _OF_STAGE or stage == 1) and term.name != "users_per_replica"
    ),
    "users_per_replica", "given_output_tokens", *(term.name for term in _SPEED), "held",
)  # fmt: skip
# Terms of a cell of the grids.
_LOAD = terms.needed(LOAD, ("tokens_per_s_per_user",))
_USERS_KEYS = (
    "context_number", "users_number", "users", "held", "kv_gb", "overhead_gb", "total_gb", "replicas_needed",
    "deployable", "sequences", *(term.name for term in _LOAD),
)  # fmt: skip

# Columns of Capacity with the place at which a model's figures are looked up.
_ROWS_ELSEWHERE = ("first_row", "stage_row_2", "stage_row_3", "activation_column", "scenario_row")
_KERNELS = "kernel_row"  # the kind of kernels; speed has another figure of the name "kernels"


def _facts() -> tuple[str, ...]:
    """Return the keys of what does not depend on context and users, in the order in which the sheet lists them."""
    used = dict.fromkeys(("option", "capacity_row", "pace_row", "runs", "output_given", *_ROWS_ELSEWHERE, _KERNELS))
    for term in _MEMORY:
        for stage in capacity.STAGES if term.name in _OF_STAGE else capacity.STAGES[:1]:
            for name in term.formula.names():
                used[capacity.stage_key(name, stage) if _has_stages(name) else name] = None
    for term in (*_SPEED, *_LOAD, ESTIMATE["overhead_gb"], ORDER["deployable"]):
        used |= dict.fromkeys(term.formula.names())
    given = {*_CONTEXT_KEYS, *_USERS_KEYS}
    return tuple(name for name in used if name not in given)


def _has_stages(name: str) -> bool:
    """Return whether an input of a stage's terms is another figure in each stage."""
    return name in _OF_STAGE or name in _INPUTS_OF_STAGE


_INPUTS_OF_STAGE = {
    "weights_bytes",
    "block_bytes",
    "step_activation_bytes",
    "latent_fixed_bytes",
    "latent_bytes_per_token",
}
FACTS = _facts()
_FACT_ROW = {key: row for row, key in enumerate(FACTS, start=_FACTS_ROW + 1)}
_CONTEXT_TABLE_ROW = max(_FACT_ROW.values()) + 3  # of the headings
_USERS_TABLE_ROW = _CONTEXT_TABLE_ROW + len(CONTEXTS) + 3


def write(book: Book) -> None:
    """Write the sheet. Scenarios, GPUs, Layouts and the names of a plan must exist; other sheets may follow."""
    labels = book.labels
    ws = book.sheet("sensitivity", [30, 20] + [13] * (len(_CONTEXT_KEYS) - 2), tab_colour="BF8F00")
    heading(ws, labels("sensitivity.title"), labels("sensitivity.subtitle"))
    _write_choice(book, ws)
    for key in _GRIDS:
        _write_grid(labels, ws, key)
    _write_facts(book, ws)
    _write_tables(labels, ws)
    _colour(ws)
    _mark_break_points(ws)
    _write_chart(book, ws)
    ws.freeze_panes = f"B{_FIRST_ROW}"
    ws.print_area = f"A1:{get_column_letter(_LAST_COLUMN)}{_FACTS_ROW - 1}"
    protect(ws)


def axis_cells() -> tuple[dict[int, str], dict[int, str]]:
    """Return the cells of the contexts and of the users that the template has: value → address."""
    row = _HEADER_ROW["total"]
    return (
        {context: f"{get_column_letter(_FIRST_COLUMN + i)}{row}" for i, context in enumerate(CONTEXTS)},
        {users: f"A{row + 1 + i}" for i, users in enumerate(USERS)},
    )


def grid_cells() -> dict[tuple[str, int, int], str]:
    """Return the result cells, for the template's own axes: ("total", "gpus" or "speed", context, users) → address."""
    return {
        (key, context, users): f"{get_column_letter(_FIRST_COLUMN + j)}{_HEADER_ROW[key] + 1 + i}"
        for key in _GRIDS
        for j, context in enumerate(CONTEXTS)
        for i, users in enumerate(USERS)
    }


def shown_cells() -> dict[str, str]:
    """Return the cells that say what is swept: "scenario", "gpu", "layout" … → address."""
    return {key: f"B{row}" for key, row in _ROW.items()}


def fact_cells() -> dict[str, str]:
    """Return the cells of what does not depend on context and users: key → address."""
    return {key: f"B{row}" for key, row in _FACT_ROW.items()}


def _write_choice(book: Book, ws: Worksheet) -> None:
    """Write what is swept: the chosen scenario, and the GPU and layout of the best option."""
    labels = book.labels

    def held(key: str) -> str:
        row = _fact("capacity_row")
        return f"IF({row}>0,{_of_row(book, capacity, key, 'capacity_row')},{terms.MISSING})"

    node = f"INDEX({gpus.column(book, 'per_node_planned')},{held('gpu_row')})"
    shown = {
        "scenario": "plan_scenario",
        "model": "chosen_model",
        "gpu": held("gpu"),
        "layout": held("layout"),
        "min_speed": "plan_min_speed",
        "gpus_per_node": f"IF({_fact('capacity_row')}>0,{node},1)",
    }
    for key, formula in shown.items():
        put(ws, f"A{_ROW[key]}", styles.LABEL, labels(f"sensitivity.{key}"))
        put_formula(ws, f"B{_ROW[key]}", styles.LINK_TEXT, formula)


def _write_grid(labels: Labels, ws: Worksheet, key: str) -> None:
    header_row, axis_row = _HEADER_ROW[key], _HEADER_ROW["total"]
    put(ws, f"A{header_row - 1}", styles.SECTION, labels(f"sensitivity.{key}"))
    for column in range(_FIRST_COLUMN, _LAST_COLUMN + 1):
        put(ws, (header_row - 1, column), styles.SECTION)
    put(ws, f"A{header_row}", styles.HEADING, labels("sensitivity.corner"))
    axes = [
        (f"{get_column_letter(_FIRST_COLUMN + j)}{header_row}", "context", value) for j, value in enumerate(CONTEXTS)
    ]
    axes += [(f"A{header_row + 1 + i}", "users", value) for i, value in enumerate(USERS)]
    for address, axis, value in axes:
        if key == "total":
            put(ws, address, styles.INPUT, value, COUNT_FORMAT)
            _validate(labels, ws, address, axis)
        else:
            row, column = coordinate_to_tuple(address)
            first = f"{get_column_letter(column)}{row - header_row + axis_row}"
            put_formula(ws, address, styles.FORMULA, first, COUNT_FORMAT)
    results = {"total": "total_gb", "gpus": "deployable", "speed": "tokens_per_s_per_user"}
    contexts, _ = axis_cells()
    rows_before = f"(ROW()-ROW($A${header_row})-1)*COLUMNS({_range(contexts)})"
    place = f"{rows_before}+COLUMN()-COLUMN($A${header_row})"
    found = f"INDEX({f.whole_column(BY_USERS, _label(labels, results[key]))},{place})"
    for row in range(header_row + 1, header_row + 1 + len(USERS)):
        for column in range(_FIRST_COLUMN, _LAST_COLUMN + 1):
            put_formula(ws, (row, column), styles.FORMULA, found, _GRIDS[key])


def _fact(key: str) -> str:
    return f"$B${_FACT_ROW[key]}"


def _write_facts(book: Book, ws: Worksheet) -> None:
    """Write what does not depend on context and users: rows of other sheets, and the inputs of the terms."""
    labels = book.labels
    put(ws, f"A{_FACTS_ROW}", styles.SECTION, labels("sensitivity.workings"))
    put(ws, f"B{_FACTS_ROW}", styles.SECTION)
    for key, row in _FACT_ROW.items():
        put(ws, f"A{row}", styles.LABEL, _label(labels, key))
        put_formula(ws, f"B{row}", styles.FORMULA, _fact_formula(book, key), PLAIN_FORMAT)


def _of_row(book: Book, sheet: ModuleType, name: str, row: str) -> str:
    """Return a figure of the best option, or of the scenario on its own GPU where no option has a rank."""
    places = (f"INDEX({column(book, name)},MAX(1,{_fact(row)}))" for column in (sheet.column, sheet.scenario_column))
    return f"IF({_fact('option')}>0,{','.join(places)})"


def _fact_formula(book: Book, key: str) -> str:
    def held(name: str) -> str:
        if name in (*_ROWS_ELSEWHERE, "kernels"):
            return _fact(_KERNELS if name == "kernels" else name)
        return _of_row(book, capacity, name, "capacity_row")

    def paced(name: str) -> str:
        return _of_row(book, speed, name, "pace_row")

    def scenario(name: str) -> str:
        return f"INDEX({scenarios.column(book, name)},MATCH(plan_scenario,scenario_names,0))"

    def of_option(name: str, otherwise: str) -> str:
        option = _fact("option")
        return f"IF({option}>0,INDEX({options.column(book, name)},{option}),{otherwise})"

    own = {
        "option": f"IFERROR(MATCH(1,{options.column(book, 'rank')},0),0)",
        "capacity_row": f"IFERROR({of_option('capacity_row', scenario('best_row'))},0)",
        "pace_row": f"IFERROR({of_option('pace_row', scenario('number'))},0)",
        "output_given": paced("given_output_tokens"),
        **{name: _of_row(book, capacity, name, "capacity_row") for name in _ROWS_ELSEWHERE},
        _KERNELS: _of_row(book, capacity, "kernels", "capacity_row"),
        "runs": f"IF({_fact('capacity_row')}>0,{paced('runs')},{pace.NO_FIGURES})",
    }
    if key in own:
        return own[key]
    if key in _ESTIMATE_INPUTS:
        column = scenarios.key_of(key)
        return scenario(column) if column else key
    name, _, number = key.rpartition("_")
    if number in ("2", "3") and _has_stages(name):
        return capacity.reference(book, held, int(number), name)
    if key in _MEMORY_INPUTS:
        return capacity.reference(book, held, 1, key)
    return speed.reference(book.labels, paced, key)


_ESTIMATE_INPUTS = {
    name for term in (*_MEMORY, ESTIMATE["overhead_gb"]) if term in ESTIMATE.terms for name in term.formula.names()
}
_MEMORY_INPUTS = {"pp", "gpus_per_replica"} | {name for term in _MEMORY for name in term.formula.names()}


def _write_tables(labels: Labels, ws: Worksheet) -> None:
    """Write the table of contexts, and the table of the grids' cells."""
    for row, key in ((_CONTEXT_TABLE_ROW, "by_context"), (_USERS_TABLE_ROW, "by_users")):
        put(ws, f"A{row - 1}", styles.SECTION, labels(f"sensitivity.{key}"))
        ws.row_dimensions[row].height = 46
    columns = [SheetColumn(key, 13, styles.FORMULA, PLAIN_FORMAT) for key in _CONTEXT_KEYS]
    columns[0] = SheetColumn("context_number", 13, styles.SOURCE_FIGURE)
    rows = [{"context_number": number} for number in range(1, len(CONTEXTS) + 1)]
    filled_table(
        ws, BY_CONTEXT, _CONTEXT_TABLE_ROW, columns, partial(_label, labels), rows, _formulas_of_context(labels)
    )
    formats = {"kv_gb": GB_FORMAT, "overhead_gb": GB_FORMAT, "total_gb": GB_FORMAT}
    columns = [SheetColumn(key, 13, styles.FORMULA, formats.get(key, PLAIN_FORMAT)) for key in _USERS_KEYS]
    columns[:2] = [SheetColumn(key, 13, styles.SOURCE_FIGURE) for key in _USERS_KEYS[:2]]
    cells = [
        {"context_number": context, "users_number": users}
        for users in range(1, len(USERS) + 1)
        for context in range(1, len(CONTEXTS) + 1)
    ]
    filled_table(ws, BY_USERS, _USERS_TABLE_ROW, columns, partial(_label, labels), cells, _formulas_of_users(labels))


def _formulas_of_context(labels: Labels) -> dict[str, str]:
    def cell(key: str) -> str:
        return f.this_row(BY_CONTEXT, _label(labels, key))

    def of_stage(stage: int, name: str) -> str:
        key = capacity.stage_key(name, stage) if _has_stages(name) else name
        return cell(key) if key in _CONTEXT_KEYS else _fact(key)

    def of_speed(name: str) -> str:
        return cell(name) if name in _CONTEXT_KEYS else _fact(name)

    def of_fitting(name: str) -> str:
        return cell("users_per_replica" if name == "fitting" else name)

    runs, given = f"{_fact('runs')}={pace.RUNS}", _fact("output_given")
    found = {
        capacity.stage_key(term.name, stage): terms.formula(term, partial(of_stage, stage))
        for term in _MEMORY
        for stage in (capacity.STAGES if term.name in _OF_STAGE else capacity.STAGES[:1])
    }
    contexts, _ = axis_cells()
    return {
        "context": f"INDEX({_range(contexts)},{cell('context_number')})",
        **found,
        "users_per_replica": f"IF({_fact('capacity_row')}>0,{found['users_per_replica']},0)",
        "given_output_tokens": f"IF(ISNUMBER({given}),IF({given}<{cell('context')},{given},{terms.MISSING}),{terms.MISSING})",
        **{term.name: _if(runs, terms.formula(term, of_speed)) for term in _SPEED},
        "held": f"IF({runs},{terms.formula(SERVED['users_per_replica'], of_fitting)},{cell('users_per_replica')})",
    }


def _formulas_of_users(labels: Labels) -> dict[str, str]:
    _, users = axis_cells()

    def cell(key: str) -> str:
        return f.this_row(BY_USERS, _label(labels, key))

    def at(name: str) -> str:
        """Return the cell of the table, the figure of the row's context, or the fact, that holds a name of the terms."""
        if name in _USERS_KEYS:
            return cell(name)
        if name in _CONTEXT_KEYS:
            return f"INDEX({f.whole_column(BY_CONTEXT, _label(labels, name))},{cell('context_number')})"
        return _fact(name)

    def with_held(name: str) -> str:
        return cell("held") if name == "users_per_replica" else at(name)

    runs = f"AND({_fact('runs')}={pace.RUNS},{cell('held')}>0)"
    return {
        "users": f"INDEX({_range(users)},{cell('users_number')})",
        "held": f"INDEX({f.whole_column(BY_CONTEXT, _label(labels, 'held'))},{cell('context_number')})",
        **{
            name: _if(f"ISNUMBER({_fact('weights_gb')})", terms.formula(ESTIMATE[name], at))
            for name in ("kv_gb", "overhead_gb", "total_gb")
        },
        "replicas_needed": terms.formula(REPLICAS["replicas_needed"], with_held),
        "deployable": terms.formula(ORDER["deployable"], with_held),
        "sequences": terms.formula(SERVED["sequences"], cell),
        **{term.name: _if(runs, terms.formula(term, at)) for term in _LOAD},
    }


def _if(condition: str, formula: str) -> str:
    return f"IF({condition},{formula},{terms.MISSING})"


def _range(cells: Mapping[int, str]) -> str:
    """Return the absolute range of the cells of an axis."""
    first, *_, last = cells.values()
    return f"{absolute_coordinate(first)}:{absolute_coordinate(last)}"


def _label(labels: Labels, key: str) -> str:
    if key in _SHEET_KEYS:
        return labels(f"sensitivity.{key}")
    if key in (*_ROWS_ELSEWHERE, _KERNELS):
        return capacity.header(labels, "kernels" if key == _KERNELS else key)
    name, _, number = key.rpartition("_")
    if number in ("2", "3") and _has_stages(name):
        return labels("capacity.of_stage", stage=number, figure=terms.label(labels, name))
    return terms.label(labels, key)


_SHEET_KEYS = {
    "option", "capacity_row", "pace_row", "runs", "held", "context_number", "users_number", "output_given",
}  # fmt: skip


def _validate(labels: Labels, ws: Worksheet, cell: str, key: str) -> None:
    limits = LIMITS[key]
    rule = between_rule(f"{limits.least:f}", f"{limits.most:.0f}", whole=limits.whole)
    title, prompt = labels(f"scenarios.{key}"), labels(f"prompt.{key}")
    validate(ws, cell, rule, title=title, prompt=prompt, wrong_title=labels("prompt.wrong_title"))


def _body(key: str) -> str:
    first, last = get_column_letter(_FIRST_COLUMN), get_column_letter(_LAST_COLUMN)
    return f"{first}{_HEADER_ROW[key] + 1}:{last}{_HEADER_ROW[key] + len(USERS)}"


def _colour(ws: Worksheet) -> None:
    """Colour the memory from white to blue; the numbers have a contrast of at least 4.5:1 on both."""
    scale = ColorScaleRule(start_type="min", start_color="FFFFFF", end_type="max", end_color="9DC3E6")
    ws.conditional_formatting.add(_body("total"), scale)


def _mark_break_points(ws: Worksheet) -> None:
    """Mark cells that need more GPUs (▲) or nodes (■) than the cell above, in bold with a line above."""
    header_row = _HEADER_ROW["gpus"]
    first = f"{get_column_letter(_FIRST_COLUMN)}{header_row + 1}"
    above = f"{get_column_letter(_FIRST_COLUMN)}{header_row}"
    node = f"$B${_ROW['gpus_per_node']}"
    more_nodes = f"ROUNDUP({first}/{node},0)>ROUNDUP({above}/{node},0)"
    for number, (sign, more) in enumerate((("■", more_nodes), ("▲", f"{first}>{above}"))):
        style = DifferentialStyle(
            font=Font(bold=True),
            border=Border(top=Side(style="thin", color=styles.INK)),
            numFmt=NumberFormat(numFmtId=170 + number, formatCode=f'"{sign} "#,##0'),
        )
        marked = f"IF(AND(ROW({first})>{header_row + 1},ISNUMBER({first})),{more},FALSE)"
        rule = Rule(type="expression", formula=[marked], dxf=style, stopIfTrue=True)
        ws.conditional_formatting.add(_body("gpus"), rule)


def _write_chart(book: Book, ws: Worksheet) -> None:
    labels = book.labels
    chart = LineChart()
    chart.title = labels("sensitivity.chart")
    chart.height, chart.width = 9, 25
    chart.x_axis.title, chart.y_axis.title = labels("scenarios.users"), labels("scenarios.total")
    chart.x_axis.delete = chart.y_axis.delete = False
    chart.y_axis.number_format = "#,##0"
    chart.y_axis.scaling.logBase = 10  # from one user to a thousand
    data = Reference(
        ws,
        min_col=_FIRST_COLUMN,
        max_col=_LAST_COLUMN,
        min_row=_HEADER_ROW["total"],
        max_row=_HEADER_ROW["total"] + len(USERS),
    )
    chart.add_data(data, titles_from_data=True)
    chart.set_categories(
        Reference(ws, min_col=1, min_row=_HEADER_ROW["total"] + 1, max_row=_HEADER_ROW["total"] + len(USERS))
    )
    for series, marker in zip(chart.series, ("circle", "square", "diamond", "triangle", "x", "star", "plus")):
        series.smooth = False
        series.marker.symbol = marker  # lines must differ in more than colour
    book.add_chart(ws, chart, f"A{CHART_ROW}", labels("sensitivity.chart_alt"))
