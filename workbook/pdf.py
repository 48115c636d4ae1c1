"""A PDF of an exported workbook, printed by LibreOffice."""

from __future__ import annotations

import tempfile
from pathlib import Path

from core.errors import PlannerError
from workbook.files import write_whole
from workbook.office import OfficeError, converted, possible_offices


class NoPdfError(PlannerError):
    """No PDF can be made."""


def office() -> Path:
    """The LibreOffice that prints.

    Raises:
        NoPdfError: none is installed.
    """
    found = next(possible_offices(), None)
    if found is None:
        raise NoPdfError(
            "pdf", "LibreOffice, which would print it, is not installed", "Install it, or leave --pdf out."
        )
    return found


def write_pdf(xlsx: Path) -> Path:
    """Prints `xlsx` into a PDF of the same name beside it, and gives its path.

    Raises:
        NoPdfError: LibreOffice is not installed or did not print it.
        UnwritableFileError: the PDF cannot be written.
    """
    path = xlsx.with_suffix(".pdf")
    with tempfile.TemporaryDirectory(prefix="vram-pdf-", ignore_cleanup_errors=True) as folder:
        # A profile of its own: LibreOffice converts nothing while the user has it open with the same one.
        profile = f"-env:UserInstallation={Path(folder, 'profile').resolve().as_uri()}"
        try:
            printed = converted(office(), xlsx, "pdf", Path(folder), profile)
        except OfficeError as error:
            raise NoPdfError("pdf", str(error).partition("\n")[0], f"Open {xlsx} and print it.") from error
        write_whole(path, printed.read_bytes())
    return path
