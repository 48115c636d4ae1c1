"""Planners with a few models and GPUs, quick to write and to read: name `few_models` in a file that uses them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workbook.planner_rows import few
from workbook.labels import LANGUAGES
from workbook.template import build


@pytest.fixture(scope="module")
def few_models() -> Iterator[None]:
    """Have a few models and GPUs, when the planners are written and when they are read."""
    with few():
        yield


@pytest.fixture(scope="module")
def small_planners(tmp_path_factory) -> dict[str, Path]:
    """Language → the path of a planner with values."""
    folder = tmp_path_factory.mktemp("planners")
    paths = {lang: folder / f"planner_{lang}.xlsx" for lang in LANGUAGES}
    with few():
        for lang, path in paths.items():
            path.write_bytes(build(lang)[0])
    return paths
