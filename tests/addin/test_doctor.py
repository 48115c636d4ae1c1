"""Test each check of `vram doctor`, with facts that pass and facts that fail."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from addin import doctor, machine, server
from addin.doctor import Finding, examine
from addin.machine import Excel, Machine, this_machine
from addin.policies import OBSTACLES, WAYS, found_obstacles, table_rows, ways_left
from addin.starting import HOSTILE_MODULES, Start, starts
from tests.paths import ROOT
from vram.cli import addin as cli

WINDOWS = Machine(
    python_version="3.11.7",
    python_bits=64,
    executable=r"C:\Users\Ann\venv\Scripts\python.exe",
    prefix=r"C:\Users\Ann\venv",
    base_prefix=r"C:\Users\Ann\AppData\Local\Programs\Python\Python311",
    is_conda=False,
    dlls=("xlwings32-0.37.8.dll", "xlwings64-0.37.8.dll"),
    installed={"vram-planner": "0.1.0", "xlwings": "0.37.8", "openpyxl": "3.1.5"},
    required_xlwings=("0.37.8", "0.37.0"),
    onedrive=(r"C:\Users\Ann\OneDrive",),
    libreoffice=r"C:\Program Files\LibreOffice\program\soffice.exe",
    starts=(Start("a normal folder", ""), Start("a hostile folder", "")),
    excel=Excel(
        bits=64,
        addin_is_ours=True,
        addin_path=r"C:\Users\Ann\AppData\Roaming\Microsoft\Excel\XLSTART\vram.xlam",
        interpreter=r"c:\users\ann\venv\Scripts\pythonw.exe",
        interpreter_found=True,
        encoding="cp1252",
    ),
)


def _windows_with(**changes) -> Machine:
    """Return WINDOWS with some facts changed, either of Machine or of Excel."""
    excel_changes = {name: changes.pop(name) for name in list(changes) if name not in vars(WINDOWS)}
    return dataclasses.replace(WINDOWS, excel=dataclasses.replace(WINDOWS.excel, **excel_changes), **changes)


# Check, changed facts, part of the finding's text, part of the remedy.
FAILURES = [
    ("packages", {"installed": {"vram-planner": "0.1.0", "xlwings": None}}, "not installed: xlwings", "with pip"),
    ("xlwings_version", {"installed": {"xlwings": "0.36.0"}}, "but version 0.37.8 is required", "xlwings==0.37.8"),
    ("libreoffice", {"libreoffice": None}, "LibreOffice was not found", "Install it"),
    ("store_python", {"base_prefix": r"C:\Program Files\WindowsApps\Python.3.11"}, "Microsoft Store", "python.org"),
    ("conda", {"is_conda": True}, "conda environment", "virtual environment"),
    ("dll", {"dlls": ()}, "xlwings64-0.37.8.dll for 64-bit Excel is not in", "--force-reinstall"),
    ("dll", {"dlls": ("xlwings64-0.36.0.dll",)}, "only xlwings64-0.36.0.dll", "--force-reinstall"),
    ("dll", {"bits": 32, "dlls": ("xlwings64-0.37.8.dll",)}, "xlwings32-0.37.8.dll for 32-bit", "--force-reinstall"),
    ("dll", {"dlls": (), "lost_files": ("xlwings64-0.37.8.dll",)}, "is gone; a virus scanner", "docs/corporate.md"),
    (
        "starts_anywhere",
        {"starts": (Start("a normal folder", ""), Start("a hostile folder", "ImportError: no"))},
        "fails in a hostile folder: ImportError: no",
        "virtual environment",
    ),
    ("synchronised_folder", {"prefix": r"c:\users\ann\onedrive\venv"}, "Python is in OneDrive", "%LOCALAPPDATA%"),
    ("excel_found", {"bits": None}, "Excel was not found", "Install Excel"),
    ("addin_in_place", {"addin_is_ours": None}, "the add-in is not at", "vram addin install"),
    ("addin_in_place", {"addin_is_ours": False}, "is from another version", "vram addin install"),
    ("interpreter", {"interpreter": None}, "does not know which Python", "vram addin install"),
    ("interpreter", {"interpreter_found": False}, "which is missing", "vram addin install"),
    ("interpreter", {"interpreter": r"D:\other\pythonw.exe"}, "another Python", "vram addin install"),
    ("readable_path", {"interpreter": r"D:\工具\pythonw.exe"}, "not in the code page", "in a folder whose path"),
    ("command_line_length", {"interpreter": "C:\\" + 2000 * "x" + ".exe"}, "2047 are allowed", "shorter path"),
]

# The functions still work, perhaps with another Python.
OPTIONAL = {"LibreOffice was not found", "Excel was not found", "another Python"}

EXCEL_CHECKS = {"excel_found", "addin_in_place", "interpreter", "readable_path", "command_line_length"}
CHECKS = {case[0] for case in FAILURES} | {"functions_answer", "workbook_calculation"}


def _run(check: str, facts: Machine) -> Finding:
    arguments = (facts, facts.excel) if check in EXCEL_CHECKS else (facts,)
    return getattr(doctor, check)(*arguments)


@pytest.mark.parametrize("check", sorted(CHECKS))
def test_a_healthy_machine_passes(check):
    finding = _run(check, WINDOWS)
    assert (finding.ok, finding.remedy) == (True, "")


@pytest.mark.parametrize("check, facts, text, remedy", FAILURES, ids=[f"{case[0]}: {case[2]}" for case in FAILURES])
def test_a_failed_check_has_a_text_and_a_remedy(check, facts, text, remedy):
    finding = _run(check, _windows_with(**facts))
    assert (finding.ok, finding.matters) == (False, text not in OPTIONAL)
    assert text in finding.text
    assert remedy in finding.remedy


@pytest.mark.parametrize(("spare", "ok"), [(0, True), (-1, False)])
def test_the_longest_command_line_is_2047_bytes(spare, ok):
    # A GUID in braces has 38 characters, the placeholder $(CLSID) has 8.
    others = len(server.command_line("")) + 38 - 8
    finding = doctor.command_line_length(WINDOWS, _windows_with(interpreter=(2047 - others - spare) * "é").excel)
    assert finding.ok is ok


def test_functions_with_wrong_results_are_reported(monkeypatch):
    import vram_udf

    monkeypatch.setattr(vram_udf, "VRAM_WEIGHTS", lambda model: 139.0)
    finding = doctor.functions_answer(WINDOWS)
    assert not finding.ok and "reinstall" in finding.remedy


def test_a_missing_ironcalc_is_reported(monkeypatch):
    monkeypatch.setitem(sys.modules, "ironcalc", None)
    finding = doctor.workbook_calculation(WINDOWS)
    assert not finding.ok and finding.remedy == "Run: python -m pip install ironcalc"


def test_examine_runs_every_check():
    assert len(examine(WINDOWS)) == len(CHECKS) + 1  # and one line about policies
    assert all(finding.ok for finding in examine(WINDOWS))


def test_excel_is_not_checked_on_other_systems():
    assert len(examine(dataclasses.replace(WINDOWS, excel=None))) == 6


def test_python_may_have_another_bitness_than_excel():
    assert doctor.dll(_windows_with(bits=32)).ok
    assert doctor.dll(_windows_with(python_bits=32)).ok


def test_any_xlwings_passes_if_the_package_is_not_installed():
    assert doctor.xlwings_version(_windows_with(required_xlwings=())).ok


# Registry values as Office writes them (Microsoft, "Determine the bitness of Office"; the App Paths of its installer).
@pytest.mark.parametrize(
    ("registry", "bits"),
    [
        ({"Platform": "x64"}, 64),
        ({"Platform": "x86"}, 32),
        ({"": r"C:\Program Files\Microsoft Office\Root\Office16\EXCEL.EXE"}, 64),
        ({"": r"C:\Program Files (x86)\Microsoft Office\Root\Office16\EXCEL.EXE"}, 32),
        ({}, None),
    ],
)
def test_the_bitness_of_excel_is_read_from_the_registry(registry, bits):
    assert machine._excel_bits(lambda key, name: registry.get(name)) == bits


def test_the_facts_of_this_machine_are_found():
    facts = this_machine()
    assert facts.executable == sys.executable
    assert facts.installed["openpyxl"]
    assert (facts.excel is None) == (sys.platform != "win32")


@pytest.mark.parametrize(
    ("finding", "line", "status"),
    [
        (Finding(True, "all is well"), "✓ all is well.\n", 0),
        (Finding(False, "this is wrong", "Do that."), "✗ this is wrong. Do that.\n", 1),
        (Finding(False, "this is wrong", "Do that.", matters=False), "✗ this is wrong (optional). Do that.\n", 0),
    ],
)
def test_the_command_prints_one_line_per_check_and_sets_the_exit_status(monkeypatch, finding, line, status):
    monkeypatch.setattr(doctor, "examine", lambda facts: [finding])
    result = CliRunner().invoke(cli.doctor)
    assert (result.output.partition("Ways to the functions:\n")[0], result.exit_code) == (line, status)
    assert len(result.output.splitlines()) == 2 + len(WAYS)


def test_a_console_without_check_marks_gets_words():
    command = [sys.executable, "-c", "from vram.cli.main import main; main()", "doctor"]
    result = subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "cp1252"})
    lines = result.stdout.decode("cp1252").splitlines()
    lines.remove("Ways to the functions:")
    assert lines and all(line.startswith(("ok ", "NO ")) for line in lines), result.stderr


# ---- starting Python as Excel does -------------------------------------------------------------------


def test_this_python_starts_in_every_folder():
    assert [start.problem for start in starts(sys.executable)] == ["", ""]


def test_a_hostile_folder_is_noticed(monkeypatch):
    """Without `-I`, the current folder and PYTHONPATH are searched."""
    monkeypatch.setattr("addin.starting.OPTIONS", ("-B",))
    normal, hostile = starts(sys.executable)
    assert "a module of the current folder was executed" in hostile.problem
    assert "os" in HOSTILE_MODULES and normal.folder == "a normal folder"


def test_a_python_that_is_missing_has_the_systems_message():
    assert all("No such file" in start.problem or start.problem for start in starts("/no/such/python"))


# ---- policies ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("obstacle", OBSTACLES, ids=lambda obstacle: obstacle.name)
def test_an_obstacle_is_found_in_each_of_its_places(obstacle):
    for hive, key in obstacle.places:
        for value in obstacle.values:
            # Defender's rules are stored as text, Office's policies as numbers.
            for stored in (value, str(value)):
                registry = {(hive, key, obstacle.name): stored}
                assert found_obstacles(lambda *place, registry=registry: registry.get(place)) == (obstacle,)
        for harmless in {0, 2, None, "2", "text"} - set(obstacle.values):
            registry = {(hive, key, obstacle.name): harmless}
            assert found_obstacles(lambda *place, registry=registry: registry.get(place)) == ()


@pytest.mark.parametrize(("listed", "blocks"), [(None, True), (0, True), (1, False), ("2", False)])
def test_an_add_in_of_the_managed_list_is_not_blocked(listed, blocks):
    (obstacle,) = (found for found in OBSTACLES if found.name == "RestrictToList")
    registry = {(*obstacle.places[0], obstacle.name): 1, obstacle.exception: listed}
    assert obstacle.is_set(lambda *place: registry.get(place)) is blocks


def test_the_page_for_it_departments_has_the_same_table():
    assert "\n".join(table_rows()) in (ROOT / "docs/corporate.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("obstacle", OBSTACLES, ids=lambda obstacle: obstacle.name)
def test_an_obstacle_leaves_other_ways(obstacle):
    left = ways_left([obstacle])
    assert {way for way, blocked in left.items() if blocked} == set(obstacle.blocks) < set(WAYS)
    assert left["workbook"] == ""


def test_everything_blocked_leaves_the_workbook_and_libreoffice():
    left = ways_left(OBSTACLES)
    assert [way for way, blocked in left.items() if not blocked] == ["workbook", "libreoffice"]
    assert left["addin"] == "VBA is switched off in Office", "the first obstacle is the one to name"


def test_without_windows_there_is_no_add_in():
    assert [way for way, blocked in ways_left((), with_excel=False).items() if blocked] == ["addin", "served", "macro"]


def test_policies_are_findings_that_leave_the_exit_status():
    findings = examine(_windows_with(obstacles=OBSTACLES[:2]))
    assert [finding.text for finding in findings if not finding.ok] == [found.title for found in OBSTACLES[:2]]
    assert not any(finding.matters for finding in findings if not finding.ok)


def test_serving_needs_windows(monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    result = CliRunner().invoke(cli.serve)
    assert "only Excel on Windows can load it" in str(result.exception)
