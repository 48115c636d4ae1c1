"""Test what `make release` writes: it builds twice, in different surroundings."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import core
from tests.paths import ROOT
from tools import release

pytestmark = pytest.mark.slow

FILES = {
    "vram_planner_en.xlsx", "vram_planner_en.xlsm", "vram_planner_zh.xlsx", "vram_planner_zh.xlsm", "vram.xlam",
    "vram_functions_en.xlsx", "vram_functions_zh.xlsx",
    "vram_functions.bas", "vram.oxt", f"vram_functions-{core.__version__}-py3-none-any.whl", "NOTICE.txt",
}  # fmt: skip

# The bytes must not depend on the clock, time zone, folder or order of sets, which differ in each process.
PROGRAM = """
import sys, time
time.time = lambda: float(sys.argv[1])
if __name__ == "__main__":
    from tests.workbook.planner_rows import few
    from tools import release
    with few(sheet_gpus=None):  # a few models: the whole catalog takes minutes and another test audits it
        if sys.argv[2] == "without audits":  # of files that have been audited if they are equal
            files = {name: content for builder in release.BUILDERS for name, content in builder()}
        else:
            files = release.release_files()
        sys.stdout.buffer.write(release.sums(files))
"""


def _sums(folder: Path, clock: str, zone: str, seed: str, audits: str) -> str:
    folder.mkdir()
    program = folder / "build.py"
    program.write_text(PROGRAM, encoding="ascii")
    surroundings = {"PYTHONPATH": str(ROOT), "TZ": zone, "PYTHONHASHSEED": seed, "TMPDIR": str(folder)}
    done = subprocess.run(
        [sys.executable, str(program), clock, audits], cwd=folder, env=os.environ | surroundings, check=True, capture_output=True
    )  # fmt: skip
    return done.stdout.decode()


def test_two_builds_are_equal(tmp_path):
    first = _sums(tmp_path / "one", "1000000000", "Asia/Shanghai", "1", "with audits")
    assert first == _sums(tmp_path / "another", "1900000000", "America/New_York", "2", "without audits")
    assert set(re.findall(r"^[0-9a-f]{64}  (\S+)$", first, re.MULTILINE)) == FILES


def test_a_workbook_that_fails_the_audit_is_not_released(monkeypatch):
    import openpyxl

    def unsafe():
        from io import BytesIO

        book, out = openpyxl.Workbook(), BytesIO()
        book.active["A1"] = '=RunFrozenPython("calc.exe","")'
        book.save(out)
        yield "unsafe.xlsx", out.getvalue()

    monkeypatch.setattr(release, "BUILDERS", (unsafe,))
    with pytest.raises(RuntimeError, match=r"unsafe\.xlsx fails the audit: .*RUNFROZENPYTHON"):
        release.release_files()


def test_the_hashes_are_in_the_format_of_sha256sum(tmp_path):
    files = {"b.txt": b"b\n", "a.txt": b""}
    # Of nothing: NIST's example; of "b\n": coreutils' sha256sum.
    assert release.sums(files).decode().splitlines() == [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  a.txt",
        "0263829989b6fd954f72baaf2fc64bc2e2f01d692d4de72986ea808f6e99813f  b.txt",
    ]


def test_the_bill_of_materials_has_our_version():
    bill = {"metadata": {"component": {"name": "vram-planner"}}, "components": [{"name": "xlwings"}]}
    found = json.loads(release.bill_of_materials(json.dumps(bill).encode()))
    assert found["metadata"]["component"] == {"name": "vram-planner", "version": core.__version__}
    assert found["components"] == bill["components"]


def test_the_notice_is_the_licence_of_the_open_part():
    ((name, content),) = release.notice()
    text = content.decode()
    assert name == "NOTICE.txt" and "Redistribution and use in source and binary forms" in text
    assert "BSD 3-clause" in text and "End User License" not in text
