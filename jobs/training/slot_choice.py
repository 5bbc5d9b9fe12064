"""How many cells train together, decided from measurements: pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

AUTOMATIC_SLOTS = 24
"""Cells in flight where nothing was declared or measured."""
MOST_SLOTS = 64
"""More are never looked for."""
MEMORY_SHARE = 0.85
"""Of the memory there is; the rest is for evaluations and longer texts than the probe saw."""
LEAST_GROWTH = 1.05
"""Throughput has to grow by so much, else more cells are not tried."""
AS_GOOD_AS_BEST = 0.97
"""Of the best throughput: the smallest number of cells that reaches it is taken."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What some cells in one engine cost."""

    cells: int
    step_seconds: float
    """A step of all of them."""
    peak_bytes: int
    """With the base."""

    @property
    def cells_per_second(self) -> float:
        """Steps of single cells in a second."""
        return self.cells / self.step_seconds


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What bounds the number of cells in an engine."""

    cells: int
    """Cells that one engine can get."""
    engines: int
    """Engines that work side by side, each with that many cells."""
    base_bytes: int
    """Memory that is taken before any cell is in."""
    memory_bytes: int
    """Memory there is, the base's included."""

    def fits(self, peak_bytes: float) -> bool:
        """Whether every engine may take as much as the one that was measured."""
        return self.base_bytes + self.engines * (peak_bytes - self.base_bytes) <= MEMORY_SHARE * self.memory_bytes


def next_count(measured: Sequence[Measured], limits: Limits) -> int | None:
    """How many cells to measure next: 1, 2, 4, 8, ... and all there are.

    Args:
        measured: so far, in order.
        limits: of the engine.
    Returns:
        the number; None when more cells would not help, would not fit, or do not exist.
    """
    if not measured:
        return 1
    last = measured[-1]
    if last.cells >= limits.cells:
        return None
    if len(measured) > 1 and last.cells_per_second < LEAST_GROWTH * measured[-2].cells_per_second:
        return None
    count = min(2 * last.cells, limits.cells)
    return count if limits.fits(expected_peak(measured, limits, count)) else None


def expected_peak(measured: Sequence[Measured], limits: Limits, count: int) -> float:
    """Memory of some more cells, on the straight line through the last two measurements (or base and first)."""
    last = measured[-1]
    cells, peak = (measured[-2].cells, measured[-2].peak_bytes) if len(measured) > 1 else (0, limits.base_bytes)
    slope = (last.peak_bytes - peak) / (last.cells - cells)
    return last.peak_bytes + max(0.0, slope) * (count - last.cells)


def best_count(measured: Sequence[Measured]) -> int:
    """The smallest number of cells whose throughput is as good as the best one."""
    best = max(each.cells_per_second for each in measured)
    return min(each.cells for each in measured if each.cells_per_second >= AS_GOOD_AS_BEST * best)


def likely_count(measured: Sequence[Measured], limits: Limits) -> int:
    """A number of cells for when time was over while throughput still grew: what the memory is likely to hold."""
    most = min(limits.cells, max(1, AUTOMATIC_SLOTS // limits.engines))
    fitting = [n for n in range(1, most + 1) if limits.fits(expected_peak(measured, limits, n))]
    return max([best_count(measured), *fitting])
