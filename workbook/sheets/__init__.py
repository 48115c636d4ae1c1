"""One module a sheet, each with `write(book)`. `workbook.template` has their order."""
