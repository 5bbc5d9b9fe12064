"""Charts of a cell's page as inline SVG, drawn without a plotting library: hundreds of pages take seconds."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from markupsafe import Markup

from analysis.figures.calibration import METHODS
from analysis.figures.evidence import Bin, calibration_error
from analysis.heatmap_layout import axis_text
from analysis.report_text import visible
from analysis.style import metric_style, tick_text

_WIDTH, _HEIGHT = 260, 170
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 12, 24, 34
_SIDE: Final = 190
_COLOURS: Final = {"validation": "#0072b2", "train": "#d55e00", "test": "#009e73"}
_DASHES: Final = {"train": "5 3"}
_CURVE_COLUMNS: Final = ("step", "split", "metric", "value")


@dataclass(frozen=True, kw_only=True)
class _Scale:
    """From values to places on the page, with round numbers on it."""

    low: float
    high: float
    start: float
    end: float

    def place(self, value: float) -> float:
        """Where a value stands."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    @property
    def ticks(self) -> list[float]:
        """Three to six round numbers."""
        raw = (self.high - self.low) / 4
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw)
        first = math.ceil(self.low / step - 1e-9)
        return [round(step * number, 12) for number in range(first, int(self.high / step + 1e-9) + 1)]


Point = tuple[float, str, float]
"""Step, split, value."""


def curve_charts(curves: Mapping[str, Sequence[Any]], best_step: float | None) -> tuple[Markup, ...]:
    """One chart a metric over steps, the loss first; a dotted line at the step whose state was kept.

    Args:
        curves: columns step, split, metric, value.
        best_step: None: unknown.
    Returns:
        SVG elements.
    """
    by_metric: dict[str, list[Point]] = {}
    for step, split, metric, value in zip(*(curves[name] for name in _CURVE_COLUMNS), strict=True):
        by_metric.setdefault(str(metric), []).append((float(step), str(split), math.nan if value is None else value))
    order = sorted(by_metric, key=lambda name: name != "loss")
    return tuple(_curve_chart(name, by_metric[name], best_step) for name in order)


def _curve_chart(metric: str, rows: Sequence[Point], best_step: float | None) -> Markup:
    style = metric_style(metric)
    finite = [row for row in rows if math.isfinite(row[2])]
    highest = max((value for _, _, value in finite), default=1.0)
    lowest = min((value for _, _, value in finite), default=0.0)
    top = 1.0 if style.is_share else max(highest * 1.05, 1e-9)
    x = _Scale(low=0.0, high=max(1.0, *(step for step, _, _ in rows)), start=_LEFT, end=_WIDTH - _RIGHT)
    y = _Scale(low=min(0.0, lowest), high=top, start=_HEIGHT - _BOTTOM, end=_TOP)
    parts = [_title(f"{axis_text(metric)}{style.unit}"), _grid(y, is_share=style.is_share), _steps(x)]
    if best_step is not None:
        line = Markup('<path d="M{} {}V{}" stroke="#1a1a1a" stroke-dasharray="1 3"/>')
        parts.append(line.format(x.place(best_step), _TOP, _HEIGHT - _BOTTOM))
    for split in dict.fromkeys(split for _, split, _ in finite):
        own = sorted((step, value) for step, whose, value in finite if whose == split)
        parts.append(_line([(x.place(step), y.place(value)) for step, value in own], split))
    return _svg(_WIDTH, _HEIGHT, f"{axis_text(metric)} over steps", parts)


def _line(points: Sequence[tuple[float, float]], split: str) -> Markup:
    colour, dash = _COLOURS.get(split, "#5c5c5c"), _DASHES.get(split, "none")
    path = " ".join(f"{'L' if number else 'M'}{x} {y}" for number, (x, y) in enumerate(points))
    parts = [
        Markup('<path d="{}" fill="none" stroke="{}" stroke-width="1.6" stroke-dasharray="{}"/>').format(
            path, colour, dash
        )
    ]
    if len(points) <= 40:
        dots = " ".join(f"M{x} {y}h0" for x, y in points)
        dot = Markup('<path d="{}" fill="none" stroke="{}" stroke-width="4.4" stroke-linecap="round"/>')
        parts.append(dot.format(dots, colour))
    return Markup("").join(parts)


