"""Being the one driver of a store: the kernel's lock on this machine, a lease where other hosts can come in.

Where the index is in PostgreSQL, its own lock is enough: `grid.store.postgres`.
"""

from __future__ import annotations

from grid.store.lease import Lease, read_lease
from grid.store.lease_files import LeaseFiles, LeaseFolder
from grid.store.lock import Holder, StoreLock, busy, is_held_beyond_network, read_holder
from grid.store.places import Places, find_places
from grid.store.postgres import PostgresOwnership, find_server, server_holder
from grid.store.remote import RemoteLeases
from jobs.failpoints import failpoint
from jobs.storage import Layout


class Ownership:
    """The right to write one store; freed by `release`, by the kernel, or by silence."""

    def __init__(self, layout: Layout, places: Places) -> None:
        """Nothing is touched yet."""
        self._lock = StoreLock(places.lock)
        self._lease = Lease(leases_of(layout)) if _has_leases(layout, places) else None
        self._layout = layout
        self._is_network_folder = places.is_shared and layout.mirror is None

    @property
    def is_held(self) -> bool:
        """True between `acquire` and `release`."""
        return self._lock.is_held

    @property
    def token(self) -> int | None:
        """The lease's fencing token; None where the kernel's lock is enough."""
        return self._lease.token if self._lease else None

    def acquire(self) -> None:
        """Take the store or say who has it.

        Raises:
            StoreBusy: another process holds it.
            NoFileLocks: the kernel's lock does not work there.
            EnvironmentProblem: the disk refused.
        """
        self._lock.acquire()
        failpoint("owner.locked")
        try:
            if self._is_network_folder and is_held_beyond_network(self._layout.lock):
                raise busy(self._layout.name, str(read_holder(self._layout.lock) or "a process of its server"))
            if self._lease is not None:
                self._lease.acquire()
        except BaseException:
            self._lock.release()
            raise

    def check(self) -> None:
        """Make sure, before a write, that no other host has taken the store over.

        Raises:
            StoreBusy: it has; nothing may be written any more.
            EnvironmentProblem: the folder cannot be reached.
        """
        if self._lease is not None:
            self._lease.check()

    def release(self) -> None:
        """Give the store back; does nothing when it is not held."""
        if self._lease is not None:
            self._lease.release()
        self._lock.release()


Owner = Ownership | PostgresOwnership


def _has_leases(layout: Layout, places: Places) -> bool:
    """Other hosts can reach the store, or have: this one may be the server whose disk they see as a network's."""
    return places.is_shared or layout.lease.is_dir()


def leases_of(layout: Layout) -> LeaseFiles:
    """Where the leases of a store lie that several hosts can reach."""
    mirror = layout.mirror
    return LeaseFolder(layout.lease) if mirror is None else RemoteLeases(mirror)


def current_holder(layout: Layout) -> Holder | None:
    """The process that has a store now, as far as this machine can tell; None when there is none.

    Args:
        layout: a results folder; may not exist.
    """
    server = find_server(layout)
    if server is not None:
        return server_holder(server)
    places = find_places(layout)
    if places is None:
        return None
    holder = read_holder(places.lock)
    if holder is not None and holder.seems_alive():
        return holder
    record = read_lease(leases_of(layout)) if _has_leases(layout, places) else None
    if record is None or record.released:
        return None
    # Of another host only its lease is known; whether that is stale, only watching it would tell.
    return record.holder if record.holder.seems_alive() or not record.holder.is_here() else None


def refuse_if_busy(layout: Layout) -> None:
    """Say at once, before anything expensive, that a process of this machine has the store; claims nothing.

    Raises:
        StoreBusy: it is named.
    """
    holder = current_holder(layout)
    if holder is not None and holder.seems_alive():
        raise busy(layout.name, str(holder))
