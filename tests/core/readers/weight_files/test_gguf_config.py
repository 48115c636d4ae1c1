"""Test converting GGUF metadata to config.json fields, compared with the config.json that each file was made from."""

from __future__ import annotations

import pytest

from core.errors import PlannerError
from core.model.kv_cache import kv_profile
from core.readers.hf_config import spec_from_config
from core.readers.weight_files.gguf_config import config_of_gguf
from core.readers.weight_files.gguf_header import Gguf, LongArray
from core.readers.weight_files.stored import StoredTensor, StoredTensors


def gguf(architecture: str, vocab_size: int, *, tied: bool = False, **keys: object) -> Gguf:
    """Return a model of one billion parameters; `keys` are its metadata, with "__" for the dot of a key."""
    tensors = [StoredTensor("token_embd.weight", "F16", (1000, vocab_size), 0, 10**9)]
    if not tied:
        tensors.append(StoredTensor("output.weight", "F16", (1000, vocab_size), 0, 0))
    metadata = {f"{architecture}.{key.replace('__', '.')}": value for key, value in keys.items()}
    return Gguf(
        metadata={"general.architecture": architecture, **metadata}, stored=StoredTensors(tensors=tuple(tensors))
    )


def period(kind: str, count: int, layers: int) -> list[str]:
    """Return `count - 1` layers of `kind`, then one of full attention, repeated."""
    return ["full_attention" if layer % count == count - 1 else kind for layer in range(layers)]


