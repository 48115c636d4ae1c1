"""The KV cache of each kind of layer, computed by hand, and properties of all kinds."""

import functools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import catalog
from core.engines.parallelism import kv_profile_per_gpu, layers_by_stage, weights_bytes_per_gpu
from core.model.kv_cache import kv_profile
from core.model.kv_profile import KvProfile
from core.model.mixers import (
    CompressedAttention,
    FullAttention,
    LatentAttention,
    Mixer,
    RecurrentState,
    SlidingWindowAttention,
)
from core.model.precision import Precision
from core.model.spec import LayerRun, ModelSpec
from core.readers.hf_config import spec_from_config
from tools import golden_tables

FP16, FP8 = (catalog.precision("kv_precision", name) for name in ("fp16", "fp8"))
GIB = 2**30


# ---- layers by hand -----------------------------------------------------------------------------------


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


# Bytes per token in 16 bits.
PER_TOKEN = {
    # Kwon et al. 2023 (vLLM), section 3: 2 × 5120 × 40 × 2 bytes = "800 KB".
    "OPT-13B": (model((40, full(40, 128))), 800 * 1024),
    # config.json: layers × KV heads × head_dim × 2 × 2 bytes.
    "Llama-2-7B": (model((32, full(32, 128))), 524_288),
    "Llama-3.1-70B": (model((80, full(8, 128))), 327_680),
    "the same with 64 KV heads": (model((80, full(64, 128))), 2_621_440),
    "Mixtral-8x7B": (model((32, full(8, 128))), 131_072),
    # DeepSeek-V2, arXiv:2405.04434, table 1: 4.5 × d_h × l values, with d_h = 128 and l = 60.
    "DeepSeek-V2": (model((60, latent(512, 64))), int(4.5 * 128 * 60) * 2),
    # (512 + 64) × 61 × 2 bytes.
    "DeepSeek-V3": (model((61, latent(512, 64))), 70_272),
    # 10 of 62 layers are global: 10 × 16 × 128 × 2 × 2 bytes.
    "Gemma-3-27B": (model((10, full(16, 128)), (52, windowed(1024, 16, 128))), 81_920),
    # 18 of 36: 18 × 8 × 64 × 2 × 2.
    "gpt-oss-120b": (model((18, full(8, 64)), (18, windowed(128, 8, 64))), 36_864),
    # 12 of 48: 12 × 2 × 256 × 2 × 2.
    "Qwen3-Next-80B": (model((12, full(2, 256)), (36, RecurrentState(conv_values=1, ssm_values=1))), 24_576),
    # Values narrower than keys: 48 × 8 × (192 + 128) × 2.
    "unequal heads": (model((48, full(8, 192, v_head_dim=128))), 245_760),
}


@pytest.mark.parametrize("spec, size_bytes", PER_TOKEN.values(), ids=PER_TOKEN)
def test_growth_per_token(spec, size_bytes):
    assert kv_profile(spec).bytes_per_token(FP16) == size_bytes


# 10 users with 32 768 tokens each in 16 bits, computed by hand.
TEN_USERS = {
    # 70 272 × 32 768 × 10 = 21.445 GiB.
    "DeepSeek-V3": (model((61, latent(512, 64))), 23_026_728_960),
    # (81 920 × 32 768 + 52 layers × 16 × 128 × 2 × 2 × 1024) × 10 = 29.0625 GiB.
    "Gemma-3-27B": (model((10, full(16, 128)), (52, windowed(1024, 16, 128))), (2_684_354_560 + 436_207_616) * 10),
    # (36 864 × 32 768 + 18 layers × 8 × 64 × 2 × 2 × 128) × 10 = 11.29 GiB.
    "gpt-oss-120b": (model((18, full(8, 64)), (18, windowed(128, 8, 64))), (1_207_959_552 + 4_718_592) * 10),
    # 24 576 × 32 768 × 10 = 7.5 GiB, and in each of 36 layers a state of 32 heads × 128 × 128 values of 4 bytes and a
    # convolution of 3 × (2 × 16 + 32) × 128 values of 2 bytes: 0.72 GiB.
    "Qwen3-Next-80B": (
        model((12, full(2, 256)), (36, RecurrentState(conv_values=24_576, ssm_values=524_288))),
        8_053_063_680 + 36 * (2_097_152 + 49_152) * 10,
    ),
}


