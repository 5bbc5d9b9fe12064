"""The product's trial, with every optimiser step of every cell written down: what a kill cost can then be counted.

One line a step, appended by the operating system at once: a killed process has told all that it did.
"""

from __future__ import annotations

import os
from pathlib import Path

from jobs.spec import PackSpec
from jobs.training.engine import PackEngine
from jobs.training.slots import Divergence
from jobs.trial import Events, Workshop
from jobs.trial import run_pack as run_real_pack

__all__ = ["Workshop", "run_pack"]

FOLDER = "chaos-steps"
_step = PackEngine.step
_file: list[int] = []


def run_pack(pack: PackSpec, workshop: Workshop) -> Events:
    """Train a pack; steps go to `chaos-steps/<pid>` of the results folder."""
    folder = workshop.layout.root / FOLDER
    folder.mkdir(exist_ok=True)
    _file[:] = [os.open(folder / str(os.getpid()), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)]
    PackEngine.step = _noted_step  # type: ignore[method-assign]
    return run_real_pack(pack, workshop)


def _noted_step(engine: PackEngine) -> list[Divergence]:
    before = {run.cell_id: run.step for run in engine.live}
    divergences = _step(engine)
    lines = [f"{run.cell_id} {run.step}\n" for run in engine.live if run.step > before.get(run.cell_id, -1)]
    os.write(_file[0], "".join(lines).encode())
    return divergences


def steps_made(results: Path) -> dict[str, list[int]]:
    """Every step that any attempt made, by cell."""
    made: dict[str, list[int]] = {}
    for path in sorted((results / FOLDER).glob("*")):
        for line in path.read_text("ascii").splitlines():
            cell_id, step = line.split()
            made.setdefault(cell_id, []).append(int(step))
    return made
