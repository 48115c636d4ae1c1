"""The command `vram read`: recompute a filled planner and compare."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path

import click

from core.texts import counted, escaped
from core.units import GB
from vram.cli.columns import check_one_form, print_columns
from vram.cli.options import models_option
from workbook.changed_cells import Change, ChangedCell, Changes
from workbook.planner_reader import Difference, Kind, Planner, PlannerRow
from workbook.safe_text import csv_text
from workbook.scenario import FIELDS

DISAGREES = 1
MOST_ROWS_SHOWN = 200  # on a terminal; --json and --csv give all

_KINDS = {
    Kind.DIFFERS: "is {stored}, not {expected}",
    Kind.OVERWRITTEN: "was overwritten by {stored}; the formula gives {expected}",
    Kind.BLANK: "is blank; it should be {expected}",
}

_CHANGES = {
    Change.CONSTANT: "was overwritten by {stored}; its formula is {expected}",
    Change.OTHER_FORMULA: "has another formula, {stored}, in place of {expected}",
    Change.BLANK: "is blank; its formula is {expected}",
    Change.OTHER_VALUE: "is {stored}; the planner has {expected}",
}
_LONGEST_SHOWN = 100  # characters of a formula or text on a terminal


@click.command()
@click.argument("planner", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, sizes in bytes.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, one scenario a line; `vram export` reads it.")
@models_option
@click.pass_context
def read(ctx: click.Context, planner: Path, as_json: bool, as_csv: bool) -> None:
    """Read the filled PLANNER.xlsx, recompute every scenario and compare.

    The table of scenarios is found by its name or by its columns, in English or Chinese. Every result is recomputed; a
    cell with another value, or with a constant instead of its formula, is listed with the value it should have. So is
    every cell of any sheet whose formula was overwritten or whose figure is not the catalog's.

    \b
    Exit status: 0 every row agrees; 1 a cell differs, or a row has wrong inputs; 2 the file cannot be read.
    """
    check_one_form(as_csv, as_json)
    table = Planner(planner)
    rows = list(table)
    named = {found.cell for row in rows for found in row.differences}
    changes = table.changes()
    changes = replace(changes, cells=tuple(found for found in changes.cells if found.cell not in named))
    if as_json:
        click.echo(json.dumps(_as_dict(table, rows, changes), ensure_ascii=False, indent=2))
    elif as_csv:
        click.echo(_as_csv(rows), nl=False)
    else:
        _print(table, rows, changes)
    ctx.exit(DISAGREES if changes.cells or any(row.problems or row.differences for row in rows) else 0)


def _as_dict(table: Planner, rows: list[PlannerRow], changes: Changes) -> dict[str, object]:
    return {
        "file": str(table.path),
        "sheet": table.sheet,
        "agrees": not changes.cells and not any(row.problems or row.differences for row in rows),
        "rows": [
            {"row": row.number, **_inputs(row), **_sizes_bytes(row), "problems": [*map(str, row.problems)]}
            for row in rows
        ],
        "differences": [
            asdict(found) | {"kind": found.kind.value, "stored": _plain(found.stored)}
            for row in rows
            for found in row.differences
        ],
        "changed_cells": [
            asdict(found)
            | {"change": found.change.value, "stored": _plain(found.stored), "expected": _plain(found.expected)}
            for found in changes.cells
        ],
        "notes": list(changes.notes),
        "formulas_without_value": sum(row.uncalculated for row in rows),
    }


def _inputs(row: PlannerRow) -> dict[str, object]:
    """Return the inputs of a row: as understood, or where they are wrong as the cells hold them."""
    given = row.scenario
    if given is None:
        return {field.name: _plain(row.inputs.get(field.name)) for field in FIELDS}
    return {field.name: field.cell(given) for field in FIELDS}


def _sizes_bytes(row: PlannerRow) -> dict[str, int | None]:
    if row.scenario is None:
        return dict.fromkeys(("weights_bytes", "kv_bytes", "overhead_bytes", "total_bytes", "gpus", "gpus_to_deploy"))
    needs, best = row.scenario.estimate, row.scenario.smallest
    return {
        "weights_bytes": needs.weights_bytes,
        "kv_bytes": needs.kv_bytes,
        "overhead_bytes": needs.overhead_bytes,
        "total_bytes": needs.total_bytes,
        "gpus": row.scenario.gpus_by_division,
        "gpus_to_deploy": None if best is None else best.gpus,
    }


def _plain(value: object) -> object:
    """Return a cell's value as JSON and CSV can hold it: dates and others as text."""
    return value if isinstance(value, (str, int, float, type(None))) else str(value)


