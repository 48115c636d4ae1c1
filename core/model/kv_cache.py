"""Add up what the layers of a model cache of one sequence."""

from __future__ import annotations

from functools import lru_cache

from core.model.kv_profile import KvProfile
from core.model.spec import ModelSpec


@lru_cache(maxsize=2048)
def kv_profile(spec: ModelSpec, tp: int = 1) -> KvProfile:
    """Return what one sequence caches over all layers of `spec` on one of `tp` tensor-parallel ranks."""
    return sum((run.mixer.kv_profile(tp) * run.count for run in spec.layers), KvProfile())
