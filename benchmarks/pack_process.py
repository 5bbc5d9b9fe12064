"""Runs one pack in a process of its own, as a trial does; started by packed_modes.py.

    python pack_process.py WARM_UP.json PACK.json RESULTS

Loads the base, reads the rows and trains the warm-up pack, says `ready`, waits for a line on standard input, runs the
pack, and prints JSON: `load_seconds`, and cell_id -> result folder.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import torch

from jobs.models.loading import quiet_libraries
from jobs.spec import EventKind, PackSpec, loads
from jobs.storage import cache_root
from jobs.training.cell_data import load_data
from jobs.trial import Workshop, events_of


def main(arguments: list[str]) -> int:
    """Run the pack; 0, or 1 when a cell did not finish."""
    warm_up, pack = (loads(PackSpec, Path(path).read_text("utf-8")) for path in arguments[:2])
    torch.set_num_threads(pack.resources.cpus)
    quiet_libraries()
    with tempfile.TemporaryDirectory(prefix="pack-process-") as folder:
        workshop = Workshop(Path(folder), cache_root())
        started = time.perf_counter()
        workshop.base_for(pack)
        load_seconds = time.perf_counter() - started
        _read_rows(pack, workshop)
        finish(warm_up, workshop)
        workshop.layout = Workshop(Path(arguments[2]), cache_root()).layout
        _say("ready")
        sys.stdin.readline()
        folders = finish(pack, workshop)
    _say(json.dumps({"load_seconds": load_seconds, "folders": {name: str(path) for name, path in folders.items()}}))
    return 0


def _read_rows(pack: PackSpec, workshop: Workshop) -> None:
    base = workshop.base_for(pack)
    for packed in pack.cells:
        load_data(packed, base, workshop.cache)


def finish(pack: PackSpec, workshop: Workshop) -> dict[str, Path]:
    """Run a pack to its end.

    Returns:
        result folders by cell_id.
    Raises:
        RuntimeError: a cell failed.
    """
    folders: dict[str, Path] = {}
    for event in events_of(pack, workshop):
        if event.kind is EventKind.CELL_FINISHED and event.cell_id is not None:
            folders[event.cell_id] = Path(str(event.data["folder"]))
        if event.kind in (EventKind.CELL_FAILED, EventKind.CELL_INTERRUPTED):
            raise RuntimeError(f"cell {event.cell_id} did not finish: {dict(event.data)}")
    if missing := {packed.cell.cell_id for packed in pack.cells} - set(folders):
        raise RuntimeError(f"no result of cells {sorted(missing)}")
    return folders


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
