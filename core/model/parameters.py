"""List the tensors of a model and count their parameters by group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import NamedTuple

from core.errors import UnsupportedModelError
from core.model.spec import LayerRun, ModelSpec
from core.model.tensors import BY_VOCABULARY, EMBEDDING, GROUPS, HEAD, Tensor, linear, vector


@dataclass(frozen=True, kw_only=True)
class ParameterCount:
    """Parameters by group.

    Attributes:
        by_group: parameters of each group of `core.model.tensors.GROUPS`.
        active: parameters that process one token: of the routed experts, only those that the router selects.
        unattributed: parameters of a stated total, which is not divided into groups.
    """

    by_group: tuple[tuple[str, int], ...] = ()
    active: int = 0
    unattributed: int = 0

    def of(self, group: str) -> int:
        """Return the parameters of one group."""
        return dict(self.by_group).get(group, 0)

    @cached_property
    def total(self) -> int:
        return sum(count for _, count in self.by_group) + self.unattributed


def count_parameters(spec: ModelSpec) -> ParameterCount:
    """Return the parameters of `spec`: the stated count if there is one, else counted tensor by tensor.

    Layers for multi-token prediction are not counted: they draft tokens, and engines do not load them by default.

    Raises:
        UnsupportedModelError: no count is stated, and a field that counting needs is missing.
    """
    if spec.stated_parameters is not None:
        return ParameterCount(unattributed=spec.stated_parameters, active=spec.stated_parameters)
    counts = dict.fromkeys(GROUPS, 0)
    active = 0
    for tensor, times in tensors_with_counts(spec):
        counts[tensor.group] += times * tensor.parameters
        active += times * tensor.active_parameters
    return ParameterCount(by_group=tuple(counts.items()), active=active)


def tensors_with_counts(spec: ModelSpec) -> Iterator[tuple[Tensor, int]]:
    """Yield every tensor of `spec` with the number of layers that have it.

    Raises:
        UnsupportedModelError: a field that counting needs is missing.
    """
    for layers in layer_groups(spec):
        for tensor in layers.tensors:
            yield tensor, len(layers.numbers)
    yield from counted_outer_tensors(spec)


@lru_cache(maxsize=512)
def counted_outer_tensors(spec: ModelSpec) -> tuple[tuple[Tensor, int], ...]:
    """Return the tensors outside the layers with their number: a vision tower repeats its tensors in each layer.

    Raises:
        UnsupportedModelError: `vocab_size` is missing.
    """
    return tuple(Counter(outer_tensors(spec)).items())


class LayerGroup(NamedTuple):
    """The layers of a model that have the same tensors; they need not be neighbours.

    Attributes:
        tensors: the tensors of one layer.
        numbers: the numbers of the layers, counted from 0.
    """

    tensors: tuple[Tensor, ...]
    numbers: tuple[int, ...]


@lru_cache(maxsize=512)
def layer_groups(spec: ModelSpec) -> tuple[LayerGroup, ...]:
    """Group the layers of `spec` that have the same tensors.

    Raises:
        UnsupportedModelError: the description has too few fields to list the tensors.
    """
    numbers: dict[LayerRun, list[int]] = {}
    first = 0
    for run in spec.layers:
        numbers.setdefault(replace(run, count=1), []).extend(range(first, first + run.count))
        first += run.count
    return tuple(LayerGroup(layer_tensors(run, spec.hidden_size), tuple(layers)) for run, layers in numbers.items())


def outer_tensors(spec: ModelSpec) -> tuple[Tensor, ...]:
    """Return the tensors outside the layers: embedding, head, final norm, and those that a model family adds.

    Raises:
        UnsupportedModelError: `vocab_size` is missing.
    """
    if spec.vocab_size is None:
        raise _not_countable("vocab_size")
    hidden, width = spec.hidden_size, spec.embedding_size or spec.hidden_size
    tensors = [
        Tensor(name="embed_tokens", group=EMBEDDING, rows=spec.vocab_size, columns=width, split=BY_VOCABULARY),
        *_norms("norm", spec.final_norms, hidden, spec.norm_bias),
    ]
    if not spec.tie_word_embeddings:
        tensors += linear("lm_head", HEAD, spec.vocab_size, width, BY_VOCABULARY, bias=spec.head_bias)
    elif spec.head_bias:
        tensors.append(vector("lm_head.bias", spec.vocab_size, BY_VOCABULARY))
    return (*tensors, *spec.extra)


def layer_tensors(run: LayerRun, hidden_size: int) -> tuple[Tensor, ...]:
    """Return the tensors of one layer.

    Raises:
        UnsupportedModelError: the description has too few fields to list them.
    """
    if not run.complete:
        raise _not_countable("intermediate_size")
    mlp = () if run.mlp is None else run.mlp.weight_tensors(hidden_size)
    norms = _norms("layernorm", run.norms, hidden_size, run.norm_bias)
    return (*run.mixer.weight_tensors(hidden_size), *mlp, *norms, *run.extra)


def _norms(name: str, count: int, hidden_size: int, bias: bool) -> tuple[Tensor, ...]:
    return count * (1 + bias) * (vector(name, hidden_size),)


def _not_countable(field: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        field,
        "it is missing, and the parameters cannot be counted without it",
        f"Add {field}, or give the number of parameters in billions as params_b.",
    )
