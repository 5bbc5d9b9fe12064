"""The table that papers print: arms by scores and costs, the best of each column marked in its good direction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from analysis.arms import Estimate, Point
from analysis.costs import TRAINING_SECONDS
from analysis.figures.material import Drawn, Material, NothingToDraw
from analysis.heatmap_layout import axis_text
from analysis.style import metric_style
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
    "hamming_loss",
    "loss",
    "ece",
    "ece_macro",
)
COSTS: Final = (
    ("epochs", "epochs", ""),
    (TRAINING_SECONDS, "seconds alone", "lower"),
    ("solo_train_samples_per_second", "rows per second alone", "higher"),
    ("solo_peak_memory_bytes", "peak memory alone (MB)", "lower"),
    ("trainable_parameters", "trained parameters", "lower"),
)


def strategy_table(material: Material, column: Point, *, name: str = "strategy-table") -> Table:
    """Arms of one column by everything that is known of them.

    Args:
        material: the store.
        column: which data.
        name: of the files.
    Returns:
        a table with means over the seeds; its best values are marked: the highest, or the lowest where less is better.
        Scores of baselines count, their costs do not: they train nothing.
    """
    arms = material.arms_in(column)
    columns: list[str] = ["arm", "seeds"]
    values: list[list[Any]] = [[one.arm.title for one in arms], [len(one.seeds) for one in arms]]
    best: set[tuple[int, int]] = set()
    for metric in SCORES:
        numbers = [material.mean_of(metric, one.cells) for one in arms]
        if any(number is not None for number in numbers):
            best |= {(row, len(columns)) for row in _best_rows(numbers, metric_style(metric).better)}
            columns.append(axis_text(metric))
            values.append(list(numbers))
    for cost, title, better in COSTS:
        numbers = [None if one.is_baseline else _cost(material, one, cost) for one in arms]
        if any(number is not None for number in numbers):
            best |= {(row, len(columns)) for row in _best_rows(numbers, better)}
            columns.append(title)
            values.append(list(numbers))
    return Table(
        name=name,
        caption=f"{material.results.grid}: {column.title}; means over the seeds, best values marked",
        columns=tuple(columns),
        rows=tuple(zip(*values, strict=True)),
        best=frozenset(best),
    )


def _cost(material: Material, one: Estimate, cost: str) -> float | None:
    if cost != TRAINING_SECONDS:
        found = material.cost_of(cost, one.cells)
        if found is None:
            return None
        scaled = found / 1e6 if cost.endswith("_bytes") else found
        return int(scaled) if scaled.is_integer() else scaled  # 463900, where a fraction would be written 4.639e+05
    step, steps = (material.cost_of(name, one.cells) for name in ("solo_step_seconds", "stopped_step"))
    return None if step is None or steps is None else step * steps


def _best_rows(numbers: Sequence[float | None], better: str) -> list[int]:
    """All rows with the best number; none where neither end is good, or fewer than two rows differ."""
    known = [number for number in numbers if number is not None]
    if not better or len(set(known)) < 2:
        return []
    top = min(known) if better == "lower" else max(known)
    return [row for row, number in enumerate(numbers) if number == top]


def plan_strategy_table(material: Material) -> Drawn:
    """One table for the largest column of each kind of data, the last one first; the first has no number."""
    columns = [column for column in reversed(material.large_columns) if len(material.arms_in(column)) > 1]
    if not columns:
        raise NothingToDraw("no column has two arms")
    tables = [
        strategy_table(material, column, name="strategy-table" if not place else f"strategy-table-{place + 1}")
        for place, column in enumerate(columns[:12])
    ]
    return Drawn(tables=tuple(tables))
