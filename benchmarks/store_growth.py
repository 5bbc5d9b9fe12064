"""Does taking in a result cost more in a large store? Asked of a small and a large one in turn.

python benchmarks/store_growth.py [--cells 10000] [--rounds 20] [--folder DIR]

Most of the driver's time for a cell goes into the store. A whole run of the large grid lasts ten times as long as one
of the small grid, and much happens to a machine meanwhile; here both stores take in fifty results each, again and
again, so that whatever happens hits both. Results are published beforehand, unsynced; what is timed syncs as always.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from command_line import give, new_parser, working_folder
from idle_trial import result
from orchestration import config_of

from grid.cells import declared_cells
from grid.config import load_config
from grid.resolve import OfflineResolver
from grid.store import Store
from jobs.spec import CellSpec, PackedCell
from jobs.storage import publish

TIMED = 50
"""Results of a round that are timed; the large store takes in more, so that both fill up alike."""


@dataclass(kw_only=True)
class Side:
    """One of the two stores."""

    store: Store
    cells: Sequence[CellSpec]
    taken: int = 0
    cpu_ms: list[float] = field(default_factory=list)
    wall_ms: list[float] = field(default_factory=list)

    def take_in(self, count: int) -> None:
        """Publish and take in the next cells; the first ones are timed."""
        packed = [
            PackedCell(cell=cell, epoch=self.store.epoch, attempt=1)
            for cell in self.cells[self.taken : self.taken + count]
        ]
        self.taken += count
        with mock.patch("os.fsync"):
            self.store.start(packed, "pack", "logs/pack.jsonl")
            folders = [publish(self.store.layout, result(one), {}) for one in packed]
        cpu_s, began_s = time.thread_time(), time.perf_counter()
        for folder in folders[:TIMED]:
            self.store.ingest(folder)
        self.cpu_ms.append((time.thread_time() - cpu_s) / TIMED * 1e3)
        self.wall_ms.append((time.perf_counter() - began_s) / TIMED * 1e3)
        for folder in folders[TIMED:]:
            self.store.ingest(folder)


def measure(cells: int, rounds: int, folder: Path) -> dict[str, Any]:
    """Medians over the rounds, and the growth of each figure from the small store to the large one."""
    sides = {count: _open(folder, count) for count in (TIMED * rounds, cells)}
    for _ in range(rounds):
        for count, side in sides.items():
            side.take_in(count // rounds)
    small, large = sides.values()
    for side in sides.values():
        side.store.close()
    found: dict[str, Any] = {"cells": list(sides), "rounds": rounds}
    for name in ("cpu_ms", "wall_ms"):
        values = [statistics.median(getattr(side, name)) for side in (small, large)]
        found[name] = {"small": values[0], "large": values[1], "growth": values[1] / values[0]}
    return found


def _open(folder: Path, count: int) -> Side:
    config = load_config(str(config_of(folder, count)))
    cells = declared_cells(config, OfflineResolver())
    store = Store.open(folder / str(count), grid=config.name)
    store.claim(config.to_json())
    store.declare(cells)
    return Side(store=store, cells=cells)


def main() -> int:
    """Measure and print JSON."""
    parser = new_parser(__doc__)
    parser.add_argument("--cells", type=int, default=10_000, help="of the large store")
    parser.add_argument("--rounds", type=int, default=20, help=f"the small store has {TIMED} cells for each")
    parser.add_argument("--folder", type=Path, help="where to make and remove the stores; default: the system's")
    options = parser.parse_args()
    with working_folder(options.folder) as folder:
        found = measure(options.cells, options.rounds, folder)
    give(found | {"load_average_1min": round(os.getloadavg()[0], 2)})
    return 0


if __name__ == "__main__":
    sys.exit(main())
