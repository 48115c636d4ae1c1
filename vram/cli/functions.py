"""The command `vram functions`."""

from __future__ import annotations

from pathlib import Path

import click

from core.errors import PlannerError
from vram.cli.options import models_option
from workbook.labels import LANGUAGES

_SUFFIX = ".xlsx"


@click.command()
@click.option(
    "-o", "--output", "path", type=click.Path(dir_okay=False, path_type=Path), default=Path("vram_functions.xlsx"),
    show_default=True, help="Where to write the workbook.",
)  # fmt: skip
@click.option("--lang", type=click.Choice(LANGUAGES), default="en", show_default=True, help="Language of the workbook.")
@models_option
def functions(path: Path, lang: str) -> None:
    """Write a workbook of functions (LLM_TOTAL, LLM_GPUS …) that need no add-in: Microsoft 365, Excel 2024, Mac, web.

    Every planner has them too; this workbook has only them and the data that they use.
    """
    from workbook.files import write_whole
    from workbook.functions_book import build

    if path.suffix.lower() != _SUFFIX:
        remedy = f"Give a name that ends in {_SUFFIX}; Excel opens such a file under no other ending."
        raise PlannerError("output", f"{path} does not end in {_SUFFIX}", remedy)
    write_whole(path, build(lang))
    click.echo(f"Wrote {path}")
