"""Check the size of texts on paper."""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import ceil

from openpyxl.worksheet.worksheet import Worksheet

from workbook.audit.references import Area, UnresolvedError
from workbook.audit.subject import Fault, Subject

# Commas between areas; the name of a sheet may have some, in quotes.
_SEPARATORS = re.compile(r",(?=(?:[^']*'[^']*')*[^']*$)")

SMALLEST_PRINT_PT = 8  # what the planner promises: no text under 8 pt on any page

_POINTS_PER_INCH, _POINTS_PER_PIXEL = 72, 0.75  # a pixel of Excel is 1/96 inch
# Width and height in inches of the common paper sizes by number: ECMA-376 part 1, 18.3.1.63; Letter is the default.
_LETTER = 1
_PAPER_INCHES = {_LETTER: (8.5, 11), 3: (11, 17), 5: (8.5, 14), 8: (11.69, 16.54), 9: (8.27, 11.69), 11: (5.83, 8.27)}
# Pixels of the widest digit of the Normal style's font, in which column widths are given: ECMA-376 part 1, 18.3.1.13
# for Calibri 11; Arial 11 has 8 pixels.
_DIGIT_PIXELS = {("Arial", 11): 8}
_USUAL_DIGIT_PIXELS = 7
_USUAL_COLUMN_DIGITS, _PADDING_PIXELS, _COLUMN_STEP_PIXELS = 8, 5, 8
_USUAL_ROW_PT, _PER_CENT = 15, 100


def small_print(subject: Subject) -> Iterator[Fault]:
    """Yield sheets on which the smallest text, after scaling to the page, is below `SMALLEST_PRINT_PT`."""
    for ws in subject.sheets:
        areas = printed_areas(subject, ws)
        sizes = [size for area in areas for size in _sizes_pt(subject, area)]
        if sizes:
            scale = scale_of(ws, areas, _digit_pixels(subject))
            printed = min(sizes) * scale
            if printed < SMALLEST_PRINT_PT:
                found = f"{min(sizes):g} pt print as {printed:.1f} pt: print fewer columns, or make them narrower"
                yield Fault(ws.title, found)


def printed_areas(subject: Subject, ws: Worksheet) -> list[Area]:
    """Return the print areas of a sheet, or the area of its cells with a content."""
    areas = []
    for operand in _SEPARATORS.split(ws.print_area or ""):
        try:
            found = subject.resolver.areas(operand, ws.title, 1, 1) if operand else []
        except UnresolvedError:  # `names_resolve` reports it
            found = []
        areas += found if isinstance(found, list) else []
    if areas:
        return areas
    places = [place for cells in (subject.constants, subject.formulas) for place in cells if place.sheet == ws.title]
    if not places:
        return []
    return [Area(ws.title, 1, 1, max(place.row for place in places), max(place.column for place in places))]


def scale_of(ws: Worksheet, areas: list[Area], digit_pixels: int) -> float:
    """Return the scale at which Excel prints `areas`: as set, or what fits them to the pages."""
    setup, properties = ws.page_setup, ws.sheet_properties.pageSetUpPr
    if not (properties and properties.fitToPage):
        return (setup.scale or _PER_CENT) / _PER_CENT
    width, height = _PAPER_INCHES.get(int(setup.paperSize or _LETTER), _PAPER_INCHES[_LETTER])
    if setup.orientation == "landscape":
        width, height = height, width
    margins = ws.page_margins
    across = (width - margins.left - margins.right) * _POINTS_PER_INCH
    down = (height - margins.top - margins.bottom) * _POINTS_PER_INCH
    fits = [1.0]
    pages_wide, pages_tall = (1 if pages is None else int(pages) for pages in (setup.fitToWidth, setup.fitToHeight))
    for area in areas:
        if pages_wide:
            fits.append(pages_wide * across / max(1, _width_pt(ws, area, digit_pixels)))
        if pages_tall:
            fits.append(pages_tall * down / max(1, _height_pt(ws, area)))
    return min(fits)


def _width_pt(ws: Worksheet, area: Area, digit_pixels: int) -> float:
    """Return the width of the columns of an area. ECMA-376 part 1, 18.3.1.13, has the formula for pixels."""
    least = _USUAL_COLUMN_DIGITS * digit_pixels + _PADDING_PIXELS
    usual = ceil(least / _COLUMN_STEP_PIXELS) * _COLUMN_STEP_PIXELS
    if ws.sheet_format.defaultColWidth:
        usual = _pixels(ws.sheet_format.defaultColWidth, digit_pixels)
    total = usual * (area.last_column - area.first_column + 1)
    for dimension in ws.column_dimensions.values():
        first, last = max(dimension.min, area.first_column), min(dimension.max, area.last_column)
        if first <= last and (dimension.hidden or dimension.customWidth):
            pixels = 0 if dimension.hidden else _pixels(dimension.width, digit_pixels)
            total += (pixels - usual) * (last - first + 1)
    return total * _POINTS_PER_PIXEL


def _pixels(width: float, digit_pixels: int) -> int:
    return int((256 * width + 128 // digit_pixels) / 256 * digit_pixels)


def _height_pt(ws: Worksheet, area: Area) -> float:
    """Return the height of the rows of an area; Excel may make rows higher whose texts wrap."""
    usual = ws.sheet_format.defaultRowHeight or _USUAL_ROW_PT
    total = usual * (area.last_row - area.first_row + 1)
    for row, dimension in ws.row_dimensions.items():
        if area.first_row <= row <= area.last_row:
            total += (0 if dimension.hidden else dimension.height or usual) - usual
    return total


def _sizes_pt(subject: Subject, area: Area) -> Iterator[float]:
    """Yield the font size of each cell with a content in an area."""
    for place in subject.cells_of(area):
        if place in subject.constants or place in subject.formulas:
            yield subject.font_size(place)


def _digit_pixels(subject: Subject) -> int:
    font = subject.workbook._named_styles["Normal"].font
    return _DIGIT_PIXELS.get((font.name, font.sz), _USUAL_DIGIT_PIXELS)
