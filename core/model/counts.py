"""Count a model's parameters and KV cache, once per model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from core.model.kv_cache import kv_profile
from core.model.kv_profile import KvProfile
from core.model.parameters import ParameterCount, count_parameters
from core.model.spec import ModelSpec


@dataclass(frozen=True, kw_only=True)
class ModelCounts:
    """The figures from which a model's memory follows."""

    parameters: ParameterCount
    kv: KvProfile


@lru_cache(maxsize=2048)  # well above the number of models, or a file of all models would count each row again
def model_counts(model: ModelSpec) -> ModelCounts:
    """Return the parameter count and the KV profile of `model`.

    Raises:
        UnsupportedModelError: the parameters are not stated and cannot be counted.
    """
    return ModelCounts(parameters=count_parameters(model), kv=kv_profile(model))
