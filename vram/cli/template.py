"""The command `vram template`."""

from __future__ import annotations

from pathlib import Path

import click

from core.catalog.offers import with_offers
from core.errors import PlannerError
from vram.cli.options import models_option, prices_option
from workbook.labels import LANGUAGES


@click.command()
@click.option(
    "-o", "--output", "path", type=click.Path(dir_okay=False, path_type=Path),
    show_default="vram_planner.xlsx, .xlsm with --macro", help="Where to write the workbook.",
)  # fmt: skip
@click.option("--lang", type=click.Choice(LANGUAGES), default="en", show_default=True, help="Language of the workbook.")
@click.option("--macro", is_flag=True, help="Include the cell functions and write an .xlsm.")
@prices_option
@models_option
def template(path: Path | None, lang: str, macro: bool, prices: str | None) -> None:
    """Write the planner workbook, and print the article's figures from its formulas."""
    from vram.cli.article_figures import print_article_figures
    from vram.price_files import read_offers
    from workbook.files import write_whole
    from workbook.template import build

    suffix = ".xlsm" if macro else ".xlsx"
    path = path or Path(f"vram_planner{suffix}")
    if path.suffix.lower() != suffix:
        remedy = f"Give a name that ends in {suffix}; Excel opens such a file under no other ending."
        raise PlannerError("output", f"{path} does not end in {suffix}", remedy)
    offers = None if prices is None else with_offers(read_offers(prices))
    content, values = build(lang, offers=offers)
    if macro:
        from addin.build import workbook_with_functions

        content = workbook_with_functions(content)
    write_whole(path, content)
    print_article_figures(values, lang)
    click.echo(f"Wrote {path}")
