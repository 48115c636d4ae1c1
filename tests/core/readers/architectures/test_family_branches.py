"""Test branches of the model families that no published config.json in other tests reaches.

The sizes are tiny, so that each figure can be computed by hand from the shapes of the weights.
"""

from __future__ import annotations

import re

import pytest

from core.errors import PlannerError, UnsupportedModelError
from core.model.kv_cache import kv_profile
from core.model.parameters import count_parameters, tensors_with_counts
from core.model.tensors import EXPERT, HEAD, MLP, ROUTER, VISION
from core.readers.architectures import multimodal
from core.readers.fields import Fields
from core.readers.hf_config import spec_from_config

# A layer of a Llama of this size: q and o 8 × 8, k and v 4 × 8 make 192; three projections of 8 × 16 make 384; two
# norms of 8 make 16. Together 592. Embedding, head and last norm make 80 + 80 + 8 = 168. One head of 4 caches 2 × 4.
TINY = {
    "hidden_size": 8,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 16,
    "vocab_size": 10,
    "tie_word_embeddings": False,
}
ATTENTION_LAYER, DENSE_BLOCK, NORMS, OUTER = 192, 384, 16, 168
CACHED = 8  # values per token and attention layer

# Latent attention: a latent of 4 and a rotary key of 2 are cached.
LATENT = {"kv_lora_rank": 4, "qk_rope_head_dim": 2, "qk_nope_head_dim": 4, "v_head_dim": 4, "q_lora_rank": 6}
LATENT_CACHED = 6

# Three experts of width 5: 3 × 3 × 8 × 5 parameters, and a router of 3 × 8.
EXPERTS, ROUTING = 360, 24


def read(model_type, **fields):
    return spec_from_config({"model_type": model_type, **fields}, name="m")


def total(spec):
    return count_parameters(spec).total


def shapes(spec, name):
    """Return shape → count of the tensors with this name."""
    counts = {}
    for tensor, times in tensors_with_counts(spec):
        if tensor.name == name:
            shape = tensor.rows, tensor.columns
            counts[shape] = counts.get(shape, 0) + times
    return counts


def error_of(model_type, **fields):
    with pytest.raises(UnsupportedModelError) as caught:
        read(model_type, **fields)
    return caught.value


# ---- recurrent layers ---------------------------------------------------------------------------------

# Mamba-2 of the width 16: in_proj (16 + 20 + 4) × 8, a convolution over 16 + 2 × 2 = 20 channels with a kernel of 4 and
# a bias, three vectors of 4 heads, a norm of 16, out_proj 8 × 16. Its states: 20 × 3 in 16 bits, 16 × 2 in 32 bits.
MAMBA2 = 320 + 100 + 12 + 16 + 128
MAMBA2_BYTES = 20 * 3 * 2 + 16 * 2 * 4


def test_jamba_with_one_expert_is_dense():
    """JambaDecoderLayer has a dense block if there is only one expert; layers 1 and 3 have attention."""
    spec = read("jamba", **TINY, num_experts=1, attn_layer_period=2, attn_layer_offset=1, mamba_d_state=2,
                mamba_d_conv=4, mamba_expand=2)  # fmt: skip
    counts = count_parameters(spec)
    assert (counts.of(MLP), counts.of(EXPERT), counts.of(ROUTER)) == (4 * DENSE_BLOCK, 0, 0)
    assert kv_profile(spec).values_per_token == 2 * CACHED
    # Mamba of width 16: a convolution over three tokens in 16 bits, a state of 2 in 32 bits.
    assert kv_profile(spec).fixed_bytes == 2 * (16 * 3 * 2 + 16 * 2 * 4)


@pytest.mark.parametrize(("indices", "attention"), [([1], 1), ([0, 3], 2), (None, 0)])
def test_bamba_has_attention_in_the_listed_layers(indices, attention):
    """BambaConfig.layers_block_type: Mamba-2 in the layers that are not listed, or in all without a list."""
    spec = read("bamba", **TINY, attn_layer_indices=indices, mamba_n_heads=4, mamba_d_head="auto", mamba_d_state=2,
                mamba_n_groups=1, mamba_d_conv=4, mamba_expand=2)  # fmt: skip
    recurrent = 4 - attention
    assert kv_profile(spec).values_per_token == attention * CACHED
    assert kv_profile(spec).fixed_bytes == recurrent * MAMBA2_BYTES
    assert total(spec) == OUTER + attention * ATTENTION_LAYER + recurrent * MAMBA2 + 4 * (DENSE_BLOCK + NORMS)


NEMOTRON = {**TINY, "head_dim": 4, "mamba_num_heads": 4, "mamba_head_dim": 4, "ssm_state_size": 2, "n_groups": 1,
            "conv_kernel": 4}  # fmt: skip


@pytest.mark.parametrize("pattern", ["M*?-", ""])
def test_nemotron_h_with_an_unknown_letter(pattern):
    error = error_of("nemotron_h", **NEMOTRON, hybrid_override_pattern=pattern)
    assert error.field == "hybrid_override_pattern"
    assert repr(pattern) in error.problem
    assert error.remedy == "Write M, *, - and E."


def test_nemotron_h_with_an_unknown_kind_of_layer():
    error = error_of("nemotron_h", **NEMOTRON, layers_block_type=["mamba", "attention", "mlp", "conv"])
    assert error.field == "layers_block_type"
    assert "'conv'" in error.problem
    assert error.remedy == "Write one of mamba, attention, mlp, moe."


