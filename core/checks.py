"""The limits of every numeric input, and functions that check values of inputs."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import OutOfRangeError, UnknownNameError, WrongTypeError, quoted
from core.texts import plain_letters


@dataclass(frozen=True)
class Limits:
    """The allowed values of a numeric input. The upper limits catch wrong units (bytes for GB, a count for billions).

    Attributes:
        least, most: the smallest and the largest value allowed.
        whole: whether only whole numbers are allowed.
        remedy: what to write instead, a complete sentence.
    """

    least: float
    most: float
    whole: bool
    remedy: str


LIMITS: dict[str, Limits] = {
    # Longest context of a published model: 10 million tokens (Llama 4 Scout's config.json); the limit is ten times it.
    "context": Limits(1, 10**8, True, "Write the context in tokens, for example 32768."),
    "users": Limits(1, 10**8, True, "Write the number of concurrent users, for example 10."),
    "overhead": Limits(0, 1, False, "Write a fraction from 0 to 1, for example 0.1 for 10 %."),
    "tp": Limits(1, 1024, True, "Write the number of GPUs in a tensor parallel group, for example 8."),
    "pp": Limits(1, 1024, True, "Write the number of pipeline stages, for example 2."),
    "gpus": Limits(1, 10**5, True, "Write the number of GPUs, for example 8."),
    "average_tokens": Limits(1, 10**8, True, "Write the average number of tokens per sequence, for example 2000."),
    "prompt_tokens": Limits(1, 10**8, True, "Write the tokens of one prompt, for example 2000."),
    "output_tokens": Limits(1, 10**8, True, "Write the tokens of one answer, for example 500."),
    "replicas": Limits(1, 10**5, True, "Write the number of copies of the model, for example 2."),
    "tokens_per_second": Limits(0.001, 10**6, False, "Write tokens per second for each user, for example 20."),
    "min_speed": Limits(0, 10**6, False, "Write tokens per second for each user, for example 10; 0 for any speed."),
    "measured_speed": Limits(0.001, 10**6, False, "Write tokens per second of one user, for example 25."),
    "people": Limits(1, 10**10, True, "Write the number of people who use the service, for example 500."),
    "active": Limits(1e-6, 1, False, "Write the share of people active at the peak, for example 0.1 for 10 %."),
    "requests_per_hour": Limits(1e-3, 10**10, False, "Write the requests of an hour, for example 3600."),
    "sequence": Limits(1, 10**8, True, "Write the tokens of one training sequence, for example 2048."),
    "batch": Limits(1, 10**6, True, "Write the sequences in one step of one GPU, for example 1."),
    "rank": Limits(1, 10**5, True, "Write the rank of the adapters, for example 64."),
    "zero": Limits(0, 3, True, "Write the stage of ZeRO: 0, 1, 2 or 3."),
    "gpu_memory_gib": Limits(1, 10**5, False, "Write the memory of one GPU in GiB, for example 79.19."),
    "gpu_memory_gb": Limits(1, 10**5, False, "Write the memory of one GPU in GB, for example 80."),
    "params_b": Limits(1e-6, 10**5, False, "Write the number of parameters in billions, for example 70."),
    "num_hidden_layers": Limits(1, 10**4, True, "Write the number of layers, for example 80."),
    "hidden_size": Limits(1, 10**6, True, "Write the hidden dimension, for example 8192."),
    "intermediate_size": Limits(1, 10**7, True, "Write the width of the feed-forward layer, for example 28672."),
    "vocab_size": Limits(1, 10**7, True, "Write the size of the vocabulary, for example 128256."),
    "num_attention_heads": Limits(1, 10**4, True, "Write the number of attention heads, for example 64."),
    "num_key_value_heads": Limits(1, 10**4, True, "Write the number of key/value heads, for example 8."),
    "head_dim": Limits(1, 10**6, True, "Write the dimension of one attention head, for example 128."),
    "max_position_embeddings": Limits(1, 10**9, True, "Write the model's longest context in tokens."),
}


def number(field: str, value: object) -> float | int:
    """Return `value` if it is within the limits of `field`: as int if only whole numbers are allowed, else as float.

    Raises:
        WrongTypeError: not a number (text, a boolean, a date, None).
        OutOfRangeError: not finite, not whole, or outside the limits.
    """
    limits = LIMITS[field]
    # The common case first; `number_within` handles errors and subclasses of float and int.
    if (type(value) is float or type(value) is int) and limits.least <= value <= limits.most:
        if not limits.whole:
            return float(value)
        if value == int(value):
            return int(value)
    return number_within(field, value, limits)


# "32K" and "1M" tokens: models' longest contexts are powers of two, 128K is 131,072 (config.json of Llama 3.1).
_THOUSANDS = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)\s*([km])i?(?:\s*tokens)?", re.IGNORECASE)
_STEPS = {"k": 2**10, "m": 2**20}


def tokens(field: str, value: object) -> float | int:
    """Return the same as `number`; a text such as "32K" or "1M" is a number of tokens, of 1024 or 1024² each.

    Raises:
        PlannerError: the same errors as `number`.
    """
    found = _THOUSANDS.fullmatch(plain_letters(value).strip()) if isinstance(value, str) else None
    return number(field, round(float(found[1]) * _STEPS[found[2].lower()]) if found else value)


def whole(field: str, value: object) -> int:
    """Return `value` as int if it is a whole number within the limits of `field`.

    Raises:
        PlannerError: the same errors as `number`.
    """
    limits = LIMITS[field]
    if type(value) is int and limits.least <= value <= limits.most:
        return value
    return int(number_within(field, value, limits))


def numbers(field: str, values: Sequence[Any]) -> list[float | int] | None:
    """Return `number(field, value)` for each of `values`, or None if one of them may be invalid.

    Checks a range of cells all at once, in a third of the time.
    """
    limits = LIMITS[field]
    if set(map(type, values)) != {float} or not (limits.least <= min(values) and max(values) <= limits.most):
        return None
    if limits.whole:
        return list(map(int, values)) if all(map(float.is_integer, values)) else None
    return None if any(map(math.isnan, values)) else list(values)


def number_within(field: str, value: object, limits: Limits) -> float | int:
    """Check `value` against `limits` like `number`; `field` is used only in the message."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise WrongTypeError(field, _not_a_number(value), limits.remedy)
    if not isinstance(value, int) and not math.isfinite(value):
        raise OutOfRangeError(field, f"{value} is not a finite number", limits.remedy)
    if value < limits.least:
        raise OutOfRangeError(field, f"{quoted(value)} is below {limits.least:g}", limits.remedy)
    if value > limits.most:
        raise OutOfRangeError(field, f"{quoted(value)} is above {limits.most:,}", limits.remedy)
    if not limits.whole:
        return float(value)
    if value != int(value):
        raise OutOfRangeError(field, f"{quoted(value)} is not a whole number", limits.remedy)
    return int(value)


