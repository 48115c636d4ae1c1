"""Run a program with a time limit, even if it leaves processes behind."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

_DRAIN_S = 2


def run(command: list[str], *, folder: Path, environment: dict[str, str], limit_s: float) -> None:
    """Run `command` in `folder` until it ends.

    Raises:
        RuntimeError: it failed, or was killed after `limit_s`; the message contains its output.
    """
    # A pipe, because Python under Wine 8 cannot use a file as standard output; a thread reads it, because it stays
    # open until all processes that the program started have ended.
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    output: list[bytes] = []
    reader = threading.Thread(target=lambda: output.extend(iter(lambda: os.read(process.stdout.fileno(), 65536), b"")))
    reader.daemon = True
    reader.start()
    try:
        ending = f"exit status {process.wait(limit_s)}"
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        ending = f"killed after {limit_s} s"
    if process.returncode != 0:
        reader.join(_DRAIN_S)
        raise RuntimeError(f"{command}: {ending}\n{b''.join(output).decode(errors='replace')}")
