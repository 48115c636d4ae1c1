"""One estimate in process, beside that of the other calculators that work offline; Llama 3.1 70B."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peer_worker import ESTIMATES
from benchmarks.timing import Measure
from tools.peers.cases import nine_models
from tools.peers.table import RIGHT

MODEL = "llama-3.1-70b"
ROUNDS = 15
OURS = "this planner"


class _Worker:
    def __init__(self, python: str, name: str, case: dict[str, object], stack: ExitStack) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [python, str(Path(__file__).with_name("peer_worker.py")), name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env={"PATH": "", "HF_HUB_OFFLINE": "1", "PYTHONPATH": "." if name == OURS else ""},
        )  # fmt: skip
        stack.callback(self._end)
        self.sizes = self._asked(case)

    def seconds(self) -> float:
        return self._asked("")

    def _asked(self, message: object):
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()


@dataclass(frozen=True)
class Speed:
    """A calculator's seconds for one estimate, by round, and whether its weights and its cache are right."""

    name: str
    seconds: list[float]
    right: tuple[bool, bool]


def speeds(peers_python: str) -> list[Speed]:
    """Of this planner first, then of each calculator that is installed and answers; all asked in turn."""
    known = next(known for known in nine_models() if known.case.model == MODEL)
    with tempfile.TemporaryDirectory(prefix="vram-bench-") as folder, ExitStack() as stack:
        path = Path(folder, "config.json")
        path.write_text(json.dumps(known.case.config), encoding="utf-8")
        case = {
            "path": str(path), "folder": folder, "config": known.case.config,
            "context": known.case.context, "users": known.case.users,
        }  # fmt: skip
        workers = []
        for name in ESTIMATES:
            try:
                workers.append(_Worker(sys.executable if name == OURS else peers_python, name, case, stack))
            except (OSError, ValueError) as error:  # not installed, or it ended instead of answering
                print(f"{name}: no answer ({error})", file=sys.stderr)
        rounds = [[worker.seconds() for worker in workers] for _ in range(ROUNDS)]
    right = known.right.weights_bytes, known.right.kv_bytes
    return [
        Speed(
            worker.name,
            [each[i] for each in rounds],
            tuple(abs(size / exact - 1) <= RIGHT for size, exact in zip(worker.sizes, right)),
        )
        for i, worker in enumerate(workers)
    ]


def measures(found: list[Speed]) -> list[Measure]:
    """This planner against each calculator that is right on the model: faster is less than 1."""
    ours, *peers = found
    return [
        Measure("one estimate in process, all line items", peer.name, ours.seconds, peer.seconds, 1.0)
        for peer in peers
        if all(peer.right)
    ]
