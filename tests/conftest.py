"""What several test files share: the template, written once a session, and the command line."""

from __future__ import annotations

import sys

import pytest
from hypothesis import settings

from vram.cli import main as cli
from workbook.files import folder_lock, write_whole
from workbook.labels import LANGUAGES
from workbook.template import build

# Random examples of each law; more with `--hypothesis-profile=many`, as `make fuzz` tries, and fewer on other Pythons.
# How long an example takes depends on what else the machine does.
for profile, examples in {"few": 10, "usual": 50, "many": 1000}.items():
    settings.register_profile(profile, deadline=None, max_examples=examples)
settings.load_profile("usual")


@pytest.fixture(scope="session", params=LANGUAGES)
def language(request) -> str:
    return request.param


@pytest.fixture(scope="session")
def planners(tmp_path_factory, worker_id):
    """Language → the template's path; written once for all test processes."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "planners"
    paths = {lang: folder / f"planner_{lang}.xlsx" for lang in LANGUAGES}
    folder.mkdir(exist_ok=True)
    with folder_lock(folder):
        for lang, path in paths.items():
            if not path.exists():
                write_whole(path, build(lang)[0])
    return paths


@pytest.fixture(scope="session")
def planner(planners, language):
    """The template in one language; tests that use it run for each."""
    return planners[language]


@pytest.fixture
def vram_command(vram):
    """The fixture `vram` for tests that import the package of that name."""
    return vram


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
