"""What the pages of documentation refer to exists: links, files, commands, options, make targets, formulas."""

from __future__ import annotations

import re
import shlex

import click
import pytest

import vram_udf
from addin.functions import declared_functions
from tests.paths import ROOT
from vram.cli.main import vram
from workbook.scenario import FIELDS

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
CODE_FOLDERS = "core|vram|workbook|addin|tests|tools|docs|benchmarks"


@pytest.fixture(params=PAGES, ids=lambda path: path.name)
def page(request):
    return request.param


def _anchors(path):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text(encoding="utf-8")):
        name, _, anchor = target.partition("#")
        path = page.parent / name if name else page
        assert path.exists(), target
        assert not anchor or anchor in _anchors(path), target


def test_files_in_backticks_exist(page):
    text = page.read_text(encoding="utf-8")
    for name in re.findall(rf"`((?:{CODE_FOLDERS})/[\w./-]+)`", text):
        assert (ROOT / name).exists(), name


def test_commands_and_options_exist(page):
    text = page.read_text(encoding="utf-8")
    in_blocks = re.findall(r"^(?:\$ |    )(vram .+)$", text, re.MULTILINE)
    for line in in_blocks + re.findall(r"`(vram [^`]+)`", text):
        _parse(shlex.split(line.partition(" #")[0])[1:])


def _parse(arguments):
    command: click.Command = vram
    context = click.Context(command)
    while isinstance(command, click.Group) and arguments:
        found = command.get_command(context, arguments[0])
        assert found is not None, arguments
        command, arguments = found, arguments[1:]
    command.make_parser(click.Context(command)).parse_args(list(arguments))


def test_make_targets_exist(page):
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = re.findall(r"(?:`|^)make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(named) <= targets


def test_the_columns_of_a_csv_file_are_all_described():
    text = (ROOT / "docs/command-line.md").read_text(encoding="utf-8")
    table = text.partition("| column | needed | meaning | default |")[2].partition("\n\n")[0]
    first_cells = re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE)
    assert re.findall(r"`(\w+)`", " ".join(first_cells)) == [field.name for field in FIELDS]


# A formula with constant arguments, and the figure, figures or error that a cell shows for it.
EXAMPLES = re.findall(
    r"^\| `=(VRAM_\w+)\((.*)\)` \| (.+) \|$", (ROOT / "docs/excel.md").read_text(encoding="utf-8"), re.MULTILINE
)


@pytest.mark.parametrize(("name", "arguments", "shown"), EXAMPLES)
def test_formulas_give_what_the_page_says(name, arguments, shown):
    parts = re.findall(r'\{[^}]*\}|"[^"]*"|[^,\s]+|(?<=,)(?=,)', arguments)
    result = getattr(vram_udf, name)(*map(_cells, parts))
    for cell, text in zip(result[0] if isinstance(result, list) else [result], shown.split(", "), strict=True):
        assert cell == text if text.startswith("#") else round(cell, len(text.partition(".")[2])) == float(text)


def _cells(argument):
    if argument.startswith("{"):
        return [[float(number) for number in argument.strip("{}").split(",")]]
    if argument.startswith('"'):
        return [[argument.strip('"')]]
    return [[float(argument)]] if argument else None


def test_every_function_but_four_has_an_example():
    assert {function.name for function in declared_functions()} - {name for name, _, _ in EXAMPLES} == {
        "VRAM_BREAKDOWN",  # gives a table
        "VRAM_CHECK",  # gives a sentence, which the page quotes
        "VRAM_LIST",  # gives a column
        "VRAM_PLAN",  # gives a table
    }


def test_the_glossary_is_sorted_and_bilingual():
    text = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")
    rows = [row.strip("| ").split(" | ") for row in text.splitlines() if row.startswith("| ")][1:]
    terms = [term.casefold() for term, _, _ in rows]
    assert terms == sorted(set(terms))
    assert len(terms) > 100
    assert all(chinese and meaning.endswith(".") for _, chinese, meaning in rows)
