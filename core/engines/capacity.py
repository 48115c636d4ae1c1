"""Compute the tokens and users that fit on a replica's GPUs under an engine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from core.engines.deployment import Budget, Deployment, Engine, Pool
from core.engines.served import (
    as_loaded,
    check_settings,
    offloaded_tokens,
    shared_blocks,
    with_adapters,
    with_draft_caches,
    with_draft_weights,
    with_reserve,
)
from core.errors import UnsupportedModelError


@dataclass(frozen=True)
class Count:
    """An expected number, and the range that follows from the spread of logged sizes."""

    expected: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """The capacity of one replica.

    Attributes:
        deployment: the replica.
        stage: the number of the pipeline stage with the fewest blocks, from 0.
        budget: the use of a GPU's memory in that stage.
        kv_bytes_per_token: bytes that a long sequence adds per token, on a GPU of the fullest stage.
        kv_tokens: the size of the KV cache as the engine's log prints it.
        max_concurrency: the number of sequences of the whole context that fit, as the log prints it.
        max_users: the same in whole sequences, at most `max_sequences`.
        max_sequences: the engine's limit of concurrent sequences, regardless of memory.
        offloaded_tokens: tokens whose cache CPU memory keeps, besides those on the GPUs; they run no more users.
    """

    deployment: Deployment
    stage: int
    budget: Budget
    kv_bytes_per_token: int
    kv_tokens: Count
    max_concurrency: Count
    max_users: Count
    max_sequences: int
    offloaded_tokens: int = 0


def capacity(engine: Engine, deployment: Deployment) -> Capacity:
    """Return the capacity of the replica that `deployment` describes under `engine`.

    Raises:
        UnsupportedModelError: only the size of the model is known.
        OutOfRangeError: a setting does not fit the layout, or the engine does not have it.
    """
    budgets, pool = _budgets_and_pool(engine, deployment)
    blocks = _blocks(pool, budgets)
    places = _Places(deployment, pool, deployment.context)
    stage = min(range(len(budgets)), key=lambda i: budgets[i].kv.expected // pool.block_bytes[i])
    most = engine.max_sequences(deployment) * places.groups
    return Capacity(
        deployment=deployment,
        stage=stage,
        budget=budgets[stage],
        kv_bytes_per_token=pool.bytes_per_token,
        kv_tokens=_count(pool.logged_tokens(count, deployment.context) for count in blocks),
        max_concurrency=_count(places.concurrency(count) for count in blocks),
        max_users=_count(min(places.users(count), most) for count in blocks),
        max_sequences=most,
        offloaded_tokens=offloaded_tokens(deployment, pool),
    )


class _Places:
    """How many sequences of `tokens` tokens the blocks hold, in all groups of GPUs with their own cache."""

    def __init__(self, deployment: Deployment, pool: Pool, tokens: int) -> None:
        self.groups = deployment.settings.groups
        self._shared = shared_blocks(deployment, pool)
        self._own = max(1, pool.blocks_per_sequence(tokens) - self._shared)

    def concurrency(self, blocks: int) -> float:
        return max(0, blocks - self._shared) / self._own * self.groups

    def users(self, blocks: int) -> int:
        return max(0, blocks - self._shared) // self._own * self.groups


def users_that_fit(engine: Engine, deployment: Deployment, tokens: int | None = None) -> int:
    """Return the number of concurrent sequences that fit and that the engine can run.

    Args:
        tokens: tokens cached per sequence; None for the whole context (`reserved`). The average tokens in use (`paged`)
            are rounded up to blocks, as PagedAttention allocates them (Kwon et al. 2023, arXiv:2309.06180).
    """
    budgets, pool = _budgets_and_pool(engine, deployment)
    places = _Places(deployment, pool, tokens or deployment.context)
    fitting = places.users(pool.blocks(tuple(budget.kv.expected for budget in budgets)))
    return min(fitting, engine.max_sequences(deployment) * places.groups)


def _budgets_and_pool(engine: Engine, deployment: Deployment) -> tuple[tuple[Budget, ...], Pool]:
    if deployment.model.vocab_size is None:
        raise UnsupportedModelError(
            "model",
            f"only the size of {deployment.model.name} is known, which is not enough for an engine's memory budget",
            "Give the fields of its config.json, or set an overhead.",
        )
    check_settings(engine, deployment)
    loaded = as_loaded(deployment)
    budgets = with_draft_weights(loaded, with_adapters(loaded, engine.budgets(loaded)))
    budgets = with_reserve(loaded, budgets)
    return budgets, engine.pool(with_draft_caches(loaded))


def _blocks(pool: Pool, budgets: tuple[Budget, ...]) -> tuple[int, int, int]:
    sizes = [budget.kv for budget in budgets]
    return (
        pool.blocks(tuple(size.expected for size in sizes)),
        pool.blocks(tuple(size.low for size in sizes)),
        pool.blocks(tuple(size.high for size in sizes)),
    )


def _count(values: Iterable[float]) -> Count:
    return Count(*values)
