"""Capacities compared with logs of engines, computed by hand, and their properties."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import catalog
from core.engines import llama_cpp, sglang, vllm
from core.engines.blocks import Blocks, CacheSpec, Group, blocks
from core.engines.capacity import capacity, users_that_fit
from core.engines.deployment import Deployment, Device, EngineSettings, Size, parse_version
from core.engines.shapes import stage_shapes
from core.errors import OutOfRangeError, UnsupportedModelError
from core.model.feed_forward import MoeMlp
from core.model.mixers import FullAttention, NoMixer, SlidingWindowAttention
from core.model.spec import LayerRun, ModelSpec
from core.readers.hf_config import spec_from_config
from core.units import GIB, MIB
from tools import accuracy, golden_tables
from tools.documents import with_parts

FP16 = catalog.precision("kv_precision", "fp16")
FP8 = catalog.precision("kv_precision", "fp8")
ENGINES = {engine.name: engine for engine in (vllm.ENGINE, sglang.ENGINE, llama_cpp.ENGINE)}
H100 = Device("h100-sxm", round(79.19 * GIB))
PARAMETERS = {row["model"]: row for row in golden_tables.rows("parameters")}
NINE = {row["model"]: row for row in golden_tables.rows("nine_models")}


def model(name):
    return spec_from_config(golden_tables.config((NINE | PARAMETERS)[name]), name=name)


LLAMA_8B = model("llama-3.1-8b")


def deployment(spec=LLAMA_8B, version="0.19", **given):
    """A deployment; engine settings may be given by their names."""
    given = {
        "precision": None,
        "kv_precision": FP16,
        "device": H100,
        "context": 8192,
        "memory_utilization": 0.95,
    } | given
    started = {setting.name: given.pop(setting.name) for setting in fields(EngineSettings) if setting.name in given}
    return Deployment(model=spec, version=parse_version(version), settings=EngineSettings(**started), **given)


# ---- logs --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs():
    return accuracy.runs()


# The median and largest error that the product promises for such runs; docs/accuracy.md has the table.
PROMISED = {
    "weights": (0.001, 0.016),
    "peak activation": (0.01, 0.04),
    "KV cache memory": (0.05, 0.25),
    "KV cache tokens": (0.001, 0.01),
    "maximum concurrency": (0.001, 0.01),
}


def test_the_errors_over_the_logged_runs_are_as_promised(runs):
    assert len(runs) == 41
    errors = {error.name: (error.median, error.worst) for error in accuracy.summary(runs)}
    assert errors.keys() == PROMISED.keys()
    for name, (median, worst) in PROMISED.items():
        assert errors[name][0] <= median, name
        assert errors[name][1] <= worst, name


def test_nearly_all_runs_are_within_the_stated_range(runs):
    assert sum(run.is_in_range for run in runs) >= 0.95 * len(runs)


def test_the_accuracy_table_is_up_to_date(runs):
    written = accuracy.DOCUMENT.read_text(encoding="utf-8")
    assert written == with_parts(written, accuracy.parts(runs)), "run make accuracy"


def test_llama_3_1_8b_under_0_31():
    """A log of vLLM 0.31 with its defaults on an A100 80 GB (79.25 GiB): 56.21 GiB, 460 496 tokens, 3.51 sequences."""
    found = capacity(
        vllm.ENGINE,
        deployment(version="0.31", device=Device("A100", round(79.25 * GIB)), context=131_072, memory_utilization=None),
    )
    assert found.budget.kv.expected / GIB == pytest.approx(56.21, abs=0.75)
    assert found.kv_tokens.low <= 460_496 <= found.kv_tokens.high
    assert found.max_concurrency.low <= 3.51 <= found.max_concurrency.high


def test_sglang_on_qwen3_235b():
    """vllm-project/vllm issue 21348: 4 × H100, --mem-fraction-static 0.93: 367 404 tokens."""
    found = capacity(
        sglang.ENGINE,
        deployment(model("qwen3-235b-a22b"), "0.4.9", tp=4, memory_utilization=0.93,
                   precision=catalog.precision("precision", "fp8_block")),
    )  # fmt: skip
    assert found.kv_tokens.expected == pytest.approx(367_404, rel=0.03)
    assert found.kv_tokens.low <= 367_404 <= found.kv_tokens.high


@pytest.mark.parametrize(
    ("name", "tp", "context", "concurrency_per_gib"),
    [
        # gpt-oss-120b: 18 layers per group; 8192 blocks for all tokens and ⌈(127 + 8192) ÷ 16⌉ + 1 = 521 for a window.
        ("gpt-oss-120b", 1, 131_072, GIB / (18 * 8 * 64 * 2 * 2 * 16 * (8192 + 521))),
        # Gemma 3 27B: 62 layers, 10 of them with full attention: 1 + 6 groups of 10.
        ("gemma-3-27b", 1, 8192, GIB / (10 * 16 * 128 * 2 * 2 * 16 * (512 + 6 * 513))),
    ],
)
def test_hybrids_by_hand(name, tp, context, concurrency_per_gib):
    start = deployment(model(name), tp=tp, context=context, device=Device("H200", 140 * GIB))
    found = capacity(vllm.ENGINE, start)
    left_gib = found.budget.kv.expected / GIB
    assert found.max_concurrency.expected == pytest.approx(left_gib * concurrency_per_gib, rel=1e-3)


def test_a_requested_format_applies_if_matrices_are_unknown():
    """A model without known feed-forward blocks: it is unknown which matrices are in 16 bits."""
    unknown = replace(LLAMA_8B, layers=tuple(replace(run, mlp=None, complete=False) for run in LLAMA_8B.layers))
    fp8, int4 = (catalog.precision("precision", name) for name in ("fp8", "int4"))
    assert [stage_shapes(unknown, requested, 1, 1)[0].quantized for requested in (None, FP16, fp8, int4)] == [
        False,
        False,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("full", "windowed", "groups"),
    [
        # vLLM v1/core/kv_cache_utils.py: groups have the size of the commonest kind if that is less than 1.5 times the
        # rarest, else of the rarest.
        (4, 5, [4, 5]),
        (4, 6, [4, 3, 3]),
        (2, 7, [2, 2, 2, 2, 1]),
    ],
)
def test_groups_of_layers_by_hand(full, windowed, groups):
    attention = {"num_attention_heads": 1, "num_key_value_heads": 1, "head_dim": 8}
    layers = (
        LayerRun(count=full, mixer=FullAttention(**attention)),
        LayerRun(count=windowed, mixer=SlidingWindowAttention(**attention, sliding_window=32)),
    )
    found = blocks(ModelSpec(name="test", hidden_size=8, layers=layers), FP16, 1, 1, (0, 19, 0))
    assert [group.layers[0] for group in found.groups] == groups
    assert found.block_bytes == (max(groups) * 16 * (8 + 8) * 2,)


@pytest.mark.parametrize(
    ("window", "context", "in_flight", "count"),
    [
        (0, 1000, 64, 63),  # 62.5
        (16, 1000, 1, 2),  # the window with the token in the step: 15 + 1, and a block, as it can begin inside one
        (16, 1000, 2, 3),
        (128, 1000, 8192, 64),  # at most the context
    ],
)
def test_blocks_of_a_sequence_by_hand(window, context, in_flight, count):
    """vLLM v1/kv_cache_interface.py, max_memory_usage_bytes: ⌈min(window − 1 + tokens of a step, context) ÷ 16⌉ + 1."""
    assert Group(CacheSpec(bytes_per_token=1, window=window), 16, (1,)).blocks(context, in_flight) == count


def test_a_state_is_one_block_at_any_context():
    assert Group(CacheSpec(state_bytes=5), 16, (1,)).blocks(10**6, 8192) == 1


def test_layers_without_a_cache_need_no_memory():
    nothing = ModelSpec(name="test", hidden_size=8, layers=(LayerRun(count=4, mixer=NoMixer()),))
    assert blocks(nothing, FP16, 1, 2, (0, 19, 0)) == Blocks((Group(CacheSpec(), 16, (0, 0)),), (1, 1))


def test_deepseek_v3_on_eight_h200():
    """Latents are complete on every rank: 70 272 bytes per token on each GPU, about 20 users of 32 768 tokens."""
    h200 = Device("h200-sxm", round(139.81 * GIB))
    found = capacity(vllm.ENGINE, deployment(model("deepseek-v3"), "0.31", tp=8, context=32_768, device=h200,
                                             memory_utilization=None))  # fmt: skip
    assert found.kv_bytes_per_token == 70_272
    assert found.budget.weights.expected / GIB == pytest.approx(79.3, abs=0.3)  # 671 GB ÷ 8, and replicated tensors
    assert found.max_users.low <= 20 <= found.max_users.high
    assert 19 <= found.max_concurrency.expected <= 22


# ---- terms by hand -----------------------------------------------------------------------------------


def test_the_budget_of_llama_3_1_8b_by_hand():
    budget = capacity(vllm.ENGINE, deployment()).budget
    assert budget.usable_bytes == -(-round(79.19 * GIB) * 95 // 100)
    sampling = 1024 * 128_256 * 14 + 132 * 128_256 * 4 + (8192 + 2 * 1024) * 4096 * 2
    assert budget.activation.expected == sampling + 32 * MIB
    assert budget.kv.expected == (
        budget.usable_bytes - budget.weights.expected - budget.activation.expected - budget.other.expected
    )
    assert not budget.graphs_are_subtracted


def test_graphs_are_subtracted_from_0_20():
    before, after = (capacity(vllm.ENGINE, deployment(version=version)).budget for version in ("0.19", "0.20"))
    assert (before.graphs_are_subtracted, after.graphs_are_subtracted) == (False, True)
    assert before.kv.expected > after.kv.expected


@pytest.mark.parametrize(
    ("version", "utilization"), [("0.3", 0.9), ("0.11.0", 0.9), ("0.19.1", 0.9), ("0.20", 0.92), ("0.31.0", 0.92)]
)
def test_default_utilization(version, utilization):
    assert vllm.default_memory_utilization(parse_version(version)) == utilization


@pytest.mark.parametrize(
    ("version", "gpu", "gib", "context", "tokens", "sequences"),
    [
        ("0.19", "H100", 79.19, 8192, 8192, 1024),  # engine/arg_utils.py, get_batch_defaults
        ("0.19", "A100-SXM4-80GB", 79.25, 8192, 2048, 256),
        ("0.19", "L4", 22.07, 8192, 2048, 256),
        ("0.19", "B200", 178, 8192, 8192, 1024),
        ("0.31", "B200", 178, 8192, 16_384, 1024),
        ("0.6.5", "H100", 79.19, 8192, 8192, 256),  # without chunks: a whole prompt
        ("0.6.5", "H100", 79.19, 32_768, 32_768, 256),
        ("0.6.5", "H100", 79.19, 32_769, 2048, 256),  # above 32K in chunks
        ("0.6.5", "H100", 79.19, 131_072, 2048, 256),
        ("0.4.3", "T4", 14.58, 65_536, 65_536, 256),  # not yet in chunks
    ],
)
def test_the_largest_step(version, gpu, gib, context, tokens, sequences):
    step = vllm.largest_step(deployment(version=version, device=Device(gpu, round(gib * GIB)), context=context))
    assert (step.tokens, step.sequences) == (tokens, sequences)


def test_early_versions_count_freed_memory():
    """507 blocks of 16 tokens on two T4 (vllm-project/vllm issue 5248), with the model's own context of 65,536."""
    found = capacity(vllm.ENGINE, deployment(model("deepseek-coder-6.7b"), "0.4.3", tp=2, context=65_536,
                                             memory_utilization=0.9, device=Device("T4", round(14.58 * GIB), 7.5)))  # fmt: skip
    assert found.kv_tokens.low <= 507 * 16 <= found.kv_tokens.high
    later = capacity(vllm.ENGINE, deployment(model("deepseek-coder-6.7b"), "0.6.4", tp=2, context=16_384,
                                             device=Device("T4", round(14.58 * GIB), 7.5)))  # fmt: skip
    assert later.budget.activation.high == pytest.approx(1.12 * later.budget.activation.expected, rel=0.001)


