"""Apply the settings that change what an engine loads and caches: text alone, drafts, LoRA, shared prompts, ranks.

Each setting is one field of `EngineSettings`; the sources stand with each function.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from core.engines.compressed import has_compressed_attention
from core.engines.deployment import DEFAULT_SETTINGS, Budget, Deployment, Engine, EngineSettings, Pool, exact_size
from core.engines.loaded_weights import loaded_weights_by_stage
from core.engines.parallelism import Split, tensor_parallel_obstacle, tensors_on_rank
from core.errors import OutOfRangeError
from core.model.mixers import LatentAttention, Mixer
from core.model.parameters import layer_groups
from core.model.spec import ModelSpec
from core.model.tensors import ATTENTION, MLP, VISION, WHOLE, Tensor, adapter_matrices, linear, vector
from core.units import GIB

# Of a drafted token. The lower end of what DeepSeek-V3's own layer reaches for the token after the next one: 85 to 90 %
# (DeepSeek-AI 2024, arXiv:2412.19437, section 5.4.3).
DEFAULT_ACCEPTANCE = 0.85
LORA_VALUE_BYTES = 2  # 16 bits for every format of the model (vLLM config/lora.py, lora_dtype)


def as_loaded(deployment: Deployment) -> Deployment:
    """Return the deployment with the model as the engine loads it."""
    model = loaded_model(deployment.model, deployment.settings, deployment.draft)
    return deployment if model is deployment.model else replace(deployment, model=model)


def loaded_model(model: ModelSpec, settings: EngineSettings, draft: ModelSpec | None = None) -> ModelSpec:
    """Return a model as the engine loads it: without towers if it serves text alone, with its own layer that drafts.

    Args:
        draft: another model that drafts.
    """
    if settings.images == 0:
        model = text_alone(model)
    return with_draft_layers(model) if settings.mtp_tokens and draft is None else model


@lru_cache(maxsize=256)
def text_alone(model: ModelSpec) -> ModelSpec:
    """Return the model without its towers for images and sound.

    Source: vLLM config/multimodal.py, limit_per_prompt: with a limit of 0 it neither loads nor profiles them (logged on
    Qwen3.6 35B A3B under 0.19: 64.69 GiB; 65.52 with the tower).
    """
    extra = tuple(tensor for tensor in model.extra if tensor.group != VISION)
    return replace(model, extra=extra, image=None)


@lru_cache(maxsize=256)
def with_draft_layers(model: ModelSpec, count: int | None = None) -> ModelSpec:
    """Return the model with the layers that predict further tokens (MTP), and their cache.

    Each is one more layer, in most families like the last, with three norms and a projection of two hidden states to
    one; the embedding and the head are the model's. Source: DeepSeek-AI 2024, DeepSeek-V3 (arXiv:2412.19437), section
    2.2; vLLM model_executor/models/deepseek_mtp.py.

    Args:
        count: the number of them, all if omitted; drafting one token takes one.
    """
    drafts, hidden = model.drafts, model.hidden_size
    if drafts is None:
        return model
    number = drafts.count if count is None else count
    joining = (*linear("mtp.eh_proj", MLP, hidden, 2 * hidden, WHOLE), *3 * (vector("mtp.norm", hidden),))
    first, *rest = (replace(run, count=number) for run in drafts.runs)
    added = (replace(first, extra=(*first.extra, *joining)), *rest)
    return replace(model, name=f"{model.name} with MTP", layers=(*model.layers, *added))


def acceptance_of(settings: EngineSettings) -> float:
    """Return the chance that a drafted token is accepted."""
    return DEFAULT_ACCEPTANCE if settings.acceptance is None else settings.acceptance


def drafter_obstacle(model: ModelSpec, settings: EngineSettings, draft: ModelSpec | None) -> str:
    """Return why the model cannot draft, as a clause; "" if it can, or if nothing or another model drafts."""
    if not settings.mtp_tokens or draft is not None or model.drafts is not None:
        return ""
    return f"{model.name} has no layer for multi-token prediction that engines load"


NAME_A_DRAFTER = "Leave it out, or name a model that drafts (draft_model, --draft-model)."


def with_draft_caches(deployment: Deployment) -> Deployment:
    """Return the deployment with the layers of its draft model too, whose caches share the blocks.

    Source: vLLM v1/spec_decode/eagle.py (draft_model.py for whole models): the drafter's attention layers register in
    the same cache. Its weights are those of `with_draft_weights`.
    """
    model = with_layers_of(deployment.model, deployment.draft)
    return deployment if model is deployment.model else replace(deployment, model=model)


@lru_cache(maxsize=256)
def with_layers_of(model: ModelSpec, draft: ModelSpec | None) -> ModelSpec:
    """Return the model with the layers of its draft model, if it has one, for what both cache."""
    if draft is None:
        return model
    return replace(model, name=f"{model.name} with {draft.name}", layers=(*model.layers, *draft.layers))


def with_draft_weights(deployment: Deployment, budgets: tuple[Budget, ...]) -> tuple[Budget, ...]:
    """Return the budgets with the weights of the draft model, as shipped, on the last stage's GPUs."""
    if deployment.draft is None:
        return budgets
    groups = deployment.settings.groups
    size = draft_weights_bytes(deployment.draft, deployment.tp, groups, deployment.expert_parallel)
    return (*budgets[:-1], replace(budgets[-1], weights=budgets[-1].weights + exact_size(size)))


