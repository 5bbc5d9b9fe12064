"""Failures and pins since the last copy of an index that is kept elsewhere, one JSON object a line.

Results are in their folders; these two are nowhere else. A line is on the disk before the call that recorded
it returns. A last line that was cut off counts for nothing: its call never returned.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from grid.store import attempts, schema
from grid.store.ingest import utc_now
from grid.store.upsert import insert_if_new
from jobs.durable import disk_problem, sync_folder
from jobs.failpoints import failpoint
from jobs.spec import CellState

logger = logging.getLogger(__name__)
_FAILURE = ("cell_id", "epoch", "attempt", "kind", "reason", "log_path")
_NEEDED = {"failed": _FAILURE, "pinned": ("name", "revision")}


def append(path: Path, event: str, **values: Any) -> None:
    """Add a line and wait until the disk has it.

    Args:
        path: the journal.
        event: `failed` or `pinned`.
        values: what happened.

    Raises:
        EnvironmentProblem: the disk refused.
    """
    line = line_of(event, **values)
    try:
        with path.open("ab") as file:
            # A line that an earlier process left unfinished must not swallow this one.
            is_new = not file.tell()
            start = "" if is_new or _ends_with_newline(path) else "\n"
            file.write((start + line).encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            sync_folder(path.parent)
    except OSError as error:
        raise disk_problem(path, error) from error
    failpoint("journal.appended")


def line_of(event: str, **values: Any) -> str:
    """A line of a journal, its end included."""
    return json.dumps({"event": event, **values}, allow_nan=False) + "\n"


def read(path: Path) -> bytes:
    """Content of a journal; empty when there is none.

    Raises:
        EnvironmentProblem: the disk refused.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise disk_problem(path, error) from error


def replay(connection: Connection, content: bytes, name: str) -> int:
    """Repeat what a journal tells on an index that does not know it yet.

    Args:
        connection: inside a transaction of the driver.
        content: of the journal.
        name: of the journal, for messages.

    Returns:
        number of lines that counted.
    """
    known = set(connection.execute(sa.select(schema.cells.c.cell_id)).scalars())
    num_lines = 0
    for line in _lines(content, name):
        if line.get("event") == "pinned":
            row = {"name": str(line["name"]), "revision": str(line["revision"]), "pinned_at": utc_now()}
            insert_if_new(connection, schema.pins, row)
        elif line.get("event") == "failed" and line["cell_id"] in known:
            attempts.take_back(connection, **{name: line[name] for name in _FAILURE}, state=CellState.FAILED)
        else:
            continue
        num_lines += 1
    return num_lines


def _lines(content: bytes, name: str) -> Iterator[Mapping[str, Any]]:
    for number, raw in enumerate(content.split(b"\n"), start=1):
        if not raw.strip():
            continue
        try:
            line = json.loads(raw)
            _ = [line[name] for name in _NEEDED.get(line["event"], ())]
            yield line
        except (ValueError, TypeError, KeyError):
            logger.warning("%s: line %d was cut off and does not count", name, number)


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
