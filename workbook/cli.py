"""The command line: `vram template`, `vram estimate`, `vram audit`, `vram addin`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from addin.cli import addin
from core import __version__, catalog
from core.checks import LIMITS, number
from core.errors import PlannerError
from core.model_spec import ModelSpec
from core.overhead import DEFAULT_OVERHEAD_FRACTION
from core.readers.hf_config import read_config_file
from core.sizing import Estimate, estimate
from core.units import GB, GIB
from workbook.cli_audit import audit
from workbook.labels import LANGUAGES

BAD_INPUT = 2


class Number(click.ParamType):
    """A number; whether it is a possible one, `core` judges, in its own words."""

    name = "number"

    def convert(self, value, param, ctx):
        try:
            return float(value)
        except ValueError:
            self.fail(f"{value!r} is not a number. {LIMITS[param.name].remedy}", param, ctx)


NUMBER = Number()


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="vram")
def vram() -> None:
    """How much GPU memory a language model needs to serve its users, and how many GPUs that is."""


@vram.command()
@click.option(
    "-o", "--output", "path", type=click.Path(dir_okay=False, path_type=Path), default=Path("vram_planner.xlsx"),
    show_default=True, help="Where to write the workbook.",
)  # fmt: skip
@click.option("--lang", type=click.Choice(LANGUAGES), default="en", show_default=True, help="Language of the workbook.")
def template(path: Path, lang: str) -> None:
    """Write the planner workbook, and print the article's figures from its formulas."""
    from workbook.files import write_whole
    from workbook.report import print_article_figures
    from workbook.template import build

    content, values = build(lang)
    write_whole(path, content)
    print_article_figures(values, lang)
    click.echo(f"Wrote {path}")


@vram.command("estimate")
@click.argument("model")
@click.option("--context", type=NUMBER, required=True, help="Tokens per user, for example 32768.")
@click.option("--users", type=NUMBER, default=1, show_default=True, help="Concurrent users.")
@click.option("--precision", default="fp16", show_default=True, help="Of the weights: a name, or bytes per parameter.")
@click.option("--kv-precision", default="fp16", show_default=True, help="Of the KV cache: a name, or bytes per value.")
@click.option(
    "--overhead", type=NUMBER, default=DEFAULT_OVERHEAD_FRACTION, show_default=True,
    help="Fraction of weights and KV cache.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, sizes in bytes.")
def estimate_command(
    model: str, context: float, users: float, precision: str, kv_precision: str, overhead: float, as_json: bool
) -> None:
    """Estimate the memory to serve MODEL: a catalog name, or the path of a config.json.

    \b
    vram estimate llama-3.1-70b --context 32768 --users 10
    vram estimate ./config.json --context 8192 --precision fp8 --json
    """
    spec = _model(model)
    result = estimate(
        spec,
        context=number("context", context),
        users=number("users", users),
        precision=catalog.precision("precision", _name_or_bytes(precision)),
        kv_precision=catalog.precision("kv_precision", _name_or_bytes(kv_precision)),
        overhead=number("overhead", overhead),
    )
    request = {
        "context": int(context),
        "users": int(users),
        "precision": precision,
        "kv_precision": kv_precision,
        "overhead": overhead,
    }
    if as_json:
        click.echo(json.dumps(_as_dict(result, request), indent=2))
    else:
        _print_estimate(result, request)


def _model(name_or_path: str) -> ModelSpec:
    if name_or_path.lower().endswith(".json") or os.path.exists(name_or_path):
        return read_config_file(name_or_path)
    return catalog.model(name_or_path).spec


def _name_or_bytes(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text


def _as_dict(result: Estimate, request: dict[str, object]) -> dict[str, object]:
    return {
        "model": result.model.name,
        "parameters": result.parameters,
        **request,
        "weights_bytes": result.weights_bytes,
        "kv_bytes_per_token": result.kv_bytes_per_token,
        "kv_bytes": result.kv_bytes,
        "overhead_bytes": result.overhead_bytes,
        "total_bytes": result.total_bytes,
    }


def _print_estimate(result: Estimate, request: dict[str, object]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{result.model.name}: {request['users']:,} × {request['context']:,} tokens", title_justify="left")
    table.add_column("")
    table.add_column("GB (10⁹)", justify="right")
    table.add_column("GiB (2³⁰)", justify="right")
    names = {
        "weights": f"weights, {request['precision']}",
        "kv_cache": f"KV cache, {request['kv_precision']}",
        "overhead": f"overhead, {request['overhead']:.0%} of both",
    }
    lines = [(names[item.key], item.size_bytes) for item in result.line_items]
    for name, size_bytes in lines:
        table.add_row(name, f"{size_bytes / GB:,.2f}", f"{size_bytes / GIB:,.2f}")
    table.add_section()
    table.add_row("total", f"{result.total_bytes / GB:,.2f}", f"{result.total_bytes / GIB:,.2f}", style="bold")
    table.caption = f"{result.parameters:,} parameters; {result.kv_bytes_per_token:,} bytes of KV cache per token"
    Console().print(table)


vram.add_command(addin)
vram.add_command(audit)


def main() -> None:
    """The `vram` command: bad input is one sentence and exit status 2, never a traceback."""
    try:
        sys.exit(vram.main(prog_name="vram", standalone_mode=False))
    except click.Abort:
        sys.exit(130)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(BAD_INPUT)
    except click.ClickException as error:
        _fail(error.format_message())
    except PlannerError as error:
        _fail(str(error))


def _fail(sentence: str) -> None:
    click.echo(f"vram: {sentence}", err=True)
    sys.exit(BAD_INPUT)
