"""Build the VBA project with the functions, from xlwings' adapted modules and our own."""

from __future__ import annotations

import re
import struct
import tempfile
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import xlwings
from pyopenvba import ExcelFile, VBAModuleKind
from pyopenvba.cfb import CFB
from pyopenvba.vba import VBAProject, compress, decompress

from addin.settings import PROJECT_NAME
from addin.wrapper import MODULE_NAME, functions_module, workbook_module

PROJECT_PART = "xl/vbaProject.bin"

# The project's name in the VBA editor.
PROJECT_TITLE = "VramPlanner"

# xlwings' add-in template, the modules that we use, and its sample modules, which we delete.
TEMPLATE = Path(xlwings.__file__).parent / "quickstart_addin.xlam"
XLWINGS_MODULE, DICTIONARY_CLASS = "xlwings", "Dictionary"
_SAMPLES = ("Module1",)

_REPLACEMENTS = {
    'PROJECT_NAME As String = "myaddin"': f'PROJECT_NAME As String = "{PROJECT_NAME}"',
    # Without the sheet, Range refers to the active workbook.
    'In Range(sht.Range("A1"), lastCell)': 'In sht.Range(sht.Range("A1"), lastCell)',
}

_PROJECTNAME_RECORD = 0x0004  # [MS-OVBA] 2.3.4.2.1.6


def functions_source() -> str:
    """Return the functions' module as a file for import in the VBA editor, which requires CR LF."""
    return _with_crlf(functions_module())


def addin_project() -> bytes:
    """Return the add-in's vbaProject.bin: xlwings' template with our modules."""

    def edit(book: ExcelFile) -> None:
        project = book.vba_project()
        for name in _SAMPLES:
            project.delete_module(name)
        book.set_module(XLWINGS_MODULE, xlwings_module())
        _add_functions(book)

    with zipfile.ZipFile(BytesIO(_edited(TEMPLATE.read_bytes(), TEMPLATE.suffix, edit))) as package:
        return renamed(package.read(PROJECT_PART), PROJECT_TITLE)


def with_functions(xlsm: bytes) -> bytes:
    """Add a VBA project with the functions to the macro-enabled workbook `xlsm`, which must not have one."""

    def edit(book: ExcelFile) -> None:
        project = book.add_vba_project()
        project.add_module(XLWINGS_MODULE, xlwings_module())
        project.add_module(DICTIONARY_CLASS, template_module(DICTIONARY_CLASS), kind=VBAModuleKind.other)
        _add_functions(book)

    return _edited(xlsm, ".xlsm", edit)


def xlwings_module() -> str:
    """Return xlwings' VBA, adapted so that it does not depend on the active workbook.

    Raises:
        RuntimeError: the installed xlwings' VBA is not the expected one.
    """
    source = template_module(XLWINGS_MODULE)
    # As in xlwings' quickstart_standalone.xlsm. The DLL has one server per command line, which contains this workbook's
    # path: with the active one's, each workbook would start its own Python (xlwings issue 787), and a sheet of any open
    # workbook could choose the program to run.
    source = source.replace("ActiveWorkbook", "ThisWorkbook")
    for old, new in _REPLACEMENTS.items():
        if source.count(old) != 1:
            raise RuntimeError(f"this text is {source.count(old)} times in xlwings' VBA module, not once: {old}")
        source = source.replace(old, new)
    return source


def template_module(name: str) -> str:
    """Return the source of a module of xlwings' template."""
    with ExcelFile(TEMPLATE) as book:
        return book.get_module(name)


def renamed(vba_project: bytes, name: str) -> bytes:
    """Change the project name in the streams `dir` and `PROJECT` of a vbaProject.bin to `name`, which must be ASCII."""
    project = CFB.from_bytes(vba_project)
    directory = decompress(project.get_stream_in_storage("VBA", "dir"))
    start = _record_offset(directory, _PROJECTNAME_RECORD)
    (old_size,) = struct.unpack_from("<I", directory, start + 2)
    record = struct.pack("<HI", _PROJECTNAME_RECORD, len(name)) + name.encode("ascii")
    directory = directory[:start] + record + directory[start + 6 + old_size :]
    project.write_stream_in_storage("VBA", "dir", compress(directory))
    line = f'Name="{name}"'.encode("ascii")
    project.write_stream("PROJECT", re.sub(rb'(?m)^Name="[^"]*"', line, project.get_stream("PROJECT")))
    return project.to_bytes()


def _record_offset(directory: bytes, record_id: int) -> int:
    """Return the offset of a record among the first ones of the dir stream, each of which has an id and a size."""
    offset = 0
    while True:
        found_id, size = struct.unpack_from("<HI", directory, offset)
        if found_id == record_id:
            return offset
        offset += 6 + size


def _add_functions(book: ExcelFile) -> None:
    project: VBAProject = book.vba_project()
    project.add_module(MODULE_NAME, functions_source())
    book.set_module("ThisWorkbook", _with_crlf(workbook_module()))


def _edited(content: bytes, suffix: str, edit: Callable[[ExcelFile], None]) -> bytes:
    """Return the file's content after `edit`, using a temporary file because pyOpenVBA works on files."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"book{suffix}"
        path.write_bytes(content)
        with ExcelFile(path) as book:
            edit(book)
            book.save()
        with ExcelFile(path) as book:
            problems = book.validate()
        if problems:
            raise RuntimeError(f"the VBA project is inconsistent: {'; '.join(problems)}")
        return path.read_bytes()


def _with_crlf(source: str) -> str:
    return source.replace("\n", "\r\n")
