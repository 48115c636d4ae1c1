"""kill -9 in the middle of every writer: the old file stays whole, or the new one is there, whole.

    python -m tests.fuzz.kills --kills 300 --seed 1

A child process runs the command; half of the children are killed at any moment, half shortly after they begin to write.
POSIX only: elsewhere there is no fork and no SIGKILL.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.fuzz import seeds
from tests.workbook.planner_rows import few

OLD = b"the old file"
MODULES = (
    "vram.cli.export", "workbook.export.workbook", "vram.cli.model", "workbook.template", "vram.cli.article_figures",
    "ironcalc", "addin.build", "addin.vba_project", "addin.libreoffice",
)  # fmt: skip


def _csv_of_scenarios(folder: Path) -> Path:
    path = folder / "scenarios.csv"
    rows = "".join(f"s{i},llama-3.1-70b,{i + 1000},{i + 1},80\n" for i in range(60))
    path.write_text("scenario,model,context,users,gpu_memory_gb\n" + rows)
    return path


def _config(folder: Path) -> Path:
    path = folder / "config.json"
    path.write_bytes(seeds.configs()[0])
    return path


# Name → the command's arguments, given a folder with its inputs and the path to write.
WRITERS: dict[str, Callable[[Path, Path], list[object]]] = {
    "out.xlsx": lambda inputs, out: ["export", _csv_of_scenarios(inputs), "-o", out],
    "models.csv": lambda inputs, out: ["model", "import", _config(inputs), "--name", "new", "--add-to", out],
    "vram.xlam": lambda inputs, out: ["addin", "build", "-o", out.parent],
    "vram.oxt": lambda inputs, out: ["addin", "libreoffice", "-o", out],
    "planner.xlsx": lambda inputs, out: ["template", "-o", out],
}


def old_content(name: str) -> bytes:
    """What stands in the file before; a file of models must be one."""
    return seeds.model_rows()[0] if name.endswith(".csv") else OLD


def run_command(arguments: list[object]) -> int:
    """The command line in this process, without output and with planners of a few models; its exit status."""
    from vram.cli import main as cli

    with (
        few(),
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        sys.argv = ["vram", *map(str, arguments)]
        try:
            cli.main()
        except SystemExit as stop:
            return int(stop.code or 0)
    return 0


def started(arguments: list[object]) -> tuple[int, int]:
    """A child that runs the command: (its id, a pipe in which a byte arrives when it begins to write)."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child:
        os.close(write_end)
        return child, read_end
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # Python's helpers that outlive the child say so
        make_temporary = tempfile.mkstemp

        def told(*positional, **named):
            if named.get("suffix") == ".part":
                os.write(write_end, b"!")
            return make_temporary(*positional, **named)

        tempfile.mkstemp = told
        os._exit(run_command(arguments))
    finally:
        os._exit(99)


def _whole_new(name: str, folder: Path) -> tuple[bytes, float, float]:
    """What an undisturbed command writes; seconds until it begins to write, and from then on."""
    out = folder / name
    out.write_bytes(old_content(name))
    begin = time.monotonic()
    child, pipe = started(WRITERS[name](folder, out))
    os.read(pipe, 1)
    writes = time.monotonic()
    _, status = os.waitpid(child, 0)
    os.close(pipe)
    assert status == 0, f"{name}: status {status}"
    return out.read_bytes(), writes - begin, time.monotonic() - writes


def campaign(names: list[str], kills: int, seed: int) -> Counter[tuple[str, str]]:
    """Kills `kills` writers of each name; (name, what was found) → how often.

    Raises:
        AssertionError: a file is neither the old one nor the new one.
    """
    draw, found = random.Random(seed), Counter()
    for module in MODULES:  # here, so that no child has to
        importlib.import_module(module)
    with tempfile.TemporaryDirectory(prefix="vram-kill-") as made:
        for name in names:
            inputs = Path(made, f"{name}.inputs")
            inputs.mkdir()
            new, until, writing = _whole_new(name, inputs)
            for number in range(kills):
                folder = Path(made, f"{name}.{number}")
                folder.mkdir()
                out = folder / name
                out.write_bytes(old_content(name))
                child, pipe = started(WRITERS[name](inputs, out))
                if number % 2:
                    time.sleep(draw.uniform(0, until + writing))
                else:
                    os.read(pipe, 1)
                    time.sleep(draw.uniform(0, 1.2 * writing))
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                os.close(pipe)
                content = out.read_bytes()
                assert content in (old_content(name), new), f"{name}, kill {number}: {len(content)} bytes of {len(new)}"
                others = {path.name for path in folder.iterdir()} - {name, "vram_functions.bas"}
                assert all(other.startswith(".") and other.endswith(".part") for other in others), others
                state = "the new file" if content == new else "the old file"
                found[name, state + (" and a hidden part" if others else "")] += 1
                for path in folder.iterdir():
                    path.unlink()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=300, help="in all")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if not hasattr(os, "fork"):
        sys.exit("kills: this system has no kill -9")
    begin = time.monotonic()
    found = campaign(list(WRITERS), -(-options.kills // len(WRITERS)), options.seed)
    print(
        f"kills: {sum(found.values())} of {len(WRITERS)} writers in {time.monotonic() - begin:.0f} s, every file whole"
    )
    for (name, state), count in sorted(found.items()):
        print(f"  {name}: {count} × {state}")


if __name__ == "__main__":
    main()
