"""Read and rewrite the parts of an .xlsx, which is a zip archive."""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Collection, Mapping
from io import BytesIO
from types import MappingProxyType
from xml.parsers import expat

from openpyxl.packaging.relationship import get_dependents
from openpyxl.packaging.workbook import WorkbookPackage
from openpyxl.xml.constants import ARC_WORKBOOK, ARC_WORKBOOK_RELS
from openpyxl.xml.functions import fromstring

# What the zip module raises for a damaged archive. Besides its own errors, wrong offsets and names in the file cause
# others: a seek below 0, text that is not UTF-8, a truncated record.
ZIP_ERRORS = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, OSError, OverflowError, RuntimeError,
    ValueError,
)  # fmt: skip

# What expat raises for a part that is not XML; LookupError and ValueError come from Python's look-up of an encoding.
XML_ERRORS = (expat.ExpatError, LookupError, ValueError)

# A formula cell as openpyxl writes it: attributes, formula, and a value without content.
FORMULA_CELL = re.compile(rb'<c r="([A-Z]+[0-9]+)"([^>]*)>(<f\b[^>]*>[^<]*</f>)<v\s*(?:/>|></v>)</c>')

# Office writes this fixed date into zip archives; with it the same parts give the same bytes.
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


def rewritten(
    xlsx: bytes,
    edit: Callable[[str, bytes], bytes],
    added: Mapping[str, bytes] = MappingProxyType({}),
    *,
    dropped: Collection[str] = (),
    compression: int = zipfile.ZIP_DEFLATED,
) -> bytes:
    """Return the package with parts replaced by `edit(part name, content)`, with parts `added` and parts `dropped`.

    Args:
        compression: ZIP_STORED for a package that is read again at once, because compressing takes seconds.
    """
    out = BytesIO()
    with zipfile.ZipFile(BytesIO(xlsx)) as package, zipfile.ZipFile(out, "w", compression) as result:
        parts = {part: edit(part, package.read(part)) for part in package.namelist() if part not in dropped}
        for part, content in {**parts, **added}.items():
            info = zipfile.ZipInfo(part, _ZIP_EPOCH)
            info.compress_type = compression
            result.writestr(info, content)
    return out.getvalue()


def sheet_of_part(package: zipfile.ZipFile) -> dict[str, str]:
    """Map each worksheet's part to its sheet title: "xl/worksheets/sheet1.xml" → "About"."""
    workbook = WorkbookPackage.from_tree(fromstring(package.read(ARC_WORKBOOK)))
    relations = get_dependents(package, ARC_WORKBOOK_RELS)
    return {relations.get(sheet.id).target: sheet.name for sheet in workbook.sheets}
