"""Ownership: lock and lease together, and what others can see of the holder without claiming anything."""

import errno
import fcntl
import os

import pytest

from grid.store import Store
from grid.store.ownership import current_holder, refuse_if_busy
from grid.store.places import find_places
from jobs.errors import StoreBusy
from jobs.storage import Layout
from tests.grid.store.conftest import GRID, Bench


def test_the_holder_is_seen_and_refused_without_a_claim(bench):
    assert current_holder(bench.layout).pid == os.getpid()
    with pytest.raises(StoreBusy, match=f"process {os.getpid()} on"):
        refuse_if_busy(bench.layout)
    bench.store.close()
    assert current_holder(bench.layout) is None
    refuse_if_busy(bench.layout)


def test_a_folder_that_is_no_store_has_no_holder(tmp_path):
    assert current_holder(Layout(tmp_path / "none")) is None
    refuse_if_busy(Layout(tmp_path / "none"))


def test_on_a_network_the_lease_tells(network):
    bench = Bench(network[0])
    bench.begin()
    assert current_holder(bench.layout).pid == os.getpid()
    find_places(bench.layout).lock.write_text("")
    assert current_holder(bench.layout).pid == os.getpid(), "another host sees only the lease"
    bench.store.close()
    assert current_holder(bench.layout) is None


def test_a_second_driver_is_refused_on_a_network_too(network):
    bench = Bench(network[0])
    bench.begin()
    with pytest.raises(StoreBusy, match=f"process {os.getpid()} on"):
        Store.open(bench.root, grid=GRID)
    bench.store.close()


def test_where_the_file_system_has_no_locks_a_lease_takes_their_place(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("FINEGRID_CACHE", str(tmp_path / "cache"))
    real, refused = fcntl.flock, os.path.realpath(tmp_path / "results")

    def flock(descriptor, operation):
        if os.path.realpath(f"/proc/self/fd/{descriptor}").startswith(refused):
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    bench = Bench(tmp_path / "results")
    bench.begin()
    bench.finish(bench.cells[0])
    assert "a lease in" in caplog.text and bench.layout.lease.is_dir()
    bench.store.finish_run(5)
    bench.store.close()
    bench.begin()
    assert bench.store.epoch == 2 and bench.state(bench.cells[0]) == "done"
    bench.store.close()


def test_the_server_of_a_network_folder_respects_the_lease_of_its_clients(network, monkeypatch):
    """What is NFS to the compute nodes is a local disk to the machine that exports it."""
    client = Bench(network[0])
    client.begin()
    monkeypatch.delenv("FINEGRID_MOUNTINFO")
    assert current_holder(client.layout).pid == os.getpid()
    with pytest.raises(StoreBusy, match=f"process {os.getpid()} on"):
        Store.open(client.root, grid=GRID)
    client.finish(client.cells[0])
    client.store.finish_run(5)
    client.store.close()
    # Given back, the server goes on with it, and its clients see that.
    server = Bench(client.root)
    server.begin()
    assert (server.store.epoch, server.state(server.cells[0])) == (2, "done")
    monkeypatch.setenv("FINEGRID_MOUNTINFO", str(network[0].parents[1] / "mountinfo"))
    with pytest.raises(StoreBusy, match=f"process {os.getpid()} on"):
        Store.open(client.root, grid=GRID)
    server.store.close()
    client.begin()
    assert client.store.epoch == 3
    client.store.close()


def test_a_client_respects_the_server_that_runs_on_its_own_disk(network, monkeypatch):
    """A store that no client has touched yet has no leases: the server's lock is asked about."""
    monkeypatch.delenv("FINEGRID_MOUNTINFO")
    server = Bench(network[0])
    server.begin()
    monkeypatch.setenv("FINEGRID_MOUNTINFO", str(network[0].parents[1] / "mountinfo"))
    with pytest.raises(StoreBusy, match=f"process {os.getpid()} on"):
        Store.open(server.root, grid=GRID)
    server.finish(server.cells[0])
    server.store.close()
    client = Bench(network[0])
    client.begin()
    assert (client.store.epoch, client.state(client.cells[0])) == (2, "done")
    client.store.close()
