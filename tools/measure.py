"""`make measure`: allocate weights and KV cache on an NVIDIA GPU as vLLM does, and compare with what is computed.

The weights are random numbers in real shapes: each tensor of one rank, fused tensors as one; the cache is as large as
the budget allows. What PyTorch's allocator reports is compared in MiB. Nothing is downloaded, and no model runs.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from dataclasses import dataclass

from core import catalog
from core.engines import vllm
from core.engines.capacity import capacity
from core.engines.deployment import Deployment, Device, parse_version
from core.engines.loaded_weights import loaded_weights_bytes, rotary_cache_bytes
from core.engines.parallelism import outer_on_rank
from core.errors import PlannerError
from core.model.parameters import layer_groups
from core.model.spec import ModelSpec
from core.units import MIB

SMALL_MODELS = 3
CONTEXT = 8192
_SIXTEEN_BITS = 2


@dataclass(frozen=True)
class Measured:
    """One figure in bytes: as computed, and as the allocator reports it."""

    model: str
    what: str
    computed_bytes: int
    measured_bytes: int


def stored_tensors(spec: ModelSpec) -> list[int]:
    """Return the bytes of every tensor on one GPU in 16 bits, fused tensors as one, and last of the rotary table."""
    sizes = [
        tensor.parameters * (tensor.bytes_per_value or _SIXTEEN_BITS)
        for tensor, times in outer_on_rank(spec, 1, 1, 0)
        for _ in range(times)
    ]
    for tensors, numbers in layer_groups(spec):
        fused: dict[object, int] = defaultdict(int)
        for number, tensor in enumerate(tensors):
            fused[tensor.fused or number] += tensor.parameters * (tensor.bytes_per_value or _SIXTEEN_BITS)
        sizes += [*fused.values()] * len(numbers)
    return [*sizes, rotary_cache_bytes(spec)]


def measure(torch, spec: ModelSpec) -> list[Measured]:
    """Allocate the weights of `spec` and a cache in the remaining memory, and compare."""
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    weights = [torch.empty(size, dtype=torch.uint8, device="cuda").random_() for size in stored_tensors(spec) if size]
    after_weights = torch.cuda.memory_allocated()
    _, total_bytes = torch.cuda.mem_get_info()
    fp16 = catalog.precision("kv_precision", "fp16")
    deployment = Deployment(
        model=spec, precision=None, kv_precision=fp16, device=Device(torch.cuda.get_device_name(), total_bytes),
        context=CONTEXT, version=parse_version(vllm.ENGINE.default_version),
    )  # fmt: skip
    found, pool = capacity(vllm.ENGINE, deployment), vllm.pool(deployment)
    count = found.budget.kv.expected // pool.block_bytes[0]
    per_layer = int(count * pool.block_bytes[0]) // spec.num_hidden_layers
    cache = [torch.empty(per_layer, dtype=torch.uint8, device="cuda") for _ in range(spec.num_hidden_layers)]
    after_cache = torch.cuda.memory_allocated()
    del weights, cache
    return [
        Measured(spec.name, "weights", loaded_weights_bytes(spec), after_weights - before),
        Measured(spec.name, "KV cache", per_layer * spec.num_hidden_layers, after_cache - after_weights),
    ]


def models_that_fit(total_bytes: int) -> list[ModelSpec]:
    """Return the smallest models of the catalog, and the largest whose weights take less than 80% of the GPU."""
    sized = []
    for model in catalog.models():
        try:
            sized.append((loaded_weights_bytes(model.spec), model.name, model.spec))
        except PlannerError:
            continue  # its row has only a size, no tensors
    fitting = [spec for size, _, spec in sorted(sized, key=lambda row: row[:2]) if size < 0.8 * total_bytes]
    return fitting[:SMALL_MODELS] + fitting[SMALL_MODELS:][-1:]


def main() -> int:
    """Print the comparison, or why nothing can be measured."""
    try:
        import torch
    except ImportError:
        print("Nothing was measured: PyTorch is not installed.")
        return 1
    if not torch.cuda.is_available() or torch.version.cuda is None:
        print("Nothing was measured: PyTorch finds no NVIDIA GPU.")
        return 1
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}")
    print(f"{'model':28} {'':10} {'computed MiB':>14} {'measured MiB':>14} {'difference':>11}")
    for spec in models_that_fit(torch.cuda.mem_get_info()[1]):
        for row in measure(torch, spec):
            computed, measured = row.computed_bytes / MIB, row.measured_bytes / MIB
            print(f"{row.model:28} {row.what:10} {computed:14,.1f} {measured:14,.1f} {computed - measured:11,.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
