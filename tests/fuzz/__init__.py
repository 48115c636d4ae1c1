"""Campaigns against the code that meets other people's data; each runs alone, and all by `make fuzz`."""
