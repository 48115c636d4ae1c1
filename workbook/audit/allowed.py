"""Where the planner's own workbook may do what its house style forbids elsewhere, each with the reason."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from workbook.labels import LANGUAGES, Labels


@dataclass(frozen=True)
class Allowance:
    """Functions that may be used on a sheet, in cells whose column header or row label is `label` (None: anywhere)."""

    sheet: str
    label: str | None
    functions: tuple[str, ...]
    reason: str


ALLOWED_FUNCTIONS = (
    Allowance(
        "article", "article.kv_per_token", ("ROUND",), "the article's own rounding, shown beside the exact figure"
    ),
    Allowance("article", "article.gpus", ("ROUNDUP",), "GPUs are bought whole"),
    Allowance("scenarios", "scenarios.input_check", ("IFERROR",), "its verdict on any input is words, never an error"),
    Allowance("scenarios", None, ("ROUNDUP", "INT"), "GPUs, nodes, users and blocks of tokens are whole"),
    *(
        Allowance("scenarios", f"scenarios.{key}", ("IFERROR",), "looked at by the input check, itself no error")
        for key in ("model_row", "gpu_row", "memory_gb", "step_tokens", "usable_one", "usable_several")
    ),
    Allowance(
        "scenarios", "scenarios.addin", ("IFERROR",), "words only: no figure depends on it, with the add-in or without"
    ),
    Allowance("procurement", None, ("ROUNDUP", "INT"), "GPUs, nodes, users and months are whole"),
    Allowance("models", None, ("ROUNDUP",), "what a GPU of several holds of an own model is whole"),
    Allowance("sensitivity", None, ("ROUNDUP",), "the grid of GPUs, which are bought whole"),
)

# Named results that may depend on functions of the add-in.
ALLOWED_NAMES_WITH_FOREIGN_FUNCTIONS = {
    "addin_loaded": "it asks whether the functions are there",
    "master_check": "one of its checks compares the functions, where loaded, with the formulas",
}


@cache
def allowed_functions() -> dict[tuple[str, str | None], frozenset[str]]:
    """(sheet title, label or None) → functions, in every language of the workbook."""
    return {
        (labels(f"sheet.{entry.sheet}"), entry.label and labels(entry.label)): frozenset(entry.functions)
        for labels in map(Labels, LANGUAGES)
        for entry in ALLOWED_FUNCTIONS
    }
