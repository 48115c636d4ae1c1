"""Test installing the add-in into a folder that acts as the Windows profile."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from addin.build import addin_file
from addin.install import (
    NotOnWindowsError,
    Profile,
    install,
    installed_interpreter,
    uninstall,
    windowless,
    windows_profile,
)
from core.errors import PlannerError
from tests.workbook.planner_rows import few
from vram.cli.main import main, vram
from workbook import files
from workbook.files import UnwritableFileError
from workbook.package import rewritten

INTERPRETER = Path("D:/tools/venv/Scripts/pythonw.exe")


@pytest.fixture
def profile(tmp_path) -> Profile:
    environment = {"APPDATA": str(tmp_path / "AppData" / "Roaming"), "USERPROFILE": str(tmp_path)}
    found = windows_profile("win32", environment)
    # "mbcs", the code page of Windows, exists only there.
    return Profile(found.addin, found.settings, found.home, "cp1252")


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_add_in_is_in_the_start_up_folder_and_the_interpreter_in_the_settings(profile, tmp_path):
    written = install(profile, b"the add-in", INTERPRETER)
    assert _files(tmp_path) == {
        os.path.join("AppData", "Roaming", "Microsoft", "Excel", "XLSTART", "vram.xlam"): b"the add-in",
        os.path.join(".vram", "vram.conf"): f'"INTERPRETER_WIN","{INTERPRETER}"\r\n'.encode(),
    }
    assert sorted(written) == sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert installed_interpreter(profile) == str(INTERPRETER)


def test_installing_again_updates_everything(profile, tmp_path):
    install(profile, b"old", Path("D:/old/python.exe"))
    install(profile, b"new", INTERPRETER)
    assert profile.addin.read_bytes() == b"new"
    assert profile.settings.read_bytes().count(b"INTERPRETER_WIN") == 1
    assert installed_interpreter(profile) == str(INTERPRETER)
    assert len(_files(tmp_path)) == 2


def test_the_python_alone_is_enough_for_workbooks_with_the_functions_inside(profile, tmp_path):
    assert install(profile, None, INTERPRETER) == [profile.settings]
    assert [*_files(tmp_path)] == [os.path.join(".vram", "vram.conf")]
    assert uninstall(profile) == [profile.settings]


def test_uninstalling_removes_everything(profile):
    install(profile, b"the add-in", INTERPRETER)
    assert uninstall(profile) == [profile.addin, profile.settings]
    assert not profile.addin.exists()
    assert not profile.settings.parent.exists()
    assert uninstall(profile) == []


def test_uninstalling_keeps_the_users_files_and_settings(profile):
    profile.settings.parent.mkdir()
    profile.settings.write_bytes(b'"SHOW CONSOLE","True"\r\n')
    (profile.addin.parent).mkdir(parents=True)
    other = profile.addin.with_name("other.xlam")
    other.write_bytes(b"another add-in")
    install(profile, b"the add-in", INTERPRETER)
    uninstall(profile)
    assert profile.settings.read_bytes() == b'"SHOW CONSOLE","True"\r\n'
    assert other.read_bytes() == b"another add-in"
    assert uninstall(profile) == []


def test_uninstalling_changes_nothing_if_nothing_is_installed(profile, tmp_path):
    assert uninstall(profile) == []
    assert list(tmp_path.iterdir()) == []


def test_while_excel_has_the_add_in_open_nothing_changes(profile, tmp_path, monkeypatch):
    install(profile, b"old", INTERPRETER)
    before = _files(tmp_path)

    def replace(source, target):  # the error on Windows if the file is open
        raise PermissionError(13, "The process cannot access the file", str(target))

    monkeypatch.setattr(files.os, "replace", replace)
    with pytest.raises(UnwritableFileError, match="it is in use. Close every Excel window and try again"):
        install(profile, b"new", Path("D:/new/python.exe"))
    assert _files(tmp_path) == before


def test_while_excel_has_the_add_in_open_nothing_is_removed(profile, tmp_path, monkeypatch):
    install(profile, b"old", INTERPRETER)
    before = _files(tmp_path)

    def unlink(path):
        raise PermissionError(13, "The process cannot access the file", str(path))

    monkeypatch.setattr(Path, "unlink", unlink)
    with pytest.raises(UnwritableFileError, match="it is in use"):
        uninstall(profile)
    assert _files(tmp_path) == before


def test_nothing_changes_if_excel_cannot_read_the_interpreters_path(profile, tmp_path):
    with pytest.raises(PlannerError, match="Excel cannot read the path"):
        install(profile, b"the add-in", Path("D:/工具/python.exe"))
    assert _files(tmp_path) == {}


@pytest.mark.parametrize("missing", ["APPDATA", "USERPROFILE"])
def test_the_error_without_a_profile_names_the_missing_variable(missing):
    environment = {"APPDATA": "C:/a", "USERPROFILE": "C:/u"} | {missing: ""}
    with pytest.raises(PlannerError, match=f"{missing}: the environment variable is not set"):
        windows_profile("win32", environment)


@pytest.mark.parametrize("system", ["linux", "darwin"])
def test_the_error_on_other_systems_says_what_to_do(system):
    with pytest.raises(NotOnWindowsError, match="only Excel on Windows can load it. .* on a Mac .* use xlwings Lite"):
        windows_profile(system, {"APPDATA": "/a", "USERPROFILE": "/u"})


def test_pythonw_is_used_if_it_exists(tmp_path):
    python = tmp_path / "python.exe"
    assert windowless(python) == python
    (tmp_path / "pythonw.exe").touch()
    assert windowless(python) == tmp_path / "pythonw.exe"


def _vram(*arguments: str, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", "from vram.cli.main import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", **options)


@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_the_command_prints_one_line_and_exits_with_2_on_other_systems(command, monkeypatch, capsys):
    monkeypatch.setattr("addin.install.windows_profile", functools.partial(windows_profile, "linux"))
    monkeypatch.setattr(sys, "argv", ["vram", "addin", command])
    with pytest.raises(SystemExit) as ended:
        main()
    output = capsys.readouterr()
    assert (ended.value.code, output.out, output.err.count("\n")) == (2, "", 1)
    assert "only Excel on Windows" in output.err


def test_the_commands_install_and_uninstall(profile, monkeypatch):
    monkeypatch.setattr("addin.install.windows_profile", lambda: profile)
    installed = CliRunner().invoke(vram, ["addin", "install"], catch_exceptions=False)
    assert str(profile.addin) in installed.output and "=VRAM_WEIGHTS(70)" in installed.output
    assert profile.addin.read_bytes() == addin_file()
    assert installed_interpreter(profile) == sys.executable
    removed = CliRunner().invoke(vram, ["addin", "uninstall"], catch_exceptions=False)
    assert removed.output == f"Removed {profile.addin}\nRemoved {profile.settings}\n"
    assert CliRunner().invoke(vram, ["addin", "uninstall"]).output == "The add-in was not installed.\n"


def test_the_command_builds_both_files(tmp_path):
    result = _vram("addin", "build", "-o", str(tmp_path / "out"))
    assert result.returncode == 0, result.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["vram.xlam", "vram_functions.bas"]


def test_the_planner_with_macros_is_an_xlsm(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with few():
        result = CliRunner().invoke(vram, ["template", "--macro"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert [path.name for path in tmp_path.iterdir()] == ["vram_planner.xlsm"]


@pytest.mark.parametrize(("name", "options"), [("a.xlsx", ["--macro"]), ("a.xlsm", [])])
def test_a_planner_with_the_wrong_suffix_is_refused(tmp_path, name, options):
    result = _vram("template", *options, "-o", str(tmp_path / name))
    assert result.returncode == 2
    assert "does not end in" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_estimate_does_not_import_slow_packages():
    code = (
        "import sys; from vram.cli.main import vram;"
        "vram.main(['estimate', 'llama-3.1-70b', '--context', '8192', '--json'], standalone_mode=False);"
        "print(sorted({'xlwings', 'pyopenvba', 'openpyxl', 'vram_udf'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


def test_a_signed_copy_is_installed_and_other_code_is_refused(profile, monkeypatch, tmp_path):
    monkeypatch.setattr("addin.install.windows_profile", lambda: profile)
    signed, other = tmp_path / "signed.xlam", tmp_path / "other.xlam"
    signed.write_bytes(
        rewritten(addin_file(), lambda part, content: content, {"xl/vbaProjectSignature.bin": b"signed"})
    )
    other.write_bytes(b"another add-in")
    result = CliRunner().invoke(vram, ["addin", "install", "--from", str(signed)])
    assert (result.exit_code, profile.addin.read_bytes()) == (0, signed.read_bytes()), result.output
    result = CliRunner().invoke(vram, ["addin", "install", "--from", str(other)])
    assert "has other code than this version builds" in str(result.exception)
    assert profile.addin.read_bytes() == signed.read_bytes()
