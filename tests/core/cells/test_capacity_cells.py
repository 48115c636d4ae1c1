"""Test the cell functions for the number of GPUs, users and tokens."""

from __future__ import annotations

from itertools import pairwise

import pytest

from vram_udf import VRAM_GPUS, VRAM_MAX_CONTEXT, VRAM_MAX_USERS

LLAMA, ARTICLE = "llama-3.1-70b", [[70, 80, 8196]]


def test_the_articles_model_with_a_given_overhead():
    """One user: 246.4 GB over 80 GB. Ten: 1077.2 GB; with 8 GPUs per node and splits by powers of two, 16 GPUs."""
    assert VRAM_GPUS(ARTICLE, 32_000, 1, 80, None, None, 0.1) == 4.0
    assert VRAM_GPUS(ARTICLE, 32_000, 10, 80, None, None, 0.1) == 16.0


def test_a_model_without_shapes_has_an_overhead_of_10_per_cent():
    assert VRAM_GPUS(ARTICLE, 32_000, 10, 80) == VRAM_GPUS(ARTICLE, 32_000, 10, 80, None, None, 0.1)


def test_a_gpu_is_given_by_name_or_memory():
    assert VRAM_GPUS(LLAMA, 32_768, 10, "h100", None, None, 0.1) == VRAM_GPUS(LLAMA, 32_768, 10, 80, None, None, 0.1)
    assert VRAM_GPUS(LLAMA, 32_768, 10, "h100") == 4.0


def test_gpus_users_and_context_are_inverse_functions():
    users = VRAM_MAX_USERS(LLAMA, 32_768, "h100", 8)
    assert VRAM_GPUS(LLAMA, 32_768, users, "h100") <= 8 < VRAM_GPUS(LLAMA, 32_768, users + 1, "h100")
    context = VRAM_MAX_CONTEXT(LLAMA, users, "h100", 8)
    assert context >= 32_768
    assert VRAM_MAX_USERS(LLAMA, context, "h100", 8) >= users > VRAM_MAX_USERS(LLAMA, context + 1, "h100", 8)


def test_a_model_that_does_not_fit_gives_zero():
    assert VRAM_MAX_USERS(LLAMA, 32_768, "h100", 1) == 0
    assert VRAM_MAX_CONTEXT(LLAMA, 1, "h100", 1) == 0


def test_the_longest_context_is_at_most_the_models_limit():
    assert VRAM_MAX_CONTEXT("llama-3.1-8b", 1, "b300", 8) == 131_072


def test_grids_spill():
    grid = VRAM_GPUS(LLAMA, [[8192], [32_768]], [[1, 10, 100]], "h100")
    assert [len(row) for row in grid] == [3, 3]
    assert all(left <= right for row in grid for left, right in pairwise(row))
    assert VRAM_GPUS([["llama-3.1-8b"], ["no such"]], 8192, 1, [["h100", "h101"]]) == [[1.0, "#N/A"], ["#N/A", "#N/A"]]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: VRAM_GPUS(LLAMA, -1, 1, "h100"), "#NUM!"),
        (lambda: VRAM_GPUS(LLAMA, 8192, 1, "h101"), "#N/A"),
        (lambda: VRAM_GPUS(LLAMA, 8192, 1, None), "#VALUE!"),
        (lambda: VRAM_GPUS(LLAMA, 8192, 1, True), "#VALUE!"),
        (lambda: VRAM_GPUS(LLAMA, 8192, 1, 0.5), "#NUM!"),
        (lambda: VRAM_GPUS(LLAMA, 8192, 1, 4), "#NUM!"),  # does not fit on any number of GPUs
        (lambda: VRAM_GPUS(70, 8192, 1, 80), "#VALUE!"),  # a size is not enough for the KV cache
        (lambda: VRAM_GPUS(LLAMA, 8192, 1, "h100", None, None, 2), "#NUM!"),
        (lambda: VRAM_MAX_USERS(LLAMA, 8192, "h100", 0), "#NUM!"),
        (lambda: VRAM_MAX_USERS(LLAMA, 8192, "h100", "#REF!"), "#REF!"),
        (lambda: VRAM_MAX_CONTEXT(LLAMA, 1.5, "h100", 8), "#NUM!"),
    ],
)
def test_invalid_arguments_give_excel_errors(call, error):
    assert call() == error


def test_a_model_without_a_longest_context_is_not_limited_to_its_familys_default():
    # The article's numbers by hand: (8 × 80 GB ÷ 1.1 − 140 GB) ÷ 2 622 720 bytes per token = 168 458 tokens.
    assert VRAM_MAX_CONTEXT([[70, 80, 8196]], 1, 80, 8, None, None, 0.1) == 168_458
