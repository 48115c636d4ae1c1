"""Read and write models as rows of a CSV file: the catalog's models.csv, and users' files in the same format.

The common fields of a config.json have their own columns, so that a row can be edited in a spreadsheet; all other
fields that the model needs are in `other_fields`, a JSON object.
"""

from __future__ import annotations

import codecs
import csv
import datetime
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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
# The columns that are fields of a config.json, by type of value.
_FLAG_COLUMNS = ("tie_word_embeddings", "attention_bias")
_NUMBER_COLUMNS = (
    "params_b", "num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads",
    "head_dim", "vocab_size", "max_position_embeddings",
)  # fmt: skip

_KEPT_NOTES = ("model_type:", "kv_cache_")

_INVALID_VALUE = "?"  # invalid in every field that a reader uses

DELIMITERS = ",;\t|"
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

LARGEST_FILE_BYTES = 16 * 2**20
LONGEST_NAME = 255  # names and titles are shown in lists, headings and messages
LONGEST_CELL = 32_767  # Excel's limit: support.microsoft.com, "Excel specifications and limits"


class BadRowError(PlannerError):
    """A CSV file of models has an invalid line."""


@dataclass(frozen=True)
class ModelRow:
    """One row: its cells, column → index of its cell, the row's file and line, and whether "70,6" is a number."""

    cells: Sequence[str]
    places: Mapping[str, int]
    path: str
    line: int
    decimal_comma: bool = False

    def __getitem__(self, column: str) -> str:
        place = self.places.get(column)
        return "" if place is None else self.cells[place].strip()

    def error(self, column: str, problem: str, remedy: str) -> BadRowError:
        return BadRowError(f"{self.path}, line {self.line}, {column}", problem, remedy)

    def published_parameters(self) -> int | None:
        """Return the total that the model's developer publishes; None if the row has none."""
        text = self["published_parameters"]
        if not text:
            return None
        if not text.isascii() or not text.isdigit():
            raise self.error("published_parameters", f"{quoted(text)} is not a whole number", "Write all digits.")
        return int(text)

    def as_of(self) -> str:
        """Return the row's date as YYYY-MM-DD; "" if it has none."""
        text = self["as_of"]
        if not text:
            return ""
        date = re.fullmatch(r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})", text, re.ASCII)
        try:
            year, month, day = map(int, date.groups() if date else ())
            return datetime.date(year, month, day).isoformat()
        except ValueError:
            raise self.error("as_of", f"{quoted(text)} is not a date", "Write a date such as 2026-11-23.") from None

    def fields(self) -> dict[str, object]:
        """Return the config.json fields in the row.

        Raises:
            BadRowError: a cell is invalid.
        """
        fields: dict[str, object] = {"model_type": self["model_type"]}
        fields |= {column: self._number(column) for column in _NUMBER_COLUMNS if self[column]}
        fields |= {column: self._flag(column) for column in _FLAG_COLUMNS if self[column]}
        others = self._other_fields()
        twice = next((field for field in others if field in fields), None)
        if twice is not None:
            raise self.error(OTHER_FIELDS, f"{twice} is also in its own column", "Write it in one of the two only.")
        return fields | others

    def spec(self, *, heads: bool = False) -> ModelSpec:
        """Return the model.

        Args:
            heads: whether it may be a head that drafts for another model.

        Raises:
            BadRowError: a cell is invalid.
        """
        fields = self.fields()
        try:
            spec = spec_from_config(fields, name=self["name"], heads=heads)
            # A row has few of a config.json's fields, so what it leaves out is a matter of chance.
            return replace(spec, notes=tuple(note for note in spec.notes if note.startswith(_KEPT_NOTES)))
        except PlannerError as error:
            raise self.error(error.field, error.problem, error.remedy) from error

    def _number(self, column: str) -> float:
        text = self[column]
        try:
            return float(text.replace(",", ".", 1) if self.decimal_comma else text)
        except ValueError:
            raise self.error(
                column, f"{quoted(self[column])} is not a number", "Write digits, with a decimal point if needed."
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


def read_rows(path: str, *, own: bool = True) -> list[ModelRow]:
    """Return the rows of the CSV file at `path` without the empty ones.

    Args:
        own: whether it is a user's file, each text of which is checked; a test checks those of the catalog.

    Raises:
        UnreadableFileError: the file is missing, too large, not UTF-8, or not a CSV file with the catalog's columns.
        BadRowError: a line has no name, the name of another line, or not as many cells as the header.
    """
    with SourceFile(
        path, kind="a CSV file of models", remedy='Give a file as "vram model import --add-to" writes it.'
    ) as file:
        if file.size_bytes > LARGEST_FILE_BYTES:
            file.fail(f"it is larger than {LARGEST_FILE_BYTES // 2**20} MiB")
        try:
            text = _decoded(file.read(file.size_bytes))
        except UnicodeDecodeError:
            file.fail('it is not UTF-8 text (in Excel, save it as "CSV UTF-8")')
        delimiter = _delimiter(text)
        lines = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
        try:
            columns = [name.strip() for name in next(lines, [])]
            problem = _header_problem(columns)
            if problem:
                file.fail(problem)
            return _rows(path, columns, lines, decimal_comma=delimiter != ",", own=own)
        except csv.Error as error:
            file.fail(f"line {lines.line_num}: {error}")


def _decoded(content: bytes) -> str:
    """Return the text of a file in UTF-8, or in the UTF-16 that Excel writes as "Unicode Text"."""
    return content.decode("utf-16" if content.startswith(_UTF16_MARKS) else "utf-8-sig")


def _delimiter(text: str) -> str:
    """Return the character between the columns of the header; Excel takes the one of the country."""
    header = text.lstrip().partition("\n")[0]
    return max(DELIMITERS, key=lambda one: sum(cell.strip() in COLUMNS for cell in header.split(one)))


def row_of(
    fields: Mapping[str, object], *, name: str, aliases: Iterable[str] = (), title: str, source: str, as_of: str
) -> dict[str, str]:
    """Return the row for the model of a config.json: column → cell, without the fields that the planner ignores.

    Raises:
        PlannerError: the model is not supported, or a text is not safe in a spreadsheet's cell.
    """
    needed = needed_fields(fields, name=name)
    cells = {"model_type": needed.pop("model_type", "")}
    for column in _NUMBER_COLUMNS + _FLAG_COLUMNS:
        if _fits_column(column, needed.get(column)):
            cells[column] = _cell_text(needed.pop(column))
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
    """Return a CSV file's `content` with `row` appended in its column order; a new file if `content` is empty.

    A new file begins with a byte order mark, which Excel needs to recognise UTF-8.

    Args:
        content: a file that `read_rows` accepts.
    """
    text = _decoded(content)
    delimiter = _delimiter(text)
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n", delimiter=delimiter)
    columns = [name.strip() for name in next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), [])]
    if not columns:
        columns = list(COLUMNS)
        writer.writerow(columns)
    missing = next((column for column, cell in row.items() if cell and column not in columns), None)
    if missing is not None:
        raise UnsupportedModelError(
            missing, "the file has no such column", f"Add the column {missing} to its first line, or use another file."
        )
    if text and not text.endswith(("\n", "\r")):
        out.write("\r\n")
    writer.writerow([row.get(column, "") for column in columns])
    marked = not content or content.startswith((codecs.BOM_UTF8, *_UTF16_MARKS))
    return (codecs.BOM_UTF8 if marked else b"") + (text + out.getvalue()).encode("utf-8")


