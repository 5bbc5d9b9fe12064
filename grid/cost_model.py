"""What cells will take, learned from those that are done: seconds of a device, and the share of steps they make.

Before anything is measured an estimate is arithmetic over parameter counts (`grid.estimate`). Every finished cell of
the same kind - model, strategy, kind of device, numeric form - sharpens it: three of different size give a line,
seconds = a * rows + b * steps + c * evaluated rows + d with no negative part, fitted to relative errors; fewer only
stretch the arithmetic. Early stopping is learned the same way, as the share of the declared steps that a kind makes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import Any, Final

import numpy as np
from scipy.optimize import nnls

from grid.devices import Devices, accelerator_name, gpu_count
from grid.estimate import num_evaluations, tested_rows, training_rows, training_steps, validation_rows
from jobs.spec import CellSpec

Kind = tuple[str, str, str]
"""Model, strategy, device: cells of one kind differ in size alone."""

ARITHMETIC: Final = "arithmetic alone"
"""Basis of an estimate that nothing measured supports."""
CPU: Final = "cpu"
MIN_CELLS_FOR_A_LINE: Final = 3
_FARTHEST: Final = 3.0
"""A line may lead so far from the stretched arithmetic: three unlucky cells say little about one ten times as large."""
_RIDGE: Final = 0.01
"""Weight of the arithmetic beside the measured cells: it decides only what they leave open."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """What a cell has to do."""

    rows: float
    """Training rows, over all epochs."""
    steps: float
    """Optimiser steps."""
    evaluated: float
    """Rows of all evaluations between steps."""
    tested: float
    """Rows of the evaluation at the end."""

    def features(self, made: float) -> tuple[float, float, float, float]:
        """Rows, steps, evaluated rows and one, when only a share of the steps is made."""
        return self.rows * made, self.steps * made, self.evaluated * made + self.tested, 1.0


@dataclass(frozen=True, kw_only=True)
class MeasuredCell:
    """What one finished cell took."""

    kind: Kind
    size: Size
    """As declared."""
    made: float
    """Share of them that were made, 0 to 1."""
    seconds: float
    """Its share of the device: training and evaluation."""
    guessed: float
    """Seconds that the arithmetic says for it."""
    memory_bytes: int | None = None
    """Most that its pack took of a device."""


@dataclass(frozen=True, kw_only=True)
class Estimated:
    """Seconds of one cell, and what they rest on."""

    seconds: float
    basis: str


@dataclass(frozen=True, kw_only=True)
class CostModel:
    """Estimates that rest on whatever is measured; without any, the arithmetic as it is."""

    measured: Sequence[MeasuredCell] = ()

    def seconds(self, cell: CellSpec, *, device: str, guessed: float) -> Estimated:
        """Estimate one cell.

        Args:
            cell: with a model.
            device: kind of device it will run on, as results name it (`cpu`, `NVIDIA A10G`).
            guessed: seconds that the arithmetic says.
        Returns:
            seconds of the device, attributed as in results.
        """
        kind = kind_of(cell, device)
        line = self._lines.get(kind)
        if line is not None:
            expected = guessed * self._stretch[kind][0]
            seconds = min(max(line.at(size_of(cell), self._made[kind]), expected / _FARTHEST), expected * _FARTHEST)
            return Estimated(seconds=seconds, basis=f"{line.cells} measured cells")
        for key, what in ((kind, "of its kind"), (kind[1:], "of its strategy"), (kind[2:], "on this kind of device")):
            if key in self._stretch:
                factor, cells = self._stretch[key]
                return Estimated(seconds=guessed * factor, basis=f"arithmetic stretched by {cells} cells {what}")
        return Estimated(seconds=guessed, basis=ARITHMETIC)

    def memory_bytes(self, kind: Kind) -> int | None:
        """The most that packs with cells of a kind took of a device; None: none is known."""
        known = [cell.memory_bytes for cell in self._by_kind.get(kind, ()) if cell.memory_bytes]
        return max(known, default=None)

    @cached_property
    def _by_kind(self) -> Mapping[Kind, list[MeasuredCell]]:
        groups: dict[Kind, list[MeasuredCell]] = {}
        for cell in self.measured:
            groups.setdefault(cell.kind, []).append(cell)
        return groups

    @cached_property
    def _lines(self) -> Mapping[Kind, _Line]:
        return {
            kind: _Line.fitted(cells)
            for kind, cells in self._by_kind.items()
            if len({cell.size for cell in cells}) >= MIN_CELLS_FOR_A_LINE
        }

    @cached_property
    def _made(self) -> Mapping[Kind, float]:
        return {kind: sum(cell.made for cell in cells) / len(cells) for kind, cells in self._by_kind.items()}

    @cached_property
    def _stretch(self) -> Mapping[tuple[str, ...], tuple[float, int]]:
        """Measured over guessed, for cells that agree in ever less; the median, with the number of cells."""
        ratios: dict[tuple[str, ...], list[float]] = {}
        for cell in self.measured:
            for key in (cell.kind, cell.kind[1:], cell.kind[2:]):
                ratios.setdefault(key, []).append(cell.seconds / cell.guessed)
        return {key: (median(values), len(values)) for key, values in ratios.items()}


@dataclass(frozen=True, kw_only=True)
class _Line:
    """Seconds over the features of a size: coefficients that are not negative."""

    coefficients: np.ndarray
    cells: int

    @classmethod
    def fitted(cls, cells: Sequence[MeasuredCell]) -> _Line:
        """Least squares over relative errors, a little drawn towards the shape of the arithmetic.

        Source: non-negative least squares, Lawson and Hanson (1974), as in scipy.
        """
        sizes = np.array([cell.size.features(cell.made) for cell in cells])
        seconds = np.array([cell.seconds for cell in cells])
        stretch = median(cell.seconds / cell.guessed for cell in cells)
        expected = np.array([cell.guessed * cell.made * stretch for cell in cells])
        weights = np.concatenate([1 / seconds, np.sqrt(_RIDGE / len(cells)) / expected])
        targets = np.concatenate([seconds, expected])
        design = np.concatenate([sizes, sizes])
        scale = np.maximum(design.max(axis=0), 1e-12)
        found, _ = nnls(design / scale * weights[:, None], targets * weights)
        return cls(coefficients=found / scale, cells=len(cells))

    def at(self, size: Size, made: float) -> float:
        return float(self.coefficients @ np.array(size.features(made)))


def size_of(cell: CellSpec) -> Size:
    """What a cell has to do, as declared."""
    steps = training_steps(cell)
    return Size(
        rows=float(training_rows(cell.data) * cell.recipe.epochs),
        steps=float(steps),
        evaluated=float(num_evaluations(cell) * validation_rows(cell.data)),
        tested=float(tested_rows(cell.data)),
    )


def kind_of(cell: CellSpec, device: str) -> Kind:
    """Cells of one kind differ in size alone."""
    model = "" if cell.model is None else f"{cell.model.source}:{cell.model.location}"
    form = f"{device} {cell.compute.precision} {cell.compute.base} {cell.compute.numerics}"
    return model, f"{cell.strategy} {cell.recipe.max_length}", form


def device_kind(devices: Devices, declared: str) -> str:
    """Name that results give the device a cell will run on; of a cluster with several kinds of GPU, the first one's."""
    if not gpu_count(declared, devices):
        return CPU
    known = [*devices.gpu_names, *(kind.accelerator_type for kind in devices.kinds if kind.accelerator_type)]
    return accelerator_name(known[0]) or known[0] if known else "gpu"


