"""Write the Precisions sheet: the number formats and the engines that can be chosen."""

from __future__ import annotations

from core import catalog
from core.engines.blocks import BLOCK_TOKENS
from core.plan.fleet import DRIVER_RESERVED_MIB, DRIVER_RESERVED_SHARE
from core.plan.worksheet import ENGINES, MEMORY_UTILIZATION, STEP_TOKENS, other_bytes
from core.units import GB
from workbook import formulas as f
from workbook import styles
from workbook.book import COUNT_FORMAT, GB_FORMAT, Book, heading, protect, put, table

TABLE = "Precisions"
FIRST_ROW = 5

SHIPPED = catalog.SHIPPED
# Formats with scales, or with some tensors in 16 bits: one of each width and kind in use.
FORMATS = (
    "fp8_tensor", "fp8_block", "w8a8", "w4a16", "awq", "gptq", "nf4", "mxfp4", "nvfp4", "q8_0", "q6_k", "q5_k_m",
    "q4_k_m", "iq4_xs",
)  # fmt: skip

# vLLM's use of a GPU: (name, value, number format); the label keys are precisions.<name> and precisions.<name>_source.
_ENGINE_FIGURES = (
    ("driver_keeps_mib", DRIVER_RESERVED_MIB, COUNT_FORMAT),
    ("driver_keeps_share", DRIVER_RESERVED_SHARE, "0.0%"),
    ("vllm_share", MEMORY_UTILIZATION, "0%"),
    ("vllm_other_one_gb", other_bytes(several=False) / GB, GB_FORMAT),
    ("vllm_other_several_gb", other_bytes(several=True) / GB, GB_FORMAT),
    *((f"vllm_step_tokens_{number}", tokens, COUNT_FORMAT) for number, tokens in enumerate(STEP_TOKENS, start=1)),
    ("kv_block_tokens", BLOCK_TOKENS, COUNT_FORMAT),
)


def write(book: Book) -> None:
    """Write the sheet; define `precision_names`, `kv_precision_names`, `engine_names` and each engine figure."""
    labels = book.labels
    ws = book.sheet("precisions", [24, 58, 16, 70, 12])
    heading(ws, labels("precisions.title"), labels("precisions.subtitle"))
    columns = [labels(f"precisions.{key}") for key in ("name", "meaning", "bytes", "source", "as_of")]
    for letter, column in zip("ABCDE", columns):
        put(ws, f"{letter}{FIRST_ROW - 1}", styles.HEADING, column)
    rows = [row for row in catalog.precisions() if row.precision.is_nominal and not row.use]
    nominal = len(rows)
    rows += [catalog.precision_named(name) for name in FORMATS]
    for i, row in enumerate(rows, start=FIRST_ROW):
        put(ws, f"A{i}", styles.LABEL, row.precision.name)
        put(ws, f"B{i}", styles.LABEL, row.titles[labels.lang])
        put(ws, f"C{i}", styles.FORMULA, row.precision.bytes_per_value, "0.0###")
        put(ws, f"D{i}", styles.NOTE, row.precision.source)
        put(ws, f"E{i}", styles.NOTE, row.as_of)
    last = FIRST_ROW + len(rows)
    put(ws, f"A{last}", styles.LABEL, SHIPPED)
    put(ws, f"B{last}", styles.LABEL, labels("precisions.shipped"))
    put(ws, f"C{last}", styles.FORMULA)
    put(ws, f"D{last}", styles.NOTE, labels("precisions.shipped_source"))
    put(ws, f"E{last}", styles.NOTE)
    table(ws, TABLE, f"A{FIRST_ROW - 1}:E{last}", columns, {})
    book.name("precision_names", ws, f"A{FIRST_ROW}:A{last}")
    book.name("precision_bytes", ws, f"C{FIRST_ROW}:C{last}")
    book.name("kv_precision_names", ws, f"A{FIRST_ROW}:A{FIRST_ROW + nominal - 1}")
    _write_engines(book, ws, last + 3)
    ws.freeze_panes = f"B{FIRST_ROW}"
    protect(ws)


def _write_engines(book: Book, ws, header_row: int) -> None:
    labels = book.labels
    for letter, key in zip("ABCDE", ("engine", "engine_meaning", "engine_value", "source", "engine_none")):
        put(ws, f"{letter}{header_row}", styles.HEADING, labels(f"precisions.{key}"))
    first, last = header_row + 1, header_row + len(ENGINES)
    for row, name in enumerate(ENGINES, start=first):
        put(ws, f"A{row}", styles.LABEL, name)
        put(ws, f"B{row}", styles.LABEL, labels(f"precisions.engine_{name}"))
        for letter in "CDE":
            put(ws, f"{letter}{row}", styles.NOTE)
    book.name("engine_names", ws, f"A{first}:A{last}")
    for row, (name, value, number_format) in enumerate(_ENGINE_FIGURES, start=last + 1):
        put(ws, f"A{row}", styles.LABEL, name)
        put(ws, f"B{row}", styles.LABEL, labels(f"precisions.{name}"))
        put(ws, f"C{row}", styles.SOURCE_FIGURE, value, number_format)
        put(ws, f"D{row}", styles.NOTE, labels(f"precisions.{name}_source"))
        put(ws, f"E{row}", styles.NOTE)
        book.name(name, ws, f"C{row}")


def names(book: Book) -> str:
    """Return the reference to the column of names."""
    return f.whole_column(TABLE, book.labels("precisions.name"))


def bytes_of(name: str) -> str:
    """Return a formula for the average bytes per value of the precision named in the cell `name`."""
    return f"INDEX(precision_bytes,MATCH({name},precision_names,0))"


def is_nominal(name: str) -> str:
    """Return a formula for whether all values have the same size in the precision named in the cell `name`."""
    return f"ISNUMBER(MATCH({name},kv_precision_names,0))"
