"""The command line: what it prints, and that bad input is one sentence and exit status 2."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import openpyxl
import pytest

from core import __version__
from tests.workbook.planner_rows import few

CONFIG = {
    "model_type": "llama",
    "hidden_size": 8192,
    "intermediate_size": 28672,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
}


def estimate(vram, *arguments):
    status, out, err = vram("estimate", *arguments, "--json")
    assert (status, err) == (0, "")
    return json.loads(out)


def test_estimate_of_the_articles_model(vram):
    # Origin: the article without its rounding: 140 GB, 2 622 720 bytes × 32 000 × 10, a tenth of both.
    result = estimate(vram, "article-llama-70b", "--context", 32000, "--users", 10)
    assert result["parameters"] == 70_000_000_000
    assert result["kv_bytes_per_token"] == 2_622_720
    assert result["weights_bytes"] == 140_000_000_000
    assert result["kv_bytes"] == 839_270_400_000
    assert result["overhead_bytes"] == 97_927_040_000
    assert result["total_bytes"] == 1_077_197_440_000


def test_estimate_of_the_real_model(vram):
    result = estimate(vram, "meta-llama/Llama-3.1-70B-Instruct", "--context", 32000, "--users", 10)
    assert result["model"] == "llama-3.1-70b"
    assert result["parameters"] == 70_553_706_496
    assert result["kv_bytes_per_token"] == 327_680
    assert result["kv_bytes"] == 104_857_600_000


def test_estimate_of_a_config_file(vram, tmp_path):
    path = tmp_path / "my-model" / "config.json"
    path.parent.mkdir()
    path.write_text(json.dumps(CONFIG))
    result = estimate(vram, path, "--context", 1000)
    assert result["model"] == "my-model"
    assert result["parameters"] == 70_553_706_496


def test_sizes_are_integers(vram):
    result = estimate(
        vram, "llama-3-8b", "--context", 1001, "--users", 3, "--kv-precision", 0.5625, "--overhead", 0.123
    )
    assert all(isinstance(result[key], int) for key in result if key.endswith("bytes") or key == "parameters")
    assert result["total_bytes"] == result["weights_bytes"] + result["kv_bytes"] + result["overhead_bytes"]


@pytest.mark.parametrize(
    ("precision", "weights_bytes"), [("fp32", 4), ("bf16", 2), ("FP8", 1), ("int4", 0.5), ("1.5", 1.5)]
)
def test_precisions(vram, precision, weights_bytes):
    result = estimate(vram, "llama-2-7b", "--context", 10, "--precision", precision)
    assert result["weights_bytes"] == 6_738_415_616 * weights_bytes


def test_estimate_for_people(vram):
    status, out, _ = vram("estimate", "llama-3.1-70b", "--context", 32000, "--users", 10)
    assert status == 0
    for figure in ("141.11", "104.86", "24.60", "270.56", "327,680"):
        assert figure in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["estimate", "lama-3.1-70b", "--context", 10], ["lama-3.1-70b", "Did you mean 'llama-3.1-70b'?"]),
        (["estimate", "zzz", "--context", 10], ["'zzz' is not known"]),
        (["estimate", "llama-3-8b", "--context", 0], ["context", "0 is below 1"]),
        (["estimate", "llama-3-8b", "--context", -5], ["context", "-5 is below 1"]),
        (["estimate", "llama-3-8b", "--context", 1.5], ["context", "not a whole number"]),
        (["estimate", "llama-3-8b", "--context", "nan"], ["context", "not a finite number"]),
        (["estimate", "llama-3-8b", "--context", "inf"], ["context", "not a finite number"]),
        (["estimate", "llama-3-8b", "--context", 1e30], ["context", "is above 100,000,000"]),
        (["estimate", "llama-3-8b", "--context", "32Q"], ["context", "'32Q' is not a number"]),
        (["estimate", "llama-3-8b"], ["--context"]),
        (["estimate", "llama-3-8b", "--context", 10, "--users", 0], ["users", "0 is below 1"]),
        (["estimate", "llama-3-8b", "--context", 10, "--overhead", 10], ["overhead", "10 is above 1", "0.1"]),
        (["estimate", "llama-3-8b", "--context", 10, "--precision", "fp17"], ["precision", "Did you mean 'fp16'?"]),
        (["estimate", "llama-3-8b", "--context", 10, "--kv-precision", 16], ["kv_precision", "bytes, not bits"]),
        (["estimate", "missing.json", "--context", 10], ["missing.json", "No such file"]),
        (["estimate", "article-llama-70b", "--context", 10, "extra"], ["extra"]),
        (["template", "--lang", "fr"], ["fr"]),
        (["train", "llama-3-8b"], ["Missing option '--method'. Choose from: full, lora, qlora"]),
        (["estimate", "llama-3-8b", "--context", 10, "--csv", "--json"], ["either --json or --csv, not both"]),
        (["model", "list", "--csv", "--json"], ["either --json or --csv, not both"]),
        (["tempalte"], ["tempalte"]),
    ],
)
def test_bad_input_is_one_sentence(vram, arguments, words):
    status, out, err = vram(*arguments)
    assert status == 2
    assert out == ""
    assert err.startswith("vram: ") and err.count("\n") == 1
    assert all(word in err for word in words), err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (json.dumps(CONFIG | {"hidden_size": math.nan}).encode(), "hidden_size: nan is not a finite number"),
        (b'{"hidden_size": 1, "hidden_size": 2}', "it has the field 'hidden_size' twice"),
        (b"{}", "model_type: it is missing"),
        (json.dumps(CONFIG | {"model_type": "mystery"}).encode(), "'mystery' is not a supported architecture"),
        (json.dumps(CONFIG | {"hidden_size": "wide"}).encode(), "hidden_size: 'wide' is text, not a number"),
        (json.dumps(CONFIG | {"num_hidden_layers": -1}).encode(), "num_hidden_layers: -1 is below 1"),
        (json.dumps(CONFIG | {"num_key_value_heads": 7}).encode(), "num_key_value_heads: 7 does not divide"),
    ],
)
def test_unreadable_configs(vram, tmp_path, content, words):
    path = tmp_path / "config.json"
    path.write_bytes(content)
    status, out, err = vram("estimate", path, "--context", 10)
    assert (status, out) == (2, "")
    assert words in err and err.count("\n") == 1


def test_template_writes_the_planner_and_prints_the_article(vram, tmp_path):
    path = tmp_path / "new folder" / "planner.xlsx"
    with few():
        status, out, err = vram("template", "-o", path)
    assert (status, err) == (0, "")
    for figure in ("1,034", "800", "94", "242", "374", "1,077.20", "270.56"):
        assert figure in out
    assert openpyxl.load_workbook(path, data_only=True)["Checks"]["B5"].value == 1


def test_functions_writes_the_workbook_of_functions(vram, tmp_path):
    path = tmp_path / "functions.xlsx"
    with few():
        status, out, err = vram("functions", "-o", path, "--lang", "zh")
    assert (status, err, out) == (0, "", f"Wrote {path}\n")
    assert "LLM_TOTAL" in openpyxl.load_workbook(path, read_only=True).defined_names
    status, out, err = vram("functions", "-o", tmp_path / "functions.xls")
    assert status == 2 and "ends in .xlsx" in err


def test_template_in_chinese(vram, tmp_path):
    with few():
        status, out, _ = vram("template", "-o", tmp_path / "p.xlsx", "--lang", "zh")
    assert status == 0
    assert "权重" in out
    assert "方案" in openpyxl.load_workbook(tmp_path / "p.xlsx").sheetnames


def test_template_that_cannot_be_written_leaves_the_old_file(vram, tmp_path):
    old = tmp_path / "planner.xlsx"
    old.mkdir()  # a folder in the file's place cannot be replaced, whoever runs the test
    status, _, err = vram("template", "-o", old)
    assert status == 2
    assert err.startswith("vram: ") and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == [old]


def test_version_and_help(vram):
    assert vram("--version")[:2] == (0, f"vram, version {__version__}\n")
    for command in ("estimate", "template"):
        status, out, _ = vram(command, "--help")
        assert status == 0 and out.startswith("Usage: vram")
    status, out, _ = vram()
    assert status == 2 and "estimate" in out and "template" in out


def test_as_a_process():
    """The installed entry point, and no traceback where input is bad."""
    command = [
        sys.executable,
        "-c",
        "from vram.cli.main import main; main()",
        "estimate",
        "llama-3-8b",
        "--context",
        "x",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
