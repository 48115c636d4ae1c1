"""The command `vram plan`."""

from __future__ import annotations

from collections.abc import Iterator

import click

from core.plan.costs import EITHER, WAYS
from core.plan.demand import MIN_SPEED
from core.texts import counted
from vram.cli.assumptions import assumption_options, given_assumptions
from vram.cli.columns import percent, print_answer, print_columns, print_remarks
from vram.cli.options import GPU_HELP, NUMBER, engine_options, prices_option
from vram.plan_costs import COSTS_NOTE, prices_in_words
from vram.plans import Option, Plan
from vram.plans import plan as make_plan

LEGEND = "order: GPUs with headroom and spares; own, rent: USD a month; even: the month by which buying has paid off"
SPEED_LEGEND = "tokens/s: for each user, with the range; first: seconds to the first token"
COSTS_HEADINGS = ("GPU", "GPUs", "TP×PP", "order", "own", "rent", "even", "best")
HEADINGS = ("GPU", "GPUs", "TP×PP", "replicas", "nodes", "users a replica", "headroom")
SPEED_HEADINGS = ("tokens/s", "first", "limited by")


def _measured_speeds(_context: click.Context, option: click.Parameter, given: tuple[str, ...]) -> dict[str, float]:
    """Return each place with its speed; `vram.plan` checks both."""
    found = {}
    for text in given:
        place, _, speed = text.rpartition("=")
        try:
            found[place] = float(speed)
        except ValueError:
            raise click.BadParameter(
                f"{text!r} has no number after '='. Write for example h100:4=25.", param=option
            ) from None
    return found


@click.command()
@click.argument("model")
@click.option("--users", type=NUMBER, help="Concurrent users. Give one of --users, --people, --requests-per-hour.")
@click.option("--people", type=NUMBER, help="People who use the service; with --active.")
@click.option("--active", type=NUMBER, help="Share of them with a request running at the peak, for example 0.1.")
@click.option("--requests-per-hour", type=NUMBER, help="Requests that come in an hour.")
@click.option("--context", type=NUMBER, help="Tokens per user. [default: prompt and output]")
@click.option("--prompt-tokens", type=NUMBER, help="Tokens of a prompt. [default: 8/9 of the context, or its rest]")
@click.option("--output-tokens", type=NUMBER, help="Tokens of an answer. [default: 1/9 of the context, or its rest]")
@click.option("--average-tokens", type=NUMBER, help="Tokens cached per user on average. [default: the context]")
@click.option(
    "--min-speed", type=NUMBER, default=MIN_SPEED, show_default=True,
    help="Tokens per second that each user gets at least, at the low end of the range; 0 for any. The default is about "
    "twice silent reading: 238 words a minute (Brysbaert 2019) of 1.3 tokens are 5.2 tokens a second.",
)  # fmt: skip
@click.option(
    "--measured-speed", "measured_speeds", metavar="GPU:TP=SPEED", multiple=True, callback=_measured_speeds,
    help="Tokens per second of each user that you measured under this load, instead of what is computed: h100:4=25 for "
    "TP 4, h100:8x2=25 for TP 8 × PP 2. May be repeated.",
)  # fmt: skip
@click.option("--gpu", "gpus", multiple=True, help=f"{GPU_HELP} May be repeated. [default: all]")
@click.option("--data-centre-only", is_flag=True, help="Leave out workstation and consumer cards.")
@click.option("--maker", help="Compare the GPUs of this maker alone, for example NVIDIA or AMD.")
@click.option(
    "--way", type=click.Choice([*WAYS]), default=EITHER, show_default=True, help="Compare buying, renting, or both."
)
@click.option(
    "--overhead", type=NUMBER, help="Plan by the rule, with this fraction of weights and cache, instead of an engine."
)
@click.option("--costs", is_flag=True, help="Show what owning and renting cost, at indicative prices.")
@prices_option
@assumption_options
@engine_options
def plan(model: str, as_json: bool, as_csv: bool, **settings) -> None:
    """Show how to serve MODEL to its users: deployable layouts, the cheapest first, and what rules the others out.

    The order is by net present cost of owning or renting at indicative prices; --costs shows the figures. What is too
    slow for the users, and what has no kernel for the format, is ruled out.

    \b
    vram plan llama-3.1-70b --users 10 --context 32768
    vram plan deepseek-v3 --users 100 --context 32768 --gpu h200 --gpu b200
    vram plan llama-3.1-70b --users 50 --context 32768 --costs
    vram plan llama-3.1-70b --users 50 --context 32768 --costs --country uk --assume hours_per_day=12
    vram plan qwen3-32b --people 500 --active 0.1 --prompt-tokens 2000 --output-tokens 500 --min-speed 20
    """
    found = make_plan(model, **given_assumptions(settings))
    print_answer(found.as_dict, as_csv, as_json, lambda: _print(found), rows="layouts")


