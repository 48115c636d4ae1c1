"""Random values in the fields of a config.json give a model or a clear error."""

from __future__ import annotations

import copy

from hypothesis import given
from hypothesis import strategies as st

from core.errors import PlannerError
from core.model.counts import model_counts
from core.readers.hf_config import spec_from_config
from tools import golden_tables

JUNK = st.sampled_from(
    [None, "x", "", -1, 0, 1, 0.5, 3, 10**12, float("inf"), float("nan"), True, [], [1], ["x"], {}, {"a": 1}]
)
CONFIGS = [golden_tables.config(row) for row in golden_tables.rows("parameters")]


@given(st.data())
def test_any_value_in_a_field_gives_a_model_or_a_clear_error(data):
    config = copy.deepcopy(data.draw(st.sampled_from(CONFIGS)))
    part = config
    nested = [name for name, value in config.items() if isinstance(value, dict)]
    if nested and data.draw(st.booleans()):
        part = config[data.draw(st.sampled_from(nested))]
    part[data.draw(st.sampled_from(sorted(part)))] = data.draw(JUNK)
    try:
        assert model_counts(spec_from_config(config, name="m")).parameters.total > 0
    except PlannerError as error:
        assert error.field and error.problem and error.remedy
