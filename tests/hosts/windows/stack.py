"""Run the Windows side from a test: on Windows with this Python, elsewhere with Wine's."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.hosts.windows import processes
from tests.hosts.windows.session import Answers, Step
from tests.required import missing

_PROJECT = Path(__file__).resolve().parents[3]
_LIMIT_S = 300


class WindowsStack:
    """Runs Python programs on Windows or Wine, and converts paths for them."""

    def __init__(self, run_python: Callable[[list[str]], None], windows_path: Callable[[Path], str]) -> None:
        self._run_python = run_python
        self._windows_path = windows_path

    def run(self, steps: list[Step], folder: Path) -> Answers:
        """Run `steps` in one session of the client, with all files in `folder`, and return the answers.

        The client's current folder is the folder `hostile` in it.

        Raises:
            RuntimeError: the client failed or took too long; the message contains its output.
        """
        steps_file, answers_file = folder / "steps", folder / "answers"
        steps_file.write_bytes(pickle.dumps(steps))
        self._run_module("tests.hosts.windows.client", self._windows_path(steps_file), self._windows_path(answers_file))
        return pickle.loads(answers_file.read_bytes())

    def wait_for_end(self, process_ids: list[int]) -> None:
        """Wait until these Windows processes have ended; raises RuntimeError if one is still running."""
        self._run_module("tests.hosts.windows.process_end", *map(str, process_ids))

    def _run_module(self, module: str, *arguments: str) -> None:
        self._run_python(["-B", "-m", module, *arguments])


@contextmanager
def windows_stack() -> Iterator[WindowsStack]:
    """Yield the stack of this machine; without one, end the current test with `required.missing`."""
    if sys.platform == "win32":

        def run_here(arguments: list[str]) -> None:
            command = [sys.executable, *arguments]
            processes.run(command, folder=_PROJECT, environment=dict(os.environ), limit_s=_LIMIT_S)

        yield WindowsStack(run_here, str)
        return
    from tests.hosts.windows import wine  # cannot be imported on Windows

    try:
        with wine.installed() as (here, python):

            def run_in_wine(arguments: list[str]) -> None:
                here.run([python, *arguments], folder=_PROJECT, limit_s=_LIMIT_S)

            yield WindowsStack(run_in_wine, wine.windows_path)
    except wine.WineMissing as reason:
        missing("Wine", str(reason))
