"""What is installed has checksums, CI runs pinned actions, and an audit that could not run says so."""

from __future__ import annotations

import json
import re
from importlib.metadata import requires

import pytest

from tests.paths import ROOT
from tools.audit_dependencies import NOT_CHECKED, outcome

PIN = re.compile(r"^([\w.\[\]-]+)==(\S+)", re.MULTILINE)


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.partition("[")[0].casefold())


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-tests.txt"])
def test_every_pin_has_checksums_and_no_file_names_a_host(file):
    text = (ROOT / file).read_text(encoding="utf-8")
    pins = re.split(r"\n(?=\w)", text.partition("\n")[2])
    assert len(pins) > 20
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", pin) for pin in pins)
    assert "://" not in text


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-tests.txt"])
def test_the_checksums_are_of_the_versions_of_constraints(file):
    """A version that constraints.txt does not name at all is one for another system or Python."""
    constraints: dict[str, set[str]] = {}
    for name, version in PIN.findall((ROOT / "constraints.txt").read_text(encoding="utf-8").replace(";", " ;")):
        constraints.setdefault(plain(name), set()).add(version)
    for line in (ROOT / file).read_text(encoding="utf-8").splitlines():
        found = PIN.match(line)
        if found and ";" not in line:
            assert found[2] in constraints.get(plain(found[1]), {found[2]}), line


def test_what_pyproject_needs_is_in_the_file_of_users():
    needed = [re.match(r"[\w.-]+", one)[0] for one in requires("vram-planner") if "extra ==" not in one]
    pinned = {plain(name) for name, _ in PIN.findall((ROOT / "requirements.txt").read_text(encoding="utf-8"))}
    assert {plain(name) for name in needed} <= pinned


def test_actions_are_pinned_by_commit():
    workflows = [path.read_text(encoding="utf-8") for path in (ROOT / ".github/workflows").glob("*.yml")]
    used = [action for workflow in workflows for action in re.findall(r"uses: (\S+)", workflow)]
    assert len(workflows) == 2 and used and all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action) for action in used)


def test_an_audit_that_could_not_run_says_so():
    status, lines = outcome("", "Traceback\nrequests.exceptions.ConnectionError: no route to host\n")
    assert status == NOT_CHECKED
    assert lines == [
        "NOT CHECKED: no vulnerability was looked up (requests.exceptions.ConnectionError: no route to host)."
    ]
    assert outcome("{}", "")[0] == outcome('{"dependencies": []}', "")[0] == NOT_CHECKED
    only = {"dependencies": [{"name": "a", "skip_reason": "not found"}]}
    assert outcome(json.dumps(only), "")[0] == NOT_CHECKED


def test_an_audit_names_what_is_known():
    known = {"id": "PYSEC-1", "fix_versions": ["2.1"]}
    answer = {
        "dependencies": [{"name": "a", "version": "1", "vulns": []}, {"name": "b", "version": "2", "vulns": [known]}]
    }
    assert outcome(json.dumps(answer), "") == (
        1,
        ["b 2: PYSEC-1, fixed in 2.1", "2 versions checked, 1 known vulnerabilities"],
    )
    answer["dependencies"].pop()
    assert outcome(json.dumps(answer), "") == (0, ["1 versions checked, 0 known vulnerabilities"])
