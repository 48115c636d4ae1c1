"""The VBA project that carries the functions: xlwings' own modules, adapted, and ours beside them."""

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

# xlwings' template of an add-in of one's own; its modules, and the ones of them that are samples.
TEMPLATE = Path(xlwings.__file__).parent / "quickstart_addin.xlam"
XLWINGS_MODULE, DICTIONARY_CLASS = "xlwings", "Dictionary"
_SAMPLES = ("Module1",)

_ADAPTED = {
    'PROJECT_NAME As String = "myaddin"': f'PROJECT_NAME As String = "{PROJECT_NAME}"',
    # Without the sheet, the range is asked of the active workbook.
    'In Range(sht.Range("A1"), lastCell)': 'In sht.Range(sht.Range("A1"), lastCell)',
}

_PROJECTNAME_RECORD = 0x0004  # [MS-OVBA] 2.3.4.2.1.6


def functions_source() -> str:
    """The module with the functions as a file: the VBA editor's import wants CR LF."""
    return _for_vba(functions_module())


def addin_project() -> bytes:
    """The add-in's vbaProject.bin: xlwings' template with our modules."""

    def edit(book: ExcelFile) -> None:
        project = book.vba_project()
        for name in _SAMPLES:
            project.delete_module(name)
        book.set_module(XLWINGS_MODULE, xlwings_module())
        _add_functions(book)

    with zipfile.ZipFile(BytesIO(_edited(TEMPLATE.read_bytes(), TEMPLATE.suffix, edit))) as package:
        return renamed(package.read(PROJECT_PART), PROJECT_TITLE)


def with_functions(xlsm: bytes) -> bytes:
    """The macro-enabled workbook `xlsm`, which has no VBA project yet, with one that holds the functions."""

    def edit(book: ExcelFile) -> None:
        project = book.add_vba_project()
        project.add_module(XLWINGS_MODULE, xlwings_module())
        project.add_module(DICTIONARY_CLASS, template_module(DICTIONARY_CLASS), kind=VBAModuleKind.other)
        _add_functions(book)

    return _edited(xlsm, ".xlsm", edit)


def xlwings_module() -> str:
    """Xlwings' VBA, for all workbooks alike.

    Raises:
        RuntimeError: the module of the installed xlwings has another form.
    """
    source = template_module(XLWINGS_MODULE)
    # The workbook that holds the functions for the active one, as xlwings itself has it in quickstart_standalone.xlsm.
    # The DLL keeps one server for each command line: with the active workbook's path in it, each workbook would start a
    # Python of its own (xlwings issue 787), and a sheet of any opened workbook could say which program to run.
    source = source.replace("ActiveWorkbook", "ThisWorkbook")
    for old, new in _ADAPTED.items():
        if source.count(old) != 1:
            raise RuntimeError(f"xlwings' VBA module has {source.count(old)} times, not once: {old}")
        source = source.replace(old, new)
    return source


def template_module(name: str) -> str:
    """The source of a module of xlwings' template."""
    with ExcelFile(TEMPLATE) as book:
        return book.get_module(name)


def renamed(vba_project: bytes, name: str) -> bytes:
    """A vbaProject.bin with the project named `name`, which is ASCII: in the streams `dir` and `PROJECT`."""
    project = CFB.from_bytes(vba_project)
    directory = decompress(project.get_stream_in_storage("VBA", "dir"))
    start = _record(directory, _PROJECTNAME_RECORD)
    (old_size,) = struct.unpack_from("<I", directory, start + 2)
    record = struct.pack("<HI", _PROJECTNAME_RECORD, len(name)) + name.encode("ascii")
    directory = directory[:start] + record + directory[start + 6 + old_size :]
    project.write_stream_in_storage("VBA", "dir", compress(directory))
    line = f'Name="{name}"'.encode("ascii")
    project.write_stream("PROJECT", re.sub(rb'(?m)^Name="[^"]*"', line, project.get_stream("PROJECT")))
    return project.to_bytes()


def _record(directory: bytes, wanted: int) -> int:
    """Where the record begins, among those at the front of the dir stream, which all have an id and a size."""
    at = 0
    while True:
        record, size = struct.unpack_from("<HI", directory, at)
        if record == wanted:
            return at
        at += 6 + size


def _add_functions(book: ExcelFile) -> None:
    project: VBAProject = book.vba_project()
    project.add_module(MODULE_NAME, functions_source())
    book.set_module("ThisWorkbook", _for_vba(workbook_module()))


def _edited(content: bytes, suffix: str, edit: Callable[[ExcelFile], None]) -> bytes:
    """The file after `edit`; by way of a temporary one, since pyOpenVBA works on files."""
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


def _for_vba(source: str) -> str:
    return source.replace("\n", "\r\n")
