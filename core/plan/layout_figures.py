"""Reduce a model in a layout to the figures from which `core.plan.memory` computes what a replica holds.

They follow from the model's shapes by integer arithmetic, for vLLM's default version with its default settings.
`stored_rows` reads those of the catalog's models, which take ten seconds to compute, from layouts.csv.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache, lru_cache
from importlib.resources import files
from itertools import combinations

from core import catalog
from core.engines import vllm
from core.engines.blocks import BLOCK_TOKENS, Blocks
from core.engines.compressed import context_bytes
from core.engines.deployment import Deployment, Device, parse_version
from core.engines.loaded_weights import loaded_weights_by_stage
from core.engines.parallelism import kv_profile_per_gpu, tensor_parallel_obstacle, weights_bytes_per_gpu
from core.engines.served import draft_weights_bytes, lora_values, with_draft_layers, with_layers_of
from core.engines.shapes import StageShapes, stage_shapes
from core.model.kv_profile import KvProfile
from core.model.mixers import Mixer
from core.model.precision import Precision, precision_of_bytes
from core.model.spec import LayerRun, ModelSpec
from core.plan.memory import MOST_UNFOLDED_TOKENS, UNFOLDED_TOKENS_A_SEQUENCE
from core.units import GIB

VERSION = parse_version(vllm.ENGINE.default_version)
SHIPPED = "shipped"

# Formats of the weights whose bytes differ; bf16 is stored as fp16, and gptq as awq.
WEIGHT_FORMATS = (
    "fp32", "fp16", "fp8_tensor", "fp8_block", "w8a8", "w4a16", "awq", "nf4", "mxfp4", "nvfp4", "q8_0", "q6_k",
    "q5_k_m", "q4_k_m", "iq4_xs", SHIPPED,
)  # fmt: skip
SAME_WEIGHTS = {"bf16": "fp16", "gptq": "awq"}
# Kinds of kernels, which differ in the peak of activations → a format that they serve.
KERNELS = {"plain": "fp16", "8_bit": "fp8_tensor", "mxfp4": "mxfp4"}
# Widths of a cached value, by which columns are named → a precision of that width.
CACHE_WIDTHS = {
    "32": "fp32", "16": "fp16", "8": "fp8", "4": "int4", "nvfp4": "nvfp4", "per_token_head": "fp8_per_token_head",
    "ds_mla": "fp8_ds_mla", "12.25": "fp16/q8_0", "10.25": "fp16/q4_0", "8.5": "q8_0", "6.5": "q8_0/q4_0",
}  # fmt: skip


@dataclass(frozen=True)
class StepClass:
    """A class of GPU in vLLM's defaults: an example, and the tokens and sequences of its largest step."""

    example: Device
    tokens: int
    sequences: int


def _step_class(example: Device) -> StepClass:
    step = vllm.largest_step(started(example))
    return StepClass(example, step.tokens, step.sequences)


def started(device: Device, tp: int = 1, pp: int = 1, context: int = 1) -> Deployment:
    """Return vLLM's default version with its default settings, without a model."""
    two_bytes, nothing = precision_of_bytes("precision", 2), ModelSpec(name="", hidden_size=0, layers=())
    return Deployment(
        model=nothing, precision=two_bytes, kv_precision=two_bytes, device=device, tp=tp, pp=pp, context=context,
        version=VERSION,
    )  # fmt: skip


STEP_CLASSES = tuple(map(_step_class, (Device("", 40 * GIB), Device("", 79 * GIB), Device("", 180 * GIB))))

