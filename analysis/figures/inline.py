"""A figure as SVG inside a page: letters stay letters, no style attributes, no names of others, few digits."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Final

from markupsafe import Markup, escape
from matplotlib.figure import Figure

from analysis.figures.catalogue import rendered

FONTS: Final = "DejaVu Sans, Verdana, sans-serif"
"""Verdana has the widths of DejaVu Sans, for which texts were measured."""
_KEPT: Final = frozenset(
    {"svg", "g", "path", "text", "tspan", "use", "defs", "clipPath", "rect", "pattern", "line", "circle", "polygon"}
)
_ATTRIBUTES: Final = frozenset(
    {
        *("d", "x", "y", "x1", "x2", "y1", "y2", "r", "cx", "cy", "width", "height", "points", "transform", "viewBox"),
        *("fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-dashoffset", "stroke-linecap"),
        *("stroke-linejoin", "stroke-miterlimit", "opacity", "fill-opacity", "stroke-opacity", "fill-rule"),
        *("text-anchor", "font-size", "font-weight", "font-style", "clip-path", "patternUnits"),
    }
)
_NUMBERS: Final = frozenset({"d", "x", "y", "x1", "x2", "y1", "y2", "width", "height", "points", "transform"})
_NUMBER: Final = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
_FONT: Final = re.compile(r"(?:(?P<weight>bold|\d{3})\s+)?(?P<size>[\d.]+)px\b")
_REFERENCE: Final = re.compile(r"#([^)\"']+)")


def inline_svg(figure: Figure, *, label: str, prefix: str) -> Markup:
    """Turn a figure into an element of an HTML page whose policy forbids style attributes.

    Args:
        figure: to show.
        label: for readers of the screen.
        prefix: for the names inside, so that two figures of a page do not mix theirs up.
    Returns:
        one `svg` element; only elements and attributes from a fixed list, every text escaped.
    """
    root = ET.fromstring(rendered(figure, "svg", is_text=True))  # noqa: S314  written by matplotlib a moment ago
    box = root.get("viewBox", "0 0 1 1")
    width = round(float(box.split()[2]) * 4 / 3)  # points to pixels
    shortened = {old: f"{prefix}{number}" for number, old in enumerate(_referenced(root))}
    inside = Markup("").join(_element(child, shortened) for child in root)
    form = Markup(
        '<svg class="figure" viewBox="{}" width="{}" role="img" aria-label="{}" font-family="{}" '
        'stroke-linejoin="round" stroke-linecap="butt">{}</svg>'
    )
    return form.format(_rounded(box), width, label, FONTS, inside)


def _referenced(root: ET.Element) -> list[str]:
    """Names that something inside refers to, in their order."""
    found: dict[str, None] = {}
    for element in root.iter():
        for value in element.attrib.values():
            if "#" in value:
                found.update(dict.fromkeys(_REFERENCE.findall(value)))
    defined = {element.get("id") for element in root.iter()}
    return [name for name in found if name in defined]


def _element(element: ET.Element, names: dict[str, str]) -> Markup:
    tag = str(element.tag).rpartition("}")[2]
    if tag not in _KEPT:
        return Markup("")
    attributes = Markup("").join(
        Markup(' {}="{}"').format(name, value) for name, value in _attributes(element, names).items()
    )
    inside = Markup("").join(_element(child, names) for child in element)
    text = escape((element.text or "").strip()) if tag in ("text", "tspan") else Markup("")
    if tag in ("g", "defs") and not inside:
        return Markup("")
    if tag == "g" and not attributes:
        return inside
    return Markup("<{}{}>{}{}</{}>").format(tag, attributes, text, inside, tag)


def _attributes(element: ET.Element, names: dict[str, str]) -> dict[str, str]:
    given = {name.rpartition("}")[2]: value for name, value in element.attrib.items()}
    for declaration in given.pop("style", "").split(";"):
        name, _, value = declaration.partition(":")
        given[name.strip()] = value.strip()
    font = _FONT.search(given.pop("font", ""))
    if font is not None:
        given["font-size"] = font["size"]
        if font["weight"]:
            given["font-weight"] = font["weight"]
    found = {}
    if given.get("id") in names:
        found["id"] = names[given["id"]]
    if given.get("href", "")[1:] in names:
        found["href"] = f"#{names[given['href'][1:]]}"
    for name, value in given.items():
        if name in _ATTRIBUTES and value:
            clean = _rounded(value) if name in _NUMBERS else value.removesuffix("px")
            found[name] = (
                _REFERENCE.sub(lambda match: f"#{names.get(match[1], '')}", clean) if "url(" in clean else clean
            )
    return found


def _rounded(text: str) -> str:
    return _NUMBER.sub(lambda match: f"{float(match[0]):.1f}".removesuffix(".0"), " ".join(text.split()))
