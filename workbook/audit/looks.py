"""Check the house style of the appearance: number formats, contrast, alternative text, layout on screen and paper."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache

from lxml import etree
from openpyxl.styles.numbers import is_date_format
from openpyxl.worksheet.worksheet import Worksheet

from workbook.audit.colours import BLACK, Palette, Rgb, contrast
from workbook.audit.headings import headings
from workbook.audit.subject import Fault, Place, Subject, areas_of, style_key
from workbook.labels import LANGUAGES, Labels

# WCAG 2.2, success criterion 1.4.3: https://www.w3.org/TR/WCAG22/#contrast-minimum
LEAST_CONTRAST = 4.5

_UNIT = {key: {Labels(lang)(f"unit.{key}").casefold() for lang in LANGUAGES} for key in (
    "gb", "mb", "bytes", "tokens", "users", "gpus", "layers", "values", "billion")}  # fmt: skip
_COUNTS = set().union(*(_UNIT[key] for key in ("bytes", "tokens", "users", "gpus", "layers", "values"))) | {
    "token",
    "gpu",
}
_MEASURES = (
    _UNIT["gb"] | _UNIT["mb"] | _UNIT["billion"] | {"kb", "kib", "mib", "gib", "tb", "tib", "w", "kw", "gb/s", "tb/s"}
)
_KNOWN_UNITS = _COUNTS | _MEASURES | {"%"}
_QUOTED_IN_FORMAT = re.compile(r'"[^"]*"|\\.|_.|\*.')

_DRAWING = "http://schemas.openxmlformats.org/drawingml/2006/spreadsheetDrawing"
_DECORATIVE = "{http://schemas.microsoft.com/office/drawing/2017/decorative}decorative"


def formats_agree_with_units(subject: Subject) -> Iterator[Fault]:
    """Yield numbers whose format does not match their unit: shares are percentages, counts have no decimals etc."""
    found = headings(subject)
    faulty = []
    for place in (*subject.formulas, *subject.constants):
        value = subject.value(place)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            unit = next((unit for unit in found.units(place) if unit in _KNOWN_UNITS), "")
            if problem := _format_problem(unit, subject.number_format(place)):
                faulty.append((place, f"{subject.number_format(place)}: {problem}"))
    yield from (Fault(str(place), problem) for place, problem in sorted(faulty))


@lru_cache(maxsize=4096)
def _format_problem(unit: str, number_format: str) -> str:
    shown = _QUOTED_IN_FORMAT.sub("", number_format)
    if unit == "%":
        return "" if "%" in shown else "not a percentage format"
    if unit:
        if "%" in shown:
            return f"a percentage format for {unit}"
        if is_date_format(number_format):
            return f"a date format for {unit}"
    if unit in _COUNTS and re.search(r"\.[0#?]", shown):
        return f"decimals for {unit}"
    return ""


def text_contrast(subject: Subject) -> Iterator[Fault]:
    """Yield texts with too little contrast in the cell's own colours or in those of a conditional format."""
    palette = Palette(subject.workbook.loaded_theme)
    own: dict[bytes, float] = {}
    faulty = []
    for place in (*subject.formulas, *subject.constants):
        cell = subject.cell(place)
        key = style_key(cell)
        if key not in own:
            own[key] = _contrast(palette, _ink(palette, cell.font), palette.backgrounds(cell.fill))
        if own[key] < LEAST_CONTRAST:
            faulty.append((place, f"{own[key]:.1f}:1"))
    yield from (Fault(str(place), ratio) for place, ratio in sorted(faulty))
    for ws in subject.sheets:
        for formatting in ws.conditional_formatting:
            styles = {
                style_key(cell): cell
                for area in areas_of(ws.title, formatting.sqref)
                for cell in map(subject.cell, subject.cells_of(area))
            }
            for rule in formatting.rules:
                ratios = [_conditional_contrast(palette, cell, rule) for cell in styles.values()]
                if ratios and min(ratios) < LEAST_CONTRAST:
                    yield Fault(f"conditional format of {ws.title}!{formatting.sqref}", f"{min(ratios):.1f}:1")


def _ink(palette: Palette, font) -> Rgb:
    return palette.colour(font.color if font else None, BLACK)


def _contrast(palette: Palette, ink: Rgb, backgrounds: list[Rgb]) -> float:
    return min(contrast(ink, background) for background in backgrounds)