# Figures that only the first row of a layout has, of the fullest GPU: the rule's, and the values of a LoRA adapter.
RULE_COLUMNS = (
    "parameters", "shipped_bytes", "values_per_token", "windowed_values", "windowed_values_2", "fixed_values",
    "fixed_bytes", "index_bytes",
)  # fmt: skip
ACTIVATION_COLUMNS = tuple(f"activation_{kind}_{step.tokens}" for kind in KERNELS for step in STEP_CLASSES)
LATENT_COLUMNS = tuple(f"latent_{kind}" for kind in KERNELS)
COLUMNS = (
    *RULE_COLUMNS,
    "lora_values",
    *(f"weights_{name}" for name in WEIGHT_FORMATS),
    *ACTIVATION_COLUMNS,
    *LATENT_COLUMNS,
    "latent_per_token",
    *(f"block_bytes_{width}" for width in CACHE_WIDTHS),
    *(f"block_tokens_{width}" for width in CACHE_WIDTHS),
    *(f"block_tokens_2_{width}" for width in CACHE_WIDTHS),
    "window_block_tokens",
)
Row = Mapping[str, int]
"""Column → number of one GPU of a pipeline stage; see docs/memory.md for what each column is."""


@dataclass(frozen=True, kw_only=True)
class _Groups:
    """Groups of layers with their own blocks of the cache, which are the same in every layout.

    Attributes:
        groups, groups_2: groups of layers that cache every token, of two lengths of blocks.
        window, window_groups: the window in tokens, and the groups of layers with a window.
        window_2, window_groups_2, window_block_tokens_2: the same of a second kind of groups, and the tokens of their
            blocks, as DeepSeek-V4 has.
        window_3, window_groups_3, window_block_tokens_3: of a third kind.
        states: groups of layers with a state.
    """

    groups: int
    groups_2: int
    window: int
    window_groups: int
    window_2: int
    window_groups_2: int
    window_block_tokens_2: int
    window_3: int
    window_groups_3: int
    window_block_tokens_3: int
    states: int


@dataclass(frozen=True, kw_only=True)
class ModelFigures(_Groups):
    """What the layouts of a model have in common.

    Attributes:
        context_bytes: bytes of workspace per token of the context, as DeepSeek-V4 has.
        shipped_kernels: the kind of kernels (1, 2 … in the order of `KERNELS`) for the weights as shipped.
        shipped_wide: bytes of an activation for the weights as shipped, in units of 16 bits.
    """

    context_bytes: int
    shipped_kernels: int
    shipped_wide: int


MODEL_FIGURES = tuple(field.name for field in fields(ModelFigures))
# Those that the terms of memory use by the same names.
FIGURES_OF_TERMS = tuple(name for name in MODEL_FIGURES if not name.startswith("shipped_"))


@dataclass(frozen=True, kw_only=True)
class _GroupsInLayout(_Groups):
    """The groups with the tokens of those blocks that the layout or the width of the cache can change."""

    block_tokens: int
    block_tokens_2: int
    window_block_tokens: int


def has_shapes(model: ModelSpec) -> bool:
    """Return whether the shapes of `model` are known, which an engine's budget needs, and not only its size."""
    return model.vocab_size is not None and model.stated_parameters is None


@lru_cache(maxsize=1024)
def model_figures(model: ModelSpec, draft: ModelSpec | None = None) -> ModelFigures:
    """Return what the layouts of a model have in common; all 0 if its shapes are not known.

    Args:
        draft: another model that drafts, whose cache is in the same blocks.
    """
    if not has_shapes(model):
        nothing = dict.fromkeys((field.name for field in fields(_Groups)), 0)
        return ModelFigures(**nothing, context_bytes=0, shipped_kernels=1, shipped_wide=1)
    both = with_layers_of(model, draft)
    found = _group_counts(vllm.cache_blocks(both, precision_of_bytes("kv_precision", 2), 1, 1, VERSION))
    shapes = stage_shapes(model, None, 1, 1)[0]
    return ModelFigures(
        **{field.name: getattr(found, field.name) for field in fields(_Groups)},
        context_bytes=context_bytes(model),
        shipped_kernels=kernels_of(shapes),
        shipped_wide=shapes.bytes_per_value // 2,
    )


def kernels_of(shapes: StageShapes) -> int:
    """Return the kind of kernels, 1, 2 … in the order of `KERNELS`."""
    return 2 if shapes.quantized else 1 if shapes.expert_workspace else 3


