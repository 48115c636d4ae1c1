"""The public Python API of the VRAM planner."""
