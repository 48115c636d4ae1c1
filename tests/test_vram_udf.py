"""Test the cell functions as plain Python functions: cell values in, cell values out."""

from __future__ import annotations

import datetime
import inspect
import math
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vram_udf
from core import catalog
from core.cells.values import EXCEL_ERRORS
from vram_udf import (
    VRAM_BREAKDOWN,
    VRAM_CHECK,
    VRAM_GPU,
    VRAM_KV,
    VRAM_KV_PER_TOKEN,
    VRAM_MODEL,
    VRAM_PRECISION,
    VRAM_TOTAL,
    VRAM_WEIGHTS,
)

LLAMA = "llama-3.1-70b"
NUM, VALUE, NA = "#NUM!", "#VALUE!", "#N/A"

# The article: 80 layers × 8196 × 2 (key and value) × 2 bytes.
ARTICLE_KV_PER_TOKEN_BYTES = 2_622_720.0
# Llama 3.1 70B's config.json: 80 layers × 8 KV heads × 128 × 2 × 2 bytes.
LLAMA_KV_PER_TOKEN_BYTES = 327_680.0

# COM's codes of #SPILL! and #CALC!: 0x800A0000 + 2045 and + 2050 (Microsoft, XlCVError); xlwings passes integers.
SPILL_ERROR_OVER_COM, CALC_ERROR_OVER_COM = -2146826243, -2146826238


def column(*cells):
    return [[cell] for cell in cells]


def row(*cells):
    return [list(cells)]


def kv_per_token_bytes(model):
    return VRAM_KV_PER_TOKEN(model, None, "B")


# ---- the figures -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "result, expected",
    [
        # The article's table: 70 × 10⁹ × 2 bytes.
        (VRAM_WEIGHTS(70), 140.0),
        (VRAM_WEIGHTS(row(70, 80, 8196)), 140.0),
        (VRAM_WEIGHTS("article-llama-70b"), 140.0),
        # The article without its rounding: 2 622 720 bytes × 32 000 × 10, then 10 % of both.
        (VRAM_KV(row(70, 80, 8196), 32000, 10), 839.2704),
        (VRAM_TOTAL(row(70, 80, 8196), 32000, 10), 1077.19744),
        (VRAM_KV_PER_TOKEN("article-llama-70b", None, "B"), ARTICLE_KV_PER_TOKEN_BYTES),
        # Llama 3.1 70B as published: 70 553 706 496 parameters.
        (VRAM_WEIGHTS(LLAMA), 141.107412992),
        (VRAM_WEIGHTS(LLAMA, "fp8"), 70.553706496),
        (VRAM_WEIGHTS(LLAMA, "int4"), 35.276853248),
        # 327 680 bytes × 32 768 × 10 = 100 × 2³⁰.
        (VRAM_KV(LLAMA, 32768, 10, None, "GiB"), 100.0),
        (VRAM_KV(LLAMA, 32768, 10, "fp8", "GiB"), 50.0),
        (VRAM_KV_PER_TOKEN(LLAMA, None, "KiB"), 320.0),
        # (141 107 412 992 + 107 374 182 400) × 1.1, the overhead rounded to a whole byte.
        (VRAM_TOTAL(LLAMA, 32768, 10, None, None, None, "B"), 273_329_754_931.0),
        (VRAM_TOTAL(LLAMA, 32768, 10, None, None, 0), 248.481595392),
    ],
)
def test_figures(result, expected):
    assert result == pytest.approx(expected, rel=1e-12)
    assert type(result) is float


def test_breakdown_is_labelled_and_adds_up():
    breakdown = VRAM_BREAKDOWN(LLAMA, 32768, 10, "fp8", "fp8", 0.2, "GiB")
    assert [label for label, _ in breakdown] == ["weights", "KV cache", "overhead", "total"]
    weights, kv, overhead, total = (size for _, size in breakdown)
    assert (weights, kv) == (VRAM_WEIGHTS(LLAMA, "fp8", "GiB"), 50.0)
    assert overhead == pytest.approx(0.2 * (weights + kv), rel=1e-9)
    assert total == pytest.approx(weights + kv + overhead, rel=1e-12)
    assert total == VRAM_TOTAL(LLAMA, 32768, 10, "fp8", "fp8", 0.2, "GiB")


def test_breakdown_has_a_column_for_each_scenario():
    breakdown = VRAM_BREAKDOWN(column(LLAMA, "no such model"), row(1000, 2000))
    assert [line[0] for line in breakdown] == ["weights", "KV cache", "overhead", "total"]
    assert breakdown[-1] == ["total", VRAM_TOTAL(LLAMA, 1000), VRAM_TOTAL(LLAMA, 2000), NA, NA]
    assert VRAM_BREAKDOWN("no such model", 1000) == NA


# ---- descriptions of a model -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "llama-3.1-70b",
        "Llama-3.1-70B",
        "LLAMA 3.1 70B",
        "llama_3.1_70b",
        "  llama-3.1-70b ",
        "llama\u00a03.1\u00a070b",
        "meta-llama/Llama-3.1-70B-Instruct",
        "Meta-Llama-3.1-70B-Instruct",
        "ｌｌａｍａ－３．１－７０ｂ",
        "ＬＬＡＭＡ　３．１　７０Ｂ",
    ],
)
def test_names_in_any_case_and_width(name):
    assert VRAM_MODEL(name, "name") == LLAMA