def _print(found: Plan) -> None:
    if found.users is None:
        demand = f"{found.requests_per_hour:,g} requests an hour"
    else:
        demand = counted(found.users, "user")
    tokens = f"{found.context:,} tokens ({found.prompt_tokens:,} prompt, {found.output_tokens:,} output)"
    wish = f", at least {found.min_speed:g} tokens/s for each" if found.min_speed else ""
    click.secho(f"{found.model}: {demand} × {tokens}{wish}", bold=True)
    if found.options:
        headings = COSTS_HEADINGS if found.with_costs else HEADINGS
        cells = _cost_cells if found.with_costs else _plain_cells
        print_columns(
            (*headings, *SPEED_HEADINGS), [(*cells(option), *_speed_cells(option)) for option in found.options]
        )
        for line in _legend(found):
            click.echo(line)
    else:
        click.echo("Nothing can be chosen.")
    unranked = {option.gpu: option.why_not for option in found.options if option.why_not}
    if unranked:
        click.echo("Last in the table, because they cannot be ranked by cost:")
        for gpu, why_not in unranked.items():
            click.echo(f"  {gpu}: {why_not}")
    if found.ruled_out:
        click.echo("Ruled out:")
        for out in found.ruled_out:
            click.echo(f"  {out.gpu}: {out.reason}")
    print_remarks(found.assumed, found.warnings)


def _legend(found: Plan) -> Iterator[str]:
    if found.with_costs:
        yield f"{LEGEND}; {COSTS_NOTE}"
        first = found.options[0]
        if first.costs is not None and first.costs.prices.known:
            yield f"prices of {first.gpu}, USD: {'; '.join(prices_in_words(first.costs.prices))}"
    if not found.no_speed:
        yield SPEED_LEGEND
    yield found.note


def _layout_cells(option: Option) -> tuple[str, ...]:
    return option.gpu, f"{option.gpus:,}", f"{option.tp}×{option.pp}"


def _plain_cells(option: Option) -> tuple[str, ...]:
    """Return the row under `HEADINGS`."""
    figures = (option.replicas, option.nodes, option.users_per_replica)
    return (*_layout_cells(option), *(f"{figure:,}" for figure in figures), percent(round(option.headroom, 2)))


def _cost_cells(option: Option) -> tuple[str, ...]:
    """Return the row under `COSTS_HEADINGS`; blank where nothing is known."""
    costs = option.costs
    if costs is None:
        return (*_layout_cells(option), *[""] * 5)
    owned, rented = costs.owned, costs.rented
    return (
        *_layout_cells(option),
        f"{costs.order.gpus:,}",
        "" if owned is None else f"{owned.usd_per_month:,.0f}",
        "" if rented is None else f"{rented.usd_per_month:,.0f}",
        "" if costs.break_even_month is None else f"{costs.break_even_month}",
        costs.cheaper or "",
    )


def _speed_cells(option: Option) -> tuple[str, ...]:
    """Return the row under `SPEED_HEADINGS`; blank where nothing is known."""
    speed = option.speed
    if speed is None:
        return "", "", ""
    each = [f"{end.tokens_per_second_per_user:.0f}" for end in (speed.expected, speed.low, speed.high)]
    return f"{each[0]} ({each[1]}–{each[2]})", f"{speed.expected.time_to_first_token_s:.1f}", speed.limited_by
