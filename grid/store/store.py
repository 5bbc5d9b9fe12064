"""The index of a results folder as the driver uses it: one writer, and nothing finished is ever lost."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from grid.store import attempts, schema
from grid.store.connection import leave_single_file, open_writer, quick_check, reading, use_wal_where_safe
from grid.store.declare import declare
from grid.store.ingest import insert_result, read_published, readable, utc_now
from grid.store.lock import Holder, StoreLock
from grid.store.migrate import bring_up_to_date, create_index
from grid.store.problems import damaged_index, explained, other_grid, wrong_schema
from grid.store.reading import read_pins, read_states
from grid.store.rows import CellRow
from jobs.durable import disk_problem
from jobs.errors import BugError, UserError, one_line
from jobs.failpoints import failpoint
from jobs.spec import CellSpec, CellState, FailureKind, PackedCell
from jobs.storage import AttemptName, DamagedResult, Layout, complete_results, read_result, results_of, sweep_temporary

logger = logging.getLogger(__name__)
_BATCH_SIZE = 200
"""Results ingested in one transaction."""


class Store:
    """Reads at any time; writes only between `claim` and `close`, and only in the process that claimed.

    Every method is one transaction that is on the disk when it returns. Methods may be called from
    several threads; they wait for each other.
    """

    def __init__(self, layout: Layout, grid: str, engine: Engine, lock: StoreLock) -> None:
        """Use `Store.open`."""
        self.layout = layout
        self.grid = grid
        self._engine = engine
        self._reader = reading(engine)
        self._lock = lock
        self._guard = threading.RLock()
        self._pid = os.getpid()
        self._epoch: int | None = None

    @classmethod
    def open(cls, root: Path, *, grid: str) -> Store:
        """Open the store of a results folder; make it when there is none.

        Args:
            root: results folder; made when missing.
            grid: name of the grid; a store belongs to one.

        Returns:
            the store, not yet claimed.

        Raises:
            UserError: it belongs to another grid, or a newer FineGrid wrote it.
            StoreBusy: it must be made or migrated and another process is at it.
            EnvironmentProblem: it is damaged, or the disk refused.
        """
        layout = Layout(root.absolute())
        lock = StoreLock(layout.lock)
        _make_root(layout)
        try:
            if not layout.index.exists():
                lock.acquire()
                _create_unless_made(layout, grid)
            return cls._open_existing(layout, grid, lock)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def _open_existing(cls, layout: Layout, grid: str, lock: StoreLock) -> Store:
        engine = open_writer(layout.index)
        try:
            with explained(layout.index):
                _check_owner(engine, layout, grid)
                _migrate_if_old(engine, layout, lock)
        except BaseException:
            engine.dispose()
            raise
        return cls(layout, grid, engine, lock)

    @property
    def epoch(self) -> int:
        """The claimed epoch.

        Raises:
            BugError: nothing was claimed.
        """
        if self._epoch is None:
            raise BugError("the store was not claimed: writing needs a claim")
        return self._epoch

    def claim(self, config_json: str) -> int:
        """Become the only writer and begin the next epoch.

        Args:
            config_json: the config of this run, without secrets: kept for people.

        Returns:
            the epoch, larger than any that a cell of this store was handed out in.

        Raises:
            StoreBusy: another process has the store; it is named.
            EnvironmentProblem: the index is damaged.

        Side effects:
            Cells that an earlier run left running become interrupted; leftovers of dead processes in
            the temporary folder are removed.
        """
        if self._epoch is not None:
            raise BugError("a store is claimed once")
        if not self._lock.is_held:
            self._lock.acquire()
        failpoint("claim.locked")
        self._check_structure()
        self._use_wal_where_safe()
        sweep_temporary(self.layout)
        newest_folder = self._newest_folder_epoch()
        with self._transaction(self._engine) as connection:
            epoch = max(_last_epoch(connection), newest_folder) + 1
            connection.execute(sa.insert(schema.runs), _run_row(epoch, config_json))
            num_interrupted = attempts.interrupt_leftovers(connection, before_epoch=epoch)
            failpoint("claim.inserted")
        if num_interrupted:
            logger.info("%d cells were running when an earlier run ended", num_interrupted)
        self._epoch = epoch
        return epoch

    def declare(self, cells: Sequence[CellSpec]) -> None:
        """Insert new cells, un-retire declared ones, retire the others.

        Args:
            cells: all cells of the config, in its order.
        """
        with self._writing() as connection:
            declare(connection, cells, grid=self.grid)

    def states(self) -> dict[str, CellRow]:
        """Where every cell stands, retired ones included, in declared order."""
        with self._reading() as connection:
            return read_states(connection)

    def start(self, packed: Sequence[PackedCell], pack_id: str, log: str) -> None:
        """Hand cells out to a pack: they are running, with one more attempt each.

        Args:
            packed: cells with this epoch and their `next_attempt`.
            pack_id: the pack.
            log: its log.

        Raises:
            BugError: a wrong epoch or attempt, an unknown cell, or one that is done.
        """
        with self._writing() as connection:
            attempts.hand_out(connection, packed, epoch=self.epoch, pack_id=pack_id, log_path=self._relative(log))
            failpoint("start.inserted")

    def next_attempt(self, cell_id: str) -> int:
        """Number of the next try at a cell within this epoch: 1, 2, ..."""
        with self._reading() as connection:
            return attempts.last_attempt(connection, cell_id, self.epoch) + 1

    def ingest(self, folder: Path) -> bool:
        """Take a published result into the index.

        Args:
            folder: a result folder of this store.

        Returns:
            True when it is new; False when it was there already, or refused because a newer attempt
            was handed out or the cell is done (logged).

        Raises:
            DamagedResult: its bytes are not the ones that were written; record the attempt as failed.
        """
        # Only the names are taken from the path: a trial may see the same folder under another mount point.
        published = read_published(self.layout, self.layout.cell(folder.parent.name) / folder.name)
        with self._writing() as connection:
            failpoint("db.begun")
            is_new = insert_result(connection, published, grid=self.grid)
        failpoint("db.committed")
        return is_new

    def ingest_all(self) -> int:
        """Take in every complete folder of cells that are not done.

        Returns:
            number of new results. Damaged folders are logged and left where they are.
        """
        _ = self.epoch  # writing needs a claim
        done = {cell_id for cell_id, row in self.states().items() if row.state is CellState.DONE}
        folders = list(complete_results(self.layout, skip=done))
        # Newest attempt first: of two results of one cell the later one was handed out last.
        folders.sort(key=lambda folder: (folder.parent.name, AttemptName.parse(folder.name)), reverse=True)
        num_new = 0
        for start in range(0, len(folders), _BATCH_SIZE):
            found = readable(self.layout, folders[start : start + _BATCH_SIZE])
            with self._writing() as connection:
                failpoint("db.begun")
                num_new += sum(insert_result(connection, published, grid=self.grid) for published in found)
            failpoint("db.committed")
        return num_new

    def fail(
        self, cell_id: str, epoch: int, attempt: int, kind: FailureKind, reason: str, log: str | None = None
    ) -> None:
        """Record that an attempt failed.

        A complete result of that attempt wins over the report of its failure. A report about an
        older attempt, or about a cell that is done, changes the attempt's row only.

        Args:
            cell_id: the cell.
            epoch: of the attempt; 0 when the cell never started (refused by preflight).
            attempt: its number; 0 when the cell never started.
            kind: who must act.
            reason: one line; control characters are replaced.
            log: where to read more.
        """
        if self._ingest_published(cell_id, epoch, attempt):
            return
        with self._writing() as connection:
            attempts.take_back(
                connection,
                cell_id,
                epoch,
                attempt,
                state=CellState.FAILED,
                kind=str(kind),
                reason=one_line(reason),
                log_path=self._relative(log) if log else None,
            )
            failpoint("fail.inserted")

    def interrupt(self, cell_id: str, epoch: int, attempt: int) -> None:
        """Record that an attempt was given back unfinished; same rules as `fail`."""
        if self._ingest_published(cell_id, epoch, attempt):
            return
        with self._writing() as connection:
            attempts.take_back(
                connection,
                cell_id,
                epoch,
                attempt,
                state=CellState.INTERRUPTED,
                reason="stopped before it was finished",
            )
            failpoint("interrupt.inserted")

    def pins(self) -> dict[str, str]:
        """Pinned revisions: `model:owner/name` or `dataset:owner/name` -> commit."""
        with self._reading() as connection:
            return read_pins(connection)

    def pin(self, name: str, revision: str) -> None:
        """Pin a revision for the life of the store.

        Raises:
            BugError: it is pinned to another one.
        """
        with self._writing() as connection:
            known = read_pins(connection).get(name)
            if known is None:
                connection.execute(sa.insert(schema.pins), {"name": name, "revision": revision, "pinned_at": utc_now()})
            elif known != revision:
                raise BugError(f"{name} is pinned to {known} in this store; it cannot become {revision}")

    def finish_run(self, exit_code: int) -> None:
        """Record how the run ended."""
        runs = schema.runs
        with self._writing() as connection:
            ended = {"ended_at": utc_now(), "exit_code": exit_code}
            connection.execute(sa.update(runs).where(runs.c.epoch == self.epoch).values(**ended))

    def close(self) -> None:
        """Give the store back; a claimed one is left as a single file. Does nothing the second time."""
        with self._guard:
            if self._lock.is_held:
                leave_single_file(self._engine, self.layout.index)
            self._engine.dispose()
            self._lock.release()
            self._epoch = None

    def __enter__(self) -> Store:
        """For `with`."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._transaction(self._reader) as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        _ = self.epoch  # writing needs a claim
        with self._transaction(self._engine) as connection:
            yield connection

    @contextmanager
    def _transaction(self, engine: Engine) -> Iterator[Connection]:
        if os.getpid() != self._pid:
            raise BugError("a store is used only in the process that opened it")
        with self._guard, explained(self.layout.index), engine.begin() as connection:
            yield connection

    def _use_wal_where_safe(self) -> None:
        with self._guard:
            try:
                use_wal_where_safe(self._engine, self.layout.index)
            except sqlite3.DatabaseError as error:
                raise damaged_index(self.layout.index, str(error)) from error

    def _check_structure(self) -> None:
        with self._guard, explained(self.layout.index):
            found = quick_check(self._engine)
        if found != "ok":
            raise damaged_index(self.layout.index, found)

    def _newest_folder_epoch(self) -> int:
        """Largest epoch among folders of cells that are not done: an index put back from a copy may lag behind."""
        done = {cell_id for cell_id, row in self.states().items() if row.state is CellState.DONE}
        names = (AttemptName.parse(folder.name) for folder in complete_results(self.layout, skip=done))
        return max((name.epoch for name in names if name), default=0)

    def _ingest_published(self, cell_id: str, epoch: int, attempt: int) -> bool:
        for folder in results_of(self.layout, cell_id):
            name = AttemptName.parse(folder.name)
            if name and (name.epoch, name.attempt) == (epoch, attempt):
                return self._ingest_unless_damaged(folder)
        return False

    def _ingest_unless_damaged(self, folder: Path) -> bool:
        try:
            return self.ingest(folder)
        except DamagedResult as error:
            logger.warning("%s", error)
            return False

    def _relative(self, path: str) -> str:
        absolute = self.layout.root / path
        return self.layout.relative(absolute) if absolute.is_relative_to(self.layout.root) else path