def draft_weights_bytes(draft: ModelSpec, tp: int, groups: int = 1, expert_parallel: bool = False) -> int:
    """Return the bytes of a draft model, as shipped, on one of `tp` GPUs.

    They are divided as the model's are (vLLM config/speculative.py, create_draft_parallel_config); a draft model that
    the GPUs of a group cannot divide is taken to be whole on each.

    Args:
        groups: of data-parallel attention.
        expert_parallel: whether each GPU has whole experts.
    """
    if tensor_parallel_obstacle(draft, tp // groups):
        (size,) = loaded_weights_by_stage(draft, None, 1, 1)
    else:
        (size,) = loaded_weights_by_stage(draft, None, tp, 1, expert_parallel, groups)
    return size


@lru_cache(maxsize=16_384)
def lora_values(model: ModelSpec, tp: int, pp: Split) -> int:
    """Return the values of one LoRA adapter of rank 1 on the fullest GPU; a rank of 16 has 16 times as many.

    Every projection of attention and of the dense feed-forward block gets two matrices of the rank for each adapter; of
    a projection that ranks divide, they divide one of the two. Experts have none. Source: Hu et al. 2021
    (arXiv:2106.09685); vLLM lora/layers/column_parallel_linear.py and row_parallel_linear.py, create_lora_weights.

    Args:
        tp: GPUs among which attention is divided.
        pp: pipeline stages.
    """
    values = sum(
        len(numbers) * matrix.parameters
        for tensors, numbers in layer_groups(model)
        for tensor in tensors_on_rank(_projections(tensors), tp)
        for matrix in adapter_matrices(tensor, 1)
    )
    most, layers = (1, pp) if isinstance(pp, int) else (max(pp), sum(pp))
    return -(-values * most // layers)


def lora_bytes(deployment: Deployment) -> int:
    """Return the bytes of the places for LoRA adapters on the fullest GPU, which vLLM reserves at the start."""
    settings = deployment.settings
    if not settings.lora_adapters:
        return 0
    values = lora_values(deployment.model, deployment.attention_tp, deployment.split)
    return values * (settings.lora_rank or DEFAULT_LORA_RANK) * settings.lora_adapters * LORA_VALUE_BYTES


DEFAULT_LORA_RANK = 16  # vLLM config/lora.py, max_lora_rank


def _projections(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(tensor for tensor in tensors if tensor.group in (ATTENTION, MLP) and tensor.columns > 1)


def with_adapters(deployment: Deployment, budgets: tuple[Budget, ...]) -> tuple[Budget, ...]:
    """Return the budgets with the places for LoRA adapters among the weights."""
    more = lora_bytes(deployment)
    if not more:
        return budgets
    return tuple(replace(budget, weights=budget.weights + exact_size(more)) for budget in budgets)


def with_reserve(deployment: Deployment, budgets: tuple[Budget, ...]) -> tuple[Budget, ...]:
    """Return the budgets without the memory that others hold, such as a second model on the same GPUs.

    vLLM refuses to start unless its share is free, so that the share has to be at most the rest (v1/worker/utils.py,
    request_memory). llama.cpp takes what is free; Ollama leaves OLLAMA_GPU_OVERHEAD out of it, and 457 MiB, about
    what is counted here outside the tensor library (server/sched.go; ml/device.go, MinimumMemory).
    """
    reserved = deployment.settings.reserved_gib
    if not reserved:
        return budgets
    free = max(0, deployment.device.memory_bytes - round(reserved * GIB))
    return tuple(replace(budget, usable_bytes=min(budget.usable_bytes, free)) for budget in budgets)


def offloaded_tokens(deployment: Deployment, pool: Pool) -> int:
    """Return the tokens whose cache CPU memory keeps: for prompts that come again and requests that have to wait.

    It holds blocks like those of the GPUs, which the GPUs of a replica share. The users that run at once stay the same,
    because a request needs all of its blocks on the GPU while it runs. Source: vLLM config/cache.py,
    kv_offloading_size (the sum over all tensor-parallel ranks); docs/features/kv_offloading_usage.md.
    """
    size_bytes = round((deployment.settings.kv_offload_gib or 0) * GIB)
    of_a_gpu = size_bytes // (deployment.tp * deployment.pp)
    return pool.logged_tokens(pool.blocks((of_a_gpu,) * deployment.pp), deployment.context)


def check_settings(engine: Engine, deployment: Deployment) -> None:
    """Raise an error if a setting is not one of the engine's, or does not fit the tensor parallel size.

    Raises:
        OutOfRangeError: the engine lacks it, or `setting_obstacle` gives a reason.
    """
    for name in engine.lacks:
        if getattr(deployment.settings, name):
            raise OutOfRangeError(name, f"{engine.name} does not have it, or it is not modelled", "Leave it out.")
    for name, obstacle, remedy in _obstacles(deployment):
        raise OutOfRangeError(name, obstacle, remedy)


def setting_obstacle(deployment: Deployment) -> str:
    """Return why a setting does not fit the tensor parallel size, as a clause; "" if all do."""
    return next((obstacle for _, obstacle, _ in _obstacles(deployment)), "")


def _obstacles(deployment: Deployment) -> Iterator[tuple[str, str, str]]:
    """Yield (setting, what is wrong, what to write instead)."""
    if deployment.settings is DEFAULT_SETTINGS and deployment.draft is None:  # as nearly always
        return
    tp, settings = deployment.tp, deployment.settings
    no_drafter = drafter_obstacle(deployment.model, settings, deployment.draft)
    if no_drafter:
        yield "mtp_tokens", no_drafter, NAME_A_DRAFTER
    if deployment.draft is not None and not settings.mtp_tokens:
        yield "mtp_tokens", "a draft model drafts at least one token", "Write the tokens drafted in a step, such as 3."
    if deployment.draft is not None and deployment.pp > 1:
        yield "draft_model", "with several pipeline stages no draft model is modelled", "Leave it out, or write pp 1."
    if deployment.draft is not None and has_compressed_attention(deployment.model):
        problem = "no log shows how engines cache a draft model next to compressed attention, so it is not modelled"
        yield "draft_model", problem, "Leave it out: the model's own layer drafts."
    if settings.attention_dp and tp % settings.attention_dp:
        yield "attention_dp", f"{settings.attention_dp} groups do not divide {tp} GPUs", "Write a divisor of tp."
    ranks = settings.context_parallel or 1
    if ranks == 1:
        return
    copies = min(_copies_of_a_cache(run.mixer, deployment.attention_tp) for run in deployment.model.layers)
    if copies % ranks:
        each = f"each token's cache is on {copies} of {deployment.attention_tp} GPUs"
        yield "context_parallel", f"{each}, which {ranks} does not divide", f"Write a divisor of {copies}."


def _copies_of_a_cache(mixer: Mixer, tp: int) -> int:
    """Return how many of `tp` ranks hold the same cache (vLLM config/model.py, verify_with_parallel_config)."""
    if isinstance(mixer, LatentAttention):
        return tp
    return max(1, tp // getattr(mixer, "num_key_value_heads", tp))


def shared_blocks(deployment: Deployment, pool: Pool) -> int:
    """Return the blocks of a prompt that all users share: whole blocks of the layers that cache every token.

    Source: vLLM v1/core/kv_cache_manager.py, get_computed_blocks; windows and states keep a user's own.
    """
    tokens = min(deployment.settings.shared_tokens or 0, deployment.context)
    return pool.shared_blocks(tokens) if tokens else 0
