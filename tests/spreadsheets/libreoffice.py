"""Run LibreOffice: full recalculation, what-ifs over UNO, and conversion to PDF.

Every call uses a temporary profile, so the user's settings and a running LibreOffice do not matter, and test processes
may run in parallel. Results of ``recalculate`` have 15 significant digits, because they pass through a saved file:
compare at 1e-12 relative. ``WhatIf`` reads the cells themselves, in full precision.

Known differences from Excel: LAMBDA does not exist; an argument outside a function's domain, such as SQRT(-1), is
#VALUE! here and #NUM! in Excel; data validation is not applied to what-ifs. As in Excel, newer functions need their
``_xlfn.`` prefix in the file.
"""

from __future__ import annotations

import functools
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import uuid
import zipfile
from contextlib import ExitStack
from pathlib import Path

from tests.required import missing
from tests.spreadsheets import Case, ProgramError, Target, Values, WriteRefused, checked_writes
from tests.spreadsheets.stored import stored_results, stored_values
from workbook.office import OfficeError, convert, kill_process_group, possible_offices, run_with_timeout, start_process
from workbook.recalculation import quick_to_compute

OLDEST_USABLE_VERSION = (24, 8)
WHAT_IF_TIMEOUT_S = 120.0

# Without this setting LibreOffice uses the results stored in an .xlsx ("0" means: always recalculate).
_RECALCULATE_ON_LOAD = """<?xml version="1.0" encoding="UTF-8"?>
<oor:items xmlns:oor="http://openoffice.org/2001/registry">
<item oor:path="/org.openoffice.Office.Calc/Formula/Load">
<prop oor:name="OOXMLRecalcMode" oor:op="fuse"><value>0</value></prop></item>
</oor:items>
"""


# ---- finding the programs ----------------------------------------------------------------------------


def soffice() -> Path:
    """Return the LibreOffice executable; skip the test (in CI: fail it) if there is no recent one."""
    program, reason = _find_office()
    if program is None:
        missing("LibreOffice", reason)
    return program


@functools.cache
def _find_office() -> tuple[Path | None, str]:
    too_old = []
    for program in possible_offices():
        version = _office_version(program)
        if version >= OLDEST_USABLE_VERSION:
            return program, ""
        if version:
            too_old.append(f"{program} is {version[0]}.{version[1]}")
    needed = f"{OLDEST_USABLE_VERSION[0]}.{OLDEST_USABLE_VERSION[1]} or newer is needed"
    return None, f"{needed}; found: {', '.join(too_old) or 'none'}"


def _office_version(program: Path) -> tuple[int, ...]:
    """Return the major and minor version, or () if the program does not print them."""
    try:
        answer = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    numbers = re.search(r"LibreOffice (\d+)\.(\d+)", answer.stdout)
    return tuple(int(number) for number in numbers.groups()) if numbers else ()


def python_with_uno() -> Path:
    """Return an interpreter that can ``import uno``: this one, the system's, or LibreOffice's own."""
    interpreter = _find_python_with_uno(soffice())
    if interpreter is None:
        missing("LibreOffice", "no Python interpreter has its 'uno' module (Debian: python3-uno)")
    return interpreter


@functools.cache
def _find_python_with_uno(office: Path) -> Path | None:
    program_folder = office.resolve().parent
    candidates = [
        Path(sys.executable),
        Path("/usr/bin/python3"),
        program_folder / "python.exe",
        program_folder / "python",
        program_folder.parent / "Resources" / "python",
    ]
    for interpreter in candidates:
        if interpreter.is_file() and _can_import_uno(interpreter):
            return interpreter
    return None


