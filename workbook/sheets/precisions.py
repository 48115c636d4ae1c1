"""Write the Precisions sheet: the number formats and the engines that can be chosen, and constants of vLLM."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_uppercase

from core import catalog
from core.plan.cache_formats import ATTENTION_KINDS, vllm_has
from core.plan.layout_figures import CACHE_WIDTHS, SAME_WEIGHTS, WEIGHT_FORMATS, cache_width, kernels_and_width
from core.plan.replica_figures import CONSTANTS
from core.plan.serving import ENGINES
from core.plan.speed_rows import CLASSES, OWN_KINDS, class_of_format, kind_number
from workbook import styles, terms
from workbook.book import COUNT_FORMAT, Book, heading, protect, put, table
from workbook.labels import Labels

TABLE = "Precisions"
FIRST_ROW = 5

SHIPPED = catalog.SHIPPED
# Formats with scales, or with some tensors in 16 bits: one of each width and kind in use.
FORMATS = (
    "fp8_tensor", "fp8_block", "w8a8", "w4a16", "awq", "gptq", "nf4", "mxfp4", "nvfp4", "q8_0", "q6_k", "q5_k_m",
    "q4_k_m", "iq4_xs",
)  # fmt: skip
# Formats of a cache beyond the nominal ones: vLLM's, then llama.cpp's, of keys / of values where these are apart.
CACHES = (
    "nvfp4", "fp8_per_token_head", "int8_per_token_head", "fp8_ds_mla", "q8_0", "q4_0", "fp16/q8_0", "fp16/q4_0",
    "q8_0/q4_0",
)  # fmt: skip
# Precisions that vLLM serves in a format that depends on the model; Models has a column for each.
SERVED = ("fp8", "int8", "int4")
# Columns of numbers, by which other sheets look up a precision: key → name of the column.
_NUMBERS = (
    "bytes", "format_column", "served_column", "weights_column", "kernels", "wide", "speed_class", "speed_kind",
    "own_kind",
)  # fmt: skip
_COLUMNS = ("name", "meaning", *_NUMBERS, "source", "as_of")
_LETTER = dict(zip(_COLUMNS, ascii_uppercase))
_NUMBER_LETTERS = [_LETTER[key] for key in _NUMBERS]
_ATTENTION_LETTERS = _NUMBER_LETTERS[2:5]  # of caches, for each kind of attention
_SHARES = {"driver_reserved_share": "0.0%", "memory_utilization": "0%"}


def write(book: Book) -> None:
    """Write the sheet; define `precision_names`, `kv_precision_names`, `engine_names` and each constant.

    `precision_…` is the column of each number of a precision: its bytes per value; on Models the column of its weights
    and of the format in which vLLM serves it; the column of its weights on Layouts; the kind of its kernels; the
    bytes of an activation, in units of 16 bits; and on Speed figures its class, the number of its kind, and the column of
    its kind where that depends on the model. `kv_bytes` and `kv_cache_column` are the same of a cache: its bytes per
    value, and its column on Layouts; `vllm_caches` has 1 for each kind of attention for which vLLM has it.
    """
    labels = book.labels
    ws = book.sheet("precisions", [24, 58, 16, *([14] * (len(_NUMBERS) - 1)), 70, 12])
    heading(ws, labels("precisions.title"), labels("precisions.subtitle"))
    columns = [labels(f"precisions.{key}") for key in _COLUMNS]
    for letter, column in zip(_LETTER.values(), columns):
        put(ws, f"{letter}{FIRST_ROW - 1}", styles.HEADING, column)
    ws.row_dimensions[FIRST_ROW - 1].height = 46
    nominal = [row for row in catalog.precisions() if row.precision.is_nominal and not row.use]
    for i, row in enumerate(nominal, start=FIRST_ROW):
        _write_row(ws, labels, i, row)
    shipped = FIRST_ROW + len(nominal)
    _write_shipped(ws, labels, shipped)
    _write_numbers(ws, shipped, SHIPPED, None)
    for i, name in enumerate(FORMATS, start=shipped + 1):
        _write_row(ws, labels, i, catalog.precision_named(name))
    last = shipped + len(FORMATS)
    table(ws, TABLE, f"A{FIRST_ROW - 1}:{_LETTER['as_of']}{last}", columns, {})
    book.name("precision_names", ws, f"A{FIRST_ROW}:A{last}")
    for letter, key in zip(_NUMBER_LETTERS, _NUMBERS):
        book.name(f"precision_{key}", ws, f"{letter}{FIRST_ROW}:{letter}{last}")
    _write_caches(book, ws, last + 3, [row.precision.name for row in nominal])
    _write_engines(book, ws, ws.max_row + 3)
    ws.print_area = f"A1:E{ws.max_row}"  # the rest is too much for paper
    ws.freeze_panes = f"B{FIRST_ROW}"
    protect(ws)


def _write_row(ws, labels: Labels, row: int, known: catalog.CatalogPrecision) -> None:
    _write_known(ws, labels, row, known)
    _write_numbers(ws, row, known.precision.name, known.precision.bytes_per_value)


def _write_known(ws, labels: Labels, row: int, known: catalog.CatalogPrecision) -> None:
    name, source = known.precision.name, known.precision.source
    _write_texts(ws, row, (name, known.titles[labels.lang], source, known.as_of))


def _write_shipped(ws, labels: Labels, row: int) -> None:
    _write_texts(ws, row, (SHIPPED, labels("precisions.shipped"), labels("precisions.shipped_source"), None))


def _write_texts(ws, row: int, texts: tuple[str, str, str, str | None]) -> None:
    """Write the name of a format, its meaning, its source and the date of that."""
    name, title, source, as_of = texts
    put(ws, f"A{row}", styles.LABEL, name)
    put(ws, f"B{row}", styles.LABEL, title)
    put(ws, f"{_LETTER['source']}{row}", styles.NOTE, source)
    put(ws, f"{_LETTER['as_of']}{row}", styles.NOTE, as_of)


def _write_numbers(ws, row: int, name: str, bytes_per_value: float | None) -> None:
    """Write the numbers of a precision; 0 where the column depends on the model (SERVED) or there is none."""
    formats = (*FORMATS, SHIPPED)
    weights = SAME_WEIGHTS.get(name, name)
    in_layouts = weights in WEIGHT_FORMATS
    numbers = (
        bytes_per_value,
        formats.index(name) + 1 if name in formats else 0,
        SERVED.index(name) + 1 if name in SERVED else 0,
        WEIGHT_FORMATS.index(weights) + 1 if in_layouts else 0,
        *((0, 0) if name == SHIPPED else kernels_and_width(weights) if in_layouts else (0, 1)),
        list(CLASSES).index(class_of_format(weights)) + 1 if in_layouts else 0,
        kind_number(weights) if in_layouts else 0,
        OWN_KINDS.index(weights) + 1 if weights in OWN_KINDS else 0,
    )
    for letter, number in zip(_NUMBER_LETTERS, numbers):
        put(ws, f"{letter}{row}", styles.FORMULA, number, "0.0###" if letter == "C" else COUNT_FORMAT)


def _write_caches(book: Book, ws, header_row: int, nominal: Sequence[str]) -> None:
    """Write the formats of a cache, and define their names."""
    labels = book.labels
    headings = {"A": "cache_format", "B": "meaning", "C": "bytes", "D": "cache_column"}
    headings |= dict(zip(_ATTENTION_LETTERS, ("vllm_heads", "vllm_latents", "vllm_sparse_latents")))
    headings |= {_LETTER[key]: key for key in ("source", "as_of")}
    for letter in _LETTER.values():
        key = headings.get(letter)
        put(ws, f"{letter}{header_row}", styles.HEADING, key and labels(f"precisions.{key}"))
    first, last = header_row + 1, header_row + len(nominal) + len(CACHES) + 1
    for row, name in enumerate((*nominal, *CACHES), start=first):
        precision = catalog.precision("kv_precision", name)
        column = [*CACHE_WIDTHS].index(cache_width(precision)) + 1
        if "/" in name:
            keys, values = name.split("/")
            meaning = labels("precisions.keys_and_values", keys=keys, values=values)
            _write_texts(ws, row, (name, meaning, labels("precisions.keys_and_values_source"), None))
        else:
            _write_known(ws, labels, row, catalog.precision_named(name))
        _write_cache_numbers(
            ws, row, precision.bytes_per_value, column, [vllm_has(precision, k) for k in ATTENTION_KINDS]
        )
    _write_shipped(ws, labels, last)
    _write_cache_numbers(ws, last, None, 0, [])
    for letter, name in {"A": "kv_precision_names", "C": "kv_bytes", "D": "kv_cache_column"}.items():
        book.name(name, ws, f"{letter}{first}:{letter}{last}")
    book.name("vllm_caches", ws, f"{_ATTENTION_LETTERS[0]}{first}:{_ATTENTION_LETTERS[-1]}{last}")


def _write_cache_numbers(ws, row: int, bytes_per_value: float | None, column: int, attention: Sequence[bool]) -> None:
    put(ws, f"C{row}", styles.FORMULA, bytes_per_value, "0.0###")
    put(ws, f"D{row}", styles.FORMULA, column, COUNT_FORMAT)
    for letter in _NUMBER_LETTERS[2:]:
        put(ws, f"{letter}{row}", styles.NOTE)
    for letter, has_cache in zip(_ATTENTION_LETTERS, attention):
        put(ws, f"{letter}{row}", styles.FORMULA, int(has_cache), COUNT_FORMAT)


def _write_engines(book: Book, ws, header_row: int) -> None:
    labels = book.labels
    headings = {
        "A": "engine", "B": "engine_meaning", "C": "engine_value", _LETTER["source"]: "source",
        _LETTER["as_of"]: "engine_none",
    }  # fmt: skip
    for letter in _LETTER.values():
        key = headings.get(letter)
        put(ws, f"{letter}{header_row}", styles.HEADING, key and labels(f"precisions.{key}"))
    first, last = header_row + 1, header_row + len(ENGINES)
    for row, name in enumerate(ENGINES, start=first):
        put(ws, f"A{row}", styles.LABEL, name)
        put(ws, f"B{row}", styles.LABEL, labels(f"precisions.engine_{name}"))
        for letter in [*_LETTER.values()][2:]:
            put(ws, f"{letter}{row}", styles.NOTE)
    book.name("engine_names", ws, f"A{first}:A{last}")
    for row, (name, value) in enumerate(CONSTANTS.items(), start=last + 1):
        put(ws, f"A{row}", styles.LABEL, name)
        put(ws, f"B{row}", styles.LABEL, terms.label(labels, name))
        put(ws, f"C{row}", styles.SOURCE_FIGURE, value, _SHARES.get(name, COUNT_FORMAT))
        for letter in _NUMBER_LETTERS[1:]:
            put(ws, f"{letter}{row}", styles.NOTE)
        put(ws, f"{_LETTER['source']}{row}", styles.NOTE, labels(f"precisions.{name}_source"))
        put(ws, f"{_LETTER['as_of']}{row}", styles.NOTE)
        book.name(name, ws, f"C{row}")


def row_of(name: str) -> str:
    """Return a formula for the row of the precision named in the cell `name`."""
    return f"MATCH({name},precision_names,0)"


def of_cache(number: str, name: str) -> str:
    """Return a formula for a number of the format of a cache named in the cell `name`, such as `kv_bytes`."""
    return f"INDEX({number},{_row_of_cache(name)})"


def vllm_has_cache(name: str, attention: str) -> str:
    """Return a formula: 1 if vLLM has the format of a cache named in the cell `name`.

    Args:
        attention: the cell of the kind of attention.
    """
    return f"INDEX(vllm_caches,{_row_of_cache(name)},{attention}+1)"


def _row_of_cache(name: str) -> str:
    return f"MATCH({name},kv_precision_names,0)"


def bytes_of(name: str) -> str:
    """Return a formula for the average bytes per value of the precision named in the cell `name`."""
    return f"INDEX(precision_bytes,{row_of(name)})"
