"""The command `vram plan`."""

from __future__ import annotations

import json

import click

from vram.cli.options import NUMBER, engine_options
from vram.engine_settings import NOTE
from vram.plan_costs import COSTS_NOTE
from vram.plans import Option, Plan
from vram.plans import plan as make_plan

LEGEND = "order: GPUs with headroom and spares; own, rent: USD a month; even: the month by which buying has paid off"
HEADINGS = ("GPU", "GPUs", "TP×PP", "order", "own", "rent", "even", "best")


@click.command()
@click.argument("model")
@click.option("--users", type=NUMBER, required=True, help="Concurrent users.")
@click.option("--context", type=NUMBER, required=True, help="Tokens per user.")
@click.option(
    "--gpu", "gpus", multiple=True, help="A GPU of the catalog, or its memory in GB; may be repeated. [default: all]"
)
@click.option(
    "--overhead", type=NUMBER, help="Plan by the rule, with this fraction of weights and cache, instead of an engine."
)
@click.option("--costs", is_flag=True, help="Show what owning and renting cost, at indicative prices.")
@engine_options
def plan(model: str, as_json: bool, **settings) -> None:
    """Show how to serve MODEL to its users: deployable layouts, the cheapest first, and what rules the others out.

    The order is by net present cost of owning or renting at indicative prices; --costs shows the figures.

    \b
    vram plan llama-3.1-70b --users 10 --context 32768
    vram plan deepseek-v3 --users 100 --context 32768 --gpu h200 --gpu b200
    vram plan llama-3.1-70b --users 50 --context 32768 --costs
    """
    found = make_plan(model, **settings)
    if as_json:
        click.echo(json.dumps(found.as_dict(), indent=2))
    else:
        _print(found)


def _print(found: Plan) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{found.model}: {found.users:,} × {found.context:,} tokens", title_justify="left")
    plain_headings = ("GPU", "GPUs", "TP", "PP", "replicas", "nodes", "users a replica", "headroom")
    for heading in HEADINGS if found.with_costs else plain_headings:
        table.add_column(heading, justify="left" if heading == "GPU" else "right", no_wrap=heading == "GPU")
    for option in found.options:
        if found.with_costs:
            table.add_row(*_cost_cells(option))
            continue
        figures = (option.gpus, option.tp, option.pp, option.replicas, option.nodes, option.users_per_replica)
        table.add_row(option.gpu, *(f"{figure:,}" for figure in figures), f"{option.headroom:.0%}")
    table.caption = f"{LEGEND}\n{NOTE}; {COSTS_NOTE}" if found.with_costs else NOTE
    console = Console()
    console.print(table if found.options else "Nothing fits.")
    unranked = {option.gpu: option.why_not for option in found.options if option.why_not}
    if unranked:
        console.print("Last in the table, because they cannot be ranked by cost:")
        for gpu, why_not in unranked.items():
            console.print(f"  {gpu}: {why_not}", highlight=False)
    if found.ruled_out:
        console.print("Ruled out:")
        for out in found.ruled_out:
            console.print(f"  {out.gpu}: {out.reason}", highlight=False)


def _cost_cells(option: Option) -> tuple[str, ...]:
    """Return the row under `HEADINGS`; blank where nothing is known."""
    cells = (option.gpu, f"{option.gpus:,}", f"{option.tp}×{option.pp}")
    costs = option.costs
    if costs is None:
        return cells
    owned, rented = costs.owned, costs.rented
    return (
        *cells,
        f"{costs.order.gpus:,}",
        "" if owned is None else f"{owned.usd_per_month:,.0f}",
        "" if rented is None else f"{rented.usd_per_month:,.0f}",
        "" if costs.break_even_month is None else f"{costs.break_even_month}",
        costs.cheaper or "",
    )
