"""docs/performance.md, and its plot."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from benchmarks.growth import Growth
from benchmarks.peers import Speed
from benchmarks.server import CLIENTS, Load
from benchmarks.timing import Measure, written

DOCS = Path(__file__).parent.parent / "docs"


@dataclass(frozen=True)
class Report:
    """Everything that was measured, and on what."""

    measures: list[Measure]
    peers: list[Speed]
    growth: Growth
    loads: list[Load]
    machine: str


def report(found: Report) -> str:
    """The document as Markdown."""
    lines = [
        "# How fast it is",
        "",
        "Each time is beside a baseline that was measured in the same run, in turn with it; a ratio is the median of the",
        "rounds' ratios, times are medians. Absolute times are those of one machine, shared with other work, and say little",
        f"({found.machine}). Written by `make bench`; nothing here is a test.",
        "",
        "| measured | baseline | time | baseline's | ratio | to reach | |",
        "|---|---|---:|---:|---:|---:|---|",
        *map(_row, found.measures),
        "",
        "![Each ratio against the one to reach](performance.svg)",
        "",
        *(f"* {measure.name}: {note}" for measure in found.measures for note in measure.notes),
        "",
        *_peers(found.peers),
        *_growth(found.growth),
        *_server(found.loads),
        *_LIMITS,
    ]
    return "\n".join(lines) + "\n"


def _row(measure: Measure) -> str:
    times = (written(statistics.median(each)) for each in (measure.seconds, measure.baseline_seconds))
    most = "" if measure.most is None else f"≤ {measure.most:g}"
    cells = (
        measure.name,
        measure.baseline,
        *times,
        f"{measure.ratio:.2f}",
        most,
        "" if measure.is_reached else "missed",
    )
    return f"| {' | '.join(cells)} |"


def _peers(found: list[Speed]) -> list[str]:
    if not found:
        return []
    yes = {True: "right", False: "wrong"}
    rows = (
        f"| {peer.name} | {written(statistics.median(peer.seconds))} | {yes[peer.right[0]]} | {yes[peer.right[1]]} |"
        for peer in sorted(found, key=lambda peer: statistics.median(peer.seconds))
    )
    return [
        "## One estimate in process",
        "",
        "Llama 3.1 70B, 32 768 tokens × 10 users, the model in memory; each calculator in a process of its own, asked in",
        "turn. Right: weights and KV cache within 0.5 % of what is known; of more models in [accuracy](accuracy.md).",
        "",
        "| calculator | one estimate | weights | KV cache |",
        "|---|---:|---|---|",
        *rows,
        "",
    ]


def _growth(found: Growth) -> list[str]:
    rows = (
        f"| {cells:,} | {written(column)} | {written(found.grid[cells]) if cells in found.grid else ''} |"
        for cells, column in found.column.items()
    )
    return [
        "## How the cost grows",
        "",
        "With cells: in proportion. One `VRAM_TOTAL` in plain Python, without the host's conversion:",
        "",
        "| cells | a column of contexts | a grid of contexts × users |",
        "|---:|---:|---:|",
        *rows,
        "",
        f"With models: a model costs {written(found.first_time_of_a_model)} when it is asked for the first time (its row is",
        "read and its tensors are counted), then what a look-up in a dictionary costs. Two thousand models in formats are",
        "kept; a workbook with more of them counts some anew at each calculation.",
        "",
    ]


def _server(found: list[Load]) -> list[str]:
    one = found[0]
    rows = (
        f"| {load.processes} | {load.requests_per_s:,.0f} | {load.requests_per_s / one.requests_per_s:.2f} |"
        for load in found
    )
    return [
        f"With users of one xlwings Server: calls of single cells over HTTP, {CLIENTS} connections to each server process",
        "from a client process on the same machine, so that each figure is a lower bound.",
        "",
        "| server processes | requests a second | |",
        "|---:|---:|---:|",
        *rows,
        "",
        "Processes share nothing: requests grow with them where there are cores for them and for the clients; each holds the catalog",
        "once. A call with a range is one request, however many cells it has.",
        "",
    ]


_LIMITS = [
    "## The next limit",
    "",
    "* Grids: three floating-point operations a cell, about 0.1 µs in Python. What is left is xlwings' conversion of each",
    "  cell of the result. Beyond that is a compiled module, which neither the browser nor a locked-down office computer",
    "  would take as it is.",
    "* Single cells: reading seven arguments and looking up the model take ten microseconds beside the forty of xlwings'",
    "  own conversion. The stand-in for Windows' COM answers at once; in Excel each argument takes several calls through COM",
    "  to another process, beside which ten microseconds are little: there the ratio is nearer to 1.",
    "* Columns of different models: a microsecond and a half for each row (its cells read, its model's sizes looked up,",
    "  whole bytes reckoned with). The rest is Python's collector, which looks at the small lists that xlwings makes of",
    "  every row whenever a quarter more of them have come to be; it pauses whichever of the two functions is running.",
    "  Without it the ratio is 1.8.",
    "* `vram estimate`: half is importing click and making Python's dataclasses; a resident process would be the next step.",
    "* `vram template`: two fifths is counting the weights of every model in 14 formats and 5 layouts, two milliseconds a",
    "  model. CacheSpec in a file they would take none, and be a second truth beside the tensors.",
    "* `vram export`: reading each scenario twice, once to check all before anything is written.",
    "* LibreOffice: the baseline has 10 short formulas a row, a scenario 36 of which the longest look up eighteen figures",
    "  of their model. Fewer would be layouts that cannot be followed cell by cell. Cost grows in proportion to the rows.",
]


_WIDTH, _BAR, _LABELS, _TOP = 900, 22, 420, 40
_MOST_SHOWN = 2.0


def plot(measures: list[Measure]) -> str:
    """A bar for each ratio, as a share of the one to reach, as SVG; those that are far longer are cut off."""
    height = _TOP + _BAR * len(measures) + 10
    scale = (_WIDTH - _LABELS - 90) / _MOST_SHOWN
    line = _LABELS + scale
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{line:.0f}" y="24" text-anchor="middle">to reach</text>',
    ]
    for number, measure in enumerate(measures):
        share = measure.ratio / (measure.most or measure.ratio)
        y, length = _TOP + number * _BAR, min(share, _MOST_SHOWN) * scale
        colour = "#1f6fb2" if measure.is_reached else "#c0504d"
        name = measure.name if measure.most != 1 else f"{measure.name}: {measure.baseline}"
        parts += [
            f'<text x="{_LABELS - 8}" y="{y + 14}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{_LABELS}" y="{y + 3}" width="{length:.1f}" height="{_BAR - 7}" fill="{colour}"/>',
            f'<text x="{_LABELS + length + 6:.1f}" y="{y + 14}">{measure.ratio:.2f}</text>',
        ]
    parts.append(f'<path d="M{line:.0f} {_TOP - 8}V{height - 8}" stroke="#333" stroke-dasharray="4 3"/>')
    return "\n".join([*parts, "</svg>"]) + "\n"
