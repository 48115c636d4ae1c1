"""What is run by hand on this repository: `make accuracy`, `make measure`."""
