"""Build parts of Excel formulas: references, texts, checks of inputs, and the few steps of the article.

Figures of memory and money are printed from the terms of `core.plan` instead (`workbook.terms`). Every function takes
cell references and returns a formula without its "=", so formulas can be nested.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

GB = "10^9"
MIB, GIB = "2^20", "2^30"
OK = "OK"

# An excess below a billionth of a GPU is a floating-point error and must not add a GPU.
ROUNDING_NOISE = "10^-9"


def text(value: str) -> str:
    """Return a string constant."""
    return '"' + value.replace('"', '""') + '"'


def this_row(table: str, column: str) -> str:
    """Return the reference to `column` in the formula's own row."""
    return f"{table}[[#This Row],[{_escaped(column)}]]"


def row_range(table: str, first: str, last: str) -> str:
    """Return the reference to the cells from column `first` to column `last` in the formula's own row."""
    return f"{table}[[#This Row],[{_escaped(first)}]:[{_escaped(last)}]]"


def whole_column(table: str, column: str) -> str:
    """Return the reference to all data cells of `column`."""
    return f"{table}[{_escaped(column)}]"


def _escaped(column: str) -> str:
    return "".join("'" + c if c in "[]#'" else c for c in column)


def looked_up(key: str, keys: str, values: str) -> str:
    """Look up `key` in `keys` and return the element of `values` at the same position; #N/A if it is missing."""
    return f"INDEX({values},MATCH({key},{keys},0))"


def weights_gb(parameters: str, bytes_per_value: str) -> str:
    """Return the formula of `core.model.weights.weights_bytes`, in GB."""
    return f"{parameters}*{bytes_per_value}/{GB}"


def weights_bytes(format_column: str, stored: str, parameters: str, bytes_per_value: str) -> str:
    """Return the formula of `core.model.weights.weights_bytes`: stored for formats with scales, else a product."""
    return f"IF({format_column}>0,{stored},{parameters}*{bytes_per_value})"


def or_shipped(figure: str, shipped: str) -> str:
    """Return a figure of a precision, or that of the weights as shipped, for which Precisions has 0."""
    return f"IF({figure}>0,{figure},{shipped})"


def uniform_kv_gb(bytes_per_token: str, context: str, users: str) -> str:
    """Return the KV cache, in GB, of a model that stores the same number of bytes for every token."""
    return f"{bytes_per_token}*{context}*{users}/{GB}"


def overhead_gb(weights: str, kv: str, fraction: str) -> str:
    """Return the formula of `core.plan.estimate.rule_overhead_bytes`, in GB."""
    return f"({weights}+{kv})*{fraction}"


def gpus_by_division(total_gb: str, gpu_memory_gb: str) -> str:
    """Return the formula of `core.plan.fleet.gpus_by_division`."""
    return f"ROUNDUP({total_gb}/{gpu_memory_gb}-{ROUNDING_NOISE},0)"


def full_width_bytes_per_token(layers: str, hidden: str, value_bytes: str) -> str:
    """Return the article's rule: every layer stores a key and a value (1+1), each as wide as the model."""
    return f"{layers}*{hidden}*{value_bytes}*(1+1)"


def article_mb_per_token(bytes_per_token: str) -> str:
    """Return the article's "MB": MiB rounded to one decimal."""
    return f"ROUND({bytes_per_token}/{MIB},1)"


def gpu_memory_gb(driver_mib: str, label_gb: str) -> str:
    """Return the formula of `core.catalog.hardware.Gpu.memory_bytes`, in GB."""
    return f"IF(ISNUMBER({driver_mib}),{driver_mib}*{MIB}/{GB},{label_gb})"


def gpu_memory_bytes(driver_mib: str, label_gb: str) -> str:
    """Return the formula of `core.catalog.hardware.Gpu.memory_bytes`."""
    return f"IF(ISNUMBER({driver_mib}),{driver_mib}*{MIB},{label_gb}*{GB})"


def about(a: str, b: str) -> str:
    """Return whether two figures agree within rounding errors; `b` is not negative."""
    return f"ABS({a}-{b})<={ROUNDING_NOISE}*{b}"


def equal(a: str, b: str) -> str:
    """Return 1 if two figures agree within rounding errors, else 0."""
    return f"IF(ABS({a}-{b})<={ROUNDING_NOISE}*MAX(1,ABS({b})),1,0)"


def holds(gpus: str, gpu_memory_gb: str, total_gb: str) -> str:
    """Return whether `gpus` GPUs have room for the total."""
    return f"{gpus}*{gpu_memory_gb}>={total_gb}*(1-{ROUNDING_NOISE})"


def sentence(template: str, values: Mapping[str, str]) -> str:
    """Return `template` as a formula, with each {name} replaced by the result of `values[name]`."""
    parts = re.split(r"{(\w+)}", template)
    return "&".join(values[part] if i % 2 else text(part) for i, part in enumerate(parts) if part)


def fixed(number: str, decimals: int) -> str:
    """Format a number with the user's own separators (TEXT would need a format in the user's language)."""
    return f"FIXED({number},{decimals})"


def is_number_within(cell: str, least: str, most: str, *, whole: bool) -> str:
    """Return whether `cell` holds a number from `least` to `most`; never an error, whatever the cell holds."""
    conditions = [f"{cell}>={least}", f"{cell}<={most}"] + ([f"{cell}=INT({cell})"] if whole else [])
    return f"IF(ISNUMBER({cell}),AND({','.join(conditions)}),FALSE)"


def is_listed(key: str, keys: str) -> str:
    """Return whether `key` is one of `keys`. MATCH alone would accept "llama*" as the first llama."""
    return f"IFERROR({looked_up(key, keys, keys)}={key},FALSE)"


def row_in(keys: str, key: str) -> str:
    """Return the position at which MATCH finds `key` in `keys`; 0 if it does not."""
    return f"IFERROR(MATCH({key},{keys},0),0)"


def is_in_row(key: str, keys: str, row: str) -> str:
    """Return whether `key` equals row `row` of `keys`. MATCH alone would accept "llama*" as the first llama."""
    return f"IF({row}>0,INDEX({keys},{row})={key},FALSE)"


def is_blank(cell: str) -> str:
    """Return whether `cell` is blank; a 0 counts as blank, because some spreadsheet programs read a blank as 0."""
    return f"IF(ISNUMBER({cell}),{cell}=0,LEN({cell})=0)"


def if_inputs_ok(input_check: str, formula: str) -> str:
    """Return `formula`, or a dash if the row's input check is not OK."""
    return f"IF({input_check}={text(OK)},{formula},{text('–')})"
