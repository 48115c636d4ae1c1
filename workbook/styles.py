"""Define the named cell styles, one for each role of a cell. No meaning depends on colour alone."""

from __future__ import annotations

from openpyxl import Workbook
from openpyxl.styles import Alignment, Border, Font, NamedStyle, PatternFill, Protection, Side

# Windows and macOS both have these fonts; the Chinese one comes with Office.
FONT_NAMES = {"en": "Arial", "zh": "Microsoft YaHei"}

INK, INPUT_BLUE, LINK_GREEN, WHITE, NOTE_GREY = "1A1A1A", "0000FF", "00612E", "FFFFFF", "4D4D4D"
HEADING_FILL, SECTION_FILL, INPUT_FILL, TOTAL_FILL = "1F3864", "D9E2F3", "FFF8DC", "EDEDED"

# Weights, KV cache, overhead: also distinct when printed without colour.
PART_COLOURS = ("1F3864", "2E75B6", "9DC3E6")

_THIN = Side(style="thin", color="BFBFBF")
_BOX = Border(left=_THIN, right=_THIN, top=_THIN, bottom=_THIN)

TITLE, SUBTITLE, NOTE, SECTION, HEADING = "title", "subtitle", "note", "section", "heading"
LABEL, INPUT, INPUT_TEXT, SOURCE_FIGURE, FORMULA, FORMULA_TEXT, LINK, LINK_TEXT, TOTAL, ANSWER, CHECK, STATEMENT = (
    "label", "input", "input_text", "source_figure", "formula", "formula_text", "link", "link_text", "total", "answer",
    "check", "statement",
)  # fmt: skip


def register(workbook: Workbook, lang: str) -> None:
    """Add the named styles to `workbook`, in the font of `lang`."""
    for style in named_styles(lang):
        workbook.add_named_style(style)


def style_name(role: str) -> str:
    """Return the name of the style of `role` in Excel's style gallery."""
    return f"VRAM {role.replace('_', ' ')}"


def fill(colour: str) -> PatternFill:
    return PatternFill("solid", start_color=colour, end_color=colour)


def named_styles(lang: str) -> list[NamedStyle]:
    """Return the style of every role, in the font of `lang`."""
    font_name = FONT_NAMES[lang]

    def style(role: str, *, size: int = 10, bold: bool = False, italic: bool = False, colour: str = INK,
              background: str | None = None, boxed: bool = False, wrap: bool = False, horizontal: str | None = None,
              vertical: str = "center", indent: int = 0, locked: bool = True) -> NamedStyle:  # fmt: skip
        named = NamedStyle(name=style_name(role))
        named.font = Font(name=font_name, size=size, bold=bold, italic=italic, color=colour)
        named.alignment = Alignment(wrap_text=wrap, vertical=vertical, horizontal=horizontal, indent=indent)
        named.protection = Protection(locked=locked)
        if background:
            named.fill = fill(background)
        if boxed:
            named.border = _BOX
        return named

    return [
        style(TITLE, size=18, bold=True, colour=HEADING_FILL),
        style(SUBTITLE, size=11, colour=NOTE_GREY),
        style(NOTE, size=9, colour=NOTE_GREY, wrap=True, boxed=True, horizontal="left", indent=1),
        style(SECTION, size=11, bold=True, background=SECTION_FILL, horizontal="left", indent=1),
        style(HEADING, bold=True, colour=WHITE, background=HEADING_FILL, boxed=True, wrap=True, horizontal="center"),
        style(LABEL, boxed=True, wrap=True, horizontal="left", indent=1),
        style(INPUT, colour=INPUT_BLUE, background=INPUT_FILL, boxed=True, locked=False),
        style(
            INPUT_TEXT, colour=INPUT_BLUE, background=INPUT_FILL, boxed=True, locked=False, horizontal="left", indent=1
        ),
        style(FORMULA_TEXT, boxed=True, wrap=True, horizontal="left", indent=1),
        style(SOURCE_FIGURE, boxed=True, italic=True, horizontal="right"),
        style(FORMULA, boxed=True, horizontal="right"),
        style(LINK, boxed=True, colour=LINK_GREEN),
        style(LINK_TEXT, boxed=True, colour=LINK_GREEN, wrap=True, horizontal="left", indent=1),
        style(ANSWER, size=12, bold=True, background=TOTAL_FILL, boxed=True, wrap=True, horizontal="left", indent=1),
        style(TOTAL, boxed=True, bold=True, background=TOTAL_FILL, horizontal="right"),
        style(CHECK, boxed=True, horizontal="center"),
        style(STATEMENT, size=11, bold=True, horizontal="left"),
    ]
