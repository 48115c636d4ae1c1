"""Test that the cell functions open no connection, start no program and write no file, and load nothing that needs a key."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.paths import ROOT

# Calls every function with the first example of each argument, under an audit hook (PEP 578) that refuses the rest.
PROGRAM = """
import json, os, sys
from tests.test_wizard_examples import examples
import vram_udf
from addin.functions import declared_functions

refused = []
def refuse(event, arguments):
    writes = event == "open" and (set("wax+") & set(arguments[1] or "r") or (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR))
    if writes or event.split(".")[0] in ("socket", "subprocess") or event in ("os.system", "os.exec", "os.posix_spawn",
            "os.fork", "os.remove", "os.rename", "os.mkdir", "shutil.rmtree", "ctypes.dlopen"):
        refused.append(f"{event} {arguments}")
        raise PermissionError(event)
sys.addaudithook(refuse)
called = {}
for function in declared_functions():
    values = [examples(argument)[0] if examples(argument) else None for argument in function.arguments]
    called[function.name] = repr(getattr(vram_udf, function.name)(*values))
print(json.dumps({"refused": refused, "called": called, "modules": sorted(sys.modules)}))
"""


def test_cells_only_compute():
    command = [sys.executable, "-B", "-c", PROGRAM]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["refused"] == []
    assert len(found["called"]) > 15
    assert found["called"]["VRAM_TOTAL"] != found["called"]["VRAM_KV"]


def test_of_the_part_of_xlwings_with_another_licence_only_its_search_for_a_key_is_loaded():
    command = [sys.executable, "-c", "import sys, vram_udf; print(*sorted(m for m in sys.modules if '.pro' in m))"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert [name for name in done.stdout.split() if name.startswith("xlwings.pro")] == ["xlwings.pro.utils"]


def test_our_code_names_nothing_of_that_part():
    folders = ("core", "addin", "workbook", "vram", "tools")
    sources = [ROOT / "vram_udf.py", *(path for folder in folders for path in (ROOT / folder).rglob("*.py"))]
    assert len(sources) > 150
    named = [
        path
        for path in sources
        if any(name in path.read_text(encoding="utf-8") for name in ("xlwings.pro", "xlwings/pro"))
    ]
    assert named == []
