"""Audits any .xlsx or .xlsm: is it safe to open, can its numbers be relied on, does it keep to the house style?

`opening` lets no hostile file through, `subject` gathers what the checks look at, and each check of `safety`,
`integrity`, `house` and `looks` gives the places where it fails. `run.audit` runs them.
"""
