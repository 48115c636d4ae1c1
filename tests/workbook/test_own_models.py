"""Test that a planner lists the user's own models."""

from __future__ import annotations

import io

import openpyxl

from core import catalog
from tests.workbook.planner_rows import SMALL_CATALOG, few
from workbook.sheets import models
from workbook.template import build

OWN = """name,model_type,num_hidden_layers,hidden_size,intermediate_size,num_attention_heads,num_key_value_heads,vocab_size,source
house-model,llama,2,4096,14336,32,8,1000,"=HYPERLINK(""http://x"")"
"""


def test_the_planner_workbook_lists_own_models(tmp_path, monkeypatch):
    (tmp_path / "own.csv").write_text(OWN)
    monkeypatch.setenv(catalog.MODELS_VARIABLE, str(tmp_path / "own.csv"))
    with few({*SMALL_CATALOG, "house-model"}):
        content, _ = build("en")
    sheet = openpyxl.load_workbook(io.BytesIO(content))["Models"]
    cells = {
        heading.value: cell
        for heading, cell in zip(sheet[models.HEADER_ROW], sheet[models.FIRST_ROW + len(models.OWN_MODELS)])
    }
    assert cells["Model"].value == "house-model"
    assert cells["KV values per token"].value == 4096  # 2 layers × 2 × 8 heads × 128 values
    assert (cells["Source"].value, cells["Source"].data_type) == ('=HYPERLINK("http://x")', "s")
