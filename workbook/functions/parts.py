"""Build the formulas of which the workbook's functions are made: checked arguments, look-ups, and steps from terms."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from core.checks import LIMITS
from core.plan.estimate import DEFAULT_OVERHEAD_FRACTION
from core.plan.fleet import LAYOUTS
from core.plan.terms import Term
from workbook import formulas as f
from workbook import terms
from workbook.labels import Labels
from workbook.lambdas import Function
from workbook.sheets import gpus, models, precisions

Steps = dict[str, str]
Reference = Callable[[str], str]

# The errors of the add-in's functions: for a value of another type, and for a number out of range.
WRONG_TYPE, OUT_OF_RANGE, NOT_FOUND = 'VALUE("–")', "SQRT(-1)", "NA()"


@dataclass(frozen=True)
class Columns:
    """Columns of Models and GPUs, by the headings of one language."""

    labels: Labels

    def model(self, key: str) -> str:
        """Return the figure of the model in row `model_row`."""
        return f"INDEX({f.whole_column(models.TABLE, models.headers(self.labels)[key])},model_row)"

    def gpu(self, key: str) -> str:
        """Return the figure of the GPU in row `gpu_row`."""
        return f"INDEX({f.whole_column(gpus.TABLE, gpus.header(self.labels, key))},gpu_row)"


def renamed(others: Mapping[str, str]) -> Reference:
    """Return a reference to names by themselves, but for some others."""
    return lambda name: others.get(name, name)


def steps_of(of: Iterable[Term], reference: Reference = str) -> Steps:
    """Return the formula of each term."""
    return {term.name: terms.formula(term, reference) for term in of}


def array(names: Iterable[str]) -> str:
    """Return an array of figures."""
    return f"HSTACK({','.join(names)})"


def elements(of: str, names: Sequence[str], wanted: Collection[str]) -> Steps:
    """Return those elements of an array of named figures that are wanted."""
    return {name: f"INDEX({of},{number})" for number, name in enumerate(names, start=1) if name in wanted}


def of_each_layout(formula: str) -> str:
    """Return an array of a figure of each `layout`."""
    return f"MAP(SEQUENCE({len(LAYOUTS)}),LAMBDA(layout,{formula}))"


def number(name: str, value: str = "") -> str:
    """Return the formula of an argument that is a number within its limits."""
    limits = LIMITS[name]
    return f"_LLM_NUMBER({value or name},{limits.least:.15g},{limits.most:.0f},{int(limits.whole)})"


def given(name: str, default: str, *, default_named: str = "") -> str:
    """Return the formula of an argument that may be omitted or blank.

    Args:
        default_named: a text that means the default too.
    """
    is_default = f'OR({name}="",{name}={f.text(default_named)})' if default_named else f'{name}=""'
    return f"IF(ISOMITTED({name}),{default},IF({is_default},{default},{name}))"


# Steps that check arguments or find them on the sheets of the catalog.
MODEL = {"model_row": "_LLM_MODEL(model)"}
GPU = {"gpu_row": "_LLM_ROW(gpu,gpu_names)"}
CONTEXT = {"tokens": number("context")}
_CACHE_FORMAT = given("kv_precision", "INDEX(cache_names,model_row)", default_named=precisions.SHIPPED)
FORMATS = {
    "precision_row": f"_LLM_ROW({given('precision', f.text(precisions.SHIPPED))},precision_names)",
    "kv_row": f"_LLM_ROW({_CACHE_FORMAT},kv_precision_names)",
}
OVERHEAD = f"{DEFAULT_OVERHEAD_FRACTION:g}"


def checking_functions(columns: Columns) -> tuple[Function, ...]:
    """Return the functions that check arguments and find them on the sheets of the catalog."""

    def wrong(name: str) -> str:
        return f"IF(ISERROR({name}),{name},{WRONG_TYPE})"

    within = "AND(value>=least,value<=most,OR(whole=0,value=INT(value)))"
    return (
        Function(
            "_LLM_ROW",
            ("name", "list"),
            f"IF(ISTEXT(name),IF(INDEX(list,row)=name,row,{NOT_FOUND}),{wrong('name')})",
            steps={"row": "MATCH(name,list,0)"},
        ),
        Function(
            "_LLM_NUMBER",
            ("value", "least", "most", "whole"),
            f"IF(ISNUMBER(value),IF({within},value,{OUT_OF_RANGE}),{wrong('value')})",
        ),
        Function(
            "_LLM_MODEL",
            ("model",),
            f"IF(N({columns.model('parameters')})>0,model_row,{NOT_FOUND})",
            steps={"model_row": "_LLM_ROW(model,model_names)"},
        ),
    )
