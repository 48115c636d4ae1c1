"""Run the cell functions on three hosts: xlwings' pipeline, xlwings Server over HTTP, and xlwings Lite.

Each gets the built wheel, never the sources. Only the processes that need it get the test licence key (`noncommercial`:
xlwings' pro/utils.py, LicenseHandler.validate_license).
"""

from __future__ import annotations

import functools
import http.server
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

from addin.lite_wheel import REGISTER
from tests.required import missing

HERE = Path(__file__).parent
TEST_LICENCE = {"XLWINGS_LICENSE_KEY": "noncommercial"}
SECONDS_TO_START, SECONDS_TO_ANSWER = 120, 60


@dataclass(frozen=True)
class Report:
    """What a host returns: the functions' metadata, the script that registers them in Excel, and the results."""

    metadata: dict[str, object]
    code: str | None
    answers: list[object]


def environment(**variables: str) -> dict[str, str]:
    """Return this process's environment without xlwings' settings, and with `variables`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("XLWINGS_")}
    return inherited | {"PYTHONDONTWRITEBYTECODE": "1"} | variables


def pipeline(wheel_folder: Path, calls: Sequence[dict]) -> Report:
    """Run the calls on xlwings' Office.js pipeline, `xlwings.server`, in a separate process."""
    variables = environment(PYTHONPATH=str(wheel_folder), XLWINGS_ON_SERVER="true", **TEST_LICENCE)
    report = _run_json([sys.executable, str(HERE / "pipeline_worker.py"), REGISTER], calls, env=variables)
    return Report(report["metadata"], None, report["answers"])


@contextmanager
def running_server(wheel_folder: Path, project: Path) -> Iterator[tuple[str, int]]:
    """Run xlwings Server with a project from its own `init`, on a free port of the loopback interface."""
    if importlib.util.find_spec("xlwings_server") is None:
        missing("xlwings Server", "the Python package 'xlwings-server' is not installed")
    variables = environment(
        PYTHONPATH=str(wheel_folder), XLWINGS_ENVIRONMENT="prod", XLWINGS_FUNCTIONS_NAMESPACE="", **TEST_LICENCE
    )
    project.mkdir()
    init = [sys.executable, "-m", "xlwings_server.cli", "init", "."]
    subprocess.run(init, cwd=project, env=variables, check=True, capture_output=True, timeout=SECONDS_TO_START)
    (project / "custom_functions" / "__init__.py").write_text(REGISTER + "\n", encoding="utf-8")
    log_path = project / "server.log"
    with log_path.open("wb") as log:
        uvicorn = [sys.executable, "-m", "uvicorn", "xlwings_server.main:main_app"]
        where = ["--host", "127.0.0.1", "--port", "0"]
        server = subprocess.Popen([*uvicorn, *where], cwd=project, env=variables, stdout=log, stderr=log)
    try:
        yield _address(server, log_path)
    finally:
        server.terminate()
        server.wait(timeout=SECONDS_TO_ANSWER)


def _address(server: subprocess.Popen, log_path: Path) -> tuple[str, int]:
    """Return the server's host and port, which its log shows once it listens."""
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline and server.poll() is None:
        found = re.search(r"running on http://([\d.]+):(\d+)", log_path.read_text(encoding="utf-8", errors="replace"))
        if found:
            return found[1], int(found[2])
        time.sleep(0.05)
    raise AssertionError(f"xlwings Server did not start:\n{log_path.read_text(encoding='utf-8', errors='replace')}")


def server_report(address: tuple[str, int], calls: Sequence[dict]) -> Report:
    """Run the calls on the running server over HTTP."""
    connection = HTTPConnection(*address, timeout=SECONDS_TO_ANSWER)
    try:
        metadata = json.loads(get(connection, "/xlwings/custom-functions-meta"))
        code = get(connection, "/xlwings/custom-functions-code.js").decode()
        return Report(metadata, code, [post_call(connection, call) for call in calls])
    finally:
        connection.close()


def get(connection: HTTPConnection, path: str) -> bytes:
    connection.request("GET", path)
    return _body(connection)


def post_call(connection: HTTPConnection, call: dict) -> object:
    """Return the server's result for one call of a cell function."""
    body = json.dumps(call).encode()
    connection.request("POST", "/xlwings/custom-functions-call", body, {"Content-Type": "application/json"})
    return json.loads(_body(connection))["result"]


def _body(connection: HTTPConnection) -> bytes:
    response = connection.getresponse()
    body = response.read()
    assert response.status == 200, f"{response.status}: {body.decode(errors='replace')}"
    return body


def lite(wheel: Path, calls: Sequence[dict]) -> Report:
    """Run the calls on the parts of xlwings Lite, in Node.js: Pyodide, micropip, xlwings' wheel from PyPI and xlwings'
    WebAssembly runtime. As with a workbook's requirements.txt, the wheel of the cell functions is on a web server.
    """
    node = shutil.which("node")
    if node is None:
        missing("Pyodide", "Node.js is not installed")
    if not (HERE / "node_modules" / "pyodide").is_dir():
        missing("Pyodide", "run 'npm ci' in tests/hosts/web")
    runtime = importlib.util.find_spec("xlwings_server")
    if runtime is None:
        missing("xlwings Lite", "the Python package 'xlwings-server' is not installed")
    runtime_folder = Path(runtime.submodule_search_locations[0], "wasm")
    with _published(wheel) as url, _published(_downloaded("xlwings")) as xlwings_url:
        job = {
            "env": TEST_LICENCE,
            "micropip": str(_downloaded("micropip")),
            "requirements": [xlwings_url, url],
            "config": (runtime_folder / "config.py").read_text(encoding="utf-8"),
            "runtime": (runtime_folder / "wasm_runtime.py").read_text(encoding="utf-8"),
            "main": REGISTER + "\n",
            "calls": list(calls),
        }
        report = _run_json([node, str(HERE / "lite_host.mjs")], job, env=environment())
    assert report["python"].endswith("on wasm32"), report["python"]
    return Report(report["metadata"], report["code"], report["answers"])


def _downloaded(package: str) -> Path:
    wheels = sorted((HERE / "wheels").glob(f"{package}-*.whl"))
    if not wheels:
        missing(
            "Pyodide",
            "tests/hosts/web/wheels is empty; 'make clean test' fetches tests/hosts/web/pyodide-requirements.txt",
        )
    return wheels[-1]


@contextmanager
def _published(wheel: Path) -> Iterator[str]:
    """Serve the folder of `wheel` on the loopback interface, and yield the wheel's URL."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(wheel.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/{wheel.name}"
        finally:
            server.shutdown()


def run_python(program: str, env: dict[str, str]) -> object:
    """Run `program` with this Python and return the JSON that it prints."""
    return _run_json([sys.executable, "-c", program], None, env=env)


def _run_json(command: list[str], job: object, env: dict[str, str]) -> object:
    job_bytes = json.dumps(job).encode()
    finished = subprocess.run(
        command, input=job_bytes, cwd=HERE, env=env, capture_output=True, timeout=SECONDS_TO_START, check=False
    )
    assert finished.returncode == 0, finished.stderr.decode(errors="replace")[-4000:]
    return json.loads(finished.stdout)
