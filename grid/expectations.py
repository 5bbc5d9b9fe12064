"""What cells and packs take before any of their kind is done: from gauges of this machine, else from arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from grid.devices import Devices, gpu_count
from grid.estimate import BASELINE_SECONDS, PROCESS_BYTES, Rates, arithmetic_rates, parameters
from grid.workload import Rows, RowsOf, Size, distinct_texts, guessed_rows, size_of
from jobs.gauging.messages import Gauge
from jobs.spec import CellSpec, Strategy

ARITHMETIC: Final = "arithmetic alone"
"""Basis of an estimate that nothing measured supports."""
SCALED: Final = "arithmetic, scaled to steps of other models on this machine"
GAUGED: Final = "steps measured on this machine"
"""Basis of an estimate from a gauge."""
_BESIDE: Final = 1.15
"""Steps in training to steps in a process that does nothing else: checks, publishing and checkpoints run beside them;
measured 0.8 to 1.4 (`benchmarks/README.md`)."""
_START_S: Final = 6.0
_LOAD_S_A_GIB: Final = 1.5
_LAST_S: Final = 1.0
"""Exporting, checking and publishing the last cell of a pack."""
_PUBLISH_S: Final = 0.3
"""The same of any other, where it takes a core from training."""
_PROBE_S: Final = 2.5
"""Most that each part of a cost probe takes, more or less (`jobs.training.cost_probe`)."""
_SEARCH_S: Final = 5.0
"""Most that the search for slots takes, more or less (`jobs.training.slot_probe`)."""
_HOST_BYTES: Final = 300_000_000
"""What a pack's process holds beside torch: libraries of Ray or of the driver, rows, tokens."""
_MOST_SLOTS: Final = 12
"""Cells of a pack taken to be in memory at a time, where nobody declared or measured how many."""
_MOST_TOGETHER: Final = 24
"""As `jobs.training.slot_choice.AUTOMATIC_SLOTS`."""
_TYPICAL_LAYERS: Final = 20
_ACTIVATIONS: Final = 34
"""Numbers kept for the backward pass, a token, layer and unit of width (Korthikanti et al., arXiv 2205.05198)."""

GaugeOf = Callable[[CellSpec], Gauge | None]


@dataclass(frozen=True, kw_only=True)
class Expectations:
    """Estimates for some devices that rest on no finished cell."""

    devices: Devices = field(default_factory=lambda: Devices(cpus=1))
    cpus: int = 1
    """Cores of a pack."""
    rows_of: RowsOf = guessed_rows
    gauge_of: GaugeOf = lambda cell: None
    stretch: float | None = None
    """How much longer than by arithmetic other models take here; None: unknown."""

    def rows(self, cell: CellSpec) -> Rows:
        """What the cell sees."""
        return self.rows_of(cell)

    def size(self, cell: CellSpec) -> Size:
        """What the cell has to do."""
        return size_of(cell, self.rows_of(cell))

    def basis(self, cell: CellSpec) -> str:
        """What the rates of a cell rest on."""
        if self.gauge_of(cell) is not None:
            return GAUGED
        return ARITHMETIC if self.stretch is None else SCALED

    def rates(self, cell: CellSpec, *, company: int) -> Rates:
        """Seconds of a cell's parts, attributed as in results.

        Args:
            cell: with a model.
            company: cells of its pack, itself included.
        """
        gauge = self.gauge_of(cell)
        if gauge is None:
            rates = arithmetic_rates(cell, self.rows_of(cell), self.devices, self.cpus)
            factor = 1.0 if self.stretch is None else self.stretch
            return replace(rates, row=rates.row * factor, evaluated=rates.evaluated * factor)
        return Rates(
            row=_BESIDE * step_seconds(gauge, company) / cell.recipe.batch_size,
            step=0.0,
            evaluated=gauge.inference_seconds,
            cell=0.0,
        )

    def seconds(self, cell: CellSpec, *, company: int) -> float:
        """Of a whole cell, without early stopping."""
        if cell.model is None:
            return BASELINE_SECONDS
        parts, features = self.rates(cell, company=company).parts, self.size(cell).features(1.0)
        return sum(rate * feature for rate, feature in zip(parts, features, strict=True))

    def engines(self, cell: CellSpec) -> int:
        """Cells, or groups of them, that a pack trains side by side: one on a GPU, one a core elsewhere."""
        is_alone = cell.strategy in (Strategy.FULL, Strategy.HEAD) or cell.strategy.is_stock
        return 1 if is_alone or gpu_count(cell.compute.device, self.devices) else max(1, self.cpus)

    def overhead_seconds(
        self, cells: Sequence[CellSpec], training: float, *, is_fresh: bool, has_spare: bool, is_probed: bool = False
    ) -> float:
        """What a pack takes besides training and evaluating its cells.

        Args:
            cells: of one pack.
            training: seconds of that training, as they pass.
            is_fresh: its process starts with it: libraries are still to be imported.
            has_spare: there is a core for the process that reloads finished cells.
            is_probed: cells of this kind were trained here before, so that their cost probe is not made again.
        """
        first = cells[0]
        if first.model is None:
            return _LAST_S
        gauge = self.gauge_of(first)
        start = gauge.start_seconds if gauge else _START_S
        load = gauge.load_seconds if gauge else _LOAD_S_A_GIB * 2 * parameters(first.model)[0] / 2**30
        features = self._features(cells, gauge)
        before = (start if is_fresh else 0.0) + load + features
        if not is_probed:
            before += _probe_seconds(cells, gauge, self.rows_of) if gauge else _PROBE_S
        if gauge is not None and _searches_slots(cells):
            before += min(4 * (1 + 2 + gauge.cells) * gauge.step_seconds + 0.5, _SEARCH_S)
        if not first.compute.reload_check:
            return before + _LAST_S
        if has_spare:  # the last cell waits for the process that reloads it
            return before + max(0.0, start + load - training - features) + _LAST_S
        return before + start + load + _PUBLISH_S * len(cells) + _LAST_S

    def _features(self, cells: Sequence[CellSpec], gauge: Gauge | None) -> float:
        """The base's pass over every text of a pack of strategy head: made once, in no cell's time."""
        if cells[0].strategy is not Strategy.HEAD or gauge is None:
            return 0.0
        return distinct_texts(cells, self.rows_of) * gauge.feature_seconds

    def memory_bytes(self, cells: Sequence[CellSpec], device_is_cpu: bool) -> int:
        """The most that a pack takes of a device at a time; on a CPU of its process."""
        trained = [cell for cell in cells if cell.model is not None]
        if not trained:
            return PROCESS_BYTES if device_is_cpu else 0
        gauge = self.gauge_of(trained[0])
        if gauge is not None:
            # More cells than were tried train together where four are faster than one.
            likely = self.engines(trained[0]) if gauge.cells == 1 else _MOST_SLOTS
            each = max(gauge.cell_bytes, max(self._cell_bytes(cell, device_is_cpu) for cell in trained))
            return gauge.process_bytes + _HOST_BYTES + gauge.base_bytes + _slots(trained, likely) * each
        slots, process = _slots(trained, _MOST_SLOTS), PROCESS_BYTES if device_is_cpu else 0
        each = max(self._cell_bytes(cell, device_is_cpu) for cell in trained)
        return process + _base_bytes(trained[0], device_is_cpu) + slots * each

    def _cell_bytes(self, cell: CellSpec, device_is_cpu: bool) -> int:
        """Adapter with its optimiser, and what a micro-batch keeps for the backward pass."""
        if cell.model is None:
            return 0
        _, compute = parameters(cell.model)
        width_x_layers = math.sqrt(compute * _TYPICAL_LAYERS / 12)
        rank = cell.lora.r if cell.lora is not None else 1
        adapters = 16 * 4 * rank * width_x_layers
        if cell.strategy is Strategy.HEAD:
            return round(adapters)
        tokens = cell.recipe.batch_size * self.rows_of(cell).long_tokens
        return round(adapters + _ACTIVATIONS * tokens * width_x_layers * _width(cell, device_is_cpu))


