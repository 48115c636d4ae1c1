"""Settings that change what an engine loads and caches, by hand and by laws."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import catalog
from core.engines import llama_cpp, sglang, vllm
from core.engines.capacity import capacity, users_that_fit
from core.engines.deployment import Deployment, Device, EngineSettings, checked_settings, parse_version
from core.engines.loaded_weights import loaded_weights_bytes
from core.engines.served import (
    as_loaded,
    lora_bytes,
    setting_obstacle,
    text_alone,
    with_draft_layers,
    with_draft_weights,
)
from core.errors import OutOfRangeError, WrongTypeError
from core.model.mixers import FullAttention
from core.model.parameters import count_parameters
from core.units import GIB

FP16 = catalog.precision("kv_precision", "fp16")


def deployment(name, *, tp=1, version="0.31", context=32_768, gib=139, **settings) -> Deployment:
    return Deployment(
        model=catalog.model(name).spec,
        precision=None,
        kv_precision=FP16,
        device=Device("h200-sxm", round(gib * GIB)),
        tp=tp,
        context=context,
        version=parse_version(version),
        settings=EngineSettings(**settings),
    )


def test_text_alone_leaves_out_the_tower():
    """Qwen3.6 35B A3B: 64.69 GiB logged without the tower, 65.52 with it (tests/golden/logged.csv has the engine)."""
    spec = catalog.model("qwen3.6-35b-a3b").spec
    assert loaded_weights_bytes(spec) / GIB == pytest.approx(65.52, rel=0.001)
    assert loaded_weights_bytes(text_alone(spec)) / GIB == pytest.approx(64.69, rel=0.001)
    assert as_loaded(deployment("qwen3.6-35b-a3b", images=0)).model.image is None


def test_text_alone_needs_no_room_for_images():
    with_images = capacity(vllm.ENGINE, deployment("qwen2.5-vl-7b", version="0.9.0", gib=22.03, context=2048))
    alone = capacity(vllm.ENGINE, deployment("qwen2.5-vl-7b", version="0.9.0", gib=22.03, context=2048, images=0))
    # Logged on an L4: 1.81 GiB for the cache (GitHub, rh-aiservices-bu's Bring-Your-Own-Model).
    assert with_images.budget.kv.low <= 1.81 * GIB <= with_images.budget.kv.high
    assert alone.budget.activation.expected < with_images.budget.activation.expected
    assert alone.budget.kv.expected > with_images.budget.kv.expected


def test_without_graphs():
    eager = capacity(vllm.ENGINE, deployment("llama-3.1-8b", eager=True)).budget
    assert (eager.graphs.low, eager.graphs.expected, eager.graphs.high) == (0, 0, 0)


def test_a_draft_layer_is_one_more_layer_and_a_projection():
    """DeepSeek-V3's log counts 62 layers with MTP: 62 × 576 values of 16 bits a token, and 14 336 × 7168 to join two."""
    spec = catalog.model("deepseek-v3").spec
    drafting = with_draft_layers(spec)
    assert drafting.num_hidden_layers == 62
    found = vllm.ENGINE.pool(as_loaded(deployment("deepseek-v3", tp=8, mtp_tokens=1)))
    assert found.bytes_per_token == 62 * 576 * 2
    joined = drafting.layers[-1].extra[-4]
    assert (joined.rows, joined.columns) == (7168, 14_336)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("qwen3.5-27b", 27_781_427_952 - 27_356_728_560), ("qwen3.5-35b-a3b", 35_951_822_704 - 35_107_181_936),
        ("qwen3.5-122b-a10b", 125_086_497_008 - 122_562_817_776),
        ("qwen3.5-397b-a17b", 403_397_928_944 - 396_802_360_816),
        ("mimo-7b", 7_833_409_536 - 7_622_619_136), ("glm-5.1", 753_864_139_008 - 743_911_218_432),
        # DeepSeek's checkpoint repeats the embedding and the head, which engines share: 129 280 × 7168 each.
        ("deepseek-v3", 684_489_845_504 - 671_026_419_200 - 2 * 129_280 * 7168),
    ],
)  # fmt: skip
def test_draft_layers_have_as_many_parameters_as_checkpoints_have_more(name, parameters):
    """All tensors of the checkpoint on the hub (as in PyPI llmfit 1.1.17), less those of the model without drafts."""
    spec = catalog.model(name).spec
    assert count_parameters(with_draft_layers(spec)).total - count_parameters(spec).total == parameters


