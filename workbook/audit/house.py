"""Check the planner's house style in a workbook's structure and formulas."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator

from workbook.audit.allowed import ALLOWED_NAMES_WITH_FOREIGN_FUNCTIONS, allowed_functions, allowed_numbers
from workbook.audit.formula import Formula
from workbook.audit.headings import headings
from workbook.audit.references import Area, UnresolvedError
from workbook.audit.subject import Fault, Place, Subject, table_area
from workbook.audit.tracing import Node, precedents
from workbook.labels import LANGUAGES, Labels

_ABOUT, _PLAN, _FUNCTIONS, _CHANGES = (
    {Labels(lang)(f"sheet.{key}").casefold() for lang in LANGUAGES} for key in ("about", "plan", "functions", "changes")
)
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
MASTER_CHECK, PLAN_DATE = "master_check", "plan_date"
STALE_AFTER_MONTHS = 36  # the planner flags sources older than three years
_HIDES_OR_ROUNDS = {
    "IFERROR", "IFNA", "ROUND", "ROUNDUP", "ROUNDDOWN", "MROUND", "CEILING", "CEILING.MATH", "CEILING.PRECISE", "FLOOR",
    "FLOOR.MATH", "FLOOR.PRECISE", "TRUNC", "INT",
}  # fmt: skip


def about_first(subject: Subject) -> Iterator[Fault]:
    """Yield the first sheet if it is none that says what the workbook is for."""
    if subject.workbook.sheetnames[0].casefold() not in _ABOUT | _PLAN | _FUNCTIONS:
        yield Fault(subject.workbook.sheetnames[0], "is the first sheet")


def dated_changes(subject: Subject) -> Iterator[Fault]:
    """Yield a fault if there is no Changes sheet or it has no date."""
    titles = [ws.title for ws in subject.sheets if ws.title.casefold() in _CHANGES]
    if not titles:
        yield Fault("workbook", "has no Changes sheet")
    elif not any(place.sheet == titles[0] and _is_date(cell.value) for place, cell in subject.constants.items()):
        yield Fault(titles[0], "has no date")


def _is_date(value: object) -> bool:
    return isinstance(value, datetime.date) or (isinstance(value, str) and bool(_ISO_DATE.fullmatch(value.strip())))


def master_check(subject: Subject) -> Iterator[Fault]:
    """Yield faults of the master check: it is a name, its value is 1, and the first sheet shows it."""
    key = (None, MASTER_CHECK)
    named = subject.named_formulas.get(key)
    if named is None or len(named.areas) != 1:
        yield Fault("workbook", f"has no cell named {MASTER_CHECK}")
        return
    place = Place(*named.areas[0][:3])
    if subject.value(place) != 1:
        yield Fault(str(place), f"is {subject.value(place)}")
    first = subject.workbook.sheetnames[0]
    on_first = (formula for at, formula in subject.formulas.items() if at.sheet == first)
    if not any(key in formula.names or named.areas[0] in formula.areas for formula in on_first):
        yield Fault(first, "does not show the master check")


def checks_can_fail(subject: Subject) -> Iterator[Fault]:
    """Yield cells of the master check that are always 1, for any content of the other cells."""
    named = subject.named_formulas.get((None, MASTER_CHECK))
    master = subject.formulas.get(Place(*named.areas[0][:3])) if named is not None and named.areas else None
    for area in master.areas if master is not None else ():
        for place in subject.cells_of(area):
            problem = _why_it_cannot_fail(subject, place)
            if problem:
                yield Fault(str(place), problem)


def _why_it_cannot_fail(subject: Subject, place: Place) -> str:
    """Return why a check has one result for any content of the other cells, or ""."""
    seen = set()
    while (linked := _linked_cell(subject, place)) is not None and place not in seen:  # it shows another cell's check
        seen.add(place)
        place = linked
    if place in subject.constants:
        value = subject.constants[place].value
        return f"is the constant {value}: write a comparison" if isinstance(value, (int, float)) else ""
    formula = subject.formulas.get(place)
    if formula is None:
        return ""
    if formula.form.compares_with_itself:
        return f"compares {formula.form.compares_with_itself} with itself: compare it with another route"
    own = Area(*place, place.row, place.column)
    if not formula.names and all(area == own for area in formula.areas):
        return "refers to no other cell: compare what it checks"
    return ""


def _linked_cell(subject: Subject, place: Place) -> Place | None:
    """Return the cell to which the formula at `place` is a mere reference; None for other formulas."""
    formula = subject.formulas.get(place)
    if formula is None or len(formula.areas) != 1 or formula.areas[0][1:3] != formula.areas[0][3:]:
        return None
    text = str(subject.cell(place).value).removeprefix("=")
    try:
        is_reference = subject.resolver.areas(text, *place) == [*formula.areas]
    except UnresolvedError:
        is_reference = False
    return Place(*formula.areas[0][:3]) if is_reference else None


def inputs_current(subject: Subject) -> Iterator[Fault]:
    """Yield dates in inputs that are too old on the plan's date or, without one, when the file was last saved."""
    today = _plan_date(subject)
    for place, cell in subject.constants.items():
        if isinstance(cell.value, datetime.date) and subject.is_input(place):
            date = _day(cell.value)
            if (today.year - date.year) * 12 + today.month - date.month > STALE_AFTER_MONTHS:
                yield Fault(str(place), f"{date.isoformat()}: look up the figure of this date again")


