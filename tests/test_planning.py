"""The planner's reckoning of layouts, against the engine's own model of them, and by hand."""

from __future__ import annotations

import statistics

import pytest

from core import catalog
from core.allocation import PAGED, RESERVED, kept_tokens
from core.errors import PlannerError
from core.fleet import Replica, Service, choice_of_gpu, users_per_replica
from core.own_model import own_model
from core.planning import (
    CACHE,
    LAYOUTS,
    SEQUENCES,
    SPLIT,
    VLLM,
    WEIGHTS,
    LayoutShape,
    PlannedGpu,
    Workload,
    best_layout,
    engine_named,
    has_shapes,
    layout_needs,
    layout_plans,
    needs_of,
    node_allows,
    nodes_of,
    planned_gpu,
)
from core.units import GB

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
    return next(plan for plan in layout_plans(found) if plan.layout == LayoutShape(tp, pp))


def test_agrees_with_the_engines_own_model():
    """Over every catalog model whose shapes are known, every layout, four GPUs: most are the same to the last user."""
    errors, exact = [], 0
    for name in GPUS:
        gpu = choice_of_gpu(catalog.gpu(name))
        for model in catalog.models():
            if not has_shapes(model.spec):
                continue
            context = min(32_768, model.spec.max_position_embeddings or 32_768)
            service = Service(model=model.spec, precision=FP16, kv_precision=FP16)
            found = workload(model.name, context=context, engine=VLLM, gpu=planned_gpu(gpu))
            for each in layout_plans(found):
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
    """With the rule there is nothing to simplify: every model, to the last user, but for stages that differ."""
    gpu = choice_of_gpu(catalog.gpu("h100-sxm"))
    for model in catalog.models():
        service = Service(model=model.spec, precision=FP16, kv_precision=FP16, overhead=0.1)
        for each in layout_plans(workload(model.name, context=8192, gpu=planned_gpu(gpu))):
            if each.binds != SPLIT:
                expected = users_per_replica(service, Replica(gpu, each.layout.tp, each.layout.pp), 8192)
                if each.layout.pp == 1:
                    assert each.users_per_replica == expected, (model.name, each.layout)
                else:  # the largest of each part of all stages: never too many
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


@pytest.mark.parametrize(
    ("changes", "tp", "binds"),
    [
        pytest.param({}, 1, WEIGHTS, id="141 GB on one H100"),
        pytest.param({"context": 128, "engine": VLLM}, 8, SEQUENCES, id="1024 sequences at once"),
        pytest.param({"context": 128}, 8, CACHE, id="the rule knows no such limit"),
        pytest.param({"gpu": PlannedGpu(memory_bytes=80 * GB, gpus_per_node=4, step_tokens=2048, max_sequences=256)}, 8,
                     SPLIT, id="nodes of four"),
    ],
)  # fmt: skip
def test_what_binds(changes, tp, binds):
    assert plan(workload("llama-3.1-70b", **changes), tp).binds == binds


def test_latent_cache_is_whole_on_every_rank():
    # DeepSeek-V2, arXiv:2405.04434: one latent for all heads.
    found = workload("deepseek-v3", precision=None)
    assert plan(found, 8).kv_bytes_per_user == 70_272 * 32_768


def test_best_layout_has_the_fewest_gpus():
    found = workload("llama-3.1-70b", users=100)
    fewest = min(each.gpus for each in layout_plans(found) if each.gpus)
    assert best_layout(found).gpus == fewest
    assert best_layout(workload("deepseek-v3", users=1, gpu=planned_gpu(choice_of_gpu(catalog.gpu("l4"))))) is None


@pytest.mark.parametrize(
    ("allocation", "average", "blocks", "tokens"),
    [
        (RESERVED, None, False, 1000),
        (RESERVED, 100, False, 1000),
        (RESERVED, None, True, 1008),  # 63 blocks of 16
        (PAGED, 100, False, 112),
        (PAGED, 5000, True, 1008),  # no more than the context
        (PAGED, None, True, 1008),
    ],
)
def test_kept_tokens(allocation, average, blocks, tokens):
    assert kept_tokens(1000, allocation, average, blocks=blocks) == tokens


def test_paged_needs_no_more_than_reserved():
    reserved = needs_of(workload("llama-3.1-70b"))
    paged = needs_of(workload("llama-3.1-70b", allocation=PAGED, average_tokens=4000))
    assert paged.kv_bytes == 327_680 * 4000 * 10
    assert paged.total_bytes < reserved.total_bytes


def test_engine_keeps_its_share_of_each_gpu():
    """The overhead of vLLM is what is left of the GPUs when weights and cache are in."""
    found = workload("llama-3.1-70b", engine=VLLM)
    needs = needs_of(found)
    assert needs.total_bytes <= needs.gpus * found.gpu.memory_bytes
    assert (needs.gpus - 1) * found.gpu.memory_bytes < needs.total_bytes


def test_layouts_of_nodes():
    assert [layout for layout in LAYOUTS if node_allows(layout, 8)] == list(LAYOUTS)
    assert [layout.gpus for layout in LAYOUTS if node_allows(layout, 4)] == [1, 2, 4]
    assert [layout.gpus for layout in LAYOUTS if node_allows(layout, 1)] == [1]
    assert nodes_of(LayoutShape(8, 2), 3, 8) == 6
    assert nodes_of(LayoutShape(2, 1), 5, 8) == 2


def test_engine_of_a_model_told_by_its_size_alone():
    with pytest.raises(PlannerError, match="size alone"):
        needs_of(workload("article-llama-70b", engine=VLLM))
    with pytest.raises(PlannerError, match="engine"):
        engine_named("tgi")


class TestOwnModel:
    def test_is_the_same_model_told_by_less(self):
        """Llama 3.1 8B and Gemma 3 27B by the figures of an own row; their config.json is in the catalog."""
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
                expected, found = layout_needs(known, layout), layout_needs(own, layout)
                if layout.pp == 1:
                    assert found.kv == expected.kv, (name, layout)
                assert found.parameters == -(-1_000_003 // layout.gpus)
