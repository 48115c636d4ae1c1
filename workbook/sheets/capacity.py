"""Write the Capacity sheet: the users of a replica, in every layout, of each scenario on its GPU and on all GPUs.

The first table has the layouts of each scenario on the GPU that it names; Scenarios shows the one with the fewest GPUs.
The second one has the chosen scenario on every GPU with a price; Options ranks them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from openpyxl.utils import get_column_letter

from core.catalog.hardware import Gpu
from core.catalog.mig import gpus_with_slices
from core.catalog.offer_choice import catalog_prices
from core.catalog.offers import Offer, gpus_compared
from core.engines.deployment import EngineSettings
from core.plan.fleet import LAYOUTS, choice_of_gpu, layout_title
from core.plan.layout_figures import FIGURES_OF_TERMS
from core.plan.memory import ADAPTERS, BLOCKS, GROUPS, OF_CONTEXT, PLACE, REPLICAS, ROOM, RULE, SIZE, STAGE
from core.plan.nodes import NODES
from core.plan.replica_figures import settings_inputs
from core.plan.terms import Term
from workbook import formulas as f
from workbook import styles, terms
from workbook.book import ABOVE, COUNT_FORMAT, Book, SheetColumn, filled_table, heading, protect, put
from workbook.labels import Labels
from workbook.sheets import gpus, scenarios

TABLE, SCENARIO_TABLE = "Capacity", "ScenarioCapacity"
HEADER_ROW = 6
FIRST_ROW = HEADER_ROW + 1
STAGES = (1, 2, 3)
_OF_DEVICE = ("memory_bytes", "step_class", "step_tokens", "max_sequences", "usable_bytes")
_OF_GPU = ("other_one_bytes", "other_stages_bytes", "on_board", "most_nodes_per_replica")
_OF_SCENARIO = ("kernels", "wide")  # looked up once a row, because the terms of three stages use them


def stage_key(name: str, stage: int) -> str:
    """Return the key of a figure's column in one of the three stages."""
    return name if stage == 1 else f"{name}_{stage}"


_COLUMNS = (
    SheetColumn("scenario", 30, styles.FORMULA_TEXT, None),
    SheetColumn("gpu", 22, styles.FORMULA_TEXT, None),
    SheetColumn("layout", 13, styles.LABEL, None),
    SheetColumn("users_per_replica", 11, styles.TOTAL),
    SheetColumn("replicas_needed", 10),
    SheetColumn("gpus", 10, styles.TOTAL),
    SheetColumn("nodes", 9),
    SheetColumn("binds", 44, styles.FORMULA_TEXT, None),
    SheetColumn("block", 9, styles.SOURCE_FIGURE),
    SheetColumn("tp", 7, styles.SOURCE_FIGURE),
    SheetColumn("pp", 7, styles.SOURCE_FIGURE),
    SheetColumn("gpus_per_replica", 9, styles.SOURCE_FIGURE),
    SheetColumn("layout_number", 9, styles.SOURCE_FIGURE),
    SheetColumn("named_gpu", 20, styles.LABEL, None),
    SheetColumn("slot", 9),
    SheetColumn("scenario_row", 9),
    SheetColumn("is_usable", 9),
    SheetColumn("gpu_row", 9),
    SheetColumn("gpus_per_node", 9),
    *(SheetColumn(key, 14) for key in (*_OF_DEVICE, *_OF_SCENARIO)),
    SheetColumn("first_row", 9),
    *(SheetColumn(term.name, 9, styles.FORMULA, "0.###") for term in PLACE),
    SheetColumn("is_possible", 9),
    SheetColumn("room_bytes", 16),
    *(SheetColumn(term.name, 14) for term in ADAPTERS),
    *(SheetColumn(term.name, 12) for term in BLOCKS),
    SheetColumn("activation_column", 9),
    *(
        SheetColumn(stage_key(name, stage), 16)
        for stage in STAGES
        for name in ("stage_row", *(term.name for term in STAGE))
        if (name, stage) != ("stage_row", 1)
    ),
    *(SheetColumn(term.name, 16) for term in RULE),
    SheetColumn("replicas_per_node", 9),
    SheetColumn("size_key", 18),
    SheetColumn("limit", 20, styles.FORMULA_TEXT, None),
    SheetColumn("best_above", 9),
    SheetColumn("best_row", 9),
)
# What finds the layout with the fewest GPUs of a scenario; options are ranked on Options.
_OF_SCENARIOS = ("nodes", "replicas_per_node", "size_key", "best_above", "best_row")
_OPTION_COLUMNS = tuple(column for column in _COLUMNS if column.key not in _OF_SCENARIOS)
_LETTER = {column.key: get_column_letter(number) for number, column in enumerate(_COLUMNS, start=1)}
_LETTER_OF_OPTION = {column.key: get_column_letter(number) for number, column in enumerate(_OPTION_COLUMNS, start=1)}
Cell = Callable[[str], str]


