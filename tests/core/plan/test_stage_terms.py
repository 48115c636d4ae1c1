"""The memory terms give exactly the users of the engine's own model, for every model, GPU, layout and format."""

from __future__ import annotations

import os
import random

import pytest

from core import catalog
from core.plan.fleet import Service, choice_of_gb, choice_of_gpu, replicas_of, users_per_replica
from tests.core.plan.stage_figures import GpuFigures, StageFigures, gpu_figures, stage_figures, users_of_stages

CASES = int(os.environ.get("VRAM_PARITY_CASES", "5000"))  # `make parity` tries many more
MODELS = [m.spec for m in catalog.models() if m.spec.vocab_size is not None and m.spec.stated_parameters is None]
PRECISIONS = ["shipped", *(row.precision.name for row in catalog.precisions() if row.use != "kv")]
KV_PRECISIONS = [row.precision.name for row in catalog.precisions() if row.use != "weights"]
CONTEXTS = (2_048, 8_192, 32_768, 131_072)


def test_users_are_those_of_the_engine():
    rng, tried, served = random.Random(13), 0, 0
    while tried < CASES:
        model = rng.choice(MODELS)
        gpu = choice_of_gpu(rng.choice(catalog.gpus())) if rng.random() < 0.8 else choice_of_gb(rng.uniform(8, 300))
        precision = catalog.weights_precision(rng.choice(PRECISIONS))
        kv_precision = catalog.precision("kv_precision", rng.choice(("fp16", "fp8", rng.choice(KV_PRECISIONS))))
        context = min(model.max_position_embeddings or CONTEXTS[-1], rng.choice((*CONTEXTS, rng.randint(1, 10**5))))
        service = Service(model=model, precision=precision, kv_precision=kv_precision)
        for replica in replicas_of(model, gpu, "vllm"):
            expected = users_per_replica(service, replica, context)
            stages = stage_figures(model, precision, kv_precision, replica.tp, replica.pp)
            found = users_of_stages(stages, gpu_figures(gpu), replica.tp, replica.pp, context)
            assert found == expected, (model.name, gpu, precision, kv_precision, replica, context)
            tried, served = tried + 1, served + (expected > 0)
    assert served > tried / 2


def test_hand_worked():
    """A stage of round figures: weights 1000, workspace 100, other 50, graphs 50 bytes.

    Peaks of a step: feed-forward 10 tokens × 20 = 200, sampling 256 sequences × 1 + 10 tokens × 1 = 266, the larger.
    A user of 100 tokens takes ⌈100 ÷ 16⌉ = 7 blocks, in two groups 14, of 32 bytes: 448 bytes.
    """
    gpu = GpuFigures(
        memory_bytes=500 * 2**20, step_tokens=10, max_sequences=4, workspace_bytes=100, other_one_bytes=50,
        other_stages_bytes=0, other_several_bytes=0, graph_bytes=50,
    )  # fmt: skip
    stage = StageFigures(
        weights_bytes=1000, groups=2, block_tokens=16, groups_2=0, block_tokens_2=16, window=1, window_groups=0,
        window_block_tokens=16, states=0, block_bytes=32, forward_bytes_per_token=20, quantized_bytes_per_token=0,
        expert_bytes=0, sampled_bytes_per_sequence=1, sampled_bytes_per_token=1, bytes_per_image=0, image_tokens=1,
        latent_bytes_per_token=0, latent_bytes_per_step_token=0, wide=1, is_8_bit=0, has_workspace=0,
    )  # fmt: skip
    assert users_of_stages((stage,), gpu, 1, 1, 100) == 4  # plenty of room: the engine runs no more than 4 at once
    narrow = GpuFigures(**{**vars(gpu), "memory_bytes": 410 * 2**20 + 863_000, "max_sequences": 256})
    # shown: 863 000 − round(0.002 × 430 779 160) = 863 000 − 861 558 = 1442; usable ⌈0.92 × 1442⌉ = 1327, less 1466
    assert users_of_stages((stage,), narrow, 1, 1, 100) == 0
    wider = GpuFigures(**{**vars(narrow), "memory_bytes": 410 * 2**20 + 865_000})
    # shown: 865 000 − round(0.002 × 430 781 160) = 865 000 − 861 562 = 3438; usable 3163, less 1466: 1697 = 3 × 448 + 353
    assert users_of_stages((stage,), wider, 1, 1, 100) == 3


@pytest.mark.parametrize("average", [1, 1000])
def test_average_tokens_take_fewer_blocks(average):
    model = catalog.model("llama-3.1-8b").spec
    gpu, kv = gpu_figures(choice_of_gpu(catalog.gpu("h100"))), catalog.precision("kv_precision", "fp16")
    stages = stage_figures(model, None, kv, 1, 1)
    assert users_of_stages(stages, gpu, 1, 1, 32_768, average) > users_of_stages(stages, gpu, 1, 1, 32_768)
