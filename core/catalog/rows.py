"""Models as rows of a CSV file: the catalog's own models.csv, and the files of the same form that users keep.

A row holds the common fields of a config.json in columns of their own, so that it can be read and edited in a
spreadsheet; whatever else the model needs stands in `other_fields`, a JSON object.
"""

from __future__ import annotations

import csv
import datetime
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from core.errors import PlannerError, UnsupportedModelError, quoted
from core.model.spec import ModelSpec
from core.readers.files import SourceFile
from core.readers.hf_config import spec_from_config
from core.texts import FORMULA_STARTS, NOT_PRINTABLE

OTHER_FIELDS = "other_fields"
COLUMNS = (
    "name", "aliases", "title", "developer", "licence", "model_type", "params_b", "num_hidden_layers", "hidden_size",
    "intermediate_size", "num_attention_heads", "num_key_value_heads", "head_dim", "vocab_size", "tie_word_embeddings",
    "attention_bias", "max_position_embeddings", "published_parameters", "source", "as_of", OTHER_FIELDS,
)  # fmt: skip
_REQUIRED_COLUMNS = ("name", "model_type")
# The columns that are fields of a config.json, by the kind of value they hold.
_FLAG_COLUMNS = ("tie_word_embeddings", "attention_bias")
_NUMBER_COLUMNS = (
    "params_b", "num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads",
    "head_dim", "vocab_size", "max_position_embeddings",
)  # fmt: skip

_NONSENSE = "?"  # no value of any field that is looked at

LARGEST_FILE_BYTES = 16 * 2**20
LONGEST_NAME = 255  # of what stands in lists, headings and sentences
LONGEST_CELL = 32_767  # Excel's limit: support.microsoft.com, "Excel specifications and limits"


class BadRowError(PlannerError):
    """A file of models has a line that is not understood."""


@dataclass(frozen=True)
class ModelRow:
    """One row: its cells, the place of each column among them, and where it stands."""

    cells: Sequence[str]
    places: Mapping[str, int]
    path: str
    line: int

    def __getitem__(self, column: str) -> str:
        place = self.places.get(column)
        return "" if place is None else self.cells[place].strip()

    def error(self, column: str, problem: str, remedy: str) -> BadRowError:
        return BadRowError(f"{self.path}, line {self.line}, {column}", problem, remedy)

    def published_parameters(self) -> int | None:
        """The total that the model's maker publishes, if the row says it."""
        text = self["published_parameters"]
        if not text:
            return None
        if not text.isascii() or not text.isdigit():
            raise self.error("published_parameters", f"{quoted(text)} is not a whole number", "Write all its digits.")
        return int(text)

    def as_of(self) -> str:
        """The date of the row as YYYY-MM-DD; empty if it has none."""
        text = self["as_of"]
        if not text:
            return ""
        date = re.fullmatch(r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})", text, re.ASCII)
        try:
            year, month, day = map(int, date.groups() if date else ())
            return datetime.date(year, month, day).isoformat()
        except ValueError:
            raise self.error("as_of", f"{quoted(text)} is not a date", "Write it as 2026-11-23.") from None

    def fields(self) -> dict[str, object]:
        """The fields of a config.json that the row holds.

        Raises:
            BadRowError: a cell is not understood.
        """
        fields: dict[str, object] = {"model_type": self["model_type"]}
        fields |= {column: self._number(column) for column in _NUMBER_COLUMNS if self[column]}
        fields |= {column: self._flag(column) for column in _FLAG_COLUMNS if self[column]}
        others = self._other_fields()
        twice = next((field for field in others if field in fields), None)
        if twice is not None:
            raise self.error(OTHER_FIELDS, f"{twice} has a column of its own in this row", "Leave it in one of them.")
        return fields | others

    def spec(self) -> ModelSpec:
        """The model.

        Raises:
            BadRowError: a cell is not understood, or what it says is impossible.
        """
        fields = self.fields()
        try:
            return spec_from_config(fields, name=self["name"])
        except PlannerError as error:
            raise self.error(error.field, error.problem, error.remedy) from error

    def _number(self, column: str) -> float:
        try:
            return float(self[column])
        except ValueError:
            raise self.error(
                column, f"{quoted(self[column])} is not a number", "Write digits only, with a point if need be."
            ) from None

    def _flag(self, column: str) -> bool:
        flag = {"TRUE": True, "1": True, "FALSE": False, "0": False}.get(self[column].upper())
        if flag is None:
            raise self.error(column, f"{quoted(self[column])} is neither true nor false", "Write TRUE or FALSE.")
        return flag

    def _other_fields(self) -> dict[str, object]:
        if not self[OTHER_FIELDS]:
            return {}
        try:
            others = json.loads(self[OTHER_FIELDS])
        except (ValueError, RecursionError):
            others = None
        if not isinstance(others, dict):
            raise self.error(
                OTHER_FIELDS, f"{quoted(self[OTHER_FIELDS])} is not a JSON object", 'Write {"field": value}.'
            )
        return others


