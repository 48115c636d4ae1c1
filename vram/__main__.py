"""Run the command line: `python -m vram`."""

from vram.cli.main import main

main()
