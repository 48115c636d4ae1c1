"""Audit any .xlsx or .xlsm: is it safe to open, are its numbers reliable, does it follow the house style?

`opening` refuses hostile files, `subject` reads the workbook, and the checks in `safety`, `integrity`, `regions`,
`house` and `looks` return the places where they fail. `run.audit` runs them.
"""
