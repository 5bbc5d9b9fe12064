"""What became of candidates, read from the index: the one memory of a tuning that counts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from grid.store import schema
from grid.store.places import index_to_read
from grid.store.schema import look
from jobs.spec import CandidateSpec, CellState, FailureKind, from_json
from jobs.storage import Layout

UNSETTLED_KINDS: Final = frozenset({FailureKind.ENVIRONMENT, FailureKind.TRANSIENT})
"""Failures that say nothing about the settings: the candidate is tried again, and its arm waits for it."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Where one candidate's cell stands."""

    is_settled: bool
    """Nothing more will come of it."""
    metrics: Mapping[str, float]
    """Of validation rows, as far as they are defined."""
    failure: FailureKind | None = None
    reason: str = ""

    @property
    def is_bad(self) -> bool:
        """The settings themselves are to blame."""
        return self.failure is FailureKind.DIVERGED


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """All candidates that a store knows."""

    cells: Mapping[str, Outcome]
    """By cell id."""
    asked: Mapping[tuple[str, int], Mapping[str, Any]]
    """Cells as declared, as JSON values, by (digest of the tuning, number)."""

    def of(self, cell_id: str) -> Outcome:
        """A cell's outcome; unknown cells have none yet."""
        return self.cells.get(cell_id, _NONE)


_NONE = Outcome(is_settled=False, metrics={})
NOTHING = Outcomes(cells={}, asked={})


def read_outcomes(root: Path) -> Outcomes:
    """Read what the store knows of candidates; works beside a running driver.

    Args:
        root: results folder; may not exist.

    Returns:
        every candidate ever declared.

    Raises:
        UserError: the store has another schema version.
        EnvironmentProblem: it is damaged.
    """
    layout = Layout(root.absolute())
    if not index_to_read(layout).exists():
        return NOTHING
    with look(root) as connection:
        cells, metrics = schema.cells, schema.metrics
        names = ("cell_id", "state", "kind", "reason", "spec_json")
        rows = list(connection.execute(sa.select(*(cells.c[name] for name in names)).where(schema.is_candidate)))
        numbers = connection.execute(
            sa.select(metrics.c.cell_id, metrics.c.name, metrics.c.value)
            .join(cells, cells.c.cell_id == metrics.c.cell_id)
            .where(schema.is_candidate, metrics.c.split == "validation", metrics.c.label == "")
        ).all()
    values: dict[str, dict[str, float]] = {}
    for cell_id, name, value in numbers:
        if value is not None:
            values.setdefault(cell_id, {})[name] = value
    specs = {row.cell_id: json.loads(row.spec_json) for row in rows}
    found = {row.cell_id: _outcome(row, values.get(row.cell_id, {})) for row in rows}
    marks = {cell_id: from_json(CandidateSpec, spec["candidate"]) for cell_id, spec in specs.items()}
    asked = {(mark.tuning, mark.number): specs[cell_id] for cell_id, mark in marks.items()}
    return Outcomes(cells=found, asked=asked)


def _outcome(row: Any, metrics: Mapping[str, float]) -> Outcome:
    if row.state == CellState.DONE:
        return Outcome(is_settled=True, metrics=metrics)
    if row.state != CellState.FAILED:
        return _NONE
    kind = FailureKind(row.kind)
    # --retry-failed does not reach what was told: another outcome could change settings that cells were trained with.
    return Outcome(is_settled=kind not in UNSETTLED_KINDS, metrics={}, failure=kind, reason=row.reason or "")
