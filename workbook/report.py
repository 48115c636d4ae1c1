"""The article's figures as a table on the terminal, read from the workbook's own formulas."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from workbook.engine import Values
from workbook.labels import Labels
from workbook.sheets import article

_STEPS = ("weights", "kv", "overhead", "total", "gpus")
_COLUMNS = {"as_printed": article.LIVE, "exact": article.EXACT, "real": article.REAL}


def print_article_figures(values: Values, lang: str) -> None:
    """Prints the article's three cases, each as printed, exact, and as the model really is."""
    labels = Labels(lang)
    cells, figures = article.figure_cells(), values[labels("sheet.article")]
    table = Table(title=labels("article.title"), title_justify="left", caption=labels("about.units"))
    table.add_column("")
    table.add_column("")
    for step in _STEPS:
        unit = labels("unit.gpus") if step == "gpus" else "GB"
        name = "80 GB" if step == "gpus" else labels(f"article.{step}")
        table.add_column(f"{name}\n{unit}", justify="right")
    for block in article.BLOCKS:
        for key, column in _COLUMNS.items():
            row = [figures[cells[block.key, step, column]] for step in _STEPS]
            table.add_row(
                labels(f"article.{block.key}") if key == "as_printed" else "",
                labels(f"report.{key}"),
                *(f"{value:,.2f}".removesuffix(".00") for value in row),
            )
        table.add_section()
    Console().print(table)
