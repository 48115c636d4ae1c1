"""Speed from the stored figures of the catalog's models is the speed that is computed from their shapes."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from core import catalog
from core.catalog.draft_models import drafted_models
from core.catalog.kernels import KINDS, kind_of_format
from core.plan.layout_figures import SHIPPED, WEIGHT_FORMATS
from core.plan.speed_figures import attention_row, draft_model_row, has_speed, own_draft_row, served_format, weight_row
from core.plan.speed_rows import (
    ATTENTION_FIGURES,
    CLASS_FIGURES,
    CLASSES,
    FORMAT_FIGURES,
    KIND_FIGURES,
    class_of_format,
    kind_number,
    stored_rows,
)
from tools.layout_table import SPEED_HEADER, speed_lines, table_text

ROOT = Path(__file__).parents[3]
CASES = int(os.environ.get("VRAM_PARITY_CASES", "2000"))
SHAPED = {drafted.name: drafted for drafted in drafted_models() if has_speed(drafted.model.spec)}


def test_stored_rows_are_those_of_the_models():
    """A sample here, and every model in `make parity`; renew them with `python -m tools.layout_table`."""
    known = list(SHAPED.values()) if CASES >= 100_000 else random.Random(5).sample(list(SHAPED.values()), 20)
    stored = (ROOT / "core/plan/data/speeds.csv").read_text(encoding="utf-8").splitlines()
    for drafted in known:
        renewed = table_text(SPEED_HEADER, [speed_lines(drafted)]).splitlines()[1:]
        assert [line for line in stored if line.startswith(f"{drafted.name},")] == renewed, drafted.name
    assert {model for model, *_ in stored_rows()} == set(SHAPED)


def test_every_format_is_in_one_class():
    assert sorted(name for formats in CLASSES.values() for name in formats) == sorted(WEIGHT_FORMATS)


def test_rows_give_every_format_its_own_figures():
    """The figures of its class and its own figures make up the row of a format."""
    chosen = random.Random(7)
    for _ in range(min(CASES, 2000)):
        (model, tp, groups), row = chosen.choice(list(stored_rows().items()))
        name = chosen.choice(WEIGHT_FORMATS)
        spec, group = SHAPED[model].model.spec, class_of_format(name)
        draft = SHAPED[model].draft
        precision = None if name == SHIPPED else catalog.precision("precision", name)
        served = served_format(spec, precision)
        of_draft = draft_model_row(draft.spec, spec, tp // groups) if draft else own_draft_row(spec, served, tp, groups)
        expected = vars(weight_row(spec, served, tp, groups)) | vars(of_draft)
        for figure, value in expected.items():
            suffix = group if figure in CLASS_FIGURES else name if figure in FORMAT_FIGURES else ""
            if figure in KIND_FIGURES:
                found = row.get(f"{figure}_{group}") or kind_number(name)
                if figure == "expert_kind" and not expected["expert_bytes"]:
                    continue
            else:
                found = row.get(f"{figure}_{suffix}" if suffix else figure, 0)
            assert found == value, (model, tp, groups, name, figure)
        attention = vars(attention_row(spec, tp // groups))
        assert {figure: row.get(figure, 0) for figure in ATTENTION_FIGURES} == attention


@pytest.mark.parametrize("name", ["fp8_tensor", "awq", "q4_k_m", "fp32"])
def test_the_kind_of_a_format(name):
    assert KINDS[kind_number(name) - 1] == kind_of_format(catalog.precision("precision", name))


def test_formats_whose_kind_depends_on_the_model():
    assert [name for name in WEIGHT_FORMATS if not kind_number(name)] == ["mxfp4", "nvfp4", SHIPPED]
