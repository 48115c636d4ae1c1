"""One xlwings Server process under load, and several of them: requests a second, over HTTP on the loopback interface.

Each server has a client process of its own with several connections. On a machine with few cores the clients take their
share of them: what is said of one process is a lower bound.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import zipfile
from contextlib import ExitStack
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

from addin.lite_wheel import build_wheel
from tests.web import hosts
from tests.web.office_js import OMITTED, call, cell

SECONDS = 6
CLIENTS = 8  # of each server: enough that it never waits for them
_CLIENT = "import sys; from benchmarks import server; server.ask(*sys.argv[1:])"


@dataclass(frozen=True)
class Load:
    """What so many server processes answered."""

    processes: int
    requests_per_s: float


def loads() -> list[Load]:
    """One process, then two; each with clients of its own."""
    with tempfile.TemporaryDirectory(prefix="vram-bench-") as folder:
        wheel_folder = Path(folder, "wheel")
        name, content = build_wheel()
        Path(folder, name).write_bytes(content)
        with zipfile.ZipFile(Path(folder, name)) as archive:
            archive.extractall(wheel_folder)
        return [_load(processes, wheel_folder, Path(folder, str(processes))) for processes in (1, 2)]


def _load(processes: int, wheel_folder: Path, folder: Path) -> Load:
    folder.mkdir()
    with ExitStack() as stack:
        addresses = [
            stack.enter_context(hosts.running_server(wheel_folder, folder / f"project {i}")) for i in range(processes)
        ]
        for address in addresses:
            _answered(address, until=time.monotonic() + 1)  # the first call imports what computes
        clients = [
            subprocess.Popen([sys.executable, "-c", _CLIENT, host, str(port)], stdout=subprocess.PIPE)
            for host, port in addresses
        ]
        answered = [json.loads(client.communicate()[0]) for client in clients]
    return Load(processes, sum(each["requests"] / each["seconds"] for each in answered))


def ask(host: str, port: str) -> None:
    """A client: asks for `SECONDS` over several connections, and prints how many answers it got; a process of its own."""
    from concurrent.futures import ThreadPoolExecutor

    start = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as pool:
        counts = list(pool.map(lambda _: _answered((host, int(port)), start + SECONDS), range(CLIENTS)))
    print(json.dumps({"requests": sum(counts), "seconds": time.monotonic() - start}))


def _answered(address: tuple[str, int], until: float) -> int:
    """Calls answered over one connection until then."""
    connection = HTTPConnection(*address, timeout=hosts.SECONDS_TO_ANSWER)
    count = 0
    try:
        while time.monotonic() < until:
            context = 1000 + count
            request = call(
                "VRAM_TOTAL",
                (cell("llama-3.1-70b"), cell(context), cell(10), OMITTED, OMITTED, OMITTED, OMITTED),
            )
            answer = hosts.post_call(connection, request)
            assert isinstance(answer[0][0], float), answer
            count += 1
    finally:
        connection.close()
    return count
