"""Check safety: nothing in the workbook runs code, contacts other files or hosts, or is hidden."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from functools import lru_cache

from lxml import etree
from openpyxl.packaging.manifest import Manifest
from openpyxl.packaging.relationship import RelationshipList
from openpyxl.utils import get_column_letter
from openpyxl.xml.functions import fromstring

from workbook.audit.subject import Fault, Subject

_MACRO_SUFFIXES = (".xlsm", ".xltm", ".xlam")
_VBA_TYPE = "application/vnd.ms-office.vbaProject"
# Excel 4 macro sheets run without VBA: [MS-OFFMACRO2] 2.2.1, and ECMA-376 part 1, 12.3.8 for dialog sheets.
_MACRO_SHEETS = ("xl/macrosheets/", "xl/intlMacrosheets/", "xl/dialogsheets/")
_OUTSIDE_PARTS = {
    "xl/connections.xml": "data connection",
    "xl/querytables/": "query table",
    "xl/activex/": "ActiveX control",
    "xl/embeddings/": "embedded OLE object",
    "xl/model/": "data model",
    "xl/webextensions/": "web add-in",
    "xl/volatiledependencies.xml": "real-time data",
    "customui/": "ribbon command",
}
_POWER_QUERY = b"http://schemas.microsoft.com/DataMashup"
# These start programs, call libraries, or read from the network or another application.
_UNSAFE_FUNCTIONS = {
    "CALL", "REGISTER", "REGISTER.ID", "EXEC", "EXECUTE", "INITIATE", "POKE", "RUN", "DDE", "EVALUATE", "FORMULA",
    "ALERT", "WEBSERVICE", "RTD", "IMAGE", "SQL.REQUEST", "STOCKHISTORY", "COPILOT", "TRANSLATE", "DETECTLANGUAGE",
    "IMPORTTEXT", "IMPORTCSV", "IMPORTDATA", "IMPORTXML", "IMPORTHTML", "IMPORTFEED", "IMPORTRANGE",
    "CUBEKPIMEMBER", "CUBEMEMBER", "CUBEMEMBERPROPERTY", "CUBERANKEDMEMBER", "CUBESET", "CUBESETCOUNT", "CUBEVALUE",
}  # fmt: skip
_ORDINARY_LINKS = ("http://", "https://", "mailto:", "#")
# A text that a spreadsheet program reads as a DDE formula when it is entered again or loaded from a CSV file.
_DDE_TEXT = re.compile(r"[=+\-@][^|!]{1,255}\|[^!]*!", re.DOTALL)


def macros(subject: Subject) -> Iterator[Fault]:
    """Yield Excel 4 macro sheets, and VBA unless the file's extension announces macros."""
    package = subject.package
    declared = Manifest.from_tree(fromstring(package.read("[Content_Types].xml")))
    vba = {part.PartName.lstrip("/") for part in declared.Override if part.ContentType == _VBA_TYPE}
    vba |= {name for name in package.names if "vbaproject" in posixpath.basename(name).lower()}
    if not package.path.name.lower().endswith(_MACRO_SUFFIXES):
        yield from (Fault(name) for name in sorted(vba))
    for name in package.names:
        if name.lower().startswith(tuple(map(str.lower, _MACRO_SHEETS))) and name.endswith(".xml"):
            yield Fault(name, "Excel 4 macro or dialog sheet")


def external_links(subject: Subject) -> Iterator[Fault]:
    """Yield formulas and parts that refer to other workbooks or files."""
    for place, formula in subject.formulas.items():
        if formula.form.is_external:
            yield Fault(str(place))
    for where, formula in subject.other_formulas():
        if formula.form.is_external:
            yield Fault(where)
    for name in subject.package.names:
        if name.lower().startswith("xl/externallinks/") and name.endswith(".xml"):
            yield Fault(name)
    for part, relation in _external_relations(subject):
        is_link_part = part.lower().startswith("xl/externallinks/")  # already reported above
        if not is_link_part and not relation.Type.endswith("/hyperlink"):
            yield Fault(part, relation.Target)


