"""What a plan takes besides time: rows, steps, memory of a device, disk, hours of devices, dollars."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from grid.cost_model import CPU, CostModel, kind_of, size_of
from grid.estimate import PROCESS_BYTES, TYPICAL_TOKENS, cell_disk_bytes, parameters
from grid.plan import PlannedPack
from grid.prices import pack_dollars
from jobs.spec import CellSpec, Strategy

_TYPICAL_LAYERS: Final = 20
_ACTIVATIONS: Final = 34
"""Numbers kept for the backward pass, a token, layer and unit of width (Korthikanti et al., arXiv 2205.05198)."""
_MOST_SLOTS: Final = 12
"""Cells of a pack taken to be in memory at a time, where nobody declared how many."""


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Of one pack, or of all."""

    rows: int = 0
    """Training rows seen, over all epochs, without early stopping."""
    steps: int = 0
    memory_bytes: int = 0
    """Most at a time on one device; on a CPU of one process."""
    disk_bytes: int = 0
    device_hours: float = 0.0
    """GPU hours, or core hours without a GPU."""
    dollars: float | None = None
    """None: the config gives no price."""


@dataclass(frozen=True, kw_only=True)
class AllTotals:
    """Of a whole plan, and of each pack in its order."""

    whole: Totals
    packs: Sequence[Totals]
    device_bytes: int | None = None
    """Memory of the smallest GPU; None: unknown, or none is used."""

    def too_large(self) -> list[int]:
        """Places of packs that will not fit; slots and micro-batches shrink before a cell fails, the base does not."""
        if self.device_bytes is None:
            return []
        return [place for place, one in enumerate(self.packs) if one.memory_bytes > self.device_bytes]


def pack_totals(pack: PlannedPack, device: str, *, costs: CostModel, prices: Mapping[str, float]) -> Totals:
    """Estimate one pack.

    Args:
        pack: of a plan.
        device: kind of device, as results name it.
        costs: what finished cells taught.
        prices: dollars an hour, by device.
    """
    cells = [planned.cell for planned in pack.cells]
    sizes = [size_of(cell) for cell in cells if cell.model is not None]
    return Totals(
        rows=round(sum(size.rows for size in sizes)),
        steps=round(sum(size.steps for size in sizes)),
        memory_bytes=_memory_bytes(cells, device, costs),
        disk_bytes=sum(cell_disk_bytes(cell) for cell in cells),
        device_hours=(pack.resources.gpus or pack.resources.cpus) * pack.estimated_seconds / 3600,
        dollars=pack_dollars(pack, device, prices),
    )


def sum_of(packs: Sequence[Totals]) -> Totals:
    """What a whole plan takes: sums, and the largest memory of any pack."""
    known = [one.dollars for one in packs if one.dollars is not None]
    return Totals(
        rows=sum(one.rows for one in packs),
        steps=sum(one.steps for one in packs),
        memory_bytes=max((one.memory_bytes for one in packs), default=0),
        disk_bytes=sum(one.disk_bytes for one in packs),
        device_hours=sum(one.device_hours for one in packs),
        dollars=sum(known) if known and len(known) == len(packs) else None,
    )


def _memory_bytes(cells: list[CellSpec], device: str, costs: CostModel) -> int:
    """The most that packs of these cells took so far, else arithmetic."""
    measured = [found for cell in cells if (found := costs.memory_bytes(kind_of(cell, device))) is not None]
    if measured:
        return max(measured)
    trained = [cell for cell in cells if cell.model is not None]
    process = PROCESS_BYTES if device == CPU else 0
    if not trained:
        return process
    slots = trained[0].compute.slots or min(len(trained), _MOST_SLOTS)
    return process + _base_bytes(trained[0], device) + slots * max(_cell_bytes(cell, device) for cell in trained)


def _base_bytes(cell: CellSpec, device: str) -> int:
    if cell.model is None:
        return 0
    total, compute = parameters(cell.model)
    if cell.strategy is Strategy.FULL:
        return 16 * total  # weights, gradients and two moments in float32
    is_four_bit = cell.strategy is Strategy.QLORA and cell.compute.base == "quantized"
    width = _width(cell, device)
    return round(0.55 * compute) + width * (total - compute) if is_four_bit else width * total


def _cell_bytes(cell: CellSpec, device: str) -> int:
    """Adapter with its optimiser, and what a micro-batch keeps for the backward pass."""
    if cell.model is None:
        return 0
    _, compute = parameters(cell.model)
    width_x_layers = math.sqrt(compute * _TYPICAL_LAYERS / 12)
    tokens = cell.recipe.batch_size * min(TYPICAL_TOKENS, cell.recipe.max_length)
    rank = cell.lora.r if cell.lora is not None else 1
    adapters = 16 * 4 * rank * width_x_layers
    return round(adapters + _ACTIVATIONS * tokens * width_x_layers * _width(cell, device))


def _width(cell: CellSpec, device: str) -> int:
    """Bytes of a number in the compute type."""
    declared = {"fp32": 4, "bf16": 2, "fp16": 2}.get(cell.compute.precision)
    return declared or (4 if device == CPU else 2)
