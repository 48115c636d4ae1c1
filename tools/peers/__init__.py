"""`make peers`: ask other calculators ("peers") on the package index, offline, for the same models.

`ask` runs in the peers' own interpreter, one process for each peer. Its answers are stored in answers.csv, so that
docs/accuracy.md can be written, and tested, where no peer is installed.
"""
