"""The maths of `core`, restated in Excel's own language.

This is the product's one deliberate duplication; the parity tests hold both against each other in real engines. Every
function takes cell references and gives a formula without its "=", so that formulas nest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

GB = "10^9"
MIB, GIB = "2^20", "2^30"
OK = "OK"

# Less than a billionth of a GPU over a whole number is the arithmetic's own noise, not need for another GPU.
ROUNDING_NOISE = "10^-9"


def text(value: str) -> str:
    """A string constant."""
    return '"' + value.replace('"', '""') + '"'


def this_row(table: str, column: str) -> str:
    """The cell of `column` in the row that the formula stands in."""
    return f"{table}[[#This Row],[{_escaped(column)}]]"


def whole_column(table: str, column: str) -> str:
    """All data cells of `column`."""
    return f"{table}[{_escaped(column)}]"


def _escaped(column: str) -> str:
    return "".join("'" + c if c in "[]#'" else c for c in column)


def looked_up(key: str, keys: str, values: str) -> str:
    """The element of `values` that stands where `key` stands in `keys`; #N/A where it does not."""
    return f"INDEX({values},MATCH({key},{keys},0))"


def weights_gb(parameters: str, bytes_per_value: str) -> str:
    """`core.model.weights.weights_bytes`, in GB."""
    return f"{parameters}*{bytes_per_value}/{GB}"


def kv_gb(
    values_per_token: str,
    windowed: Sequence[tuple[str, str]],
    fixed_values: str,
    fixed_bytes: str,
    index_bytes: str,
    *,
    context: str,
    users: str,
    value_bytes: str,
) -> str:
    """`core.model.kv_cache.KvProfile.bytes_of_sequences`, in GB; `windowed` are (window, values per token)."""
    in_windows = (f"{values}*MIN({context},{window})" for window, values in windowed)
    values = "+".join([f"{values_per_token}*{context}", *in_windows, fixed_values])
    return f"{users}*(({values})*{value_bytes}+{fixed_bytes}+{index_bytes}*{context})/{GB}"


def uniform_kv_gb(bytes_per_token: str, context: str, users: str) -> str:
    """The KV cache of a model that keeps as much for every token, in GB."""
    return f"{bytes_per_token}*{context}*{users}/{GB}"


def overhead_gb(weights: str, kv: str, fraction: str) -> str:
    """`core.plan.estimate.rule_overhead_bytes`, in GB."""
    return f"({weights}+{kv})*{fraction}"


def gpus_by_division(total_gb: str, gpu_memory_gb: str) -> str:
    """`core.plan.fleet.gpus_by_division`."""
    return f"ROUNDUP({total_gb}/{gpu_memory_gb}-{ROUNDING_NOISE},0)"


def rounded_up(number: str) -> str:
    """The next whole number, noise aside."""
    return f"ROUNDUP({number}-{ROUNDING_NOISE},0)"


def users_that_fit(room: str, each: str) -> str:
    """How many users' sequences of `each` so much have room, noise aside; below 0 where there is none."""
    return f"INT({room}/{each}+{ROUNDING_NOISE})"


def kept_tokens(context: str, average_tokens: str, *, paged: str, in_blocks: str) -> str:
    """`core.plan.allocation.kept_tokens`; `paged` and `in_blocks` are conditions."""
    kept = f"IF({paged},MIN({context},{average_tokens}),{context})"
    return f"IF(OR({paged},{in_blocks}),ROUNDUP({kept}/kv_block_tokens,0)*kv_block_tokens,{context})"


def vllm_usable_gb(memory_gb: str) -> str:
    """`core.plan.worksheet.vllm_usable_bytes`, in GB."""
    shown = f"{memory_gb}*(1-driver_keeps_share)-driver_keeps_mib*{MIB}/{GB}"
    return f"MAX(0,{shown})*vllm_share"


def full_width_bytes_per_token(layers: str, hidden: str, value_bytes: str) -> str:
    """The article's rule: a key and a value as wide as the model, in every layer. (1+1) is key and value."""
    return f"{layers}*{hidden}*{value_bytes}*(1+1)"


def article_mb_per_token(bytes_per_token: str) -> str:
    """The article's "MB": rounded to one decimal of MiB."""
    return f"ROUND({bytes_per_token}/{MIB},1)"


def gpu_memory_gb(driver_mib: str, label_gb: str) -> str:
    """`core.catalog.hardware.Gpu.memory_bytes`, in GB."""
    return f"IF(ISNUMBER({driver_mib}),{driver_mib}*{MIB}/{GB},{label_gb})"


def equal(a: str, b: str) -> str:
    """1 if two figures agree but for rounding noise, else 0."""
    return f"IF(ABS({a}-{b})<={ROUNDING_NOISE}*MAX(1,ABS({b})),1,0)"


def in_gb(size_bytes: str) -> str:
    """A size in GB."""
    return f"{size_bytes}/{GB}"


def holds(gpus: str, gpu_memory_gb: str, total_gb: str) -> str:
    """Whether so many GPUs have room for the total."""
    return f"{gpus}*{gpu_memory_gb}>={total_gb}*(1-{ROUNDING_NOISE})"


def sentence(template: str, values: Mapping[str, str]) -> str:
    """The text `template` with each {name} replaced by what the formula `values[name]` gives."""
    parts = re.split(r"{(\w+)}", template)
    return "&".join(values[part] if i % 2 else text(part) for i, part in enumerate(parts) if part)


def fixed(number: str, decimals: int) -> str:
    """A number as text, in the reader's own separators (TEXT would want its format in the reader's language)."""
    return f"FIXED({number},{decimals})"


def is_number_within(cell: str, least: str, most: str, *, whole: bool) -> str:
    """Whether `cell` holds a number from `least` to `most`; never an error, whatever stands in the cell."""
    conditions = [f"{cell}>={least}", f"{cell}<={most}"] + ([f"{cell}=INT({cell})"] if whole else [])
    return f"IF(ISNUMBER({cell}),AND({','.join(conditions)}),FALSE)"


def is_listed(key: str, keys: str) -> str:
    """Whether `key` is one of `keys`. MATCH alone would take "llama*" for the first llama."""
    return f"IFERROR({looked_up(key, keys, keys)}={key},FALSE)"


def row_in(keys: str, key: str) -> str:
    """The row in which MATCH finds `key` among `keys`; 0 where it does not."""
    return f"IFERROR(MATCH({key},{keys},0),0)"


def stands_in_row(key: str, keys: str, row: str) -> str:
    """Whether `key` stands in that row of `keys`. MATCH alone would take "llama*" for the first llama."""
    return f"IF({row}>0,INDEX({keys},{row})={key},FALSE)"


def is_blank(cell: str) -> str:
    """Whether nothing stands in `cell`; a blank that an engine takes for 0 is one."""
    return f"IF(ISNUMBER({cell}),{cell}=0,LEN({cell})=0)"


def first_of(cases: Sequence[tuple[str, str]]) -> str:
    """The value that goes with the first condition that holds; the last one's if none does."""
    formula = cases[-1][1]
    for condition, value in reversed(cases[:-1]):
        formula = f"IF({condition},{value},{formula})"
    return formula


def first_problem(conditions: Sequence[tuple[str, str]]) -> str:
    """OK if all conditions hold, else the sentence that goes with the first that does not."""
    formula = text(OK)
    for condition, problem in reversed(conditions):
        formula = f"IF({condition},{formula},{text(problem)})"
    return formula


def unless_wrong(verdict: str, formula: str) -> str:
    """`formula`, or #N/A where the row's inputs are not usable."""
    return f"IF({verdict}={text(OK)},{formula},NA())"
