"""Workbooks from outside: what is looked at before anything of them is parsed."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from xml.parsers import expat

from openpyxl.xml.constants import ARC_CONTENT_TYPES, SHARED_STRINGS, WORKSHEET_TYPE

from core.errors import PlannerError
from workbook.files import UnreadableFileError
from workbook.package import XML_ERRORS, ZIP_ERRORS

# A hundred thousand rows of scenarios take about 0.4 GB of XML, read in a stream; all else is read at once.
LARGEST_SHEETS_BYTES = 2 * 2**30
LARGEST_REST_BYTES = 128 * 2**20
MOST_PARTS = 10_000
# Deflate reaches 1032:1 on one repeated byte; sheets stay well below 100:1. Small parts cannot harm.
MOST_RATIO, RATIO_COUNTS_FROM_BYTES = 200, 10**6
# openpyxl makes an object of a kilobyte of each element; Excel itself stops at 65 490 cell formats. Texts that cells
# share take two elements each, and become plain strings.
MOST_ELEMENTS = 200_000
MOST_ELEMENTS_OF_TEXTS = 4_000_000

ZIP_START = b"PK\x03\x04"
_OLE_START = b"\xd0\xcf\x11\xe0"  # the container of encrypted workbooks and of .xls
_LONGEST_PROLOG_BYTES, _BLOCK_BYTES = 2**20, 2**16


def is_workbook(path: Path) -> bool:
    """Whether `path` is an .xlsx package, by its content.

    Raises:
        UnreadableFileError: it cannot be read, or is a workbook that is encrypted or older than .xlsx.
    """
    if not path.is_file():
        raise UnreadableFileError(str(path), "there is no such file", "Check the path.")
    try:
        with open(path, "rb") as file:
            start = file.read(4)
    except OSError as error:
        raise UnreadableFileError(str(path), f"it cannot be read ({error.strerror})", "Check the path.") from error
    if start == _OLE_START:
        raise UnreadableFileError(
            str(path), "it is protected by a password, or an old .xls", "Save it as .xlsx without a password."
        )
    return start == ZIP_START


def check_package(path: Path) -> None:
    """Makes sure that the .xlsx at `path` can be parsed without harm: its size unpacked, no entities in its XML.

    Raises:
        UnreadableFileError: it is damaged, encrypted, too large, or declares a document type.
    """
    try:
        with zipfile.ZipFile(path) as package:
            parts = package.infolist()
            if len(parts) > MOST_PARTS:
                raise _refused(path, f"it has {len(parts):,} parts")
            if any(part.flag_bits & 0x1 for part in parts):
                raise UnreadableFileError(str(path), "it is encrypted", "Save it without a password.")
            types = _content_types(path, package)
            _check_sizes(path, parts, types)
            for part in parts:
                _scan(path, package, part, _most_elements(types.get(part.filename)))
    except PlannerError:
        raise
    except ZIP_ERRORS as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: BaseException) -> UnreadableFileError:
    """The refusal of a file that is not what it should be."""
    what = str(error).partition("\n")[0][:100] or type(error).__name__
    return UnreadableFileError(str(path), f"it is damaged or no workbook ({what})", "Save it again as .xlsx.")


def _refused(path: Path, problem: str) -> UnreadableFileError:
    return UnreadableFileError(str(path), problem, "Copy the Scenarios sheet alone into a new planner.")


def _content_types(path: Path, package: zipfile.ZipFile) -> dict[str, set[str]]:
    """What the package says each part is: it may be read as any of these, wherever it stands, whatever its name."""
    types: dict[str, set[str]] = {}

    def note(name: str, attributes: dict[str, str]) -> None:
        part = attributes.get("PartName", "").lstrip("/")
        types.setdefault(part, set()).add(attributes.get("ContentType", ""))

    if ARC_CONTENT_TYPES in package.namelist():
        part = package.getinfo(ARC_CONTENT_TYPES)
        _check_sizes(path, [part], {})
        _scan(path, package, part, MOST_ELEMENTS, note)
    return types


def _most_elements(types: set[str] | None) -> int:
    """How many elements a part may have: of sheets, which are read in a stream, only the first is looked at (0)."""
    if types == {WORKSHEET_TYPE}:
        return 0
    return MOST_ELEMENTS_OF_TEXTS if types == {SHARED_STRINGS} else MOST_ELEMENTS


def _check_sizes(path: Path, parts: list[zipfile.ZipInfo], types: dict[str, set[str]]) -> None:
    """By the sizes that the archive states: the zip module never unpacks more than those."""
    sheets = sum(part.file_size for part in parts if types.get(part.filename) == {WORKSHEET_TYPE})
    rest = sum(part.file_size for part in parts) - sheets
    for size_bytes, most in ((sheets, LARGEST_SHEETS_BYTES), (rest, LARGEST_REST_BYTES)):
        if size_bytes > most:
            raise _refused(path, f"unpacked it takes {size_bytes:,} bytes, more than {most:,}")
    for part in parts:
        if part.file_size > max(RATIO_COUNTS_FROM_BYTES, MOST_RATIO * part.compress_size):
            raise _refused(path, f"{part.filename} unpacks to more than {MOST_RATIO} times its size: a zip bomb")


def _scan(
    path: Path,
    package: zipfile.ZipFile,
    part: zipfile.ZipInfo,
    most_elements: int,
    told: Callable[[str, dict[str, str]], None] = lambda name, attributes: None,
) -> None:
    """Reads the XML of a part before anybody makes anything of it, and tells of each element.

    No document type may stand before the root: Excel writes none, and entities could only be declared there.

    Args:
        most_elements: refused if it has more; 0 to look at the first alone.
    """
    count = 0

    def refuse(*_: object) -> None:
        raise UnreadableFileError(str(path), f"{part.filename} declares a document type", "Save it again as .xlsx.")

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal count
        count += 1
        if most_elements and count > most_elements:
            raise _refused(path, f"{part.filename} has more than {most_elements:,} elements")
        told(name, attributes)

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler, parser.StartElementHandler = refuse, start
    with package.open(part) as file:
        read = 0
        try:
            while (most_elements or not count) and (block := file.read(_BLOCK_BYTES)):
                parser.Parse(block)
                read += len(block)
                if not count and read > _LONGEST_PROLOG_BYTES:
                    refuse()
        except PlannerError:
            raise
        except XML_ERRORS as error:
            if part.filename.endswith((".xml", ".rels")):  # else a picture, or whatever is no XML
                raise damaged(path, error) from error