def _kind_of_device(name: str) -> str:
    """As `device_kind`: `NVIDIA A10G` of a result and `A10G` of a cluster are one kind."""
    return CPU if name in ("", CPU) else accelerator_name(name) or name


def measured_cells(
    done: Iterable[tuple[CellSpec, Mapping[str, Any]]], *, guess: Mapping[str, float]
) -> tuple[MeasuredCell, ...]:
    """Turn finished cells into measurements.

    Args:
        done: cells with what the index says of them: device, counts, costs.
        guess: seconds that the arithmetic says, by cell id.
    Returns:
        one for each cell with a model whose times were measured.
    """
    found = []
    for cell, row in done:
        if cell.model is None or not guess.get(cell.cell_id) or not row["costs"].get("train_seconds"):
            continue
        size, counts, costs = size_of(cell), row["counts"], row["costs"]
        made = min(1.0, float(counts.get("stopped_step") or size.steps) / max(size.steps, 1.0))
        # Seconds of evaluation are those of the rows that it saw: the index keeps the speed.
        evaluated = size.features(made)[2] / costs["eval_samples_per_second"] if _is_known(costs) else 0.0
        found.append(
            MeasuredCell(
                kind=kind_of(cell, _kind_of_device(str(row["device"] or ""))),
                size=size,
                made=made,
                seconds=float(costs["train_seconds"]) + evaluated,
                guessed=guess[cell.cell_id],
                memory_bytes=round(costs.get("peak_memory_bytes") or 0) or None,
            )
        )
    return tuple(found)


def _is_known(costs: Mapping[str, Any]) -> bool:
    return bool(costs.get("eval_samples_per_second"))
