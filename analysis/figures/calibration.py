"""Reliability before and after calibration: how often rows were right, by how sure the model was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from matplotlib.axes import Axes

from analysis.figures.canvas import PALETTE, SMALL_SIZE, entitle, key, new_panels, styled, tidy
from analysis.figures.evidence import RELIABILITY, Bin, calibration_error, pooled_bins, read_columns
from analysis.figures.material import Drawn, Material, NothingToDraw, one_an_arm
from analysis.loading import Results
from analysis.style import INK, QUIET

_PANEL: Final = (1.9, 1.9)
METHODS: Final = {
    "none": "before",
    "temperature": "after temperature",
    "label_temperatures": "after temperatures of labels",
    "isotonic": "after isotonic regression",
}


@styled
def reliability(results: Results, cells: Sequence[str], *, title: str = "") -> tuple[Axes, ...]:
    """Draw bins of confidence, pooled over cells that differ in their seed: before, and after each method.

    Args:
        results: a loaded store.
        cells: ids; those without bins are left out.
        title: over the first panel.
    Returns:
        one axes a method.
    Raises:
        NothingToDraw: none of the cells keeps bins.
    """
    tables = [table for cell in cells if (table := read_columns(results.folders.get(cell), RELIABILITY)) is not None]
    bins = pooled_bins(tables)
    if not bins:
        raise NothingToDraw("no cell keeps bins of confidence")
    panels = new_panels([_PANEL] * len(bins), columns=4, gap=(0.6, 0.8))
    for axes, (method, each) in zip(panels, bins.items(), strict=True):
        _panel(axes, each, METHODS.get(method, method))
    panels[0].set_ylabel("share that was right (%)", size=9)
    key(panels[min(3, len(panels) - 1)])
    if title:
        entitle(panels[0], title, "" if len(tables) == 1 else f"bins pooled over {len(tables)} seeds")
    return tuple(panels)


def _panel(axes: Axes, bins: Sequence[Bin], name: str) -> None:
    axes.bar(
        [one.low for one in bins],
        [one.share for one in bins],
        width=[one.high - one.low for one in bins],
        align="edge",
        color=PALETTE[5],
        edgecolor="#ffffff",
        linewidth=0.6,
        label="right, of the rows of a bin",
    )
    axes.plot([0, 1], [0, 1], color=QUIET, linewidth=0.9, linestyle=(0, (4, 3)), label="as sure as right")
    axes.plot(
        [one.confidence for one in bins],
        [one.share for one in bins],
        linestyle="none",
        marker="o",
        markersize=3.5,
        color=INK,
        label="mean confidence of a bin",
    )
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    ticks = [0.0, 0.25, 0.5, 0.75, 1.0]
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(ticks, labels=["0", "25", "50", "75", "100"])
    axes.set_title(f"{name}\nECE {100 * calibration_error(bins):.1f} %", size=SMALL_SIZE + 0.5, loc="left")
    tidy(axes, x="confidence (%)")


def plan_reliability(material: Material) -> Drawn:
    """One picture for each arm in the column of each dataset with most labels and rows."""
    nothing = "no finished cell keeps bins of confidence"
    return one_an_arm(material, reliability, has=lambda cells: material.keeps(cells, RELIABILITY), nothing=nothing)