def read_rows(path: str) -> list[ModelRow]:
    """The rows of the CSV file at `path`; empty ones are left out.

    Raises:
        UnreadableFileError: no such file, too large, not UTF-8, or no CSV with the catalog's columns.
        BadRowError: a line has no name, one that another has too, or another number of cells than the header.
    """
    with SourceFile(
        path, kind="a CSV file of models", remedy='Give a file with the columns of "vram model import --add-to".'
    ) as file:
        if file.size_bytes > LARGEST_FILE_BYTES:
            file.fail(f"it is larger than {LARGEST_FILE_BYTES // 2**20} MiB")
        try:
            text = file.read(file.size_bytes).decode("utf-8-sig")
        except UnicodeDecodeError:
            file.fail('it is not UTF-8 text (in Excel, save it as "CSV UTF-8")')
        lines = csv.reader(io.StringIO(text, newline=""), strict=True)
        try:
            columns = [name.strip() for name in next(lines, [])]
            problem = _problem_of_header(columns)
            if problem:
                file.fail(problem)
            return _rows(path, columns, lines)
        except csv.Error as error:
            file.fail(f"line {lines.line_num}: {error}")


def row_of(
    fields: Mapping[str, object], *, name: str, aliases: Iterable[str] = (), title: str, source: str, as_of: str
) -> dict[str, str]:
    """The cells of a row for the model that the fields of a config.json describe; only what it needs of them is kept.

    Raises:
        PlannerError: the model is not understood, or a text cannot stand in a spreadsheet's cell safely.
    """
    needed = needed_fields(fields, name=name)
    cells = {"model_type": needed.pop("model_type", "")}
    for column in _NUMBER_COLUMNS + _FLAG_COLUMNS:
        if _fits_column(column, needed.get(column)):
            cells[column] = _written(needed.pop(column))
    cells |= {
        "name": name,
        "aliases": ";".join(aliases),
        "title": title,
        "source": source,
        "as_of": as_of,
        OTHER_FIELDS: json.dumps(needed, ensure_ascii=False, separators=(",", ":")) if needed else "",
    }
    for column, text in cells.items():
        _check_text(column, str(text))
    return {column: str(cells.get(column, "")) for column in COLUMNS}


def with_row(content: bytes, row: Mapping[str, str]) -> bytes:
    """A file's `content` with `row` behind its last line, in the order of its columns; a new file if it is empty.

    A new file begins with the mark by which Excel knows UTF-8.

    Args:
        content: what `read_rows` has read without an error.
    """
    text = content.decode("utf-8-sig")
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    columns = [name.strip() for name in next(csv.reader(io.StringIO(text, newline="")), [])]
    if not columns:
        columns = list(COLUMNS)
        writer.writerow(columns)
    lost = [column for column, cell in row.items() if cell and column not in columns]
    if lost:
        raise UnsupportedModelError(
            lost[0], "the file has no such column", f"Add the column {lost[0]} to its first line, or use another file."
        )
    if text and not text.endswith(("\n", "\r")):
        out.write("\r\n")
    writer.writerow([row.get(column, "") for column in columns])
    mark = b"" if content and not content.startswith(b"\xef\xbb\xbf") else b"\xef\xbb\xbf"
    return mark + (text + out.getvalue()).encode("utf-8")


def needed_fields(fields: Mapping[str, object], *, name: str) -> dict[str, object]:
    """The fields of a config.json without those that are not looked at.

    What only equals a default stays, so that a row means the same whatever the defaults of later versions are; and so
    do fields with a column of their own, for whoever reads the row.
    """
    spec = spec_from_config(fields, name=name)

    def same(candidate: Mapping[str, object]) -> bool:
        try:
            return spec_from_config(candidate, name=name) == spec
        except PlannerError:
            return False

    shown = {field: value for field, value in fields.items() if field == "model_type" or _fits_column(field, value)}
    others = {field: value for field, value in fields.items() if field not in shown}
    return shown | _pruned(others, lambda rest: same({**shown, **rest}))


