"""Run the add-in's VBA and test what a cell shows for each result from Python."""

from __future__ import annotations

import re

import pytest

from addin.functions import declared_functions
from addin.server import SERVED_CLASS, command_line
from addin.wrapper import functions_module, workbook_module
from tests.hosts.com.pywin32_stand_in import MISSING, ExcelCaller
from tests.hosts.com.vba_host import (
    ExcelError,
    FunctionWizard,
    LinkedWorkbook,
    OpenedWorkbook,
    PythonError,
    VbaHost,
    Windows,
    through_xlwings,
)

# The numbers are Excel's XlCVError enumeration (Microsoft, Excel VBA reference).
RETURNED = [
    (140.0, 140.0),
    ("OK", "OK"),
    ("", ""),
    ("#NULL!", ExcelError.NULL),
    ("#DIV/0!", ExcelError.DIV0),
    ("#VALUE!", ExcelError.VALUE),
    ("#REF!", ExcelError.REF),
    ("#NAME?", ExcelError.NAME),
    ("#NUM!", ExcelError.NUM),
    ("#N/A", ExcelError.NA),
    ("#SPILL!", ExcelError.SPILL),
    ("#CALC!", ExcelError.CALC),
    ("#BUSY!", ExcelError.VALUE),
    ("#NUM! is not one", "#NUM! is not one"),
    ([1.0, "#NUM!", "x"], [1.0, ExcelError.NUM, "x"]),
    ([["weights", 1.0], ["total", "#N/A"]], [["weights", 1.0], ["total", ExcelError.NA]]),
    ([["#NUM!"], [2.0], ["#VALUE!"]], [[ExcelError.NUM], [2.0], [ExcelError.VALUE]]),
]


@pytest.fixture(scope="module")
def source() -> str:
    return functions_module()


@pytest.mark.parametrize(("returned", "shown"), RETURNED, ids=[str(case[0]) for case in RETURNED])
def test_a_result_becomes_what_the_cell_shows(source, returned, shown):
    assert VbaHost(lambda function, arguments: returned, source).cell("VRAM_WEIGHTS", 70.0) == shown


def test_an_exception_gives_an_error_cell_and_a_last_error(source):
    def raising(function, arguments):
        raise PythonError("ModuleNotFoundError: No module named 'vram_udf'")

    host = VbaHost(raising, source)
    assert host.cell("VRAM_LAST_ERROR") == ""
    assert host.cell("VRAM_TOTAL", "llama-3.1-70b", 32768.0) == ExcelError.VALUE
    assert host.cell("VRAM_LAST_ERROR") == "ModuleNotFoundError: No module named 'vram_udf'"


def test_an_answer_ends_the_last_error(source):
    results = iter([PythonError("a failure"), 140.0])

    def call(function, arguments):
        result = next(results)
        if isinstance(result, Exception):
            raise result
        return result

    host = VbaHost(call, source)
    assert host.cell("VRAM_WEIGHTS", 70.0) == ExcelError.VALUE
    assert host.cell("VRAM_LAST_ERROR") == "a failure"
    assert host.cell("VRAM_WEIGHTS", 70.0) == 140.0
    assert host.cell("VRAM_LAST_ERROR") == ""


# ---- how Python is started ---------------------------------------------------------------------------

PYTHON = r"C:\Users\Ann\venv\Scripts\pythonw.exe"
COMMAND = command_line(PYTHON)


def _host(source, **windows) -> VbaHost:
    return VbaHost(lambda function, arguments: 140.0, source, Windows(**windows))


def test_python_is_started_with_the_command_that_doctor_measures(source):
    host = _host(source)
    assert host.cell("VRAM_WEIGHTS", 70.0) == 140.0
    assert host.windows.started == [SERVED_CLASS, COMMAND]


def test_settings_are_read_once(source):
    host = _host(source)
    for _ in range(3):
        host.cell("VRAM_WEIGHTS", 70.0)
    assert host.windows.settings_read == 1


def test_a_server_that_runs_already_is_used(source):
    host = _host(source, failures={})
    assert host.cell("VRAM_WEIGHTS", 70.0) == 140.0
    assert set(host.windows.started) == {SERVED_CLASS}