@pytest.mark.parametrize("spec, size_bytes", TEN_USERS.values(), ids=TEN_USERS)
def test_ten_users_of_32k(spec, size_bytes):
    assert kv_profile(spec).bytes_of_sequences(10, 32_768, FP16) == size_bytes


def test_a_window_is_full_at_its_size():
    profile = windowed(1024, 2, 8).kv_profile()
    assert [profile.values(context) for context in (1, 1023, 1024, 1025, 10**6)] == [32, 32 * 1023, *[32 * 1024] * 3]
    assert profile.bytes_per_token(FP16) == 0


def test_all_users_together_are_rounded_up_to_a_byte_once():
    int4 = Precision(name="int4", block_bytes=1, block_values=2)
    profile = KvProfile(values_per_token=3, fixed_bytes=1)
    assert profile.bytes_of_sequences(1, 1, int4) == 2 + 1
    assert profile.bytes_of_sequences(3, 1, int4) == 5 + 3  # nine half bytes


def test_windows_are_added_by_size():
    spec = model((3, windowed(128, 1, 1)), (2, full(1, 1)), (4, windowed(512, 1, 1)), (5, windowed(128, 1, 1)))
    assert kv_profile(spec) == KvProfile(values_per_token=4, windowed=((128, 16), (512, 8)))
    assert kv_profile(spec).values(200) == 4 * 200 + 16 * 128 + 8 * 200


def test_every_field_of_two_profiles_is_added():
    first = KvProfile(values_per_token=1, windowed=((8, 2),), fixed_values=3, fixed_bytes=4, index_bytes_per_token=5)
    other = KvProfile(
        values_per_token=10, windowed=((8, 20),), fixed_values=30, fixed_bytes=40, index_bytes_per_token=50
    )
    assert first + other == KvProfile(
        values_per_token=11, windowed=((8, 22),), fixed_values=33, fixed_bytes=44, index_bytes_per_token=55
    )
    assert first * 3 == KvProfile(
        values_per_token=3, windowed=((8, 6),), fixed_values=9, fixed_bytes=12, index_bytes_per_token=15
    )


def test_a_latent_is_cached_once_for_all_heads():
    assert latent(512, 64).kv_profile() == KvProfile(values_per_token=576)


@pytest.mark.parametrize(
    ("ratio", "per_token", "index"),
    [
        (0, 0, 0),  # only the window
        (4, 128, 33),
        (128, 4, 2),  # 132 bytes ÷ 128, rounded up
    ],
)
def test_compressed_attention_by_hand(ratio, per_token, index):
    """DeepSeek-V4: a vector of 512 values for each of the last 128 tokens, and one per `ratio` tokens with the 132 bytes
    of its index key, on every rank."""
    mixer = CompressedAttention(
        num_attention_heads=64, head_dim=512, sliding_window=128, compress_ratio=ratio, index_bytes=132
    )
    expected = KvProfile(values_per_token=per_token, windowed=((128, 512),), index_bytes_per_token=index)
    assert mixer.kv_profile() == mixer.kv_profile(8) == expected


def test_a_state_has_the_same_size_at_any_context():
    state = RecurrentState(conv_values=10, ssm_values=100, conv_bytes_per_value=2, ssm_bytes_per_value=4)
    profile = state.kv_profile()
    assert {profile.bytes_of_sequences(1, context, FP8) for context in (1, 10**6)} == {420}
    assert profile.bytes_of_sequences(1, 1, FP16) == 420  # not in the cache's precision


def test_a_mixer_without_a_kv_profile_is_abstract():
    class Unfinished(Mixer):
        label = "unfinished"

        def weight_tensors(self, hidden_size):
            return ()

    with pytest.raises(TypeError, match="kv_profile"):
        Unfinished()


# ---- models by config.json -----------------------------------------------------------------------------

LLAMA = {"model_type": "llama", "hidden_size": 1024, "num_hidden_layers": 6, "num_attention_heads": 8, "vocab_size": 1000,
         "intermediate_size": 4096}  # fmt: skip


def kv_bytes(config, context=10_000, tp=1):
    return kv_profile(spec_from_config(config, name="m"), tp).bytes_of_sequences(1, context, FP16)