def test_several_draft_layers_have_windows_and_no_experts():
    """Step 3.7 Flash: three layers with a window of 512 and a dense block of 11 264, as vLLM's step3p5_mtp.py has."""
    spec = catalog.model("step-3.7-flash").spec
    added = with_draft_layers(spec).layers[-1]
    assert added.count == 3 and added.mixer.sliding_window == 512
    assert added.mlp.num_routed_experts == 0 and added.mlp.intermediate_size == 11_264
    assert with_draft_layers(spec, 1).num_hidden_layers == spec.num_hidden_layers + 1


def test_a_draft_layer_of_nemotron_has_attention_and_experts():
    spec = catalog.model("nemotron-3-super-120b-a12b").spec
    attention, experts = with_draft_layers(spec).layers[-2:]
    assert isinstance(attention.mixer, FullAttention) and experts.mlp.num_routed_experts == 512
    assert any(tensor.name == "mtp.eh_proj" for tensor in attention.extra)


def test_drafting_without_a_layer_for_it_is_refused():
    """The error names the model, and a model that drafts for it is the remedy."""
    with pytest.raises(OutOfRangeError, match=r"mtp_tokens: llama-3.1-8b has no layer.*--draft-model"):
        capacity(vllm.ENGINE, deployment("llama-3.1-8b", mtp_tokens=1))
    for name in ("kimi-k2.5", "moonlight-16b-a3b"):  # num_nextn_predict_layers: 0
        assert catalog.model(name).spec.drafts is None
    assert with_draft_layers(catalog.model("llama-3.1-8b").spec) is catalog.model("llama-3.1-8b").spec


def test_data_parallel_attention_by_hand():
    """Qwen3 235B has 4 KV heads: 94 layers × 4 × 128 × 2 × 2 bytes a token on each of 16 groups (logged 192 924)."""
    start = deployment("qwen3-235b-a22b", tp=16, attention_dp=16)
    start = replace(start, expert_parallel=True)
    found = capacity(sglang.ENGINE, start)
    assert found.kv_bytes_per_token == 94 * 4 * 128 * 2 * 2
    one = capacity(sglang.ENGINE, deployment("qwen3-235b-a22b", tp=16))
    assert found.budget.weights.expected > one.budget.weights.expected
    assert found.max_users.expected % 16 == 0


def test_context_parallel_divides_a_latent():
    whole = capacity(vllm.ENGINE, deployment("deepseek-v3", tp=8))
    halves = capacity(vllm.ENGINE, deployment("deepseek-v3", tp=8, context_parallel=2))
    assert halves.kv_tokens.expected == 2 * whole.kv_tokens.expected
    assert halves.kv_bytes_per_token == whole.kv_bytes_per_token / 2
    with pytest.raises(OutOfRangeError, match="each token's cache is on 1 of 8 GPUs"):
        capacity(vllm.ENGINE, deployment("llama-3.1-70b", tp=8, context_parallel=2))


def test_lora_by_hand():
    """Llama 3.1 8B, rank 16, two adapters: per layer 32 bytes × (q, k, v, o, gate, up, down)."""
    widths = 2 * (4096 + 4096) + 2 * (4096 + 1024) + 3 * (4096 + 14_336)
    adapters = 32 * widths * 16 * 2 * 2
    assert lora_bytes(deployment("llama-3.1-8b", lora_adapters=2)) == adapters
    alone, with_two = (
        capacity(vllm.ENGINE, deployment("llama-3.1-8b", **settings)).budget for settings in ({}, {"lora_adapters": 2})
    )
    assert with_two.weights.expected - alone.weights.expected == adapters


