"""Import `xlwings.udfs`, which implements xlwings' functions for Excel on Windows, on any operating system.

Without pywin32, placeholders replace the modules that `xlwings.udfs` imports. They suffice to declare functions and
generate their VBA, not to call them. Placeholders and changed decorators stay for the rest of the process.
"""

from __future__ import annotations

import importlib
import io
import sys
import types


def imported() -> types.ModuleType:
    """Return `xlwings.udfs`, and make xlwings' decorators declare functions as they do on Windows."""
    if sys.platform != "win32":
        add_module("pythoncom", CoInitialize=None)
        add_module("pywintypes", com_error=OSError)
        add_module("win32com")
        add_module("win32com.client", Dispatch=None)
    udfs = importlib.import_module("xlwings.udfs")
    decorate_for_windows(udfs)
    return udfs


def add_module(name: str, **contents: object) -> None:
    """Add a module with `contents`, so that `import name` finds it."""
    module = types.ModuleType(name)
    vars(module).update(contents)
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)


def decorate_for_windows(udfs: types.ModuleType) -> None:
    """Use the decorators that `import xlwings` sets only on Windows; elsewhere they do nothing."""
    import xlwings

    xlwings.func, xlwings.arg, xlwings.ret = udfs.xlfunc, udfs.xlarg, udfs.xlret
    xlwings.script = xlwings.sub = udfs.xlsub


def generated_wrapper(module_name: str) -> str:
    """Return the VBA that xlwings' generator writes for a module's functions; has the side effects of `imported`."""
    udfs = imported()
    # If the parent's main script, which a new process runs first, imported the module, its functions are not declared.
    sys.modules.pop(module_name, None)
    text = io.StringIO()
    # With any name but *.xlam, calls pass ThisWorkbook. xlwings would search the active workbook for sheets with Python
    # code, and a user's sheet named *.py would make all functions fail.
    workbook = types.SimpleNamespace(Name="vram.xlsm")
    udfs.generate_vba_wrapper(module_name, importlib.import_module(module_name), text, workbook)
    return text.getvalue()