def _not_a_number(value: object) -> str:
    if value is None:
        return "it is blank"
    # A cell may hold the text "10", which looks like a number.
    return f"{quoted(value)} is text, not a number" if isinstance(value, str) else f"{quoted(value)} is not a number"


def text(field: str, value: object) -> str:
    """Return `value` if it is text.

    Raises:
        WrongTypeError: not text.
    """
    if not isinstance(value, str):
        problem = "it is blank" if value is None else f"{quoted(value)} is not text"
        raise WrongTypeError(field, problem, "Write text.")
    return value


def one_of(field: str, value: object, choices: Sequence[str]) -> str:
    """Return the element of `choices`, all lower-case, that equals `value` in any letter case.

    Raises:
        WrongTypeError: not text.
        UnknownNameError: not one of `choices`.
    """
    if isinstance(value, str) and value.strip().lower() in choices:
        return value.strip().lower()
    remedy = "Write " + " or ".join(f'"{choice}"' for choice in choices) + "."
    if not isinstance(value, str):
        raise WrongTypeError(field, f"{quoted(value)} is not text", remedy)
    raise UnknownNameError(field, f"{quoted(value)} is not known", remedy)


def flag(field: str, value: object) -> bool:
    """Return `value` as a boolean; 1 and 0 are also accepted.

    Raises:
        WrongTypeError: neither true nor false.
    """
    if isinstance(value, bool):
        return value
    if value in (0, 1):
        return bool(value)
    raise WrongTypeError(field, f"{quoted(value)} is neither true nor false", "Write TRUE or FALSE.")
