"""What several test files share: the template, written once a session, and the command line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from tests.workbook.planner_rows import few
from vram.cli import main as cli
from workbook.files import folder_lock, write_whole
from workbook.labels import LANGUAGES
from workbook.template import build

# Random examples of each law; more with `--hypothesis-profile=many`, as `make fuzz` tries, and fewer on other Pythons.
# How long an example takes depends on what else the machine does.
for profile, examples in {"few": 10, "usual": 50, "many": 1000}.items():
    settings.register_profile(profile, deadline=None, max_examples=examples)
settings.load_profile("usual")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put slow tests first, and those with other programs, so that no process is alone with a long one at the end."""
    items.sort(key=lambda item: not any(item.get_closest_marker(name) for name in ("slow", "needs")))


@pytest.fixture(scope="session", params=LANGUAGES)
def language(request) -> str:
    return request.param


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory, worker_id) -> Path:
    """The folder of files that all test processes share."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def whole_planner(shared_folder) -> Path:
    """The template in English, which takes 15 seconds to write: written once for all test processes."""
    return written_once(shared_folder / "planner.xlsx", lambda: build("en")[0])


@pytest.fixture(scope="session")
def small_planners(shared_folder) -> dict[str, Path]:
    """Language → the path of a planner of a few models, with values."""
    paths = {}
    for lang in LANGUAGES:
        with few():
            paths[lang] = written_once(shared_folder / f"small_{lang}.xlsx", lambda lang=lang: build(lang)[0])
    return paths


def written_once(path: Path, make: Callable[[], bytes]) -> Path:
    """Write a file unless another test process has written it or is writing it now, and return its path."""
    with folder_lock(path.with_suffix("")):
        if not path.exists():
            write_whole(path, make())
    return path


@pytest.fixture(scope="session")
def planner(request, language) -> Path:
    """The template, whole in English and with a few models in other languages, whose rows have the same formulas."""
    return (
        request.getfixturevalue("whole_planner")
        if language == "en"
        else request.getfixturevalue("small_planners")[language]
    )


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
