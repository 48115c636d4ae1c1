"""Print rows in columns, with click alone: importing rich takes a tenth of a second, and wraps what is wide."""

from __future__ import annotations

from collections.abc import Sequence

import click


def print_columns(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under their headings: the first column is aligned to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(headings, *rows)]
    for number, row in enumerate([headings, *rows]):
        cells = [cell.rjust(width) if i else cell.ljust(width) for i, (cell, width) in enumerate(zip(row, widths))]
        click.secho("  ".join(cells).rstrip(), bold=number == 0)


def print_remarks(assumed: Sequence[str], warnings: Sequence[str]) -> None:
    """Print what an answer assumes and what is doubtful about its inputs, a line each."""
    for text in assumed:
        click.echo(f"assumed: {text}")
    for text in warnings:
        click.echo(f"warning: {text}")
