"""Replicas, GPU counts and their inverses."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import catalog
from core.checks import LIMITS
from core.engines.deployment import EngineSettings
from core.engines.parallelism import (
    check_pipeline_parallel,
    check_tensor_parallel,
    layers_by_stage,
    outer_on_rank,
    tensor_parallel_obstacle,
    tensors_on_rank,
)
from core.errors import OutOfRangeError
from core.model.feed_forward import GatedMlp, MoeMlp
from core.model.mixers import FullAttention
from core.model.parameters import layer_groups
from core.model.spec import LayerRun, ModelSpec
from core.plan.fleet import (
    LAYOUTS,
    MAX_GPUS,
    GpuChoice,
    Option,
    Replica,
    Service,
    capacity_of_replica,
    choice_of_gb,
    choice_of_gpu,
    gpus_by_division,
    gpus_to_deploy,
    groups_obstacle,
    largest,
    max_context,
    max_users,
    options,
    replicas_of,
    smallest,
    smallest_first,
    users_per_replica,
)
from core.plan.nodes import node_takes
from core.plan.serving import served_precision, service_of
from core.units import GB, GIB, MIB
from tests.core.engines.test_capacity import model

FP16 = catalog.precision("precision", "fp16")
ARTICLE = catalog.model("article-llama-70b").spec
LLAMA = catalog.model("llama-3.1-70b").spec
A100, H100 = (choice_of_gpu(catalog.gpu(name)) for name in ("A100 80GB", "h100"))
LONGEST = int(LIMITS["context"].most)


def served(spec=LLAMA, precision=FP16, overhead=None):
    return service_of(spec, precision, FP16, overhead)


# ---- the article's advice ----------------------------------------------------------------------------


def test_the_articles_one_user_by_division_and_deployed():
    """242 GB (246.4 without its rounding) ÷ 80 GB are four GPUs; four divide the node, so four are deployed."""
    assert gpus_by_division(242 * GB, 80) == 4
    assert gpus_to_deploy(served(ARTICLE, overhead=0.1), choice_of_gb(80), 1, 32_000) == 4


def test_the_real_model_with_one_user():
    """141 GB of weights and 10.5 GB of cache per user: two A100s serve one user, four serve ten."""
    best = min(options(served(), A100, 1, 32_000), key=smallest_first)
    assert (best.gpus, best.users_per_replica) == (2, 1)
    assert gpus_to_deploy(served(), A100, 2, 32_000) == 4
    assert max_users(served(), A100, 4, 32_000) > 10


def test_ten_users_of_the_real_model():
    best = min(options(served(), H100, 10, 32_768), key=smallest_first)
    assert (best.replica.tp, best.replica.pp, best.replicas, best.gpus, best.nodes) == (4, 1, 1, 4, 1)
    assert best.headroom == 1 - 10 / best.users_per_replica


def test_the_rule_by_hand():
    """Llama 3.1 70B, one user of 32 768 tokens, 10 %: (141.11 + 10.74) × 1.1 GB = 167 GB on two GPUs of 85.9 GB."""
    rule = served(overhead=0.1)
    two = Replica(A100, 2, 1)
    # Norms are on both ranks; 81 920 MiB ÷ 1.1 less half the weights has space for one half cache of 5 GiB.
    assert users_per_replica(rule, two, 32_768) == int((81_920 * MIB / 1.1 - 70.556e9) // (5 * GIB)) == 1
    assert gpus_to_deploy(rule, A100, 1, 32_768) == 2


# ---- layouts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "tp", "reason"),
    [
        ("llama-3.1-8b", 8, ""),
        ("llama-3.1-8b", 3, "3 does not divide the 32 attention heads"),
        ("qwen2.5-72b", 16, ""),
        ("deepseek-v3", 128, ""),  # 128 heads; 18 432 = 144 × 128 columns, 2048 = 16 × 128 of an expert
        ("deepseek-v3", 256, "256 does not divide the 128 attention heads"),
    ],
)
def test_tensor_parallel_sizes(name, tp, reason):
    spec = model(name)
    assert tensor_parallel_obstacle(spec, tp) == reason
    if reason:
        with pytest.raises(OutOfRangeError, match=f"tp: {reason}"):
            check_tensor_parallel(spec, tp)


@pytest.mark.parametrize(
    ("mlp", "expert_parallel", "reason"),
    [
        (GatedMlp(intermediate_size=9), False, ""),
        (GatedMlp(intermediate_size=10), False, "3 does not divide the 10 columns of the feed-forward block"),
        (GatedMlp(intermediate_size=10), True, "3 does not divide the 10 columns of the feed-forward block"),
        # With expert parallelism, experts are not divided.
        (MoeMlp(num_experts=4, num_experts_per_tok=2, moe_intermediate_size=10), False,
         "3 does not divide the 10 columns of the feed-forward block"),
        (MoeMlp(num_experts=4, num_experts_per_tok=2, moe_intermediate_size=10), True, ""),
    ],
)  # fmt: skip
def test_feed_forward_blocks_that_three_ranks_cannot_divide(mlp, expert_parallel, reason):
    attention = FullAttention(num_attention_heads=6, num_key_value_heads=6, head_dim=8)
    layers = (LayerRun(count=1, mixer=attention, mlp=mlp),)
    spec = ModelSpec(name="six heads", hidden_size=48, layers=layers, vocab_size=10)
    assert tensor_parallel_obstacle(spec, 3, expert_parallel) == reason


def test_more_stages_than_layers():
    with pytest.raises(OutOfRangeError, match="33 stages are more than the 32 layers"):
        check_pipeline_parallel(model("llama-3.1-8b"), 33)


@pytest.mark.parametrize(
    ("layers", "pp", "stages"), [(32, 3, (11, 11, 10)), (61, 2, (31, 30)), (62, 4, (15, 16, 16, 15))]
)
def test_uneven_stages(layers, pp, stages):
    """vLLM distributed/utils.py, get_pp_indices: the last stage has the fewest, then the first."""
    assert layers_by_stage(layers, pp) == stages


@pytest.mark.parametrize(
    ("expert_parallel", "shapes"),
    [
        # Experts divided: 2048 ÷ 8 columns of all 256. Expert parallel: 256 ÷ 8. The shared expert is always divided.
        (False, {"mlp.experts.down_proj": (7168, 256, 256), "mlp.shared_experts.down_proj": (7168, 256, 1)}),
        (True, {"mlp.experts.down_proj": (7168, 2048, 32), "mlp.shared_experts.down_proj": (7168, 256, 1)}),
    ],
)
def test_experts_on_a_rank(expert_parallel, shapes):
    """DeepSeek-V3 on eight ranks (vLLM --enable-expert-parallel)."""
    last = tensors_on_rank(layer_groups(model("deepseek-v3"))[-1].tensors, 8, expert_parallel)
    found = {tensor.name: (tensor.rows, tensor.columns, tensor.copies) for tensor in last}
    assert {name: found[name] for name in shapes} == shapes


def test_tensors_of_stages_outside_the_layers():
    """GPT-2 ties its head to the embedding, which is on the first and last stage; positions are only on the first, the
    final norm and its bias on the last. Llama's head is on the last."""
    gpt2, llama = catalog.model("gpt2").spec, model("llama-3.1-8b")

    def outer_tensors(model: ModelSpec, pp: int, stage: int) -> dict[str, int]:
        return {tensor.name: times for tensor, times in outer_on_rank(model, 1, pp, stage)}

    assert outer_tensors(gpt2, 3, 0) == {"embed_tokens": 1, "wpe": 1}
    assert outer_tensors(gpt2, 3, 1) == {}
    assert outer_tensors(gpt2, 3, 2) == {"embed_tokens": 1, "norm": 2}
    assert outer_tensors(llama, 2, 0) == {"embed_tokens": 1}
    assert outer_tensors(llama, 2, 1) == {"lm_head": 1, "norm": 1}


