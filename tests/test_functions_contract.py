"""Test the rules that let Excel on Windows, Excel on the web and LibreOffice call each cell function."""

from __future__ import annotations

import importlib
import inspect
import multiprocessing
import re
import sys
from concurrent.futures import ProcessPoolExecutor

import pytest

import vram_udf
from addin import xlwings_udfs
from addin.functions import declared_functions
from tests.hosts.com.pywin32_stand_in import ExcelCaller, Range

FUNCTIONS = pytest.mark.parametrize("function", vram_udf.FUNCTIONS, ids=lambda function: function.__name__)

# Excel's limits for a description in the function wizard and for a name (Microsoft, "Excel specifications and limits").
LONGEST_DESCRIPTION, LONGEST_NAME = 255, 255

# Reserved identifiers that cannot name a parameter: [MS-VBAL] 3.3.5.2.
VBA_RESERVED = frozenset(
    """
    abs addressof and any array as attribute boolean byref byte byval call case cbool cbyte ccur cdate cdbl cdec
    cint circle clng clnglng clngptr close const csng cstr currency cvar cverr date debug decimal declare
    defbool defbyte defcur defdate defdbl defint deflng defobj defsng defstr defvar dim do doevents double each
    else elseif empty end endif enum eqv erase event exit false fix for friend function get global gosub goto if
    imp implements in input inputb int integer is lbound len lenb let like lock long longlong longptr loop lset
    me mod new next not nothing null object on open option optional or paramarray preserve print private pset
    public put raiseevent redim rem resume return rset scale seek select set sgn shared single spc static stop
    string sub tab then to true type typeof ubound unlock until variant wend while with withevents write xor
    """.split()
)


def test_function_names_are_unique():
    names = [function.__name__.upper() for function in vram_udf.FUNCTIONS]
    assert names
    assert len(set(names)) == len(names)


@FUNCTIONS
def test_the_name_is_valid_for_a_function_in_excel(function):
    name = function.__name__
    assert re.fullmatch(r"VRAM_[A-Z]+(_[A-Z]+)*", name), "the underscore distinguishes it from a cell's address"
    assert len(name) <= LONGEST_NAME


@FUNCTIONS
def test_arguments_are_positional_and_untyped(function):
    parameters = list(inspect.signature(function).parameters.values())
    assert parameters
    assert {parameter.kind for parameter in parameters} == {inspect.Parameter.POSITIONAL_OR_KEYWORD}
    assert {parameter.default for parameter in parameters} <= {inspect.Parameter.empty, None}
    # xlwings uses a type hint as a converter, which fails for unions.
    assert inspect.get_annotations(function) == {}


@FUNCTIONS
def test_no_argument_has_a_name_that_vba_or_xlwings_reserves(function):
    # xlwings passes the calling cell to an argument named caller.
    assert not {name.lower() for name in inspect.signature(function).parameters} & (VBA_RESERVED | {"caller"})


@FUNCTIONS
def test_the_function_is_not_asynchronous(function):
    assert not inspect.iscoroutinefunction(function)


@pytest.mark.parametrize("function", declared_functions(), ids=lambda function: function.name)
def test_texts_fit_the_function_wizard(function):
    texts = {function.name: function.description} | {a.name: a.description for a in function.arguments}
    for name, text in texts.items():
        assert 0 < len(text) <= LONGEST_DESCRIPTION, name
        # VBA source is stored in a code page, which depends on the country.
        assert text.isascii() and text.isprintable(), name


@pytest.fixture(scope="module")
def declared():
    """Return xlwings' data about each function as declared on Windows, from a separate process."""
    with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(_declared).result()


def _declared() -> dict[str, dict]:
    xlwings_udfs.imported()
    sys.modules.pop("vram_udf", None)
    module = importlib.import_module("vram_udf")
    return {name: value.__xlfunc__ for name, value in vars(module).items() if hasattr(value, "__xlfunc__")}


def test_xlwings_declares_the_same_functions(declared):
    assert sorted(declared) == sorted(function.name for function in declared_functions())


@FUNCTIONS
def test_every_argument_is_passed_as_rows_with_errors_as_text(declared, function):
    for argument in declared[function.__name__]["args"]:
        options = argument["options"]
        # Without err_to_str an error cell is passed as None, like a blank one; without ndim one cell is not a range.
        assert options == {"ndim": 2, "err_to_str": True}, argument["name"]
        assert argument["doc"] == vram_udf.argument_text(function.__name__, argument["name"])


@FUNCTIONS
def test_a_function_is_recalculated_only_when_its_cells_change(declared, function):
    data = declared[function.__name__]
    assert (data["volatile"], data["async_mode"], data["call_in_wizard"]) == (False, None, True)


def test_only_arguments_of_functions_are_described():
    arguments = {(function.name, argument.name) for function in declared_functions() for argument in function.arguments}
    names = {name for _, name in arguments} | {f"{function}.{name}" for function, name in arguments}
    assert {name for _, name in arguments} <= set(vram_udf.ARGUMENTS) <= names


@pytest.fixture(scope="module")
def excel():
    with ExcelCaller("vram_udf") as caller:
        yield caller


@pytest.mark.parametrize("function", declared_functions(), ids=lambda function: function.name)
def test_an_error_cell_gives_an_error(excel, function):
    """With #DIV/0! for every argument, the result is that error or, from VRAM_CHECK, a message about it."""
    answer = excel(function.name, *[Range([["#DIV/0!"]]) for _ in function.arguments])
    assert answer.type == "VT_BSTR"
    assert "#DIV/0!" in answer.value
