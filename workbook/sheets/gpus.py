"""Write the GPUs sheet: the memory of each GPU and MIG slice, the other figures that a buyer needs, and the prices that count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from openpyxl.utils import get_column_letter

from core.catalog.hardware import MIG_SLICE, Gpu
from core.catalog.kernels import KINDS, SIXTEEN_BIT, obstacle, rate_of_kind
from core.catalog.kernels import WIDENED as WIDENED_UNIT
from core.catalog.mig import gpus_with_slices
from core.catalog.offer_choice import ITEMS
from core.engines import vllm
from core.plan.candidates import DATA_CENTRE
from core.plan.fleet import choice_of_gpu
from core.plan.memory import DEVICE
from core.plan.replica_figures import gpu_inputs
from core.plan.speed import gpu_inputs as gpu_inputs_of_speed
from core.plan.speed_links import FABRIC, link_of
from core.plan.speed_rows import TP_SIZES
from workbook import formulas as f
from workbook import styles, terms
from workbook.book import (
    COUNT_FORMAT,
    GB_FORMAT,
    MONEY_FORMAT,
    Book,
    SheetColumn,
    filled_table,
    filterable,
    heading,
    one_line,
    protect,
    put,
)
from workbook.labels import Labels
from workbook.sheets import plan_inputs, prices

TABLE = "GPUs"
HEADER_ROW = 4
FIRST_ROW = HEADER_ROW + 1

_OF_GPU = (
    SheetColumn("gpu", 24, styles.LABEL, None),
    SheetColumn("gpu_title", 44, styles.LABEL, None),
    SheetColumn("maker", 10, styles.LABEL, None),
    SheetColumn("label", 9, styles.SOURCE_FIGURE, COUNT_FORMAT),
    SheetColumn("memory_mib", 12, styles.SOURCE_FIGURE, COUNT_FORMAT),
    SheetColumn("memory_gb", 11, styles.TOTAL, GB_FORMAT),
    SheetColumn("basis", 20, styles.FORMULA_TEXT, None),
    SheetColumn("memory_type", 10, styles.LABEL, None),
    SheetColumn("bandwidth", 12, styles.SOURCE_FIGURE, COUNT_FORMAT),
    *(
        SheetColumn(key, 11, styles.SOURCE_FIGURE, "#,##0.#")
        for key in ("bf16_tflops", "fp8_tflops", "fp4_tflops", "int8_tops")
    ),
    SheetColumn("tdp", 9, styles.SOURCE_FIGURE, COUNT_FORMAT),
    SheetColumn("per_node", 9, styles.SOURCE_FIGURE, COUNT_FORMAT),
    SheetColumn("interconnect", 22, styles.LABEL, None),
    SheetColumn("interconnect_rate", 14, styles.SOURCE_FIGURE, "#,##0.#"),
    SheetColumn("form_factor", 11, styles.LABEL, None),
    SheetColumn("segment", 13, styles.LABEL, None),
    SheetColumn("architecture", 15, styles.LABEL, None),
    SheetColumn("sm_count", 11, styles.SOURCE_FIGURE, COUNT_FORMAT),
    SheetColumn("source", 60, styles.NOTE, None),
    SheetColumn("memory_source", 60, styles.NOTE, None),
    SheetColumn("compute_source", 60, styles.NOTE, None),
    SheetColumn("as_of", 10, styles.NOTE, None),
    SheetColumn("per_node_planned", 12, styles.FORMULA, COUNT_FORMAT),
    SheetColumn("on_board", 12, styles.SOURCE_FIGURE, COUNT_FORMAT),
    SheetColumn("most_nodes_per_replica", 12, styles.FORMULA, COUNT_FORMAT),
    SheetColumn("in_machine", 12, styles.FORMULA, COUNT_FORMAT),
    SheetColumn("is_listed", 10, styles.FORMULA, COUNT_FORMAT),
    SheetColumn("is_compared", 10, styles.FORMULA, COUNT_FORMAT),
    SheetColumn("has_options", 10, styles.FORMULA, COUNT_FORMAT),
)
# Of each item: its price in US dollars, the row of the offer that counts on Prices, and the smallest number of GPUs.
_OF_PRICE = (
    SheetColumn("amount", 13, styles.FORMULA, MONEY_FORMAT),
    SheetColumn("offer", 9, styles.FORMULA, COUNT_FORMAT),
    SheetColumn("step", 9, styles.FORMULA, COUNT_FORMAT),
)
# Inputs of the terms of money that are looked up here: name → column.
INPUTS_OF_MONEY = {
    "gpus_per_node": "per_node_planned", "on_board": "on_board", "tdp_w": "tdp", "gpu_usd": "purchase_amount",
    "server_per_gpu_usd": "server_per_gpu_amount", "on_demand_usd_per_gpu_hour": "on_demand_per_gpu_hour_amount",
    "reserved_usd_per_gpu_hour": "reserved_per_gpu_hour_amount", "order_step": "purchase_step",
    "on_demand_step": "on_demand_per_gpu_hour_step", "reserved_step": "reserved_per_gpu_hour_step",
}  # fmt: skip
# What the formats run at: for each kind of format its rate, and how it is computed with; then links by size of the group.
NO_UNIT, SIXTEEN, WIDENED, NATIVE = range(4)
_RATES = tuple(f"rate_{kind}" for kind in KINDS)
_UNITS = tuple(f"unit_{kind}" for kind in KINDS)
_LINKS = tuple(f"link_{tp}" for tp in TP_SIZES)
_SLOW_LINKS = tuple(f"slow_link_{tp}" for tp in TP_SIZES)
_PACE = ("maker_read", "maker_compute", "kernel_s", "step_fixed_s", "sequence_s", "own_range")
_SPEED_NAMES = {"gpu_rates": _RATES, "gpu_units": _UNITS, "gpu_links": _LINKS, "gpu_slow_links": _SLOW_LINKS}
# What vLLM's defaults make of the GPU, inputs of the terms first.
_INPUTS = ("small_steps", "workspace_bytes", "other_one_bytes", "other_stages_bytes")
_OF_TERMS = (*_INPUTS, "memory_bytes", *(term.name for term in DEVICE))
_COLUMNS = (
    *_OF_GPU,
    *(replace(column, key=f"{item}_{column.key}") for item in ITEMS for column in _OF_PRICE),
    *(SheetColumn(key, 16, styles.SOURCE_FIGURE if key in _INPUTS else styles.FORMULA) for key in _OF_TERMS),
    *(
        SheetColumn(key, 12, styles.SOURCE_FIGURE, "General")
        for key in (*_RATES, *_UNITS, *_LINKS, *_SLOW_LINKS, *_PACE)
    ),
)
_LETTER = {column.key: get_column_letter(number) for number, column in enumerate(_COLUMNS, start=1)}
_OF_PLAN = ("is_listed", "is_compared", "has_options")  # whether Plan compares the GPU, and Options has rows of it


def write(book: Book, *, with_plan: bool = True) -> None:
    """Write the sheet and define `gpu_names` and `gpu_has_options`. Its formulas use Prices and `option_gpus`.

    Args:
        with_plan: whether the workbook has the sheets Plan and Options, which choose GPUs.
    """
    labels = book.labels
    ws = book.sheet("gpus", [column.width for column in _COLUMNS])
    heading(ws, labels("gpus.title"), labels("gpus.subtitle"))
    put(ws, "A3", styles.SUBTITLE, labels("gpus.prices_note"))
    ws.row_dimensions[HEADER_ROW].height = 58
    rows = (_values(labels, gpu) for gpu in gpus_with_slices())
    calculated = {key: text for key, text in formulas(labels).items() if with_plan or key not in _OF_PLAN}
    columns = [
        replace(column, role=styles.SOURCE_FIGURE) if column.key in _OF_PLAN and not with_plan else column
        for column in _COLUMNS
    ]
    last = filled_table(ws, TABLE, HEADER_ROW, columns, partial(header, labels), rows, calculated)
    one_line(ws, FIRST_ROW, last)
    filterable(ws, TABLE)
    book.name("gpu_names", ws, f"A{FIRST_ROW}:A{last}")
    book.name("gpu_has_options", ws, f"{_LETTER['has_options']}{FIRST_ROW}:{_LETTER['has_options']}{last}")
    for name, keys in _SPEED_NAMES.items():
        book.name(name, ws, f"{_LETTER[keys[0]]}{FIRST_ROW}:{_LETTER[keys[-1]]}{last}")
    ws.freeze_panes = f"B{FIRST_ROW}"
    ws.print_title_rows = f"{HEADER_ROW}:{HEADER_ROW}"
    ws.print_title_cols = "A:A"
    ws.print_area = f"A1:{_LETTER['bandwidth']}{last}"  # the rest is too much for paper
    protect(ws)


def header(labels: Labels, key: str) -> str:
    """Return the heading of a column."""
    for item in ITEMS:
        if key.startswith(item):
            part = key.removeprefix(f"{item}_")
            amount = labels(f"gpus.{item}")
            return amount if part == "amount" else f"{amount}: {labels(f'gpus.price_{part}')}"
    for name in ("rate", "unit", "link", "slow_link"):
        if key in (*_RATES, *_UNITS, *_LINKS, *_SLOW_LINKS) and key.startswith(f"{name}_"):
            return f"{labels(f'gpus.{name}')}: {key.removeprefix(f'{name}_')}"
    return terms.label(labels, key) if key in (*_OF_TERMS, *_PACE) else labels(f"gpus.{key}")


def column(book: Book, key: str) -> str:
    """Return the reference to a whole column."""
    return f.whole_column(TABLE, header(book.labels, key))


def address(key: str, gpu_name: str) -> str:
    """Return the cell of one figure of a GPU."""
    return f"{_LETTER[key]}{FIRST_ROW + [gpu.name for gpu in gpus_with_slices()].index(gpu_name)}"


def formulas(labels: Labels) -> dict[str, str]:
    """Return the formulas of the table's columns, each without its "="."""

    def cell(key: str) -> str:
        return f.this_row(TABLE, header(labels, key))

    driver, label = f.text(labels("gpus.basis_driver")), f.text(labels("gpus.basis_label"))
    return {
        "memory_gb": f.gpu_memory_gb(cell("memory_mib"), cell("label")),
        "basis": f"IF(ISNUMBER({cell('memory_mib')}),{driver},{label})",
        "memory_bytes": f.gpu_memory_bytes(cell("memory_mib"), cell("label")),
        **{term.name: terms.formula(term, lambda name: cell(name) if name in _LETTER else name) for term in DEVICE},
        "per_node_planned": f"IF(ISNUMBER({cell('per_node')}),{cell('per_node')},usual_gpus_per_node)",
        "most_nodes_per_replica": f"IF({cell('form_factor')}={f.text(MIG_SLICE)},1,most_nodes_per_replica)",
        **_of_offers(labels, cell),
        "has_options": f"IF(ISNUMBER(MATCH({cell('gpu')},option_gpus,0)),1,0)",
        **_of_candidates(labels, cell),
    }


