"""Point a workbook's links to another computer's add-in at this one's, without Excel.

With each formula that calls a function of an add-in, Excel saves the add-in's path, as the target of a relation of a
part in xl/externalLinks (ECMA-376 part 1, 12.3.9; [MS-XLSB] 2.1.10 lists the kinds of relation). The formulas only
number it.
"""

from __future__ import annotations

import re
from pathlib import PureWindowsPath
from typing import NamedTuple
from urllib.parse import quote, unquote

from lxml import etree
from openpyxl.xml.constants import PKG_REL_NS, REL_NS

from core.errors import PlannerError
from workbook.package import rewritten

_LINK_RELATIONS = re.compile(r"xl/externalLinks/_rels/[^/]+\.rels", re.IGNORECASE)
# A relation to a full path; the other kinds are relative to folders of Excel, such as XLSTART.
_FULL_PATH = f"{REL_NS}/externalLinkPath"
_FILE = "file:///"


class Relinked(NamedTuple):
    """A workbook's new content, and the former targets of the links that were changed."""

    content: bytes
    former: tuple[str, ...]


def relinked(workbook: bytes, addin: str) -> Relinked:
    """Return `workbook` with its links to files named like `addin` pointed at that path.

    Args:
        workbook: the content of an .xlsx or .xlsm that `workbook.audit.opening.opened` accepts.
        addin: the full Windows path of the add-in.

    Raises:
        PlannerError: `addin` is no full Windows path of an .xlam.
    """
    path = PureWindowsPath(addin)
    if not path.is_absolute() or path.suffix.lower() != ".xlam":
        remedy = r"Write it as Excel on Windows sees it: C:\Users\Ann\AppData\Roaming\Microsoft\Excel\XLSTART\vram.xlam"
        raise PlannerError("to", f"{addin!r} is not the full Windows path of an .xlam", remedy)
    former: list[str] = []

    def edit(part: str, content: bytes) -> bytes:
        if not _LINK_RELATIONS.fullmatch(part):
            return content
        root = etree.fromstring(content, etree.XMLParser(resolve_entities=False))
        found = [relation for relation in root.iter(f"{{{PKG_REL_NS}}}Relationship") if _leads_to(relation, path)]
        if not found:
            return content
        for relation in found:
            former.append(unquote(relation.get("Target").removeprefix(_FILE)))
            relation.attrib.update({"Type": _FULL_PATH, "Target": _target(path), "TargetMode": "External"})
        return etree.tostring(root, xml_declaration=True, encoding="UTF-8", standalone=True)

    content = rewritten(workbook, edit)
    return Relinked(content if former else workbook, tuple(dict.fromkeys(former)))


def _leads_to(relation, addin: PureWindowsPath) -> bool:
    """Return whether the relation's target is a file with the add-in's name, and not yet that very path."""
    target = relation.get("Target", "")
    is_file = PureWindowsPath(unquote(target)).name.lower() == addin.name.lower()
    return is_file and (relation.get("Type"), target) != (_FULL_PATH, _target(addin))


def _target(path: PureWindowsPath) -> str:
    return _FILE + quote(str(path), safe=":\\/()&'!,;=+@~$[]{}")
