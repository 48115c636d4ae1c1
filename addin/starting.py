"""Start Python as Excel would, from a normal and from a hostile current folder."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from addin.server import OPTIONS

# What the server imports, and a cell: 70 billion parameters of 2 bytes are 140 GB.
_IMPORTS = "import os, sys; os.chdir(sys.prefix); import xlwings, vram_udf"
_WINDOWS_IMPORTS = "import pythoncom, win32api, xlwings.com_server"
_ANSWER = "print(vram_udf.VRAM_WEIGHTS(70))"
_EXPECTED = "140.0"

# Modules under these names in Excel's current folder must not be imported.
HOSTILE_MODULES = ("core", "vram_udf", "xlwings", "os", "site", "pywintypes", "win32api", "pythoncom")
_EXECUTED = "a module of the current folder was executed"
_LIMIT_S = 60


@dataclass(frozen=True)
class Start:
    """One start.

    Attributes:
        folder: what the current folder was like, "a normal folder" or "a hostile folder".
        problem: the last line that Python printed, or another reason; "" if it answered.
    """

    folder: str
    problem: str


def starts(interpreter: str) -> tuple[Start, ...]:
    """Start `interpreter` in both folders, with the options of the add-in."""
    with tempfile.TemporaryDirectory(prefix="vram-doctor-") as folder:
        normal, hostile = Path(folder, "normal"), Path(folder, "hostile")
        normal.mkdir()
        hostile.mkdir()
        for name in HOSTILE_MODULES:
            (hostile / f"{name}.py").write_text(f"raise SystemExit({_EXECUTED!r})\n", encoding="ascii")
        return (
            Start("a normal folder", _problem(interpreter, normal)),
            Start("a hostile folder", _problem(interpreter, hostile)),
        )


def _problem(interpreter: str, folder: Path) -> str:
    imports = [_IMPORTS, _WINDOWS_IMPORTS] if sys.platform == "win32" else [_IMPORTS]
    command = [_with_output(interpreter), *OPTIONS, "-c", "; ".join([*imports, _ANSWER])]
    # A hostile environment too, as Excel passes its own on.
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            errors="replace", timeout=_LIMIT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"no answer within {_LIMIT_S} s"
    except OSError as error:
        return error.strerror or str(error)
    if done.stdout.strip() == _EXPECTED:
        return ""
    lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
    return lines[-1] if lines else f"exit status {done.returncode} without a message"


def _with_output(interpreter: str) -> str:
    """Return python.exe, which can print, in place of the pythonw.exe next to it."""
    path = Path(interpreter)
    console = path.with_name("python.exe")
    return str(console) if path.name.lower() == "pythonw.exe" and console.is_file() else interpreter
