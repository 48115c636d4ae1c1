"""Install the add-in for the current Windows user, and remove it again.

Excel opens and trusts all files in the folder XLSTART of the user's profile. Installing needs no registry entries, no
administrator rights and no files outside the profile.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from addin import settings
from core.errors import PlannerError
from workbook.files import UnwritableFileError, write_whole

ADDIN_NAME = "vram.xlam"


class NotOnWindowsError(PlannerError):
    """This command needs Windows, where Excel can load the add-in."""


@dataclass(frozen=True)
class Profile:
    """The paths in a Windows user's profile.

    Attributes:
        addin: the add-in in Excel's start-up folder.
        settings: the file in which the VBA looks for the interpreter.
        home: the folder of the profile.
        encoding: the code page in which VBA reads the settings.
    """

    addin: Path
    settings: Path
    home: Path
    encoding: str


def windows_profile(system: str = sys.platform, environment: Mapping[str, str] | None = None) -> Profile:
    """Return the profile of the current user.

    Args:
        system: an operating system as in `sys.platform`.
        environment: the environment variables; None: those of this process.

    Raises:
        NotOnWindowsError: this is another operating system; the message says what to do there.
        PlannerError: an environment variable with the profile's path is not set.
    """
    if system != "win32":
        raise NotOnWindowsError(
            "add-in",
            "only Excel on Windows can load it",
            "Run this command on Windows; on a Mac and in Excel on the web use xlwings Lite, in LibreOffice vram.oxt.",
        )
    environment = os.environ if environment is None else environment
    for name in ("APPDATA", "USERPROFILE"):
        if not environment.get(name):
            remedy = "Run the command in a terminal of the logged-in Windows user."
            raise PlannerError(name, "the environment variable is not set", remedy)
    home = Path(environment["USERPROFILE"])
    return Profile(
        addin=Path(environment["APPDATA"], "Microsoft", "Excel", "XLSTART", ADDIN_NAME),
        settings=home.joinpath(*settings.USER_SETTINGS),
        home=home,
        encoding="mbcs",
    )


def windowless(interpreter: Path) -> Path:
    """Return pythonw.exe, which opens no console window, if it is next to python.exe; otherwise `interpreter`."""
    candidate = interpreter.with_name("pythonw.exe")
    return candidate if candidate.is_file() else interpreter


def install(profile: Profile, addin: bytes | None, interpreter: Path) -> list[Path]:
    """Install the add-in, or update an installed add-in and its interpreter.

    Args:
        profile: the profile to install into.
        addin: the content of the add-in; None to write only which Python to start, which is enough for workbooks with
            the functions inside.
        interpreter: the Python with this package, which the add-in will start.

    Returns:
        The files written.

    Raises:
        UnwritableFileError: Excel has the add-in open, or the profile cannot be written.
    """
    path = settings.portable(str(interpreter), str(profile.home))
    content = settings.with_setting(_content(profile.settings), settings.INTERPRETER, path, profile.encoding)
    if addin is not None:
        _while_excel_is_closed(profile.addin, write_whole, profile.addin, addin)
    write_whole(profile.settings, content)
    return [profile.settings] if addin is None else [profile.addin, profile.settings]


def uninstall(profile: Profile) -> list[Path]:
    """Remove the add-in and its setting, and the settings file and its folder if nothing else is in them.

    Returns:
        The files removed or changed; an empty list if the add-in was not installed.
    """
    changed = []
    if profile.addin.exists():
        _while_excel_is_closed(profile.addin, profile.addin.unlink)
        changed.append(profile.addin)
    if installed_interpreter(profile) is not None:
        _remove_interpreter(profile)
        changed.append(profile.settings)
    return changed


def installed_interpreter(profile: Profile) -> str | None:
    """Return the interpreter in the user's settings, with %USERPROFILE% expanded; None if there is none."""
    path = settings.read_settings(_content(profile.settings), profile.encoding).get(settings.INTERPRETER)
    return path and path.replace("%USERPROFILE%", str(profile.home))


def _remove_interpreter(profile: Profile) -> None:
    rest = settings.with_setting(_content(profile.settings), settings.INTERPRETER, None, profile.encoding)
    if rest:
        write_whole(profile.settings, rest)
        return
    profile.settings.unlink()
    if not any(profile.settings.parent.iterdir()):
        profile.settings.parent.rmdir()


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _while_excel_is_closed(path: Path, action, *arguments) -> None:
    try:
        action(*arguments)
    except (PermissionError, UnwritableFileError) as error:
        if isinstance(error, PermissionError) or isinstance(error.__cause__, PermissionError):
            raise UnwritableFileError(str(path), "it is in use", "Close every Excel window and try again.") from error
        raise
