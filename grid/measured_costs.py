"""Finished cells of a store as the measurements that a cost model learns from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from grid.cost_model import CostModel, Kind, MeasuredPack, kind_of, kind_of_device, measured_cells
from grid.expectations import Expectations
from grid.store import schema
from grid.store.places import index_to_read
from grid.store.schema import look
from jobs.spec import CellSpec, from_json
from jobs.storage import Layout

MOST_CELLS: Final = 500
"""The newest so many are enough, and reading them takes no time."""


def read_cost_model(root: Path, expectations: Expectations) -> CostModel:
    """Learn from what a results folder holds.

    Args:
        root: a results folder; may not exist.
        expectations: of the devices that are planned for.
    Returns:
        a model; of a folder without finished cells the expectations alone.
    Raises:
        UserError: the store has another schema version.
        EnvironmentProblem: it is damaged.
    """
    layout = Layout(root.absolute())
    if not index_to_read(layout).exists():
        return CostModel(expectations=expectations)
    with look(root) as connection:
        rows = [dict(row) for row in connection.execute(_query()).mappings()]
    return learn(rows, expectations)


def learn(rows: Sequence[Mapping[str, Any]], expectations: Expectations) -> CostModel:
    """Make a model of rows of an index.

    Args:
        rows: as `_query` gives them, one a finished cell.
        expectations: what was to be expected of them.
    """
    done = [one for row in rows if (one := _done(row)) is not None]
    packs: dict[tuple[Any, ...], list[_Done]] = {}
    for one in done:
        packs.setdefault(one.pack, []).append(one)
    together = {one.cell.cell_id: [other.cell for other in packs[one.pack]] for one in done}
    return CostModel(
        expectations=expectations,
        measured=measured_cells([(one.cell, one.row) for one in done], expectations, company=together),
        packs=_packs(packs, expectations),
    )


@dataclass(frozen=True, kw_only=True)
class _Done:
    """A finished cell, and the try that finished it."""

    cell: CellSpec
    row: Mapping[str, Any]
    """device, costs, counts."""
    pack: tuple[Any, ...]
    process: tuple[Any, ...]
    started: float | None
    ended: float | None


def _query() -> sa.Select[Any]:
    cells, results, attempts = schema.cells, schema.results, schema.attempts
    columns = (
        cells.c.cell_id,
        cells.c.spec_json,
        results.c.epoch,
        results.c.device,
        results.c.costs_json,
        results.c.counts_json,
        *(attempts.c[name] for name in ("pack_id", "host", "pid", "started_at", "ended_at")),
    )
    own = sa.and_(
        attempts.c.cell_id == results.c.cell_id,
        attempts.c.epoch == results.c.epoch,
        attempts.c.attempt == results.c.attempt,
    )
    joined = sa.select(*columns).select_from(
        cells.join(results, results.c.cell_id == cells.c.cell_id).outerjoin(attempts, own)
    )
    return joined.where(cells.c.model.is_not(None)).order_by(results.c.epoch.desc(), cells.c.position).limit(MOST_CELLS)


def _done(row: Mapping[str, Any]) -> _Done | None:
    try:
        cell = from_json(CellSpec, json.loads(row["spec_json"]))
    except (ValueError, KeyError, TypeError):
        return None  # declared by another version of FineGrid: its cost teaches nothing about ours
    return _Done(
        cell=cell,
        row={
            "device": row["device"],
            "costs": json.loads(row["costs_json"]),
            "counts": json.loads(row["counts_json"]),
        },
        pack=(row["epoch"], row["pack_id"] or row["cell_id"]),
        process=(row["epoch"], row["host"], row["pid"]),
        started=_seconds(row["started_at"]),
        ended=_seconds(row["ended_at"]),
    )


def _seconds(text: str | None) -> float | None:
    return None if text is None else datetime.fromisoformat(text).timestamp()


def _packs(packs: Mapping[tuple[Any, ...], list[_Done]], expectations: Expectations) -> tuple[MeasuredPack, ...]:
    """Wall time of packs beyond the training of their cells; packs of one process follow each other."""
    found = []
    ends: dict[tuple[Any, ...], float] = {}
    known: set[Kind] = set()
    for cells in sorted(packs.values(), key=lambda own: max(one.ended or 0.0 for one in own)):
        starts = [one.started for one in cells if one.started is not None]
        stops = [one.ended for one in cells if one.ended is not None]
        if len(starts) < len(cells) or len(stops) < len(cells):
            continue
        process = cells[0].process
        is_fresh = process not in ends
        begun = max(min(starts), ends.get(process, 0.0))  # handed out early, it waited for the one before it
        ends[process] = max(stops)
        own = [one.cell for one in cells]
        measured = measured_cells([(one.cell, one.row) for one in cells], expectations)
        training = sum(one.seconds for one in measured) / expectations.engines(own[0])
        kind = kind_of(own[0], kind_of_device(str(cells[0].row["device"] or "")))
        expected = expectations.overhead_seconds(
            own, training, is_fresh=is_fresh, has_spare=True, is_probed=kind in known
        )
        known.add(kind)
        found.append(MeasuredPack(form=kind[2], overhead=max(stops) - begun - training, expected=expected))
    return tuple(found)
