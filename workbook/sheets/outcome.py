"""Compute what the layout of a scenario comes to: its speed, its order and its cost, in columns of Scenarios.

The terms are those of Options, where the chosen scenario has every GPU and layout; here each scenario has the layout
with the fewest GPUs on the GPU that it names. Users are capped by the plan's wanted speed in the same way.
"""

from __future__ import annotations

from collections.abc import Callable

from core.plan.memory import REPLICAS
from core.plan.money import OPTION_MONEY, OUTCOME
from core.plan.speed_terms import ANY_LAYOUT, FAST, LOAD, SERVED
from workbook import formulas as f
from workbook import styles, terms
from workbook.book import COUNT_FORMAT, MONEY_FORMAT, SheetColumn
from workbook.labels import Labels
from workbook.sheets import gpus, pace

Cell = Callable[[str], str]


_SPEED = tuple(
    term
    for term in (
        *terms.needed(FAST, ("users_at_speed",)),
        *terms.needed(LOAD, ("tokens_per_s_per_user", "low_tokens_per_s")),
    )
    if term.name not in ANY_LAYOUT  # Speed has them
)
_MONEY = terms.needed((*OPTION_MONEY, *OUTCOME), ("deployable", "cost_month", "start_cash", "order", "rented"))
_OF_CAPACITY = ("gpus_per_replica", "pp")
# Names of terms that the table has for another figure: a layout that holds the users at any speed.
_RENAMED = {"replicas": "order_replicas", "nodes": "order_nodes"}

# What a buyer reads first, with the columns of Scenarios between them.
ANSWERS = {
    column.key: column
    for column in (
        SheetColumn("deployable", 8, styles.TOTAL),
        SheetColumn("best_gpus", 7, styles.TOTAL),
        SheetColumn("tokens_per_s_per_user", 8.5, styles.FORMULA, "#,##0.0"),
        SheetColumn("cost_month", 9, styles.TOTAL, "#,##0"),
        SheetColumn("cost_user_month", 8, styles.FORMULA, "[<100]#,##0.00;#,##0"),
        SheetColumn("state", 16.5, styles.FORMULA_TEXT, None),
    )
}
WORKINGS = (
    SheetColumn("trouble", 24, styles.FORMULA_TEXT, None),
    SheetColumn("remark", 24, styles.FORMULA_TEXT, None),
    SheetColumn("plain_remark", 24, styles.FORMULA_TEXT, None),
    SheetColumn("counted", 9, styles.CHECK),
    SheetColumn("max_context", 11),
    SheetColumn("beyond", 9, styles.CHECK),
    SheetColumn("fitting", 10),
    SheetColumn("runs", 8, styles.FORMULA, "0"),
    *(SheetColumn(key, 9) for key in _OF_CAPACITY),
    *(
        SheetColumn(term.name, 12, styles.FORMULA, "0.000E+00")
        for term in _SPEED
        if term.name not in (*ANSWERS, "low_tokens_per_s")
    ),
    SheetColumn("low_tokens_per_s", 10, styles.FORMULA, "#,##0.0"),
    SheetColumn("shown_low", 9, styles.FORMULA, "0.#"),
    SheetColumn("slow", 24, styles.FORMULA_TEXT, None),
    SheetColumn("speed_trouble", 24, styles.FORMULA_TEXT, None),
    SheetColumn("users_per_replica", 10),
    SheetColumn("needed", 10),
    SheetColumn("sequences", 10, styles.FORMULA, "#,##0.0"),
    *(
        SheetColumn(name, 12, styles.FORMULA, MONEY_FORMAT if "usd" in name else COUNT_FORMAT)
        for name in gpus.INPUTS_OF_MONEY
    ),
    SheetColumn("owned_gpus", 10),
    *(
        SheetColumn(_RENAMED.get(term.name, term.name), 14, styles.FORMULA, terms.number_format(term))
        for term in _MONEY
        if term.name not in ANSWERS
    ),
)
_KEYS = {*ANSWERS, *(column.key for column in WORKINGS)}
_HEADINGS = {
    "deployable": "deploy", "tokens_per_s_per_user": "speed", "low_tokens_per_s": "low_speed",
    "cost_month": "best_month", "cost_user_month": "best_user_month", "slow": "too_slow",
}  # fmt: skip
_NAMES = {
    _RENAMED.get(name, name): name
    for name in (
        *(term.name for term in (*_SPEED, *_MONEY)), *gpus.INPUTS_OF_MONEY, "users_per_replica", "sequences",
        "gpus_per_replica",
    )
    if name not in _HEADINGS
}  # fmt: skip


def has(key: str) -> bool:
    """Return whether a column of Scenarios is one of these."""
    return key in _KEYS