# One layer and token of LLAMA with all 8 heads: 8 heads × (128 + 128) values × 2 bytes.
TOKEN = 8 * 256 * 2


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, 6 * TOKEN * 10_000),
        ({"num_key_value_heads": 2}, 6 * TOKEN // 4 * 10_000),  # grouped queries
        ({"num_key_value_heads": 1}, 6 * TOKEN // 8 * 10_000),  # one head for all queries
        ({"head_dim": 256}, 12 * TOKEN * 10_000),
        # Sliding windows in each family's fields.
        ({"model_type": "mistral", "sliding_window": 4096}, 6 * TOKEN * 4096),
        ({"model_type": "mistral", "sliding_window": None}, 6 * TOKEN * 10_000),
        ({"model_type": "qwen2", "sliding_window": 4096, "use_sliding_window": False}, 6 * TOKEN * 10_000),
        ({"model_type": "qwen2", "sliding_window": 4096, "use_sliding_window": True, "max_window_layers": 4},
         TOKEN * (4 * 10_000 + 2 * 4096)),
        ({"model_type": "gemma2", "sliding_window": 4096, "head_dim": 128}, TOKEN * 3 * (10_000 + 4096)),
        ({"model_type": "gemma3_text", "sliding_window": 512, "head_dim": 128}, TOKEN * (10_000 + 5 * 512)),
        ({"model_type": "gemma3_text", "sliding_window": 512, "sliding_window_pattern": 3, "head_dim": 128},
         TOKEN * (2 * 10_000 + 4 * 512)),
        ({"model_type": "cohere2", "sliding_window": 512}, TOKEN * (10_000 + 5 * 512)),  # every fourth of six
        ({"model_type": "exaone4", "sliding_window": 512, "sliding_window_pattern": "LLG"},
         TOKEN * (2 * 10_000 + 4 * 512)),
        ({"model_type": "gpt_oss", "sliding_window": 128, "num_local_experts": 4, "num_experts_per_tok": 2,
          "head_dim": 128}, TOKEN * 3 * (10_000 + 128)),
        ({"model_type": "qwen3", "sliding_window": 100, "head_dim": 128,
          "layer_types": ["full_attention"] + 5 * ["sliding_attention"]}, TOKEN * (10_000 + 5 * 100)),
        # Chunks: three of four layers of Llama 4 read only their chunk.
        ({"model_type": "llama4_text", "attention_chunk_size": 256, "head_dim": 128, "num_local_experts": 4,
          "num_experts_per_tok": 1, "no_rope_layers": [1, 1, 1, 0, 1, 1]}, TOKEN * (10_000 + 5 * 256)),
        ({"model_type": "llama4_text", "attention_chunk_size": None, "head_dim": 128, "num_local_experts": 4,
          "num_experts_per_tok": 1, "no_rope_layers": [1, 1, 1, 0, 1, 1]}, TOKEN * 6 * 10_000),
    ],
)  # fmt: skip
def test_attention_by_hand(fields, expected):
    config = LLAMA | ({"num_key_value_heads": 8} if fields.get("model_type") else {}) | fields
    assert kv_bytes(config) == expected


def published(model):
    tables = [*golden_tables.rows("parameters"), *golden_tables.rows("parameters_that_differ")]
    return golden_tables.config(next(row for row in tables if row["model"] == model))


