"""`python -m benchmarks [--peers PYTHON]`: measures everything, prints a table, and writes docs/performance.md."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys

import click
from rich.console import Console
from rich.table import Table

from benchmarks import books, growth, office, peers, server, starts
from benchmarks.report import DOCS, Report, plot, report
from benchmarks.timing import Measure, written
from tests.spreadsheets.libreoffice import _find_office
from workbook.files import write_whole


@click.command()
@click.option("--peers", "peers_python", help="The Python that the other calculators are installed in.")
@click.option("--rounds", default=3, show_default=True, help="Of the measures that take minutes.")
def main(peers_python: str | None, rounds: int) -> None:
    """Takes some minutes; nothing here is a test."""
    console = Console()

    def said(what: str) -> None:
        console.print(f"{what} …", style="dim")

    said("cell functions")
    measures = _cells()
    said("starts")
    measures += starts.measures()
    speeds = []
    if peers_python:
        said("other calculators")
        speeds = peers.speeds(peers_python)
        measures += peers.measures(speeds)
    said("growth, server")
    grown, served = growth.growth(), server.loads()
    said("workbooks")
    measures += books.measures(rounds)
    if _find_office()[0]:
        said("LibreOffice")
        measures.append(office.measure(rounds))
    found = Report(measures, speeds, grown, served, _machine())
    console.print(_table(measures))
    write_whole(DOCS / "performance.md", report(found).encode("utf-8"))
    write_whole(DOCS / "performance.svg", plot(measures).encode("utf-8"))


def _cells() -> list[Measure]:
    ran = subprocess.run([sys.executable, "-m", "tests.hosts.com.benchmark"], check=True, stdout=subprocess.PIPE)
    return [Measure(**fields) for fields in json.loads(ran.stdout)]


def _machine() -> str:
    return f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"


def _table(measures: list[Measure]) -> Table:
    table = Table(title="Ratios to a baseline in the same run", title_justify="left")
    for heading in ("measured", "baseline"):
        table.add_column(heading)
    for heading in ("time", "baseline", "ratio", "reach"):
        table.add_column(heading, justify="right")
    for measure in measures:
        times = (written(statistics.median(each)) for each in (measure.seconds, measure.baseline_seconds))
        style = None if measure.is_reached else "red"
        ratio, most = f"{measure.ratio:.2f}", "" if measure.most is None else f"≤ {measure.most:g}"
        table.add_row(measure.name, measure.baseline, *times, ratio, most, style=style)
    return table


if __name__ == "__main__":
    main()
