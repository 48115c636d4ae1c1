"""Export scenarios to a workbook: read them once to check all of them, and again to write them."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import islice
from pathlib import Path
from typing import cast

import xlsxwriter
from xlsxwriter.exceptions import FileCreateError

from core import __version__, catalog
from core.catalog.offer_choice import GpuPrices, catalog_prices, default_offer_policy
from core.errors import PlannerError
from core.plan.demand import MIN_SPEED
from workbook.export import alternatives, assumptions, index, page, paper, rows
from workbook.export.figures import Figures, figures_of
from workbook.export.names import sheet_names
from workbook.export.sheet import Formats, PlainWorksheet, Sheet
from workbook.files import written_whole
from workbook.labels import Labels
from workbook.scenario import GivenScenarios, Scenario

MOST_PAGES = 200  # with more, a sheet is hard to find by its tab
MOST_SCENARIOS = 1_000_000  # a sheet has 1 048 576 rows: support.microsoft.com, "Excel specifications and limits"
MOST_PROBLEMS = 20  # shown at most; correcting the first ones usually corrects the rest

Progress = Callable[[int, int], None]
"""Called with the number of scenarios written so far and the number of all."""


class UnusableScenariosError(PlannerError):
    """Rows of a file are invalid; `lines` give the place, the field, the problem and the remedy of each problem."""

    def __init__(self, path: Path, lines: list[str], count: int) -> None:
        self.lines = lines + ([f"… and {count - len(lines):,} more."] if count > len(lines) else [])
        what = "1 problem" if count == 1 else f"{count:,} problems"
        super().__init__(str(path), f"{what}, nothing was written", "\n".join(["Correct these:", *self.lines]))


@dataclass(frozen=True)
class _Survey:
    """What must be known of all scenarios before the first is written.

    Attributes:
        scenarios: their number.
        engines: those that they have.
        left_out: figures that none has, as `rows.not_in` gives them.
    """

    scenarios: int
    engines: frozenset[str]
    left_out: frozenset[str]


def export_scenarios(
    path: Path,
    given: GivenScenarios,
    lang: str,
    on_progress: Progress = lambda done, of: None,
    prices: Mapping[str, GpuPrices] | None = None,
    as_of: date | None = None,
) -> int:
    """Write the decision sheets of all scenarios in `given` to `path`, and return the number of scenarios.

    Args:
        prices: those of each GPU; by the catalog's offers if omitted.
        as_of: the date by which prices were judged; that of the default policy if omitted.

    Raises:
        UnusableScenariosError: rows are invalid; nothing is written.
        UnwritableFileError: the file cannot be written.
    """
    survey = _survey(given)
    used = _Prices(prices or catalog_prices(), as_of or default_offer_policy().plan_date)
    with written_whole(path) as temporary:
        try:
            with xlsxwriter.Workbook(str(temporary), {"constant_memory": True}) as workbook:
                figures = _figures(given, survey.scenarios, on_progress, used.by_gpu)
                _write(workbook, Labels(lang), survey, figures, used)
        except FileCreateError as error:  # FileCreateError wraps the OSError
            raise error.args[0] from error
    return survey.scenarios


@dataclass(frozen=True)
class _Prices:
    """The prices of each GPU, and the date by which they were judged."""

    by_gpu: Mapping[str, GpuPrices]
    as_of: date


def _survey(given: GivenScenarios) -> _Survey:
    count = problem_count = 0
    engines: set[str] = set()
    left_out: frozenset[str] | None = None
    lines: list[str] = []
    for row in given.given_rows():
        problem_count += len(row.problems)
        lines += [f"{row.place}, {problem}" for problem in row.problems[: MOST_PROBLEMS - len(lines)]]
        if problem_count == 0 and row.scenario is not None:
            count += 1
            engines.add(row.scenario.engine)
            absent = rows.not_in(row.scenario)
            left_out = absent if left_out is None or left_out is absent else left_out & absent
    if problem_count:
        raise UnusableScenariosError(given.path, lines, problem_count)
    if not 1 <= count <= MOST_SCENARIOS:
        problem = "it has no scenario" if count == 0 else f"it has {count:,} scenarios, more than {MOST_SCENARIOS:,}"
        raise PlannerError(str(given.path), problem, f"Write 1 to {MOST_SCENARIOS:,} scenarios, one per row.")
    return _Survey(count, frozenset(engines), left_out or frozenset())


def _figures(
    given: GivenScenarios, count: int, on_progress: Progress, prices: Mapping[str, GpuPrices]
) -> Iterator[Figures]:
    """Yield the figures of each scenario; speed decides on pages, not in the rows below them."""
    for done, row in enumerate(given.given_rows(), start=1):
        scenario = cast("Scenario", row.scenario)  # `_survey` has refused rows without a scenario
        yield figures_of(scenario, prices, MIN_SPEED if done <= MOST_PAGES else None)
        on_progress(done, count)


def _write(
    workbook: xlsxwriter.Workbook, labels: Labels, survey: _Survey, figures: Iterator[Figures], prices: _Prices
) -> None:
    formats = Formats(workbook, labels.lang)
    _describe(workbook, labels)

    def sheet_of(name: str, widths: Sequence[float]) -> Sheet:
        return Sheet(workbook.add_worksheet(name, PlainWorksheet), formats, widths)

    totals = _RunningTotals()
    figures = totals.counted(figures)
    paged = list(islice(figures, MOST_PAGES))
    totals.are_of_pages = False
    more = survey.scenarios - len(paged)
    index_name, shared_name, more_name = (labels(f"export.{key}") for key in ("index", "assumptions", "more"))
    index_sheet = sheet_of(index_name, index.WIDTHS)
    names = sheet_names((item.scenario.title for item in paged), (index_name, shared_name, more_name))
    limits = index.limit_cells(index_name) | assumptions.price_limits(shared_name)
    entries = []
    others = alternatives.OtherGpus(prices.by_gpu)
    for number, (name, item) in enumerate(zip(names, paged), start=1):
        sheet = sheet_of(name, paper.WIDTHS)
        context = page.Context(labels, index_name, limits, number, survey.scenarios, __version__, others, prices.as_of)
        entries.append(page.write(workbook, sheet, item, context))
    shared_sheet = sheet_of(shared_name, assumptions.WIDTHS)
    assumptions.write(workbook, shared_sheet, labels)
    if more:
        sheet = sheet_of(more_name, (7,))
        rows.write(
            sheet, labels, figures, count=more, first_number=len(paged) + 1, engines=survey.engines,
            left_out=survey.left_out, limits=limits,
        )  # fmt: skip
    further = rows.references(more_name, labels, survey.engines, more, survey.left_out) if more else {}
    index.write(workbook, index_sheet, labels, entries, totals.totals, further)


class _RunningTotals:
    """The totals of the scenarios read so far."""

    def __init__(self) -> None:
        self.totals = index.Totals()
        self.are_of_pages = True

    def counted(self, figures: Iterable[Figures]) -> Iterator[Figures]:
        for item in figures:
            self.totals = self.totals.with_scenario(item, has_page=self.are_of_pages)
            yield item


def _describe(workbook: xlsxwriter.Workbook, labels: Labels) -> None:
    # The catalog's date, not the current time, so that the same scenarios give the same bytes.
    created = datetime.datetime.fromisoformat(max(model.as_of for model in catalog.models()))
    author = f"VRAM planner {__version__}"
    workbook.set_properties({"title": labels("export.index_title"), "author": author, "created": created})
