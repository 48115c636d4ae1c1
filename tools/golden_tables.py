"""Read the tables of golden figures in tests/golden; each row names the source of its figures."""

from __future__ import annotations

import csv
import json
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "tests" / "golden"


def rows(table: str) -> list[dict[str, str]]:
    """Return the rows of a table."""
    limit = csv.field_size_limit(2**24)  # holds for the whole process: restored for the readers under test
    try:
        with open(FOLDER / f"{table}.csv", encoding="utf-8", newline="") as lines:
            return list(csv.DictReader(lines))
    finally:
        csv.field_size_limit(limit)


def config(row: dict[str, str]) -> dict[str, object]:
    """Return the fields of config.json in a row."""
    return json.loads(row["config"])


def ids(table: str) -> list[str]:
    """Return the models of a table, as names of test cases."""
    return [row["model"] for row in rows(table)]
