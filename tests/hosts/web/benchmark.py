"""One xlwings Server process under load, and several of them: requests a second, over HTTP on the loopback interface.

Each server has a client process of its own with several connections. On a machine with few cores the clients take their
share of them: what is said of one process is a lower bound.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from addin.lite_wheel import build_wheel
from tests.hosts.web import hosts
from tests.hosts.web.office_js import OMITTED, call, cell

SECONDS = 6
CLIENTS = 8  # of each server: enough that it never waits for them
_CLIENT = "import sys; from tests.hosts.web import benchmark as server; server.ask(*sys.argv[1:])"


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
    requests, count = [_request(32_768 + i) for i in range(100)], 0
    with socket.create_connection(address, timeout=hosts.SECONDS_TO_ANSWER) as connection:
        while time.monotonic() < until:
            connection.sendall(requests[count % len(requests)])
            answer = _received(connection)
            assert answer.startswith(b"HTTP/1.1 200 ") and b'{"result":[[273.' in answer, answer  # GB
            count += 1
    return count


def _request(context: int) -> bytes:
    """One call of a single cell as bytes, made beforehand: a client that thinks takes cores from the servers."""
    arguments = (cell("llama-3.1-70b"), cell(context), cell(10), OMITTED, OMITTED, OMITTED, OMITTED)
    body = json.dumps(call("VRAM_TOTAL", arguments)).encode()
    head = (
        "POST /xlwings/custom-functions-call HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _received(connection: socket.socket) -> bytes:
    """The next answer, head and body."""
    answer = b""
    while (end := answer.find(b"\r\n\r\n")) < 0 or len(answer) < end + 4 + _length(answer[:end]):
        part = connection.recv(65_536)
        if not part:
            raise ConnectionError(f"the server hung up after {answer!r}")
        answer += part
    return answer


def _length(head: bytes) -> int:
    return int(head.lower().partition(b"content-length:")[2].split()[0])
