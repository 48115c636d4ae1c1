"""The cell functions on the hosts that speak Office.js, xlwings Lite and xlwings Server: real ones, without Excel."""
