"""Carries the cell functions of `vram_udf` into spreadsheet programs.

Uses `vram_udf` and `core`; of `workbook` only `files` and `package`, which know nothing of sheets.
"""
