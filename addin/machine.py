"""Collect facts about this machine for `vram doctor`."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from addin.policies import Obstacle, found_obstacles
from addin.starting import Start, starts

PACKAGE = "vram-planner"
_PACKAGES = (
    PACKAGE, "xlwings", "openpyxl", "ironcalc", "pyOpenVBA", *(("pywin32",) if sys.platform == "win32" else ()),
)  # fmt: skip

# LibreOffice's default location on Windows and macOS, where it is not on the PATH.
_LIBREOFFICE_PATHS = (
    r"C:\Program Files\LibreOffice\program\soffice.exe",
    "/Applications/LibreOffice.app/Contents/MacOS/soffice",
)

# Keys and values of the Windows registry that describe the installed Excel; see `_excel_bits`.
_CLICK_TO_RUN = (r"SOFTWARE\Microsoft\Office\ClickToRun\Configuration", "Platform")
_EXCEL_PATH = (r"SOFTWARE\Microsoft\Windows\CurrentVersion\App Paths\excel.exe", "")


@dataclass(frozen=True)
class Excel:
    """Excel and its add-in on this machine; Windows only.

    Attributes:
        bits: 32 or 64, or None if Excel was not found.
        addin_is_ours: whether the add-in in the start-up folder has the code of this version; None without one.
        addin_path: the path of the add-in.
        interpreter: the Python in the user's settings, or None.
        interpreter_found: whether that file exists.
        encoding: the code page of programs without Unicode support, such as xlwings' DLL.
        obstacles: the settings of this computer that block ways to the functions.
    """

    bits: int | None
    addin_is_ours: bool | None
    addin_path: str
    interpreter: str | None
    interpreter_found: bool
    encoding: str
    obstacles: tuple[Obstacle, ...] = ()


@dataclass(frozen=True)
class Machine:
    """The facts that the checks need.

    Attributes:
        python_version: "3.11.7".
        python_bits: 32 or 64.
        executable: the path of the running Python.
        prefix: the folder of its environment.
        base_prefix: the folder of the Python that created the environment.
        is_conda: whether it is a conda environment.
        dlls: the names of xlwings' DLLs in `prefix`.
        lost_files: the names of files that were installed with xlwings and are missing.
        installed: package → version, None if it is missing.
        required_xlwings: the versions of xlwings that this package requires; empty if the package is not installed.
        onedrive: the folders that OneDrive synchronises.
        libreoffice: the path of soffice, or None.
        starts: how Python starts as Excel would start it.
        excel: None on operating systems other than Windows.
    """

    python_version: str
    python_bits: int
    executable: str
    prefix: str
    base_prefix: str
    is_conda: bool
    dlls: tuple[str, ...]
    installed: dict[str, str | None]
    required_xlwings: tuple[str, ...]
    onedrive: tuple[str, ...]
    libreoffice: str | None
    starts: tuple[Start, ...]
    excel: Excel | None
    lost_files: tuple[str, ...] = ()


def this_machine() -> Machine:
    """Return the facts about this machine and the running Python."""
    prefix = Path(sys.prefix)
    excel = _excel() if sys.platform == "win32" else None
    return Machine(
        python_version=platform.python_version(),
        python_bits=8 * struct.calcsize("P"),
        executable=sys.executable,
        prefix=sys.prefix,
        base_prefix=sys.base_prefix,
        is_conda=(prefix / "conda-meta").is_dir() or Path(sys.base_prefix, "conda-meta").is_dir(),
        dlls=tuple(sorted(path.name for path in prefix.glob("xlwings*.dll"))),
        installed={name: _version(name) for name in _PACKAGES},
        required_xlwings=_pinned_versions("xlwings"),
        onedrive=tuple(filter(None, map(os.environ.get, ("OneDrive", "OneDriveConsumer", "OneDriveCommercial")))),
        libreoffice=shutil.which("soffice") or next(filter(os.path.isfile, _LIBREOFFICE_PATHS), None),
        starts=starts((excel and excel.interpreter) or sys.executable),
        excel=excel,
        lost_files=_lost_files("xlwings"),
    )


def _excel() -> Excel:
    from addin.build import has_our_code
    from addin.install import installed_interpreter, windows_profile

    profile = windows_profile()
    interpreter = installed_interpreter(profile)
    return Excel(
        bits=_excel_bits(_registry_value),
        addin_is_ours=has_our_code(profile.addin.read_bytes()) if profile.addin.exists() else None,
        addin_path=str(profile.addin),
        interpreter=interpreter,
        interpreter_found=interpreter is not None and Path(interpreter).is_file(),
        encoding=profile.encoding,
        obstacles=found_obstacles(_registry_value_of),
    )


def _excel_bits(registry: Callable[[str, str], str | None]) -> int | None:
    """Return whether Excel is a 32-bit or 64-bit program, from the registry under HKEY_LOCAL_MACHINE."""
    click_to_run = registry(*_CLICK_TO_RUN)
    if click_to_run:
        return {"x86": 32, "x64": 64}.get(click_to_run)
    path = registry(*_EXCEL_PATH)
    if path is None:
        return None
    return 32 if "(x86)" in path else 64


def _registry_value(key: str, name: str) -> str | None:
    found = _registry_value_of("HKLM", key, name)
    return found if isinstance(found, str) else None


def _registry_value_of(hive: str, key: str, name: str) -> object:
    if sys.platform == "win32":
        import winreg

        root = {"HKLM": winreg.HKEY_LOCAL_MACHINE, "HKCU": winreg.HKEY_CURRENT_USER}[hive]
        # On 64-bit Windows, Office's keys are in the 64-bit view, even those of a 32-bit Office.
        access = winreg.KEY_READ | winreg.KEY_WOW64_64KEY
        with suppress(OSError), winreg.OpenKey(root, key, access=access) as opened:
            return winreg.QueryValueEx(opened, name)[0]
    return None


def _lost_files(package: str) -> tuple[str, ...]:
    """Return the names of files in the package's record of its installation that do not exist."""
    try:
        recorded = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError:
        return ()
    return tuple(file.name for file in recorded if file.suffix != ".pyc" and not Path(str(file.locate())).exists())


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _pinned_versions(package: str) -> tuple[str, ...]:
    """Return the versions of `package` that the metadata of this package pin with `==`."""
    try:
        requirements = importlib.metadata.requires(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        return ()
    return tuple(match[1] for line in requirements if (match := re.match(rf"{package}==([\w.]+)", line)))
