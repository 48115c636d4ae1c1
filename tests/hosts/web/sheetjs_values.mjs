// Prints all cells of a workbook as SheetJS reads them: {"sheet": {"B2": value}}; an error is its text.
import { readFileSync } from "node:fs";
import XLSX from "xlsx";

const book = XLSX.read(readFileSync(process.argv[2]), { cellFormula: false });
const sheets = {};
for (const name of book.SheetNames) {
  const cells = (sheets[name] = {});
  for (const [address, cell] of Object.entries(book.Sheets[name])) {
    if (address.startsWith("!")) continue;
    cells[address] = cell.t === "e" ? cell.w : cell.v;
  }
}
process.stdout.write(JSON.stringify(sheets));