@pytest.mark.parametrize(
    ("model", "context", "expected"),
    [
        # DeepSeek-V2, arXiv:2405.04434, table 1: 4.5 × head_dim × layers values per token; V2-Lite: (512 + 64) × 27.
        ("deepseek-v2-lite", 1000, 27 * 576 * 2 * 1000),
        # DeepSeek-V3.2: per layer the latent, an index key of 128 bytes and a 32-bit scale.
        ("deepseek-v3.2", 1000, 61 * (576 * 2 + 132) * 1000),
        # Mamba: 64 layers of (4 − 1) convolution inputs in 16 bits and 16 states in 32 for each of 8192 channels.
        ("falcon-mamba-7b", 1000, 64 * 8192 * (3 * 2 + 16 * 4)),
        # Jamba: 4 attention layers of 8 heads, 28 Mamba layers of 8192 channels.
        ("jamba-v0.1", 1000, 4 * 8 * 256 * 2 * 1000 + 28 * 8192 * (3 * 2 + 16 * 4)),
        # LFM2: 6 attention layers of 8 heads of 64, 10 convolutions over 3 tokens of 2048 values.
        ("lfm2-1.2b", 1000, 6 * 8 * 128 * 2 * 1000 + 10 * 2048 * 2 * 2),
        # Zamba2 2.7B: 9 of 54 layers attend, with 32 heads of 160; all are Mamba-2, of 5120 channels and 64 states.
        ("zamba2", 1000, 9 * 32 * 320 * 2 * 1000 + 54 * ((5120 + 2 * 64) * 3 * 2 + 5120 * 64 * 4)),
        # RecurrentGemma 2B: 8 layers of one head with a window of 2048, 18 recurrent layers of 2560 channels.
        ("recurrent-gemma", 3000, 8 * 512 * 2 * 2048 + 18 * 2560 * (3 * 2 + 4)),
        # RWKV-4 7B: the last two tokens, and three states in 32 bits, for 4096 channels in 32 layers.
        ("rwkv", 1000, 32 * 4096 * (2 * 2 + 3 * 4)),
        # MiMo-V2: 4 heads of 192 + 128 with full attention (layers 0 and 5), 8 with a window of 129 in the others.
        ("mimo-v2, no swa_ fields", 1000, 2 * 4 * 320 * 2 * 1000 + 4 * 8 * 320 * 2 * 129),
        # Gemma 4 with heads of 384 in the two layers of full attention, of 256 in ten with a window of 512.
        ("gemma-4, per_layer_config", 1000, 2 * 4 * 768 * 2 * 1000 + 10 * 4 * 512 * 2 * 512),
        # Granite SWA: the first of every four of 24 layers has full attention; 4 heads of 128, a window of 128.
        ("granite-swa", 1000, 6 * 4 * 256 * 2 * 1000 + 18 * 4 * 256 * 2 * 128),
        # Whisper: keys and values of at most 448 text tokens and of 1500 positions of sound in each of 32 layers.
        ("whisper-large-v3", 448, 32 * 20 * 128 * 2 * (448 + 1500)),
    ],
)
def test_published_models_by_hand(model, context, expected):
    config = WHISPER if model.startswith("whisper") else published(model)
    assert kv_bytes(config, context) == expected


WHISPER = {"model_type": "whisper", "d_model": 1280, "encoder_layers": 32, "decoder_layers": 32, "num_mel_bins": 128,
           "encoder_attention_heads": 20, "decoder_attention_heads": 20, "encoder_ffn_dim": 5120, "vocab_size": 51866,
           "decoder_ffn_dim": 5120, "max_source_positions": 1500, "max_target_positions": 448}  # fmt: skip


def test_layers_that_share_a_cache_need_no_memory():
    """Gemma 3n E4B: 15 of 35 layers read the cache of earlier ones; every fifth layer has full attention."""
    fields = {"model_type": "gemma3n_text", "hidden_size": 2048, "num_hidden_layers": 35, "num_attention_heads": 8,
              "num_key_value_heads": 2, "head_dim": 256, "intermediate_size": 16384, "vocab_size": 262400,
              "sliding_window": 512, "num_kv_shared_layers": 15}  # fmt: skip
    assert kv_bytes(fields) == 2 * 512 * 2 * (4 * 10_000 + 16 * 512)


@pytest.mark.parametrize(
    ("kv_heads", "tp", "share"), [(8, 1, 8), (8, 2, 4), (8, 8, 1), (8, 16, 1), (1, 8, 1), (2, 4, 1)]
)
def test_kv_heads_are_split_down_to_one_per_rank(kv_heads, tp, share):
    config = LLAMA | {"num_attention_heads": 16, "num_key_value_heads": kv_heads, "head_dim": 128}
    assert kv_bytes(config, tp=tp) == 6 * share * 256 * 2 * 10_000


def test_the_latent_is_not_split_over_ranks():
    config = published("deepseek-v2-lite")
    assert kv_bytes(config, tp=8) == kv_bytes(config)


