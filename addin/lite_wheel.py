"""Build a wheel with the cell functions for xlwings Lite and xlwings Server, which install Python packages.

The wheel contains `vram_udf`, `core` and its data, and no dependencies: both hosts include xlwings, and xlwings Lite
runs in WebAssembly, for which most compiled packages are not available.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import core
import vram_udf

# The line that main.py of the workbook (xlwings Lite) or custom_functions/__init__.py (xlwings Server) must contain.
REGISTER = "from vram_udf import *"

_README = f"""\
Excel cell functions that say how much GPU memory a language model needs, how fast it answers, how many GPUs that takes
and what they cost. For [xlwings Lite](https://lite.xlwings.org) and xlwings Server, which run Python behind Excel on a
Mac, on the web and on Windows. Pure Python, no dependencies, no network.

In xlwings Lite, write `vram-functions` into `requirements.txt` and this line into `main.py`:

    {REGISTER}

Then `=VRAM_TOTAL("llama-3.1-70b", 32768, 10)` in a cell is 273.33 (GB).
"""

_PROJECT = {
    "project": {
        "name": "vram-functions",
        "version": core.__version__,
        "description": "Excel cell functions: how much GPU memory a language model needs",
        "license": "Apache-2.0",
        "requires-python": ">=3.10",
        "readme": {"content-type": "text/markdown", "text": _README},
        "keywords": ["excel", "xlwings", "llm", "gpu", "vram"],
        "classifiers": [
            "Intended Audience :: Information Technology",
            "Operating System :: OS Independent",
            "Programming Language :: Python :: 3",
            "Topic :: Office/Business :: Financial :: Spreadsheet",
        ],
    },
    "tool": {
        "hatch": {
            "build": {
                "targets": {
                    "wheel": {
                        "core-metadata-version": "2.4",  # not the newest, because the host's installer may be old
                        "force-include": {vram_udf.__file__: "vram_udf.py", str(Path(core.__file__).parent): "core"},
                    }
                }
            }
        }
    },
}


def build_wheel() -> tuple[str, bytes]:
    """Return the wheel's file name and content; the same sources always give the same bytes."""
    from hatchling.builders.wheel import WheelBuilder  # imported here because no other command needs it

    with tempfile.TemporaryDirectory(prefix="vram-wheel-") as folder:
        (path,) = WheelBuilder(folder, config=_PROJECT).build(directory=folder, versions=["standard"])
        return Path(path).name, Path(path).read_bytes()
