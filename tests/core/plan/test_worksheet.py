"""The planner's layouts compared with the engine's full model, and computed by hand."""

from __future__ import annotations

import statistics
from dataclasses import replace

import pytest

from core import catalog
from core.errors import PlannerError, UnknownNameError, WrongTypeError
from core.model.own_model import own_model
from core.plan.allocation import PAGED, RESERVED, allocated_tokens, allocation_named
from core.plan.fleet import Replica, Service, choice_of_gpu, users_per_replica
from core.plan.nodes import node_takes, nodes_for
from core.plan.worksheet import (
    CACHE,
    LAYOUTS,
    RULE,
    SEQUENCES,
    SPLIT,
    VLLM,
    WEIGHTS,
    Layout,
    PlannedGpu,
    Workload,
    activation_bytes,
    best_layout,
    engine_named,
    gpu_share,
    has_shapes,
    kv_bytes_per_user,
    needs_of,
    planned_gpu,
    vllm_usable_bytes,
    worksheet_plans,
)
from core.units import GB, GIB, MIB

FP16 = catalog.precision("precision", "fp16")
GPUS = ("h100-sxm", "a100-sxm-80gb", "b200", "l40s")


def workload(model: str, **changes) -> Workload:
    fields = {
        "model": catalog.model(model).spec,
        "precision": FP16,
        "kv_precision": FP16,
        "context": 32_768,
        "users": 10,
        "gpu": planned_gpu(choice_of_gpu(catalog.gpu("h100-sxm"))),
    }
    return Workload(**fields | changes)


def plan(found: Workload, tp: int, pp: int = 1):
    return next(plan for plan in worksheet_plans(found) if plan.layout == Layout(tp, pp))


def test_agrees_with_the_engines_own_model():
    """For all catalog models with known shapes, all layouts and four GPUs, most user counts are equal."""
    errors, exact = [], 0
    for name in GPUS:
        gpu = choice_of_gpu(catalog.gpu(name))
        for model in catalog.models():
            if not has_shapes(model.spec):
                continue
            context = min(32_768, model.spec.max_position_embeddings or 32_768)
            service = Service(model=model.spec, precision=FP16, kv_precision=FP16)
            found = workload(model.name, context=context, engine=VLLM, gpu=planned_gpu(gpu))
            for each in worksheet_plans(found):
                if each.binds == SPLIT:
                    continue
                expected = users_per_replica(service, Replica(gpu, each.layout.tp, each.layout.pp), context)
                if max(expected, each.users_per_replica) >= 10:
                    errors.append(abs(each.users_per_replica - expected) / max(1, expected))
                    exact += each.users_per_replica == expected
    assert len(errors) > 4000
    assert statistics.median(errors) == 0
    assert exact / len(errors) > 0.6
    assert statistics.quantiles(errors, n=20)[-1] < 0.03  # 95 of 100
    assert statistics.quantiles(errors, n=100)[-1] < 0.5  # encoder-decoders, and states padded by pipeline stage


def test_rule_agrees_with_the_fleets_rule():
    """The rule is not simplified: all models have equal user counts, except for unequal pipeline stages."""
    gpu = choice_of_gpu(catalog.gpu("h100-sxm"))
    for model in catalog.models():
        service = Service(model=model.spec, precision=FP16, kv_precision=FP16, overhead=0.1)
        for each in worksheet_plans(workload(model.name, context=8192, gpu=planned_gpu(gpu))):
            if each.binds != SPLIT:
                expected = users_per_replica(service, Replica(gpu, each.layout.tp, each.layout.pp), 8192)
                if each.layout.pp == 1:
                    assert each.users_per_replica == expected, (model.name, each.layout)
                else:  # uses the largest of each term over all stages, so never too many
                    assert 0.7 * expected <= each.users_per_replica <= expected, (model.name, each.layout)


def test_by_hand():
    # Llama 3.1 70B, rule of 10 %, H100 (81 559 MiB = 85.520809984 GB), TP 4: 85.520809984 / 1.1 = 77.746190894 GB;
    # weights 35.278397440 GB (70 553 706 496 × 2 / 4, norms whole: 80 × 2 × 8192 + 8192 values more on each rank),
    # leaving 42.46 GB; cache of one user 327 680 × 32 768 / 4 = 2.684354560 GB: 15 users.
    found = plan(workload("llama-3.1-70b"), 4)
    assert found.weights_bytes / GB == pytest.approx(35.278833664, rel=1e-5)
    assert found.kv_bytes_per_user == 327_680 * 32_768 / 4
    assert (found.users_per_replica, found.replicas, found.gpus, found.nodes) == (15, 1, 4, 1)
    assert found.binds == CACHE


