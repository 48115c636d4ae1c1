"""The checks in their order, and the running of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from workbook.audit import house, integrity, looks, regions, safety
from workbook.audit.opening import UnreadableWorkbookError, opened
from workbook.audit.subject import Fault, Subject, subject

SAFETY, INTEGRITY, HOUSE = "safety", "integrity", "house"


@dataclass(frozen=True)
class Check:
    """One thing to look for.

    Attributes:
        key: its name in the JSON output.
        kind: SAFETY and INTEGRITY concern any workbook, HOUSE is the planner's own style.
        claim: what is true of a workbook that passes.
        faults: finds the places where it is not.
    """

    key: str
    kind: str
    claim: str
    faults: Callable[[Subject], Iterable[Fault]]


CHECKS = (
    Check("macros", SAFETY, "No macros (VBA in .xlsm alone)", safety.macros),
    Check("external_links", SAFETY, "No links to other workbooks or files", safety.external_links),
    Check(
        "outside_parts", SAFETY, "No connections, queries, OLE objects, controls or web add-ins", safety.outside_parts
    ),
    Check("injected_formulas", SAFETY, "No formula starts a program or reaches the network", safety.injected_formulas),
    Check("hidden", SAFETY, "Nothing is hidden", safety.hidden),
    Check("values_stored", INTEGRITY, "Every formula has its result stored", integrity.values_stored),
    Check("error_values", INTEGRITY, "No error values", integrity.no_error_values),
    Check("names", INTEGRITY, "Every name and reference leads somewhere", integrity.names_resolve),
    Check("hard_coded", INTEGRITY, "No hard-coded number among formulas", regions.hard_coded_numbers),
    Check("inconsistent", INTEGRITY, "One formula per row or column", regions.inconsistent_formulas),
    Check("volatile", INTEGRITY, "No OFFSET, INDIRECT, NOW, TODAY, RAND", integrity.no_volatile_functions),
    Check("whole_columns", INTEGRITY, "No references to whole columns or rows", integrity.no_whole_columns),
    Check("circular", INTEGRITY, "No circular reference", integrity.no_circle),
    Check("lists", INTEGRITY, "Every dropdown has choices", integrity.lists_resolve),
    Check("inputs_valid", INTEGRITY, "Every input passes its own validation", integrity.inputs_pass_their_validation),
    Check("about_first", HOUSE, "The About sheet comes first", house.about_first),
    Check("dated_changes", HOUSE, "A Changes sheet has dates", house.dated_changes),
    Check("master_check", HOUSE, "The master check is 1 and shows on the first sheet", house.master_check),
    Check("constants", HOUSE, "No constants in formulas but 0, 1 and unit powers", house.no_constants_in_formulas),
    Check("iferror_round", HOUSE, "IFERROR and rounding only where listed", house.iferror_and_round_listed),
    Check("headlines", HOUSE, "No named result needs an add-in", house.headlines_need_no_add_in),
    Check("inputs_validated", HOUSE, "Every input has a validation with title and message", house.inputs_validated),
    Check("protection", HOUSE, "Sheets with formulas are protected, their inputs unlocked", house.sheets_protected),
    Check("number_formats", HOUSE, "Number formats agree with units", looks.formats_agree_with_units),
    Check("contrast", HOUSE, f"Text contrast is at least {looks.LEAST_CONTRAST}:1", looks.text_contrast),
    Check("alternative_texts", HOUSE, "Charts and pictures have alternative text", looks.alternative_texts),
    Check("merged", HOUSE, "No merged cells but titles", looks.merged_titles_only),
    Check("print", HOUSE, "Prints landscape, one page wide, with a footer", looks.prints_well),
    Check("frozen", HOUSE, "Panes are frozen", looks.panes_frozen),
    Check("cursor", HOUSE, "The cursor stands in A1 and the first sheet in front", looks.cursor_at_the_top),
)


@dataclass(frozen=True)
class Result:
    """A check and where it fails."""

    check: Check
    faults: tuple[Fault, ...]

    @property
    def passed(self) -> bool:
        return not self.faults


def audit(path: Path, *, with_house: bool = True) -> list[Result]:
    """Runs the checks on the workbook at `path`.

    Args:
        with_house: whether the planner's house style is checked too.

    Raises:
        UnreadableWorkbookError: the file cannot be read, or only at a cost that nobody should pay.
    """
    looked_at = subject(opened(path))
    return [Result(check, _faults(check, looked_at)) for check in CHECKS if with_house or check.kind != HOUSE]


def _faults(check: Check, looked_at: Subject) -> tuple[Fault, ...]:
    try:
        return tuple(check.faults(looked_at))
    except UnreadableWorkbookError:
        raise
    except Exception as error:  # whatever a damaged or hostile file provokes in the libraries is the file's fault
        problem = f"the check {check.key!r} met something that cannot be understood ({type(error).__name__})"
        raise UnreadableWorkbookError(str(looked_at.package.path), problem, "Open and save it in Excel.") from error
