"""Build vram.oxt, the extension with the cell functions for LibreOffice Calc, without LibreOffice.

An add-in for Calc consists of an interface with one method per function (a type library), their names and descriptions
(CalcAddIns.xcu), and a component that implements the interface (libreoffice_host/vram_functions.py).
Source: LibreOffice's Developer's Guide, "Spreadsheet Add-Ins", and sc/source/core/tool/addincol.cxx of its source.

The type library is UNOIDL text, which LibreOffice reads like the binary format (unoidl/README.md in its source), so
nothing has to be compiled.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import core
import vram_udf
from addin.functions import CellFunction, FunctionArgument, declared_functions
from core.cells.values import error_code
from core.checks import LIMITS

_HOST = Path(__file__).with_name("libreoffice_host")
_CORE = Path(core.__file__).parent
_TEXT_FILES = (".py", ".csv", ".xml", ".components")

# The earliest date in a zip archive.
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)

_SERVICE = "vramplanner.CellFunctions"
_CELLS = "sequence< sequence< any > >"
_TEXTS = "sequence< sequence< string > >"

_BLANK_IS_ZERO = " In Calc a blank cell counts as 0 here; omit the argument to use the default."


def extension() -> bytes:
    """Return the content of vram.oxt; the same on every machine."""
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in sorted(_files()):
            info = zipfile.ZipInfo(name, _ZIP_EPOCH)
            info.create_system = 3  # Unix, on every machine
            info.external_attr = 0o644 << 16
            # Stored, not deflated, because versions of zlib write different bytes.
            archive.writestr(info, text.encode())
    return out.getvalue()


def _files() -> Iterator[tuple[str, str]]:
    """Yield the path in the extension and the text of each file."""
    functions = declared_functions()
    for name, text in _texts_under(_HOST):
        yield name, text.replace('version value="VERSION"', f'version value="{core.__version__}"')
    for name, text in _texts_under(_CORE):
        yield f"pythonpath/core/{name}", text
    yield "pythonpath/vram_udf.py", Path(vram_udf.__file__).read_text(encoding="utf-8")
    yield "XCellFunctions.idl", type_library(functions)
    yield "CalcAddIns.xcu", function_texts(functions)


def _texts_under(folder: Path) -> Iterator[tuple[str, str]]:
    for path in folder.rglob("*"):
        if path.suffix in _TEXT_FILES:
            yield path.relative_to(folder).as_posix(), path.read_text(encoding="utf-8")


def type_library(functions: tuple[CellFunction, ...]) -> str:
    """Return the interface in UNOIDL.

    In Calc, only arguments of type `any` can be omitted. Results are sequences, because Python cannot return rows of
    cells as `any`.
    """
    methods = []
    for function in functions:
        parameters = ", ".join(
            f"[in] {'any' if argument.optional else _CELLS} {name}" for name, argument in _named_arguments(function)
        )
        methods.append(f"        {_TEXTS if _returns_text(function) else _CELLS} {function.name}({parameters});\n")
    return f"module vramplanner {{\n    interface XCellFunctions {{\n{''.join(methods)}    }};\n}};\n"


def _returns_text(function: CellFunction) -> bool:
    """Return whether the function always returns text: it does so even if all its arguments are blank.

    In rows of `any`, Calc compares texts incorrectly (=VRAM_CHECK(…)="OK" is FALSE), because it does not intern them
    (ScSequenceToMatrix::CreateMixedMatrix). Rows of `string` do not have this bug, but cannot hold numbers.
    """
    result = getattr(vram_udf, function.name)(*(None for _ in function.arguments))
    return isinstance(result, str) and error_code(result) is None


def function_texts(functions: tuple[CellFunction, ...]) -> str:
    """Return CalcAddIns.xcu, the configuration file with the functions' names and descriptions."""
    root = ElementTree.Element(
        "oor:component-data",
        {
            "xmlns:oor": "http://openoffice.org/2001/registry",
            "oor:name": "CalcAddIns",
            "oor:package": "org.openoffice.Office",
        },
    )
    addins = ElementTree.SubElement(root, "node", {"oor:name": "AddInInfo"})
    parent = ElementTree.SubElement(_added(addins, _SERVICE), "node", {"oor:name": "AddInFunctions"})
    for function in functions:
        node = _added(parent, function.name)
        _property(node, "DisplayName", function.name, lang="en")
        _property(node, "Description", function.description, lang="en")
        _property(node, "Category", "Add-In")
        _property(node, "CompatibilityName", function.name, lang="en")  # its name in .xlsx files
        parameters = ElementTree.SubElement(node, "node", {"oor:name": "Parameters"})
        for name, argument in _named_arguments(function):
            parameter = _added(parameters, name)
            _property(parameter, "DisplayName", argument.name, lang="en")
            _property(parameter, "Description", _description(argument), lang="en")
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _named_arguments(function: CellFunction) -> Iterator[tuple[str, FunctionArgument]]:
    """Return the arguments with their names in the type library, where "kv_precision" is not a valid identifier."""
    return ((f"argument{number}", argument) for number, argument in enumerate(function.arguments, start=1))


def _description(argument: FunctionArgument) -> str:
    is_optional_number = argument.optional and argument.name in LIMITS
    return argument.description + (_BLANK_IS_ZERO if is_optional_number else "")


def _added(parent: ElementTree.Element, name: str) -> ElementTree.Element:
    return ElementTree.SubElement(parent, "node", {"oor:name": name, "oor:op": "replace"})


def _property(node: ElementTree.Element, name: str, value: str, lang: str | None = None) -> None:
    prop = ElementTree.SubElement(node, "prop", {"oor:name": name})
    ElementTree.SubElement(prop, "value", {"xml:lang": lang} if lang else {}).text = value
