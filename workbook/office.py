"""LibreOffice, where it is installed: finding it, and having it convert a file."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

TIMEOUT_S = 180.0


class OfficeError(Exception):
    """LibreOffice did not do what was asked: its own words."""


def possible_offices() -> Iterator[Path]:
    """Every LibreOffice on the path or in a usual place, the likeliest first."""
    # soffice.com is the variant that waits and prints on Windows, so it comes first.
    on_path = (shutil.which(name) for name in ("soffice.com", "soffice", "libreoffice"))
    usual_places = [
        *(
            Path(os.environ[variable], "LibreOffice", "program", "soffice.com")
            for variable in ("PROGRAMFILES", "PROGRAMFILES(X86)")
            if variable in os.environ
        ),
        Path("/Applications/LibreOffice.app/Contents/MacOS/soffice"),
        Path("/usr/lib/libreoffice/program/soffice"),
        *sorted(Path("/opt").glob("libreoffice*/program/soffice"), reverse=True),
    ]
    for program in [*(Path(found) for found in on_path if found), *usual_places]:
        if program.is_file():
            yield program


def converted(office: Path, file: Path, file_type: str, folder: Path, *options: str) -> Path:
    """The file of type `file_type` that `office` makes of `file`, in `folder`.

    Args:
        options: further ones of its command line, such as the place of a profile.

    Raises:
        OfficeError: there is no such file afterwards, or it takes too long.
    """
    file, folder = file.resolve(), folder.resolve()
    command = [str(office), *options, "--headless", "--norestore", "--convert-to", file_type]
    output = run_to_end([*command, "--outdir", str(folder), str(file)])
    result = folder / f"{file.stem}.{file_type}"
    if not result.is_file():
        # soffice exits with 0 even when it could not read or write a file.
        raise OfficeError(f"LibreOffice did not convert {file.name} to {file_type}: {output.strip()}")
    return result


def started(command: list[str], **pipes) -> subprocess.Popen:
    """A process in a group of its own, so that its children can be ended with it."""
    return subprocess.Popen(
        command, text=True, encoding="utf-8", errors="replace", start_new_session=(os.name == "posix"), **pipes
    )


def end_with_children(process: subprocess.Popen) -> None:
    """Ends the process and its group; soffice is a script that starts the office as a grandchild."""
    if os.name == "posix":
        # A group that has ended already is reported as missing, or on macOS as forbidden.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    elif process.poll() is None:
        subprocess.run(["taskkill", "/T", "/F", "/PID", str(process.pid)], capture_output=True, check=False)
    process.wait(timeout=30)


def run_to_end(command: list[str]) -> str:
    """What `command` prints.

    Raises:
        OfficeError: it takes too long; it and its children are ended.
    """
    process = started(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        output, _ = process.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise OfficeError(f"LibreOffice took more than {TIMEOUT_S:.0f} s") from None
    finally:
        end_with_children(process)
    return output
