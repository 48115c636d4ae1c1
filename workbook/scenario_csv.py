"""Read scenarios from a CSV file that Excel, LibreOffice or a script wrote, in the format of any country."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from core.errors import PlannerError, quoted
from core.texts import plain_letters
from workbook.csv_file import CsvFile
from workbook.files import UnreadableFileError
from workbook.safe_text import without_csv_guard
from workbook.scenario import FIELDS, ONE_OF, Field, GivenRow, field_of_header, parse_scenario

_LONGEST_NUMBER = 40  # characters

_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}([,.' ])\d{3}(\1\d{3})*")
_DECIMAL = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)(e[+-]?\d+)?", re.IGNORECASE)
_GROUPED_DECIMAL = re.compile(r"[+-]?\d{1,3}(([,' ]\d{3})+\.|([.' ]\d{3})+,)\d+")


class CsvScenarios:
    """The rows of a CSV file, read as a stream and readable more than once.

    Args:
        encoding: as the user names it; None: to be found.

    Attributes:
        detected: the encoding that was guessed; "" if the file shows it.

    Raises:
        PlannerError: the encoding is not known.
        UnreadableFileError: the file is not a text file, its encoding is in doubt, or required columns are missing.
    """

    def __init__(self, path: Path, encoding: str | None = None) -> None:
        self.path = path
        self._file = CsvFile(
            path, field_of_header, lambda cells: not _missing(cells), columns=_names(), encoding=encoding
        )
        self.detected = self._file.detected
        self._columns = self._find_columns()

    def given_rows(self) -> Iterator[GivenRow]:
        """Yield every row that is not blank; its place names the line on which it begins."""
        for line, cells in self._file.records():
            values, extra = self._values(cells), self._extra_cells(cells)
            if values or extra:  # a sheet that was saved whole has notes and answers in other columns
                found, problems = parse_scenario(values)
                problems = [*extra, *problems]
                yield GivenRow(f"line {line}", None if problems else found, tuple(problems))

    def _find_columns(self) -> dict[str, int]:
        columns: dict[str, int] = {}
        for index, cell in enumerate(self._file.header):
            field = field_of_header(cell)
            if field in columns:
                raise UnreadableFileError(
                    str(self.path), f"two columns are named {quoted(cell)}", "Delete one of them."
                )
            if field:
                columns[field] = index
        missing = _missing(self._file.header)
        if missing:
            raise UnreadableFileError(
                str(self.path),
                f"its first line has no column {', '.join(missing)}",
                f"Name the columns {_names()}, or use the headings of the planner's Scenarios sheet.",
            )
        return columns

    def _values(self, cells: list[str]) -> dict[str, object]:
        """Return field → value, without blank cells, whose fields take their defaults."""
        texts = {field: cells[index].strip() for field, index in self._columns.items() if index < len(cells)}
        return {field.name: _value(field, texts[field.name]) for field in FIELDS if texts.get(field.name)}

    def _extra_cells(self, cells: list[str]) -> list[PlannerError]:
        width = len(self._file.header)
        if not any(cell.strip() for cell in cells[width:]):
            return []
        problem = f"it has {len(cells)} cells, but the first line has {width}"
        return [PlannerError("row", problem, f'Put "…" around a cell that contains {quoted(self._file.delimiter)}.')]


def _missing(header: list[str]) -> list[str]:
    """Return the required columns that a header lacks."""
    found = {field_of_header(cell) for cell in header}
    missing = [field.name for field in FIELDS if field.required and field.name not in found]
    return missing if any(field in found for field in ONE_OF) else [*missing, " or ".join(ONE_OF)]


@lru_cache(maxsize=4096)
def number_of(text: str, *, whole: bool) -> float | None:
    """Parse a number in the format of any country: 0.1, 0,1, 10 %, 32768, 32,768, 32.768; None if it is not one.

    Args:
        whole: only whole numbers make sense here, so a separator before three digits marks thousands.
    """
    text = plain_letters(text).replace("’", "'").strip()
    number, divisor = (text[:-1].rstrip(), 100) if text.endswith("%") else (text, 1)
    if len(number) > _LONGEST_NUMBER:
        return None
    grouped = _GROUPED.fullmatch(number)
    if grouped and (whole or grouped[2] or grouped[1] in "' "):
        return float(number.replace(grouped[1], "")) / divisor
    if _GROUPED_DECIMAL.fullmatch(number):
        point = max(number.rfind("."), number.rfind(","))
        return float(re.sub(r"[,.' ]", "", number[:point]) + "." + number[point + 1 :]) / divisor
    if _DECIMAL.fullmatch(number):
        return float(number.replace(",", ".")) / divisor
    return None


def _value(field: Field, text: str) -> object:
    if field.limits or field.numbers_too:
        number = number_of(text, whole=field.limits is not None and field.limits.whole)
        return text if number is None else number
    return without_csv_guard(text)


def _names() -> str:
    return ", ".join(field.name for field in FIELDS)
