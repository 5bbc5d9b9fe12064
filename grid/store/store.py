"""The index of a results folder as the driver uses it: one writer, and nothing finished is ever lost."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from grid.store import attempts, opening, schema
from grid.store.ballast import Ballast
from grid.store.books import Books
from grid.store.copies import Copies
from grid.store.declare import declare
from grid.store.ingest import Published, insert_result, read_published, readable, utc_now
from grid.store.leftovers import sweep_leftovers
from grid.store.lock import Holder
from grid.store.places import Places
from grid.store.reading import read_done, read_pins, read_states
from grid.store.remote_copies import copies_of
from grid.store.rows import CellRow
from jobs.errors import BugError, one_line
from jobs.failpoints import failpoint
from jobs.spec import CellSpec, CellState, FailureKind, PackedCell
from jobs.storage import AttemptName, DamagedResult, Layout, complete_results, results_of

logger = logging.getLogger(__name__)
T = TypeVar("T")
_BATCH_SIZE = 200
"""Results ingested in one transaction."""


class Store:
    """Belongs to one process from `open` to `close`; writes only after `claim`.

    Every method is one transaction that is on the disk when it returns. Methods may be called from
    several threads; they wait for each other. Where the results lie on a network or at a URL the index lies
    locally, and a copy of it is kept there (`grid.store.places`, `grid.store.copies`, `grid.store.remote_copies`).
    """

    def __init__(self, layout: Layout, grid: str, places: Places, books: Books, copies: Copies) -> None:
        """Use `Store.open`."""
        self.layout = layout
        self.grid = grid
        self._places = places
        self._books = books
        self._copies = copies
        self._ballast = Ballast(places.ballast)
        self._epoch: int | None = None

    @classmethod
    def open(cls, root: Path, *, grid: str, index: str | None = None) -> Store:
        """Open the store of a results folder and take it; make it when there is none.

        Args:
            root: results folder; made when missing.
            grid: name of the grid; a store belongs to one.
            index: name of the variable with the URL of a PostgreSQL database, for a new store whose index is to be
                there; None: a store that exists knows, a new one has SQLite's.

        Returns:
            the store, not yet claimed.

        Raises:
            UserError: it belongs to another grid, or a newer FineGrid wrote it.
            StoreBusy: another process has it; it is named.
            EnvironmentProblem: it is damaged, or the disk refused.
        """
        layout = Layout(root.absolute())
        opening.make_root(layout)
        if index is not None:
            opening.place_index(layout, index, grid=grid)
        places, ownership = opening.own(layout)
        try:
            copies = copies_of(layout, places, ownership)
            engine = opening.open_engine(layout, places, copies, ownership, grid=grid)
        except BaseException:
            ownership.release()
            raise
        return cls(layout, grid, places, Books(places.index, engine, ownership, Ballast(places.ballast)), copies)

    @property
    def epoch(self) -> int:
        """The claimed epoch.

        Raises:
            BugError: nothing was claimed.
        """
        if self._epoch is None:
            raise BugError("the store was not claimed: writing needs a claim")
        return self._epoch

    @property
    def folders(self) -> tuple[Path, ...]:
        """Where the disk has to have space for this store."""
        return tuple(dict.fromkeys((self.layout.root, self._places.index.parent)))

    @property
    def disk_full(self) -> str | None:
        """Why the disk took no more when last asked, even if the space kept back helped once; None otherwise."""
        return self._books.disk_full

    def claim(self, config_json: str) -> int:
        """Become the only writer and begin the next epoch.

        Args:
            config_json: the config of this run, without secrets: kept for people.

        Returns:
            the epoch, larger than any that a cell of this store was handed out in.

        Raises:
            StoreBusy: another host has taken the store over.
            EnvironmentProblem: the index is damaged, or the disk refused.

        Side effects:
            Cells that an earlier run left running become interrupted; leftovers of dead processes and of
            earlier epochs are removed; some space is kept back for a full disk.
        """
        if self._epoch is not None:
            raise BugError("a store is claimed once")
        failpoint("claim.locked")
        self._books.exclusively(lambda engine: opening.prepare(engine, self._places.index))
        done = self._done()
        newest_folder = self._newest_folder_epoch(done)
        epoch = self._books.write(lambda connection: self._begin(connection, newest_folder, config_json))
        failpoint("claim.committed")
        sweep_leftovers(self.layout, before_epoch=epoch, skip=done, local=self._places.index.parent)
        self._ballast.load()
        self._books.exclusively(self._copies.save)
        self._epoch = epoch
        return epoch

    def _begin(self, connection: Connection, newest_folder: int, config_json: str) -> int:
        self._copies.replay(connection)
        epoch = self._copies.reserve_epoch(max(opening.last_epoch(connection), newest_folder) + 1)
        connection.execute(sa.insert(schema.runs), _run_row(epoch, config_json))
        num_interrupted = attempts.interrupt_leftovers(connection, before_epoch=epoch)
        if num_interrupted:
            logger.info("%d cells were running when an earlier run ended", num_interrupted)
        failpoint("claim.inserted")
        return epoch

    def declare(self, cells: Sequence[CellSpec]) -> None:
        """Insert new cells, un-retire declared ones, retire the others.

        Args:
            cells: all cells of the config, in its order.
        """
        self._write(lambda connection: declare(connection, cells, grid=self.grid))
        self._books.exclusively(self._copies.save)

    def states(self) -> dict[str, CellRow]:
        """Where every cell stands, retired ones included, in declared order."""
        return self._books.read(read_states)

    def start(self, packed: Sequence[PackedCell], pack_id: str, log: str) -> None:
        """Hand cells out to a pack: they are running, with one more attempt each.

        Args:
            packed: cells with this epoch and their `next_attempt`.
            pack_id: the pack.
            log: its log.

        Raises:
            BugError: a wrong epoch or attempt, an unknown cell, or one that is done.
        """
        log_path = self._relative(log)

        def hand_out(connection: Connection) -> None:
            attempts.hand_out(connection, packed, epoch=self.epoch, pack_id=pack_id, log_path=log_path)
            failpoint("start.inserted")

        self._write(hand_out)
        failpoint("start.committed")

    def next_attempt(self, cell_id: str) -> int:
        """Number of the next try at a cell within this epoch: 1, 2, ..."""
        return self._books.read(lambda connection: attempts.last_attempt(connection, cell_id, self.epoch)) + 1

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
        return self._take_in([published]) == 1

    def ingest_all(self) -> int:
        """Take in every complete folder of cells that are not done.

        Returns:
            number of new results. Damaged folders are logged and left where they are.
        """
        _ = self.epoch  # writing needs a claim
        folders = list(complete_results(self.layout, skip=self._done()))
        # Newest attempt first: of two results of one cell the later one was handed out last.
        folders.sort(key=lambda folder: (folder.parent.name, AttemptName.parse(folder.name)), reverse=True)
        num_new = 0
        for start in range(0, len(folders), _BATCH_SIZE):
            num_new += self._take_in(readable(self.layout, folders[start : start + _BATCH_SIZE]))
        return num_new

    def _take_in(self, found: Sequence[Published]) -> int:
        def insert(connection: Connection) -> int:
            failpoint("db.begun")
            return sum(insert_result(connection, published, grid=self.grid) for published in found)

        num_new = self._write(insert)
        failpoint("db.committed")
        self._books.exclusively(self._copies.save_if_due)
        return num_new

    def fail(
        self, cell_id: str, epoch: int, attempt: int, kind: FailureKind, reason: str, log: str | None = None
    ) -> Path | None:
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

        Returns:
            the folder of the attempt's result, when that made the cell done instead; None otherwise.
        """
        if (folder := self._ingest_published(cell_id, epoch, attempt)) is not None:
            return folder
        reason, log_path = one_line(reason), self._relative(log) if log else None

        def take_back(connection: Connection) -> None:
            state, words = CellState.FAILED, {"kind": str(kind), "reason": reason, "log_path": log_path}
            attempts.take_back(connection, cell_id, epoch, attempt, state=state, **words)
            failpoint("fail.inserted")

        self._write(take_back)
        failpoint("fail.committed")
        self._copies.note_failure(cell_id, epoch, attempt, kind, reason, log_path)
        self._books.exclusively(self._copies.save_if_due)
        return None

    def interrupt(self, cell_id: str, epoch: int, attempt: int) -> Path | None:
        """Record that an attempt was given back unfinished; same rules, and same answer, as `fail`."""
        if (folder := self._ingest_published(cell_id, epoch, attempt)) is not None:
            return folder

        def take_back(connection: Connection) -> None:
            state, reason = CellState.INTERRUPTED, "stopped before it was finished"
            attempts.take_back(connection, cell_id, epoch, attempt, state=state, reason=reason)
            failpoint("interrupt.inserted")

        self._write(take_back)
        return None

    def pins(self) -> dict[str, str]:
        """Pinned revisions: `model:owner/name` or `dataset:owner/name` -> commit."""
        return self._books.read(read_pins)

    def pin(self, name: str, revision: str) -> None:
        """Pin a revision for the life of the store.

        Raises:
            BugError: it is pinned to another one.
        """

        def insert(connection: Connection) -> None:
            known = read_pins(connection).get(name)
            if known is None:
                connection.execute(sa.insert(schema.pins), {"name": name, "revision": revision, "pinned_at": utc_now()})
            elif known != revision:
                raise BugError(f"{name} is pinned to {known} in this store; it cannot become {revision}")
            failpoint("pin.inserted")

        self._write(insert)
        self._copies.note_pin(name, revision)

    def finish_run(self, exit_code: int) -> None:
        """Record how the run ended."""
        runs = schema.runs
        ended = {"ended_at": utc_now(), "exit_code": exit_code}
        self._write(
            lambda connection: (
                connection.execute(sa.update(runs).where(runs.c.epoch == self.epoch).values(**ended)).rowcount
            )
        )
        failpoint("finish.committed")
        self._books.exclusively(self._copies.save)

    def close(self) -> None:
        """Give the store back; a claimed one is left as a single file. Does nothing the second time."""
        self._books.close()
        self._epoch = None

    def __enter__(self) -> Store:
        """For `with`."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def _write(self, action: Callable[[Connection], T]) -> T:
        _ = self.epoch  # writing needs a claim
        return self._books.write(action)

    def _done(self) -> set[str]:
        return self._books.read(read_done)

    def _newest_folder_epoch(self, done: set[str]) -> int:
        """Largest epoch among folders of cells that are not done: an index put back from a copy may lag behind."""
        names = (AttemptName.parse(folder.name) for folder in complete_results(self.layout, skip=done))
        return max((name.epoch for name in names if name), default=0)

    def _ingest_published(self, cell_id: str, epoch: int, attempt: int) -> Path | None:
        for folder in results_of(self.layout, cell_id):
            name = AttemptName.parse(folder.name)
            if name and (name.epoch, name.attempt) == (epoch, attempt) and self._ingest_unless_damaged(folder):
                return folder
        return None

    def _ingest_unless_damaged(self, folder: Path) -> bool:
        try:
            return self.ingest(folder)
        except DamagedResult as error:
            logger.warning("%s", error)
            return False

    def _relative(self, path: str) -> str:
        absolute = self.layout.root / path
        return self.layout.relative(absolute) if absolute.is_relative_to(self.layout.root) else path


def _run_row(epoch: int, config_json: str) -> dict[str, object]:
    holder = Holder.this_process()
    who = {"host": holder.host, "pid": holder.pid, "boot_id": holder.boot_id, "started_at": utc_now()}
    return {"epoch": epoch, "config_json": config_json} | who
