"""What stands in spreadsheet cells: blanks, errors, arrays, and the many ways to write a model."""
