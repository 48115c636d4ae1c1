"""Find cells that break the pattern around them: numbers among formulas, and formulas that differ from neighbours."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from operator import itemgetter

from workbook.audit.subject import Fault, Place, Subject, table_area

# A style is for formulas if it has at least 3 of them and at least 4 for each number in that style.
_LEAST_FORMULAS_OF_A_STYLE, _FORMULAS_PER_NUMBER = 3, 4

NUMBER = "number"


@dataclass(frozen=True)
class _Line:
    """A direction of search: along a column, or along a row."""

    is_column: bool

    def along(self, place: Place, steps: int) -> Place:
        return self._moved(place, steps, self.is_column)

    def across(self, place: Place, steps: int) -> Place:
        return self._moved(place, steps, not self.is_column)

    @property
    def key(self) -> Callable[[Place], tuple[str, int]]:
        """Returns the line through a place."""
        return itemgetter(0, 2) if self.is_column else itemgetter(0, 1)

    @property
    def across_key(self) -> Callable[[Place], tuple[str, int]]:
        """Returns the perpendicular line through a place."""
        return itemgetter(0, 1) if self.is_column else itemgetter(0, 2)

    @property
    def order(self) -> Callable[[Place], tuple[str, int, int]]:
        """Returns a key that sorts places line by line."""
        return itemgetter(0, 2, 1) if self.is_column else itemgetter(0, 1, 2)

    @staticmethod
    def _moved(place: Place, steps: int, down: bool) -> Place:
        return place._replace(row=place.row + steps) if down else place._replace(column=place.column + steps)


_COLUMN, _ROW = _Line(is_column=True), _Line(is_column=False)


def hard_coded_numbers(subject: Subject) -> Iterator[Fault]:
    """Yield numbers where the cells around them, the table column, or the cell's style are for formulas."""
    kinds = _kinds(subject)
    places = {place for place in _all_interruptions(subject) if kinds[place] == NUMBER}
    places |= {place for line in (_COLUMN, _ROW) for place in _numbers_at_ends(kinds, subject.formulas, line)}
    places |= {place for place, is_formula in _differing_in_tables(subject) if not is_formula}
    places |= set(_numbers_in_formula_style(subject))
    yield from (Fault(str(place), str(subject.value(place))) for place in sorted(places))


def inconsistent_formulas(subject: Subject) -> Iterator[Fault]:
    """Yield formulas that differ from those on both sides, or from the others of their table column."""
    kinds = _kinds(subject)
    places = {place for place in _all_interruptions(subject) if kinds[place] != NUMBER}
    places |= {place for place, is_formula in _differing_in_tables(subject) if is_formula}
    yield from (Fault(str(place)) for place in sorted(places))


@lru_cache(maxsize=1)
def _kinds(subject: Subject) -> dict[Place, str]:
    """Return the kind of each cell: a formula's R1C1 form, or NUMBER. Texts and blanks are omitted: they end a run."""
    kinds = {place: "=" + formula.form.text for place, formula in subject.formulas.items()}
    for place, cell in subject.constants.items():
        if cell.data_type in "nbd":
            kinds[place] = NUMBER
    return kinds


@lru_cache(maxsize=1)
def _all_interruptions(subject: Subject) -> frozenset[Place]:
    """Return the cells that interrupt a run of one formula along a column or a row."""
    kinds = _kinds(subject)
    return frozenset(place for line in (_COLUMN, _ROW) for place in _interruptions(kinds, list(subject.formulas), line))


def _interruptions(kinds: dict[Place, str], formulas: Iterable[Place], line: _Line) -> Iterator[Place]:
    """Yield cells that interrupt a run of one formula, unless they belong to a perpendicular line."""
    line_of, across_of = line.key, line.across_key
    across = Counter((across_of(place), kinds[place]) for place in formulas)
    with_formulas = set(map(line_of, formulas))
    places = sorted((place for place in kinds if line_of(place) in with_formulas), key=line.order)
    for run in _runs(places, line):
        counts = Counter(kinds[place] for place in run)
        if len(counts) == 1:
            continue
        segments = [(kind, list(places)) for kind, places in groupby(run, key=kinds.__getitem__)]
        for (before, _), (kind, places), (after, _) in zip(segments, segments[1:], segments[2:]):
            if before == after != NUMBER and counts[before] >= 2 * counts[kind]:
                yield from (place for place in places if not _belongs_across(kinds, across, place, line))


