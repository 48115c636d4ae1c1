"""Build the files with the functions for Excel: the add-in, and a macro-enabled workbook that contains them.

The same versions of this package, xlwings and pyOpenVBA always write the same bytes.
"""

from __future__ import annotations

import os
import sys
import zipfile
from io import BytesIO
from pathlib import Path

from lxml import etree
from openpyxl.xml.constants import (
    ARC_CONTENT_TYPES,
    ARC_CORE,
    ARC_WORKBOOK,
    ARC_WORKBOOK_RELS,
    CONTYPES_NS,
    COREPROPS_NS,
    DCORE_NS,
    PKG_REL_NS,
    REL_NS,
    SHEET_MAIN_NS,
    WORKSHEET_TYPE,
    XLSM,
    XLSX,
)

from addin import settings, vba_project
from addin.install import windowless
from addin.settings_sheet import settings_sheet
from core import __version__
from workbook.package import rewritten

# The settings sheet of the template: its name, its part of the package, and its name in VBA.
_TEMPLATE_SHEET, _TEMPLATE_SHEET_PART, _TEMPLATE_CODE_NAME = "_myaddin.conf", "xl/worksheets/sheet1.xml", "Sheet2"

_NEW_SHEET_PART, _NEW_RELATION = "xl/worksheets/settings.xml", "rIdSettings"


def addin_file() -> bytes:
    """Return the content of vram.xlam: xlwings' add-in template with our VBA and settings."""
    edits = {
        ARC_WORKBOOK: _with_renamed_sheet,
        ARC_CORE: lambda _: _properties(),
        _TEMPLATE_SHEET_PART: lambda _: settings_sheet(settings.sheet_rows(None), _TEMPLATE_CODE_NAME),
        vba_project.PROJECT_PART: lambda _: vba_project.addin_project(),
    }
    return rewritten(
        vba_project.TEMPLATE.read_bytes(), lambda part, content: edits[part](content) if part in edits else content
    )


def workbook_with_functions(xlsx: bytes, interpreter: str | None) -> bytes:
    """Return the workbook `xlsx` as an .xlsm with the functions, and with the settings as its last sheet.

    Args:
        xlsx: a workbook built by `workbook.template`; its sheets, formulas and values do not change.
        interpreter: see `settings.sheet_rows`.
    """
    edits = {
        ARC_CONTENT_TYPES: _with_macros_and_new_sheet,
        ARC_WORKBOOK: _with_new_sheet,
        ARC_WORKBOOK_RELS: _with_relation_to_new_sheet,
    }
    xlsm = rewritten(
        xlsx,
        lambda part, content: edits[part](content) if part in edits else content,
        {_NEW_SHEET_PART: settings_sheet(settings.sheet_rows(interpreter), _free_code_name(xlsx))},
    )
    return vba_project.with_functions(xlsm)


def this_interpreter() -> str | None:
    """Return the running Python's path for a workbook's settings; None if not on Windows."""
    if sys.platform == "win32":
        return settings.portable(str(windowless(Path(sys.executable))), os.environ.get("USERPROFILE", ""))
    return None


def _with_renamed_sheet(workbook_xml: bytes) -> bytes:
    root = _parse(workbook_xml)
    (sheet,) = (sheet for sheet in root.iter(f"{{{SHEET_MAIN_NS}}}sheet") if sheet.get("name") == _TEMPLATE_SHEET)
    sheet.set("name", settings.SETTINGS_SHEET)
    # The path where the template was last saved.
    for choice in root.findall("{http://schemas.openxmlformats.org/markup-compatibility/2006}AlternateContent"):
        root.remove(choice)
    return _to_xml(root)


def _properties() -> bytes:
    """Return the title and description that Excel shows in its list of add-ins."""
    root = etree.Element(f"{{{COREPROPS_NS}}}coreProperties", nsmap={"cp": COREPROPS_NS, "dc": DCORE_NS})
    etree.SubElement(root, f"{{{DCORE_NS}}}title").text = f"VRAM planner {__version__}"
    etree.SubElement(root, f"{{{DCORE_NS}}}description").text = "GPU memory of language models as cell functions."
    return _to_xml(root)


def _with_macros_and_new_sheet(content_types: bytes) -> bytes:
    root = _parse(content_types)
    (book,) = (part for part in root if part.get("PartName") == f"/{ARC_WORKBOOK}")
    if book.get("ContentType") != XLSX:
        raise ValueError(f"not an .xlsx, but {book.get('ContentType')}")
    book.set("ContentType", XLSM)
    etree.SubElement(root, f"{{{CONTYPES_NS}}}Override", PartName=f"/{_NEW_SHEET_PART}", ContentType=WORKSHEET_TYPE)
    return _to_xml(root)


def _with_new_sheet(workbook_xml: bytes) -> bytes:
    root = _parse(workbook_xml)
    sheets = root.find(f"{{{SHEET_MAIN_NS}}}sheets")
    number = 1 + max(int(sheet.get("sheetId")) for sheet in sheets)
    sheet = etree.SubElement(sheets, f"{{{SHEET_MAIN_NS}}}sheet", nsmap={"r": REL_NS})
    sheet.set("name", settings.SETTINGS_SHEET)
    sheet.set("sheetId", str(number))
    sheet.set(f"{{{REL_NS}}}id", _NEW_RELATION)
    return _to_xml(root)


def _with_relation_to_new_sheet(relations: bytes) -> bytes:
    root = _parse(relations)
    relation = etree.SubElement(root, f"{{{PKG_REL_NS}}}Relationship")
    relation.attrib.update({"Id": _NEW_RELATION, "Type": f"{REL_NS}/worksheet", "Target": f"/{_NEW_SHEET_PART}"})
    return _to_xml(root)


def _free_code_name(xlsx: bytes) -> str:
    """Return the name in VBA that Excel would give to an added sheet."""
    with zipfile.ZipFile(BytesIO(xlsx)) as package:
        sheets = _parse(package.read(ARC_WORKBOOK)).find(f"{{{SHEET_MAIN_NS}}}sheets")
    return f"Sheet{len(sheets) + 1}"


def _parse(xml: bytes):
    return etree.fromstring(xml, etree.XMLParser(resolve_entities=False))


def _to_xml(root) -> bytes:
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", standalone=True)