def _make_root(layout: Layout) -> None:
    try:
        layout.root.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(f"{layout.root} is a file; a results folder is expected") from error
    except OSError as error:
        raise disk_problem(layout.root, error) from error


def _create_unless_made(layout: Layout, grid: str) -> None:
    if layout.index.exists():
        return  # made by another process between our look and our lock
    for folder in complete_results(layout):
        try:
            found = read_result(folder).cell.grid
        except DamagedResult:
            continue
        if found != grid:
            raise other_grid(layout.root, found, grid)
        logger.warning("%s has results but no index: making a new one from them", layout.root)
        break
    create_index(layout, grid=grid)


def _check_owner(engine: Engine, layout: Layout, grid: str) -> None:
    revision = schema.read_revision(reading(engine))
    if revision not in schema.REVISIONS:
        raise wrong_schema(layout.index, revision, schema.REVISIONS)
    meta = schema.meta
    with reading(engine).begin() as connection:
        found = connection.execute(sa.select(meta.c.value).where(meta.c.key == "grid")).scalar()
    if found is None:
        raise damaged_index(layout.index, "it does not say which grid it belongs to")
    if found != grid:
        raise other_grid(layout.root, found, grid)


def _migrate_if_old(engine: Engine, layout: Layout, lock: StoreLock) -> None:
    if schema.read_revision(reading(engine)) == schema.REVISIONS[-1]:
        return
    if not lock.is_held:
        lock.acquire()
    backup = bring_up_to_date(engine, layout.index)
    logger.info("%s was brought up to schema %s; the old one is kept as %s", layout.index, schema.REVISIONS[-1], backup)


def _last_epoch(connection: Connection) -> int:
    tables = (schema.runs, schema.attempts, schema.cells)
    found = [connection.execute(sa.select(sa.func.max(table.c.epoch))).scalar() or 0 for table in tables]
    return int(max(found))


def _run_row(epoch: int, config_json: str) -> dict[str, object]:
    holder = Holder.this_process()
    who = {"host": holder.host, "pid": holder.pid, "boot_id": holder.boot_id, "started_at": utc_now()}
    return {"epoch": epoch, "config_json": config_json} | who