def _as_csv(rows: Iterable[PlannerRow]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for number, row in enumerate(rows):
        remarks = [str(problem) for problem in row.problems] + [_sentence(d) for d in row.differences]
        cells = {"row": row.number, **_inputs(row), **_sizes_bytes(row), "remarks": " | ".join(remarks)}
        if number == 0:
            writer.writerow(cells)
        writer.writerow(csv_text(value) if isinstance(value, str) else value for value in cells.values())
    return out.getvalue()


def _sentence(difference: Difference) -> str:
    stored, expected = _readable(difference.stored), _readable(difference.expected)
    return f"{difference.cell} {_KINDS[difference.kind].format(stored=stored, expected=expected)}"


def _change_sentence(found: ChangedCell) -> str:
    heading = f" ({found.heading})" if found.heading else ""
    stored, expected = (_shortened(_readable(value)) for value in (found.stored, found.expected))
    return f"{found.cell}{heading} {_CHANGES[found.change].format(stored=stored, expected=expected)}"


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"


def _readable(value: object) -> str:
    return "" if value is None else f"{value:.15g}" if isinstance(value, float) else str(value)


def _print(table: Planner, rows: list[PlannerRow], changes: Changes) -> None:
    if rows:
        click.secho(escaped(f"{table.path}, {table.sheet}"), bold=True)
        headings = ("scenario", "row", "model", "context", "users", "total GB", "GPUs", "agrees?")
        print_columns(headings, [[*map(escaped, _line(row))] for row in rows[:MOST_ROWS_SHOWN]])
    if len(rows) > MOST_ROWS_SHOWN:
        click.echo(f"… and {len(rows) - MOST_ROWS_SHOWN:,} more rows; --json or --csv gives them all.")
    wrong = [f"row {row.number}: {problem}" for row in rows for problem in row.problems]
    wrong += [_sentence(difference) for row in rows for difference in row.differences]
    wrong += map(_change_sentence, changes.cells)
    for sentence in wrong[:MOST_ROWS_SHOWN]:
        click.echo(escaped(sentence))
    if len(wrong) > MOST_ROWS_SHOWN:
        click.echo(f"… and {len(wrong) - MOST_ROWS_SHOWN:,} more; --json or --csv gives them all.")
    for note in changes.notes:
        click.echo(escaped(note))
    uncalculated = sum(row.uncalculated for row in rows)
    if uncalculated:
        click.echo(f"{counted(uncalculated, 'formula')} without a value: no program has calculated the file.")
    if not wrong:
        formulas = "no formula was overwritten" if changes.is_planner else "formulas of its pages are not compared"
        click.echo(f"{counted(len(rows), 'scenario')}; every result agrees, and {formulas}.")


def _line(row: PlannerRow) -> list[str]:
    given = _inputs(row)
    verdict = "no: inputs" if row.problems else f"no: {len(row.differences)}" if row.differences else "yes"
    if row.scenario is None:
        shown = [_readable(given[field]) for field in ("context", "users")] + ["–", "–"]
    else:
        given_scenario = row.scenario
        total_gb = f"{given_scenario.estimate.total_bytes / GB:,.2f}"
        gpus = f"{given_scenario.gpus_by_division:,}"
        shown = [f"{given_scenario.context:,}", f"{given_scenario.users:,}", total_gb, gpus]
    return [_readable(given["scenario"]), str(row.number), _readable(given["model"]), *shown, verdict]
