"""Run the command line: `python -m vram`, and the program `vram`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command; Ctrl-C ends it without a traceback, also while it is being imported."""
    try:
        from vram.cli.main import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)  # 128 and the number of the signal, as shells have it


if __name__ == "__main__":
    main()
