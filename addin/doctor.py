"""The checks of `vram doctor`: facts of the machine in, one sentence out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PureWindowsPath

from addin.functions import declared_functions
from addin.machine import PACKAGE, Excel, Machine

# Bytes; longer, and Excel ends: xlwings' DLL copies the line into char cmdLine[2048] (src/xlwingsdll/config.cpp).
LONGEST_COMMAND_LINE = 2047

# The DLL puts in a new GUID for $(CLSID), such as this one.
_A_CLSID = "{506e67c3-55b5-48c3-a035-eed5deea7d6d}"


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    Attributes:
        ok: whether all is well.
        text: what was found, a sentence without its full stop.
        remedy: what to do, a whole sentence; empty if `ok`.
        matters: whether the product is hampered if not `ok`.
    """

    ok: bool
    text: str
    remedy: str = ""
    matters: bool = True


def examine(machine: Machine) -> list[Finding]:
    """Every check that this machine's system has use for, in the order in which to mend things."""
    findings = [check(machine) for check in (packages, xlwings_version, functions_answer, workbook_engine, libreoffice)]
    if machine.excel is not None:
        findings += [check(machine) for check in (store_python, conda, dll, synchronised_folder)]
        findings += [
            check(machine, machine.excel)
            for check in (excel_found, addin_in_place, interpreter, readable_path, command_line_length)
        ]
    return findings


def packages(machine: Machine) -> Finding:
    """This package and its libraries are installed in this Python."""
    where = f"Python {machine.python_version}, {machine.python_bits}-bit, {machine.executable}"
    missing = [name for name, version in machine.installed.items() if version is None]
    if missing:
        remedy = f"Install {PACKAGE} again with pip, which brings them along."
        return Finding(False, f"{where}: not installed: {', '.join(missing)}", remedy)
    return Finding(True, f"{where}: {', '.join(f'{name} {version}' for name, version in machine.installed.items())}")


def xlwings_version(machine: Machine) -> Finding:
    """Xlwings has the version that this package was built for: the name of its DLL carries it."""
    found = machine.installed["xlwings"]
    if not machine.wanted_xlwings or found in machine.wanted_xlwings:
        return Finding(True, f"xlwings {found} is the version wanted")
    wanted = machine.wanted_xlwings[0]
    return Finding(False, f"xlwings is {found}, wanted is {wanted}", f"Run: python -m pip install xlwings=={wanted}")


def functions_answer(machine: Machine) -> Finding:
    """The functions can be loaded and compute."""
    import vram_udf

    answer = vram_udf.VRAM_WEIGHTS(70)
    text = f"{len(declared_functions())} cell functions load; VRAM_WEIGHTS(70) = {answer:g}"
    # 70 billion parameters of 2 bytes.
    return Finding(answer == 140, text, "" if answer == 140 else f"It should be 140: reinstall {PACKAGE}.")


def workbook_engine(machine: Machine) -> Finding:
    """IronCalc, which computes the workbook's values, can be loaded."""
    try:
        import ironcalc  # noqa: F401
    except ImportError as error:
        return Finding(False, f"the workbook cannot be computed: {error}", "Run: python -m pip install ironcalc")
    return Finding(True, "IronCalc, which computes the workbook's values, can be loaded")


def libreoffice(machine: Machine) -> Finding:
    """LibreOffice, for opening the workbook where there is no Excel."""
    if machine.libreoffice:
        return Finding(True, f"LibreOffice is at {machine.libreoffice}")
    remedy = "Install it to open the workbook without Excel, or to run the tests."
    return Finding(False, "LibreOffice was not found", remedy, matters=False)


def store_python(machine: Machine) -> Finding:
    """Not the Python of the Microsoft Store, whose folders other programs cannot load a DLL from."""
    if any(sign in machine.base_prefix for sign in ("WindowsApps", "PythonSoftwareFoundation")):
        return Finding(
            False,
            f"this Python comes from the Microsoft Store ({machine.base_prefix}): Excel cannot load a DLL from there",
            "Install Python from python.org and make the virtual environment with it.",
        )
    return Finding(True, "Python is not from the Microsoft Store")


def conda(machine: Machine) -> Finding:
    """Not a conda environment, which needs to be activated before pywin32 finds its DLLs."""
    if machine.is_conda:
        return Finding(
            False,
            f"{machine.prefix} is a conda environment, which the add-in does not activate",
            f"Make a virtual environment with Python from python.org, install {PACKAGE} there: vram addin install",
        )
    return Finding(True, "Python is not a conda environment")


