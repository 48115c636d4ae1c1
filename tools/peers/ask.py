"""`python ask.py PEER < cases.json > answers.json`: one peer's figures for every case, without a network.

Run by the interpreter that the peers are installed in; of this repository it needs nothing. Each adapter calls what its
peer's own command line computes from a config.json, or the nearest that it offers, with the options that come nearest
to the question: 16-bit KV cache, the precision that the checkpoint is stored in, no margins that can be switched off.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

GIB = 2**30
GPUS = 16  # enough for every model, where a peer wants to know


class Case(NamedTuple):
    """What is asked; `weights` is "bf16", "fp8" or "mxfp4", as the checkpoint is stored."""

    model: str
    config: dict[str, Any]
    weights: str
    context: int
    users: int


class Sizes(NamedTuple):
    """Bytes; None where a peer computes no such figure."""

    weights_bytes: float | None
    kv_bytes: float | None


class NotBuiltIn(Exception):
    """The peer reads no config.json and has not got the model."""


# Peers with models of their own: which of them has the sizes of the model that is asked for.
LLM_SIZER = {
    "llama-3.1-70b": "llama-3.1-70b",
    "qwen2.5-72b": "qwen2.5-72b",
    "mixtral-8x7b": "mixtral-8x7b",
    "deepseek-v3": "deepseek-v3",
    "meta-llama/Llama-3.1-8B-Instruct": "llama-3.1-8b",
    "Qwen/Qwen2.5-7B-Instruct": "qwen2.5-7b",
    "google/gemma-2-9b-it": "gemma-2-9b",
}
RIDGEPOINT = {
    "llama-3.1-70b": "llama-3-70b",
    "mixtral-8x7b": "mixtral-8x7b",
    "deepseek-v3": "deepseek-r1",
    "meta-llama/Llama-3.1-8B-Instruct": "llama-3-8b",
    "Qwen/Qwen2.5-7B-Instruct": "qwen2.5-7b",
    "deepseek-ai/DeepSeek-V2-Lite-Chat": "deepseek-v2-lite",
}


def aiconfigurator(case: Case, folder: str) -> Sizes:
    from aiconfigurator_core.sdk.config_builders import build_model_config
    from aiconfigurator_core.sdk.models import get_model

    settings = build_model_config(1, 1, 1, 1, 1, kvcache_quant_mode="bfloat16")
    model = get_model(folder, settings, "vllm")
    weights = sum(operation.get_weights() for operation in model.context_ops)
    return Sizes(weights, case.users * model.get_kvcache_bytes_per_sequence(case.context))


def hf_mem(case: Case, folder: str) -> Sizes:
    """Reads weights from the checkpoint's own headers on the hub: not asked."""
    from hf_mem.safetensors.kv_cache import compute_safetensors_kv_cache_size

    config = case.config.get("text_config", case.config)
    return Sizes(None, compute_safetensors_kv_cache_size(config, "BF16", case.context, case.users))


