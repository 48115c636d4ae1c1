"""The workbook's function for speed: the fastest layout of a number of GPUs, and the parts that compute one layout."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from core.cells.speed import RESULTS
from core.plan import speed_terms
from core.plan.demand import TOKENS
from core.plan.speed_terms import ATTENTION, SHARED, WEIGHTS
from core.plan.terms import Term, Terms, v
from workbook import formulas as f
from workbook import terms
from workbook.functions.layouts import FIRST_ROW, PLACES_OF_LAYOUT, SIZES, checked, served_row
from workbook.functions.parts import (
    FORMATS,
    GPU,
    MODEL,
    OUT_OF_RANGE,
    WRONG_TYPE,
    Columns,
    Steps,
    array,
    elements,
    given,
    number,
    of_each_layout,
    renamed,
    steps_of,
)
from workbook.joining import ONE, replaced, without_ones
from workbook.lambdas import Function, names_in
from workbook.sheets import speed
from workbook.sheets.pace import NO_FIGURES, RUNS

# The functions have no argument for drafted tokens either: what each term gives that a draft would change.
_WITHOUT_DRAFTS = {
    "dense_token_bytes": v.dense_bytes, "expert_token_bytes": v.expert_bytes, "cache_token_bytes": v.cache_bytes,
    "step_untouched": v.untouched, "step_touch_rate": v.touch_rate, "step_kernels": v.kernels,
    "step_all_reduces": v.all_reduces, "sequence_token_s": v.sequence_s, "stage_token_s": v.link_latency_s,
    **dict.fromkeys(("dense_work", "expert_work", "cache_work", "tokens_per_step", "verified_tokens"), ONE),
}  # fmt: skip


def _without_drafts(of: Iterable[Term]) -> Terms:
    """Return terms as they are where a step drafts no tokens."""
    return Terms(
        *(
            replace(term, formula=without_ones(replaced(term.formula, _WITHOUT_DRAFTS)))
            for term in of
            if term.name not in _WITHOUT_DRAFTS
        )
    )


PACE, LOAD = _without_drafts(speed_terms.PACE), _without_drafts(speed_terms.LOAD)
_OF_WEIGHTS = ("dense_bytes", "dense_widened", "dense_peak_s", "prompt_peak_s", "expert_peak_s", "kernels")
_OF_ATTENTION = ("cache_bytes", "attention_flops", "prompt_attention_flops")
_OF_PACE = tuple(term.name for term in PACE if term.name in LOAD.inputs)
# The functions have no argument for a prompt that users share: its terms are left out, and what they give is this.
_WITHOUT_SHARED = {"shared_prompt_tokens": "0", "computed_tokens": "prompt_tokens", "shared_pairs": "0"}
_WHERE = ("figures_row", "gpu_row", "tp", "served_row", "weights_column")  # where the figures of a layout stand
_LOAD = ("pp", "users", "replicas", "fitting", "output_tokens", "result")
_OF_LAYOUT = (
    "model_row", "gpu_row", "layout", "precision_row", "kv_row", "prompt_tokens", "output_tokens", "users", "on_gpus",
    "places", "result",
)  # fmt: skip


def speed_functions(columns: Columns) -> tuple[Function, ...]:
    """Return the functions, parts first."""
    cache = ("figures_row", "mean_context", "prompt_tokens", "value_bytes")
    return (
        _weights(columns),
        Function("_LLM_ATTENTION_FIGURES", cache, array(_OF_ATTENTION), steps=_steps(columns, ATTENTION, cache)),
        _pace(columns),
        _load(columns),
        _layout_speed(columns),
        _fastest(columns),
    )


def _looked_up(columns: Columns, needed: Iterable[str], known: Collection[str]) -> Steps:
    """Return the steps that look up figures; `known` are arguments and other steps."""
    needed, found = {*needed}, speed.lookups(columns.labels, str, "weights_column")
    steps: Steps = {}
    for name in (*found, *reversed(found)):  # "runs", the last, needs others, and these need others before them
        if name in needed and name not in known and name not in steps:
            steps[name] = found[name]
            needed |= names_in(found[name])
    return {name: found[name] for name in found if name in steps}


def _steps(columns: Columns, of: Iterable[Term], known: Collection[str]) -> Steps:
    """Return the steps of terms, after those that look up what they need; `known` are arguments and earlier steps."""
    of = tuple(term for term in of if term.name not in _WITHOUT_SHARED)
    own, found = {*known, *(term.name for term in of)}, speed.lookups(columns.labels, str, "weights_column")

    def reference(name: str) -> str:
        if name in _WITHOUT_SHARED:
            return _WITHOUT_SHARED[name]
        return name if name in own or name in found else speed.reference(columns.labels, str, name)

    steps = steps_of(of, reference)
    needed = {name for formula in steps.values() for name in names_in(formula)}
    return _looked_up(columns, needed, own) | steps


def _using(name: str, arguments: Sequence[str], result: str, steps: Steps) -> Function:
    """Return a function of those of the arguments that it uses."""
    used = {name for formula in (result, *steps.values()) for name in names_in(formula)}
    return Function(name, tuple(argument for argument in arguments if argument in used), result, steps=steps)


def _call(function: Function) -> str:
    """Return a call with arguments of the same names as the parameters."""
    return f"{function.name}({','.join(function.required)})"


def _weights(columns: Columns) -> Function:
    """Return the function for what one GPU reads and computes with weights."""
    return _using("_LLM_WEIGHT_FIGURES", _WHERE, array(_OF_WEIGHTS), _steps(columns, WEIGHTS, _WHERE))


def _pace(columns: Columns) -> Function:
    """Return the function for the times of a step and a prompt that do not depend on the users."""
    arguments = (*_WHERE, "weights", "attention", "prompt_tokens", "output_tokens")
    parts = elements("weights", _OF_WEIGHTS, PACE.inputs) | elements("attention", _OF_ATTENTION, PACE.inputs)
    steps = parts | _steps(columns, PACE, {*arguments, *parts})
    return _using("_LLM_PACE", arguments, array(_OF_PACE), steps)


def _load(columns: Columns) -> Function:
    """Return the function for one result of a replica under its load."""
    arguments = (*_WHERE, "weights", "attention", "pace", *_LOAD)
    parts = (
        elements("weights", _OF_WEIGHTS, LOAD.inputs)
        | elements("attention", _OF_ATTENTION, LOAD.inputs)
        | elements("pace", _OF_PACE, LOAD.inputs)
        | {"running": "fitting", "attention_groups": "1"}  # groups of ranks are for more GPUs than a node has
        | steps_of(SHARED)
    )
    results = {
        "per_user": "tokens_per_s_per_user",
        "low": "low_tokens_per_s",
        "high": "high_tokens_per_s",
        # Not more than the memory's bandwidth allows.
        "total": "MIN(output_tokens_per_s,running_users/least_step_s)",
        "first_token": "first_token_s",
        "users_at_once": "replicas*fitting",
        "limited_by": "limited_by",
        "layout": f'IF(replicas>1,replicas&{f.text(" × ")},"")&"TP "&tp&IF(pp>1,{f.text(" × PP ")}&pp,"")',
    }
    wanted = {name for formula in results.values() for name in names_in(formula)}
    steps = parts | _steps(columns, terms.needed(LOAD, wanted), {*arguments, *parts})
    chosen = ",".join(results[name] for name in RESULTS)
    return _using("_LLM_LOAD", arguments, f"CHOOSE(result,{chosen})", steps)


def _layout_speed(columns: Columns) -> Function:
    """Return the function for one result of a layout; an error where no speed can be computed."""
    steps = {
        **FIRST_ROW,
        **SIZES,
        "replicas": "INT(on_gpus/gpus_per_replica)",
        "fitting": "places/replicas",
        **_looked_up(columns, ["tp_number"], ()),
        "figures_row": speed.figures_row_of("model_row", "tp_number"),
        **served_row(),
        "value_bytes": "INDEX(kv_bytes,kv_row)",
        **steps_of([TOKENS["mean_context"]]),
    }
    calls = {
        "weights": _call(_weights(columns)),
        "attention": "_LLM_ATTENTION_FIGURES(figures_row,mean_context,prompt_tokens,value_bytes)",
        "pace": _call(_pace(columns)),
    }
    no_speed = f"IF(runs={NO_FIGURES},{WRONG_TYPE},{OUT_OF_RANGE})"
    load = _call(_load(columns))
    steps |= _looked_up(columns, ["runs"], {*steps, *_OF_LAYOUT}) | calls
    return Function("_LLM_LAYOUT_SPEED", _OF_LAYOUT, f"IF(runs={RUNS},{load},{no_speed})", steps=steps)


def _fastest(columns: Columns) -> Function:
    """Return the function for the fastest of the layouts that hold the users, or of those that hold the most."""

    def of_layout(layout: str, result: str) -> str:
        places = f"INDEX(of_layouts,{layout})"
        return (
            f"_LLM_LAYOUT_SPEED(model_row,gpu_row,{layout},precision_row,kv_row,of_prompt,of_answer,sequences,on_gpus,{places},"
            f"{result})"
        )

    each = of_each_layout(f"IF(INDEX(of_layouts,layout)>=MIN(sequences,most),{of_layout('layout', '1')},0)")
    mean = renamed({"prompt_tokens": "of_prompt", "output_tokens": "of_answer"})
    results = "{" + ",".join(map(f.text, RESULTS)) + "}"
    found = f"IF(most>0,{of_layout('MATCH(MAX(speeds),speeds,0)', 'wanted')},{OUT_OF_RANGE})"
    return Function(
        "LLM_SPEED",
        ("model", "prompt", "answer", "users", "gpu", "number_of_gpus"),
        checked(f"IF({columns.model('has_shapes')}=1,{found},{WRONG_TYPE})", "sequences", "on_gpus", "wanted"),
        ("precision", "kv_precision", "result"),
        steps={
            **MODEL,
            "of_prompt": number("prompt_tokens", "prompt"),
            "of_answer": number("output_tokens", "answer"),
            "sequences": number("users"),
            **GPU,
            "on_gpus": number("gpus", "number_of_gpus"),
            **FORMATS,
            "wanted": f"_LLM_ROW({given('result', f.text(RESULTS[0]))},{results})",
            "fraction": '""',  # vLLM's budget
            "tokens": terms.formula(TOKENS["mean_context"], mean),
            "of_layouts": of_each_layout(PLACES_OF_LAYOUT),
            "most": "MAX(of_layouts)",
            "speeds": each,
        },
        inner=("layout",),
    )