def cache_width(precision: Precision) -> str:
    """Return which of `CACHE_WIDTHS` a cache in a precision has; "" for another width."""
    widths = {cache.bytes_per_value: width for width, cache in _caches().items()}
    return widths.get(precision.bytes_per_value, "")


@cache
def _caches() -> Mapping[str, Precision]:
    """Return the precision of each of `CACHE_WIDTHS`."""
    return {width: catalog.precision("kv_precision", name) for width, name in CACHE_WIDTHS.items()}


def kernels_and_width(name: str) -> tuple[int, int]:
    """Return what a format of `WEIGHT_FORMATS` other than `SHIPPED` needs, for any model.

    Returns:
        The kind of kernels, 1, 2 … in the order of `KERNELS`, and the bytes of an activation in units of 16 bits.
    """
    if name == "mxfp4":
        return 3, 1
    return (2 if name in ("fp8_tensor", "fp8_block", "w8a8") else 1), (2 if name == "fp32" else 1)


def is_possible(
    model: ModelSpec, tp: int, pp: int, groups: int = 1, *, drafts: bool = False, draft: ModelSpec | None = None
) -> bool:
    """Return whether the model can be split over `tp` × `pp` GPUs.

    Args:
        groups: of the `tp` GPUs, with their own attention and cache. They share experts, in one stage: without experts
            they are replicas of fewer GPUs (vLLM docs/serving/data_parallel_deployment.md).
        drafts: whether tokens are drafted, by `draft` or else by the model's own layers.
        draft: another model that drafts, which is not modelled in pipelines.
    """
    if drafts and (model.drafts is None if draft is None else pp > 1):
        return False
    if groups > 1 and (pp > 1 or tp % groups or not has_experts(model)):
        return False
    return pp <= model.num_hidden_layers and not tensor_parallel_obstacle(model, tp)


def has_experts(model: ModelSpec) -> bool:
    """Return whether a router selects some of the model's feed-forward blocks for each token."""
    return any(run.mlp is not None and run.mlp.num_routed_experts for run in model.layers)


