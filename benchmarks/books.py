"""Writing workbooks: the planner, and a file of scenarios as decision sheets; against openpyxl writing as many cells."""

from __future__ import annotations

import csv
import json
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from openpyxl import Workbook, load_workbook

from benchmarks.timing import Measure, Timed, in_turn, written
from core import catalog
from workbook import styles, template
from workbook.cached_values import with_values
from workbook.export.workbook import export_scenarios
from workbook.recalculation import computed_values
from workbook.scenario_csv import CsvScenarios

SCENARIOS = 100_000
FEWER_SCENARIOS = 10_000
_PEAK = "import sys; from benchmarks import books; books.report_peak(sys.argv[1])"


def template_measure(rounds: int) -> Measure:
    """Whole processes, since nobody writes two planners in one; the engine's part is told apart.

    The other process writes a plain cell with a style wherever the planner has one.
    """
    engine: list[float] = []
    book = template._book("en", None).openpyxl
    cells = sum(cell.value is not None for ws in book for row in ws.iter_rows() for cell in row)
    with tempfile.TemporaryDirectory(prefix="vram-bench-") as folder:
        made = Path(folder, "plain.xlsx")
        shape = Path(folder, "shape.json")
        filled = [[[cell.column for cell in row if cell.value is not None] for row in ws.iter_rows()] for ws in book]
        shape.write_text(json.dumps(filled), encoding="utf-8")

        def process(code: str, *arguments: object) -> tuple[float, float]:
            start = time.perf_counter()
            command = [sys.executable, "-c", f"import sys; from benchmarks import books; {code}", *map(str, arguments)]
            ran = subprocess.run(command, check=True, capture_output=True)
            return time.perf_counter() - start, float(ran.stdout)

        def planner() -> float:
            whole, of_engine = process("books.report_engine()")
            engine.append(of_engine)
            return whole - of_engine

        def plain() -> float:
            whole, reading = process("books.write_plain(*sys.argv[1:])", shape, made)
            return whole - reading

        found = in_turn(
            "vram template, without the engine", planner, f"openpyxl: {cells:,} plain cells with a style", plain,
            rounds=rounds, most=2,
        )  # fmt: skip
    note = (
        "The engine (IronCalc) and putting the values that it computes into the file take "
        f"{written(statistics.median(engine))} more."
    )
    return Measure(found.name, found.baseline, found.seconds, found.baseline_seconds, found.most, (note,))


def report_engine() -> None:
    """Makes a planner, and prints the seconds that it waited for the engine."""
    formulas = template.without_values("en")
    start = time.perf_counter()
    with_values(formulas, computed_values(formulas))
    print(time.perf_counter() - start)


def write_plain(shape: str, path: str) -> None:
    """Writes a plain cell with a style wherever `shape` has one, and prints the seconds that reading it took."""
    start = time.perf_counter()
    filled = json.loads(Path(shape).read_text(encoding="utf-8"))
    reading_s = time.perf_counter() - start
    made = Workbook()
    styles.register(made, "en")
    style = styles.style_name(styles.FORMULA)
    for rows in filled:
        ws = made.create_sheet()
        for number, columns in enumerate(rows, start=1):
            for column in columns:
                ws.cell(number, column, number * column).style = style
    made.save(path)
    print(reading_s)


def export_measure(rounds: int) -> Measure:
    """100 000 scenarios to an .xlsx, and the peak memory of a process that does it for a tenth and for all."""
    with tempfile.TemporaryDirectory(prefix="vram-bench-") as folder:
        few, many = (scenarios(Path(folder, f"{count}.csv"), count) for count in (FEWER_SCENARIOS, SCENARIOS))
        out = Path(folder, "out.xlsx")

        def export() -> float:
            start = time.perf_counter()
            export_scenarios(out, CsvScenarios(many), "en")
            return time.perf_counter() - start

        export_scenarios(out, CsvScenarios(few), "en")
        row = next(load_workbook(out, read_only=True).worksheets[-1].iter_rows(min_row=6, max_row=6, values_only=True))
        plain = _write_only(row, Path(folder, "plain.xlsx"))
        found = in_turn(
            "vram export of 100 000 scenarios", export,
            f"openpyxl, write-only: 100 000 rows of the same {len(row)} cells", plain, rounds=rounds, most=1.3,
        )  # fmt: skip
        ten, hundred = (_peak_mib(path) for path in (few, many))
    note = f"Peak memory of the process: {ten} MiB for 10 000 scenarios, {hundred} MiB for 100 000."
    return Measure(found.name, found.baseline, found.seconds, found.baseline_seconds, found.most, (note,))


def _peak_mib(path: Path) -> int:
    ran = subprocess.run([sys.executable, "-c", _PEAK, path], check=True, capture_output=True)
    return round(int(ran.stdout) / 2**20)


def _write_only(row: tuple[object, ...], path: Path) -> Timed:
    """Writes 100 000 rows like `row`, formulas as formulas."""

    def plain() -> float:
        start = time.perf_counter()
        book = Workbook(write_only=True)
        ws = book.create_sheet()
        for number in range(SCENARIOS):
            ws.append([number, *row[1:]])
        book.save(path)
        return time.perf_counter() - start

    return plain


def scenarios(path: Path, count: int) -> Path:
    """A CSV file of scenarios, of every model and of three formats."""
    names, formats = catalog.model_names(), ("fp16", "fp8", "int4")
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(["scenario", "model", "context", "users", "precision", "gpu_memory_gb"])
        for i in range(count):
            out.writerow([f"Scenario {i}", names[i % len(names)], 1024 + i % 30_000, 1 + i % 97, formats[i % 3], 80])
    return path


def report_peak(path: str) -> None:
    """Exports, and prints the peak of this process's memory in bytes; runs in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="vram-bench-") as folder:
        export_scenarios(Path(folder, "out.xlsx"), CsvScenarios(Path(path)), "en")
    status = Path("/proc/self/status")
    if status.exists():  # what getrusage says on Linux is inherited from the process that started this one
        print(int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) * 1024)
    else:
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def measures(rounds: int) -> list[Measure]:
    """Both."""
    return [template_measure(rounds), export_measure(rounds)]
