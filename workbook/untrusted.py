"""Workbooks from outside: what is looked at before anything of them is parsed."""

from __future__ import annotations

import zipfile
from pathlib import Path
from xml.parsers import expat

from core.errors import PlannerError
from workbook.files import UnreadableFileError
from workbook.package import ZIP_ERRORS

# A hundred thousand rows of scenarios take about 0.4 GB of XML, read in a stream; all else is read at once.
LARGEST_SHEETS_BYTES = 2 * 2**30
LARGEST_REST_BYTES = 128 * 2**20
MOST_PARTS = 10_000

ZIP_START = b"PK\x03\x04"
_OLE_START = b"\xd0\xcf\x11\xe0"  # the container of encrypted workbooks and of .xls
_LONGEST_PROLOG_BYTES = 2**20


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
            _check_sizes(path, parts)
            for part in parts:
                if part.flag_bits & 0x1:
                    raise UnreadableFileError(str(path), "it is encrypted", "Save it without a password.")
                if part.filename.endswith((".xml", ".rels")):
                    _check_prolog(path, package, part)
    except PlannerError:
        raise
    except (*ZIP_ERRORS, expat.ExpatError) as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: BaseException) -> UnreadableFileError:
    """The refusal of a file that is not what it should be."""
    what = str(error).partition("\n")[0][:100] or type(error).__name__
    return UnreadableFileError(str(path), f"it is damaged or no workbook ({what})", "Save it again as .xlsx.")


def _check_sizes(path: Path, parts: list[zipfile.ZipInfo]) -> None:
    """By the sizes that the archive states: the zip module never unpacks more than those."""
    sheets = sum(part.file_size for part in parts if part.filename.startswith("xl/worksheets/"))
    rest = sum(part.file_size for part in parts) - sheets
    for size_bytes, most in ((sheets, LARGEST_SHEETS_BYTES), (rest, LARGEST_REST_BYTES)):
        if size_bytes > most:
            raise UnreadableFileError(
                str(path),
                f"unpacked it takes {size_bytes:,} bytes, more than {most:,}",
                "Copy the Scenarios sheet alone into a new planner.",
            )
    if len(parts) > MOST_PARTS:
        raise UnreadableFileError(str(path), f"it has {len(parts):,} parts", "Save it again as .xlsx.")


def _check_prolog(path: Path, package: zipfile.ZipFile, part: zipfile.ZipInfo) -> None:
    """No document type before the root element: Excel writes none, and entities could only be declared there."""
    inside_root = False

    def refuse(*_: object) -> None:
        raise UnreadableFileError(str(path), f"{part.filename} declares a document type", "Save it again as .xlsx.")

    def stop(*_: object) -> None:
        nonlocal inside_root
        inside_root = True

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = stop
    with package.open(part) as file:
        read = 0
        while not inside_root and (block := file.read(4096)):
            parser.Parse(block)
            read += len(block)
            if read > _LONGEST_PROLOG_BYTES:
                refuse()
