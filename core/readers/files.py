"""Open untrusted files safely: bounded memory, no waiting on pipes, and one clear error sentence for a bad file."""

from __future__ import annotations

import json
import os
import stat
from collections import Counter
from typing import BinaryIO, NoReturn

from core.errors import PlannerError

# How the placeholder of a large file that Git LFS has not downloaded begins (git-lfs docs/spec.md).
LFS_POINTER_START = b"version https://git-lfs.github.com/spec/"

NO_FILE = "it is not a regular file"


class UnreadableFileError(PlannerError):
    """The file is missing, damaged, or not of the expected kind.

    Args:
        path: the file.
        kind: the expected kind ("a safetensors file").
        problem: what is wrong with it.
        remedy: what to do, a whole sentence.
    """

    def __init__(self, path: str, kind: str, problem: str, remedy: str) -> None:
        super().__init__(path, f"it cannot be read as {kind}: {problem}", remedy)


class SourceFile:
    """A file opened for reading, which raises errors that name it.

    Args:
        path: the file.
        kind, remedy: see `UnreadableFileError`.
        error: the class of the errors to raise.

    Raises:
        UnreadableFileError: the file does not exist, is not a regular file (a pipe could block), or is not readable.
    """

    def __init__(
        self, path: str, *, kind: str, remedy: str, error: type[UnreadableFileError] = UnreadableFileError
    ) -> None:
        self.path, self._kind, self._remedy, self._error = path, kind, remedy, error
        self._stream = self._open()
        self.size_bytes = os.fstat(self._stream.fileno()).st_size

    def _open(self) -> BinaryIO:
        problem = NO_FILE
        try:
            if stat.S_ISREG(os.stat(self.path).st_mode):
                return open(self.path, "rb")
        except OSError as error:
            problem = error.strerror or str(error)
        except ValueError:  # a NUL in the path
            problem = "this is not a valid file name"
        return self.fail(problem)

    def __enter__(self) -> SourceFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def read(self, count: int) -> bytes:
        """Return the next `count` bytes.

        Raises:
            UnreadableFileError: the file ends earlier, or cannot be read.
        """
        try:
            data = self._stream.read(count)
        except OSError as problem:
            self.fail(problem.strerror or str(problem))
        if len(data) < count:
            self.fail("it is cut short")
        return data

    def read_whole(self, largest_bytes: int) -> bytes:
        """Return all bytes of the file.

        Raises:
            UnreadableFileError: it has more than `largest_bytes` bytes, or cannot be read.
        """
        if self.size_bytes > largest_bytes:
            self.fail(f"it is larger than {largest_bytes // 2**20} MiB")
        return self.read(self.size_bytes)

    def seek(self, offset: int) -> None:
        """Move to `offset` bytes from the start of the file."""
        self._stream.seek(offset)

    def fail(self, problem: str) -> NoReturn:
        """Raise the error that states `problem` of this file."""
        raise self._error(self.path, self._kind, problem, self._remedy) from None

    def refuse_lfs_pointer(self, start: bytes) -> None:
        """Raise if `start`, the beginning of the file, shows that it is only a Git LFS placeholder."""
        if start and LFS_POINTER_START.startswith(start[: len(LFS_POINTER_START)]):
            raise self._error(
                self.path,
                self._kind,
                "it is a Git LFS pointer, not the file itself",
                'Run "git lfs pull" in its folder.',
            )

    def json_object(self, data: bytes) -> dict[str, object]:
        """Return the JSON object in `data`, which was read from this file.

        Raises:
            UnreadableFileError: `data` is not UTF-8, not a JSON object, nested too deeply, or has a field twice.
        """
        value = self.json_value(data)
        if not isinstance(value, dict):
            self.fail("it is not a JSON object")
        return value

    def json_value(self, data: bytes) -> object:
        """Return the JSON value in `data`, which was read from this file.

        Raises:
            UnreadableFileError: `data` is not UTF-8, not JSON, nested too deeply, or has a field twice.
        """
        try:
            # Python also reads NaN and Infinity, which it writes too: published configs have time_step_limit [0.0,
            # Infinity]. A field that is needed refuses them by its name.
            return json.loads(data.decode("utf-8-sig"), object_pairs_hook=_without_duplicates)
        except UnicodeDecodeError:
            self.fail("it is not UTF-8 text")
        except RecursionError:
            self.fail("it is nested too deeply")
        except json.JSONDecodeError as error:
            self.fail(f"it is not JSON (line {error.lineno}: {error.msg})")
        except ValueError as error:
            self.fail(str(error))


def read_json_object(
    path: str, *, kind: str, remedy: str, largest_bytes: int, error: type[UnreadableFileError] = UnreadableFileError
) -> dict[str, object]:
    """Return the JSON object in the file at `path`.

    Raises:
        UnreadableFileError: the file cannot be read, has more than `largest_bytes` bytes, or holds no JSON object.
    """
    with SourceFile(path, kind=kind, remedy=remedy, error=error) as file:
        data = file.read_whole(largest_bytes)
        file.refuse_lfs_pointer(data)
        return file.json_object(data)


def read_json_value(path: str, *, kind: str, remedy: str, largest_bytes: int) -> object:
    """Return the JSON value, of any type, in the file at `path`.

    Raises:
        UnreadableFileError: the file cannot be read, has more than `largest_bytes` bytes, or holds no JSON.
    """
    with SourceFile(path, kind=kind, remedy=remedy) as file:
        return file.json_value(file.read_whole(largest_bytes))


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        (repeated, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"it has the field {repeated[:60]!r} twice")
    return fields
