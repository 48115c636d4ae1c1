"""Counted parameters equal the published totals, and those counted by hand."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UnsupportedModelError
from core.model.feed_forward import GatedMlp, Mlp
from core.model.mixers import PER_HEAD, FullAttention, Mixer
from core.model.parameters import ParameterCount, count_parameters, tensors_with_counts
from core.model.spec import LayerRun, ModelSpec
from core.model.tensors import (
    ATTENTION,
    BY_COLUMNS,
    BY_KV_HEADS,
    BY_ROWS,
    BY_VOCABULARY,
    EMBEDDING,
    EXPERT,
    GROUPS,
    HEAD,
    MLP,
    VECTOR,
    VISION,
    WHOLE,
    Tensor,
    linear,
)
from core.model.weights import tensor_precision
from core.readers.hf_config import spec_from_config
from tools import golden_tables


@pytest.mark.parametrize("row", golden_tables.rows("parameters"), ids=golden_tables.ids("parameters"))
def test_counted_parameters_are_the_published_total(row):
    spec = spec_from_config(golden_tables.config(row), name=row["model"])
    assert count_parameters(spec).total == int(row["parameters"])


@pytest.mark.parametrize(
    "row", golden_tables.rows("parameters_that_differ"), ids=golden_tables.ids("parameters_that_differ")
)
def test_totals_with_other_contents_differ_by_a_known_amount(row):
    """Some published totals include draft layers, scales, or a tied head. The table has the reason."""
    spec = spec_from_config(golden_tables.config(row), name=row["model"])
    counted, published = count_parameters(spec).total, int(row["published"])
    assert counted == int(row["counted"])
    if row["reason"].startswith("the tied head"):
        embedding = count_parameters(spec).of(EMBEDDING)
        assert published - counted in (embedding, pytest.approx(embedding, abs=3000))
    elif row["reason"] == "stored scales are counted as parameters":
        scales = _stored_scales(spec)  # static FP8 also stores a scale for the input
        assert published - counted in (scales, 2 * scales)
    else:
        assert abs(published - counted) < 0.07 * counted


def _stored_scales(spec):
    scales = 0
    for tensor, times in tensors_with_counts(spec):
        precision = tensor_precision(tensor, spec, 1, None)
        if precision is None:
            continue
        if precision.tile_rows:
            tiles = -(-tensor.rows // precision.tile_rows) * -(-tensor.columns // precision.tile_columns)
            scales += tiles * tensor.copies * times
        elif precision.row_bytes:
            scales += tensor.rows * tensor.copies * times
        else:
            scales += tensor.copies * times
    return scales


@pytest.mark.parametrize(
    ("model", "active"),
    [
        ("mixtral-8x7b", 12_879_925_248),  # Jiang et al. 2024, arXiv:2401.04088: "13B active parameters"
        ("deepseek-v3", 37_552_297_472),  # arXiv:2412.19437: 37B activated; here with embedding and head
        ("gpt-oss-120b", 5_711_982_912),  # arXiv:2508.10925, table 1: 5.13B active, without the embedding (0.58B)
    ],
)
def test_active_parameters(model, active):
    row = next(row for row in golden_tables.rows("nine_models") if row["model"] == model)
    assert count_parameters(spec_from_config(golden_tables.config(row), name=model)).active == active


def test_parameters_by_group():
    rows = {row["model"]: row for row in golden_tables.rows("nine_models")}
    mixtral = count_parameters(spec_from_config(golden_tables.config(rows["mixtral-8x7b"]), name="m"))
    assert mixtral.of(EXPERT) == 32 * 8 * 3 * 4096 * 14336
    assert mixtral.of(EMBEDDING) == mixtral.of(HEAD) == 32000 * 4096
    gemma = count_parameters(spec_from_config(golden_tables.config(rows["gemma-3-27b"]), name="g"))
    assert gemma.of(HEAD) == 0
    assert gemma.of(VISION) == 27_432_406_640 - 27_009_346_304  # the model without its text part


# ---- by hand -----------------------------------------------------------------------------------------


def dense(hidden, intermediate, layers, heads, kv_heads, vocab):
    """Return a decoder of identical layers with heads of 128."""
    mixer = FullAttention(num_attention_heads=heads, num_key_value_heads=kv_heads, head_dim=128)
    run = LayerRun(count=layers, mixer=mixer, mlp=GatedMlp(intermediate_size=intermediate))
    return ModelSpec(name="test", hidden_size=hidden, layers=(run,), vocab_size=vocab)


LLAMA_3_1_70B = dense(8192, 28672, 80, 64, 8, 128256)


def test_llama_3_1_70b_by_hand():
    counted = count_parameters(LLAMA_3_1_70B)
    expected = {
        EMBEDDING: 1_050_673_152,  # 128 256 × 8192
        HEAD: 1_050_673_152,  # not tied
        # A layer: queries and output 2 × 8192², keys and values 2 × 8192 × 1024.
        ATTENTION: 80 * (134_217_728 + 16_777_216),
        MLP: 80 * 704_643_072,  # 3 × 8192 × 28 672
        VECTOR: 161 * 8192,  # two norms per layer and the final norm
    }
    assert {group: counted.of(group) for group in GROUPS} == dict.fromkeys(GROUPS, 0) | expected
    assert counted.active == counted.total == 70_553_706_496


def matrix_and_vector_parameters(mixer, hidden_size):
    """Return the parameters of matrices, and of vectors."""
    tensors = mixer.weight_tensors(hidden_size)
    vectors = sum(tensor.parameters for tensor in tensors if tensor.group == VECTOR)
    return sum(tensor.parameters for tensor in tensors) - vectors, vectors


def test_biases_and_norms_by_hand():
    # 4 query heads and 2 KV heads of 8, hidden 16: projections 16 × (32 + 16 + 16 + 32).
    mixer = FullAttention(num_attention_heads=4, num_key_value_heads=2, head_dim=8)
    assert matrix_and_vector_parameters(mixer, 16) == (1536, 0)
    assert matrix_and_vector_parameters(replace(mixer, qkv_bias=True), 16) == (1536, 64)
    assert matrix_and_vector_parameters(replace(mixer, output_bias=True), 16) == (1536, 16)
    assert matrix_and_vector_parameters(replace(mixer, qk_norm=PER_HEAD), 16) == (1536, 16)
    # Value heads of 4: 16 × (32 + 16 + 8 + 16).
    assert matrix_and_vector_parameters(replace(mixer, v_head_dim=4), 16) == (1152, 0)


def test_a_stated_count_overrides_the_counted_one():
    stated = replace(LLAMA_3_1_70B, stated_parameters=70 * 10**9)
    assert count_parameters(stated) == ParameterCount(unattributed=70 * 10**9, active=70 * 10**9)
    assert count_parameters(ModelSpec(name="70B", hidden_size=0, layers=(), stated_parameters=7)).total == 7


@pytest.mark.parametrize(
    "spec, field",
    [
        (replace(LLAMA_3_1_70B, vocab_size=None), "vocab_size"),
        (
            replace(LLAMA_3_1_70B, layers=(replace(LLAMA_3_1_70B.layers[0], mlp=None, complete=False),)),
            "intermediate_size",
        ),
    ],
)
def test_error_names_the_field_missing_for_counting(spec, field):
    with pytest.raises(UnsupportedModelError, match=f"{field}: it is missing, and the parameters.* as params_b"):
        count_parameters(spec)


def test_a_tied_head_can_have_a_separate_bias():
    """GPT-J's head has a bias; if tied to the embedding, the head adds only the bias: one value for each of 10 words."""
    tied = replace(LLAMA_3_1_70B, vocab_size=10, tie_word_embeddings=True)
    assert count_parameters(replace(tied, head_bias=True)).total == count_parameters(tied).total + 10


