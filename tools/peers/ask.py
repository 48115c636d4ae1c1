"""Get a peer's figures for every case, without a network: `python ask.py PEER < cases.json > answers.json`.

The interpreter that the peers are installed in runs this file; it imports nothing of this repository. Each adapter
calls what the peer's own command line computes from a config.json, or the nearest function it offers, with the options
closest to the question: a 16-bit KV cache, the precision the checkpoint is stored in, no optional margins.

`python ask.py PEER --time` is for benchmarks/peers.py: it reads one case from a line of standard input, prints the
peer's sizes, and then, for each further line, the seconds that one estimate takes.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TextIO

GIB = 2**30
GPUS = 16  # enough for every model, for peers that need a number of GPUs
TIMED_CALLS = 1000


class Case(NamedTuple):
    """A question; `weights` is "bf16", "fp8" or "mxfp4", as the checkpoint is stored."""

    model: str
    config: dict[str, Any]
    weights: str
    context: int
    users: int


class Sizes(NamedTuple):
    """Bytes; None for a figure that the peer does not compute."""

    weights_bytes: float | None
    kv_bytes: float | None


class Estimate(NamedTuple):
    """A peer with the model loaded: `run` computes the estimate and `sizes` reads its result."""

    run: Callable[[], Any]
    sizes: Callable[[Any], Sizes]


class NotBuiltIn(Exception):
    """The peer does not read config.json and does not have the model."""


# Peers with built-in models: their name for the model of the same size.
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


def aiconfigurator(case: Case, folder: str) -> Estimate:
    from aiconfigurator_core.sdk.config_builders import build_model_config
    from aiconfigurator_core.sdk.models import get_model

    settings = build_model_config(1, 1, 1, 1, 1, kvcache_quant_mode="bfloat16")
    model = get_model(folder, settings, "vllm")
    weights = sum(operation.get_weights() for operation in model.context_ops)
    return Estimate(
        lambda: case.users * model.get_kvcache_bytes_per_sequence(case.context), lambda found: Sizes(weights, found)
    )


def hf_mem(case: Case, folder: str) -> Estimate:
    """Ask for the cache only: hf-mem reads weights from the checkpoint's headers on the hub."""
    from hf_mem.safetensors.kv_cache import compute_safetensors_kv_cache_size

    config = case.config.get("text_config", case.config)
    return Estimate(
        lambda: compute_safetensors_kv_cache_size(config, "BF16", case.context, case.users),
        lambda found: Sizes(None, found),
    )