def _can_import_uno(interpreter: Path) -> bool:
    try:
        attempt = subprocess.run(
            [interpreter, "-c", "import uno"],
            env=_foreign_python_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=60,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return attempt.returncode == 0


def _foreign_python_environment() -> dict[str, str]:
    """Return our environment without the variables that would make another interpreter load our packages."""
    ours = {"PYTHONPATH", "PYTHONHOME", "PYTHONSAFEPATH", "VIRTUAL_ENV"}
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    return {**kept, "PYTHONIOENCODING": "utf-8"}


# ---- whole files -------------------------------------------------------------------------------------


def recalculate(xlsx: Path, extension: Path | None = None, *, as_written: bool = False) -> Values:
    """Recalculate every formula of the file, with ``extension`` installed, and return every cell's value.

    A formula whose result is the empty text is reported as "".

    Args:
        as_written: whether LibreOffice reads the formulas as they are, or as `quick_to_compute` rewrites them.
    """
    with tempfile.TemporaryDirectory(prefix="vram-recalc-", ignore_cleanup_errors=True) as folder:
        read = xlsx if as_written else _quick_copy(xlsx, Path(folder))
        values = stored_values(_convert(read, "xlsx", Path(folder, "converted"), extension=extension))
    for sheet, address in stored_results(xlsx):
        # openpyxl reads the empty text as None, but a formula always has a result.
        values[sheet].setdefault(address, "")
    return values


def _quick_copy(xlsx: Path, folder: Path) -> Path:
    """Copy the workbook into a folder in a form that LibreOffice opens in less than half the time."""
    copy = Path(folder, Path(xlsx).name)
    try:
        copy.write_bytes(quick_to_compute(Path(xlsx).read_bytes()))
    except (OSError, zipfile.BadZipFile) as error:
        raise ProgramError(f"{xlsx} cannot be read: {error}") from error
    return copy


def saved(xlsx: Path, out_dir: Path) -> Path:
    """Recalculate the workbook, save it under the same name in ``out_dir``, and return its path."""
    return _convert(xlsx, "xlsx", out_dir)


def to_pdf(xlsx: Path, out_dir: Path) -> Path:
    """Print the recalculated workbook into a PDF in ``out_dir`` and return its path."""
    return _convert(xlsx, "pdf", out_dir)


def to_ods(xlsm: Path, out_dir: Path) -> Path:
    """Convert a workbook or add-in with macros to LibreOffice's own format, in which Basic libraries are zip parts."""
    # The filter is named because LibreOffice does not recognise an .xlam.
    return _convert(xlsm, "ods", out_dir, "--infilter=Calc MS Excel 2007 VBA XML")


def _convert(xlsx: Path, file_type: str, out_dir: Path, *more_options: str, extension: Path | None = None) -> Path:
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="vram-office-", ignore_cleanup_errors=True) as profile:
        options = *_write_profile(Path(profile), extension), *more_options
        try:
            return convert(soffice(), Path(xlsx), file_type, out_dir, *options)
        except OfficeError as error:
            raise ProgramError(str(error)) from error


def _write_profile(folder: Path, extension: Path | None = None) -> list[str]:
    """Write the recalculation setting and the extension into an empty profile and return soffice's options for it."""
    settings = folder / "user" / "registrymodifications.xcu"
    settings.parent.mkdir(parents=True)
    settings.write_text(_RECALCULATE_ON_LOAD, encoding="utf-8")
    url = folder.resolve().as_uri()
    # "Shared" extensions then belong to this profile only; when run by root, unopkg installs only shared ones.
    options = [f"-env:UserInstallation={url}", f"-env:UNO_SHARED_PACKAGES_CACHE={url}/extensions"]
    if extension is not None:
        _install(extension, options)
    return options


def _install(extension: Path, options: list[str]) -> None:
    # On Windows unopkg.com is the variant that waits for the end and prints.
    unopkg = soffice().resolve().with_name("unopkg.com" if os.name == "nt" else "unopkg")
    file = str(Path(extension).resolve())
    output = run_with_timeout([str(unopkg), "add", "--shared", "--force", "--suppress-license", *options, file])
    listed = run_with_timeout([str(unopkg), "list", "--shared", *options])
    if "is registered: yes" not in listed:
        raise ProgramError(f"LibreOffice did not install {extension.name}: {output.strip()}")


# ---- what-ifs ----------------------------------------------------------------------------------------