@pytest.mark.parametrize("known", catalog.models(), ids=lambda known: known.name)
def test_every_catalog_model_is_found_by_its_name_and_aliases(known):
    for name in (known.name, *known.aliases):
        remarks = "".join(f", but {note}" for note in catalog.model(name).spec.notes)  # encoders have one
        assert VRAM_CHECK(name.upper(), 100) == f"OK{remarks}"
        assert VRAM_MODEL(name, "parameters") == VRAM_MODEL(known.name, "parameters")


ARTICLE_LABELS = [["params_b", 70.0], ["num_hidden_layers", 80.0], ["hidden_size", 8196.0]]


@pytest.mark.parametrize(
    "description",
    [
        row(70.0, 80.0, 8196.0),
        column(70.0, 80.0, 8196.0),
        [70, 80, 8196],
        ARTICLE_LABELS,
        ARTICLE_LABELS[::-1],
        [[" Params_B ", 70.0], ["Layers", 80.0], ["HIDDEN", 8196.0]],
        [["parameters b", 70.0], ["Num hidden layers", 80.0], ["ｈｉｄｄｅｎ＿ｓｉｚｅ", 8196.0]],
        [["name", "mine"], *ARTICLE_LABELS],
        [*ARTICLE_LABELS, [None, None], ["vocab_size", None], ["", "a note without a label"]],
        [["params_b", "layers", "hidden"], [70.0, 80.0, 8196.0]],
        [["params_b", 70.0, "layers", 80.0, "hidden", 8196.0]],
        [["params_b", 70.0, "layers", 80.0, "hidden", 8196.0, None, None]],
        row(Decimal(70), Decimal(80), Decimal(8196)),
    ],
)
def test_descriptions_of_the_articles_model(description):
    assert kv_per_token_bytes(description) == ARTICLE_KV_PER_TOKEN_BYTES
    assert VRAM_WEIGHTS(description) == 140.0


def test_parameters_of_a_custom_model_are_counted_from_its_fields():
    known = catalog.model(LLAMA).spec
    fields = {
        "num_hidden_layers": 80.0,
        "hidden_size": 8192.0,
        "intermediate_size": 28672.0,
        "num_attention_heads": 64.0,
        "num_key_value_heads": 8.0,
        "vocab_size": 128256.0,
        "tie_word_embeddings": False,
    }
    labelled = [list(pair) for pair in fields.items()]
    assert VRAM_TOTAL(labelled, 32768, 10) == VRAM_TOTAL(known.name, 32768, 10)
    assert VRAM_TOTAL([list(fields), list(fields.values())], 32768, 10) == VRAM_TOTAL(known.name, 32768, 10)
    # Qwen2 has biases on queries, keys and values: (64 + 2 × 8) × 128 per layer.
    qwen = VRAM_MODEL([*labelled, ["model_type", "qwen2"]], "parameters")
    assert qwen == known_parameters(LLAMA) + 80 * (64 + 2 * 8) * 128


def known_parameters(name):
    return VRAM_MODEL(name, "parameters")


def test_the_kv_cache_needs_no_fields_of_the_weights():
    heads_alone = [["layers", 80], ["hidden", 8192], ["num_attention_heads", 64], ["num_key_value_heads", 8]]
    assert kv_per_token_bytes(heads_alone) == LLAMA_KV_PER_TOKEN_BYTES
    assert VRAM_KV(heads_alone, 32768, 10, None, "GiB") == 100.0
    assert VRAM_WEIGHTS(heads_alone) == VALUE
    for missing, more in (("intermediate_size", []), ("vocab_size", [["intermediate_size", 28672]])):
        assert VRAM_CHECK([*heads_alone, *more], 1) == (
            f"{missing}: it is missing, and the parameters cannot be counted without it. "
            f"Add {missing}, or give the number of parameters in billions as params_b."
        )


@pytest.mark.parametrize(
    "models, per_token_bytes",
    [
        (column(LLAMA, "article-llama-70b"), [[327_680.0], [2_622_720.0]]),
        (row(LLAMA, "article-llama-70b"), [[327_680.0, 2_622_720.0]]),
        # 32 layers × 4096 × 2 × 2 bytes = 524 288.
        ([[70, 80, 8196], [7, 32, 4096]], [[2_622_720.0], [524_288.0]]),
        ([[70, 80, 8196], [7, 32, 4096], [13, 40, 5120]], [[2_622_720.0], [524_288.0], [819_200.0]]),
        ([["layers", "hidden", "params_b"], [80, 8196, 70], [32, 4096, 7]], [[2_622_720.0], [524_288.0]]),
        ([["layers", "hidden", "params_b"], [80, 8196, 70], [None] * 3], [[2_622_720.0], [VALUE]]),
    ],
)
def test_several_models(models, per_token_bytes):
    assert kv_per_token_bytes(models) == per_token_bytes


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        # One model: a hidden dimension of at least 512 and divisible by 4, and a whole number of at most 1000 layers.
        ([1, 4, 512], 2.0),
        ([1, 1000, 512], 2.0),
        # Three sizes, with 2 bytes per parameter.
        ([1, 4, 508], [[2.0, 8.0, 1016.0]]),
        ([1, 4, 514], [[2.0, 8.0, 1028.0]]),
        ([1, 1001, 512], [[2.0, 2002.0, 1024.0]]),
        ([1, 4.5, 512], [[2.0, 9.0, 1024.0]]),
    ],
)
def test_three_numbers_are_one_model_or_three_sizes(cells, expected):
    assert VRAM_WEIGHTS(row(*cells)) == expected


