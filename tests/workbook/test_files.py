"""Test that files are written completely or not at all, and that texts stay texts."""

from __future__ import annotations

import os

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbook.files import UnwritableFileError, write_whole
from workbook.safe_text import put_text


def test_a_new_file_and_its_folder(tmp_path):
    path = tmp_path / "a" / "b.bin"
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(path.parent) == ["b.bin"]


def test_the_old_file_is_replaced(tmp_path):
    path = tmp_path / "b.bin"
    path.write_bytes(b"old and longer")
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "b.bin"
    path.write_bytes(b"old")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(UnwritableFileError, match="No space left on device"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["b.bin"]


def test_a_file_that_excel_holds_open(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(UnwritableFileError, match="Close it if it is open in Excel"):
        write_whole(tmp_path / "b.xlsx", b"new")
    assert os.listdir(tmp_path) == []


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=50).map(lambda t: "=+-@"[len(t) % 4] + t))
def test_what_looks_like_a_formula_stays_text(text):
    cell = openpyxl.Workbook().active["A1"]
    put_text(cell, text)
    assert (cell.value, cell.data_type, cell.quotePrefix) == (text, "s", True)


def test_texts_stay_texts_in_a_saved_file(tmp_path):
    book = openpyxl.Workbook()
    payloads = ["=1+1", "+1", "-1", "@SUM(A1)", "=cmd|' /C calc'!A0", "plain"]
    for row, payload in enumerate(payloads, start=1):
        put_text(book.active.cell(row, 1), payload)
    book.save(tmp_path / "t.xlsx")
    cells = [row[0] for row in openpyxl.load_workbook(tmp_path / "t.xlsx").active.iter_rows()]
    assert [cell.value for cell in cells] == payloads
    assert {cell.data_type for cell in cells} == {"s"}


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions, and links need rights there")
def test_a_private_file_stays_private_and_a_link_a_link(tmp_path):
    path, link = tmp_path / "models.csv", tmp_path / "link.csv"
    path.write_bytes(b"old")
    path.chmod(0o600)
    link.symlink_to(path)
    write_whole(link, b"new")
    assert link.is_symlink() and path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
