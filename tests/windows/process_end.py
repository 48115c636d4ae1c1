"""Waits for the end of processes: python -m tests.windows.process_end PID..."""

import sys

import pywintypes
import win32con
import win32event

import win32api

_LIMIT_MS = 20_000


def wait(process_id: int) -> None:
    """Return when the process has ended; TimeoutError when it lives on."""
    try:
        process = win32api.OpenProcess(win32con.SYNCHRONIZE, False, process_id)
    except pywintypes.error:
        return  # ended already: there is no such process
    if win32event.WaitForSingleObject(process, _LIMIT_MS) != win32con.WAIT_OBJECT_0:
        raise TimeoutError(f"process {process_id} still runs after {_LIMIT_MS / 1000:.0f} s")


for argument in sys.argv[1:]:
    wait(int(argument))