H100_BYTES = 81_559 * MIB
# vLLM 0.31 uses 92 % of the memory that a process sees: the driver's total less 410 MiB and 0.2 %.
USABLE = (0.998 * H100_BYTES - 410 * MIB) * 0.92
CUBLAS = 8_519_680  # (2 × 4096 + 8 × 16) KiB, for a GPU without an entry by name
OTHER = 0.85 * GIB  # 0.25 outside PyTorch, 0.6 of CUDA graphs

# Peak activation of Llama 3.1 8B by the tokens of a step. On one GPU the feed-forward block decides: gate, up and their
# product (3 × 14 336) and four times the hidden size. On two it is half as wide, and in the smaller steps sampling needs
# more: 256 or 1024 sequences × 128 256 vocabulary entries × 2 × (2 + ½) bytes, and hidden states of the step and of
# twice the sequences.
FORWARD_ONE, FORWARD_TWO = (3 * 14_336 + 4 * 4096) * 2, (3 * 7168 + 4 * 4096) * 2
ACTIVATIONS = {
    (2048, False): 2048 * FORWARD_ONE + CUBLAS,
    (8192, False): 8192 * FORWARD_ONE + CUBLAS,
    (16_384, False): 16_384 * FORWARD_ONE + CUBLAS,
    (2048, True): 256 * 128_256 * 5 + (2048 + 512) * 4096 * 2 + CUBLAS,
    (8192, True): 1024 * 128_256 * 5 + (8192 + 2048) * 4096 * 2 + CUBLAS,
    (16_384, True): 16_384 * FORWARD_TWO + CUBLAS,
}


@pytest.mark.parametrize(("step", "several"), ACTIVATIONS)
def test_activations_by_hand(step, several):
    found = activation_bytes(catalog.model("llama-3.1-8b").spec, step, several=several)
    assert found == ACTIVATIONS[step, several]


def test_vllms_budget_by_hand():
    """Llama 3.1 8B on an H100 with 8192 tokens: 16 060 522 496 bytes of weights, a rotary table of 131 072 × 128 values
    of 2 bytes, and 131 072 × 8192 bytes of cache per user."""
    model = workload("llama-3.1-8b", context=8192, engine=VLLM)
    found, reserve = plan(model, 1), H100_BYTES - USABLE + ACTIVATIONS[8192, False] + OTHER
    assert found.kv_budget_bytes == pytest.approx(H100_BYTES - reserve - 16_060_522_496 - 131_072 * 128 * 2, abs=1)
    assert found.kv_bytes_per_user == 2**30
    assert (found.users_per_replica, found.binds) == (56, CACHE)  # 60 137 908 342 ÷ 2³⁰ = 56.008
    needs = needs_of(model)
    assert (needs.weights_bytes, needs.kv_bytes, needs.gpus) == (16_060_522_496, 10 * 2**30, 1)
    assert needs.overhead_bytes == pytest.approx(reserve, abs=1)


def test_needs_beyond_one_gpu_use_the_reserve_of_several():
    """Llama 3.1 70B: 248 481 595 392 bytes on H100s with 1.4 GiB each besides activations: on two, sampling needs
    1024 × 128 256 × 5 bytes and 10 240 hidden states of 8192, less than the block: 8192 × (3 × 14 336 + 4 × 8192) × 2.
    """
    needs = needs_of(workload("llama-3.1-70b", engine=VLLM))
    reserve = H100_BYTES - USABLE + 8192 * (3 * 14_336 + 4 * 8192) * 2 + CUBLAS + 1.4 * GIB
    assert needs.gpus == 4  # 248 481 595 392 ÷ 75 372 991 811 = 3.3
    assert needs.overhead_bytes == pytest.approx(4 * reserve, abs=4)


