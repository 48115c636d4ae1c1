"""The command line; each command's module is loaded when it is called."""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from typing import ClassVar

import click

from core import __version__, catalog
from core.checks import LIMITS, number, whole
from core.errors import PlannerError
from core.plan.details import memory_details, shipped_as
from core.plan.estimate import DEFAULT_OVERHEAD_FRACTION, Estimate, estimate
from core.units import GB, GIB
from vram.model_argument import model_of, models_option

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


class LazyGroup(click.Group):
    """Commands of which some live in modules of their own, imported when one of them is asked for."""

    MODULES: ClassVar = {
        "template": "vram.cli.template",
        "model": "vram.cli.model",
        "capacity": "vram.cli.capacity",
        "plan": "vram.cli.capacity",
        "export": "vram.cli.export",
        "read": "vram.cli.read",
        "audit": "vram.cli.audit",
        "addin": "vram.cli.addin",
        "doctor": "vram.cli.addin",
    }

    def list_commands(self, ctx):
        return sorted({*super().list_commands(ctx), *self.MODULES})

    def get_command(self, ctx, cmd_name):
        module = self.MODULES.get(cmd_name)
        return getattr(import_module(module), cmd_name) if module else super().get_command(ctx, cmd_name)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="vram")
def vram() -> None:
    """How much GPU memory a language model needs to serve its users, and how many GPUs that is."""


@vram.command("estimate")
@click.argument("model")
@click.option("--context", type=NUMBER, required=True, help="Tokens per user, for example 32768.")
@click.option("--users", type=NUMBER, default=1, show_default=True, help="Concurrent users.")
@click.option(
    "--precision", help="Of the weights: a name, or bytes per parameter; as the model is shipped, if omitted."
)
@click.option("--kv-precision", default="fp16", show_default=True, help="Of the KV cache: a name, or bytes per value.")
@click.option(
    "--overhead", type=NUMBER, default=DEFAULT_OVERHEAD_FRACTION, show_default=True,
    help="Fraction of weights and KV cache.",
)  # fmt: skip
@click.option("--tp", type=NUMBER, default=1, show_default=True, help="GPUs over which tensors are split.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, sizes in bytes.")
@models_option
def estimate_command(
    model: str, context: float, users: float, precision: str | None, kv_precision: str, overhead: float, tp: float,
    as_json: bool,
) -> None:  # fmt: skip
    """Estimate the memory to serve MODEL: a catalog name, a path, or org/model on the Hugging Face hub.

    A path is a config.json, a safetensors or GGUF file, or a folder with them; weights then take their stored bytes.

    \b
    vram estimate llama-3.1-70b --context 32768 --users 10
    vram estimate ./Llama-3.1-8B-Q4_K_M.gguf --context 8192
    vram estimate ./config.json --context 8192 --precision fp8 --json
    """
    found = model_of(model)
    kv = catalog.precision("kv_precision", _name_or_bytes(kv_precision))
    if precision is None:
        weights_precision = found.as_shipped()
    else:
        weights_precision = catalog.precision("precision", _name_or_bytes(precision))
    result = estimate(
        found.spec,
        context=number("context", context),
        users=number("users", users),
        precision=weights_precision,
        kv_precision=kv,
        overhead=number("overhead", overhead),
    )
    request = {
        "context": int(context),
        "users": int(users),
        "precision": precision or (weights_precision.name if weights_precision else shipped_as(found.spec)),
        "kv_precision": kv_precision,
        "overhead": overhead,
    }
    if as_json:
        workload = {"context": int(context), "users": int(users), "tp": whole("tp", tp)}
        details = memory_details(found.spec, kv_precision=kv, **workload)
        click.echo(json.dumps(_as_dict(result, request) | details, indent=2))
    else:
        _print_estimate(result, request)


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
    # By click alone: a table of rich would take longer than everything else.
    names = {
        "weights": f"weights, {request['precision']}",
        "kv_cache": f"KV cache, {request['kv_precision']}",
        "overhead": f"overhead, {request['overhead']:.0%} of both",
    }
    sizes = {names[item.key]: item.size_bytes for item in result.line_items} | {"total": result.total_bytes}
    width = max(map(len, sizes))
    click.echo(f"{result.model.name}: {request['users']:,} × {request['context']:,} tokens")
    click.echo(f"{'':{width}}  {'GB (10⁹)':>12}  {'GiB (2³⁰)':>12}")
    for name, size_bytes in sizes.items():
        line = f"{name:{width}}  {size_bytes / GB:12,.2f}  {size_bytes / GIB:12,.2f}"
        click.secho(line, bold=name == "total")
    click.echo(f"{result.parameters:,} parameters; {result.kv_bytes_per_token:,} bytes of KV cache per token")


def main() -> None:
    """The `vram` command: bad input is one sentence and exit status 2, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(
            stream, "reconfigure"
        ):  # a pipe on Windows takes few characters, and file names may be no text at all
            stream.reconfigure(errors="backslashreplace")
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
    except BrokenPipeError:  # whoever reads the output has seen enough
        _let_go_of_output()
        sys.exit(1)
    except OSError as error:
        _let_go_of_output()
        where, why = error.filename or "output", error.strerror or str(error)
        _fail(f"{where}: it cannot be read or written ({why}). Make room, or use another folder.")


def _let_go_of_output() -> None:
    """Keeps Python from writing at its end what could not be written before."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(sentence: str) -> None:
    shown = "".join(
        c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in sentence
    )  # nothing steers a terminal
    click.echo(f"vram: {shown}", err=True)
    sys.exit(BAD_INPUT)
