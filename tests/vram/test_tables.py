"""Tables on terminals of any width, in files and as CSV: no figure is cut or wrapped."""

from __future__ import annotations

import csv
import fcntl
import io
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest

from tests.paths import ROOT
from vram.cli.columns import percent, print_columns, print_csv

COMMANDS = {
    "estimate": ("estimate", "llama-3.1-70b", "--context", "32768", "--users", "10"),
    "plan": ("plan", "llama-3.1-70b", "--users", "50", "--context", "32768", "--costs", "--gpu", "h100"),
    "capacity": ("capacity", "llama-3.1-70b", "--gpu", "h100", "--tp", "4", "--context", "32768"),
    "speed": ("speed", "llama-3.1-70b", "--gpu", "h100", "--tp", "4", "--users", "50", "--prompt-tokens", "2000", "--output-tokens", "500"),
    "train": ("train", "llama-3.1-8b", "--method", "lora", "--sequence", "4096", "--gpu", "rtx-4090"),
    "model list": ("model", "list", "--search", "llama-3.1"),
    "model show": ("model", "show", "llama-3.1-70b"),
}  # fmt: skip
FIGURE = re.compile(r"\d[\d.,]*\d|\d")


def on_terminal(arguments, columns: int) -> str:
    """What a command prints on a terminal of a width, without colours."""
    terminal, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    program = [sys.executable, "-m", "vram", *arguments]
    process = subprocess.Popen(program, stdout=side, stderr=side, stdin=side, env=environment, cwd=ROOT)
    os.close(side)
    found = b""
    try:
        while block := os.read(terminal, 1 << 16):
            found += block
    except OSError:  # Linux ends a terminal with an error
        pass
    os.close(terminal)
    assert process.wait(60) == 0
    return re.sub(r"\x1b\[[\d;]*m", "", found.decode()).replace("\r\n", "\n")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_narrow_terminal_shows_every_figure_of_a_file(name):
    arguments = COMMANDS[name]
    piped = subprocess.run(
        [sys.executable, "-m", "vram", *arguments], capture_output=True, encoding="utf-8", cwd=ROOT, check=True
    ).stdout
    narrow = on_terminal(arguments, 30)
    assert sorted(set(FIGURE.findall(piped))) == sorted(set(FIGURE.findall(narrow)))
    assert "…" not in narrow
    wide = on_terminal(arguments, 300)
    assert wide == piped


def test_each_row_is_a_block_where_the_table_does_not_fit(monkeypatch, capsys):
    headings, rows = ["GPU", "own", "汇总"], [["h100", "599,613.25", "1"], ["l4", "", "22"]]
    print_columns(headings, rows)
    assert capsys.readouterr().out == "GPU          own  汇总\nh100  599,613.25     1\nl4                  22\n"
    monkeypatch.setattr("vram.cli.columns._line_width", lambda: 21)
    print_columns(headings, rows)
    assert capsys.readouterr().out == "GPU h100\n  own   599,613.25\n  汇总  1\nGPU l4\n  汇总  22\n"
    monkeypatch.setattr("vram.cli.columns._line_width", lambda: 22)
    print_columns(headings, rows)
    assert "GPU h100" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["estimate", "capacity", "speed", "train"])
def test_csv_has_the_figures_of_json(vram, name):
    [row] = csv.DictReader(io.StringIO(vram(*COMMANDS[name], "--csv")[1]))
    answer = json.loads(vram(*COMMANDS[name], "--json")[1])
    for field, value in answer.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            assert float(row[field]) == value


def test_csv_has_a_row_for_each_layout_and_model(vram):
    layouts = json.loads(vram(*COMMANDS["plan"], "--json")[1])["layouts"]
    rows = list(csv.DictReader(io.StringIO(vram(*COMMANDS["plan"], "--csv")[1])))
    assert [(row["gpu"], int(row["gpus"])) for row in rows] == [(one["gpu"], one["gpus"]) for one in layouts]
    assert float(rows[0]["costs_owning_usd_per_month"]) == layouts[0]["costs"]["owning"]["usd_per_month"]
    models = list(csv.DictReader(io.StringIO(vram(*COMMANDS["model list"], "--csv")[1])))
    assert {"llama-3.1-8b", "llama-3.1-70b"} <= {model["name"] for model in models}


def test_csv_holds_no_formula(capsys):
    print_csv([{"name": "=1+1", "parts": {"a": ["x", "y"], "b": [{"c": 1}]}}, {"name": "-2", "more": -2}])
    assert capsys.readouterr().out == 'name,parts_a,parts_b,more\n\'=1+1,x; y,"[{""c"": 1}]",\n\'-2,,,-2\n'


@pytest.mark.parametrize("share, shown", [(0.005, "0.5%"), (0.1, "10%"), (0, "0%"), (1, "100%"), (0.00125, "0.125%")])
def test_a_share_has_all_its_digits(share, shown):
    assert percent(share) == shown


def test_one_user_is_no_users(vram):
    _, out, _ = vram("speed", "llama-3.1-8b", "--gpu", "h100", "--users", 1, "--prompt-tokens", 9, "--output-tokens", 9)
    assert out.splitlines()[1] == "1 user, 9 prompt tokens, 9 output tokens"
    _, out, _ = vram("plan", "llama-3.1-8b", "--users", 1, "--context", 8192, "--gpu", "h100")
    assert "1 user × 8,192 tokens" in out
