"""The licences of everything that is installed with this project: `make licences` writes docs/licences.md.

`--check`, part of `make lint`, fails where a package is installed that is not in that file as it is now, or whose
licence does not go with what it is installed for.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = "vram-planner"
FILE = Path(__file__).resolve().parents[1] / "docs" / "licences.md"

# Installed by whoever uses the planner; the others are for its developers alone.
SHIPPED = ("", "hub")
EXTRAS = (*SHIPPED, "test", "lint", "coverage")

# Where the metadata are silent: read in the package's licence file.
STATED_OTHERWISE = {"aiocache": "BSD-3-Clause"}

# A word of a licence that may not be shipped with an Apache-2.0 program: gnu.org/licenses/license-list.html says that
# GPL-2.0 contradicts it and that GPL-3.0 would spread to the whole.
_COPYLEFT = re.compile(r"(?<!L)\bA?GPL|Affero|(?<!Lesser )General Public|PolyForm|Proprietary|UNKNOWN", re.IGNORECASE)
_CLASSIFIER = "License :: OSI Approved :: "


@dataclass(frozen=True, order=True)
class Package:
    """An installed package."""

    name: str
    licence: str
    shipped: bool

    @property
    def is_allowed(self) -> bool:
        """Whether its licence goes with what it is installed for: for tests anything that may be run does."""
        return self.licence != "UNKNOWN" and not (self.shipped and _COPYLEFT.search(self.licence))


def packages() -> list[Package]:
    """Everything that is installed for the project in this environment, itself left out."""
    shipped, every = (set(_required(PROJECT, extras)) for extras in (SHIPPED, EXTRAS))
    return sorted(Package(name, licence_of(distribution(name)), name in shipped) for name in every - {PROJECT})


def _required(name: str, extras: tuple[str, ...], seen: set[tuple[str, str]] | None = None) -> Iterator[str]:
    """The package and all that it requires where it is installed."""
    seen = set() if seen is None else seen
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return  # an extra, or another system's
    yield canonicalize_name(name)
    for extra in extras or ("",):
        if (canonicalize_name(name), extra) in seen:
            continue
        seen.add((canonicalize_name(name), extra))
        for text in found.requires or ():
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                yield from _required(needed.name, ("", *sorted(needed.extras)), seen)


def licence_of(package: Distribution) -> str:
    """The licence as the package states it: an SPDX expression, else a classifier, else the first line of its text."""
    name = canonicalize_name(package.metadata["Name"])
    if name in STATED_OTHERWISE:
        return STATED_OTHERWISE[name]
    said = package.metadata.get_all("License-Expression") or [
        line.removeprefix(_CLASSIFIER)
        for line in package.metadata.get_all("Classifier") or ()
        if line.startswith(_CLASSIFIER)
    ]
    text = (package.metadata["License"] or "").strip().splitlines() if "License" in package.metadata else []
    return " OR ".join(sorted(said)) or (text[0] if text else "") or "UNKNOWN"


def page(found: list[Package]) -> str:
    """docs/licences.md."""
    lines = [
        "# Licences of what is installed",
        "",
        "Written by `make licences`, checked by `make lint`. The planner is Apache-2.0; nothing of these packages is",
        "part of it. xlwings-server is under the PolyForm Noncommercial licence: only the tests install it, and",
        "whoever deploys it commercially needs a licence of xlwings. What `make peers`, `make fuzz` and",
        "`make mutation` install besides stands in pyproject.toml.",
        "On Windows pywin32 (PSF) and colorama (BSD) come too.",
    ]
    for shipped, heading in ((True, "For users"), (False, "For tests and checks alone")):
        rows = [f"| {package.name} | {package.licence} |" for package in found if package.shipped == shipped]
        lines += ["", f"## {heading}", "", "| package | licence |", "|---|---|", *rows]
    return "\n".join(lines) + "\n"


def problems(found: list[Package], written: str) -> list[str]:
    """What is wrong with the licences of `found`, or not in the file; other systems' packages may stand there too."""
    rows = set(written.splitlines())
    return [
        *(f"{package.name}: {package.licence} may not be shipped" for package in found if not package.is_allowed),
        *(
            f"{package.name}: {package.licence} does not stand in {FILE.name}: run `make licences`"
            for package in found
            if f"| {package.name} | {package.licence} |" not in rows
        ),
    ]


def main() -> None:
    """Writes the file, or with --check says what is wrong with it."""
    found = packages()
    if "--check" not in sys.argv[1:]:
        FILE.write_text(page(found), encoding="utf-8")
    wrong = problems(found, FILE.read_text(encoding="utf-8"))
    print("\n".join(wrong) or f"{len(found)} packages, every licence is listed and fits")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
