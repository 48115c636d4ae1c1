"""Puts the add-in where Excel of this Windows user loads it at every start, and takes it away again.

The folder is XLSTART of the user's profile: Excel opens what lies there, and trusts it without asking. No registry, no
administrator's rights, nothing outside the profile.
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
    """Excel loads this add-in on Windows only."""


@dataclass(frozen=True)
class Profile:
    """The places in a Windows user's profile.

    Attributes:
        addin: the add-in in Excel's start-up folder.
        settings: the file in which xlwings looks for the interpreter.
        home: the profile's folder.
        encoding: the code page in which VBA reads the settings.
    """

    addin: Path
    settings: Path
    home: Path
    encoding: str


def windows_profile(system: str = sys.platform, environment: Mapping[str, str] | None = None) -> Profile:
    """The profile of the user of this machine.

    Args:
        system: as `sys.platform` names it.
        environment: the environment variables, if not this process's own.

    Raises:
        NotOnWindowsError: this is another system; the message says what to do there.
        PlannerError: Windows does not say where the profile is.
    """
    if system != "win32":
        raise NotOnWindowsError(
            "add-in",
            "only Excel on Windows can load it",
            "Run this command there; on a Mac and in Excel on the web use xlwings Lite, in LibreOffice its own add-in.",
        )
    environment = os.environ if environment is None else environment
    for name in ("APPDATA", "USERPROFILE"):
        if not environment.get(name):
            remedy = "Run the command in a window of your own user."
            raise PlannerError(name, "the environment variable is not set", remedy)
    home = Path(environment["USERPROFILE"])
    return Profile(
        addin=Path(environment["APPDATA"], "Microsoft", "Excel", "XLSTART", ADDIN_NAME),
        settings=home.joinpath(*settings.USER_SETTINGS),
        home=home,
        encoding="mbcs",
    )


def windowless(interpreter: Path) -> Path:
    """pythonw.exe beside python.exe, if there is one: it opens no console window."""
    candidate = interpreter.with_name("pythonw.exe")
    return candidate if candidate.is_file() else interpreter


def install(profile: Profile, addin: bytes, interpreter: Path) -> list[Path]:
    """Installs the add-in; a second time, it brings add-in and interpreter up to date.

    Args:
        profile: where to.
        addin: the file's content.
        interpreter: the Python that has this package, as the add-in shall start it.

    Returns:
        The files written.

    Raises:
        UnwritableFileError: Excel has the add-in open, or the profile cannot be written.
    """
    path = settings.portable(str(interpreter), str(profile.home))
    content = settings.with_setting(_content(profile.settings), settings.INTERPRETER, path, profile.encoding)
    _while_excel_is_closed(profile.addin, write_whole, profile.addin, addin)
    write_whole(profile.settings, content)
    return [profile.addin, profile.settings]


def uninstall(profile: Profile) -> list[Path]:
    """Removes the add-in and its setting, and the settings' file and folder if nothing else is in them.

    Returns:
        The files removed or changed; none if there was nothing.
    """
    done = []
    if profile.addin.exists():
        _while_excel_is_closed(profile.addin, profile.addin.unlink)
        done.append(profile.addin)
    if installed_interpreter(profile) is not None:
        _forget_interpreter(profile)
        done.append(profile.settings)
    return done


def installed_interpreter(profile: Profile) -> str | None:
    """The interpreter that the user's settings name, %USERPROFILE% put in; None if there is none."""
    path = settings.read_settings(_content(profile.settings), profile.encoding).get(settings.INTERPRETER)
    return path and path.replace("%USERPROFILE%", str(profile.home))


def _forget_interpreter(profile: Profile) -> None:
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
