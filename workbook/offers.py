"""Name the parts of offers in a sheet's language."""

from __future__ import annotations

from workbook.labels import Labels


def label_of(labels: Labels, group: str, key: str) -> str:
    """Return the label of a kind, of terms, of a problem or of an outcome (`group`) of offers."""
    return labels(f"prices.{group}_{key.replace(' ', '_')}")