@pytest.mark.parametrize("sizes", [[8, 70, 405], [7, 13, 400], [0.5, 32, 671], [7, 70.6, 1000], [8, 1600, 2000]])
def test_three_sizes_are_three_models_for_weights(sizes):
    gb = [2.0 * size for size in sizes]
    assert VRAM_WEIGHTS(row(*sizes)) == row(*gb)
    assert VRAM_WEIGHTS(column(*sizes)) == column(*gb)
    assert VRAM_WEIGHTS([sizes, sizes]) == [gb, gb]


@pytest.mark.parametrize("sizes", [[8, 70, 405], [7, 13, 400], [0.5, 32, 671]])
def test_three_sizes_are_not_models_for_the_kv_cache(sizes):
    assert kv_per_token_bytes(row(*sizes)) == row(VALUE, VALUE, VALUE)


@pytest.mark.parametrize(
    "triple, error",
    [
        ((70, 80.5, 8196), NUM),
        ((70, -80, 8196), NUM),
        ((70, 0, 8196), NUM),
        ((-70, 80, 8196), NUM),
        ((70, 80, -8196), NUM),
        ((70, 80, 8196.5), VALUE),
        ((10**6, 80, 8196), NUM),
        ((70, math.nan, 8196), NUM),
        ((70, 80, 10**9), NUM),
    ],
)
def test_invalid_triples(triple, error):
    results = kv_per_token_bytes(row(*triple))
    assert results == error or results == row(error, error, error)


def test_null_means_absent_and_a_blank_means_the_default():
    """DeepSeek-V2-Lite's config.json has "q_lora_rank": null; without the field, the model type's default is 1536."""
    fields = {
        "model_type": "deepseek_v2", "num_hidden_layers": 27, "hidden_size": 2048, "intermediate_size": 10_944,
        "moe_intermediate_size": 1408, "n_routed_experts": 64, "n_shared_experts": 2, "num_experts_per_tok": 6,
        "first_k_dense_replace": 1, "num_attention_heads": 16, "num_key_value_heads": 16, "kv_lora_rank": 512,
        "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128, "vocab_size": 102_400,
        "tie_word_embeddings": False,
    }  # fmt: skip

    def weights(q_lora_rank: object) -> object:
        return VRAM_WEIGHTS([[label, value] for label, value in (fields | {"q_lora_rank": q_lora_rank}).items()])

    assert weights("null") == VRAM_WEIGHTS("deepseek-v2-lite") == 31.412968448
    assert weights(None) == weights("") == weights(1536) == 31.497986048
    assert weights("none") == "#VALUE!"


@pytest.mark.parametrize(
    "description, message",
    [
        (
            [["numlayers", 80], *ARTICLE_LABELS[::2]],
            "numlayers: this label is not known. Use a field name of config.json.",
        ),
        ([*ARTICLE_LABELS, ["hiden_size", 3]], "hiden_size: this label is not known. Use a field name of config.json."),
        ([*ARTICLE_LABELS, ["layers", 81]], "num_hidden_layers: it is given twice. Remove one of the two."),
        (ARTICLE_LABELS[:2], "hidden_size: it is missing. Write the hidden dimension, for example 8192."),
        (
            [*ARTICLE_LABELS[:2], ["hidden_size", "wide"]],
            "hidden_size: 'wide' is text, not a number. Write the hidden dimension, for example 8192.",
        ),
        (
            [*ARTICLE_LABELS, ["tie_word_embeddings", "yes"]],
            "tie_word_embeddings: 'yes' is neither true nor false. Write TRUE or FALSE.",
        ),
        (
            [*ARTICLE_LABELS, ["vocab_size", "#REF!"]],
            "vocab_size: it is the Excel error #REF!. Correct the cell that the error comes from.",
        ),
    ],
)
def test_messages_for_invalid_labelled_ranges(description, message):
    assert VRAM_CHECK(description, 1000) == message
    assert VRAM_TOTAL(description, 1000) == ("#REF!" if "#REF!" in message else VALUE)


def test_an_unknown_architecture_is_refused():
    verdict = VRAM_CHECK([*ARTICLE_LABELS, ["model_type", "mystery"]], 1000)
    assert verdict.startswith("model_type: 'mystery' is not a supported architecture. Write the model type of a family")
    assert len(verdict) < 200
    assert VRAM_TOTAL([*ARTICLE_LABELS, ["model_type", "mystery"]], 1000) == VALUE


# ---- defaults, blanks, precisions, units -------------------------------------------------------------


@pytest.mark.parametrize("blank", [None, "", "  ", [[None]]])
def test_a_blank_is_an_omitted_argument(blank):
    assert VRAM_TOTAL(LLAMA, 1000, blank, blank, blank, blank, blank) == VRAM_TOTAL(LLAMA, 1000)
    assert VRAM_TOTAL(LLAMA, 1000) == VRAM_TOTAL(LLAMA, 1000, 1, "fp16", "fp16", 0.1, "GB")
    assert VRAM_KV(LLAMA, 1000, blank, blank, blank) == VRAM_KV(LLAMA, 1000, 1, "fp16", "GB")
    assert VRAM_WEIGHTS(LLAMA, blank, blank) == VRAM_WEIGHTS(LLAMA, "fp16", "GB")
    assert VRAM_MODEL(LLAMA, blank) == VRAM_MODEL(LLAMA)