def _conditional_contrast(palette: Palette, cell, rule) -> float:
    font, fill = (rule.dxf.font, rule.dxf.fill) if rule.dxf else (None, None)
    ink = _ink(palette, font if font and font.color else cell.font)
    backgrounds = palette.backgrounds(cell.fill)
    if rule.colorScale:
        backgrounds = [palette.colour(colour, BLACK) for colour in rule.colorScale.color]
    elif fill is not None and fill.bgColor is not None:
        # A differential format stores the colour of a solid fill as the background: ECMA-376 part 1, 18.8.32.
        backgrounds = [palette.colour(fill.bgColor, palette.backgrounds(cell.fill)[0])]
    return _contrast(palette, ink, backgrounds)


def alternative_texts(subject: Subject) -> Iterator[Fault]:
    """Yield charts and pictures that have no alternative text and are not marked as decorative."""
    for name in subject.package.names:
        if re.fullmatch(r"xl/drawings/[^/]*\.xml", name):
            root = etree.fromstring(subject.package.read(name), etree.XMLParser(resolve_entities=False))
            for kind in ("pic", "graphicFrame"):
                for shown in root.iter(f"{{{_DRAWING}}}{kind}"):
                    properties = shown.find(f".//{{{_DRAWING}}}cNvPr")
                    if properties is not None and not _is_described(properties):
                        yield Fault(f"{name}: {properties.get('name')}")


def _is_described(properties) -> bool:
    is_decoration = any(mark.get("val") in ("1", "true") for mark in properties.iter(_DECORATIVE))
    return is_decoration or bool((properties.get("descr") or "").strip())


def merged_titles_only(subject: Subject) -> Iterator[Fault]:
    """Yield merged cells that are not a title: a text in one row with nothing else in that row."""
    filled = Counter(place[:2] for cells in (subject.constants, subject.formulas) for place in cells)
    for ws in subject.sheets:
        for merged in ws.merged_cells.ranges:
            is_text = isinstance(subject.value(Place(ws.title, merged.min_row, merged.min_col)), str)
            is_alone = filled[ws.title, merged.min_row] == 1 and merged.min_row == merged.max_row
            if not (is_text and is_alone):
                yield Fault(f"{ws.title}!{merged.coord}")


def prints_well(subject: Subject) -> Iterator[Fault]:
    """Yield sheets that do not print in landscape, one page wide, with a footer."""
    for ws in subject.sheets:
        page = ws.sheet_properties.pageSetUpPr
        width = ws.page_setup.fitToWidth
        footers = (getattr(ws.oddFooter, part).text for part in ("left", "center", "right"))
        missing = [
            what
            for what, is_there in (
                ("landscape orientation", ws.page_setup.orientation == "landscape"),
                ("fit to one page wide", bool(page and page.fitToPage) and width in (None, 1)),
                ("footer", any(footers)),
            )
            if not is_there
        ]
        if missing:
            yield Fault(ws.title, f"missing: {', '.join(missing)}")


def panes_frozen(subject: Subject) -> Iterator[Fault]:
    """Yield sheets without frozen panes, except the first, which needs no scrolling."""
    yield from (Fault(ws.title) for ws in subject.sheets[1:] if not ws.freeze_panes)


def cursor_at_the_top(subject: Subject) -> Iterator[Fault]:
    """Yield the active sheet if it is not the first, and sheets whose first cell is not selected and visible."""
    active = subject.workbook.active
    if active is None or active.title != subject.workbook.sheetnames[0]:
        yield Fault(active.title if active else "workbook", "is the active sheet" if active else "has no active sheet")
    for ws in subject.sheets:
        selected = _selected(ws)
        if selected not in {"A1", ws.freeze_panes} - {None}:
            yield Fault(f"{ws.title}!{selected}", "is selected")
        elif ws.sheet_view.topLeftCell not in (None, "A1"):
            yield Fault(f"{ws.title}!{ws.sheet_view.topLeftCell}", "is the first visible cell")


def _selected(ws: Worksheet) -> str:
    """Return the selected cell of the active pane."""
    pane = ws.sheet_view.pane.activePane if ws.sheet_view.pane else None
    for selection in ws.sheet_view.selection:
        if pane in (None, selection.pane):
            return selection.activeCell or "A1"
    return "A1"
