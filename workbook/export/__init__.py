"""Decision sheets: a printable page with live formulas for each scenario, and an index of them."""
