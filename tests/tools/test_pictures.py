"""The pictures of the documentation: each belongs to a page that exists, and each page is found by its title."""

from __future__ import annotations

import re

import pytest

from tests.paths import ROOT
from tools import pictures
from workbook.labels import Labels, all_keys
from workbook.scenario_csv import CsvScenarios


def test_every_picture_is_shown_and_every_shown_one_is_drawn():
    pages = [*ROOT.glob("README*.md"), *(ROOT / "docs").glob("*.md")]
    shown = {
        name.rpartition("/")[2]
        for page in pages
        for name in re.findall(r"\]\(([\w./]+\.png)\)", page.read_text("utf-8"))
    }
    drawn = {picture.name for picture in (*pictures.PLANNER, *pictures.DECISION)}
    assert shown == drawn | {"speed.png"}  # `make speed` draws that one
    assert all((pictures.DOCS / name).stat().st_size < 500_000 for name in drawn)


def test_pages_begin_with_their_titles():
    pages = ["About\nPlan", "  Plan\nAbout", "Plan again"]
    assert pictures.page_of(pages, "Plan") == 2
    with pytest.raises(ValueError, match="no page begins with 'Options'"):
        pictures.page_of(pages, "Options")


def test_titles_are_those_of_the_workbook_and_of_the_tutorial():
    for picture in pictures.PLANNER:
        assert picture.title in all_keys() and Labels(picture.language)(picture.title)
    rows = [row.scenario for row in CsvScenarios(pictures.SCENARIOS).given_rows()]
    assert len(rows) == 20 and None not in rows
    assert {picture.title for picture in pictures.DECISION} == {rows[0].title}