LATENT = stage_shapes(model("deepseek-v3"), None, 8, 1)[0]


def test_shapes_of_stages_by_hand():
    """DeepSeek-V3 on 8 × 2 GPUs: three dense layers of 18 432 columns in the first stage, then 8 of 256 experts of 2048
    and a shared one; latents unfold into 128 heads of 128 + 128. Mixtral: 2 experts of 14 336, without a shared one.
    """
    first, second = stage_shapes(model("deepseek-v3"), None, 8, 2)
    assert (first.layers, first.is_first, first.vocab_size, first.mlp_width, first.mlp_copies) == (31, True, 0, 2304, 3)
    assert (second.layers, second.is_first, second.vocab_size) == (30, False, 129_280)
    assert (second.mlp_width, second.mlp_copies) == (256, 3)
    for stage in (first, second):
        assert (stage.experts_per_token, stage.expert_width, stage.expert_input) == (8, 256, 7168)
        assert (stage.latent_width, stage.bytes_per_value, stage.quantized) == (16 * 256, 2, True)
    (mixtral,) = stage_shapes(model("mixtral-8x7b"), None, 2, 1)
    assert (mixtral.mlp_width, mixtral.mlp_copies, mixtral.latent_width, mixtral.quantized) == (0, 0, 0, False)
    assert (mixtral.experts_per_token, mixtral.expert_width, mixtral.expert_input) == (2, 7168, 4096)
    (whole,) = stage_shapes(model("mixtral-8x7b"), None, 2, 1, expert_parallel=True)
    assert whole.expert_width == 14_336


