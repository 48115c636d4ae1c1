"""xlwings' classic Windows path, run for real on other systems by standing in for pywin32 and Excel."""
