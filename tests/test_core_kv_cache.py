"""The KV cache by hand, kind of layer by kind of layer, and against what papers and an engine's log say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.kv_cache import KvProfile, kv_profile, layer_profile
from core.model_spec import (
    FullAttention,
    LatentAttention,
    LayerRun,
    ModelSpec,
    RecurrentState,
    SharedCacheAttention,
    SlidingWindowAttention,
)
from core.precision import Precision

FP32, FP16, FP8 = (Precision(name=f"fp{8 * size}", block_bytes=size) for size in (4, 2, 1))
GIB = 2**30


def model(*runs):
    layers = tuple(LayerRun(count=count, mixer=mixer) for count, mixer in runs)
    return ModelSpec(name="test", hidden_size=1, layers=layers)


def full(kv_heads, head_dim, **fields):
    return FullAttention(num_attention_heads=kv_heads, num_key_value_heads=kv_heads, head_dim=head_dim, **fields)


def windowed(window, kv_heads, head_dim):
    return SlidingWindowAttention(
        num_attention_heads=kv_heads, num_key_value_heads=kv_heads, head_dim=head_dim, sliding_window=window
    )


def latent(kv_lora_rank, qk_rope_head_dim):
    return LatentAttention(
        num_attention_heads=128,
        kv_lora_rank=kv_lora_rank,
        qk_rope_head_dim=qk_rope_head_dim,
        qk_nope_head_dim=128,
        v_head_dim=128,
    )


# What grows with each token, 16-bit unless said.
PER_TOKEN = {
    # Kwon et al. 2023 (vLLM), section 3: 2 × 5120 × 40 × 2 bytes = "800 KB".
    "OPT-13B": (model((40, full(40, 128))), FP16, 800 * 1024),
    # config.json: layers × KV heads × head_dim × 2 × 2 bytes.
    "Llama-2-7B": (model((32, full(32, 128))), FP16, 524_288),
    "Llama-3.1-70B": (model((80, full(8, 128))), FP16, 327_680),
    "the same with 64 KV heads": (model((80, full(64, 128))), FP16, 2_621_440),
    "Mixtral-8x7B": (model((32, full(8, 128))), FP16, 131_072),
    # DeepSeek-V2, arXiv:2405.04434, table 1: 4.5 × d_h × l values, with d_h = 128 and l = 60.
    "DeepSeek-V2": (model((60, latent(512, 64))), FP16, int(4.5 * 128 * 60) * 2),
    # (512 + 64) × 61 × 2 bytes.
    "DeepSeek-V3": (model((61, latent(512, 64))), FP16, 70_272),
    # 10 of 62 layers are global: 10 × 16 × 128 × 2 × 2 bytes.
    "Gemma-3-27B": (model((10, full(16, 128)), (52, windowed(1024, 16, 128))), FP16, 81_920),
    # 18 of 36: 18 × 8 × 64 × 2 × 2.
    "gpt-oss-120b": (model((18, full(8, 64)), (18, windowed(128, 8, 64))), FP16, 36_864),
    # 12 of 48: 12 × 2 × 256 × 2 × 2.
    "Qwen3-Next-80B": (model((12, full(2, 256)), (36, RecurrentState(conv_values=1, ssm_values=1))), FP16, 24_576),
    # Values narrower than keys: 48 × 8 × (192 + 128) × 2.
    "unequal heads": (model((48, full(8, 192, v_head_dim=128))), FP16, 245_760),
}


@pytest.mark.parametrize("spec, precision, size_bytes", PER_TOKEN.values(), ids=PER_TOKEN)
def test_growth_per_token(spec, precision, size_bytes):
    assert kv_profile(spec).bytes_per_token(precision) == size_bytes


# vLLM 0.19.0 on one H100: "available KV cache memory" (GiB, two decimals) and "GPU KV cache size" (tokens) as logged;
# llm-d-planner, pull request 205, accuracy/results/v0.19.0. Layers, KV heads and head_dim from each config.json.
LOGGED = {
    "DeepSeek-V2-Lite-Chat": (model((27, latent(512, 64))), FP16, 43.61, 1_505_552),
    "Llama-3.1-8B-Instruct": (model((32, full(8, 128))), FP16, 58.11, 476_016),
    "Llama-3.1-8B-Instruct, fp8 cache": (model((32, full(8, 128))), FP8, 58.11, 952_032),
    "Llama-3.1-8B-Instruct, 32 bits": (model((32, full(8, 128))), FP32, 42.80, 175_296),
    "Qwen2.5-7B-Instruct": (model((28, full(4, 128))), FP16, 58.53, 1_096_000),
    "Qwen3-8B": (model((36, full(8, 128))), FP16, 57.50, 418_688),
    "phi-2": (model((32, full(32, 80))), FP16, 69.00, 226_112),
    "Mistral-Small-3.1-24B": (model((40, full(8, 128))), FP16, 28.19, 184_752),
}


@pytest.mark.parametrize("spec, precision, available_gib, tokens", LOGGED.values(), ids=LOGGED)
def test_growth_per_token_is_what_an_engine_logged(spec, precision, available_gib, tokens):
    # The log rounds the memory to 0.01 GiB and the tokens down to a block of 16.
    least, most = ((available_gib - 0.005) * GIB / (tokens + 16), (available_gib + 0.005) * GIB / tokens)
    assert least <= kv_profile(spec).bytes_per_token(precision) <= most


# 32 768 tokens each for 10 users at 16 bits, worked out by hand.
TEN_USERS = {
    "Llama-3.1-70B": (model((80, full(8, 128))), 100 * GIB),
    "the same with 64 KV heads": (model((80, full(64, 128))), 800 * GIB),
    "Mixtral-8x7B": (model((32, full(8, 128))), 40 * GIB),
    # 70 272 × 32 768 × 10 = 21.445 GiB.
    "DeepSeek-V3": (model((61, latent(512, 64))), 23_026_728_960),
    # (81 920 × 32 768 + 52 layers × 16 × 128 × 2 × 2 × 1024) × 10 = 29.0625 GiB.
    "Gemma-3-27B": (model((10, full(16, 128)), (52, windowed(1024, 16, 128))), (2_684_354_560 + 436_207_616) * 10),
    # (36 864 × 32 768 + 18 layers × 8 × 64 × 2 × 2 × 128) × 10 = 11.29 GiB.
    "gpt-oss-120b": (model((18, full(8, 64)), (18, windowed(128, 8, 64))), (1_207_959_552 + 4_718_592) * 10),
    # 24 576 × 32 768 × 10 = 7.5 GiB, and in 36 layers a state of 32 heads × 128 × 128 values of 4 bytes and a
    # convolution of 3 × (2 × 16 + 32) × 128 values of 2 bytes: 0.72 GiB.
    "Qwen3-Next-80B": (
        model((12, full(2, 256)), (36, RecurrentState(conv_values=24_576, ssm_values=524_288))),
        8_053_063_680 + 36 * (2_097_152 + 49_152) * 10,
    ),
}


@pytest.mark.parametrize("spec, size_bytes", TEN_USERS.values(), ids=TEN_USERS)
def test_ten_users_of_32k(spec, size_bytes):
    assert kv_profile(spec).bytes_of_sequences(10, 32_768, FP16) == size_bytes


def test_those_sums_in_gib():
    gib = {name: size_bytes / GIB for name, (_, size_bytes) in TEN_USERS.items()}
    assert gib["Gemma-3-27B"] == 29.0625
    assert round(gib["DeepSeek-V3"], 3) == 21.445
    assert round(gib["gpt-oss-120b"], 2) == 11.29
    assert round(gib["Qwen3-Next-80B"] - 7.5, 2) == 0.72


# ---- kinds of layer ----------------------------------------------------------------------------------


def test_a_window_is_full_at_its_size():
    profile = layer_profile(windowed(1024, 2, 8))
    assert [profile.values(context) for context in (1, 1023, 1024, 1025, 10**6)] == [32, 32 * 1023, *[32 * 1024] * 3]
    assert profile.bytes_per_token(FP16) == 0


def test_all_users_together_are_rounded_up_to_a_byte_once():
    int4 = Precision(name="int4", block_bytes=1, block_values=2)
    profile = KvProfile(values_per_token=3, fixed_bytes=1)
    assert profile.bytes_of_sequences(1, 1, int4) == 2 + 1
    assert profile.bytes_of_sequences(3, 1, int4) == 5 + 3  # nine half bytes


def test_windows_of_one_size_are_added_and_of_two_sizes_kept_apart():
    spec = model((3, windowed(128, 1, 1)), (2, full(1, 1)), (4, windowed(512, 1, 1)), (5, windowed(128, 1, 1)))
    assert kv_profile(spec) == KvProfile(values_per_token=4, windowed=((128, 16), (512, 8)))
    assert kv_profile(spec).values(200) == 4 * 200 + 16 * 128 + 8 * 200


def test_a_latent_is_kept_once_for_all_heads():
    assert layer_profile(latent(512, 64)) == KvProfile(values_per_token=576)


def test_a_state_is_kept_once_however_long_the_context():
    profile = layer_profile(
        RecurrentState(conv_values=10, ssm_values=100, conv_bytes_per_value=2, ssm_bytes_per_value=4)
    )
    assert {profile.bytes_of_sequences(1, context, FP8) for context in (1, 10**6)} == {420}
    assert profile.bytes_of_sequences(1, 1, FP16) == 420  # not in the cache's precision


def test_a_layer_that_reads_anothers_cache_keeps_nothing():
    # Gemma 3n: num_kv_shared_layers.
    shared = SharedCacheAttention(num_attention_heads=8, num_key_value_heads=2, head_dim=256)
    assert layer_profile(shared) == KvProfile()
    assert kv_profile(model((20, full(2, 256)), (10, shared))) == kv_profile(model((20, full(2, 256))))


def test_a_layer_without_a_rule_is_refused_rather_than_left_out():
    with pytest.raises(TypeError, match="no rule for what a str layer keeps"):
        layer_profile("attention")


# ---- directions --------------------------------------------------------------------------------------

SMALL = st.integers(1, 64)
MIXERS = st.one_of(
    st.builds(full, SMALL, SMALL),
    st.builds(windowed, st.integers(1, 5000), SMALL, SMALL),
    st.builds(latent, SMALL, SMALL),
    st.builds(RecurrentState, conv_values=SMALL, ssm_values=SMALL),
)
RUNS = st.lists(st.tuples(SMALL, MIXERS), max_size=5)
CONTEXTS = st.integers(1, 10**6)


@given(RUNS, CONTEXTS, CONTEXTS)
def test_more_tokens_and_more_bits_never_need_less(runs, few, many):
    few, many = sorted((few, many))
    profile = kv_profile(model(*runs))
    assert profile.bytes_of_sequences(1, few, FP8) <= profile.bytes_of_sequences(1, few, FP16)
    assert profile.bytes_of_sequences(1, few, FP16) <= profile.bytes_of_sequences(1, many, FP16)


@given(RUNS, SMALL, MIXERS, CONTEXTS)
def test_more_layers_never_need_less(runs, count, mixer, context):
    fewer, more = kv_profile(model(*runs)), kv_profile(model(*runs, (count, mixer)))
    assert fewer.bytes_of_sequences(1, context, FP16) <= more.bytes_of_sequences(1, context, FP16)


@given(RUNS, CONTEXTS)
def test_a_profile_is_what_its_layers_keep_one_by_one(runs, context):
    one_by_one = sum(count * layer_profile(mixer).bytes_of_sequences(1, context, FP16) for count, mixer in runs)
    assert kv_profile(model(*runs)).bytes_of_sequences(1, context, FP16) == one_by_one


@given(RUNS)
def test_past_every_window_a_sequence_grows_by_bytes_per_token(runs):
    profile = kv_profile(model(*runs))
    long = 5000
    growth = profile.bytes_of_sequences(1, long + 1, FP16) - profile.bytes_of_sequences(1, long, FP16)
    assert growth == profile.bytes_per_token(FP16)
