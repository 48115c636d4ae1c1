"""Check integrity: every figure follows from the inputs and can be traced."""

from __future__ import annotations

from collections.abc import Iterator

from openpyxl.formula.tokenizer import TokenizerError
from openpyxl.utils.datetime import to_excel
from openpyxl.worksheet.datavalidation import DataValidation

from workbook.audit.references import UnresolvedError
from workbook.audit.subject import Fault, Place, Subject
from workbook.audit.tracing import precedents

# Their results change although no input changed, or they refer to cells that cannot be traced.
_VOLATILE = {"OFFSET", "INDIRECT", "NOW", "TODAY", "RAND", "RANDBETWEEN", "RANDARRAY", "CELL", "INFO"}


def values_stored(subject: Subject) -> Iterator[Fault]:
    """Yield formula cells without a stored result, for which viewers and pandas show nothing."""
    yield from (Fault(str(place)) for place in subject.formulas if place not in subject.stored)


def no_error_values(subject: Subject) -> Iterator[Fault]:
    """Yield cells that hold an error, as a result or as a constant."""
    for place, stored in subject.stored.items():
        if stored.is_error:
            yield Fault(str(place), str(stored.value))
    for place, cell in subject.constants.items():
        if cell.data_type == "e":
            yield Fault(str(place), str(cell.value))


def names_resolve(subject: Subject) -> Iterator[Fault]:
    """Yield broken names (#REF!) and references to sheets, tables, columns or names that do not exist."""
    formulas = ((str(place), formula) for place, formula in subject.formulas.items())
    for where, formula in (*formulas, *subject.other_formulas()):
        for reference in formula.unresolved:
            yield Fault(where, reference)


def no_volatile_functions(subject: Subject) -> Iterator[Fault]:
    """Yield formulas with volatile functions or with references that cannot be traced."""
    formulas = ((str(place), formula) for place, formula in subject.formulas.items())
    for where, formula in (*formulas, *subject.other_formulas()):
        for function in sorted(formula.form.functions & _VOLATILE):
            yield Fault(where, function)


# Formulas outside cells see the workbook's names.
_NO_SHEET = ""


def known_functions(subject: Subject) -> Iterator[Fault]:
    """Yield formulas with functions that are neither Excel's nor the add-in's nor a LAMBDA that a name defines."""
    for form, places in subject.forms.items():
        for place in places if form.foreign_functions - subject.add_in_functions else ():
            unknown = {f for f in form.foreign_functions if subject.resolver.name(f, place.sheet) is None}
            yield from _unknown_function(str(place), unknown - subject.add_in_functions)
    for where, formula in subject.other_formulas():
        unknown = {f for f in formula.form.foreign_functions if subject.resolver.name(f, _NO_SHEET) is None}
        yield from _unknown_function(where, unknown - subject.add_in_functions)


def _unknown_function(where: str, functions: set[str]) -> Iterator[Fault]:
    for function in sorted(functions)[:1]:
        yield Fault(where, f"{function}: it is #NAME? where its add-in or macro is missing, or runs that macro")


def no_whole_columns(subject: Subject) -> Iterator[Fault]:
    """Yield formulas that refer to whole columns or rows."""
    for place, formula in subject.formulas.items():
        if formula.form.has_whole_lines:
            yield Fault(str(place))


def no_circle(subject: Subject) -> Iterator[Fault]:
    """Yield the cells of a circular reference, and iterative calculation, which hides such references."""
    if subject.workbook.calculation and subject.workbook.calculation.iterate:
        yield Fault("workbook", "iterative calculation is on")
    for node in precedents(subject).cycle():
        yield Fault(str(node) if isinstance(node, Place) else f"name {node[1]}")


def lists_resolve(subject: Subject) -> Iterator[Fault]:
    """Yield dropdown lists without choices."""
    for sheet, rule in subject.validations:
        if rule.type == "list" and _choices(subject, sheet, rule) == []:
            first = next(iter(rule.sqref.ranges), None)
            yield Fault(f"{sheet}!{first.coord if first else ''}", rule.formula1 or "has no source")


def inputs_pass_their_validation(subject: Subject) -> Iterator[Fault]:
    """Yield constants that their own validation would refuse."""
    for rule, places in subject.cells_of_validations:
        choices = _choices(subject, places[0].sheet, rule) if places and rule.type == "list" else None
        offered = {_shown(choice).casefold() for choice in choices or ()}  # `lists_resolve` reports empty lists
        for place in places:
            if place in subject.constants:
                value = subject.constants[place].value
                if (offered and _shown(value).casefold() not in offered) or not _passes(subject, rule, place, value):
                    yield Fault(str(place), _shown(value))


def _choices(subject: Subject, sheet: str, rule: DataValidation) -> list[object] | None:
    """Return the choices of a dropdown list; None if its source is computed or does not exist."""
    source = rule.formula1 or ""
    if source.startswith('"'):
        return [choice.strip() for choice in source.strip('"').split(",") if choice.strip()]
    try:
        areas = subject.rule_areas(source, sheet, rule.sqref) if source else []
    except UnresolvedError:  # `names_resolve` reports it
        return None
    if areas is None:
        return None
    values = (subject.value(place) for area in areas for place in subject.cells_of(area))
    return [value for value in values if value not in (None, "")]


def _shown(value: object) -> str:
    """Return a value as a dropdown list compares it."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def _passes(subject: Subject, rule: DataValidation, place: Place, value: object) -> bool:
    """Return whether `rule` allows `value` in `place`; True if only Excel can decide."""
    if rule.type not in ("whole", "decimal", "date", "time", "textLength"):
        return True
    number = len(_shown(value)) if rule.type == "textLength" else _as_number(value)
    if number is None or (rule.type == "whole" and number % 1 != 0):
        return False
    first, second = (_limit(subject, rule, text, place) for text in (rule.formula1, rule.formula2))
    if first is None:
        return True
    if rule.operator in (None, "between", "notBetween"):
        return second is None or (first <= number <= second) == (rule.operator != "notBetween")
    return {
        "equal": lambda: number == first,
        "notEqual": lambda: number != first,
        "greaterThan": lambda: number > first,
        "lessThan": lambda: number < first,
        "greaterThanOrEqual": lambda: number >= first,
        "lessThanOrEqual": lambda: number <= first,
    }[rule.operator]()


def _limit(subject: Subject, rule: DataValidation, text: str | None, place: Place) -> float | None:
    """Return the number that `text` is, or that the single cell it refers to holds; else None."""
    try:
        return float(text or "")
    except ValueError:
        pass
    try:
        areas = subject.rule_areas(text or "", place.sheet, rule.sqref, at=place)
    except (UnresolvedError, TokenizerError):
        return None
    if areas is None or len(areas) != 1 or areas[0][1:3] != areas[0][3:5]:
        return None
    return _as_number(subject.value(Place(*areas[0][:3])))


def _as_number(value: object) -> float | None:
    if isinstance(value, (bool, str)) or value is None:
        return None
    return float(value) if isinstance(value, (int, float)) else to_excel(value)