def iaexplore_llm_profiler(case: Case, folder: str) -> Sizes:
    """Takes the number of parameters as an input: its weights are not asked."""
    from iaexplore_llm_profiler import calculate_vram_kv

    config = case.config.get("text_config", case.config)
    heads = config["num_attention_heads"]
    kv_gib = calculate_vram_kv(
        config["num_hidden_layers"], config.get("num_key_value_heads", heads),
        config.get("head_dim", config["hidden_size"] // heads), case.context, case.users, 16,
    )  # fmt: skip
    return Sizes(None, kv_gib * GIB)


def llm_analysis(case: Case, folder: str) -> Sizes:
    """The config's fields in its own description of a model."""
    from llm_analysis import analysis
    from llm_analysis import config as configs

    config = case.config.get("text_config", case.config)
    width = config.get("moe_intermediate_size", config["intermediate_size"])
    model = configs.ModelConfig(
        name=case.model,
        model_type=config["model_type"],
        num_layers=config["num_hidden_layers"],
        hidden_dim=config["hidden_size"],
        vocab_size=config["vocab_size"],
        n_head=config["num_attention_heads"],
        num_key_value_heads=config.get("num_key_value_heads"),
        ffn_embed_dim=width,
        expansion_ratio=width / config["hidden_size"],
        moe_num_experts=next((config[name] for name in EXPERTS if name in config), 1),
        moe_top_k=config.get("num_experts_per_tok", 1),
    )
    found = analysis.LLMAnalysis(model, configs.get_gpu_config_by_name("h100-sxm-80gb"))
    bits = {"bf16": 16, "fp8": 8, "mxfp4": 4}[case.weights]
    embedding = found.get_num_params_embedding()  # which has a precision of its own there, 16 bits by default
    weights = 2 * embedding + (found.get_num_params_total() - embedding) * bits / 8
    return Sizes(weights, found.get_memory_kv_cache_per_layer(case.users, case.context) * model.num_layers)


EXPERTS = ("num_local_experts", "n_routed_experts", "num_experts")


def llm_mem_planner(case: Case, folder: str) -> Sizes:
    from llm_mem_planner import cli

    sizes = cli.load_dims(case.config)
    weights = cli.estimate_params(sizes).total * cli.dtype_bytes_from_str(case.weights)
    kv_gib = cli.estimate_kv_cache_gib(sizes, batch=case.users, seq_len=case.context, kv_dtype_bytes=2)
    return Sizes(weights, kv_gib * GIB)


def llm_sizer(case: Case, folder: str) -> Sizes:
    """One precision for both: the cache in 16 bits, weights as they are stored."""
    from llm_sizer.catalog import resolve_model, resolve_quant
    from llm_sizer.sizing import estimate_vram

    if case.model not in LLM_SIZER:
        raise NotBuiltIn
    model = resolve_model(LLM_SIZER[case.model])
    stored = resolve_quant({"bf16": "bf16", "fp8": "q8"}[case.weights])
    return Sizes(
        estimate_vram(model, stored, case.context, case.users).weights_bytes,
        estimate_vram(model, resolve_quant("bf16"), case.context, case.users).kv_cache_bytes,
    )


def ridgepoint(case: Case, folder: str) -> Sizes:
    """Reads configs from the hub alone."""
    import ridgepoint as peer

    if case.model not in RIDGEPOINT:
        raise NotBuiltIn
    dtype = {"bf16": "fp16"}.get(case.weights, case.weights)
    written = peer.fit(RIDGEPOINT[case.model], "h100-80gb", count=GPUS, dtype=dtype, ctx=case.context, as_json=True)
    found = json.loads(written)
    return Sizes(found["memory"]["weights_bytes"]["best"], case.users * found["capacity"]["bytes_per_seq"])


def sparkfit(case: Case, folder: str) -> Sizes:
    import sparkfit as peer

    model = peer.load_local_config(f"{folder}/config.json")
    found = peer.budget(model, case.weights, case.context, batch=case.users, kv_dtype="bf16")
    return Sizes(found["weights"], found["kv"])


def vllm_wizard(case: Case, folder: str) -> Sizes:
    """Without its factor for fragmentation, an option of 1.15 by default; of its 4-bit formats one for MXFP4."""
    from vllm_wizard.models.metadata import load_model_metadata
    from vllm_wizard.planning.memory import compute_kv_cache_memory, compute_weights_memory
    from vllm_wizard.schemas.inputs import DType, KVCacheDType, Quantization

    model = load_model_metadata(folder)
    stored = {"bf16": Quantization.NONE, "fp8": Quantization.FP8, "mxfp4": Quantization.AWQ}[case.weights]
    weights = compute_weights_memory(model.params_billions, DType.BF16, stored)
    return Sizes(
        weights,
        compute_kv_cache_memory(model, case.context, case.users, KVCacheDType.BF16, fragmentation_factor=1.0),
    )


def vramcalc(case: Case, folder: str) -> Sizes:
    import vramcalc as peer

    found = peer.estimate(folder, dtype="bf16", batch=case.users, seq_len=case.context)
    return Sizes(found.weights, found.kv_cache)


# By the names that they have on the package index.
PEERS: dict[str, Callable[[Case, str], Sizes]] = {
    "aiconfigurator-core": aiconfigurator,
    "hf-mem": hf_mem,
    "iaexplore-llm-profiler": iaexplore_llm_profiler,
    "llm-analysis": llm_analysis,
    "llm-mem-planner": llm_mem_planner,
    "llm-sizer": llm_sizer,
    "ridgepoint": ridgepoint,
    "sparkfit": sparkfit,
    "vllm-wizard": vllm_wizard,
    "vramcalc": vramcalc,
}


def answer(peer: str, case: Case) -> dict[str, Any]:
    """A peer's sizes for a case, or why it has none."""
    # A folder without the model's name: one peer looks for names it knows before it reads the config.
    with tempfile.TemporaryDirectory(prefix="case") as folder:
        Path(folder, "config.json").write_text(json.dumps(case.config), encoding="utf-8")
        try:
            return PEERS[peer](case, folder)._asdict() | {"not_understood": ""}
        except NotBuiltIn:
            return {"not_understood": "not built in"}
        except (Exception, SystemExit) as error:  # a peer may fail in any way
            reason = " ".join(str(error).replace(folder, "").split())
            return {"not_understood": f"{type(error).__name__}: {reason}"[:200]}


def _no_network(*arguments: object, **options: object) -> None:
    raise OSError("peers are asked offline")


def main(peer: str) -> None:
    """Answers the cases of standard input."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    cases = [Case(*fields) for fields in json.load(sys.stdin)]
    socket.socket.connect = _no_network  # type: ignore[method-assign]
    with contextlib.redirect_stdout(sys.stderr):
        version = importlib.metadata.version(peer)
        found = [{"peer": peer, "version": version, "model": case.model} | answer(peer, case) for case in cases]
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
