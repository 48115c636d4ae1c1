"""Write files atomically: after a failure the old file is still complete."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from core.errors import PlannerError

_PREFIX = 32  # characters of the file's name used in the temporary file's name, which must stay below 255 bytes


class UnwritableFileError(PlannerError):
    """The file cannot be written."""


class UnreadableFileError(PlannerError):
    """The file is missing, of another kind, damaged, or unsafe to read."""


def write_whole(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically: readers see the complete old file or the complete new one.

    Raises:
        UnwritableFileError: the folder is missing or read-only, the disk is full, or the file is open in Excel.
    """
    with written_whole(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a temporary file for the block to write; afterwards it replaces `path`.

    Use it for content too large for memory. If the block raises, `path` keeps its old content and the temporary file
    is deleted. The new file has the permissions of the old one.

    Raises:
        UnwritableFileError: as for `write_whole`, also for an OSError raised in the block.
    """
    if path.is_symlink():
        path = Path(os.path.realpath(path))  # replace the target and keep the link
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:_PREFIX]}.", suffix=".part")
        os.close(handle)
        try:
            yield Path(name)
            with open(name, "rb+") as file:
                os.fsync(file.fileno())
            os.chmod(name, stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o666 & ~_umask())
            os.replace(name, path)
        except BaseException:
            os.remove(name)
            raise
    except PermissionError as error:
        raise UnwritableFileError(
            str(path), "it cannot be written", "Close it if it is open in Excel, or write to another folder with -o."
        ) from error
    except OSError as error:
        raise UnwritableFileError(
            str(path), f"it cannot be written ({error.strerror})", "Write to another file with -o."
        ) from error


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold an exclusive lock on `folder` while one of its files is read, changed and rewritten.

    Creates the folder if it is missing. The lock ends with the process. On Windows there is no lock: the last writer
    wins.

    Raises:
        OSError: the folder cannot be created or opened.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems have no locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