@pytest.mark.parametrize(("indices", "attention"), [([1], 1), ([], 0), (None, 4)])
def test_lfm2_with_its_older_list_of_layers(indices, attention):
    """Lfm2Config: `full_attn_idxs` if there is no `layer_types`; without both, every layer is attention."""
    spec = read("lfm2", **TINY, full_attn_idxs=indices, conv_L_cache=3, block_auto_adjust_ff_dim=False)
    convolutions = 4 - attention
    assert kv_profile(spec).values_per_token == attention * CACHED
    assert kv_profile(spec).fixed_bytes == convolutions * 8 * 2 * 2  # two tokens of 8 channels in 16 bits
    # A convolution: in_proj 24 × 8, a kernel of 3 for 8 channels, out_proj 8 × 8. Attention has two norms of 4.
    mixers = convolutions * (192 + 24 + 64) + attention * (ATTENTION_LAYER + 8)
    assert total(spec) == OUTER + mixers + 4 * (DENSE_BLOCK + NORMS)


@pytest.mark.parametrize(
    ("adjusted", "width"),
    # Lfm2MLP: int(2 × 48 ÷ 3) = 32, half of it 16, rounded up to a multiple of 10; or 48 unchanged.
    [(True, 20), (False, 48)],
)
def test_lfm2_adjusts_its_width_unless_switched_off(adjusted, width):
    spec = read("lfm2", **TINY | {"intermediate_size": 48}, block_auto_adjust_ff_dim=adjusted, block_multiple_of=10,
                block_ffn_dim_multiplier=0.5)  # fmt: skip
    assert shapes(spec, "mlp.up_proj") == {(width, 8): 4}


@pytest.mark.parametrize(
    ("numbers", "attention"),
    # MiniMax-Text-01's attn_type_list: 1 is softmax attention. MiniMaxConfig without a list: every second layer,
    # beginning with the first.
    [([0, 0, 0, 1], 1), ([0, 1, 1, 1], 3), (None, 2)],
)
def test_minimax_with_its_older_list_of_layers(numbers, attention):
    spec = read("minimax", **TINY, attn_type_list=numbers, num_local_experts=3, num_experts_per_tok=1)
    assert kv_profile(spec).values_per_token == attention * CACHED
    assert kv_profile(spec).fixed_bytes == (4 - attention) * 2 * 4 * 4 * 4  # a 4 × 4 state for each of two heads


def test_minimax_without_a_list_begins_with_attention():
    """MiniMaxConfig: full attention in layers with an odd number, counted from 1."""
    spec = read("minimax", **TINY | {"num_hidden_layers": 3}, num_local_experts=3, num_experts_per_tok=1)
    assert kv_profile(spec).values_per_token == 2 * CACHED


KIMI = {**TINY, **LATENT, "num_hidden_layers": 2, "num_experts": 3, "num_experts_per_token": 1,
        "moe_intermediate_size": 5, "num_shared_experts": 1, "first_k_dense_replace": 1}  # fmt: skip
KIMI_LINEAR = {"num_heads": 2, "head_dim": 4, "short_conv_kernel_size": 4, "kda_layers": [1], "full_attn_layers": [2]}


def test_kimi_linear_without_its_list_of_layers():
    without = {name: value for name, value in KIMI_LINEAR.items() if name != "kda_layers"}
    error = error_of("kimi_linear", **KIMI, linear_attn_config=without)
    assert (error.field, error.problem) == ("linear_attn_config.kda_layers", "it is missing")
    assert "counted from 1" in error.remedy


@pytest.mark.parametrize("with_norm", [True, False])
def test_kimi_experts_of_another_width(with_norm):
    """Projections into the experts' width and back, with or without a norm, in the one layer with experts."""
    spec = read("kimi_linear", **KIMI, linear_attn_config=KIMI_LINEAR, routed_expert_hidden_size=6,
                latent_moe_use_norm=with_norm)  # fmt: skip
    assert shapes(spec, "mlp.routed_expert_down_proj") == {(6, 8): 1}
    assert shapes(spec, "mlp.routed_expert_up_proj") == {(8, 6): 1}
    assert shapes(spec, "mlp.routed_expert_norm") == ({(6, 1): 1} if with_norm else {})
    assert count_parameters(spec).of(EXPERT) == 3 * 3 * 6 * 5


@pytest.mark.parametrize(("group", "layers", "full"), [(2, 3, 1), (4, 7, 1), (None, 11, 1)])
def test_bailing_hybrid_has_latent_attention_at_the_end_of_each_group(group, layers, full):
    """BailingHybridConfig: groups of `layer_group_size` layers, by default 6."""
    given = {} if group is None else {"layer_group_size": group}
    spec = read("bailing_hybrid", **TINY | {"num_hidden_layers": layers}, **LATENT, **given, num_experts=3,
                num_experts_per_tok=1, moe_intermediate_size=5, linear_num_heads=2, linear_head_dim=4)  # fmt: skip
    assert kv_profile(spec).values_per_token == full * LATENT_CACHED
    # Three convolutions of 8 channels over three tokens in 16 bits, and two states of 4 × 4 in 32 bits.
    assert kv_profile(spec).fixed_bytes == (layers - full) * (3 * 8 * 3 * 2 + 2 * 4 * 4 * 4)
    assert shapes(spec, "self_attn.kv_b_proj") == {(2 * (4 + 4), 4): full}


