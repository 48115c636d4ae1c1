"""How inference engines divide a GPU's memory: one module an engine, each answering with the same `Budget`."""