def test_a_blank_cell_of_a_range_is_the_default():
    assert VRAM_KV(LLAMA, 1000, column(None, 2)) == column(VRAM_KV(LLAMA, 1000, 1), VRAM_KV(LLAMA, 1000, 2))


@pytest.mark.parametrize("blank", [None, "", " ", [[None]]])
def test_a_required_argument_that_is_blank_is_an_error(blank):
    assert VRAM_TOTAL(blank, 1000) == VRAM_TOTAL(LLAMA, blank) == VRAM_WEIGHTS(blank) == VRAM_MODEL(blank) == VALUE
    assert VRAM_CHECK(blank, 1000) == 'model: it is blank. Write a name such as "llama-3.1-70b".'
    assert VRAM_CHECK(LLAMA, blank) == "context: it is blank. Write the context in tokens, for example 32768."


# Bytes per value of formats with 32, 16, 8 and 4 bits.
@pytest.mark.parametrize(
    "names, bytes_per_value",
    [
        (["fp32", "float32", "FP 32", 4], 4),
        (["fp16", "bf16", "half", "BFloat-16", "ｆｐ１６", 2, 2.0, Decimal(2)], 2),
        (["fp8", "int8", "fp8_e4m3", 1], 1),
        (["int4", "i4", 0.5], 0.5),
    ],
)
def test_precisions_as_names_and_as_bytes(names, bytes_per_value):
    for name in names:
        assert VRAM_WEIGHTS(100, name) == 100 * bytes_per_value
        assert VRAM_KV_PER_TOKEN(LLAMA, name, "B") == LLAMA_KV_PER_TOKEN_BYTES / 2 * bytes_per_value


@pytest.mark.parametrize(
    "precision, error",
    [(8, NUM), (16, NUM), (0, NUM), (-2, NUM), (math.nan, NUM), ("fp15", NA), ("16", NA), (True, VALUE)],
)
def test_invalid_precisions(precision, error):
    assert VRAM_WEIGHTS(70, precision) == error
    assert VRAM_KV(LLAMA, 1000, 1, precision) == error


# IEC 80000-13: SI prefixes are powers of ten, binary prefixes are powers of two.
@pytest.mark.parametrize(
    "unit, size_bytes",
    [
        ("B", 1), ("bytes", 1), ("KB", 10**3), ("kb", 10**3), ("MB", 10**6), ("GB", 10**9), (" gb ", 10**9),
        ("ＧＢ", 10**9), ("TB", 10**12), ("KiB", 2**10), ("MiB", 2**20), ("GiB", 2**30), ("gib", 2**30), ("TiB", 2**40),
    ],
)  # fmt: skip
def test_units(unit, size_bytes):
    for result in (VRAM_WEIGHTS(70, None, unit), VRAM_TOTAL("article-llama-70b", 1, 1, None, 4, 0, unit)):
        assert type(result) is float
    assert VRAM_WEIGHTS(70, None, unit) == 140 * 10**9 / size_bytes
    assert VRAM_KV(LLAMA, 32768, 10, None, unit) == 100 * 2**30 / size_bytes


@pytest.mark.parametrize("unit, error", [("G", NA), ("gigabyte", NA), (9, VALUE), (True, VALUE)])
def test_invalid_units(unit, error):
    assert VRAM_WEIGHTS(70, None, unit) == error
    assert VRAM_TOTAL(LLAMA, 1000, None, None, None, None, unit) == error


def test_two_grids_of_equal_size_are_combined_cell_by_cell():
    contexts, users = [[1000, 2000], [3000, 4000]], [[1, 2], [3, 4]]
    one_by_one = [[VRAM_TOTAL(LLAMA, contexts[i][j], users[i][j]) for j in range(2)] for i in range(2)]
    assert VRAM_TOTAL(LLAMA, contexts, users) == one_by_one


# ---- arrays ------------------------------------------------------------------------------------------


def test_a_column_and_a_row_give_a_grid():
    users, contexts = [1, 5, 10], [8192, 32768]
    grid = VRAM_TOTAL(LLAMA, column(*contexts), row(*users))
    assert grid == [[VRAM_TOTAL(LLAMA, context, count) for count in users] for context in contexts]
    assert VRAM_TOTAL(LLAMA, row(*contexts), column(*users)) == [list(line) for line in zip(*grid)]


def test_a_grid_with_a_column_and_a_row():
    contexts = [[1000, 2000], [3000, 4000]]
    result = VRAM_KV(LLAMA, contexts, column(1, 2), row("fp16", "fp8"))
    assert result == [
        [VRAM_KV(LLAMA, 1000, 1, "fp16"), VRAM_KV(LLAMA, 2000, 1, "fp8")],
        [VRAM_KV(LLAMA, 3000, 2, "fp16"), VRAM_KV(LLAMA, 4000, 2, "fp8")],
    ]


def test_a_column_of_scenarios_is_one_call():
    scenarios = [
        (LLAMA, 32768, 10, "fp16", "fp8", 0.1, "GB"),
        ("llama-3-8b", 8192, None, "int4", None, 0, "GiB"),
        ("no such model", 8192, 1, None, None, None, None),
    ]
    columns = [column(*values) for values in zip(*scenarios)]
    assert VRAM_TOTAL(*columns) == column(*(VRAM_TOTAL(*scenario) for scenario in scenarios))
    assert VRAM_CHECK(*columns) == column(*(VRAM_CHECK(*scenario) for scenario in scenarios))


