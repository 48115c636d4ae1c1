"""Tests of the cell functions on real hosts for Office.js, xlwings Lite and xlwings Server, without Excel."""
