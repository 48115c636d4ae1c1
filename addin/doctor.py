"""The checks of `vram doctor`: each takes facts about the machine and returns a finding."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PureWindowsPath

from addin.functions import declared_functions
from addin.machine import PACKAGE, Excel, Machine
from addin.server import NEW_CLASS, SERVED_CLASS, command_line

# In bytes. Excel crashes if it is longer: xlwings' DLL copies it into char cmdLine[2048] (src/xlwingsdll/config.cpp).
LONGEST_COMMAND_LINE = 2047


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    Attributes:
        ok: whether the check passed.
        text: what was found, a sentence without a full stop.
        remedy: what to do, a complete sentence; empty if `ok`.
        matters: whether a failed check is an error; otherwise it is optional.
    """

    ok: bool
    text: str
    remedy: str = ""
    matters: bool = True


def examine(machine: Machine) -> list[Finding]:
    """Run all checks for this operating system, in the order in which to fix problems."""
    general_checks = (packages, xlwings_version, functions_answer, starts_anywhere, workbook_calculation, libreoffice)
    findings = [check(machine) for check in general_checks]
    if machine.excel is not None:
        findings += [check(machine) for check in (store_python, conda, dll, synchronised_folder)]
        findings += [
            check(machine, machine.excel)
            for check in (excel_found, addin_in_place, interpreter, readable_path, command_line_length)
        ]
        findings += policies(machine.excel)
    return findings


def packages(machine: Machine) -> Finding:
    """Check that this package and its dependencies are installed in this Python."""
    where = f"Python {machine.python_version}, {machine.python_bits}-bit, {machine.executable}"
    missing = [name for name, version in machine.installed.items() if version is None]
    if missing:
        remedy = f"Install {PACKAGE} again with pip, which also installs them."
        return Finding(False, f"{where}: not installed: {', '.join(missing)}", remedy)
    return Finding(True, f"{where}: {', '.join(f'{name} {version}' for name, version in machine.installed.items())}")


def xlwings_version(machine: Machine) -> Finding:
    """Check that xlwings has the version that this package requires: the name of xlwings' DLL contains it."""
    found, required = machine.installed["xlwings"], machine.required_xlwings
    if not required or found in required:
        return Finding(True, f"xlwings {found} is the required version")
    text = f"xlwings is version {found}, but version {required[0]} is required"
    return Finding(False, text, f"Run: python -m pip install xlwings=={required[0]}")


def functions_answer(machine: Machine) -> Finding:
    """Check that the functions load and compute correctly."""
    import vram_udf

    answer = vram_udf.VRAM_WEIGHTS(70)
    text = f"{len(declared_functions())} cell functions load; VRAM_WEIGHTS(70) = {answer:g}"
    # 70 billion parameters of 2 bytes.
    return Finding(answer == 140, text, "" if answer == 140 else f"The result should be 140: reinstall {PACKAGE}.")


def starts_anywhere(machine: Machine) -> Finding:
    """Check that Python starts as Excel would start it, from a normal and from a hostile current folder."""
    failed = [start for start in machine.starts if start.problem]
    if failed:
        text = "; ".join(f"Python as Excel starts it fails in {start.folder}: {start.problem}" for start in failed)
        remedy = (
            f"Install {PACKAGE} in a virtual environment, not with pip's option --user, and run: vram addin install"
        )
        return Finding(False, text, remedy)
    return Finding(True, "Python answers as Excel starts it, also in a folder with hostile modules")


def policies(excel: Excel) -> list[Finding]:
    """List the settings of Windows and Office that block ways to the functions."""
    found = [Finding(False, obstacle.title, obstacle.remedy, matters=False) for obstacle in excel.obstacles]
    return found or [Finding(True, "no policy of Windows or Office blocks macros, add-ins or Python")]


def workbook_calculation(machine: Machine) -> Finding:
    """Check that IronCalc, which calculates the workbook's values, can be loaded."""
    try:
        import ironcalc  # noqa: F401
    except ImportError as error:
        return Finding(False, f"the workbook cannot be calculated: {error}", "Run: python -m pip install ironcalc")
    return Finding(True, "IronCalc, which calculates the workbook's values, can be loaded")


def libreoffice(machine: Machine) -> Finding:
    """Check for LibreOffice, which opens the workbook without Excel."""
    if machine.libreoffice:
        return Finding(True, f"LibreOffice is at {machine.libreoffice}")
    remedy = "Install it to open the workbook without Excel, or to run the tests."
    return Finding(False, "LibreOffice was not found", remedy, matters=False)


def store_python(machine: Machine) -> Finding:
    """Check that Python is not from the Microsoft Store: other programs cannot load DLLs from its folders."""
    if any(sign in machine.base_prefix for sign in ("WindowsApps", "PythonSoftwareFoundation")):
        return Finding(
            False,
            f"this Python comes from the Microsoft Store ({machine.base_prefix}): Excel cannot load a DLL from there",
            "Install Python from python.org and create the virtual environment with it.",
        )
    return Finding(True, "Python is not from the Microsoft Store")