@pytest.mark.parametrize(
    ("model", "tp", "context", "expected"),
    [
        # Gemma 3 27B: 8192 bytes per layer and token. Groups of 10: one with full attention, six with windows, padded
        # from 52 layers to 60, which cache the window and the step of 8192 tokens, at most the context, and a block.
        ("gemma-3-27b", 1, 8192, 8192 * (10 * 8192 + 60 * (8192 + 16))),
        ("gemma-3-27b", 1, 32_768, 8192 * (10 * 32_768 + 60 * (1024 + 8192 + 16))),
        # Qwen3-Next: 12 layers cache 2048 bytes per token; a page of 16 tokens is enlarged 66 times to hold a state of
        # 2 146 304 bytes, which 36 layers cache.
        ("qwen3-next-80b-a3b", 1, 32_768, 12 * 2048 * 32_768 + 36 * 66 * 16 * 2048),
        ("qwen3-next-80b-a3b", 2, 32_768, (12 * 2048 * 32_768 + 36 * 66 * 16 * 2048) / 2),
    ],
)
def test_padded_caches_by_hand(model, tp, context, expected):
    found = workload(model, context=context, engine=VLLM)
    needs = gpu_share(found.model, Layout(tp, 1))
    assert kv_bytes_per_user(found, needs.kv) == pytest.approx(expected, rel=1e-12)


def test_vllm_usable_bytes():
    assert vllm_usable_bytes(H100_BYTES) == pytest.approx(USABLE)
    assert vllm_usable_bytes(400 * MIB) == 0  # the driver uses all of it


def test_a_gpu_that_activations_fill():
    """Gemma 3 27B with 2048 tokens of 5376 values and 262 208 vocabulary entries on a GPU of 2 GB."""
    tiny = PlannedGpu(memory_bytes=2 * GB, gpus_per_node=8, step_tokens=2048, max_sequences=256)
    with pytest.raises(PlannerError, match="gpu: vLLM's activations and buffers leave no memory"):
        needs_of(workload("gemma-3-27b", engine=VLLM, gpu=tiny))


@pytest.mark.parametrize(
    ("node", "allowed"),
    [
        (8, {(1, 1), (2, 1), (4, 1), (8, 1), (2, 2), (2, 4), (4, 2), (8, 2), (8, 4)}),
        (4, {(1, 1), (2, 1), (4, 1), (2, 2), (4, 2), (4, 4)}),
        (6, {(1, 1), (2, 1), (3, 2), (6, 4)}),
    ],
)
def test_node_takes(node, allowed):
    """TP divides the node; a replica divides a node evenly, or each stage has a whole node, at most four."""
    splits = {(1, 1), (2, 1), (4, 1), (8, 1), (2, 2), (2, 4), (2, 8), (3, 2), (4, 2), (4, 4), (4, 5), (6, 4), (8, 2),
              (8, 4), (8, 5)}  # fmt: skip
    assert {split for split in splits if node_takes(*split, node)} == allowed


@pytest.mark.parametrize(
    ("changes", "tp", "binds"),
    [
        pytest.param({}, 1, WEIGHTS, id="141 GB on one H100"),
        pytest.param({"context": 128, "engine": VLLM}, 8, SEQUENCES, id="1024 sequences at once"),
        pytest.param({"context": 128}, 8, CACHE, id="the rule has no such limit"),
        pytest.param({"gpu": PlannedGpu(memory_bytes=80 * GB, gpus_per_node=4, step_tokens=2048, max_sequences=256)}, 8,
                     SPLIT, id="nodes of four"),
    ],
)  # fmt: skip
def test_binds(changes, tp, binds):
    assert plan(workload("llama-3.1-70b", **changes), tp).binds == binds


def test_a_cache_that_is_filled_to_the_last_byte():
    """Llama 3.1 8B without overhead on a GPU with space for its weights and 1 GiB for each of three users."""
    exact = PlannedGpu(memory_bytes=16_060_522_496 + 3 * GIB, gpus_per_node=8, step_tokens=8192, max_sequences=1024)
    found = {"context": 8192, "overhead": 0, "users": 3}
    assert plan(workload("llama-3.1-8b", **found, gpu=exact), 1).users_per_replica == 3
    less = replace(exact, memory_bytes=exact.memory_bytes - 64)
    assert plan(workload("llama-3.1-8b", **found, gpu=less), 1).users_per_replica == 2


def test_latent_cache_is_not_split_over_ranks():
    # DeepSeek-V2, arXiv:2405.04434: one latent for all heads.
    found = workload("deepseek-v3", precision=None)
    assert plan(found, 8).kv_bytes_per_user == 70_272 * 32_768


