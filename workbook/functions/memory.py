"""The workbook's functions for memory: weights, KV cache, and both with overhead."""

from __future__ import annotations

from core.plan import defaults
from core.plan.memory import ESTIMATE
from workbook import formulas as f
from workbook import terms
from workbook.functions.parts import (
    CONTEXT,
    FORMATS,
    MODEL,
    OVERHEAD,
    Columns,
    Reference,
    given,
    number,
    renamed,
    steps_of,
)
from workbook.lambdas import Function
from workbook.sheets import scenarios

_LINES = ("weights_gb", "kv_gb", "overhead_gb", "total_gb")


def memory_functions(columns: Columns) -> tuple[Function, ...]:
    """Return the functions, parts first."""
    precision, cache = ({key: FORMATS[key]} for key in FORMATS)
    users = {"sequences": number("users", given("users", str(defaults.USERS)))}
    overhead = {"fraction": number("overhead", given("overhead", OVERHEAD))}
    of_total = renamed(
        {
            "all_weights_bytes": "_LLM_WEIGHTS(model_row,precision_row)",
            "user_bytes": "_LLM_USER(model_row,tokens,kv_row)",
            "users": "sequences",
            "overhead": "fraction",
        }
    )
    of_user = terms.needed(ESTIMATE, ("user_bytes",))
    return (
        Function(
            "_LLM_WEIGHTS",
            ("model_row", "precision_row"),
            f.weights_bytes(
                "column",
                "INDEX(format_bytes,model_row,column)",
                columns.model("parameters"),
                "INDEX(precision_bytes,precision_row)",
            ),
            steps={"column": "INDEX(precision_format_column,precision_row)"},
        ),
        Function(
            "_LLM_USER",
            ("model_row", "allocated_tokens", "kv_row"),
            "user_bytes",
            # Every user has memory for the whole context, as in the add-in's functions.
            steps=steps_of(
                (term for term in of_user if term.name not in ("tokens", "allocated_tokens")), of_model(columns)
            ),
        ),
        Function(
            "LLM_WEIGHTS",
            ("model",),
            terms.formula(ESTIMATE["weights_gb"], of_total),
            ("precision",),
            steps=MODEL | precision,
        ),
        Function(
            "LLM_KV",
            ("model", "context"),
            terms.formula(ESTIMATE["kv_gb"], of_total),
            ("users", "kv_precision"),
            steps=MODEL | CONTEXT | users | cache,
        ),
        Function(
            "LLM_TOTAL",
            ("model", "context"),
            "total_gb",
            ("users", "precision", "kv_precision", "overhead"),
            steps=MODEL | CONTEXT | users | FORMATS | overhead
            | steps_of((ESTIMATE[name] for name in _LINES), of_total),
        ),
    )  # fmt: skip


def of_model(columns: Columns) -> Reference:
    """Return the reference to inputs of the terms that belong to the model or to the format of the cache."""

    def reference(name: str) -> str:
        if name == "value_bytes":
            return "INDEX(kv_bytes,kv_row)"
        return columns.model(scenarios.OF_MODEL[name]) if name in scenarios.OF_MODEL else name

    return reference