def _of_candidates(labels: Labels, cell: Callable[[str], str]) -> dict[str, str]:
    """Return the formulas of `core.plan.candidates.why_left_out`: 1 for a GPU that Plan compares."""

    def chosen(name: str, key: str) -> str:
        return f"{name}={f.text(plan_inputs.choice_text(labels, key))}"

    for_data_centres = f"{cell('segment')}={f.text(segment_title(labels, DATA_CENTRE))}"
    conditions = (
        f"OR({chosen('plan_candidates', 'all')},LEN(plan_candidates)=0,{cell('is_listed')}=1)",
        f"OR({chosen('plan_maker', plan_inputs.ANY)},plan_maker={cell('maker')})",
        f"OR({chosen('plan_data_centre', plan_inputs.NO)},{for_data_centres})",
    )
    return {
        "is_listed": f'IF(ISNUMBER(FIND(","&{cell("gpu")}&",",candidate_list)),1,0)',
        "is_compared": f"IF(AND({','.join(conditions)}),1,0)",
    }


def segment_title(labels: Labels, segment: str) -> str:
    """Return the name of a product line in the language of the workbook."""
    return labels(f"gpus.segment_{segment.replace(' ', '_')}")


def _of_offers(labels: Labels, cell: Callable[[str], str]) -> dict[str, str]:
    """Return the formulas that look up the offer that counts for each item."""

    def of_offer(item: str, key: str, factor: str = "") -> str:
        offer = cell(f"{item}_offer")
        return f"IF({offer}>0,INDEX({prices.column(labels, key)},{offer}){factor},{terms.MISSING})"

    number = f"(ROW()-ROW($A${HEADER_ROW}))"
    found: dict[str, str] = {}
    for item, name in prices.NAME_OF_ITEM.items():
        found |= {
            f"{item}_amount": of_offer(item, "usd"),
            f"{item}_offer": f"IFERROR(MATCH({number}*ROWS(offer_terms)+{name},{prices.column(labels, 'winner')},0),0)",
            f"{item}_step": of_offer(item, "step"),
        }
    # A machine's price includes its servers.
    bought, in_machine = cell("purchase_offer"), cell("in_machine")
    server = found["server_per_gpu_offer"]
    return found | {
        "in_machine": f"IF({bought}>0,IF(INDEX({prices.column(labels, 'units')},{bought})>1,1,0),0)",
        "server_per_gpu_offer": f"IF({in_machine}=1,{bought},{server})",
        "server_per_gpu_amount": of_offer("server_per_gpu", "usd", f"*(1-{in_machine})"),
    }


