"""Write a file of pinned versions with the checksums of all their files, with uv: `python -m tools.hashes FILE …`.

The versions are those of constraints.txt, for every supported Python and system.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

_FIRST_LINE = (
    "# Every version that is installed, with the checksums of its files. Made by: make hashes. "
    "pip refuses any other file.\n"
)


def main(file: str, *extras: str) -> None:
    """Write `file` for the dependencies of the planner, of the extras, and of its build."""
    # tomllib is of Python 3.11.
    project = Path("pyproject.toml").read_text(encoding="utf-8")
    oldest = re.search(r'^requires-python = ">=(.*)"', project, re.MULTILINE)
    needed = re.search(r"^requires = \[(.*)\]", project, re.MULTILINE)
    if oldest is None or needed is None:
        sys.exit("pyproject.toml: requires-python or the requirements of its build are missing.")
    with tempfile.TemporaryDirectory() as folder:
        build = Path(folder, "build.in")
        build.write_text("\n".join(re.findall(r'"(.*?)"', needed[1])), encoding="utf-8")
        done = subprocess.run(
            [
                "uv", "pip", "compile", "--quiet", "--universal", "--generate-hashes", "--no-header", "--no-annotate",
                "--no-emit-index-url", "--python-version", oldest[1], "--constraints", "constraints.txt", *extras,
                "pyproject.toml", str(build),
            ],
            check=True, stdout=subprocess.PIPE, encoding="utf-8",
        )  # fmt: skip
    Path(file).write_text(_FIRST_LINE + done.stdout, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
