"""The planner workbook: openpyxl writes it and every number in it is a live formula. Never imports xlwings."""