def test_elements_beyond_the_shorter_range_are_na():
    assert VRAM_KV(LLAMA, column(1, 2), column(1, 2, 3)) == column(VRAM_KV(LLAMA, 1), VRAM_KV(LLAMA, 2, 2), NA)
    assert VRAM_KV(LLAMA, row(1, 2, 3), row(1, 2)) == row(VRAM_KV(LLAMA, 1), VRAM_KV(LLAMA, 2, 2), NA)
    assert VRAM_CHECK(LLAMA, column(1, 2), column(1, 2, 3))[2] == [
        "range: it is shorter than another argument's range. Give ranges of the same length."
    ]


def test_an_error_affects_only_its_own_element():
    contexts = [1000, -1, "x", 2000, None, "#DIV/0!"]
    expected = [VRAM_TOTAL(LLAMA, 1000), NUM, VALUE, VRAM_TOTAL(LLAMA, 2000), VALUE, "#DIV/0!"]
    assert VRAM_TOTAL(LLAMA, row(*contexts)) == row(*expected)
    assert VRAM_TOTAL(LLAMA, column(*contexts)) == column(*expected)


def test_one_cell_in_nested_lists_is_a_scalar():
    assert VRAM_TOTAL([[LLAMA]], [[1000.0]]) == VRAM_TOTAL([LLAMA], (1000,)) == VRAM_TOTAL(LLAMA, 1000)


@pytest.mark.parametrize("empty", [[], [[]], [[], []]])
def test_an_empty_array_is_blank(empty):
    results = VRAM_TOTAL(empty, 1000)
    assert results == VALUE or results == [[VALUE]] * len(empty)


# ---- errors ------------------------------------------------------------------------------------------

# A wrong type is #VALUE!, a number out of range is #NUM!.
WRONG_NUMBERS = [
    ("ten", VALUE), ("10", VALUE), (" 10 ", VALUE), ("1e3", VALUE), ("１０", VALUE), ("10,000", VALUE),
    (True, VALUE), (False, VALUE), (datetime.datetime(2026, 11, 23), VALUE),
    (-1, NUM), (-0.5, NUM), (1e12, NUM), (1e308, NUM), (10**30, NUM),
    (math.nan, NUM), (math.inf, NUM), (-math.inf, NUM),
]  # fmt: skip
WRONG_COUNTS = [*WRONG_NUMBERS, (0, NUM), (0.0, NUM), (1.5, NUM), (1e-300, NUM)]


@pytest.mark.parametrize("value, error", WRONG_COUNTS)
def test_wrong_counts(value, error):
    assert VRAM_KV(LLAMA, value) == VRAM_KV(LLAMA, 1000, value) == error
    assert VRAM_TOTAL(LLAMA, value) == VRAM_TOTAL(LLAMA, 1000, value) == error
    assert VRAM_BREAKDOWN(LLAMA, value) == error
    assert VRAM_CHECK(LLAMA, value).startswith("context: ")
    assert VRAM_CHECK(LLAMA, 1000, value).startswith("users: ")


@pytest.mark.parametrize("value, error", [*WRONG_NUMBERS, (1.01, NUM), (10, NUM)])
def test_wrong_overheads(value, error):
    assert VRAM_TOTAL(LLAMA, 1000, 1, None, None, value) == error
    assert VRAM_CHECK(LLAMA, 1000, 1, None, None, value).startswith("overhead: ")


@pytest.mark.parametrize(
    "model, error",
    [
        ("no such model", NA), ("70", NA), ("=1+1", NA), ("x" * 40_000, NA), ("\x00", NA),
        (True, VALUE), (datetime.datetime(2026, 11, 23), VALUE), (None, VALUE),
        (-70, NUM), (0, NUM), (math.nan, NUM), (math.inf, NUM), (1e9, NUM),
    ],
)  # fmt: skip
def test_wrong_models(model, error):
    assert VRAM_WEIGHTS(model) == VRAM_KV(model, 1) == VRAM_KV_PER_TOKEN(model) == VRAM_TOTAL(model, 1) == error
    assert VRAM_MODEL(model) == VRAM_MODEL(model, "name") == error
    assert VRAM_CHECK(model, 1).startswith("model: ")


def test_a_size_is_not_a_model_for_the_kv_cache():
    assert VRAM_KV(70, 1) == VRAM_TOTAL(70, 1) == VRAM_MODEL(70) == VALUE
    assert VRAM_CHECK(70, 1) == (
        "model: 70 is only a number of parameters, not enough for the KV cache. "
        "Write a name, or {billions of parameters, layers, hidden dimension}."
    )


