"""Find an installed LibreOffice and let it convert files."""

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
    """LibreOffice failed; the message holds its output."""


def possible_offices() -> Iterator[Path]:
    """Yield every LibreOffice on the path or in a usual place, the most likely first."""
    # soffice.com comes first: on Windows it is the variant that waits for the end and prints.
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


def convert(office: Path, file: Path, file_type: str, folder: Path, *options: str) -> Path:
    """Convert `file` to `file_type` with LibreOffice and return the path of the new file in `folder`.

    Args:
        file_type: the ending of the new file; after a colon, the filter that writes it and its options.
        options: more options of the command line, such as the path of a profile.

    Raises:
        OfficeError: LibreOffice wrote no such file, or took too long.
    """
    file, folder = file.resolve(), folder.resolve()
    command = [str(office), *options, "--headless", "--norestore", "--convert-to", file_type]
    output = run_with_timeout([*command, "--outdir", str(folder), str(file)])
    ending = file_type.partition(":")[0]
    result = folder / f"{file.stem}.{ending}"
    if not result.is_file():
        # soffice exits with 0 even when it could not read or write a file.
        raise OfficeError(f"LibreOffice did not convert {file.name} to {ending}: {output.strip()}")
    return result


def start_process(command: list[str], **pipes) -> subprocess.Popen:
    """Start a process in a new group, so that its children can be killed with it."""
    return subprocess.Popen(
        command, text=True, encoding="utf-8", errors="replace", start_new_session=(os.name == "posix"), **pipes
    )


def kill_process_group(process: subprocess.Popen) -> None:
    """Kill the process and its group; soffice is a script that starts the real program as a grandchild."""
    if os.name == "posix":
        # A group that has already ended is reported as missing, or on macOS as forbidden.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    elif process.poll() is None:
        subprocess.run(["taskkill", "/T", "/F", "/PID", str(process.pid)], capture_output=True, check=False)
    process.wait(timeout=30)


def run_with_timeout(command: list[str]) -> str:
    """Run `command` and return what it prints.

    Raises:
        OfficeError: it took more than `TIMEOUT_S`; it and its children are killed.
    """
    process = start_process(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        output, _ = process.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise OfficeError(f"LibreOffice took more than {TIMEOUT_S:.0f} s") from None
    finally:
        kill_process_group(process)
    return output
