"""The right to write a store on this machine: one process, freed by the kernel however that process ends."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import struct
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from jobs.durable import disk_problem
from jobs.errors import EnvironmentProblem, StoreBusy
from jobs.temporary import boot_id, process_start

_DETAILS_WAIT_S = 0.5
"""A holder writes its details right after taking the lock."""
_RANGE = "hhqqi4x"
"""struct flock of 64-bit Linux."""


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who has, or last had, the right to write."""

    host: str
    pid: int
    boot_id: str
    start_tick: int
    """Start of the process in ticks since boot: tells a reused pid from the holder."""
    started_at: str
    """UTC, ISO 8601."""
    pid_namespace: int = 0
    """Tells containers apart that share a host name: a pid means nothing outside its namespace."""

    @classmethod
    def this_process(cls) -> Holder:
        """Details of the calling process."""
        pid = os.getpid()
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(
            host=socket.gethostname(),
            pid=pid,
            boot_id=boot_id(),
            start_tick=process_start(pid) or 0,
            started_at=now,
            pid_namespace=_pid_namespace(),
        )

    def is_here(self) -> bool:
        """True when its process can be looked up: same machine, same boot, same container."""
        machine = (socket.gethostname(), boot_id(), _pid_namespace())
        return (self.host, self.boot_id, self.pid_namespace) == machine

    def seems_alive(self) -> bool:
        """True when the holder runs on this machine; other machines cannot be seen from here."""
        return self.is_here() and process_start(self.pid) == self.start_tick

    def __str__(self) -> str:
        """For messages."""
        return f"process {self.pid} on {self.host}, running since {self.started_at}"


class NoFileLocks(EnvironmentProblem):
    """The file system knows no locks: a lease takes their place."""


class StoreLock:
    """An exclusive flock on a file.

    The descriptor is close-on-exec: programs that the holder starts do not keep the lock. Forked
    children would, hence workers are spawned.
    """

    def __init__(self, path: Path) -> None:
        """Name the lock file; nothing is touched yet."""
        self._path = path
        self._descriptor: int | None = None

    @property
    def is_held(self) -> bool:
        """True between `acquire` and `release`."""
        return self._descriptor is not None

    def acquire(self) -> Holder:
        """Take the lock at once or say who has it.

        Returns:
            details of this process, as written into the file.

        Raises:
            StoreBusy: another process holds it.
            NoFileLocks: the file system has none.
            EnvironmentProblem: the file cannot be made or written.

        Side effects:
            Creates the lock file, which stays; it means nothing without the kernel's lock.
        """
        descriptor = self._open()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _show_to_network(descriptor, fcntl.F_WRLCK)
            holder = Holder.this_process()
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(asdict(holder)).encode("utf-8"), 0)
        except BlockingIOError:
            os.close(descriptor)
            raise self._busy() from None
        except OSError as error:
            os.close(descriptor)
            raise _unusable(self._path, error) from error
        self._descriptor = descriptor
        return holder

    def release(self) -> None:
        """Give the lock back and take our name off it; does nothing when it is not held."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            # Unlocking, not only closing: a child between fork and exec may still have a copy of the descriptor.
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            _show_to_network(self._descriptor, fcntl.F_UNLCK)
            os.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> int:
        try:
            return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise disk_problem(self._path, error) from error

    def _busy(self) -> StoreBusy:
        deadline = time.monotonic() + _DETAILS_WAIT_S
        while not _is_current(holder := read_holder(self._path)) and time.monotonic() < deadline:
            time.sleep(0.02)
        who = str(holder) if holder else "a process that left no details"
        return busy(self._path.parent, who)


def is_held_beyond_network(path: Path) -> bool:
    """Whether the machine that serves a network folder has taken the lock in it itself; only asks.

    Args:
        path: the lock file, as a client sees it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, struct.pack(_RANGE, fcntl.F_WRLCK, 0, 0, 0, 0))
        return int(struct.unpack(_RANGE, answer)[0]) != fcntl.F_UNLCK
    except OSError:
        return False  # no locks there at all
    finally:
        os.close(descriptor)


def _show_to_network(descriptor: int, kind: int) -> None:
    """Lock the file's bytes as well: a server tells its clients of these locks, of flock's it does not."""
    with suppress(OSError):  # the flock counts
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, struct.pack(_RANGE, kind, 0, 0, 0, 0))


def _is_current(holder: Holder | None) -> bool:
    # Details of an earlier holder stay in the file until the new one has written its own.
    return holder is not None and (holder.host != socket.gethostname() or holder.seems_alive())


def busy(folder: Path | str, who: str) -> StoreBusy:
    """Say who has a store, and what can be done."""
    return StoreBusy(f"{folder} is in use by {who}; wait for it, or stop it: its work is kept and can be resumed")


def read_holder(path: Path) -> Holder | None:
    """Who wrote its details into a lock file last; None when nobody did.

    Args:
        path: the lock file.
    """
    try:
        data = json.loads(path.read_text("utf-8"))
        return Holder(**data)
    except (OSError, ValueError, TypeError):
        return None


def _unusable(path: Path, error: OSError) -> EnvironmentProblem:
    if error.errno in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
        return NoFileLocks(
            f"{path}: this file system has no file locks ({error.strerror}); "
            "give a folder on a local disk with --results"
        )
    return disk_problem(path, error)


def _pid_namespace() -> int:
    try:
        return Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return 0