@functools.lru_cache(maxsize=256)
def _grid(y: _Scale, *, is_share: bool) -> Markup:
    mark = Markup(
        '<path d="M{} {}H{}" stroke="#d6d6d6"/><text x="{}" y="{}" text-anchor="end" fill="#5c5c5c">{}</text>'
    )
    texts = [(tick, f"{100 * tick:.0f}" if is_share else tick_text(tick)) for tick in y.ticks]
    return Markup("").join(
        mark.format(_LEFT, y.place(tick), _WIDTH - _RIGHT, _LEFT - 4, y.place(tick) + 3.5, text) for tick, text in texts
    )


@functools.lru_cache(maxsize=256)
def _steps(x: _Scale) -> Markup:
    mark = Markup('<text x="{}" y="{}" text-anchor="middle" fill="#5c5c5c">{}</text>')
    ticks = [mark.format(x.place(tick), _HEIGHT - _BOTTOM + 14, tick_text(tick)) for tick in x.ticks]
    name = mark.format((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 5, "step")
    return Markup("").join([*ticks, name])


def _title(text: str) -> Markup:
    shown = str(visible(text))
    shown = shown if len(shown) <= 34 else f"{shown[:33]}…"
    return Markup('<text x="4" y="13" font-size="12" font-weight="600">{}</text>').format(shown)


def reliability_charts(bins: Mapping[str, Sequence[Bin]]) -> tuple[Markup, ...]:
    """One chart a method: how often rows were right, by confidence, beside the line of perfect calibration.

    Args:
        bins: by method, as `pooled_bins` gives them.
    Returns:
        SVG elements.
    """
    return tuple(_reliability_chart(METHODS.get(method, method), each) for method, each in bins.items())


def _reliability_chart(name: str, bins: Sequence[Bin]) -> Markup:
    x = _Scale(low=0.0, high=1.0, start=_LEFT, end=_LEFT + _SIDE - 52)
    y = _Scale(low=0.0, high=1.0, start=_TOP + 12 + _SIDE - 52, end=_TOP + 12)
    bottom = y.start
    parts = [
        Markup('<text x="4" y="13" font-size="12" font-weight="600">{}</text>').format(visible(name)),
        Markup('<text x="4" y="28" fill="#5c5c5c">ECE {} %</text>').format(f"{100 * calibration_error(bins):.1f}"),
    ]
    outlines = (f"M{x.place(one.low)} {bottom}V{y.place(one.share)}H{x.place(one.high)}V{bottom}z" for one in bins)
    bars = Markup('<path d="{}" fill="#56b4e9" stroke="#fff" stroke-width=".6"/>')
    parts.append(bars.format(" ".join(outlines)))
    parts.append(_reliability_frame(x, y))
    label = f"Reliability {name}: share that was right by confidence"
    return _svg(_WIDTH, int(bottom) + 36, label, parts)


@functools.lru_cache(maxsize=8)
def _reliability_frame(x: _Scale, y: _Scale) -> Markup:
    """Both axes with their texts, and the line on which confidence is as high as the share of right answers."""
    bottom = y.start
    frame = Markup('<path d="M{} {}V{}H{}" fill="none" stroke="#8a8a8a"/>')
    line = Markup('<path d="M{} {}L{} {}" stroke="#5c5c5c" stroke-dasharray="4 3"/>')
    parts = [frame.format(x.start, y.end, bottom, x.end), line.format(x.start, bottom, x.end, y.end)]
    left = Markup('<text x="{}" y="{}" text-anchor="end" fill="#5c5c5c">{}</text>')
    below = Markup('<text x="{}" y="{}" text-anchor="middle" fill="#5c5c5c">{}</text>')
    for percent in (0, 50, 100):
        parts.append(left.format(_LEFT - 4, y.place(percent / 100) + 3.5, percent))
        parts.append(below.format(x.place(percent / 100), bottom + 14, percent))
    parts.append(below.format((x.start + x.end) / 2, bottom + 29, "confidence (%)"))
    return Markup("").join(parts)


def _svg(width: int, height: int, label: str, parts: Sequence[Markup]) -> Markup:
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}" font-size="10">{}</svg>').format(
        width, height, visible(label), Markup("").join(parts)
    )
