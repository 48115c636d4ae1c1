"""The tables of golden figures in tests/golden, each row with where its figures come from."""

from __future__ import annotations

import csv
import json
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "tests" / "golden"


def rows(table: str) -> list[dict[str, str]]:
    """The rows of a table."""
    limit = csv.field_size_limit(2**24)  # of the whole process: put back for the readers that are tested
    try:
        with open(FOLDER / f"{table}.csv", encoding="utf-8", newline="") as lines:
            return list(csv.DictReader(lines))
    finally:
        csv.field_size_limit(limit)


def config(row: dict[str, str]) -> dict[str, object]:
    """The fields of config.json that a row has."""
    return json.loads(row["config"])


def ids(table: str) -> list[str]:
    """The names of a table's models, to name test cases with."""
    return [row["model"] for row in rows(table)]
