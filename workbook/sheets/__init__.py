"""One module per sheet, each with a `write` function; `workbook.template` defines their order."""
