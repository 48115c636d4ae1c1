"""The workbook's functions for GPUs and users, and the parts that compute one layout."""

from __future__ import annotations

from core.plan.fleet import LAYOUTS
from core.plan.memory import BLOCKS, ESTIMATE, OF_CONTEXT, PLACE, REPLICAS, ROOM, RULE, STAGE
from workbook import formulas as f
from workbook import terms
from workbook.functions.memory import of_model
from workbook.functions.parts import (
    CONTEXT,
    FORMATS,
    GPU,
    MODEL,
    OUT_OF_RANGE,
    OVERHEAD,
    Columns,
    Reference,
    Steps,
    number,
    of_each_layout,
    renamed,
    steps_of,
)
from workbook.lambdas import Function
from workbook.sheets import capacity, precisions

# Arguments of the functions of one layout; an overhead that is no number means vLLM's budget.
OF_LAYOUT = ("model_row", "gpu_row", "layout", "tokens", "precision_row", "kv_row", "fraction")
USERS_OF_LAYOUT = f"_LLM_LAYOUT_USERS({','.join(OF_LAYOUT)})"
PLACES_OF_LAYOUT = f"_LLM_LAYOUT_PLACES({','.join(OF_LAYOUT)},on_gpus)"
GPUS_OF_LAYOUT = f"_LLM_LAYOUT_GPUS({','.join(OF_LAYOUT)},sequences)"
FIRST_ROW = {"first_row": "_LLM_LAYOUT_ROW(model_row,layout)"}
SIZES = {"tp": "INDEX(layout_tp,first_row)", "pp": "INDEX(layout_pp,first_row)", "gpus_per_replica": "tp*pp"}
FRACTION = {"fraction": 'IF(ISOMITTED(overhead),_LLM_OVERHEAD(model_row,""),_LLM_OVERHEAD(model_row,overhead))'}
GPUS_NEEDED = {
    "users_per_replica": USERS_OF_LAYOUT,
    **steps_of((REPLICAS["replicas_needed"], REPLICAS["gpus"]), renamed({"users": "sequences"})),
}
_CHECKED = ("model_row", "tokens", "gpu_row", "precision_row", "kv_row", "N(fraction)")


def checked(result: str, *others: str) -> str:
    """Return a result, or the first error of the arguments; others than those of all functions can be named."""
    arguments = "+".join((*_CHECKED, *others))
    return f"IF(ISNUMBER({arguments}),{result},{arguments})"


# The functions have no arguments for the settings of an engine: nothing is shared, and there are no adapters.
_OF_STAGE = (
    "kernels", "wide", "weights_column", "cache_column", "step_class", "max_sequences", "room_bytes",
    "unfolded_tokens", "blocks", "context_workspace_bytes",
)  # fmt: skip


def layout_functions(columns: Columns) -> tuple[Function, ...]:
    """Return the functions, parts first."""
    fewest, places = f"MIN({of_each_layout(GPUS_OF_LAYOUT)})", f"INT(on_gpus/gpus_per_replica)*{USERS_OF_LAYOUT}"
    return (
        Function("_LLM_LAYOUT_ROW", ("model_row", "layout"), f"(model_row-1)*{len(LAYOUTS)}+layout+1"),
        Function(
            "_LLM_OVERHEAD",
            ("model_row", "overhead"),
            # A model of which only the size is known has no budget of an engine.
            f'IF(overhead="",IF({columns.model("has_shapes")}=1,"",{OVERHEAD}),{number("overhead")})',
        ),
        Function(
            "_LLM_BLOCKS",
            ("model_row", "first_row", "cache_column", "step_tokens", "tokens"),
            "blocks",
            steps={"pp": SIZES["pp"]}
            | steps_of(
                (term for term in BLOCKS if term.name not in ("unfolded_tokens", *terms.WITHOUT_SETTINGS)),
                _of_layout(columns),
            ),
        ),
        Function(
            "_LLM_STAGE_USERS",
            ("first_row", *_OF_STAGE),
            "stage_users",
            steps={"activation_column": capacity.activation_column(str), **steps_of(STAGE, _of_layout(columns))},
        ),
        _rule_users(columns),
        _layout_users(columns),
        Function("_LLM_LAYOUT_GPUS", (*OF_LAYOUT, "sequences"), "gpus", steps=FIRST_ROW | SIZES | GPUS_NEEDED),
        Function(
            "_LLM_LAYOUT_PLACES",
            (*OF_LAYOUT, "on_gpus"),
            f"IF(gpus_per_replica<=on_gpus,{places},0)",
            steps=FIRST_ROW | SIZES,
        ),
        Function(
            "LLM_GPUS",
            ("model", "context", "users", "gpu"),
            checked(f"IF(fewest>0,fewest,{OUT_OF_RANGE})", "sequences"),
            ("precision", "kv_precision", "overhead"),
            steps={**MODEL, **CONTEXT, "sequences": number("users"), **GPU, **FORMATS, **FRACTION, "fewest": fewest},
            inner=("layout",),
        ),
        Function(
            "LLM_USERS",
            ("model", "context", "gpu", "number_of_gpus"),
            checked(f"MAX({of_each_layout(PLACES_OF_LAYOUT)})", "on_gpus"),
            ("precision", "kv_precision", "overhead"),
            steps={**MODEL, **CONTEXT, **GPU, "on_gpus": number("gpus", "number_of_gpus"), **FORMATS, **FRACTION},
            inner=("layout",),
        ),
    )


