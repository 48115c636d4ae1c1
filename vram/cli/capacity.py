"""The command `vram capacity`."""

from __future__ import annotations

import click

from core.plan.fleet import layout_title
from core.texts import counted
from core.units import GIB
from vram.capacities import Capacity
from vram.capacities import capacity as compute_capacity
from vram.cli.columns import print_answer, print_columns, print_remarks
from vram.cli.options import GPU_HELP, NUMBER, engine_options
from vram.engine_settings import NOTE


@click.command()
@click.argument("model")
@click.option("--gpu", help=GPU_HELP)
@click.option("--gpu-memory-gib", type=NUMBER, help="GiB that a process on the GPU is shown, if known better.")
@click.option("--tp", type=NUMBER, default=1, show_default=True, help="Tensor parallel size.")
@click.option("--pp", type=NUMBER, default=1, show_default=True, help="Pipeline parallel size.")
@click.option(
    "--stages",
    metavar="GPU:LAYERS,…",
    help="Instead of --gpu and --pp: GPUs that differ, those of each pipeline stage with its layers. Without layers "
    "vLLM divides them evenly, llama.cpp by memory.",
)
@click.option(
    "--expert-parallel", is_flag=True, help="Distribute whole experts over the GPUs instead of parts of each."
)
@click.option("--context", type=NUMBER, help="Tokens per user. [default: the model's longest]")
@click.option(
    "--average-tokens", type=NUMBER, help="Tokens that a user has on average, for the users of a paged cache."
)
@engine_options
def capacity(model: str, as_json: bool, as_csv: bool, **settings) -> None:
    """Show what one replica of MODEL holds under an engine: memory per GPU, tokens of cache, users.

    MODEL is a catalog name, a path, or hub:org/model on the Hugging Face hub.

    \b
    vram capacity llama-3.1-70b --gpu h100 --tp 4 --context 32768
    vram capacity qwen3-32b --stages rtx-4090:40,rtx-3090:24 --precision fp8 --context 32768
    vram capacity ./config.json --gpu h100 --gpu-memory-gib 79.19 --engine-version 0.19 --json
    """
    found = compute_capacity(model, **settings)
    print_answer(found.as_dict, as_csv, as_json, lambda: _print(found))


def _print(found: Capacity) -> None:
    layout = layout_title(found.tp, found.pp)
    gpus = found.gpu or "GPU"
    if found.stages:
        gpus = " + ".join(f"{gpu} ({counted(layers, 'layer')})" for gpu, layers in found.stages)
    click.secho(f"{found.model} on {gpus}, {layout}, {found.engine} {found.engine_version}", bold=True)
    graphs = "CUDA graphs" if found.graphs_are_subtracted else "CUDA graphs (on top, not subtracted)"
    sizes = (("weights", found.weights_bytes), ("peak activation", found.activation_bytes), (graphs, found.graph_bytes),
             ("outside the tensor library", found.other_bytes), ("KV cache", found.kv_budget_bytes))  # fmt: skip
    rows = [(name, *(f"{value / GIB:,.2f}" for value in (size.expected, size.low, size.high))) for name, size in sizes]
    for name, count in (("tokens", found.kv_tokens), (f"users of {found.context:,} tokens", found.max_users)):
        rows.append((name, *(f"{value:,}" for value in (count.expected, count.low, count.high))))
    if found.max_users_paged is not None:
        rows.append(("users, paged", f"{found.max_users_paged:,}", "", ""))
    if found.offloaded_tokens is not None:
        rows.append(("tokens kept in CPU memory", f"{found.offloaded_tokens:,}", "", ""))
    if found.memory_utilization is not None:
        name = f"users with 0.9 of it, not {found.memory_utilization:g}"
        rows.append((name, f"{found.max_users_at_90_percent:,}", "", ""))
    if found.host_bytes is not None:
        rows.append(("weights in CPU memory", f"{found.host_bytes / GIB:,.2f}", "", ""))
        rows.append(("most layers on the GPUs (-ngl)", f"{found.most_gpu_layers}", "", ""))
    of_stage = f" of stage {found.stage}" if found.stages else ""
    print_columns((f"GiB per GPU{of_stage}", "expected", "from", "to"), rows)
    click.echo(NOTE)
    print_remarks(found.assumed, found.warnings)
