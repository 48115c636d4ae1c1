"""The Python process that computes the functions: the code that it runs, and the command with which Excel starts it.

The code needs nothing from the workbook, so that its folder decides nothing. `-I` keeps the current folder, which is
Excel's, and the variables `PYTHON…` out of the module search path (Python's documentation, "Command line and
environment"); `chdir` keeps the current folder out of Windows' search for DLLs.
"""

from __future__ import annotations

OPTIONS = ("-I", "-B")

# xlwings' DLL puts a new class id in its place, under which it then finds the server's object.
NEW_CLASS = "$(CLSID)"

# The class id of the server of `vram addin serve`. Not the one of xlwings' own server for debugging, which another
# project may be running.
SERVED_CLASS = "{8f0d3c1e-6a57-4d0b-9b2e-4f1c7a5d2e90}"


def code(class_id: str) -> str:
    """Return the Python code of a server under `class_id`; it has no double quotes, which a command line would need."""
    return f"import os, sys; os.chdir(sys.prefix); import xlwings; xlwings.serve('{class_id}')"


def command_line(interpreter: str) -> str:
    """Return the command with which the add-in starts the Python at the path `interpreter`."""
    return f'"{interpreter}" {" ".join(OPTIONS)} -c "{code(NEW_CLASS)}"'