def needed_fields(fields: Mapping[str, object], *, name: str) -> dict[str, object]:
    """Return the config.json fields without those that the planner ignores.

    Keeps fields that equal their default, so that a row keeps its meaning if a later version changes the default, and
    fields that have their own column, for people who read the row.
    """
    spec = spec_from_config(fields, name=name)

    def same(candidate: Mapping[str, object]) -> bool:
        try:
            return spec_from_config(candidate, name=name) == spec
        except PlannerError:
            return False

    shown = {field: value for field, value in fields.items() if field == "model_type" or _fits_column(field, value)}
    others = {field: value for field, value in fields.items() if field not in shown}
    return shown | _without_ignored(others, lambda rest: same({**shown, **rest}))


def _without_ignored(fields: Mapping[str, object], same: Callable[[Mapping[str, object]], bool]) -> dict[str, object]:
    """Remove the fields, at any depth, that do not affect the model: not even an invalid value changes it."""
    kept = dict(fields)
    for field, value in fields.items():
        without = {other: kept[other] for other in kept if other != field}
        if same(without) and same(without | {field: _INVALID_VALUE}):
            kept = without
        elif isinstance(value, dict):
            kept[field] = _without_ignored(value, partial(_same_inside, same, without, field))
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


def _cell_text(value: object) -> str:
    return str(value).upper() if isinstance(value, bool) else repr(value)