def dll(machine: Machine) -> Finding:
    """Xlwings' DLL for Excel's bitness lies beside Python, in xlwings' own version.

    Python may differ from Excel: it runs as a process of its own (xlwings issue 766), and the wheel brings both DLLs.
    """
    bits = (machine.excel.bits if machine.excel else None) or machine.python_bits
    wanted = f"xlwings{bits}-{machine.installed['xlwings']}.dll"
    if wanted in machine.dlls:
        text = f"{wanted} for {bits}-bit Excel is in {machine.prefix}; Python itself is {machine.python_bits}-bit"
        return Finding(True, text)
    there = f"only {', '.join(machine.dlls)}" if machine.dlls else "no other version either"
    return Finding(
        False,
        f"{wanted} for {bits}-bit Excel is not in {machine.prefix}, {there}",
        "Run: python -m pip install --force-reinstall --no-deps xlwings=="
        f"{machine.installed['xlwings']} (a virus scanner may have removed the file)",
    )


def synchronised_folder(machine: Machine) -> Finding:
    """Python is not in a OneDrive folder, where files may be in the cloud only."""
    for folder in machine.onedrive:
        if _inside(machine.prefix, folder):
            return Finding(
                False,
                f"Python is in OneDrive ({machine.prefix})",
                "Make the virtual environment outside it, for example in %LOCALAPPDATA%.",
            )
    return Finding(True, "Python is not in a OneDrive folder")


def excel_found(machine: Machine, excel: Excel) -> Finding:
    """Excel is installed."""
    if excel.bits is None:
        return Finding(False, "Excel was not found", "Install Excel for the desktop.", matters=False)
    return Finding(True, f"Excel is installed, {excel.bits}-bit")


def addin_in_place(machine: Machine, excel: Excel) -> Finding:
    """The add-in is in Excel's start-up folder, as this version builds it."""
    if excel.addin is None:
        return Finding(False, f"the add-in is not at {excel.addin_path}", "Run: vram addin install")
    if excel.addin != excel.expected_addin:
        return Finding(False, f"{excel.addin_path} is from another version", "Close Excel and run: vram addin install")
    return Finding(True, f"the add-in is at {excel.addin_path}")


def interpreter(machine: Machine, excel: Excel) -> Finding:
    """The add-in starts this Python."""
    if excel.interpreter is None:
        return Finding(False, "the add-in does not know which Python to start", "Run: vram addin install")
    if not excel.interpreter_found:
        return Finding(False, f"the add-in starts {excel.interpreter}, which is not there", "Run: vram addin install")
    if not _inside(excel.interpreter, machine.prefix):
        remedy = "Run `vram addin install` if it shall be this one."
        return Finding(False, f"the add-in starts another Python, {excel.interpreter}", remedy, matters=False)
    return Finding(True, f"the add-in starts {excel.interpreter}")


def readable_path(machine: Machine, excel: Excel) -> Finding:
    """Xlwings' DLL, which knows no Unicode, can read the interpreter's path."""
    path = excel.interpreter or machine.executable
    try:
        path.encode(excel.encoding)
    except UnicodeEncodeError:
        return Finding(
            False,
            f"the path {path} has characters that are not in this Windows' code page",
            "Make the virtual environment in another folder.",
        )
    return Finding(True, "the interpreter's path can be read in this Windows' code page")


def command_line_length(machine: Machine, excel: Excel) -> Finding:
    """The command line that starts Python is not so long that Excel crashes."""
    line = command_line(excel.interpreter or machine.executable, excel.addin_path).replace("$(CLSID)", _A_CLSID)
    length = len(line.encode(excel.encoding, errors="replace"))
    text = f"the command line that starts Python has {length} of {LONGEST_COMMAND_LINE} characters"
    if length > LONGEST_COMMAND_LINE:
        return Finding(False, text, "Make the virtual environment in a folder with a shorter path.")
    return Finding(True, text)


def command_line(interpreter: str, addin: str) -> str:
    """What the add-in starts: the function XLPyCommand of xlwings' VBA, with our settings."""
    escaped = addin.replace("\\", "\\\\").replace("'", "\\'").replace("&", "^&")
    path = f"false;{escaped};{escaped};;;;"
    return (
        f'cmd.exe  /K ""{interpreter}" -B -c "import sys, os;import xlwings.utils;'
        f'xlwings.utils.prepare_sys_path(\\"{path}\\");import xlwings; xlwings.serve(\'$(CLSID)\')""'
    )


def _inside(path: str, folder: str) -> bool:
    """Whether a Windows path is in a folder; letter case and the kind of slash do not count."""
    return PureWindowsPath(path).is_relative_to(PureWindowsPath(folder))
