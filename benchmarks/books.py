"""Time to write workbooks, compared with openpyxl writing the same number of cells: the planner, and 100,000 scenarios."""

from __future__ import annotations

import csv
import json
import re
import statistics
import subprocess
import sys
import tempfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path

from openpyxl import Workbook, load_workbook

from benchmarks.timing import Measure, calls, in_turn, print_measures, process, with_unit
from core import catalog
from workbook import styles, template
from workbook.cached_values import with_values
from workbook.export.workbook import export_scenarios
from workbook.recalculation import computed_values
from workbook.scenario_csv import CsvScenarios

ROUNDS = 3
SCENARIOS = 100_000
FEWER_SCENARIOS = 10_000


def _command(code: str, *arguments: object) -> list[str]:
    """Return the command that runs a function of this module in a separate process."""
    return [sys.executable, "-c", f"import sys; from benchmarks import books; {code}", *map(str, arguments)]


def template_measure(rounds: int) -> Measure:
    """Time whole processes, since nobody writes two planners in one; computing the values is timed separately.

    The baseline process writes a plain cell with a style wherever the planner has a cell.
    """
    formulas = template.without_values("en")
    planner = load_workbook(BytesIO(formulas))
    cells = [[[cell.column for cell in row if cell.value is not None] for row in ws.iter_rows()] for ws in planner]
    count = sum(len(row) for sheet in cells for row in sheet)
    with tempfile.TemporaryDirectory(prefix="vram-bench-") as folder:
        shape = Path(folder, "shape.json")
        shape.write_text(json.dumps(cells), encoding="utf-8")
        found = in_turn(
            "vram template, without the values",
            process(_command("books.template.without_values('en')")),
            f"openpyxl: {count:,} plain cells with a style",
            process(_command("books.write_plain(*sys.argv[1:])", shape, Path(folder, "plain.xlsx"))),
            rounds=rounds, target=2,
        )  # fmt: skip
    fill = calls(lambda: with_values(formulas, computed_values(formulas)), [()])
    seconds = statistics.median(fill() for _ in range(rounds))
    return replace(found, note=f"Computing the values (IronCalc) and putting them in takes {with_unit(seconds)} more.")


def write_plain(shape: str, path: str) -> None:
    """Write a number with a style in each cell that the file `shape` lists."""
    made = Workbook()
    styles.register(made, "en")
    style = styles.style_name(styles.FORMULA)
    for rows in json.loads(Path(shape).read_text(encoding="utf-8")):
        ws = made.create_sheet()
        for number, columns in enumerate(rows, start=1):
            for column in columns:
                ws.cell(number, column, number * column).style = style
    made.save(path)


def export_measure(rounds: int) -> Measure:
    """Time the export of 100,000 scenarios; note the peak memory of exporting a tenth of them and all."""
    with tempfile.TemporaryDirectory(prefix="vram-bench-") as folder:
        few, many = (_write_scenarios(Path(folder, f"{count}.csv"), count) for count in (FEWER_SCENARIOS, SCENARIOS))
        out, plain = Path(folder, "out.xlsx"), Path(folder, "plain.xlsx")
        export_scenarios(out, CsvScenarios(few), "en")
        row = next(load_workbook(out, read_only=True).worksheets[-1].iter_rows(min_row=6, max_row=6, values_only=True))
        found = in_turn(
            "vram export of 100 000 scenarios",
            calls(lambda: export_scenarios(out, CsvScenarios(many), "en"), [()]),
            f"openpyxl, write-only: 100 000 rows of the same {len(row)} cells",
            calls(_write_rows, [(row, plain)]),
            rounds=rounds, target=1.3,
        )  # fmt: skip
        peaks = [
            round(int(subprocess.check_output(_command("books.print_export_peak(*sys.argv[1:])", path, out))) / 1024)
            for path in (few, many)
        ]
    return replace(found, note=f"Peak memory: {peaks[0]} MiB for 10 000 scenarios, {peaks[1]} MiB for 100 000.")


def _write_rows(row: tuple[object, ...], path: Path) -> None:
    book = Workbook(write_only=True)
    ws = book.create_sheet()
    for number in range(SCENARIOS):
        ws.append([number, *row[1:]])
    book.save(path)


def _write_scenarios(path: Path, count: int) -> Path:
    """Write a CSV file with scenarios of every model and three formats."""
    names, formats = catalog.model_names(), ("fp16", "fp8", "int4")
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["scenario", "model", "context", "users", "precision", "engine", "gpu_memory_gb"])
        for i in range(count):
            model, context, users = names[i % len(names)], 1024 + i % 30_000, 1 + i % 97
            rows.writerow([f"Scenario {i}", model, context, users, formats[i % 3], "rule", 80])
    return path


def print_export_peak(scenarios: str, out: str) -> None:
    """Export, and print the peak memory of this process in KiB.

    From /proc, since a process inherits what getrusage reports from the one that started it.
    """
    export_scenarios(Path(out), CsvScenarios(Path(scenarios)), "en")
    print(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])


def measures(most_rounds: int) -> list[Measure]:
    rounds = min(ROUNDS, most_rounds)
    return [template_measure(rounds), export_measure(rounds)]


if __name__ == "__main__":
    print_measures(measures)
