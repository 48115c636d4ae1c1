"""Read the stored values of a workbook from its XML; openpyxl would take four times as long."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

from lxml import etree
from openpyxl.xml.constants import SHEET_MAIN_NS

from tests.spreadsheets import Cell, Values
from workbook.package import sheet_of_part

_ROW, _FORMULA, _VALUE = (f"{{{SHEET_MAIN_NS}}}{tag}" for tag in ("row", "f", "v"))


def stored_values(xlsx: Path) -> Values:
    """Return every stored value; a cell with the empty text is left out."""
    return {title: {address: value for address, _, value in cells if value != ""} for title, cells in _sheets(xlsx)}


def stored_results(xlsx: Path) -> dict[Cell, object]:
    """Return the stored result of every formula."""
    return {
        (title, address): value for title, cells in _sheets(xlsx) for address, is_formula, value in cells if is_formula
    }


def _sheets(xlsx: Path) -> Iterator[tuple[str, Iterator[tuple[str, bool, object]]]]:
    """Yield the title of each sheet and its cells: the address, whether it is a formula, and the value."""
    with zipfile.ZipFile(xlsx) as package:
        texts = list(_shared_texts(package))
        for part, title in sheet_of_part(package).items():
            yield title, _values(package, part, texts)


def _shared_texts(package: zipfile.ZipFile) -> Iterator[str]:
    if "xl/sharedStrings.xml" in package.namelist():
        for _, item in etree.iterparse(package.open("xl/sharedStrings.xml"), tag=f"{{{SHEET_MAIN_NS}}}si"):
            yield "".join(text.text or "" for text in item.iter(f"{{{SHEET_MAIN_NS}}}t"))
            item.clear()


def _cells(package: zipfile.ZipFile, part: str) -> Iterator[tuple[str, etree._Element]]:
    """Yield the address and the element of each cell of a sheet."""
    for _, row in etree.iterparse(package.open(part), tag=_ROW):
        for cell in row:
            yield cell.get("r"), cell
        row.clear()


def _values(package: zipfile.ZipFile, part: str, texts: list[str]) -> Iterator[tuple[str, bool, object]]:
    read = {"s": lambda value: texts[int(value)], "b": lambda value: value == "1", "str": str, "e": str}
    for address, cell in _cells(package, part):
        value = cell.findtext(_VALUE)
        yield address, cell.find(_FORMULA) is not None, read.get(cell.get("t", "n"), float)(value) if value else ""
