"""README and code say the same."""

from __future__ import annotations

import doctest
import re

import pytest

from addin.functions import declared_functions
from core import catalog
from core.plan.article import ArticleInputs, article_figures
from tests.paths import ROOT
from vram import estimate

README_FILES = ("README.md", "README.zh.md")
LONGEST_README = 150  # lines


def _text(readme):
    return (ROOT / readme).read_text(encoding="utf-8")


@pytest.mark.parametrize("readme", README_FILES)
def test_it_is_short(readme):
    assert len(_text(readme).splitlines()) <= LONGEST_README


@pytest.mark.parametrize("readme", README_FILES)
def test_the_function_table_is_the_declaration(readme):
    rows = [line for line in _text(readme).splitlines() if line.startswith("| `VRAM_")]
    assert [row.split("`")[1] for row in rows] == [function.signature for function in declared_functions()]


@pytest.mark.parametrize("readme", README_FILES)
def test_the_table_of_the_article_is_what_core_computes(readme):
    printed = article_figures(ArticleInputs())
    exact, real = (estimate(name, context=32_000, users=10) for name in ("article-llama-70b", "llama-3.1-70b"))
    table = _text(readme).partition("---:|---:|---:|")[2]
    rows = re.findall(r"^\| [^|]+ \| (.+) \| (.+) \| (.+) \|$", table, re.MULTILINE)
    cells = [[re.sub(r"[^\d.]", "", cell) for cell in row] for row in rows]
    per_token = [(each.kv_bytes / each.context / each.users) / 10**6 for each in (exact, real)]
    assert cells == [
        [f"{printed.weights_gb:g}", f"{exact.weights_bytes / 10**9:g}", f"{real.weights_bytes / 10**9:.2f}"],
        [f"{printed.kv_per_token_mb:g}", *(f"{megabytes:.2f}" for megabytes in per_token)],
        [f"{printed.kv_gb:g}", f"{exact.kv_bytes / 10**9:.2f}", f"{real.kv_bytes / 10**9:.2f}"],
        [f"{printed.total_gb:g}", f"{exact.total_gb:.2f}", f"{real.total_gb:.2f}"],
    ]


@pytest.mark.parametrize("readme", README_FILES)
def test_the_python_example_gives_what_it_prints(readme):
    code = "\n".join(re.findall(r"```python\n(.*?)```", _text(readme), re.DOTALL))
    example = doctest.DocTestParser().get_doctest(code, {}, readme, readme, 0)
    assert example.examples
    written: list[str] = []
    assert doctest.DocTestRunner().run(example, out=written.append).failed == 0, "".join(written)


@pytest.mark.parametrize("readme", README_FILES)
def test_the_catalog_has_about_as_many_models_as_it_says(readme):
    stated = int(re.search(r"(?:some|约) (\d+) (?:catalog names|个)", _text(readme))[1])
    assert abs(len(catalog.model_names()) - stated) < 10
