"""Requests per second of one and of two xlwings Server processes, over HTTP on the loopback interface.

Each server has a separate client process with several connections. The clients run on the same machine, so each figure is
a lower bound.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from addin.lite_wheel import build_wheel
from benchmarks.timing import Measure, print_measures
from tests.hosts.web import hosts
from tests.hosts.web.office_js import OMITTED, call, cell

SECONDS = 6
CONNECTIONS = 8  # to each server: enough that it never waits for a client
_CLIENT = "import sys; from tests.hosts.web import benchmark; benchmark.send_requests(*sys.argv[1:])"


def measures(most_rounds: int) -> list[Measure]:
    """Time a request to two processes against one to a single process; `most_rounds` limits the seconds."""
    seconds = min(SECONDS, most_rounds)
    with tempfile.TemporaryDirectory(prefix="vram-bench-") as folder:
        wheel_folder = Path(folder, "wheel")
        name, content = build_wheel()
        Path(folder, name).write_bytes(content)
        with zipfile.ZipFile(Path(folder, name)) as archive:
            archive.extractall(wheel_folder)
        one, two = (_requests_per_s(count, seconds, wheel_folder, Path(folder, str(count))) for count in (1, 2))
    return [
        Measure(
            "requests to two xlwings Server processes, time for each", "to one process", 1 / two, 1 / one, one / two,
            note=f"Requests per second of a single cell: {one:,.0f} from one process, {two:,.0f} from two. "
            f"A client process with {CONNECTIONS} connections for each, on the same machine: lower bounds.",
        )
    ]  # fmt: skip


def _requests_per_s(processes: int, seconds: int, wheel_folder: Path, folder: Path) -> float:
    folder.mkdir()
    with ExitStack() as stack:
        addresses = [
            stack.enter_context(hosts.running_server(wheel_folder, folder / f"project {i}")) for i in range(processes)
        ]
        for address in addresses:
            _send_until(address, time.monotonic() + 1)  # the first call imports the computing modules
        clients = [
            subprocess.Popen([sys.executable, "-c", _CLIENT, host, str(port), str(seconds)], stdout=subprocess.PIPE)
            for host, port in addresses
        ]
        return sum(float(client.communicate()[0]) for client in clients)


def send_requests(host: str, port: str, seconds: str) -> None:
    """Send requests over several connections, and print how many were answered per second; runs as a client process."""
    start = time.monotonic()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        counts = pool.map(lambda _: _send_until((host, int(port)), start + float(seconds)), range(CONNECTIONS))
    print(sum(counts) / (time.monotonic() - start))


def _send_until(address: tuple[str, int], until: float) -> int:
    """Send requests over one connection until the time `until`; return the number of answers."""
    requests, count = [_request(32_768 + i) for i in range(100)], 0
    with socket.create_connection(address, timeout=hosts.SECONDS_TO_ANSWER) as connection:
        while time.monotonic() < until:
            connection.sendall(requests[count % len(requests)])
            answer = _receive(connection)
            assert answer.startswith(b"HTTP/1.1 200 ") and b'{"result":[[273.' in answer, answer  # GB
            count += 1
    return count


def _request(context: int) -> bytes:
    """Return a call of a single cell as bytes; prepared in advance, so that the client uses little processor time."""
    arguments = (cell("llama-3.1-70b"), cell(context), cell(10), OMITTED, OMITTED, OMITTED, OMITTED)
    body = json.dumps(call("VRAM_TOTAL", arguments)).encode()
    head = (
        "POST /xlwings/custom-functions-call HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _receive(connection: socket.socket) -> bytes:
    """Receive the next response, head and body."""
    response = b""
    while (end := response.find(b"\r\n\r\n")) < 0 or len(response) < end + 4 + _length(response[:end]):
        part = connection.recv(65_536)
        if not part:
            raise ConnectionError(f"The server closed the connection after {response!r}.")
        response += part
    return response


def _length(head: bytes) -> int:
    return int(head.lower().partition(b"content-length:")[2].split()[0])


if __name__ == "__main__":
    print_measures(measures)
