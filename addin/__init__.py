"""Carries the cell functions of `vram_udf` into spreadsheet programs. Uses `vram_udf` and `core`; of `workbook` only
`workbook.files`, to write files whole.
"""
