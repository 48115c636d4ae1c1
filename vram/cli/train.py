"""The command `vram train`."""

from __future__ import annotations

import click

from core.plan import training
from core.plan.training import Job
from core.texts import counted
from core.units import GB, GIB
from vram.cli.columns import print_answer, print_columns
from vram.cli.options import GPU_HELP, NUMBER, answer_options, models_option
from vram.trainings import Training
from vram.trainings import train as compute_training


def _number(name: str, text: str):
    return click.option(f"--{name}", type=NUMBER, default=getattr(Job, name), show_default=True, help=text)


def _choice(name: str, choices: tuple[str, ...], text: str):
    return click.option(
        f"--{name.replace('_', '-')}", type=click.Choice(choices), default=getattr(Job, name), show_default=True,
        help=text,
    )  # fmt: skip


@click.command()
@click.argument("model")
@click.option("--method", type=click.Choice(training.METHODS), required=True, help="QLoRA has frozen weights in NF4.")
@_number("rank", "Rank of the adapters.")
@click.option(
    "--targets", default=Job.targets, show_default=True,
    help='Matrices with adapters: attention, all, or names of modules with commas, "q_proj,v_proj".',
)  # fmt: skip
@_choice("optimizer", training.OPTIMIZERS, "Optimizer.")
@_choice(
    "training_precision", training.PRECISIONS, "mixed: with a 32-bit copy of what is trained. bf16: all in 16 bits."
)
@_number("sequence", "Tokens of one sequence.")
@_number("batch", "Sequences in one step of one GPU.")
@_choice("checkpointing", training.CHECKPOINTING, "What is recomputed: selective, attention scores; full, each layer.")
@_choice("loss", training.LOSSES, "fused: the logits are computed a few at a time (Liger Kernel, Unsloth, torchtune).")
@_number("zero", "Stage of ZeRO, 0 to 3; 3 is also FSDP.")
@_number("tp", "Tensor parallel size.")
@click.option("--gpus", type=NUMBER, help="Number of GPUs. [default: the fewest of type --gpu, or 1]")
@click.option("--gpu", help=GPU_HELP)
@answer_options
@models_option
def train(model: str, as_json: bool, as_csv: bool, **arguments) -> None:
    """Compute the memory of fine-tuning MODEL on each GPU, and the fewest GPUs that hold it.

    MODEL is a catalog name, a path, or hub:org/model on the Hugging Face hub.

    \b
    vram train llama-3.1-8b --method lora --rank 16 --sequence 4096 --gpu rtx-4090
    vram train llama-3.1-70b --method full --optimizer adamw-8bit --gpu h100 --json
    """
    found = compute_training(model, **arguments)
    print_answer(found.as_dict, as_csv, as_json, lambda: _print(found))


def _print(found: Training) -> None:
    adapters = "" if found.rank is None else f" of rank {found.rank} ({found.targets})"
    click.secho(f"{found.model}, {found.method}{adapters}, {found.optimizer}, {found.training_precision}", bold=True)
    parallel = f"ZeRO {found.zero}" + (f", TP {found.tp}" if found.tp > 1 else "")
    tokens = f"{found.batch:,} × {found.sequence:,} tokens"
    click.echo(f"{tokens}, {found.checkpointing} checkpointing, {found.loss} loss, {parallel}")
    sizes = {
        "weights": found.weights_bytes,
        "gradients": found.gradients_bytes,
        "optimizer states": found.optimizer_bytes,
        "gathered layer": found.gathered_bytes,
        "activations": found.activations_bytes,
        "loss or recomputed layer": found.step_bytes,
        "kernels and context": found.context_bytes,
        "total": found.total_bytes,
    }
    rows = [(text, f"{size / GB:,.2f}", f"{size / GIB:,.2f}") for text, size in sizes.items()]
    print_columns([f"per GPU, {counted(found.gpus, 'GPU')}", "GB (10⁹)", "GiB (2³⁰)"], rows)
    if found.gpus > 1:
        click.echo(f"all GPUs: {found.all_gpus_bytes / GB:,.2f} GB")
    click.echo(f"{found.trainable_parameters:,} of {found.parameters:,} parameters are trained")
    if found.usable_bytes is not None:
        _print_fit(found, found.usable_bytes)
    click.echo(found.note)


def _print_fit(found: Training, usable_bytes: int) -> None:
    fits = "fits" if found.fits else "does not fit"
    click.echo(f"{fits}: {usable_bytes / GIB:,.2f} GiB of {found.gpu} are usable")
    if found.fewest_gpus is None:
        click.echo(f"no number of GPUs holds it: {found.obstacle}")
    else:
        click.echo(f"fewest GPUs: {found.fewest_gpus:,}")