@pytest.mark.parametrize("base", [Mixer, Mlp])
def test_a_layer_part_without_weight_tensors_is_abstract(base):
    unfinished = type("Unfinished", (base,), {"label": "unfinished", "kv_profile": lambda self, tp=1: None})
    with pytest.raises(TypeError, match="weight_tensors"):
        unfinished()


def test_an_untied_head_is_one_more_embedding():
    tied, untied = (count_parameters(replace(LLAMA_3_1_70B, tie_word_embeddings=flag)) for flag in (True, False))
    assert untied.total - tied.total == 128_256 * 8192


SIZES = st.integers(1, 200)


@given(SIZES, SIZES, SIZES, SIZES, SIZES, SIZES, st.integers(0, 5))
def test_a_larger_dimension_adds_parameters(hidden, intermediate, layers, heads, group, vocab, which):
    shape = [hidden, intermediate, layers, heads * group, heads, vocab]
    before = count_parameters(dense(*shape)).total
    shape[which] += 1
    assert count_parameters(dense(*shape)).total > before


@pytest.mark.parametrize(
    ("split", "rows", "columns", "tp", "part"),
    [
        # Megatron-LM, arXiv:1909.08053, section 3: the first of two projections by rows, the second by columns.
        (BY_ROWS, 97, 10, 4, (25, 10)),
        (BY_COLUMNS, 97, 10, 4, (97, 3)),
        (WHOLE, 97, 10, 4, (97, 10)),
        # Eight KV heads of 12 rows: two per rank, and one if there are more ranks than heads.
        (BY_KV_HEADS, 96, 10, 4, (24, 10)),
        (BY_KV_HEADS, 96, 10, 16, (12, 10)),
        # vLLM pads the vocabulary to a multiple of 64 rows before it splits it; for one rank it is counted unpadded.
        (BY_VOCABULARY, 1000, 10, 4, (256, 10)),
        *[(split, 1000, 10, 1, (1000, 10)) for split in (BY_ROWS, BY_COLUMNS, WHOLE, BY_VOCABULARY)],
    ],
)
def test_the_part_of_a_tensor_on_a_rank(split, rows, columns, tp, part):
    tensor = Tensor(name="w", group=MLP, rows=rows, columns=columns, copies=3, split=split, kv_heads=8)
    found = tensor.on_rank(tp)
    assert (found.rows, found.columns, found.copies) == (*part, 3)
    assert found.parameters == part[0] * part[1] * 3


def test_biases_of_split_projections():
    """A bias is split with its rows; the bias of a projection split by columns is complete on every rank."""
    for split, bias_split in ((BY_ROWS, BY_ROWS), (BY_COLUMNS, WHOLE)):
        weight, bias = linear("up", MLP, 8, 4, split, bias=True, fused="gate_up")
        assert (weight.rows, weight.columns, weight.split, weight.fused) == (8, 4, split, "gate_up")
        assert (bias.rows, bias.columns, bias.split, bias.fused, bias.group) == (8, 1, bias_split, "", VECTOR)