ZAMBA2 = {**TINY, "num_key_value_heads": 2, "tie_word_embeddings": True, "mamba_d_state": 2, "mamba_d_conv": 4,
          "mamba_expand": 2, "mamba_ngroups": 1, "n_mamba_heads": 4, "adapter_rank": 2, "num_mem_blocks": 1}  # fmt: skip


def test_zamba2_without_kinds_of_layers():
    error = error_of("zamba2", **ZAMBA2)
    assert (error.field, error.problem) == ("layers_block_type", "it is missing")


@pytest.mark.parametrize(("adapters", "adapter_parameters"), [(False, 0), (True, 2 * 3 * (2 * 16 + 16 * 2))])
def test_zamba2_with_and_without_adapters_of_attention(adapters, adapter_parameters):
    """Zamba2Attention: adapters of rank 2 for q, k and v, from 16 to 16, in both hybrid layers."""
    spec = read("zamba2", **ZAMBA2, layers_block_type=["mamba", "hybrid", "hybrid", "mamba"],
                use_shared_attention_adapter=adapters)  # fmt: skip
    # The block that both hybrid layers share reads 16 values: q, k and v 16 × 16, o 8 × 16, two norms.
    shared = 3 * 256 + 128 + DENSE_BLOCK + 16 + 8
    hybrid = 8 * 8 + 2 * 8 + 2 * 16 * 2  # `linear`, and the adapter of the feed-forward block
    assert total(spec) == 80 + 8 + 4 * (MAMBA2 + 8) + shared + 2 * hybrid + adapter_parameters
    assert kv_profile(spec).values_per_token == 2 * 2 * 2 * 8  # each of both layers has a cache, with two heads of 8


@pytest.mark.parametrize("kinds", [["linear_attention", "sliding_attention"], None])
def test_recurrent_gemma_with_layer_types_or_its_pattern(kinds):
    """RecurrentGemmaConfig.layers_block_type: "sliding_attention" is local attention; without it, block_types."""
    spec = read("recurrent_gemma", **TINY | {"num_hidden_layers": 2}, lru_width=8, conv1d_width=4,
                attention_window_size=16, layer_types=kinds, block_types=["recurrent", "attention"])  # fmt: skip
    assert (kv_profile(spec).values_per_token, kv_profile(spec).windowed) == (0, ((16, CACHED),))
    assert kv_profile(spec).fixed_bytes == 8 * 3 * 2 + 8 * 4


LONGCAT = {"hidden_size": 8, "num_layers": 2, "num_attention_heads": 2, "vocab_size": 10, "tie_word_embeddings": False,
           "n_routed_experts": 3, "moe_topk": 1, "expert_ffn_hidden_size": 5, "ffn_hidden_size": 16, **LATENT}  # fmt: skip


@pytest.mark.parametrize("empty_experts", [0, 2])
def test_longcat_flash(empty_experts):
    """Two latent attentions and two dense blocks per layer; empty experts have only rows in the router."""
    spec = read("longcat_flash", **LONGCAT, zero_expert_num=empty_experts)
    # q_a 6 × 8, its norm, q_b 12 × 6, kv_a 6 × 8, its norm, kv_b 16 × 4, o 8 × 8.
    latent = 48 + 6 + 72 + 48 + 4 + 64 + 64
    router = (3 + empty_experts) * (8 + 1)  # a row and a correction bias each
    layer = 2 * latent + 2 * DENSE_BLOCK + EXPERTS + router + 4 * 8
    assert total(spec) == OUTER + 2 * layer
    assert count_parameters(spec).of(ROUTER) == 2 * (3 + empty_experts) * 8
    assert kv_profile(spec).values_per_token == 2 * 2 * LATENT_CACHED


def test_longcat_flash_as_published():
    """arXiv:2509.01322: 560 billion parameters. The fields are the defaults of LongcatFlashConfig."""
    spec = read("longcat_flash", hidden_size=6144, num_layers=28, num_attention_heads=64, vocab_size=131072,
                kv_lora_rank=512, q_lora_rank=1536, qk_rope_head_dim=64, qk_nope_head_dim=128, v_head_dim=128,
                n_routed_experts=512, zero_expert_num=256, moe_topk=12, expert_ffn_hidden_size=2048,
                ffn_hidden_size=12288)  # fmt: skip
    assert total(spec) == pytest.approx(560e9, rel=0.005)


# ---- experts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("experts", [None, 0])
def test_deepseek_without_experts_is_a_llama(experts):
    """DeepSeek's modeling_deepseek.py: experts only if `n_routed_experts` is not null."""
    spec = read("deepseek", **TINY, n_routed_experts=experts)
    assert total(spec) == total(read("llama", **TINY)) == OUTER + 4 * (ATTENTION_LAYER + DENSE_BLOCK + NORMS)


@pytest.mark.parametrize(("gating", "rows"), [(True, 2), ("per-head", 2), ("per-element", 8)])
def test_laguna_with_equal_heads_in_all_layers(gating, rows):
    """LagunaConfig: `num_attention_heads` if there is no list; a gate for each head, or for each of 2 × 4 values."""
    spec = read("laguna", **TINY, head_dim=4, gating=gating, mlp_layer_types=4 * ["dense"])
    assert shapes(spec, "self_attn.g_proj") == {(rows, 8): 4}
    layer = ATTENTION_LAYER + 2 * 4 + rows * 8 + DENSE_BLOCK + NORMS  # two norms of one head's size
    assert total(spec) == OUTER + 4 * layer


