"""The command line that starts the Python server, as XLPyCommand in xlwings.bas writes it."""

from __future__ import annotations

# The literals of XLPyCommand; between them it puts what depends on the settings.
SHELL = "cmd.exe "
IMPORTS = ' -B -c "import sys, os;'
SEARCH_PATH = 'import xlwings.utils;xlwings.utils.prepare_sys_path(\\"'
SERVE = "\\\");import xlwings; xlwings.serve('$(CLSID)')\""


def server_command(python: str, add_in: str, python_path: tuple[str, ...]) -> str:
    """XLPyCommand with the settings INTERPRETER_WIN = `python`, PYTHONPATH and ADD_WORKBOOK_TO_PYTHONPATH = false."""
    one_drive_consumer = one_drive_commercial = share_point = ""
    search_path = ";".join(
        ["false", add_in, add_in, one_drive_consumer, one_drive_commercial, share_point, *python_path]
    )
    search_path = search_path.replace("\\", "\\\\").replace("'", "\\'").replace("&", "^&")
    return f'{SHELL} /K ""{python}"{IMPORTS}{SEARCH_PATH}{search_path}{SERVE}"'
