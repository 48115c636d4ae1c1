"""Pipeline stages that differ: in their layers, and in their GPUs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core import catalog
from core.engines import llama_cpp, vllm
from core.engines.capacity import capacity
from core.engines.deployment import Deployment, Device, EngineSettings, parse_version
from core.engines.loaded_weights import loaded_weights_by_stage
from core.engines.parallelism import stages
from core.units import GIB, MIB

LLAMA = catalog.model("llama-3.1-8b").spec  # 32 layers
LARGE, SMALL = Device("large", 24 * GIB), Device("small", 8 * GIB)
# A layer: Q and O 4096², K and V 4096 × 1024, gate, up and down 4096 × 14336, two norms; 2 bytes a parameter.
LAYER_BYTES = 2 * (2 * 4096**2 + 2 * 4096 * 1024 + 3 * 4096 * 14_336 + 2 * 4096)


def deployed(engine, **changes) -> Deployment:
    sixteen_bits = catalog.precision("kv_precision", "fp16")
    return Deployment(
        model=LLAMA, precision=None, kv_precision=sixteen_bits, device=LARGE, pp=2, context=8192,
        version=parse_version(engine.default_version), **changes,
    )  # fmt: skip


def test_each_stage_has_its_layers():
    assert stages(LLAMA, (20, 12)) == ((0, 20), (20, 32))
    assert stages(LLAMA, (16, 16)) == stages(LLAMA, 2)
    even, uneven = (loaded_weights_by_stage(LLAMA, None, 1, split) for split in (2, (20, 12)))
    assert uneven[0] - even[0] == even[1] - uneven[1] == 4 * LAYER_BYTES
    assert llama_cpp.weights_by_stage(deployed(llama_cpp.ENGINE, stage_layers=(20, 12)))[0] == 20 * LAYER_BYTES


def test_a_logged_replica_of_two_gpus():
    """Command R in Q4_K_S, RTX 4070 Ti and RTX 3090 Ti: ggml-org/llama.cpp pull request 6122, comment by Wuzzooy."""
    given = replace(
        deployed(llama_cpp.ENGINE, stage_layers=(12, 28)),
        model=catalog.model("command-r-35b").spec,
        precision=catalog.precision("precision", "q4_k_s"),
        context=4096,
    )
    logged = [5434.38, 13_989.53]
    assert [size / MIB for size in llama_cpp.weights_by_stage(given)] == pytest.approx(logged, abs=0.006)
    assert llama_cpp.host_bytes(given) / MIB == pytest.approx(1640.62, abs=0.01)
    cache = llama_cpp.pool(replace(given, stage_devices=(LARGE, LARGE)))
    whole = cache.blocks_per_sequence(4096)  # of the fullest GPU
    assert [size * whole / MIB for size in cache.block_bytes] == [1536, 3584]


# 33 places, of the layers and the output: 24 of 32 GiB have those below 0.75, which is 24.75.
@pytest.mark.parametrize(
    ("devices", "gpu_layers", "layers"),
    [
        ((LARGE, SMALL), None, (25, 7)),
        ((SMALL, LARGE), None, (9, 23)),
        ((LARGE, LARGE), None, (17, 15)),
        ((LARGE, SMALL), 12, (9, 3)),  # the last 12, without the output
        ((LARGE, SMALL), 0, (0, 0)),
    ],
)
def test_llama_cpp_divides_layers_by_memory(devices, gpu_layers, layers):
    settings = EngineSettings(gpu_layers=gpu_layers)
    given = deployed(llama_cpp.ENGINE, stage_devices=devices, settings=settings)
    assert llama_cpp.layers_on_gpus(given) == layers
    assert llama_cpp.layers_on_gpus(replace(given, stage_layers=(1, 2))) == (1, 2)


@pytest.mark.parametrize("engine", [vllm.ENGINE, llama_cpp.ENGINE], ids=lambda engine: engine.name)
def test_equal_gpus_with_even_layers_are_no_special_case(engine):
    usual = capacity(engine, deployed(engine))
    stated = capacity(engine, deployed(engine, stage_devices=(LARGE, LARGE), stage_layers=(16, 16)))
    assert (stated.budget, stated.max_users, stated.max_sequences) == (
        usual.budget,
        usual.max_users,
        usual.max_sequences,
    )
    assert stated.kv_tokens.expected == pytest.approx(usual.kv_tokens.expected, rel=0.01)


@pytest.mark.parametrize("engine", [vllm.ENGINE, llama_cpp.ENGINE], ids=lambda engine: engine.name)
def test_the_stage_with_the_least_room_decides(engine):
    """By hand, per layer: 16 KiB a token of cache on its GPU, next to the layer's weights."""

    def found(first: int):
        given = deployed(engine, stage_devices=(LARGE, SMALL), stage_layers=(first, 32 - first))
        return capacity(engine, given)

    by_layers = {first: found(first) for first in range(16, 32)}
    tokens = {first: one.kv_tokens.expected for first, one in by_layers.items()}
    best = max(tokens, key=lambda first: tokens[first])
    assert {by_layers[first].stage for first in range(16, best)} == {1}
    assert {by_layers[first].stage for first in range(best + 1, 32)} <= {0, 1} and by_layers[31].stage == 0
    assert 20 < best < 31 and tokens[best] > 2 * tokens[16]
    for first in (16, 31):
        stage, layers = by_layers[first].stage, (first, 32 - first)[by_layers[first].stage]
        cache = by_layers[first].budget.kv.expected
        assert tokens[first] == pytest.approx(cache / (layers * 4096), rel=0.02), stage


def test_the_first_gpu_decides_vllms_largest_step():
    sizes = Device("size", 80 * GIB), LARGE
    for first, tokens in ((sizes[0], 1024), (sizes[1], 256)):
        given = deployed(vllm.ENGINE, stage_devices=(first, sizes[0]))
        assert capacity(vllm.ENGINE, replace(given, device=first)).max_sequences == tokens
    budgets = vllm.budgets(deployed(vllm.ENGINE, stage_devices=(LARGE, sizes[0])))
    assert budgets[1].activation.expected == vllm.budgets(deployed(vllm.ENGINE))[1].activation.expected