def test_afmoe():
    """A gate for each of 2 × 4 values, four norms, one dense layer, then layers with shared and routed experts."""
    spec = read("afmoe", **TINY, head_dim=4, num_dense_layers=1, num_experts=3, num_experts_per_tok=1,
                moe_intermediate_size=5, num_shared_experts=2, sliding_window=16)  # fmt: skip
    every = ATTENTION_LAYER + 2 * 4 + 8 * 8 + 4 * 8
    sparse = EXPERTS + ROUTING + 3 + 3 * 8 * (2 * 5)
    assert shapes(spec, "self_attn.gate_proj") == {(8, 8): 4}
    assert total(spec) == OUTER + 4 * every + DENSE_BLOCK + 3 * sparse
    # AfmoeConfig: the fourth layer has full attention.
    assert (kv_profile(spec).values_per_token, kv_profile(spec).windowed) == (CACHED, ((16, 3 * CACHED),))


def test_llama_4_with_too_short_a_list():
    error = error_of("llama4_text", **TINY, head_dim=4, no_rope_layers=[1, 1, 0], num_local_experts=3)
    assert error.field == "no_rope_layers"
    assert error.problem == "it has 3 entries for 4 layers"


def test_mimo_v2_without_its_pattern():
    error = error_of("mimo_v2_flash", **TINY, head_dim=4, sliding_window=16)
    assert (error.field, error.problem) == ("hybrid_layer_pattern", "it is missing")
    assert "1 for each layer with a window" in error.remedy


SPARSE = {"sparse_num_index_heads": 2, "sparse_index_dim": 4, "sparse_attention_freq": [0, 1, 1, 1]}


@pytest.mark.parametrize(
    ("settings", "indexers"),
    [({}, 0), ({"sparse_attention_config": SPARSE}, 3),
     ({"sparse_attention_config": SPARSE | {"use_sparse_attention": False}}, 0)],
)  # fmt: skip
def test_minimax_m3_has_indexers_where_attention_is_sparse(settings, indexers):
    """MiniMaxM3VLTextConfig: without `sparse_attention_freq` all layers have full attention."""
    spec = read("minimax_m3_vl_text", **TINY, **settings, head_dim=4, num_local_experts=3, num_experts_per_tok=1)
    assert kv_profile(spec).values_per_token == 4 * CACHED
    assert kv_profile(spec).index_bytes_per_token == indexers * 4 * 2  # a key of 4 values in 16 bits
    assert shapes(spec, "self_attn.indexer.q_proj") == ({(2 * 4, 8): indexers} if indexers else {})


ERNIE_VL = {**TINY, "moe_num_experts": [3, 2], "moe_intermediate_size": [5, 4], "moe_k": 1, "moe_num_shared_experts": 1}


@pytest.mark.parametrize(("start", "sparse"), [({"moe_layer_start_index": [2, 2]}, 2),
                                               ({"moe_layer_start_index": 3}, 1), ({}, 3)])  # fmt: skip
def test_ernie_vl_begins_with_dense_layers(start, sparse):
    """`moe_layer_start_index` is the number of dense layers, by default 1 (Ernie4_5_VLMoeTextConfig)."""
    spec = read("ernie4_5_vl_moe_text", **ERNIE_VL, **start)
    counts = count_parameters(spec)
    assert counts.of(EXPERT) == sparse * (EXPERTS + 2 * 3 * 8 * 4)  # three for text, two of width 4 for images
    assert counts.of(ROUTER) == sparse * (3 + 2) * 8
    assert counts.of(MLP) == (4 - sparse) * DENSE_BLOCK + sparse * 3 * 8 * 5


@pytest.mark.parametrize("value", ["wide", [5, "wide"], [5, 4, 3], None])
def test_ernie_vl_with_widths_that_are_not_a_pair(value):
    error = error_of("ernie4_5_vl_moe_text", **ERNIE_VL | {"moe_intermediate_size": value})
    assert error.field == "moe_intermediate_size"
    assert error.problem == f"{value!r} is not a number for text and one for vision"


STEP3 = {**TINY, "head_dim": 4, "moe_num_experts": 3, "moe_top_k": 1, "moe_intermediate_size": 5, "share_expert_dim": 6}


@pytest.mark.parametrize(("gated", "gates"), [({}, {(2, 8): 4}), ({"use_head_wise_attn_gate": False}, {})])
def test_step_3_without_gates(gated, gates):
    spec = read("step3p5", **STEP3, **gated, moe_layers_enum=[3])
    assert shapes(spec, "self_attn.g_proj") == gates


@pytest.mark.parametrize("listed", ["1, 3", "1,3", [1, 3]])
def test_step_3_lists_its_layers_with_experts(listed):
    """Step3p7TextConfig: `moe_layers_enum` is a list, or a text with commas."""
    counts = count_parameters(read("step3p5", **STEP3, moe_layers_enum=listed))
    assert (counts.of(EXPERT), counts.of(ROUTER)) == (2 * EXPERTS, 2 * ROUTING)
    assert counts.of(MLP) == 2 * DENSE_BLOCK + 2 * 3 * 8 * 6


HUNYUAN = {**TINY, "num_experts": 3, "moe_topk": 1, "cla_share_factor": 2, "num_shared_expert": 2}


