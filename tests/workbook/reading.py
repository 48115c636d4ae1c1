"""Read workbooks that no test changes: each once a process, because a planner takes many seconds."""

from __future__ import annotations

import re
import zipfile
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from unittest.mock import patch

import openpyxl
from openpyxl import Workbook
from openpyxl.worksheet.merge import MergedCellRange

from workbook.package import rewritten

MOST_ROWS = 2000  # of a sheet; Layouts and Speed figures of the whole catalog have more, all of the same kinds
_MORE_ROWS = re.compile(rb'<row r="%d".*(?=</sheetData>)' % (MOST_ROWS + 1), re.DOTALL)


@lru_cache(maxsize=4)  # formulas and values, in two languages
def read_once(path: Path, *, data_only: bool = False) -> Workbook:
    """Return the workbook with the first rows of each sheet. It must stay as it is; a test that changes one reads its own."""
    shorter = rewritten(path.read_bytes(), _with_first_rows, compression=zipfile.ZIP_STORED)
    return read(BytesIO(shorter), data_only=data_only)


def read(file: Path | BytesIO, *, data_only: bool = False) -> Workbook:
    """Return the workbook without the borders of merged cells, which take openpyxl as long as all else."""
    with patch.object(MergedCellRange, "format"):
        return openpyxl.load_workbook(file, data_only=data_only)


def _with_first_rows(part: str, content: bytes) -> bytes:
    return _MORE_ROWS.sub(b"", content) if part.startswith("xl/worksheets/") else content