@lru_cache(maxsize=16_384)
def rule_row(model: ModelSpec, tp: int, pp: int) -> dict[str, int]:
    """Return the figures of the fullest GPU for the rule; of several stages, the largest of each."""
    kv = _largest(_kv_of_stages(model, tp, pp))
    if not model.heads_are_known:  # keys and values are divided like the weights
        kv = replace(kv, values_per_token=-(-kv.values_per_token // tp))
    windowed = [values for _, values in (*kv.windowed, (0, 0), (0, 0))]
    return {
        "parameters": weights_bytes_per_gpu(model, precision_of_bytes("precision", 1), tp=tp, pp=pp),
        "shipped_bytes": weights_bytes_per_gpu(model, tp=tp, pp=pp),
        "values_per_token": kv.values_per_token,
        "windowed_values": windowed[0],
        "windowed_values_2": windowed[1],
        "fixed_values": kv.fixed_values,
        "fixed_bytes": kv.fixed_bytes,
        "index_bytes": kv.index_bytes_per_token,
    }


def _kv_of_stages(model: ModelSpec, tp: int, pp: int) -> Sequence[KvProfile]:
    """Return the KV cache of one sequence on a GPU of each stage, or of one that has its share of each kind of layer.

    The positions of the layers of a model of which only the size is known are not known.
    """
    if model.stated_parameters is None:
        return kv_profile_per_gpu(model, tp, pp)
    counts: Counter[Mixer] = Counter()
    for run in model.layers:
        counts[run.mixer] += run.count
    share = [LayerRun(count=-(-count // pp), mixer=mixer, complete=False) for mixer, count in counts.items()]
    return kv_profile_per_gpu(replace(model, layers=tuple(share)), tp, 1)


def _largest(profiles: Sequence[KvProfile]) -> KvProfile:
    windows = sorted({window for profile in profiles for window, _ in profile.windowed})
    return KvProfile(
        values_per_token=max(profile.values_per_token for profile in profiles),
        windowed=tuple((window, max(dict(p.windowed).get(window, 0) for p in profiles)) for window in windows),
        fixed_values=max(profile.fixed_values for profile in profiles),
        fixed_bytes=max(profile.fixed_bytes for profile in profiles),
        index_bytes_per_token=max(profile.index_bytes_per_token for profile in profiles),
    )


def layout_rows(
    model: ModelSpec, tp: int, pp: int, groups: int = 1, *, drafts: bool = False, draft: ModelSpec | None = None
) -> tuple[Row, ...]:
    """Return the figures of the stages that can have the fewest users, on any GPU and in any format.

    The first row has the rule's figures too. A model of which only the size is known has nothing else.

    Args:
        groups: as for `is_possible`.
        drafts, draft: as for `is_possible`; the rule does not count what drafts.
    """
    rule = rule_row(model, tp, pp)
    if not has_shapes(model):
        return (rule,)
    model = with_draft_layers(model) if drafts and draft is None else model
    ranks = tp // groups
    drafting = draft_weights_bytes(draft, tp, groups) if draft else 0
    weights = {
        name: [
            drafting + size for size in loaded_weights_by_stage(model, _format(name), tp, pp, attention_groups=groups)
        ]
        for name in WEIGHT_FORMATS
    }
    both = with_layers_of(model, draft)
    caches = {
        width: vllm.cache_blocks(both, kv_precision, ranks, pp, VERSION) for width, kv_precision in _caches().items()
    }
    activations = [_activation_figures(model, ranks, pp, stage) for stage in range(pp)]
    stages = [
        {f"weights_{name}": weights[name][stage] for name in WEIGHT_FORMATS}
        | activations[stage]
        | _cache_figures(caches, stage)
        for stage in range(pp)
    ]
    first, *others = _needed(stages, model_figures(model, draft))
    return ({**rule, "lora_values": lora_values(model, ranks, pp), **first}, *others)


def _format(name: str) -> Precision | None:
    return None if name == SHIPPED else catalog.precision_named(name).precision


def _activation_figures(model: ModelSpec, tp: int, pp: int, stage: int) -> dict[str, int]:
    """Return the peak of activations of 16 bits for each kind of kernels and each class of GPU.

    Without the GPU's workspace for matrix products. Only for the smallest steps do the latents depend on the context:
    `latent_per_token` is for each token unfolded, `latent_…` the rest of that peak.
    """
    figures: dict[str, int] = {}
    for kind, name in KERNELS.items():
        shapes = stage_shapes(model, catalog.precision_named(name).precision, tp, pp)[stage]
        for step_class in STEP_CLASSES:
            figures[f"activation_{kind}_{step_class.tokens}"] = _peak_bytes(model, shapes, step_class, tp)
        figures[f"latent_{kind}"] = _latent_fixed_bytes(model, shapes)
        figures["latent_per_token"] = shapes.latent_width * 2
    return figures


def _latent_fixed_bytes(model: ModelSpec, shapes: StageShapes) -> int:
    """Return the part of the latents' peak that does not depend on the context, for the smallest steps."""
    if not shapes.latent_width:
        return 0
    step = vllm.largest_step(started(STEP_CLASSES[0].example))
    held = vllm.expert_workspace_bytes(shapes, step) + vllm.image_bytes(model, shapes, step)
    return held + 4 * step.tokens * shapes.hidden_size * 2


def _peak_bytes(model: ModelSpec, shapes: StageShapes, step_class: StepClass, tp: int) -> int:
    latents_vary = step_class is STEP_CLASSES[0]
    deployment = replace(started(step_class.example, tp, context=MOST_UNFOLDED_TOKENS), model=model)
    given = replace(shapes, latent_width=0) if latents_vary else shapes
    of_context = context_bytes(model) * deployment.context  # a separate term
    return vllm.activation_peak_bytes(deployment, given) - vllm.cublas_bytes(step_class.example) - of_context


def _group_counts(cache: Blocks) -> _GroupsInLayout:
    full: Counter[int] = Counter()
    windowed: Counter[tuple[int, int]] = Counter()
    states = 0
    for group in cache.groups:
        if group.spec.state_bytes:
            states += 1
        elif group.spec.window:
            windowed[group.spec.window, group.block_tokens] += 1
        else:
            full[group.block_tokens] += 1
    lengths = [*full.items(), (0, 0), (0, 0)]
    kinds = [*windowed.items(), *[((0, 0), 0)] * 3]
    found = {"states": states}
    for suffix, (block_tokens, groups) in zip(("", "_2"), lengths):
        found |= {f"block_tokens{suffix}": block_tokens, f"groups{suffix}": groups}
    for suffix, ((window, block_tokens), groups) in zip(("", "_2", "_3"), kinds):
        found |= {
            f"window{suffix}": window, f"window_groups{suffix}": groups, f"window_block_tokens{suffix}": block_tokens,
        }  # fmt: skip
    return _GroupsInLayout(**found)


def _cache_figures(caches: Mapping[str, Blocks], stage: int) -> dict[str, int]:
    counts = {width: _group_counts(cache) for width, cache in caches.items()}
    return {
        **{f"block_bytes_{width}": cache.block_bytes[stage] for width, cache in caches.items()},
        # Where a block has the usual tokens, which is the least, the figure is 0 and its cell blank.
        **{f"block_tokens_{width}": _unless_usual(found.block_tokens) for width, found in counts.items()},
        **{f"block_tokens_2_{width}": found.block_tokens_2 for width, found in counts.items()},
        "window_block_tokens": counts["16"].window_block_tokens,
    }


def _unless_usual(block_tokens: int) -> int:
    return 0 if block_tokens == BLOCK_TOKENS else block_tokens


def _needed(stages: list[dict[str, int]], model: ModelFigures) -> list[dict[str, int]]:
    """Return the fewest stages of which one always has the fewest users, in their order.

    A stage holds floor(room − weights − activation) ÷ block bytes; those on the lower envelope of these lines, over
    every room, can be the smallest.
    """
    unique = _merged(stages)
    if len(unique) == 1:
        return unique
    needed = set(_envelopes(unique, model))
    candidates = sorted(set().union(*needed))
    for size in range(1, len(candidates) + 1):
        for chosen in combinations(candidates, size):
            if all(envelope <= set(chosen) for envelope in needed):
                return [unique[i] for i in chosen]
    return unique  # pragma: no cover  the loop ends with all candidates


def _merged(stages: list[dict[str, int]]) -> list[dict[str, int]]:
    """Merge stages that differ in their weights only: the larger weights of each format decide."""
    merged: dict[tuple[int, ...], dict[str, int]] = {}
    for stage in stages:
        others = tuple(value for name, value in stage.items() if not name.startswith("weights_"))
        found = merged.setdefault(others, dict(stage))
        found |= {name: max(found[name], value) for name, value in stage.items() if name.startswith("weights_")}
    return list(merged.values())


def _envelopes(stages: Sequence[Row], model: ModelFigures) -> Iterator[frozenset[int]]:
    """Yield the stages on the lower envelope for each format, class of GPU, context and width of the cache."""
    kinds = list(KERNELS)
    smallest = STEP_CLASSES[0]
    unfolded = UNFOLDED_TOKENS_A_SEQUENCE * smallest.sequences, MOST_UNFOLDED_TOKENS  # the fewest and the most
    for name in WEIGHT_FORMATS:
        as_shipped = model.shipped_kernels, model.shipped_wide
        number, wide = as_shipped if name == SHIPPED else kernels_and_width(name)
        kind = kinds[number - 1]
        for step in STEP_CLASSES:
            for tokens in unfolded if step is smallest else (0,):
                held = [
                    row[f"weights_{name}"]
                    + wide
                    * max(
                        row[f"activation_{kind}_{step.tokens}"],
                        row[f"latent_{kind}"] + row["latent_per_token"] * tokens,
                    )
                    for row in stages
                ]
                for width in CACHE_WIDTHS:
                    yield _envelope(list(zip(held, (row[f"block_bytes_{width}"] for row in stages))))


def _envelope(lines: list[tuple[int, int]]) -> frozenset[int]:
    """Return the lines (bytes held, block bytes) that are smallest somewhere, of equal ones the first.

    The users are (room − held) ÷ block bytes, over the rooms in which every line is above 0.
    """
    current = max(range(len(lines)), key=lambda i: (lines[i][0], lines[i][1]))
    found, room = [current], float(lines[current][0])
    while True:
        held, size = lines[current]
        crossings = [
            ((held * other_size - other_held * size) / (other_size - size), -other_size, i)
            for i, (other_held, other_size) in enumerate(lines)
            if other_size > size
        ]
        later = [crossing for crossing in crossings if crossing[0] >= room]
        if not later:
            return frozenset(found)
        room, _, current = min(later)
        found.append(current)


@lru_cache(maxsize=4096)
def stage_inputs(
    model: ModelSpec, precision: Precision | None, kv_precision: Precision, tp: int, pp: int, step_class: StepClass,
    groups: int = 1, draft: ModelSpec | None = None,
) -> tuple[Row, ...]:  # fmt: skip
    """Return the inputs of `ADAPTERS` and `STAGE` in `core.plan.memory` that depend on the model, for each stage.

    Of stages that do not differ there is one.

    Args:
        precision: of the weights; None: as the checkpoint stores them.
        step_class: the GPU's, one of `STEP_CLASSES`.
        groups, draft: as for `is_possible`.
    """
    ranks = tp // groups
    drafting = draft_weights_bytes(draft, tp, groups) if draft else 0
    all_shapes = stage_shapes(model, precision, ranks, pp)
    weights = loaded_weights_by_stage(model, precision, tp, pp, attention_groups=groups)
    cache = vllm.cache_blocks(with_layers_of(model, draft), kv_precision, ranks, pp, VERSION)
    counts = _group_counts(cache)
    found = []
    for stage, shapes in enumerate(all_shapes):
        narrow = replace(shapes, bytes_per_value=2)
        figures = {
            "weights_bytes": weights[stage] + drafting,
            "wide": shapes.bytes_per_value // 2,
            "step_activation_bytes": _peak_bytes(model, narrow, step_class, ranks),
            "latent_fixed_bytes": _latent_fixed_bytes(model, narrow),
            "latent_bytes_per_token": 2 * shapes.latent_width,
            "block_bytes": cache.block_bytes[stage],
            "block_tokens": counts.block_tokens,
            "block_tokens_2": counts.block_tokens_2,
            "window_block_tokens": counts.window_block_tokens,
            "lora_values": lora_values(model, ranks, pp),
        }
        if figures not in found:
            found.append(figures)
    return tuple(found)


@cache
def stored_rows() -> Mapping[str, Mapping[tuple[int, int, int, bool], tuple[Row, ...]]]:
    """Return the rows of the catalog's models: model → (tp, pp, groups, drafts) → the rows of `layout_rows`."""
    found: dict[str, dict[tuple[int, int, int, bool], tuple[Row, ...]]] = {}
    text = files("core.plan").joinpath("data/layouts.csv").read_text(encoding="utf-8")
    lines = csv.reader(text.splitlines())
    columns = next(lines)[5:]
    for model, tp, pp, groups, drafts, *cells in lines:
        row = {name: int(cell) for name, cell in zip(columns, cells) if cell}
        layouts = found.setdefault(model, {})
        layout = int(tp), int(pp), int(groups), drafts == "1"
        layouts[layout] = (*layouts.get(layout, ()), row)
    return found