@pytest.mark.parametrize(("use_cla", "sharing"), [(True, 2), (False, 0)])
@pytest.mark.parametrize("mixed", [True, False])
def test_hunyuan_shares_caches_between_layers(use_cla, sharing, mixed):
    """vLLM's HunYuanCrossAttention projects only queries and output; shared experts only with `use_mixed_mlp_moe`."""
    spec = read("hunyuan", **HUNYUAN, use_cla=use_cla, use_mixed_mlp_moe=mixed)
    assert kv_profile(spec).values_per_token == (4 - sharing) * CACHED
    block = (3 + 2 * mixed) * DENSE_BLOCK + ROUTING
    assert total(spec) == OUTER + 4 * (ATTENTION_LAYER + block + NORMS) - sharing * 2 * 4 * 8  # k and v 4 × 8


def test_hunyuan_large_as_published():
    """arXiv:2411.02265: 389 billion parameters, 52 billion active; the fields are those of its config.json."""
    spec = read("hunyuan", hidden_size=6400, num_hidden_layers=64, num_attention_heads=80, num_key_value_heads=8,
                intermediate_size=18304, vocab_size=128512, num_experts=16, moe_topk=1, num_shared_expert=1,
                use_mixed_mlp_moe=True, use_cla=True, cla_share_factor=2, tie_word_embeddings=True)  # fmt: skip
    assert round(total(spec) / 1e9) == 389
    assert count_parameters(spec).active / 1e9 == pytest.approx(52, abs=1)


# ---- dense decoders ------------------------------------------------------------------------------------


def test_mpt_with_norms_of_queries_and_keys():
    error = error_of("mpt", d_model=8, n_layers=2, n_heads=2, vocab_size=10, attn_config={"qk_ln": True})
    assert error.field == "attn_config.qk_ln"
    assert "norms of queries and keys" in error.problem


@pytest.mark.parametrize("model_type", ["cwm", "granite_swa"])
@pytest.mark.parametrize(("window", "width"), [({"sliding_window": 16}, 16), ({}, None)])
def test_every_fourth_layer_has_full_attention(model_type, window, width):
    """CwmConfig and GraniteSwaConfig without `layer_types`: layers 0, 4, …; the windows are 8192 and 128."""
    spec = read(model_type, **TINY | {"num_hidden_layers": 6}, **window, head_dim=4)
    width = width or {"cwm": 8192, "granite_swa": 128}[model_type]
    assert (kv_profile(spec).values_per_token, kv_profile(spec).windowed) == (2 * CACHED, ((width, 4 * CACHED),))


@pytest.mark.parametrize(("flag", "kv_heads"), [(False, 2), (True, 1)])
def test_chatglm_with_and_without_groups_of_heads(flag, kv_heads):
    """ChatGLM's own code: as many KV heads as query heads unless `multi_query_attention` is set."""
    spec = read("chatglm", hidden_size=8, num_layers=4, num_attention_heads=2, kv_channels=4, ffn_hidden_size=16,
                padded_vocab_size=10, multi_query_attention=flag, multi_query_group_num=1)  # fmt: skip
    assert kv_profile(spec).values_per_token == 4 * 2 * kv_heads * 4
    assert shapes(spec, "self_attn.k_proj") == {(kv_heads * 4, 8): 4}


WHOLE_BLOCK = {"attention": {"n_heads_in_group": 2}, "ffn": {"ffn_mult": 1}}


def nas(*blocks):
    return {**TINY, "num_hidden_layers": len(blocks), "num_key_value_heads": None, "block_configs": list(blocks)}


def test_nemotron_nas_layers_without_attention_or_without_a_block():
    """vLLM's nemotron_nas leaves out that part and its norm; a block is 2 × 8 ÷ 3 wide, up to a multiple of 256."""
    spec = read("nemotron-nas", **nas(
        WHOLE_BLOCK,
        {"attention": {"no_op": True}, "ffn": {"ffn_mult": 1}},
        {"attention": {"n_heads_in_group": 1}, "ffn": {"no_op": True}},
    ))  # fmt: skip
    block = 3 * 8 * 256
    assert count_parameters(spec).of(MLP) == 2 * block
    assert total(spec) == OUTER + (192 + block + 16) + (block + 8) + (4 * 64 + 8)
    assert kv_profile(spec).values_per_token == CACHED + 2 * CACHED  # one head, and two


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        ({"attention": {"replace_with_linear": True}, "ffn": {"ffn_mult": 1}}, "replacing attention"),
        ({"attention": {"n_heads_in_group": 2, "window_length": 16}, "ffn": {"ffn_mult": 1}}, "attention with a window"),
        ({"attention": {"n_heads_in_group": 2, "num_sink_tokens": 4}, "ffn": {"ffn_mult": 1}},
         "attention with a window"),
        ({"attention": {"n_heads_in_group": 2}, "ffn": {"replace_with_linear": True}}, "replacing a feed-forward block"),
        ("none", "it has an entry that is not an object"),
    ],
)  # fmt: skip
def test_nemotron_nas_layers_that_are_not_supported(block, problem):
    error = error_of("nemotron-nas", **nas(WHOLE_BLOCK, block))
    assert error.field == "block_configs"
    assert error.problem.startswith(problem)