def test_a_failure_is_remembered_for_a_minute(source):
    failure = "Python process exited before it was possible to create the interface object."
    host = _host(source, failures={SERVED_CLASS: "no", PYTHON: failure})
    for host.windows.seconds in (0, 1, 59):
        assert host.cell("VRAM_WEIGHTS", 70.0) == ExcelError.VALUE
        assert host.cell("VRAM_LAST_ERROR") == failure
    assert host.windows.started.count(COMMAND) == 1
    host.windows.seconds = 60
    host.windows.failures.pop(PYTHON)
    assert host.cell("VRAM_WEIGHTS", 70.0) == 140.0
    assert host.cell("VRAM_LAST_ERROR") == ""
    assert host.windows.settings_read == 2, "the settings may have been corrected meanwhile"


@pytest.mark.parametrize(
    "interpreter", ["", "python", "pythonw.exe", r"Scripts\python.exe", r"\python.exe", "C:python.exe"]
)
def test_only_a_full_path_is_started(source, interpreter):
    host = _host(source, interpreter=interpreter)
    assert host.cell("VRAM_WEIGHTS", 70.0) == ExcelError.VALUE
    assert "vram addin install" in host.cell("VRAM_LAST_ERROR")
    assert host.windows.started == []


@pytest.mark.parametrize("folder", [r"\\server\share\venv\Scripts", r"D:\Python 3\Scripts"])
def test_python_may_be_on_a_share_or_another_drive(source, folder):
    dll = folder + "\\" + Windows().dlls[0].rpartition("\\")[2]
    host = _host(source, interpreter=folder + r"\pythonw.exe", dlls=(dll,))
    assert host.cell("VRAM_WEIGHTS", 70.0) == 140.0
    assert host.windows.started[-1] == command_line(folder + r"\pythonw.exe")


def test_a_missing_dll_is_named_and_nothing_is_started(source):
    host = _host(source, dlls=())
    assert host.cell("VRAM_WEIGHTS", 70.0) == ExcelError.VALUE
    assert "Could not load xlwings64-" in host.cell("VRAM_LAST_ERROR")
    assert host.windows.started == []


def test_declarations_come_before_procedures_as_vba_demands(source):
    lines = source.splitlines()
    first = next(number for number, line in enumerate(lines) if " Function " in line and "Declare" not in line)
    declarations = [line for line in lines[first:] if re.match(r"(Private|Public|Dim|Const) (?!Function|Sub)", line)]
    assert declarations == []


# ---- from a cell to Python ---------------------------------------------------------------------------


@pytest.mark.parametrize("function", declared_functions(), ids=lambda function: function.name)
def test_arguments_are_passed_in_order(source, function):
    seen = []
    host = VbaHost(lambda name, arguments: seen.append((name, list(arguments))) or 0.0, source)
    given = [float(number) for number in range(len(function.arguments))]
    required = [number for number, argument in zip(given, function.arguments, strict=True) if not argument.optional]
    host.cell(function.name, *given)
    host.cell(function.name, *required)
    assert seen == [(function.name, given), (function.name, required + [MISSING] * (len(given) - len(required)))]


@pytest.fixture(scope="module")
def excel(source):
    """Yield a host that calls the functions through VBA and xlwings' conversions."""
    with ExcelCaller("vram_udf") as caller:
        yield VbaHost(through_xlwings(caller), source)


# 70e9 parameters of 2 bytes; 80 layers, 8 KV heads of 128, key and value, 2 bytes: 327,680 bytes per token.
END_TO_END = [
    (("VRAM_WEIGHTS", 70.0), 140.0),
    (("VRAM_KV_PER_TOKEN", "llama-3.1-70b", MISSING, "B"), 327680.0),
    (("VRAM_WEIGHTS", -1.0), ExcelError.NUM),
    (("VRAM_WEIGHTS", "no such model"), ExcelError.NA),
    (("VRAM_KV", "llama-3.1-70b", "many"), ExcelError.VALUE),
]


