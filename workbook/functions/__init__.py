"""The workbook's functions: named LAMBDAs over the sheets of the catalog, printed from the terms of `core.plan`."""
