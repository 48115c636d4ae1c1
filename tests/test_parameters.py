"""Parameters counted from the architecture are those that the models' makers publish."""

import pytest

from core.parameters import count_parameters, tensors_with_counts
from core.readers.hf_config import spec_from_config
from core.tensors import EMBEDDING, EXPERT, HEAD, VISION
from core.weights import tensor_precision
from tests import golden_tables


@pytest.mark.parametrize("row", golden_tables.rows("parameters"), ids=golden_tables.ids("parameters"))
def test_counted_parameters_are_the_published_total(row):
    spec = spec_from_config(golden_tables.config(row), name=row["model"])
    assert count_parameters(spec).total == int(row["parameters"])


@pytest.mark.parametrize(
    "row", golden_tables.rows("parameters_that_differ"), ids=golden_tables.ids("parameters_that_differ")
)
def test_totals_that_count_something_else_differ_by_a_known_amount(row):
    """The published totals count what is stored: draft layers, scales, the head again. The reason is in the table."""
    spec = spec_from_config(golden_tables.config(row), name=row["model"])
    counted, published = count_parameters(spec).total, int(row["published"])
    assert counted == int(row["counted"])
    if row["reason"].startswith("the tied head"):
        embedding = count_parameters(spec).of(EMBEDDING)
        assert published - counted in (embedding, pytest.approx(embedding, abs=3000))
    elif row["reason"] == "stored scales are counted as parameters":
        scales = _stored_scales(spec)  # static FP8 stores a scale for the input beside that of the weights
        assert published - counted in (scales, 2 * scales)
    else:
        assert abs(published - counted) < 0.07 * counted


def _stored_scales(spec):
    scales = 0
    for tensor, times in tensors_with_counts(spec):
        precision = tensor_precision(tensor, spec, 1, None)
        if precision is None:
            continue
        if precision.tile_rows:
            tiles = -(-tensor.rows // precision.tile_rows) * -(-tensor.columns // precision.tile_columns)
            scales += tiles * tensor.copies * times
        elif precision.row_bytes:
            scales += tensor.rows * tensor.copies * times
        else:
            scales += tensor.copies * times
    return scales


@pytest.mark.parametrize(
    ("model", "active"),
    [
        ("mixtral-8x7b", 12_879_925_248),  # Jiang et al. 2024, arXiv:2401.04088: "13B active parameters"
        ("deepseek-v3", 37_552_297_472),  # arXiv:2412.19437: 37B activated; embedding and head counted with them
        ("gpt-oss-120b", 5_711_982_912),  # arXiv:2508.10925, table 1: 5.13B active, the embedding (0.58B) left out
    ],
)
def test_active_parameters(model, active):
    row = next(row for row in golden_tables.rows("nine_models") if row["model"] == model)
    assert count_parameters(spec_from_config(golden_tables.config(row), name=model)).active == active


def test_groups_of_tensors_are_told_apart():
    rows = {row["model"]: row for row in golden_tables.rows("nine_models")}
    mixtral = count_parameters(spec_from_config(golden_tables.config(rows["mixtral-8x7b"]), name="m"))
    assert mixtral.of(EXPERT) == 32 * 8 * 3 * 4096 * 14336
    assert mixtral.of(EMBEDDING) == mixtral.of(HEAD) == 32000 * 4096
    gemma = count_parameters(spec_from_config(golden_tables.config(rows["gemma-3-27b"]), name="g"))
    assert gemma.of(HEAD) == 0
    assert gemma.of(VISION) == 27_432_406_640 - 27_009_346_304  # the whole model less its text part
