"""The oracle: cells lost, doubled and differing against the undisturbed run, and the steps that kills cost."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from grid.store import schema
from tests.chaos.trial import steps_made
from tests.faults.harness import Grid


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a disturbed grid became."""

    cells: int
    lost: int
    """Cells of the undisturbed run that are missing or not done."""
    doubled: int
    """Cells with more than one row among results or metrics, or that the undisturbed run does not have."""
    differing: int
    """Cells whose numbers, hashes or files differ."""
    is_equal: bool
    """The dumps as wholes."""
    attempts: int
    steps_made: int
    steps_needed: int

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def judge(grid: Grid, clean_dump: str) -> Verdict:
    """Compare a store with the undisturbed one."""
    dump = grid.dump()
    clean, found = _cells(clean_dump), _cells(dump)
    rows = Counter(row["cell_id"] for row in grid.rows(schema.results))
    metrics = Counter((row["cell_id"], row["split"], row["name"], row["label"]) for row in grid.rows(schema.metrics))
    twice = {cell_id for cell_id, number in rows.items() if number > 1}
    twice |= {key[0] for key, number in metrics.items() if number > 1}
    made = steps_made(grid.folder)
    return Verdict(
        cells=len(clean),
        lost=sum(cell_id not in found or found[cell_id]["state"] != "done" for cell_id in clean),
        doubled=len(twice | (set(found) - set(clean))),
        differing=sum(cell_id in found and found[cell_id] != line for cell_id, line in clean.items()),
        is_equal=dump == clean_dump,
        attempts=len(grid.attempts()),
        steps_made=sum(len(steps) for steps in made.values()),
        steps_needed=sum(len(set(steps)) for steps in made.values()),
    )


def _cells(dump: str) -> dict[str, Any]:
    lines = [json.loads(line) for line in dump.splitlines()]
    return {line["cell_id"]: line for line in lines if "cell_id" in line}
