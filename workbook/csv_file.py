"""Read CSV files as Excel, LibreOffice or a script writes them in any country: their encodings and separators."""

from __future__ import annotations

import codecs
import csv
import re
import stat
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import NoReturn, TextIO

from core.catalog.rows import DELIMITERS
from core.errors import PlannerError, quoted
from core.readers.files import NO_FILE
from workbook.files import UnreadableFileError

_SEPARATOR_LINE = re.compile(r"sep=(.)\s*", re.IGNORECASE)  # Excel's own line that names the delimiter
_LONGEST_LINE = 1 << 20  # characters; a row of scenarios has a few hundred
_MOST_LINES_BEFORE = 20  # of a sheet that was saved whole: its title and notes
_BLOCK = 1 << 16
_SAMPLE_BYTES = 200_000  # of lines with other letters than English; chardet reads no more

# What Excel writes as "CSV" in each country, the code pages of Windows: chardet's names → Python's. The source is the
# page "Code Page Identifiers" of learn.microsoft.com.
_ENCODINGS = {
    "cp1252": "cp1252", "cp1250": "cp1250", "cp1251": "cp1251", "cp1253": "cp1253", "cp1254": "cp1254",
    "cp1255": "cp1255", "cp1256": "cp1256", "cp1257": "cp1257", "cp1258": "cp1258", "cp874": "cp874",
    "gb18030": "gb18030", "cp932": "cp932", "big5": "cp950", "cp949": "cp949",
}  # fmt: skip
_LABELS = {
    "cp874": "Windows-874", "gb18030": "GB 18030", "cp932": "Shift-JIS", "cp950": "Big5", "cp949": "EUC-KR",
}  # fmt: skip
# The confidence of the second guess relative to the first from which the first is in doubt. Of 560 files of one to
# eight names in thirteen encodings 355 are read, 3 wrongly; above 0.7 most mistakes are of two letters.
_DOUBT = 0.6
_MOST_READINGS = 4  # that a message shows
_SAVE = 'save it as "CSV UTF-8"'


