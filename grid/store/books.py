"""Transactions of the driver: fenced before each write, and with something to give up when the disk is full."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sqlalchemy.engine import Connection, Engine

from grid.store.ballast import Ballast
from grid.store.connection import leave_single_file, reading, set_patience
from grid.store.ownership import Owner
from grid.store.problems import DiskBroken, StoreLocked, explained
from jobs.errors import BugError, DiskFull

_SHORT_PATIENCE_S = 1.0
logger = logging.getLogger(__name__)
T = TypeVar("T")


class Books:
    """The one connection of one process to an index.

    Methods may be called from several threads; they wait for each other.
    """

    def __init__(self, index: Path, engine: Engine, ownership: Owner, ballast: Ballast) -> None:
        """Take the engine over; `close` disposes of it."""
        self.engine = engine
        self.disk_full: str | None = None
        """Why the disk took no more when last asked; None: it never refused."""
        self._index = index
        self._ownership = ownership
        self._ballast = ballast
        self._reader = reading(engine)
        self._is_file = engine.dialect.name == "sqlite"
        self._guard = threading.RLock()
        self._pid = os.getpid()
        self._broken: DiskBroken | None = None

    def read(self, action: Callable[[Connection], T]) -> T:
        """Run queries in one transaction.

        Raises:
            EnvironmentProblem: the index is damaged, or the disk refused.
            BugError: another process opened the store.
        """
        return self._transaction(self._reader, action)

    def write(self, action: Callable[[Connection], T]) -> T:
        """Run changes in one transaction that is on the disk when this returns.

        Args:
            action: may run twice, each time in a transaction of its own: when the disk is full, the
                ballast is given up and the second try has room.

        Raises:
            StoreBusy: another host has taken the store over; nothing was written.
            DiskFull: there was no ballast left to give up.
            EnvironmentProblem: the disk refused, or refused before: what it holds is not certain then.
        """
        with self._guard:
            self._ownership.check()
            if self._broken is not None:
                raise self._broken
            try:
                return self._transaction(self.engine, action)
            except StoreLocked:
                # Waited for once; what still has to be said at the end of a run must not take minutes more.
                if self._is_file:
                    self.exclusively(lambda engine: set_patience(engine, _SHORT_PATIENCE_S))
                raise
            except DiskBroken as error:
                self._broken = error
                raise
            except DiskFull as error:
                self.disk_full = str(error)
                if not self._ballast.drop():
                    raise
                logger.warning("%s; the space kept back is used now", error)
                return self._transaction(self.engine, action)

    def exclusively(self, action: Callable[[Engine], T]) -> T:
        """Do something with the connection that no transaction may be open for."""
        with self._guard, explained(self._index):
            return action(self.engine)

    def close(self) -> None:
        """Give everything back; a claimed index is left as a single file. Does nothing the second time."""
        with self._guard:
            if self._ownership.is_held:
                self._ballast.drop()
                if self._is_file:
                    leave_single_file(self.engine, self._index)
            self.engine.dispose()
            self._ownership.release()

    def _transaction(self, engine: Engine, action: Callable[[Connection], T]) -> T:
        if os.getpid() != self._pid:
            raise BugError("a store is used only in the process that opened it")
        with self._guard, explained(self._index), engine.begin() as connection:
            return action(connection)
