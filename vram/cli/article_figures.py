"""Print the article's figures as the workbook's formulas give them."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from workbook.labels import Labels
from workbook.recalculation import Values
from workbook.sheets import article

_STEPS = ("weights", "kv", "overhead", "total", "gpus")
_COLUMNS = {"as_printed": article.LIVE, "exact": article.EXACT, "real": article.REAL}


def print_article_figures(values: Values, lang: str) -> None:
    """Print the article's three cases, each as printed, exact, and for the real model."""
    labels = Labels(lang)
    cells, sheet = article.figure_cells(), labels("sheet.article")
    table = Table(title=labels("article.title"), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    for step in _STEPS:
        heading = "GPUs\n80 GB" if step == "gpus" else f"{labels(f'article.{step}')}\nGB"
        table.add_column(heading, justify="right", no_wrap=True)
    for block in article.BLOCKS:
        table.add_row(labels(f"article.{block.key}"), style="bold")
        for key, column in _COLUMNS.items():
            figures = (values[sheet][cells[block.key, step, column]] for step in _STEPS)
            table.add_row(f"  {labels(f'report.{key}')}", *(_readable(figure) for figure in figures))
        table.add_section()
    Console().print(table)
    Console().print(labels("about.units"))


def _readable(figure: object) -> str:
    return f"{figure:,.2f}".removesuffix(".00")