class CsvFile:
    """A CSV file, read as a stream and readable more than once.

    Args:
        known: returns whether a heading is one of those that are looked for.
        complete: returns whether the headings of a line are all that are needed; the header is the first such line,
            or the first line.
        columns: the columns that the file should have, for an error message.
        encoding: as the user names it with `--encoding`; None: to be found.
        guess: whether an encoding that the file does not show may be guessed.

    Attributes:
        detected: the encoding that was guessed, as people name it; "" if the file shows it.
        delimiter: the character between cells.
        header: the cells of the header.

    Raises:
        PlannerError: the encoding is not known.
        UnreadableFileError: the file is no text file, or its encoding is in doubt.
    """

    def __init__(
        self,
        path: Path,
        known: Callable[[str], object],
        complete: Callable[[list[str]], bool],
        *,
        columns: str,
        encoding: str | None = None,
        guess: bool = True,
    ) -> None:
        self.path, self._columns, self._may_guess = path, columns, guess
        self.detected = ""
        try:
            if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
                raise UnreadableFileError(str(path), NO_FILE, "Give the path of a file.")
            self._encoding = _stated(encoding) if encoding else self._found_encoding()
        except OSError as error:
            raise UnreadableFileError(str(path), f"it cannot be read ({error.strerror})", "Check the path.") from error
        self._lines_before, self.delimiter = self._find_header(known, complete)
        _, self.header = next(self._records(), (0, []))

    def records(self) -> Iterator[tuple[int, list[str]]]:
        """Yield (its first line, its cells) of each record after the header."""
        yield from islice(self._records(), 1, None)

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        with self._open() as file:
            reader = csv.reader(islice(self._lines(file), self._lines_before, None), delimiter=self.delimiter)
            line = self._lines_before + 1
            try:
                for cells in reader:
                    yield line, cells
                    line = self._lines_before + reader.line_num + 1
            except csv.Error as error:
                remedy = "Look for a quotation mark that is not closed."
                raise UnreadableFileError(str(self.path), f"line {line} cannot be read ({error})", remedy) from error

    def _open(self) -> TextIO:
        return open(self.path, encoding=self._encoding, newline="")

    def _lines(self, file: TextIO) -> Iterator[str]:
        try:
            while line := file.readline(_LONGEST_LINE):
                if "\0" in line or len(line) == _LONGEST_LINE:
                    self._fail("it is not a text file", "Give a CSV file or a planner .xlsx.")
                yield line
        except UnicodeError:  # UTF-16 without its mark is none of the errors of decoding
            self._fail(f"it is not {_label(self._encoding)} text", self._remedy("Give another --encoding"))

    def _find_header(self, known: Callable[[str], object], complete: Callable[[list[str]], bool]) -> tuple[int, str]:
        """Return the number of lines before the header, and the delimiter."""
        first: tuple[int, str] | None = None
        with self._open() as file:
            for before, line in enumerate(islice(self._lines(file), _MOST_LINES_BEFORE)):
                separator = _SEPARATOR_LINE.fullmatch(line)
                if separator:
                    return before + 1, separator[1]
                if line.strip():
                    cells = {delimiter: _cells(line, delimiter) for delimiter in DELIMITERS}
                    best = max(cells, key=lambda delimiter: sum(bool(known(cell)) for cell in cells[delimiter]))
                    if complete(cells[best]):
                        return before, best
                    first = first or (before, best)
        if first is None:
            self._fail("it is empty", f"Name the columns {self._columns} in its first line.")
        return first

    def _found_encoding(self) -> str:
        with open(self.path, "rb") as file:
            start = file.read(4)
        if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16"
        if self._is_all("utf-8-sig"):
            return "utf-8-sig"
        if not self._may_guess:
            self._fail("it is neither UTF-8 nor UTF-16 text", self._remedy(""))
        found = self._guess()
        self.detected = _label(found)
        return found

    def _is_all(self, encoding: str) -> bool:
        decoder = codecs.getincrementaldecoder(encoding)()
        with open(self.path, "rb") as file:
            try:
                while block := file.read(_BLOCK):
                    decoder.decode(block)
                decoder.decode(b"", final=True)
            except UnicodeDecodeError:
                return False
        return True

    def _guess(self) -> str:
        """Return the encoding in which the lines with other letters make most sense."""
        import chardet  # slow to import, and most files are UTF-8

        sample = self._sample()
        guesses = chardet.detect_all(
            sample, ignore_threshold=True, include_encodings=_ENCODINGS, no_match_encoding="cp1252",
            empty_input_encoding="cp1252",
        )  # fmt: skip
        by_codec = {codecs.lookup(name).name: name for name in _ENCODINGS.values()}
        readings: list[tuple[str, str, float]] = []  # encoding, text, confidence
        for guess in guesses:
            name = codecs.lookup(guess["encoding"] or "cp1252").name
            encoding = by_codec.get("cp950" if name == "big5" else name)
            if encoding and self._is_all(encoding):
                text = sample.decode(encoding, errors="replace")  # the sample may end within a letter
                if text not in (known for _, known, _ in readings):
                    readings.append((encoding, text, guess["confidence"]))
        if not readings:
            self._fail("it is in no encoding that is known", self._remedy("Give its --encoding"))
        best, *others = readings
        if others and others[0][2] > _DOUBT * best[2]:
            # Of the Western ones one is like another.
            shown = [best, *sorted(others, key=lambda reading: reading[0] not in _LABELS)][:_MOST_READINGS]
            texts = _first_difference([text for _, text, _ in shown])
            said = ", ".join(f"{quoted(cell)} in {_label(encoding)}" for cell, (encoding, _, _) in zip(texts, shown))
            names = ", ".join(encoding for encoding, _, _ in shown)
            self._fail(f"its encoding is in doubt: it has {said}", self._remedy(f"Give --encoding (one of {names})"))
        return best[0]

    def _sample(self) -> bytes:
        """Return the lines with other letters than English, and the header."""
        with open(self.path, "rb") as file:
            lines = [file.readline(_LONGEST_LINE)]
            left = _SAMPLE_BYTES
            while left > 0 and (line := file.readline(_LONGEST_LINE)):
                if not line.isascii():
                    lines.append(line)
                    left -= len(line)
        return b"".join(lines)[:_SAMPLE_BYTES]

    def _remedy(self, option: str) -> str:
        return f"{option}, or {_SAVE}." if self._may_guess else f"{_SAVE[0].upper()}{_SAVE[1:]}."

    def _fail(self, problem: str, remedy: str) -> NoReturn:
        raise UnreadableFileError(str(self.path), problem, remedy) from None


def _stated(name: str) -> str:
    try:
        "".encode(name)  # also refuses what is no encoding of text
        return codecs.lookup(name).name
    except (LookupError, ValueError):
        known = "utf-8, utf-16, " + ", ".join(_ENCODINGS.values())
        raise PlannerError("encoding", f"{quoted(name)} is not known", f"Write for example one of {known}.") from None


def _label(encoding: str) -> str:
    if encoding.startswith("utf"):
        return encoding.upper().removesuffix("-SIG")
    return _LABELS.get(encoding, encoding.replace("cp125", "Windows-125"))


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:  # a cell that is too long
        return []


def _first_difference(texts: list[str]) -> tuple[str, ...]:
    """Return the first cells in which readings of one file differ."""
    cells = zip(*(re.split(f"[{DELIMITERS}\r\n]", text) for text in texts))
    return next((those for those in cells if len(set(those)) > 1), tuple(text[-20:] for text in texts))
