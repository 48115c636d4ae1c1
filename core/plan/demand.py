"""Turn demand into concurrent users: people of whom a share is active, or requests per hour."""

from __future__ import annotations

from dataclasses import dataclass

from core.checks import number, whole
from core.errors import OutOfRangeError
from core.plan.terms import Term, Terms, down, known, most, up, v, when

# Where only a context is given, a ninth of it is the answer: the load of 8192 prompt and 1024 output tokens that
# InferenceX measures (SemiAnalysisAI/InferenceX, "8k1k"; rows of core/catalog/data/speed_measured.csv).
OUTPUT_PARTS_OF_CONTEXT = 9

# Tokens per second for each user that people wish for where they say nothing: about twice silent reading. That is 238
# words a minute (Brysbaert 2019, doi.org/10.1016/j.jml.2019.104047) of 1.3 tokens (a token is about three quarters of
# a word: OpenAI help, "What are tokens"), 5.2 tokens a second.
MIN_SPEED = 10

TOKENS = Terms(
    Term(
        name="output_tokens",
        unit="tokens",
        means="Tokens of an answer: as given, or else a ninth of the context.",
        formula=when(
            known(v.given_output_tokens),
            most(1, v.given_output_tokens),
            most(1, down(v.context / OUTPUT_PARTS_OF_CONTEXT)),
        ),
        source="the load of 8192 prompt and 1024 output tokens that InferenceX measures",
    ),
    Term(
        name="prompt_tokens",
        unit="tokens",
        means="Tokens of a prompt: the rest of the context.",
        formula=most(1, v.context - v.output_tokens),
    ),
    Term(
        name="mean_context",
        unit="tokens",
        means="Tokens of a sequence on average while it is answered.",
        formula=v.prompt_tokens + down(v.output_tokens / 2),
    ),
)

PEOPLE = Terms(
    Term(
        name="users",
        unit="users",
        means="Concurrent users: the people who have a request running at the peak, at least one.",
        formula=most(1, up(v.people * v.active)),
    )
)

REQUESTS = Terms(
    Term(
        name="answered_s",
        unit="s",
        means="Time of one request: until its first token, then its output at the speed of a user.",
        formula=v.first_token_s + v.output_tokens / v.tokens_per_s_per_user,
    ),
    Term(
        name="users",
        unit="users",
        means="Concurrent users: the requests that run at the same time on average.",
        formula=v.requests_per_hour / 3600 * v.answered_s,
        source="Little 1961, A Proof for the Queuing Formula L = λW",
    ),
    Term(name="whole_users", unit="users", means="Places that they need, at least one.", formula=most(1, up(v.users))),
    Term(
        name="replicas",
        unit="replicas",
        means="Replicas that hold them, each with the users that it runs at that speed.",
        formula=most(1, up(v.users / v.users_per_replica)),
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
        return Demand(int(found), None)  # type: ignore[call-overload]
    return Demand(whole("users", users), None)


@dataclass(frozen=True)
class Tokens:
    """Tokens of a request: the prompt, the answer, and the context that is planned for."""

    context: int
    prompt: int
    output: int


def tokens_of(
    context: float | None = None, prompt_tokens: float | None = None, output_tokens: float | None = None
) -> Tokens:
    """Return the tokens of a request from what is given.

    Prompt and answer fill the context: two of the three give the third. A context alone is a prompt of eight ninths
    and an answer of a ninth. All three may be given if prompt and answer are not longer than the context.

    Raises:
        OutOfRangeError: neither a context nor both others are given, or prompt and answer are longer than the context.
        PlannerError: a figure is of the wrong type or out of range.
    """
    prompt = None if prompt_tokens is None else whole("prompt_tokens", prompt_tokens)
    output = None if output_tokens is None else whole("output_tokens", output_tokens)
    if context is None:
        if prompt is None or output is None:
            raise OutOfRangeError("context", "it is missing", "Give context, or both prompt_tokens and output_tokens.")
        return Tokens(prompt + output, prompt, output)
    total = whole("context", context)
    for name, part in (("prompt_tokens", prompt), ("output_tokens", output)):
        if part is not None and part >= total:
            raise OutOfRangeError(name, f"{part:,} do not fit into a context of {total:,}", "Give a longer context.")
    if prompt is None:
        found = TOKENS.compute({"context": total, "given_output_tokens": output})
        return Tokens(total, int(found["prompt_tokens"]), int(found["output_tokens"]))  # type: ignore[call-overload]
    if output is None:
        output = total - prompt
    if prompt + output > total:
        problem = f"{prompt:,} and {output:,} output tokens are more than the context of {total:,}"
        raise OutOfRangeError("prompt_tokens", problem, "Give a longer context, or leave it out.")
    return Tokens(total, prompt, output)


@dataclass(frozen=True)
class Served:
    """Concurrent users, and the replicas that hold them."""

    users: int
    replicas: int


def requests_served(
    requests_per_hour: float,
    *,
    first_token_s: float,
    output_tokens: int,
    tokens_per_s_per_user: float,
    users_per_replica: int,
) -> Served:
    """Return the users that requests an hour make, and the replicas that serve them (Little's law).

    Args:
        first_token_s, output_tokens, tokens_per_s_per_user: how long a request takes.
        users_per_replica: users that a replica runs at that speed.
    """
    found = REQUESTS.compute(
        {
            "requests_per_hour": requests_per_hour,
            "first_token_s": first_token_s,
            "output_tokens": output_tokens,
            "tokens_per_s_per_user": tokens_per_s_per_user,
            "users_per_replica": users_per_replica,
        }
    )
    return Served(int(found["whole_users"]), int(found["replicas"]))  # type: ignore[call-overload]
