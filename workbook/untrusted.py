"""Check a workbook from outside for damage and attacks before any library parses it."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from xml.parsers import expat

from openpyxl.xml.constants import ARC_CONTENT_TYPES, SHARED_STRINGS, WORKSHEET_TYPE

from core.errors import PlannerError
from core.readers.files import NO_FILE
from workbook.files import UnreadableFileError
from workbook.package import XML_ERRORS, ZIP_ERRORS

# 100 000 rows of scenarios take about 0.4 GB of XML, read as a stream; all other parts are read into memory.
LARGEST_SHEETS_BYTES = 2 * 2**30
LARGEST_REST_BYTES = 128 * 2**20
MOST_PARTS = 10_000
# Deflate reaches 1032:1 on one repeated byte; sheets stay well below 100:1. Small parts do no harm.
MOST_RATIO, RATIO_COUNTS_FROM_BYTES = 200, 10**6
# openpyxl makes an object of about 1 kB from each element; Excel itself allows 65 490 cell formats. Shared strings take
# two elements each and become plain strings.
MOST_ELEMENTS = 200_000
MOST_ELEMENTS_OF_TEXTS = 4_000_000

ZIP_START = b"PK\x03\x04"
_OLE_START = b"\xd0\xcf\x11\xe0"  # the container of encrypted workbooks and of .xls
_LONGEST_TYPE = 128  # bytes that show the type of a file
OPEN_DOCUMENT = "it is an OpenDocument workbook (.ods), not an .xlsx"
SAVE_AS_XLSX = "Save it as .xlsx, in LibreOffice or in Excel."
_LONGEST_PROLOG_BYTES, _BLOCK_BYTES = 2**20, 2**16


def is_workbook(path: Path) -> bool:
    """Return whether the content of `path` is an .xlsx package.

    Raises:
        UnreadableFileError: it cannot be read, or it is an encrypted workbook or an old .xls.
    """
    if is_pipe(path):
        raise UnreadableFileError(str(path), NO_FILE, "Give the path of a file.")
    if not path.is_file():
        raise UnreadableFileError(str(path), "there is no such file", "Check the path.")
    try:
        with open(path, "rb") as file:
            start = file.read(_LONGEST_TYPE)
    except OSError as error:
        raise UnreadableFileError(str(path), f"it cannot be read ({error.strerror})", "Check the path.") from error
    if start.startswith(_OLE_START):
        raise UnreadableFileError(
            str(path), "it is password-protected or an old .xls workbook", "Save it as .xlsx without a password."
        )
    if is_open_document(start):
        raise UnreadableFileError(str(path), OPEN_DOCUMENT, SAVE_AS_XLSX)
    return start.startswith(ZIP_START)


def is_pipe(path: Path) -> bool:
    """Return whether `path` is there, but is neither a file nor a folder: reading a pipe would wait."""
    return path.exists() and not path.is_file() and not path.is_dir()


def is_open_document(start: bytes) -> bool:
    """Return whether a file that begins so is an .ods workbook or another OpenDocument.

    Source: OpenDocument 1.3 part 2, 3.3: the first entry is "mimetype", not compressed.
    """
    return start.startswith(ZIP_START) and start[30:38] == b"mimetype" and b"vnd.oasis.opendocument" in start


def check_package(path: Path) -> None:
    """Refuse an .xlsx that is unsafe to parse because of its unpacked size or of entities in its XML.

    Raises:
        UnreadableFileError: it is damaged, encrypted, too large, or declares a document type.
    """
    try:
        with zipfile.ZipFile(path) as package:
            parts = package.infolist()
            if len(parts) > MOST_PARTS:
                raise _refusal(path, f"it has {len(parts):,} parts, more than {MOST_PARTS:,}")
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
    """Return the error for a file that is damaged or not a workbook."""
    what = str(error).partition("\n")[0][:100] or type(error).__name__
    return UnreadableFileError(str(path), f"it is damaged or not a workbook ({what})", "Save it again as .xlsx.")


def _refusal(path: Path, problem: str) -> UnreadableFileError:
    return UnreadableFileError(str(path), problem, "Copy only the Scenarios sheet into a new planner.")


def _content_types(path: Path, package: zipfile.ZipFile) -> dict[str, set[str]]:
    """Return the declared types of each part; openpyxl may read it as any of them, whatever its name and folder."""
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
    """Return the most XML elements that a part may have; 0 for sheets, which are read as a stream."""
    if types == {WORKSHEET_TYPE}:
        return 0
    return MOST_ELEMENTS_OF_TEXTS if types == {SHARED_STRINGS} else MOST_ELEMENTS


def _check_sizes(path: Path, parts: list[zipfile.ZipInfo], types: dict[str, set[str]]) -> None:
    """Check the sizes that the archive states; the zip module never unpacks more than those."""
    sheets = sum(part.file_size for part in parts if types.get(part.filename) == {WORKSHEET_TYPE})
    rest = sum(part.file_size for part in parts) - sheets
    for size_bytes, most in ((sheets, LARGEST_SHEETS_BYTES), (rest, LARGEST_REST_BYTES)):
        if size_bytes > most:
            raise _refusal(path, f"it unpacks to {size_bytes:,} bytes, more than {most:,}")
    for part in parts:
        if part.file_size > max(RATIO_COUNTS_FROM_BYTES, MOST_RATIO * part.compress_size):
            raise _refusal(path, f"{part.filename} is a zip bomb (it unpacks to more than {MOST_RATIO} times its size)")


def _scan(
    path: Path,
    package: zipfile.ZipFile,
    part: zipfile.ZipInfo,
    most_elements: int,
    on_element: Callable[[str, dict[str, str]], None] = lambda name, attributes: None,
) -> None:
    """Check the XML of a part before openpyxl parses it, and pass each element to `on_element`.

    A document type before the root is refused: Excel writes none, and only there can entities be declared.

    Args:
        most_elements: a part with more elements is refused; 0: read only up to the first element.
    """
    count = 0

    def refuse(*_: object) -> None:
        raise UnreadableFileError(str(path), f"{part.filename} declares a document type", "Save it again as .xlsx.")

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal count
        count += 1
        if most_elements and count > most_elements:
            raise _refusal(path, f"{part.filename} has more than {most_elements:,} elements")
        on_element(name, attributes)

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
            if part.filename.endswith((".xml", ".rels")):  # other parts, such as pictures, need not be XML
                raise damaged(path, error) from error
