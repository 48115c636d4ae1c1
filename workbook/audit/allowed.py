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
    Allowance(
        "scenarios",
        None,
        ("ROUND", "ROUNDUP", "INT", "IFERROR"),
        "GPUs, tokens and bytes are whole; a row, a check or the add-in's total must not be an error for any input",
    ),
    Allowance("gpus", None, ("ROUND",), "the memory that the driver reserves is whole"),
    Allowance("capacity", None, ("ROUNDUP", "INT"), "replicas, nodes, users and blocks of tokens are whole"),
    Allowance("capacity", "capacity.slot", ("IFERROR",), "0 if the chosen scenario is not found"),
    Allowance("options", None, ("ROUNDUP", "INT"), "GPUs, nodes and months are whole"),
    Allowance("speed", None, ("ROUND", "INT"), "tokens and the number of a tensor parallel size are whole"),
    Allowance("speed", "capacity.slot", ("IFERROR",), "0 if the chosen scenario is not found"),
    Allowance(
        "prices", None, ("IFERROR", "ROUND", "ROUNDUP", "INT"), "0 if nothing is found; units and days are whole"
    ),
    Allowance("gpus", None, ("IFERROR",), "0 if no offer counts"),
    Allowance("assumptions", None, ("IFERROR", "ROUNDUP"), "a country may have no value; users are whole"),
    Allowance(
        "plan_workings",
        None,
        ("IFERROR", "ROUND"),
        "what has no price has no line in a chart; bars show whole thousands",
    ),
    Allowance("layouts", None, ("ROUNDUP",), "the layers and heads of an own model on one of several GPUs are whole"),
    Allowance("functions", None, ("IFERROR",), "says in words where a program does not know LAMBDA"),
    Allowance("models", None, ("ROUNDUP",), "the layers and heads of an own model on one of several GPUs are whole"),
    Allowance(
        "sensitivity", None, ("ROUNDUP", "INT", "IFERROR"), "GPUs and tokens are whole; 0 if there is no best option"
    ),
)

# Numbers that formulas of a sheet may hold: sheet → numbers, and the reason.
ALLOWED_NUMBERS = {
    "scenarios": (("4", "10", "700"), "few users; one decimal; least power"),
    "sensitivity": (("2", "9", "700"), "code of a unit, half an answer; parts of a context; least power"),
    "speed": (("2", "3", "4", "9", "700"), "codes of units; halves, a ring's bytes, least power"),
    "options": (("2", "4", "10", "700", "3600"), "codes; few users; one decimal; an hour; least power"),
    "best": (("4", "10", "3600"), "a quarter; millions; an hour"),
    "plan_workings": (
        ("2", "3", "4", "5", "6", "7", "10", "24"),
        "parts of the horizon; places; hours of a day; codes; thousands",
    ),
    "prices": (("4", "5", "10"), "places of the parts of a sort key"),
}

# Named results that may depend on functions of the add-in, each with its reason.
ALLOWED_NAMES_WITH_FOREIGN_FUNCTIONS = {
    "addin_loaded": "it tests whether the functions are available",
    "master_check": "one of its checks compares the functions, if loaded, with the formulas",
}


@cache
def allowed_numbers() -> dict[str, frozenset[str]]:
    """Return the allowed numbers in every language of the workbook: sheet title → numbers."""
    return {
        labels(f"sheet.{sheet}"): frozenset(numbers)
        for labels in map(Labels, LANGUAGES)
        for sheet, (numbers, _) in ALLOWED_NUMBERS.items()
    }


@cache
def allowed_functions() -> dict[tuple[str, str | None], frozenset[str]]:
    """Return the allowed functions in every language of the workbook: (sheet title, label or None) → functions."""
    found: dict[tuple[str, str | None], frozenset[str]] = {}
    for labels in map(Labels, LANGUAGES):
        for entry in ALLOWED_FUNCTIONS:
            key = labels(f"sheet.{entry.sheet}"), entry.label and labels(entry.label)
            found[key] = found.get(key, frozenset()) | frozenset(entry.functions)
    return found
