"""Rank options: the one function that decides what is best, for every interface."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

Key = TypeVar("Key")

# Options whose costs differ by less are equal for a buyer: prices are not known better than that.
SAME_COST = 1.001

NO_PRICE = "no price is known"
NO_BANDWIDTH = "no memory bandwidth is known"


@dataclass(frozen=True, kw_only=True)
class Candidate(Generic[Key]):
    """An option as the ranking sees it.

    Attributes:
        key: what identifies the option for the caller.
        net_present_cost: the lower net present cost of owning and renting; None without a price.
        free_places: places for users that stay free, spare replicas included.
        bandwidth_per_user: memory bandwidth of all GPUs divided by the users; None if it is not known.
        reason: why the option cannot be chosen ("too slow", "more than 100,000 GPUs"); "" if it can.
        gpu: its GPU: the runner-up is the best option of another one.
    """

    key: Key
    net_present_cost: float | None
    free_places: int
    bandwidth_per_user: float | None
    reason: str = ""
    gpu: str = ""


@dataclass(frozen=True)
class LeftOut(Generic[Key]):
    """An option that is not ranked, and why."""

    key: Key
    reason: str


@dataclass(frozen=True, kw_only=True)
class Ranking(Generic[Key]):
    """The options in order, best first, and those that are left out.

    Attributes:
        keys: of the ranked options.
        left_out: the other options, in the order in which they were given.
        runner_up: the best option of another GPU than that of the best, or of the same one if there is no other;
            None if there is one option.
        margin: how much more the runner-up costs than the best, as a fraction; None without a runner-up.
    """

    keys: tuple[Key, ...]
    left_out: tuple[LeftOut[Key], ...]
    runner_up: Key | None
    margin: float | None


def rank(candidates: Iterable[Candidate[Key]]) -> Ranking[Key]:
    """Rank options by net present cost; about equal costs are decided by free places, then by bandwidth per user.

    Costs are about equal if they are within 0.1 % of the cheapest one of their group: the groups are formed from the
    cheapest option upwards. Options that are equal in everything keep the order in which they are given.
    """
    ranked: list[Candidate[Key]] = []
    left_out: list[LeftOut[Key]] = []
    for candidate in candidates:
        reason = _reason(candidate)
        if reason:
            left_out.append(LeftOut(candidate.key, reason))
        else:
            ranked.append(candidate)
    ranked.sort(key=_cost)
    groups: list[list[Candidate[Key]]] = []
    for candidate in ranked:
        if groups and _cost(candidate) <= _cost(groups[-1][0]) * SAME_COST:
            groups[-1].append(candidate)
        else:
            groups.append([candidate])
    ordered = [candidate for group in groups for candidate in sorted(group, key=_roominess)]
    others = [candidate for candidate in ordered if candidate.gpu != ordered[0].gpu] or ordered[1:]
    second = others[0] if others else None
    return Ranking(
        keys=tuple(candidate.key for candidate in ordered),
        left_out=tuple(left_out),
        runner_up=None if second is None else second.key,
        margin=None if second is None else _margin(ordered[0], second),
    )


def _reason(candidate: Candidate[Key]) -> str:
    if candidate.reason:
        return candidate.reason
    if candidate.net_present_cost is None:
        return NO_PRICE
    return NO_BANDWIDTH if candidate.bandwidth_per_user is None else ""


def _cost(candidate: Candidate[Key]) -> float:
    return candidate.net_present_cost or 0.0


def _roominess(candidate: Candidate[Key]) -> tuple[float, float]:
    return -candidate.free_places, -(candidate.bandwidth_per_user or 0)


def _margin(best: Candidate[Key], second: Candidate[Key]) -> float | None:
    return _cost(second) / _cost(best) - 1 if _cost(best) else None
