"""Carries the cell functions of `vram_udf` into spreadsheet programs. Uses `vram_udf` and `core`, never `workbook`."""
