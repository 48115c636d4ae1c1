"""Fixtures: the wheel of the cell functions, built once, as a file and unpacked."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from addin.lite_wheel import build_wheel


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    name, content = build_wheel()
    path = tmp_path_factory.mktemp("published") / name
    path.write_bytes(content)
    return path


@pytest.fixture(scope="session")
def wheel_folder(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder
