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