@given(shared=st.integers(0, 32_768), engine=st.sampled_from([vllm.ENGINE, sglang.ENGINE]))
def test_a_shared_prompt_never_costs_users(shared, engine):
    usual = users_that_fit(engine, deployment("llama-3.1-70b", tp=4))
    assert users_that_fit(engine, deployment("llama-3.1-70b", tp=4, shared_tokens=shared)) >= usual - 1


def test_a_shared_prompt_by_hand():
    """2048 blocks of 16 a user; 1000 shared: what is left after 1000, by 1048."""
    start = deployment("llama-3.1-70b", tp=4, shared_tokens=16_000)
    blocks = int(capacity(vllm.ENGINE, start).kv_tokens.expected) // 16
    assert users_that_fit(vllm.ENGINE, start) == (blocks - 1000) // (2048 - 1000)


def test_what_an_engine_lacks_is_refused():
    with pytest.raises(OutOfRangeError, match=r"mtp_tokens.*llama\.cpp does not have it"):
        capacity(llama_cpp.ENGINE, replace(deployment("llama-3.1-8b", mtp_tokens=1), version=(6325, 0, 0)))
    with pytest.raises(OutOfRangeError, match="3 groups do not divide 8 GPUs"):
        capacity(vllm.ENGINE, deployment("deepseek-v3", tp=8, attention_dp=3))


def test_settings_are_checked():
    assert checked_settings({"eager": True, "images": 0}) == EngineSettings(eager=True, images=0)
    with pytest.raises(WrongTypeError, match="neither true nor false"):
        checked_settings({"eager": 1})
    with pytest.raises(OutOfRangeError, match="drafted"):
        checked_settings({"mtp_tokens": 100})
    with pytest.raises(TypeError, match="'speculate' is no engine setting; the settings are memory_utilization"):
        checked_settings({"speculate": 1})


def test_shared_memory_has_small_steps_and_less_free():
    spark = replace(
        deployment("llama-3.1-8b"), device=Device("dgx-spark", round(121.69 * GIB), 12.1, shares_memory=True)
    )
    assert vllm.largest_step(spark).tokens == 2048
    assert vllm.budgets(spark)[0].other.low >= GIB


def test_two_sparks_may_lose_much_to_files_and_compilers():
    """MiniMax-M2.7 AWQ at 0.80 of two GB10: 22.5 GiB remained, too little for 196,608 tokens (spark-vllm-docker 396)."""
    pair = replace(
        deployment("minimax-m2.7", tp=2, version="0.29", context=196_608, memory_utilization=0.8),
        precision=catalog.precision("precision", "awq"),
        device=Device("dgx-spark", round(121.69 * GIB), 12.1, shares_memory=True),
    )
    found = capacity(vllm.ENGINE, pair)
    assert found.budget.kv.low <= 22.5 * GIB <= found.budget.kv.high
    assert found.max_users.low == 0


def llama(name, gib=24.0, **settings) -> Deployment:
    return replace(deployment(name, context=8192, gib=gib, **settings), version=(6325, 0, 0))


def test_layers_on_the_cpu_by_hand():
    """Llama 3.1 8B in 16 bits: 32 layers of 218 112 000 parameters, an output of 128 256 × 4096 and a norm."""
    layer, output = 218_112_000 * 2, (128_256 * 4096 + 4096) * 2
    for asked, held in ((0, 0), (20, 20 * layer), (32, 32 * layer), (33, 32 * layer + output)):
        assert llama_cpp.weights_by_stage(llama("llama-3.1-8b", gpu_layers=asked)) == (held,)
    everything = llama_cpp.weights_by_stage(llama("llama-3.1-8b"))[0] + llama_cpp.host_bytes(llama("llama-3.1-8b"))
    assert everything == 8_030_261_248 * 2
    half = llama_cpp.pool(llama("llama-3.1-8b", gpu_layers=16))
    assert 2 * half.bytes_per_token == llama_cpp.pool(llama("llama-3.1-8b")).bytes_per_token


