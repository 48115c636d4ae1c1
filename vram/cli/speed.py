"""The command `vram speed`."""

from __future__ import annotations

import click

from core.plan.fleet import layout_title
from core.texts import counted
from vram.cli.columns import print_answer, print_columns, print_remarks
from vram.cli.options import NUMBER, engine_options
from vram.speeds import Speed
from vram.speeds import speed as compute_speed


@click.command()
@click.argument("model")
@click.option("--gpu", required=True, help="A GPU of the catalog, or a card's number such as 4090.")
@click.option("--tp", type=NUMBER, default=1, show_default=True, help="Tensor parallel size.")
@click.option("--pp", type=NUMBER, default=1, show_default=True, help="Pipeline parallel size.")
@click.option("--replicas", type=NUMBER, default=1, show_default=True, help="Copies of the model.")
@click.option("--users", type=NUMBER, required=True, help="Concurrent users of all copies.")
@click.option("--prompt-tokens", type=NUMBER, required=True, help="Tokens of one prompt.")
@click.option("--output-tokens", type=NUMBER, required=True, help="Tokens of one answer.")
@engine_options
def speed(model: str, as_json: bool, as_csv: bool, **arguments) -> None:
    """Compute how fast MODEL is served: tokens per second for each user and in all, and the time to the first token.

    Each user sends the next request when the last is answered. MODEL is a catalog name, a path, or hub:org/model on the
    Hugging Face hub.

    \b
    vram speed llama-3.1-70b --gpu h100 --tp 4 --users 50 --prompt-tokens 2000 --output-tokens 500
    vram speed gpt-oss-120b --gpu b200 --users 32 --prompt-tokens 1000 --output-tokens 1000 --engine tensorrt-llm --json
    """
    found = compute_speed(model, **arguments)
    print_answer(found.as_dict, as_csv, as_json, lambda: _print(found))


def _print(found: Speed) -> None:
    # With click alone: importing rich would take longer than everything else.
    layout = layout_title(found.tp, found.pp)
    copies = f"{found.replicas} × {layout}" if found.replicas > 1 else layout
    click.secho(f"{found.model} ({found.precision}) on {found.gpu}, {copies}, {found.engine}", bold=True)
    click.echo(
        ", ".join(
            (
                counted(found.users, "user"),
                counted(found.prompt_tokens, "prompt token"),
                counted(found.output_tokens, "output token"),
            )
        )
    )
    ends = (found.expected, found.low, found.high)
    rows = {
        "tokens/s per user": [f"{end.tokens_per_second_per_user:,.1f}" for end in ends],
        "output tokens/s": [f"{end.output_tokens_per_second:,.0f}" for end in ends],
        "time to first token, s": [f"{end.time_to_first_token_s:,.2f}" for end in ends],
        "users at once": [f"{end.users_at_once:,}" for end in ends],
    }
    print_columns(("", "expected", "low", "high"), [(name, *values) for name, values in rows.items()])
    click.echo(f"limited by {found.limited_by}; {found.tokens_per_day:,.0f} output tokens a day")
    if found.users_waiting:
        click.echo(
            f"waiting for a free place: {counted(found.users_waiting, 'user')}; the figures are of those that run"
        )
    near = found.nearest
    if near is not None:
        users = "? users" if near.users is None else counted(near.users, "user")
        figures = [
            f"{value:,.1f} {unit}"
            for value, unit in (
                (near.tokens_per_s_per_user, "tokens/s per user"),
                (near.output_tokens_per_s, "output tokens/s"),
            )
            if value is not None
        ]
        click.echo(
            f"nearest measurement: {', '.join(figures)} with {users}, {near.prompt_tokens or '?'} prompt "
            f"and {near.output_tokens or '?'} output tokens, {near.precision}, TP {near.tp}, {near.engine} "
            f"{near.engine_version} ({near.source})"
        )
    click.echo(found.note)
    print_remarks(found.assumed, found.warnings)