def _check_text(column: str, text: str) -> None:
    if text.startswith(FORMULA_STARTS):
        raise UnsupportedModelError(
            column, f"{quoted(text)} starts like a formula, which a spreadsheet would run", "Start it with a letter."
        )
    if NOT_PRINTABLE.search(text):
        raise UnsupportedModelError(column, f"{quoted(text)} has control characters", "Remove them.")
    if len(text) > LONGEST_CELL:
        raise UnsupportedModelError(
            column, f"it has {len(text)} characters, a cell holds {LONGEST_CELL}", "Use the model's own file instead."
        )


def _check_cell(row: ModelRow, column: str, text: str) -> None:
    """Check that the text can be written to a cell of the workbook; `other_fields` never is."""
    if column == OTHER_FIELDS:
        return
    if NOT_PRINTABLE.search(text):
        raise row.error(column, f"{quoted(text)} has control characters", "Write it on one line of plain text.")
    most = LONGEST_NAME if column in ("name", "title") else LONGEST_CELL
    if len(text) > most:
        raise row.error(column, f"it has {len(text)} characters, more than {most}", "Write a shorter text.")


def _header_problem(columns: list[str]) -> str:
    unknown = next((name for name in columns if name not in COLUMNS), None)
    if unknown is not None:
        return f"it has the unknown column {quoted(unknown)}"
    missing = next((name for name in _REQUIRED_COLUMNS if name not in columns), None)
    if missing is not None:
        return f"it has no column {missing}"
    return "it has the same column twice" if len(set(columns)) < len(columns) else ""


class _CsvReader(Protocol):
    """The type that `csv.reader` returns, which has no public name."""

    line_num: int

    def __iter__(self) -> Iterator[list[str]]: ...


def _rows(path: str, columns: list[str], lines: _CsvReader, *, decimal_comma: bool, own: bool) -> list[ModelRow]:
    rows: dict[str, ModelRow] = {}
    places = {column: place for place, column in enumerate(columns)}
    for cells in lines:
        if not any(map(str.strip, cells)):
            continue
        row = ModelRow(cells, places, path, lines.line_num, decimal_comma)
        if len(cells) != len(columns):
            problem = f"it has {len(cells)}, but the first line has {len(columns)}"
            raise row.error("number of cells", problem, "Put texts that contain commas in double quotes.")
        name = row["name"]
        if not name:
            raise row.error("name", "it is missing", "Give the model a name.")
        for column, text in zip(columns, cells) if own else ():
            _check_cell(row, column, text.strip())
        if name.startswith(FORMULA_STARTS):
            raise row.error("name", f"{quoted(name)} starts like a formula", "Start it with a letter.")
        if name in rows:
            raise row.error("name", f"{quoted(name)} is also in line {rows[name].line}", "Give the model another name.")
        rows[name] = row
    return list(rows.values())
