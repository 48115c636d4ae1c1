"""Write the functions' plain names into the formulas of a workbook that links to the add-in, for LibreOffice.

Excel saves a call of an add-in's function as `[1]!VRAM_TOTAL(…)`, where 1 is the first of the workbook's external links
(ECMA-376 part 1, 18.14.5). LibreOffice looks for the function in that file and shows #NAME?; vram.oxt has it by its
plain name.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from pathlib import PureWindowsPath
from posixpath import join, split
from typing import NamedTuple
from urllib.parse import unquote

from lxml import etree
from openpyxl.packaging.relationship import get_dependents
from openpyxl.xml.constants import ARC_CONTENT_TYPES, ARC_WORKBOOK, ARC_WORKBOOK_RELS, REL_NS, SHEET_MAIN_NS

from workbook.package import rewritten

# Elements whose text is a formula: cells and charts, validations, conditional formats, names, columns of tables.
_FORMULAS = {
    "f", "formula", "formula1", "formula2", "definedName", "calculatedColumnFormula", "totalsRowFormula",
}  # fmt: skip

# A text, which stays as it is, or a link: [1]!NAME, [1]Sheet!A1 or '[1]My sheet'!A1. A column of a table, Sales[1], is
# none, because no "!" follows.
_TEXT_OR_LINK = re.compile(
    r'"[^"]*"'
    r"|(?<![\w.\])])\[(?P<name>\d+)\]!"
    r"|(?<![\w.\])])\[(?P<sheet>\d+)\](?=[\w.:]+!)"
    r"|'\[(?P<quoted>\d+)\](?=(?:[^']|'')+'!)"
)


class PlainNames(NamedTuple):
    """A workbook's new content, and the files whose functions its formulas called."""

    content: bytes
    former: tuple[str, ...]


@dataclass(frozen=True)
class _Link:
    """One external link of a workbook: the id of its relation, its part, and its target."""

    relation: str
    part: str
    target: str

    @property
    def parts(self) -> tuple[str, str]:
        return self.part, _relations_of(self.part)


@dataclass
class _Renumbered:
    """What becomes of the number of each link in formulas, and the numbers of links that a cell's address needs.

    Attributes:
        numbers: former number → new number; None for a link whose names become plain.
    """

    numbers: dict[int, int | None]
    needed: set[int] = field(default_factory=set)

    def formula(self, formula: str) -> str:
        return _TEXT_OR_LINK.sub(self._reference, formula)

    def _reference(self, found: re.Match[str]) -> str:
        written = found["name"] or found["sheet"] or found["quoted"]
        if written is None:
            return found[0]
        number = self.numbers.get(int(written), int(written))
        if number is not None:
            return found[0].replace(f"[{written}]", f"[{number}]")
        if found["name"]:
            return ""
        self.needed.add(int(written))
        return found[0]


def with_plain_names(workbook: bytes, addin_name: str) -> PlainNames:
    """Return `workbook` with plain names in place of links to files called `addin_name`, and without these links.

    Args:
        workbook: the content of an .xlsx or .xlsm that `workbook.audit.opening.opened` accepts.
    """
    with zipfile.ZipFile(BytesIO(workbook)) as package:
        links = list(_links(package))
    named = _Renumbered(
        dict.fromkeys(number for number, link in enumerate(links, start=1) if _is_file(link.target, addin_name))
    )
    rewritten(workbook, partial(_with_formulas, named), compression=zipfile.ZIP_STORED)
    ours = named.numbers.keys() - named.needed  # a formula reads a cell of those that are needed
    if not ours:
        return PlainNames(workbook, ())
    kept = [number for number in range(1, len(links) + 1) if number not in ours]
    renumbered = _Renumbered(dict.fromkeys(ours) | {former: new for new, former in enumerate(kept, start=1)})
    dropped = [links[number - 1] for number in sorted(ours)]

    def edit(part: str, content: bytes) -> bytes:
        content = _with_formulas(renumbered, part, content)
        return _without(dropped, content) if part in (ARC_WORKBOOK, ARC_WORKBOOK_RELS, ARC_CONTENT_TYPES) else content

    content = rewritten(workbook, edit, dropped={part for link in dropped for part in link.parts})
    return PlainNames(content, tuple(dict.fromkeys(link.target for link in dropped)))


def _links(package: zipfile.ZipFile) -> Iterator[_Link]:
    """Yield the external links in the order of their numbers in formulas."""
    relations = get_dependents(package, ARC_WORKBOOK_RELS)
    book = etree.fromstring(package.read(ARC_WORKBOOK), _parser())
    for reference in book.iter(f"{{{SHEET_MAIN_NS}}}externalReference"):
        relation = reference.get(f"{{{REL_NS}}}id")
        part = relations.get(relation).target
        targets = [found.Target for found in get_dependents(package, _relations_of(part))]
        yield _Link(relation, part, unquote(targets[0]).removeprefix("file:///") if targets else "")


def _relations_of(part: str) -> str:
    folder, name = split(part)
    return join(folder, "_rels", f"{name}.rels")


def _is_file(target: str, name: str) -> bool:
    return PureWindowsPath(target).name.lower() == name.lower()


def _with_formulas(renumbered: _Renumbered, part: str, content: bytes) -> bytes:
    """Return a part with its formulas changed; the same bytes if none is."""
    if not part.startswith("xl/") or not part.endswith(".xml") or b"[" not in content:
        return content
    root, changed = etree.fromstring(content, _parser()), False
    for element in root.iter(etree.Element):
        if element.text and etree.QName(element).localname in _FORMULAS:
            formula = renumbered.formula(element.text)
            changed = changed or formula != element.text
            element.text = formula
    return _xml(root) if changed else content


def _without(links: list[_Link], content: bytes) -> bytes:
    """Return a part that lists the links without them: the workbook, its relations, or the types of parts."""
    root = etree.fromstring(content, _parser())
    relations, parts = {link.relation for link in links}, {f"/{link.part}" for link in links}
    for element in list(root.iter(etree.Element)):
        names = {element.get("Id"), element.get(f"{{{REL_NS}}}id")}
        is_listed = names & relations and etree.QName(element).localname in ("Relationship", "externalReference")
        if is_listed or element.get("PartName") in parts:
            element.getparent().remove(element)
    for references in root.findall(f"{{{SHEET_MAIN_NS}}}externalReferences"):
        if len(references) == 0:
            root.remove(references)
    return _xml(root)


def _parser() -> etree.XMLParser:
    return etree.XMLParser(resolve_entities=False, huge_tree=True)


def _xml(root) -> bytes:
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", standalone=True)
