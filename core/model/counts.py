"""The counts that a model's memory follows from, computed once per model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from core.model.kv_cache import KvProfile, kv_profile
from core.model.parameters import ParameterCount, count_parameters
from core.model.spec import ModelSpec


@dataclass(frozen=True, kw_only=True)
class ModelCounts:
    """What of a model its memory follows from: counted once, asked often."""

    parameters: ParameterCount
    kv: KvProfile


@lru_cache(maxsize=512)
def model_counts(model: ModelSpec) -> ModelCounts:
    """The parameters and the KV profile of `model`.

    Raises:
        UnsupportedModelError: the parameters can neither be counted nor are they stated.
    """
    return ModelCounts(parameters=count_parameters(model), kv=kv_profile(model))
