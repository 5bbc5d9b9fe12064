"""The right to write a store that several hosts can reach, where no kernel's lock reaches all of them.

`lease/` holds one file a claim, named after its token: 1, 2, ... A process becomes the holder by creating
the file of the next token, which the file system (at a URL, the object store) lets only one of them do. The holder
rewrites its file every few seconds. Whoever finds the newest file unchanged for `stale_after_s` of its own monotonic
clock may create the next one; clocks of two hosts are never compared. A holder that sees a higher token than its
own has lost the store and stops before its next write.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from grid.deadlines import LEASE
from grid.store.lease_files import LeaseFiles, LeaseFolder
from grid.store.lock import Holder, busy
from jobs.durable import disk_problem
from jobs.errors import EnvironmentProblem, StoreBusy, TransientProblem
from jobs.failpoints import failpoint

_RECORD_BYTES = 1024
"""Fixed size, rewritten in place: a beat needs no space on a full disk, and no reader sees half a file."""
_UNREACHABLE = (OSError, EnvironmentProblem, TransientProblem)
logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How often a holder shows that it lives, and how long the others wait for that."""

    stale_after_s: float

    @property
    def beat_s(self) -> float:
        """Time between two signs of life: several may get lost."""
        return self.stale_after_s / 9

    @property
    def poll_s(self) -> float:
        """Time between two looks at somebody else's lease."""
        return min(1.0, self.beat_s / 2)

    @property
    def fence_s(self) -> float:
        """A holder that could not renew for this long writes nothing more, well before others may take over."""
        return self.stale_after_s / 2

    @classmethod
    def usual(cls) -> Timing:
        """From $FINEGRID_LEASE_S.

        Raises:
            UserError: the variable holds no positive number.
        """
        return cls(stale_after_s=LEASE.seconds)


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a lease file says."""

    holder: Holder
    beat: int
    released: bool


def boot_clock() -> float:
    """Seconds that go on while the machine sleeps, unlike those of the monotonic clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Lease:
    """One process's claim on a folder of leases, or on those at a URL."""

    def __init__(
        self, where: Path | LeaseFiles, *, timing: Timing | None = None, clock: Callable[[], float] = boot_clock
    ) -> None:
        """Name the place; nothing is touched yet."""
        self._files: LeaseFiles = LeaseFolder(where) if isinstance(where, Path) else where
        self._timing = timing or Timing.usual()
        self._clock = clock
        self._guard = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._token: int | None = None
        self._holder = Holder.this_process()
        self._beat = 0
        self._renewed_at = 0.0

    @property
    def token(self) -> int | None:
        """The fencing token, higher than any before; None when the lease is not held."""
        return self._token

    def acquire(self) -> int:
        """Become the holder, waiting for a silent one as long as `stale_after_s`.

        Returns:
            the token.

        Raises:
            StoreBusy: the holder lives; it is named.
            EnvironmentProblem: the folder cannot be written.
        """
        try:
            self._files.prepare()
            while self._token is None:
                newest = self._when_free()
                self._create(newest + 1)
            self._remove_older()
        except OSError as error:
            raise self._disk_problem(error) from error
        self._thread = threading.Thread(target=self._keep_alive, name="finegrid-lease", daemon=True)
        self._thread.start()
        return self._token

    def check(self) -> None:
        """Make sure that the store is still ours; called before every write.

        Raises:
            StoreBusy: another process took it over while this one was silent.
            EnvironmentProblem: the folder cannot be reached, so that nobody can tell.
        """
        if self._token is None:
            return
        is_late = self._clock() - self._renewed_at > self._timing.fence_s
        if not is_late and not self._files.is_asked_before_each_write:
            return  # nobody may have taken it over since it was renewed
        try:
            newest = self._newest()
            if newest == self._token and is_late:
                self._renew()
        except OSError as error:
            raise self._disk_problem(error) from error
        if newest != self._token:
            raise self._taken_over(newest)

    def release(self) -> None:
        """Say that the next one need not wait; does nothing when the lease is not held."""
        if self._token is None:
            return
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        try:
            if self._newest() == self._token:
                self._write(self._token, released=True)
        except _UNREACHABLE as error:
            logger.warning("%s could not be given back (%s); the next run waits for it", self._files.name, error)
        failpoint("lease.released")
        self._token = None

    def _when_free(self) -> int:
        """The newest token, once its holder is gone.

        Raises:
            StoreBusy: the holder lives.
        """
        seen: tuple[int, bytes] | None = None
        since = 0.0
        while True:
            newest = self._newest()
            content = self._files.read(newest) if newest else b""
            record = _parse(content)
            if newest == 0 or (record is not None and record.released):
                return newest
            if record is not None and record.holder.is_here():
                if record.holder.seems_alive():
                    raise busy(self._files.name, str(record.holder))
                return newest
            now = self._clock()
            if (newest, content) != seen:
                if seen is not None:
                    raise self._alive(record)
                seen, since = (newest, content), now
                self._tell_waiting(record)
            elif now - since > self._timing.stale_after_s:
                logger.warning("%s: no sign of life for %.0f s, taken over", self._files.name, now - since)
                return newest
            time.sleep(self._timing.poll_s)

    def _tell_waiting(self, record: Record | None) -> None:
        who = str(record.holder) if record else "a process that left no details"
        logger.warning(
            "%s is held by %s; waiting up to %.0f s for a sign of life",
            self._files.name,
            who,
            self._timing.stale_after_s,
        )

    def _alive(self, record: Record | None) -> StoreBusy:
        who = str(record.holder) if record else "a process that left no details"
        return busy(self._files.name, f"{who}, which renewed its lease just now")

    def _taken_over(self, newest: int) -> StoreBusy:
        record = _parse(self._files.read(newest)) if newest else None
        who = str(record.holder) if record else "another process"
        return StoreBusy(
            f"{self._files.name} was taken over by {who} while this run was silent; nothing more is written here. "
            "What this run had finished is kept"
        )

    def _create(self, token: int) -> None:
        with self._guard:
            began = self._clock()
            if not self._files.create(token, self._next_record()):
                return  # another process was quicker: look again who that is
            self._renewed_at = began
            self._token = token
        failpoint("lease.created")

    def _write(self, token: int, *, released: bool = False) -> None:
        with self._guard:
            # Counted from the beginning: others may have seen the record before the answer came back.
            began = self._clock()
            self._files.write(token, self._next_record(released=released))
            self._renewed_at = began

    def _next_record(self, *, released: bool = False) -> bytes:
        self._beat += 1
        record = Record(holder=self._holder, beat=self._beat, released=released)
        return json.dumps(asdict(record)).encode("utf-8").ljust(_RECORD_BYTES)

    def _newest(self) -> int:
        return max(self._files.tokens(), default=0)

    def _disk_problem(self, error: OSError) -> EnvironmentProblem:
        return disk_problem(Path(error.filename or self._files.name), error)

    def _renew(self) -> None:
        if self._token is not None:
            self._write(self._token)
            failpoint("lease.renewed")

    def _keep_alive(self) -> None:
        while not self._stop.wait(self._timing.beat_s):
            try:
                if self._newest() != self._token:
                    logger.error("%s was taken over; nothing more is written by this run", self._files.name)
                    return
                self._renew()
            except _UNREACHABLE as error:
                # Not the end: `check` refuses to write once this has lasted too long.
                logger.warning("the lease of %s could not be renewed: %s", self._files.name, error)

    def _remove_older(self) -> None:
        for token in self._files.tokens():
            if self._token is not None and token < self._token:
                self._files.remove(token)


def read_lease(where: Path | LeaseFiles) -> Record | None:
    """What the newest lease says; None when there is none that can be read."""
    files: LeaseFiles = LeaseFolder(where) if isinstance(where, Path) else where
    try:
        newest = max(files.tokens(), default=0)
        return _parse(files.read(newest)) if newest else None
    except OSError:
        return None


def _parse(content: bytes) -> Record | None:
    try:
        data = json.loads(content)
        return Record(holder=Holder(**data["holder"]), beat=int(data["beat"]), released=bool(data["released"]))
    except (ValueError, TypeError, KeyError):
        return None
