"""What a plan takes besides time: rows, steps, memory of a device, disk, hours of devices, dollars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from grid.cost_model import CostModel
from grid.estimate import cell_disk_bytes
from grid.plan import PlannedPack
from grid.prices import pack_dollars


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
    guesses: tuple[str, ...] = ()
    """What the estimates take for granted because nobody here knows it."""
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
    sizes = [costs.expectations.size(cell) for cell in cells if cell.model is not None]
    return Totals(
        rows=round(sum(size.rows for size in sizes)),
        steps=round(sum(size.steps for size in sizes)),
        memory_bytes=costs.memory_bytes(cells, device),
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


def guesses_of(packs: Sequence[PlannedPack], costs: CostModel) -> tuple[str, ...]:
    """What estimates of packs take for granted because the data are not on this machine, each once."""
    trained = (planned.cell for pack in packs for planned in pack.cells if planned.cell.model is not None)
    return tuple(dict.fromkeys(guess for cell in trained for guess in costs.expectations.rows(cell).guesses))
