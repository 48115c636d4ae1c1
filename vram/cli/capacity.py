"""The command line on what fits: `vram capacity`, `vram plan`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

import click

from core import catalog
from core.checks import number, whole
from core.engines import llama_cpp, sglang, vllm
from core.engines.capacity import Capacity, Count, users_that_fit
from core.engines.capacity import capacity as capacity_of
from core.engines.deployment import Deployment, Device, Engine, Size, parse_version
from core.engines.parallelism import check_pipeline_parallel, check_tensor_parallel, tensor_parallel_obstacle
from core.errors import OutOfRangeError, UnknownNameError
from core.model.precision import Precision
from core.model.spec import ModelSpec
from core.plan.fleet import (
    GpuChoice,
    Option,
    Replica,
    Service,
    capacity_of_replica,
    choice_of_gb,
    choice_of_gpu,
    options,
    rank,
    replicas_of,
    users_per_replica,
)
from core.plan.serving import served_precision
from core.units import GIB
from vram.cli.main import NUMBER, _name_or_bytes
from vram.cli.plan_costs import COSTS_NOTE, HEADINGS, LEGEND, cost_cells, cost_rank, costs_as_dict, costs_by_layout
from vram.model_argument import model_of, models_option

ENGINES: dict[str, Engine] = {engine.name: engine for engine in (vllm.ENGINE, sglang.ENGINE, llama_cpp.ENGINE)}
NOTE = "memory only: this is not a latency promise"


def _precision_options(command: Callable) -> Callable:
    for option in (
        click.option("--precision", help="Of the weights: a name, or bytes per parameter; as shipped if omitted."),
        click.option("--kv-precision", help="Of the KV cache: a name, or bytes per value; 16 bits if omitted."),
        click.option("--engine", type=click.Choice(list(ENGINES)), default="vllm", show_default=True),
        click.option("--engine-version", help='For example "0.19"; the newest that is known if omitted.'),
        click.option("--memory-utilization", type=NUMBER, help="Fraction of a GPU that the engine may take."),
        click.option("--max-batched-tokens", type=NUMBER, help="Tokens of one step; the engine's default if omitted."),
        click.option("--max-sequences", type=NUMBER, help="Sequences of one step; the engine's default if omitted."),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object, sizes in bytes."),
        models_option,
    ):
        command = option(command)
    return command


@click.command()
@click.argument("model")
@click.option("--gpu", help="A GPU of the catalog, or its memory in GB.")
@click.option("--gpu-memory-gib", type=NUMBER, help="GiB that a process on the GPU is shown, if known better.")
@click.option("--tp", type=NUMBER, default=1, show_default=True, help="Tensor parallel size.")
@click.option("--pp", type=NUMBER, default=1, show_default=True, help="Pipeline parallel size.")
@click.option("--expert-parallel", is_flag=True, help="Share experts out whole over the GPUs instead of cutting each.")
@click.option("--context", type=NUMBER, help="Tokens per user; the model's longest if omitted.")
@click.option("--average-tokens", type=NUMBER, help="Tokens a user has on average, for the users of a paged cache.")
@_precision_options
def capacity(
    model, gpu, gpu_memory_gib, tp, pp, expert_parallel, context, average_tokens, precision, kv_precision, engine,
    engine_version, memory_utilization, max_batched_tokens, max_sequences, as_json,
) -> None:  # fmt: skip
    """What one replica of MODEL holds under an engine: memory per GPU, tokens of cache, users.

    MODEL is a catalog name, or the path of a config.json.

    \b
    vram capacity llama-3.1-70b --gpu h100 --tp 4 --context 32768
    vram capacity ./config.json --gpu h100 --gpu-memory-gib 79.19 --engine-version 0.19 --json
    """
    spec = model_of(model).spec
    weights = _weights_precision(spec, precision)
    deployment = Deployment(
        model=spec,
        precision=weights,
        kv_precision=_kv_precision(spec, weights, kv_precision),
        device=_device(gpu, gpu_memory_gib),
        tp=whole("tp", tp),
        pp=whole("pp", pp),
        whole_experts=expert_parallel,
        context=_context(spec, context),
        version=parse_version(engine_version or ENGINES[engine].default_version),
        memory_utilization=_optional("memory_utilization", memory_utilization),
        max_batched_tokens=_optional_whole("max_batched_tokens", max_batched_tokens),
        max_sequences=_optional_whole("max_sequences", max_sequences),
    )
    check_tensor_parallel(spec, deployment.tp, expert_parallel)
    check_pipeline_parallel(spec, deployment.pp)
    found = capacity_of(ENGINES[engine], deployment)
    tokens = _optional_whole("average_tokens", average_tokens)
    paged = tokens and users_that_fit(ENGINES[engine], deployment, tokens)
    answer = _as_dict(found, engine, engine_version or ENGINES[engine].default_version, paged)
    if as_json:
        click.echo(json.dumps(answer, indent=2))
    else:
        _print_capacity(found, answer)


@click.command()
@click.argument("model")
@click.option("--users", type=NUMBER, required=True, help="Concurrent users.")
@click.option("--context", type=NUMBER, required=True, help="Tokens per user.")
@click.option(
    "--gpu", "gpus", multiple=True, help="A GPU of the catalog, or its memory in GB; may be repeated. All if omitted."
)
@click.option(
    "--overhead", type=NUMBER, help="Reckon by the rule, with this fraction of weights and cache, not by an engine."
)
@click.option(
    "--costs", "with_costs", is_flag=True, help="Owning and renting, at indicative prices; the cheapest first."
)
@_precision_options
def plan(
    model, users, context, gpus, overhead, with_costs, precision, kv_precision, engine, engine_version,
    memory_utilization, max_batched_tokens, max_sequences, as_json,
) -> None:  # fmt: skip
    """How to serve MODEL to its users: deployable layouts, the smallest first, and what rules the others out.

    \b
    vram plan llama-3.1-70b --users 10 --context 32768
    vram plan deepseek-v3 --users 100 --context 32768 --gpu h200 --gpu b200
    vram plan llama-3.1-70b --users 50 --context 32768 --costs
    """
    spec = model_of(model).spec
    weights = _weights_precision(spec, precision) if overhead is None else _named("precision", precision)
    service = Service(
        model=spec,
        precision=weights,
        kv_precision=_kv_precision(spec, weights, kv_precision),
        overhead=_optional("overhead", overhead),
        engine=ENGINES[engine],
        version=parse_version(engine_version or ENGINES[engine].default_version),
        memory_utilization=_optional("memory_utilization", memory_utilization),
        max_batched_tokens=_optional_whole("max_batched_tokens", max_batched_tokens),
        max_sequences=_optional_whole("max_sequences", max_sequences),
    )
    users, context = number("users", users), number("context", context)
    choices = [_choice(name) for name in gpus] or [choice_of_gpu(gpu) for gpu in catalog.gpus()]
    found = [layout for choice in choices for layout in options(service, choice, users, context)]
    costs = costs_by_layout(service, found, users, context) if with_costs else None
    order = rank if costs is None else lambda layout: cost_rank(costs.get(layout), layout)
    ranked = sorted(found if gpus else _best_of_each_gpu(found, order), key=order)
    out = [
        (choice.name, reason)
        for choice in choices
        for reason in _ruled_out(service, choice, context, found, bool(gpus))
    ]
    if as_json:
        click.echo(json.dumps(_plan_as_dict(spec, users, context, ranked, out, costs), indent=2))
    else:
        _print_plan(spec, users, context, ranked, out, costs)


def _named(field: str, text: str | None) -> Precision | None:
    return None if text is None else catalog.precision(field, _name_or_bytes(text))


def _weights_precision(spec: ModelSpec, text: str | None) -> Precision | None:
    return served_precision(spec, _named("precision", text))


def _kv_precision(spec: ModelSpec, weights: Precision | None, text: str | None) -> Precision:
    """The cache's own precision, or else the activations': 32 bits for a model that runs in 32."""
    if text is not None:
        return catalog.precision("kv_precision", _name_or_bytes(text))
    wide = spec.bytes_per_value if weights is None else weights.bytes_per_value
    return catalog.precision("kv_precision", "fp32" if wide == 4 else "fp16")


def _optional(field: str, value: float | None) -> float | int | None:
    return None if value is None else number(field, value)


def _optional_whole(field: str, value: float | None) -> int | None:
    return None if value is None else whole(field, value)


def _context(spec: ModelSpec, context: float | None) -> int:
    if context is not None:
        return whole("context", context)
    if spec.max_position_embeddings is None:
        raise OutOfRangeError("context", "it is not given, and the model does not say its longest", "Give --context.")
    return spec.max_position_embeddings


def _choice(name: str) -> GpuChoice:
    value = _name_or_bytes(name)
    if isinstance(value, float):
        return choice_of_gb(number("gpu_memory_gb", value))
    return choice_of_gpu(catalog.gpu(name))


def _device(name: str | None, memory_gib: float | None) -> Device:
    if memory_gib is None:
        if name is None:
            raise OutOfRangeError("gpu", "it is not given", "Give --gpu or --gpu-memory-gib.")
        return _choice(name).device
    try:
        known_as = _choice(name).name if name else ""
    except UnknownNameError:
        known_as = name or ""  # its memory is given, and nothing else is needed but the name
    return Device(known_as, round(number("gpu_memory_gib", memory_gib) * GIB))


def _best_of_each_gpu(found: Iterable[Option], order: Callable[[Option], tuple[float, ...]]) -> list[Option]:
    best: dict[GpuChoice, Option] = {}
    for layout in found:
        gpu = layout.replica.gpu
        if gpu not in best or order(layout) < order(best[gpu]):
            best[gpu] = layout
    return list(best.values())


def _ruled_out(
    service: Service, gpu: GpuChoice, context: int, found: list[Option], every_layout: bool
) -> Iterable[str]:
    """Why a GPU, or where layouts are listed a layout of it, cannot serve."""
    if every_layout:
        for tp in range(2, gpu.gpus_per_node + 1):
            if gpu.gpus_per_node % tp == 0 and tensor_parallel_obstacle(service.model, tp):
                yield f"TP {tp}: {tensor_parallel_obstacle(service.model, tp)}"
    fitting = {layout.replica for layout in found}
    replicas = replicas_of(service.model, gpu, service.engine.name)
    if every_layout or not fitting & set(replicas):
        largest = max(replicas, key=lambda replica: replica.gpus)
        for replica in replicas if every_layout else (largest,):
            if (replica not in fitting and replica.pp == 1) or (replica is largest and replica not in fitting):
                yield _why_it_does_not_fit(service, replica, context)


def _why_it_does_not_fit(service: Service, replica: Replica, context: int) -> str:
    layout = f"TP {replica.tp}" + (f" × PP {replica.pp}" if replica.pp > 1 else "")
    if service.overhead is not None or users_per_replica(service, replica, context):
        return f"{layout}: weights and the cache of one user are more than its memory"
    budget = capacity_of_replica(service, replica, context).budget
    taken = budget.weights.expected + budget.activation.expected + budget.other.expected
    if taken > budget.usable_bytes:
        return f"{layout}: {_gib(taken)} of weights and activations on a GPU, {_gib(budget.usable_bytes)} usable"
    return f"{layout}: {_gib(budget.kv.expected)} left for the cache, less than one user of {context:,} tokens takes"


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / GIB:,.1f} GiB"


def _as_dict(found: Capacity, engine: str, version: str, paged: int | None) -> dict[str, object]:
    deployment, budget = found.deployment, found.budget

    def answers(of_size: Callable[[Size], int], of_count: Callable[[Count], float]) -> dict[str, object]:
        return {
            "weights_bytes_per_gpu": of_size(budget.weights),
            "activation_bytes_per_gpu": of_size(budget.activation),
            "graph_bytes_per_gpu": of_size(budget.graphs),
            "other_bytes_per_gpu": of_size(budget.other),
            "kv_budget_bytes_per_gpu": of_size(budget.kv),
            "kv_tokens": int(of_count(found.kv_tokens)),
            "max_concurrency": round(of_count(found.max_concurrency), 2),
            "max_users": int(of_count(found.max_users)),
        }

    answer = {
        "model": deployment.model.name,
        "engine": engine,
        "engine_version": version,
        "gpu": deployment.device.name,
        "gpu_memory_bytes": deployment.device.memory_bytes,
        "tp": deployment.tp,
        "pp": deployment.pp,
        "gpus": deployment.tp * deployment.pp,
        "context": deployment.context,
        "usable_bytes_per_gpu": budget.usable_bytes,
        **answers(lambda size: size.expected, lambda count: count.expected),
        "kv_bytes_per_token_per_gpu": found.kv_bytes_per_token,
        "max_sequences": found.max_sequences,
        "graphs_are_subtracted": budget.graphs_count,
        "low": answers(lambda size: size.low, lambda count: count.low),
        "high": answers(lambda size: size.high, lambda count: count.high),
        "note": NOTE,
    }
    return answer if paged is None else answer | {"max_users_paged": paged}


def _print_capacity(found: Capacity, answer: dict[str, object]) -> None:
    from rich.console import Console
    from rich.table import Table

    deployment, budget = found.deployment, found.budget
    layout = f"TP {deployment.tp}" + (f" × PP {deployment.pp}" if deployment.pp > 1 else "")
    engine = f"{answer['engine']} {answer['engine_version']}"
    title = f"{deployment.model.name} on {deployment.device.name or 'GPU'}, {layout}, {engine}"
    table = Table(title=title, title_justify="left")
    for heading in ("GiB per GPU", "expected", "from", "to"):
        table.add_column(heading, justify="left" if heading == "GiB per GPU" else "right")
    graphs = "CUDA graphs" if budget.graphs_count else "CUDA graphs (on top, not subtracted)"
    sizes = (("weights", budget.weights), ("peak activation", budget.activation), (graphs, budget.graphs),
             ("outside the tensor library", budget.other), ("KV cache", budget.kv))  # fmt: skip
    for name, size in sizes:
        table.add_row(name, *(f"{size_bytes / GIB:,.2f}" for size_bytes in (size.expected, size.low, size.high)))
    table.add_section()
    for name, count in (("tokens", found.kv_tokens), (f"users of {deployment.context:,} tokens", found.max_users)):
        table.add_row(name, *(f"{int(value):,}" for value in (count.expected, count.low, count.high)), style="bold")
    if "max_users_paged" in answer:
        table.add_row("users, paged", f"{answer['max_users_paged']:,}")
    table.caption = NOTE
    Console().print(table)


def _plan_as_dict(spec: ModelSpec, users: int, context: int, ranked: list[Option], out, costs) -> dict[str, object]:
    return {
        "model": spec.name,
        "users": users,
        "context": context,
        "layouts": [
            {
                "gpu": layout.replica.gpu.name,
                "tp": layout.replica.tp,
                "pp": layout.replica.pp,
                "replicas": layout.replicas,
                "nodes": layout.nodes,
                "gpus": layout.gpus,
                "users_per_replica": layout.users_per_replica,
                "headroom": round(layout.headroom, 4),
                **({} if costs is None else {"costs": costs_as_dict(costs.get(layout))}),
            }
            for layout in ranked
        ],
        "ruled_out": [{"gpu": name, "reason": reason} for name, reason in out],
        "note": NOTE,
    }


def _print_plan(spec: ModelSpec, users: int, context: int, ranked: list[Option], out, costs) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{spec.name}: {users:,} × {context:,} tokens", title_justify="left")
    layout_headings = ("GPU", "GPUs", "TP", "PP", "replicas", "nodes", "users a replica", "headroom")
    for heading in layout_headings if costs is None else HEADINGS:
        table.add_column(heading, justify="left" if heading == "GPU" else "right", no_wrap=heading == "GPU")
    for layout in ranked:
        replica = layout.replica
        if costs is not None:
            table.add_row(*cost_cells(layout, costs.get(layout)))
            continue
        figures = (layout.gpus, replica.tp, replica.pp, layout.replicas, layout.nodes, layout.users_per_replica)
        table.add_row(replica.gpu.name, *(f"{figure:,}" for figure in figures), f"{layout.headroom:.0%}")
    table.caption = NOTE if costs is None else f"{LEGEND}\n{NOTE}; {COSTS_NOTE}"
    console = Console()
    console.print(table if ranked else "Nothing fits.")
    if out:
        console.print("Ruled out:")
        for name, reason in out:
            console.print(f"  {name}: {reason}", highlight=False)