def _runs(places: Sequence[Place], line: _Line) -> Iterator[list[Place]]:
    """Split `places` into runs without a gap along `line`."""
    run: list[Place] = []
    expected = None  # a plain tuple, which is quicker to make than a Place
    for place in places:
        if place != expected:
            if run:
                yield run
            run = []
        run.append(place)
        sheet, row, column = place
        expected = (sheet, row + 1, column) if line.is_column else (sheet, row, column + 1)
    if run:
        yield run


def _belongs_across(kinds: dict[Place, str], across: Counter, place: Place, line: _Line) -> bool:
    """Return whether the perpendicular line has other numbers, or the same formula again, as in a row of subtotals."""
    if kinds[place] == NUMBER:
        neighbours = [kinds[other] for other in (line.across(place, -1), line.across(place, 1)) if other in kinds]
        return bool(neighbours) and all(kind == NUMBER for kind in neighbours)
    return across[line.across_key(place), kinds[place]] > 1


def _numbers_at_ends(kinds: dict[Place, str], formulas: Iterable[Place], line: _Line) -> Iterator[Place]:
    """Yield numbers at the end of a run of one formula if the neighbouring run continues there.

    Numbers at the beginning of a run are allowed, for example an opening balance.
    """
    for last in formulas:
        place = line.along(last, 1)
        if kinds.get(place) == NUMBER and kinds.get(line.along(last, -1)) == kinds[last]:
            for step in (-1, 1):
                neighbour = kinds.get(line.across(place, step), NUMBER)
                if neighbour != NUMBER and neighbour == kinds.get(line.across(last, step)):
                    yield place
                    break


@lru_cache(maxsize=1)
def _differing_in_tables(subject: Subject) -> tuple[tuple[Place, bool], ...]:
    """Return (cell, whether it holds a formula) of cells that differ from their calculated column."""
    return tuple(_differing(subject))


def _differing(subject: Subject) -> Iterator[tuple[Place, bool]]:
    for ws in subject.sheets:
        for table in ws.tables.values():
            area = table_area(ws, table)
            for offset, column in enumerate(table.tableColumns):
                places = [
                    place
                    for place in subject.cells_of(area._replace(
                        first_column=area.first_column + offset, last_column=area.first_column + offset))
                    if place in subject.formulas or place in subject.constants
                ]  # fmt: skip
                forms = Counter(subject.formulas[place].form.text for place in places if place in subject.formulas)
                calculated = column.calculatedColumnFormula
                if not forms or (calculated is None and sum(forms.values()) * 2 <= len(places)):
                    continue
                expected = max(forms, key=forms.__getitem__)
                if calculated is not None and calculated.attr_text:
                    declared = subject.reader.read("=" + calculated.attr_text, *places[0]).form.text
                    # Relative references start from a row that the file does not state, so the majority decides.
                    expected = expected if "R[" in declared or "C[" in declared else declared
                for place in places:
                    if place not in subject.formulas:
                        yield place, False
                    elif subject.formulas[place].form.text != expected:
                        yield place, True


def _numbers_in_formula_style(subject: Subject) -> Iterator[Place]:
    """Yield numbers in a named cell style that other cells of the sheet use for formulas."""
    names = subject.workbook.named_styles

    def style(place: Place) -> tuple[str, str, str]:
        number = subject.cell(place)._style.xfId  # not cell.style: LibreOffice writes numbers that openpyxl cannot name
        return place.sheet, names[number] if number < len(names) else "Normal", subject.number_format(place)

    formulas = Counter(map(style, subject.formulas))
    of_formulas = {of for of, count in formulas.items() if count >= _LEAST_FORMULAS_OF_A_STYLE and of[1] != "Normal"}
    numbers: dict[tuple, list[Place]] = defaultdict(list)
    for place, cell in subject.constants.items():
        if cell.data_type in "nbd" and (of := style(place)) in of_formulas:
            numbers[of].append(place)
    for of, places in numbers.items():
        if formulas[of] >= _FORMULAS_PER_NUMBER * len(places):
            yield from places
