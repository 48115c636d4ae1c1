"""Read the catalog's files in `core/catalog/data`."""

from __future__ import annotations

import csv
import os

DATA_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")


def read_data(file: str) -> list[dict[str, str]]:
    """Return the rows of a CSV file of the catalog, each as column → text."""
    with open(os.path.join(DATA_FOLDER, file), encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))
