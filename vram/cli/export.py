"""The command `vram export`."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from core.errors import PlannerError
from core.texts import counted
from vram.cli.options import encoding_option, models_option, say_encoding
from workbook.export.workbook import MOST_PAGES, export_scenarios
from workbook.labels import LANGUAGES
from workbook.planner_reader import Planner
from workbook.scenario import FIELDS, ONE_OF
from workbook.scenario_csv import CsvScenarios
from workbook.untrusted import is_workbook


def export_help() -> str:
    """Return the help text, which names the fields of a scenario."""
    required = ", ".join(field.name for field in FIELDS if field.required)
    defaults = ", ".join(f"{field.name} {field.default}" for field in FIELDS if field.default is not None)
    options = [
        f"{field.name} is " + " or ".join(f'"{option}"' for option in field.options)
        for field in FIELDS
        if field.options
    ]
    columns = (
        f"The columns of a CSV file are named {', '.join(field.name for field in FIELDS)}, or as on the planner's "
        f"Scenarios sheet, in English or Chinese. {required} and either {' or '.join(ONE_OF)} are needed. A missing or "
        f"blank field takes its default: {defaults}; a model of which only the size is known takes the engine rule. "
        f"{', '.join(options)}; paged needs average_tokens. A comma, semicolon or tab between cells, a decimal point "
        "or comma, and the encodings that Excel writes are all understood; so is the Scenarios sheet saved as CSV."
    )
    return _EXPORT_HELP.format(columns=columns, pages=MOST_PAGES)


_EXPORT_HELP = """Write a decision sheet for each scenario of SCENARIOS: a CSV file, or a filled planner (.xlsx).

    \b
    vram export scenarios.csv -o decision.xlsx
    vram export filled_planner.xlsx -o decision.xlsx --pdf

    {columns}

    A page has the recommendation, the layout to deploy, its speed, the costs if the GPU is named and has a price, the
    best layouts of two other GPUs, a sign-off block, an acceptance test, risks, every assumption with its source, and
    checks. As in `vram plan`, each user gets 10 tokens/s. Prices are those of the offers that count on the planner's
    Prices sheet, your quotes among them; of a CSV file, those of the catalog's offers.

    The first {pages} scenarios get a page each; the others one row each, planned by memory and cost, with live
    formulas, on the last sheet. If a row has wrong inputs, each problem is listed with its line, and nothing is
    written.
    """


@click.command(help=export_help())
@click.argument("scenarios", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", "path", type=click.Path(dir_okay=False, path_type=Path), required=True,
    help="Where to write the .xlsx.",
)  # fmt: skip
@click.option("--pdf", "as_pdf", is_flag=True, help="Also print it into a PDF of the same name, with LibreOffice.")
@click.option("--lang", type=click.Choice(LANGUAGES), default="en", show_default=True, help="Language of the sheets.")
@encoding_option
@models_option
def export(scenarios: Path, path: Path, as_pdf: bool, lang: str, encoding: str | None) -> None:
    if path.suffix.lower() != ".xlsx":
        raise PlannerError("output", f"{path} does not end in .xlsx", "Give a name that ends in .xlsx.")
    if path.exists() and scenarios.exists() and path.samefile(scenarios):
        raise PlannerError("output", f"{path} is the file that is read", "Choose another file.")
    if as_pdf:
        from workbook.pdf import office

        office()  # before anything is written: fail at once if there is no LibreOffice
    given = Planner(scenarios) if is_workbook(scenarios) else CsvScenarios(scenarios, encoding)
    if isinstance(given, CsvScenarios):
        say_encoding(scenarios, given.detected)
    filled = given.prices() if isinstance(given, Planner) else None
    for problem in filled.problems if filled else ():
        click.echo(f"vram: {problem}. This offer does not count.", err=True)
    if isinstance(given, Planner) and given.has_measured_speeds:
        click.echo(
            "vram: speeds that you measured count on Options and Plan alone; pages show computed ones.", err=True
        )
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("scenarios")
        used = (filled.by_gpu, filled.as_of) if filled else (None, None)
        count = export_scenarios(path, given, lang, partial(_advance, progress, bar), *used)
    click.echo(f"Wrote {path}: {counted(count, 'scenario')}, {counted(min(count, MOST_PAGES), 'page')}")
    if as_pdf:
        from workbook.pdf import MOST_TAGGED_PAGES, write_pdf

        click.echo(f"Wrote {write_pdf(path, tagged=count <= MOST_TAGGED_PAGES)}")


def _advance(progress: Progress, bar: TaskID, done: int, total: int) -> None:
    progress.update(bar, completed=done, total=total)