def served(key: str) -> str:
    """Return a figure of the format in which vLLM serves the weights."""
    return f"INDEX(precision_{key},served_row)"


def served_row() -> Steps:
    """Return the steps that find that format."""
    name = "INDEX(served_names,model_row,served_column)"
    return {
        "served_column": "INDEX(precision_served_column,precision_row)",
        "served_row": f"IF(served_column>0,{precisions.row_of(name)},precision_row)",
        "weights_column": served("weights_column"),
    }


def _of_layout(columns: Columns) -> Reference:
    """Return the reference to inputs of the terms of a layout."""
    of_model_ = of_model(columns)

    def reference(name: str) -> str:
        if name in terms.WITHOUT_SETTINGS:
            return terms.WITHOUT_SETTINGS[name]
        if name in capacity.LOOKED_UP:
            return capacity.LOOKED_UP[name].format(
                row="first_row", weights="weights_column", cache="cache_column",
                activation_column="activation_column", kernels="kernels",
            )  # fmt: skip
        return of_model_(name)

    return reference


def _rule_users(columns: Columns) -> Function:
    of_layout = _of_layout(columns)
    found = {
        "all_weights_bytes": "_LLM_WEIGHTS(model_row,precision_row)",
        "memory_bytes": columns.gpu("memory_bytes"),
        "overhead": "fraction",
    }
    windows = (ESTIMATE[name] for name in ("tokens_in_window", "tokens_in_window_2"))
    return Function(
        "_LLM_RULE_USERS",
        ("model_row", "gpu_row", "first_row", "allocated_tokens", "precision_row", "kv_row", "fraction"),
        "rule_users",
        steps={
            "is_shipped": f"IF(precision_row={precisions.row_of(f.text(precisions.SHIPPED))},1,0)",
            **steps_of((*windows, *RULE), lambda name: found.get(name) or of_layout(name)),
        },
    )


def _layout_users(columns: Columns) -> Function:
    """Return the function for the users of one replica; the engine's budget counts the stage with the fewest."""

    def of_stage(row: str) -> str:
        return f"_LLM_STAGE_USERS({row},{','.join(_OF_STAGE)})"

    of_gpu = {name: columns.gpu(name) for name in ("usable_bytes", "other_one_bytes", "other_stages_bytes")}
    users = {
        "stage_users": of_stage("first_row"),
        "stage_users_2": of_stage("INDEX(layout_second,first_row)"),
        "stage_users_3": of_stage("INDEX(layout_third,first_row)"),
        "attention_groups": "1",
        "rule_users": "_LLM_RULE_USERS(model_row,gpu_row,first_row,tokens,precision_row,kv_row,fraction)",
    }
    return Function(
        "_LLM_LAYOUT_USERS",
        OF_LAYOUT,
        terms.formula(REPLICAS["users_per_replica"], renamed(users)),
        steps={
            **FIRST_ROW,
            **SIZES,
            "gpus_per_node": columns.gpu("per_node_planned"),
            **steps_of(PLACE, renamed({name: columns.gpu(name) for name in ("on_board", "most_nodes_per_replica")})),
            "is_possible": "IF(ISNUMBER(INDEX(layout_parameters,first_row)),node_takes,0)",
            "by_engine": "IF(ISNUMBER(fraction),0,1)",
            **served_row(),
            **{key: f.or_shipped(served(key), columns.model(f"shipped_{key}")) for key in ("kernels", "wide")},
            "cache_column": "INDEX(kv_cache_column,kv_row)",
            **{name: columns.gpu(name) for name in ("step_class", "step_tokens", "max_sequences")},
            **steps_of(ROOM, renamed(of_gpu)),
            **steps_of([BLOCKS["unfolded_tokens"]], renamed({"context": "tokens"})),
            **steps_of(
                [OF_CONTEXT["context_workspace_bytes"]],
                renamed({"context": "tokens", "context_bytes": columns.model("context_bytes")}),
            ),
            "blocks": "_LLM_BLOCKS(model_row,first_row,cache_column,step_tokens,tokens)",
        },
    )
