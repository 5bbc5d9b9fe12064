"""Watches the disk while a run goes on: with little space left it stops in order, instead of failing cell by cell."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from jobs.errors import is_disk_full, one_line
from jobs.spec import Event, EventKind

_RESERVE_BYTES = 64 << 20
_MAX_SHARE = 20
"""At most one twentieth of the whole disk is asked to stay free."""
_CHECK_EVERY_S = 1.0
_MEBIBYTE = 1 << 20


class Usage(Protocol):
    """What `shutil.disk_usage` gives."""

    @property
    def total(self) -> int:
        """Size in bytes."""
        ...

    @property
    def free(self) -> int:
        """Bytes that this user may still write."""
        ...


class DiskGuard:
    """Asked between events whether a run has to stop for want of space; once it had to, it stays so."""

    def __init__(
        self,
        folders: Sequence[Path],
        *,
        disk_full: Callable[[], str | None] = lambda: None,
        usage: Callable[[Path], Usage] = shutil.disk_usage,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Watch the file systems of these folders.

        Args:
            folders: where results, logs and the index grow.
            disk_full: the store's own experience: why its disk took no more.
            usage: asks a file system.
            clock: seconds that never go back.
        """
        self.reason: str | None = None
        """Why the run has to stop, and the way on; None while there is space."""
        self._folders = tuple(folders)
        self._disk_full = disk_full
        self._usage = usage
        self._clock = clock
        self._next_check = clock()

    def must_stop(self) -> bool:
        """True once a disk is full or nearly so; the file systems are asked once a second."""
        if self.reason is None and (refused := self._disk_full()) is not None:
            self.reason = _advice(refused)
        if self.reason is None and self._clock() >= self._next_check:
            self._next_check = self._clock() + _CHECK_EVERY_S
            self.reason = next((found for folder in self._folders if (found := self._shortage(folder))), None)
        return self.reason is not None

    def on_event(self, event: Event) -> None:
        """A trial that fails for want of space speaks for all that would follow it."""
        if self.reason is None and event.kind in (EventKind.CELL_FAILED, EventKind.PACK_LOST):
            reason = str(event.data.get("reason", ""))
            if is_disk_full(reason):
                self.reason = _advice(one_line(reason))

    def _shortage(self, folder: Path) -> str | None:
        try:
            usage = self._usage(folder)
        except OSError:
            return None  # it vanished or cannot be reached: the next write there says what is wrong
        reserve_bytes = min(_RESERVE_BYTES, usage.total // _MAX_SHARE)
        if usage.free >= reserve_bytes:
            return None
        return _advice(
            f"{folder}: {usage.free / _MEBIBYTE:.1f} MiB are free, less than the {reserve_bytes / _MEBIBYTE:.1f} MiB "
            "that have to remain"
        )


def _advice(what: str) -> str:
    return f"{what.removesuffix('.')}. Free space (or raise the quota) and give the same command again."
