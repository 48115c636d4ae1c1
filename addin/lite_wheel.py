"""The cell functions as one wheel, for the hosts that install Python packages: xlwings Lite and xlwings Server.

The wheel holds `vram_udf`, `core` and its data, and asks for no other package: both hosts bring xlwings themselves, and
xlwings Lite runs in WebAssembly, where most compiled packages cannot be had.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import core
import vram_udf

# What the workbook's main.py (xlwings Lite) or the project's custom_functions/__init__.py (xlwings Server) has to say.
REGISTER = "from vram_udf import *"

_PROJECT = {
    "project": {
        "name": "vram-functions",
        "version": core.__version__,
        "description": "Excel cell functions: how much GPU memory a language model needs",
        "license": "Apache-2.0",
        "requires-python": ">=3.10",
    },
    "tool": {
        "hatch": {
            "build": {
                "targets": {
                    "wheel": {
                        "core-metadata-version": "2.4",  # not the newest: the host's installer may be older than ours
                        "force-include": {
                            vram_udf.__file__: "vram_udf.py",
                            str(Path(core.__file__).parent): "core",
                        },
                    }
                }
            }
        }
    },
}


def build_wheel() -> tuple[str, bytes]:
    """The wheel's file name and content: the same bytes whenever and wherever it is built from the same sources."""
    from hatchling.builders.wheel import WheelBuilder  # here: nothing else on the command line needs it

    with tempfile.TemporaryDirectory(prefix="vram-wheel-") as folder:
        (path,) = WheelBuilder(folder, config=_PROJECT).build(directory=folder, versions=["standard"])
        return Path(path).name, Path(path).read_bytes()