def _values(labels: Labels, gpu: Gpu) -> dict[str, object]:
    inputs = gpu_inputs(choice_of_gpu(gpu))
    return {
        "gpu": gpu.name,
        "gpu_title": gpu.title,
        "maker": gpu.maker,
        "label": gpu.label_gb,
        "memory_mib": gpu.memory_mib,
        "memory_type": gpu.memory_type or None,
        "bandwidth": gpu.bandwidth_gb_per_s,
        "bf16_tflops": gpu.bf16_tflops,
        "fp8_tflops": gpu.fp8_tflops,
        "fp4_tflops": gpu.fp4_tflops,
        "int8_tops": gpu.int8_tops,
        "tdp": gpu.tdp_w,
        "per_node": gpu.gpus_per_node,
        "interconnect": gpu.interconnect or None,
        "interconnect_rate": gpu.interconnect_gb_per_s,
        "form_factor": gpu.form_factor or None,
        "segment": segment_title(labels, gpu.segment),
        "architecture": gpu.architecture or None,
        "sm_count": gpu.sm_count,
        "source": gpu.source,
        "memory_source": gpu.memory_source or None,
        "compute_source": gpu.compute_source or None,
        "as_of": gpu.as_of,
        "on_board": int(gpu.is_on_board),
        **{key: inputs[key] for key in _INPUTS},
        **dict.fromkeys(_OF_PLAN, 1),  # without a Plan
        **_speed_values(gpu),
    }


def _speed_values(gpu: Gpu) -> dict[str, object]:
    """Return what the terms of speed need of the GPU; None where no source states it."""
    values: dict[str, object] = dict.fromkeys((*_RATES, *_UNITS, *_LINKS, *_SLOW_LINKS, *_PACE))
    for tp in TP_SIZES:
        link = link_of(gpu, tp)
        values |= {f"link_{tp}": link.bytes_per_s, f"slow_link_{tp}": int(tp > 1 and link.kind != FABRIC)}
    if gpu.bandwidth_gb_per_s is not None:
        found = gpu_inputs_of_speed(vllm.ENGINE, gpu)
        values |= {key: found[key] for key in _PACE}
    if gpu.bf16_tflops is not None:
        for kind in KINDS:
            runs = not obstacle(vllm.ENGINE.name, kind, gpu)
            rate = rate_of_kind(kind, gpu)
            unit = {SIXTEEN_BIT: SIXTEEN, WIDENED_UNIT: WIDENED}.get(rate.unit, NATIVE)
            values |= {f"rate_{kind}": rate.flops_per_s, f"unit_{kind}": unit if runs else NO_UNIT}
    return values
