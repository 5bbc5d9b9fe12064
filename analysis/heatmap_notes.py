"""What stands under a heatmap: a legend of the signs that occur, and what a reader must know to trust the numbers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from analysis.aggregate import Pivot, Status
from analysis.heatmap_layout import (
    FAILED_SIGN,
    MARK_SIGN,
    NOT_RUN_SIGN,
    STANDING_SIGNS,
    UNDEFINED_SIGN,
    axis_text,
    chance_level,
)
from analysis.lettering import drawable
from analysis.loading import COSTS, SOLO_COSTS
from analysis.report_standing import Standing

_MOST_ITEMS = 4
_ATTRIBUTED = (
    "train_seconds",
    "train_samples_per_second",
    "eval_samples_per_second",
    "peak_memory_bytes",
    "total_flops",
)


@dataclass(frozen=True, kw_only=True)
class LegendEntry:
    """One sign and its meaning."""

    sign: str
    text: str
    status: Status | None = None
    """Whose hatching the swatch shows; None for signs that stand on a number."""
    is_tied: bool = False
    """The swatch shows the hatching of arms that cannot be told from the best."""


def legend_entries(pivot: Pivot, standing: Collection[Standing] = ()) -> tuple[LegendEntry, ...]:
    """Explain the signs that occur in a figure, and no others."""
    tiles = [pivot.tile(row, col) for row in pivot.rows for col in pivot.cols]
    found = {tile.status for tile in tiles}
    partial = [tile for tile in tiles if tile.numbers and len(tile.numbers) < tile.declared]
    entries = [
        LegendEntry(sign=sign, text=str(each), is_tied=each is Standing.TIED)
        for each, sign in STANDING_SIGNS.items()
        if each in standing
    ]
    if Status.FAILED in found:
        text = f"failed: {_kinds(pivot)}" if pivot.failures else "failed"
        entries.append(LegendEntry(sign=FAILED_SIGN, text=text, status=Status.FAILED))
    if Status.UNDEFINED in found:
        reasons = "; ".join(drawable(reason) for reason in pivot.undefined[:_MOST_ITEMS])
        entries.append(
            LegendEntry(sign=UNDEFINED_SIGN, text=f"done, but undefined: {reasons}", status=Status.UNDEFINED)
        )
    if Status.NOT_RUN in found:
        entries.append(LegendEntry(sign=NOT_RUN_SIGN, text="declared, not run to its end yet", status=Status.NOT_RUN))
    if Status.NOT_DECLARED in found:
        entries.append(LegendEntry(sign="", text="not part of the grid", status=Status.NOT_DECLARED))
    if partial:
        example = max(partial, key=lambda tile: tile.declared)
        text = f"numbers there are, of cells declared; {FAILED_SIGN}: some of them failed"
        if Status.FAILED not in found and pivot.failures:
            text += f" ({_kinds(pivot)})"
        entries.append(LegendEntry(sign=f"n={example.declared - 1}/{example.declared}", text=text))
    if any(tile.marked for tile in tiles):
        entries.append(LegendEntry(sign=MARK_SIGN, text=f"departs from the declaration: {_listed(pivot.marks)}"))
    return tuple(entries)


def footnotes(pivot: Pivot) -> tuple[str, ...]:
    """One sentence for each thing that a reader of the numbers must know."""
    notes = []
    if _shows_chance(pivot):
        notes.append("chance: right answers by guessing, one over the number of labels (rows are balanced).")
    for name, counts in pivot.mixed.items():
        notes.append(f"Mixed {axis_text(name)}: {_listed(counts)}; compare with care.")
    if pivot.metric in COSTS and pivot.metric in _ATTRIBUTED:
        notes.append("Attributed: cells are trained together, and each is given its share of what they took.")
    if pivot.metric in SOLO_COSTS:
        notes.append("Measured alone, by a probe of some steps before the pack; cells of equal cost share one probe.")
    if pivot.baselines_left_out:
        notes.append(
            f"{_cells(pivot.baselines_left_out)} of baselines left out: neither model nor strategy is an axis here."
        )
    if pivot.retired:
        notes.append(f"{_cells(pivot.retired)} no longer declared (retired), not shown.")
    return tuple(notes)


def _shows_chance(pivot: Pivot) -> bool:
    return any(
        name == "num_labels" and chance_level(pivot, value) is not None
        for axes, keys in ((pivot.row_axes, pivot.rows), (pivot.col_axes, pivot.cols))
        for key in keys
        for name, value in zip(axes, key, strict=True)
    )


def _kinds(pivot: Pivot) -> str:
    return _listed({kind.replace("_", " "): count for kind, count in pivot.failures.items()})


def _listed(counts: Mapping[str, int]) -> str:
    items = [f"{drawable(name)} ({_cells(count)})" for name, count in list(counts.items())[:_MOST_ITEMS]]
    more = len(counts) - len(items)
    return ", ".join(items) + (f" and {more} more" if more else "")


def _cells(count: int) -> str:
    return f"{count} cell" if count == 1 else f"{count} cells"
