"""Print tables with click alone: importing rich takes a tenth of a second, and it cuts and wraps what is wide."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import click


def print_columns(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under their headings: the first column is aligned to the left, the others to the right.

    On a terminal that is too narrow each row is a block of lines, so that no figure is cut or wrapped.
    """
    widths = [max(map(_width, column)) for column in zip(headings, *rows)]
    if rows and sum(widths) + 2 * (len(widths) - 1) > _line_width():
        _print_blocks(headings, rows)
        return
    for number, row in enumerate([headings, *rows]):
        cells = [_padded(cell, width, right=i > 0) for i, (cell, width) in enumerate(zip(row, widths))]
        click.secho("  ".join(cells).rstrip(), bold=number == 0)


def print_csv(answers: Sequence[Mapping[str, object]]) -> None:
    """Print answers, as `--json` has them, as the rows of a CSV file: one column for each figure."""
    rows = [dict(_flat(answer)) for answer in answers]
    headings = list(dict.fromkeys(heading for row in rows for heading in row))
    from workbook.safe_text import csv_text  # takes openpyxl to import

    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(headings)
    for row in rows:
        cells = (_csv_cell(row.get(heading)) for heading in headings)
        writer.writerow([csv_text(cell) if isinstance(cell, str) else cell for cell in cells])
    click.echo(out.getvalue(), nl=False)


def check_one_form(as_csv: bool, as_json: bool) -> None:
    """Raise UsageError if an answer is asked for in two forms."""
    if as_csv and as_json:
        raise click.UsageError("Give either --json or --csv, not both.")


def print_answer(
    figures: Callable[[], dict[str, Any]],
    as_csv: bool,
    as_json: bool,
    print_text: Callable[[], None],
    *,
    rows: str = "",
) -> None:
    """Print an answer as CSV or as JSON, or without either as text for people.

    Args:
        figures: returns the figures of the answer, which the text does not need.
        rows: the name of the list whose elements are the rows of the CSV; "" for one row with all figures.
    """
    check_one_form(as_csv, as_json)
    if as_csv:
        print_csv(figures()[rows] if rows else [figures()])
    elif as_json:
        click.echo(json.dumps(figures(), indent=2))
    else:
        print_text()


def print_remarks(assumed: Sequence[str], warnings: Sequence[str]) -> None:
    """Print what an answer assumes and what is doubtful about its inputs, a line each."""
    for text in assumed:
        click.echo(f"assumed: {text}")
    for text in warnings:
        click.echo(f"warning: {text}")


def percent(share: float) -> str:
    """Return a share as people write it, with the digits that it has: "10%", "0.5%"."""
    return f"{share * 100:.6g}%"


def _print_blocks(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    label_width = max(map(_width, headings[1:]), default=0)
    for title, *cells in rows:
        click.secho(f"{headings[0]} {title}".strip(), bold=True)
        for heading, cell in zip(headings[1:], cells):
            if cell:
                click.echo(f"  {_padded(heading, label_width, right=False)}  {cell}")


def _line_width() -> float:
    """Return the width of the terminal; without one, as in a file, lines may be of any width."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else float("inf")


def _width(text: str) -> int:
    """Return the columns that a text takes: two for each Chinese character."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _padded(text: str, width: int, *, right: bool) -> str:
    space = " " * (width - _width(text))
    return space + text if right else text + space


def _flat(answer: Mapping[str, object], before: str = "") -> Iterator[tuple[str, object]]:
    for name, value in answer.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}_")
        else:
            yield before + name, value


def _csv_cell(value: object) -> object:
    if isinstance(value, list):
        value = "; ".join(value) if all(isinstance(one, str) for one in value) else json.dumps(value)
    return value