@pytest.mark.parametrize("node", [1, 2, 4, 8, 72])
def test_replicas_fill_nodes(node):
    gpu = GpuChoice("any", 80 * GB, node)
    replicas = replicas_of(LLAMA, gpu, "vllm")
    assert len(set(replicas)) == len(replicas)
    for replica in replicas:
        assert node % replica.gpus == 0 or replica.gpus % node == 0
        assert replica.nodes(1) == max(1, -(-replica.gpus // node))


@pytest.mark.parametrize(
    ("engine", "node", "expected"),
    [
        # Six heads and five layers. Of the menu's layouts those whose TP divides heads and node, and whose stages divide
        # a node evenly or have whole nodes, at most four; each stage has a layer.
        ("vllm", 4, {(1, 1), (1, 2), (1, 4), (2, 1), (2, 2)}),
        ("vllm", 6, {(1, 1), (1, 2), (1, 3), (2, 1), (2, 3)}),
        ("vllm", 1, {(1, 1), (1, 2), (1, 3), (1, 4)}),
        # llama.cpp distributes layers over any number of GPUs in one node.
        ("llama.cpp", 4, {(1, 1), (1, 2), (1, 3), (1, 4)}),
        ("llama.cpp", 8, {(1, 1), (1, 2), (1, 3), (1, 4), (1, 5)}),
    ],
)
def test_replicas_by_hand(engine, node, expected):
    attention = FullAttention(num_attention_heads=6, num_key_value_heads=6, head_dim=8)
    layers = (LayerRun(count=5, mixer=attention, mlp=GatedMlp(intermediate_size=12)),)
    spec = ModelSpec(name="six heads", hidden_size=48, layers=layers, vocab_size=10)
    gpu = GpuChoice("any", 80 * GB, node)
    assert {(replica.tp, replica.pp) for replica in replicas_of(spec, gpu, engine)} == expected


def test_a_replica_takes_at_most_four_nodes():
    assert max(replica.gpus for replica in replicas_of(model("llama-3.1-405b"), H100, "vllm")) == 32


def test_nodes_of_replicas():
    assert Replica(H100, 4, 1).nodes(3) == 2
    assert Replica(H100, 8, 2).nodes(3) == 6
    assert Replica(H100, 1, 1).nodes(8) == 1


def test_a_process_sees_less_memory_than_the_driver_reports():
    """Totals in vLLM's logs: H100 79.19 GiB, A100 79.25, H200 139.81, L4 22.07, RTX 4090 23.53."""
    logged = {"h100": 79.19, "A100 80GB": 79.25, "h200": 139.81, "l4": 22.07, "rtx-4090": 23.53}
    for name, gib in logged.items():
        shown = choice_of_gpu(catalog.gpu(name)).device.memory_bytes / GIB
        assert shown == pytest.approx(gib, abs=0.2)


def test_a_gpu_smaller_than_the_drivers_memory():
    assert GpuChoice("tiny", 100 * MIB).device.memory_bytes == 0


def test_rank():
    """Fewest GPUs; with equal GPUs, less memory, fewer nodes, fewer stages, fewer replicas, more headroom."""
    one = Option(replica=Replica(H100, 2, 1), replicas=2, users_per_replica=9, users=16)
    later = [
        replace(one, replicas=3, users=2),
        replace(one, replica=Replica(GpuChoice("larger", H100.memory_bytes + 1), 2, 1), users=2),
        replace(one, replica=Replica(replace(H100, gpus_per_node=2), 2, 1), users=2),
        replace(one, replica=Replica(H100, 1, 2), users=2),
        replace(one, replica=Replica(H100, 1, 1), replicas=4, users=2),
        replace(one, users=18),
    ]
    assert all(smallest_first(one) < smallest_first(other) for other in later)
    assert all(smallest([other, one]) is one for other in later)
    assert smallest([]) is None


def test_error_if_nothing_fits():
    with pytest.raises(OutOfRangeError, match="does not fit on any replica"):
        gpus_to_deploy(served(model("deepseek-v3")), choice_of_gb(8), 1, 32_768)


def test_options_have_a_limit_of_gpus():
    """Two A100s serve one user of 32 000 tokens: 60 000 users would need 120 000 GPUs, above the limit."""
    assert 2 in {option.gpus for option in options(served(), A100, 1, 32_000)}
    assert all(option.gpus <= 100_000 for option in options(served(), A100, 60_000, 32_000))
    assert not list(options(served(), A100, 10**8, 32_000))


# ---- precisions as served ----------------------------------------------------------------------------


def test_a_bare_name_is_served_with_its_scales():
    int4 = catalog.precision("precision", "int4")
    assert served_precision(LLAMA, int4).name == "w4a16"
    assert served_precision(LLAMA, FP16) is FP16
    assert served_precision(LLAMA, None) is None
    assert served_precision(model("deepseek-v3"), catalog.precision("precision", "fp8")) is None  # as shipped
    assert served_precision(model("deepseek-v3"), int4).name == "w4a16"  # half of the shipped size


def test_only_an_engine_uses_the_served_format():
    int4 = catalog.precision("precision", "int4")
    assert service_of(LLAMA, int4, FP16, 0.1).precision is int4
    assert service_of(LLAMA, int4, FP16, None).precision.name == "w4a16"
    by_size = service_of(ARTICLE, int4, FP16, None)
    assert (by_size.precision, by_size.overhead) == (int4, 0.1)


# ---- inverses ----------------------------------------------------------------------------------------

SERVICES = {
    "engine": served(),
    "rule": served(overhead=0.1),
    "small": served(model("llama-3.1-8b")),
    "size alone": served(ARTICLE),
    "windows": served(model("gemma-3-27b"), None),
    "latents": served(model("deepseek-v3"), None),
}
CASES = given(st.sampled_from(sorted(SERVICES)), st.sampled_from([A100, H100, choice_of_gb(24), choice_of_gb(192)]),
              st.integers(1, 64), st.integers(1, 100_000))  # fmt: skip


@settings(max_examples=40)
@CASES
def test_the_most_users_fit_and_one_more_does_not(name, gpu, gpus, context):
    service = SERVICES[name]
    users = max_users(service, gpu, gpus, context)
    if users:
        assert gpus_to_deploy(service, gpu, users, context) <= gpus
    try:
        needed = gpus_to_deploy(service, gpu, users + 1, context)
    except OutOfRangeError:
        return
    assert needed > gpus


@settings(max_examples=40)
@CASES
def test_the_longest_context_fits_and_one_more_does_not(name, gpu, gpus, users):
    service = SERVICES[name]
    context = max_context(service, gpu, gpus, users, LONGEST)
    if context:
        assert max_users(service, gpu, gpus, context) >= users
    if context < min(LONGEST, service.model.max_position_embeddings or LONGEST):
        assert max_users(service, gpu, gpus, context + 1) < users


@given(st.integers(0, 1000), st.integers(1, 1000))
def test_largest(threshold, most):
    assert largest(lambda value: value <= threshold, most) == min(threshold, most)


@settings(max_examples=40)
@CASES
def test_more_gpus_never_serve_fewer(name, gpu, gpus, context):
    service = SERVICES[name]
    assert max_users(service, gpu, gpus + 1, context) >= max_users(service, gpu, gpus, context)


@pytest.mark.parametrize(("per_node", "count"), [(8, 13), (4, 9), (1, 4), (6, 5)])
def test_the_menu_has_every_layout_that_nodes_take(per_node, count):
    """Nodes of 8, 4 and 1 take 13, 9 and 4 layouts with up to 16 stages; of 6: TP 1 and 2 with the stages that divide it."""
    found = [(tp, pp) for tp, pp in LAYOUTS if node_takes(tp, pp, per_node)]
    possible = [(tp, pp) for tp in (1, 2, 4, 8) for pp in range(1, 17) if node_takes(tp, pp, per_node)]
    assert set(found) <= set(possible) and len(found) == count
    if per_node != 6:
        assert set(found) == set(possible)


def test_cards_need_not_divide_their_node():
    """Six cards of a node of 8 serve as TP 2 × PP 3, and three as PP 3; a board is divided evenly."""
    layouts = {
        on_board: {(tp, pp) for tp, pp in LAYOUTS if node_takes(tp, pp, 8, on_board=on_board)}
        for on_board in (True, False)
    }
    assert layouts[False] - layouts[True] == {(2, 3), (1, 3)}
    card, board = (choice_of_gpu(catalog.gpu(name)) for name in ("rtx-pro-6000", "h100-sxm"))
    assert (card.on_board, board.on_board) == (False, True)
    assert Replica(card, 2, 3).nodes(2) == 2  # two cards of each node stay free


def test_above_the_most_gpus_the_reason_is_the_cap_and_the_remedy_works():
    service, gpu = served(model("llama-3.1-8b")), choice_of_gpu(catalog.gpu("h100"))
    with pytest.raises(OutOfRangeError, match="^users: 100,000,000 take .* GPUs, and 100,000 are the most") as caught:
        gpus_to_deploy(service, gpu, 100_000_000, 8192)
    most = int(re.search("at most ([0-9,]+),", caught.value.remedy)[1].replace(",", ""))
    assert gpus_to_deploy(service, gpu, most, 8192) <= MAX_GPUS
    with pytest.raises(OutOfRangeError):
        gpus_to_deploy(service, gpu, most + 1, 8192)


@settings(max_examples=25)
@given(
    st.sampled_from(["llama-3.1-8b", "llama-3.1-70b", "deepseek-v3", "gemma-3-27b", "qwen3-30b-a3b"]),
    st.sampled_from(["h100", "l4", "a100"]),
    st.integers(1, 3000),
    st.integers(1, 100_000),
    st.integers(1, 40),
)
def test_layouts_that_are_left_out_early_change_no_answer(name, card, users, context, gpus):
    service, gpu = served(model(name)), choice_of_gpu(catalog.gpu(card))
    found = [option.gpus for option in options(service, gpu, users, context)]
    if found:
        assert gpus_to_deploy(service, gpu, users, context) == min(found)
    limit = min(LIMITS["context"].most, service.model.max_position_embeddings)
    longest = [
        largest(
            lambda tokens, one=one: users_per_replica(service, one, tokens) >= -(-users // (gpus // one.gpus)), limit
        )
        for one in replicas_of(service.model, gpu, service.engine.name)
        if one.gpus <= gpus
    ]
    assert max_context(service, gpu, gpus, users, limit) == max(longest, default=0)


class TestGroupsOfAttention:
    """DeepSeek-V3 on H200: each of the groups has its own attention and cache, and all of them share the experts."""

    @staticmethod
    def service(groups: int | None, **changes) -> Service:
        spec = model("deepseek-v3")
        return replace(
            Service(
                model=spec, precision=None, kv_precision=catalog.cache_precision(spec, None),
                settings=EngineSettings(attention_dp=groups),
            ),
            **changes,
        )  # fmt: skip

    @pytest.mark.parametrize(("groups", "sizes"), [(2, {2, 4, 8}), (4, {4, 8}), (8, {8}), (3, set())])
    def test_a_replica_is_within_a_node_and_divided_by_the_groups(self, groups, sizes):
        gpu = choice_of_gpu(catalog.gpu("h200-sxm"))
        found = replicas_of(model("deepseek-v3"), gpu, "vllm", groups)
        assert {(replica.tp, replica.pp) for replica in found} == {(tp, 1) for tp in sizes}

    def test_each_group_serves_its_own_users(self):
        """As many in all as the engine counts for one group's GPU, times the groups."""
        gpu = choice_of_gpu(catalog.gpu("h200-sxm"))
        service, replica = self.service(8), Replica(gpu, 8, 1)
        found = capacity_of_replica(service, replica, 32_768)
        budget, block = found.budget, 61 * 576 * 2 * 16  # latents of 576 values in 16 bits, 61 layers, 16 tokens
        assert users_per_replica(service, replica, 32_768) == budget.kv.expected // block // (32_768 // 16) * 8

    def test_the_rule_knows_no_groups(self):
        gpu = choice_of_gpu(catalog.gpu("h200-sxm"))
        by_rule = [self.service(groups, overhead=0.1) for groups in (None, 8)]
        found = [[*options(service, gpu, 100, 32_768)] for service in by_rule]
        assert found[0] == found[1] and found[0]

    def test_the_reason_where_no_layout_has_the_groups(self):
        h200, spark = (choice_of_gpu(catalog.gpu(name)) for name in ("h200-sxm", "dgx-spark"))
        assert groups_obstacle(self.service(8), h200) == groups_obstacle(self.service(None), spark) == ""
        assert "a node of dgx-spark is not divided among 2 groups" in groups_obstacle(self.service(2), spark)
        dense = self.service(8, model=model("llama-3.1-70b"))
        assert groups_obstacle(dense, h200) == "llama-3.1-70b has no experts that 8 groups could share"
