"""Test the wheel of the cell functions: its content, and that it installs without other packages."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from click.testing import CliRunner
from packaging.metadata import Metadata

import core
from addin import lite_wheel
from tests.hosts.web import hosts
from vram.cli.main import vram

pytestmark = pytest.mark.slow

REPOSITORY = Path(core.__file__).parents[1]


def test_it_contains_only_the_functions_and_core(wheel: Path) -> None:
    sources = {"vram_udf.py"} | {
        path.relative_to(REPOSITORY).as_posix()
        for path in (REPOSITORY / "core").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    metadata_folder = f"vram_functions-{core.__version__}.dist-info"
    assert set(members) == sources | {f"{metadata_folder}/{name}" for name in ("METADATA", "WHEEL", "RECORD")}
    assert {name: members[name] for name in sources} == {name: (REPOSITORY / name).read_bytes() for name in sources}
    assert {"core/catalog/data/models.csv", "core/catalog/names.py"} <= sources


def test_it_is_for_any_platform_and_has_no_dependencies(wheel: Path) -> None:
    assert wheel.name == f"vram_functions-{core.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        (path,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(path).decode())
    assert (metadata["Name"], metadata["Version"]) == ("vram-functions", core.__version__)
    assert metadata.get_all("Requires-Dist") is None


def test_an_index_accepts_its_metadata(wheel: Path) -> None:
    """PyPI refuses a package with invalid metadata; `packaging` is the library that it checks them with."""
    with zipfile.ZipFile(wheel) as archive:
        (path,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Metadata.from_email(archive.read(path), validate=True)
    assert metadata.description_content_type == "text/markdown"
    assert lite_wheel.REGISTER in str(metadata.description)
    assert metadata.license_expression == "Apache-2.0"


def test_it_is_reproducible(wheel: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TZ", "Asia/Kathmandu")

    assert lite_wheel.build_wheel() == (wheel.name, wheel.read_bytes())


def test_pip_installs_it_without_a_network(wheel: Path, tmp_path: Path) -> None:
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--target", str(tmp_path), str(wheel)]
    subprocess.run(install, env=hosts.environment(), check=True, capture_output=True, timeout=hosts.SECONDS_TO_START)

    program = "import json, core.catalog, vram_udf; print(json.dumps([core.catalog.__file__, vram_udf.__file__]))"
    files = hosts.run_python(program, hosts.environment(PYTHONPATH=str(tmp_path)))

    assert [Path(file) for file in files] == [tmp_path / "core" / "catalog" / "__init__.py", tmp_path / "vram_udf.py"]


def test_the_command_writes_it_and_prints_how_to_use_it(wheel: Path, tmp_path: Path) -> None:
    ran = CliRunner().invoke(vram, ["addin", "wheel", "-o", str(tmp_path / "new")])

    assert ran.exit_code == 0, ran.output
    assert (tmp_path / "new" / wheel.name).read_bytes() == wheel.read_bytes()
    assert [path.name for path in (tmp_path / "new").iterdir()] == [wheel.name]
    assert wheel.name in ran.output and lite_wheel.REGISTER in ran.output


def test_a_folder_that_cannot_be_written_gives_one_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    program = "import sys, vram.cli.main; sys.argv[1:] = ['addin', 'wheel', '-o', sys.argv[1]]; vram.cli.main.main()"
    command = [sys.executable, "-c", program, str(tmp_path / "file" / "folder")]
    ran = subprocess.run(command, cwd=REPOSITORY, capture_output=True, timeout=hosts.SECONDS_TO_ANSWER, check=False)

    assert ran.returncode == 2
    assert b"it cannot be written" in ran.stderr and b"Traceback" not in ran.stderr
    assert (tmp_path / "file").read_text() == "in the way"