def option_gpus(offers: Sequence[Offer] = ()) -> list[Gpu]:
    """Return the GPUs of the chosen scenario's rows: those with a price in the catalog, and those of other offers."""
    others = gpus_compared(offers)
    return [gpu for gpu in gpus_with_slices() if gpu.name in others or catalog_prices()[gpu.name].has_offer]


def option_rows(offers: Sequence[Offer] = ()) -> list[tuple[str, int]]:
    """Return (GPU, number of the layout) of the chosen scenario's rows: GPUs with a price, layouts that nodes take.

    Args:
        offers: of a user; their GPUs have rows too.
    """
    return [
        (gpu.name, number)
        for gpu in option_gpus(offers)
        for number, (tp, pp) in enumerate(LAYOUTS)
        if choice_of_gpu(gpu).takes(tp, pp)
    ]


def scenario_rows() -> int:
    """Return the number of rows of all scenarios on the GPUs that they name."""
    return scenarios.MOST_SCENARIOS * len(LAYOUTS)


def reserve(book: Book):
    """Create the empty sheet and the names that other sheets' formulas use before it is written."""
    ws = book.sheet("capacity", [column.width for column in _COLUMNS], tab_colour="7F7F7F")
    book.name("layouts_per_scenario", ws, "B4")
    book.name("most_scenarios", ws, "D4")
    return ws


def write(book: Book, ws) -> None:
    """Write the sheet. The sheets Layouts, GPUs, Precisions and Scenarios and `plan_scenario` must exist."""
    labels = book.labels
    heading(ws, labels("capacity.title"), labels("capacity.subtitle"))
    put(ws, "A3", styles.SUBTITLE, labels("capacity.note"))
    put(ws, "A4", styles.LABEL, labels("capacity.layouts_per_scenario"))
    put(ws, "B4", styles.SOURCE_FIGURE, len(LAYOUTS), COUNT_FORMAT)
    put(ws, "C4", styles.LABEL, labels("capacity.most_scenarios"))
    put(ws, "D4", styles.SOURCE_FIGURE, scenarios.MOST_SCENARIOS, COUNT_FORMAT)
    ws.row_dimensions[HEADER_ROW].height = 58
    title = partial(header, labels)
    of_scenarios = _formulas(book, of_scenarios=True)
    last = filled_table(ws, SCENARIO_TABLE, HEADER_ROW, _COLUMNS, title, _scenario_rows(), of_scenarios)
    put(ws, f"A{last + 2}", styles.SECTION, labels("speed.of_options"))
    ws.row_dimensions[last + 3].height = 58
    of_options = _formulas(book, of_scenarios=False)
    end = filled_table(ws, TABLE, last + 3, _OPTION_COLUMNS, title, _option_rows(book.offers), of_options)
    book.name("option_gpus", ws, f"{_LETTER_OF_OPTION['named_gpu']}{last + 4}:{_LETTER_OF_OPTION['named_gpu']}{end}")
    ws.freeze_panes = f"D{FIRST_ROW}"
    ws.print_title_rows = f"{HEADER_ROW}:{HEADER_ROW}"
    ws.print_area = f"A1:{_LETTER['binds']}{HEADER_ROW + scenario_rows()}"
    protect(ws)


def header(labels: Labels, key: str) -> str:
    """Return the heading of a column."""
    name, _, number = key.rpartition("_")
    if number in ("2", "3") and name in ("stage_row", *(term.name for term in STAGE)):
        return labels("capacity.of_stage", stage=number, figure=header(labels, name))
    if key in _SHEET_KEYS:
        return labels(f"capacity.{key}")
    return terms.label(labels, key)


_SHEET_KEYS = {
    "scenario", "gpu", "layout", "binds", "limit", "block", "layout_number", "named_gpu", "slot", "scenario_row", "is_usable", "gpu_row",
    "first_row", "activation_column", "stage_row", "best_above", "best_row", "nodes",
}  # fmt: skip


def column(book: Book, key: str) -> str:
    """Return the reference to a whole column of the chosen scenario's rows."""
    return f.whole_column(TABLE, header(book.labels, key))


def scenario_column(book: Book, key: str) -> str:
    """Return the reference to a whole column of the rows of all scenarios."""
    return f.whole_column(SCENARIO_TABLE, header(book.labels, key))


