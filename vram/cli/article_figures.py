"""Print the article's figures as the workbook's formulas give them."""

from __future__ import annotations

import click

from vram.cli.columns import print_columns
from workbook.labels import Labels
from workbook.recalculation import Values
from workbook.sheets import article

_STEPS = ("weights", "kv", "overhead", "total", "gpus")
_COLUMNS = {"as_printed": article.LIVE, "exact": article.EXACT, "real": article.REAL}


def print_article_figures(values: Values, lang: str) -> None:
    """Print the article's three cases, each as printed, exact, and for the real model."""
    labels = Labels(lang)
    cells, sheet = article.figure_cells(), labels("sheet.article")
    headings = ["GPUs (80 GB)" if step == "gpus" else f"{labels(f'article.{step}')}, GB" for step in _STEPS]
    click.secho(labels("article.title"), bold=True)
    for block in article.BLOCKS:
        rows = []
        for key, column in _COLUMNS.items():
            figures = (values[sheet][cells[block.key, step, column]] for step in _STEPS)
            rows.append([labels(f"report.{key}"), *map(_readable, figures)])
        click.echo()
        print_columns([labels(f"article.{block.key}"), *headings], rows)
    click.echo(f"\n{labels('about.units')}")


def _readable(figure: object) -> str:
    return f"{figure:,.2f}".removesuffix(".00")
