"""`make peers`: other calculators on the package index, asked offline for the same models; a benchmark, no dependency.

`ask` runs with the peers' own interpreter, one process a peer. Its answers are kept in answers.csv, so that the table
in docs/accuracy.md can be written, and tested, where no peer is installed.
"""