def test_experts_on_the_cpu():
    whole, moved = llama("gpt-oss-120b"), llama("gpt-oss-120b", cpu_expert_layers=36)
    freed = llama_cpp.weights_by_stage(whole)[0] - llama_cpp.weights_by_stage(moved)[0]
    assert freed == llama_cpp.host_bytes(moved) - llama_cpp.host_bytes(whole) > 50 * GIB


@given(gib=st.integers(2, 200))
def test_the_most_layers_that_fit(gib):
    found = llama_cpp.most_gpu_layers(llama("llama-3.1-70b", gib=gib))
    fits = capacity(llama_cpp.ENGINE, llama("llama-3.1-70b", gib=gib, gpu_layers=found)).max_users.expected
    assert fits >= 1 or found == 0
    if found < 81:
        more = llama("llama-3.1-70b", gib=gib, gpu_layers=found + 1)
        assert capacity(llama_cpp.ENGINE, more).max_users.expected == 0


def test_two_models_share_the_memory_of_a_gpu():
    """Another model's 60 GiB leave 79 of an H200's 139, less than vLLM's share of 0.92."""
    alone = capacity(vllm.ENGINE, deployment("llama-3.1-8b")).budget
    smaller = capacity(vllm.ENGINE, deployment("llama-3.1-8b", reserved_gib=60)).budget
    assert smaller.usable_bytes == 79 * GIB
    assert alone.kv.expected - smaller.kv.expected == alone.usable_bytes - 79 * GIB
    assert (
        capacity(vllm.ENGINE, deployment("llama-3.1-8b", reserved_gib=5)).budget == alone
    )  # more is free than is used
    assert capacity(vllm.ENGINE, deployment("llama-3.1-8b", reserved_gib=200)).max_users.high == 0
    ollama = [capacity(llama_cpp.ENGINE, llama("llama-3.1-8b", reserved_gib=gib)).budget for gib in (0, 2)]
    assert ollama[0].kv.expected - ollama[1].kv.expected == 2 * GIB
    servers = [capacity(sglang.ENGINE, deployment("llama-3.1-8b", version="0.5", reserved_gib=gib)) for gib in (0, 10)]
    # SGLang's static share is one of what is free at the start.
    share = sglang.static_share(servers[0].deployment)
    assert servers[0].budget.kv.expected - servers[1].budget.kv.expected == pytest.approx(10 * GIB * share, rel=0.001)