def test_shapes_of_dense_models_by_hand():
    """Llama 3.1 8B on three stages of two: gate, up and their product, 14 336 ÷ 2 wide. GPT-2: up and its activation,
    3072 wide."""
    for stage in stage_shapes(LLAMA_8B, None, 2, 3):
        assert (stage.mlp_width, stage.mlp_copies) == (7168, 3)
        assert (stage.experts_per_token, stage.expert_width, stage.expert_input, stage.latent_width) == (0, 0, 0, 0)
    (gpt2,) = stage_shapes(catalog.model("gpt2").spec, None, 3, 1)
    assert (gpt2.mlp_width, gpt2.mlp_copies) == (1024, 2)


def test_the_widest_mixture_has_the_most_columns_per_token():
    attention = FullAttention(num_attention_heads=1, num_key_value_heads=1, head_dim=8)
    mixtures = (
        MoeMlp(num_experts=16, num_experts_per_tok=8, moe_intermediate_size=100),  # 800 columns
        MoeMlp(num_experts=16, num_experts_per_tok=1, moe_intermediate_size=200),
    )
    layers = tuple(LayerRun(count=1, mixer=attention, mlp=mlp) for mlp in mixtures)
    (found,) = stage_shapes(ModelSpec(name="test", hidden_size=8, layers=layers, vocab_size=10), None, 1, 1)
    assert (found.experts_per_token, found.expert_width) == (8, 100)


