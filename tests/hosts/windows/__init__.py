"""Tests of the real Windows stack: a client in the role of Excel calls xlwings' DLL, pywin32 and xlwings' COM server.

Runs on Windows, elsewhere under Wine. `stack` starts it from a test; `client` and the modules that it imports run on
the Windows side.
"""
