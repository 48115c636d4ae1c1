"""`python peer_worker.py NAME`: times one estimate of a calculator, as often as it is asked.

Run by the interpreter that the calculator is installed in. First reads the case (as `tools.peers.ask.Case`) and says
which sizes it gives; then, for each line that it is sent, the seconds of one estimate. Files are read before: what is timed
is the estimate alone, with the model in memory.
"""

from __future__ import annotations

import json
import sys
import time

CALLS = 1000


def planner(case):
    from core import catalog
    from core.plan.estimate import estimate

    model, kv = catalog.model("llama-3.1-70b").spec, catalog.precision("kv_precision", "fp16")
    return (
        lambda: estimate(model, context=case["context"], users=case["users"], kv_precision=kv),
        lambda found: (found.weights_bytes, found.kv_bytes),
    )


def ridgepoint(case):
    import ridgepoint as peer

    def run():
        return peer.fit("llama-3-70b", "h100-80gb", count=16, ctx=case["context"], as_json=True)

    def sizes(written):
        found = json.loads(written)
        return found["memory"]["weights_bytes"]["best"], case["users"] * found["capacity"]["bytes_per_seq"]

    return run, sizes


def sparkfit(case):
    import sparkfit as peer

    model = peer.load_local_config(case["path"])
    return (
        lambda: peer.budget(model, "bf16", case["context"], batch=case["users"], kv_dtype="bf16"),
        lambda found: (found["weights"], found["kv"]),
    )


def vramcalc(case):
    import vramcalc as peer
    from vramcalc.loaders import load_arch

    model = load_arch(case["config"])
    return (
        lambda: peer.estimate(model, dtype="bf16", batch=case["users"], seq_len=case["context"]),
        lambda found: (found.weights, found.kv_cache),
    )


def llm_sizer(case):
    from llm_sizer.catalog import resolve_model, resolve_quant
    from llm_sizer.sizing import estimate_vram

    model, stored = resolve_model("llama-3.1-70b"), resolve_quant("bf16")
    return (
        lambda: estimate_vram(model, stored, case["context"], case["users"]),
        lambda found: (found.weights_bytes, found.kv_cache_bytes),
    )


def vllm_wizard(case):
    from vllm_wizard.models.metadata import load_model_metadata
    from vllm_wizard.planning.memory import compute_kv_cache_memory, compute_weights_memory
    from vllm_wizard.schemas.inputs import DType, KVCacheDType, Quantization

    model = load_model_metadata(case["folder"])

    def run():
        weights = compute_weights_memory(model.params_billions, DType.BF16, Quantization.NONE)
        return weights, compute_kv_cache_memory(
            model, case["context"], case["users"], KVCacheDType.BF16, fragmentation_factor=1.0
        )

    return run, lambda found: found


ESTIMATES = {
    "this planner": planner,
    "llm-sizer": llm_sizer,
    "ridgepoint": ridgepoint,
    "sparkfit": sparkfit,
    "vllm-wizard": vllm_wizard,
    "vramcalc": vramcalc,
}


def answer(message):
    """One line to whoever asks."""
    sys.__stdout__.write(json.dumps(message) + "\n")
    sys.__stdout__.flush()


def main(name):
    """Says the sizes, then times on demand."""
    sys.stdout = sys.stderr  # what a peer prints is not an answer
    run, sizes = ESTIMATES[name](json.loads(sys.stdin.readline()))
    answer([float(size) for size in sizes(run())])
    for _ in sys.stdin:
        start = time.perf_counter()
        for _ in range(CALLS):
            run()
        answer((time.perf_counter() - start) / CALLS)


if __name__ == "__main__":
    main(sys.argv[1])
