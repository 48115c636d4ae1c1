"""Build the files with the functions for Excel: the add-in, and a macro-enabled workbook that contains them.

The same versions of this package, xlwings and pyOpenVBA always write the same bytes.
"""

from __future__ import annotations

import zipfile
from io import BytesIO

from lxml import etree
from openpyxl.xml.constants import (
    ARC_CONTENT_TYPES,
    ARC_CORE,
    ARC_SHARED_STRINGS,
    ARC_WORKBOOK,
    COREPROPS_NS,
    DCORE_NS,
    SHEET_MAIN_NS,
    XLSM,
    XLSX,
)

from addin import vba_project
from addin.functions import declared_functions
from addin.intellisense import SHEET_NAME, intellisense_sheet
from core import __version__
from workbook.package import ZIP_ERRORS, rewritten

# The only sheet of the template: its name, its part of the package, and its name in VBA.
_TEMPLATE_SHEET, _TEMPLATE_SHEET_PART, _TEMPLATE_CODE_NAME = "_myaddin.conf", "xl/worksheets/sheet1.xml", "Sheet2"


def addin_file() -> bytes:
    """Return the content of vram.xlam: xlwings' add-in template with our VBA and texts."""
    edits = {
        ARC_WORKBOOK: _with_renamed_sheet,
        ARC_CORE: lambda _: _properties(),
        _TEMPLATE_SHEET_PART: lambda _: intellisense_sheet(declared_functions(), _TEMPLATE_CODE_NAME),
        ARC_SHARED_STRINGS: lambda _: _to_xml(etree.Element(f"{{{SHEET_MAIN_NS}}}sst", nsmap={None: SHEET_MAIN_NS})),
        vba_project.PROJECT_PART: lambda _: vba_project.addin_project(),
    }
    return rewritten(
        vba_project.TEMPLATE.read_bytes(), lambda part, content: edits[part](content) if part in edits else content
    )


def has_our_code(addin: bytes) -> bool:
    """Return whether `addin` has the VBA project that this version builds; signing adds parts, and changes no other."""
    try:
        with zipfile.ZipFile(BytesIO(addin)) as package:
            return package.read(vba_project.PROJECT_PART) == vba_project.addin_project()
    except (*ZIP_ERRORS, KeyError):
        return False


def workbook_with_functions(xlsx: bytes) -> bytes:
    """Return the workbook `xlsx`, built by `workbook.template`, as an .xlsm with the functions.

    Its sheets do not change, and nothing in it names a Python: each user's own settings do.
    """
    xlsm = rewritten(xlsx, lambda part, content: _with_macros(content) if part == ARC_CONTENT_TYPES else content)
    return vba_project.with_functions(xlsm)


def _with_renamed_sheet(workbook_xml: bytes) -> bytes:
    root = _parse(workbook_xml)
    (sheet,) = (sheet for sheet in root.iter(f"{{{SHEET_MAIN_NS}}}sheet") if sheet.get("name") == _TEMPLATE_SHEET)
    sheet.set("name", SHEET_NAME)
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


def _with_macros(content_types: bytes) -> bytes:
    root = _parse(content_types)
    (book,) = (part for part in root if part.get("PartName") == f"/{ARC_WORKBOOK}")
    if book.get("ContentType") != XLSX:
        raise ValueError(f"not an .xlsx, but {book.get('ContentType')}")
    book.set("ContentType", XLSM)
    return _to_xml(root)


def _parse(xml: bytes):
    return etree.fromstring(xml, etree.XMLParser(resolve_entities=False))


def _to_xml(root) -> bytes:
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", standalone=True)
