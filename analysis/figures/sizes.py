"""Scores over rows for training, with intervals: one panel for each kind of data, one line an arm."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from matplotlib.axes import Axes

from analysis.arms import Estimate
from analysis.figures.canvas import MOST_LINES, key, label_of, line_look, new_panels, share_scale, styled, tidy
from analysis.figures.material import SIZE_AXIS, Drawing, Drawn, Material, NothingToDraw, limited
from analysis.heatmap_layout import axis_text
from analysis.lettering import drawable, wrapped
from analysis.style import MetricStyle, metric_style, short_number

MOST_PANELS: Final = 12
_PANEL: Final = (2.7, 2.0)
_SPREAD: Final = 0.05
"""Share of the distance between two sizes over which the lines of one size are spread, so that bars do not cover
each other."""


@styled
def size_curves(found: Sequence[Estimate]) -> tuple[Axes, ...]:
    """Draw estimates of one metric over the rows for training.

    Args:
        found: estimates; those without a number or a size are left out.
    Returns:
        one axes for each kind of data with at least two sizes.
    Raises:
        NothingToDraw: no arm has two sizes.
    """
    groups = _groups(found)
    if not groups:
        raise NothingToDraw("no kind of data has two sizes")
    style = metric_style(found[0].metric)
    arms = list(dict.fromkeys(one.arm.key for one in sorted(found, key=lambda one: one.is_baseline)))
    panels = new_panels([_PANEL] * len(groups), columns=3, gap=(0.65, 0.95))
    for axes, group in zip(panels, groups.values(), strict=True):
        _panel(axes, group, arms, style)
    key(panels[min(2, len(panels) - 1)])
    return tuple(panels)


def _groups(found: Sequence[Estimate]) -> Mapping[Any, list[Estimate]]:
    groups: dict[Any, list[Estimate]] = defaultdict(list)
    for one in found:
        if one.mean is not None and isinstance(one.column[SIZE_AXIS], int):
            groups[one.column.without(SIZE_AXIS).key].append(one)
    return {key: group for key, group in groups.items() if len({one.column[SIZE_AXIS] for one in group}) > 1}


def _panel(axes: Axes, group: Sequence[Estimate], arms: Sequence[Any], style: MetricStyle) -> None:
    sizes = sorted({int(one.column[SIZE_AXIS]) for one in group})
    ratio = (sizes[-1] / sizes[0]) ** (_SPREAD / max(1, len(arms)))
    for place, arm in enumerate(arms):
        line = sorted((one for one in group if one.arm.key == arm), key=lambda one: int(one.column[SIZE_AXIS]))
        if not line:
            continue
        moved = ratio ** (place - (len(arms) - 1) / 2)
        x = [int(one.column[SIZE_AXIS]) * moved for one in line]
        y = [one.mean or 0.0 for one in line]
        look = line_look(place)
        axes.plot(x, y, label=label_of(line[0].arm.title), clip_on=False, **look)
        for left, one in zip(x, line, strict=True):
            if one.low is not None and one.high is not None:
                axes.plot([left, left], [one.low, one.high], color=look["color"], linewidth=1.2, alpha=0.55)
    axes.set_xscale("log")
    axes.set_xlim(sizes[0] / 1.12, sizes[-1] * 1.12)
    axes.set_xticks(sizes, labels=_thinned(sizes))
    axes.minorticks_off()
    share_scale(axes, style, along="y")
    title = wrapped(drawable(group[0].column.without(SIZE_AXIS).title), 9, _PANEL[0], max_lines=2)
    axes.set_title(title, loc="left", size=9)
    tidy(axes, x="rows for training", y=f"{axis_text(style.name)}{style.unit}")


def _thinned(sizes: Sequence[int]) -> list[str]:
    """Sizes as ticks; on a crowded scale those too near to the one before have no text."""
    texts, last = [], 0.0
    step = (sizes[-1] / sizes[0]) ** (1 / 6)
    for size in sizes:
        is_far = last == 0 or size >= last * step
        texts.append(short_number(size) if is_far else "")
        last = size if is_far else last
    return texts


def plan_size_curves(material: Material) -> Drawn:
    """All arms, twelve a picture; kinds of data twelve a picture."""
    groups = _groups(material.found)
    if not groups:
        raise NothingToDraw("no arm has two numbers of rows for training")
    arms = list(dict.fromkeys(one.arm.key for one in material.found if one.mean is not None))
    kinds = list(groups)
    pictures: list[Drawing] = []
    for first in range(0, len(kinds), MOST_PANELS):
        for start in range(0, len(arms), MOST_LINES):
            chosen_kinds, chosen = kinds[first : first + MOST_PANELS], set(arms[start : start + MOST_LINES])
            here = [one for kind in chosen_kinds for one in groups[kind] if one.arm.key in chosen]
            if here:
                number = len(pictures) + 1

                def draw(here: Sequence[Estimate] = here) -> tuple[Axes, ...]:
                    return size_curves(here)

                pictures.append(Drawing(part="" if number == 1 else str(number), draw=draw))
    return limited(pictures, "groups of arms")