def test_the_format_of_activations_is_that_of_the_middle_layer():
    """DeepSeek-V2-Lite with one dense layer and one mixture, of which only the experts are stored in MXFP4."""
    cut = golden_tables.config(PARAMETERS["deepseek-v2-lite"]) | {"num_hidden_layers": 2}
    experts_only = replace(catalog.precision("precision", "mxfp4"), groups=frozenset({"expert"}))
    (found,) = stage_shapes(spec_from_config(cut, name="cut"), experts_only, 1, 1)
    assert not found.expert_workspace


@pytest.mark.parametrize(
    ("step", "context", "tokens"),
    [
        # vLLM mla_attention.py: eight contexts, at least four blocks of each sequence, at most 65 536 tokens.
        ((2048, 256), 1000, 4 * 256 * 16),
        ((2048, 256), 4000, 32_000),
        ((2048, 256), 131_072, 65_536),
        ((8192, 1024), 100, 65_536),
    ],
)
def test_latents_unfolded_by_hand(step, context, tokens):
    """DeepSeek-V3 on eight GPUs: 16 heads of 128 + 128 values per token, and four hidden states of 7168 for the step."""
    expected = (tokens * 16 * 256 + 4 * step[0] * 7168) * 2
    largest = vllm.largest_step(deployment(max_batched_tokens=step[0], max_sequences=step[1]))
    assert vllm.latent_peak_bytes(LATENT, largest, context) == expected


# Logged GiB outside PyTorch, smallest and largest; `vllm.other_bytes` names the logs.
@pytest.mark.parametrize(
    ("version", "gpus", "gpu", "name", "least", "most"),
    [
        ("0.6.5", (1, 1), "H100", "llama-3.1-8b", 0.35, 1.79),
        ("0.6.6", (1, 1), "H100", "llama-3.1-8b", 0.02, 0.16),
        ("0.11", (1, 1), "H100", "llama-3.1-8b", 0.02, 0.16),
        ("0.9.2", (1, 1), "MI300X", "llama-3.1-8b", 0.66, 0.66),
        ("0.19", (1, 1), "H100", "llama-3.1-8b", 0.24, 0.46),
        ("0.31", (1, 1), "A100", "llama-3.1-8b", 0.26, 0.26),
        ("0.19", (1, 2), "H100", "llama-3.1-8b", 0.07, 0.2),
        ("0.7.3", (2, 1), "H100", "llama-3.1-8b", 0.2, 0.2),
        ("0.11", (2, 1), "H100", "llama-3.1-8b", 0.54, 0.55),
        ("0.10.1", (4, 1), "A100", "llama-3.1-8b", 0.14, 0.2),
        ("0.11", (4, 1), "H100", "mixtral-8x7b", 1.4, 2.4),
        ("0.10.0", (8, 1), "H100", "llama-3.1-8b", 1.4, 2.4),
        ("0.19", (2, 1), "H100", "llama-3.1-8b", 2.06, 2.13),
        ("0.28", (4, 1), "H100", "mixtral-8x7b", 0.6, 0.95),
    ],
)
def test_memory_outside_pytorch_is_as_logged(version, gpus, gpu, name, least, most):
    start = deployment(model(name), version, tp=gpus[0], pp=gpus[1], device=Device(gpu, H100.memory_bytes))
    found = vllm.budgets(start)[0].other
    assert 0 < found.low / GIB <= least <= most <= found.high / GIB
    assert least - 0.1 <= found.expected / GIB <= most + 0.1


