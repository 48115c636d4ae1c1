"""Say which number formats of a KV cache an engine has, and warn of one that it lacks.

Another format can be planned all the same, with the bytes that it would take. Sources: vLLM config/cache.py,
CacheDType, and docs/design/attention_backends.md; SGLang docs, "Quantized KV Cache"; TensorRT-LLM docs, "Quantization";
llama.cpp common/arg.cpp, kv_cache_types.
"""

from __future__ import annotations

from core.catalog.kernels import LLAMA_CPP, TENSORRT_LLM
from core.engines import sglang, vllm
from core.engines.deployment import Engine
from core.model.mixers import CompressedAttention, LatentAttention
from core.model.precision import Precision
from core.model.spec import ModelSpec
from core.plan.terms import Term, Terms, equal, v, when

_OF_WEIGHTS = ("fp16", "bf16", "fp32")  # those in which models are run, and by default their caches
_PER_HEAD, _LATENT = ("fp8_per_token_head", "int8_per_token_head"), "fp8_ds_mla"
_FORMATS = {
    vllm.ENGINE.name: (*_OF_WEIGHTS, "fp8", "nvfp4", *_PER_HEAD, _LATENT),
    sglang.ENGINE.name: (*_OF_WEIGHTS, "fp8", "nvfp4"),  # fp4_e2m1 has a scale for 16 values, as nvfp4 has
    TENSORRT_LLM: (*_OF_WEIGHTS, "fp8", "int8", "nvfp4"),
    LLAMA_CPP: (*_OF_WEIGHTS, "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1"),
}

# What attention caches: keys and values of each head, latents, or latents of which a query reads some.
HEADS, LATENTS, SPARSE_LATENTS = ATTENTION_KINDS = range(3)

CACHE = Terms(
    Term(
        name="lacks_cache",
        unit="",
        means="1 if the engine is vLLM and has no cache in the format for the attention of the model.",
        formula=when(equal(v.has_cache, 0), v.by_engine, 0),
        source="vLLM docs/design/attention_backends.md",
    )
)


def attention_kind(model: ModelSpec) -> int:
    """Return what the model's attention caches, one of `ATTENTION_KINDS`."""
    parts = [part for run in model.layers for part in run.mixer.parts]
    if any(part.is_sparse_latent or isinstance(part, CompressedAttention) for part in parts):
        return SPARSE_LATENTS
    return LATENTS if any(isinstance(part, LatentAttention) for part in parts) else HEADS


def vllm_has(kv_precision: Precision, kind: int) -> bool:
    """Return whether vLLM has a cache in the format for attention of that kind.

    Scales per token and head are in its backend TRITON_ATTN alone, which has no latents, and fp8_ds_mla is in
    FLASHMLA_SPARSE alone.
    """
    if kv_precision.name in _PER_HEAD:
        return kind == HEADS
    if kv_precision.name == _LATENT:
        return kind == SPARSE_LATENTS
    return _has(vllm.ENGINE.name, kv_precision)


def cache_warning(engine: Engine, model: ModelSpec, kv_precision: Precision) -> str:
    """Return the warning that the engine has no cache in that format for the model's attention; "" if it has."""
    name = kv_precision.name
    if not _has(engine.name, kv_precision):
        formats = ", ".join(_FORMATS[engine.name])
        return f"kv_precision: {engine.name} has no cache in {name}; its formats are {formats}"
    kind = attention_kind(model)
    if engine.name != vllm.ENGINE.name or vllm_has(kv_precision, kind):
        return ""
    if kind == HEADS or name == _LATENT:
        return f"kv_precision: {engine.name} has {name} for sparse latent attention alone, and {model.name} has none"
    return f"kv_precision: {engine.name} has no {name} for latent attention, which {model.name} has"


def _has(engine: str, kv_precision: Precision) -> bool:
    """Return whether an engine has a format for some attention; only llama.cpp has two in a cache.

    Bytes per value that are written as a number may be of any format.
    """
    names = kv_precision.name.split("/") if engine == LLAMA_CPP else [kv_precision.name]
    return kv_precision.is_number or all(name in _FORMATS[engine] for name in names)
