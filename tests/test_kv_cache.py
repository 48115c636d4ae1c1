"""What each kind of layer keeps of a sequence, by hand, and the directions that hold for all of them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import catalog
from core.kv_cache import KvProfile, kv_profile, layer_profile
from core.model_spec import LatentAttention, RecurrentState
from core.parallelism import kv_profile_per_gpu, layers_by_stage, weights_bytes_per_gpu
from core.readers.hf_config import spec_from_config
from tests import golden_tables

FP16 = catalog.precision("kv_precision", "fp16")
LLAMA = {"model_type": "llama", "hidden_size": 1024, "num_hidden_layers": 6, "num_attention_heads": 8,
         "vocab_size": 1000, "intermediate_size": 4096}  # fmt: skip


def kept(config, context=10_000, tp=1):
    return kv_profile(spec_from_config(config, name="m"), tp).bytes_per_sequence(context, FP16)


# One layer and token of LLAMA with all 8 heads: 8 heads × (128 + 128) values × 2 bytes.
TOKEN = 8 * 256 * 2


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, 6 * TOKEN * 10_000),
        ({"num_key_value_heads": 2}, 6 * TOKEN // 4 * 10_000),  # grouped queries
        ({"num_key_value_heads": 1}, 6 * TOKEN // 8 * 10_000),  # one head for all queries
        ({"head_dim": 256}, 12 * TOKEN * 10_000),
        # Sliding windows, as each family says it.
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
        # Chunks: three of four layers of Llama 4 see their chunk only.
        ({"model_type": "llama4_text", "attention_chunk_size": 256, "head_dim": 128, "num_local_experts": 4,
          "num_experts_per_tok": 1, "no_rope_layers": [1, 1, 1, 0, 1, 1]}, TOKEN * (10_000 + 5 * 256)),
        ({"model_type": "llama4_text", "attention_chunk_size": None, "head_dim": 128, "num_local_experts": 4,
          "num_experts_per_tok": 1, "no_rope_layers": [1, 1, 1, 0, 1, 1]}, TOKEN * 6 * 10_000),
    ],
)  # fmt: skip
def test_attention_by_hand(fields, expected):
    config = LLAMA | ({"num_key_value_heads": 8} if fields.get("model_type") else {}) | fields
    assert kept(config) == expected


def published(model):
    tables = [*golden_tables.rows("parameters"), *golden_tables.rows("parameters_that_differ")]
    return golden_tables.config(next(row for row in tables if row["model"] == model))


@pytest.mark.parametrize(
    ("model", "context", "expected"),
    [
        # DeepSeek-V2, arXiv:2405.04434, table 1: 4.5 × head_dim × layers values a token; V2-Lite: (512 + 64) × 27.
        ("deepseek-v2-lite", 1000, 27 * 576 * 2 * 1000),
        # DeepSeek-V3.2: an index key of 128 bytes and a 32-bit scale a layer beside the latent.
        ("deepseek-v3.2", 1000, 61 * (576 * 2 + 132) * 1000),
        # Mamba: 64 layers of (4 − 1) convolution inputs in 16 bits and 16 states in 32 for each of 8192 channels.
        ("falcon-mamba-7b", 1000, 64 * 8192 * (3 * 2 + 16 * 4)),
        # Jamba: 4 attention layers of 8 heads, 28 Mamba layers of 8192 channels.
        ("jamba-v0.1", 1000, 4 * 8 * 256 * 2 * 1000 + 28 * 8192 * (3 * 2 + 16 * 4)),
        # LFM2: 6 attention layers of 8 heads of 64, 10 convolutions over 3 tokens of 2048 values.
        ("lfm2-1.2b", 1000, 6 * 8 * 128 * 2 * 1000 + 10 * 2048 * 2 * 2),
        # Whisper: keys and values of 448 text tokens at most, and of 1500 positions of sound in each of 32 layers.
        ("whisper-large-v3", 448, 32 * 20 * 128 * 2 * (448 + 1500)),
    ],
)
def test_published_models_by_hand(model, context, expected):
    config = WHISPER if model.startswith("whisper") else published(model)
    assert kept(config, context) == expected


WHISPER = {"model_type": "whisper", "d_model": 1280, "encoder_layers": 32, "decoder_layers": 32, "num_mel_bins": 128,
           "encoder_attention_heads": 20, "decoder_attention_heads": 20, "encoder_ffn_dim": 5120, "vocab_size": 51866,
           "decoder_ffn_dim": 5120, "max_source_positions": 1500, "max_target_positions": 448}  # fmt: skip


def test_layers_that_share_a_cache_keep_nothing():
    """Gemma 3n E4B: 15 of 35 layers read the cache of earlier ones; every fifth layer sees everything."""
    fields = {"model_type": "gemma3n_text", "hidden_size": 2048, "num_hidden_layers": 35, "num_attention_heads": 8,
              "num_key_value_heads": 2, "head_dim": 256, "intermediate_size": 16384, "vocab_size": 262400,
              "sliding_window": 512, "num_kv_shared_layers": 15}  # fmt: skip
    assert kept(fields) == 2 * 512 * 2 * (4 * 10_000 + 16 * 512)


@pytest.mark.parametrize(
    ("kv_heads", "tp", "share"), [(8, 1, 8), (8, 2, 4), (8, 8, 1), (8, 16, 1), (1, 8, 1), (2, 4, 1)]
)
def test_kv_heads_are_split_until_there_is_one_a_rank(kv_heads, tp, share):
    config = LLAMA | {"num_attention_heads": 16, "num_key_value_heads": kv_heads, "head_dim": 128}
    assert kept(config, tp=tp) == 6 * share * 256 * 2 * 10_000


def test_the_latent_is_whole_on_every_rank():
    config = published("deepseek-v2-lite")
    assert kept(config, tp=8) == kept(config)


def test_the_uncompressed_form_of_latent_attention():
    """DeepSeek-V2-Lite without compression: 16 heads of 128 + 64 for keys and 128 for values, split over ranks."""
    spec = spec_from_config(published("deepseek-v2-lite"), name="m")
    assert kv_profile(spec, compressed=False).values(1) == 27 * 16 * (128 + 64 + 128)
    assert kv_profile(spec, 8, compressed=False).values(1) == 27 * 2 * (128 + 64 + 128)


def test_states_are_split_by_heads_and_groups_are_replicated():
    """Mamba-2 with 8 groups on 16 ranks: every rank keeps one group's inputs."""
    config = {"model_type": "mamba2", "hidden_size": 4096, "num_hidden_layers": 1, "num_heads": 128, "head_dim": 64,
              "state_size": 128, "n_groups": 8, "conv_kernel": 4, "vocab_size": 1000,
              "num_attention_heads": 1}  # fmt: skip
    inner, group = 8192, 2 * 128
    assert kept(config, tp=16) == (inner // 16 + group) * 3 * 2 + inner // 16 * 128 * 4


PRECISIONS = [row.precision.name for row in catalog.precisions() if row.use != "weights"]
MODELS = ["gemma-3-27b", "qwen3-next-80b", "deepseek-v3", "gpt-oss-120b", "llama-3.1-70b"]


def nine(model):
    row = next(row for row in golden_tables.rows("nine_models") if row["model"] == model)
    return spec_from_config(golden_tables.config(row), name=model)


@settings(deadline=None)
@given(st.sampled_from(MODELS), st.sampled_from(PRECISIONS), st.integers(1, 10**6), st.integers(1, 10**6))
def test_more_tokens_never_need_less(model, precision, some, more):
    profile, kv = kv_profile(nine(model)), catalog.precision("kv_precision", precision)
    assert profile.bytes_per_sequence(some, kv) <= profile.bytes_per_sequence(some + more, kv)


@settings(deadline=None)
@given(st.sampled_from(MODELS), st.integers(1, 10**6))
def test_a_window_never_keeps_more_than_full_attention(model, context):
    profile = kv_profile(nine(model))
    everything = KvProfile(values_per_token=profile.values_per_token + sum(v for _, v in profile.windowed))
    assert profile.values(context) <= everything.values(context)


@settings(deadline=None)
@given(st.sampled_from(MODELS), st.sampled_from([1, 2, 4, 8]), st.integers(1, 4), st.integers(1, 10**5))
def test_ranks_together_hold_at_least_the_whole(model, tp, pp, context):
    spec = nine(model)
    stages = kv_profile_per_gpu(spec, tp, pp)
    assert len(stages) == pp
    together = tp * sum(stage.bytes_per_sequence(context, FP16) for stage in stages)
    assert together >= kv_profile(spec).bytes_per_sequence(context, FP16)
    assert tp * pp * weights_bytes_per_gpu(spec, tp=tp, pp=pp) >= weights_bytes_per_gpu(spec)
    assert weights_bytes_per_gpu(spec, tp=tp, pp=pp) <= weights_bytes_per_gpu(spec)


@pytest.mark.parametrize(
    ("layers", "pp", "stages"),
    # vLLM distributed/utils.py: the last stage is spared first, then the first.
    [(32, 2, (16, 16)), (61, 2, (31, 30)), (61, 4, (15, 15, 16, 15)), (10, 4, (2, 3, 3, 2)), (7, 1, (7,))],
)
def test_layers_of_stages(layers, pp, stages):
    assert layers_by_stage(layers, pp) == stages


def test_kinds_of_layer_have_their_own_precision():
    state = RecurrentState(conv_values=3, ssm_values=5)
    latent = LatentAttention(
        num_attention_heads=1, kv_lora_rank=512, qk_rope_head_dim=64, qk_nope_head_dim=128, v_head_dim=128
    )
    fp8 = catalog.precision("kv_precision", "fp8")
    assert layer_profile(state).bytes_per_sequence(10, fp8) == 3 * 2 + 5 * 4
    assert layer_profile(latent).bytes_per_sequence(10, fp8) == 576 * 10