@pytest.mark.parametrize(
    ("given", "problem"),
    [({}, "it is missing"), ({"block_configs": None}, "it is missing"),
     ({"block_configs": []}, "it has 0 entries for 4 layers")],
)  # fmt: skip
def test_nemotron_nas_without_its_list_of_layers(given, problem):
    error = error_of("nemotron-nas", **TINY | given)
    assert (error.field, error.problem) == ("block_configs", problem)


def test_gemma_4_has_full_attention_in_its_last_layer():
    """Gemma4TextConfig without `layer_types`: every sixth layer and always the last one."""
    spec = read("gemma4_text", **TINY, head_dim=4, global_head_dim=6, sliding_window=16)
    # The last layer's one head has 6 values for the key and 6 for the value.
    assert (kv_profile(spec).values_per_token, kv_profile(spec).windowed) == (12, ((16, 3 * CACHED),))


@pytest.mark.parametrize("other", [{}, {"rope_theta": 10_000.0}])
def test_gemma_4_has_a_rotary_table_for_each_kind_of_layer(other):
    """100 positions × (6 values for full attention + 4 for windows); what is no kind of layer has no table."""
    rope = {"full_attention": {"rope_type": "default"}, "sliding_attention": {"rope_type": "default"}, **other}
    more = {"global_head_dim": 6, "sliding_window": 16, "max_position_embeddings": 100, "rope_parameters": rope}
    assert read("gemma4_text", **TINY, head_dim=4, **more).rotary_values == 1000


# ---- latent attention ----------------------------------------------------------------------------------

DSA = {**TINY, **LATENT, "index_n_heads": 2, "index_head_dim": 4, "index_topk": 8, "first_k_dense_replace": 4,
       "n_routed_experts": 3, "num_experts_per_tok": 1, "moe_intermediate_size": 5}  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "indexers"),
    [
        ("FSSF", 2), (["F", "S", "S", "S"], 1), ("FFFF", 4), (["full", "shared", "shared", "full"], 2),
        ("FSSSF", 1),  # the fifth letter is for a layer that drafts tokens, which is not counted
    ],
)  # fmt: skip
def test_a_pattern_marks_the_layers_with_an_indexer(pattern, indexers):
    """GlmMoeDsaConfig: F has an indexer, S uses the choice of the last layer with one."""
    spec = read("glm_moe_dsa", **DSA, index_topk_pattern=pattern)
    assert shapes(spec, "self_attn.indexer.wq_b") == {(2 * 4, 6): indexers}
    # An index key is 4 bytes and one 32-bit scale.
    assert kv_profile(spec).index_bytes_per_token == indexers * (4 + 4)
    assert kv_profile(spec).values_per_token == 4 * LATENT_CACHED


@pytest.mark.parametrize("pattern", ["FS", "FSSX", ["full", "none", "full", "full"]])
def test_a_pattern_without_a_known_letter_for_each_layer(pattern):
    with pytest.raises(UnsupportedModelError, match="does not have F or S for each of 4 layers"):
        read("glm_moe_dsa", **DSA, index_topk_pattern=pattern)


V4 = {**TINY, "head_dim": 4, "q_lora_rank": 6, "o_groups": 1, "o_lora_rank": 4, "sliding_window": 16,
      "index_head_dim": 4, "index_n_heads": 2, "hc_mult": 2, "n_routed_experts": 3, "num_experts_per_tok": 1,
      "moe_intermediate_size": 5, "num_nextn_predict_layers": 0}  # fmt: skip
V4_KINDS = ["sliding_attention", "compressed_sparse_attention", "heavily_compressed_attention", "sliding_attention"]


def test_deepseek_v4_needs_ratios():
    error = error_of("deepseek_v4", **V4)
    assert (error.field, error.problem) == ("compress_ratios", "it is missing")


@pytest.mark.parametrize(
    ("field", "kinds", "remedy"),
    [
        ("layer_types", [*V4_KINDS[:3], "full_attention"],
         "Write one of compressed_sparse_attention, heavily_compressed_attention, sliding_attention."),
        ("mlp_layer_types", ["hash_moe", "moe", "moe", "full_attention"], "Write hash_moe or moe."),
    ],
)  # fmt: skip
def test_deepseek_v4_with_an_unknown_kind_of_layer(field, kinds, remedy):
    error = error_of("deepseek_v4", **V4 | {"layer_types": V4_KINDS, field: kinds})
    assert error.field == field
    assert error.problem == "'full_attention' is not supported"
    assert error.remedy == remedy


# ---- encoder and decoder -------------------------------------------------------------------------------

T5 = {"d_model": 8, "d_kv": 4, "d_ff": 16, "num_heads": 3, "num_layers": 2, "vocab_size": 10,
      "relative_attention_num_buckets": 5}  # fmt: skip


@pytest.mark.parametrize(
    ("model_type", "fields", "projections", "tables", "head"),
    [
        ("t5", {}, 2, 2, 0),
        ("t5", {"feed_forward_proj": "gated-gelu"}, 3, 2, 0),
        ("t5", {"is_gated_act": True, "tie_word_embeddings": False}, 3, 2, 80),
        ("mt5", {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}, 3, 2, 80),
        ("umt5", {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}, 3, 2 + 3, 80),
    ],
)
def test_t5_and_its_variants(model_type, fields, projections, tables, head):
    """T5Block: positions in the first layer of each half; UMT5Block: in every layer. 5 buckets for 3 heads."""
    spec = read(model_type, **T5, **fields, num_decoder_layers=3)
    attention = 4 * 12 * 8  # q, k, v and o for 3 heads of 4
    block = projections * 8 * 16
    encoder, decoder = 2 * (attention + block + 2 * 8) + 8, 3 * (2 * attention + block + 3 * 8) + 8
    assert total(spec) == 80 + encoder + decoder + tables * 5 * 3 + head
    assert count_parameters(spec).of(HEAD) == head
    # Each of the decoder's three layers caches its own tokens and the encoder's, with keys and values 12 wide.
    assert kv_profile(spec).values_per_token == 3 * 2 * 2 * 12


