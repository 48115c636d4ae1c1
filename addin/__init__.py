"""Package the cell functions of `vram_udf` for spreadsheet programs, and install them in Excel.

Imports `vram_udf`, `core`, and of `workbook` only `files` and `package`, which do not depend on its sheets.
"""
