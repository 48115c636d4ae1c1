// Runs xlwings Lite without Excel: Pyodide, xlwings and the wheel of the cell functions, started like in the add-in
// (xlwings-server, static/js/wasm.js). Reads a JSON job from standard input, writes a JSON report to standard output.
import { readFileSync } from "node:fs";
import { loadPyodide } from "pyodide";

// Node.js would print the whole line of minified JavaScript that raised the error.
process.on("uncaughtException", (error) => {
  console.error(error.stack);
  process.exit(1);
});

const job = JSON.parse(readFileSync(0, "utf8"));
const pyodide = await loadPyodide({ env: { HOME: "/home/pyodide", ...job.env }, stdout: console.error });

pyodide.unpackArchive(new Uint8Array(readFileSync(job.micropip)), "wheel");
const micropip = pyodide.pyimport("micropip");
await micropip.install(job.requirements);

pyodide.FS.writeFile("config.py", job.config);
for (const [name, source] of Object.entries({ custom_functions: job.main, custom_scripts: "" })) {
  pyodide.FS.mkdirTree(name);
  pyodide.FS.writeFile(`${name}/__init__.py`, source);
}
await pyodide.runPythonAsync(job.runtime);

const custom_functions_call = pyodide.globals.get("custom_functions_call");
const answers = [];
for (const call of job.calls) answers.push(await custom_functions_call(call));
process.stdout.write(
  JSON.stringify({
    python: pyodide.runPython("import platform; platform.python_version() + ' on ' + platform.machine()"),
    metadata: pyodide.globals.get("custom_functions_meta")(job.main),
    code: pyodide.globals.get("custom_functions_code")(job.main),
    answers,
  }),
);