# Metadata as written by convert_hf_to_gguf.py, and the fields of the model's config.json that memory depends on.
CASES = {
    "meta-llama/Llama-3.1-70B": (
        gguf(
            "llama", 128256, block_count=80, context_length=131072, embedding_length=8192, feed_forward_length=28672,
            attention__head_count=64, attention__head_count_kv=8, attention__key_length=128,
            attention__value_length=128, rope__dimension_count=128,
        ),
        {
            "model_type": "llama", "num_hidden_layers": 80, "max_position_embeddings": 131072, "hidden_size": 8192,
            "intermediate_size": 28672, "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 128,
            "vocab_size": 128256, "tie_word_embeddings": False,
        },
    ),
    "mistralai/Mistral-7B-v0.1": (
        gguf(
            "llama", 32000, block_count=32, embedding_length=4096, feed_forward_length=14336,
            attention__head_count=32, attention__head_count_kv=8, attention__sliding_window=4096,
        ),
        {
            "model_type": "mistral", "num_hidden_layers": 32, "hidden_size": 4096, "intermediate_size": 14336,
            "num_attention_heads": 32, "num_key_value_heads": 8, "sliding_window": 4096, "vocab_size": 32000,
            "tie_word_embeddings": False,
        },
    ),
    "mistralai/Mixtral-8x7B-v0.1": (
        gguf(
            "llama", 32000, block_count=32, embedding_length=4096, feed_forward_length=14336,
            attention__head_count=32, attention__head_count_kv=8, expert_count=8, expert_used_count=2,
        ),
        {
            "model_type": "mixtral", "num_hidden_layers": 32, "hidden_size": 4096, "intermediate_size": 14336,
            "num_attention_heads": 32, "num_key_value_heads": 8, "num_local_experts": 8, "num_experts_per_tok": 2,
            "vocab_size": 32000, "tie_word_embeddings": False,
        },
    ),
    "google/gemma-3-27b": (
        gguf(
            "gemma3", 262208, tied=True, block_count=62, context_length=131072, embedding_length=5376,
            feed_forward_length=21504, attention__head_count=32, attention__head_count_kv=16,
            attention__key_length=128, attention__value_length=128, attention__sliding_window=1024,
        ),
        {
            "model_type": "gemma3_text", "num_hidden_layers": 62, "max_position_embeddings": 131072,
            "hidden_size": 5376, "intermediate_size": 21504, "num_attention_heads": 32, "num_key_value_heads": 16,
            "head_dim": 128, "sliding_window": 1024, "layer_types": period("sliding_attention", 6, 62),
            "vocab_size": 262208, "tie_word_embeddings": True,
        },
    ),
    "openai/gpt-oss-120b": (
        gguf(
            "gpt-oss", 201088, block_count=36, context_length=131072, embedding_length=2880, feed_forward_length=2880,
            expert_feed_forward_length=2880, attention__head_count=64, attention__head_count_kv=8,
            attention__key_length=64, attention__value_length=64, attention__sliding_window=128, expert_count=128,
            expert_used_count=4,
        ),
        {
            "model_type": "gpt_oss", "num_hidden_layers": 36, "max_position_embeddings": 131072, "hidden_size": 2880,
            "intermediate_size": 2880, "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 64,
            "sliding_window": 128, "layer_types": period("sliding_attention", 2, 36), "num_local_experts": 128,
            "num_experts_per_tok": 4, "vocab_size": 201088, "tie_word_embeddings": False,
        },
    ),
    "deepseek-ai/DeepSeek-V3": (
        gguf(
            "deepseek2", 129280, block_count=61, context_length=163840, embedding_length=7168,
            feed_forward_length=18432, attention__head_count=128, attention__head_count_kv=1,
            attention__key_length=576, attention__value_length=512, attention__key_length_mla=192,
            attention__value_length_mla=128, attention__q_lora_rank=1536, attention__kv_lora_rank=512,
            rope__dimension_count=64, leading_dense_block_count=3, expert_feed_forward_length=2048, expert_count=256,
            expert_shared_count=1, expert_used_count=8,
        ),
        {
            "model_type": "deepseek_v3", "num_hidden_layers": 61, "max_position_embeddings": 163840,
            "hidden_size": 7168, "intermediate_size": 18432, "num_attention_heads": 128, "num_key_value_heads": 128,
            "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128,
            "v_head_dim": 128, "first_k_dense_replace": 3, "moe_intermediate_size": 2048, "n_routed_experts": 256,
            "n_shared_experts": 1, "num_experts_per_tok": 8, "vocab_size": 129280, "tie_word_embeddings": False,
        },
    ),
    "deepseek-ai/DeepSeek-V3, older than llama.cpp's latent KV cache": (
        gguf(
            "deepseek2", 129280, block_count=61, embedding_length=7168, feed_forward_length=18432,
            attention__head_count=128, attention__head_count_kv=128, attention__key_length=192,
            attention__value_length=128, attention__q_lora_rank=1536, attention__kv_lora_rank=512,
            rope__dimension_count=64,
        ),
        {
            "model_type": "deepseek_v3", "num_hidden_layers": 61, "hidden_size": 7168, "intermediate_size": 18432,
            "num_attention_heads": 128, "num_key_value_heads": 128, "q_lora_rank": 1536, "kv_lora_rank": 512,
            "qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "v_head_dim": 128, "vocab_size": 129280,
            "tie_word_embeddings": False,
        },
    ),
    "Qwen/Qwen3-Next-80B-A3B-Instruct": (
        gguf(
            "qwen3next", 151936, block_count=48, context_length=262144, embedding_length=2048,
            feed_forward_length=5120, attention__head_count=16, attention__head_count_kv=2,
            attention__key_length=256, attention__value_length=256, expert_count=512, expert_used_count=10,
            expert_feed_forward_length=512, expert_shared_feed_forward_length=512, ssm__conv_kernel=4,
            ssm__state_size=128, ssm__group_count=16, ssm__time_step_rank=32, ssm__inner_size=4096,
        ),
        {
            "model_type": "qwen3_next", "num_hidden_layers": 48, "max_position_embeddings": 262144,
            "hidden_size": 2048, "intermediate_size": 5120, "num_attention_heads": 16, "num_key_value_heads": 2,
            "head_dim": 256, "num_experts": 512, "num_experts_per_tok": 10, "moe_intermediate_size": 512,
            "shared_expert_intermediate_size": 512, "linear_conv_kernel_dim": 4, "linear_key_head_dim": 128,
            "linear_num_key_heads": 16, "linear_num_value_heads": 32, "linear_value_head_dim": 128,
            "layer_types": period("linear_attention", 4, 48), "vocab_size": 151936, "tie_word_embeddings": False,
        },
    ),
    "zai-org/GLM-4.5-Air": (
        gguf(
            "glm4moe", 151552, block_count=47, nextn_predict_layers=1, embedding_length=4096,
            feed_forward_length=10944, attention__head_count=96, attention__head_count_kv=8,
            attention__key_length=128, attention__value_length=128, expert_count=128, expert_used_count=8,
            expert_shared_count=1, expert_feed_forward_length=1408, leading_dense_block_count=1,
        ),
        {
            "model_type": "glm4_moe", "num_hidden_layers": 46, "hidden_size": 4096, "intermediate_size": 10944,
            "num_attention_heads": 96, "num_key_value_heads": 8, "head_dim": 128, "n_routed_experts": 128,
            "num_experts_per_tok": 8, "n_shared_experts": 1, "moe_intermediate_size": 1408,
            "first_k_dense_replace": 1, "vocab_size": 151552, "tie_word_embeddings": False,
        },
    ),
    "meta-llama/Llama-4-Scout-17B-16E": (
        gguf(
            "llama4", 202048, block_count=48, embedding_length=5120, feed_forward_length=16384,
            attention__head_count=40, attention__head_count_kv=8, attention__key_length=128,
            attention__value_length=128, expert_count=16, expert_used_count=1, expert_feed_forward_length=8192,
            interleave_moe_layer_step=1,
        ),
        {
            "model_type": "llama4_text", "num_hidden_layers": 48, "hidden_size": 5120, "intermediate_size": 8192,
            "intermediate_size_mlp": 16384, "interleave_moe_layer_step": 1, "num_attention_heads": 40,
            "num_key_value_heads": 8, "head_dim": 128, "num_local_experts": 16, "num_experts_per_tok": 1,
            "attention_chunk_size": 8192, "layer_types": period("chunked_attention", 4, 48), "vocab_size": 202048,
            "tie_word_embeddings": False,
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("model, fields", CASES.values(), ids=CASES)
def test_the_fields_equal_those_of_the_original_config_json(model, fields):
    assert config_of_gguf(model) == fields | {"params_b": 1.0}


# KV cache bytes per token at 16 bits, without windows; (window, values per token). By hand from each config.json:
# layers with full attention × 2 × KV heads × head size × 2 bytes; DeepSeek 61 × (512 + 64) × 2.
KV_CACHE = {
    "meta-llama/Llama-3.1-70B": (327_680, ()),
    "mistralai/Mistral-7B-v0.1": (0, ((4096, 32 * 2 * 8 * 128),)),
    "mistralai/Mixtral-8x7B-v0.1": (131_072, ()),
    "google/gemma-3-27b": (81_920, ((1024, 52 * 2 * 16 * 128),)),
    "openai/gpt-oss-120b": (36_864, ((128, 18 * 2 * 8 * 64),)),
    "deepseek-ai/DeepSeek-V3": (70_272, ()),
    "deepseek-ai/DeepSeek-V3, older than llama.cpp's latent KV cache": (70_272, ()),
    "Qwen/Qwen3-Next-80B-A3B-Instruct": (24_576, ()),
    "zai-org/GLM-4.5-Air": (188_416, ()),
    "meta-llama/Llama-4-Scout-17B-16E": (49_152, ((8192, 36 * 2 * 8 * 128),)),
}


@pytest.mark.parametrize("name", CASES)
def test_the_kv_cache_of_each_model(name):
    spec = spec_from_config(config_of_gguf(CASES[name][0]), name=name)
    profile = kv_profile(spec)
    assert (2 * profile.values_per_token, profile.windowed) == KV_CACHE[name]
    assert spec.stated_parameters == 10**9


PLAIN = {"block_count": 4, "embedding_length": 64, "attention__head_count": 4, "attention__head_count_kv": 2}


def test_equal_values_per_layer_are_read_as_one():
    each_layer = PLAIN | {"attention__head_count_kv": [2] * 4, "feed_forward_length": [128] * 4}
    fields = config_of_gguf(gguf("llama", 32, **each_layer))
    assert (fields["num_key_value_heads"], fields["intermediate_size"]) == (2, 128)


def test_different_widths_are_left_out():
    assert "intermediate_size" not in config_of_gguf(gguf("llama", 32, **PLAIN, feed_forward_length=[1, 2, 3, 4]))


def test_a_pattern_in_the_file_replaces_the_one_of_llama_cpp():
    pattern = [True, True, False, True, False]
    keys = PLAIN | {"attention__sliding_window": 512, "attention__sliding_window_pattern": pattern}
    kinds = config_of_gguf(gguf("gemma3", 32, **keys))["layer_types"]
    assert kinds == ["sliding_attention", "sliding_attention", "full_attention", "sliding_attention"]


def test_without_an_embedding_the_tokens_are_counted():
    model = gguf("llama", 32, **PLAIN)
    model = Gguf(
        metadata={**model.metadata, "tokenizer.ggml.tokens": LongArray(77)},
        stored=StoredTensors(tensors=(StoredTensor("a", "F16", (1,), 2, 1),)),
    )
    assert config_of_gguf(model)["vocab_size"] == 77


BAD = {
    "no architecture": (Gguf(metadata={}, stored=StoredTensors(tensors=())), "general.architecture: it is missing"),
    "architecture of another type": (
        Gguf(metadata={"general.architecture": 7}, stored=StoredTensors(tensors=())), "general.architecture",
    ),
    "no layers": (gguf("llama", 32), "llama.block_count: it is missing"),
    "layers in words": (gguf("llama", 32, block_count="four"), "'four' is not a whole number"),
    "layers as true": (gguf("llama", 32, block_count=True), "TRUE is not a whole number"),
    "only layers that draft tokens": (gguf("llama", 32, block_count=1, nextn_predict_layers=1), "0 is below 1"),
    "heads that differ": (
        gguf("llama", 32, **PLAIN | {"attention__head_count_kv": [1, 2, 2, 2]}),
        "llama.attention.head_count_kv: it differs between layers",
    ),
    "too many heads": (gguf("llama", 32, **PLAIN | {"attention__head_count": LongArray(2**40)}), "values"),
    "no heads": (gguf("llama", 32, **PLAIN | {"attention__head_count_kv": []}), "differs between layers"),
    "heads of two sizes": (gguf("gemma4", 32, **PLAIN, attention__key_length_swa=256), "layers with a window"),
    "a pattern too short": (
        gguf("gemma3", 32, **PLAIN, attention__sliding_window=8, attention__sliding_window_pattern=[True]),
        "it has 1 entries for 4 layers",
    ),
    "a latent without heads": (gguf("deepseek2", 32, **PLAIN, attention__kv_lora_rank=512), "rotary part"),
}  # fmt: skip


@pytest.mark.parametrize("model, problem", BAD.values(), ids=BAD)
def test_the_error_names_the_unsupported_key(model, problem):
    with pytest.raises(PlannerError) as error:
        config_of_gguf(model)
    assert problem in str(error.value)
