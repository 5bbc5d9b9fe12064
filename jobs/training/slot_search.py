"""How many cells of a pack train together: as declared, as measured, as measured earlier, or a fixed number.

What was measured is kept in the cache folder by everything that decides it, so that a run that is continued
does the same.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from jobs.data.diskcache import read_cached, write_cached
from jobs.errors import classify
from jobs.spec import CellSpec, PackedCell, Strategy, dumps, to_json
from jobs.training.cell_run import CellData
from jobs.training.memory_limit import base_bytes, installed_gib, memory_there_is
from jobs.training.peak_memory import forget_peak, return_freed_memory
from jobs.training.room import Room
from jobs.training.slot_choice import AUTOMATIC_SLOTS, MOST_SLOTS, Limits, Measured, best_count, likely_count
from jobs.training.slot_probe import Sample, measure
from jobs.training.solo_costs import cost_settings

log = logging.getLogger(__name__)

CACHE_FOLDER = "slots"
SEARCH_VERSION = 2
"""Raised when a measurement or its use changes: what is in the cache is then measured anew."""
MOST_SAMPLES = 4
"""Different cells that are copied; their rows have to be loaded before anything trains."""


@dataclass(frozen=True, kw_only=True)
class Slots:
    """How many cells of a pack train together, and why."""

    number: int
    found: str
    """declared | measured | measured earlier | automatic."""

    @property
    def provenance(self) -> dict[str, Any]:
        """For results: in `fast` the last bits of a number may depend on it."""
        return {"slots": self.number, "slots_found": self.found}


def find_slots(
    cells: Sequence[PackedCell],
    room: Room,
    *,
    granted_bytes: int | None,
    data_of: Callable[[PackedCell], CellData],
    cache: Path,
    should_stop: Callable[[], bool],
) -> Slots:
    """Decide how many cells train together, before any of them does.

    Args:
        cells: the pack's cells.
        room: where they will train; empty. Its threads are those that the cells will use.
        granted_bytes: memory that the scheduler grants the pack; None: whatever is free.
        data_of: loads a cell's rows; asked only when something is measured.
        cache: FineGrid's cache folder.
        should_stop: asked before each measurement, which takes seconds.
    Returns:
        the number; a measurement that failed is told in the log and stops nothing.
    Side effects:
        writes the cache; the process' peak memory starts anew.
    """
    given = _without_measurement(cells, room)
    if given is not None:
        return given
    try:
        return _Search(cells, room, granted_bytes).run(data_of, cache, should_stop)
    except Exception as error:
        reason = classify(error)[1]
        log.warning("slots could not be measured (%s); %d cells at a time", reason, AUTOMATIC_SLOTS, exc_info=error)
        return Slots(number=AUTOMATIC_SLOTS, found="automatic")
    finally:
        return_freed_memory(room.base.compute.device)
        forget_peak(room.base.compute.device)


def _without_measurement(cells: Sequence[PackedCell], room: Room) -> Slots | None:
    first = cells[0].cell
    if first.strategy is Strategy.FULL or room.base.is_stock:
        return Slots(number=1, found="automatic")
    if first.compute.slots is not None:
        return Slots(number=first.compute.slots, found="declared")
    # Steps of heads are cheap; engines of one cell each gain nothing from more of them.
    if first.strategy is Strategy.HEAD or not room.mixes or len(cells) <= max(2, room.workers):
        return Slots(number=AUTOMATIC_SLOTS, found="automatic")
    return None


class _Search:
    """The measurement of one pack."""

    def __init__(self, cells: Sequence[PackedCell], room: Room, granted_bytes: int | None) -> None:
        base = room.base
        device = base.compute.device
        self._base = base
        self._cells = sorted(cells, key=_size, reverse=True)
        self._limits = Limits(
            cells=math.ceil(min(len(cells), MOST_SLOTS) / room.workers),
            engines=room.workers,
            base_bytes=base_bytes(base.model, device),
            memory_bytes=memory_there_is(base.model, device, granted_bytes=granted_bytes),
        )
        self._settings = self._canonical_settings(granted_bytes)

    def run(self, data_of: Callable[[PackedCell], CellData], cache: Path, should_stop: Callable[[], bool]) -> Slots:
        path = cache / CACHE_FOLDER / f"{hashlib.sha256(self._settings.encode()).hexdigest()[:32]}.json"
        body = read_cached(path)
        if body is not None:
            return self._slots(int(json.loads(body)["cells"]), "measured earlier")
        if should_stop():
            return Slots(number=AUTOMATIC_SLOTS, found="automatic")
        samples = self._samples(data_of)
        measured, is_broken_off = measure(samples, self._base, self._limits, should_stop=should_stop)
        count = likely_count(measured, self._limits) if is_broken_off else best_count(measured)
        _tell(measured, count, self._limits)
        if not should_stop():
            content = {"settings": json.loads(self._settings), "cells": count, "measured": to_json(measured)}
            write_cached(path, dumps(content).encode())
        return self._slots(count, "measured")

    def _slots(self, cells_per_engine: int, found: str) -> Slots:
        return Slots(number=cells_per_engine * self._limits.engines, found=found)

    def _samples(self, data_of: Callable[[PackedCell], CellData]) -> list[Sample]:
        """The largest cells, with their rows; those that cannot be loaded fail when their turn comes."""
        samples: list[Sample] = []
        errors: list[Exception] = []
        for packed in self._cells:
            try:
                samples.append(Sample(packed=packed, data=data_of(packed)))
            except Exception as error:
                log.info("cell %s is not measured: its rows cannot be loaded (%s)", packed.cell.cell_id, error)
                errors.append(error)
            if len(samples) == MOST_SAMPLES:
                break
        if not samples:
            raise errors[0]
        return samples

    def _canonical_settings(self, granted_bytes: int | None) -> str:
        threads = torch.get_num_threads()
        costs = [cost_settings(packed.cell, self._base, threads=threads) for packed in self._cells[:MOST_SAMPLES]]
        return dumps(
            {
                "search": SEARCH_VERSION,
                "cells": self._limits.cells,
                "engines": self._limits.engines,
                "memory_gib": installed_gib(self._base.compute.device),
                "granted_bytes": granted_bytes,
                "costs": costs,
            }
        )


def _size(packed: PackedCell) -> tuple[int, int, int]:
    """Cells whose steps need most memory come first; which of equals does not matter to the cost."""
    cell: CellSpec = packed.cell
    return cell.recipe.batch_size * cell.recipe.max_length, cell.lora.r if cell.lora else 0, cell.data.num_labels or 0


def _tell(measured: Sequence[Measured], count: int, limits: Limits) -> None:
    each = ", ".join(f"{m.cells}: {m.cells_per_second:.1f}/s {m.peak_bytes / 2**20:.0f} MiB" for m in measured)
    log.info(
        "slots: %d in each of %d engines (cell steps a second and peak memory by cells in one engine: %s)",
        count, limits.engines, each,
    )  # fmt: skip
