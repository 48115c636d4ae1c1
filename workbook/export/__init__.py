"""Write decision sheets: one printable page with live formulas per scenario, and an index of the pages."""
