"""Print an exported workbook to a PDF with LibreOffice."""

from __future__ import annotations

import tempfile
from pathlib import Path

from core.errors import PlannerError
from workbook.files import write_whole
from workbook.office import OfficeError, convert, possible_offices


class NoPdfError(PlannerError):
    """The PDF cannot be written."""


def office() -> Path:
    """Return the path of LibreOffice.

    Raises:
        NoPdfError: LibreOffice is not installed.
    """
    found = next(possible_offices(), None)
    if found is None:
        raise NoPdfError("pdf", "LibreOffice is not installed", "Install LibreOffice, or leave --pdf out.")
    return found


# Tags, which screen readers use, take six sevenths of a file, so that large ones go without.
MOST_TAGGED_PAGES = 20
_UNTAGGED = 'pdf:calc_pdf_Export:{"UseTaggedPDF":{"type":"boolean","value":"false"}}'


def write_pdf(xlsx: Path, *, tagged: bool = True) -> Path:
    """Print `xlsx` to a PDF of the same name in the same folder and return its path.

    Args:
        tagged: whether the PDF says what is a table and what a heading, for screen readers.

    Raises:
        NoPdfError: LibreOffice is not installed or did not print it.
        UnwritableFileError: the PDF cannot be written.
    """
    path = xlsx.with_suffix(".pdf")
    with tempfile.TemporaryDirectory(prefix="vram-pdf-", ignore_cleanup_errors=True) as folder:
        # A separate profile: LibreOffice converts nothing while the user has it open with the same profile.
        profile = f"-env:UserInstallation={Path(folder, 'profile').resolve().as_uri()}"
        try:
            printed = convert(office(), xlsx, "pdf" if tagged else _UNTAGGED, Path(folder), profile)
        except OfficeError as error:
            problem = str(error).partition("\n")[0]
            raise NoPdfError("pdf", problem, f"Open {xlsx} and print it from there.") from error
        write_whole(path, printed.read_bytes())
    return path
