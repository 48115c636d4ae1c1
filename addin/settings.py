"""The settings by which xlwings' VBA finds Python: which there are, and where they stand.

xlwings asks, in this order, a sheet named `vram.conf` of the file that holds the functions, then the user's file
`.vram\\vram.conf` (its function GetConfig; the file's format is that of its GetConfigFromFile).
"""

from __future__ import annotations

import re
from pathlib import PureWindowsPath

from core.errors import PlannerError

# In VBA the constant PROJECT_NAME, from which xlwings makes the names of the sheet and of the file.
PROJECT_NAME = "vram"
SETTINGS_SHEET = f"{PROJECT_NAME}.conf"
USER_SETTINGS = (f".{PROJECT_NAME}", f"{PROJECT_NAME}.conf")

INTERPRETER = "INTERPRETER_WIN"

_LINE = re.compile(r'^"(?P<name>[^"]*)","(?P<value>[^"]*)"$')


def sheet_rows(interpreter: str | None) -> list[tuple[str, str, str]]:
    """Name, value and meaning of each setting in the sheet.

    Args:
        interpreter: the path of python.exe; None leaves it to the user's file.
    """
    rows = [
        ("ADD_WORKBOOK_TO_PYTHONPATH", "false", "Python does not look for code beside the workbook, nor in OneDrive."),
        ("UDF MODULES", "vram_udf", "The Python module with the functions."),
    ]
    if interpreter:
        rows.insert(0, (INTERPRETER, interpreter, "The Python that computes the functions."))
    return rows


def portable(path: str, profile: str) -> str:
    """`path` with the user's profile folder as %USERPROFILE%, which xlwings puts back: no user name in a file."""
    inside, folder = PureWindowsPath(path), PureWindowsPath(profile)
    if profile and inside.is_relative_to(folder):
        return str(PureWindowsPath("%USERPROFILE%") / inside.relative_to(folder))
    return path


def read_settings(content: bytes, encoding: str) -> dict[str, str]:
    """Name → value of a settings file; lines that are none are left out."""
    lines = (_LINE.match(line.strip()) for line in content.decode(encoding, errors="replace").splitlines())
    return {line["name"].upper(): line["value"] for line in lines if line}


def with_setting(content: bytes, name: str, value: str | None, encoding: str) -> bytes:
    """A settings file with `name` set to `value`, or without it; everything else stays.

    Args:
        encoding: the code page in which VBA reads files ("mbcs" on Windows).

    Raises:
        PlannerError: `value` has characters that the code page lacks.
    """
    lines = content.decode(encoding).splitlines()
    kept = [line for line in lines if line.strip() and not _is(name, line)]
    if value is not None:
        kept.append(f'"{name}","{value}"')
    try:
        return "".join(f"{line}\r\n" for line in kept).encode(encoding)
    except UnicodeEncodeError as error:
        raise PlannerError(
            name,
            f"Excel cannot read the path {value}",
            "Make the virtual environment in a folder whose name has only letters of this Windows' own language.",
        ) from error


def _is(name: str, line: str) -> bool:
    found = _LINE.match(line.strip())
    return found is not None and found["name"].upper() == name.upper()
