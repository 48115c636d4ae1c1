"""Which part may import which: read from the source, so that a door opened the wrong way fails here."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PARTS = ("core", "addin", "workbook", "vram_udf", "tests")

# Inside core, from the bottom up: a module imports from its own rank or from those below it, never from above.
CORE_RANKS = (
    ("core.errors", "core.texts", "core.units", "core.checks"),
    ("core.card",),
    ("core.tensors", "core.precision", "core.gpu"),
    ("core.quantization", "core.model_spec"),
    ("core.parameters",),
    # The readers and what comes of them make model specs, and know nothing of what is computed from these.
    ("core.readers",),
    ("core.model_rows", "core.own_model"),
    ("core.catalog",),
    ("core.prices",),
    ("core.kv_cache", "core.gguf_mix", "core.weights", "core.overhead"),
    ("core.parallelism",),
    ("core.engine_memory",),
    ("core.engines",),
    ("core.capacity",),
    ("core.nodes",),
    ("core.fleet",),
    ("core.sizing", "core.article", "core.costs", "core.allocation"),
    ("core.planning",),
    ("core.serving", "core.layout_costs"),
    ("core.model_card", "core.precision_card", "core.model_details", "core.model_files"),
    ("core.cells",),
)
MAKERS_OF_SPECS = ("core.readers", "core.model_rows", "core.own_model", "core.catalog")
MAKERS_MAY_USE = (
    "core.errors", "core.texts", "core.units", "core.checks", "core.tensors", "core.gpu", "core.precision",
    "core.quantization", "core.model_spec",
    "core.parameters",  # an encoder's layers are listed in the spec, tensor by tensor
    *MAKERS_OF_SPECS,
)  # fmt: skip

# The modules of addin that may use workbook, each with its reason.
ADDIN_MAY_USE_WORKBOOK: dict[str, str] = {
    "addin.cli": "writes files whole, as the workbook does",
    "addin.build": "edits the parts of an .xlsx",
    "addin.install": "writes files whole, as the workbook does",
}


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
    for height, members in enumerate(CORE_RANKS):
        if any(module == member or module.startswith(member + ".") for member in members):
            return height
    raise AssertionError(f"{module} has no place in CORE_RANKS: give it one")


def of(part: str) -> pytest.MarkDecorator:
    found = list(modules(part))
    assert found, part
    return pytest.mark.parametrize("module, file", found, ids=[name for name, _ in found])


@of("core")
def test_core_imports_the_standard_library_and_core_alone(module, file):
    assert outside(imports(module, file)) == set()
    assert tops(imports(module, file)) & set(PARTS) <= {"core"}


@of("core")
def test_core_imports_downwards(module, file):
    if module == "core":
        assert imports(module, file) == set()
        return
    above = {name for name in imports(module, file) if name.startswith("core.") and rank(name) > rank(module)}
    assert above == set()


def test_core_has_no_circle():
    graph = {name: {other for other in imports(name, file) if other != "core"} for name, file in modules("core")}
    while graph:
        free = [name for name, needed in graph.items() if not needed & set(graph)]
        assert free, f"these import one another in a circle: {sorted(graph)}"
        for name in free:
            del graph[name]


@of("core")
def test_catalog_and_readers_only_make_specs(module, file):
    if module.startswith(MAKERS_OF_SPECS):
        used = {name for name in imports(module, file) if name.startswith("core.")}
        assert {name for name in used if not name.startswith(MAKERS_MAY_USE)} == set()


@of("workbook")
def test_workbook_knows_core_but_neither_xlwings_nor_the_cell_functions(module, file):
    assert tops(imports(module, file)) & {"xlwings", "vram_udf", "tests"} == set()


@of("vram_udf")
def test_the_cell_functions_import_core_and_xlwings_alone(module, file):
    assert tops(imports(module, file)) - {"__future__"} == {"core", "xlwings"}


@of("addin")
def test_addin_does_not_use_workbook(module, file):
    uses_workbook = "workbook" in tops(imports(module, file))
    assert uses_workbook == (module in ADDIN_MAY_USE_WORKBOOK)
    assert "tests" not in tops(imports(module, file))


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