@pytest.mark.parametrize(
    ("model_type", "fields", "parameters"),
    [
        # t5-small: embedding 32128 × 512; 6 × 3 146 752 and 6 × 4 195 840; two norms of 512; two tables of 32 × 8.
        ("t5", {"d_ff": 2048, "num_heads": 8, "num_layers": 6, "vocab_size": 32128}, 60_506_624),
        # flan-t5-small: embedding and head; 8 × 2 360 320 and 8 × 3 147 264; two norms; two tables of 32 × 6.
        ("t5", {"d_ff": 1024, "num_heads": 6, "num_layers": 8, "vocab_size": 32128, "tie_word_embeddings": False,
                "feed_forward_proj": "gated-gelu"}, 76_961_152),
    ],
)  # fmt: skip
def test_small_t5_as_published(model_type, fields, parameters):
    """The counts of the checkpoints on the hub; the second has a separate head."""
    assert total(read(model_type, d_model=512, d_kv=64, relative_attention_num_buckets=32, **fields)) == parameters


# ---- towers --------------------------------------------------------------------------------------------

TOWER = {"hidden_size": 4, "intermediate_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 4,
         "patch_size": 2}  # fmt: skip
TEXT = {**TINY, "model_type": "llama"}


def test_a_tower_that_the_family_does_not_have():
    error = error_of("llava", text_config=TEXT, vision_config=TOWER, audio_config={"hidden_size": 4})
    assert (error.field, error.problem) == ("audio_config", "this tower is not supported for llava")


def test_a_tower_of_an_unknown_type():
    error = error_of("llava", text_config=TEXT, vision_config=TOWER | {"model_type": "lighthouse"})
    assert error.field == "vision_config.model_type"
    assert "'lighthouse' is not a supported tower" in error.problem
    assert error.remedy == "Remove vision_config to count the model without it."


def test_llama_3_vision_without_its_list_of_layers():
    error = error_of("mllama", text_config=TINY | {"model_type": "mllama_text_model"})
    assert (error.field, error.problem) == ("text_config.cross_attention_layers", "it is missing")


@pytest.mark.parametrize("name", ["siglip_vision_model", ""])
def test_phi_3_vision_with_another_tower(name):
    error = error_of("phi3_v", **TINY, img_processor={"name": name, "image_dim_out": 4})
    assert (error.field, error.problem) == ("img_processor.name", f"{name!r} is not a supported tower")


def test_gemma_3n_with_another_tower():
    text = {**TINY, "model_type": "gemma3n_text", "altup_num_inputs": 2, "laurel_rank": 2, "head_dim": 4}
    error = error_of("gemma3n", text_config=text, vision_config={"architecture": "mobilenetv5_base"})
    assert error.field == "vision_config.architecture"
    assert error.problem == "'mobilenetv5_base' is not a supported tower"


@pytest.mark.parametrize("model_type", ["smolvlm", "idefics3"])
def test_pixels_are_shuffled_into_channels(model_type):
    """SmolVLMSimpleMLP: 3 × 3 patches of 4 channels side by side, no bias."""
    spec = read(model_type, text_config=TEXT, vision_config=TOWER, scale_factor=3)
    assert shapes(spec, "connector.modality_projection") == {(8, 4 * 9): 1}
    assert shapes(spec, "connector.modality_projection.bias") == {}


def test_cohere_2_vision_has_a_gated_projector():
    """Cohere2VisionMultiModalProjector: half of the first layer's 6 outputs gates the other half."""
    spec = read("cohere2_vision", text_config=TEXT | {"model_type": "cohere2"}, vision_config=TOWER,
                alignment_intermediate_size=6, downsample_factor=2)  # fmt: skip
    assert shapes(spec, "multi_modal_projector.linear_1") == {(6, 4 * 4): 1}
    assert shapes(spec, "multi_modal_projector.linear_2") == {(8, 3): 1}
    assert shapes(spec, "multi_modal_projector.linear_1.bias") == {(6, 1): 1}


def step3_tower(spec):
    """Return the parameters of the tower and of its projector."""
    all_tensors = [(tensor, times) for tensor, times in tensors_with_counts(spec) if tensor.group == VISION]
    inside = sum(times * tensor.parameters for tensor, times in all_tensors if tensor.name.startswith("vision_model."))
    return inside, count_parameters(spec).of(VISION) - inside


