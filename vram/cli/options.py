"""Options that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import Field, fields

import click

from core import catalog
from core.checks import LIMITS, Limits, tokens
from core.errors import PlannerError
from core.plan import defaults


class Number(click.ParamType):
    """A number; `core` checks its limits, with its own messages."""

    name = "number"

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits

    def convert(self, value, param, ctx):
        try:
            return tokens(param.name, value) if param.name in _TOKENS and value[-1:] in "kKmM" else float(value)
        except PlannerError as error:
            self.fail(f"{error.problem}. {error.remedy}", param, ctx)
        except ValueError:
            limits = self.limits or LIMITS[param.name]
            self.fail(f"{value!r} is not a number. {limits.remedy}", param, ctx)


NUMBER = Number()
_TOKENS = ("context", "prompt_tokens", "output_tokens")  # "32K" is understood
GPU_HELP = "A GPU of the catalog, a card's number such as 4090, or a size in GB that some GPU has, such as 80."


def _use_models(_context: click.Context, _option: click.Parameter, path: str | None) -> None:
    if path is not None:
        os.environ[catalog.MODELS_VARIABLE] = os.path.abspath(path)  # the same file in every working directory


models_option = click.option(
    "--models", metavar="FILE", callback=_use_models, expose_value=False, is_eager=True,
    help=f"CSV file of your own models, looked up before the catalog's. Or set {catalog.MODELS_VARIABLE}.",
)  # fmt: skip


encoding_option = click.option(
    "--encoding", metavar="NAME",
    help="Encoding of a CSV file: utf-8, cp1252, gb18030, cp932, big5 … [default: what the file shows, or a guess]",
)  # fmt: skip


def say_encoding(path: object, detected: str) -> None:
    """Say on the error stream that an encoding was guessed; `detected` is "" if it was not."""
    if detected:
        click.echo(f"vram: {path} is read as {detected}; --encoding reads it as another.", err=True)


def answer_options(command: Callable[..., object]) -> Callable[..., object]:
    """Add the options that print an answer for other programs."""
    as_csv = click.option("--csv", "as_csv", is_flag=True, help="Print the figures of --json as CSV, a row an answer.")
    as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object, sizes in bytes.")
    return as_csv(as_json(command))


prices_option = click.option(
    "--prices", metavar="FILE",
    help="CSV file of your offers, next to the catalog's: `vram prices import` writes it, or your own quotes.",
)  # fmt: skip


def _setting_option(setting: Field) -> Callable:
    name = "--" + setting.name.replace("_", "-")
    if setting.metadata["limits"] is None:
        return click.option(name, is_flag=True, help=setting.metadata["help"])
    return click.option(
        name, type=Number(setting.metadata["limits"]), help=f"{setting.metadata['help']} [default: the engine's]"
    )


def engine_options(command: Callable) -> Callable:
    """Add the options of the arguments that capacities, speeds and plans share, by the same names, and --json."""
    # Here, because `vram estimate` starts without the engines.
    from core.engines.deployment import EngineSettings
    from vram.engine_settings import ENGINES

    options: tuple[Callable[..., Callable], ...] = (
        click.option("--precision", help="Of the weights: a name, or bytes per parameter. [default: as shipped]"),
        click.option(
            "--kv-precision",
            help="Of the KV cache: a name, or bytes per value. [default: as the checkpoint states, else fp16]",
        ),
        click.option(
            "--engine",
            type=click.Choice([*ENGINES]),
            default=defaults.ENGINE,
            show_default=True,
            help="For tensorrt-llm, memory is computed as vLLM's.",
        ),
        click.option("--engine-version", help='For example "0.19". [default: the newest known]'),
        click.option("--draft-model", metavar="MODEL", help="The model that drafts tokens, for --mtp-tokens of them."),
        *map(_setting_option, fields(EngineSettings)),
        answer_options,
        models_option,
    )
    for option in reversed(options):  # the first one is printed first
        command = option(command)
    return command
