"""Renew the pictures of the documentation: pages of a planner and of a decision file, as LibreOffice prints them."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vram.cli.main import vram
from workbook.labels import Labels, all_keys
from workbook.pdf import write_pdf

DOCS = Path(__file__).parents[1] / "docs"
SCENARIOS = DOCS / "tutorial.csv"


@dataclass(frozen=True)
class Picture:
    """A page, or a part of it.

    Attributes:
        name: of the file in docs/.
        language: of the workbook.
        title: key of the text with which the page begins, or that text.
        dots_per_inch: of the picture.
        part: left, top, width and height in inches; None for the whole page.
    """

    name: str
    language: str
    title: str
    dots_per_inch: int
    part: tuple[float, float, float, float] | None = None


_SCREEN = (0.2, 0.25, 11.4, 5.95)
_ARTICLE = (0.0, 0.25, 11.69, 5.98)
PLANNER = (
    Picture("plan.png", "en", "plan.title", 130, _SCREEN),
    Picture("plan.zh.png", "zh", "plan.title", 130, _SCREEN),
    Picture("planner.png", "en", "article.title", 101, _ARTICLE),
    Picture("planner.zh.png", "zh", "article.title", 101, _ARTICLE),
    Picture("options.png", "en", "options.title", 110),
)
_FIRST_SCENARIO = "Assistant for 40 users"
DECISION = (Picture("decision.png", "en", _FIRST_SCENARIO, 110), Picture("decision.zh.png", "zh", _FIRST_SCENARIO, 110))


def main() -> None:
    """Write all pictures. Needs LibreOffice, pdftotext and pdftoppm (poppler)."""
    with tempfile.TemporaryDirectory(prefix="vram-pictures-") as folder:
        for language in ("en", "zh"):
            planner, decision = (Path(folder, f"{name}.{language}.xlsx") for name in ("planner", "decision"))
            _run("template", "-o", planner, "--lang", language)
            _write(planner, [one for one in PLANNER if one.language == language])
            _run("export", SCENARIOS, "-o", decision, "--lang", language)
            _write(decision, [one for one in DECISION if one.language == language])


def _run(*arguments: object) -> None:
    vram([str(argument) for argument in arguments], standalone_mode=False)


def _write(workbook: Path, pictures: Sequence[Picture]) -> None:
    pdf = write_pdf(workbook, tagged=False)
    pages = _output("pdftotext", "-layout", pdf, "-").split("\f")
    for picture in pictures:
        title = Labels(picture.language)(picture.title) if picture.title in all_keys() else picture.title
        number = page_of(pages, title)
        left, top, width, height = (round(inches * picture.dots_per_inch) for inches in picture.part or (0, 0, 0, 0))
        path = (DOCS / picture.name).with_suffix("")  # pdftoppm adds ".png"
        _output(
            "pdftoppm", "-png", "-singlefile", "-r", picture.dots_per_inch, "-f", number, "-l", number,
            "-x", left, "-y", top, "-W", width, "-H", height, pdf, path,
        )  # fmt: skip


def page_of(pages: Sequence[str], title: str) -> int:
    """Return the number of the first page that begins with a title.

    Raises:
        ValueError: no page does.
    """
    for number, page in enumerate(pages, start=1):
        if page.lstrip().startswith(title):
            return number
    raise ValueError(f"no page begins with {title!r}")


def _output(*command: object) -> str:
    done = subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True, encoding="utf-8")
    return done.stdout


if __name__ == "__main__":
    main()
