"""Accuracy and F1 of every arm as bars from zero, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from matplotlib.axes import Axes

from analysis.arms import Estimate, Point, estimates
from analysis.figures.canvas import bars, entitle, new_panels, rows_height, share_scale, styled, tidy
from analysis.figures.material import Drawing, Drawn, Material, NothingToDraw, limited
from analysis.file_names import slug
from analysis.heatmap_layout import axis_text
from analysis.style import metric_style

MOST_ARMS: Final = 30
METRICS: Final = ("accuracy", "subset_accuracy", "f1_macro", "f1_micro", "f1_weighted", "f1_samples")
_BAR_ROOM: Final = 1.7


@styled
def metric_bars(found: Mapping[str, Sequence[Estimate]], *, title: str = "", note: str = "") -> tuple[Axes, ...]:
    """Draw several metrics of the same arms side by side.

    Args:
        found: by metric, the estimates of one column; every metric of the same arms.
        title: over the first panel.
        note: under the title.
    Returns:
        one axes a metric.
    """
    arms = [one.arm for one in next(iter(found.values()))]
    height = rows_height(len(arms))
    panels = new_panels([(_BAR_ROOM, height)] * len(found), columns=len(found), gap=(0.55, 0.3))
    for place, (axes, (metric, each)) in enumerate(zip(panels, found.items(), strict=True)):
        style = metric_style(metric)
        by_arm = {one.arm.key: one for one in each}
        here = [by_arm.get(arm.key) for arm in arms]
        values = [None if one is None else one.mean for one in here]
        bars(axes, [arm.title for arm in arms], [(metric, values)], style)
        _intervals(axes, here)
        share_scale(axes, style, along="x")
        axes.set_xticks([0.0, 0.5, 1.0], labels=["0", "50", "100"])
        tidy(axes, x=f"{axis_text(metric)}{style.unit}", grid="x")
        axes.tick_params(axis="y", length=0, labelleft=place == 0)
        axes.spines["left"].set_visible(False)
    if title:
        entitle(panels[0], title, note)
    return tuple(panels)


def _intervals(axes: Axes, here: Sequence[Estimate | None]) -> None:
    for row, (one, text) in enumerate(zip(here, axes.texts, strict=True)):
        if one is not None and one.low is not None and one.high is not None:
            axes.plot([one.low, one.high], [row, row], color="#1a1a1a", linewidth=1.0, solid_capstyle="butt")
            text.set_x(max(text.get_position()[0], one.high + 0.02))


def bars_of(material: Material, column: Point) -> dict[str, list[Estimate]]:
    """Estimates of every metric that the arms of a column have, arms in one order; baselines are never left out."""
    every = material.arms_in(column)
    baselines = [one for one in every if one.is_baseline]
    arms = [*material.arms_in(column, baselines=False)[: MOST_ARMS - len(baselines)], *baselines]
    keys = [one.arm.key for one in arms]
    found: dict[str, list[Estimate]] = {}
    for metric in METRICS:
        if not material.has(metric):
            continue
        shown = material.found if metric == material.metric else estimates(material.results, metric=metric)
        axes = column.axes
        here = {
            one.arm.key: one
            for one in shown
            if one.mean is not None and tuple(one.column[axis] for axis in axes) == column.values
        }
        if here:
            found[metric] = [here[key] for key in keys if key in here]
    return {metric: each for metric, each in found.items() if len(each) == len(keys)}


def plan_metric_bars(material: Material) -> Drawn:
    """One picture for the largest column of each kind of data, the last one first."""
    pictures = []
    for column in reversed(material.large_columns):
        found = bars_of(material, column)
        if found:
            left_out = len(material.arms_in(column)) - len(next(iter(found.values())))
            note = f"{left_out} more models are not shown" if left_out else ""

            def draw(
                found: Mapping[str, Sequence[Estimate]] = found, title: str = column.title, note: str = note
            ) -> tuple[Axes, ...]:
                return metric_bars(found, title=title, note=note)

            pictures.append(Drawing(part=slug(column.title), draw=draw))
    if not pictures:
        raise NothingToDraw("no finished cell has accuracy or F1")
    return limited(pictures, "columns")