def test_cache_in_cpu_memory_keeps_tokens_and_runs_no_more_users():
    """Llama 3.1 8B caches 131,072 bytes per token, so that 64 GiB keep 524,288 tokens, however the GPUs divide them."""
    plain = capacity(vllm.ENGINE, deployment("llama-3.1-8b", tp=2))
    kept = capacity(vllm.ENGINE, deployment("llama-3.1-8b", tp=2, kv_offload_gib=64))
    assert (plain.offloaded_tokens, kept.offloaded_tokens) == (0, 64 * GIB // 131_072)
    assert kept.max_users == plain.max_users
    with pytest.raises(OutOfRangeError, match="kv_offload_gib"):
        capacity(llama_cpp.ENGINE, llama("llama-3.1-8b", kv_offload_gib=64))


def test_the_model_that_drafts_for_gemma_4_has_no_cache():
    """Two 3090 with INT4 weights under 0.22 held 196,527 tokens (noonghunna/club-3090 BENCHMARKS.md)."""
    pair = replace(
        deployment("gemma-4-31b", tp=2, version="0.22", context=131_072, gib=23.56, memory_utilization=0.95,
                   max_sequences=4, mtp_tokens=3),
        precision=catalog.precision("precision", "w4a16"),
        draft=catalog.model("gemma-4-31b-assistant").spec,
    )  # fmt: skip
    found = capacity(vllm.ENGINE, pair)
    without = capacity(vllm.ENGINE, replace(pair, draft=None, settings=replace(pair.settings, mtp_tokens=None)))
    assert found.kv_tokens.low <= 196_527 <= found.kv_tokens.high
    assert found.kv_bytes_per_token == without.kv_bytes_per_token
    layers = 3 * (2 * 32 * 256 + 3 * 8192) * 1024 + (2 * 32 * 512 + 3 * 8192) * 1024
    embedding, projections = 262_144 * 1024, 3 * 5376 * 1024
    vectors = 2 * (layers / 2 + embedding / 2 + projections)  # bytes on one of two GPUs, without the rotary tables
    added = found.budget.weights.expected - without.budget.weights.expected
    assert added - 262_144 * (256 + 512) * 2 == pytest.approx(vectors, rel=0.01)


def test_a_draft_model_is_divided_as_the_model_is():
    """Data-parallel attention: each GPU has all of the draft model but its experts, of which it has an eighth."""
    plain = deployment("qwen3-235b-a22b", tp=8, attention_dp=8)
    spec = catalog.model("qwen3-30b-a3b").spec
    drafting = replace(plain, draft=spec, settings=replace(plain.settings, mtp_tokens=2))
    before, found = capacity(vllm.ENGINE, plain), capacity(vllm.ENGINE, drafting)
    added = found.budget.weights.expected - before.budget.weights.expected
    experts = spec.num_hidden_layers * 128 * 3 * 2048 * 768 * 2  # of 768 columns, in 16 bits
    assert added == pytest.approx(loaded_weights_bytes(spec) - experts * 7 / 8, rel=0.001)


def test_a_draft_model_that_the_gpus_cannot_divide_is_whole_on_each():
    """Qwen2.5-0.5B has 14 heads, which 4 GPUs do not divide."""
    spec = catalog.model("qwen2.5-0.5b").spec
    plain = deployment("qwen2.5-72b", tp=4)
    drafting = replace(plain, draft=spec, settings=replace(plain.settings, mtp_tokens=3))
    plain_budget = with_draft_weights(plain, vllm.ENGINE.budgets(plain))[-1]
    budget = with_draft_weights(drafting, vllm.ENGINE.budgets(plain))[-1]
    assert budget.weights.expected - plain_budget.weights.expected == loaded_weights_bytes(spec)


def test_a_draft_model_has_weights_and_a_cache():
    """Llama-3.2-1B: 1 235 814 400 parameters in 16 bits, and 16 layers of 8 heads of 64 for keys and values."""
    plain = deployment("llama-3.1-70b", tp=4)
    drafting = replace(plain, draft=catalog.model("llama-3.2-1b").spec, settings=replace(plain.settings, mtp_tokens=3))
    before, found = capacity(vllm.ENGINE, plain), capacity(vllm.ENGINE, drafting)
    added = found.budget.weights.expected - before.budget.weights.expected
    rotary_table = 2 * 131_072 * 64  # on every rank, as norms are
    assert added == pytest.approx(2 * 1_235_814_400 / 4 + rotary_table, rel=0.002)
    assert found.kv_bytes_per_token - before.kv_bytes_per_token == 16 * 2 * 8 * 64 * 2 // 4
    with pytest.raises(OutOfRangeError, match=r"mtp_tokens.*does not have it"):
        capacity(llama_cpp.ENGINE, replace(drafting, version=(6325, 0, 0)))


def test_a_draft_model_next_to_compressed_attention_is_refused():
    compressed = deployment("deepseek-v4-flash", mtp_tokens=2)
    assert setting_obstacle(compressed) == ""
    drafting = replace(compressed, draft=catalog.model("qwen3-0.6b").spec)
    assert "next to compressed attention" in setting_obstacle(drafting)