def letter(key: str) -> str:
    """Return the letter of a column."""
    return _LETTER[key]


def _scenario_rows() -> Iterator[dict[str, object]]:
    for block in range(1, scenarios.MOST_SCENARIOS + 1):
        for number in range(len(LAYOUTS)):
            yield _row(block, None, number)


def _option_rows(offers: Sequence[Offer]) -> Iterator[dict[str, object]]:
    for gpu, number in option_rows(offers):
        yield _row(0, gpu, number)


def _row(block: int, gpu: str | None, number: int) -> dict[str, object]:
    """Return the constants of a row; block 0 is the chosen scenario."""
    tp, pp = LAYOUTS[number]
    return {
        "layout": layout_title(tp, pp), "block": block, "tp": tp, "pp": pp, "gpus_per_replica": tp * pp,
        "layout_number": number + 1, "named_gpu": gpu,
    }  # fmt: skip


def _formulas(book: Book, *, of_scenarios: bool) -> dict[str, str]:
    labels, table = book.labels, SCENARIO_TABLE if of_scenarios else TABLE

    def cell(key: str) -> str:
        return f.this_row(table, header(labels, key))

    def scenario(key: str) -> str:
        return f"INDEX({scenarios.column(book, key)},{cell('scenario_row')})"

    def gpu(key: str) -> str:
        return f"INDEX({gpus.column(book, key)},{cell('gpu_row')})"

    def printed(term: Term, stage: int = 1) -> str:
        return terms.formula(term, partial(reference, book, cell, stage))

    def if_possible(formula: str) -> str:
        return f"IF({cell('is_possible')}=1,{formula},0)"

    of_device = scenario if of_scenarios else gpu
    model_rows = f"({scenario('model_at')}-1)*layouts_per_scenario+{cell('layout_number')}+1"
    found = {
        **scenario_of_row(book, cell),
        "gpus_per_node": gpu("per_node_planned"),
        **{key: of_device(key) for key in _OF_DEVICE},
        **{key: scenario(key) for key in _OF_SCENARIO},
        "first_row": f"IF({cell('is_usable')}=1,INDEX(layout_rows,{model_rows},{scenario('layout_column')}),1)",
        **{term.name: printed(term) for term in PLACE},
        "is_possible": f"IF(ISNUMBER(INDEX(layout_parameters,{cell('first_row')})),{cell('node_takes')},0)",
        **{term.name: printed(term) for term in (*ROOM, *ADAPTERS)},
        **{term.name: printed(term) for term in BLOCKS},
        "unfolded_tokens": if_possible(printed(BLOCKS["unfolded_tokens"])),
        "activation_column": activation_column(cell),
        **{
            stage_key("stage_row", stage): f"INDEX(layout_{'second' if stage == 2 else 'third'},{cell('first_row')})"
            for stage in STAGES[1:]
        },
        **{stage_key(term.name, stage): printed(term, stage) for stage in STAGES for term in STAGE},
        **{term.name: printed(term) for term in RULE},
        "rule_users": if_possible(printed(RULE["rule_users"])),
        **{term.name: printed(term) for term in (*REPLICAS, *NODES, *SIZE)},
        **_best_rows(book, cell),
        **_limits(labels, cell, scenario),
    }
    return {key: formula for key, formula in found.items() if of_scenarios or key not in _OF_SCENARIOS}


def reference(book: Book, cell: Cell, stage: int, name: str) -> str:
    """Return the cell, look-up or defined name of a name of the terms, in one of the three stages.

    Args:
        cell: key of a column of the table → its cell in the row that is meant.
    """

    def scenario(key: str) -> str:
        return f"INDEX({scenarios.column(book, key)},{cell('scenario_row')})"

    row = cell(stage_key("stage_row", stage) if stage > 1 else "first_row")
    if name in LOOKED_UP:
        return LOOKED_UP[name].format(row=row, **{key: cell(key) for key in ("activation_column", "kernels")},
                                       weights=scenario("weights_column"), cache=scenario("cache_column"))  # fmt: skip
    if stage > 1 and stage_key(name, stage) in _LETTER:
        return cell(stage_key(name, stage))
    if name in RENAMED:
        return cell(RENAMED[name])
    if name in _LETTER:
        return cell(name)
    if name in _OF_GPU:
        return f"INDEX({gpus.column(book, name)},{cell('gpu_row')})"
    return scenario(_SCENARIO_KEYS.get(name, name)) if name in _SCENARIO_NAMES else name


def activation_column(cell: Cell) -> str:
    """Return the formula of the column of activations on Layouts, for a kind of kernels and a class of GPU."""
    return f"({cell('kernels')}-1)*step_classes+{cell('step_class')}"


