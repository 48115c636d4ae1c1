"""Read and write the user's file `.vram\\vram.conf`, in which the add-in's VBA finds the Python to start.

No sheet and no file next to a workbook has settings, because what is in a workbook must not choose a program. The file
has xlwings' format: a name and a value in quotes on each line.
"""

from __future__ import annotations

import re
from pathlib import PureWindowsPath

from core.errors import PlannerError

# The file's folder and name in the user's profile.
USER_SETTINGS = (".vram", "vram.conf")

INTERPRETER = "INTERPRETER_WIN"

_LINE = re.compile(r'^"(?P<name>[^"]*)","(?P<value>[^"]*)"$')


def portable(path: str, profile: str) -> str:
    """Replace the user's profile folder with %USERPROFILE%, which the VBA expands, to keep the user name private."""
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
