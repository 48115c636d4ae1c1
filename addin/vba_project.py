"""Build the VBA project with the functions.

xlwings' own VBA is not in it: a cell of any workbook could call its public procedures, some of which start programs.
Our module calls xlwings' DLL by itself.
"""

from __future__ import annotations

import re
import struct
import tempfile
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import xlwings
from pyopenvba import ExcelFile
from pyopenvba.cfb import CFB
from pyopenvba.vba import VBAProject, compress, decompress

from addin.wrapper import MODULE_NAME, functions_module, workbook_module

PROJECT_PART = "xl/vbaProject.bin"

# The project's name in the VBA editor.
PROJECT_TITLE = "VramPlanner"

# xlwings' add-in template, and its modules, which we delete.
TEMPLATE = Path(xlwings.__file__).parent / "quickstart_addin.xlam"
_MODULES_OF_TEMPLATE = ("Module1", "xlwings", "Dictionary")

_PROJECTNAME_RECORD = 0x0004  # [MS-OVBA] 2.3.4.2.1.6


def functions_source() -> str:
    """Return the functions' module as a file for import in the VBA editor, which requires CR LF."""
    return _with_crlf(functions_module())


def addin_project() -> bytes:
    """Return the add-in's vbaProject.bin: the project of xlwings' template with our modules instead of xlwings'."""

    def edit(book: ExcelFile) -> None:
        project = book.vba_project()
        for name in _MODULES_OF_TEMPLATE:
            project.delete_module(name)
        _add_functions(book)

    with zipfile.ZipFile(BytesIO(_edited(TEMPLATE.read_bytes(), TEMPLATE.suffix, edit))) as package:
        return renamed(package.read(PROJECT_PART), PROJECT_TITLE)


def with_functions(xlsm: bytes) -> bytes:
    """Add a VBA project with the functions to the macro-enabled workbook `xlsm`, which must not have one."""

    def edit(book: ExcelFile) -> None:
        book.add_vba_project()
        _add_functions(book)

    return _edited(xlsm, ".xlsm", edit)


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
