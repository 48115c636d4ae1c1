"""Writing files whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from core.errors import PlannerError


class UnwritableFileError(PlannerError):
    """The file cannot be written."""


def write_whole(path: Path, content: bytes) -> None:
    """Writes `content` to `path`, so that at every moment the old file or the new one is there, whole.

    Raises:
        UnwritableFileError: the folder is missing or read-only, the disk is full, or the file is open in Excel.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, path)
        except BaseException:
            os.remove(temporary)
            raise
    except PermissionError as error:
        raise UnwritableFileError(
            str(path), "it cannot be written", "Close it if it is open in Excel, or write to another folder with -o."
        ) from error
    except OSError as error:
        raise UnwritableFileError(
            str(path), f"it cannot be written ({error.strerror})", "Write to another file with -o."
        ) from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
