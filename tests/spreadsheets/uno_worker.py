"""Run what-ifs in a headless LibreOffice, as the worker process of ``libreoffice.WhatIf``.

    python uno_worker.py SOFFICE PIPE_NAME WORKBOOK_URL OPTION_OF_SOFFICE...

It runs in any interpreter with the ``uno`` module, so it uses only the standard library and ``uno``, and nothing newer
than Python 3.8. It reads one JSON request per line and writes one JSON answer per line:

    {"action": "set", "cells": [[sheet, address, content], ...]}        -> {"result": []}
    {"action": "get", "targets": [[sheet, address] or name, ...]}       -> {"result": [value, ...]}
    {"action": "run", "cases": [[[sheet, address, content], ...], ...],
     "targets": [...]}                                                  -> {"result": [[value, ...], ...]}
    {"action": "recalculate"}                                           -> {"result": seconds}
    {"action": "functions", "names": [...]}                             -> {"result": [{"description": text,
     "arguments": [[name, description, is optional], ...]}, ...]}

or {"refused": text} for a locked cell, or {"error": text} for other failures. It ends at the end of its input.
"""

import json
import subprocess
import sys
import time
import traceback

import uno
from com.sun.star.beans import PropertyValue
from com.sun.star.container import NoSuchElementException
from com.sun.star.sheet.FormulaResult import STRING as TEXT_RESULT
from com.sun.star.table.CellContentType import EMPTY, FORMULA, TEXT
from com.sun.star.uno import Exception as UnoException

START_TIMEOUT_S = 90.0
VALUES_DATES_TEXTS_FORMULAS = 1 | 2 | 4 | 16  # com.sun.star.sheet.CellFlags

# LibreOffice's error numbers and the texts that its Excel export writes for them.
ERROR_TEXTS = {
    502: "#VALUE!",  # invalid argument
    503: "#NUM!",  # invalid floating point operation
    504: "#VALUE!",  # invalid parameter list
    519: "#VALUE!",  # no result
    521: "#NULL!",  # no code
    523: "#NUM!",  # iteration does not converge
    524: "#REF!",
    525: "#NAME?",
    532: "#DIV/0!",
    32767: "#N/A",
}


class Refused(Exception):
    """A write that LibreOffice ignored without an error."""


