"""List the exceptions from the house style in the planner's own workbook, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from workbook.labels import LANGUAGES, Labels


@dataclass(frozen=True)
class Allowance:
    """Functions allowed on a sheet, in cells whose column header or row label is `label` (None: any cell)."""

    sheet: str
    label: str | None
    functions: tuple[str, ...]
    reason: str


ALLOWED_FUNCTIONS = (
    Allowance(
        "article", "article.kv_per_token", ("ROUND",), "the article's own rounding, shown next to the exact figure"
    ),
    Allowance("article", "article.gpus", ("ROUNDUP",), "GPUs are whole"),
    Allowance("scenarios", "scenarios.input_check", ("IFERROR",), "its result is a text for any input, never an error"),
    Allowance("scenarios", None, ("ROUNDUP", "INT"), "GPUs, nodes, users and blocks of tokens are whole"),
    *(
        Allowance("scenarios", f"scenarios.{key}", ("IFERROR",), "the input check reads it, so it must not be an error")
        for key in ("model_row", "gpu_row", "memory_gb", "step_tokens", "usable_one", "usable_several")
    ),
    Allowance("scenarios", "scenarios.addin", ("IFERROR",), "its result is a text, and no figure depends on it"),
    Allowance("procurement", None, ("ROUNDUP", "INT"), "GPUs, nodes, users and months are whole"),
    Allowance("models", None, ("ROUNDUP",), "the layers and heads of an own model on one of several GPUs are whole"),
    Allowance("sensitivity", None, ("ROUNDUP",), "the GPUs of the grid are whole"),
)

# Named results that may depend on functions of the add-in, each with its reason.
ALLOWED_NAMES_WITH_FOREIGN_FUNCTIONS = {
    "addin_loaded": "it tests whether the functions are available",
    "master_check": "one of its checks compares the functions, if loaded, with the formulas",
}


@cache
def allowed_functions() -> dict[tuple[str, str | None], frozenset[str]]:
    """Return the allowed functions in every language of the workbook: (sheet title, label or None) → functions."""
    return {
        (labels(f"sheet.{entry.sheet}"), entry.label and labels(entry.label)): frozenset(entry.functions)
        for labels in map(Labels, LANGUAGES)
        for entry in ALLOWED_FUNCTIONS
    }
