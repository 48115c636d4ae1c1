"""Test `vram model`, and models that other commands find by file or name."""

from __future__ import annotations

import json
import os

import pytest
from click.testing import CliRunner

from core import catalog
from core.catalog.rows import BadRowError, read_rows
from core.errors import PlannerError, UnknownNameError
from core.readers.files import UnreadableFileError
from tests.core.readers import gguf_files
from vram.cli.main import main, vram


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run `vram` in a folder with one GGUF model and return its output."""
    gguf_files.write(tmp_path / "tiny.gguf")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(catalog.MODELS_VARIABLE, "")

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(vram, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    return run


def test_import_adds_a_row_that_the_commands_then_know(run):
    card = json.loads(run("model", "import", "tiny.gguf", "--add-to", "my.csv", "--json"))
    assert card["parameters"] == gguf_files.LLAMA_PARAMETERS
    assert sum(card["stored_bytes_by_dtype"].values()) == card["stored_weights_bytes"]
    run("model", "import", "tiny.gguf", "--add-to", "my.csv", "--name", "tiny two")
    assert [row["name"] for row in read_rows("my.csv")] == ["tiny", "tiny two"]
    listed = json.loads(run("model", "list", "--models", "my.csv", "--search", "TINY", "--json"))
    assert [card["name"] for card in listed][:2] == ["tiny", "tiny two"]  # own models first
    shown = json.loads(run("model", "show", "tiny two", "--models", "my.csv", "--json"))
    assert shown["parameters"] == gguf_files.LLAMA_PARAMETERS
    estimated = json.loads(run("estimate", "tiny", "--models", "my.csv", "--context", "10", "--json"))
    assert estimated["weights_bytes"] == 2 * gguf_files.LLAMA_PARAMETERS


def test_import_refuses_a_name_that_is_taken_and_leaves_the_file(run, tmp_path):
    run("model", "import", "tiny.gguf", "--add-to", "my.csv")
    before = (tmp_path / "my.csv").read_bytes()
    with pytest.raises(BadRowError, match="my.csv, line 2, name: 'tiny' is in the file already"):
        run("model", "import", "tiny.gguf", "--add-to", "my.csv")
    assert (tmp_path / "my.csv").read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["my.csv", "tiny.gguf"]


def test_import_refuses_to_add_to_another_file(run, tmp_path):
    (tmp_path / "notes.csv").write_text("to do\n")
    with pytest.raises(UnreadableFileError, match="unknown column 'to do'"):
        run("model", "import", "tiny.gguf", "--add-to", "notes.csv")
    assert (tmp_path / "notes.csv").read_text() == "to do\n"


def test_import_refuses_a_file_named_as_a_formula(run, tmp_path):
    (tmp_path / "tiny.gguf").rename(tmp_path / "=1+1.gguf")
    with pytest.raises(PlannerError, match="name: '=1[+]1' starts like a formula"):
        run("model", "import", "=1+1.gguf", "--add-to", "my.csv")
    assert not (tmp_path / "my.csv").exists()


def test_import_refuses_what_the_catalog_has(run):
    with pytest.raises(PlannerError, match="is in the catalog already"):
        run("model", "import", "llama-3.1-8b", "--add-to", "my.csv")


def test_cards_are_tables_for_people(run):
    shown = run("model", "show", "tiny.gguf")
    assert f"{gguf_files.LLAMA_PARAMETERS:,}" in shown and "of these in Q4_K" in shown
    assert "llama-3.1-70b" in run("model", "list")
    assert run("model", "list", "--search", "no such").strip() == "No model has 'no such' in its name."


def test_markup_in_a_name_is_only_text(run, tmp_path):
    (tmp_path / "tiny.gguf").rename(tmp_path / "[bold]x[/nothing].gguf".replace("/", "|"))
    assert "[bold]x[|nothing]" in run("model", "show", "[bold]x[|nothing].gguf")
    assert "[bold]x" in run("estimate", "[bold]x[|nothing].gguf", "--context", "10")


@pytest.mark.parametrize("arguments", ["model show nope", "model show nope.gguf", "estimate x/ --context 1"])
def test_what_is_not_there_is_one_sentence_and_status_2(arguments, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["vram", *arguments.split()])
    with pytest.raises(SystemExit) as stopped:
        main()
    printed = capsys.readouterr()
    assert (stopped.value.code, printed.out, len(printed.err.splitlines())) == (2, "", 1)


def test_an_unknown_name_is_not_looked_for_on_the_hub():
    from vram.models import model as find_model

    with pytest.raises(UnknownNameError, match="Did you mean 'llama-3.1-70b'"):
        find_model("llama-3.1-70bb")


@pytest.mark.parametrize(
    ("name", "stored"), [("tiny.gguf", "4.53 bits"), ("qwen3:8b-q4_K_M", "q4_k_m"), ("qwen3-8b", "16 bits")]
)
def test_details_say_how_weights_are_stored(run, name, stored):
    details = json.loads(run("estimate", name, "--context", "100", "--json"))
    assert details["weights_as_shipped"] == f"as shipped ({stored})"
