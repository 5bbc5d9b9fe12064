"""How numbers look: which end is good, how they are written, which colours carry them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import matplotlib
from matplotlib.colors import Colormap, to_rgb

PAPER: Final = "#ffffff"
INK: Final = "#1a1a1a"
QUIET: Final = "#5c5c5c"
EMPTY: Final = "#eeeeee"
"""Ground of tiles without a number: a grey, which the colour map does not contain."""
HATCH: Final = "#a9a9a9"

_LOWER_IS_BETTER: Final = (
    *("loss", "brier", "ece", "hamming", "train_seconds", "peak_memory", "total_flops"),
    *("solo_step_seconds", "solo_peak_memory", "solo_feature_seconds"),
)
_UNIT_INTERVAL: Final = (
    "accuracy",
    "balanced_accuracy",
    "f1",
    "precision",
    "recall",
    "roc_auc",
    "average_precision",
    "jaccard",
    "subset_accuracy",
)
_NEUTRAL: Final = ("trainable_parameters", "total_parameters", "epochs", "best_step", "stopped_step", "support")
_PREFIXES: Final = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True, kw_only=True)
class MetricStyle:
    """How one metric is written and coloured."""

    name: str
    is_share: bool
    """Between 0 and 1: written in per cent, coloured on the full range so that figures can be compared."""
    better: str
    """higher | lower | empty where neither end is good."""

    @property
    def unit(self) -> str:
        """What stands behind the name: (%) for shares, nothing otherwise."""
        return " (%)" if self.is_share else ""

    @property
    def colours(self) -> Colormap:
        """Viridis: even steps, safe for the colour-blind; its light end is the good one."""
        return matplotlib.colormaps["viridis_r" if self.better == "lower" else "viridis"]

    def text(self, value: float) -> str:
        """A number for a tile: four significant places at most."""
        if self.is_share:
            return f"{100 * value:.1f}"
        return short_number(value)

    def limits(self, values: list[float]) -> tuple[float, float]:
        """Both ends of the colour scale."""
        if self.is_share or not values:
            return 0.0, 1.0
        low, high = min(values), max(values)
        return (low, high) if high > low else (low - 0.5, low + 0.5)


def metric_style(name: str) -> MetricStyle:
    """The style of a metric; an unknown one is a plain number without a good end."""
    is_share = name.startswith(_UNIT_INTERVAL)
    lower = name.startswith(_LOWER_IS_BETTER)
    higher = is_share or name.endswith("samples_per_second")
    better = "" if name.startswith(_NEUTRAL) else "lower" if lower else "higher" if higher else ""
    return MetricStyle(name=name, is_share=is_share, better=better)


def short_number(value: float) -> str:
    """A number in at most six characters: 0.693, 12.5, 1.23M, -4.2e-07."""
    size = abs(value)
    if size and size < 1e-3:
        return f"{value:.0e}"
    for factor, letter in _PREFIXES:
        if size >= factor and size >= 9999.5:
            return f"{value / factor:.3g}{letter}"
    if size >= 100 or float(value).is_integer():
        return f"{value:.0f}"
    return f"{value:.3f}" if size < 1 else f"{value:.2f}" if size < 10 else f"{value:.1f}"


def tick_text(value: float) -> str:
    """A number on a scale: 0.5, 20, 10k, 1e-05."""
    return short_number(value) if abs(value) >= 9999.5 else f"{value:.4g}"


def short_setting(value: float) -> str:
    """A setting as people write it: 0.1, 1e-4, 2.5e-5."""
    if value and abs(value) < 1e-2:
        mantissa, exponent = f"{value:.5e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{value:g}"


def ink_on(colour: Any) -> str:
    """Black or white, whichever has the higher contrast on a colour (WCAG relative luminance)."""
    luminance = relative_luminance(colour)
    white, black = 1.05 / (luminance + 0.05), (luminance + 0.05) / 0.05
    return "#ffffff" if white > black else "#000000"


def relative_luminance(colour: Any) -> float:
    """Brightness of a colour as an eye sees it: 0 black to 1 white."""
    linear = [c / 12.92 if c <= 0.04045 else math.pow((c + 0.055) / 1.055, 2.4) for c in to_rgb(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@contextmanager
def figure_settings() -> Iterator[None]:
    """The same pictures on every machine, whatever its matplotlibrc says; names are never read as formulas."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(
            {
                "font.family": "DejaVu Sans",
                "text.parse_math": False,
                "text.usetex": False,
                "text.color": INK,
                "axes.linewidth": 0.6,
                "hatch.linewidth": 0.7,
                "svg.hashsalt": "finegrid",
                "svg.fonttype": "path",
            }
        )
        yield
