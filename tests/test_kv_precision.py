"""A checkpoint that states an FP8 KV cache gets one everywhere, unless a precision is named.

Sources: vLLM utils/torch_utils.py, resolve_kv_cache_dtype_string, and model_executor/layers/attention/attention.py.
"""

from __future__ import annotations

import json

import openpyxl
import pytest

import vram
import vram_udf
from core import catalog
from core.catalog.rows import row_of, with_row
from core.readers.hf_config import spec_from_config
from workbook.export.workbook import export_scenarios
from workbook.labels import Labels
from workbook.scenario import parse_scenario
from workbook.scenario_csv import CsvScenarios

LLAMA_8B = {
    "model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "intermediate_size": 14336,
    "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 131072,
    "tie_word_embeddings": False,
}  # fmt: skip
FP8 = {"num_bits": 8, "type": "float", "dynamic": False}
LINEAR = {"group_0": {"targets": ["Linear"], "weights": {"num_bits": 8, "type": "float", "strategy": "channel"}}}
COMPRESSED = {"quant_method": "compressed-tensors", "config_groups": LINEAR, "kv_cache_scheme": FP8}
TOKENS = 8_192
FP8_BYTES_PER_TOKEN = 2 * 32 * 8 * 128  # of Llama 3.1 8B: keys and values of 32 layers × 8 heads × 128 values


@pytest.mark.parametrize(
    ("settings", "precision"),
    [
        (COMPRESSED, "fp8"),
        ({"quant_method": "modelopt", "quant_algo": "FP8", "kv_cache_quant_algo": "FP8"}, "fp8"),
        ({"quant_method": "modelopt", "quant_algo": "FP8", "kv_cache_scheme": FP8}, "fp8"),
        ({"producer": {}, "quantization": {"quant_algo": "NVFP4", "kv_cache_quant_algo": "NVFP4"}}, "nvfp4"),
        (COMPRESSED | {"kv_cache_scheme": None}, "fp16"),
        (COMPRESSED | {"kv_cache_scheme": FP8 | {"type": "int"}}, "fp16"),
        ({"quant_method": "modelopt", "quant_algo": "FP8", "kv_cache_quant_algo": None}, "fp16"),
        ({"quant_method": "modelopt", "quant_algo": "FP8", "kv_cache_quant_algo": "INT3"}, "fp16"),
        ({"quant_algo": "FP8", "kv_cache_scheme": "FP8"}, "fp8"),
        ({"quant_method": "fp8"}, "fp16"),
    ],
)
def test_what_a_checkpoint_asks_for(settings, precision):
    spec = spec_from_config(LLAMA_8B | {"quantization_config": settings}, name="m")
    assert catalog.cache_precision(spec).name == precision
    assert catalog.cache_precision(spec, catalog.precision("kv_precision", "int8")).name == "int8"
    asked = [note for note in spec.notes if note.startswith("kv_cache_")]
    assert len(asked) == (precision != "fp16") and all(f"in {precision}," in note for note in asked)


def test_models_of_the_catalog_have_a_cache_in_16_bits_but_for_some_copies():
    """NVIDIA's copies in FP8 and NVFP4 have the field (config.json or hf_quant_config.json next to it)."""
    asking = [model for model in catalog.models() if catalog.cache_precision(model.spec).name != "fp16"]
    assert {catalog.cache_precision(model.spec).name for model in asking} == {"fp8"}
    assert "glm-5.1-nvfp4" in {model.name for model in asking}
    assert all(model.name.endswith(("-nvfp4", "-fp8")) for model in asking)


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Return a model of the user's own file that states FP8, and the path of the same config.json."""
    config = LLAMA_8B | {"quantization_config": COMPRESSED}
    path, rows = tmp_path / "model" / "config.json", tmp_path / "own.csv"
    path.parent.mkdir()
    path.write_text(json.dumps(config))
    row = row_of(config, name="own-fp8", aliases=(), title="Own", source="x", as_of="2026-01-01")
    rows.write_bytes(with_row(b"", row))
    monkeypatch.setenv(catalog.MODELS_VARIABLE, str(rows))
    return "own-fp8", str(path)


WRITTEN = pytest.mark.parametrize(
    ("written", "width"), [(None, 1), ("shipped", 1), ("fp8", 1), ("fp16", 2), (0.5, 0.5)]
)


