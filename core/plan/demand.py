"""Turn demand into concurrent users: people of whom a share is active, or requests per hour."""

from __future__ import annotations

from dataclasses import dataclass

from core.checks import number, whole
from core.errors import OutOfRangeError
from core.plan.terms import Term, Terms, up, v

PEOPLE = Terms(
    Term(
        name="users",
        unit="users",
        means="Concurrent users: the people who have a request running at the peak, at least one.",
        formula=up(v.people * v.active),
    )
)

REQUESTS = Terms(
    Term(
        name="request_s",
        unit="s",
        means="Time of one request: until its first token, then its output at the speed of a user.",
        formula=v.first_token_s + v.output_tokens / v.tokens_per_s_per_user,
    ),
    Term(
        name="users",
        unit="users",
        means="Concurrent users: the requests that run at the same time on average.",
        formula=v.requests_per_hour / 3600 * v.request_s,
        source="Little 1961, A Proof for the Queuing Formula L = λW",
    ),
    Term(
        name="replicas",
        unit="replicas",
        means="Replicas that hold them, each with the users that it runs at that speed.",
        formula=up(v.users / v.users_per_replica),
    ),
)


@dataclass(frozen=True)
class Demand:
    """Demand as it was given: exactly one of `users` and `requests_per_hour` is set."""

    users: int | None
    requests_per_hour: float | None


def demand_of(
    users: float | None = None,
    people: float | None = None,
    active: float | None = None,
    requests_per_hour: float | None = None,
) -> Demand:
    """Return the demand.

    Args:
        users: concurrent users.
        people: people who use the service.
        active: the share of them who have a request running at the peak, from 0 to 1; needed with `people`.
        requests_per_hour: requests that come in an hour.

    Raises:
        OutOfRangeError: none or more than one of users, people and requests_per_hour is given, or only one of people
            and active.
        PlannerError: a figure is of the wrong type or out of range.
    """
    given = {"users": users, "people": people, "requests_per_hour": requests_per_hour}
    named = [name for name, value in given.items() if value is not None]
    if len(named) != 1:
        problem = f"{' and '.join(named)} are given" if named else "no demand is given"
        raise OutOfRangeError(
            named[1] if named else "users", problem, "Give one of users, people and requests_per_hour."
        )
    if (people is None) != (active is None):
        missing = "active" if active is None else "people"
        remedy = "Give people with the share that is active at the peak, for example 500 and 0.1."
        raise OutOfRangeError(missing, "it is missing", remedy)
    if requests_per_hour is not None:
        return Demand(None, number("requests_per_hour", requests_per_hour))
    if people is not None:
        found = PEOPLE.compute({"people": whole("people", people), "active": number("active", active)})["users"]
        return Demand(max(1, int(found)), None)  # type: ignore[call-overload]
    return Demand(whole("users", users), None)


def replicas_for_requests(
    requests_per_hour: float,
    *,
    first_token_s: float,
    output_tokens: int,
    tokens_per_s_per_user: float,
    users_per_replica: int,
) -> int:
    """Return the replicas that serve so many requests an hour, each with its users at that speed (Little's law)."""
    found = REQUESTS.compute(
        {
            "requests_per_hour": requests_per_hour,
            "first_token_s": first_token_s,
            "output_tokens": output_tokens,
            "tokens_per_s_per_user": tokens_per_s_per_user,
            "users_per_replica": users_per_replica,
        }
    )
    return max(1, int(found["replicas"]))  # type: ignore[call-overload, no-any-return]
