"""Time of one estimate in process, compared with other calculators that work offline; Llama 3.1 70B.

`python -m benchmarks.peers PYTHON`: PYTHON is the interpreter that the other calculators are installed in.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack

from benchmarks.timing import Measure, compared, print_measures
from core import catalog
from core.plan.estimate import estimate
from tools.peers import ask
from tools.peers.cases import CONTEXT, USERS, nine_models
from tools.peers.table import errors

MODEL = "llama-3.1-70b"
PEERS = ("llm-sizer", "ridgepoint", "sparkfit", "vllm-wizard", "vramcalc")
ROUNDS = 15


class _Worker:
    """A calculator in a separate process, which times one estimate for each line that it is sent."""

    def __init__(self, python: str, peer: str, case: ask.Case, stack: ExitStack) -> None:
        self.peer = peer
        self._process = stack.enter_context(
            subprocess.Popen(
                [python, ask.__file__, peer, "--time"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={"PATH": ""},
            )
        )  # fmt: skip
        stack.callback(self._process.kill)
        self.sizes = ask.Sizes(*self.ask(case))

    def ask(self, message: object = ""):
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def measures(most_rounds: int, peers_python: str) -> list[Measure]:
    """Compare with each calculator that answers; only those that are right on this model set a goal."""
    model, kv = catalog.model(MODEL).spec, catalog.precision("kv_precision", "fp16")

    def ours() -> float:
        return ask.mean_seconds(lambda: estimate(model, context=CONTEXT, users=USERS, kv_precision=kv))

    ours()  # fills the caches with this model; nine_models() has an equal one, which takes longer to look up
    known = next(known for known in nine_models() if known.case.model == MODEL)
    with ExitStack() as stack:
        workers = []
        for peer in PEERS:
            try:
                workers.append(_Worker(peers_python, peer, known.case, stack))
            except (OSError, ValueError) as error:  # not installed, or it ended instead of answering
                print(f"{peer}: no answer ({error})", file=sys.stderr)
        rounds = [(ours(), *(worker.ask() for worker in workers)) for _ in range(min(ROUNDS, most_rounds))]
    ours_s, *peers_s = zip(*rounds)
    found = []
    for worker, seconds in zip(workers, peers_s):
        right = errors(worker.sizes, known.right).right
        wrong = " and ".join(name for name, is_right in zip(("weights", "KV cache"), right) if not is_right)
        baseline = f"{worker.peer} (wrong {wrong})" if wrong else worker.peer
        found.append(compared("one estimate in process", ours_s, baseline, seconds, None if wrong else 1.0))
    return found


if __name__ == "__main__":
    print_measures(measures)
