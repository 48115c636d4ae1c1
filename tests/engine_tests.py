"""Which tests need an engine that pip does not install: LibreOffice, Wine, Node, or xlwings Server's licence.

`make test-fast` leaves them out. Whoever forgets one here is told so by the machines without engines, where a missing
engine is a failure (`tests.engines.required`).
"""

from __future__ import annotations

import pytest

# File → those of its tests, by name or by a fixture they use, that need an engine; "*" is all of them.
ENGINE_TESTS: dict[str, frozenset[str]] = {
    "test_addin_files.py": frozenset({
        "test_libreoffice_opens_it_and_finds_every_module",
        "test_libreoffice_recalculates_the_planner_to_the_values_in_it",
    }),
    "test_engines.py": frozenset({
        "test_pdf",
        "test_a_file_that_cannot_be_converted_is_an_error",
        "test_an_office_that_does_not_answer_is_given_up_and_leaves_nothing_behind",
        "test_a_failing_test_leaves_nothing_behind",
    }),
    "test_export.py": frozenset({"test_pdf"}),
    "test_libreoffice_addin.py": frozenset({"*"}),
    "test_office_js.py": frozenset({"*"}),
    "test_opens_everywhere.py": frozenset({"test_sheetjs_reads_the_same_values"}),
    "test_planner_reader.py": frozenset({"filled", "test_an_alias_is_sized_by_core_and_refused_by_the_sheet"}),
    "test_procurement_parity.py": frozenset({"*"}),
    "test_windows_stack.py": frozenset({"*"}),
    "test_workbook_parity.py": frozenset({"*"}),
}  # fmt: skip


# Files of tests that write and read many whole workbooks, or try many thousand cases: minutes, not seconds. One
# version of Python is enough for them.
SLOW_FILES = frozenset({
    "test_addin_files.py", "test_audit.py", "test_audit_hostile.py", "test_export.py", "test_faults.py", "test_fuzz.py",
    "test_injection.py", "test_laws.py", "test_opens_everywhere.py", "test_own_models.py", "test_peers.py", "test_planner_reader.py",
    "test_scenario_csv.py", "test_user_workbooks.py", "test_wheel.py", "test_workbook.py", "test_engines.py",
})  # fmt: skip


def needs_engine(item: pytest.Item) -> bool:
    """Whether a collected test needs an engine; those that try each engine in turn do with LibreOffice alone."""
    named = ENGINE_TESTS.get(item.path.name)
    if named is None:
        return False
    name = getattr(item, "originalname", item.name)
    if named & {"*", name, *getattr(item, "fixturenames", ())}:
        return True
    parameters = getattr(item, "callspec", None)
    return parameters is not None and "libreoffice" in parameters.id.split("-")
