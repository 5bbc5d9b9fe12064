"""Small charts of a report as inline SVG: scores over rows for training, drawn without a plotting library."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

from markupsafe import Markup

from analysis.answers import SIZE_AXIS
from analysis.arms import Estimate, Point
from analysis.report_text import visible
from analysis.style import MetricStyle

MOST_CHARTS: Final = 12
MOST_ARMS: Final = 8
_COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#7a5c00", "#56b4e9", "#5c5c5c", "#000000")
"""Okabe and Ito, safe for the colour-blind; dashes tell arms apart where colours do not."""
_DASHES: Final = ("", "6 3", "2 2", "8 3 2 3")
_WIDTH, _HEIGHT = 320, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 38, 12, 24, 46


def size_charts(found: Sequence[Estimate], style: MetricStyle) -> tuple[Markup, ...]:
    """One chart for each kind of data with at least two sizes; shares from 0 to 100 %.

    Args:
        found: estimates of one metric.
        style: of the metric.
    Returns:
        SVG elements; empty when there is no second size, or when arms are too many for lines to be told apart.
    """
    groups: dict[Any, list[Estimate]] = defaultdict(list)
    for one in found:
        if one.mean is not None and isinstance(one.column[SIZE_AXIS], int):
            groups[one.column.without(SIZE_AXIS).key].append(one)
    arms = list(dict.fromkeys(one.arm.key for one in sorted(found, key=lambda one: one.is_baseline)))
    groups = {key: group for key, group in groups.items() if len({one.column[SIZE_AXIS] for one in group}) > 1}
    if len(arms) > MOST_ARMS or len(groups) > MOST_CHARTS or not style.is_share:
        return ()
    titles = {one.arm.key: one.arm.title for one in found}
    charts = [_chart(group, arms) for group in groups.values()]
    return tuple([*charts, _key([titles[arm] for arm in arms])] if charts else [])


def _chart(group: Sequence[Estimate], arms: Sequence[Any]) -> Markup:
    sizes = sorted({int(one.column[SIZE_AXIS]) for one in group})
    where = group[0].column.without(SIZE_AXIS)
    parts = [_frame(where, sizes)]
    for place, arm in enumerate(arms):
        line = sorted((one for one in group if one.arm.key == arm), key=lambda one: int(one.column[SIZE_AXIS]))
        points = [(_x(int(one.column[SIZE_AXIS]), sizes), one) for one in line]
        if points:
            parts.append(_line([(x + 2.0 * (place - len(arms) / 2), one) for x, one in points], place))
    label = f"Scores over rows for training: {where.title}"
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}" font-size="10">{}</svg>').format(
        _WIDTH, _HEIGHT, visible(label), Markup("").join(parts)
    )


def _frame(where: Point, sizes: Sequence[int]) -> Markup:
    parts = [
        Markup('<text x="{}" y="13" font-size="12" font-weight="600">{}</text>').format(_LEFT, _short(where.title, 46))
    ]
    for percent in (0, 25, 50, 75, 100):
        y = _y(percent / 100)
        parts.append(
            Markup(
                '<path d="M{} {}H{}" stroke="#d6d6d6" stroke-width="1"/>'
                '<text x="{}" y="{}" text-anchor="end" fill="#5c5c5c">{}</text>'
            ).format(_LEFT, y, _WIDTH - _RIGHT, _LEFT - 4, y + 3.5, percent)
        )
    for size in sizes:
        parts.append(
            Markup('<text x="{}" y="{}" text-anchor="middle" fill="#5c5c5c">{}</text>').format(
                _x(size, sizes), _HEIGHT - _BOTTOM + 15, f"{size:,}"
            )
        )
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    caption = Markup('<text x="{}" y="{}" text-anchor="middle" fill="#5c5c5c">rows for training</text>')
    parts.append(caption.format(middle, _HEIGHT - _BOTTOM + 31))
    return Markup("").join(parts)


def _line(points: Sequence[tuple[float, Estimate]], place: int) -> Markup:
    colour, dash = _COLOURS[place % len(_COLOURS)], _DASHES[place % len(_DASHES)]
    path = " ".join(f"{'L' if i else 'M'}{x:.1f} {_y(one.mean or 0.0)}" for i, (x, one) in enumerate(points))
    parts = [
        Markup('<path d="{}" fill="none" stroke="{}" stroke-width="1.6" stroke-dasharray="{}"/>').format(
            path, colour, dash or "none"
        )
    ]
    for x, one in points:
        bar = "" if one.low is None or one.high is None else f"M{x:.1f} {_y(one.low)}V{_y(one.high)}"
        title = visible(f"{one.arm.title}, {one.column.title}: {100 * (one.mean or 0.0):.1f}")
        parts.append(
            Markup(
                '<path d="{}" stroke="{}" stroke-opacity=".45" stroke-width="1.4"/>'
                '<circle cx="{}" cy="{}" r="2.6" fill="{}"><title>{}</title></circle>'
            ).format(bar, colour, f"{x:.1f}", _y(one.mean or 0.0), colour, title)
        )
    return Markup("").join(parts)


def _key(titles: Sequence[str]) -> Markup:
    parts = []
    for place, title in enumerate(titles):
        y = 20 + 22 * place
        parts.append(
            Markup(
                '<path d="M8 {}H44" stroke="{}" stroke-width="2" stroke-dasharray="{}"/>'
                '<circle cx="26" cy="{}" r="3" fill="{}"/><text x="52" y="{}">{}</text>'
            ).format(
                y,
                _COLOURS[place % len(_COLOURS)],
                _DASHES[place % len(_DASHES)] or "none",
                y,
                _COLOURS[place % len(_COLOURS)],
                y + 4,
                _short(title, 42),
            )
        )
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="Key of the lines" font-size="12">{}</svg>').format(
        _WIDTH, 22 * len(titles) + 16, Markup("").join(parts)
    )


def _short(text: str, most: int) -> str:
    shown = str(visible(text))
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def _x(size: int, sizes: Sequence[int]) -> float:
    low, high = math.log(sizes[0]), math.log(sizes[-1])
    room = _WIDTH - _LEFT - _RIGHT - 44
    return round(_LEFT + 22 + room * (math.log(size) - low) / (high - low), 1)


def _y(share: float) -> float:
    return round(_TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - min(1.0, max(0.0, share))), 1)
