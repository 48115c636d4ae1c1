"""The planner workbook: openpyxl writes it, every number in it is a live native formula. Never imports xlwings."""
