"""Pipes, other formats, Ctrl-C and texts that control a terminal: one sentence each, at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import zipfile

import pytest

from core import catalog
from core.texts import NOT_PRINTABLE, escaped_output
from tests.paths import ROOT

READERS = [
    ("audit",), ("read",), ("export", "-o", "out.xlsx"), ("prices", "import", "--kind", "csv", "--as-of", "2026-11-26"),
    ("estimate", "llama-3.1-8b", "--context", "8", "--models"), ("template", "-o", "out.xlsx", "--prices"),
    ("plan", "llama-3.1-8b", "--users", "1", "--context", "8192", "--gpu", "h100", "--prices"),
]  # fmt: skip


@pytest.mark.parametrize("arguments", READERS, ids=lambda arguments: arguments[0])
def test_a_pipe_is_refused_at_once(vram, tmp_path, monkeypatch, arguments):
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setenv(catalog.MODELS_VARIABLE, "")  # so that what --models sets ends with the test
    status, out, err = vram(*arguments, tmp_path / "pipe")
    assert (status, out) == (2, "")
    assert "it is not a regular file" in err


@pytest.mark.parametrize("command", [("audit",), ("read",), ("export", "-o", "out.xlsx")], ids=lambda c: c[0])
def test_other_formats_are_refused_in_one_clear_sentence(vram, tmp_path, command):
    with zipfile.ZipFile(tmp_path / "a.ods", "w") as package:
        package.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        package.writestr("content.xml", "<office:document-content/>")
    status, _, err = vram(*command, tmp_path / "a.ods")
    assert status == 2
    assert "it is an OpenDocument workbook (.ods), not an .xlsx. Save it as .xlsx" in err
    stream = "Workbook".encode("utf-16-le")
    (tmp_path / "a.xls").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504) + stream + bytes(500))
    status, _, err = vram(*command, tmp_path / "a.xls")
    assert status == 2 and "old .xls workbook" in err and len(err.splitlines()) == 1


def test_a_workbook_of_too_many_models_is_refused_at_once(vram, tmp_path, monkeypatch):
    monkeypatch.setenv(catalog.MODELS_VARIABLE, "")
    header = "name,model_type,num_hidden_layers,hidden_size,intermediate_size,num_attention_heads,vocab_size\n"
    rows = "".join(f"m{number},llama,2,64,128,4,256\n" for number in range(2500))
    (tmp_path / "own.csv").write_text(header + rows)
    status, _, err = vram("template", "-o", tmp_path / "t.xlsx", "--models", tmp_path / "own.csv")
    assert status == 2 and "the workbook takes at most 2,500. Name a file of fewer models with --models." in err
    assert not (tmp_path / "t.xlsx").exists()


def test_ctrl_c_while_the_command_is_imported_is_no_traceback():
    program = """
import sys
class Interrupted:
    def find_spec(self, name, path=None, target=None):
        if name == "vram.cli.main":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupted())
from vram.__main__ import main
main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8", cwd=ROOT)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_ctrl_c_while_a_command_runs_is_no_traceback():
    program = f"""
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background of a shell
import vram.estimates
vram.estimates.estimate = lambda *_, **__: os.kill(os.getpid(), {int(signal.SIGINT)})
sys.argv = ["vram", "estimate", "llama-3.1-8b", "--context", "8"]
from vram.__main__ import main
main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8", cwd=ROOT)
    assert (done.returncode, done.stdout) == (130, "")
    assert "Traceback" not in done.stderr


BIDI = "\u202egpj.exe\u2066\u200f\x9b31m"


def test_what_turns_text_around_is_escaped_in_what_is_printed(vram, tmp_path):
    folder = tmp_path / f"model{BIDI}"
    folder.mkdir()
    config = {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 128,
              "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 256}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    for arguments in (
        ("estimate", folder, "--context", 8), ("estimate", folder, "--context", 8, "--csv"), ("model", "show", folder),
        ("model", "show", folder, "--json"), ("plan", folder, "--users", 1, "--context", 64, "--gpu", "h100"),
        ("capacity", folder, "--gpu", "h100", "--context", 64), ("estimate", f"{folder}x", "--context", 8),
        ("export", folder, "-o", "out.xlsx"), ("audit", folder),
    ):  # fmt: skip
        _, out, err = vram(*arguments)
        assert not set(BIDI) - set("gpj.exe31m") & set(out + err), arguments
        assert "u202e" in out + err
    json.loads(vram("model", "show", folder, "--json")[1])


def test_no_cell_of_a_workbook_takes_what_turns_text_around():
    assert NOT_PRINTABLE.sub("", "a\u202ab\u202ec\u2066d\u2069e") == "abcde"
    assert json.loads(escaped_output('"a\u202eb\x9bc"')) == "a\u202eb\x9bc"
    assert escaped_output("\x1b[1mGB (10⁹)\x1b[0m 客服") == "\x1b[1mGB (10⁹)\x1b[0m 客服"
