"""Writing files whole or not at all."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from core.errors import PlannerError

_PREFIX = 32  # characters of the file's name in that of its temporary file, which has to stay below 255 bytes


class UnwritableFileError(PlannerError):
    """The file cannot be written."""


class UnreadableFileError(PlannerError):
    """The file is not there, is of another kind, is damaged, or is not safe to read."""


def write_whole(path: Path, content: bytes) -> None:
    """Writes `content` to `path`, so that at every moment the old file or the new one is there, whole.

    Raises:
        UnwritableFileError: the folder is missing or read-only, the disk is full, or the file is open in Excel.
    """
    with written_whole(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """For content too large to hold: the block writes to the file that it is given, which then takes `path`'s place.

    If the block raises, the old file stays, and nothing else. Whoever might read the old one may read the new one.

    Raises:
        UnwritableFileError: as `write_whole`, also for an OSError of the block.
    """
    if path.is_symlink():
        path = Path(os.path.realpath(path))  # the link stays
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
    """Keeps other processes that ask for the same out of `folder`: to read a file, change it, and write it whole.

    The folder is made if need be. Nothing is left behind, also if the process is killed. Windows knows no such lock:
    there the last one wins.

    Raises:
        OSError: the folder cannot be made or opened.
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