def test_graphs_are_as_logged(runs):
    """Up to 0.19 about 0.3 GiB and 17 MiB per layer; from 0.20 0.49 to 1.2 GiB (Llama-3.1-8B, A100, 0.31)."""
    logged = [(run.figure("cuda_graph_gib") * GIB, run.budget.graphs) for run in runs]
    assert sum(size.low <= graphs <= size.high for graphs, size in logged) >= 0.95 * len(logged)
    errors = sorted(abs(graphs / size.expected - 1) for graphs, size in logged)
    assert errors[len(errors) // 2] <= 0.11
    for version in ("0.20", "0.31"):
        later = vllm.budgets(deployment(version=version))[0].graphs
        assert later.low / GIB <= 0.49 <= later.expected / GIB <= 1.2 <= later.high / GIB


def test_logged_size_of_a_hybrid_cache():
    """Gemma 3 27B with 8192 tokens: seven groups; a sequence has 512 + 6 × 513 blocks. Up to 0.20 the log prints the
    tokens of one group, from 0.21 whole sequences × their length."""
    before, after = (vllm.pool(deployment(model("gemma-3-27b"), version)) for version in ("0.20", "0.21"))
    assert before.blocks_per_sequence(8192) == after.blocks_per_sequence(8192) == 3590
    assert before.logged_tokens(7000, 8192) == 1000 * 16
    assert after.logged_tokens(7180, 8192) == 2 * 8192


def test_pipeline_stages_have_the_blocks_of_the_fullest_stage():
    one, two = (capacity(vllm.ENGINE, deployment(pp=pp)) for pp in (1, 2))
    assert two.kv_bytes_per_token == one.kv_bytes_per_token / 2
    assert two.kv_tokens.expected > 2 * one.kv_tokens.expected
    uneven = capacity(vllm.ENGINE, deployment(pp=3))  # 32 layers: 11, 11, 10
    assert uneven.kv_bytes_per_token == 11 * 8 * 128 * 2 * 2


def test_the_stage_with_the_fewest_blocks_decides():
    """32 layers on three stages: 11, 11, 10. The last has the head and samples, so it has the least memory, but also one
    layer less: the first, which has the embedding, is full first."""
    found = capacity(vllm.ENGINE, deployment(pp=3))
    stages = vllm.budgets(found.deployment)
    assert [round(stage.kv.expected / GIB, 1) for stage in stages] == [68.5, 69.5, 68.1]
    assert found.budget == stages[0]


def test_kv_heads_are_copied_where_there_are_more_ranks():
    sixteen = capacity(vllm.ENGINE, deployment(tp=16))
    assert sixteen.kv_bytes_per_token == capacity(vllm.ENGINE, deployment(tp=8)).kv_bytes_per_token == 32 * 128 * 2 * 2


def test_paged_sequences_take_whole_blocks():
    start = deployment(max_sequences=10_000)
    users = {tokens: users_that_fit(vllm.ENGINE, start, tokens) for tokens in (1600, 1601, 1616, 1617)}
    assert users[1601] == users[1616] < users[1600]
    assert users[1617] < users[1616]
    assert users_that_fit(vllm.ENGINE, start) == capacity(vllm.ENGINE, start).max_users.expected < users[1617]


def test_users_are_at_most_the_engines_sequences():
    assert users_that_fit(vllm.ENGINE, deployment(max_sequences=7)) == 7


def test_llama_cpp_computes_in_the_buffer_that_it_logs():
    """Llama-3-8B, 512 tokens per micro-batch: "CUDA0 compute buffer size = 258.50 MiB"."""
    budget = capacity(llama_cpp.ENGINE, deployment(model("llama-3-8b"), "b6325", memory_utilization=None)).budget
    assert budget.activation.expected == 258.5 * MIB


def test_llama_cpps_buffer_of_a_mixture_by_hand():
    """Mixtral, first of two GPUs: two experts' gates, ups (2 × 14 336) and inputs (4096), and three hidden states."""
    first, _ = llama_cpp.budgets(deployment(model("mixtral-8x7b"), "b6325", pp=2, memory_utilization=None))
    assert first.activation.expected == 512 * (2 * (2 * 14_336 + 4096) + 3 * 4096) * 4
    assert (first.usable_bytes, first.graphs.expected) == (H100.memory_bytes, 0)
    assert first.kv.expected == first.usable_bytes - sum(
        size.expected for size in (first.weights, first.activation, first.other)
    )


def test_llama_cpps_buffer_without_flash_attention():
    """Qwen3-32B at 40 960 tokens: "CUDA0 compute buffer size = 5252.00 MiB": 64 heads' scores and a mask, and twice
    64 × 128 queries and 5120 hidden values."""
    spec = catalog.model("qwen3-32b").spec
    assert llama_cpp.attention_buffer_bytes(spec, 40_960, 512) == 5252 * MIB
    before = deployment(spec, "b6324", context=40_960, memory_utilization=None)
    assert llama_cpp.budgets(before)[0].activation.expected == 5252 * MIB
    assert llama_cpp.budgets(replace(before, version=(6325, 0, 0)))[0].activation.expected < 400 * MIB


def test_llama_cpps_cells_by_hand():
    """Gemma 3 27B, 8192 bytes per layer and token: 10 layers cache the context in multiples of 256 cells, 52 the window
    and a micro-batch: 1024 + 512."""
    start = deployment(model("gemma-3-27b"), "b6325", context=32_768)
    pool = llama_cpp.pool(start)
    assert pool.blocks_per_sequence(32_768) == 8192 * (10 * 32_768 + 52 * 1536)
    assert pool.blocks_per_sequence(1000) == 8192 * 62 * 1024
    cells = pool.blocks_per_sequence(32_768 + 256) - pool.blocks_per_sequence(32_768)
    assert pool.bytes_per_token == cells / 256 == 8192 * 10
    assert pool.logged_tokens(8192 * 10 * 77, 32_768) == 77
    two = llama_cpp.pool(replace(start, pp=2))  # 31 layers each; every sixth layer has full attention: 5 in each stage
    assert two.block_bytes == (1, 1)
    assert two.blocks_per_sequence(32_768) == 8192 * (5 * 32_768 + 26 * 1536)


def test_the_fullest_of_llama_cpps_gpus_decides():
    """32 layers of 4096 bytes per token over five GPUs: 6, 6, 7, 7 and 6."""
    pool = llama_cpp.pool(deployment(pp=5, version="b6325"))
    assert (pool.blocks_per_sequence(256), pool.bytes_per_token) == (7 * 4096 * 256, 7 * 4096)


def test_llama_cpps_pool_with_states_only():
    """Falcon Mamba 7B: 64 states of 8192 × (3 × 2 + 16 × 4) bytes at any context; logged in whole sequences."""
    pool = llama_cpp.pool(deployment(model("falcon-mamba-7b"), "b6325", context=1000))
    state = 64 * 8192 * (3 * 2 + 16 * 4)
    assert (pool.blocks_per_sequence(1000), pool.blocks_per_sequence(5000), pool.bytes_per_token) == (state, state, 0)
    assert pool.logged_tokens(3 * state + 1, 1000) == 3000


def test_sglangs_static_share_of_an_h100():
    """Chunks of 8192: 512 + 8192 × 1.5 + 1024 ÷ 8 + 256 × 2 MiB of 81 091 are not in the static share."""
    start = deployment(version="0.5", memory_utilization=None)
    assert sglang.static_share(start) == round(1 - (512 + 12_288 + 128 + 512) / (79.19 * 1024), 3)
    assert sglang.static_share(replace(start, version=parse_version("0.4.6"), tp=4)) == 0.85


@pytest.mark.parametrize(
    ("gib", "tp", "tokens", "batch"),
    [
        # SGLang srt/arg_groups/memory_hook.py, the tokens of a chunk and the largest batch of CUDA graphs: T4; 4090,
        # L40S; H100, H200; B200.
        (15, 1, 2048, 8), (15, 8, 2048, 8),
        (20, 1, 4096, 48), (24, 3, 4096, 48), (24, 4, 4096, 160),
        (35, 1, 4096, 32), (48, 3, 4096, 32), (48, 4, 4096, 160),
        (60, 1, 8192, 256), (80, 3, 8192, 256), (80, 4, 8192, 512), (140, 2, 8192, 256),
        (160, 1, 16_384, 512), (180, 8, 16_384, 512),
    ],
)  # fmt: skip
def test_sglangs_steps(gib, tp, tokens, batch):
    assert sglang.step_defaults(Device("any", gib * GIB), tp) == (tokens, batch)


@pytest.mark.parametrize(
    ("gib", "settings", "reserved_mib"),
    [
        # The same file: 512, 1.5 per token (at least 2048 tokens), 1024 per eight GPUs, and 2 per sequence of the batch.
        (48, {}, 512 + 1.5 * 4096 + 128 + 2 * 32),
        (48, {"tp": 2}, 512 + 1.5 * 4096 + 256 + 2 * 32),
        (48, {"max_batched_tokens": 1000}, 512 + 1.5 * 2048 + 128 + 2 * 32),
        (4, {"max_batched_tokens": 1000}, 512 + 1.5 * 2048 + 128 + 2 * 8),
        (15, {"tp": 8, "pp": 8}, 512 + 1.5 * 2048 + 8 * 1024 + 2 * 8),
        (60, {"max_batched_tokens": 2048}, 512 + 1.5 * 2048 + 128 + 2 * 256),
        (61, {"max_batched_tokens": 2048}, 10 * 1024),  # above 60 GiB at least 10
        (80, {"tp": 8, "pp": 2}, 512 + 1.5 * 8192 + 2048 + 2 * 512),
    ],
)
def test_sglangs_static_share_by_hand(gib, settings, reserved_mib):
    start = deployment(version="0.5", device=Device("any", gib * GIB), **{"memory_utilization": None} | settings)
    assert sglang.static_share(start) == round(1 - reserved_mib / (gib * 1024), 3)


@pytest.mark.parametrize(
    ("tp", "share"), [(1, 0.88), (2, 0.87), (3, 0.87), (4, 0.85), (7, 0.85), (8, 0.81), (15, 0.81), (16, 0.79)]
)
def test_sglangs_static_share_before_0_4_8(tp, share):
    """srt/server_args.py of those versions: only by the tensor parallel size."""
    assert sglang.static_share(deployment(version="0.4.7", tp=tp, memory_utilization=None)) == share


def test_sglangs_budget_by_hand():
    """H100: 0.6 GiB are used before weights load; a tenth of the rest is for graphs, 2 MiB for each of 256 batches, and
    activations. The weights are logged as 0.2 GiB more than their tensors."""
    (budget,) = sglang.budgets(deployment(version="0.5", memory_utilization=0.9))
    left = round((H100.memory_bytes - round(0.6 * GIB)) * 0.1)
    assert budget.graphs == Size(512 * MIB, 512 * MIB, 512 * MIB)
    assert budget.activation == Size(*[left - 512 * MIB] * 3)
    (same,) = vllm.budgets(deployment())
    assert budget.weights.expected == same.weights.expected + round(0.2 * GIB)
    assert (budget.weights.low, budget.weights.high) == (same.weights.low, same.weights.low + round(0.45 * GIB))
    assert budget.kv.expected == H100.memory_bytes - round(0.6 * GIB) - left - budget.weights.expected
    (several, *_) = sglang.budgets(deployment(version="0.5", memory_utilization=0.9, tp=2))
    assert several.other.expected == round(1.6 * GIB)


def test_sglang_without_graphs():
    """What is not static is for activations alone."""
    (eager,) = sglang.budgets(deployment(version="0.5", memory_utilization=0.9, eager=True))
    assert eager.graphs == Size(0, 0, 0)
    assert eager.activation == Size(*[round((H100.memory_bytes - round(0.6 * GIB)) * 0.1)] * 3)


def test_sglangs_pools_of_windows_by_hand():
    """Gemma 3 27B: the windows' pool has 0.8 times the tokens, so short sequences need 1 ÷ 0.8 slots per token."""
    pool = sglang.pool(deployment(model("gemma-3-27b"), "0.5"))
    assert pool.block_bytes == (10 * 8192 + round(0.8 * 52 * 8192),)
    assert [pool.blocks_per_sequence(context) for context in (1000, 1024, 1280, 32_768)] == [1250, 1280, 1280, 32_768]
    assert (pool.bytes_per_token, pool.logged_tokens(77, 1000)) == (10 * 8192, 77)


def test_sglangs_pools_of_states_by_hand():
    """Qwen3-Next: states get 0.9 of the memory of keys and values, so 24 576 bytes per token count 1.9 times."""
    pool = sglang.pool(deployment(model("qwen3-next-80b"), "0.5"))
    assert pool.block_bytes == (1,)
    assert pool.blocks_per_sequence(32_768) == 1_530_082_100  # 24 576 × 32 768 × 1.9 = 1 530 082 099.2
    states = 36 * (2_097_152 + 49_152)
    assert pool.blocks_per_sequence(1) == pytest.approx(states * 1.9 / 0.9, abs=1)
    assert pool.logged_tokens(round(1.9 * 24_576 * 1000) + 1, 32_768) == 1000
    assert pool.bytes_per_token == 24_576


def test_llama_cpp_with_a_model_of_known_size_only():
    """140 × 10⁹ bytes of the article over three GPUs, rounded up."""
    start = deployment(catalog.model("article-llama-70b").spec, "b6325", pp=3, precision=FP16)
    assert llama_cpp.weights_by_stage(start) == (46_666_666_667,) * 3


# ---- GPUs before Ampere ------------------------------------------------------------------------------

V100, A100_80 = Device("v100", 32 * GIB, 7.0), Device("a100", 32 * GIB, 8.0)


@pytest.mark.parametrize(
    ("version", "capability", "older"),
    [
        ("0.7.3", 9.0, True),
        ("0.8.0", 9.0, False),
        ("0.8.0", None, False),  # of another maker, or not known
        ("0.8.0", 7.0, True),
        ("0.10.1.1", 7.5, True),
        ("0.10.2", 7.5, False),  # pull requests 23614 and 24022
        ("0.31", 7.0, False),
    ],
)
def test_which_core_runs(version, capability, older):
    assert vllm.runs_older_core(parse_version(version), capability) is older


def test_a_gpu_before_ampere_has_the_budget_of_the_older_core():
    """A step of the older core computes a whole prompt of up to 32 768 tokens; a step of the newer one is smaller."""
    old, fallen, new = (
        capacity(vllm.ENGINE, deployment(version=version, device=device, context=16_384))
        for version, device in (("0.7.3", V100), ("0.9.2", V100), ("0.9.2", A100_80))
    )
    assert (fallen.budget, fallen.kv_tokens) == (old.budget, old.kv_tokens)
    assert fallen.max_sequences == 256
    assert fallen.budget.activation.expected > new.budget.activation.expected
    late = [capacity(vllm.ENGINE, deployment(version="0.31", device=device)) for device in (V100, A100_80)]
    assert late[0].kv_tokens == late[1].kv_tokens


# ---- invalid input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("0.19", (0, 19, 0)),
        ("v0.11.0", (0, 11, 0)),
        ("v0.8.5.post1", (0, 8, 5)),
        ("b6325", (6325, 0, 0)),
        ("6325", (6325, 0, 0)),
        # As engines logged them.
        ("0.10.1.1", (0, 10, 1)),
        ("0.9.2+rocm641", (0, 9, 2)),
        ("0.19.2rc1.dev134+gfe9c3d6c5", (0, 19, 2)),
        ("0.6.4.dev9+g5d264f4a", (0, 6, 4)),
        ("0.14.0rc1.dev2+g7d9f6663a.d20260121", (0, 14, 0)),
    ],
)
def test_versions(text, version):
    assert parse_version(text) == version