def outside_parts(subject: Subject) -> Iterator[Fault]:
    """Yield connections, queries, OLE objects, controls and web add-ins."""
    for name in subject.package.names:
        for start, what in _OUTSIDE_PARTS.items():
            if name.lower().startswith(start) and not name.endswith((".rels", "/")):
                yield Fault(name, what)
        if re.fullmatch(r"customXml/item\d+\.xml", name) and _is_power_query(subject.package.read(name)):
            yield Fault(name, "Power Query")


def injected_formulas(subject: Subject) -> Iterator[Fault]:
    """Yield formulas that start a program or use the network, texts that would become formulas, and unusual links."""
    formulas = [(str(place), formula) for place, formula in subject.formulas.items()]
    for where, formula in [*formulas, *subject.other_formulas()]:
        form = formula.form
        unsafe = sorted((form.functions | form.foreign_functions) & _UNSAFE_FUNCTIONS)
        leaves_workbook = any(not target.startswith("#") for target in form.hyperlinks)
        if form.starts_program:
            yield Fault(where, "starts a program (DDE)")
        elif not form.is_readable:
            yield Fault(where, "cannot be read as a formula")
        elif unsafe:
            yield Fault(where, unsafe[0])
        elif leaves_workbook:
            yield Fault(where, "HYPERLINK that leaves the workbook")
    for place, cell in subject.constants.items():
        is_text = isinstance(cell.value, str) and not cell.quotePrefix
        if is_text and (cell.value.startswith("=") or _DDE_TEXT.match(cell.value)):
            yield Fault(str(place), "a text that becomes a formula when it is entered again")
    for part, relation in _external_relations(subject):
        if relation.Type.endswith("/hyperlink") and not relation.Target.lower().startswith(_ORDINARY_LINKS):
            yield Fault(part, f"link to {relation.Target}")


def hidden(subject: Subject) -> Iterator[Fault]:
    """Yield hidden sheets, rows, columns and names, rows and columns of zero size, and formats that show nothing."""
    for sheet in [*subject.workbook.worksheets, *subject.workbook.chartsheets]:
        if sheet.sheet_state != "visible":
            yield Fault(sheet.title, "very hidden sheet" if sheet.sheet_state == "veryHidden" else "hidden sheet")
    for ws in subject.sheets:
        if ws.sheet_format.zeroHeight:
            yield Fault(ws.title, "rows hidden by default")
        for row, dimension in ws.row_dimensions.items():
            if dimension.hidden or dimension.ht == 0:
                yield Fault(f"{ws.title}!{row}:{row}", "hidden row")
        for dimension in ws.column_dimensions.values():
            if dimension.hidden or dimension.width == 0:
                first, last = (get_column_letter(n) for n in (dimension.min, dimension.max))
                yield Fault(f"{ws.title}!{first}:{last}", "hidden column")
    for place in (*subject.formulas, *subject.constants):
        if _shows_nothing(subject.number_format(place)):
            yield Fault(str(place), "a number format that shows nothing")
    for _, name, defined in subject.resolver.names():
        if defined.hidden and not name.lower().startswith("_xl"):  # Excel's own names such as _xlnm._FilterDatabase
            yield Fault(name, "hidden name")


@lru_cache(maxsize=4096)
def _shows_nothing(number_format: str) -> bool:
    sections = number_format.split(";")
    return len(sections) > 1 and not any(section.strip() for section in sections)


def _external_relations(subject: Subject):
    """Yield (part, relation) of every relation with a target outside the package."""
    for name in subject.package.names:
        if name.lower().endswith(".rels"):
            part = re.sub(r"_rels/([^/]*)\.rels$", r"\1", name)
            for relation in RelationshipList.from_tree(fromstring(subject.package.read(name))):
                if relation.TargetMode == "External":
                    yield part, relation


def _is_power_query(xml: bytes) -> bool:
    try:
        return _POWER_QUERY in etree.tostring(
            etree.fromstring(xml, etree.XMLParser(resolve_entities=False)), encoding="utf-8"
        )
    except etree.XMLSyntaxError:
        return False
