"""Rank options: the one function that decides what is best, for every interface."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    """

    key: Key
    net_present_cost: float | None
    free_places: int
    bandwidth_per_user: float | None
    reason: str = ""


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
        margin: how much more the runner-up costs than the best, as a fraction; None without a runner-up.
    """

    keys: tuple[Key, ...]
    left_out: tuple[LeftOut[Key], ...]
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
    return Ranking(
        keys=tuple(candidate.key for candidate in ordered), left_out=tuple(left_out), margin=_margin(ordered)
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


def _margin(ordered: Sequence[Candidate[Key]]) -> float | None:
    if len(ordered) < 2 or not _cost(ordered[0]):
        return None
    return _cost(ordered[1]) / _cost(ordered[0]) - 1
