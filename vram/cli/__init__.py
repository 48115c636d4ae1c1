"""The command line: `vram`, one module per command."""
