"""Reproduce the article's printed figures with its own arithmetic and rounding.

The article (Chinese, "how to work out the GPU memory that serving Llama 70B needs") rounds the KV cache of one token to
one decimal of MiB, calls the result "MB", and then uses it as 10⁶ bytes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from core.plan.estimate import DEFAULT_OVERHEAD_FRACTION
from core.units import GB, MB, MIB


@dataclass(frozen=True, kw_only=True)
class ArticleInputs:
    """The article's inputs; the defaults are its own figures, including 8196 for the hidden dimension."""

    params_b: float = 70
    num_hidden_layers: int = 80
    hidden_size: int = 8196
    bytes_per_parameter: float = 2
    bytes_per_value: float = 2
    context: int = 32_000
    users: int = 10
    overhead: float = DEFAULT_OVERHEAD_FRACTION
    gpu_memory_gb: float = 80


@dataclass(frozen=True, kw_only=True)
class ArticleFigures:
    """The article's figures in GB (10⁹ bytes), and `kv_per_token_mb` in its rounded "MB"."""

    weights_gb: float
    kv_per_token_mb: float
    kv_gb: float
    overhead_gb: float
    total_gb: float
    gpus: int


ONE_USER = 1
SHORT_CONTEXT = 8_000


def article_figures(inputs: ArticleInputs) -> ArticleFigures:
    """Return the figures as the article computes them, with its rounding."""
    weights_gb = inputs.params_b * 10**9 * inputs.bytes_per_parameter / GB
    per_token_bytes = inputs.num_hidden_layers * inputs.hidden_size * inputs.bytes_per_value * 2
    kv_per_token_mb = math.floor(per_token_bytes / MIB * 10 + 0.5) / 10  # half up, as Excel's ROUND does
    kv_gb = kv_per_token_mb * MB * inputs.context * inputs.users / GB
    overhead_gb = (weights_gb + kv_gb) * inputs.overhead
    total_gb = weights_gb + kv_gb + overhead_gb
    return ArticleFigures(
        weights_gb=weights_gb,
        kv_per_token_mb=kv_per_token_mb,
        kv_gb=kv_gb,
        overhead_gb=overhead_gb,
        total_gb=total_gb,
        gpus=math.ceil(round(total_gb / inputs.gpu_memory_gb, 9)),
    )