def test_best_layout_has_the_fewest_gpus():
    found = workload("llama-3.1-70b", users=100)
    fewest = min(each.gpus for each in worksheet_plans(found) if each.gpus)
    assert best_layout(found).gpus == fewest
    assert best_layout(workload("deepseek-v3", users=1, gpu=planned_gpu(choice_of_gpu(catalog.gpu("l4"))))) is None


@pytest.mark.parametrize(
    ("allocation", "average", "blocks", "tokens"),
    [
        (RESERVED, None, False, 1000),
        (RESERVED, 100, False, 1000),
        (RESERVED, None, True, 1008),  # 63 blocks of 16
        (PAGED, 100, False, 112),
        (PAGED, 5000, True, 1008),  # at most the context
        (PAGED, None, True, 1008),
    ],
)
def test_allocated_tokens(allocation, average, blocks, tokens):
    assert allocated_tokens(1000, allocation, average, blocks=blocks) == tokens


def test_names_ignore_case():
    assert [allocation_named(name) for name in ("reserved", " Paged ")] == [RESERVED, PAGED]
    assert [engine_named(name) for name in ("Rule", " VLLM")] == [RULE, VLLM]
    for named in (allocation_named, engine_named):
        with pytest.raises(UnknownNameError, match="is not known"):
            named("lazy")
        with pytest.raises(WrongTypeError, match="is not text"):
            named(1)


def test_paged_needs_no_more_than_reserved():
    reserved = needs_of(workload("llama-3.1-70b"))
    paged = needs_of(workload("llama-3.1-70b", allocation=PAGED, average_tokens=4000))
    assert paged.kv_bytes == 327_680 * 4000 * 10
    assert paged.total_bytes < reserved.total_bytes


def test_vllms_overhead_is_the_rest_of_the_gpus():
    """Weights, cache and overhead fill the GPUs."""
    found = workload("llama-3.1-70b", engine=VLLM)
    needs = needs_of(found)
    assert needs.total_bytes <= needs.gpus * found.gpu.memory_bytes
    assert (needs.gpus - 1) * found.gpu.memory_bytes < needs.total_bytes


def test_layouts_that_a_model_cannot_be_split_into():
    """GPT-2 has twelve heads and twelve layers."""
    gpt2 = catalog.model("gpt2").spec
    assert [layout.title for layout in LAYOUTS] == ["TP 1", "TP 2", "TP 4", "TP 8", "TP 8 × PP 2"]
    assert [gpu_share(gpt2, layout) is None for layout in LAYOUTS] == [False, False, False, True, True]
    assert gpu_share(gpt2, Layout(1, 12)) is not None
    assert gpu_share(gpt2, Layout(1, 13)) is None


def test_layouts_of_nodes():
    assert [layout for layout in LAYOUTS if node_takes(layout.tp, layout.pp, 8)] == list(LAYOUTS)
    assert [layout.gpus for layout in LAYOUTS if node_takes(layout.tp, layout.pp, 4)] == [1, 2, 4]
    assert [layout.gpus for layout in LAYOUTS if node_takes(layout.tp, layout.pp, 1)] == [1]
    assert nodes_for(3, 16, 8) == 6
    assert nodes_for(5, 2, 8) == 2


def test_vllm_with_a_model_of_known_size_only():
    with pytest.raises(PlannerError, match="only the size of article-llama-70b is known"):
        needs_of(workload("article-llama-70b", engine=VLLM))
    with pytest.raises(PlannerError, match="engine"):
        engine_named("tgi")


class TestOwnModel:
    def test_has_the_shares_of_the_catalogs_model(self):
        """Llama 3.1 8B and Gemma 3 27B described by the figures of a row; their config.json is in the catalog."""
        for name, figures in (
            ("llama-3.1-8b", {"num_hidden_layers": 32, "num_key_value_heads": 8, "head_dim": 128}),
            (
                "gemma-3-27b",
                {"num_hidden_layers": 62, "num_key_value_heads": 16, "head_dim": 128, "windowed_layers": 52,
                 "sliding_window": 1024},
            ),
        ):  # fmt: skip
            known = catalog.model(name).spec
            own = own_model("mine", parameters=1_000_003, **figures)
            for layout in LAYOUTS:
                expected, found = gpu_share(known, layout), gpu_share(own, layout)
                if layout.pp == 1:
                    assert found.kv == expected.kv, (name, layout)
                assert found.parameters == -(-1_000_003 // layout.gpus)
            # Its shapes are unknown, so it has no engine budget.
            assert own.hidden_size == 0 and not has_shapes(own) and not any(run.complete for run in own.layers)