@pytest.mark.parametrize("text", ["", "newest", "0.19.x", "19,0", "0.19+", "0.19 rc1", "0.1.2.3.4.5", "-0.19"])
def test_invalid_versions(text):
    with pytest.raises(OutOfRangeError, match="engine_version"):
        parse_version(text)


def test_a_model_of_known_size_only_has_no_budget():
    with pytest.raises(UnsupportedModelError):
        capacity(vllm.ENGINE, deployment(catalog.model("article-llama-70b").spec))


# ---- properties --------------------------------------------------------------------------------------

MODELS = ["llama-3.1-8b", "deepseek-v3", "gemma-3-27b", "gpt-oss-120b", "qwen3-next-80b", "mixtral-8x7b"]
SPECS = {name: model(name) for name in MODELS}
VERSIONS = {"vllm": ["0.6.5", "0.11", "0.19", "0.21", "0.31"], "sglang": ["0.4", "0.5"], "llama.cpp": ["b6325"]}


@st.composite
def deployments(draw):
    name = draw(st.sampled_from(sorted(ENGINES)))
    return ENGINES[name], deployment(
        SPECS[draw(st.sampled_from(MODELS))],
        draw(st.sampled_from(VERSIONS[name])),
        device=Device("any", draw(st.integers(1, 400)) * GIB),
        tp=1 if name == "llama.cpp" else draw(st.sampled_from([1, 2, 4, 8])),
        pp=draw(st.integers(1, 4)),
        context=draw(st.integers(1, 200_000)),
        memory_utilization=draw(st.sampled_from([None, 0.5, 0.95])),
    )


