"""`xlwings.udfs`, the code behind xlwings' functions in Windows Excel, imported on any system.

Where pywin32 is missing, the three modules that `xlwings.udfs` needs to be imported are filled in: enough to declare
functions and to write their VBA, not to call them. This, like the decorators, holds for the rest of the process.
"""

from __future__ import annotations

import importlib
import io
import sys
import types


def imported() -> types.ModuleType:
    """`xlwings.udfs`, with xlwings' decorators declaring functions as they do in Windows Excel."""
    if sys.platform != "win32":
        add_module("pythoncom", CoInitialize=None)
        add_module("pywintypes", com_error=OSError)
        add_module("win32com")
        add_module("win32com.client", Dispatch=None)
    udfs = importlib.import_module("xlwings.udfs")
    decorate_for_windows(udfs)
    return udfs


def add_module(name: str, **contents: object) -> None:
    """Puts a module with `contents` where `import name` finds it."""
    module = types.ModuleType(name)
    vars(module).update(contents)
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)


def decorate_for_windows(udfs: types.ModuleType) -> None:
    """What `import xlwings` does on Windows: elsewhere its decorators do nothing."""
    import xlwings

    xlwings.func, xlwings.arg, xlwings.ret = udfs.xlfunc, udfs.xlarg, udfs.xlret
    xlwings.script = xlwings.sub = udfs.xlsub


def generated_wrapper(module_name: str) -> str:
    """The VBA that xlwings' own generator writes for a module's functions; see `imported` for what else it does."""
    udfs = imported()
    # Imported before, its functions are not declared: a new process begins by repeating its parent's main script.
    sys.modules.pop(module_name, None)
    text = io.StringIO()
    # The name decides which workbook the calls pass on: any but *.xlam gives ThisWorkbook. The active workbook would
    # be searched for sheets with Python code, and a user's sheet named *.py would stop every function.
    workbook = types.SimpleNamespace(Name="vram.xlsm")
    udfs.generate_vba_wrapper(module_name, importlib.import_module(module_name), text, workbook)
    return text.getvalue()