def header(labels: Labels, key: str) -> str:
    """Return the heading of a column."""
    if key in _NAMES:
        return terms.label(labels, _NAMES[key])
    return labels(f"scenarios.{_HEADINGS.get(key, key)}")


def formulas(labels: Labels, cell: Cell, of_capacity: Cell, gpu: Cell, longest: str) -> dict[str, str]:
    """Return the formula of each column.

    Args:
        cell: key of a column of Scenarios → its cell in the same row.
        of_capacity: key of a column of Capacity → the whole column.
        gpu: key of a column of GPUs → its figure for the GPU of the row.
        longest: the formula of the longest context of the row's model.
    """

    def of_best(key: str, otherwise: str) -> str:
        best = cell("best_row")
        return f"IF({best}>0,INDEX({of_capacity(key)},{best}),{otherwise})"

    def of_load(name: str) -> str:
        return cell(name) if name in (*_KEYS, "attention_groups") else pace.at_pace(name, cell("number"))

    def of_money(name: str) -> str:
        name = _RENAMED.get(name, name)
        return cell(name) if name in _KEYS or name == "users" else name

    def of_served(name: str) -> str:
        return terms.formula(SERVED[name], lambda key: cell("needed" if key == "replicas_needed" else key))

    def text(key: str) -> str:
        return f.text(labels(f"scenarios.{key}"))

    def sentence(key: str, **values: str) -> str:
        return f.sentence(labels(f"scenarios.{key}"), values)

    runs, low, missing = cell("runs"), cell("low_tokens_per_s"), terms.MISSING
    is_known = f"ISNUMBER({cell('cost_month')})"
    full = sentence("full", most="most_scenarios")
    slow = sentence("slow", low=cell("shown_low"), wanted="plan_min_speed")
    fits = f"IF({cell('best_row')}=0,{text('no_layout')},{cell('speed_trouble')})"
    beyond = sentence("ok_beyond", longest=f.fixed(cell("max_context"), 0))
    return {
        "state": f"IF({cell('trouble')}={missing},{cell('remark')},{f.text('▲ ')}&{cell('trouble')})",
        "trouble": f"IF({cell('input_check')}<>{f.text(f.OK)},{cell('input_check')},"
        f"IF({cell('number')}>most_scenarios,{full},{fits}))",
        "remark": f"IF({cell('beyond')}=1,{beyond},IF({cell('lacks_cache')}=1,{text('ok_no_cache')},{cell('plain_remark')}))",
        "plain_remark": f"IF({is_known},IF({runs}={pace.RUNS},{f.text(f.OK)},"
        f"{text('ok_memory')}),{text('ok_no_price')})",
        "counted": f"IF({cell('trouble')}={missing},IF({is_known},1,0),0)",
        "max_context": f"IF(ISNUMBER({longest}),{longest},0)",
        "beyond": f"IF({cell('max_context')}>0,IF({cell('context')}>{cell('max_context')},1,0),0)",
        "fitting": of_best("users_per_replica", "0"),
        "runs": f"IF({cell('fitting')}>0,INDEX(scenario_pace_runs,{cell('number')}),{pace.NO_FIGURES})",
        **{key: of_best(key, "1") for key in _OF_CAPACITY},
        **{
            term.name: f"IF({runs}={pace.RUNS},{terms.formula(term, of_load)},{missing})" for term in _SPEED
        },
        "shown_low": pace.shown_low(runs, low),
        "slow": f"IF({runs}={pace.RUNS},IF({low}<plan_min_speed,{slow},{missing}),{missing})",
        "speed_trouble": f"IF({cell('slow')}<>{missing},{cell('slow')},IF({runs}={pace.NO_KERNEL},{text('no_kernel')},"
        f"IF({cell('deployable')}>most_planned_gpus,{text('too_many')},{missing})))",
        "users_per_replica": f"IF({runs}={pace.RUNS},{of_served('users_per_replica')},{cell('fitting')})",
        "needed": terms.formula(REPLICAS["replicas_needed"], cell),
        "sequences": of_served("sequences"),
        **{
            name: f"IF(ISNUMBER({gpu(key)}),{gpu(key)},{missing})" for name, key in gpus.INPUTS_OF_MONEY.items()
        },
        # GPUs that are already there serve one scenario: deducted from every row, they would lower the total each time.
        "owned_gpus": f"IF({cell('scenario')}=plan_scenario,owned_gpus,0)",
        **{_RENAMED.get(term.name, term.name): terms.formula(term, of_money) for term in _MONEY},
        "best_gpus": terms.bought_or_rented(cell("buys"), cell("order"), cell("rented")),
        "cost_user_month": f"IF({is_known},{cell('cost_month')}/{cell('users')},{missing})",
    }  # fmt: skip