def test_states_are_split_by_heads_and_groups_are_replicated():
    """Mamba-2 with 8 groups on 16 ranks: every rank stores one group's inputs."""
    config = {"model_type": "mamba2", "hidden_size": 4096, "num_hidden_layers": 1, "num_heads": 128, "head_dim": 64,
              "state_size": 128, "n_groups": 8, "conv_kernel": 4, "vocab_size": 1000,
              "num_attention_heads": 1}  # fmt: skip
    inner, group = 8192, 2 * 128
    assert kv_bytes(config, tp=16) == (inner // 16 + group) * 3 * 2 + inner // 16 * 128 * 4


@pytest.mark.parametrize(
    ("layers", "pp", "stages"),
    # vLLM distributed/utils.py: the last stage has the fewest layers, then the first.
    [(32, 2, (16, 16)), (61, 2, (31, 30)), (61, 4, (15, 15, 16, 15)), (10, 4, (2, 3, 3, 2)), (7, 1, (7,))],
)
def test_layers_by_stage(layers, pp, stages):
    assert layers_by_stage(layers, pp) == stages


# ---- properties --------------------------------------------------------------------------------------

SMALL = st.integers(1, 64)
MIXERS = st.one_of(
    st.builds(full, SMALL, SMALL),
    st.builds(windowed, st.integers(1, 5000), SMALL, SMALL),
    st.builds(latent, SMALL, SMALL),
    st.builds(RecurrentState, conv_values=SMALL, ssm_values=SMALL),
)
RUNS = st.lists(st.tuples(SMALL, MIXERS), max_size=5)
CONTEXTS = st.integers(1, 10**6)
PRECISIONS = st.sampled_from([row.precision for row in catalog.precisions() if row.use != "weights"])
MODELS = ["gemma-3-27b", "qwen3-next-80b", "deepseek-v3", "gpt-oss-120b", "llama-3.1-70b"]


@functools.cache
def nine(model):
    row = next(row for row in golden_tables.rows("nine_models") if row["model"] == model)
    return spec_from_config(golden_tables.config(row), name=model)


@given(RUNS, PRECISIONS, CONTEXTS, CONTEXTS)
def test_more_tokens_and_more_bits_never_need_less(runs, precision, few, many):
    few, many = sorted((few, many))
    profile = kv_profile(model(*runs))
    assert profile.bytes_of_sequences(1, few, FP8) <= profile.bytes_of_sequences(1, few, FP16)
    assert profile.bytes_of_sequences(1, few, precision) <= profile.bytes_of_sequences(1, many, precision)


@given(RUNS, SMALL, MIXERS, CONTEXTS)
def test_more_layers_never_need_less(runs, count, mixer, context):
    fewer, more = kv_profile(model(*runs)), kv_profile(model(*runs, (count, mixer)))
    assert fewer.bytes_of_sequences(1, context, FP16) <= more.bytes_of_sequences(1, context, FP16)


@given(RUNS, CONTEXTS)
def test_a_profile_is_the_sum_of_its_layers(runs, context):
    one_by_one = sum(count * mixer.kv_profile().bytes_of_sequences(1, context, FP16) for count, mixer in runs)
    assert kv_profile(model(*runs)).bytes_of_sequences(1, context, FP16) == one_by_one


@given(RUNS)
def test_beyond_every_window_a_token_adds_bytes_per_token(runs):
    profile = kv_profile(model(*runs))
    long = 5000
    growth = profile.bytes_of_sequences(1, long + 1, FP16) - profile.bytes_of_sequences(1, long, FP16)
    assert growth == profile.bytes_per_token(FP16)


@given(st.sampled_from(MODELS), st.integers(1, 10**6))
def test_a_window_never_caches_more_than_full_attention(model, context):
    profile = kv_profile(nine(model))
    everything = KvProfile(values_per_token=profile.values_per_token + sum(v for _, v in profile.windowed))
    assert profile.values(context) <= everything.values(context)


@given(st.sampled_from(MODELS), st.sampled_from([1, 2, 4, 8]), st.integers(1, 4), st.integers(1, 10**5))
def test_ranks_together_cache_at_least_the_whole(model, tp, pp, context):
    spec = nine(model)
    stages = kv_profile_per_gpu(spec, tp, pp)
    assert len(stages) == pp
    together = tp * sum(stage.bytes_of_sequences(1, context, FP16) for stage in stages)
    assert together >= kv_profile(spec).bytes_of_sequences(1, context, FP16)


@pytest.mark.parametrize("model", MODELS)
def test_ranks_together_load_at_least_the_whole_and_none_loads_more(model):
    spec = nine(model)
    whole = weights_bytes_per_gpu(spec)
    for tp, pp in ((2, 1), (1, 2), (4, 3), (8, 4)):
        assert whole / (tp * pp) <= weights_bytes_per_gpu(spec, tp=tp, pp=pp) <= whole
