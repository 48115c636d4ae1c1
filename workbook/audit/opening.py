"""Open a workbook from an untrusted source, within limits on its size and without XML entities."""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import cast
from xml.parsers import expat

from openpyxl.utils import range_boundaries

from core.errors import PlannerError
from core.readers.files import NO_FILE
from workbook.package import XML_ERRORS, ZIP_ERRORS
from workbook.untrusted import OPEN_DOCUMENT, SAVE_AS_XLSX, is_open_document, is_pipe

# Limits of the audit. Excel allows more; they keep memory near 1 GB and time within a minute or two.
MOST_FILE_BYTES = 100 * 10**6
MOST_UNPACKED_BYTES = 300 * 10**6
MOST_PARTS = 10_000
MOST_ELEMENTS = 10_000_000
MOST_CELLS = 2_000_000
MOST_FORMULAS = 250_000
MOST_FORMULA_CHARACTERS = 60_000_000
MOST_LOOKUPS = 8_000_000
# Deflate reaches 1032:1 on one repeated byte; sheets stay well below 100:1. Small parts do no harm.
MOST_RATIO, RATIO_COUNTS_FROM_BYTES = 200, 10**6
# Excel's own limit, https://support.microsoft.com/office/1672b34d-7043-467e-8e27-269d656771c3
MOST_CHARACTERS_OF_A_FORMULA = 8192

_OLE_MAGIC = bytes.fromhex("d0cf11e0a1b11ae1")  # [MS-CFB] 2.2
_ENCRYPTED_STREAM = "EncryptedPackage".encode("utf-16-le")  # [MS-OFFCRYPTO] 2.3.4.4
_XLS_STREAM = "Workbook".encode("utf-16-le")  # [MS-XLS] 2.1.2
_ENCRYPTED_FLAG = 0x1
_STRICT = b"http://purl.oclc.org/ooxml/spreadsheetml/main"
_XML_STARTS = (b"<", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"<\0", b"\0<")
# openpyxl creates a cell for every address in the `ref` of these elements.
_EXPANDED = {"mergeCell", "hyperlink", "comment"}
_SAVE_AS_XLSX = "Open it in Excel and save it as .xlsx."


class UnreadableWorkbookError(PlannerError):
    """The file cannot be audited; the message says why and what to do."""


class Budget:
    """A limit on the cells that checks look up: a small file can refer to every cell again and again."""

    def __init__(self, path: Path, most: int = MOST_LOOKUPS) -> None:
        self._path, self._left = path, most

    def spend(self, number: int = 1) -> None:
        """Count `number` look-ups.

        Raises:
            UnreadableWorkbookError: the limit is exceeded.
        """
        self._left -= number
        if self._left < 0:
            problem = "its formulas and rules refer to too many cells to follow"
            raise _unreadable(self._path, problem, "Audit a smaller workbook.")


@dataclass(frozen=True)
class Package:
    """The parts of a workbook that is within every limit."""

    path: Path
    content: bytes
    names: tuple[str, ...]

    def read(self, part: str) -> bytes:
        with zipfile.ZipFile(BytesIO(self.content)) as package:
            return package.read(part)


def opened(path: Path) -> Package:
    """Read and check the package at `path`.

    Raises:
        UnreadableWorkbookError: it is missing, too large, encrypted, damaged, hostile, or of another format.
    """
    content = _read_bytes(path)
    _refuse_other_formats(path, content)
    try:
        with zipfile.ZipFile(BytesIO(content)) as package:
            names = _checked_parts(path, package)
            _Scan(path).run(package)
            _refuse_other_workbooks(path, package, names)
    except PlannerError:
        raise
    except ZIP_ERRORS as error:
        remedy = "Download it again, or open and save it in Excel."
        raise _unreadable(path, "it is damaged or incomplete", remedy) from error
    return Package(path, content, names)


def _unreadable(path: Path, problem: str, remedy: str) -> UnreadableWorkbookError:
    return UnreadableWorkbookError(str(path), problem, remedy)


def _read_bytes(path: Path) -> bytes:
    if is_pipe(path):
        raise _unreadable(path, NO_FILE, "Give the path of an .xlsx file.")
    try:
        with path.open("rb") as file:
            content = file.read(MOST_FILE_BYTES + 1)
    except OSError as error:
        raise _unreadable(path, f"it cannot be read ({error.strerror})", "Give the path of an .xlsx file.") from error
    if len(content) > MOST_FILE_BYTES:
        raise _unreadable(path, f"it is larger than {MOST_FILE_BYTES // 10**6} MB", "Audit a smaller workbook.")
    return content


def _refuse_other_formats(path: Path, content: bytes) -> None:
    if not content:
        raise _unreadable(path, "it is empty", "Download it again.")
    if content.startswith(_OLE_MAGIC):
        if _ENCRYPTED_STREAM in content:
            raise _unreadable(path, "it is encrypted with a password", "Save it from Excel without the password.")
        if _XLS_STREAM in content:
            raise _unreadable(path, "it is an old .xls workbook, not an .xlsx", _SAVE_AS_XLSX)
    if is_open_document(content[:128]):
        raise _unreadable(path, OPEN_DOCUMENT, SAVE_AS_XLSX)
    if not content.startswith(b"PK\x03\x04"):
        raise _unreadable(path, "it is not an Excel workbook", "Give an .xlsx or .xlsm file.")


