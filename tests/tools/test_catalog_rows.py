"""Test the script that turns config.json files into rows of the catalog."""

from __future__ import annotations

import csv
import io
import json

import pytest

from core.catalog.rows import COLUMNS, read_rows
from tools import catalog_rows

SMALL = {"model_type": "llama", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "vocab_size": 10,
         "num_attention_heads": 2, "num_key_value_heads": 1, "architectures": ["LlamaForCausalLM"]}  # fmt: skip
PARAMETERS = 2 * 10 * 32 + 32 + 2 * (2 * 32 * 32 + 2 * 16 * 32 + 3 * 64 * 32 + 2 * 32)


def lines(*facts: dict[str, object]) -> str:
    return "\n".join(json.dumps(each) for each in facts)


def rows_of(path, capsys):
    catalog_rows.main([str(path), "--source", "a test", "--as-of", "2026-11-30"])
    out = capsys.readouterr()
    return list(csv.DictReader(io.StringIO(",".join(COLUMNS) + "\n" + out.out))), out.err


def test_folders_and_files_name_the_repository(tmp_path, capsys):
    (tmp_path / "acme" / "Nova-1B-Instruct").mkdir(parents=True)
    (tmp_path / "acme" / "Nova-1B-Instruct" / "config.json").write_text(json.dumps(SMALL))
    (tmp_path / "acme--Nova-2B_config.json").write_text(json.dumps(SMALL | {"hidden_size": 64}))
    (tmp_path / "generation_config.json").write_text("{}")
    rows, err = rows_of(tmp_path, capsys)
    assert [(row["name"], row["aliases"], row["developer"]) for row in rows] == [
        ("nova-1b", "acme/Nova-1B-Instruct", "acme"), ("nova-2b", "acme/Nova-2B", "acme"),
    ]  # fmt: skip
    assert rows[0]["source"] == "config.json of acme/Nova-1B-Instruct, seen in a test"
    assert err.endswith("2 rows, 0 known, 0 refused\n")


def test_a_list_says_what_is_known_of_a_model(tmp_path, capsys):
    file = tmp_path / "list.jsonl"
    file.write_text(lines(
        {"id": "acme/Nova", "config": SMALL, "parameters": str(PARAMETERS), "licence": "mit", "source": "a page"},
        {"id": "acme/Nova-Chat", "config": SMALL},  # the same shapes: an alias
        {"id": "acme/Nova-Own", "config": SMALL, "name": "nova-own"},
        {"id": "acme/Nova-Wrong", "config": SMALL | {"vocab_size": 11}, "parameters": "1"},
        {"id": "acme/Nova", "config": SMALL | {"vocab_size": 12}},
        {"id": "Qwen/Qwen3-8B", "config": SMALL},
        {"id": "acme/Strange", "config": {"model_type": "strange"}},
    ))  # fmt: skip
    rows, err = rows_of(file, capsys)
    assert [(row["name"], row["aliases"], row["published_parameters"]) for row in rows] == [
        ("nova", "acme/Nova;acme/Nova-Chat", str(PARAMETERS)), ("nova-own", "acme/Nova-Own", ""),
    ]  # fmt: skip
    assert (rows[0]["licence"], rows[0]["source"]) == ("mit", "a page")
    assert "refused: acme/Nova-Wrong" in err and "not 1" in err
    assert "the catalog has another model called nova" in err
    assert "known: Qwen/Qwen3-8B: qwen3-8b" in err
    assert "refused: acme/Strange" in err


def test_rows_are_added_to_the_file(tmp_path, capsys, monkeypatch):
    models = tmp_path / "models.csv"
    models.write_text(",".join(COLUMNS) + "\n")
    monkeypatch.setattr(catalog_rows, "MODELS", models)
    (tmp_path / "acme--Nova.json").write_text(json.dumps(SMALL))
    catalog_rows.main([str(tmp_path), "--source", "a test", "--as-of", "2026-11-30", "--add"])
    assert [row["name"] for row in read_rows(str(models))] == ["nova"]


def test_names_that_mean_no_model_are_listed(tmp_path, capsys):
    names = tmp_path / "names.txt"
    names.write_text("llama3.1:70b\n\nacme/Nova-7B\n")
    catalog_rows.main(["--missing", str(names)])
    out = capsys.readouterr()
    assert out.out == "acme/Nova-7B\n"
    assert out.err == "1 of 2 names mean no model of the catalog\n"


def test_something_must_be_given():
    with pytest.raises(SystemExit):
        catalog_rows.main([])
