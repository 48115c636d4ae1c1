"""Test the add-in's settings with xlwings' own VBA, which runs in pyOpenVBA's model of Excel."""

from __future__ import annotations

import re

import pytest
from pyopenvba import ExcelFile
from pyopenvba.apps.excel import ExcelApplication

from addin.build import addin_file
from addin.doctor import command_line
from addin.settings import portable, read_settings, with_setting
from core.errors import PlannerError
from tests.hosts.com.vba_host import without_attributes

# Functions of xlwings' VBA that need Windows; WINDOWS_MODULE replaces them.
WINDOWS_FUNCTIONS = ("FileExistsOnWindows", "GetConfigFromFile", "WScript", "GetConfigFilePath")

INTERPRETER = r"C:\Users\Ann O'Hara\vram & co\Scripts\pythonw.exe"

WINDOWS_MODULE = f"""
Function FileExistsOnWindows(ByVal FileSpec As String) As Boolean
    FileExistsOnWindows = (FileSpec = "user's settings")
End Function
Function GetConfigFilePath() As String
    GetConfigFilePath = "user's settings"
End Function
Function GetConfigFromFile(sFile As String, sName As String, Optional sValue As String) As Boolean
    If LCase(sName) <> "interpreter_win" Then Exit Function
    sValue = "{INTERPRETER}"
    GetConfigFromFile = True
End Function
"""


@pytest.fixture(scope="module")
def addin(tmp_path_factory):
    path = tmp_path_factory.mktemp("O'Hara & co") / "vram.xlam"
    path.write_bytes(addin_file())
    return path


@pytest.fixture(scope="module")
def excel(addin):
    """Excel with the add-in open, and xlwings' module in it."""
    application = ExcelApplication.open(addin, with_vba=False)
    with ExcelFile(addin) as book:
        source = without_attributes(book.get_module("xlwings"))
    for name in WINDOWS_FUNCTIONS:
        source, found = re.subn(rf"(?ms)^Function {name}\(.*?^End Function$", "", source)
        assert found == 1, name
    source = source.replace("WScript.ExpandEnvironmentStrings(s)", "s")
    # VBA can compare the text "False" with True; the interpreter cannot.
    source = source.replace('GetConfig("SHOW CONSOLE", False) = True', 'CBool(GetConfig("SHOW CONSOLE", False))')
    application.add_module(source, name="xlwings")
    application.add_module(WINDOWS_MODULE, name="Windows")
    return application


def test_the_sheet_of_the_add_in_is_read(excel):
    assert excel.run("GetConfig", "ADD_WORKBOOK_TO_PYTHONPATH", "true") == "false"
    assert excel.run("GetConfig", "UDF MODULES", "") == "vram_udf"


def test_the_interpreter_comes_from_the_users_file(excel):
    assert excel.run("GetConfig", "INTERPRETER_WIN", "") == INTERPRETER


def test_another_workbooks_sheet_cannot_choose_the_program_to_run(excel):
    book = excel.add_workbook()
    sheet = excel.sheet(1, workbook=book)
    sheet.set_value("A1", "INTERPRETER_WIN")
    sheet.set_value("B1", r"\\elsewhere\evil.exe")
    excel.activate_workbook(book)
    excel.add_module('Sub NameIt()\n    ActiveSheet.Name = "vram.conf"\nEnd Sub\n', name="Naming")
    excel.run("NameIt")
    assert excel.run("GetConfig", "INTERPRETER_WIN", "") == INTERPRETER


def test_the_command_line_is_the_one_that_doctor_measures(excel, addin):
    assert excel.run("XLPyCommand") == command_line(INTERPRETER, str(addin))


def test_the_command_line_does_not_depend_on_the_active_workbook(excel):
    before = excel.run("XLPyCommand")
    excel.activate_workbook(excel.add_workbook())
    assert excel.run("XLPyCommand") == before


@pytest.mark.parametrize(
    ("path", "profile", "written"),
    [
        (r"C:\Users\王\venv\Scripts\pythonw.exe", r"C:\Users\王", r"%USERPROFILE%\venv\Scripts\pythonw.exe"),
        (r"c:\users\ann\venv\python.exe", r"C:\Users\Ann", r"%USERPROFILE%\venv\python.exe"),
        (r"C:\Users\Annabel\venv\python.exe", r"C:\Users\Ann", r"C:\Users\Annabel\venv\python.exe"),
        (r"D:\venv\python.exe", r"C:\Users\Ann", r"D:\venv\python.exe"),
        (r"D:\venv\python.exe", "", r"D:\venv\python.exe"),
    ],
)
def test_a_path_in_the_profile_is_written_without_the_user_name(path, profile, written):
    assert portable(path, profile) == written


def test_a_setting_is_replaced_and_the_others_are_unchanged():
    before = b'"LICENSE_KEY","abc"\r\n"interpreter_win","C:\\old.exe"\r\n'
    after = with_setting(before, "INTERPRETER_WIN", r"C:\new.exe", "cp936")
    assert after == b'"LICENSE_KEY","abc"\r\n"INTERPRETER_WIN","C:\\new.exe"\r\n'
    assert read_settings(after, "cp936") == {"LICENSE_KEY": "abc", "INTERPRETER_WIN": r"C:\new.exe"}
    assert with_setting(after, "INTERPRETER_WIN", None, "cp936") == b'"LICENSE_KEY","abc"\r\n'


def test_a_path_is_written_in_the_code_page_of_vba():
    assert "工具".encode("gbk") in with_setting(b"", "INTERPRETER_WIN", r"D:\工具\python.exe", "cp936")


def test_a_path_that_vba_cannot_read_is_refused():
    with pytest.raises(PlannerError, match=r"INTERPRETER_WIN: Excel cannot read the path D:\\工具"):
        with_setting(b"", "INTERPRETER_WIN", r"D:\工具\python.exe", "cp1252")