def _plan_date(subject: Subject) -> datetime.date:
    named = subject.named_formulas.get((None, PLAN_DATE))
    value = subject.value(Place(*named.areas[0][:3])) if named is not None and named.areas else None
    saved = subject.workbook.properties.modified or subject.workbook.properties.created
    return _day(value if isinstance(value, datetime.date) else saved)


def _day(date: datetime.date) -> datetime.date:
    return date.date() if isinstance(date, datetime.datetime) else date


def functions_of_2010(subject: Subject) -> Iterator[Fault]:
    """Yield formulas with functions that Excel 2010 does not know."""
    for form, places in subject.forms.items():
        for function in sorted(form.newer_functions)[:1]:
            yield from (Fault(str(place), f"{function}: write it with older functions") for place in places)


def no_constants_in_formulas(subject: Subject) -> Iterator[Fault]:
    """Yield formulas with numbers other than 0, 1, unit powers and those that `allowed` lists."""
    allowed = allowed_numbers()
    for form, places in subject.forms.items():
        for place in places if form.constants else ():
            numbers = [number for number in dict.fromkeys(form.constants) if number not in allowed.get(place.sheet, ())]
            if numbers:
                yield Fault(str(place), ", ".join(numbers))


def iferror_and_round_listed(subject: Subject) -> Iterator[Fault]:
    """Yield formulas that hide errors or round where `allowed` does not list the function."""
    found = headings(subject)
    allowed = allowed_functions()
    for form, places in subject.forms.items():
        hiding = form.functions & _HIDES_OR_ROUNDS
        for place in places if hiding else ():
            used = hiding
            for label in (None, found.column_heading(place), found.row_label(place)):
                used -= allowed.get((place.sheet, label), frozenset())
            if used:
                yield Fault(str(place), ", ".join(sorted(used)))


def headlines_need_no_add_in(subject: Subject) -> Iterator[Fault]:
    """Yield named results that depend on functions that Excel itself does not have."""
    graph = precedents(subject)
    first: dict[Node, tuple[str, Node]] = {}  # node → a function, and the cell or name that uses it
    for node in graph.precedents_first():
        found = next((first[other] for other in graph.of(node) if other in first), None)
        formula = graph.formula(node)
        if formula is not None and formula.form.foreign_functions:
            foreign = _foreign(subject, formula, node[0] or subject.sheets[0].title)
            found = (min(foreign), node) if foreign else found
        if found is not None:
            first[node] = found
    for key in subject.named_formulas:
        if key in first and key[1] not in ALLOWED_NAMES_WITH_FOREIGN_FUNCTIONS:
            function, node = first[key]
            where = f" in {node}" if isinstance(node, Place) else ""
            yield Fault(f"name {key[1]}", f"uses {function}{where}")


def _foreign(subject: Subject, formula: Formula, sheet: str) -> set[str]:
    """Return the functions that are neither built in nor a LAMBDA defined as a name."""
    return {function for function in formula.form.foreign_functions if subject.resolver.name(function, sheet) is None}


def inputs_validated(subject: Subject) -> Iterator[Fault]:
    """Yield inputs (unlocked cells) without a validation that has titles and messages for prompt and error."""
    validated = set()
    for rule, places in subject.cells_of_validations:
        texts = (rule.promptTitle, rule.prompt, rule.errorTitle, rule.error)
        if rule.type not in (None, "none") and all(texts) and rule.showErrorMessage and rule.showInputMessage:
            validated.update(places)
    for ws in subject.sheets:
        for row, column in ws._cells:
            place = Place(ws.title, row, column)
            if subject.is_input(place) and place not in subject.formulas and place not in validated:
                yield Fault(str(place))


def sheets_protected(subject: Subject) -> Iterator[Fault]:
    """Yield faults of protection: sheets with formulas are protected without a password, and only inputs are unlocked.

    A sheet may be unprotected if it has a table with formulas and inputs: on a protected sheet a table cannot grow.
    """
    growing = {ws.title for ws in subject.sheets if any(_can_grow(subject, ws, table) for table in ws.tables.values())}
    for ws in subject.sheets:
        if ws.title in subject.sheets_with_formulas:
            if not ws.protection.sheet and ws.title not in growing:
                yield Fault(ws.title, "is not protected")
            if ws.protection.password or ws.protection.hashValue:
                yield Fault(ws.title, "is protected with a password")
    for place in subject.formulas:
        if subject.is_input(place):
            yield Fault(str(place), "unlocked formula")
    for _, places in subject.cells_of_validations:
        for place in places:
            if subject.workbook[place.sheet].protection.sheet and not subject.is_input(place):
                yield Fault(str(place), "locked input")


def _can_grow(subject: Subject, ws, table) -> bool:
    places = list(subject.cells_of(table_area(ws, table)))
    return any(place in subject.formulas for place in places) and any(map(subject.is_input, places))
