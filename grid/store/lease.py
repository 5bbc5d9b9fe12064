"""The right to write a store that several hosts can reach, where no kernel's lock reaches all of them.

`lease/` holds one file a claim, named after its token: 1, 2, ... A process becomes the holder by creating
the file of the next token, which the file system lets only one of them do. The holder rewrites its file
every few seconds. Whoever finds the newest file unchanged for `stale_after_s` of its own monotonic clock
may create the next one; clocks of two hosts are never compared. A holder that sees a higher token than its
own has lost the store and stops before its next write.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from grid.store.lock import Holder, busy
from jobs.durable import disk_problem
from jobs.errors import EnvironmentProblem, StoreBusy
from jobs.failpoints import failpoint

STALE_VARIABLE = "FINEGRID_LEASE_S"
"""Seconds without a sign of life after which a lease may be taken over."""
_STALE_AFTER_S = 90.0
"""Longer than the 60 s for which an NFS client may show old contents."""
_RECORD_BYTES = 1024
"""Fixed size, rewritten in place: a beat needs no space on a full disk, and no reader sees half a file."""
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
        """From $FINEGRID_LEASE_S; 90 s without it.

        Raises:
            EnvironmentProblem: the variable holds no positive number.
        """
        text = os.environ.get(STALE_VARIABLE, "")
        try:
            seconds = float(text) if text else _STALE_AFTER_S
        except ValueError:
            seconds = 0.0
        if not 0.0 < seconds < float("inf"):
            raise EnvironmentProblem(f"{STALE_VARIABLE}={text!r}: a number of seconds above 0 is expected")
        return cls(stale_after_s=seconds)


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
    """One process's claim on a folder of leases."""

    def __init__(self, folder: Path, *, timing: Timing | None = None, clock: Callable[[], float] = boot_clock) -> None:
        """Name the folder; nothing is touched yet."""
        self._folder = folder
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
            self._folder.mkdir(exist_ok=True)
            while self._token is None:
                newest = self._when_free()
                self._create(newest + 1)
        except OSError as error:
            raise disk_problem(self._folder, error) from error
        self._remove_older()
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
        try:
            newest = max(_tokens(self._folder), default=0)
            if newest == self._token and self._clock() - self._renewed_at > self._timing.fence_s:
                self._renew()
        except OSError as error:
            raise disk_problem(self._folder, error) from error
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
            if max(_tokens(self._folder), default=0) == self._token:
                self._write(self._token, released=True)
        except OSError as error:
            logger.warning("%s could not be given back (%s); the next run waits for it", self._folder, error)
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
            newest = max(_tokens(self._folder), default=0)
            content = _read(self._folder, newest)
            record = _parse(content)
            if newest == 0 or (record is not None and record.released):
                return newest
            if record is not None and record.holder.is_here():
                if record.holder.seems_alive():
                    raise busy(self._folder.parent, str(record.holder))
                return newest
            now = self._clock()
            if (newest, content) != seen:
                if seen is not None:
                    raise self._alive(record)
                seen, since = (newest, content), now
                self._tell_waiting(record)
            elif now - since > self._timing.stale_after_s:
                logger.warning("%s: no sign of life for %.0f s, taken over", self._folder, now - since)
                return newest
            time.sleep(self._timing.poll_s)

    def _tell_waiting(self, record: Record | None) -> None:
        who = str(record.holder) if record else "a process that left no details"
        logger.warning(
            "%s is held by %s; waiting up to %.0f s for a sign of life",
            self._folder.parent,
            who,
            self._timing.stale_after_s,
        )

    def _alive(self, record: Record | None) -> StoreBusy:
        who = str(record.holder) if record else "a process that left no details"
        return busy(self._folder.parent, f"{who}, which renewed its lease just now")

    def _taken_over(self, newest: int) -> StoreBusy:
        record = _parse(_read(self._folder, newest)) if newest else None
        who = str(record.holder) if record else "another process"
        return StoreBusy(
            f"{self._folder.parent} was taken over by {who} while this run was silent; nothing more is written here. "
            "What this run had finished is kept"
        )

    def _create(self, token: int) -> None:
        # Exclusive creation is decided by the server, hence for all hosts at once.
        try:
            descriptor = os.open(_path(self._folder, token), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except FileExistsError:
            return  # another process was quicker: look again who that is
        os.close(descriptor)
        self._write(token)
        self._token = token
        failpoint("lease.created")

    def _write(self, token: int, *, released: bool = False) -> None:
        with self._guard:
            self._beat += 1
            record = Record(holder=self._holder, beat=self._beat, released=released)
            data = json.dumps(asdict(record)).encode("utf-8").ljust(_RECORD_BYTES)
            # No O_CREAT: a file that a later holder removed must not come back.
            descriptor = os.open(_path(self._folder, token), os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.pwrite(descriptor, data, 0)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            self._renewed_at = self._clock()

    def _renew(self) -> None:
        if self._token is not None:
            self._write(self._token)
            failpoint("lease.renewed")

    def _keep_alive(self) -> None:
        while not self._stop.wait(self._timing.beat_s):
            try:
                if max(_tokens(self._folder), default=0) != self._token:
                    logger.error("%s was taken over; nothing more is written by this run", self._folder.parent)
                    return
                self._renew()
            except OSError as error:
                # Not the end: `check` refuses to write once this has lasted too long.
                logger.warning("%s could not be renewed: %s", self._folder, error)

    def _remove_older(self) -> None:
        for token in _tokens(self._folder):
            if self._token is not None and token < self._token:
                _path(self._folder, token).unlink(missing_ok=True)


def read_lease(folder: Path) -> Record | None:
    """What the newest lease says; None when there is none that can be read."""
    try:
        newest = max(_tokens(folder), default=0)
        return _parse(_read(folder, newest)) if newest else None
    except OSError:
        return None


def _path(folder: Path, token: int) -> Path:
    return folder / str(token)


def _tokens(folder: Path) -> list[int]:
    # A listing, because clients of network file systems may remember that a name was not there.
    return [int(name) for name in os.listdir(folder) if name.isascii() and name.isdigit()]  # noqa: PTH208


def _read(folder: Path, token: int) -> bytes:
    try:
        return _path(folder, token).read_bytes()
    except FileNotFoundError:
        return b""


def _parse(content: bytes) -> Record | None:
    try:
        data = json.loads(content)
        return Record(holder=Holder(**data["holder"]), beat=int(data["beat"]), released=bool(data["released"]))
    except (ValueError, TypeError, KeyError):
        return None
