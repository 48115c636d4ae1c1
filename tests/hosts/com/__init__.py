"""Tests of xlwings' code for Excel on Windows, run on other systems with stand-ins for pywin32 and Excel."""
