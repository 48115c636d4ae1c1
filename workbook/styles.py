"""Define the named cell styles, one for each role of a cell. No meaning depends on colour alone."""

from __future__ import annotations

from openpyxl import Workbook
from openpyxl.styles import Alignment, Border, Font, NamedStyle, PatternFill, Protection, Side

# Windows and macOS both have these fonts; the Chinese one comes with Office.
FONT_NAMES = {"en": "Arial", "zh": "Microsoft YaHei"}

INK, INPUT_BLUE, LINK_GREEN, WHITE, NOTE_GREY, UNIT_GREY = "1A1A1A", "0000FF", "00612E", "FFFFFF", "4D4D4D", "595959"
WRONG_FILL = "FDEBD8"
HEADING_FILL, SECTION_FILL, INPUT_FILL, TOTAL_FILL = "1F3864", "D9E2F3", "FFF8DC", "EDEDED"
PALE_FILL, WARNING, HAIRLINE, CHART_MIDDLE, CHART_GREY, CHART_PALE = (
    "EAF0F9", "B45309", "D0D0D0", "6F8EC7", "7F7F7F", "E4E4E4",
)  # fmt: skip

# Weights, KV cache, overhead: also distinct when printed without colour.
PART_COLOURS = ("1F3864", "2E75B6", "9DC3E6")

_THIN = Side(style="thin", color="BFBFBF")
_BOX = Border(left=_THIN, right=_THIN, top=_THIN, bottom=_THIN)
_UNDERLINE = Border(bottom=Side(style="medium", color=HEADING_FILL))
_HAIR = Border(bottom=Side(style="thin", color=HAIRLINE))

TITLE, SUBTITLE, NOTE, SECTION, HEADING = "title", "subtitle", "note", "section", "heading"
LABEL, INPUT, INPUT_TEXT, SOURCE_FIGURE, FORMULA, FORMULA_TEXT, LINK, LINK_TEXT, TOTAL, ANSWER, CHECK, STATEMENT = (
    "label", "input", "input_text", "source_figure", "formula", "formula_text", "link", "link_text", "total", "answer",
    "check", "statement",
)  # fmt: skip
# Of the sheet Plan: without boxes, all of 11 points but the headline and its figures.
(
    PLAN_HEADLINE, PLAN_FIGURE, PLAN_CAPTION, PLAN_PALE, PLAN_SECTION, PLAN_SECTION_RIGHT, PLAN_GROUP, PLAN_TEXT,
    PLAN_GREY, PLAN_GREY_RIGHT, PLAN_DOUBT, PLAN_STATUS, PLAN_HEAD, PLAN_HEAD_RIGHT, PLAN_CELL, PLAN_NUMBER,
    PLAN_BEST, PLAN_BEST_NUMBER, PLAN_BOLD, PLAN_UNIT, PLAN_HEAD_CENTRE, PLAN_GREY_CENTRE, PLAN_CENTRE,
    PLAN_BEST_CENTRE,
) = (
    "plan_headline", "plan_figure", "plan_caption", "plan_pale", "plan_section", "plan_section_right", "plan_group",
    "plan_text", "plan_grey", "plan_grey_right", "plan_doubt", "plan_status", "plan_head", "plan_head_right",
    "plan_cell", "plan_number", "plan_best", "plan_best_number", "plan_bold", "plan_unit", "plan_head_centre",
    "plan_grey_centre", "plan_centre", "plan_best_centre",
)  # fmt: skip
PLAN_INPUT, PLAN_INPUT_TEXT, PLAN_INPUT_LONG = "plan_input", "plan_input_text", "plan_input_long"
PLAN_SWAP_UNIT, PLAN_INPUT_REST = "plan_swap_unit", "plan_input_rest"


def register(workbook: Workbook, lang: str) -> None:
    """Add the named styles to `workbook`, in the font of `lang`, and set the font that column widths are counted in."""
    workbook._named_styles["Normal"].font = Font(name=FONT_NAMES["en"], size=11, color=INK)
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
              vertical: str = "center", indent: int = 0, locked: bool = True, border: Border | None = None,
              latin: bool = False, shrink: bool = False) -> NamedStyle:  # fmt: skip
        named = NamedStyle(name=style_name(role))
        name = FONT_NAMES["en"] if latin else font_name
        named.font = Font(name=name, size=size, bold=bold, italic=italic, color=colour)
        named.alignment = Alignment(
            wrap_text=wrap, vertical=vertical, horizontal=horizontal, indent=indent, shrink_to_fit=shrink or None
        )
        named.protection = Protection(locked=locked)
        if background:
            named.fill = fill(background)
        if boxed or border:
            named.border = border or _BOX
        return named

    def plain(role: str, **given) -> NamedStyle:
        """Return a style of the sheet Plan."""
        return style(role, **{"size": 11, **given})

    accent = {"bold": True, "colour": HEADING_FILL}
    best = {**accent, "background": PALE_FILL, "border": _HAIR}
    right = {"horizontal": "right", "latin": True}  # in a Latin font numbers have one width in all editions

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
        plain(PLAN_HEADLINE, size=20, **accent),
        plain(PLAN_FIGURE, size=17, **accent, background=PALE_FILL, horizontal="left", indent=1, latin=True),
        plain(PLAN_CAPTION, colour=UNIT_GREY, background=PALE_FILL, horizontal="left", indent=1),
        plain(PLAN_PALE, background=PALE_FILL),
        plain(PLAN_SECTION, **accent, border=_UNDERLINE),
        plain(PLAN_SECTION_RIGHT, colour=UNIT_GREY, border=_UNDERLINE, horizontal="right"),
        plain(PLAN_GROUP, **accent),
        plain(PLAN_TEXT),
        plain(PLAN_GREY, colour=UNIT_GREY),
        plain(PLAN_GREY_RIGHT, colour=UNIT_GREY, horizontal="right"),
        plain(PLAN_DOUBT, colour=WARNING),
        plain(PLAN_STATUS, bold=True, horizontal="right"),
        plain(PLAN_HEAD, bold=True),
        plain(PLAN_HEAD_RIGHT, bold=True, horizontal="right"),
        plain(PLAN_CELL, border=_HAIR, latin=True),
        plain(PLAN_NUMBER, border=_HAIR, **right),
        plain(PLAN_BEST, **best, latin=True),
        plain(PLAN_BEST_NUMBER, **best, **right),
        plain(PLAN_BOLD, bold=True, border=_HAIR, **right),
        plain(PLAN_UNIT, colour=UNIT_GREY, horizontal="left", indent=1),
        plain(PLAN_SWAP_UNIT, colour=UNIT_GREY, border=_HAIR, horizontal="left", indent=1),
        plain(PLAN_HEAD_CENTRE, bold=True, horizontal="center"),
        plain(PLAN_GREY_CENTRE, colour=UNIT_GREY, horizontal="center"),
        plain(PLAN_CENTRE, border=_HAIR, horizontal="center", shrink=True),
        plain(PLAN_BEST_CENTRE, **best, horizontal="center", shrink=True),
        plain(PLAN_INPUT, colour=INPUT_BLUE, background=INPUT_FILL, boxed=True, locked=False, **right),
        plain(PLAN_INPUT_TEXT, colour=INPUT_BLUE, background=INPUT_FILL, boxed=True, locked=False, horizontal="right"),
        plain(PLAN_INPUT_REST, background=INPUT_FILL),
        plain(PLAN_INPUT_LONG, colour=INPUT_BLUE, background=INPUT_FILL, locked=False, horizontal="left"),
    ]
