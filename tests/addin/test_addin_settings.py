"""Test the file with the user's settings, in which the add-in finds Python."""

from __future__ import annotations

import pytest

from addin.settings import portable, read_settings, with_setting
from core.errors import PlannerError


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