# All hosts convert the texts of these seven errors to errors; newer errors become #VALUE!.
@pytest.mark.parametrize(
    "cell, error",
    [
        *((text, text) for text in ("#NULL!", "#DIV/0!", VALUE, "#REF!", "#NAME?", NUM, NA)),
        ("#SPILL!", VALUE),
        ("#CALC!", VALUE),
        (SPILL_ERROR_OVER_COM, VALUE),
        (CALC_ERROR_OVER_COM, VALUE),
    ],
)
def test_an_error_cell_gives_that_error(cell, error):
    for function in (VRAM_WEIGHTS, VRAM_KV, VRAM_KV_PER_TOKEN, VRAM_TOTAL, VRAM_BREAKDOWN, VRAM_MODEL):
        parameters = inspect.signature(function).parameters
        good = {"model": LLAMA, "name": LLAMA, "context": 1000}
        for field in parameters:
            arguments = [cell if name == field else good.get(name) for name in parameters]
            assert function(*arguments) == error, (function.__name__, field)
    for field, arguments in (("model", (cell, 1)), ("context", (LLAMA, cell)), ("users", (LLAMA, 1, cell))):
        assert VRAM_CHECK(*arguments).startswith(f"{field}: it is the Excel error #")


def test_the_first_invalid_argument_gives_the_error():
    assert VRAM_TOTAL("no such model", -1) == NA
    assert VRAM_TOTAL(LLAMA, -1, "x") == NUM


def test_currency_cells_are_numbers():
    # Over COM, a cell formatted as currency is a VT_CY, which pywin32 converts to Decimal.
    assert VRAM_TOTAL(LLAMA, Decimal(1000), Decimal(10)) == VRAM_TOTAL(LLAMA, 1000, 10)
    assert VRAM_WEIGHTS(Decimal(70)) == 140.0


# ---- VRAM_CHECK --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((LLAMA, 32768, 10), "OK"),
        (("lama-3.1-70b", 1), "model: 'lama-3.1-70b' is not known. Did you mean 'llama-3.1-70b'?"),
        (("zzz", 1), "model: 'zzz' is not known. Write one of the names in the Models sheet of the planner."),
        ((LLAMA, -3), "context: -3 is below 1. Write the context in tokens, for example 32768."),
        ((LLAMA, 1.5), "context: 1.5 is not a whole number. Write the context in tokens, for example 32768."),
        ((LLAMA, 1e9), "context: 1000000000 is above 100,000,000. Write the context in tokens, for example 32768."),
        ((LLAMA, "10"), "context: '10' is text, not a number. Write the context in tokens, for example 32768."),
        ((LLAMA, 1, True), "users: TRUE is not a number. Write the number of concurrent users, for example 10."),
        ((LLAMA, 1, 0), "users: 0 is below 1. Write the number of concurrent users, for example 10."),
        ((LLAMA, 1, 1, "fp8e"), "precision: 'fp8e' is not known. Did you mean 'fp8'?"),
        (
            (LLAMA, 1, 1, "fp16", 16),
            "kv_precision: 16 bytes per value is not between 0.125 and 4. "
            'Write bytes, not bits (2 for 16 bits, 0.5 for 4), or a name such as "fp16".',
        ),
        (
            (LLAMA, 1, 1, None, None, 10),
            "overhead: 10 is above 1. Write a fraction from 0 to 1, for example 0.1 for 10 %.",
        ),
        ((LLAMA, 1, 1, None, None, None, "GBs"), "unit: 'GBs' is not known. Did you mean 'GB'?"),
        ((LLAMA, 1, 1, None, None, None, 9), 'unit: 9 is not a unit. Write "GB" (10⁹ bytes) or "GiB" (2³⁰ bytes).'),
        ((-70, 1), "model: -70 is below 1e-06. Write a name, or {billions of parameters, layers, hidden dimension}."),
        (("#REF!", 1), "model: it is the Excel error #REF!. Correct the cell that the error comes from."),
    ],
)
def test_messages_of_check(arguments, message):
    assert VRAM_CHECK(*arguments) == message


def test_messages_of_check_are_short():
    verdict = VRAM_CHECK("x" * 40_000, 1)
    assert len(verdict) < 200
    assert verdict.startswith("model: 'xxx") and "…' is not known." in verdict


# ---- VRAM_MODEL --------------------------------------------------------------------------------------


def test_the_card_of_a_model():
    card = dict(VRAM_MODEL(LLAMA))
    # Hugging Face meta-llama/Llama-3.1-70B config.json.
    assert card | {"source": None, "as_of": None} == {
        "name": LLAMA,
        "parameters": 70_553_706_496.0,
        "num_hidden_layers": 80.0,
        "hidden_size": 8192.0,
        "num_attention_heads": 64.0,
        "num_key_value_heads": 8.0,
        "head_dim": 128.0,
        "vocab_size": 128_256.0,
        "max_position_embeddings": 131_072.0,
        "kv_bytes_per_token": LLAMA_KV_PER_TOKEN_BYTES,
        "title": "Llama 3.1 70B",
        "developer": "Meta",
        "licence": "Llama 3.1 Community License",
        "source": None,
        "as_of": None,
    }
    assert "meta-llama/Llama-3.1-70B config.json" in card["source"]
    for field, value in card.items():
        assert VRAM_MODEL(LLAMA, field) == VRAM_MODEL(LLAMA, f" {field.upper()} ") == value


def test_cards_side_by_side():
    card = VRAM_MODEL(row(LLAMA, "no such model", "article-llama-70b"))
    assert {len(line) for line in card} == {4}
    assert card[0] == ["name", LLAMA, NA, "article-llama-70b"]
    assert {line[0]: line[3] for line in card}["vocab_size"] == ""
    assert all(line[2] == NA for line in card)
    assert VRAM_MODEL(row("no such model", 70)) == [["name", NA, VALUE]]