def _checked_parts(path: Path, package: zipfile.ZipFile) -> tuple[str, ...]:
    """Check the number, the sizes and the compression of the parts, and return their names."""
    parts = package.infolist()
    names = tuple(part.filename for part in parts)
    if len(parts) > MOST_PARTS:
        raise _unreadable(path, f"it has {len(parts):,} parts, more than {MOST_PARTS:,}", _SAVE_AS_XLSX)
    if len({name.lower() for name in names}) < len(names):
        raise _unreadable(path, "two of its parts have the same name", _SAVE_AS_XLSX)
    unpacked = sum(part.file_size for part in parts)
    if unpacked > MOST_UNPACKED_BYTES:
        size = f"it unpacks to {unpacked / 10**6:,.0f} MB, more than {MOST_UNPACKED_BYTES // 10**6} MB"
        raise _unreadable(path, size, "Audit a smaller workbook.")
    for part in parts:
        if part.flag_bits & _ENCRYPTED_FLAG:
            raise _unreadable(path, "its parts are encrypted", "Save it from Excel without a password.")
        if part.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            problem = f"its part {part.filename} has a compression that Excel does not use"
            raise _unreadable(path, problem, _SAVE_AS_XLSX)
        if part.file_size > max(RATIO_COUNTS_FROM_BYTES, MOST_RATIO * part.compress_size):
            problem = f"its part {part.filename} is a zip bomb (it unpacks to more than {MOST_RATIO} times its size)"
            raise _unreadable(path, problem, "Do not open it.")
    return names


def _refuse_other_workbooks(path: Path, package: zipfile.ZipFile, names: tuple[str, ...]) -> None:
    if "xl/workbook.bin" in names:
        raise _unreadable(path, "it is a binary .xlsb workbook", _SAVE_AS_XLSX)
    if "[Content_Types].xml" not in names or not any(name.startswith("xl/") for name in names):
        raise _unreadable(path, "it is a zip archive but not an Excel workbook", "Give an .xlsx or .xlsm file.")
    if "xl/workbook.xml" in names and _STRICT in package.read("xl/workbook.xml"):
        raise _unreadable(path, "it is a Strict Open XML workbook", 'Save it as plain "Excel Workbook (.xlsx)".')


class _Scan:
    """Reads every XML part as a stream and stops at the first limit exceeded, before any part is loaded whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._elements = self._cells = self._formulas = self._formula_characters = 0

    def run(self, package: zipfile.ZipFile) -> None:
        for name in package.namelist():
            with package.open(name) as part:
                start = cast("zipfile.ZipExtFile", part).peek(4)[:4].lstrip(b" \t\r\n")
            if start.startswith(_XML_STARTS) or name.lower().endswith((".xml", ".rels")):
                with package.open(name) as part:
                    self._read(name, part)

    def _read(self, name: str, part) -> None:
        self._shared: dict[str, int] = {}  # characters of each shared formula, which openpyxl copies into each cell
        self._part = name
        self._parser = parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._refuse_doctype
        parser.StartElementHandler, parser.EndElementHandler = self._start, self._end
        try:
            parser.ParseFile(part)
        except PlannerError:
            raise
        except XML_ERRORS as error:
            if name.lower().endswith(".vml"):  # Excel writes some that are not well-formed; the audit reads none
                return
            problem = f"its part {name} is not well-formed XML"
            raise _unreadable(self._path, problem, "Open and save it in Excel.") from error

    def _refuse_doctype(self, *_: object) -> None:
        # ECMA-376 part 2, clause 8.1.4: the parts of a package have no DTD. A DTD is a sign of an entity attack.
        problem = f"its part {self._part} declares XML entities (a DOCTYPE), which no workbook needs"
        raise _unreadable(self._path, problem, "Do not open it.")

    def _start(self, qualified: str, attributes: dict[str, str]) -> None:
        name = qualified.rpartition(":")[2]
        self._elements = self._within(self._elements + 1, MOST_ELEMENTS, "XML elements")
        if name in ("c", "row"):
            self._count_cells(1)
        elif name in _EXPANDED:
            self._count_cells(_cell_count(attributes.get("ref", "")))
        elif name == "f":
            self._attributes = attributes
            self._text: list[str] = []
            self._parser.CharacterDataHandler = self._text.append

    def _end(self, qualified: str) -> None:
        if self._parser.CharacterDataHandler is None or qualified.rpartition(":")[2] != "f":
            return
        self._parser.CharacterDataHandler = None
        length = sum(map(len, self._text))
        self._within(length, MOST_CHARACTERS_OF_A_FORMULA, "characters in one formula")
        if self._attributes.get("t") == "shared":
            length = length or self._shared.get(self._attributes.get("si", ""), 0)
            self._shared.setdefault(self._attributes.get("si", ""), length)
        self._formulas = self._within(self._formulas + 1, MOST_FORMULAS, "formulas")
        self._formula_characters = self._within(
            self._formula_characters + length, MOST_FORMULA_CHARACTERS, "characters of formulas"
        )

    def _count_cells(self, number: int) -> None:
        self._cells = self._within(self._cells + number, MOST_CELLS, "cells")

    def _within(self, number: int, most: int, of_what: str) -> int:
        if number > most:
            raise _unreadable(self._path, f"it has more than {most:,} {of_what}", "Audit a smaller workbook.")
        return number


def _cell_count(ref: str) -> int:
    """Return the number of cells in `ref`; above the limit for whole rows or columns and for an invalid `ref`."""
    if not re.fullmatch(r"[A-Z]{1,3}\d{1,7}(:[A-Z]{1,3}\d{1,7})?", ref):
        return MOST_CELLS + 1
    first_column, first_row, last_column, last_row = range_boundaries(ref)
    return abs(last_column - first_column + 1) * abs(last_row - first_row + 1)
