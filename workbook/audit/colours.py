"""Resolve the colours of cells as Excel draws them, and compute the contrast of two colours."""

from __future__ import annotations

import colorsys
import re

from lxml import etree
from openpyxl.styles.colors import COLOR_INDEX, Color
from openpyxl.styles.fills import Fill, GradientFill

Rgb = tuple[float, float, float]
BLACK, WHITE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)

_DRAWING = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
# The order in which cells number a theme's colours, light before dark: ECMA-376 part 1, 18.8.3.
_THEME_ORDER = (
    "lt1", "dk1", "lt2", "dk2", "accent1", "accent2", "accent3", "accent4", "accent5", "accent6", "hlink", "folHlink",
)  # fmt: skip
# The Office theme, for files without a theme.
_OFFICE_THEME = (
    "FFFFFF", "000000", "EEECE1", "1F497D", "4F81BD", "C0504D", "9BBB59", "8064A2", "4BACC6", "F79646",
    "0000FF", "800080",
)  # fmt: skip
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})?[0-9A-Fa-f]{6}")
_SYSTEM_FOREGROUND, _SYSTEM_BACKGROUND = 64, 65


class Palette:
    """Resolves a workbook's colours."""

    def __init__(self, theme_xml: bytes | None) -> None:
        self._theme = _theme_colours(theme_xml) if theme_xml else [_rgb(colour) for colour in _OFFICE_THEME]

    def colour(self, colour: Color | None, otherwise: Rgb) -> Rgb:
        """Return the RGB value of `colour`; `otherwise` if it is automatic or missing."""
        if colour is None or colour.type == "auto":
            return otherwise
        if colour.type == "indexed":
            if colour.indexed in (_SYSTEM_FOREGROUND, _SYSTEM_BACKGROUND) or colour.indexed >= len(COLOR_INDEX):
                return otherwise
            base = _rgb(COLOR_INDEX[colour.indexed])
        elif colour.type == "theme":
            base = self._theme[colour.theme] if colour.theme < len(self._theme) else otherwise
        else:
            base = _rgb(colour.rgb)
        return _tinted(base, colour.tint)

    def backgrounds(self, fill: Fill | None) -> list[Rgb]:
        """Return the colours that `fill` may put behind a text: one, or several for gradients and patterns."""
        if fill is not None and fill.tagname == GradientFill.tagname:  # not isinstance: a cell's fill is a proxy
            return [self.colour(stop.color, WHITE) for stop in fill.stop] or [WHITE]
        if fill is None or fill.fill_type in (None, "none"):
            return [WHITE]
        if fill.fill_type == "solid":
            return [self.colour(fill.fgColor, WHITE)]
        return [self.colour(fill.bgColor, WHITE), self.colour(fill.fgColor, BLACK)]


def contrast(one: Rgb, other: Rgb) -> float:
    """Return the contrast ratio of WCAG 2.2, from 1 to 21: https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio"""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: Rgb) -> float:
    """Return the relative luminance: https://www.w3.org/TR/WCAG22/#dfn-relative-luminance"""
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _tinted(colour: Rgb, tint: float) -> Rgb:
    """Lighten (tint above 0) or darken a colour: ECMA-376 part 1, 18.8.19."""
    if not tint:
        return colour
    hue, lightness, saturation = colorsys.rgb_to_hls(*colour)
    lightness = lightness * (1 + tint) if tint < 0 else lightness * (1 - tint) + tint
    return colorsys.hls_to_rgb(hue, lightness, saturation)


def _rgb(text: str) -> Rgb:
    """Parse RRGGBB or AARRGGBB; alpha is ignored, because Excel draws every colour opaque."""
    red, green, blue = (int(text[-6:][i : i + 2], 16) / 255 for i in (0, 2, 4))
    return red, green, blue


def _theme_colours(xml: bytes) -> list[Rgb]:
    root = etree.fromstring(xml, etree.XMLParser(resolve_entities=False))
    colours = []
    for key, default in zip(_THEME_ORDER, _OFFICE_THEME):
        scheme = root.find(f".//{_DRAWING}clrScheme/{_DRAWING}{key}")
        drawn = scheme[0] if scheme is not None and len(scheme) else None
        value = None if drawn is None else drawn.get("lastClr") or drawn.get("val")
        colours.append(_rgb(value if value and _HEX.fullmatch(value) else default))
    return colours