def conda(machine: Machine) -> Finding:
    """Check that this is not a conda environment, where pywin32 finds its DLLs only after activation."""
    if machine.is_conda:
        return Finding(
            False,
            f"{machine.prefix} is a conda environment, which the add-in does not activate",
            f"Create a virtual environment with Python from python.org, install {PACKAGE} in it, and run there: "
            "vram addin install",
        )
    return Finding(True, "Python is not a conda environment")


def dll(machine: Machine) -> Finding:
    """Check that Python's folder has xlwings' DLL for Excel's bitness, in the version of xlwings.

    Python's own bitness may differ: it is a separate process (xlwings issue 766), and the wheel contains both DLLs.
    """
    bits = (machine.excel.bits if machine.excel else None) or machine.python_bits
    required = f"xlwings{bits}-{machine.installed['xlwings']}.dll"
    if required in machine.dlls:
        text = f"{required} for {bits}-bit Excel is in {machine.prefix}; Python itself is {machine.python_bits}-bit"
        return Finding(True, text)
    reinstall = f"python -m pip install --force-reinstall --no-deps xlwings=={machine.installed['xlwings']}"
    if required in machine.lost_files:
        return Finding(
            False,
            f"{required} was installed in {machine.prefix} and is gone; a virus scanner has probably quarantined it",
            f"Have it restored and excluded (docs/corporate.md has its hash), or run: {reinstall}",
        )
    others = f", which has only {', '.join(machine.dlls)}" if machine.dlls else ""
    return Finding(False, f"{required} for {bits}-bit Excel is not in {machine.prefix}{others}", f"Run: {reinstall}")


def synchronised_folder(machine: Machine) -> Finding:
    """Check that Python is not in a OneDrive folder, whose files may exist only in the cloud."""
    for folder in machine.onedrive:
        if _inside(machine.prefix, folder):
            return Finding(
                False,
                f"Python is in OneDrive ({machine.prefix})",
                "Create the virtual environment in another folder, for example in %LOCALAPPDATA%.",
            )
    return Finding(True, "Python is not in a OneDrive folder")


def excel_found(machine: Machine, excel: Excel) -> Finding:
    """Check that Excel is installed."""
    if excel.bits is None:
        return Finding(False, "Excel was not found", "Install Excel for the desktop.", matters=False)
    return Finding(True, f"Excel is installed, {excel.bits}-bit")


def addin_in_place(machine: Machine, excel: Excel) -> Finding:
    """Check that Excel's start-up folder has the add-in with the code that this version builds, signed or not."""
    if excel.addin_is_ours is None:
        return Finding(False, f"the add-in is not at {excel.addin_path}", "Run: vram addin install")
    if not excel.addin_is_ours:
        return Finding(False, f"{excel.addin_path} is from another version", "Close Excel and run: vram addin install")
    return Finding(True, f"the add-in is at {excel.addin_path}")


def interpreter(machine: Machine, excel: Excel) -> Finding:
    """Check that the add-in starts this Python."""
    if excel.interpreter is None:
        return Finding(False, "the add-in does not know which Python to start", "Run: vram addin install")
    if not excel.interpreter_found:
        return Finding(False, f"the add-in starts {excel.interpreter}, which is missing", "Run: vram addin install")
    if not _inside(excel.interpreter, machine.prefix):
        remedy = "To use this one instead, run: vram addin install"
        return Finding(False, f"the add-in starts another Python, {excel.interpreter}", remedy, matters=False)
    return Finding(True, f"the add-in starts {excel.interpreter}")


def readable_path(machine: Machine, excel: Excel) -> Finding:
    """Check that xlwings' DLL, which does not support Unicode, can read the interpreter's path."""
    path = excel.interpreter or machine.executable
    try:
        path.encode(excel.encoding)
    except UnicodeEncodeError:
        return Finding(
            False,
            f"the path {path} has characters that are not in the code page of this Windows",
            "Create the virtual environment in a folder whose path has only characters of that code page.",
        )
    return Finding(True, "the interpreter's path has only characters of this Windows' code page")


def command_line_length(machine: Machine, excel: Excel) -> Finding:
    """Check that the command line that starts Python is short enough for Excel not to crash."""
    line = command_line(excel.interpreter or machine.executable).replace(NEW_CLASS, SERVED_CLASS)
    length = len(line.encode(excel.encoding, errors="replace"))
    text = f"the command line that starts Python has {length} bytes, {LONGEST_COMMAND_LINE} are allowed"
    if length > LONGEST_COMMAND_LINE:
        return Finding(False, text, "Create the virtual environment in a folder with a shorter path.")
    return Finding(True, text)


def _inside(path: str, folder: str) -> bool:
    """Return whether a Windows path is in a folder, ignoring letter case and the kind of slash."""
    return PureWindowsPath(path).is_relative_to(PureWindowsPath(folder))
