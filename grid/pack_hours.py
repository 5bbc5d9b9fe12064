"""How long packs have kept devices busy so far: what a cluster has cost, as far as a store can tell."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from grid.store import schema


def pack_hours(connection: Connection, *, is_running: bool, now: datetime | None = None) -> float:
    """Add up the packs of all runs, from being handed out to their last cell.

    Args:
        connection: to an index.
        is_running: a run goes on, so that attempts without an end last until now.
        now: for tests; None: the clock.

    Returns:
        hours; of a pack whose run was killed only up to the last cell that is known to have ended. Packs that wait for
        a machine count, start and end of machines do not.
    """
    attempts = schema.attempts.c
    open_ones = sa.func.sum(sa.case((attempts.ended_at.is_(None), 1), else_=0))
    query = sa.select(sa.func.min(attempts.started_at), sa.func.max(attempts.ended_at), open_ones)
    query = query.where(attempts.pack_id.is_not(None), attempts.started_at.is_not(None))
    seconds = 0.0
    for began, ended, num_open in connection.execute(query.group_by(attempts.epoch, attempts.pack_id)):
        last = (now or datetime.now(UTC)) if num_open and is_running else _moment(ended or began)
        seconds += max(0.0, (last - _moment(began)).total_seconds())
    return seconds / 3600


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
