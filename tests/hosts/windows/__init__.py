"""The real Windows stack: xlwings' own DLL, pywin32 and COM server, called by a client that plays Excel.

On Windows it runs as it is, elsewhere under Wine. `stack` starts it from a test; `client` and what it imports run on
the Windows side, so those modules need Windows, real or Wine's.
"""
