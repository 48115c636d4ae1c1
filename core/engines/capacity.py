"""What fits on a model's GPUs once an engine has taken its share: tokens, users, the longest context."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from core.engines.deployment import Budget, Deployment, Engine, Pool
from core.errors import UnsupportedModelError


@dataclass(frozen=True)
class Count:
    """A number that is expected, and the range that the spread of logged sizes makes of it."""

    expected: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """What one replica can hold.

    Attributes:
        deployment: what was asked about.
        budget: what a GPU's memory goes to, of the pipeline stage that decides.
        kv_bytes_per_token: bytes by which a long sequence grows with each token, on a GPU of the fullest stage.
        kv_tokens: the cache's size as the engine's log announces it.
        max_concurrency: sequences of the whole context that fit, as the log announces it.
        max_users: the same in whole sequences.
        max_sequences: how many the engine runs at once, whatever fits.
    """

    deployment: Deployment
    budget: Budget
    kv_bytes_per_token: int
    kv_tokens: Count
    max_concurrency: Count
    max_users: Count
    max_sequences: int


def capacity(engine: Engine, deployment: Deployment) -> Capacity:
    """What the replica that `deployment` describes can hold under `engine`.

    Raises:
        UnsupportedModelError: the description says too little of the model.
    """
    budgets, pool = _budgets_and_pool(engine, deployment)
    blocks = _blocks(pool, budgets)
    each = pool.blocks_of(deployment.context)
    stage = min(range(len(budgets)), key=lambda i: budgets[i].kv.expected // pool.block_bytes[i])
    return Capacity(
        deployment=deployment,
        budget=budgets[stage],
        kv_bytes_per_token=pool.bytes_per_token,
        kv_tokens=_count(pool.tokens_announced(count, deployment.context) for count in blocks),
        max_concurrency=_count(count / each for count in blocks),
        max_users=_count(count // each for count in blocks),
        max_sequences=engine.max_sequences(deployment),
    )


def users_that_fit(engine: Engine, deployment: Deployment, tokens: int | None = None) -> int:
    """Whole sequences that fit together, and that the engine runs at once.

    Args:
        tokens: what each keeps; None for the whole context (`reserved`). The average tokens in use (`paged`) are
            rounded up to blocks, as PagedAttention allocates them (Kwon et al. 2023, arXiv:2309.06180).
    """
    budgets, pool = _budgets_and_pool(engine, deployment)
    fitting = pool.blocks(tuple(budget.kv.expected for budget in budgets)) // pool.blocks_of(
        tokens or deployment.context
    )
    return min(fitting, engine.max_sequences(deployment))


def _budgets_and_pool(engine: Engine, deployment: Deployment) -> tuple[tuple[Budget, ...], Pool]:
    if deployment.model.vocab_size is None:
        raise UnsupportedModelError(
            "model",
            f"{deployment.model.name} is told by its size alone, and what an engine sets aside follows from its shapes",
            "Give the fields of its config.json, or reckon with an overhead.",
        )
    return engine.budgets(deployment), engine.pool(deployment)


def _blocks(pool: Pool, budgets: tuple[Budget, ...]) -> tuple[int, int, int]:
    sizes = [budget.kv for budget in budgets]
    return (
        pool.blocks(tuple(size.expected for size in sizes)),
        pool.blocks(tuple(size.low for size in sizes)),
        pool.blocks(tuple(size.high for size in sizes)),
    )


def _count(values: Iterable[float]) -> Count:
    return Count(*values)