def test_the_card_of_a_custom_model_has_no_source():
    card = dict(VRAM_MODEL([["name", LLAMA], *ARTICLE_LABELS]))
    assert card["parameters"] == 70e9
    assert not {"title", "developer", "licence", "source", "as_of"} & set(card)


def test_a_table_of_fields():
    fields = ["parameters", "no such field", "title"]
    models = [LLAMA, "llama-3-8b"]
    assert VRAM_MODEL(column(*models), row(*fields)) == [
        [VRAM_MODEL(model, "parameters"), NA, VRAM_MODEL(model, "title")] for model in models
    ]
    assert VRAM_MODEL(LLAMA, 3) == VRAM_MODEL(LLAMA, True) == VALUE
    assert VRAM_MODEL(LLAMA, row("parameters", None)) == row(70_553_706_496.0, VALUE)


# ---- VRAM_GPU ----------------------------------------------------------------------------------------


def test_the_card_of_a_gpu():
    card = dict(VRAM_GPU("H100 80GB"))
    # Figures: the sources in gpus.csv; 81559 MiB × 2²⁰ ÷ 10⁹ = 85.520809984 GB.
    assert {field: value for field, value in card.items() if not field.endswith(("source", "as_of"))} == {
        "name": "h100-sxm",
        "title": "NVIDIA H100 SXM5 80 GB",
        "maker": "NVIDIA",
        "architecture": "Hopper",
        "compute_capability": "9.0",
        "sm_count": 132.0,
        "form_factor": "SXM5",
        "label_gb": 80.0,
        "memory_mib": 81_559.0,
        "memory_gb": 85.520809984,
        "memory_basis": "driver",
        "memory_type": "HBM3",
        "bandwidth_gb_per_s": 3350.0,
        "tdp_w": 700.0,
        "gpus_per_node": 8.0,
        "interconnect": "NVLink 4",
        "interconnect_gb_per_s": 900.0,
        "bf16_tflops": 989.0,
        "int8_tops": 1978.0,
        "fp8_tflops": 1978.0,
        # Of the offers that count by default (core/catalog/data/offers.csv).
        "price": 30_000.0,
        "rent_per_hour": 6.88,
        "reserved_per_hour": 2.35,
    }
    for field, value in card.items():
        assert VRAM_GPU("h100", field) == VRAM_GPU("h100", f" {field.upper()} ") == value


def test_unknown_facts_of_a_gpu_are_na():
    assert VRAM_GPU("jetson-thor", row("label_gb", "memory_gb", "memory_basis", "memory_mib")) == row(
        128.0, 128.0, "label", NA
    )


def test_gpus_side_by_side_show_the_fields_of_all_cards():
    # The T4's card has the driver's memory, the DGX Spark's does not; the MI300A's has neither bandwidth nor power.
    names = ["mi300a", "t4", "no such GPU"]
    cards = VRAM_GPU(row(*names))
    assert cards[0] == ["name", "mi300a", "t4", NA]
    assert {line[0] for line in cards} == {field for name in names[:2] for field, _ in VRAM_GPU(name)}
    assert {line[0]: line[1:] for line in cards}["tdp_w"] == ["", 70.0, NA]


@pytest.mark.parametrize("name, error", [("H100 8GB", NA), ("", VALUE), (None, VALUE), (80, VALUE), ("#REF!", "#REF!")])
def test_unknown_gpus(name, error):
    assert VRAM_GPU(name) == VRAM_GPU(name, "memory_gb") == error


# ---- properties --------------------------------------------------------------------------------------

PLAUSIBLE = st.sampled_from(
    [LLAMA, "llama-3-8b", "article-llama-70b", 1, 10, 70.0, 80.0, 8192, 8196, 32768.0, 0.1, 0.5, 2.0, "fp16", "int4",
     "GB", "GiB", "parameters", "params_b", "layers", "hidden", "num_attention_heads", "vocab_size", "name",
     "model_type"]
)  # fmt: skip
HOSTILE = st.one_of(
    st.none(),
    st.booleans(),
    st.floats(),
    st.integers(-(2**63), 2**63),
    st.text(max_size=20),
    st.datetimes(),
    st.decimals(-(10**14), 10**14, places=4),  # Excel's currency
    st.sampled_from(sorted(EXCEL_ERRORS)),
    st.integers(-2146826288, -2146826189),  # Excel's errors over COM
)
CELLS = PLAUSIBLE | HOSTILE


@st.composite
def excel_arguments(draw, cells=CELLS):
    """Draw a cell, or a range of up to 4 × 4 cells."""
    rows, columns = draw(st.integers(0, 4)), draw(st.integers(1, 4))
    if rows == 0:
        return draw(cells)
    line = st.lists(cells, min_size=columns, max_size=columns)
    return draw(st.lists(line, min_size=rows, max_size=rows))


def is_cell_value(value):
    return type(value) is str or (type(value) is float and math.isfinite(value))


def is_result(result):
    if not isinstance(result, list):
        return is_cell_value(result)
    widths = {len(line) for line in result}
    return len(widths) == 1 and widths != {0} and all(is_cell_value(value) for line in result for value in line)


@pytest.mark.parametrize("function", vram_udf.FUNCTIONS, ids=lambda function: function.__name__)
@given(data=st.data())
def test_any_arguments_give_cell_values(function, data):
    arity = len(inspect.signature(function).parameters)
    required = sum(p.default is p.empty for p in inspect.signature(function).parameters.values())
    arguments = data.draw(st.lists(excel_arguments(), min_size=required, max_size=arity))
    assert is_result(function(*arguments))


