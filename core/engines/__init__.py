"""Compute how inference engines divide a GPU's memory: one module per engine, all with the same `Budget`."""
