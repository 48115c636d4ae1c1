"""List the checks in order and run them on a workbook."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from workbook import garbage_collection
from workbook.audit import followable, house, integrity, looks, paper, regions, safety
from workbook.audit.opening import UnreadableWorkbookError, opened
from workbook.audit.subject import Fault, Subject, subject

SAFETY, INTEGRITY, HOUSE = "safety", "integrity", "house"


@dataclass(frozen=True)
class Check:
    """One check of the audit.

    Attributes:
        key: its name in the JSON output.
        kind: SAFETY and INTEGRITY apply to any workbook, HOUSE is the planner's own style.
        claim: a sentence that is true of a workbook that passes.
        faults: yields the places where the claim is false.
    """

    key: str
    kind: str
    claim: str
    faults: Callable[[Subject], Iterable[Fault]]


CHECKS = (
    Check("macros", SAFETY, "There are no macros, except VBA in .xlsm files", safety.macros),
    Check("external_links", SAFETY, "Nothing links to other workbooks or files", safety.external_links),
    Check("outside_parts", SAFETY, "No connection, query, OLE object, control or web add-in", safety.outside_parts),
    Check("injected_formulas", SAFETY, "No formula starts a program or uses the network", safety.injected_formulas),
    Check("hidden", SAFETY, "Nothing is hidden", safety.hidden),
    Check("values_stored", INTEGRITY, "Every formula has a stored result", integrity.values_stored),
    Check("error_values", INTEGRITY, "No cell holds an error", integrity.no_error_values),
    Check("names", INTEGRITY, "Everything that names and formulas refer to exists", integrity.names_resolve),
    Check("hard_coded", INTEGRITY, "No number replaces a formula", regions.hard_coded_numbers),
    Check("inconsistent", INTEGRITY, "Neighbouring formulas are consistent", regions.inconsistent_formulas),
    Check("volatile", INTEGRITY, "No formula uses OFFSET, INDIRECT, NOW, RAND etc.", integrity.no_volatile_functions),
    Check("functions", INTEGRITY, "Every function is Excel's or the planner's add-in's", integrity.known_functions),
    Check("whole_columns", INTEGRITY, "No formula refers to whole columns or rows", integrity.no_whole_columns),
    Check("circular", INTEGRITY, "There are no circular references", integrity.no_circle),
    Check("lists", INTEGRITY, "Every dropdown list has choices", integrity.lists_resolve),
    Check("inputs_valid", INTEGRITY, "Every input passes its own validation", integrity.inputs_pass_their_validation),
    Check("about_first", HOUSE, "The Plan, Functions or About sheet comes first", house.about_first),
    Check("dated_changes", HOUSE, "A Changes sheet lists dated changes", house.dated_changes),
    Check("master_check", HOUSE, "The master check is 1 and is shown on the first sheet", house.master_check),
    Check("checks_can_fail", HOUSE, "Every check of the master check can fail", house.checks_can_fail),
    Check("stale_inputs", HOUSE, "No input has a date of more than three years ago", house.inputs_current),
    Check("functions_2010", HOUSE, "Excel 2010 knows every function, except the add-in's", house.functions_of_2010),
    Check(
        "long_formulas",
        HOUSE,
        f"No formula has more than {followable.MOST_CHARACTERS} characters as Excel shows it",
        followable.long_formulas,
    ),
    Check("nested_ifs", HOUSE, f"IF is nested at most {followable.MOST_IFS} deep", followable.nested_ifs),
    Check(
        "many_references",
        HOUSE,
        f"No formula has more than {followable.MOST_REFERENCES} different references",
        followable.many_references,
    ),
    Check(
        "long_chains",
        HOUSE,
        f"No named result has a chain of precedents of more than {followable.MOST_CELLS_OF_A_CHAIN} cells",
        followable.long_chains,
    ),
    Check(
        "cells_behind",
        HOUSE,
        f"No named result has more than {followable.MOST_CELLS_BEHIND} formula cells behind it, one row of each table",
        followable.wide_headlines,
    ),
    Check("constants", HOUSE, "Formulas have no numbers except 0, 1 and unit powers", house.no_constants_in_formulas),
    Check("iferror_round", HOUSE, "IFERROR and rounding are used only where allowed", house.iferror_and_round_listed),
    Check("headlines", HOUSE, "No named result needs an add-in", house.headlines_need_no_add_in),
    Check("inputs_validated", HOUSE, "Every input has a validation with titles and messages", house.inputs_validated),
    Check("protection", HOUSE, "Sheets with formulas are protected, their inputs unlocked", house.sheets_protected),
    Check("number_formats", HOUSE, "Number formats match their units", looks.formats_agree_with_units),
    Check("contrast", HOUSE, f"Text contrast is at least {looks.LEAST_CONTRAST}:1", looks.text_contrast),
    Check("alternative_texts", HOUSE, "Charts and pictures have alternative text", looks.alternative_texts),
    Check("merged", HOUSE, "No cells are merged, except in titles", looks.merged_titles_only),
    Check("print", HOUSE, "Every sheet prints in landscape, one page wide, with a footer", looks.prints_well),
    Check("small_print", HOUSE, f"No text is smaller than {paper.SMALLEST_PRINT_PT} pt on paper", paper.small_print),
    Check("frozen", HOUSE, "Every sheet after the first has frozen panes", looks.panes_frozen),
    Check("cursor", HOUSE, "The first sheet is active, and each sheet has A1 selected", looks.cursor_at_the_top),
)


@dataclass(frozen=True)
class Result:
    """A check and where it fails."""

    check: Check
    faults: tuple[Fault, ...]

    @property
    def passed(self) -> bool:
        return not self.faults


@dataclass(frozen=True)
class Audit:
    """The results of an audit, and the headline that is hardest to follow.

    Attributes:
        headline: the named result with the longest chain of precedents; None without named results.
        cells_behind: how many formula cells the headline depends on, every row of a table counted.
    """

    results: tuple[Result, ...]
    headline: followable.Trace | None
    cells_behind: int

    @property
    def passed(self) -> bool:
        return all(result.passed for result in self.results)


def audit(path: Path, *, with_house: bool = True, add_in_functions: Iterable[str] = ()) -> Audit:
    """Run the checks on the workbook at `path`.

    Args:
        with_house: also check the planner's house style, and trace its headlines.
        add_in_functions: the names of the cell functions of the planner's add-in.

    Raises:
        UnreadableWorkbookError: the file cannot be read, or exceeds the limits in `opening`.
    """
    with garbage_collection.paused():
        workbook = subject(opened(path), add_in_functions)
        checks = [check for check in CHECKS if with_house or check.kind != HOUSE]
        results = tuple(Result(check, _faults(check, workbook)) for check in checks)
        traces = followable.traces(workbook) if with_house else ()
        behind = followable.cells_behind(workbook, traces[0]) if traces else 0
        return Audit(results, traces[0] if traces else None, behind)


def _faults(check: Check, workbook: Subject) -> tuple[Fault, ...]:
    try:
        return tuple(check.faults(workbook))
    except UnreadableWorkbookError:
        raise
    except Exception as error:  # a damaged or hostile file can cause any error in the libraries
        problem = f"the check {check.key!r} found something that cannot be understood ({type(error).__name__})"
        raise UnreadableWorkbookError(str(workbook.package.path), problem, "Open and save it in Excel.") from error
