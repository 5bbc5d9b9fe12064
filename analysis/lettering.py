"""Text that fits: measured before it is drawn, wrapped, shortened, and free of signs the font cannot draw."""

from __future__ import annotations

import bisect
import functools
import re
import unicodedata
from collections.abc import Callable, Sequence

from matplotlib import font_manager
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

FONT = "DejaVu Sans"
"""Comes with matplotlib, so that pictures are equal everywhere."""
MISSING_SIGN = "▯"
_LINE_HEIGHT = 1.25
_POINTS_PER_INCH = 72.0
_HINTING_SLACK = 1.02
"""Drawn on a pixel grid, letters are up to this much wider than their outlines."""
_BREAK_AFTER = re.compile(r"(?<=[/\-_.,:;·+ ])")


def drawable(text: str) -> str:
    """Replace what cannot be drawn: control signs by nothing, signs outside the font by a box; line ends stay."""
    font = font_manager.get_font(font_manager.findfont(FONT))
    kept = (
        sign if sign == "\n" else " " if sign.isspace() else sign
        for sign in text
        if sign.isspace() or not unicodedata.category(sign).startswith("C")
    )
    return "".join(sign if sign == "\n" or font.get_char_index(ord(sign)) else MISSING_SIGN for sign in kept)


@functools.lru_cache(maxsize=4096)
def _line_width(line: str, size: float, weight: str) -> float:
    properties = FontProperties(family=FONT, size=size, weight=weight)
    width, _, _ = text_to_path.get_text_width_height_descent(line, properties, False)
    return float(width) / _POINTS_PER_INCH * _HINTING_SLACK


def width_in(text: str, size: float, *, weight: str = "normal") -> float:
    """Width in inches of the longest line of a text, at a size in points."""
    return max((_line_width(line, size, weight) for line in text.split("\n")), default=0.0)


def height_in(text: str, size: float) -> float:
    """Height in inches of a text with its lines, at a size in points."""
    return (text.count("\n") + 1) * size * _LINE_HEIGHT / _POINTS_PER_INCH


def wrapped(text: str, size: float, width: float, *, max_lines: int | None = None) -> str:
    """Break a text into lines no wider than `width` inches; with `max_lines`, leave out its middle until it fits."""
    lines = _lines(text, size, width)
    if max_lines is None or len(lines) <= max_lines:
        return "\n".join(lines)
    kept = _largest(len(text), lambda kept: len(_lines(_without_middle(text, kept), size, width)) <= max_lines)
    return "\n".join(_lines(_without_middle(text, kept), size, width)[:max_lines])


def _without_middle(text: str, kept: int) -> str:
    head = (kept + 1) // 2
    return f"{text[:head].rstrip()}…{text[len(text) - (kept - head) :].lstrip(' -_/.')}"


def _largest(below: int, fits: Callable[[int], bool]) -> int:
    """The largest number from 1 to `below` - 1 that fits, found by halving: texts may be very long."""
    return max(1, bisect.bisect_left(range(1, below), True, key=lambda number: not fits(number)))


def distinct(labels: Sequence[str]) -> list[str]:
    """Keep labels apart that became equal by shortening: the second one gets ` #2`."""
    seen: dict[str, int] = {}
    result = []
    for label in labels:
        seen[label] = seen.get(label, 0) + 1
        result.append(label if seen[label] == 1 else f"{label} #{seen[label]}")
    return result


def _lines(text: str, size: float, width: float) -> list[str]:
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for piece in _pieces(paragraph, size, width):
            if line and _line_width((line + piece).rstrip(), size, "normal") > width:
                lines.append(line.rstrip())
                line = piece.lstrip()
            else:
                line += piece
        lines.append(line.rstrip())
    return lines


def _pieces(text: str, size: float, width: float) -> list[str]:
    """Split after separators; a piece that is too wide alone is cut between any two signs."""
    pieces: list[str] = []
    for piece in _BREAK_AFTER.split(text):
        while len(piece) > 1 and _line_width(piece.rstrip(), size, "normal") > width:
            cut = _fitting(piece, size, width)
            pieces.append(piece[:cut])
            piece = piece[cut:]
        if piece:
            pieces.append(piece)
    return pieces


def _fitting(piece: str, size: float, width: float) -> int:
    """How many signs of a piece fit, at least one."""
    return _largest(len(piece), lambda cut: _line_width(piece[:cut], size, "normal") <= width)
