"""Search the names of the catalog."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from core import catalog
from core.texts import plain_letters

KINDS = ("models", "gpus", "precisions")


def names(kind: str, search: str = "") -> list[str]:
    """Return the names of `kind`, one of `KINDS`, in the order of the catalog.

    Args:
        search: words that the name, the title, the maker or another name must all contain; "" for every name. Case and
            punctuation do not matter.
    """
    words = [key for word in search.split() if (key := _letters_and_digits(word))]
    return [name for name, texts in _entries(kind) if _contain(texts, words)]


def _entries(kind: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each name with the texts that are searched."""
    if kind == "models":
        for model in catalog.models():
            yield model.name, (model.name, model.title, model.developer, *model.aliases)
    elif kind == "gpus":
        for gpu in catalog.gpus():
            yield gpu.name, (gpu.name, gpu.title, gpu.maker, *gpu.aliases)
    else:
        for row in catalog.precisions():
            yield row.precision.name, (row.precision.name, *row.titles.values(), *row.aliases)


def _contain(texts: Iterable[str], words: list[str]) -> bool:
    found = list(map(_letters_and_digits, texts))
    return all(any(word in text for text in found) for word in words)


def _letters_and_digits(text: str) -> str:
    return "".join(c for c in plain_letters(text).casefold() if c.isalnum())
