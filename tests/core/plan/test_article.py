"""The article's printed figures, to the last digit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.plan.article import ONE_USER, SHORT_CONTEXT, ArticleInputs, article_figures

ARTICLE = ArticleInputs()
ONE_USERS = replace(ARTICLE, users=ONE_USER)
SHORT = replace(ARTICLE, context=SHORT_CONTEXT)


def test_the_articles_inputs():
    # 8196 is the article's figure; the real model has 8192.
    assert (
        ArticleInputs(
            params_b=70,
            num_hidden_layers=80,
            hidden_size=8196,
            bytes_per_parameter=2,
            bytes_per_value=2,
            context=32_000,
            users=10,
            overhead=0.1,
            gpu_memory_gb=80,
        )
        == ARTICLE
    )
    assert (ONE_USER, SHORT_CONTEXT) == (1, 8_000)


# As printed: 140 + 800 + 94 = 1034 GB; one user 140 + 80 + 22 = 242 GB, 3 to 4 GPUs of 80 GB; 8K context
# 140 + 200 + 34 = 374 GB.
@pytest.mark.parametrize(
    "inputs, weights_gb, kv_gb, overhead_gb, total_gb, gpus",
    [(ARTICLE, 140, 800, 94, 1034, 13), (ONE_USERS, 140, 80, 22, 242, 4), (SHORT, 140, 200, 34, 374, 5)],
)
def test_the_printed_figures(inputs, weights_gb, kv_gb, overhead_gb, total_gb, gpus):
    figures = article_figures(inputs)
    assert figures.kv_per_token_mb == 2.5
    assert (figures.weights_gb, figures.kv_gb) == pytest.approx((weights_gb, kv_gb), rel=1e-12)
    assert (figures.overhead_gb, figures.total_gb) == pytest.approx((overhead_gb, total_gb), rel=1e-12)
    assert figures.gpus == gpus


# 80 layers × hidden × 2 × 2 bytes in MiB: 8192 is exactly 2.5, 8400 is 2.563…, 8356.8 would be 2.55.
@pytest.mark.parametrize(
    "hidden_size, mb", [(8192, 2.5), (8196, 2.5), (8355, 2.5), (8357, 2.6), (8400, 2.6), (4096, 1.3)]
)
def test_the_articles_rounding_is_half_up_in_mib(hidden_size, mb):
    assert article_figures(replace(ARTICLE, hidden_size=hidden_size)).kv_per_token_mb == mb


def test_a_total_that_fills_its_gpus_exactly_needs_no_more():
    # (140 + 80) × 1.1 = 242 GB on two GPUs of 121 GB.
    assert article_figures(replace(ONE_USERS, gpu_memory_gb=121)).gpus == 2
    assert article_figures(replace(ONE_USERS, gpu_memory_gb=120.9)).gpus == 3
