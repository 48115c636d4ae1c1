"""Show declared terms in sheets: their native formulas, number formats and labels, and texts that depend on them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from core.plan.terms import Term, spreadsheet_formula
from workbook import formulas as f
from workbook.book import COUNT_FORMAT
from workbook.labels import Labels, all_keys

MISSING = f.text("–")
# Inputs of terms that are powers of a unit, and so need no cell.
POWERS = {"w_per_kw": "10^3"}

# Terms of settings of the engine → what they are where it has its defaults.
WITHOUT_SETTINGS = {
    "shared_context": "0", "shared_full_blocks": "0", "shared_blocks": "0", "adapter_bytes": "0",
    "tokens_with_drafts": "tokens",
}  # fmt: skip

_FORMATS = {
    "GPUs": COUNT_FORMAT, "replicas": COUNT_FORMAT, "nodes": COUNT_FORMAT, "months": COUNT_FORMAT, "USD": "#,##0",
    "USD/month": "#,##0", "USD/user/month": "#,##0.00", "USD/person/month": "#,##0.00",
    "USD/million tokens": "#,##0.00", "million tokens/month": "#,##0.0", "kW": "#,##0.0", "GB": "#,##0.00",
}  # fmt: skip
_OTHER_FORMATS = {
    "monthly_rate": "0.000%", "annuity": "0.000", "discount": "0.000", "written_off": "0.0%", "buys": COUNT_FORMAT,
    "site_load": "0.00", "gpu_kw": "0.000", "month_annuity": "0.000", "month_discount": "0.000",
    "gpu_price_share": "0.0%", "gpu_usd_slope": "#,##0.00", "swap": "#,##0.00##", "swap_value": "#,##0.00##",
}  # fmt: skip


def needed(declared: Iterable[Term], wanted: Collection[str]) -> tuple[Term, ...]:
    """Return the terms that are needed to compute those wanted, in the order of their declaration."""
    found, names = [], {*wanted}
    for term in reversed(tuple(declared)):
        if term.name in names:
            found.append(term)
            names |= {*term.formula.names()}
    return tuple(reversed(found))


def depending(declared: Iterable[Term], on: str) -> tuple[Term, ...]:
    """Return the terms that depend on an input, directly or through other terms."""
    found, names = [], {on}
    for term in declared:
        if names & {*term.formula.names()}:
            found.append(term)
            names.add(term.name)
    return tuple(found)


def number_format(term: Term) -> str:
    """Return the number format of a term's cells."""
    return _OTHER_FORMATS.get(term.name) or _FORMATS.get(term.unit, COUNT_FORMAT)


def formula(term: Term, reference: Callable[[str], str]) -> str:
    """Return the native formula of a term, without its "="; `reference` returns the cell or name of an input."""
    return spreadsheet_formula(term.formula, lambda name: POWERS.get(name) or reference(name))


def label(labels: Labels, name: str) -> str:
    """Return the label of a term or of an input of terms."""
    return labels(f"term.{name}" if f"term.{name}" in all_keys() else f"procurement.{name}")


def bought_or_rented(buys: str, bought: str, rented: str) -> str:
    """Return a formula that shows `bought` if buying is cheaper, `rented` if renting is, and a dash without a price."""
    return f"IF(ISNUMBER({buys}),IF({buys}=1,{bought},{rented}),{MISSING})"


def pays_off(saved: str, break_even: str, never: str) -> str:
    """Return a formula that shows the month of break-even, the text `never`, or a dash if a price is missing."""
    return f"IF(ISNUMBER({saved}),IF(ISNUMBER({break_even}),{break_even},{f.text(never)}),{MISSING})"
