"""Run every benchmark, print a table, and renew the measures in docs/performance.md."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys

import click
from rich.console import Console
from rich.table import Table

from benchmarks.timing import Measure, with_unit
from tools.documents import DOCS, renew, table

# Each prints a JSON list of measures. Those of the tests' hosts are next to the code that they use.
PROGRAMS = (
    "tests.hosts.com.benchmark", "benchmarks.starts", "benchmarks.books", "tests.spreadsheets.benchmark",
    "tests.hosts.web.benchmark",
)  # fmt: skip
HEADINGS = ("measured", "baseline", "time", "baseline's", "ratio", "goal", "")


@click.command()
@click.option("--peers", "peers_python", help="The Python that the other calculators are installed in.")
@click.option("--rounds", default=1000, show_default=True, help="At most so many rounds of each measure.")
def main(peers_python: str | None, rounds: int) -> None:
    """Measure everything (takes some minutes), print a table, and renew docs/performance.md."""
    console = Console()
    found = []
    for program in [*PROGRAMS, *(["benchmarks.peers"] if peers_python else [])]:
        console.print(f"{program} …", style="dim")
        arguments = [peers_python] if program == "benchmarks.peers" else []
        command = [sys.executable, "-m", program, "--rounds", str(rounds), *arguments]
        found += [Measure(**fields) for fields in json.loads(subprocess.check_output(command, cwd=DOCS.parent))]
    _print(console, found)
    renew(DOCS / "performance.md", {"measures": document_part(found)})


def document_part(found: list[Measure]) -> str:
    """Return the table, the notes and the machine as Markdown."""
    machine = f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"
    notes = [f"* {measure.name}: {measure.note}" for measure in found if measure.note]
    return "\n".join([table(HEADINGS, map(_cells, found), "llrrrrl"), "", *notes, "", f"Measured with {machine}."])


def _print(console: Console, found: list[Measure]) -> None:
    shown = Table(*HEADINGS, title="Ratios to a baseline in the same run", title_justify="left")
    for measure in found:
        shown.add_row(*_cells(measure), style=None if measure.is_reached else "red")
    console.print(shown)


def _cells(measure: Measure) -> tuple[str, ...]:
    goal, missed = f"≤ {measure.target:g}" if measure.target else "", "" if measure.is_reached else "missed"
    times = with_unit(measure.seconds), with_unit(measure.baseline_seconds)
    return measure.name, measure.baseline, *times, f"{measure.ratio:.2f}", goal, missed


if __name__ == "__main__":
    main()
