"""The table that papers print: arms by scores and costs, the best of each column marked in its good direction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from analysis.arms import Estimate, Point
from analysis.costs import TRAINING_SECONDS
from analysis.figures.material import Drawn, Material, NothingToDraw
from analysis.heatmap_layout import axis_text
from analysis.style import metric_style, short_number
from analysis.tables import Table

SCORES: Final = (
    "accuracy",
    "subset_accuracy",
    "f1_weighted",
    "f1_macro",
    "f1_micro",
    "f1_samples",
    "precision_weighted",
    "recall_weighted",
    "f1_macro_at_label_thresholds",
    "f1_micro_at_label_thresholds",
    "f1_samples_at_label_thresholds",
    "subset_accuracy_at_label_thresholds",
    "hamming_loss",
    "loss",
    "ece",
    "ece_macro",
)
_TITLES: Final = {"ece": "calibration error (ECE)", "ece_macro": "calibration error of labels (ECE, mean)"}
COSTS: Final = (
    ("epochs", "epochs", ""),
    (TRAINING_SECONDS, "seconds alone", "lower"),
    ("solo_train_samples_per_second", "rows per second alone", "higher"),
    ("solo_peak_memory_bytes", "peak memory alone (MB)", "lower"),
    ("trainable_parameters", "trained parameters", "lower"),
)


@dataclass(frozen=True, kw_only=True)
class NumberColumn:
    """One column of the table: a score or a cost of every arm."""

    title: str
    unit: str
    values: tuple[float | None, ...]
    better: str
    """higher | lower | empty."""
    text: Callable[[float], str]
    """How a page writes a value; files have it in full."""

    @property
    def best(self) -> list[int]:
        """All rows with the best number; none where neither end is good, or fewer than two rows differ."""
        known = [number for number in self.values if number is not None]
        if not self.better or len(set(known)) < 2:
            return []
        top = min(known) if self.better == "lower" else max(known)
        return [row for row, number in enumerate(self.values) if number == top]


def number_columns(material: Material, arms: Sequence[Estimate]) -> list[NumberColumn]:
    """Everything that is known of some arms, means over the seeds.

    Scores of baselines count when the best is looked for, their costs do not: they train nothing.
    """
    found = []
    for metric in SCORES:
        style = metric_style(metric)
        scores = tuple(material.mean_of(metric, one.cells) for one in arms)
        title = _TITLES.get(metric) or axis_text(metric)
        text = _three_places if metric in _TITLES else style.text
        found.append(NumberColumn(title=title, unit=style.unit, values=scores, better=style.better, text=text))
    for cost, title, better in COSTS:
        costs = tuple(None if one.is_baseline else _cost(material, one, cost) for one in arms)
        found.append(NumberColumn(title=title, unit="", values=costs, better=better, text=short_number))
    return [column for column in found if any(value is not None for value in column.values)]


def strategy_table(material: Material, column: Point, *, name: str = "strategy-table") -> Table:
    """Arms of one column by everything that is known of them.

    Args:
        material: the store.
        column: which data.
        name: of the files.
    Returns:
        a table with means over the seeds; its best values are marked: the highest, or the lowest where less is better.
    """
    arms = material.arms_in(column)
    found = number_columns(material, arms)
    rows = [(one.arm.title, len(one.seeds), *(each.values[row] for each in found)) for row, one in enumerate(arms)]
    return Table(
        name=name,
        caption=strategy_caption(material, column),
        columns=("arm", "seeds", *(each.title for each in found)),
        rows=tuple(rows),
        best=frozenset((row, place) for place, each in enumerate(found, start=2) for row in each.best),
    )


def strategy_caption(material: Material, column: Point) -> str:
    """What the table says, of which data."""
    return f"{material.results.grid}: {column.title}; means over the seeds, best values marked"


def _cost(material: Material, one: Estimate, cost: str) -> float | None:
    if cost != TRAINING_SECONDS:
        found = material.cost_of(cost, one.cells)
        if found is None:
            return None
        scaled = found / 1e6 if cost.endswith("_bytes") else found
        return int(scaled) if scaled.is_integer() else scaled  # 463900, where a fraction would be written 4.639e+05
    step, steps = (material.cost_of(name, one.cells) for name in ("solo_step_seconds", "stopped_step"))
    return None if step is None or steps is None else step * steps


def strategy_columns(material: Material) -> list[Point]:
    """The largest column of each kind of data with at least two arms, the last one first."""
    return [column for column in reversed(material.large_columns) if len(material.arms_in(column)) > 1]


def plan_strategy_table(material: Material) -> Drawn:
    """One table for the largest column of each kind of data, the last one first; the first has no number."""
    columns = strategy_columns(material)
    if not columns:
        raise NothingToDraw("no column has two arms")
    tables = [
        strategy_table(material, column, name="strategy-table" if not place else f"strategy-table-{place + 1}")
        for place, column in enumerate(columns[:12])
    ]
    return Drawn(tables=tuple(tables))


def _three_places(value: float) -> str:
    """A calibration error: what lies below a thousandth is none that anybody could use."""
    return f"{value:.3f}"
