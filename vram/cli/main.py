"""The `vram` command; the module of a command is imported when the command is called."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar

import click

from core import __version__
from core.errors import PlannerError
from core.plan import defaults
from core.plan.estimate import DEFAULT_OVERHEAD_FRACTION
from core.texts import escaped, escaped_output
from core.units import GB, GIB
from vram.cli.columns import percent, print_answer, print_columns, print_remarks
from vram.cli.options import NUMBER, answer_options, models_option

if TYPE_CHECKING:
    from vram.estimates import Estimate

BAD_INPUT = 2


class LazyGroup(click.Group):
    """Commands whose modules are imported when they are called."""

    MODULES: ClassVar = {
        "template": "vram.cli.template",
        "functions": "vram.cli.functions",
        "model": "vram.cli.model",
        "capacity": "vram.cli.capacity",
        "plan": "vram.cli.plan",
        "prices": "vram.cli.prices",
        "speed": "vram.cli.speed",
        "train": "vram.cli.train",
        "export": "vram.cli.export",
        "read": "vram.cli.read",
        "audit": "vram.cli.audit",
        "relink": "vram.cli.relink",
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
    """Work out how much GPU memory a language model needs to serve its users, and how many GPUs that is."""


@vram.command("estimate")
@click.argument("model")
@click.option("--context", type=NUMBER, required=True, help="Tokens per user, for example 32768.")
@click.option("--users", type=NUMBER, default=defaults.USERS, show_default=True, help="Concurrent users.")
@click.option(
    "--precision", help="Of the weights: a name, or bytes per parameter; as the model is shipped, if omitted."
)
@click.option(
    "--kv-precision", help="Of the KV cache: a name, or bytes per value; as the checkpoint states or fp16, if omitted."
)
@click.option(
    "--overhead", type=NUMBER, default=DEFAULT_OVERHEAD_FRACTION, show_default=True,
    help="Fraction of weights and KV cache.",
)  # fmt: skip
@click.option("--tp", type=NUMBER, default=1, show_default=True, help="GPUs over which tensors are split.")
@answer_options
@models_option
def estimate_command(model: str, tp: float, as_json: bool, as_csv: bool, **arguments) -> None:
    """Estimate the memory to serve MODEL: a catalog name, a path, or hub:org/model on the Hugging Face hub.

    A path is a config.json, a safetensors or GGUF file, or a folder with them; weights then take their stored bytes.

    \b
    vram estimate llama-3.1-70b --context 32768 --users 10
    vram estimate ./Llama-3.1-8B-Q4_K_M.gguf --context 8192
    vram estimate ./config.json --context 8192 --precision fp8 --json
    """
    from vram.estimates import details, estimate
    from vram.models import model as find_model

    found = find_model(model)
    result = estimate(found, **arguments)
    print_answer(
        lambda: result.as_dict() | details(found, result, tp=tp), as_csv, as_json, lambda: _print_estimate(result)
    )


def _print_estimate(found: Estimate) -> None:
    # With click alone: importing rich would take longer than everything else.
    sizes = {
        f"weights, {found.precision}": found.weights_bytes,
        f"KV cache, {found.kv_precision}": found.kv_bytes,
        f"overhead, {percent(found.overhead)} of both": found.overhead_bytes,
        "total": found.total_bytes,
    }
    click.echo(f"{found.model}: {found.users:,} × {found.context:,} tokens")
    rows = [(name, f"{size_bytes / GB:,.2f}", f"{size_bytes / GIB:,.2f}") for name, size_bytes in sizes.items()]
    print_columns(("", "GB (10⁹)", "GiB (2³⁰)"), rows)
    click.echo(f"{found.parameters:,} parameters; {found.kv_bytes_per_token:,} bytes of KV cache per token")
    print_remarks(found.assumed, found.warnings)


def main() -> None:
    """Run the `vram` command; bad input is one sentence and exit status 2, never a traceback."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed, as in `vram model list >&-`, or pythonw's
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 it is for the whole run
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # pipes on Windows take few characters, and a file name may be no text
            stream.reconfigure(errors="backslashreplace")
            stream.write = _escaping(stream.write)  # type: ignore[method-assign]
    try:
        sys.exit(vram.main(prog_name="vram", standalone_mode=False))
    except click.Abort:
        sys.exit(130)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(BAD_INPUT)
    except click.ClickException as error:
        _fail(" ".join(error.format_message().split()))  # click lists choices on lines of their own
    except PlannerError as error:
        _fail(str(error))
    except BrokenPipeError:  # the reader of the output has stopped
        _discard_output()
        sys.exit(1)
    except OSError as error:
        _discard_output()
        where, why = error.filename or "output", error.strerror or str(error)
        _fail(f"{where}: it cannot be read or written ({why}). Make room, or use another folder.")


def _escaping(write: Callable[[str], int]) -> Callable[[str], int]:
    """Return `write` for texts of files and users, in which nothing may control the terminal."""
    return lambda text: write(escaped_output(text))


def _discard_output() -> None:
    """Keep Python from writing buffered output again when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(sentence: str) -> None:
    # Escaped, so that text from a file cannot control the terminal.
    shown = "\n".join(map(escaped, sentence.split("\n")))
    click.echo(f"vram: {shown}", err=True)
    sys.exit(BAD_INPUT)