@settings(deadline=None)
@given(deployments())
def test_expected_figures_are_within_their_range(case):
    engine, start = case
    found = capacity(engine, start)
    for figure in (found.budget.kv, found.budget.activation, found.kv_tokens, found.max_concurrency, found.max_users):
        assert 0 <= figure.low <= figure.expected <= figure.high
    assert found.max_users.expected == min(found.max_concurrency.expected // 1, found.max_sequences)


@settings(deadline=None)
@given(deployments(), st.integers(1, 100))
def test_more_memory_never_holds_less(case, more_gib):
    engine, start = case
    roomier = replace(start, device=Device("any", start.device.memory_bytes + more_gib * GIB))
    steps = [vllm.largest_step(each) for each in (start, roomier)]
    if engine is vllm.ENGINE and steps[0] != steps[1]:
        return  # larger GPUs have larger steps, which may need more than the added memory
    if engine is sglang.ENGINE and sglang.step_defaults(start.device, start.tp) != sglang.step_defaults(
        roomier.device, start.tp
    ):
        return
    assert capacity(engine, roomier).budget.kv.expected >= capacity(engine, start).budget.kv.expected - 10 * MIB


@settings(deadline=None)
@given(deployments(), st.integers(1, 1000))
def test_users_are_the_most_that_fit(case, more):
    """That number of users fits into the cache, and one more does not, or is more than the engine runs at once."""
    engine, start = case
    found, pool = capacity(engine, start), engine.pool(start)
    room = pool.blocks(tuple(budget.kv.expected for budget in engine.budgets(start)))
    each = pool.blocks_per_sequence(start.context)
    users = found.max_users.expected
    assert users * each <= room and users <= found.max_sequences
    assert room < (users + 1) * each or users == found.max_sequences
    assert pool.blocks_per_sequence(start.context + more) >= each


@settings(deadline=None)
@given(deployments())
def test_an_fp8_cache_has_at_least_as_many_users(case):
    engine, start = case
    narrow = replace(start, kv_precision=FP8)
    assert capacity(engine, narrow).max_users.expected >= capacity(engine, start).max_users.expected
