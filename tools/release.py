"""Build the files of a release: python -m tools.release dist --add FILE …

`make release` calls it, after building what needs other environments: the planner's wheel and the software bill of
materials. The same sources and versions always give the same bytes. Workbooks that fail `vram audit` are not released.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import click

import core
from addin.build import addin_file, workbook_with_functions
from addin.install import ADDIN_NAME
from addin.libreoffice import extension
from addin.lite_wheel import build_wheel
from addin.vba_project import functions_source
from addin.wrapper import excel_functions
from workbook import functions_book
from workbook.audit.run import audit
from workbook.files import write_whole
from workbook.labels import LANGUAGES
from workbook.template import build

SUMS = "SHA256SUMS"
_WORKBOOKS = (".xlsx", ".xlsm")

Files = dict[str, bytes]


def planners() -> Iterator[tuple[str, bytes]]:
    """Yield the planner in each language, without and with the functions inside."""
    for lang in LANGUAGES:
        planner = build(lang)[0]
        yield f"vram_planner_{lang}.xlsx", planner
        yield f"vram_planner_{lang}.xlsm", workbook_with_functions(planner)


def functions_workbooks() -> Iterator[tuple[str, bytes]]:
    """Yield the workbook of functions that need no add-in, in each language."""
    for lang in LANGUAGES:
        yield f"vram_functions_{lang}.xlsx", functions_book.build(lang)


def programs() -> Iterator[tuple[str, bytes]]:
    """Yield what brings the functions into each spreadsheet program."""
    yield ADDIN_NAME, addin_file()
    yield "vram_functions.bas", functions_source().encode("ascii")
    yield "vram.oxt", extension()
    yield build_wheel()


def notice() -> Iterator[tuple[str, bytes]]:
    """Yield the notice that the licence of xlwings requires."""
    files = importlib.metadata.files("xlwings") or []
    (licence,) = (file for file in files if file.name == "LICENSE.txt")  # LICENSE_PRO.txt is not for what we use
    text = Path(str(licence.locate())).read_text(encoding="utf-8")
    heading = "vram.xlam, the .xlsm planners and vram_functions.bas contain parts of xlwings:\n\n"
    yield "NOTICE.txt", (heading + text.strip() + "\n").encode()


# What is built here; a further file of a release is a further line.
BUILDERS: tuple[Callable[[], Iterator[tuple[str, bytes]]], ...] = (planners, functions_workbooks, programs, notice)


def release_files() -> Files:
    """Return the name and content of every file that is built here.

    Raises:
        RuntimeError: a workbook fails the audit.
    """
    files = {name: content for builder in BUILDERS for name, content in builder()}
    for name, content in files.items():
        if name.endswith(_WORKBOOKS):
            _check(name, content)
    return files


def bill_of_materials(content: bytes) -> bytes:
    """Return the bill of materials with our version, which cyclonedx-py does not find in pyproject.toml."""
    bill = json.loads(content)
    bill["metadata"]["component"]["version"] = core.__version__
    return (json.dumps(bill, indent=2, ensure_ascii=False) + "\n").encode()


def _added(path: Path) -> bytes:
    content = path.read_bytes()
    return bill_of_materials(content) if path.name.endswith(".cdx.json") else content


def sums(files: Files) -> bytes:
    """Return the hashes in the format of `sha256sum`."""
    lines = (f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in sorted(files.items()))
    return "".join(lines).encode()


def _check(name: str, content: bytes) -> None:
    functions = [function.name for function in excel_functions()]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(content)
        results = audit(path, add_in_functions=functions).results
    failed = [result for result in results if not result.passed]
    if failed:
        faults = "; ".join(f"{result.check.claim}: {result.faults[0]}" for result in failed)
        raise RuntimeError(f"{name} fails the audit: {faults}")


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--add", "added", multiple=True, type=click.Path(exists=True, path_type=Path), help="A file to add.")
def main(folder: Path, added: tuple[Path, ...]) -> None:
    """Write the files of a release and their hashes into FOLDER."""
    files = release_files() | {path.name: _added(path) for path in added}
    for name, content in {**files, SUMS: sums(files)}.items():
        write_whole(folder / name, content)
        click.echo(f"Wrote {folder / name}")


if __name__ == "__main__":
    main()
