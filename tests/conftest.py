"""What several test files share: the template, written once a session, and the command line."""

from __future__ import annotations

import sys

import pytest
from hypothesis import settings

from vram.cli import main as cli
from workbook.labels import LANGUAGES
from workbook.template import build

# How long an example takes depends on what else the machine does.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session", params=LANGUAGES)
def language(request) -> str:
    return request.param


@pytest.fixture(scope="session")
def planners(tmp_path_factory):
    """Language → the template's path."""
    folder = tmp_path_factory.mktemp("planner")
    paths = {}
    for lang in LANGUAGES:
        paths[lang] = folder / f"planner_{lang}.xlsx"
        paths[lang].write_bytes(build(lang)[0])
    return paths


@pytest.fixture(scope="session")
def planner(planners, language):
    """The template in one language; tests that use it run for each."""
    return planners[language]


@pytest.fixture
def vram(monkeypatch, capsys):
    """Runs the command line in process: arguments → (exit status, stdout, stderr)."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["vram", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out, err = capsys.readouterr()
        return stop.value.code or 0, out, err

    return run