@given(data=st.data())
def test_check_is_ok_if_and_only_if_total_is_a_number(data):
    valid = {
        "model": LLAMA,
        "context": 1000,
        "users": 2,
        "precision": "fp8",
        "kv_precision": 2,
        "overhead": 0,
        "unit": "B",
    }
    names = list(inspect.signature(VRAM_TOTAL).parameters)
    assert list(inspect.signature(VRAM_CHECK).parameters)[: len(names)] == names
    varied = data.draw(st.sets(st.sampled_from(names), max_size=2))
    arguments = [data.draw(excel_arguments()) if name in varied else valid[name] for name in names]
    totals, verdicts = VRAM_TOTAL(*arguments), VRAM_CHECK(*arguments)
    if not isinstance(totals, list):
        totals, verdicts = [[totals]], [[verdicts]]
    assert [[type(total) is float for total in line] for line in totals] == [
        [verdict.partition(",")[0] == "OK" for verdict in line] for line in verdicts
    ]


CONTEXTS, COUNTS = st.integers(1, 10**6), st.integers(1, 10**4)
MODELS = st.sampled_from(catalog.model_names())
PRECISIONS, KV_PRECISIONS = (
    st.sampled_from([row.precision.name for row in catalog.precisions() if row.use in ("", use)])
    for use in ("weights", "kv")
)


@given(MODELS, CONTEXTS, COUNTS, PRECISIONS, KV_PRECISIONS, st.floats(0, 1), st.sampled_from(["B", "GB", "GiB"]))
def test_the_lines_of_a_breakdown_add_up_to_the_total(model, context, users, precision, kv_precision, overhead, unit):
    scenario = (model, context, users, precision, kv_precision, overhead, unit)
    *lines, (_, total) = VRAM_BREAKDOWN(*scenario)
    assert total == VRAM_TOTAL(*scenario) == pytest.approx(sum(size for _, size in lines), rel=1e-12)
    assert lines[0] == ["weights", VRAM_WEIGHTS(model, precision, unit)]
    assert lines[1] == ["KV cache", VRAM_KV(model, context, users, kv_precision, unit)]


@settings(max_examples=50)
@given(st.lists(CELLS, min_size=2, max_size=4), st.lists(CELLS, min_size=2, max_size=4))
def test_a_grid_equals_its_elements_computed_separately(contexts, users):
    grid = VRAM_TOTAL(LLAMA, column(*contexts), row(*users))
    assert grid == [[VRAM_TOTAL(LLAMA, context, count) for count in users] for context in contexts]


def test_the_card_of_a_precision():
    # OCP MX specification 1.0: 32 values of 4 bits and a scale of 8: 4.25 bits.
    assert VRAM_PRECISION("MXFP4", "bits_per_value") == 4.25
    card = dict(VRAM_PRECISION("awq"))
    assert card["name"] == "awq" and card["used_for"] == "weights" and card["source"]
    assert VRAM_PRECISION([["fp16"], ["fp17"], [None]], "bytes_per_value") == [[2.0], ["#N/A"], ["#VALUE!"]]


# ---- grids, which are computed line by line ------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "weights_gb"),
    [
        ("deepseek-v3", 673.15),
        ("gpt-oss-120b", 65.25),
        ("llama-3.1-70b", 141.11),
    ],  # the nine-case table, tests/golden/nine_models.csv
)
def test_weights_as_shipped(model, weights_gb):
    for name in ("shipped", " Shipped"):
        assert round(VRAM_WEIGHTS(model, name), 2) == weights_gb
    assert VRAM_TOTAL(model, 32_768, 10, "shipped") > VRAM_WEIGHTS(model, "shipped")
    assert VRAM_KV(model, 32_768, 10, "shipped") == VRAM_KV(model, 32_768, 10)  # as the checkpoint states, else 16 bits


@pytest.mark.parametrize(
    ("model", "kv_precision", "overhead"),
    [
        ("llama-3.1-70b", None, None),
        ("gemma-3-27b", "fp8", 0.123),  # sliding windows
        ("qwen3-next-80b", 0.5625, 1 / 3),  # a state of fixed size; the KV cache is rounded up to whole bytes
        ("deepseek-v3", "fp16", 0),
    ],
)
def test_rows_and_columns_of_a_grid_equal_cells_computed_separately(model, kv_precision, overhead):
    contexts, users = [1, 1000.0, 32_769, 10**8], [1, 3.0, 7, 10**8]  # the product of the last is inexact in floats
    separate = [
        [VRAM_TOTAL(model, context, number, None, kv_precision, overhead, "B") for number in users]
        for context in contexts
    ]
    down, across = [[context] for context in contexts], [users]
    assert VRAM_TOTAL(model, down, across, None, kv_precision, overhead, "B") == separate
    transposed = VRAM_TOTAL(model, [contexts], [[number] for number in users], None, kv_precision, overhead, "B")
    assert transposed == [list(column) for column in zip(*separate)]


def test_an_error_in_a_grid_stays_in_its_row_and_column():
    grid = VRAM_TOTAL("llama-3.1-70b", [[1000], [-1]], [[1, "x", 2]])
    assert [[isinstance(cell, float) for cell in row] for row in grid] == [[True, False, True], [False] * 3]
    assert (grid[0][1], grid[1]) == ("#VALUE!", ["#NUM!"] * 3)
