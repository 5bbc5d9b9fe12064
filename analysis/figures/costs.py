"""What scores cost: against trained parameters, memory and time; and bars of trained parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from matplotlib.axes import Axes

from analysis.arms import Estimate
from analysis.costs import TRAINING_SECONDS, cost_points
from analysis.figures.canvas import (
    bars,
    colour,
    entitle,
    key,
    label_of,
    marker,
    new_axes,
    new_panels,
    rows_height,
    share_scale,
    styled,
    tidy,
)
from analysis.figures.material import Drawing, Drawn, Material, NothingToDraw, limited
from analysis.file_names import slug
from analysis.heatmap_layout import axis_text
from analysis.style import INK, MetricStyle, metric_style, tick_text

_PANEL: Final = (2.6, 2.1)
_SHARE: Final = "trained_share"
_COSTS: Final = (
    ("trainable_parameters", "trained parameters"),
    (_SHARE, "trained, of all parameters (%)"),
    (TRAINING_SECONDS, "seconds of training, alone on the device"),
    ("solo_peak_memory_bytes", "peak memory alone (bytes)"),
    ("train_seconds", "seconds of training (share of a pack)"),
    ("peak_memory_bytes", "peak memory of the whole pack (bytes)"),
)
_INSTEAD: Final = {"train_seconds": TRAINING_SECONDS, "peak_memory_bytes": "solo_peak_memory_bytes"}
"""Measured inside a pack, these depend on neighbours: shown only where nothing was measured alone."""


@dataclass(frozen=True, kw_only=True)
class Priced:
    """One arm with its score and one cost."""

    title: str
    cost: float
    score: float
    low: float | None
    high: float | None


@styled
def score_against_cost(
    points: Sequence[Priced],
    style: MetricStyle,
    *,
    cost: str,
    places: Mapping[str, int] | None = None,
    axes: Axes | None = None,
) -> Axes:
    """Draw scores over a cost on a logarithmic scale, and the line that nothing cheaper passes.

    Args:
        points: one an arm; costs above 0.
        style: of the score.
        cost: name of the horizontal axis.
        places: of the arms, by title, so that one has the same colour in every panel; None: their order here.
        axes: to draw on; None: new ones.
    Returns:
        the axes.
    """
    axes = axes if axes is not None else new_axes(*_PANEL)
    for order, one in enumerate(points):
        place = order if places is None else places[one.title]
        if one.low is not None and one.high is not None:
            axes.plot([one.cost, one.cost], [one.low, one.high], color=colour(place), linewidth=1.3, alpha=0.55)
        look: dict[str, Any] = {
            "color": colour(place),
            "marker": marker(place),
            "markersize": 6,
            "zorder": 3,
        }
        axes.plot([one.cost], [one.score], linestyle="none", label=label_of(one.title), **look)
    front = _front(points, style.better)
    axes.set_xscale("log")
    low, high = min(one.cost for one in points), max(one.cost for one in points)
    axes.set_xlim(low / 1.6, high * 1.6)
    if len(front) > 1:
        x = [one.cost for one in front] + [high * 1.6]
        y = [one.score for one in front] + [front[-1].score]
        axes.step(x, y, where="post", color=INK, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
    _few_ticks(axes, low, high)
    share_scale(axes, style, along="y")
    tidy(axes, x=cost, y=f"{axis_text(style.name)}{style.unit}")
    return axes


def _front(points: Sequence[Priced], best: str) -> list[Priced]:
    """The points that no cheaper one matches, cheapest first."""
    sign = -1.0 if best == "lower" else 1.0
    front: list[Priced] = []
    for one in sorted(points, key=lambda one: (one.cost, -sign * one.score)):
        if not front or sign * one.score > sign * front[-1].score:
            front.append(one)
    return front


def _few_ticks(axes: Axes, low: float, high: float) -> None:
    """Three or four round numbers, wherever the scale begins and ends."""
    decades = [factor * 10.0**power for power in range(-9, 19) for factor in (1, 2, 5)]
    inside = [tick for tick in decades if low / 1.6 <= tick <= high * 1.6]
    step = max(1, -(-len(inside) // 4))
    ticks = inside[::step] or [low]
    axes.set_xticks(ticks, labels=_tick_texts(ticks))
    axes.minorticks_off()


def priced(material: Material, here: Sequence[Estimate], cost: str) -> list[Priced]:
    """Arms of one column with one cost; arms without it, or with none to pay, are left out."""
    points = {point.arm.key: point.costs for point in cost_points(material.results, here)}
    found = []
    for one in here:
        value = points.get(one.arm.key, {}).get(cost)
        if cost == _SHARE:
            value = _share(material, one)
        elif cost in _INSTEAD:
            value = material.cost_of(cost, one.cells)
        if value is not None and value > 0 and one.mean is not None:
            found.append(Priced(title=one.arm.title, cost=value, score=one.mean, low=one.low, high=one.high))
    return found


def _share(material: Material, one: Estimate) -> float | None:
    trained, total = (material.cost_of(name, one.cells) for name in ("trainable_parameters", "total_parameters"))
    return 100 * trained / total if trained is not None and total else None


@styled
def score_against_costs(material: Material, here: Sequence[Estimate], *, title: str) -> tuple[Axes, ...]:
    """One panel for each cost that at least two arms of a column have."""
    shown: list[tuple[str, str, list[Priced]]] = []
    for cost, name in _COSTS:
        points = priced(material, here, cost)
        replaced = _INSTEAD.get(cost)
        if len(points) > 1 and not (replaced and any(known == replaced for known, _, _ in shown)):
            shown.append((cost, name, points))
    if not shown:
        raise NothingToDraw("fewer than two arms have a cost")
    panels = new_panels([_PANEL] * len(shown), columns=2, gap=(0.75, 0.7))
    style = metric_style(here[0].metric)
    order = {one.arm.title: place for place, one in enumerate(here)}
    for axes, (_, name, points) in zip(panels, shown, strict=True):
        score_against_cost(points, style, cost=name, places=order, axes=axes)
    entitle(panels[0], title)
    key(panels[min(1, len(panels) - 1)])
    return tuple(panels)


def plan_score_against_cost(material: Material) -> Drawn:
    """One picture for the largest column of each kind of data, the last one first."""
    pictures = []
    for column in reversed(material.large_columns):
        here = [one for one in material.arms_in(column) if one.arm["strategy"] != "majority"]
        if sum(len(priced(material, here, cost)) > 1 for cost, _ in _COSTS):

            def draw(here: Sequence[Estimate] = here, title: str = column.title) -> tuple[Axes, ...]:
                return score_against_costs(material, here, title=title)

            pictures.append(Drawing(part=slug(column.title), draw=draw))
    if not pictures:
        raise NothingToDraw("no column has two arms with a cost")
    return limited(pictures, "columns")


@styled
def trained_parameters(
    rows: Sequence[tuple[str, float, float | None]], *, title: str = "", axes: Axes | None = None
) -> Axes:
    """Bars of trained parameters from zero.

    Args:
        rows: name of an arm, its trained parameters, and all its parameters where they are known.
        title: over the bars.
        axes: to draw on; None: new ones.
    Returns:
        the axes.
    """
    axes = axes if axes is not None else new_axes(3.4, rows_height(len(rows)))
    style = metric_style("trainable_parameters")
    bars(axes, [name for name, _, _ in rows], [("trained parameters", [count for _, count, _ in rows])], style)
    for text, (_, count, total) in zip(axes.texts, rows, strict=True):
        share = f"  ({_percent(100 * count / total)} of all)" if total else ""
        text.set_text(f"{count:,.0f}{share}")
    tidy(axes, x="trained parameters", grid="x")
    axes.locator_params(axis="x", nbins=4)
    axes.xaxis.set_major_formatter(lambda value, _: tick_text(value))
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    if title:
        entitle(axes, title)
    return axes


def _percent(value: float) -> str:
    return f"{value:.3g} %" if value < 99.95 else "100 %"


def parameter_rows(material: Material) -> list[tuple[str, float, float | None]]:
    """Trained arms of the last column, as declared."""
    if not material.columns:
        return []
    rows = []
    for one in material.arms_in(material.columns[-1], baselines=False):
        trained, total = (material.cost_of(name, one.cells) for name in ("trainable_parameters", "total_parameters"))
        if trained is not None:
            rows.append((one.arm.title, trained, total))
    return rows


def plan_trained_parameters(material: Material) -> Drawn:
    """All arms of the column with most labels: a head grows with the labels."""
    rows = parameter_rows(material)
    if not rows:
        raise NothingToDraw("no trained cell says how many parameters it trained")
    title = f"Trained parameters: {material.columns[-1].title}"
    return Drawn(pictures=(Drawing(part="", draw=lambda: trained_parameters(rows, title=title)),))


def _tick_texts(ticks: Sequence[float]) -> list[str]:
    """All in thousands where one is: `5k, 10k`, not `5000, 10k`."""
    in_thousands = max(ticks) >= 9999.5 and max(ticks) < 1e6 and all(tick >= 1000 for tick in ticks)
    return [f"{tick / 1000:g}k" if in_thousands else tick_text(tick) for tick in ticks]
