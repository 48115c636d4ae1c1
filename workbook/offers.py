"""Name the parts of offers in a sheet's language, and find them by these names."""

from __future__ import annotations

from workbook.labels import LANGUAGES, Labels


def label_of(labels: Labels, group: str, key: str) -> str:
    """Return the label of a kind, of terms, of a problem or of an outcome (`group`) of offers."""
    return labels(f"prices.{group}_{key.replace(' ', '_')}")


def key_of(group: str, label: object, keys: tuple[str, ...]) -> str:
    """Return the key whose label in any language is `label`, in capitals or not; the text itself if there is none."""
    text = str(label or "").casefold()
    known = {label_of(Labels(lang), group, key).casefold(): key for lang in LANGUAGES for key in keys}
    return known.get(text, text)
