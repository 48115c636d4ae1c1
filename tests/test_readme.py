"""README and code say the same."""

from __future__ import annotations

import pytest

from addin.functions import declared_functions
from tests.paths import ROOT


@pytest.mark.parametrize("readme", ["README.md", "README.zh.md"])
def test_the_function_table_is_the_declaration(readme):
    rows = [line for line in (ROOT / readme).read_text(encoding="utf-8").splitlines() if line.startswith("| `VRAM_")]
    assert [row.split("`")[1] for row in rows] == [function.signature for function in declared_functions()]


@pytest.mark.parametrize("readme", ["README.md", "README.zh.md"])
def test_pictures_and_links_are_there(readme):
    import re

    text = (ROOT / readme).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!http)([^)]+)\)", text):
        assert (ROOT / target).exists(), target