def main():
    soffice, pipe_name, workbook_url, *options = sys.argv[1:]
    office = subprocess.Popen(
        [soffice, *options, "--headless", "--norestore", "--nologo", f"--accept=pipe,name={pipe_name};urp;"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    desktop = None
    try:
        context = connect(pipe_name, office)
        desktop = create(context, "com.sun.star.frame.Desktop")
        document = load(desktop, workbook_url)
        answer({"result": []})
        serve(Book(document), create(context, "com.sun.star.sheet.FunctionDescriptions"))
        document.close(True)
    except Exception:
        answer({"error": traceback.format_exc()})
    finally:
        close_office(desktop, office)


def connect(pipe_name, office):
    """Wait until LibreOffice listens on the pipe and return its component context."""
    context = uno.getComponentContext()
    resolver = context.ServiceManager.createInstanceWithContext("com.sun.star.bridge.UnoUrlResolver", context)
    url = f"uno:pipe,name={pipe_name};urp;StarOffice.ComponentContext"
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            return resolver.resolve(url)
        except UnoException:
            if office.poll() not in (None, 0):
                raise RuntimeError(f"LibreOffice ended at start with exit status {office.returncode}") from None
            if time.monotonic() > deadline:
                raise RuntimeError(f"LibreOffice did not start within {START_TIMEOUT_S:.0f} s") from None
            time.sleep(0.05)


def create(context, service):
    return context.ServiceManager.createInstanceWithContext(service, context)


def load(desktop, url):
    hidden = PropertyValue(Name="Hidden", Value=True)
    document = desktop.loadComponentFromURL(url, "_blank", 0, (hidden,))
    if document is None:
        raise RuntimeError("LibreOffice could not open the workbook")
    # The file itself may be set to manual calculation.
    document.enableAutomaticCalculation(True)
    document.calculateAll()
    return document


def close_office(desktop, office):
    try:
        if desktop is not None:
            desktop.terminate()
        office.wait(timeout=10)
    except Exception:
        office.kill()


def serve(book, function_descriptions):
    actions = {
        "set": lambda request: book.write_all(request["cells"]),
        "get": lambda request: book.read_all(request["targets"]),
        "run": lambda request: [book.what_if(case, request["targets"]) for case in request["cases"]],
        "recalculate": lambda request: book.recalculation_s(),
        "functions": lambda request: [described(function_descriptions.getByName(name)) for name in request["names"]],
    }
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer({"result": actions[request["action"]](request) or []})
        except Refused as refusal:
            answer({"refused": str(refusal)})
        except Exception as failure:
            answer({"error": f"{type(failure).__name__}: {failure}"})


def answer(message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def described(properties):
    """Return a function's description and arguments as the function wizard shows them."""
    values = {each.Name: each.Value for each in properties}
    arguments = [[each.Name, each.Description, each.IsOptional] for each in values["Arguments"]]
    return {"description": values["Description"], "arguments": arguments}


class Book:
    """The open workbook. It caches cells, because a look-up takes as long as a read."""

    def __init__(self, document):
        self._document = document
        self._cells = {}
        self._locked = {}

    def write_all(self, writes):
        for sheet, address, content in writes:
            self._write(sheet, address, content)

    def read_all(self, targets):
        return [self._read_target(target) for target in targets]

    def what_if(self, writes, targets):
        """Write, read, and restore the former contents, so that cases do not influence each other."""
        before = []
        try:
            for sheet, address, content in writes:
                cell = self._cell(sheet, address)
                before.append((cell, contents_of(cell)))
                self._write(sheet, address, content)
            return self.read_all(targets)
        finally:
            for cell, contents in reversed(before):
                put(cell, contents)

    def recalculation_s(self):
        """Recalculate every formula and return the seconds that it takes."""
        start = time.perf_counter()
        self._document.calculateAll()
        return time.perf_counter() - start

    def _write(self, sheet, address, content):
        cell = self._cell(sheet, address)
        if self._is_locked(sheet, address):
            raise Refused(f"{sheet}!{address} is locked on a protected sheet")
        put(cell, content)
        if contents_of(cell) != content:
            raise Refused(f"{sheet}!{address} did not accept {content!r}")

    def _read_target(self, target):
        if isinstance(target, str):
            return self._read_name(target)
        return value_of(self._cell(*target))

    def _read_name(self, name):
        if name not in self._cells:
            self._cells[name] = self._cells_behind(name)
        rows = self._cells[name]
        if len(rows) == 1 and len(rows[0]) == 1:
            return value_of(rows[0][0])
        return [[value_of(cell) for cell in row] for row in rows]

    def _cells_behind(self, name):
        try:
            cells = self._document.NamedRanges.getByName(name).getReferredCells()
        except NoSuchElementException:
            raise LookupError(f"the workbook has no name {name!r}") from None
        if cells is None:
            raise LookupError(f"the name {name!r} does not refer to cells")
        width, height = cells.Columns.Count, cells.Rows.Count
        return [[cells.getCellByPosition(x, y) for x in range(width)] for y in range(height)]

    def _cell(self, sheet, address):
        key = (sheet, address)
        if key not in self._cells:
            try:
                area = self._document.Sheets.getByName(sheet).getCellRangeByName(address)
            except UnoException:
                raise LookupError(f"{sheet}!{address} is not a cell") from None
            if area.Columns.Count * area.Rows.Count != 1:
                raise LookupError(f"{sheet}!{address} is not one cell")
            self._cells[key] = area.getCellByPosition(0, 0)
        return self._cells[key]

    def _is_locked(self, sheet, address):
        # UNO ignores a write to a locked cell without an error.
        key = (sheet, address)
        if key not in self._locked:
            cell = self._cell(sheet, address)
            self._locked[key] = cell.Spreadsheet.isProtected() and cell.CellProtection.IsLocked
        return self._locked[key]


class Formula(str):
    """A cell's formula, as opposed to a text."""


def contents_of(cell):
    """Return what was typed into the cell: None, a float, a text, or a Formula."""
    kind = cell.Type
    if kind == EMPTY:
        return None
    if kind == TEXT:
        return cell.String
    if kind == FORMULA:
        return Formula(cell.Formula)
    return cell.Value


def put(cell, contents):
    if contents is None:
        cell.clearContents(VALUES_DATES_TEXTS_FORMULAS)
    elif isinstance(contents, Formula):
        cell.Formula = contents
    elif isinstance(contents, str):
        cell.String = contents
    else:
        cell.Value = contents


def value_of(cell):
    """Return the cell's result: None, a float, a text, or an error as Excel's text."""
    kind = cell.Type
    if kind != FORMULA:
        return contents_of(cell)
    error = cell.getError()
    if error:
        return ERROR_TEXTS.get(error, f"Err:{error}")
    if cell.FormulaResultType2 == TEXT_RESULT:
        return cell.String
    return cell.Value


if __name__ == "__main__":
    main()