def iaexplore_llm_profiler(case: Case, folder: str) -> Estimate:
    """Ask for the cache only: the number of parameters is an input of the profiler."""
    from iaexplore_llm_profiler import calculate_vram_kv

    config = case.config.get("text_config", case.config)
    heads = config["num_attention_heads"]
    kv_heads, head_dim = (
        config.get("num_key_value_heads", heads),
        config.get("head_dim", config["hidden_size"] // heads),
    )
    return Estimate(
        lambda: calculate_vram_kv(config["num_hidden_layers"], kv_heads, head_dim, case.context, case.users, 16),
        lambda found: Sizes(None, found * GIB),
    )


def llm_analysis(case: Case, folder: str) -> Estimate:
    """Describe the model with llm-analysis' own fields, read from the config."""
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
    embedding = found.get_num_params_embedding()  # stored in a separate precision there, 16 bits by default
    weights = 2 * embedding + (found.get_num_params_total() - embedding) * bits / 8
    return Estimate(
        lambda: found.get_memory_kv_cache_per_layer(case.users, case.context) * model.num_layers,
        lambda kv_bytes: Sizes(weights, kv_bytes),
    )


EXPERTS = ("num_local_experts", "n_routed_experts", "num_experts")


def llm_mem_planner(case: Case, folder: str) -> Estimate:
    from llm_mem_planner import cli

    sizes = cli.load_dims(case.config)
    weights = cli.estimate_params(sizes).total * cli.dtype_bytes_from_str(case.weights)
    return Estimate(
        lambda: cli.estimate_kv_cache_gib(sizes, batch=case.users, seq_len=case.context, kv_dtype_bytes=2),
        lambda found: Sizes(weights, found * GIB),
    )


def llm_sizer(case: Case, folder: str) -> Estimate:
    """Ask twice, since one precision holds for both: the cache in 16 bits, weights as they are stored."""
    from llm_sizer.catalog import resolve_model, resolve_quant
    from llm_sizer.sizing import estimate_vram

    if case.model not in LLM_SIZER:
        raise NotBuiltIn
    model, sixteen_bits = resolve_model(LLM_SIZER[case.model]), resolve_quant("bf16")
    stored = resolve_quant({"bf16": "bf16", "fp8": "q8"}[case.weights])
    weights = estimate_vram(model, stored, case.context, case.users).weights_bytes
    return Estimate(
        lambda: estimate_vram(model, sixteen_bits, case.context, case.users),
        lambda found: Sizes(weights, found.kv_cache_bytes),
    )


def ridgepoint(case: Case, folder: str) -> Estimate:
    """Use built-in models: ridgepoint reads configs only from the hub."""
    import ridgepoint as peer

    if case.model not in RIDGEPOINT:
        raise NotBuiltIn
    name, dtype = RIDGEPOINT[case.model], {"bf16": "fp16"}.get(case.weights, case.weights)

    def sizes(text: str) -> Sizes:
        found = json.loads(text)
        return Sizes(found["memory"]["weights_bytes"]["best"], case.users * found["capacity"]["bytes_per_seq"])

    return Estimate(lambda: peer.fit(name, "h100-80gb", count=GPUS, dtype=dtype, ctx=case.context, as_json=True), sizes)


def sparkfit(case: Case, folder: str) -> Estimate:
    import sparkfit as peer

    model = peer.load_local_config(f"{folder}/config.json")
    return Estimate(
        lambda: peer.budget(model, case.weights, case.context, batch=case.users, kv_dtype="bf16"),
        lambda found: Sizes(found["weights"], found["kv"]),
    )


def vllm_wizard(case: Case, folder: str) -> Estimate:
    """Switch off its factor for fragmentation (1.15 by default); MXFP4 is asked as AWQ, another 4-bit format."""
    from vllm_wizard.models.metadata import load_model_metadata
    from vllm_wizard.planning.memory import compute_kv_cache_memory, compute_weights_memory
    from vllm_wizard.schemas.inputs import DType, KVCacheDType, Quantization

    model = load_model_metadata(folder)
    stored = {"bf16": Quantization.NONE, "fp8": Quantization.FP8, "mxfp4": Quantization.AWQ}[case.weights]
    return Estimate(
        lambda: (
            compute_weights_memory(model.params_billions, DType.BF16, stored),
            compute_kv_cache_memory(model, case.context, case.users, KVCacheDType.BF16, fragmentation_factor=1.0),
        ),
        lambda found: Sizes(*found),
    )


def vramcalc(case: Case, folder: str) -> Estimate:
    import vramcalc as peer
    from vramcalc.loaders import load_arch

    model = load_arch(folder)
    return Estimate(
        lambda: peer.estimate(model, dtype="bf16", batch=case.users, seq_len=case.context),
        lambda found: Sizes(found.weights, found.kv_cache),
    )


# By their names on the package index.
PEERS: dict[str, Callable[[Case, str], Estimate]] = {
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


@contextlib.contextmanager
def _config_folder(case: Case) -> Iterator[str]:
    """Write config.json to a folder whose name does not name the model: one peer looks for known names first."""
    with tempfile.TemporaryDirectory(prefix="case") as folder:
        Path(folder, "config.json").write_text(json.dumps(case.config), encoding="utf-8")
        yield folder


def answer(peer: str, case: Case) -> dict[str, Any]:
    """Return a peer's sizes for a case, or why it has none."""
    with _config_folder(case) as folder:
        try:
            estimate = PEERS[peer](case, folder)
            return estimate.sizes(estimate.run())._asdict() | {"not_understood": ""}
        except NotBuiltIn:
            return {"not_understood": "not built in"}
        except (Exception, SystemExit) as error:  # a peer may fail in any way
            reason = " ".join(str(error).replace(folder, "").split())
            return {"not_understood": f"{type(error).__name__}: {reason}"[:200]}


def time_on_request(peer: str, output: TextIO) -> None:
    """Time one estimate, with the model in memory, for each line of standard input after the first."""
    case = Case(*json.loads(sys.stdin.readline()))
    with _config_folder(case) as folder:
        run, sizes = PEERS[peer](case, folder)
        print(json.dumps(sizes(run())), file=output, flush=True)
        for _ in sys.stdin:
            print(mean_seconds(run), file=output, flush=True)


def mean_seconds(run: Callable[[], Any]) -> float:
    """Return the seconds of one call, over many."""
    start = time.perf_counter()
    for _ in range(TIMED_CALLS):
        run()
    return (time.perf_counter() - start) / TIMED_CALLS


def _refuse_connection(*arguments: object, **options: object) -> None:
    raise OSError("peers are asked offline")


def stay_offline() -> None:
    """Refuse every connection of this process."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    socket.socket.connect = _refuse_connection  # type: ignore[method-assign]


def main(peer: str, *options: str) -> None:
    """Answer the cases of standard input, or time them."""
    stay_offline()
    output = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # what a peer prints is not an answer
        if "--time" in options:
            time_on_request(peer, output)
            return
        version = importlib.metadata.version(peer)
        cases = [Case(*fields) for fields in json.load(sys.stdin)]
        found = [{"peer": peer, "version": version, "model": case.model} | answer(peer, case) for case in cases]
    json.dump(found, output)


if __name__ == "__main__":
    main(*sys.argv[1:])
