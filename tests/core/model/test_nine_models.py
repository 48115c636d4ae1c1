"""Nine models that many calculators get wrong, from the command line, to the last printed digit.

32 768 tokens × 10 users in 16 bits; weights as shipped. DeepSeek's latent cache is complete on each of 8 ranks.
"""

import json

import pytest
from click.testing import CliRunner

from tools import golden_tables
from vram.cli.main import vram

GIB = 2**30


def estimated(tmp_path, row, *options):
    path = tmp_path / f"{row['model']}.json"
    path.write_text(row["config"], encoding="utf-8")
    arguments = ["estimate", str(path), "--context", "32768", "--users", "10", "--json", *options]
    result = CliRunner().invoke(vram, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


@pytest.mark.parametrize("row", golden_tables.rows("nine_models"), ids=golden_tables.ids("nine_models"))
def test_parameters_weights_and_cache(tmp_path, row):
    found = estimated(tmp_path, row)
    assert found["parameters"] == int(row["parameters"])
    assert f"{found['weights_bytes'] / 10**9:.2f}" == row["weights_gb"]
    assert found["kv_bytes_per_token"] == int(row["kv_bytes_per_token"])
    digits = len(row["kv_gib_10_users"].partition(".")[2])
    assert f"{found['kv_bytes'] / GIB:.{digits}f}" == row["kv_gib_10_users"]


@pytest.mark.parametrize("row", [row for row in golden_tables.rows("nine_models") if row["kv_gib_per_gpu_tp8"]],
                         ids=lambda row: row["model"])  # fmt: skip
def test_latent_cache_is_not_split_over_ranks(tmp_path, row):
    found = estimated(tmp_path, row, "--tp", "8")
    assert f"{found['kv_bytes_per_gpu'] / GIB:.3f}" == row["kv_gib_per_gpu_tp8"]


def test_the_recurrent_state_is_reported(tmp_path):
    row = next(row for row in golden_tables.rows("nine_models") if row["model"] == "qwen3-next-80b")
    found = estimated(tmp_path, row)
    assert f"{10 * found['kv_fixed_bytes_per_sequence'] / GIB:.2f}" == "0.72"
    assert [(layer["kind"], layer["count"]) for layer in found["layers"]] == [
        ("gated_delta_net", 36), ("full_attention", 12),
    ]  # fmt: skip


def test_impossible_tensor_parallel_size_is_an_error(tmp_path):
    row = golden_tables.rows("nine_models")[0]
    path = tmp_path / "config.json"
    path.write_text(row["config"], encoding="utf-8")
    result = CliRunner().invoke(vram, ["estimate", str(path), "--context", "1", "--tp", "7", "--json"])
    assert "7 does not divide the 64 attention heads" in str(result.exception)
