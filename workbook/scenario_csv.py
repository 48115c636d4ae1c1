"""Read scenarios from a CSV file that Excel, LibreOffice or a script wrote, in the format of any country."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from core.checks import LIMITS
from core.errors import PlannerError, quoted
from core.texts import plain_letters
from workbook.files import UnreadableFileError
from workbook.safe_text import without_csv_guard
from workbook.scenario import FIELDS, ONE_OF, Field, GivenRow, field_of_header, parse_scenario

_DELIMITERS = ",;\t|"
_SEPARATOR_LINE = re.compile(r"sep=(.)\s*", re.IGNORECASE)  # Excel's own line that names the delimiter
_LONGEST_LINE = 1 << 20  # characters; a row of scenarios has a few hundred
_LONGEST_NUMBER = 40  # characters

_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}([,.' ])\d{3}(\1\d{3})*")
_DECIMAL = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)(e[+-]?\d+)?", re.IGNORECASE)
_GROUPED_DECIMAL = re.compile(r"[+-]?\d{1,3}(([,' ]\d{3})+\.|([.' ]\d{3})+,)\d+")


class CsvScenarios:
    """The rows of a CSV file, read as a stream and readable more than once.

    Raises:
        UnreadableFileError: the file is not a text file, or its header lacks required columns.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._encoding = _encoding(path)
        with self._open() as file:
            lines = _lines(path, file)
            self._lines_before, header = _header_line(path, lines)
        separator = _SEPARATOR_LINE.fullmatch(header)
        if separator:
            self._delimiter = separator[1]
        else:
            self._lines_before -= 1
            self._delimiter = max(_DELIMITERS, key=lambda delimiter: len(_known_fields(header, delimiter)))
        self._columns = self._read_columns()

    def given_rows(self) -> Iterator[GivenRow]:
        """Yield every row that is not blank; its place names the line on which it begins."""
        with self._open() as file:
            records = self._records(file)
            next(records)
            for line, cells in records:
                if any(cell.strip() for cell in cells):
                    found, problems = parse_scenario(self._values(cells))
                    problems = [*self._extra_cells(cells), *problems]
                    yield GivenRow(f"line {line}", None if problems else found, tuple(problems))

    def _open(self):
        return open(self.path, encoding=self._encoding, newline="")

    def _records(self, file) -> Iterator[tuple[int, list[str]]]:
        """Yield (first line, cells) of each record, the header first."""
        lines = _lines(self.path, file)
        for _ in range(self._lines_before):
            next(lines)
        reader = csv.reader(lines, delimiter=self._delimiter)
        line = self._lines_before + 1
        try:
            for cells in reader:
                yield line, cells
                line = self._lines_before + reader.line_num + 1
        except csv.Error as error:
            raise UnreadableFileError(
                str(self.path), f"line {line} cannot be read ({error})", "Look for a quotation mark that is not closed."
            ) from error

    def _read_columns(self) -> dict[str, int]:
        with self._open() as file:
            _, header = next(self._records(file), (0, []))
        columns: dict[str, int] = {}
        for index, cell in enumerate(header):
            field = field_of_header(cell)
            if field in columns:
                raise UnreadableFileError(
                    str(self.path), f"two columns are named {quoted(cell)}", "Delete one of them."
                )
            if field:
                columns[field] = index
        missing = [field.name for field in FIELDS if field.required and field.name not in columns]
        missing += [] if any(field in columns for field in ONE_OF) else [" or ".join(ONE_OF)]
        if missing:
            raise UnreadableFileError(
                str(self.path),
                f"its first line has no column {', '.join(missing)}",
                f"Name the columns {_names()}, or use the headings of the planner's Scenarios sheet.",
            )
        self._width = len(header)
        return columns

    def _values(self, cells: list[str]) -> dict[str, object]:
        """Return field → value, without blank cells, whose fields take their defaults."""
        texts = {field: cells[index].strip() for field, index in self._columns.items() if index < len(cells)}
        return {field.name: _value(field, texts[field.name]) for field in FIELDS if texts.get(field.name)}

    def _extra_cells(self, cells: list[str]) -> list[PlannerError]:
        if not any(cell.strip() for cell in cells[self._width :]):
            return []
        problem = f"it has {len(cells)} cells, but the first line has {self._width}"
        return [PlannerError("row", problem, f'Put "…" around a cell that contains {quoted(self._delimiter)}.')]


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
        number = number_of(text, whole=field.limits is not None and LIMITS[field.limits].whole)
        return text if number is None else number
    return without_csv_guard(text)


def _names() -> str:
    return ", ".join(field.name for field in FIELDS)


def _encoding(path: Path) -> str:
    """Return the first of Excel's encodings in which the whole file can be read."""
    try:
        with open(path, "rb") as file:
            start = file.read(4)
            if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                return "utf-16"
            for encoding in ("utf-8-sig", "gb18030"):  # GB 18030 includes all of GBK
                file.seek(0)
                decoder = codecs.getincrementaldecoder(encoding)()
                try:
                    while block := file.read(1 << 16):
                        decoder.decode(block)
                    decoder.decode(b"", final=True)
                except UnicodeDecodeError:
                    continue
                return encoding
    except OSError as error:
        raise UnreadableFileError(str(path), f"it cannot be read ({error.strerror})", "Check the path.") from error
    raise UnreadableFileError(str(path), "it is neither UTF-8 nor GBK text", 'Save it as "CSV UTF-8".')


def _lines(path: Path, file) -> Iterator[str]:
    try:
        while line := file.readline(_LONGEST_LINE):
            if "\0" in line or len(line) == _LONGEST_LINE:
                raise UnreadableFileError(str(path), "it is not a text file", "Give a CSV file or a planner .xlsx.")
            yield line
    except UnicodeDecodeError as error:  # `_encoding` does not decode UTF-16 files
        raise UnreadableFileError(str(path), "it is not UTF-16 text", 'Save it as "CSV UTF-8".') from error


def _header_line(path: Path, lines: Iterator[str]) -> tuple[int, str]:
    """Return the number and the text of the first line that is not blank."""
    for line_number, line in enumerate(lines, start=1):
        if line.strip():
            return line_number, line
    raise UnreadableFileError(str(path), "it is empty", f"Name the columns {_names()} in its first line.")


def _known_fields(header: str, delimiter: str) -> set[str]:
    cells = next(csv.reader([header], delimiter=delimiter), [])
    return {field for field in map(field_of_header, cells) if field}