@pytest.mark.parametrize("names", [("width", "layers"), ("hidden_size", "num_hidden_layers")])
def test_step_3_tower(names):
    """Step3p7VisionModel with the names of the checkpoint or of transformers; two convolutions after the layers."""
    width, layers = names
    spec = read("step3p7", text_config=STEP3 | {"model_type": "step3p5"},
                vision_config={width: 4, layers: 2, "mlp_ratio": 2, "image_size": 4, "patch_size": 2})  # fmt: skip
    # Four projections of 4 × 4 with biases, a block of 8 with biases, two norms with biases, two scales.
    layer = 4 * (16 + 4) + (2 * 4 * 8 + 8 + 4) + 2 * 8 + 2 * 4
    # Patches of 3 × 2 × 2 values, four positions, a norm; then 3 × 3 areas to 8 and to 16 channels.
    around = 4 * 12 + 4 * 4 + 8 + (8 * 4 * 9 + 8) + (16 * 8 * 9 + 16)
    assert step3_tower(spec)[0] == around + 2 * layer


@pytest.mark.parametrize(("bias", "bias_parameters"), [(False, 0), (True, 8)])
def test_step_3_projector(bias, bias_parameters):
    """Step3p7Model: from the 4 × 4 channels of the last convolution, with a bias if `projector_bias` is true."""
    tower = TOWER | {"mlp_ratio": 2}
    spec = read("step3p7", text_config=STEP3 | {"model_type": "step3p5"}, vision_config=tower, projector_bias=bias)
    assert step3_tower(spec)[1] == 8 * 16 + bias_parameters


@pytest.mark.parametrize(
    ("qkv_bias", "query_norm", "norm_type", "layer"),
    # q, k, v and o 4 × 4, o's bias; a block of 8 with biases; two scales; then biases of q, k, v, two norms of 4, and
    # the biases of the two norms around.
    [
        (False, False, "rms_norm", 64 + 4 + 76 + 8 + 8),
        (False, True, "rms_norm", 64 + 4 + 76 + 8 + 8 + 8),
        (True, False, "layer_norm", 64 + 4 + 76 + 8 + 12 + 16),
    ],
)
def test_internvl_with_its_original_field_names(qkv_bias, query_norm, norm_type, layer):
    """OpenGVLab's modeling_intern_vit.py and the `mlp1` of modeling_internvl_chat.py."""
    tower = TOWER | {"model_type": "intern_vit_6b", "qkv_bias": qkv_bias, "qk_normalization": query_norm,
                     "norm_type": norm_type}  # fmt: skip
    spec = read("internvl_chat", llm_config=TINY | {"model_type": "qwen2"}, vision_config=tower, downsample_ratio=0.5)
    # A class token, 4 + 1 positions, patches of 12 values with a bias.
    before = 4 + 5 * 4 + 4 * 12 + 4
    # A norm of 4 × 4 with its bias, then two layers with biases.
    after = 2 * 16 + (8 * 16 + 8) + (8 * 8 + 8)
    assert count_parameters(spec).of(VISION) == before + 2 * layer + after


# ---- impossible and rare fields ------------------------------------------------------------------------


def test_incomplete_nemotron_nas_layers_are_refused():
    for block, problem in [
        ({"attention": {}, "ffn": {"ffn_mult": 1.0}}, "block_configs.attention.n_heads_in_group: it is missing"),
        ({"attention": {"n_heads_in_group": 0}, "ffn": {"ffn_mult": 1.0}}, "n_heads_in_group: 0 is below 1"),
        ({"attention": {"no_op": True}, "ffn": {}}, "block_configs.ffn.ffn_mult: it is missing"),
        ({"attention": "all", "ffn": {"ffn_mult": 1.0}}, "block_configs: attention is 'all', which is not an object"),
    ]:
        config = {"model_type": "nemotron-nas", "hidden_size": 96, "num_hidden_layers": 1, "num_attention_heads": 4,
                  "vocab_size": 10, "block_configs": [block]}  # fmt: skip
        with pytest.raises(PlannerError, match=re.escape(problem)):
            spec_from_config(config, name="m")


@pytest.mark.parametrize("kind", [{}, [], ["mamba"]])
def test_a_kind_of_layer_that_is_not_text_is_refused(kind):
    config = {"model_type": "recurrent_gemma", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
              "intermediate_size": 8, "vocab_size": 10, "block_types": [kind]}  # fmt: skip
    with pytest.raises(PlannerError, match="is not a supported kind of layer"):
        spec_from_config(config, name="m")


def test_step_3_projector_with_either_name_of_the_width():
    """A projection from 4 × 4 values of a tower 4 wide to 8: 128 parameters."""
    for name in ("width", "hidden_size"):
        tower = Fields({name: 4}, "step3p5_vision", path="vision_config.", nested=True)
        (projector,) = multimodal._step3_projector(Fields({"projector_bias": False}, "step3p7"), tower, 8)
        assert projector.parameters == 8 * 4 * 4


def test_mt5_is_gated_where_t5_is_not():
    """Transformers models/mt5 and models/umt5: the default is "gated-gelu", and "relu" for T5."""
    shape = {"d_model": 8, "d_kv": 4, "d_ff": 16, "num_heads": 2, "num_layers": 1, "num_decoder_layers": 1,
             "vocab_size": 10, "relative_attention_num_buckets": 4}  # fmt: skip
    counted = {
        kind: count_parameters(spec_from_config({"model_type": kind, **shape}, name="m")).total
        for kind in ("t5", "mt5", "umt5")
    }
    assert counted["mt5"] - counted["t5"] == 2 * 8 * 16  # one more matrix in each half
    assert (
        count_parameters(spec_from_config({"model_type": "mt5", **shape, "feed_forward_proj": "relu"}, name="m")).total
        == counted["t5"]
    )
    assert counted["umt5"] >= counted["mt5"]
