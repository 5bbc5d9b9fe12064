"""The copy of an index in a results folder that other hosts can reach, so that losing this machine loses nothing.

A copy is a whole, closed database that replaces the one before in one step. It is made when a run claims the
store, when cells are declared, from time to time, and at the end; in between, the journal holds what neither
the copy nor the result folders do. Of a URL's copies and journal, `grid.store.remote_copies` knows.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy.engine import Connection, Engine

from grid.store import journal
from grid.store.connection import raw_cursor
from grid.store.places import Places, continues
from jobs.durable import disk_problem, sync_folder
from jobs.failpoints import failpoint
from jobs.spec import FailureKind
from jobs.storage import Layout
from jobs.temporary import new_temporary

_EVERY_S = 60.0
_MAX_SHARE = 50
"""A copy is made at most every 50 times as long as the last one took."""
_SIDE_SUFFIXES = ("-wal", "-shm", "-journal")
logger = logging.getLogger(__name__)


class Copies:
    """Keeps the copy and the journal of one store; does nothing for a store on a local disk."""

    def __init__(self, layout: Layout, places: Places, check_ours: Callable[[], None] = lambda: None) -> None:
        """Nothing is touched yet.

        Args:
            layout: the results folder.
            places: where its index lies.
            check_ours: raises StoreBusy once another host has taken the store over.
        """
        self._layout = layout
        self._places = places
        self._check_ours = check_ours
        self._next_at = 0.0

    def restore(self) -> None:
        """Make this machine's index from the copy, when the copy knows more; the store must be ours.

        Raises:
            EnvironmentProblem: the disk refused.
        """
        if not self._places.is_shared:
            return
        index, copy = self._places.index, self._newest_copy()
        if copy is None or (index.is_file() and continues(index, copy)):
            return
        logger.warning("%s: the index of this machine is made anew from the copy there", self._layout.name)
        try:
            folder = new_temporary(index.parent / "tmp")
            try:
                for suffix in ("", *_SIDE_SUFFIXES):
                    if (file := _side(copy, suffix)).is_file():
                        shutil.copyfile(file, folder / f"{index.name}{suffix}")
                _replace(folder, index)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
        except OSError as error:
            raise disk_problem(index, error) from error

    def replay(self, connection: Connection) -> None:
        """Add what the journal knows; nothing changes where the index knows it too."""
        num_lines = journal.replay(connection, self.journal(), f"journal of {self._layout.name}")
        if num_lines:
            logger.info("%d failures and pins were read from the journal of %s", num_lines, self._layout.name)

    def reserve_epoch(self, at_least: int) -> int:
        """The epoch of this run; the lease or the lock is proof enough that nobody else takes it."""
        return at_least

    def save(self, engine: Engine) -> None:
        """Replace the copy by the index as it is now.

        Raises:
            StoreBusy: another host has taken the store over; its copy is still there.
            EnvironmentProblem: the disk refused; the copy before is still there.
        """
        if not self._places.is_shared:
            self._layout.journal.unlink(missing_ok=True)
            return
        began = time.monotonic()
        index = self._places.index
        try:
            folder = new_temporary(index.parent / "tmp")
            try:
                with raw_cursor(engine) as cursor:
                    cursor.execute("VACUUM INTO ?", (str(folder / index.name),))
                self._put(folder / index.name)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
        except OSError as error:
            raise disk_problem(self._layout.index, error) from error
        now = time.monotonic()
        self._next_at = now + max(_EVERY_S, _MAX_SHARE * (now - began))

    def save_if_due(self, engine: Engine) -> None:
        """The same from time to time, so that other hosts see how far a run is."""
        if self._places.is_shared and time.monotonic() >= self._next_at:
            self.save(engine)

    def note_failure(
        self, cell_id: str, epoch: int, attempt: int, kind: FailureKind, reason: str, log_path: str | None
    ) -> None:
        """Remember a failure until the next copy."""
        if self._places.is_shared:
            numbers = {"cell_id": cell_id, "epoch": epoch, "attempt": attempt}
            self._note("failed", **numbers, kind=str(kind), reason=reason, log_path=log_path)

    def note_pin(self, name: str, revision: str) -> None:
        """Remember a pin until the next copy."""
        if self._places.is_shared:
            self._note("pinned", name=name, revision=revision)

    def journal(self) -> bytes:
        """Failures and pins since the last copy.

        Raises:
            EnvironmentProblem: the disk refused.
        """
        return journal.read(self._layout.journal)

    def _newest_copy(self) -> Path | None:
        return self._layout.index if self._layout.index.is_file() else None

    def _put(self, database: Path) -> None:
        """Make a whole, closed database the copy, and forget the journal."""
        near, copy = new_temporary(self._layout.temporary), self._layout.index
        try:
            _copy_synced(database, near / copy.name)
            failpoint("copy.before_replace")
            # A network that stood still while this was written may have cost us the store: the next holder's copy and
            # journal are the newer ones.
            self._check_ours()
            _replace(near, copy)
        finally:
            shutil.rmtree(near, ignore_errors=True)
        failpoint("copy.after_replace")
        self._layout.journal.unlink(missing_ok=True)

    def _note(self, event: str, **values: Any) -> None:
        journal.append(self._layout.journal, event, **values)


def _replace(folder: Path, index: Path) -> None:
    # Side files of the old one go first: SQLite would take them for the new one's.
    for suffix in _SIDE_SUFFIXES:
        _side(index, suffix).unlink(missing_ok=True)
    for suffix in ("-wal", "-journal", ""):
        if (file := folder / f"{index.name}{suffix}").is_file():
            file.replace(_side(index, suffix))
    sync_folder(index.parent)


def _copy_synced(source: Path, target: Path) -> None:
    with source.open("rb") as read, target.open("wb") as write:
        shutil.copyfileobj(read, write, 1 << 20)
        write.flush()
        os.fsync(write.fileno())


def _side(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
