"""Cells that break the pattern around them: numbers amid formulas, and formulas unlike their neighbours."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from workbook.audit.subject import Fault, Place, Subject, table_area

# A style counts as "for formulas" from so many formulas, and while numbers in it are so few.
_LEAST_FORMULAS_OF_A_STYLE, _FORMULAS_PER_NUMBER = 3, 4

NUMBER = "number"


@dataclass(frozen=True)
class _Line:
    """A direction to look in: along the cells of a column, or of a row."""

    is_column: bool

    def along(self, place: Place, steps: int) -> Place:
        return self._moved(place, steps, self.is_column)

    def across(self, place: Place, steps: int) -> Place:
        return self._moved(place, steps, not self.is_column)

    def key(self, place: Place) -> tuple[str, int, int]:
        """Sorts places line by line."""
        line, position = (place.column, place.row) if self.is_column else (place.row, place.column)
        return place.sheet, line, position

    def across_key(self, place: Place) -> tuple[str, int]:
        """The line across, that `place` is in too."""
        return place.sheet, place.row if self.is_column else place.column

    @staticmethod
    def _moved(place: Place, steps: int, down: bool) -> Place:
        return place._replace(row=place.row + steps) if down else place._replace(column=place.column + steps)


_COLUMN, _ROW = _Line(is_column=True), _Line(is_column=False)


def hard_coded_numbers(subject: Subject) -> Iterator[Fault]:
    """Numbers where the cells around them, the table column, or the cell's own style are for formulas."""
    kinds = _kinds(subject)
    places = {place for line in (_COLUMN, _ROW) for place in _odd_ones(kinds, line) if kinds[place] == NUMBER}
    places |= {place for line in (_COLUMN, _ROW) for place in _ends(kinds, line)}
    places |= {place for place, is_formula in _odd_in_tables(subject) if not is_formula}
    places |= set(_in_formula_style(subject))
    yield from (Fault(str(place), str(subject.value(place))) for place in sorted(places))


def inconsistent_formulas(subject: Subject) -> Iterator[Fault]:
    """Formulas that differ from those on both sides, or from the others of their table column."""
    kinds = _kinds(subject)
    places = {place for line in (_COLUMN, _ROW) for place in _odd_ones(kinds, line) if kinds[place] != NUMBER}
    places |= {place for place, is_formula in _odd_in_tables(subject) if is_formula}
    yield from (Fault(str(place)) for place in sorted(places))


def _kinds(subject: Subject) -> dict[Place, str]:
    """What stands in each cell: a formula's R1C1 form, or NUMBER. Texts and blanks are left out: they end a pattern."""
    kinds = {place: "=" + formula.form.text for place, formula in subject.formulas.items()}
    for place, cell in subject.constants.items():
        if cell.data_type in "nbd":
            kinds[place] = NUMBER
    return kinds


def _odd_ones(kinds: dict[Place, str], line: _Line) -> Iterator[Place]:
    """Cells that interrupt a run of one formula, unless they belong to a line across."""
    across = Counter((line.across_key(place), kind) for place, kind in kinds.items())
    for run in _runs(sorted(kinds, key=line.key), line):
        counts = Counter(kinds[place] for place in run)
        segments = [(kind, list(places)) for kind, places in groupby(run, key=kinds.__getitem__)]
        for (before, _), (kind, places), (after, _) in zip(segments, segments[1:], segments[2:]):
            if before == after != NUMBER and counts[before] >= 2 * counts[kind]:
                yield from (place for place in places if not _belongs_across(kinds, across, place, line))


def _runs(places: Sequence[Place], line: _Line) -> Iterator[list[Place]]:
    """The places in stretches without a gap along `line`."""
    run: list[Place] = []
    for place in places:
        if run and line.along(run[-1], 1) != place:
            yield run
            run = []
        run.append(place)
    if run:
        yield run


def _belongs_across(kinds: dict[Place, str], across: Counter, place: Place, line: _Line) -> bool:
    """Whether `place` is one of a line of numbers, or its formula stands again across, as in a row of subtotals."""
    if kinds[place] == NUMBER:
        beside = [kinds[other] for other in (line.across(place, -1), line.across(place, 1)) if other in kinds]
        return bool(beside) and all(kind == NUMBER for kind in beside)
    return across[line.across_key(place), kinds[place]] > 1


def _ends(kinds: dict[Place, str], line: _Line) -> Iterator[Place]:
    """Numbers at the end of a run of one formula, where the run beside it goes on.

    At the end alone: at the beginning of a run an opening balance is in its right place.
    """
    for place, kind in kinds.items():
        last, last_but_one = line.along(place, -1), line.along(place, -2)
        form = kinds.get(last, NUMBER)
        if kind == NUMBER and form != NUMBER and kinds.get(last_but_one) == form:
            for step in (-1, 1):
                beside = kinds.get(line.across(place, step), NUMBER)
                if beside != NUMBER and beside == kinds.get(line.across(last, step)):
                    yield place
                    break


def _odd_in_tables(subject: Subject) -> Iterator[tuple[Place, bool]]:
    """(cell, whether it holds a formula) of cells of a calculated column that are not as the column is."""
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
                    # Its cell references are relative to a row that the file does not name: then the majority decides.
                    expected = expected if "R[" in declared or "C[" in declared else declared
                for place in places:
                    if place not in subject.formulas:
                        yield place, False
                    elif subject.formulas[place].form.text != expected:
                        yield place, True


def _in_formula_style(subject: Subject) -> Iterator[Place]:
    """Numbers in a named cell style that elsewhere on the sheet holds formulas."""
    formulas: Counter[tuple] = Counter()
    numbers: dict[tuple, list[Place]] = defaultdict(list)
    for place in subject.formulas:
        formulas[_style(subject, place)] += 1
    for place, cell in subject.constants.items():
        if cell.data_type in "nbd":
            numbers[_style(subject, place)].append(place)
    for style, places in numbers.items():
        count = formulas[style]
        if style[1] != "Normal" and count >= max(_LEAST_FORMULAS_OF_A_STYLE, _FORMULAS_PER_NUMBER * len(places)):
            yield from places


def _style(subject: Subject, place: Place) -> tuple[str, str, str]:
    """Sheet, named style and number format of a cell."""
    cell, names = subject.cell(place), subject.workbook.named_styles
    number = cell._style.xfId  # not cell.style: LibreOffice writes numbers that openpyxl has no name for
    return place.sheet, names[number] if number < len(names) else "Normal", cell.number_format
