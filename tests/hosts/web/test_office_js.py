"""Test the cell functions for Excel on Mac and on the web: every host must give the same names, texts and results."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import pytest

import vram_udf
from addin.functions import declared_functions
from tests.hosts.web import hosts
from tests.hosts.web.cases import CASES
from tests.hosts.web.office_js import OMITTED, call, cell, result

pytestmark = pytest.mark.needs("node")

CALLS = [case.request for case in CASES]
EXPECTED = {case.name: case.answer for case in CASES}


def test_on_xlwings_pipeline(wheel_folder: Path) -> None:
    report = hosts.pipeline(wheel_folder, CALLS)

    assert _functions(report.metadata) == _declared()
    assert _by_name(report.answers) == EXPECTED


def test_on_xlwings_lite(wheel: Path) -> None:
    report = hosts.lite(wheel, CALLS)

    assert _functions(report.metadata) == _declared()
    assert _associated(report.code) == {function.name for function in declared_functions()}
    assert _by_name(report.answers) == EXPECTED


def test_on_xlwings_server_with_fifty_clients_at_once(wheel_folder: Path, tmp_path: Path) -> None:
    """Fifty clients make twenty different calls each; every call gets its own result."""
    clients, calls_each = 50, 20
    start = threading.Barrier(clients)

    def client(number: int) -> list[tuple[int, object]]:
        connection = HTTPConnection(*address, timeout=hosts.SECONDS_TO_ANSWER)
        try:
            connection.connect()
            start.wait(timeout=hosts.SECONDS_TO_ANSWER)
            contexts = [1000 + number * calls_each + i for i in range(calls_each)]
            return [(context, hosts.post_call(connection, _grid_call(context))) for context in contexts]
        finally:
            connection.close()

    with hosts.running_server(wheel_folder, tmp_path / "project") as address:
        report = hosts.server_report(address, CALLS)
        with ThreadPoolExecutor(clients) as pool:
            answers = [answer for answers in pool.map(client, range(clients)) for answer in answers]
        connection = HTTPConnection(*address, timeout=hosts.SECONDS_TO_ANSWER)
        manifest = hosts.get(connection, "/manifest").decode()
        connection.close()

    assert _functions(report.metadata) == _declared()
    assert _associated(report.code) == {function.name for function in declared_functions()}
    assert "<Namespace" not in manifest, "formulas would need a prefix that the Windows add-in does not have"
    assert _by_name(report.answers) == EXPECTED
    assert [context for context, _ in answers] == list(range(1000, 1000 + clients * calls_each))
    wrong = [(context, answer) for context, answer in answers if answer != _grid_answer(context)]
    assert not wrong, f"{len(wrong)} of {len(answers)} answers are wrong, the first: {wrong[0]}"


def test_plain_python_needs_no_licence_key(wheel_folder: Path, tmp_path: Path) -> None:
    program = "import json, vram_udf; print(json.dumps([vram_udf.__file__, vram_udf.VRAM_WEIGHTS(70)]))"
    variables = hosts.environment(PYTHONPATH=str(wheel_folder), HOME=str(tmp_path), USERPROFILE=str(tmp_path))

    file, weights_gb = hosts.run_python(program, variables)

    assert Path(file) == wheel_folder / "vram_udf.py"
    assert weights_gb == 140  # the article: 70 x 10^9 parameters of 2 bytes


def _grid_call(context: int) -> dict[str, object]:
    users = [[1, 10, "x"]]
    return call("VRAM_TOTAL", (cell("llama-3.1-70b"), cell(context), users, cell("fp8"), OMITTED, OMITTED, cell("B")))


def _grid_answer(context: int) -> list[list[object]]:
    return result(vram_udf.VRAM_TOTAL("llama-3.1-70b", context, [[1, 10, "x"]], "fp8", None, None, "B"))


def _by_name(answers: list[object]) -> dict[str, object]:
    assert len(answers) == len(CASES) == len(EXPECTED)
    return {case.name: answer for case, answer in zip(CASES, answers)}


def _declared() -> list[tuple]:
    return sorted(
        (f.name, f.description, tuple((a.name, a.description, a.optional) for a in f.arguments))
        for f in declared_functions()
    )


def _functions(metadata: dict) -> list[tuple]:
    """Return the function metadata that a user sees; checks that errors and ranges are passed unchanged."""
    assert metadata["allowErrorForDataTypeAny"] is True
    for function in metadata["functions"]:
        assert function["result"] == {"dimensionality": "matrix", "type": "any"}
        assert all((p["dimensionality"], p["type"]) == ("matrix", "any") for p in function["parameters"])
    return sorted(
        (f["name"], f["description"], tuple((p["name"], p["description"], "optional" in p) for p in f["parameters"]))
        for f in metadata["functions"]
    )


def _associated(code: str) -> set[str]:
    return set(re.findall(r'CustomFunctions\.associate\("(\w+)"', code))
