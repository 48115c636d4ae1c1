"""The campaigns of `make fuzz` in little: fixed seeds, a few seconds."""

from __future__ import annotations

import math
import re
import subprocess
import sys

import pytest

import vram_udf
from core.texts import LONGEST_COMPARED
from tests.fuzz import cells, readers
from tests.hosts.com import pywin32_stand_in
from tests.paths import ROOT

pytestmark = pytest.mark.slow

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="Windows has the real pywin32, and no limits of memory")


def run(module: str, *arguments: object) -> str:
    """What a campaign prints, in a process of its own: it changes xlwings for good, or limits its own memory."""
    command = [sys.executable, "-m", f"tests.fuzz.{module}", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@POSIX
def test_cell_calls():
    out = run("cells", "--calls", 3000, "--seed", 20261126)
    assert "  0 wrong" in out
    counts = re.search(r"\(([\d,]+) plain, ([\d,]+) through xlwings\)", out).groups()
    plain, through_xlwings = (int(count.replace(",", "")) for count in counts)
    assert plain > 2000 and through_xlwings > 100


@POSIX
@pytest.mark.parametrize("reader", readers.READERS)
def test_readers(reader):
    runs = 60 if readers.READERS[reader].in_package else 500
    out = run("readers", reader, "--blind", "--runs", runs, "--seed", 20261126)
    counts = dict(re.findall(r"'(read|refused)': (\d+)", out))
    assert sum(map(int, counts.values())) >= runs and set(counts) == {"read", "refused"}


def test_every_function_is_called():
    called = {name for _, (name, _) in zip(range(500), cells.calls(1))}
    assert called == {function.__name__ for function in vram_udf.FUNCTIONS}


@pytest.mark.parametrize(
    "result",
    [None, True, 1, math.nan, math.inf, [], [[]], [1.0], [[1.0], [1.0, 2.0]], [[[1.0]]], "\ud800", "x" * 32_768],
)
def test_what_counts_as_wrong(result):
    assert cells.fault(result)


@pytest.mark.parametrize("result", [1.0, "#N/A", "OK", [[1.0, "#NUM!"], ["a", 0.0]]])
def test_what_counts_as_right(result):
    assert not cells.fault(result)


def test_what_excel_would_be_handed_wrong():
    variant = pywin32_stand_in.Variant
    assert cells.marshalled_fault(variant("Err.Description", "ValueError: x"))
    assert cells.marshalled_fault(variant("VT_ARRAY", [[variant("VT_R8", 1.0), variant("VT_NULL", None)]]))
    assert not cells.marshalled_fault(variant("VT_ARRAY", [[variant("VT_R8", 1.0), variant("VT_BSTR", "#N/A")]]))


# ---- what the campaigns found, kept from coming back -------------------------------------------------

HUGE = 10**5000  # Python writes no integer of more than 4300 digits
MARKS = "\u0f73" * 32_000  # NFKC takes seconds for a run of such marks, and hours for a column of them
LABELLED = [["params_b", 70], ["layers", 80], ["hidden", 8192]]


@pytest.mark.parametrize(
    "call, result",
    [
        (("VRAM_TOTAL", "llama-3.1-70b", HUGE), "#NUM!"),
        (("VRAM_GPUS", "llama-3.1-70b", 1, 1, HUGE), "#NUM!"),
        (("VRAM_TOTAL", [*LABELLED, [HUGE, 1]], 1000), "#VALUE!"),
        (("VRAM_MODEL", [*LABELLED, ["name", HUGE]], "name"), "an integer of 16610 bits"),
        (("VRAM_MODEL", [*LABELLED, ["name", "a\ud800"]], "name"), "a\\ud800"),
        (("VRAM_CHECK", [*LABELLED, ["x" * 32_000, 1]], 1000),
         "x" * LONGEST_COMPARED + ": this label is not known. Use a field name of config.json."),
        (("VRAM_TOTAL", "llama-3.1-70b", [[cells.decimal.Decimal("sNaN"), 1000]]), ["#NUM!", 155.57]),
        (("VRAM_TOTAL", [[MARKS]] * 200, 1000), "#N/A"),
        (("VRAM_TOTAL", "llama-3.1-70b", 1000, 1, [[MARKS]] * 200), "#N/A"),
        (("VRAM_WEIGHTS", 70, 2, [[MARKS]] * 200), "#N/A"),
        (("VRAM_COST", "llama-3.1-8b", 1000, 10, "h100", None, None, None, 1e-308, "order"), 2.0),
    ],
)  # fmt: skip
def test_cells_that_once_raised_or_hung(call, result):
    name, *arguments = call
    found = getattr(vram_udf, name)(*arguments)
    assert not cells.fault(found)
    first = found[0][0] if isinstance(found, list) else found
    if isinstance(result, list):
        assert found[0] == [result[0], pytest.approx(result[1], abs=0.01)]
    else:
        assert first == result
