"""Tests run on a mutant, in a process forked from this one: nothing is written into the source tree."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType

from tools.mutation.mutants import Mutant

# Imported once, before the first fork; nothing of them imports the code under test.
_SLOW_IMPORTS = ("pytest", "_pytest.assertion.rewrite", "hypothesis", "openpyxl", "lxml.etree", "ironcalc", "xlwings")

SURVIVED, KILLED, TIMED_OUT = "survived", "killed", "timed out"


class _Loader(SourceFileLoader):
    """Loads a module from text that is not the file's."""

    def __init__(self, name: str, path: str, code: str) -> None:
        super().__init__(name, path)
        self._code = code

    def get_code(self, fullname: str) -> CodeType | None:
        code: CodeType = compile(self._code, self.path, "exec", dont_inherit=True)
        return code


class _Finder(MetaPathFinder):
    """Finds the mutated module before the file is looked for."""

    def __init__(self, root: Path, mutant: Mutant) -> None:
        self._name = mutant.module.removesuffix(".py").replace("/", ".")
        self._path, self._code = str(root / mutant.module), mutant.code

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        return spec_from_file_location(fullname, self._path, loader=_Loader(fullname, self._path, self._code))


def outcomes(root: Path, work: Iterable[tuple[Mutant, list[list[str]]]], workers: int, limit_s: float) -> Iterator:
    """(mutant, outcome, seconds) of each, as they come to an end.

    Args:
        work: mutants, each with the arguments of the calls of pytest that run its tests, until one fails.
        limit_s: from which on a mutant is taken to loop for ever.
    """
    for name in _SLOW_IMPORTS:
        __import__(name)
    waiting = iter(work)
    running: dict[int, tuple[Mutant, float]] = {}
    while True:
        while len(running) < workers and (each := next(waiting, None)) is not None:
            running[_forked(root, *each)] = (each[0], time.monotonic())
        if not running:
            return
        time.sleep(0.02)
        for pid, (mutant, start) in list(running.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            taken = time.monotonic() - start
            if ended:
                del running[pid]
                yield mutant, KILLED if status else SURVIVED, taken
            elif taken > limit_s:
                os.killpg(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                del running[pid]
                yield mutant, TIMED_OUT, taken


def _forked(root: Path, mutant: Mutant, calls: list[list[str]]) -> int:
    pid = os.fork()
    if pid:
        return pid
    os.setsid()
    status = 1
    try:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        sys.meta_path.insert(0, _Finder(root, mutant))
        status = _run(calls)
    finally:
        os._exit(status)


def _run(calls: list[list[str]]) -> int:
    import pytest
    from hypothesis import Phase, configuration, settings

    configuration.set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "mutation-hypothesis")
    # Whether there is a counter-example matters here, not which is the smallest.
    settings.register_profile("mutation", phases=[Phase.explicit, Phase.generate], database=None, derandomize=True)
    settings.load_profile("mutation")
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    return next((1 for arguments in calls if pytest.main(options + arguments)), 0)
