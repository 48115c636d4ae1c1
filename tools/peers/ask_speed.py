"""Get a peer's serving speeds, without a network: `python -m tools.peers.ask_speed PEER < cases.json > answers.json`.

The interpreter that the peers are installed in runs this file, in the repository's root, for benchmarks/speed.py.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import json
import sys
from collections.abc import Callable
from typing import NamedTuple

from tools.peers.ask import stay_offline


class Case(NamedTuple):
    """One replica under a steady load.

    Attributes:
        model, precision, gpu, engine: names as in speed_measured.csv.
        expert_parallel: whether each GPU holds some of the experts whole.
    """

    model: str
    parameters: int
    precision: str
    gpu: str
    engine: str
    tp: int
    expert_parallel: bool
    users: int
    prompt_tokens: int
    output_tokens: int


class Speed(NamedTuple):
    """Tokens per second of one user and of all, and seconds to the first token; None where the peer has no figure."""

    per_user: float | None
    output: float | None
    first_token_s: float | None


class NotKnown(Exception):
    """The peer does not have the model, the GPU or the engine."""


# aiconfigurator's names. It is asked with the formats that its own reader of these measurements takes
# (sdk/config_adapter/inferencex.py), which gives it smaller errors than the formats of the checkpoints; others are as
# the checkpoint says.
MODELS = {
    "deepseek-r1": "deepseek-ai/DeepSeek-R1",
    "glm-5": "zai-org/GLM-5",
    "gpt-oss-120b": "openai/gpt-oss-120b",
    "kimi-k2.5": "moonshotai/Kimi-K2.5",
    "llama-3.1-70b": "meta-llama/Meta-Llama-3.1-70B",
    "llama-3.1-8b": "meta-llama/Meta-Llama-3.1-8B",
    "minimax-m2.5": "MiniMaxAI/MiniMax-M2.5",
    "qwen3-235b-a22b": "Qwen/Qwen3-235B-A22B",
    "qwen3-32b": "Qwen/Qwen3-32B",
    "qwen3.5-397b-a17b": "Qwen/Qwen3.5-397B-A17B",
}
SYSTEMS = {"h100-sxm": "h100_sxm", "h200-sxm": "h200_sxm", "b200": "b200_sxm", "b300": "b300_sxm", "gb200": "gb200"}
BACKENDS = {"vllm": "vllm", "sglang": "sglang", "tensorrt-llm": "trtllm"}
FORMATS = {"fp8": "fp8", "nvfp4": "nvfp4"}


def system_of(case: Case) -> tuple[str, str, str]:
    """Return aiconfigurator's names of the model, the GPU and the engine; raises NotKnown."""
    try:
        return MODELS[case.model], SYSTEMS[case.gpu], BACKENDS[case.engine]
    except KeyError as error:
        raise NotKnown(f"{error} is not known") from error


@functools.cache
def _newest_version(system: str, backend: str) -> str:
    from aiconfigurator.sdk.perf_database import get_latest_database_version

    return get_latest_database_version(system=system, backend=backend)


def aiconfigurator(case: Case, database: str = "SILICON") -> Speed:
    """Ask for its estimate; `database` "SILICON" uses measured kernels only, "HYBRID" also estimates of kernels."""
    from aiconfigurator.cli.api import cli_estimate

    model, system, backend = system_of(case)
    stored = FORMATS.get(case.precision)
    found = cli_estimate(
        model, system, backend_name=backend, backend_version=_newest_version(system, backend), database_mode=database,
        isl=case.prompt_tokens, osl=case.output_tokens, batch_size=case.users, tp_size=case.tp,
        moe_tp_size=1 if case.expert_parallel else case.tp, moe_ep_size=case.tp if case.expert_parallel else 1,
        gemm_quant_mode=stored,
        moe_quant_mode="fp8_block" if backend == "sglang" and stored == "fp8" else stored,
    )  # fmt: skip
    return Speed(1000 / found.tpot, found.raw["tokens/s"], found.ttft / 1000)


def vllm_wizard(case: Case) -> Speed:
    """Ask for the middle of its ranges; it does not ask for the number of users."""
    from vllm_wizard.planning import perf
    from vllm_wizard.schemas.inputs import Interconnect, Quantization

    if not any(name in case.gpu for name in perf.GPU_BASELINE_PREFILL_TPS):
        raise NotKnown(f"{case.gpu} is not known")  # it would take the figures of an unnamed GPU
    stored = {"fp8": Quantization.FP8, "bf16": Quantization.NONE}.get(case.precision, Quantization.AWQ)
    found = perf.estimate_performance(
        case.gpu, case.parameters / 1e9, case.tp, case.prompt_tokens + case.output_tokens, case.prompt_tokens,
        stored, Interconnect.NVLINK,
    )  # fmt: skip
    return Speed(sum(found.decode_toks_per_s_range) / 2, None, sum(found.ttft_ms_range) / 2000)


# By their names on the package index, with the mode where one is asked in several.
PEERS: dict[str, Callable[[Case], Speed]] = {
    "aiconfigurator": aiconfigurator,
    "aiconfigurator, HYBRID": functools.partial(aiconfigurator, database="HYBRID"),
    "vllm-wizard": vllm_wizard,
}


def answer(peer: str, case: Case) -> Speed | str:
    """Return a peer's speeds, or why it has none."""
    try:
        return PEERS[peer](case)
    except (Exception, SystemExit) as error:  # a peer may fail in any way
        return f"{type(error).__name__}: {' '.join(str(error).split())}"


def main(peer: str) -> None:
    """Print the peer's version, and its answers to the cases of standard input."""
    stay_offline()
    output = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # what a peer prints is not an answer
        version = importlib.metadata.version(peer.partition(",")[0])
        found = [answer(peer, Case(*fields)) for fields in json.load(sys.stdin)]
    json.dump([version, found], output)


if __name__ == "__main__":
    main(*sys.argv[1:])
