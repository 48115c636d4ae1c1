"""Runs the Windows side from a test: on Windows with this very Python, elsewhere with Wine's."""

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
    """Where Windows programs run, and where their files are."""

    def __init__(self, run_python: Callable[[list[str]], None], windows_path: Callable[[Path], str]) -> None:
        self._run_python = run_python
        self._windows_path = windows_path

    def run(self, steps: list[Step], folder: Path) -> Answers:
        """Excel from start to end: the answers to `steps`. `folder`, which must be empty, takes all files.

        Raises:
            RuntimeError: the client failed or took too long; the message has its output.
        """
        asked, answered = folder / "steps", folder / "answers"
        asked.write_bytes(pickle.dumps(steps))
        self._run_module("tests.hosts.windows.client", self._windows_path(asked), self._windows_path(answered))
        return pickle.loads(answered.read_bytes())

    def wait_for_end(self, process_ids: list[int]) -> None:
        """Return when these Windows processes have ended; RuntimeError when one lives on."""
        self._run_module("tests.hosts.windows.process_end", *map(str, process_ids))

    def _run_module(self, module: str, *arguments: str) -> None:
        self._run_python(["-B", "-m", module, *arguments])


@contextmanager
def windows_stack() -> Iterator[WindowsStack]:
    """The stack of this machine. Where there is none, ends the current test as `required.missing` says."""
    if sys.platform == "win32":

        def run_here(arguments: list[str]) -> None:
            command = [sys.executable, *arguments]
            processes.run(command, folder=_PROJECT, environment=dict(os.environ), limit_s=_LIMIT_S)

        yield WindowsStack(run_here, str)
        return
    from tests.hosts.windows import wine  # needs a system other than Windows

    try:
        with wine.installed() as (here, python):

            def run_in_wine(arguments: list[str]) -> None:
                here.run([python, *arguments], folder=_PROJECT, limit_s=_LIMIT_S)

            yield WindowsStack(run_in_wine, wine.windows_path)
    except wine.WineMissing as reason:
        missing("Wine", str(reason))
