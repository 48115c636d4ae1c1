"""Writing workbooks: the planner, and a file of scenarios as decision sheets; against openpyxl writing as many cells."""

from __future__ import annotations

import csv
import resource
import subprocess
import sys
import tempfile
import time
from io import BytesIO
from pathlib import Path

from openpyxl import Workbook, load_workbook

from benchmarks.timing import Measure, Timed, in_turn, written
from core import catalog
from workbook import styles, template
from workbook.cached_values import with_values
from workbook.engine import computed_values
from workbook.export.workbook import export_scenarios
from workbook.scenario_csv import CsvScenarios

SCENARIOS = 100_000
FEWER_SCENARIOS = 10_000
_PEAK = "import sys; from benchmarks import books; books.report_peak(sys.argv[1])"


def template_measure(rounds: int) -> Measure:
    """The planner without and with the engine, told apart."""
    engine: list[float] = []

    def planner() -> float:
        start = time.perf_counter()
        unfilled = template._saved(template._book("en", None))
        written_s = time.perf_counter() - start
        values = computed_values(unfilled)
        with_values(unfilled, values)
        engine.append(time.perf_counter() - start - written_s)
        return written_s

    book = template._book("en", None).openpyxl
    sheets = [[[cell.value is not None for cell in row] for row in ws.iter_rows()] for ws in book]
    cells = sum(sum(map(sum, rows)) for rows in sheets)

    def plain() -> float:
        start = time.perf_counter()
        made = Workbook()
        styles.register(made, "en")
        style = styles.style_name(styles.FORMULA)
        for rows in sheets:
            ws = made.create_sheet()
            for r, row in enumerate(rows, start=1):
                for c, filled in enumerate(row, start=1):
                    if filled:
                        cell = ws.cell(r, c, r * c)
                        cell.style = style
        made.save(BytesIO())
        return time.perf_counter() - start

    found = in_turn(
        "vram template, without the engine", planner, f"openpyxl: {cells:,} plain cells with a style", plain,
        rounds=rounds, most=2,
    )  # fmt: skip
    middle = sorted(engine)[len(engine) // 2]
    note = f"The engine (IronCalc) and putting the values that it computes into the file take {written(middle)} more."
    return Measure(found.name, found.baseline, found.seconds, found.baseline_seconds, found.most, (note,))


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
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(kib if sys.platform == "darwin" else kib * 1024)


def measures(rounds: int) -> list[Measure]:
    """Both."""
    return [template_measure(rounds), export_measure(rounds)]
