"""Which part may import which: read from the source, so that a door opened the wrong way fails here."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.paths import ROOT

PARTS = ("core", "vram_udf", "workbook", "addin", "vram", "tools", "benchmarks", "tests")

# Part → the other parts that it may import; a part that is not named in a row must not appear there.
MAY_IMPORT: dict[str, set[str]] = {
    "core": set(),
    "vram_udf": {"core"},
    "workbook": {"core"},
    "addin": {"core", "vram_udf", "workbook"},
    "vram": {"core", "vram_udf", "workbook", "addin"},
    "tools": {"core", "vram_udf", "workbook", "addin", "vram"},
    "benchmarks": {"core", "vram_udf", "workbook", "addin", "vram", "tools"},
}

# Inside core, from the bottom up: a module imports from its own package or from those below it, never from above.
CORE_PACKAGES = (
    ("core.errors", "core.texts", "core.units", "core.checks"),
    ("core.model",),
    ("core.readers", "core.engines"),
    ("core.catalog",),
    ("core.plan",),
    ("core.cells",),
)


def modules(part: str) -> Iterator[tuple[str, Path]]:
    """(name, file) of every module of a package or a single module."""
    single = ROOT / f"{part}.py"
    for file in [single] if single.exists() else sorted((ROOT / part).rglob("*.py")):
        name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        yield name.removesuffix(".__init__"), file


def imports(module: str, file: Path) -> set[str]:
    """Every module that `file` imports, wherever in it; "from core import catalog" imports core.catalog."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively, which this test does not follow"
            within = [f"{node.module}.{alias.name}" for alias in node.names]
            submodules = [name for name in within if is_module(name)]
            found |= set(submodules) if len(submodules) == len(within) else {node.module, *submodules}
    return found


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").exists()


def tops(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def outside(names: set[str]) -> set[str]:
    """What is neither of this project nor of the standard library."""
    return tops(names) - set(PARTS) - sys.stdlib_module_names


def rank(module: str) -> int:
    for height, packages in enumerate(CORE_PACKAGES):
        if any(module == package or module.startswith(package + ".") for package in packages):
            return height
    raise AssertionError(f"{module} is in no package of CORE_PACKAGES: add it there")


def package(module: str) -> str:
    """The package below core that a module belongs to: core.model.spec → core.model."""
    return ".".join(module.split(".")[:2])


def of(part: str) -> pytest.MarkDecorator:
    found = list(modules(part))
    assert found, part
    return pytest.mark.parametrize("module, file", found, ids=[name for name, _ in found])


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_parts_import_one_way(part):
    for module, file in modules(part):
        imported = tops(imports(module, file)) & set(PARTS) - {part}
        assert imported <= MAY_IMPORT[part], module


@of("core")
def test_core_imports_the_standard_library_and_core_alone(module, file):
    assert outside(imports(module, file)) == set()


@of("core")
def test_core_imports_downwards(module, file):
    if module == "core":
        assert imports(module, file) == set()
        return
    for name in imports(module, file):
        if name.startswith("core."):
            assert package(name) == package(module) or rank(name) < rank(module) or rank(name) == 0, name


def test_core_has_no_circle():
    graph = {name: {other for other in imports(name, file) if other != "core"} for name, file in modules("core")}
    while graph:
        free = [name for name, needed in graph.items() if not needed & set(graph)]
        assert free, f"these import one another in a circle: {sorted(graph)}"
        for name in free:
            del graph[name]


@of("vram_udf")
def test_the_cell_functions_import_core_and_xlwings_alone(module, file):
    assert tops(imports(module, file)) - {"__future__"} == {"core", "xlwings"}


@of("workbook")
def test_workbook_needs_neither_xlwings_nor_a_command_line(module, file):
    assert outside(imports(module, file)) & {"xlwings", "click", "rich"} == set()


def test_the_imports_are_read_right(tmp_path):
    source = tmp_path / "example.py"
    source.write_text(
        "import os.path, xlwings as xw\n"
        "from core import catalog, __version__\n"
        "from core.units import GB\n"
        "def late():\n"
        "    from workbook import labels\n",
        encoding="utf-8",
    )
    assert imports("example", source) == {"os.path", "xlwings", "core", "core.catalog", "core.units", "workbook.labels"}
    assert outside(imports("example", source)) == {"xlwings"}
