"""Read workbooks that no test changes: each once a process, because a planner takes many seconds."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import openpyxl
from openpyxl import Workbook


@lru_cache(maxsize=4)  # formulas and values, in two languages
def read_once(path: Path, *, data_only: bool = False) -> Workbook:
    """Return the workbook, which must stay as it is; a test that changes one reads its own."""
    return openpyxl.load_workbook(path, data_only=data_only)
