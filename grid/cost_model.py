"""What cells will take, learned from those that are done: seconds of a device, memory, and the share of steps made.

Before anything is done an estimate is what `grid.expectations` says: gauges of this machine, or arithmetic. Every
finished cell of the same kind - model, strategy, kind of device, numeric form - sharpens it: seconds = the expected
ones of rows, steps, evaluated rows and the rest, each times a factor of its own that is not negative, fitted to
relative errors and drawn towards one common factor. Kinds without a finished cell take the factor of the nearest kind
unless their own steps were measured.
Early stopping is learned the same way, as the share of the declared steps that a kind makes; so is what packs take
besides training.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import median
from typing import Any, Final

import numpy as np

from grid.devices import Devices, accelerator_name, gpu_count
from grid.estimate import BASELINE_SECONDS, Rates
from grid.expectations import ARITHMETIC, GAUGED, SCALED, Expectations
from grid.workload import Rows, Size, size_of
from jobs.spec import CellSpec

Kind = tuple[str, str, str]
"""Model, strategy, device: cells of one kind differ in size alone."""

CPU: Final = "cpu"
MIN_CELLS_FOR_A_LINE: Final = 3
MANY: Final = 1_000
"""Cells of a pack where their number is not known."""
_FARTHEST: Final = 3.0
"""A line may lead so far from the common factor: three unlucky cells say little about one ten times as large."""
_RIDGE: Final = {ARITHMETIC: 0.003, SCALED: 0.003, GAUGED: 0.03}
"""Weight of the expected shape beside the measured cells: it decides what they leave open, more so when measured."""
_FARTHEST_OVERHEAD: Final = 4.0


@dataclass(frozen=True, kw_only=True)
class MeasuredCell:
    """What one finished cell took."""

    kind: Kind
    size: Size
    """As declared."""
    made: float
    """Share of it that was made, 0 to 1."""
    seconds: float
    """Its share of the device: training and evaluation."""
    rates: Rates
    """What was expected of its parts."""
    basis: str = ARITHMETIC
    """What these rest on."""
    memory_bytes: int | None = None
    """Most that its pack took of a device."""
    expected_bytes: int = 0

    @property
    def parts(self) -> np.ndarray:
        """Expected seconds of rows, steps, evaluated rows and the rest, as far as they were made."""
        return np.asarray(np.array(self.rates.parts) * np.array(self.size.features(self.made)))

    @property
    def expected(self) -> float:
        """Expected seconds of what was made."""
        return float(self.parts.sum())


@dataclass(frozen=True, kw_only=True)
class MeasuredPack:
    """What one finished pack took besides training and evaluating its cells."""

    form: str
    """Device and numeric form."""
    overhead: float
    expected: float


@dataclass(frozen=True, kw_only=True)
class Estimated:
    """Seconds of one cell, and what they rest on."""

    seconds: float
    basis: str


@dataclass(frozen=True, kw_only=True)
class CostModel:
    """Estimates that rest on whatever is measured; without any, what is expected as it is."""

    expectations: Expectations = field(default_factory=Expectations)
    measured: Sequence[MeasuredCell] = ()
    packs: Sequence[MeasuredPack] = ()

    def seconds(self, cell: CellSpec, *, device: str, company: int = MANY) -> Estimated:
        """Estimate one cell.

        Args:
            cell: any cell.
            device: kind of device it will run on, as results name it (`cpu`, `NVIDIA A10G`).
            company: cells of its pack, itself included.
        Returns:
            seconds of the device, attributed as in results.
        """
        if cell.model is None:
            return Estimated(seconds=BASELINE_SECONDS, basis=ARITHMETIC)
        kind = kind_of(cell, device)
        rates, basis = self.expectations.rates(cell, company=company), self.expectations.basis(cell)
        features = self.expectations.size(cell).features(self._made.get(kind, 1.0))
        parts = np.array(rates.parts) * np.array(features)
        line = self._lines.get(kind)
        if line is not None:
            expected = float(parts.sum()) * self._stretch[kind][0]
            seconds = min(max(float(line @ parts), expected / _FARTHEST), expected * _FARTHEST)
            return Estimated(seconds=seconds, basis=f"{len(self._by_kind[kind])} measured cells")
        near = ((kind, "of its kind"), (kind[1:], "of its strategy"), (kind[2:], "on this kind of device"))
        # Steps of this very kind were measured here: how far off those of another kind were says nothing about them.
        for key, what in near[:1] if basis == GAUGED else near:
            if key in self._stretch:
                factor, cells = self._stretch[key]
                said = f"{basis}, stretched by {cells} cells {what}"
                return Estimated(seconds=float(parts.sum()) * factor, basis=said)
        return Estimated(seconds=float(parts.sum()), basis=basis)

    def pack_seconds(
        self, cells: Sequence[CellSpec], seconds: float, *, device: str, is_fresh: bool, has_spare: bool
    ) -> float:
        """Estimate how long a pack takes, from its start to its end.

        Args:
            cells: of one pack.
            seconds: of them together.
            device: kind of device.
            is_fresh: its process starts with it.
            has_spare: there is a core for the process that reloads finished cells.
        """
        training = seconds / self.expectations.engines(cells[0])
        kind = kind_of(cells[0], device)
        overhead = self.expectations.overhead_seconds(
            cells, training, is_fresh=is_fresh, has_spare=has_spare, is_probed=kind in self._by_kind
        )
        return training + overhead * (1.0 if cells[0].model is None else self._overhead_stretch.get(kind[2], 1.0))

    def memory_bytes(self, cells: Sequence[CellSpec], device: str) -> int:
        """The most that a pack takes of a device: as expected, moved by what measured packs took more or less."""
        expected = self.expectations.memory_bytes(cells, device == CPU)
        trained = next((cell for cell in cells if cell.model is not None), None)
        if trained is None:
            return expected
        kind = kind_of(trained, device)
        shift = self._memory_shift.get(kind, self._memory_shift.get(kind[2:], 0))
        return max(expected // 4, expected + shift)

    @cached_property
    def _by_kind(self) -> Mapping[Kind, list[MeasuredCell]]:
        groups: dict[Kind, list[MeasuredCell]] = {}
        for cell in self.measured:
            groups.setdefault(cell.kind, []).append(cell)
        return groups

    @cached_property
    def _lines(self) -> Mapping[Kind, np.ndarray]:
        return {
            kind: _factors(cells, self._stretch[kind][0])
            for kind, cells in self._by_kind.items()
            if len({cell.size for cell in cells}) >= MIN_CELLS_FOR_A_LINE
        }

    @cached_property
    def _made(self) -> Mapping[Kind, float]:
        return {kind: sum(cell.made for cell in cells) / len(cells) for kind, cells in self._by_kind.items()}

    @cached_property
    def _stretch(self) -> Mapping[tuple[str, ...], tuple[float, int]]:
        """Measured over expected, for cells that agree in ever less; the median, with the number of cells."""
        ratios: dict[tuple[str, ...], list[float]] = {}
        for cell in self.measured:
            for key in (cell.kind, cell.kind[1:], cell.kind[2:]):
                ratios.setdefault(key, []).append(cell.seconds / cell.expected)
        return {key: (median(values), len(values)) for key, values in ratios.items()}

    @cached_property
    def _overhead_stretch(self) -> Mapping[str, float]:
        ratios: dict[str, list[float]] = {}
        for pack in self.packs:
            ratio = max(pack.overhead, 0.1) / pack.expected
            ratios.setdefault(pack.form, []).append(min(max(ratio, 1 / _FARTHEST_OVERHEAD), _FARTHEST_OVERHEAD))
        return {form: median(values) for form, values in ratios.items()}

    @cached_property
    def _memory_shift(self) -> Mapping[tuple[str, ...], int]:
        """Measured minus expected memory, by kind and by form of the device."""
        shifts: dict[tuple[str, ...], list[int]] = {}
        for cell in self.measured:
            if cell.memory_bytes:
                for key in (cell.kind, cell.kind[2:]):
                    shifts.setdefault(key, []).append(cell.memory_bytes - cell.expected_bytes)
        return {key: round(median(values)) for key, values in shifts.items()}


def _factors(cells: Sequence[MeasuredCell], stretch: float) -> np.ndarray:
    """One factor for each part of the expected seconds: least squares over relative errors, none negative.

    Source: non-negative least squares, Lawson and Hanson (1974), as in scipy; ridge regression towards `stretch`.
    """
    from scipy.optimize import nnls  # a third of a second that a plan with nothing to fit does not pay

    parts = np.array([cell.parts for cell in cells])
    seconds = np.array([cell.seconds for cell in cells])
    weight = np.sqrt(_RIDGE[cells[0].basis] * len(cells))
    design = np.concatenate([parts / seconds[:, None], weight * np.eye(parts.shape[1]) / stretch])
    targets = np.concatenate([np.ones(len(cells)), np.full(parts.shape[1], weight)])
    found, _ = nnls(design, targets)
    return np.asarray(found)


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


def kind_of_device(name: str) -> str:
    """As `device_kind`: `NVIDIA A10G` of a result and `A10G` of a cluster are one kind."""
    return CPU if name in ("", CPU) else accelerator_name(name) or name


def measured_cells(
    done: Iterable[tuple[CellSpec, Mapping[str, Any]]],
    expectations: Expectations,
    *,
    company: Mapping[str, Sequence[CellSpec]] | None = None,
) -> tuple[MeasuredCell, ...]:
    """Turn finished cells into measurements.

    Args:
        done: cells with what the index says of them: device, counts, costs.
        expectations: what was to be expected of them.
        company: all cells of a cell's pack, by its id; None: each was alone.
    Returns:
        one for each cell with a model whose times were measured.
    """
    found = []
    for cell, row in done:
        counts, costs = row["counts"], row["costs"]
        if cell.model is None or not costs.get("train_seconds"):
            continue
        size = size_of(cell, _counted(expectations.rows(cell), counts))
        made = min(1.0, float(counts.get("stopped_step") or size.steps) / max(size.steps, 1.0))
        # Seconds of evaluation are those of the rows that it saw: the index keeps the speed.
        speed = costs.get("eval_samples_per_second")
        evaluated = size.features(made)[2] / speed if speed else 0.0
        together = (company or {}).get(cell.cell_id) or (cell,)
        device = kind_of_device(str(row["device"] or ""))
        found.append(
            MeasuredCell(
                kind=kind_of(cell, device),
                size=size,
                made=made,
                seconds=float(costs["train_seconds"]) + evaluated,
                rates=expectations.rates(cell, company=len(together)),
                basis=expectations.basis(cell),
                memory_bytes=round(costs.get("peak_memory_bytes") or 0) or None,
                expected_bytes=expectations.memory_bytes(together, device == CPU),
            )
        )
    return tuple(found)


def _counted(rows: Rows, counts: Mapping[str, Any]) -> Rows:
    """Rows as they were, not as they were guessed."""
    names = {"train": "num_train", "validation": "num_validation", "test": "num_test"}
    known = {name: int(counts[own]) for name, own in names.items() if counts.get(own) is not None}
    return Rows(**{**{name: getattr(rows, name) for name in names}, **known, "lengths": rows.lengths})
