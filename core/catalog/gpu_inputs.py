"""Read what a user writes for a GPU: a name, also of a MIG slice, a card's number, or the GB of one GPU.

"4090" is a card and "80" is a size: no card is named by a number that is also a size of memory.
"""

from __future__ import annotations

import re
from functools import cache

from core.catalog import mig, names
from core.catalog.hardware import Gpu
from core.checks import number
from core.errors import OutOfRangeError, UnknownNameError

# "80", "80GB", "80 GB", as a plan prints a GPU of which only the size is known.
_SIZE = re.compile(r"(\d{1,6}(?:\.\d{1,6})?)\s*(?:gb)?", re.IGNORECASE)
SIZE_WILL_DO = "For a GPU that is not listed, write its GB, for example 32."
_CARD_NUMBERS = 1000  # cards' numbers have four digits, sizes of memory at most three


def gpu_or_size(value: object, more: str = SIZE_WILL_DO) -> Gpu | float:
    """Return the GPU that `value` names, or the GB of one GPU if it is a size that some GPU of the catalog has.

    Args:
        value: what the user wrote.
        more: another remedy for an unknown name.

    Raises:
        WrongTypeError: `value` is neither text nor a number.
        OutOfRangeError: no card has that number as its name, and no GPU has that many GB.
        UnknownNameError: there is no GPU of that name.
    """
    if isinstance(value, str):
        size = _SIZE.fullmatch(value.strip())
        return mig.gpu_or_slice(value, more) if size is None else _card_or_size(float(size[1]))
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return names.gpu(value)  # raises the error
    return _card_or_size(number("gpu_memory_gb", value))


def named_gpu(value: object) -> Gpu:
    """Return the GPU that `value` names; a size of memory, of which no speed is known, is an error.

    Raises:
        OutOfRangeError: `value` is a size of memory.
        WrongTypeError, UnknownNameError: as for `gpu_or_size`.
    """
    found = gpu_or_size(value, more="")
    if isinstance(found, Gpu):
        return found
    problem = f"{found:g} GB of memory have no bandwidth to compute a speed from"
    raise OutOfRangeError("gpu", problem, 'Name a GPU, for example "h100".')


def _card_or_size(value: float) -> Gpu | float:
    try:
        return names.gpu(f"{value:g}")
    except UnknownNameError:
        if value in sizes():
            return value
    if value >= _CARD_NUMBERS:
        named = [gpu.name for gpu in names.gpus() if f"{value:g}" in gpu.name]
        remedy = "Write " + " or ".join(f'"{name}"' for name in named) if named else 'Name a GPU, for example "h100"'
        raise OutOfRangeError("gpu", f"{value:g} is neither a card's name nor a size in GB of one", f"{remedy}.")
    near = " or ".join(f"{size:g}" for size in sorted(sorted(sizes(), key=lambda size: abs(size - value))[:2]))
    raise OutOfRangeError(
        "gpu", f"no GPU of the catalog has {value:g} GB", f'Write a size such as {near}, or a name such as "h100".'
    )


@cache
def sizes() -> frozenset[float]:
    """Return the sizes of memory, in GB as on labels, that GPUs of the catalog have."""
    return frozenset(float(gpu.label_gb) for gpu in names.gpus())


@cache
def card_of_size(size_gb: float) -> Gpu:
    """Return the card that stands for a size of memory: the one with the least memory as its driver reports it.

    What fits on it fits on every card of that size. Cards of which only the label is known stand back.
    """
    cards = [gpu for gpu in names.gpus() if gpu.label_gb == size_gb]
    return min(cards, key=lambda gpu: (gpu.memory_is_label, gpu.memory_bytes))
