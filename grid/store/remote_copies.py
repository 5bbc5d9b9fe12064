"""Copies of the index and the journal of a store at a URL: every one an object of its own, none is ever replaced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from grid.store import journal, remote
from grid.store.copies import Copies
from grid.store.ownership import Owner, Ownership
from grid.store.places import Places
from jobs.failpoints import failpoint
from jobs.mirror import Mirror
from jobs.storage import Layout

_KEPT = 2
"""Copies that stay: a reader may be fetching the last but one."""


def copies_of(layout: Layout, places: Places, owner: Owner) -> Copies:
    """What keeps the copies of a store that is ours; an index in a database needs none."""
    mirror = layout.mirror
    if mirror is None:
        return Copies(layout, places, owner.check)
    if isinstance(owner, Ownership):
        return RemoteCopies(layout, places, mirror, owner)
    return _Epochs(layout, places, mirror)


class _Epochs(Copies):
    """Of a store whose results are at a URL and whose index is in a database: only epochs are claimed at the URL."""

    def __init__(self, layout: Layout, places: Places, mirror: Mirror) -> None:
        super().__init__(layout, places)
        self._mirror = mirror

    def reserve_epoch(self, at_least: int) -> int:
        return remote.claim_epoch(self._mirror, at_least)


class RemoteCopies(Copies):
    """As `Copies`, with objects named after the token of the lease and a number."""

    def __init__(self, layout: Layout, places: Places, mirror: Mirror, ownership: Ownership) -> None:
        """Ask nothing yet."""
        super().__init__(layout, places)
        self._mirror = mirror
        self._ownership = ownership
        self._number = 0

    def reserve_epoch(self, at_least: int) -> int:
        """Take the next epoch by a conditional put."""
        epoch = remote.claim_epoch(self._mirror, at_least)
        failpoint("epoch.claimed")
        return epoch

    def journal(self) -> bytes:
        """Failures and pins since the last copy."""
        lines = (self._mirror.objects.read(key) for key in remote.numbered(self._mirror, remote.JOURNAL))
        return b"".join(line for line in lines if line is not None)

    def _newest_copy(self) -> Path | None:
        return remote.newest_copy(self._mirror)

    def _put(self, database: Path) -> None:
        # What this copy holds; lines that a late writer adds meanwhile stay.
        known = remote.numbered(self._mirror, remote.JOURNAL)
        failpoint("copy.before_replace")
        self._mirror.share_file(database, self._next_key(remote.INDEXES, "db"))
        failpoint("copy.after_replace")
        older = remote.numbered(self._mirror, remote.INDEXES)[:-_KEPT]
        self._mirror.objects.remove([*older, *known])

    def _note(self, event: str, **values: Any) -> None:
        line = journal.line_of(event, **values).encode("utf-8")
        self._mirror.objects.write(self._next_key(remote.JOURNAL, "json"), line)
        failpoint("journal.appended")

    def _next_key(self, prefix: str, suffix: str) -> str:
        self._number += 1
        return f"{prefix}{self._ownership.token or 0}-{self._number}.{suffix}"
