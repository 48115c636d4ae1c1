"""A few models and GPUs, for planners that are quick to write and to read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.workbook.planner_rows import few


@pytest.fixture(scope="module")
def few_models() -> Iterator[None]:
    """Have a few models and GPUs, when the planners are written and when they are read."""
    with few():
        yield