def scenario_of_row(book: Book, cell: Cell) -> dict[str, str]:
    """Return the formulas for the scenario and the GPU of a row: a numbered scenario, or in block 0 the chosen one.

    Args:
        cell: key of a column of the table → its cell in the same row.
    """

    def scenario(key: str) -> str:
        return f"INDEX({scenarios.column(book, key)},{cell('scenario_row')})"

    slot = cell("slot")
    named = f"IF({cell('is_usable')}=1,{scenario('gpu')},{terms.MISSING})"
    return {
        "scenario": f"IF({cell('is_usable')}=1,{scenario('scenario')},{terms.MISSING})",
        "gpu": f"IF({cell('block')}>0,{named},{cell('named_gpu')})",
        "slot": f"IF({cell('block')}>0,{cell('block')},IFERROR(MATCH(plan_scenario,scenario_names,0),0))",
        "scenario_row": f"IF(AND({slot}>0,{slot}<=ROWS({scenarios.column(book, 'number')})),{slot},1)",
        "is_usable": f"IF(AND({slot}={cell('scenario_row')},{scenario('input_check')}={f.text(f.OK)}),1,0)",
        "gpu_row": f"IF({cell('block')}>0,{scenario('gpu_at')},MATCH({cell('named_gpu')},{gpus.column(book, 'gpu')},0))",
    }


# Inputs that the terms look up on Layouts, in row {row}.
LOOKED_UP = {
    "window_block_tokens": "INDEX(layout_window_block_tokens,{row})",
    "block_tokens": "INDEX(layout_block_tokens,{row},{cache})",
    "block_tokens_2": "INDEX(layout_block_tokens_2,{row},{cache})",
    "block_bytes": "INDEX(layout_block_bytes,{row},{cache})",
    "weights_bytes": "INDEX(layout_weights,{row},{weights})",
    "step_activation_bytes": "INDEX(layout_activations,{row},{activation_column})",
    "latent_fixed_bytes": "INDEX(layout_latents,{row},{kernels})",
    "latent_bytes_per_token": "INDEX(layout_latent_per_token,{row})",
    **{
        name: f"INDEX(layout_{name},{{row}})"
        for name in (
            "parameters", "shipped_bytes", "values_per_token", "windowed_values", "windowed_values_2", "fixed_values",
            "fixed_bytes", "index_bytes", "lora_values",
        )
    },
}  # fmt: skip
# Inputs that the terms look up on Scenarios, and those that it has under another key.
_SCENARIO_NAMES = {
    "context", "tokens", "users", "overhead", "is_shipped", "all_weights_bytes", "all_parameters", "value_bytes",
    "allocated_tokens", "tokens_in_window", "tokens_in_window_2", "by_engine", *FIGURES_OF_TERMS,
    *settings_inputs(EngineSettings()), *OF_CONTEXT.by_name, *GROUPS.by_name,
}  # fmt: skip
_SCENARIO_KEYS = {"overhead": "overhead_rate"}
RENAMED = {"with_spares": "gpus", "replicas": "replicas_needed"}  # of the terms of nodes


def _best_rows(book: Book, cell: Cell) -> dict[str, str]:
    """Return the formulas for the row of the layout that is first by size, of those so far; 0 if none fits."""
    size, best_above, number = cell("size_key"), cell("best_above"), f"ROW()-ROW($A${HEADER_ROW})"
    smaller = f"{size}<INDEX({scenario_column(book, 'size_key')},{best_above})"
    return {
        "best_above": f"IF({cell('layout_number')}=1,0,{_LETTER['best_row']}{ABOVE})",
        "best_row": f"IF(ISNUMBER({size}),IF({best_above}=0,{number},IF({smaller},{number},{best_above})),{best_above})",
    }


def _limits(labels: Labels, cell: Cell, scenario: Cell) -> dict[str, str]:
    """Return the formulas of what limits the users of a replica."""
    texts = {
        key: f.text(labels(f"procurement.binds_{key}")) for key in ("split", "weights", "sequences", "cache", "cap")
    }
    users = cell("users_per_replica")
    most = f"{cell('max_sequences')}*{scenario('attention_groups')}"
    in_sequences = f"AND({scenario('by_engine')}=1,{users}={most})"
    return {
        "limit": f"IF({in_sequences},{texts['sequences']},{texts['cache']})",
        "binds": f"IF({cell('is_possible')}=0,{texts['split']},IF({users}=0,{texts['weights']},"
        f"IF(ISNUMBER({cell('gpus')}),{cell('limit')},{texts['cap']})))",
    }
