"""Wait for processes to end: python -m tests.hosts.windows.process_end PID..."""

import sys

import pywintypes
import win32api
import win32con
import win32event

_LIMIT_MS = 20_000


def ends(process_id: int) -> bool:
    """Wait for the process to end; return False if it is still running after the time limit."""
    try:
        process = win32api.OpenProcess(win32con.SYNCHRONIZE, False, process_id)
    except pywintypes.error:
        return True  # the process has ended
    return win32event.WaitForSingleObject(process, _LIMIT_MS) == win32con.WAIT_OBJECT_0


if __name__ == "__main__":
    alive = [argument for argument in sys.argv[1:] if not ends(int(argument))]
    sys.exit(f"still running after {_LIMIT_MS / 1000:.0f} s: {alive}" if alive else 0)
