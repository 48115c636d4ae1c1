"""Counting parameters: published totals, and one model counted by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UnsupportedModelError
from core.model_spec import FullAttention, GatedMlp, LayerRun, ModelSpec
from core.parameters import ParameterCount, count_parameters, mixer_parameters


def dense(hidden, intermediate, layers, heads, kv_heads, vocab, *, head_dim=128, tied=False, norms=2, **attention):
    """A decoder of identical layers."""
    mixer = FullAttention(num_attention_heads=heads, num_key_value_heads=kv_heads, head_dim=head_dim, **attention)
    run = LayerRun(count=layers, mixer=mixer, mlp=GatedMlp(intermediate_size=intermediate), norms=norms)
    return ModelSpec(name="test", hidden_size=hidden, layers=(run,), vocab_size=vocab, tie_word_embeddings=tied)


LLAMA_3_1_70B = dense(8192, 28672, 80, 64, 8, 128256)

# Shapes are those of each model's config.json on Hugging Face; totals are what the checkpoints' safetensors headers add
# up to.
PUBLISHED = {
    "Llama-2-7B": (dense(4096, 11008, 32, 32, 32, 32000), 6_738_415_616),
    "Llama-2-13B": (dense(5120, 13824, 40, 40, 40, 32000), 13_015_864_320),
    "Llama-2-70B": (dense(8192, 28672, 80, 64, 8, 32000), 68_976_648_192),
    "Llama-3.1-8B": (dense(4096, 14336, 32, 32, 8, 128256), 8_030_261_248),
    "Llama-3.1-70B": (LLAMA_3_1_70B, 70_553_706_496),
    "Llama-3.1-405B": (dense(16384, 53248, 126, 128, 8, 128256), 405_853_388_800),
    # Biases on queries, keys and values (modeling_qwen2.py).
    "Qwen2.5-7B": (dense(3584, 18944, 28, 28, 4, 152064, qkv_bias=True), 7_615_616_512),
    "Qwen2.5-14B": (dense(5120, 13824, 48, 40, 8, 152064, qkv_bias=True), 14_770_033_664),
    "Qwen2.5-72B": (dense(8192, 29568, 80, 64, 8, 152064, qkv_bias=True), 72_706_203_648),
    # A norm on each head's queries and keys (modeling_qwen3.py).
    "Qwen3-8B": (dense(4096, 12288, 36, 32, 8, 151936, qk_norm=True), 8_190_735_360),
    # Four norms a layer, tied embedding, heads wider than hidden ÷ heads (modeling_gemma2.py).
    "Gemma-2-2B": (dense(2304, 9216, 26, 8, 4, 256000, head_dim=256, tied=True, norms=4), 2_614_341_888),
    "Gemma-2-27B": (dense(4608, 36864, 46, 32, 16, 256000, tied=True, norms=4), 27_227_128_320),
    "Phi-4": (dense(5120, 17920, 40, 40, 10, 100352), 14_659_507_200),
}


@pytest.mark.parametrize("spec, published", PUBLISHED.values(), ids=PUBLISHED)
def test_the_count_is_the_published_one(spec, published):
    assert count_parameters(spec).total == published


def test_llama_3_1_70b_by_hand():
    assert count_parameters(LLAMA_3_1_70B) == ParameterCount(
        embedding=1_050_673_152,  # 128 256 × 8192
        head=1_050_673_152,  # not tied
        # A layer: queries and output 2 × 8192², keys and values 2 × 8192 × 1024, feed-forward 3 × 8192 × 28 672.
        linear=80 * (134_217_728 + 16_777_216 + 704_643_072),
        vectors=161 * 8192,  # two norms a layer and the last one
    )


def test_biases_and_norms_by_hand():
    # 4 query heads and 2 KV heads of 8, hidden 16: projections 16 × (32 + 16 + 16 + 32).
    mixer = FullAttention(num_attention_heads=4, num_key_value_heads=2, head_dim=8)
    assert mixer_parameters(mixer, 16) == (1536, 0)
    assert mixer_parameters(replace(mixer, qkv_bias=True), 16) == (1536, 64)
    assert mixer_parameters(replace(mixer, output_bias=True), 16) == (1536, 16)
    assert mixer_parameters(replace(mixer, qk_norm=True), 16) == (1536, 16)
    # Value heads of 4: 16 × (32 + 16 + 8 + 16).
    assert mixer_parameters(replace(mixer, v_head_dim=4), 16) == (1152, 0)


def test_a_stated_count_overrides_the_counted_one():
    stated = replace(LLAMA_3_1_70B, stated_parameters=70 * 10**9)
    assert count_parameters(stated) == ParameterCount(unattributed=70 * 10**9)
    assert count_parameters(ModelSpec(name="70B", hidden_size=0, layers=(), stated_parameters=7)).total == 7


@pytest.mark.parametrize(
    "spec, field",
    [
        (replace(LLAMA_3_1_70B, vocab_size=None), "vocab_size"),
        (replace(LLAMA_3_1_70B, layers=(replace(LLAMA_3_1_70B.layers[0], mlp=None),)), "intermediate_size"),
    ],
)
def test_what_cannot_be_counted_says_what_is_missing(spec, field):
    with pytest.raises(UnsupportedModelError, match=f"{field}: it is needed to count the parameters.* as params_b"):
        count_parameters(spec)


def test_a_layer_without_a_rule_is_refused_rather_than_left_out():
    class NewMixer:
        pass

    with pytest.raises(
        UnsupportedModelError, match="NewMixer layer cannot be counted. State the model's parameter count"
    ):
        mixer_parameters(NewMixer(), 16)


def test_an_untied_head_is_one_more_embedding():
    tied, untied = (count_parameters(replace(LLAMA_3_1_70B, tie_word_embeddings=flag)) for flag in (True, False))
    assert untied.total - tied.total == 128_256 * 8192


SIZES = st.integers(1, 200)


@given(SIZES, SIZES, SIZES, SIZES, SIZES, SIZES, st.integers(0, 5))
def test_nothing_gets_lighter_by_growing(hidden, intermediate, layers, heads, group, vocab, which):
    shape = [hidden, intermediate, layers, heads * group, heads, vocab]
    before = count_parameters(dense(*shape)).total
    shape[which] += 1
    assert count_parameters(dense(*shape)).total > before
