"""Read and write the settings with which xlwings' VBA finds Python.

xlwings looks first in the sheet `vram.conf` of the file with the functions, then in the user's file `.vram\\vram.conf`
(its VBA function GetConfig; the file has the format of GetConfigFromFile).
"""

from __future__ import annotations

import re
from pathlib import PureWindowsPath

from core.errors import PlannerError

# The VBA constant PROJECT_NAME, from which xlwings derives the names of the sheet and the file.
PROJECT_NAME = "vram"
SETTINGS_SHEET = f"{PROJECT_NAME}.conf"
USER_SETTINGS = (f".{PROJECT_NAME}", f"{PROJECT_NAME}.conf")

INTERPRETER = "INTERPRETER_WIN"

_LINE = re.compile(r'^"(?P<name>[^"]*)","(?P<value>[^"]*)"$')


def sheet_rows(interpreter: str | None) -> list[tuple[str, str, str]]:
    """Return the name, value and description of each setting in the sheet.

    Args:
        interpreter: the path of python.exe; None: it is in the user's file.
    """
    rows = [
        ("ADD_WORKBOOK_TO_PYTHONPATH", "false", "Python does not search the workbook's folder or OneDrive for code."),
        ("UDF MODULES", "vram_udf", "The Python module with the functions."),
    ]
    if interpreter:
        rows.insert(0, (INTERPRETER, interpreter, "The Python that computes the functions."))
    return rows


def portable(path: str, profile: str) -> str:
    """Replace the user's profile folder with %USERPROFILE%, which xlwings expands, to keep the user name private."""
    inside, folder = PureWindowsPath(path), PureWindowsPath(profile)
    if profile and inside.is_relative_to(folder):
        return str(PureWindowsPath("%USERPROFILE%") / inside.relative_to(folder))
    return path


def read_settings(content: bytes, encoding: str) -> dict[str, str]:
    """Return name → value of a settings file, ignoring lines in other formats."""
    lines = (_LINE.match(line.strip()) for line in content.decode(encoding, errors="replace").splitlines())
    return {line["name"].upper(): line["value"] for line in lines if line}


def with_setting(content: bytes, name: str, value: str | None, encoding: str) -> bytes:
    """Return a settings file's `content` with `name` set to `value`, or removed if `value` is None.

    Args:
        encoding: the code page in which VBA reads files ("mbcs" on Windows).

    Raises:
        PlannerError: `value` has characters that are not in the code page.
    """
    lines = content.decode(encoding).splitlines()
    kept = [line for line in lines if line.strip() and not _sets(name, line)]
    if value is not None:
        kept.append(f'"{name}","{value}"')
    try:
        return "".join(f"{line}\r\n" for line in kept).encode(encoding)
    except UnicodeEncodeError as error:
        raise PlannerError(
            name,
            f"Excel cannot read the path {value}",
            "Create the virtual environment in a folder whose path has only characters of this Windows' code page.",
        ) from error


def _sets(name: str, line: str) -> bool:
    setting = _LINE.match(line.strip())
    return setting is not None and setting["name"].upper() == name.upper()
