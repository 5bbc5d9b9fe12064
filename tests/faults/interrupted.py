"""Real training that is stopped where a test wants it stopped, the checkpoints left behind, and what became of it."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

from jobs.checkpoints import CheckpointName
from jobs.storage import results_of
from tests.faults.harness import Grid, wait_until

OFTEN = {"every_s": 0.001, "keep": 2}
STEPWISE = {"cpus_per_trial": 1}
"""On one core a pack looks up after every step, with more of them every two seconds."""
LONG = {"epochs": 30}
"""180 steps, each with a checkpoint: longer than it takes to look and to send a signal."""


def checkpoints(grid: Grid, cell_id: str) -> list[tuple[CheckpointName, Path]]:
    """A cell's checkpoints, oldest first."""
    folder = grid.layout.checkpoint(cell_id)
    paths = list(folder.iterdir()) if folder.is_dir() else []
    return sorted((name, path) for path in paths if (name := CheckpointName.parse(path.name)) is not None)


def newest_step(grid: Grid, cell_id: str) -> int:
    """Step of a cell's newest checkpoint; 0 without one."""
    found = checkpoints(grid, cell_id)
    return found[-1][0].step if found else 0


def cell_ids(grid: Grid) -> list[str]:
    """Cells that have checkpoints."""
    return sorted(path.name for path in grid.layout.checkpoints.iterdir()) if grid.layout.checkpoints.is_dir() else []


def stop_when_further(grid: Grid, num_cells: int, by_steps: int) -> dict[str, int]:
    """Run until every cell is so many steps further than its newest checkpoint was, then SIGTERM.

    Returns:
        the step from which each cell can go on now.
    """
    before = {cell_id: newest_step(grid, cell_id) for cell_id in cell_ids(grid)}

    def all_are_further() -> bool:
        found = cell_ids(grid)
        return len(found) == num_cells and all(
            newest_step(grid, cell_id) >= before.get(cell_id, 0) + by_steps for cell_id in found
        )

    running = grid.start()
    wait_until(lambda: all_are_further() or not running.is_alive, what="a checkpoint of every cell")
    running.kill(signal.SIGTERM)
    finished = running.wait()
    assert finished.returncode == 143, finished.stderr
    assert grid.count("interrupted") == num_cells
    return {cell_id: newest_step(grid, cell_id) for cell_id in cell_ids(grid)}


def resumed_from(grid: Grid, cell_id: str) -> list[int]:
    """Steps from which a finished cell went on, by its own word."""
    provenance: dict[str, Any] = json.loads((results_of(grid.layout, cell_id)[-1] / "result.json").read_text())[
        "provenance"
    ]
    return list(provenance.get("resumed_from_steps", []))


def told(grid: Grid, event: str) -> list[dict[str, Any]]:
    """Lines of the pack logs with one event."""
    return [line for line in grid.log_lines() if line["event"] == event]