@pytest.mark.parametrize(("formula", "shown"), END_TO_END, ids=[str(case[0]) for case in END_TO_END])
def test_from_vba_to_python_and_back(excel, formula, shown):
    assert excel.cell(*formula) == shown


def test_an_error_in_a_spilled_column_affects_only_its_cell(excel):
    assert excel.cell("VRAM_WEIGHTS", [[70.0], [-1.0], ["?"]]) == [[140.0], [ExcelError.NUM], [ExcelError.NA]]
    assert excel.cell("VRAM_WEIGHTS", [[70.0, -1.0]]) == [140.0, ExcelError.NUM]


def test_an_exception_in_python_is_passed_with_its_message(source):
    with ExcelCaller("vram_udf") as caller:
        host = VbaHost(lambda function, arguments: through_xlwings(caller)("NO_SUCH_FUNCTION", arguments), source)
        assert host.cell("VRAM_WEIGHTS", 70.0) == ExcelError.VALUE
        assert "has no attribute 'NO_SUCH_FUNCTION'" in host.cell("VRAM_LAST_ERROR").splitlines()[0]


def test_the_function_wizard_gets_the_descriptions_of_functions_and_arguments():
    wizard = FunctionWizard()
    wizard.closed = False
    OpenedWorkbook("vram.xlam", wizard, workbook_module()).run("Workbook_Open")
    assert wizard.descriptions == {
        f"'vram.xlam'!{function.name}": (
            function.description,
            "VRAM",
            [argument.description for argument in function.arguments],
        )
        for function in declared_functions()
    }


def test_a_wizard_that_refuses_at_start_gets_the_descriptions_when_a_workbook_is_activated():
    wizard = FunctionWizard()
    book = OpenedWorkbook("vram.xlam", wizard, workbook_module())
    book.run("Workbook_Open")
    assert wizard.descriptions == {}
    wizard.closed = False
    book.run("mExcel_WorkbookActivate", book)
    assert len(wizard.descriptions) == len(declared_functions())


@pytest.mark.parametrize("saved", [True, False])
def test_passing_descriptions_does_not_change_whether_the_workbook_is_saved(saved):
    wizard = FunctionWizard()
    wizard.closed = False
    book = OpenedWorkbook("vram_planner.xlsm", wizard, workbook_module())
    book.saved = saved
    book.run("Workbook_Open")
    assert book.saved is saved


THEIRS, OURS = r"C:\Users\Bob\XLSTART\vram.xlam", r"C:\Users\Ann\XLSTART\vram.xlam"


def _opened(*books: LinkedWorkbook, name: str = "vram.xlam") -> OpenedWorkbook:
    wizard = FunctionWizard()
    wizard.workbooks += books
    add_in = OpenedWorkbook(name, wizard, workbook_module())
    add_in.run("Workbook_Open")
    return add_in


@pytest.mark.parametrize(
    ("link", "becomes"),
    [
        (THEIRS, OURS),
        (THEIRS.upper(), OURS),
        ("https://company.example/Shared/vram.xlam", OURS),
        (OURS.upper(), OURS.upper()),
        (r"C:\Users\Bob\other.xlam", r"C:\Users\Bob\other.xlam"),
        (r"C:\Users\Bob\my vram.xlam", r"C:\Users\Bob\my vram.xlam"),
    ],
)
def test_links_to_another_computers_add_in_are_pointed_at_this_one(link, becomes):
    book = LinkedWorkbook("prices.xlsx", link)
    _opened().run("mExcel_WorkbookOpen", book)
    assert book.links == ["prices.xlsx", becomes]
    assert book.saved


def test_workbooks_that_are_open_when_the_add_in_loads_are_pointed_at_it():
    linked, without, protected = LinkedWorkbook(THEIRS), LinkedWorkbook(), LinkedWorkbook(THEIRS, protected=True)
    _opened(linked, without, protected)
    assert (linked.links, without.links, protected.links) == ([OURS], [], [THEIRS])


def test_a_workbook_with_the_functions_inside_changes_no_links():
    book = LinkedWorkbook(THEIRS)
    _opened(book, name="vram_planner.xlsm")
    assert book.links == [THEIRS]