def _pruned(fields: Mapping[str, object], same: Callable[[Mapping[str, object]], bool]) -> dict[str, object]:
    """`fields` without those, at any depth, that nobody looks at: nonsense in their place leaves all the `same`."""
    kept = dict(fields)
    for field, value in fields.items():
        without = {other: kept[other] for other in kept if other != field}
        if same(without) and same(without | {field: _NONSENSE}):
            kept = without
        elif isinstance(value, dict):
            kept[field] = _pruned(value, partial(_same_inside, same, without, field))
            if not kept[field] and same(without):
                kept = without
    return kept


def _same_inside(
    same: Callable[[Mapping[str, object]], bool], others: Mapping[str, object], field: str, rest: Mapping[str, object]
) -> bool:
    return same({**others, field: rest})


def _fits_column(column: str, value: object) -> bool:
    if column in _FLAG_COLUMNS:
        return isinstance(value, bool)
    return column in _NUMBER_COLUMNS and isinstance(value, (int, float)) and not isinstance(value, bool)


def _written(value: object) -> str:
    return str(value).upper() if isinstance(value, bool) else repr(value)


def _check_text(column: str, text: str) -> None:
    if text.startswith(FORMULA_STARTS):
        raise UnsupportedModelError(
            column, f"{quoted(text)} begins as a formula does, which spreadsheets would run", "Give another one."
        )
    if NOT_PRINTABLE.search(text):
        raise UnsupportedModelError(column, f"{quoted(text)} has control characters", "Give another one.")
    if len(text) > LONGEST_CELL:
        raise UnsupportedModelError(
            column, f"it has {len(text)} characters, a spreadsheet's cell holds {LONGEST_CELL}", "Use the file itself."
        )


def _check_cell(row: ModelRow, column: str, text: str) -> None:
    """What is to stand in a workbook has to be such that it can; other fields stand in none."""
    if column == OTHER_FIELDS:
        return
    if NOT_PRINTABLE.search(text):
        raise row.error(column, f"{quoted(text)} has control characters", "Write it on one line of plain text.")
    most = LONGEST_NAME if column in ("name", "title") else LONGEST_CELL
    if len(text) > most:
        raise row.error(column, f"it has {len(text)} characters, more than {most}", "Write less.")


def _problem_of_header(columns: list[str]) -> str:
    if len(columns) == 1 and ";" in columns[0]:
        return "its columns are separated by semicolons, not by commas"
    unknown = next((name for name in columns if name not in COLUMNS), None)
    if unknown is not None:
        return f"it has the unknown column {quoted(unknown)}"
    missing = next((name for name in _REQUIRED_COLUMNS if name not in columns), None)
    if missing is not None:
        return f"it has no column {missing}"
    return "it has a column twice" if len(set(columns)) < len(columns) else ""


class _CsvReader(Protocol):
    """What `csv.reader` returns, a type without a public name."""

    line_num: int

    def __iter__(self) -> Iterator[list[str]]: ...


def _rows(path: str, columns: list[str], lines: _CsvReader) -> list[ModelRow]:
    rows: dict[str, ModelRow] = {}
    places = {column: place for place, column in enumerate(columns)}
    for cells in lines:
        if not any(cell.strip() for cell in cells):
            continue
        row = ModelRow(cells, places, path, lines.line_num)
        if len(cells) != len(columns):
            problem = f"it has {len(cells)}, the first line {len(columns)}"
            raise row.error("number of cells", problem, "Put texts with commas in quotes.")
        name = row["name"]
        if not name:
            raise row.error("name", "it is missing", "Give the model a name.")
        for column, text in zip(columns, cells):
            _check_cell(row, column, text.strip())
        if name.startswith(FORMULA_STARTS):
            raise row.error("name", f"{quoted(name)} begins as a formula does", "Begin it with a letter.")
        if name in rows:
            raise row.error("name", f"{quoted(name)} stands in line {rows[name].line} too", "Give it another name.")
        rows[name] = row
    return list(rows.values())