@WRITTEN
def test_command_line_and_api(own, written, width, vram_command):
    option = () if written is None else ("--kv-precision", written)
    for model in own:
        found = vram.estimate(model, context=TOKENS, users=3, kv_precision=written)
        assert found.kv_bytes_per_token == FP8_BYTES_PER_TOKEN * width
        assert found.kv_bytes == found.kv_bytes_per_token * TOKENS * 3
        assert vram.model(model).kv_bytes_per_token(written) == found.kv_bytes_per_token
        _, printed, _ = vram_command("estimate", model, "--context", TOKENS, "--users", 3, "--json", *option)
        assert json.loads(printed)["total_bytes"] == found.total_bytes
        _, printed, _ = vram_command("capacity", model, "--gpu", "l4", "--context", TOKENS, "--json", *option)
        assert json.loads(printed)["kv_bytes_per_token_per_gpu"] == found.kv_bytes_per_token


@WRITTEN
def test_cells(own, written, width):
    model, _ = own
    expected = vram.estimate(model, context=TOKENS, users=3, kv_precision=width)
    assert vram_udf.VRAM_KV(model, TOKENS, 3, written, "B") == expected.kv_bytes
    assert vram_udf.VRAM_KV_PER_TOKEN(model, written, "B") == expected.kv_bytes_per_token
    assert vram_udf.VRAM_TOTAL(model, TOKENS, 3, None, written, None, "B") == expected.total_bytes
    grid = vram_udf.VRAM_TOTAL(model, [[1.0], [float(TOKENS)]], [[1.0, 3.0]], None, written, None, "B")
    assert grid[1][1] == expected.total_bytes
    assert vram_udf.VRAM_BREAKDOWN(model, TOKENS, 3, None, written, None, "B")[1][1] == expected.kv_bytes
    options = vram.plan(model, users=400, context=TOKENS, gpus=["l4"], kv_precision=width, min_speed=None).options
    assert vram_udf.VRAM_GPUS(model, TOKENS, 400, "l4", None, written) == min(option.gpus for option in options)


@WRITTEN
def test_speed(own, written, width):
    model, _ = own
    load = {"gpu": "l4", "users": 3, "prompt_tokens": 2000, "output_tokens": 500}
    found = vram.speed(model, kv_precision=written, **load).expected
    assert found == vram.speed(model, kv_precision=width, **load).expected
    in_cell = vram_udf.VRAM_SPEED(model, 2000, 500, 3, "l4", 1, None, written)
    assert in_cell == pytest.approx(found.tokens_per_second_per_user)


@WRITTEN
def test_scenarios_and_exported_pages(own, written, width, tmp_path):
    fields = {"scenario": "s", "model": own[0], "context": TOKENS, "users": 3, "engine": "rule", "gpu": "l4"}
    fields |= {} if written is None else {"kv_precision": written}
    expected = vram.estimate(own[0], context=TOKENS, users=3, kv_precision=width)
    scenario, problems = parse_scenario(fields)
    assert problems == [] and scenario.estimate.total_bytes == expected.total_bytes
    file, pages = tmp_path / "scenarios.csv", tmp_path / "pages.xlsx"
    file.write_text("\n".join(",".join(map(str, line)) for line in (fields, fields.values())))
    assert next(CsvScenarios(file).given_rows()).scenario.estimate.kv_bytes == expected.kv_bytes
    export_scenarios(pages, CsvScenarios(file), "en")
    numbers = {
        round(cell.value, 6)
        for sheet in openpyxl.load_workbook(pages, data_only=True)
        for row in sheet
        for cell in row
        if isinstance(cell.value, (int, float))
    }
    assert round(expected.total_gb, 6) in numbers


def test_the_answer_says_so(own, vram_command):
    name, _ = own
    for model in own:
        _, printed, _ = vram_command("estimate", model, "--context", TOKENS)
        assert "KV cache, fp8" in printed and "kv_cache_scheme: engines keep the KV cache" in printed
        assert vram.speed(model, gpu="l4", users=1, prompt_tokens=9, output_tokens=9).kv_precision == "fp8"
    assert "kv_cache_scheme" in vram_udf.VRAM_CHECK(name, TOKENS)
    assert vram_udf.VRAM_MODEL(name, "kv_precision") == "fp8"


def test_the_sheet_of_models_has_it(own):
    from workbook.sheets import models

    (column,) = [column for column in models._COLUMNS if column.key == "cache"]
    assert [column.value(catalog.model(name)) for name in (own[0], "llama-3.1-8b")] == ["fp8", "fp16"]
    assert column.header(Labels("en"))
