"""The command `vram audit`."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from workbook.audit.followable import Trace
    from workbook.audit.run import Audit, Result

FAILED = 1
_PLACES_SHOWN, _PLACES_IN_JSON = 5, 1000


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--house/--no-house", default=True, show_default=True, help="Also check the planner's house style.")
@click.pass_context
def audit(context: click.Context, file: Path, as_json: bool, house: bool) -> None:
    """Check a workbook: is it safe to open, are its numbers reliable, does it follow the house style?

    FILE is any .xlsx or .xlsm; it is only read. The exit status is 0 if all checks pass, 1 if one fails, 2 if the file
    cannot be read.

    \b
    vram audit vram_planner.xlsx
    vram audit suppliers.xlsx --no-house --json
    """
    from addin.wrapper import excel_functions
    from workbook.audit.run import audit as run

    found = run(file, with_house=house, add_in_functions=[function.name for function in excel_functions()])
    if as_json:
        click.echo(json.dumps(_as_dict(file, found), indent=2))
    else:
        _print(found)
    context.exit(0 if found.passed else FAILED)


def _as_dict(file: Path, found: Audit) -> dict[str, object]:
    headline = found.headline
    return {
        "file": str(file),
        "passed": found.passed,
        "headline": headline
        and {
            "name": headline.name,
            "longest_chain": [*map(str, headline.chain)],
            "cells_of_one_row": headline.cells,
            "cells_behind": found.cells_behind,
        },
        "checks": [
            {
                "check": result.check.key,
                "kind": result.check.kind,
                "claim": result.check.claim,
                "passed": result.passed,
                "faults": len(result.faults),
                "places": [fault._asdict() for fault in result.faults[:_PLACES_IN_JSON]],
            }
            for result in found.results
        ],
    }


def _print(found: Audit) -> None:
    results = found.results
    headings = {"safety": "Safety", "integrity": "Integrity", "house": "House style of the planner"}
    for kind, of_kind in groupby(results, key=lambda result: result.check.kind):
        click.echo(headings[kind])
        for result in of_kind:
            click.echo(f"  {'✓' if result.passed else '✗'} {_line(result)}")
    if found.headline is not None:
        click.echo(_headline(found.headline, found.cells_behind))
    failed = sum(not result.passed for result in results)
    click.echo(f"{failed} of {len(results)} checks fail." if failed else f"All {len(results)} checks pass.")


def _headline(headline: Trace, cells_behind: int) -> str:
    start, end = _printable(str(headline.chain[0])), _printable(f"{headline.name} ({headline.place})")
    chain = f"Longest chain of precedents: {len(headline.chain):,} cells, from {start} to {end}."
    return (
        f"{chain} Formula cells behind it: {headline.cells:,} of one row of each table, {cells_behind:,} of all rows."
    )


def _line(result: Result) -> str:
    if result.passed:
        return result.check.claim
    places = ", ".join(_printable(str(fault)) for fault in result.faults[:_PLACES_SHOWN])
    more = len(result.faults) - _PLACES_SHOWN
    problems = "1 problem" if len(result.faults) == 1 else f"{len(result.faults):,} problems"
    return f"{result.check.claim}: {problems}: {places}" + (f" and {more} more" if more > 0 else "")


def _printable(text: str) -> str:
    """Replace characters that could control the terminal, and shorten `text`."""
    return "".join(c if c.isprintable() else "�" for c in text[:200])
