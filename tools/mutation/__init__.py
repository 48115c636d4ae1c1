"""Mutation testing of `core/`."""