def step_seconds(gauge: Gauge, company: int) -> float:
    """A cell's share of a step with some cells beside it: a + b / n through what was measured alone and in company."""
    if gauge.cells <= 1 or company <= 1:
        return gauge.alone_seconds if company <= 1 else min(gauge.alone_seconds, gauge.step_seconds)
    together = min(company, _MOST_TOGETHER)
    shared = (gauge.alone_seconds - gauge.step_seconds) / (1 - 1 / gauge.cells)
    return gauge.alone_seconds - shared * (1 - 1 / together)


def _probe_seconds(cells: Sequence[CellSpec], gauge: Gauge, rows_of: RowsOf) -> float:
    """The cost probe, as a pack makes it before its first step."""
    first, step = cells[0], gauge.alone_seconds * cells[0].recipe.gradient_accumulation
    seconds = 0.0
    if first.compute.cost_probe and first.candidate is None:
        seconds += min(3 * step, _PROBE_S) + min(10 * step, 2 * _PROBE_S)
        predicted = min(256, rows_of(first).test) * (gauge.inference_seconds + gauge.feature_seconds)
        seconds += min(3 * predicted, 2 * _PROBE_S)
    return seconds


def _searches_slots(cells: Sequence[CellSpec]) -> bool:
    """Whether the pack measures how many of its cells train together."""
    return cells[0].strategy.has_adapters and cells[0].compute.slots is None and len(cells) > 2


def _slots(cells: Sequence[CellSpec], likely: int) -> int:
    first = cells[0]
    if first.strategy is Strategy.FULL or first.strategy.is_stock:
        return 1
    most = _MOST_TOGETHER if first.strategy is Strategy.HEAD else max(1, likely)
    return min(len(cells), first.compute.slots or most)


def _base_bytes(cell: CellSpec, device_is_cpu: bool) -> int:
    if cell.model is None:
        return 0
    total, compute = parameters(cell.model)
    if cell.strategy is Strategy.FULL:
        return 16 * total  # weights, gradients and two moments in float32
    is_four_bit = cell.strategy is Strategy.QLORA and cell.compute.base == "quantized"
    width = _width(cell, device_is_cpu)
    return round(0.55 * compute) + width * (total - compute) if is_four_bit else width * total


def _width(cell: CellSpec, device_is_cpu: bool) -> int:
    """Bytes of a number in the compute type."""
    declared = {"fp32": 4, "bf16": 2, "fp16": 2}.get(cell.compute.precision)
    return declared or (4 if device_is_cpu else 2)
