"""The cell functions' handling of spreadsheet cells: blanks, errors, ranges, and the ways to describe a model."""
