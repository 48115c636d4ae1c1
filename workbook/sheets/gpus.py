"""The GPUs sheet: how much memory one of each holds, and what else a buyer asks."""

from __future__ import annotations

from core import catalog
from core.gpu import Gpu
from workbook import formulas as f
from workbook import styles
from workbook.book import COUNT_FORMAT, GB_FORMAT, Book, heading, protect, put, put_formula, table

TABLE = "GPUs"
FIRST_ROW = 5

# (label key, column letter, width, role, number format), in order
_COLUMNS = (
    ("gpu", "A", 22, styles.LABEL, None),
    ("gpu_title", "B", 44, styles.LABEL, None),
    ("maker", "C", 10, styles.LABEL, None),
    ("label", "D", 9, styles.SOURCE_FIGURE, COUNT_FORMAT),
    ("memory_mib", "E", 12, styles.SOURCE_FIGURE, COUNT_FORMAT),
    ("memory_gb", "F", 11, styles.TOTAL, GB_FORMAT),
    ("basis", "G", 20, styles.FORMULA_TEXT, None),
    ("memory_type", "H", 10, styles.LABEL, None),
    ("bandwidth", "I", 12, styles.SOURCE_FIGURE, COUNT_FORMAT),
    ("tdp", "J", 9, styles.SOURCE_FIGURE, COUNT_FORMAT),
    ("per_node", "K", 9, styles.SOURCE_FIGURE, COUNT_FORMAT),
    ("interconnect", "L", 22, styles.LABEL, None),
    ("interconnect_rate", "M", 14, styles.SOURCE_FIGURE, "#,##0.#"),
    ("form_factor", "N", 11, styles.LABEL, None),
    ("architecture", "O", 15, styles.LABEL, None),
    ("sm_count", "P", 11, styles.SOURCE_FIGURE, COUNT_FORMAT),
    ("source", "Q", 60, styles.NOTE, None),
    ("memory_source", "R", 60, styles.NOTE, None),
    ("as_of", "S", 10, styles.NOTE, None),
)


def write(book: Book) -> None:
    """Writes the sheet and defines `gpu_names`."""
    labels = book.labels
    ws = book.sheet("gpus", [width for _, _, width, *_ in _COLUMNS])
    heading(ws, labels("gpus.title"), labels("gpus.subtitle"))
    columns = [labels(f"gpus.{key}") for key, *_ in _COLUMNS]
    for column, (_, letter, *_) in zip(columns, _COLUMNS):
        put(ws, f"{letter}{FIRST_ROW - 1}", styles.HEADING, column)
    ws.row_dimensions[FIRST_ROW - 1].height = 42
    calculated = _formulas(book)
    rows = catalog.gpus()
    for i, gpu in enumerate(rows, start=FIRST_ROW):
        values = _values(gpu)
        for key, letter, _, role, number_format in _COLUMNS:
            if key in calculated:
                put_formula(ws, f"{letter}{i}", role, calculated[key], number_format)
            else:
                put(ws, f"{letter}{i}", role, values[key], number_format)
    last = FIRST_ROW + len(rows) - 1
    by_column = {labels(f"gpus.{key}"): formula for key, formula in calculated.items()}
    table(ws, TABLE, f"A{FIRST_ROW - 1}:{_COLUMNS[-1][1]}{last}", columns, by_column)
    book.name("gpu_names", ws, f"A{FIRST_ROW}:A{last}")
    ws.freeze_panes = f"B{FIRST_ROW}"
    ws.print_title_rows = f"{FIRST_ROW - 1}:{FIRST_ROW - 1}"
    protect(ws)


def column(book: Book, key: str) -> str:
    """A whole column, for formulas."""
    return f.whole_column(TABLE, book.labels(f"gpus.{key}"))


def _formulas(book: Book) -> dict[str, str]:
    labels = book.labels

    def cell(key: str) -> str:
        return f.this_row(TABLE, labels(f"gpus.{key}"))

    driver, label = f.text(labels("gpus.basis_driver")), f.text(labels("gpus.basis_label"))
    return {
        "memory_gb": f.gpu_memory_gb(cell("memory_mib"), cell("label")),
        "basis": f"IF(ISNUMBER({cell('memory_mib')}),{driver},{label})",
    }


def _values(gpu: Gpu) -> dict[str, object]:
    return {
        "gpu": gpu.name,
        "gpu_title": gpu.title,
        "maker": gpu.maker,
        "label": gpu.label_gb,
        "memory_mib": gpu.memory_mib,
        "memory_type": gpu.memory_type or None,
        "bandwidth": gpu.bandwidth_gb_per_s,
        "tdp": gpu.tdp_w,
        "per_node": gpu.gpus_per_node,
        "interconnect": gpu.interconnect or None,
        "interconnect_rate": gpu.interconnect_gb_per_s,
        "form_factor": gpu.form_factor or None,
        "architecture": gpu.architecture or None,
        "sm_count": gpu.sm_count,
        "source": gpu.source,
        "memory_source": gpu.memory_source or None,
        "as_of": gpu.as_of,
    }
