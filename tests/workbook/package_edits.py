"""Edit single parts of a finished .xlsx and leave everything else unchanged."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from copy import deepcopy
from io import BytesIO

from lxml import etree

from workbook.package import rewritten, sheet_of_part

MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
DRAWING = "{http://schemas.openxmlformats.org/drawingml/2006/spreadsheetDrawing}"


def unprotected(xlsx: bytes) -> bytes:
    """Return a workbook without the protection of its sheets, so that a what-if may overwrite every cell."""
    return rewritten(xlsx, lambda _, content: re.sub(rb"<sheetProtection[^>]*/>", b"", content))


class Xlsx:
    """An .xlsx that is being edited."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def edit(self, part: str, change: Callable[[etree._Element], object]) -> None:
        """Apply `change` to the root element of `part`."""

        def edited(name: str, content: bytes) -> bytes:
            if name != part:
                return content
            root = etree.fromstring(content)
            change(root)
            return etree.tostring(root, xml_declaration=True, encoding="UTF-8", standalone=True)

        before, self.content = self.content, rewritten(self.content, edited)
        assert self.content != before, f"nothing changed in {part}"

    def add(self, part: str, content: bytes = b"\0") -> None:
        out = BytesIO(self.content)
        with zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED) as package:
            package.writestr(part, content)
        self.content = out.getvalue()

    def replace(self, part: str, content: bytes) -> None:
        self.content = rewritten(self.content, lambda name, old: content if name == part else old)

    def part(self, sheet: str) -> str:
        """Return the part of the sheet with that title."""
        with zipfile.ZipFile(BytesIO(self.content)) as package:
            return next(part for part, title in sheet_of_part(package).items() if title == sheet)

    def edit_sheet(self, sheet: str, change: Callable[[etree._Element], object]) -> None:
        self.edit(self.part(sheet), change)

    def restyle(self, sheet: str, address: str, change: Callable[[etree._Element, etree._Element], object]) -> None:
        """Give a cell a copy of its format and apply `change` to the copy and to the styles of the file."""
        cell_format = int(_cell(self._root(sheet), address).get("s"))
        count = 0

        def add(styles: etree._Element) -> None:
            nonlocal count
            formats = styles.find(f"{MAIN}cellXfs")
            count = len(formats)
            formats.append(deepcopy(formats[cell_format]))
            change(formats[-1], styles)

        self.edit("xl/styles.xml", add)
        self.edit_sheet(sheet, lambda root: _cell(root, address).set("s", str(count)))

    def number(self, sheet: str, address: str, value: float) -> None:
        """Replace a cell's content by a number."""
        self._put(sheet, address, None, None, MAIN + "v", repr(value))

    def text(self, sheet: str, address: str, value: str) -> None:
        """Replace a cell's content by a text."""

        def change(root: etree._Element) -> None:
            cell = _emptied(root, address)
            cell.set("t", "inlineStr")
            etree.SubElement(etree.SubElement(cell, MAIN + "is"), MAIN + "t").text = value

        self.edit_sheet(sheet, change)

    def formula(self, sheet: str, address: str, text: str, stored: str | None = "1", type_: str | None = None) -> None:
        """Replace a cell's content by a formula (without "=") and its stored result."""
        self._put(sheet, address, text, type_, MAIN + "v", stored)

    def formula_text(self, sheet: str, address: str) -> str:
        """Return the formula of a cell, without its "="."""
        return _cell(self._root(sheet), address).findtext(MAIN + "f")

    def _root(self, sheet: str) -> etree._Element:
        with zipfile.ZipFile(BytesIO(self.content)) as package:
            return etree.fromstring(package.read(self.part(sheet)))

    def _put(
        self, sheet: str, address: str, formula: str | None, type_: str | None, tag: str, value: str | None
    ) -> None:
        def change(root: etree._Element) -> None:
            cell = _emptied(root, address)
            if type_:
                cell.set("t", type_)
            if formula is not None:
                etree.SubElement(cell, MAIN + "f").text = formula
            if value is not None:
                etree.SubElement(cell, tag).text = value

        self.edit_sheet(sheet, change)


def _cell(root: etree._Element, address: str) -> etree._Element:
    return next(cell for cell in root.iter(MAIN + "c") if cell.get("r") == address)


def _emptied(root: etree._Element, address: str) -> etree._Element:
    cell = _cell(root, address)
    for child in list(cell):
        cell.remove(child)
    cell.attrib.pop("t", None)
    return cell
