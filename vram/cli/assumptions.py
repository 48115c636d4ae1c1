"""Options for the assumptions of costs, and the list of their names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from core.catalog.countries import countries
from core.catalog.prices import cost_defaults
from core.plan.costs import COST_LIMITS, NAMES
from vram.cli.columns import print_columns
from vram.cli.options import Number

HELP = "help"
_OPTIONS = {
    "horizon_months": "Months over which costs are compared.",
    "spare_replicas": "Replicas beyond those that the users need, bought or rented: 1 for N+1.",
    "tax_rate": "Tax that is not refunded, as a fraction of prices.",
}
_HEADINGS = ("name", "default", "unit", "least", "most")


def assumption_options(command: Callable) -> Callable:
    """Add --assume, --country, and options of their own for the most usual assumptions."""
    for name, text in reversed(_OPTIONS.items()):
        command = click.option(
            "--" + name.replace("_", "-"), type=Number(COST_LIMITS[name]), help=f"{text} [default: {_shown(name)}]"
        )(command)
    for option in (
        click.option(
            "--country",
            type=click.Choice([*countries()]),
            help="Take the tariff, PUE, hosting and CO₂ of a country where its values are known.",
        ),
        click.option(
            "--assume",
            "assumptions",
            metavar="NAME=VALUE",
            multiple=True,
            is_eager=True,
            callback=_pairs,
            help="An assumption of the costs; may be repeated. `--assume help` lists names, defaults and limits.",
        ),
    ):
        command = option(command)
    return command


def given_assumptions(settings: dict[str, Any]) -> dict[str, Any]:
    """Take the options of single assumptions out of `settings`, and put them among its "assumptions"."""
    single = {name: settings.pop(name) for name in _OPTIONS}
    return settings | {
        "assumptions": settings["assumptions"] | {name: value for name, value in single.items() if value is not None}
    }


def _pairs(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> dict[str, object]:
    if HELP in values:
        print_columns(_HEADINGS, [_line(name) for name in NAMES])
        context.exit()
    return dict(_pair(value, context, option) for value in values)


def _pair(text: str, context: click.Context, option: click.Parameter) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    name = name.strip().replace("-", "_")
    if not equals:
        raise click.BadParameter(
            f"{text!r} has no value. Write NAME=VALUE, for example tax_rate=0.19.", context, option
        )
    if name not in NAMES:
        return name, value  # `core` names the similar ones
    return name, Number(COST_LIMITS[name]).convert(value, option, context)


def _shown(name: str) -> str:
    value = cost_defaults()[name].value
    return "none" if value is None else f"{value:.4g}"


def _line(name: str) -> tuple[str, ...]:
    limits = COST_LIMITS[name]
    return name, _shown(name), cost_defaults()[name].unit, f"{limits.least:g}", f"{limits.most:g}"