class WhatIf:
    """One workbook open in a headless LibreOffice: change inputs and read results.

    ``with WhatIf(path) as book: ...`` starts LibreOffice and a worker process (``uno_worker.py``), because the ``uno``
    module needs another interpreter than the tests. The workbook is opened as a copy. The end of the block always ends
    the processes and deletes the copy and the profile.
    """

    def __init__(self, xlsx: Path, timeout_s: float = WHAT_IF_TIMEOUT_S, extension: Path | None = None) -> None:
        self._xlsx = Path(xlsx)
        self._extension = extension
        self._timeout_s = timeout_s
        self._cleanup = ExitStack()

    def __enter__(self) -> WhatIf:
        try:
            self._open()
        except BaseException:
            self._cleanup.close()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._cleanup.close()

    def set(self, cells: Case) -> None:
        """Write input cells; WriteRefused when one is locked on a protected sheet.

        When one write fails, those before it stay.
        """
        self._ask("set", cells=checked_writes(cells))

    def get(self, cells: list[Target]) -> list:
        """Read cells, or single workbook-level names, after recalculation."""
        return self._ask("get", targets=cells)

    def named(self, names: list[str]) -> list:
        """Return the values of defined names; a name for several cells gives a list of rows."""
        return self._ask("get", targets=names)

    def run(self, cases: list[Case], outputs: list[Target]) -> list[list]:
        """Run many what-ifs in one round trip: for each case, write, recalculate, read the outputs.

        Each case starts from the state before the call, which is restored at the end.
        """
        return self._ask("run", cases=[checked_writes(case) for case in cases], targets=outputs)

    def functions(self, names: list[str]) -> list[dict]:
        """Return what the function wizard shows for each function: its "description" and "arguments"."""
        return self._ask("functions", names=names)

    def recalculation_s(self) -> float:
        """Recalculate every formula and return the seconds that it takes."""
        return self._ask("recalculate")

    @property
    def has_ended(self) -> bool:
        """Whether the worker process, and LibreOffice with it, has ended."""
        return self._worker.poll() is not None

    def _open(self) -> None:
        office, interpreter = soffice(), python_with_uno()
        self._answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        folder = Path(tempfile.mkdtemp(prefix="vram-what-if-"))
        self._cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
        copy = _quick_copy(self._xlsx, folder)
        self._log = folder / "worker.log"
        log = self._cleanup.enter_context(self._log.open("w", encoding="utf-8"))
        self._worker = start_process(
            [
                str(interpreter),
                str(Path(__file__).with_name("uno_worker.py")),
                str(office),
                f"vram-{uuid.uuid4().hex}",
                copy.as_uri(),
                *_write_profile(folder / "profile", self._extension),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=_foreign_python_environment(),
        )
        self._cleanup.callback(self._end_worker)
        threading.Thread(target=self._collect_answers, daemon=True).start()
        self._answer()  # the worker's first line says that the workbook is open

    def _collect_answers(self) -> None:
        # A thread, because waiting for a pipe with a timeout works differently on every system.
        for line in self._worker.stdout:
            self._answers.put(line)
        self._answers.put(None)

    def _ask(self, action: str, **arguments: object) -> list:
        try:
            self._worker.stdin.write(json.dumps({"action": action, **arguments}) + "\n")
            self._worker.stdin.flush()
        except (OSError, ValueError):
            raise ProgramError("LibreOffice's worker has ended") from None
        return self._answer()

    def _answer(self) -> list:
        try:
            line = self._answers.get(timeout=self._timeout_s)
        except queue.Empty:
            self._cleanup.close()
            raise ProgramError(f"LibreOffice gave no answer within {self._timeout_s:.0f} s") from None
        if line is None:
            raise ProgramError(f"LibreOffice's worker died: {self._log.read_text(encoding='utf-8')[-2000:]}")
        answer = json.loads(line)
        if "refused" in answer:
            raise WriteRefused(answer["refused"])
        if "error" in answer:
            raise ProgramError(answer["error"])
        return answer["result"]

    def _end_worker(self) -> None:
        try:
            # At the end of its input the worker closes LibreOffice; then any process still running is killed.
            self._worker.stdin.close()
            self._worker.wait(timeout=15)
        except (OSError, subprocess.TimeoutExpired):
            pass
        finally:
            kill_process_group(self._worker)
            self._worker.stdout.close()
